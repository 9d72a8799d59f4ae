#!/usr/bin/env python3
"""Makes databases in file systems in partitions in disks, and queries through all layers, answered by SQLite, debugfs, mtools and the files put in.

    nested.py DIR [VARIANT…]      needs e2fsprogs, dosfstools, mtools, fdisk (sfdisk), qemu-utils and Python's sqlite3

A query's arguments name the layers from the outside: `container` (qcow2, or none for a plain disk), `label` and `partition`, `fs`, `path`, and of a
database `table` and `rowid`."""
from corpus import *
import random, sqlite3

MIB = 1 << 20
SIZES = {"ext4": 24, "ext2": 8, "fat12": 4, "fat16": 20, "fat32": 40}
# name: (container, label, (number, start in MiB, file system) of each partition)
VARIANTS = {
    "mbr": (None, "mbr", [(1, 1, "ext4"), (2, 40, "fat16")]),
    "mbr_logical": (None, "mbr", [(1, 1, "fat12"), (5, 11, "ext4"), (6, 40, "fat32"), (7, 90, "ext2")]),
    "gpt": (None, "gpt", [(1, 1, "fat32"), (3, 60, "ext4"), (128, 100, "ext2")]),
    "qcow2_mbr": ("qcow2", "mbr", [(1, 1, "ext4"), (4, 40, "fat16")]),
    "qcow2_logical": ("qcow2", "mbr", [(2, 1, "fat16"), (5, 31, "ext2"), (6, 50, "fat12")]),
    "qcow2_gpt": ("qcow2", "gpt", [(1, 1, "fat16"), (2, 30, "ext4")]),
    "qcow2_gpt_compressed": ("qcow2", "gpt", [(1, 1, "fat32"), (2, 60, "ext4")]),
    "qcow2_small_clusters": ("qcow2", "gpt", [(1, 1, "ext2"), (7, 30, "fat12")]),
    "qcow2_subclusters": ("qcow2", "mbr", [(3, 1, "ext4")]),
    "qcow2_unpartitioned": ("qcow2", None, [(None, 0, "ext4")]),
    "unpartitioned": (None, None, [(None, 0, "fat16")]),
}
OPTIONS = {"qcow2_gpt_compressed": ["-c"], "qcow2_small_clusters": ["-o", "cluster_size=512"], "qcow2_subclusters": ["-o", "extended_l2=on"]}


def database(path):
    """A database whose rows span pages, with the tables that are asked."""
    db = sqlite3.connect(path)
    db.execute("pragma page_size=1024")
    db.execute("create table people(id integer primary key, name text, age int, note blob)")
    db.execute("create table plain(a, b)")
    dice = random.Random(7)
    for i in range(900):
        db.execute("insert into people values(?,?,?,?)", (i * 3 + 1, "name %d" % i, dice.randrange(99), dice.randbytes(dice.choice((0, 10, 400)))))
    for i in range(50):
        db.execute("insert into plain values(?,?)", ("p%d" % i, i * i))
    db.commit()
    return db


def files(source):
    """The files put into every file system: {path: bytes}."""
    put = {"/hello.txt": b"hello world\n", "/dir/sub/deep.bin": pattern(70000, "d"), "/dir/empty": b""}
    db = database(os.path.join(source, "data.db"))
    with open(os.path.join(source, "data.db"), "rb") as f:
        put["/dir/data.db"] = f.read()
    os.remove(os.path.join(source, "data.db"))
    for path, data in put.items():
        os.makedirs(os.path.dirname(source + path), exist_ok=True)
        with open(source + path, "wb") as f:
            f.write(data)
    return put, db


def file_system(kind, image, source):
    if kind.startswith("ext"):
        run("mke2fs", "-q", "-F", "-t", kind, "-d", source, image, "%dM" % SIZES[kind])
    else:
        run("mkfs.fat", "-F", kind[3:], *(["-s", "1"] if kind == "fat32" else []), "-C", image, str(SIZES[kind] * 1024))
        run("mcopy", "-s", "-i", image, *(os.path.join(source, n) for n in sorted(os.listdir(source))), "::/")


def make(image, name, container, label, parts, source):
    """The disk; returns {number: where the file system's own image is}."""
    disk = image + ".raw"
    run("truncate", "-s", "%dM" % max((start or 0) + SIZES[kind] + 4 for _, start, kind in parts), disk)
    if label:
        script = "label: %s\n" % {"mbr": "dos"}.get(label, label)
        logical = [p for p in parts if label == "mbr" and p[0] > 4]
        if logical:
            script += "4: start=%d,type=5\n" % ((logical[0][1] - 1) * 2048)
        script += "".join("%d: start=%d,size=%d\n" % (number, start * 2048, SIZES[kind] * 2048) for number, start, kind in parts)
        run("sfdisk", "-q", "--force", "--no-reread", "--no-tell-kernel", disk, text=script)
    made = {}
    for number, start, kind in parts:
        made[number] = "%s.%s.%s" % (image, number, kind)
        file_system(kind, made[number], source)
        run("dd", "if=" + made[number], "of=" + disk, "bs=1M", "seek=%d" % start, "conv=notrunc,sparse", "status=none")
    if container:
        run("qemu-img", "convert", "-f", "raw", "-O", container, *OPTIONS.get(name, []), disk, image)
        os.remove(disk)
    else:
        os.replace(disk, image)
    return made


