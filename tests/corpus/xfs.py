#!/usr/bin/env python3
"""Makes XFS images in many variants, and queries with answers by xfs_db and by the files put in.

    xfs.py DIR [VARIANT…]     makes DIR/images/xfs_*.img and DIR/queries.xfs.jsonl; needs xfsprogs 6.1 or later

Images are filled through the kernel where it mounts XFS for this user, otherwise by mkfs.xfs from a prototype file (no attributes, no holes then).
Variants: versions 4 and 5, blocks of 512 bytes to 64 KiB, inodes of 256 to 2048 bytes, directory blocks larger than blocks, every feature of version 5,
directories blind to case; and damage."""
import os, random, re, shutil, struct, subprocess, sys, tempfile
from corpus import Corpus, cloned, content, have, listed, pattern, run, sample, variants
import xfs_damage

UUID = "5f5f5f5f-0000-4000-8000-000000000001"
# name: (options of mkfs.xfs, size in MiB, filled by "kernel" or "proto", options of xfs_admin afterwards)
VARIANTS = {
    "4k": ([], 64, "kernel"),
    "1k": (["-b", "size=1024"], 64, "kernel"),
    "2k": (["-b", "size=2048", "-i", "size=512"], 64, "kernel"),
    "8k": (["-b", "size=8192"], 96, "kernel"),
    "16k": (["-b", "size=16384"], 192, "kernel"),
    "64k": (["-b", "size=65536"], 512, "kernel"),
    "inode1024": (["-i", "size=1024"], 64, "kernel"),
    "inode2048": (["-i", "size=2048"], 64, "kernel"),
    "dir64k": (["-n", "size=65536"], 96, "kernel"),
    "dir8k_1k": (["-b", "size=1024", "-n", "size=8192"], 64, "kernel"),
    "nrext64": (["-i", "nrext64=1", "-b", "size=1024"], 64, "kernel"),
    "plain": (["-m", "finobt=0,reflink=0,bigtime=0,inobtcount=0", "-i", "sparse=0"], 64, "kernel"),
    "rmapbt": (["-m", "rmapbt=1"], 64, "kernel"),
    "groups": (["-d", "agcount=7"], 128, "kernel"),
    "sector4k": (["-s", "size=4096"], 64, "kernel"),
    "v4": (["-m", "crc=0"], 64, "proto"),
    "v4_512": (["-m", "crc=0", "-b", "size=512", "-i", "size=256"], 64, "proto"),
    "v4_ftype": (["-m", "crc=0", "-n", "ftype=1", "-i", "size=256"], 64, "proto"),
    "v4_64k": (["-m", "crc=0", "-b", "size=65536", "-n", "ftype=0"], 512, "proto"),
    "v4_ci": (["-m", "crc=0", "-n", "version=ci"], 64, "proto"),
    "ci": (["-n", "version=ci"], 64, "proto"),
    "proto": ([], 64, "proto"),
    "32k": (["-b", "size=32768"], 320, "proto"),
    "v4_log1": (["-m", "crc=0", "-l", "version=1,lazy-count=0"], 64, "proto"),
    "v4_attr1": (["-m", "crc=0", "-i", "attr=1,projid32bit=0"], 64, "proto"),
    "v4_dir": (["-m", "crc=0", "-b", "size=512", "-n", "size=8192", "-i", "size=256"], 64, "proto"),
    "v4_2048": (["-m", "crc=0", "-i", "size=2048"], 64, "proto"),
    "sector2k": (["-s", "size=2048", "-b", "size=2048"], 64, "kernel"),
    "striped": (["-d", "su=64k,sw=3"], 96, "kernel"),
    "small_groups": (["-d", "agsize=16m"], 160, "kernel"),
    "many_groups": (["-b", "size=1024", "-d", "agcount=16"], 256, "kernel"),
    "new_uuid": ([], 64, "kernel", ["-U", "generate"]),
    "upgraded": (["-m", "bigtime=0,inobtcount=0"], 64, "kernel", ["-O", "bigtime=1,inobtcount=1"]),
    "everything": (["-m", "rmapbt=1,reflink=1,bigtime=1,inobtcount=1,finobt=1", "-i", "nrext64=1,size=512", "-b", "size=1024", "-n", "size=4096"], 96, "kernel"),
}
# Pairs with the same hash: the hash turns by 7 bits a letter, so that the fifth letter from the end and the last one meet.
SAME_HASH = [b"a%03db" % i for i in range(3)] + [b"q%03dc" % i for i in range(3)]
NAMES = [b"x", b"name with spaces", "ümlä你".encode(), b"n" * 255, b"tab\there", b"\xff\xfe not text", b"'quote", b'"double"', b"UPPER.Txt"]


