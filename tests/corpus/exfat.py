#!/usr/bin/env python3
"""Makes exFAT images in many variants, and queries with answers by dump.exfat, the Sleuth Kit and the files put in.

    exfat.py DIR [VARIANT…]      needs exfatprogs, exfat-fuse (as root, for loop devices) and sleuthkit

Variants: sector sizes 512 to 4096, clusters of 512 bytes to 4 MiB, files in a row and fragmented, names of every length and case, deleted sets, and images
damaged on purpose, with their checksums made right again where the damage is elsewhere."""
from corpus import *
import struct, time

# name: (size in KiB, options of mkfs.exfat, bytes of the device's sectors)
VARIANTS = {
    "default": (16384, ["-L", "OPENEXF"], 512),
    "c512": (8192, ["-c", "512", "-L", "\u00fcml\u00e4ut"], 512),
    "c1k": (8192, ["-c", "1K"], 512),
    "c2k": (8192, ["-c", "2K", "-L", "ELEVENCHARS"], 512),
    "c8k": (16384, ["-c", "8K"], 512),
    "c32k": (32768, ["-c", "32K"], 512),
    "c128k": (65536, ["-c", "128K"], 512),
    "c1m": (262144, ["-c", "1M"], 512),
    "packed": (16384, ["--pack-bitmap"], 512),
    "aligned": (65536, ["-b", "4M"], 512),
    "s4k": (65536, [], 4096),
    "s4k_c4k": (32768, ["-c", "4K"], 4096),
    "s4k_c64k": (65536, ["-c", "64K", "-L", "SECTORS"], 4096),
    "s2k": (32768, ["-c", "8K"], 2048),
    "s1k": (16384, ["-c", "1K"], 1024),
    "c4m": (524288, ["-c", "4M", "--pack-bitmap"], 512),
    "full_format": (16384, ["-f"], 512),
}


def fields_of(image):
    text = run("dump.exfat", image)
    get = lambda name, base=10: int(re.search(r"(?m)^%s\s*(?:0x)?([0-9a-fA-F]+)\s*$" % re.escape(name), text).group(1), base)
    boot = {"volume_length": get("Volume Length(sectors):"), "fat_offset": get("FAT Offset(sector offset):"), "fat_length": get("FAT Length(sectors):"),
            "cluster_heap_offset": get("Cluster Heap Offset (sector offset):"), "cluster_count": get("Cluster Count:"), "root_cluster": get("Root Cluster (cluster offset):"),
            "serial": get("Volume Serial:", 16), "sector_shift": get("Sector Size Bits:"), "cluster_shift": get("Sector per Cluster bits:")}
    root = {"bitmap_cluster": get("Bitmap start cluster:"), "bitmap_size": get("Bitmap size:"), "upcase_cluster": get("Upcase table start cluster:"), "upcase_size": get("Upcase table size:"),
            "free_clusters": get("Free Clusters:"), "label": re.search(r"Volume label:[ \t]*(.*?)\s*$", text, re.M).group(1)}
    return boot, root


