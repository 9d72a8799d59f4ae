#!/usr/bin/env python3
"""Makes EROFS images in many variants, and queries with answers by dump.erofs and the kernel.

    erofs.py DIR [VARIANT…]     makes DIR/images/erofs_*.img and DIR/queries.erofs.jsonl; needs erofs-utils 1.5 or later

Variants: compact and extended inodes, inline data, chunks, LZ4 with small and large clusters, compact and full indexes, packed tails, attributes."""
import os, re, shutil, struct, subprocess, sys, tempfile
from corpus import Corpus, content, have, pattern, run, sample, variants
from readonly import folder_of_files, ask_mounted, words

# name: (options of mkfs.erofs, names in the large folder)
VARIANTS = {
    "plain": ([], 300),
    "compact": (["-E", "force-inode-compact"], 300),
    "extended": (["-E", "force-inode-extended"], 300),
    "no_inline": (["-E", "noinline_data"], 300),
    "no_xattrs": (["-x", "-1"], 300),
    "chunks": (["--chunksize", "4096"], 300),
    "chunks_16k": (["--chunksize", "16384"], 300),
    "chunks_indexed": (["--chunksize", "4096", "-E", "force-chunk-indexes"], 300),
    "build_time": (["--ignore-mtime", "-T", "1234567890"], 300),
    "one_owner": (["--all-root"], 300),
    "long_folder": ([], 9000),
    "lz4": (["-zlz4"], 300),
    "lz4hc": (["-zlz4hc,12"], 300),
    "lz4_16k": (["-zlz4", "-C", "16384"], 300),
    "lz4_64k": (["-zlz4hc", "-C", "65536"], 300),
    "lz4_full": (["-zlz4", "-E", "legacy-compress"], 300),
    "lz4_tails": (["-zlz4", "-E", "ztailpacking"], 300),
    "lz4_extended": (["-zlz4", "-E", "force-inode-extended"], 300),
    "lz4_limit": (["-zlz4", "--max-extent-bytes", "65536"], 300),
    "lzma": (["-zlzma"], 300),
}


def make(c, name, options, many):
    image = c.image(name + ".img")
    top = folder_of_files(4096, many, longest=200)  # mkfs.erofs 1.5 fails on longer ones.
    try:
        os.setxattr(os.path.join(top, b"a", b"size_2"), "user.attr", b"value" * 20)
        os.setxattr(os.path.join(top, b"a", b"size_3"), "user.attr", b"value" * 20)
        run("mkfs.erofs", "-U", "e0e0e0e0-0000-4000-8000-000000000004", *options, image, top)
        paths = [folder[len(top):] + b"/" + n for folder, dirs, files in os.walk(top) for n in files]
        regular = [p for p in paths if os.path.isfile(top + p) and not os.path.islink(top + p) and os.path.getsize(top + p)]
    finally:
        shutil.rmtree(top)
    said = run("dump.erofs", "-s", image)
    number = lambda text: int(re.search(text + r"\D*(\d+)", said)[1])
    expect = {"blocks": number("Filesystem blocks"), "meta_blkaddr": number("inode metadata start block"), "xattr_blkaddr": number("shared xattr metadata start block"), "root_nid": number("root nid"),
              "inos": number("inode count"), "uuid": re.search(r"Filesystem UUID:\s+(\S+)", said)[1]}
    c.add(image, "erofs.super", {}, expect, "dump.erofs -s")
    for path in sample([p for p in regular if b"many" not in p and p.isascii()], 30):
        rows = re.findall(r"^\s*\d+:\s+(\d+)\.\.\s*(\d+) \|\s+\d+ :\s+(\d+)\.\.\s*(\d+) \|\s+\d+", run("dump.erofs", "-e", "--path=" + path.decode(), image), re.M)
        rows = [[int(n) for n in row] for row in rows]
        if rows:
            c.add(image, "erofs.extents", words(path), {"n_extents": len(rows), "first": rows[0], "last": rows[-1]}, "dump.erofs -e")
    ask_mounted(c, "erofs", image)


