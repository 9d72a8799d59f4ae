#!/usr/bin/env python3
"""Makes the small images of the specs' test items in tests/small: databases, tables, read-only file systems and volumes (see small.py for the others).

    small_stores.py DIR      needs sqlite3, Python's lmdb and plyvel, mksquashfs, mkfs.erofs, genromfs, cryptsetup, mkfs.xfs, mkfs.btrfs, ldb, rocksdict, lvm, wt

Images of XFS, LUKS and LVM are cut behind the last byte that is not zero: walks do not ask how long a device is.

What the test items expect was put in, or was read with these tools. BPF-KV's file is written here, as its `db-bench` lays it out."""
import glob, os, shutil, sqlite3, struct, sys
from corpus import make_small, pattern, run


def sqlite(path, source):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("pragma page_size=512")
    db.execute("create table t(a integer primary key, b text, c)")
    db.execute("create index t_b on t(b)")
    db.execute("begin")
    for i in range(60):
        db.execute("insert into t values(?,?,?)", (i * 3, "name%d" % (i % 20), i / 4))
    db.execute("insert into t values(1000, 'long', ?)", (b"x" * 1200,))
    db.execute("commit")
    db.close()


def lmdb(path, source):
    import lmdb
    env = lmdb.open(path, subdir=False, map_size=1 << 20, lock=False)
    with env.begin(write=True) as txn:
        for i in range(50):
            txn.put(b"key%02d" % i, b"value %d" % i)
    env.close()


def leveldb(path, source):
    import plyvel
    folder = os.path.join(source, "level")
    db = plyvel.DB(folder, create_if_missing=True, compression=None, block_size=256)
    for i in range(40):
        db.put(b"key%03d" % i, b"value %d" % i)
    db.delete(b"key007")
    db.close()
    plyvel.DB(folder, compression=None).close()
    shutil.copy(max(glob.glob(folder + "/*.ldb"), key=os.path.getsize), path)
    shutil.rmtree(folder)


def bpfkv(path, source):
    """A root over two leaves, and a log with the values."""
    def node(next_, kind, pairs):
        keys, pointers = [k for k, _ in pairs], [p for _, p in pairs]
        fill = [0] * (31 - len(pairs))
        return struct.pack("<64Q", next_, kind, *(keys + [2 ** 64 - 1] * len(fill)), *(pointers + fill))
    mark = 1 << 63
    values = [struct.pack("<8Q", i * 10, *[i] * 7) for i in range(8)]
    place = lambda i: mark | 1536 + 64 * i
    with open(path, "wb") as f:
        f.write(node(0, 0, [(0, mark | 512), (40, mark | 1024)]))
        f.write(node(1024, 1, [(10 * i, place(i)) for i in range(4)]))
        f.write(node(0, 1, [(10 * i, place(i)) for i in range(4, 8)]))
        f.write(b"".join(values))


def squashfs(path, source):
    run("mksquashfs", source, path, "-noappend", "-quiet", "-no-progress", "-all-root", "-b", "4096", "-noI", "-noD", "-noF", "-noX", "-nopad", "-reproducible", "-all-time", "1700000000", "-mkfs-time", "1700000000")


def erofs(path, source):
    run("mkfs.erofs", "-T", "1700000000", "-U", "c0ffee00-0000-4000-8000-000000000001", "--all-root", path, source)


def romfs(path, source):
    run("genromfs", "-d", source, "-f", path, "-V", "small")


