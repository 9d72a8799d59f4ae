#!/usr/bin/env python3
"""Makes SquashFS images in many variants, and queries with answers by unsquashfs and the kernel.

    squashfs.py DIR [VARIANT…]     makes DIR/images/squashfs_*.img and DIR/queries.squashfs.jsonl; needs squashfs-tools 4.5 or later

Variants: every compression and none, of data, fragments and inodes apart; block sizes 4 KiB to 1 MiB, with and without fragments, exports, attributes."""
import os, re, shutil, struct, subprocess, sys, tempfile
from corpus import Corpus, content, have, pattern, run, variants
from readonly import folder_of_files, ask_mounted

NONE = ["-noI", "-noD", "-noF", "-noX"]
# name: (options of mksquashfs, block size, names in the large folder)
VARIANTS = {
    "plain": (NONE, 131072, 300),
    "gzip": ([], 131072, 300),
    "lzo": (["-comp", "lzo"], 131072, 300),
    "lz4": (["-comp", "lz4"], 131072, 300),
    "lz4hc": (["-comp", "lz4", "-Xhc"], 65536, 300),
    "xz": (["-comp", "xz"], 131072, 300),
    "zstd": (["-comp", "zstd"], 131072, 300),
    "zstd_22": (["-comp", "zstd", "-Xcompression-level", "22"], 1048576, 300),
    "xz_bcj": (["-comp", "xz", "-Xbcj", "x86", "-Xdict-size", "8K"], 131072, 300),
    "gzip_strategy": (["-comp", "gzip", "-Xstrategy", "huffman_only", "-Xwindow-size", "9"], 16384, 300),
    "xattrs_plain": (["-noX"], 131072, 300),
    "block4k": (NONE, 4096, 300),
    "block1m": (NONE, 1048576, 300),
    "gzip4k": ([], 4096, 300),
    "no_fragments": ([*NONE, "-no-fragments"], 16384, 300),
    "always_fragments": ([*NONE, "-always-use-fragments"], 32768, 300),
    "data_only": (["-noI"], 65536, 300),
    "inodes_only": (["-noD", "-noF"], 65536, 300),
    "no_export": ([*NONE, "-no-exports"], 131072, 300),
    "no_duplicates": ([*NONE, "-no-duplicates"], 8192, 300),
    "long_folder": (NONE, 131072, 9000),
    "long_folder_gzip": ([], 131072, 9000),
    "tail_end": ([*NONE, "-no-tailends"], 16384, 300),
    "one_owner": ([*NONE, "-all-root"], 131072, 300),
}


def make(c, name, options, block, many):
    image = c.image(name + ".img")
    top = folder_of_files(16384 if block > 65536 else block, many)
    try:
        os.setxattr(os.path.join(top, b"a", b"size_2"), "user.attr", b"value" * 20)
        run("mksquashfs", top, image, "-noappend", "-quiet", "-no-progress", "-b", str(block), *options)
    finally:
        shutil.rmtree(top)
    said = run("unsquashfs", "-s", image)
    number = lambda text: int(re.search(text + r" (\d+)", said)[1])
    expect = {"block_size": number("Block size"), "fragments": number("Number of fragments"), "inodes": number("Number of inodes"), "ids": number("Number of ids"), "version": "4.0"}
    c.add(image, "squashfs.super", {}, expect, "unsquashfs -s")
    ask_mounted(c, "squashfs", image)


class Parsed:
    """An image without compressed metadata, taken apart: where what a damage changes stands."""

    def __init__(self, image):
        with open(image, "rb") as f:
            self.data = f.read()
        self.block_size, = struct.unpack_from("<I", self.data, 12)
        self.root, self.bytes_used, self.ids, self.xattrs, self.inodes, self.directories, self.fragments, self.exports = struct.unpack_from("<8Q", self.data, 32)

    def number(self, at, size):
        return int.from_bytes(self.data[at:at + size], "little")

    def place(self, start, offset):
        """Where a byte of metadata stands, `offset` bytes behind those that the block at `start` begins with."""
        while offset >= 8192:
            start, offset = start + 2 + (self.number(start, 2) & 0x7fff), offset - 8192
        return start + 2 + offset

    def inode(self, reference):
        return self.place(self.inodes + (reference >> 16), reference & 0xffff)

    def entries(self, inode):
        """Places of a short directory's header and of its entries by name."""
        block, _, size, offset = struct.unpack_from("<IIHH", self.data, inode + 16)
        at, end = offset, offset + size - 3
        place = lambda: self.place(self.directories + block, at)
        heads, entries = [], {}
        while at < end:
            head = place()
            heads.append(head)
            at += 12
            for _ in range(self.number(head, 4) + 1):
                size = self.number(place() + 6, 2) + 1
                entries[self.data[place() + 8:place() + 8 + size]] = (place(), self.number(head + 4, 4) << 16 | self.number(place(), 2))
                at += 8 + size
        return heads, entries


