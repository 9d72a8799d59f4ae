#!/usr/bin/env python3
"""Makes FAT12, FAT16 and FAT32 images in many variants, and queries with answers by mtools, fsck.fat and the files put in.

    fat.py DIR [VARIANT…]      needs dosfstools and mtools

Variants: sector sizes 512 to 4096, clusters of 1 to 128 sectors, one to four FATs, bad clusters, a FAT that is not mirrored, root directories of
several sizes, names of every length and case, fragmented files, deleted entries, and images damaged on purpose."""
from corpus import *
import struct

# name: (size in KiB, options of mkfs.fat, what else)
VARIANTS = {
    "12_360": (360, ["-F", "12"], {}),
    "12_1440": (1440, ["-F", "12"], {}),
    "12_2880": (2880, ["-F", "12", "-s", "2"], {}),
    "12_big": (16384, ["-F", "12", "-s", "16"], {}),
    "12_onefat": (1440, ["-F", "12", "-f", "1"], {}),
    "12_1k_sectors": (2880, ["-F", "12", "-S", "1024"], {}),
    "12_r32": (1440, ["-F", "12", "-r", "64"], {}),
    "16": (16384, ["-F", "16"], {}),
    "16_s1": (8192, ["-F", "16", "-s", "1"], {}),
    "16_s2": (16384, ["-F", "16", "-s", "2"], {}),
    "16_s64": (524288, ["-F", "16", "-s", "64"], {}),
    "16_s128": (1048576, ["-F", "16", "-s", "128"], {}),
    "16_4fats": (16384, ["-F", "16", "-f", "4"], {}),
    "16_r1024": (16384, ["-F", "16", "-r", "1024", "-R", "7"], {}),
    "16_2k_sectors": (32768, ["-F", "16", "-S", "2048", "-s", "1"], {}),
    "16_4k_sectors": (65536, ["-F", "16", "-S", "4096", "-s", "1"], {}),
    "16_8k_sectors": (131072, ["-F", "16", "-S", "8192", "-s", "1"], {}),
    "16_hidden": (16384, ["-F", "16", "-h", "2048", "-M", "0xf0", "-D", "1"], {}),
    "16_bad": (16384, ["-F", "16"], {"bad": range(7000, 7020)}),
    "16_least": (4400, ["-F", "16", "-s", "2", "-a"], {}),
    "32": (66560, ["-F", "32", "-s", "1"], {}),
    "32_s8": (278528, ["-F", "32", "-s", "8"], {}),
    "32_s64": (2097152 + 262144, ["-F", "32", "-s", "64"], {}),
    "32_few": (66560, ["-F", "32", "-s", "1"], {"clusters": 65524}),
    "32_fewer": (66560, ["-F", "32", "-s", "1"], {"clusters": 30000}),
    "32_tiny": (66560, ["-F", "32", "-s", "1"], {"clusters": 4000}),
    "32_4k_sectors": (270000, ["-F", "32", "-S", "4096", "-s", "1"], {}),
    "32_1fat": (66560, ["-F", "32", "-s", "1", "-f", "1"], {}),
    "32_nobackup": (66560, ["-F", "32", "-s", "1", "-b", "0"], {}),
    "32_backup9": (66560, ["-F", "32", "-s", "1", "-b", "9", "-R", "64"], {}),
    "32_second": (66560, ["-F", "32", "-s", "1"], {"active": 1}),
    "32_bad": (66560, ["-F", "32", "-s", "1"], {"bad": range(20000, 20100)}),
    "12_most": (2058, ["-a", "-F", "12", "-s", "1"], {}),
    "16_fewest": (2077, ["-a", "-F", "16", "-s", "1"], {}),
    "16_most": (33034, ["-a", "-F", "16", "-s", "1"], {}),
    "12_atari": (1440, ["-A", "-F", "12"], {}),
    "16_atari": (16384, ["-A", "-F", "16"], {}),
    "32_mbr": (66560, ["-F", "32", "-s", "1", "--mbr=y"], {}),
    "32_high_bits": (66560, ["-F", "32", "-s", "1"], {"high_bits": True}),
    "mtools_720": (720, ["-f", "720"], {"maker": "mformat"}),
    "mtools_1680": (1680, ["-t", "80", "-h", "2", "-s", "21"], {"maker": "mformat"}),
    "mtools_c8": (2880, ["-f", "2880", "-c", "8", "-r", "3", "-d", "1"], {"maker": "mformat"}),
    "mtools_16": (32768, ["-T", "65536", "-h", "16", "-s", "63", "-c", "8", "-H", "63", "-m", "0xf8"], {"maker": "mformat"}),
    "mtools_1k": (65536, ["-T", "65536", "-h", "16", "-s", "63", "-c", "2", "-M", "1024"], {"maker": "mformat"}),
    "mtools_32": (102400, ["-F", "-T", "204800", "-h", "64", "-s", "32", "-c", "1"], {"maker": "mformat"}),
}


