"""Damage to a small XFS image, which xfs_repair sees too: `xfs.py DIR damaged`.

Checksums are made right again after each change unless the case is about them, since otherwise they would hide what else is looked at."""
import os, re, struct, subprocess, sys, tempfile
from corpus import content, crc32c, pattern, run

BLOCK = 1024
DIR_BLOCK = 4096


def make(path, top):
    """An image with files and directories of every form."""
    with open(path, "wb") as f:
        f.truncate(64 << 20)
    run("mkfs.xfs", "--unsupported", "-q", "-f", "-b", "size=%d" % BLOCK, "-i", "size=512", path)
    run("mount", "-o", "loop", path, top)
    try:
        at = lambda *names: os.path.join(top, *names)
        write = lambda data, *names: open(at(*names), "wb").write(data)
        write(b"hello world\n", "hello")
        write(pattern(20000, "c"), "contig")
        for name, count in (("short", 3), ("block", 40), ("leaf", 300), ("node", 1200)):
            os.mkdir(at(name))
            for i in range(count):
                write(b"", name, "entry_%04d" % i)
        for name, count in (("list", 6), ("tree", 500), ("high", 1500)):
            with open(at(name), "wb") as f:
                for i in range(count):
                    f.seek(2 * i * BLOCK)
                    f.write(pattern(BLOCK, "h%d" % i))
        os.symlink("short/entry_0001", at("link"))
        os.symlink("t/" * 400 + "end", at("link_long"))
        for name, values in (("xa_short", {"user.a": b"1", "user.b": b"22"}), ("xa_leaf", {"user.n%02d" % i: b"v%d" % i * 4 for i in range(30)}), ("xa_far", {"user.far": pattern(3000, "f")})):
            write(b"", name)
            for key, value in values.items():
                os.setxattr(at(name), key, value)
        return {name: os.lstat(at(name)).st_ino for name in os.listdir(top)} | {"/": os.lstat(top).st_ino}
    finally:
        run("umount", top)


class Image:
    """An image's bytes, and where its parts are."""

    def __init__(self, path, inodes):
        with open(path, "rb") as f:
            self.data = f.read()
        self.path, self.inodes = path, inodes
        self.ag_blocks, = struct.unpack_from(">I", self.data, 84)
        self.ag_log, self.per_block_log = self.data[124], self.data[123]
        self.sector, = struct.unpack_from(">H", self.data, 102)

    def address(self, block):
        return ((block >> self.ag_log) * self.ag_blocks + (block & (1 << self.ag_log) - 1)) * BLOCK

    def inode(self, name):
        ino = self.inodes[name]
        return self.address(ino >> self.per_block_log) + (ino & (1 << self.per_block_log) - 1) * 512

    def block(self, name, logical, fork="bmap"):
        """Where a block of a file's data or attributes is."""
        text = run("xfs_db", "-r", "-c", "inode %d" % self.inodes[name], "-c", fork, self.path)
        for start, ag, block, count in re.findall(r"offset (\d+) startblock \d+ \((\d+)/(\d+)\) count (\d+)", text):
            if int(start) <= logical < int(start) + int(count):
                return (int(ag) * self.ag_blocks + int(block) + logical - int(start)) * BLOCK
        raise RuntimeError("%s has no block %d" % (name, logical))

    def sealed(self, changes):
        """The changes, and the checksums of what they are in: (offset, bytes) or (offset, bytes, None) for one that is left wrong."""
        data = bytearray(self.data)
        for at, piece, *_ in changes:
            data[at:at + len(piece)] = piece
        out = [(at, piece) for at, piece, *_ in changes]
        for at, piece, *left in changes:
            start, size, place = self.unit(at)
            if left or place is None:
                continue
            data[start + place:start + place + 4] = bytes(4)
            sum_ = struct.pack("<I", crc32c(data[start:start + size]))
            data[start + place:start + place + 4] = sum_
            out.append((start + place, sum_))
        return out

    def unit(self, at):
        """What is summed around an offset: where it begins, its size, and where the sum stands."""
        group = at - at % (self.ag_blocks * BLOCK)
        if at - group < 4 * self.sector:
            nth = (at - group) // self.sector
            return group + nth * self.sector, self.sector, (224, 216, 312, 32)[nth]
        for back in range(0, DIR_BLOCK, BLOCK):
            block = at - at % BLOCK - back
            head = self.data[block:block + 12]
            if head[:4] in (b"XDB3", b"XDD3"):
                return block, DIR_BLOCK, 4
            if head[8:10] in (b"\x3d\xf1", b"\x3d\xff", b"\x3e\xbe"):
                return block, DIR_BLOCK, 12
            if head[:2] == b"IN":
                return at - at % 512, 512, 100
            if head[:4] == b"BMA3":
                return block, BLOCK, 64
            if head[:4] in (b"XSLM", b"XARM") or head[8:10] == b"\x3b\xee":
                return block, BLOCK, 12
        return at, 0, None