def dir_names(count):
    return [b"entry_%05d_%s" % (i, b"x" * (i * 7 % 23)) for i in range(count)]


def fill(top, block, small):
    """Files of every kind, through the kernel. The extended attributes that were set: {path: {name: value}}."""
    at = lambda *names: os.path.join(top, *names)

    def write(path, data):
        with open(path, "wb") as f:
            f.write(data)

    write(at(b"hello"), b"hello world\n")
    write(at(b"empty"), b"")
    write(at(b"contig"), pattern(200000, "c"))
    os.makedirs(at(b"a", b"b", b"c", b"d"))
    write(at(b"a", b"b", b"c", b"d", b"deep"), pattern(5000, "d"))
    for name, count in ((b"short", 3), (b"block", 20), (b"leaf", 60 * block // 1024), (b"node", 2600 if block < 16384 else 100 * block // 1024)):
        os.mkdir(at(name))
        for entry in dir_names(min(count, 6000)):
            write(at(name, entry), b"")
    os.mkdir(at(b"same_hash"))
    for name in SAME_HASH:
        write(at(b"same_hash", name), name)
    os.mkdir(at(b"gaps"))
    for entry in dir_names(800):
        write(at(b"gaps", entry), b"")
    for entry in dir_names(800)[::3] + dir_names(800)[300:500]:
        if os.path.exists(at(b"gaps", entry)):
            os.remove(at(b"gaps", entry))
    os.mkdir(at(b"names"))
    for name in NAMES:
        write(at(b"names", name), name)
    holes(at(b"holes"), block, 3, 40)
    holes(at(b"frag"), block, 1, 300)
    holes(at(b"deep_tree"), block, 1, 2600 if small else 800)
    with open(at(b"unwritten"), "wb") as f:
        f.write(pattern(3 * block, "u"))
        f.flush()
        os.posix_fallocate(f.fileno(), 5 * block, 20 * block)
        f.seek(9 * block)
        f.write(pattern(block, "v"))
    cloned(at(b"contig"), at(b"cloned"), 60000)
    with open(at(b"sparse_end"), "wb") as f:
        f.truncate(1 << 40)
        f.seek((1 << 40) - 10)
        f.write(b"end of it\n")
    for name, target in ((b"link", b"a/b/c/deep"), (b"link_long", b"t/" * 500 + b"end"), (b"link_1023", b"q" * 1023), (b"link_mid", b"m" * 400)):
        os.symlink(target, at(name))
    os.mkfifo(at(b"fifo"))
    os.mknod(at(b"null"), 0o020666, os.makedev(1, 3))
    os.mknod(at(b"disk"), 0o060660, os.makedev(259, 3000))
    os.link(at(b"hello"), at(b"hello_again"))
    os.chown(at(b"empty"), 70000, 1 << 31)
    os.chmod(at(b"empty"), 0o6754)
    return attributes(top)


def holes(path, block, every, count):
    with open(path, "wb") as f:
        for i in range(count):
            f.seek(i * block * (every + 1))
            f.write(pattern(block, "h%d" % i))


def attributes(top):
    kinds = {
        b"xa_short": {"user.a": b"1", "user.empty": b"", "trusted.t": b"trust", "security.s": b"secure"},
        b"xa_leaf": {**{"user.n%02d" % i: b"v%d" % i * 9 for i in range(30)}, "trusted.n01": b"other", "user." + "n" * 250: b"long name"},
        b"xa_node": {"user.number%04d" % i: b"w" * (i % 60) for i in range(900)},
        b"xa_remote": {"user.big": pattern(65536, "x"), "user.mid": pattern(9000, "y"), "user.small": b"s", "trusted.big": pattern(30000, "z")},
    }
    for name, values in kinds.items():
        path = os.path.join(top, name)
        open(path, "wb").close()
        for key, value in values.items():
            os.setxattr(path, key, value)
    os.mkdir(os.path.join(top, b"xa_dir"))
    os.setxattr(os.path.join(top, b"xa_dir"), "user.of_dir", b"d" * 100)
    return {**kinds, b"xa_dir": {"user.of_dir": b"d" * 100}}


def prototype(folder, block, blind):
    """The same as far as a prototype file can say it."""
    data = os.path.join(folder, "data")
    with open(data, "wb") as f:
        f.write(pattern(200000, "c"))
    empty = os.path.join(folder, "empty")
    open(empty, "wb").close()
    lines = ["/none", "0 0", "d--755 0 0", f"contig ---644 0 0 {data}", f"empty -ug754 70000 80000 {empty}", "fifo p--644 0 0", "null c--666 0 0 1 3", "disk b--660 0 0 8 1",
             "link l--777 0 0 a/b/deep", "link_long l--777 0 0 " + "t/" * 500 + "end", "a d--755 0 0", "b d--700 1 2", f"deep ---644 0 0 {data}", "$", "$"]
    for name, count in (("short", 3), ("block", 20), ("leaf", 60 * block // 1024), ("node", 1500 if block < 16384 else 100 * block // 1024)):
        lines += [f"{name} d--755 0 0"] + [f"{e.decode()} ---644 0 0 {empty}" for e in dir_names(min(count, 2500))] + ["$"]
    lines += ["same_hash d--755 0 0"] + [f"{e.decode()} ---644 0 0 {empty}" for e in SAME_HASH] + ["$"]
    # xfsprogs 6.1 and the kernel hash other letters than ASCII differently where case does not count.
    lines += ["names d--755 0 0", f"UPPER.Txt ---644 0 0 {empty}", f"{'n' * 200} ---644 0 0 {empty}"]
    lines += ["$", "$"] if blind else [f"ümlä你 ---644 0 0 {empty}", "$", "$"]
    path = os.path.join(folder, "proto")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return path


def xfs_db(image, *commands):
    """The output of commands."""
    return run("xfs_db", "-r", *(w for c in commands for w in ("-c", c)), image)


def fields(text):
    """`name = value` lines, numbers as numbers."""
    out = {}
    for name, value in re.findall(r"^(\S+) = (.*)$", text, re.M):
        digits = re.match(r"(0x)?[0-9a-f]+(?= \(correct\)$|$)", value)
        base = 16 if value.startswith("0x") else 8 if name == "core.mode" else 10
        out[name] = int(digits[0], base) if digits and (base == 16 or digits[0].isdigit()) else value.strip('"')
    return out


def ask_headers(c, image, v5):
    names = "blocksize dblocks agblocks agcount rootino inodesize inopblock sectsize blocklog inopblog agblklog dirblklog logstart logblocks icount ifree fdblocks uuid"
    s = fields(xfs_db(image, "sb 0", "p"))
    c.add(image, "xfs.super", {}, {n: s[n] for n in names.split()} | ({"features_incompat": s["features_incompat"], "features_ro_compat": s["features_ro_compat"]} if v5 else {}), "xfs_db sb 0, p")
    for ag in {0, s["agcount"] - 1}:
        f, i = (fields(xfs_db(image, f"{what} {ag}", "p")) for what in ("agf", "agi"))
        c.add(image, "xfs.agf", {"ag": ag}, {n: f[n] for n in ("length", "bnoroot", "cntroot", "bnolevel", "cntlevel", "freeblks", "longest")}, "xfs_db agf")
        c.add(image, "xfs.agi", {"ag": ag}, {n: i[n] for n in ("seqno", "length", "count", "root", "level", "freecount")}, "xfs_db agi")
        if v5:
            for what in ("sb", "agf", "agi", "agfl"):
                crc = int(re.search(r"crc = (0x[0-9a-f]+) \(correct\)", xfs_db(image, f"{what} {ag}", "p crc"))[1], 0)
                c.add(image, "xfs.crc", {"what": what, "ag": ag}, {"valid": True, "stored": crc}, "xfs_db crc")
    for traversal in ("agf", "agi"):
        c.add(image, f"xfs.{traversal}", {"ag": s["agcount"]}, {"error": True}, "no such group", ["bad_arg"])
    return s


FORMATS = {0: "dev", 1: "local", 2: "extents", 3: "btree"}


def ask_inode(c, image, s, ino, v5):
    """What xfs_db says of an inode; its extents, or none."""
    body = xfs_db(image, f"inode {ino}", "p")
    f = fields(body)
    form = re.match(r"\d+ \((\w+)\)", f["core.format"])[1]
    expect = {"mode": f["core.mode"], "format": form, "size": f["core.size"], "nblocks": f["core.nblocks"], "nextents": f["core.nextents"], "nlink": f.get("core.nlinkv2", f.get("core.nlinkv1")),
              "uid": f["core.uid"], "gid": f["core.gid"], "forkoff": f["core.forkoff"]}
    if v5:
        expect |= {"crc": f["v3.crc"], "crc_valid": True}
    c.add(image, "xfs.inode", {"inode": ino}, expect, "xfs_db inode, p")
    if form not in ("extents", "btree"):
        return None
    extents = [[int(a), int(b), int(d), int(n), u == "1"] for a, b, d, n, u in
               re.findall(r"data offset (\d+) startblock \d+ \((\d+)/(\d+)\) count (\d+) flag (\d)", xfs_db(image, f"inode {ino}", "bmap"))]
    c.add(image, "xfs.extents", {"inode": ino}, listed("extents", extents), "xfs_db bmap")
    if form == "btree":
        c.add(image, "xfs.bmbt", {"inode": ino}, {"level": f.get("u3.bmbt.level", f.get("u.bmbt.level"))}, "xfs_db p u3.bmbt.level")
    places = {}
    for start, ag, block, count, unwritten in sample(extents, 6) + extents[-1:]:
        for inside in {0, count // 2, count - 1}:
            places[start + inside] = {"byte_offset": (ag * s["agblocks"] + block + inside) * s["blocksize"], "unwritten": unwritten}
    mapped_blocks = {b for e in extents for b in (range(e[0], e[0] + e[3]) if e[3] < 5000 else (e[0], e[0] + e[3] - 1))}
    for b in (extents[-1][0] + extents[-1][3], extents[0][0] + extents[0][3]) if extents else (0,):
        if b not in mapped_blocks:
            places[b] = {"hole": True}
    for b, expect in places.items():
        c.add(image, "xfs.bmap", {"inode": ino, "logical": b}, expect, "xfs_db bmap")
    return extents


def text(name, key):
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        return {key + "_hex": name.hex()}


def plain(name):
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"hex": name.hex()}


def name_hash(name):
    """As xfs_da_hashname of the kernel: each letter turns what came before by 7 bits."""
    h = 0
    for letter in name:
        h = ((h << 7 | h >> 25) & 0xffffffff) ^ letter
    return h


def ask_tree(c, image, s, top, values, v5, where):
    """Every kind of query on what was put in, numbered by the mounted file system."""
    inodes = {}
    for folder, dirs, files in os.walk(top):
        local = folder[len(top):]
        for name in dirs + files:
            inodes[local + b"/" + name] = os.lstat(folder + b"/" + name)
    by_dir = {}
    for path, st in inodes.items():
        by_dir.setdefault(os.path.dirname(path) or b"/", {})[os.path.basename(path)] = st
    root = os.lstat(top).st_ino
    inodes[b"/"] = os.lstat(top)
    few = [p for p in inodes if p.count(b"/") == 1 or p.startswith((b"/a", b"/names", b"/same"))]
    few += sample([p for p in inodes if p not in set(few)], 25)
    for path in few:
        ino = inodes[path].st_ino
        c.add(image, "xfs.path", text(path, "path"), {"inode": ino}, where)
        ask_inode(c, image, s, ino, v5)
        mode = inodes[path].st_mode
        if path != b"/":
            name, parent = os.path.basename(path), inodes[os.path.dirname(path) or b"/"].st_ino
            c.add(image, "xfs.lookup", {"dir": parent, **text(name, "name")}, {"inode": ino, "hash": name_hash(name)}, where)
            c.add(image, "xfs.lookup", {"dir": parent, **text(name[:-1] + b"~", "name")}, {"found": False}, where)
        if mode & 0xf000 == 0x4000:
            entries = sorted([[n, st.st_ino] for n, st in by_dir.get(path, {}).items()] + [[b".", ino], [b"..", inodes[os.path.dirname(path) or b"/"].st_ino if path != b"/" else root]])
            c.add(image, "xfs.readdir", {"inode": ino}, listed("entries", [[plain(n), i] for n, i in entries]), where)
        elif mode & 0xf000 == 0xa000:
            c.add(image, "xfs.readlink", {"inode": ino}, {"target": os.readlink(top + path).decode()}, where)
        elif mode & 0xf000 == 0x8000 and inodes[path].st_size:
            size = inodes[path].st_size
            with open(top + path, "rb") as f:
                for offset, length in {(0, min(size, 100000)), (size // 2, 5000), (max(size - 4097, 0), 4097), (size - 1, 1)}:
                    f.seek(offset)
                    c.add(image, "xfs.read", {"inode": ino, "offset": offset, "length": length}, content(f.read(length)), where)
    for name, wanted in values.items():
        ino = inodes[b"/" + name].st_ino
        for key, value in sample(wanted.items(), 20):
            c.add(image, "xfs.xattr", {"inode": ino, "name": key}, content(value), "the values put in")
        c.add(image, "xfs.xattr", {"inode": ino, "name": "user.nothing"}, {"found": False}, "the values put in")
    c.add(image, "xfs.xattr", {"inode": inodes[b"/contig"].st_ino, "name": "user.nothing"}, {"found": False}, "the values put in")
    c.add(image, "xfs.path", {"path": "/a/none/c"}, {"found": False}, where)
    c.add(image, "xfs.path", {"path": "/contig/x"}, {"found": False}, where)
    return {p: st.st_ino for p, st in inodes.items()}


def kernel(c, name, options, size, changes=()):
    image = c.image(name + ".img")
    with open(image, "wb") as f:
        f.truncate(size << 20)
    run("mkfs.xfs", "--unsupported", "-q", "-f", "-m", f"uuid={UUID}", *options, image)
    mount = tempfile.mkdtemp().encode()
    block = int(re.search(r"blocksize = (\d+)", xfs_db(image, "sb 0", "p blocksize"))[1])
    try:
        run("mount", "-o", "loop", image, mount)
        try:
            values = fill(mount, block, block <= 2048)
        finally:
            run("umount", mount)
        if changes:
            run("xfs_admin", *changes, image)
        s = ask_headers(c, image, True)
        run("mount", "-o", "loop,ro,norecovery", image, mount)
        try:
            return image, s, ask_tree(c, image, s, mount, values, True, "kernel")
        finally:
            run("umount", mount)
    finally:
        os.rmdir(mount)


def ls(image, ino):
    """Names and inodes of a directory by xfs_db."""
    rows = re.findall(r"^\d+\s+(\d+)\s+(\S+)\s+0x([0-9a-f]+)\s+(\d+) (.*?) \((?:good|corrupt)\)", xfs_db(image, f"inode {ino}", "ls"), re.M)
    return [(name.encode("utf-8", "surrogateescape"), int(number), int(h, 16)) for number, kind, h, length, name in rows]


def proto(c, name, options, size):
    image = c.image(name + ".img")
    folder = tempfile.mkdtemp()
    try:
        block = int(next((o[5:] for o in options if o.startswith("size=") and options[options.index(o) - 1] == "-b"), 4096))
        run("mkfs.xfs", "--unsupported", "-q", "-f", "-m", f"uuid={UUID}", *options, "-p", prototype(folder, block, "version=ci" in options), "-d", f"file,name={image},size={size}m")
    finally:
        shutil.rmtree(folder)
    v5 = "crc=0" not in options
    s = ask_headers(c, image, v5)
    root = s["rootino"]
    todo, seen = [(b"", root)], {}
    while todo:
        path, ino = todo.pop()
        rows = ls(image, ino)
        c.add(image, "xfs.readdir", {"inode": ino}, listed("entries", [[plain(n), i] for n, i, h in sorted(rows)]), "xfs_db ls")
        for n, i, h in sample(rows, 40):
            if n not in (b".", b".."):
                c.add(image, "xfs.lookup", {"dir": ino, **text(n, "name")}, {"inode": i, "hash": h}, "xfs_db ls")
                c.add(image, "xfs.lookup", {"dir": ino, **text(n + b"~", "name")}, {"found": False}, "xfs_db ls")
                c.add(image, "xfs.path", text(path + b"/" + n, "path"), {"inode": i}, "xfs_db ls")
                if "version=ci" in options and n.isascii():
                    c.add(image, "xfs.lookup", {"dir": ino, **text(n.swapcase(), "name")}, {"inode": i, "hash": h}, "xfs_db ls")
                seen[path + b"/" + n] = i
                if n in (b"a", b"b", b"short", b"block", b"leaf", b"node", b"same_hash", b"names"):
                    todo.append((path + b"/" + n, i))
    for path, ino in sample(seen.items(), 40):
        ask_inode(c, image, s, ino, v5)
    for path, data in ((b"/contig", pattern(200000, "c")), (b"/a/b/deep", pattern(200000, "c"))):
        for offset, length in ((0, 200000), (70000, 5000), (199999, 1)):
            c.add(image, "xfs.read", {"inode": seen[path], "offset": offset, "length": length}, content(data[offset:offset + length]), "the file put in")
    c.add(image, "xfs.readlink", {"inode": seen[b"/link"]}, {"target": "a/b/deep"}, "the prototype")
    if not v5:  # In version 5, mkfs.xfs 6.1 forgets the head of a long link's block.
        c.add(image, "xfs.readlink", {"inode": seen[b"/link_long"]}, {"target": "t/" * 500 + "end"}, "the prototype")
    return image, s, seen | {b"/": root}


def main():
    if not have("mkfs.xfs", "xfs_db"):
        return
    folder, wanted = variants(VARIANTS | {"damaged": None}, sys.argv)
    c = Corpus(folder, "xfs")
    if wanted.pop("damaged", 0) is None:
        xfs_damage.damage(c)
    for name, (options, size, how, *more) in wanted.items():
        try:
            {"kernel": kernel, "proto": proto}[how](c, name, options, size, *more)
        except RuntimeError as error:
            print("xfs_%s: not made: %s" % (name, str(error)[-200:]))
    print("xfs: %d queries" % c.count)


main()