def luks(path, source):
    run("truncate", "-s", "32M", path)
    run("cryptsetup", "luksFormat", "--batch-mode", "--type", "luks2", "--label", "small", "--uuid", "c0ffee00-0000-4000-8000-000000000001", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", path, "-", text="secret")
    run("truncate", "-s", "16K", path)


def cut(path, length=None):
    """Cuts an image, at the end of what it has where no length is given."""
    if length is None:
        with open(path, "rb") as f:
            length = -(-len(f.read().rstrip(b"\0")) // 4096) * 4096
    run("truncate", "-s", str(length), path)


def xfs(path, source):
    lines = ["/none", "0 0", "d--755 0 0", f"hello.txt ---644 0 0 {source}/hello.txt", f"longer.bin ---640 1000 100 {source}/longer.bin", "link l--777 0 0 hello.txt", "$"]
    with open(source + "/proto", "w") as f:
        f.write("\n".join(lines) + "\n")
    run("mkfs.xfs", "--unsupported", "-q", "-f", "-m", "uuid=c0ffee00-0000-4000-8000-000000000001", "-L", "small", "-b", "size=1024", "-p", source + "/proto", "-d", f"file,name={path},size=32m,agcount=2")
    os.remove(source + "/proto")
    # Inodes of the first group end here; the log and the second group are not needed.
    cut(path, 65536)


def btrfs(path, source):
    run("truncate", "-s", "16M", path)
    run("mkfs.btrfs", "-q", "-f", "-M", "-n", "4096", "-m", "single", "-d", "single", "-L", "small", "-U", "c0ffee00-0000-4000-8000-000000000001", "--rootdir", source, path)
    cut(path)


def rocksdb(path, source):
    folder = os.path.join(source, "rocks")
    run("ldb", "--db=" + folder, "load", "--create_if_missing", "--compression_type=no", "--disable_wal", "--block_size=256", text="".join("key%03d ==> value %d\n" % (i, i) for i in range(40)))
    shutil.copy(glob.glob(folder + "/*.sst")[0], path)
    shutil.rmtree(folder)


def rocksdb6(path, source):
    """Forty keys in a table of version 6, which `ldb` of RocksDB 7.8 does not make."""
    import rocksdict

    folder = os.path.join(source, "rocks6")
    options = rocksdict.Options(raw_mode=True)
    table = rocksdict.BlockBasedOptions()
    table.set_format_version(6)
    table.set_block_size(256)
    options.set_block_based_table_factory(table)
    options.set_compression_type(rocksdict.DBCompressionType.none())
    db = rocksdict.Rdict(folder, options)
    for i in range(40):
        db.put(b"key%03d" % i, b"value %d" % i)
    db.flush()
    db.close()
    shutil.copy(glob.glob(folder + "/*.sst")[0], path)
    shutil.rmtree(folder)


def wiredtiger(path, source):
    """Rows of which three fill a leaf: four leaves from block 1 on, and the root behind them (the kind of a page is its byte 24)."""
    home = os.path.join(source, "tables")
    os.mkdir(home)
    config = "key_format=S,value_format=S,leaf_page_max=4KB,internal_page_max=4KB,leaf_value_max=64KB"
    run("wt", "-h", home, "create", "-c", config, "table:t")
    rows = [text for i in range(12) for text in ("key%02d" % (i * 5), chr(97 + i) * 1100)]
    run("wt", "-h", home, "write", "table:t", *rows)
    image = open(os.path.join(home, "t.wt"), "rb").read()
    assert [image[4096 * i + 24] for i in range(1, 6)] == [7, 7, 7, 7, 6], "wt has laid the table out in another way"
    open(path, "wb").write(image[: 6 * 4096])
    shutil.rmtree(home)


def lvm2(path, source):
    run("truncate", "-s", "16M", path)
    loop = run("losetup", "--find", "--show", path).strip()
    settings = ["--config", 'devices { filter=["a|/dev/loop.*|", "r|.*|"] use_devicesfile=0 } global { use_lvmpolld=0 } activation { udev_sync=0 udev_rules=0 }', "--driverloaded", "n"]
    try:
        run("vgcreate", *settings, "-s", "1m", "smallvg", loop)
        run("lvcreate", *settings, "-an", "-Zn", "-Wn", "-y", "-n", "one", "-l", "3", "smallvg")
        run("lvcreate", *settings, "-an", "-Zn", "-Wn", "-y", "-n", "two", "-l", "2", "smallvg")
        run("lvextend", *settings, "-l", "+4", "smallvg/one")
    finally:
        run("losetup", "-d", loop)
    cut(path)


if __name__ == "__main__":
    files = {"hello.txt": b"hello world\n", "longer.bin": pattern(5000, "n")}
    make_small(sys.argv[1], (squashfs, erofs, romfs, sqlite, lmdb, leveldb, bpfkv, luks, xfs, btrfs, rocksdb, rocksdb6, wiredtiger, lvm2), files)
