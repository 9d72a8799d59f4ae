#!/usr/bin/env python3
"""Makes qcow2 images in many variants, and queries with answers by qemu-img, qemu-io and the bytes written.

    qcow2.py DIR [VARIANT…]      needs qemu-utils

Variants: versions 2 and 3, clusters of 512 bytes to 2 MiB, reference counts of 1 to 64 bits, subclusters, both compressions, backing files (qcow2 and
raw, chains, shorter and longer ones), snapshots, data files, preallocation, lazy reference counts, bitmaps, zeros in all their forms, images resized and
amended, encrypted ones, and damaged ones."""
from corpus import *
import struct

SIZE = 4 << 20
# name: (options, what else)
VARIANTS = {
    "default": ({}, {}),
    "v2": ({"compat": "0.10"}, {}),
    **{"c%d" % (1 << b): ({"cluster_size": str(1 << b)}, {}) for b in range(9, 22)},
    **{"rc%d" % (1 << b): ({"refcount_bits": str(1 << b)}, {}) for b in range(7)},
    "v2_c512": ({"compat": "0.10", "cluster_size": "512"}, {}),
    "lazy": ({"lazy_refcounts": "on"}, {}),
    "metadata": ({"preallocation": "metadata"}, {}),
    "falloc": ({"preallocation": "falloc"}, {}),
    "full": ({"preallocation": "full", "cluster_size": "4096"}, {}),
    "ext_l2": ({"extended_l2": "on"}, {}),
    "ext_l2_16k": ({"extended_l2": "on", "cluster_size": "16384"}, {}),
    "ext_l2_2m": ({"extended_l2": "on", "cluster_size": "2097152"}, {}),
    "zlib": ({"compression_type": "zlib"}, {"compressed": True}),
    "zstd": ({"compression_type": "zstd"}, {"compressed": True}),
    "zlib_512": ({"cluster_size": "512"}, {"compressed": True}),
    "zlib_2m": ({"cluster_size": "2097152"}, {"compressed": True}),
    "zstd_ext": ({"compression_type": "zstd", "extended_l2": "on"}, {"compressed": True}),
    "backing": ({}, {"backing": "qcow2"}),
    "backing_raw": ({"cluster_size": "4096"}, {"backing": "raw"}),
    "backing_short": ({}, {"backing": "qcow2", "backing_size": SIZE // 2 + 1536}),
    "backing_raw_short": ({}, {"backing": "raw", "backing_size": SIZE // 2 + 512}),
    "backing_long": ({}, {"backing": "qcow2", "backing_size": 2 * SIZE}),
    "backing_chain": ({"cluster_size": "4096"}, {"backing": "qcow2", "chain": True}),
    "backing_ext_l2": ({"extended_l2": "on"}, {"backing": "qcow2"}),
    "backing_v2": ({"compat": "0.10"}, {"backing": "qcow2"}),
    "data_file": ({"data_file": True}, {}),
    "data_file_raw": ({"data_file": True, "data_file_raw": "on"}, {}),
    "data_file_512": ({"data_file": True, "cluster_size": "512"}, {}),
    "snapshots": ({}, {"snapshots": True}),
    "snapshots_v2": ({"compat": "0.10", "cluster_size": "4096"}, {"snapshots": True}),
    "snapshots_rc1": ({"cluster_size": "4096", "refcount_bits": "16"}, {"snapshots": True, "many": 12}),
    "snapshots_ext": ({"extended_l2": "on"}, {"snapshots": True}),
    "odd_size": ({"cluster_size": "65536"}, {"size": SIZE + 512 * 3}),
    "empty": ({}, {"size": 0}),
    "big": ({}, {"size": 1 << 40}),
    "huge": ({"cluster_size": "2097152"}, {"size": 1 << 55}),
    "c512_large": ({"cluster_size": "512"}, {"size": 512 << 20}),
    "metadata_backing": ({"preallocation": "metadata", "extended_l2": "on"}, {"backing": "qcow2"}),
    "metadata_512": ({"preallocation": "metadata", "cluster_size": "512"}, {}),
    "falloc_ext": ({"preallocation": "falloc", "extended_l2": "on", "cluster_size": "16384"}, {}),
    "bitmaps": ({}, {"after": [["qemu-img", "bitmap", "--add", "{}", "first"], ["qemu-img", "bitmap", "--add", "--disable", "-g", "131072", "{}", "second"]]}),
    "snapshots_grown": ({"cluster_size": "4096"}, {"snapshots": True, "after": [["qemu-img", "resize", "-q", "{}", "9M"]], "size_after": 9 << 20}),
    "snapshots_deleted": ({}, {"snapshots": True, "many": 4, "after": [["qemu-img", "snapshot", "-d", "snap 1", "{}"]], "gone": ["snap 1"]}),
    "shrunk": ({}, {"after": [["qemu-img", "resize", "-q", "--shrink", "{}", str(SIZE // 2 + 65536)]], "size_after": SIZE // 2 + 65536}),
    "upgraded": ({"compat": "0.10"}, {"after": [["qemu-img", "amend", "-o", "compat=1.1,lazy_refcounts=on", "{}"]]}),
    "downgraded": ({}, {"after": [["qemu-img", "amend", "-o", "compat=0.10", "{}"]]}),
    "amended_rc": ({}, {"after": [["qemu-img", "amend", "-o", "refcount_bits=64", "{}"]]}),
    "dirty": ({"lazy_refcounts": "on"}, {"incompatible": 1}),
    "corrupt": ({}, {"incompatible": 2}),
    "encrypted": ({"encrypt.format": "luks"}, {}),
    "encrypted_small": ({"encrypt.format": "luks", "encrypt.cipher-alg": "aes-128", "cluster_size": "4096"}, {}),
}


def writes(size, cluster, salt):
    """What is written: (offset, length, salt or None for zeros, options)."""
    if size == 0:
        return []
    c = cluster
    out = [(0, 512, salt + "a"), (c, c, salt + "b"), (3 * c + 512, 1024, salt + "c"), (SIZE // 2, 2 * c, salt + "d"), (SIZE - 1024, 1024, salt + "e")]
    return [(o, n, s) for o, n, s in out if o + n <= size]


def qemu_io(image, commands, *options):
    run("qemu-io", *options, *sum((["-c", c] for c in commands), []), image)


def fill(image, source, plan, disk, zeros=()):
    """Writes; `disk` keeps what the guest sees as a dictionary of sectors."""
    commands = []
    for i, (offset, length, salt) in enumerate(plan):
        data = pattern(length, salt)
        local = os.path.join(source, "w%d" % i)
        with open(local, "wb") as f:
            f.write(data)
        commands.append("write -s %s %d %d" % (local, offset, length))
        for s in range(length // 512):
            disk[offset // 512 + s] = data[512 * s:512 * s + 512]
    for offset, length, unmap in zeros:
        commands.append("write -z %s %d %d" % ("-u" if unmap else "", offset, length))
        for s in range(length // 512):
            disk[offset // 512 + s] = bytes(512)
    if commands:
        qemu_io(image, commands)


def bytes_of(disk, offset, length):
    first, last = offset // 512, (offset + length - 1) // 512
    return b"".join(disk.get(s, bytes(512)) for s in range(first, last + 1))[offset % 512:][:length]


def make(corpus, name, options, what, source):
    image = corpus.image(name + ".qcow2")
    size = what.get("size", SIZE)
    disk = {}
    base = []
    if "backing" in what:
        below = what["backing_size"] if "backing_size" in what else size
        lower = []
        if what.get("chain"):
            root = corpus.image(name + ".root.raw")
            run("qemu-img", "create", "-q", "-f", "raw", root, str(below))
            with open(root, "r+b") as f:
                for offset in range(0, below, 65536):
                    f.seek(offset)
                    f.write(pattern(512, "r"))
                    disk[offset // 512] = pattern(512, "r")
            lower = ["-b", os.path.basename(root), "-F", "raw"]
        backing = corpus.image("%s.base.%s" % (name, what["backing"]))
        run("qemu-img", "create", "-q", "-f", what["backing"], *lower, os.path.basename(backing), str(below), cwd=os.path.dirname(backing))
        plan = [(o, n, s) for o, n, s in [(65536, 131072, "u"), (1 << 20, 4096, "v"), (SIZE // 2 - 512, 2048, "w"), (3 << 20, 1024, "x"), (5 << 20, 1024, "y")] if o + n <= below]
        commands = []
        for i, (offset, length, salt) in enumerate(plan):
            local = os.path.join(source, "b%d" % i)
            with open(local, "wb") as f:
                f.write(pattern(length, salt))
            commands.append("write -s %s %d %d" % (local, offset, length))
            for s in range(length // 512):
                disk[offset // 512 + s] = pattern(length, salt)[512 * s:512 * s + 512]
        qemu_io(backing, commands, "-f", what["backing"])
        base = ["-b", os.path.basename(backing), "-F", what["backing"]]
    words = []
    for key, value in options.items():
        words.append("%s=%s" % (key, os.path.basename(corpus.image(name + ".data")) if value is True else value))
    run("qemu-img", "create", "-q", "-f", "qcow2", *base, *(["-o", ",".join(words)] if words else []), os.path.basename(image), str(size), cwd=os.path.dirname(image))
    for s in [s for s in disk if s * 512 >= size]:
        del disk[s]
    cluster = int(options.get("cluster_size", 65536))
    here = dict(cwd=os.path.dirname(image))
    os_before = os.getcwd()
    os.chdir(os.path.dirname(image))
    try:
        if what.get("compressed"):
            plan = [(0, 4 * cluster, "z"), (SIZE // 2, cluster, "k")] if cluster < 1 << 20 else [(0, cluster, "z"), (cluster, cluster, "k")]
            for i, (offset, length, salt) in enumerate(plan):
                data = pattern(length, salt)
                with open(os.path.join(source, "z"), "wb") as f:
                    f.write(data)
                qemu_io(image, ["write -c -s %s %d %d" % (os.path.join(source, "z"), offset, length)])
                for s in range(length // 512):
                    disk[offset // 512 + s] = data[512 * s:512 * s + 512]
            fill(image, source, [(SIZE - 1024, 1024, "e")], disk)
            snapshots = []
        else:
            zeros = [(SIZE // 4, 2 * cluster, False), (SIZE // 2, cluster, True)] if size >= SIZE and options.get("compat") != "0.10" and cluster < 1 << 20 else []
            fill(image, source, writes(size, cluster, "p"), disk, zeros)
            snapshots = []
            if what.get("snapshots"):
                for i in range(what.get("many", 2)):
                    run("qemu-img", "snapshot", "-c", "snap %d" % i if i else "first", image)
                    snapshots.append(("snap %d" % i if i else "first", dict(disk)))
                    fill(image, source, [(cluster * (i % 5), 512, "q%d" % i), (SIZE // 2 + 512 * i, 512, "t%d" % i)], disk)
        for command in what.get("after", ()):
            run(*(word.format(os.path.basename(image)) for word in command))
        if "incompatible" in what:
            with open(image, "r+b") as f:
                f.seek(79)
                f.write(bytes([what["incompatible"]]))
        snapshots = [s for s in snapshots if s[0] not in what.get("gone", ())]
        size = what.get("size_after", size)
        for s in [s for s in disk if s * 512 >= size]:
            del disk[s]
    finally:
        os.chdir(os_before)
    return image, size, cluster, disk, snapshots


def encrypted(corpus, name, options):
    """An image in cipher: a map says where its clusters are, and a read is refused."""
    image = corpus.image(name + ".qcow2")
    secret = ["--object", "secret,id=key,data=secret"]
    opened = [*secret, "--image-opts", "driver=qcow2,file.filename=%s,encrypt.key-secret=key" % image]
    words = {**options, "encrypt.key-secret": "key", "encrypt.iter-time": "10"}
    # qemu-img measures how fast the machine is, and gives up where others run on it.
    for tries_left in reversed(range(20)):
        try:
            run("qemu-img", "create", "-q", *secret, "-f", "qcow2", "-o", ",".join("%s=%s" % word for word in words.items()), image, str(SIZE))
            break
        except RuntimeError:
            if not tries_left:
                raise
    run("qemu-io", "-c", "write -P 1 0 128k", "-c", "write -P 2 1M 64k", "-c", "write -P 3 3M 512", *opened)
    corpus.add(image, "qcow2.header", {}, {"encrypted": True, "virtual_size": SIZE, "cluster_size": int(options.get("cluster_size", 65536))}, "the options")
    for s in json.loads(run("qemu-img", "map", "--output=json", *opened)):
        for offset in (s["start"], s["start"] + s["length"] - 1):
            corpus.add(image, "qcow2.map", {"offset": offset}, {"kind": "data" if s["present"] else "unallocated"}, "qemu-img map")
    for offset in (0, 1 << 20):
        corpus.add(image, "qcow2.read", {"offset": offset, "length": 512}, {"error": True}, "in cipher")


def ask(corpus, image, size, cluster, disk, snapshots, what):
    folder = os.path.dirname(image)
    info = json.loads(run("qemu-img", "info", "--output=json", os.path.basename(image), cwd=folder))
    data = info["format-specific"]["data"]
    corpus.add(image, "qcow2.header", {}, {"virtual_size": info["virtual-size"], "cluster_size": info["cluster-size"], "version": 2 if data["compat"] == "0.10" else 3, "refcount_bits": data["refcount-bits"],
               "backing_file": info.get("backing-filename"), "backing_format": info.get("backing-filename-format"), "data_file": data.get("data-file"), "n_snapshots": len(info.get("snapshots", [])),
               "lazy_refcounts": data.get("lazy-refcounts", False), "extended_l2": data.get("extended-l2", False), "corrupt_bit": data.get("corrupt", False), "compression_type": data["compression-type"]}, "qemu-img info")
    stretches = json.loads(run("qemu-img", "map", "--output=json", os.path.basename(image), cwd=folder)) if size else []
    totals = [0, 0]
    for s in stretches:
        if s["depth"] == 0 and s["present"]:
            totals[s["zero"] and not s["data"]] += s["length"]
        for offset in {s["start"], s["start"] + s["length"] // 2, s["start"] + s["length"] - 1}:
            if not s["present"]:
                expect = {"kind": "unallocated"}
            elif s["depth"]:
                expect = {"kind": "backing"}
            elif s["zero"] and not s["data"]:
                expect = {"kind": "zero"}
            elif "offset" in s:
                expect = {"kind": "data", "host_offset": s["offset"] + offset - s["start"]}
            else:
                expect = {"kind": "compressed"}
            corpus.add(image, "qcow2.map", {"offset": offset}, expect, "qemu-img map")
    corpus.add(image, "qcow2.allocated", {}, {"data_bytes": totals[0], "zero_bytes": totals[1]}, "qemu-img map")
    corpus.add(image, "qcow2.map", {"offset": size}, {"error": True}, "behind the end", ["bad_arg"])
    corpus.add(image, "qcow2.map", {"offset": 1 << 63}, {"error": True}, "behind the end", ["bad_arg"])
    if size:
        corpus.add(image, "qcow2.read", {"offset": size - 1, "length": 2}, {"error": True}, "behind the end", ["bad_arg"])
    reads = {(0, min(size, 70000)), (size - min(size, 2000), min(size, 2000))} | {(o, min(n, size - o)) for o, n in ((511, 3), (3 * cluster, 5000), (SIZE // 2 - 1000, 3000), (SIZE // 4 - 5, 200), (65536, 140000), (3 << 20, 2048)) if o < size}
    reads |= {(c * 512 - 5, 10) for c in sample(sorted(disk), 12) if c and c * 512 + 5 <= size}
    for offset, length in sorted(reads):
        if length:
            corpus.add(image, "qcow2.read", {"offset": offset, "length": length}, content(bytes_of(disk, offset, length)), "the bytes written")
    names = [s["name"] for s in info.get("snapshots", [])]
    corpus.add(image, "qcow2.snapshots", {}, {"n_snapshots": len(names), "names": names}, "qemu-img info")
    for name, state in snapshots:
        for offset, length in sorted(reads):
            if length and offset + length <= what.get("size", SIZE):
                corpus.add(image, "qcow2.read_snapshot", {"snapshot": name, "offset": offset, "length": length}, content(bytes_of(state, offset, length)), "the bytes written before the snapshot")
    corpus.add(image, "qcow2.read_snapshot", {"snapshot": "none", "offset": 0, "length": 1}, {"error": True}, "no such snapshot", ["bad_arg"])


def damage(corpus, image, name, cluster, disk):
    """Copies with one thing wrong each; bytes whose tables are sound still read."""
    with open(image, "rb") as f:
        whole = f.read()
    l1 = struct.unpack(">Q", whole[40:48])[0]
    l2 = struct.unpack(">Q", whole[l1:l1 + 8])[0] & 0x00fffffffffffe00
    header = {"magic": (0, b"QFJ\xfb"), "version_1": (4, b"\0\0\0\1"), "version_9": (4, b"\0\0\0\x09"), "bits_8": (20, b"\0\0\0\x08"), "bits_22": (20, b"\0\0\0\x16"), "bits_ones": (20, b"\xff" * 4),
              "size_ones": (24, b"\xff" * 8), "l1_size_0": (36, bytes(4)), "l1_size_ones": (36, b"\xff" * 4), "l1_ones": (40, b"\xff" * 8), "l1_odd": (40, struct.pack(">Q", l1 + 8)), "l1_oob": (40, struct.pack(">Q", 1 << 40)),
              "incompatible": (72, b"\x80" + bytes(7)), "refcount_order": (96, b"\0\0\0\x07"), "header_length": (100, b"\0\0\0\x50"), "crypt": (32, b"\0\0\0\x09")}
    for what, (at, piece) in header.items():
        if name == "v2" and at >= 72:
            continue
        other = corpus.damaged(image, "%s_c_%s.qcow2" % (name, what), [(at, piece)])
        corpus.add(other, "qcow2.read", {"offset": 0, "length": 32}, {"error": True}, "the header is damaged", ["corrupt"])
        corpus.add(other, "qcow2.map", {"offset": 0}, {"error": True}, "the header is damaged", ["corrupt"])
    sound = SIZE - 1000
    same_table = sound // cluster < cluster // 8
    for what, (at, value, whole_table) in {"l2_oob": (l1, 1 << 63 | 1 << 40, True), "l2_odd": (l1, 1 << 63 | l2 + 512, True), "l2_ones": (l1, (1 << 64) - 1, True), "cluster_oob": (l2, 1 << 63 | 1 << 40, False),
                                           "cluster_odd": (l2, 1 << 63 | cluster + 512, False), "compressed_oob": (l2, 1 << 62 | 1 << 40, False)}.items():
        if cluster == 512 and what.endswith("odd"):
            continue
        other = corpus.damaged(image, "%s_c_%s.qcow2" % (name, what), [(at, struct.pack(">Q", value))])
        corpus.add(other, "qcow2.read", {"offset": 0, "length": 32}, {"error": True}, "a table is damaged", ["corrupt"])
        if what != "compressed_oob":
            corpus.add(other, "qcow2.map", {"offset": 0}, {"error": True}, "a table is damaged", ["corrupt"])
        if not (whole_table and same_table):
            corpus.add(other, "qcow2.read", {"offset": sound, "length": 100}, content(bytes_of(disk, sound, 100)), "an unchanged part", ["control"])
    for size in (0, 3, 71, 103, cluster, l1 + 4, l2 + 4):
        other = corpus.damaged(image, "%s_c_cut%d.qcow2" % (name, size), lambda data: data[:size])
        corpus.add(other, "qcow2.read", {"offset": 0, "length": 32}, {"error": True}, "cut short", ["corrupt"])


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("qemu-img", "qemu-io"):
        return
    corpus = Corpus(os.path.abspath(folder), "qcow2")
    for name, (options, what) in wanted.items():
        with tempfile.TemporaryDirectory() as source:
            try:
                if "encrypt.format" in options:
                    encrypted(corpus, name, options)
                    continue
                image, size, cluster, disk, snapshots = make(corpus, name, options, what, source)
            except RuntimeError as error:
                print("%s: not made: %s" % (name, error), file=sys.stderr)
                continue
        ask(corpus, image, size, cluster, disk, snapshots, what)
        if name in ("default", "c512", "v2"):
            damage(corpus, image, name, cluster, disk)


if __name__ == "__main__":
    main()
