#!/usr/bin/env python3
"""Makes ext2, ext3 and ext4 images that the kernel fills, and queries with answers by debugfs, dumpe2fs and the mounted volume.

    ext_kernel.py DIR [VARIANT…]      makes DIR/images/extk_*.img and DIR/queries.extk.jsonl; needs e2fsprogs and the right to mount

What mke2fs alone does not make: holes punched and ranges moved in extent trees, hash trees that grew and lost names, inline files that grew, values of
attributes that several inodes share, directories that ignore case, files with trees for verity, and a volume that was not unmounted."""
from corpus import *
import fcntl, random, struct
import ext

# name: (features, block size, inode size, MiB, more options of mke2fs, options of mount, what else)
VARIANTS = {
    "4k": (ext.EXT4, 4096, 256, 96, [], "", {}),
    "1k": (ext.EXT4, 1024, 256, 64, [], "", {}),
    "2k": (ext.EXT4, 2048, 512, 64, [], "", {}),
    "ext2": (ext.BASE, 1024, 128, 64, [], "", {}),
    "ext2_4k": (ext.BASE, 4096, 256, 96, [], "", {}),
    "ext3": (ext.BASE + ",has_journal", 2048, 256, 64, [], "", {}),
    "rev0": ("none", 1024, 128, 32, ["-r", "0"], "", {}),
    "no_csum": (ext.EXT4.replace(",metadata_csum", ""), 1024, 256, 64, [], "", {}),
    "uninit": (ext.BASE + ",extent,flex_bg,uninit_bg,has_journal", 1024, 256, 64, [], "", {}),
    "small_inodes": (ext.EXT4.replace(",extra_isize", ""), 1024, 128, 64, [], "", {}),
    "inline": (ext.EXT4 + ",inline_data", 1024, 256, 64, [], "", {}),
    "inline_4k": (ext.EXT4 + ",inline_data", 4096, 1024, 96, [], "", {}),
    "bigalloc": (ext.EXT4 + ",bigalloc", 1024, 256, 96, ["-C", "8192"], "", {}),
    "bigalloc_4k": (ext.EXT4 + ",bigalloc", 4096, 256, 96, ["-C", "65536"], "", {}),
    "ea_inode": (ext.EXT4 + ",ea_inode", 1024, 256, 64, [], "", {"large_values": True}),
    "ea_inode_4k": (ext.EXT4 + ",ea_inode", 4096, 256, 96, [], "", {"large_values": True}),
    "meta_bg": (ext.EXT4 + ",meta_bg", 1024, 256, 64, ["-g", "2048"], "", {}),
    "large_dir": (ext.EXT4 + ",large_dir", 1024, 256, 128, ["-N", "40000"], "", {"many": 30000}),
    "two_levels": (ext.EXT4, 1024, 256, 96, ["-N", "20000"], "", {"many": 12000}),
    "orphan_file": (ext.EXT4 + ",orphan_file,fast_commit", 4096, 256, 96, [], "", {}),
    "seed": (ext.EXT4 + ",metadata_csum_seed", 1024, 256, 64, [], "", {}),
    "quota": (ext.EXT4 + ",quota,project", 4096, 256, 96, [], "", {}),
    "nodelalloc": (ext.EXT4, 1024, 256, 64, [], "nodelalloc,data=journal", {}),
    "noextent": (ext.EXT4.replace(",extent", "").replace(",64bit", ""), 1024, 256, 64, [], "", {}),
    "casefold": (ext.EXT4 + ",casefold", 1024, 256, 64, [], "", {"casefold": True}),
    "verity": (ext.EXT4 + ",verity", 4096, 256, 96, [], "", {"verity": True}),
    "encrypt": (ext.EXT4 + ",encrypt", 4096, 256, 96, [], "", {"encrypt": True, "unread_folder": "secret"}),
    "dirty": (ext.EXT4, 4096, 256, 96, [], "", {"dirty": True}),
    "dirty_1k": (ext.EXT4, 1024, 256, 64, [], "data=journal", {"dirty": True}),
    "8k": (ext.EXT4, 8192, 256, 128, [], "", {}),
    "64k": (ext.EXT4, 65536, 1024, 192, [], "", {}),
}