def fill(mounted, cluster):
    put = {}
    def folder(path):
        os.mkdir(mounted + path)
        put[path] = None
    def file(path, data):
        with open(mounted + path, "wb") as f:
            f.write(data)
        put[path] = data
    def gone(path):
        os.remove(mounted + path)
        del put[path]
    file("/hello.txt", b"hello world\n")
    file("/empty", b"")
    file("/contig.bin", pattern(100000, "c"))
    folder("/dir")
    folder("/dir/sub")
    folder("/dir/sub/deep")
    file("/dir/sub/deep/leaf", b"leaf")
    folder("/names")
    for n in (1, 2, 14, 15, 16, 29, 30, 31, 45, 46, 254, 255):
        file("/names/" + "n" * n, pattern(n, "n"))
    for i, name in enumerate(("MiXed CaSe.TxT", "a.b.c", ".hidden", "spaces  in  it", "\u00fcml\u00e4ut \u00df.txt", "\u0416\u0438\u0437\u043d\u044c", "\u4f60\u597d", "\U0001f600 smile", "\u01c6\u0133\u1e9e",
                              "plus+,;=[x]", "\u0101\u0103\u0151", "\u03b1\u03b2\u03c2\u03c3", "\uff41\uff42", "\u0561\u0562", "\u10d0\u2170\u24d0")):
        file("/names/" + name, b"%d" % i)
    folder("/many")
    for i in range(300 if cluster < 65536 else 60):
        file("/many/entry number %03d" % i, b"")
    for i in range(0, 60, 3):
        gone("/many/entry number %03d" % i)
    for i in range(0, 30, 7):
        file("/many/again %d with a name of more than thirty units" % i, b"r%d" % i)
    piece = max(cluster, 4096)
    for i in range(10):
        file("/dir/f%d" % i, pattern(2 * piece, "f"))
    os.sync()
    for i in range(0, 10, 2):
        gone("/dir/f%d" % i)
    # exfat-fuse takes free clusters in order only where the end of the volume is near: fill it, and take the holes.
    file("/dir/fragmented.bin", pattern(9 * piece + 77, "g"))
    with open(mounted + "/dir/grown", "wb") as f, open(mounted + "/dir/other", "wb") as g:
        for i in range(6):
            for h, salt in ((f, "x"), (g, "y")):
                h.write(pattern(piece, salt))
                h.flush()
                os.fsync(h.fileno())
    put["/dir/grown"] = pattern(piece, "x") * 6
    put["/dir/other"] = pattern(piece, "y") * 6
    for n in (cluster - 1, cluster, cluster + 1):
        if n < 300000:
            file("/dir/size%d" % n, pattern(n, "s"))
    return put


