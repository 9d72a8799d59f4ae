#!/usr/bin/env python3
"""Makes tables of LevelDB and RocksDB of many kinds and queries about them, answered by RocksDB's sst_dump.
  tables.py DIR [VARIANT…]     writes DIR/images/*.sst and DIR/queries.tables.jsonl, in the form that the samples have.
Needs plyvel, g++ with librocksdb, sst_dump; for tables of version 6, whose names begin with new_, the module rocksdict (PyPI: Debian's RocksDB is
older). sst_dump of RocksDB 7.8 does not read these: its answers are those to a table of version 5 with the same contents."""
import glob, hashlib, json, os, random, re, shutil, subprocess, sys

try:
    import plyvel
except ImportError:
    sys.exit(print("skipped, because Python has no module plyvel"))
try:
    import rocksdict
except ImportError:
    wants_new = len(sys.argv) < 3 or any(variant.startswith("new_") for variant in sys.argv[2:])
    rocksdict = print("new: not made: Python has no module rocksdict") if wants_new else None

DIR = os.path.abspath(sys.argv[1])
HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES = f"{DIR}/images"
os.makedirs(IMAGES, exist_ok=True)
QUERIES = open(f"{DIR}/queries.tables.jsonl", "w")
ASKED = {}
KINDS = {0: "deletion", 1: "value", 2: "merge", 7: "single_deletion"}


def ask(image, name, args, expect, tags=()):
    ask.n = getattr(ask, "n", 0) + 1
    ASKED.setdefault(image, []).append((name, args, expect))
    QUERIES.write(json.dumps(dict(id=f"{image}/{name}/{ask.n}", image=f"images/{image}.sst", format="leveldb" if image.startswith("level") else "rocksdb",
                                  traversal=f"sst.{name}", args=args, expect=expect, oracle="sst_dump", set="made", tags=list(tags))) + "\n")