def number(data, at, size):
    return int.from_bytes(data[at:at + size], "little")


def fill(image, source, what):
    """Puts files in; gives their paths with the bytes of files and None for directories."""
    put = {}
    env = {"MTOOLS_SKIP_CHECK": "1", "MTOOLS_NO_VFAT": "0", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"}
    def tool(*words, **more):
        return run(words[0], "-i", image, *words[1:], env=env, **more)
    def folder(path):
        tool("mmd", "-D", "s", "::" + path)
        put[path] = None
    def file(path, data):
        local = os.path.join(source, "data")
        with open(local, "wb") as f:
            f.write(data)
        tool("mcopy", "-o", local, "::" + path)
        put[path] = data
    cluster = what["cluster"]
    file("/HELLO.TXT", b"hello world\n")
    file("/empty.dat", b"")
    folder("/DIR")
    folder("/DIR/SUB")
    folder("/DIR/SUB/deep")
    file("/DIR/SUB/deep/leaf.bin", pattern(100, "l"))
    folder("/a long directory name")
    folder("/Mixed.Case")
    for n in (1, 2, 3, 8, 12, 13, 14, 25, 26, 27, 39, 40, 127, 128, 250, 255):
        file("/a long directory name/" + "n" * n, pattern(n, "n"))
    for i, name in enumerate(("lower.txt", "UPPER.TXT", "low.EXT", "UP.ext", "MiXed.TxT", "no-ext", "a.b.c.d", "two  spaces.x", "plus+sign,[x];=.y",
                              ".hidden", "trailing.dots.txt", "archive.tar.gz", "~tilde~1", "longer-than-eight.t", "x.longext", "{}_^$~!#%&-@'`()", "\u00fcml\u00e4ut.txt",
                              "\u00c9cole", "\u0416\u0438\u0437\u043d\u044c.txt", "\u4f60\u597d")):
        file("/Mixed.Case/" + name, b"%d" % i)
    folder("/many")
    for i in range(what.get("many", 150)):
        file("/many/entry number %03d" % i, b"")
    for i in range(0, 100, 3):
        tool("mdel", "::/many/entry number %03d" % i)
        del put["/many/entry number %03d" % i]
    for i in range(0, 30, 7):
        file("/many/reused %d.with.a.longer.name" % i, b"r%d" % i)
    least = min(cluster, 4096)
    for i in range(12):
        file("/DIR/f%d.bin" % i, pattern(2 * least + i * 300, "f"))
    for i in range(0, 12, 2):
        tool("mdel", "::/DIR/f%d.bin" % i)
        del put["/DIR/f%d.bin" % i]
    file("/DIR/refill", pattern(min(9 * cluster + 5, 60000 if what["kib"] < 2000 else 500000), "r"))
    tool("mattrib", "+h", "+s", "+r", "::/HELLO.TXT")
    for n in (cluster - 1, cluster, cluster + 1):
        if n < 140000:
            file("/DIR/size%d" % n, pattern(n, "s"))
    return put, tool


def parameters(image):
    """The boot sector's fields by minfo, which prints them as they are stored."""
    text = run("minfo", "-i", image, "::", env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})
    get = lambda name, base=10: int(re.search(r"(?m)^%s: (?:0x)?([0-9a-f]+)" % name, text).group(1), base)
    fields = {"bytes_per_sector": get("sector size"), "sectors_per_cluster": get("cluster size").__int__(), "reserved_sectors": get(r"reserved \(boot\) sectors"), "num_fats": get("fats"),
              "root_entries": get("max available root directory slots"), "media": get("media descriptor byte", 16), "hidden_sectors": get("hidden sectors")}
    small = get("small size")
    fields["total_sectors"] = small or int(re.search(r"(?m)^big size: (\d+)", text).group(1))
    fat = get("sectors per fat")
    fields["fat_sectors"] = fat or int(re.search(r"(?m)^Big fatlen=(\d+)", text).group(1))
    if m := re.search(r"(?m)^serial number: ([0-9A-F]{8})", text):
        fields["serial"] = int(m.group(1), 16)
    root_sectors = -(-32 * fields["root_entries"] // fields["bytes_per_sector"])
    data = fields["reserved_sectors"] + fields["num_fats"] * fields["fat_sectors"] + root_sectors
    fields["data_offset"] = data * fields["bytes_per_sector"]
    fields["cluster_count"] = (fields["total_sectors"] - data) // fields["sectors_per_cluster"]
    fields["fat_bits"] = 32 if fat == 0 else 12 if fields["cluster_count"] < 4085 else 16
    return fields


def chain_of(text):
    """The clusters that mshowfat prints: `<5-10> <12>`."""
    out = []
    for a, b in re.findall(r"<(\d+)(?:-(\d+))?>", text):
        out += range(int(a), int(b or a) + 1)
    return out


def ask(corpus, image, put, tool, fields):
    corpus.add(image, "fat.bpb", {}, fields, "minfo")
    text = run("minfo", "-i", image, "::", env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})
    if m := re.search(r"free clusters=(\d+)\s+last allocated cluster=(\d+)", text):
        corpus.add(image, "fat.fsinfo", {}, {"free_count": int(m.group(1)), "next_free": int(m.group(2))}, "minfo")
    text = run("fsck.fat", "-n", "-v", image, ok=(0, 1))
    if m := re.search(r"(\d+)/(\d+) clusters", text):
        corpus.add(image, "fat.free_clusters", {}, {"free": int(m.group(2)) - int(m.group(1))}, "fsck.fat -n -v")
    folders = ["/"] + [p for p, data in put.items() if data is None]
    for folder in folders:
        inside = {p.rsplit("/", 1)[1]: data for p, data in put.items() if p.rsplit("/", 1)[0] == folder.rstrip("/")}
        # A name that fits 8.3 in one case is stored so, with NT's flags.
        entries = sorted(([n, None if d is None else len(d)] for n, d in inside.items()), key=lambda e: e[0].encode())
        corpus.add(image, "fat.readdir", {"path": folder}, listed("entries", entries), "the files put in")
    spell = lambda path, i: path.upper() if i % 3 == 1 else path.swapcase() if i % 3 == 2 else path
    for i, (path, data) in enumerate(put.items()):
        if path.startswith("/many/") and i % 10:
            continue
        text = tool("mshowfat", "::" + path.replace("[", "?"))
        chain = chain_of(text)
        expect = {"is_dir": data is None, "size": len(data or b""), "first_cluster": chain[0] if chain else 0}
        # mtools compares letters beyond ASCII by the locale; so do not ask for their other case.
        asked = spell(path, i) if path.isascii() else path
        corpus.add(image, "fat.path", {"path": asked}, expect, "mshowfat, the files put in")
        if chain:
            corpus.add(image, "fat.chain", {"first_cluster": chain[0]}, {"n_clusters": len(chain), "runs": runs(chain)}, "mshowfat")
            for at in sample(range(len(chain)), 4):
                corpus.add(image, "fat.next", {"cluster": chain[at]}, {"next": chain[at + 1] if at + 1 < len(chain) else "end"}, "mshowfat")
        if data is not None:
            corpus.add(image, "fat.read", {"path": path, "offset": 0, "length": len(data) + 7}, content(data), "the file put in")
            half = len(data) // 2
            corpus.add(image, "fat.read", {"path": asked, "offset": half, "length": 33}, {"hex": data[half:half + 33].hex()}, "the file put in")
    n_dirs = len(folders) - 1
    corpus.add(image, "fat.walk", {"path": "/"}, {"n_dirs": n_dirs, "n_nondirs": len(put) - n_dirs}, "the files put in")
    for path in ("/none", "/DIR/none.txt", "/HELLO.TXT/x", "/many/entry number 003", "/DIR/f0.bin"):
        corpus.add(image, "fat.path", {"path": path}, {"found": False}, "no such name")
    for n in (fields["cluster_count"] + 2, 0xfffffff, 0, 1):
        corpus.add(image, "fat.next", {"cluster": n}, {"error": True}, "not a cluster", ["bad_arg"])
    # Short names as mdir prints them, of names that are long.
    for folder in ("/Mixed.Case", "/a long directory name"):
        for m in re.finditer(r"(?m)^(.{8}) (.{3}) +(\d+) \d{4}-\d\d-\d\d +\d+:\d\d +(\S.*)$", tool("mdir", "-a", "::" + folder)):
            short = m.group(1).rstrip() + ("." + m.group(2).rstrip() if m.group(2).strip() else "")
            if folder + "/" + m.group(4).rstrip() in put and short.isascii():
                corpus.add(image, "fat.path", {"path": folder + "/" + m.group(4).rstrip()}, {"short_name": short.upper()}, "mdir")
                corpus.add(image, "fat.path", {"path": folder + "/" + short}, {"short_name": short.upper()}, "mdir")