def ask(corpus, image, put):
    boot, root = fields_of(image)
    corpus.add(image, "exfat.boot", {}, boot, "dump.exfat")
    corpus.add(image, "exfat.root_entries", {}, root, "dump.exfat")
    folders = ["/"] + [p for p, data in put.items() if data is None]
    for folder in folders:
        inside = {p.rsplit("/", 1)[1]: data for p, data in put.items() if p.rsplit("/", 1)[0] == folder.rstrip("/")}
        entries = sorted(([n, None if d is None else len(d)] for n, d in inside.items()), key=lambda e: e[0].encode())
        corpus.add(image, "exfat.readdir", {"path": folder}, listed("entries", entries), "the files put in")
    inodes = {m.group(2): m.group(1) for m in re.finditer(r"(?m)^[rd]/[rd] (\d+):\t(.*)$", run("fls", "-f", "exfat", "-r", "-p", "-u", image))}
    per = 1 << boot["cluster_shift"]
    chains = {}
    for i, (path, data) in enumerate(put.items()):
        if path.startswith("/many/") and i % 12:
            continue
        expect = {"is_dir": data is None, "size": len(data)} if data is not None else {"is_dir": True}
        if (number := inodes.get(path[1:])) and (data is None or data):
            sectors = run("istat", "-f", "exfat", image, number).split("Sectors:", 1)[-1]
            clusters = [(int(s) - boot["cluster_heap_offset"]) // per + 2 for s in re.findall(r"\d+", sectors)][::per]
            if clusters:
                chains[path] = clusters
                expect["first_cluster"] = clusters[0]
                corpus.add(image, "exfat.chain", {"path": path}, {"n_clusters": len(clusters), "runs": runs(clusters)}, "istat -f exfat")
        corpus.add(image, "exfat.path", {"path": path}, expect, "the files put in, istat")
        spelt = path.swapcase() if len(path.swapcase()) == len(path) and path.swapcase().swapcase() == path and path.isascii() else path
        corpus.add(image, "exfat.path", {"path": spelt}, expect, "the files put in, istat")
        if data is not None:
            corpus.add(image, "exfat.read", {"path": path, "offset": 0, "length": len(data) + 7}, content(data), "the file put in")
            half = len(data) // 2
            corpus.add(image, "exfat.read", {"path": path, "offset": half, "length": 33}, {"hex": data[half:half + 33].hex()}, "the file put in")
    for lower, upper in (("/names/\u00fcml\u00e4ut \u00df.txt", "/names/\u00dcML\u00c4UT \u00df.TXT"), ("/names/\u0416\u0438\u0437\u043d\u044c", "/names/\u0416\u0418\u0417\u041d\u042c"), ("/names/\u03b1\u03b2\u03c2\u03c3", "/names/\u0391\u0392\u03c2\u03a3")):
        corpus.add(image, "exfat.path", {"path": upper}, {"size": len(put[lower])}, "the up-case table of the specification")
    n_dirs = len(folders) - 1
    corpus.add(image, "exfat.walk", {"path": "/"}, {"n_dirs": n_dirs, "n_nondirs": len(put) - n_dirs}, "the files put in")
    for path in ("/none", "/dir/none", "/hello.txt/x", "/many/entry number 003", "/names/" + "n" * 253):
        corpus.add(image, "exfat.path", {"path": path}, {"found": False}, "no such name")
    return boot, chains


def boot_sum(data, sector):
    total = 0
    for i in range(11 * sector):
        if i not in (106, 107, 112):
            total = ((total & 1) << 31 | total >> 1) + data[i] & 0xffffffff
    return struct.pack("<I", total)


def damage(corpus, image, name, put, boot, chains):
    """Copies with one thing wrong each; what is not on the way still reads."""
    sector = 1 << boot["sector_shift"]
    cluster = sector << boot["cluster_shift"]
    heap = boot["cluster_heap_offset"] * sector
    fat = boot["fat_offset"] * sector
    with open(image, "rb") as f:
        whole = f.read()
    place = lambda c: heap + (c - 2) * cluster
    def query(what, change, path, walks, control=True):
        other = corpus.damaged(image, "%s_c_%s.img" % (name, what), change)
        for walk in walks:
            args = {"offset": 0, "length": 1 << 20} if walk == "exfat.read" else {}
            corpus.add(other, walk, {**args, **({} if walk in ("exfat.boot", "exfat.root_entries") else {"path": path})}, {"error": True}, "damaged on purpose", ["corrupt"])
        if control:
            corpus.add(other, "exfat.read", {"path": "/hello.txt", "offset": 0, "length": 100}, content(b"hello world\n"), "an unchanged file", ["control"])
    for what, at, piece in (("magic", 3, b"FATEX   "), ("signature", 510, b"\0\0"), ("shift8", 108, b"\x08"), ("shift13", 108, b"\x0d"), ("cluster_shift", 109, b"\x19"), ("fats0", 110, b"\0"),
                            ("count_ones", 92, b"\xff" * 4), ("root_0", 96, bytes(4)), ("root_oob", 96, struct.pack("<I", boot["cluster_count"] + 2)), ("fat_length_0", 84, bytes(4))):
        def change(data):
            data[at:at + len(piece)] = piece
            total = boot_sum(data, sector)
            data[11 * sector:12 * sector] = total * (sector // 4)
        query("boot_" + what, change, "/hello.txt", ("exfat.boot", "exfat.path"), control=False)
    query("boot_sum", [(11 * sector, b"\1\2\3\4")], "/hello.txt", ("exfat.boot", "exfat.path"), control=False)
    query("boot_flip", [(600, b"\1")], "/hello.txt", ("exfat.boot",), control=False)
    # A set of entries, found by the number of its first cluster in its second entry.
    victim = next((p for p in ("/dir/fragmented.bin", "/dir/grown", "/dir/other") if chains.get(p) and len(runs(chains[p])) > 1), None)
    sets = {p: whole.find(struct.pack("<I", chains[p][0]), heap) for p in ("/contig.bin",) if p in chains}
    for path, at in sets.items():
        while whole[at - 20] != 0xc0 or whole[at - 52] != 0x85:
            at = whole.find(struct.pack("<I", chains[path][0]), at + 1)
        first = at - 52
        followers = whole[first + 1]
        def again(data):
            total = 0
            for i in range(32 * (data[first + 1] + 1)):
                if i not in (2, 3):
                    total = ((total & 1) << 15 | total >> 1) + data[first + i] & 0xffff
            data[first + 2:first + 4] = struct.pack("<H", total)
        def set_to(at, piece, fix=True):
            def change(data):
                data[at:at + len(piece)] = piece
                if fix:
                    again(data)
            return change
        query("set_sum", set_to(first + 2, b"\0\0", False), path, ("exfat.path", "exfat.readdir"), control=False)
        query("set_cluster_oob", set_to(at, b"\xff\xff\xff\xff"), path, ("exfat.read", "exfat.chain"))
        query("set_cluster_1", set_to(at, b"\1\0\0\0"), path, ("exfat.read", "exfat.chain"))
        query("set_size_ones", set_to(at + 4, b"\xff" * 8), path, ("exfat.read", "exfat.chain"))
        query("set_valid", set_to(at - 12, b"\xff" * 7 + b"\x7f"), path, ("exfat.read",))
        query("set_valid_more", set_to(at - 12, struct.pack("<Q", int.from_bytes(whole[at + 4:at + 12], "little") + 1)), path, ("exfat.path", "exfat.readdir"), control=False)
        query("set_followers_more", set_to(first + 1, bytes([followers + 1])), path, ("exfat.path", "exfat.readdir"), control=False)
        query("set_no_stream", set_to(first + 32, b"\xc1"), path, ("exfat.path",), control=False)
        query("set_followers_1", set_to(first + 1, b"\1"), path, ("exfat.path",), control=False)
    label = place(boot["root_cluster"])
    if whole[label] == 0x83:
        # fsck.exfat takes note of it, and goes on.
        query("label_12", [(label + 1, b"\x0c")], None, ())
    if victim:
        chain = chains[victim]
        at = next(i for i in range(1, len(chain)) if chain[i] != chain[i - 1] + 1) - 1
        for what, value in (("self", chain[at]), ("back", chain[0]), ("free", 0), ("one", 1), ("bad", 0xfffffff7), ("oob", boot["cluster_count"] + 2), ("short", 0xffffffff)):
            query("chain_" + what, [(fat + 4 * chain[at], struct.pack("<I", value))], victim, ("exfat.read",) if what == "short" else ("exfat.read", "exfat.chain"))
    many = chains["/many"]
    # Where the directory is in a row the table says nothing of it.
    in_table = len(many) > 1 and whole[fat + 4 * many[0]:fat + 4 * many[0] + 4] == struct.pack("<I", many[1])
    for what, at, value in (("self", many[0], many[0]), ("oob", many[0], boot["cluster_count"] + 9), ("free", many[0], 0)) if in_table else ():
        query("dir_" + what, [(fat + 4 * at, struct.pack("<I", value))], "/many", ("exfat.readdir",))
        query("dir_%s_path" % what, [(fat + 4 * at, struct.pack("<I", value))], "/many/none", ("exfat.path",))
    for size in (0, 1, 512, 11 * sector, fat + 1, heap - 1, heap + 5):
        query("cut%d" % size, lambda data: data[:size], "/contig.bin", ("exfat.read",), control=False)


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("mkfs.exfat", "dump.exfat", "mount.exfat-fuse", "istat", "fls", "losetup"):
        return
    corpus = Corpus(folder, "exfat")
    for name, (kib, options, sector) in wanted.items():
        image = corpus.image(name + ".img")
        mounted = tempfile.mkdtemp()
        loop = None
        try:
            run("truncate", "-s", "%dK" % kib, image)
            loop = run("losetup", "--show", "-b", str(sector), "-f", image).strip()
            run("mkfs.exfat", *options, loop)
            run("mount.exfat-fuse", loop, mounted)
            boot, _ = fields_of(image)
            put = fill(mounted, 1 << boot["sector_shift"] + boot["cluster_shift"])
            run("umount", mounted)
            time.sleep(0.2)
        except (RuntimeError, OSError) as error:
            print("%s: not made: %s" % (name, error), file=sys.stderr)
            subprocess.run(["umount", mounted], capture_output=True)
            continue
        finally:
            if loop:
                run("losetup", "-d", loop)
            os.rmdir(mounted)
        boot, chains = ask(corpus, image, put)
        if name in ("default", "c512"):
            damage(corpus, image, name, put, boot, chains)
        print("%s: %d queries so far" % (name, corpus.count), file=sys.stderr)


if __name__ == "__main__":
    main()