def fallocate(path, *options):
    subprocess.run(["fallocate", *options, path], capture_output=True)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def fill(top, block, what):
    """Files as only a kernel makes them, beside those of ext.py's images. What was set: {path: {name of attribute: value}}."""
    at = lambda name: os.path.join(top, name)
    ext.tree(top, {"large": what.get("many", 2500)})
    os.mkfifo(at("a/fifo"))
    os.mknod(at("a/chr"), 0o020600, os.makedev(5, 1))
    os.mknod(at("a/blk"), 0o060600, os.makedev(700, 70000))
    rng = random.Random(block)
    os.mkdir(at("kernel"))
    # A tree of extents out of which pieces are punched, and one with ranges moved.
    for name in ("punched", "moved", "zeroed", "kept", "prealloc"):
        write(at("kernel/" + name), pattern(600 * 1024, name[:2]))
    for i in range(0, 60, 2):
        fallocate(at("kernel/punched"), "--punch-hole", "--offset", str(i * 10240), "--length", "5120")
    fallocate(at("kernel/moved"), "--collapse-range", "--offset", str(65536), "--length", str(131072))
    fallocate(at("kernel/moved"), "--insert-range", "--offset", str(131072), "--length", str(65536))
    fallocate(at("kernel/zeroed"), "--zero-range", "--offset", "100000", "--length", "200000")
    fallocate(at("kernel/kept"), "--keep-size", "--offset", str(600 * 1024), "--length", str(1 << 20))
    fallocate(at("kernel/prealloc"), "--offset", str(700 * 1024), "--length", str(1 << 20))
    with open(at("kernel/prealloc"), "r+b") as f:
        for i in range(0, 20, 3):
            f.seek(700 * 1024 + i * 50000)
            f.write(pattern(5000, "p"))
            os.fsync(f.fileno())
    # Two files written in turn, so that neither is in a row; and one from its end.
    with open(at("kernel/turn_a"), "wb") as a, open(at("kernel/turn_b"), "wb") as b:
        for i in range(400):
            for f, salt in ((a, "a"), (b, "b")):
                f.write(pattern(block, salt + str(i)))
                f.flush()
                if i % 4 == 0:
                    os.fsync(f.fileno())
    with open(at("kernel/backwards"), "wb") as f:
        for i in reversed(range(0, 600, 2)):
            f.seek(i * block)
            f.write(pattern(block, "w%d" % i))
            if i % 50 == 0:
                os.fsync(f.fileno())
    with open(at("kernel/far"), "wb") as f:
        for place in (0, 1 << 20, 1 << 30, 15 << 30) if block > 1024 else (0, 1 << 20, 1 << 30):
            f.seek(place)
            f.write(b"far %d\n" % place)
    write(at("kernel/cut"), pattern(500000, "c"))
    os.truncate(at("kernel/cut"), 123457)
    os.truncate(at("kernel/cut"), 400000)
    for n in (10, 59, 60, 61, 150, 158, 159, 160, 161, 300, 700, 900):
        # As a small file is made and then grows.
        with open(at("kernel/grown%d" % n), "wb") as f:
            for i in range(n):
                f.write(b"%c" % (97 + i % 26))
                if i in (n // 2, n - 2):
                    f.flush()
                    os.fsync(f.fileno())
        with open(at("kernel/longer%d" % n), "wb") as f:
            f.write(b"x" * (n // 2))
            f.truncate(n)
    # Directories that grew and lost names, so that there are blocks without one.
    for name, count, keep in (("tiny", 4, 2), ("less", 1500, 9), ("some", 3000, 2)):
        os.mkdir(at(name))
        for i in range(count):
            os.link(at("hello.txt"), at("%s/%s" % (name, "n%05d" % i + "x" * (i * 5 % 90)))) 
        for n in sorted(os.listdir(at(name))):
            if rng.randrange(keep):
                os.remove(at("%s/%s" % (name, n)))
    for i in range(400):
        write(at("some/again%04d" % i), b"")
    for i in range(0, 400, 3):
        os.rename(at("some/again%04d" % i), at("less/moved%04d" % i))
    return attributes(top, what)


def attributes(top, what):
    values = {"/hello.txt": {"user.small": b"v", "user.mid": b"m" * 100, "trusted.t": b"trust", "security.s": b"sec", "user.none_in_it": b""},
              "/a": {"user.dir": b"d" * 60, "user.second": b"e" * 300}, "/kernel/cut": {"user.%03d" % i: b"%d" % i * (i % 5) for i in range(20)}}
    # Several inodes with the same values share a block of attributes.
    for i in range(4):
        values["/mid/entry%02d-with-some-length" % i] = {"user.shared": b"s" * 400, "user.too": b"t" * 200}
    if what.get("large_values"):
        for path, size in (("/small/f0", 3000), ("/small/f1", 9000), ("/small/f2", 65536)):
            values[path] = {"user.large": pattern(size, "l"), "user.beside": b"small"}
        values["/mid/entry09-with-some-length"] = {"user.same": pattern(9000, "l")}
    done = {}
    for path, each in values.items():
        for name, value in each.items():
            try:
                os.setxattr(top + path, name, value)
                done.setdefault(path, {})[name] = value
            except OSError:
                pass
    # An attribute set again, and one taken away.
    if "/a" in done:
        os.setxattr(top + "/a", "user.dir", b"changed")
        done["/a"]["user.dir"] = b"changed"
        if "user.second" in done["/a"]:
            os.removexattr(top + "/a", "user.second")
            done["/a"]["user.second"] = None
    return done


def casefold(top):
    """A directory that ignores case, with enough names for a hash tree."""
    folder = os.path.join(top, "folded")
    os.mkdir(folder)
    run("chattr", "+F", folder)
    for i in range(400):
        write(os.path.join(folder, "Name-%03d-ÄÖÜ-%s" % (i, "Long" * (i % 9))), b"%d" % i)


def verity(top):
    """A file behind whose end its Merkle tree stands."""
    path = os.path.join(top, "kernel/sealed")
    write(path, pattern(300000, "v"))
    with open(path, "rb") as f:
        # struct fsverity_enable_arg: version 1, SHA-256, blocks of 4096 bytes.
        fcntl.ioctl(f, 0x40806685, struct.pack("<IIIIQIIQ", 1, 1, 4096, 0, 0, 0, 0, 0) + bytes(88))


def encrypt(top):
    """A directory with names in cipher, by a key that only the kernel has."""
    folder = os.path.join(top, "secret")
    os.mkdir(folder)
    fd = os.open(folder, os.O_RDONLY)
    try:
        # FS_IOC_ADD_ENCRYPTION_KEY with a raw key and an identifier, then FS_IOC_SET_ENCRYPTION_POLICY, version 2, AES-256.
        key = bytearray(struct.pack("<II32s", 2, 0, bytes(32)) + struct.pack("<II", 64, 0) + bytes(32) + bytes(range(64)))
        fcntl.ioctl(fd, 0xc0506617, key)
        fcntl.ioctl(fd, 0x800c6613, struct.pack("<BBBB4x16s", 2, 1, 4, 3, bytes(key[8:24])))
    finally:
        os.close(fd)
    for i in range(300):
        write(os.path.join(folder, "name-%03d" % i), b"%d" % i)


def make(image, number, features, block, inode, mib, options, mount, what, ask):
    with open(image, "wb") as f:
        f.truncate(mib << 20)
    size = [] if "-r" in options else ["-I", str(inode)]
    count = [] if "-N" in options else ["-N", "9000"]
    run("mke2fs", "-q", "-F", "-b", str(block), *size, "-O", features, *count, "-m", "1", "-U", ext.UUID % number, "-E", "hash_seed=%s,lazy_itable_init=1" % ext.SEED if "-r" not in options else "lazy_itable_init=1", "-L", "kernel", *options, image)
    top = tempfile.mkdtemp()
    try:
        run("mount", "-o", "loop,noatime,user_xattr" + ("," + mount if mount else "") if "-r" not in options else "loop,noatime", image, top)
        try:
            values = fill(top, block, what)
            for extra in (casefold, verity, encrypt):
                if what.get(extra.__name__):
                    extra(top)
            if what.get("dirty"):
                os.sync()
                shutil.copyfile(image, image + ".copy")
        finally:
            run("umount", top)
        if what.get("dirty"):
            os.replace(image + ".copy", image)
        else:
            run("e2fsck", "-fn", image)
        run("mount", "-o", "loop,ro,noatime" + (",noload" if what.get("dirty") else ""), image, top)
        try:
            ask(top, values)
        finally:
            run("umount", top)
    finally:
        os.rmdir(top)


def ask_attributes(corpus, image, top, values):
    paths = list(values)
    for path, text in zip(paths, ext.debugfs(image, ['stat "%s"' % p for p in paths])):
        number = int(re.search(r"Inode: (\d+)", text).group(1))
        for name, value in values[path].items():
            expect = {"found": False} if value is None else content(value)
            corpus.add(image, "ext.xattr", {"inode": number, "name": name}, expect, "the values set")


def ask_maps(corpus, image):
    """How files are mapped that only a kernel makes so."""
    files = ["/kernel/" + n for n in ("punched", "moved", "zeroed", "kept", "prealloc", "turn_a", "backwards", "far", "cut", "sealed")]
    ext.maps(corpus, image, {p: int(m.group(1)) for p, text in zip(files, ext.debugfs(image, ['stat "%s"' % p for p in files])) if (m := re.search(r"Inode: (\d+)", text))})


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("mke2fs", "debugfs", "dumpe2fs", "e2fsck", "losetup"):
        return
    corpus = Corpus(folder, "extk", "ext4")
    for number, (name, (features, block, inode, mib, options, mount, what)) in enumerate(wanted.items(), 1):
        image = corpus.image(name + ".img")

        def ask(top, values):
            ext.ask(corpus, image, top, {}, {**what, "mounted": True, "large_folders": ("/hashed/", "/less/", "/some/", "/folded/")}, block)
            ask_attributes(corpus, image, top, values)
            ask_maps(corpus, image)
            if "unread_folder" in what:
                corpus.add(image, "ext.path", {"path": "/secret/name-001"}, {"error": True}, "the names are in cipher")
        try:
            make(image, number, features, block, inode, mib, options, mount, what, ask)
        except (RuntimeError, OSError) as error:
            print("%s: not made: %s" % (name, error), file=sys.stderr)
            continue
        print("%s: %d queries so far" % (name, corpus.count), file=sys.stderr)


if __name__ == "__main__":
    main()
