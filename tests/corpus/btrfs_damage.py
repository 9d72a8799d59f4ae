"""Damage to a small Btrfs volume, which `btrfs check` sees too: `btrfs.py DIR damaged`.

Checksums are made right again after each change unless the case is about them, since otherwise they would hide what else is looked at."""
import os, re, shutil, struct, subprocess, sys, tempfile
from corpus import content, crc32c, pattern, run

NODE = 4096
SUPER = 65536


def fill(folder):
    """Files of every sort."""
    at = lambda *names: os.path.join(folder, *names)
    for name, data in (("hello", b"hello world\n"), ("inline", pattern(900, "i")), ("contig", pattern(20000, "c"))):
        with open(at(name), "wb") as f:
            f.write(data)
    os.makedirs(at("a", "b"))
    with open(at("a", "b", "deep"), "wb") as f:
        f.write(b"deep")
    os.mkdir(at("many"))
    for i in range(400):
        with open(at("many", "entry_%04d" % i), "wb") as f:
            f.write(b"%d" % i)
    os.symlink("a/b", at("link"))


def make(path, folder, metadata):
    """A volume of those files. With the profile `single` for metadata no mirror can help."""
    with open(path, "wb") as f:
        f.truncate(128 << 20)
    run("mkfs.btrfs", "-q", "-f", "-m", metadata, "-d", "single", "-n", str(NODE), "--rootdir", folder, path)