def damage(c):
    """Copies of a small image with one thing wrong each, which unsquashfs refuses too; what is not on the way still reads."""
    top = tempfile.mkdtemp()
    base = os.path.join(top, "base")
    try:
        os.makedirs(os.path.join(top, "files/dir/sub"))
        for name, data in (("hello", b"hello world\n"), ("big", pattern(20000, "b")), ("tail", pattern(9000, "t")), ("dir/one", b"1"), ("dir/two", b"22"), ("dir/sub/deep", b"deep")):
            with open(os.path.join(top, "files", name), "wb") as f:
                f.write(data)
        os.symlink("dir/one", os.path.join(top, "files/link"))
        run("mksquashfs", os.path.join(top, "files"), base, "-noappend", "-quiet", "-no-progress", "-b", "4096", "-all-root", "-nopad", "-always-use-fragments", *NONE)
        ask_damaged(c, top, base)
    finally:
        shutil.rmtree(top)


def ask_damaged(c, top, base):
    p = Parsed(base)
    heads, entries = p.entries(p.inode(p.root))
    inode = {name: p.inode(reference) for name, (_, reference) in entries.items()}
    dir_heads, dir_entries = p.entries(inode[b"dir"])
    p16, p32, p64 = (lambda n: struct.pack("<H", n & 0xffff)), (lambda n: struct.pack("<I", n & 0xffffffff)), (lambda n: struct.pack("<Q", n & 0xffffffffffffffff))
    path = lambda name: ("squashfs.path", {"path": name})
    read = lambda name: ("squashfs.read", {"path": name, "offset": 0, "length": 100000})
    readdir = lambda name: ("squashfs.readdir", {"path": name})

    def case(what, change, *asked, control=True):
        other = c.damaged(base, "c_%s.img" % what, change)
        check = subprocess.run(["timeout", "10", "unsquashfs", "-no-progress", "-force", "-dest", os.path.join(top, "out"), other], capture_output=True, text=True)
        shutil.rmtree(os.path.join(top, "out"), ignore_errors=True)
        if check.returncode == 0:
            print("squashfs_c_%s: unsquashfs sees nothing wrong" % what, file=sys.stderr)
            return
        for traversal, args in asked:
            c.add(other, traversal, args, {"error": True}, "unsquashfs: " + (check.stdout + check.stderr)[-80:].strip(), ["corrupt"])
        if control:
            c.add(other, "squashfs.read", {"path": "/hello", "offset": 0, "length": 100}, content(b"hello world\n"), "unchanged", ["control"])

    everything = (path("/dir/one"), read("/hello"), readdir("/"))
    for what, at, piece in (("magic", 0, b"hsqz"), ("block_size_0", 12, p32(0)), ("block_size_odd", 12, p32(5000)), ("block_size_log", 12, p32(8192)), ("block_log_30", 22, p16(30)), ("block_ones", 12, p32(-1)),
                            ("compression_0", 20, p16(0)), ("compression_9", 20, p16(9)), ("major_3", 28, p16(3)), ("major_5", 28, p16(5)), ("minor_1", 30, p16(1)), ("root_oob", 32, p64(1 << 40)), ("root_ones", 32, p64(-1)), ("root_offset", 32, p64(0xffff)), ("ids_0", 26, p16(0)),
                            ("bytes_used_0", 40, p64(0)), ("bytes_used_ones", 40, p64(-1)), ("bytes_used_over", 40, p64(p.bytes_used + 5)), ("inode_table_oob", 64, p64(p.bytes_used + 100)), ("inode_table_ones", 64, p64(-1)), ("inode_table_0", 64, p64(0)),
                            ("directory_table_oob", 72, p64(p.bytes_used + 5)), ("directory_table_ones", 72, p64(-1)), ("id_table_oob", 48, p64(1 << 40)), ("id_table_ones", 48, p64(-1)), ("zeros", 0, bytes(96))):
        case("sb_" + what, [(at, piece)], *everything, control=False)
    for what, piece in (("size_0", p16(0x8000)), ("size_over", p16(0x8000 | 8193)), ("size_ones", p16(0xffff)), ("compressed", p16(p.number(p.inodes, 2) & 0x7fff))):
        case("block_" + what, [(p.inodes, piece)], *everything, control=False)
        case("dir_block_" + what, [(p.directories, piece)], *everything, control=False)
    case("id_block", [(p.ids, p64(1 << 50))], *everything, control=False)
    case("fragment_block", [(p.fragments, p64(1 << 50))], read("/tail"), read("/hello"), control=False)
    for what, kind in (("0", 0), ("15", 15), ("ones", 0xffff)):
        case("inode_kind_" + what, [(inode[b"tail"], p16(kind))], path("/tail"), read("/tail"))
        case("dir_kind_" + what, [(inode[b"dir"], p16(kind))], path("/dir/one"), readdir("/dir"))
    case("inode_owner", [(inode[b"tail"] + 4, p16(77))], path("/tail"))
    case("file_start_oob", [(inode[b"big"] + 16, p32(1 << 30))], read("/big"))
    case("file_start_ones", [(inode[b"big"] + 16, p32(-1))], read("/big"))
    case("fragment_index", [(inode[b"tail"] + 20, p32(99))], read("/tail"))
    case("fragment_offset", [(inode[b"tail"] + 24, p32(1 << 20))], read("/tail"))
    case("fragment_offset_ones", [(inode[b"tail"] + 24, p32(-2))], read("/tail"))
    case("file_block_over", [(inode[b"big"] + 32, p32(1 << 24 | 4097))], read("/big"))
    case("file_block_ones", [(inode[b"big"] + 32, p32(-1))], read("/big"))
    case("file_size_ones", [(inode[b"big"] + 28, p32(-1))], read("/big"))
    case("link_size_ones", [(inode[b"link"] + 20, p32(-1))], ("squashfs.readlink", {"path": "/link"}))
    case("link_size_65536", [(inode[b"link"] + 20, p32(65536))], ("squashfs.readlink", {"path": "/link"}))
    case("dir_offset", [(inode[b"dir"] + 26, p16(8191))], path("/dir/one"), readdir("/dir"))
    case("dir_offset_ones", [(inode[b"dir"] + 26, p16(0xffff))], path("/dir/one"), readdir("/dir"))
    case("dir_start", [(inode[b"dir"] + 16, p32(1 << 20))], path("/dir/one"), readdir("/dir"))
    case("dir_size_ones", [(inode[b"dir"] + 24, p16(0xffff))], readdir("/dir"))
    case("dir_size_short", [(inode[b"dir"] + 24, p16(3 + 9))], readdir("/dir"))
    case("dir_count_256", [(dir_heads[0], p32(256))], readdir("/dir"), path("/dir/zzz"))
    case("dir_count_ones", [(dir_heads[0], p32(-1))], readdir("/dir"), path("/dir/one"))
    case("dir_head_start", [(dir_heads[0] + 4, p32(1 << 24))], path("/dir/one"))
    one, _ = dir_entries[b"one"]
    case("entry_offset", [(one, p16(8000))], path("/dir/one"))
    case("entry_offset_ones", [(one, p16(0xffff))], path("/dir/one"))
    case("entry_name_ones", [(one + 6, p16(0xffff))], readdir("/dir"), path("/dir/two"))
    case("entry_name_256", [(one + 6, p16(256))], readdir("/dir"), path("/dir/two"))
    case("entry_slash", [(one + 8, b"/")], readdir("/dir"))
    case("entry_dots", [(one + 6, p16(1)), (one + 8, b"..")], readdir("/dir"))
    for size in (0, 1, 95, 96, 4096, p.inodes + 1, p.inodes + 20, p.directories + 5, p.ids - 3, p.bytes_used - 1):
        case("cut%d" % size, lambda data: data[:size], path("/dir/one"), read("/hello"), control=False)


def main():
    if not have("mksquashfs", "unsquashfs"):
        return
    folder, wanted = variants(VARIANTS | {"damaged": None}, sys.argv)
    c = Corpus(folder, "squashfs")
    if wanted.pop("damaged", 0) is None:
        damage(c)
    for name, variant in wanted.items():
        try:
            make(c, name, *variant)
        except RuntimeError as error:
            if not str(error).startswith("mount"):
                raise
            print("squashfs_%s: skipped, because the kernel does not mount it: %s" % (name, str(error).splitlines()[-1]))
    print("squashfs: %d queries" % c.count)


main()
