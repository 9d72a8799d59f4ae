#!/usr/bin/env python3
"""Makes ISO 9660 images in many variants, and queries with answers by isoinfo and the files put in.

    iso.py DIR [VARIANT…]      needs genisoimage and xorriso

Variants: levels 1 to 4, Rock Ridge with continuation areas and relocated directories, Joliet with short and long names, El Torito, translation tables,
relaxed names, HFS and UDF beside, files of several extents, and damaged images."""
from corpus import *
import struct

# name: (command, which trees it has)
VARIANTS = {
    "plain": (["genisoimage", "-iso-level", "1"], ("iso",)),
    "level2": (["genisoimage", "-iso-level", "2"], ("iso",)),
    "level3": (["genisoimage", "-iso-level", "3", "-allow-multidot", "-allow-lowercase"], ("iso",)),
    "level4": (["genisoimage", "-iso-level", "4"], ("iso",)),
    "relaxed": (["genisoimage", "-U"], ("iso",)),
    "no_version": (["genisoimage", "-N", "-d", "-l"], ("iso",)),
    "trans": (["genisoimage", "-T", "-R"], ("iso", "rr")),
    "rr": (["genisoimage", "-R"], ("iso", "rr")),
    "rr_rational": (["genisoimage", "-r"], ("iso", "rr")),
    "rr_no_move": (["genisoimage", "-R", "-D"], ("iso", "rr")),
    "joliet": (["genisoimage", "-J"], ("iso", "joliet")),
    "joliet_long": (["genisoimage", "-J", "-joliet-long"], ("iso", "joliet")),
    "both": (["genisoimage", "-R", "-J", "-joliet-long"], ("iso", "rr", "joliet")),
    "udf": (["genisoimage", "-R", "-J", "-joliet-long", "-udf"], ("iso", "rr", "joliet")),
    "boot": (["genisoimage", "-R", "-b", "hello.txt", "-c", "boot.cat", "-no-emul-boot"], ("iso", "rr")),
    "owners": (["genisoimage", "-R", "-uid", "70000", "-gid", "100", "-file-mode", "0640", "-dir-mode", "0711"], ("iso", "rr")),
    "longest_names": (["genisoimage", "-R", "-J", "-max-iso9660-filenames", "-allow-multidot", "-l"], ("iso", "rr", "joliet")),
    "ucs1": (["genisoimage", "-J", "-ucs-level", "1"], ("iso", "joliet")),
    "not_padded": (["genisoimage", "-R", "-no-pad", "-sysid", "SYSTEM OF 32 CHARACTERS AND MORE"], ("iso", "rr")),
    "no_rr_names": (["genisoimage", "-R", "-no-rr", "-iso-level", "2"], ("iso", "rr")),
    "level4_rr": (["genisoimage", "-R", "-iso-level", "4", "-allow-leading-dots"], ("iso", "rr")),
    "xorriso_offset": (["xorriso", "-as", "mkisofs", "-R", "-J", "-partition_offset", "16"], ("iso", "rr", "joliet")),
    "xorriso_sums": (["xorriso", "-as", "mkisofs", "-R", "--md5", "--xattr", "--acl"], ("iso", "rr")),
    "xorriso_hfsplus": (["xorriso", "-as", "mkisofs", "-R", "-J", "-hfsplus"], ("iso", "rr", "joliet")),
    "xorriso_1999": (["xorriso", "-as", "mkisofs", "-R", "-iso-level", "4"], ("iso", "rr")),
    "xorriso_old": (["xorriso", "-as", "mkisofs", "-r", "--old-exclude", "-d", "-relaxed-filenames", "-U"], ("iso", "rr")),
    "xorriso": (["xorriso", "-as", "mkisofs", "-R"], ("iso", "rr")),
    "xorriso_joliet": (["xorriso", "-as", "mkisofs", "-R", "-J", "-joliet-long"], ("iso", "rr", "joliet")),
    "xorriso_level3": (["xorriso", "-as", "mkisofs", "-R", "-iso-level", "3"], ("iso", "rr")),
}
OPTIONS = {"iso": [], "rr": ["-R"], "joliet": ["-J", "-j", "utf-8"]}


def tree(root):
    put = {}
    def file(path, data):
        path = root + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
        put[path[len(root):]] = data
    file("/hello.txt", b"hello world\n")
    file("/empty", b"")
    for n in (1, 2047, 2048, 2049, 70000):
        file("/sizes/s%d.bin" % n, pattern(n, "s"))
    deep = ""
    for i in range(12):
        deep += "/d%d" % i
        file(deep + "/file%d.txt" % i, b"deep %d" % i)
    for i in range(120):
        file("/many/file_%03d.dat" % i, pattern(i, "m"))
    for n in (1, 8, 9, 12, 30, 31, 37, 60, 64, 65, 100, 103, 150, 200, 240):
        file("/long/%d-%s" % (n, "n" * n), pattern(n, "n"))
    for name in ("Mixed.Case", "two.dots.txt", "with space", ".hidden", "noext", "plus+minus-", "tilde~1", "UPPER.TXT"):
        file("/names/" + name, name.encode())
    file("/two/part_0.dat", pattern(4096, "0"))
    file("/two/part_1.dat", pattern(3000, "1"))
    file("/two/z.dat", b"z")
    os.symlink("../hello.txt", root + "/names/link")
    os.symlink("/".join("c%d" % i for i in range(30)), root + "/names/" + "l" * 60)
    return put