def damage(c):
    """Copies of small images with one thing wrong each, which fsck.erofs refuses too; what is not on the way still reads."""
    top = tempfile.mkdtemp()
    try:
        os.makedirs(os.path.join(top, "files/dir/sub"))
        for name, data in (("hello", b"hello world\n"), ("big", pattern(20000, "b")), ("tail", pattern(9000, "t")), ("dir/one", b"1"), ("dir/two", b"22"), ("dir/sub/deep", b"deep")):
            with open(os.path.join(top, "files", name), "wb") as f:
                f.write(data)
        os.symlink("dir/one", os.path.join(top, "files/link"))
        for name, options in (("plain", ["-E", "nosbcrc"]), ("extended", ["-E", "nosbcrc,force-inode-extended"]), ("chunks", ["-E", "nosbcrc,force-chunk-indexes", "--chunksize", "4096"]), ("lz4", ["-zlz4", "-E", "nosbcrc,legacy-compress"]), ("compact", ["-zlz4", "-E", "nosbcrc"]), ("sum", [])):
            base = os.path.join(top, name)
            run("mkfs.erofs", "--all-root", *options, base, os.path.join(top, "files"))
            ask_damaged(c, top, base, name)
    finally:
        shutil.rmtree(top)


def ask_damaged(c, top, base, name):
    with open(base, "rb") as f:
        data = f.read()
    number = lambda at, size: int.from_bytes(data[at:at + size], "little")
    meta, size = number(1024 + 40, 4) * 4096, len(data)
    said = {path: run("dump.erofs", "--path=" + path, base) for path in ("/", "/dir", "/dir/one", "/big", "/tail", "/hello", "/link")}
    nid = {path: int(re.search(r"NID: (\d+)", text)[1]) for path, text in said.items()}
    inode = {path: meta + 32 * n for path, n in nid.items()}
    head = {path: 64 if number(at, 2) & 1 else 32 for path, at in inode.items()}
    tail = {path: at + head[path] + (12 + 4 * (number(at + 2, 2) - 1) if number(at + 2, 2) else 0) for path, at in inode.items()}
    p16, p32, p64 = (lambda n: struct.pack("<H", n & 0xffff)), (lambda n: struct.pack("<I", n & 0xffffffff)), (lambda n: struct.pack("<Q", n & 0xffffffffffffffff))
    path = lambda name: ("erofs.path", {"path": name})
    read = lambda name: ("erofs.read", {"path": name, "offset": 0, "length": 100000})
    readdir = lambda name: ("erofs.readdir", {"path": name})

    def case(what, change, *asked, control=True):
        other = c.damaged(base, "c_%s_%s.img" % (name, what), change)
        out = os.path.join(top, "out")
        check = subprocess.run(["timeout", "10", "fsck.erofs", "--extract=" + out, other], capture_output=True, text=True)
        shutil.rmtree(out, ignore_errors=True)
        # fsck.erofs 1.5 does not look at the superblock's checksum; the kernel does.
        if check.returncode == 0 and name == "sum":
            check = subprocess.run(["mount", "-o", "loop,ro", other, top], capture_output=True, text=True)
            if check.returncode == 0:
                run("umount", top)
        if check.returncode == 0:
            print("erofs_c_%s_%s: fsck.erofs sees nothing wrong" % (name, what), file=sys.stderr)
            return
        said = (check.stdout + check.stderr).strip().splitlines()
        for traversal, args in asked:
            c.add(other, traversal, args, {"error": True}, "fsck.erofs: " + (said[0] if said else "killed")[-80:], ["corrupt"])
        if control:
            c.add(other, "erofs.read", {"path": "/hello", "offset": 0, "length": 100}, content(b"hello world\n"), "unchanged", ["control"])

    everything = (path("/dir/one"), read("/hello"), readdir("/"))
    if name == "sum":
        for what, at in (("uuid", 1024 + 48), ("blocks", 1024 + 36), ("sum", 1024 + 4), ("behind", 1024 + 200)):
            case(what, [(at, bytes([data[at] ^ 1]))], *everything, control=False)
        return
    if name in ("lz4", "compact"):
        ask_damaged_index(case, data, number, tail, read)
        return
    if name == "chunks":
        list_ = (tail["/big"] + 7) // 8 * 8
        case("format", [(inode["/big"] + 16, p32(1 << 15 | 0x20))], read("/big"))
        case("block_oob", [(list_ + 4, p32(1 << 30))], read("/big"))
        case("device", [(list_ + 2, p16(3))], read("/big"))
        return
    sb = 1024
    for what, at, piece in (("magic", 0, p32(0xe0f5e1e3)), ("block_bits_0", 12, b"\0"), ("block_bits_8", 12, b"\x08"), ("block_bits_17", 12, b"\x11"), ("block_bits_ones", 12, b"\xff"), ("incompat", 80, p32(1 << 30)), ("incompat_ones", 80, p32(-1)), ("root_ones", 14, p16(-1)),
                            ("meta_oob", 40, p32(1 << 30)), ("meta_ones", 40, p32(-1)), ("zeros", 0, bytes(128))):
        case("sb_" + what, [(sb + at, piece)], *everything, control=False)
    for victim, asked in (("/dir", (path("/dir/one"), readdir("/dir"))), ("/tail", (read("/tail"),))):
        at, of = inode[victim], victim[1:]
        for layout in (5, 6, 7):
            case("%s_layout_%d" % (of, layout), [(at, p16(number(at, 2) & 1 | layout << 1))], *asked, *([path(victim)] if victim == "/tail" else []))
        case(of + "_format_bits", [(at, p16(number(at, 2) | 0x8000))], *asked)
        case(of + "_xattrs", [(at + 2, p16(-1))], *asked)
        case(of + "_mode_0", [(at + 4, p16(0))], *asked)
    case("tail_size_ones", [(inode["/tail"] + 8, b"\xff" * (8 if head["/tail"] == 64 else 4))], read("/tail"))
    case("tail_crosses", [(inode["/tail"] + 8, p32(8192 + 4095))], read("/tail"))
    case("tail_start_oob", [(inode["/tail"] + 16, p32(1 << 30))], read("/tail"))
    case("tail_start_ones", [(inode["/tail"] + 16, p32(-2))], read("/tail"))
    case("link_size_0", [(inode["/link"] + 8, p32(0))], ("erofs.readlink", {"path": "/link"}))
    case("link_size_ones", [(inode["/link"] + 8, p32(-1))], ("erofs.readlink", {"path": "/link"}))
    at = tail["/dir"]
    entries = number(at + 8, 2) // 12
    places = {data[at + number(at + 12 * i + 8, 2):at + (number(at + 12 * i + 20, 2) if i + 1 < entries else number(inode["/dir"] + 8, 4))].rstrip(b"\0"): at + 12 * i for i in range(entries)}
    one = places[b"one"]
    for what, change, *asked in (("nid_oob", [(one, p64(1 << 40))], path("/dir/one")), ("nid_ones", [(one, p64(-1))], path("/dir/one")), ("nid_free", [(one, p64((size - meta) // 32 + 50))], path("/dir/one")), ("first_0", [(at + 8, p16(0))], readdir("/dir"), path("/dir/one")), ("first_odd", [(at + 8, p16(13))], readdir("/dir"), path("/dir/zzz")),
                                 ("first_ones", [(at + 8, p16(-1))], readdir("/dir"), path("/dir/one")), ("name_ones", [(one + 8, p16(-1))], readdir("/dir"), path("/dir/two")), ("name_0", [(one + 8, p16(0))], readdir("/dir"), path("/dir/two")),
                                 ("slash", [(at + number(one + 8, 2), b"/")], readdir("/dir"))):
        case("entry_" + what, change, *asked)
    case("dir_size_0", [(inode["/dir"] + 8, p32(0))], readdir("/dir"))
    case("dir_size_ones", [(inode["/dir"] + 8, p32(-1))], readdir("/dir"))
    for cut in (0, 1000, 1024, 1100, inode["/dir"] + 5, at + 3, number(inode["/big"] + 16, 4) * 4096 + 100):
        case("cut%d" % cut, lambda data: data[:cut], *(everything if cut < 4096 else [read("/big")] if cut < meta else [readdir("/dir")]), control=False)


def ask_damaged_index(case, data, number, tail, read):
    """Damage to the index of a compressed file."""
    at = (tail["/big"] + 7) // 8 * 8
    put = lambda place, value, size: [(place, (value & (1 << 8 * size) - 1).to_bytes(size, "little"))]
    case("algorithm", put(at + 6, 0xff, 1), read("/big"))
    case("cluster_bits", put(at + 7, 7, 1), read("/big"))
    if at + 8 + 8 < len(data) and number(at + 4, 2) & 1 == 0:
        entry = at + 16
        case("first_is_middle", put(entry, 2, 2), read("/big"))
        case("offset_over", put(entry + 2, 4097, 2), read("/big"))
        case("block_oob", put(entry + 4, 1 << 30, 4), read("/big"))
    stored = next((b for b in range(4096, len(data), 4096) if b"b0000" in data[b:b + 4096]), None)
    if stored:
        case("data", [(stored + 4096 - 600, bytes(200))], read("/big"))
        case("data_ones", [(stored, b"\xff" * 4096)], read("/big"))


def main():
    if not have("mkfs.erofs", "dump.erofs"):
        return
    folder, wanted = variants(VARIANTS | {"damaged": None}, sys.argv)
    c = Corpus(folder, "erofs")
    if wanted.pop("damaged", 0) is None:
        damage(c)
    for name, variant in wanted.items():
        try:
            make(c, name, *variant)
        except RuntimeError as error:
            print("erofs_%s: skipped, because %s" % (name, str(error).splitlines()[-1]))
    print("erofs: %d queries" % c.count)


main()