def value(data):
    return {"hex": data.hex()} if len(data) <= 256 else {"len": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def dump(image, command, *more):
    out = subprocess.run(["sst_dump", f"--file={IMAGES}/{image}.sst", f"--command={command}", *more], capture_output=True, text=True, errors="replace", cwd=IMAGES)
    return out.stdout + out.stderr


def ask_all(image):
    rows = [(bytes.fromhex(k), int(s), int(t), bytes.fromhex(v)) for k, s, t, v in
            re.findall(r"^'([0-9A-F]*)' seq:(\d+), type:(\d+) => ([0-9A-F]*)$", dump(image, "scan", "--output_hex"), re.M)]
    newest = {}
    for key, *rest in rows:
        newest.setdefault(key, rest)
    ask(image, "count", {}, {"entries": len(rows)})
    keys = list(newest)
    some = random.sample(keys, min(20, len(keys))) + keys[:1] + keys[-1:]
    for key in some:
        seq, kind, data = newest[key]
        expect = {"found": True, "type": KINDS[kind], "seq": seq}
        if kind == 1:
            expect["value"] = value(data)
        ask(image, "get", {"key": key.hex()}, expect)
    for key in [k + b"\0" for k in some[:5]] + [b"", b"\xff" * 9]:
        if key not in newest:
            ask(image, "get", {"key": key.hex()}, {"found": False})
    for key in some[:5] + [k + b"\0" for k in some[:3]] + [b"", b"\xff" * 9]:
        ask(image, "seek", {"key": key.hex(), "limit": 5}, {"keys": [k.hex() for k in sorted(keys) if k >= key][:5]})
    dump(image, "raw")
    report = dumped(image)
    handles = [varints(h) for h in re.findall(r"(?:metaindex|index) handle: ([0-9A-F]+)", report)]
    ask(image, "footer", {}, {"metaindex": handles[0], "index": handles[1], "format_version": int(re.search(r"format version: (\d+)", report)[1])})
    blocks = re.search(r"# data blocks: (\d+)", report)
    if blocks:
        ask(image, "index", {}, {"n_blocks": int(blocks[1])})
    for handle in handles:
        ask(image, "block_crc", {"handle": handle}, {"valid": True})
    first = first_block(image)
    if first:
        ask(image, "block_crc", {"handle": first}, {"valid": True})
        damaged(image, first)
    os.remove(f"{IMAGES}/{image}_dump.txt")


def varints(digits):
    numbers, shift, number = [], 0, 0
    for byte in bytes.fromhex(digits):
        number |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            shift = number = 0
    return numbers[:2]


def dumped(image):
    """What `sst_dump --command=raw` wrote, beside the table."""
    with open(f"{IMAGES}/{image}_dump.txt", errors="replace") as f:
        return f.read()


def first_block(image):
    """The first data block by the index's details in the dump."""
    found = re.search(r"^Data Block # 1 @ ([0-9A-F]+)", dumped(image), re.M)
    return varints(found[1]) if found else None


def damaged(image, block):
    """One byte of a block is another: its checksum tells."""
    data = bytearray(open(f"{IMAGES}/{image}.sst", "rb").read())
    data[block[0] + block[1] // 2] ^= 0x55
    if image in ("rocks_sum0", "new_no_checksum_twin"):
        return
    open(f"{IMAGES}/{image}_bad.sst", "wb").write(data)
    ask(f"{image}_bad", "block_crc", {"handle": block}, {"valid": False}, ["corrupt"])


def more_damage(image):
    """Damage of a table's footer, of its index and of its first block; the checksums of blocks are not looked at by lookups."""
    data = open(f"{IMAGES}/{image}.sst", "rb").read()
    footer = next(e for n, _, e in ASKED[image] if n == "footer")
    get = next(a for n, a, e in ASKED[image] if n == "get" and e["found"])
    end = len(data)
    start = end - (48 if image.startswith("level") else 52)
    last_word = footer["index"][0] + footer["index"][1] - 4

    def bad(name, change, asked=(("get", get), ("count", {}))):
        changed = bytearray(data)
        change(changed)
        with open(f"{IMAGES}/{image}_c_{name}.sst", "wb") as f:
            f.write(changed)
        for traversal, args in asked:
            ask(f"{image}_c_{name}", traversal, args, {"error": True}, ["corrupt"])

    def put(at, piece):
        return lambda changed: changed.__setitem__(slice(at, at + len(piece)), piece)

    bad("magic", put(end - 1, b"\0"))
    bad("handles_long", put(start, b"\xff" * 40))
    bad("handles_outside", put(start, b"\xff\xff\xff\xff\xff\x7f\x50" * 2))
    bad("handles_of_no_size", put(start, bytes(8)))
    bad("restarts_ones", put(last_word, b"\xff" * 4))
    bad("restarts_none", put(last_word, bytes(4)))
    # A search comes to the last and to the first restart point when its key is behind and before all others.
    bad("restart_outside", put(last_word - 4, b"\xff\xff\xff\x7f"), [("get", {"key": "ff" * 9})])
    bad("shared_at_restart", put(footer["index"][0], b"\5"), [("get", {"key": ""})])
    bad("key_ones", put(footer["index"][0] + 1, b"\xff" * 5), [("get", {"key": ""}), ("count", {})])
    for size in (0, 47, end - 1, end - 53):
        bad(f"cut{size}", lambda changed: changed.__delitem__(slice(size, None)))


def newer(image, rounds, **options):
    """A table of version 6 and its twin of version 5."""
    if len(sys.argv) > 2 and image not in sys.argv[2:]:
        return
    twin = image + "_twin"
    for name, version in ((twin, 5), (image, 6)):
        table, db_options = rocksdict.BlockBasedOptions(), rocksdict.Options(raw_mode=True)
        table.set_format_version(version)
        for option, argument in options.items():
            getattr(table, option)(argument)
        db_options.set_block_based_table_factory(table)
        db_options.set_compression_type(rocksdict.DBCompressionType.none())
        folder = f"{DIR}/db-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        db = rocksdict.Rdict(folder, db_options)
        kept = []
        for pairs in rounds:
            for key, data in pairs:
                db.delete(key) if data is None else db.put(key, data)
            kept.append(db.snapshot())
        db.flush()
        del kept
        db.close()
        shutil.copy(glob.glob(f"{folder}/*.sst")[0], f"{IMAGES}/{name}.sst")
        shutil.rmtree(folder)
    ask_all(twin)
    path = f"{IMAGES}/{image}.sst"
    data = open(path, "rb").read()
    index = next(e["index"] for n, _, e in ASKED[twin] if n == "footer")
    for name, args, expect in ASKED[twin]:
        if name not in ("footer", "block_crc"):
            ask(image, name, args, expect)
    ask(image, "footer", {}, {"index": index, "format_version": 6})
    # The blocks before the metaindex lie as in the twin.
    for handle in [index] + [a["handle"] for n, a, _ in ASKED.get(twin + "_bad", [])]:
        ask(image, "block_crc", {"handle": handle}, {"valid": True})

    def bad(name, at, piece, query, args, expect):
        with open(f"{IMAGES}/{image}_{name}.sst", "wb") as f:
            f.write(data[:at] + piece + data[at + len(piece):])
        ask(f"{image}_{name}", query, args, expect, ["corrupt"])

    end = len(data)
    get = next(a for n, a, e in ASKED[twin] if n == "get" and e["found"])
    for name, at in (("magic", end - 52), ("sum", end - 48), ("base", end - 44), ("size", end - 40), ("reserved", end - 30)):
        if name == "size" and image == "new_no_checksum":
            continue
        bad(name, at, bytes([data[at] ^ 1]), "get", get, {"error": True})
    # The index, one byte further to the left: whole, but not in its place.
    whole = data[index[0]: index[0] + index[1] + 5]
    bad("moved", index[0] - 1, whole, "block_crc", {"handle": [index[0] - 1, index[1]]}, {"valid": False})


def level(image, pairs, **options):
    if len(sys.argv) > 2 and image not in sys.argv[2:]:
        return
    folder = f"{DIR}/db-{image}"
    shutil.rmtree(folder, ignore_errors=True)
    db = plyvel.DB(folder, create_if_missing=True, compression=None, write_buffer_size=64 << 20, **options)
    for key, data in pairs:
        db.delete(key) if data is None else db.put(key, data)
    db.close()
    plyvel.DB(folder, compression=None, **options).close()
    tables = glob.glob(f"{folder}/*.ldb")
    shutil.copy(max(tables, key=os.path.getsize), f"{IMAGES}/{image}.sst")
    shutil.rmtree(folder)
    ask_all(image)


def main():
    random.seed(5)
    rng = random.Random(9)
    key = lambda i: b"key%06d" % i
    level("level_plain", [(key(i), b"value %d" % i) for i in range(3000)])
    level("level_versions", [(key(i % 500), None if i % 11 == 0 else b"v%d" % i) for i in range(3000)])
    level("level_blocks", [(key(i), b"v" * (i % 50)) for i in range(3000)], block_size=128)
    level("level_restarts", [(key(i), b"v") for i in range(2000)], block_restart_interval=1)
    level("level_restarts_64", [(key(i), b"v") for i in range(2000)], block_restart_interval=64)
    level("level_random", [(rng.randbytes(rng.randrange(1, 300)), rng.randbytes(rng.randrange(2000))) for _ in range(1500)])
    level("level_large", [(b"k%d" % i, rng.randbytes(1 << i)) for i in range(21)])
    if "level_plain" in ASKED:
        more_damage("level_plain")
    level("level_filter", [(key(i), b"v") for i in range(2000)], bloom_filter_bits=10)
    level("level_one", [(b"only", b"one")])
    level("level_empty_key", [(b"", b"empty"), (b"\0", b"zero"), (b"\xff" * 20, b"high")])
    if rocksdict:
        plain = [[(key(i), b"value %d" % i) for i in range(3000)]]
        versions = [[(key(i), None if i % 3 == n else b"round %d" % n) for i in range(0, 900, n + 1)] for n in range(3)]
        newer("new_plain", plain, set_block_size=512)
        newer("new_versions", versions, set_block_size=256, set_index_block_restart_interval=3)
        newer("new_large", [[(b"k%d" % i, rng.randbytes(1 << i)) for i in range(20)]])
        newer("new_two_levels", plain, set_block_size=256, set_metadata_block_size=256, set_index_type=rocksdict.BlockBasedIndexType.two_level_index_search())
        newer("new_hash", plain, set_data_block_index_type=rocksdict.DataBlockIndexType.binary_and_hash())
        for name in ("no_checksum", "crc32c", "xxhash", "xxhash64", "xxh3"):
            newer("new_" + name, versions, set_block_size=512, set_checksum_type=getattr(rocksdict.ChecksumType, name)())
    if len(sys.argv) > 2 and "rocks" not in sys.argv[2:]:
        return
    program = f"{DIR}/tables"
    subprocess.run(["g++", "-std=c++17", "-O1", "-o", program, f"{HERE}/tables.cc", "-lrocksdb"], check=True)
    subprocess.run([program, IMAGES], check=True)
    os.remove(program)
    for path in sorted(glob.glob(f"{IMAGES}/rocks_*.sst")):
        image = os.path.basename(path)[:-4]
        if image.endswith("_bad"):
            os.remove(path)
        elif image[6:] in ("snappy", "zlib", "lz4", "zstd"):
            ask(image, "get", {"key": b"key1000003".hex()}, {"error": True}, ["compressed"])
        else:
            ask_all(image)
    for image in ("rocks_v2_i0_r1", "rocks_v5_i0_r5", "rocks_v5_i2_r1"):
        more_damage(image)


main()