def listing(image, options):
    """path: (lba, size, whether a directory) by isoinfo."""
    out, folder = {}, "/"
    # A directory that Rock Ridge moved has an empty file in its old place, which isoinfo shows as it stands.
    for line in run("isoinfo", "-l", "-i", image, *options, ok=(0, 1)).splitlines():
        if m := re.match(r"Directory listing of (/.*?)/?$", line):
            folder = m.group(1).rstrip("/")
        elif m := re.match(r"(\S)\S+ +\d+ +\d+ +\d+ +(\d+) \w+ +\d+ +\d+ \[ *(\d+) ([0-9a-f]{2})\] +(.*?)(?: -> .*)? *$", line):
            lba, size, is_dir = int(m.group(3)), int(m.group(2)), bool(int(m.group(4), 16) & 2)
            if m.group(1) == "d" and not is_dir:
                continue
            out[folder + "/" + m.group(5)] = (lba, size, is_dir)
    return out


def ask(corpus, image, trees, put):
    text = run("isoinfo", "-d", "-i", image)
    get = lambda name: re.search(r"(?m)^%s: ?(.*?)\s*$" % name, text).group(1)
    corpus.add(image, "iso.pvd", {}, {"volume_id": get("Volume id"), "system_id": get("System id"), "volume_size": int(get("Volume size is")), "block_size": int(get("Logical block size is"))}, "isoinfo -d")
    by_bytes = {}
    for tree in trees:
        found = listing(image, OPTIONS[tree])
        for path, (lba, size, is_dir) in found.items():
            if path.endswith(("/.", "/..")):
                continue
            if path.startswith(("/many", "/MANY")) and lba % 5:
                continue
            expect = {"is_dir": is_dir, "lba": lba} if is_dir else {"is_dir": False, "size": size, **({"lba": lba} if size else {})}
            corpus.add(image, "iso.path", {"tree": tree, "path": path}, expect, "isoinfo -l " + " ".join(OPTIONS[tree]))
            data = put.get(path) if tree == "rr" else None
            if tree != "rr" and not is_dir:
                raw = subprocess.run(["isoinfo", "-i", image, *OPTIONS[tree], "-x", path], capture_output=True).stdout
                data = raw if len(raw) == size else None
            if data is not None and not is_dir:
                corpus.add(image, "iso.read", {"tree": tree, "path": path, "offset": 0, "length": len(data)}, content(data), "isoinfo -x, the file put in")
                half = len(data) // 2
                corpus.add(image, "iso.read", {"tree": tree, "path": path, "offset": half, "length": 33}, {"hex": data[half:half + 33].hex()}, "isoinfo -x, the file put in")
        folders = {}
        for path in found:
            folder, name = path.rsplit("/", 1)
            if name not in (".", ".."):
                folders.setdefault(folder or "/", []).append(name)
        for path in ("/none", "/NONE.;1"):
            corpus.add(image, "iso.path", {"tree": tree, "path": path}, {"found": False}, "no such name")
    for tree in {"iso", "rr", "joliet"} - set(trees):
        corpus.add(image, "iso.path", {"tree": tree, "path": "/hello.txt"}, {"error": True}, "there is no such tree", ["bad_arg"])
    if "rr" in trees:
        # What was put in, relocated directories and all.
        for path, data in put.items():
            if not path.startswith("/many"):
                corpus.add(image, "iso.path", {"tree": "rr", "path": path}, {"is_dir": False, "size": len(data)}, "the file put in")
                corpus.add(image, "iso.read", {"tree": "rr", "path": path, "offset": 0, "length": len(data)}, content(data), "the file put in")