def damage(c):
    top = tempfile.mkdtemp()
    base = os.path.join(tempfile.mkdtemp(), "base")
    try:
        inodes = make(base, top)
        ask(c, Image(base, inodes))
    finally:
        os.rmdir(top)
        if os.path.exists(base):
            os.remove(base)
        os.rmdir(os.path.dirname(base))


def ask(c, i):
    p16, p32, p64 = (lambda n: struct.pack(">H", n & 0xffff)), (lambda n: struct.pack(">I", n & 0xffffffff)), (lambda n: struct.pack(">Q", n & 0xffffffffffffffff))
    number = lambda at, size: int.from_bytes(i.data[at:at + size], "big")
    path = lambda name: ("xfs.path", {"path": name})
    inode = lambda name: ("xfs.inode", {"inode": i.inodes[name]})
    read = lambda name: ("xfs.read", {"inode": i.inodes[name], "offset": 0, "length": 4 << 20})
    extents = lambda name: ("xfs.extents", {"inode": i.inodes[name]})
    readdir = lambda name: ("xfs.readdir", {"inode": i.inodes[name]})
    lookup = lambda name, entry: ("xfs.lookup", {"dir": i.inodes[name], "name": entry})
    bmap = lambda name, logical: ("xfs.bmap", {"inode": i.inodes[name], "logical": logical})
    xattr = lambda name, key: ("xfs.xattr", {"inode": i.inodes[name], "name": key})

    def case(what, changes, *asked, control=True):
        other = c.damaged(i.path, "c_%s.img" % what, changes if callable(changes) else i.sealed(changes))
        check = subprocess.run(["timeout", "20", "xfs_repair", "-n", "-f", other], capture_output=True, text=True)
        if check.returncode == 0:
            print("xfs_c_%s: xfs_repair sees nothing wrong" % what, file=sys.stderr)
            return
        for traversal, args in asked:
            c.add(other, traversal, args, {"error": True}, "xfs_repair -n says so", ["corrupt"])
        if control:
            c.add(other, "xfs.read", {"inode": i.inodes["hello"], "offset": 0, "length": 100}, content(b"hello world\n"), "unchanged", ["control"])

    everything = (path("/hello"), inode("/"), read("contig"))
    for what, at, piece in (("magic", 0, b"XFSC"), ("block_0", 4, p32(0)), ("block_odd", 4, p32(1000)), ("block_ones", 4, p32(-1)), ("blocks_0", 8, p64(0)), ("blocks_ones", 8, p64(-1)), ("root_0", 56, p64(0)), ("root_ones", 56, p64(-1)), ("ag_blocks_0", 84, p32(0)), ("ag_blocks_ones", 84, p32(-1)), ("ag_count_0", 88, p32(0)),
                            ("ag_count_ones", 88, p32(-1)), ("version_0", 100, p16(0)), ("version_6", 100, p16(number(100, 2) & 0xfff0 | 6)), ("sector_0", 102, p16(0)), ("sector_odd", 102, p16(700)), ("inode_size_0", 104, p16(0)), ("inode_size", 104, p16(256)), ("per_block", 106, p16(7)), ("block_log", 120, b"\x0c"),
                            ("sector_log", 121, b"\x0a"), ("inode_log", 122, b"\x0a"), ("per_block_log", 123, b"\x05"), ("ag_log", 124, b"\x20"), ("ag_log_low", 124, b"\x03"), ("in_progress", 126, b"\1"), ("dir_log", 192, b"\x20"), ("incompat", 216, p32(number(216, 4) | 1 << 30)), ("zeros", 0, bytes(512))):
        case("sb_" + what, [(at, piece)] if what != "zeros" else [(at, piece, None)], *everything, control=False)
    case("sb_sum", [(108, b"changed", None)], *everything, control=False)
    for what, header, at in (("agf", 1, (("magic", 0, b"XAGG"), ("version", 4, p32(9)), ("number", 8, p32(9)), ("length", 12, p32(5)), ("root_oob", 16, p32(i.ag_blocks + 9)), ("level_ones", 28, p32(-1)), ("free_ones", 52, p32(-1)))),
                             ("agi", 2, (("magic", 0, b"XAGG"), ("version", 4, p32(9)), ("number", 8, p32(9)), ("length", 12, p32(5)), ("root_oob", 20, p32(i.ag_blocks + 9)), ("level_ones", 24, p32(-1))))):
        for name, offset, piece in at:
            case("%s_%s" % (what, name), [(header * i.sector + offset, piece)], ("xfs." + what, {"ag": 0}))
        case(what + "_sum", [(header * i.sector + 300, b"\1", None)], ("xfs." + what, {"ag": 0}))
    for name, asked in (("contig", [inode("contig"), read("contig"), extents("contig")]), ("leaf", [readdir("leaf"), lookup("leaf", "entry_0007")])):
        at = i.inode(name)
        for what, offset, piece in (("magic", 0, b"IM"), ("version_2", 4, b"\2"), ("version_9", 4, b"\x09"), ("format_7", 5, b"\x07"), ("format_dev", 5, b"\0"), ("number", 152, p64(i.inodes[name] + 1)), ("mode_0", 2, p16(0)), ("mode_kind", 2, p16(0x3000 | 0o644)), ("size_ones", 56, p64(-1)), ("fork_over", 82, b"\xff")):
            # xfs_db shows a free inode, too.
            case("%s_%s" % (name, what), [(at + offset, piece)], *(a for a in asked if (a[0], what) != ("xfs.inode", "mode_0")), *([path("/leaf/entry_0007")] if name == "leaf" else []))
        case(name + "_sum", [(at + 30, b"\x55", None)], *(a for a in asked if a[0] != "xfs.inode"))
        case(name + "_extents_over", [(at + 76, p32(99))], *asked)
        case(name + "_extents_ones", [(at + 76, p32(-1))], *asked)
        first = at + 176
        high, low = number(first, 8), number(first + 8, 8)
        extent = lambda start, block, count: p64(start << 9 | block >> 43) + p64((block & (1 << 43) - 1) << 21 | count)
        start, block, count = high >> 9, (high & 511) << 43 | low >> 21, low & 0x1fffff
        for what, piece in (("oob", extent(start, 9 << i.ag_log, count)), ("ones", b"\xff" * 16), ("count_0", extent(start, block, 0)), ("count_over", extent(start, block, 0x1fffff)), ("block_0", extent(start, 0, count)), ("start_over", extent((1 << 54) - 1, block, count))):
            case("%s_extent_%s" % (name, what), [(first, piece)], *(a for a in asked if a[0] != "xfs.inode"), *([bmap(name, 0)] if name == "contig" else []))
    at = i.inode("list") + 176
    case("list_order", [(at, i.data[at + 16:at + 32]), (at + 16, i.data[at:at + 16])], extents("list"), read("list"))
    case("list_twice", [(at + 16, i.data[at:at + 16])], extents("list"), read("list"))
    # Trees of extents.
    for name in ("tree", "high"):
        root = i.inode(name) + 176
        level, count = number(root, 2), number(root + 2, 2)
        most = (number(i.inode(name) + 82, 1) * 8 or 336) - 4
        child = root + 4 + most // 16 * 8
        asked = (extents(name), read(name), bmap(name, 0))
        for what, changes in (("level_0", [(root, p16(0))]), ("level_up", [(root, p16(level + 1))]), ("level_ones", [(root, p16(-1))]), ("count_0", [(root + 2, p16(0))]), ("count_over", [(root + 2, p16(most // 16 + 1))]), ("child_oob", [(child, p64(9 << i.ag_log))]), ("child_ones", [(child, p64(-1))]), ("child_0", [(child, p64(0))]),
                              ("child_next", [(child, i.data[child + 8:child + 16])] if count > 1 else None)):
            if changes:
                case("%s_%s" % (name, what), changes, *asked)
        node = i.address(number(child, 8))
        below = node + 72 + (BLOCK - 72) // 16 * 8
        more = [("self", [(below, i.data[child:child + 8])]), ("child_oob", [(below, p64(9 << i.ag_log))])] if number(node + 4, 2) else [("extent_ones", [(node + 72, b"\xff" * 16)]), ("order", [(node + 72, i.data[node + 88:node + 104]), (node + 88, i.data[node + 72:node + 88])])]
        for what, changes in [("node_magic", [(node, b"XXXX", None)]), ("node_level", [(node + 4, p16(5))]), ("node_count_0", [(node + 6, p16(0))]), ("node_count_over", [(node + 6, p16(99))]), ("node_count_ones", [(node + 6, p16(-1))]), ("node_sum", [(node + 100, b"\x99", None)]), ("node_zeros", [(node, bytes(BLOCK), None)]),
                              ("node_place", [(node + 24, p64(7))]), ("node_owner", [(node + 56, p64(i.inodes["hello"]))])] + more:
            case("%s_%s" % (name, what), changes, *(asked if "order" not in what else (extents(name), read(name))))
        if number(node + 4, 2) == 0:
            case(name + "_right_self", [(node + 16, i.data[child:child + 8])], extents(name), read(name))
            case(name + "_right_oob", [(node + 16, p64(9 << i.ag_log))], extents(name), read(name))
            case(name + "_right_end", [(node + 16, p64(-1))], extents(name), read(name))
    directories(i, case, number, p16, p32, p64, readdir, lookup, path)
    # Links and attributes.
    link = i.inode("link")
    readlink = lambda name: ("xfs.readlink", {"inode": i.inodes[name]})
    case("link_size_0", [(link + 56, p64(0))], readlink("link"))
    case("link_size_over", [(link + 56, p64(2000))], readlink("link"))
    case("link_size_inode", [(link + 56, p64(400))], readlink("link"))
    long = i.block("link_long", 0)
    for what, changes in {"magic": [(long, b"XSLX", None)], "sum": [(long + 100, b"\0\0", None)], "owner": [(long + 32, p64(3))], "position": [(long + 4, p32(8))], "bytes": [(long + 8, p32(5000))], "place": [(long + 40, p64(5))]}.items():
        case("link_long_" + what, changes, readlink("link_long"))
    short = i.inode("xa_short") + 176 + number(i.inode("xa_short") + 82, 1) * 8
    for what, changes in {"size": [(short, p16(0xfff0))], "count": [(short + 2, b"\xff")], "name": [(short + 4, b"\xff")], "value": [(short + 5, b"\xff")]}.items():
        case("xa_short_" + what, changes, xattr("xa_short", "user.none"))
    leaf = i.block("xa_leaf", 0, "bmap -a")
    for what, changes in {"magic": [(leaf + 8, b"\0\0", None)], "count_ones": [(leaf + 56, p16(-1))], "sum": [(leaf + 200, b"\x77\x77", None)], "owner": [(leaf + 48, p64(3))], "place": [(leaf + 16, p64(3))], "names": [(leaf + 84 + 8 * n, p16(-1)) for n in range(number(leaf + 56, 2))]}.items():
        case("xa_leaf_" + what, changes, *[xattr("xa_leaf", "user.n%02d" % n) for n in (0, 13)])
    far = i.block("xa_far", 1, "bmap -a")
    for what, changes in {"magic": [(far, b"XXXX", None)], "sum": [(far + 300, b"\0\1", None)], "owner": [(far + 32, p64(3))], "position": [(far + 4, p32(8))], "bytes": [(far + 8, p32(5000))], "place": [(far + 40, p64(5))]}.items():
        case("xa_far_" + what, changes, xattr("xa_far", "user.far"))
    for size in (0, 511, 512, 2000, i.inode("/") + 3, i.inode("/") + 200, i.address(number(i.inode("contig") + 184, 8) >> 21) + 10):
        case("cut%d" % size, lambda data: data[:size], read("contig"), control=False)


def directories(i, case, number, p16, p32, p64, readdir, lookup, path):
    at = i.inode("short") + 176
    for what, changes in {"count_ones": [(at, b"\xff")], "count_over": [(at, b"\x09")], "name_0": [(at + 6, b"\0")], "name_ones": [(at + 6, b"\xff")], "wide": [(at + 1, b"\x03")], "parent": [(at + 2, p32(-1))], "ino_0": [(at + 6 + 3 + 10 + 1, p32(0))], "ino_ones": [(at + 6 + 3 + 10 + 1, p32(-1))]}.items():
        case("short_" + what, changes, *([lookup("short", "..")] if what == "parent" else [readdir("short"), lookup("short", "entry_0000")] if what.startswith("ino") else [readdir("short"), lookup("short", "none")]))
    at = i.block("block", 0)
    count = number(at + DIR_BLOCK - 8, 4)
    hashes = at + DIR_BLOCK - 8 - 8 * count
    entry = at + 64 + 32
    for what, changes in {"magic": [(at, b"XDX3", None)], "sum": [(at + 100, b"\xee", None)], "owner": [(at + 40, p64(3))], "place": [(at + 8, p64(3))], "count_ones": [(at + DIR_BLOCK - 8, p32(-1))], "count_over": [(at + DIR_BLOCK - 8, p32(600))], "zeros": [(at, bytes(DIR_BLOCK), None)]}.items():
        case("block_" + what, changes, readdir("block"), lookup("block", "entry_0005"), path("/block/entry_0005"))
    case("block_stale", [(at + DIR_BLOCK - 4, p32(count + 1))], readdir("block"))
    case("block_addresses", [(hashes + 8 * n + 4, p32(9999)) for n in range(count)], lookup("block", "entry_0005"))
    case("block_addresses_elsewhere", [(hashes + 8 * n + 4, p32(9)) for n in range(count)], lookup("block", "entry_0005"))
    for what, changes in {"name_0": [(entry + 8, b"\0")], "name_ones": [(entry + 8, b"\xff")], "ino_0": [(entry, p64(0))], "ino_ones": [(entry, p64(-1))], "tag": [(entry + 22, p16(7))], "gap_0": [(entry, p16(0xffff) + p16(0))], "gap_odd": [(entry, p16(0xffff) + p16(13))], "gap_over": [(entry, p16(0xffff) + p16(0xfff8))], "slash": [(entry + 9, b"/")]}.items():
        case("block_entry_" + what, changes, readdir("block"))
    data, leaf = i.block("leaf", 0), i.block("leaf", (1 << 35) // BLOCK)
    for what, changes in {"magic": [(leaf + 8, b"\0\0", None)], "sum": [(leaf + 100, b"\xee", None)], "owner": [(leaf + 48, p64(3))], "place": [(leaf + 16, p64(3))], "count_ones": [(leaf + 56, p16(-1))], "count_over": [(leaf + 56, p16(600))], "zeros": [(leaf, bytes(DIR_BLOCK), None)], "addresses": [(leaf + 64 + 8 * n + 4, p32(1 << 28)) for n in range(number(leaf + 56, 2))]}.items():
        case("hashes_" + what, changes, lookup("leaf", "entry_0005"), path("/leaf/entry_0005"))
    for what, changes in {"magic": [(data, b"XDX3", None)], "sum": [(data + 100, b"\xee", None)], "owner": [(data + 40, p64(3))], "place": [(data + 8, p64(3))]}.items():
        case("entries_" + what, changes, readdir("leaf"), lookup("leaf", "entry_0005"))
    root = i.block("node", (1 << 35) // BLOCK)
    child = i.block("node", number(root + 68, 4))
    for what, changes in {"magic": [(root + 8, b"\0\0", None)], "sum": [(root + 100, b"\xee", None)], "owner": [(root + 48, p64(3))], "place": [(root + 16, p64(3))], "count_0": [(root + 56, p16(0))], "count_ones": [(root + 56, p16(-1))], "level_0": [(root + 58, p16(0))], "level_9": [(root + 58, p16(9))], "level_2": [(root + 58, p16(2))],
                          "self": [(root + 68 + 8 * n, p32((1 << 35) // BLOCK)) for n in range(number(root + 56, 2))], "hole": [(root + 68 + 8 * n, p32(0x7fffffff)) for n in range(number(root + 56, 2))], "data": [(root + 68 + 8 * n, p32(0)) for n in range(number(root + 56, 2))]}.items():
        case("node_" + what, changes, lookup("node", "entry_0005"), path("/node/entry_1100"))
    for what, changes in {"magic": [(child + 8, b"\0\0", None)], "sum": [(child + 100, b"\xee", None)], "owner": [(child + 48, p64(3))], "place": [(child + 16, p64(3))], "count_ones": [(child + 56, p16(-1))]}.items():
        inside = {number(child + 64 + 8 * n, 4) for n in range(number(child + 56, 2))}
        found = next(n for n in range(1200) if name_hash(b"entry_%04d" % n) in inside)
        case("node_leaf_" + what, changes, lookup("node", "entry_%04d" % found))


def name_hash(name):
    h = 0
    for letter in name:
        h = ((h << 7 | h >> 25) & 0xffffffff) ^ letter
    return h


if __name__ == "__main__":
    sys.exit("this is a part of another script: xfs.py DIR damaged")