def ask(corpus, image, container, label, number, kind, inside, put, db):
    layers = {k: v for k, v in (("container", container), ("label", label), ("partition", number)) if v is not None}
    family = "fat" if kind.startswith("fat") else "ext4"
    for path, data in put.items():
        if family == "fat":
            text = run("mshowfat", "-i", inside, "::" + path)
            m = re.search(r"<(\d+)", text)
            expect = {"first_cluster": int(m.group(1)) if m else 0, "size": len(data), "is_dir": False}
        else:
            expect = {"inode": int(re.search(r"Inode: (\d+)", run("debugfs", "-R", "stat " + path, inside)).group(1))}
        corpus.add(image, "nested.path", {**layers, "fs": family, "path": path}, expect, "mshowfat" if family == "fat" else "debugfs stat")
        corpus.add(image, "nested.read", {**layers, "fs": family, "path": path, "offset": 0, "length": len(data) + 5}, content(data), "the file put in")
        corpus.add(image, "nested.read", {**layers, "fs": family, "path": path, "offset": len(data) // 2, "length": 40}, {"hex": data[len(data) // 2:][:40].hex()}, "the file put in")
    corpus.add(image, "nested.path", {**layers, "fs": family, "path": "/dir/none"}, {"found": False}, "no such file")
    for table, columns, rowids in (("people", "id, name, age, note", (1, 4, 1000, 1201, 2698)), ("plain", "a, b", (1, 50))):
        for rowid in rowids:
            values = db.execute("select %s from %s where rowid=?" % (columns, table), (rowid,)).fetchone()
            record = [None if i == 0 and table == "people" else {"blob": v.hex()} if isinstance(v, bytes) else v for i, v in enumerate(values)]
            for name in ("nested.row", "nested.sqlite_row"):
                corpus.add(image, name, {**layers, "fs": family, "path": "/dir/data.db", "table": table, "rowid": rowid}, {"record": record}, "select")
        corpus.add(image, "nested.row", {**layers, "fs": family, "path": "/dir/data.db", "table": table, "rowid": 99999}, {"found": False}, "select")
    corpus.add(image, "nested.row", {**layers, "fs": family, "path": "/dir/none.db", "table": "people", "rowid": 1}, {"found": False}, "no such file")


def ask_tables(corpus, image, container, label, parts):
    layers = {k: v for k, v in (("container", container), ("label", label)) if v is not None}
    for number, start, kind in parts:
        corpus.add(image, "nested.partition", {**layers, "partition": number}, {"start": start * 2048, "size": SIZES[kind] * 2048}, "as sfdisk was told")
    fs = {"fs": "ext4", "path": "/hello.txt"}
    for number in (9, 200):
        corpus.add(image, "nested.path", {**layers, "partition": number, **fs}, {"error": True}, "no such partition", ["bad_arg"])
    wrong = {"ext4": "fat", "fat": "ext4"}
    number, _, kind = parts[0]
    corpus.add(image, "nested.path", {**layers, "partition": number, "fs": wrong["fat" if kind.startswith("fat") else "ext4"], "path": "/hello.txt"}, {"error": True}, "another file system", ["bad_arg"])


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("mke2fs", "debugfs", "mkfs.fat", "mcopy", "mshowfat", "sfdisk", "qemu-img"):
        return
    corpus = Corpus(folder, "nested")
    for name, (container, label, parts) in wanted.items():
        image = corpus.image(name + (".qcow2" if container else ".img"))
        with tempfile.TemporaryDirectory() as source:
            put, db = files(source)
            made = make(image, name, container, label, parts, source)
        for number, _, kind in parts:
            ask(corpus, image, container, label, number, kind, made[number], put, db)
            os.remove(made[number])
        if label:
            ask_tables(corpus, image, container, label, parts)
        if label == "gpt" and not container:
            number, _, kind = parts[0]
            other = corpus.damaged(image, name + "_c_header.img", [(512, b"EFI TRAP")])
            corpus.add(other, "nested.read", {"label": label, "partition": number, "fs": "fat", "path": "/hello.txt"}, {"error": True}, "the first table is damaged", ["corrupt"])
            corpus.add(other, "nested.read", {"label": label, "partition": number, "fs": "fat", "path": "/hello.txt", "fallback": "backup"}, content(put["/hello.txt"]), "the copy is sound", ["corrupt"])
        print("%s: %d queries so far" % (name, corpus.count), file=sys.stderr)


if __name__ == "__main__":
    main()