class Volume:
    """A volume's bytes, and where its blocks are."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.data = f.read()
        self.path = path
        self.chunks = []
        for text in re.split(r"\n\titem ", run("btrfs", "inspect-internal", "dump-tree", "-t", "3", path)):
            if found := re.search(r"CHUNK_ITEM (\d+)\).*?length (\d+)", text, re.S):
                self.chunks.append([*map(int, found.groups()), [int(n) for n in re.findall(r"stripe \d+ devid 1 offset (\d+)", text)]])

    def copies(self, logical):
        return next([place + logical - start for place in places] for start, length, places in self.chunks if start <= logical < start + length)

    def physical(self, logical):
        return self.copies(logical)[0]

    def number(self, at, size):
        return int.from_bytes(self.data[at:at + size], "little")

    def block(self, logical):
        """Keys with places of children or of items of a block."""
        at = self.physical(logical)
        leaf = self.data[at + 100] == 0
        out = []
        for i in range(self.number(at + 96, 4)):
            place = at + 101 + i * (25 if leaf else 33)
            key = struct.unpack_from("<QBQ", self.data, place)
            out.append((key, place, at + 101 + self.number(place + 17, 4) if leaf else self.number(place + 17, 8)))
        return out

    def find(self, root, key):
        """The blocks from the root to the leaf of a key, the place of its item, and that of its data."""
        path = [root]
        while self.data[self.physical(path[-1]) + 100]:
            path.append([child for k, _, child in self.block(path[-1]) if k <= key or True][max(sum(k <= key for k, _, _ in self.block(path[-1])) - 1, 0)])
        item, data = next((place, data) for k, place, data in self.block(path[-1]) if k[:2] == key[:2] and (key[2] is None or k[2] == key[2]))
        return path, item, data

    def sealed(self, changes):
        """The changes, and the checksums of the blocks that they are in, unless a third part says to leave them wrong."""
        data = bytearray(self.data)
        for at, piece, *_ in changes:
            data[at:at + len(piece)] = piece
        out = [(at, piece) for at, piece, *_ in changes]
        for at, piece, *left in changes:
            start = at - at % NODE
            if not left:
                out.append((start, struct.pack("<I", crc32c(data[start + 32:start + 4096]))))
        return out


def damage(c):
    top = tempfile.mkdtemp()
    try:
        os.mkdir(os.path.join(top, "files"))
        fill(os.path.join(top, "files"))
        base = os.path.join(top, "base")
        make(base, os.path.join(top, "files"), "single")
        ask(c, Volume(base))
        make(base, os.path.join(top, "files"), "dup")
        ask_copies(c, Volume(base))
    finally:
        shutil.rmtree(top)


def ask_copies(c, v):
    """One copy of a block damaged, which btrfs-progs passes over, and all of them."""
    root, chunk_root = v.number(SUPER + 80, 8), v.number(SUPER + 88, 8)
    fs = v.number(v.find(root, (5, 132, None))[2] + 176, 8)
    leaf = v.find(fs, (256, 1, 0))[0][-1]
    dump = lambda path: subprocess.run(["btrfs", "inspect-internal", "dump-tree", "-t", "5", path], capture_output=True, text=True).stdout
    whole = dump(v.path)
    asked = (("btrfs.read", {"path": "/hello", "offset": 0, "length": 100}, content(b"hello world\n")), ("btrfs.read", {"path": "/contig", "offset": 0, "length": 1 << 20}, content(pattern(20000, "c"))),
             ("btrfs.readdir", {"tree": 5, "inode": 256}, {"n_entries": 6}))
    for name, logical in {"chunks": chunk_root, "root": root, "files": fs, "leaf": leaf}.items():
        places = v.copies(logical)
        assert len(places) == 2
        for what, at, piece in (("bit", 200, b"\x5a"), ("zeros", 0, bytes(NODE)), ("ones", 0, b"\xff" * NODE), ("other", 0, v.data[v.physical(root if logical != root else fs):][:NODE])):
            for which, damaged in {"first": places[:1], "second": places[1:], "both": places}.items():
                other = c.damaged(v.path, "c_copy_%s_%s_%s.img" % (name, what, which), [(place + at, piece) for place in damaged])
                if (dump(other) == whole) != (which != "both"):
                    print("%s: btrfs inspect-internal is of another opinion" % other, file=sys.stderr)
                    continue
                for traversal, args, expect in asked:
                    c.add(other, traversal, args, {"error": True} if which == "both" else expect, "btrfs inspect-internal dump-tree", ["corrupt"])


def ask(c, v):
    p8, p16, p32, p64 = (lambda n: struct.pack("<B", n & 255)), (lambda n: struct.pack("<H", n & 0xffff)), (lambda n: struct.pack("<I", n & 0xffffffff)), (lambda n: struct.pack("<Q", n & 0xffffffffffffffff))
    path = lambda name: ("btrfs.path", {"path": name})
    read = lambda name: ("btrfs.read", {"path": name, "offset": 0, "length": 1 << 20})
    lookup = lambda dir_, name: ("btrfs.lookup", {"tree": 5, "dir": dir_, "name": name})
    readdir = lambda ino: ("btrfs.readdir", {"tree": 5, "inode": ino})
    inode = lambda ino: ("btrfs.inode", {"tree": 5, "inode": ino})
    extents = lambda ino: ("btrfs.extents", {"tree": 5, "inode": ino})

    def case(what, changes, *asked, control=None):
        other = c.damaged(v.path, "c_%s.img" % what, changes if callable(changes) else v.sealed(changes))
        check = subprocess.run(["timeout", "20", "btrfs", "check", "--readonly", other], capture_output=True, text=True)
        if check.returncode == 0:
            print("btrfs_c_%s: btrfs check sees nothing wrong" % what, file=sys.stderr)
            return
        for traversal, args in asked:
            c.add(other, traversal, args, {"error": True}, "btrfs check says so", ["corrupt"])
        if control:
            c.add(other, "btrfs.read", {"path": "/hello", "offset": 0, "length": 100}, content(b"hello world\n"), "unchanged", ["control"])

    sb = SUPER
    root, chunk_root, = v.number(sb + 80, 8), v.number(sb + 88, 8)
    _, fs_item, fs_data = v.find(root, (5, 132, None))
    fs = v.number(fs_data + 176, 8)
    ino = lambda parent, name: next(struct.unpack_from("<Q", v.data, data)[0] for k, _, data in (e for leaf in leaves(v, fs) for e in v.block(leaf)) if k[:2] == (parent, 96) and v.data[data + 30:data + 30 + v.number(data + 27, 2)] == name)
    many, contig, hello, link = (ino(256, n) for n in (b"many", b"contig", b"hello", b"link"))
    everything = (path("/hello"), read("/contig"), inode(256), ("btrfs.tree_root", {"tree": 5}))
    for what, at, piece in (("magic", 64, b"_BHRfS_N"), ("place", 48, p64(65537)), ("node_size_0", 148, p32(0)), ("node_size_odd", 148, p32(5000)), ("node_size_ones", 148, p32(-1)), ("sector_size_0", 144, p32(0)), ("sector_size_odd", 144, p32(4097)), ("root_0", 80, p64(0)), ("root_oob", 80, p64(1 << 50)), ("root_ones", 80, p64(-1)),
                            ("chunk_root_oob", 88, p64(1 << 50)), ("chunk_root_ones", 88, p64(-1)), ("root_level", 198, p8(v.data[sb + 198] + 1)), ("root_level_9", 198, p8(9)), ("chunk_level_9", 199, p8(9)), ("chunk_level", 199, p8(v.data[sb + 199] + 1)), ("system_0", 160, p32(0)), ("system_ones", 160, p32(-1)), ("system_short", 160, p32(40)),
                            ("csum_9", 196, p16(9)), ("csum_1", 196, p16(1)), ("devices_0", 136, p64(0)), ("incompat", 188, p64(v.number(sb + 188, 8) | 1 << 60)), ("total_0", 112, p64(0)), ("zeros", 0, bytes(4096))):
        case("sb_" + what, [(sb + at, piece)] if what != "zeros" else [(sb + at, piece, None)], *everything)
    case("sb_sum", [(sb + 299, b"changed", None)], *everything)
    system = sb + 811 + 17
    for what, at, piece in (("length_0", 0, p64(0)), ("stripe_0", 16, p64(0)), ("count_0", 44, p16(0)), ("count_ones", 44, p16(-1)), ("device", 48, p64(9)), ("offset_oob", 56, p64(1 << 50)), ("offset_ones", 56, p64(-1)), ("key", -8, p64(1 << 40))):
        case("system_" + what, [(system + at, piece)], *everything)
    names = {"root": (root, everything), "chunks": (chunk_root, (path("/hello"), read("/contig"), ("btrfs.map_logical", {"logical": fs}), ("btrfs.chunks", {}))), "files": (fs, (path("/hello"), inode(256), readdir(256), lookup(256, "hello")))}
    for name, (logical, asked) in names.items():
        at, level = v.physical(logical), v.data[v.physical(logical) + 100]
        for what, changes in {"sum": [(at + 90, b"\x77", None)], "address": [(at + 48, p64(logical + 4096))], "count_ones": [(at + 96, p32(-1))], "count_over": [(at + 96, p32(170))], "level": [(at + 100, p8(level + 1))], "level_8": [(at + 100, p8(8))], "zeros": [(at, bytes(NODE), None)], "generation": [(at + 80, p64(1 << 40))], "fsid": [(at + 32, b"another volume's")]}.items():
            case("%s_%s" % (name, what), changes, *asked)
        if level == 0:
            for i, (key, item, _) in enumerate(v.block(logical)):
                if key[:2] in ((5, 132), (256, 228)) and (name != "chunks" or key[2] <= fs):
                    found = item
            for what, changes in {"item_offset": [(found + 17, p32(NODE))], "item_offset_ones": [(found + 17, p32(-1))], "item_size_ones": [(found + 21, p32(-1))], "item_size_0": [(found + 21, p32(0))]}.items():
                case("%s_%s" % (name, what), changes, *(a for a in asked if a[1] != {"tree": 1}))
    # The root of the tree of files.
    for what, changes in {"oob": [(fs_data + 176, p64(1 << 50))], "ones": [(fs_data + 176, p64(-1))], "0": [(fs_data + 176, p64(0))], "root": [(fs_data + 176, p64(root))], "level": [(fs_data + 238, p8(7))], "level_9": [(fs_data + 238, p8(9))]}.items():
        case("fs_root_" + what, changes, path("/hello"), inode(256))
    top, children = v.physical(fs), v.block(fs)
    if v.data[top + 100]:
        for what, changes in {"oob": [(place + 17, p64(1 << 50)) for _, place, _ in children], "ones": [(place + 17, p64(-1)) for _, place, _ in children], "self": [(place + 17, p64(fs)) for _, place, _ in children], "next": [(children[0][1] + 17, p64(children[1][2]))], "generation": [(place + 25, p64(1 << 40)) for _, place, _ in children]}.items():
            case("child_" + what, changes, path("/hello"), inode(256))
    chunk = next(data for key, _, data in v.block(chunk_root) if key[:2] == (256, 228) and key[2] <= fs < key[2] + v.number(data, 8))
    for what, at, piece in (("length_0", 0, p64(0)), ("stripe_0", 16, p64(0)), ("count_0", 44, p16(0)), ("count_ones", 44, p16(-1)), ("device", 48, p64(9)), ("offset_oob", 56, p64(1 << 50)), ("offset_ones", 56, p64(-1))):
        case("chunk_" + what, [(chunk + at, piece)], path("/hello"), inode(256))
    files(v, case, fs, p8, p16, p32, p64, path, read, lookup, readdir, inode, extents, many, contig, hello, link)
    for size in (0, 65535, 65536 + 100, 65536 + 4095, v.physical(chunk_root) + 5, v.physical(root) + 100, v.physical(fs) + 4000):
        case("cut%d" % size, lambda data: data[:size], path("/hello"), read("/contig"))


def leaves(v, root):
    if v.data[v.physical(root) + 100] == 0:
        return [root]
    return [leaf for _, _, child in v.block(root) for leaf in leaves(v, child)]


def files(v, case, fs, p8, p16, p32, p64, path, read, lookup, readdir, inode, extents, many, contig, hello, link):
    for what, key, at, piece, *asked in (
            ("inode_short", (contig, 1, 0), None, 40, inode(contig)),
            ("dir_item_name_ones", (256, 84, None), 27, p16(-1), ),
            ("extent_kind", (contig, 108, 0), 20, p8(9), read("/contig"), extents(contig)),
            ("extent_compression", (contig, 108, 0), 16, p8(9), read("/contig")),
            ("extent_encryption", (contig, 108, 0), 17, p8(1), read("/contig")),
            ("extent_oob", (contig, 108, 0), 21, p64(1 << 50), read("/contig")),
            ("extent_ones", (contig, 108, 0), 21, p64(-1), read("/contig")),
            ("extent_offset", (contig, 108, 0), 37, p64(1 << 40), read("/contig")),
            ("extent_bytes_ones", (contig, 108, 0), 45, p64(-1), read("/contig")),
            ("extent_bytes_0", (contig, 108, 0), 45, p64(0), read("/contig")),
            ("extent_short", (contig, 108, 0), None, 30, read("/contig"), extents(contig)),
            ("inline_short", (hello, 108, 0), None, 10, read("/hello"), extents(hello)),
            ("inline_bytes", (hello, 108, 0), 8, p64(1 << 30), read("/hello")),
            ("link_short", (link, 108, 0), None, 10, ("btrfs.readlink", {"path": "/link"})),
            ("index_name_ones", (256, 96, None), 27, p16(-1), readdir(256)),
            ("index_name_0", (256, 96, None), 27, p16(0), readdir(256)),
            ("index_data_ones", (256, 96, None), 25, p16(-1), readdir(256)),
            ("index_kind", (256, 96, None), 29, p8(99), readdir(256)),
            ("index_slash", (256, 96, None), 30, b"/", readdir(256)),
            ("size_ones", (contig, 1, 0), 16, p64(-1), read("/contig")),
            ("mode_0", (contig, 1, 0), 52, p32(0), read("/contig"))):
        _, item, data = v.find(fs, key)
        if at is None:
            case("file_" + what, [(item + 21, p32(piece))], *asked)
        else:
            case("file_" + what, [(data + at, piece)], *asked)
    names = [(place, data) for leaf in leaves(v, fs) for key, place, data in v.block(leaf) if key[:2] == (256, 84)]
    for what, at, piece in (("name_ones", 27, p16(-1)), ("name_0", 27, p16(0)), ("data_ones", 25, p16(-1)), ("kind", 8, p8(77))):
        case("names_" + what, [(data + at, piece) for _, data in names], lookup(256, "hello"), path("/hello"), path("/a/b/deep"))
    case("names_target", [(data, p64(1 << 60)) for _, data in names], path("/hello"))


if __name__ == "__main__":
    sys.exit("this is a part of another script: btrfs.py DIR damaged")