def damage(corpus, image, put):
    found = listing(image, [])
    with open(image, "rb") as f:
        whole = f.read()
    root = struct.unpack("<I", whole[16 * 2048 + 158:16 * 2048 + 162])[0] * 2048
    def record(name):
        at = root
        while whole[at + 33:at + 33 + whole[at + 32]] != name:
            at += whole[at] or 2048 - at % 2048
        return at
    folder, file = record(b"NAMES"), record(b"HELLO.TXT;1")
    sound = "/SIZES/S2049.BIN;1"
    data = put["/sizes/s2049.bin"]
    both = lambda n: struct.pack("<I", n) + struct.pack(">I", n)
    changes = {"magic": ([(16 * 2048 + 1, b"CD002")], "/HELLO.TXT;1", False), "no_end": ([(17 * 2048, bytes(2048))], None, True), "block_0": ([(16 * 2048 + 128, b"\0\0\0\0")], "/HELLO.TXT;1", False),
               "root_oob": ([(16 * 2048 + 158, both(1 << 30))], "/HELLO.TXT;1", False), "root_file": ([(16 * 2048 + 156 + 25, b"\0")], "/HELLO.TXT;1", False),
               "dir_oob": ([(folder + 2, both(1 << 30))], "/NAMES/NOEXT.;1", True), "dir_size": ([(folder + 10, both(0xffffffff))], "/NAMES/NONE.;1", True), "record_length": ([(folder, b"\x20")], "/NAMES/NOEXT.;1", False),
               "name_length": ([(folder + 32, b"\xff")], "/NAMES/NOEXT.;1", False)}
    for what, (change, path, control) in changes.items():
        other = corpus.damaged(image, "plain_c_%s.iso" % what, change)
        if path:
            corpus.add(other, "iso.path", {"tree": "iso", "path": path}, {"error": True}, "damaged on purpose", ["corrupt"])
        if control:
            corpus.add(other, "iso.read", {"tree": "iso", "path": sound, "offset": 0, "length": 9999}, content(data), "an unchanged file", ["control"])
    other = corpus.damaged(image, "plain_c_file_oob.iso", [(file + 2, both(1 << 30))])
    corpus.add(other, "iso.read", {"tree": "iso", "path": "/HELLO.TXT;1", "offset": 0, "length": 100}, {"error": True}, "damaged on purpose", ["corrupt"])
    other = corpus.damaged(image, "plain_c_file_size.iso", [(file + 10, both(0xffffffff))])
    corpus.add(other, "iso.read", {"tree": "iso", "path": "/HELLO.TXT;1", "offset": 1 << 31, "length": 100}, {"error": True}, "damaged on purpose", ["corrupt"])
    other = corpus.damaged(image, "plain_c_dir_self.iso", [(folder + 2, both(root // 2048))])
    corpus.add(other, "iso.path", {"tree": "iso", "path": "/NAMES/NAMES/NAMES/NONE"}, {"found": False}, "a bounded walk all the same", ["corrupt"])
    for size in (0, 100, 16 * 2048, 17 * 2048, root):
        other = corpus.damaged(image, "plain_c_cut%d.iso" % size, lambda data: data[:size])
        corpus.add(other, "iso.path", {"tree": "iso", "path": "/HELLO.TXT;1"}, {"error": True}, "cut short", ["corrupt"])


def sections(corpus, image, put):
    """A file of two sections: tools make such for files above 4 GiB only, so that two files beside each other become one here."""
    with open(image, "rb") as f:
        whole = f.read()
    first, second = whole.index(b"\x0cPART_0.DAT;1"), whole.index(b"\x0cPART_1.DAT;1")
    other = corpus.damaged(image, "plain_sections.iso", [(first - 32 + 25, bytes([whole[first - 32 + 25] | 0x80])), (second + 1, b"PART_0.DAT;1")])
    data = put["/two/part_0.dat"] + put["/two/part_1.dat"]
    lba = int.from_bytes(whole[first - 32 + 2:first - 32 + 6], "little")
    corpus.add(other, "iso.path", {"tree": "iso", "path": "/TWO/PART_0.DAT;1"}, {"lba": lba, "size": len(data), "is_dir": False}, "the files put in")
    corpus.add(other, "iso.read", {"tree": "iso", "path": "/TWO/PART_0.DAT;1", "offset": 0, "length": 1 << 20}, content(data), "the files put in")
    corpus.add(other, "iso.read", {"tree": "iso", "path": "/TWO/PART_0.DAT;1", "offset": 4090, "length": 12}, {"hex": data[4090:4102].hex()}, "the files put in")
    corpus.add(other, "iso.path", {"tree": "iso", "path": "/TWO/PART_1.DAT;1"}, {"found": False}, "the files put in")
    corpus.add(other, "iso.read", {"tree": "iso", "path": "/TWO/Z.DAT;1", "offset": 0, "length": 100}, content(b"z"), "the files put in")


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("genisoimage", "isoinfo", "xorriso"):
        return
    corpus = Corpus(folder, "iso", "iso9660")
    for name, (command, trees) in wanted.items():
        image = corpus.image(name + ".iso")
        with tempfile.TemporaryDirectory() as source:
            put = tree(source)
            try:
                run(*command, "-quiet", "-V", "OPENISO", "-o", image, source)
            except RuntimeError as error:
                print("%s: not made: %s" % (name, error), file=sys.stderr)
                continue
        ask(corpus, image, trees, put)
        if name == "plain":
            damage(corpus, image, put)
            sections(corpus, image, put)
        print("%s: %d queries so far" % (name, corpus.count), file=sys.stderr)


if __name__ == "__main__":
    main()
