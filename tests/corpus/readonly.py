"""What the scripts of read-only file systems share: a folder of files of every kind, and queries about an image of it through the kernel."""
import os, random, shutil, tempfile
from corpus import content, pattern, run, sample


def plain(name):
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"hex": name.hex()}


def words(path):
    """A path as an argument."""
    return {"path": path.decode()} if isinstance(plain(path), str) else {"path_hex": path.hex()}


def folder_of_files(block, many, devices=True, longest=255):
    """A new folder; whoever made it removes it."""
    top = tempfile.mkdtemp().encode()
    at = lambda *names: os.path.join(top, *names)
    rng = random.Random(block)

    def write(path, data):
        with open(path, "wb") as f:
            f.write(data)

    os.makedirs(at(b"a", b"b", b"c", b"d"))
    write(at(b"hello.txt"), b"hello world\n")
    write(at(b"empty"), b"")
    for i, size in enumerate((1, block - 1, block, block + 1, 3 * block, 5 * block + 77, 20 * block + 1)):
        write(at(b"a", b"size_%d" % i), pattern(size, "s%d" % i))
        write(at(b"a", b"b", b"noise_%d" % i), rng.randbytes(size))
    write(at(b"a", b"b", b"c", b"big"), pattern(700001, "b"))
    write(at(b"a", b"b", b"c", b"mixed"), b"".join(rng.randbytes(5000) + bytes(9000) + pattern(7000, "m") for _ in range(40)))
    write(at(b"a", b"b", b"c", b"d", b"zeros"), bytes(400000))
    write(at(b"a", b"twice"), pattern(5 * block + 77, "s5"))
    with open(at(b"sparse"), "wb") as f:
        f.truncate(10 * block + 3000)
        f.seek(4 * block)
        f.write(pattern(block, "h"))
    os.makedirs(at(b"emptydir"))
    os.mkdir(at(b"many"))
    for i in range(many):
        write(at(b"many", b"entry_%05d_%s" % (i, b"z" * (i * 7 % 60))), b"" if i % 5 else pattern(i, "e"))
    os.mkdir(at(b"names"))
    for name in (b"x", b"with space", "ümlä你".encode(), b"n" * longest, b"\xff\xfe", b"'q'"):
        write(at(b"names", name), name)
    os.symlink(b"a/b/c", at(b"link"))
    os.symlink(b"seg/" * 300 + b"end", at(b"longlink"))
    os.link(at(b"hello.txt"), at(b"a", b"hard"))
    root = os.geteuid() == 0
    if devices and root:
        os.mkfifo(at(b"fifo"))
        os.mknod(at(b"null"), 0o020666, os.makedev(1, 3))
        os.mknod(at(b"disk"), 0o060660, os.makedev(259, 3000))
    if root:
        os.chown(at(b"a", b"size_0"), 1000, 100)
        os.chown(at(b"a", b"size_1"), 70000, 80000)
    os.chmod(at(b"a", b"size_2"), 0o6751)
    for folder, dirs, files in os.walk(top):
        for name in dirs + files:
            os.utime(os.path.join(folder, name), (1700000000, 1700000000 + len(name)), follow_symlinks=False)
    return top


def ask_mounted(c, family, image, options=""):
    """Queries on an image that the kernel mounts."""
    top = tempfile.mkdtemp().encode()
    run("mount", "-o", "loop,ro" + options, image, top)
    try:
        paths = []
        for folder, dirs, files in os.walk(top):
            paths += [folder[len(top):] + b"/" + name for name in dirs + files]
        few = [p for p in paths if not p.startswith(b"/many/")] + sample([p for p in paths if p.startswith(b"/many/")], 30)
        for path in sorted(few):
            st = os.lstat(top + path)
            expect = {"inode": st.st_ino, "mode": st.st_mode, "uid": st.st_uid, "gid": st.st_gid}
            if st.st_mode & 0xf000 == 0x8000:
                expect |= {"size": st.st_size, "mtime": int(st.st_mtime)}
            c.add(image, f"{family}.path", words(path), expect, "kernel lstat")
            if st.st_mode & 0xf000 == 0xa000:
                c.add(image, f"{family}.readlink", words(path), {"target": os.readlink(top + path).decode()}, "kernel readlink")
            elif st.st_mode & 0xf000 == 0x4000:
                ask_dir(c, family, image, top, path)
            elif st.st_mode & 0xf000 == 0x8000 and st.st_size:
                with open(top + path, "rb") as f:
                    for offset, length in {(0, st.st_size), (st.st_size // 3, 70000), (max(st.st_size - 5000, 0), 5000)}:
                        f.seek(offset)
                        c.add(image, f"{family}.read", {**words(path), "offset": offset, "length": length}, content(f.read(length)), "kernel read")
        ask_dir(c, family, image, top, b"/")
        for path in (b"/none", b"/a/b/none/x", b"/hello.txt/x", b"/many/entry", b"/emptydir/x"):
            c.add(image, f"{family}.path", words(path), {"found": False}, "kernel lstat")
    finally:
        run("umount", top)
        os.rmdir(top)


def ask_dir(c, family, image, top, path):
    names = [plain(n) for n in sorted(os.listdir(top + path))]
    expect = {"n_entries": len(names)} | ({"names": names} if len(names) <= 40 else {})
    c.add(image, f"{family}.readdir", words(path), expect, "kernel readdir (without . and ..)")