def damage(corpus, image, put, tool, fields):
    """Copies with one thing wrong each; what is not on the way still reads."""
    name = os.path.splitext(os.path.basename(image))[0][len("fat_"):]
    per, bits = fields["bytes_per_sector"], fields["fat_bits"]
    fat = fields["reserved_sectors"] * per
    sound = put["/DIR/f1.bin"]
    victim = chain_of(tool("mshowfat", "::/DIR/refill"))
    folder = chain_of(tool("mshowfat", "::/many"))[0]
    cluster = fields["sectors_per_cluster"] * per
    def entry(c, value):
        with open(image, "rb") as f:
            data = f.read(fat + fields["fat_sectors"] * per)
        out = []
        for copy in range(fields["num_fats"]):
            base = fat + copy * fields["fat_sectors"] * per
            if bits == 12:
                at = base + c + c // 2
                old = number(data, fat + c + c // 2, 2)
                value12 = old & 0xf | (value & 0xfff) << 4 if c % 2 else old & 0xf000 | value & 0xfff
                out.append((at, struct.pack("<H", value12)))
            else:
                out.append((base + c * bits // 8, value.to_bytes(bits // 8, "little")))
        return out
    high = {12: 0xff0, 16: 0xfff0, 32: 0x0ffffff0}[bits]
    middle = victim[len(victim) // 2]
    chains = {"self": entry(middle, middle), "back": entry(middle, victim[0]), "free": entry(middle, 0), "one": entry(middle, 1), "bad": entry(middle, high + 7), "reserved": entry(middle, high + 2),
              "oob": entry(middle, fields["cluster_count"] + 2), "short": entry(middle, high + 15)}
    for what, change in chains.items():
        other = corpus.damaged(image, "%s_c_%s.img" % (name, what), change)
        if what != "short":
            corpus.add(other, "fat.chain", {"first_cluster": victim[0]}, {"error": True}, "the chain is damaged", ["corrupt"])
        corpus.add(other, "fat.read", {"path": "/DIR/refill", "offset": 0, "length": 1 << 20}, {"error": True}, "the chain is damaged", ["corrupt"])
        corpus.add(other, "fat.read", {"path": "/DIR/f1.bin", "offset": 0, "length": 1 << 20}, content(sound), "an unchanged file", ["control"])
    place = fields["data_offset"] + (folder - 2) * cluster
    for what, change in {"dir_self": entry(folder, folder), "dir_oob": entry(folder, high - 1), "dir_free": entry(folder, 0)}.items():
        other = corpus.damaged(image, "%s_c_%s.img" % (name, what), change)
        if cluster * 2 <= 150 * 64:
            for traversal, args in (("fat.readdir", {"path": "/many"}), ("fat.path", {"path": "/many/none"}), ("fat.walk", {"path": "/"})):
                corpus.add(other, traversal, args, {"error": True}, "the directory's chain is damaged", ["corrupt"])
        corpus.add(other, "fat.read", {"path": "/DIR/f1.bin", "offset": 0, "length": 1 << 20}, content(sound), "an unchanged file", ["control"])
    # A directory's entry that leads to a free cluster, and a long name whose pieces are out of order.
    with open(image, "rb") as f:
        f.seek((fields["reserved_sectors"] + fields["num_fats"] * fields["fat_sectors"]) * per)
        root, entries = f.tell(), f.read(1024)
    at = root + next(i for i in range(0, 1024, 32) if entries[i:i + 11] == b"MANY       ")
    other = corpus.damaged(image, "%s_c_dir_in_free.img" % name, [(at + 26, struct.pack("<H", min(fields["cluster_count"], 60000)))])
    for traversal, args in (("fat.readdir", {"path": "/many"}), ("fat.path", {"path": "/many/none"}), ("fat.walk", {"path": "/"})):
        corpus.add(other, traversal, args, {"error": True}, "fsck.fat: contains a free cluster", ["corrupt"])
    corpus.add(other, "fat.read", {"path": "/DIR/f1.bin", "offset": 0, "length": 1 << 20}, content(sound), "an unchanged file", ["control"])
    piece = root + next(i for i in range(32, 1024, 32) if entries[i] == 1 and entries[i + 11] == 15 and entries[i - 32] == 0x42)
    for order in (2, 0x20, 0x21, 0x80):
        other = corpus.damaged(image, "%s_c_piece_%d.img" % (name, order), [(piece, bytes([order]))])
        corpus.add(other, "fat.path", {"path": "/a long directory name"}, {"found": False}, "mshowfat finds no such name", ["corrupt"])
        corpus.add(other, "fat.path", {"path": "/ALONGD~1"}, {"is_dir": True}, "the short name", ["control"])
    fields_of_boot = {"bps_0": (11, b"\0\0"), "bps_odd": (11, b"\x01\x03"), "spc_0": (13, b"\0"), "spc_3": (13, b"\3"), "reserved_0": (14, b"\0\0"), "fats_0": (16, b"\0"), "fats_255": (16, b"\xff"), "root_odd": (17, b"\x71\0"),
                      "total_0": (19, b"\0\0" + bytes(11) + b"\0\0\0\0"), "all_ones": (11, b"\xff" * 40), "zeros": (0, bytes(512))}
    if bits == 32:
        # It has no such root directory.
        del fields_of_boot["root_odd"]
    for what, (at, piece) in fields_of_boot.items():
        change = [(19, b"\0\0"), (32, b"\0\0\0\0")] if what == "total_0" else [(at, piece)]
        other = corpus.damaged(image, "%s_c_%s.img" % (name, what), change)
        for traversal, args in (("fat.bpb", {}), ("fat.path", {"path": "/HELLO.TXT"}), ("fat.read", {"path": "/DIR/f1.bin", "offset": 0, "length": 10})):
            corpus.add(other, traversal, args, {"error": True}, "the boot sector is damaged", ["corrupt"])
    for size in (0, 1, 511, 512, fat, fat + 3, fields["data_offset"] - 1, fields["data_offset"] + 100):
        other = corpus.damaged(image, "%s_c_cut%d.img" % (name, size), lambda data: data[:size])
        corpus.add(other, "fat.read", {"path": "/DIR/refill", "offset": 0, "length": 1 << 20}, {"error": True}, "the image is cut short", ["corrupt"])
        corpus.add(other, "fat.walk", {"path": "/"}, {"error": True}, "the image is cut short", ["corrupt"])


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("mkfs.fat", "fsck.fat", "mcopy", "mshowfat", "minfo"):
        return
    corpus = Corpus(folder, "fat")
    for number_of, (name, (kib, options, what)) in enumerate(wanted.items(), 1):
        image = corpus.image(name + ".img")
        with tempfile.TemporaryDirectory() as source:
            bad = []
            if "bad" in what:
                with open(os.path.join(source, "bad"), "w") as f:
                    f.write("".join("%d\n" % b for b in what["bad"]))
                bad = ["-l", os.path.join(source, "bad")]
            try:
                if what.get("maker") == "mformat":
                    run("mformat", "-C", "-i", image, "-N", "C0FFEE%02X" % number_of, "-v", "VOLUME %d" % number_of, *options, "::")
                else:
                    run("mkfs.fat", "-i", "C0FFEE%02X" % number_of, "-n", "VOLUME %d" % number_of, *options, *bad, "-C", image, str(kib))
                fields = parameters(image)
                what = {**what, "kib": kib, "cluster": fields["bytes_per_sector"] * fields["sectors_per_cluster"]}
                put, tool = fill(image, source, what)
            except RuntimeError as error:
                print("%s: not made: %s" % (name, error), file=sys.stderr)
                continue
            if "active" in what:
                # The first FAT is scrap, and not looked at.
                with open(image, "r+b") as f:
                    f.seek(40)
                    f.write(bytes([0x80 | what["active"]]))
                    f.seek(fields["reserved_sectors"] * fields["bytes_per_sector"])
                    f.write(b"\xee" * 4096)
            if "clusters" in what:
                # mtools takes so small a volume for another width: it is asked about a copy with all clusters.
                whole = shutil.copy(image, source)
                tool = lambda *words: run(words[0], "-i", whole, *words[1:], env={"MTOOLS_SKIP_CHECK": "1", "PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", "TZ": "UTC"})
                total = fields["data_offset"] // fields["bytes_per_sector"] + what["clusters"] * fields["sectors_per_cluster"]
                fields |= {"cluster_count": what["clusters"], "total_sectors": total}
                with open(image, "r+b") as f:
                    f.seek(32)
                    f.write(struct.pack("<I", total))
            if "high_bits" in what:
                # The four high bits of an entry are not a part of the number.
                with open(image, "r+b") as f:
                    for copy in range(fields["num_fats"]):
                        at = (fields["reserved_sectors"] + copy * fields["fat_sectors"]) * fields["bytes_per_sector"]
                        f.seek(at)
                        entries = struct.unpack("<%dI" % (fields["cluster_count"] + 2), f.read(4 * fields["cluster_count"] + 8))
                        f.seek(at)
                        f.write(struct.pack("<%dI" % len(entries), *(e | (i % 16) << 28 if i > 1 else e for i, e in enumerate(entries))))
            ask(corpus, image, put, tool, fields)
            if name in ("12_1440", "16_s1", "32"):
                damage(corpus, image, put, tool, fields)
        print("%s: %d queries so far" % (name, corpus.count), file=sys.stderr)


if __name__ == "__main__":
    main()
