#!/usr/bin/env python3
"""Makes LMDB environments of many kinds and queries about them, answered by py-lmdb.
  lmdb_environments.py DIR [VARIANT…]     writes DIR/images/*.mdb and DIR/queries.lmdb.jsonl, in the form that the samples have."""
import hashlib, json, os, random, struct, sys

try:
    import lmdb
except ImportError:
    sys.exit(print("skipped, because Python has no module lmdb"))

DIR = sys.argv[1]
os.makedirs(f"{DIR}/images", exist_ok=True)
QUERIES = open(f"{DIR}/queries.lmdb.jsonl", "w")


def ask(image, name, args, expect, tags=()):
    ask.n = getattr(ask, "n", 0) + 1
    QUERIES.write(json.dumps(dict(id=f"{image}/{name}/{ask.n}", image=f"images/{image}.mdb", format="lmdb", traversal=f"lmdb.{name}", args=args,
                                  expect=expect, oracle="py-lmdb", set="made", tags=list(tags))) + "\n")


def value(data):
    return {"hex": data.hex()} if len(data) <= 256 else {"len": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def ask_tree(image, env, db, name):
    with env.begin(db=db) as txn:
        stat = txn.stat(db)
        ask(image, "stat", {"db": name}, {k: stat[k] for k in ("depth", "branch_pages", "leaf_pages", "overflow_pages", "entries")})
        pairs = list(txn.cursor(db))
        keys = list(dict.fromkeys(k for k, _ in pairs))
        ask(image, "count_keys", {"db": name}, {"keys": len(keys), "entries": len(pairs)})
        values = {}
        for k, v in pairs:
            values.setdefault(k, []).append(v)
        some = random.sample(keys, min(15, len(keys))) + keys[:1] + keys[-1:]
        for k in some:
            ask(image, "get", {"db": name, "key": k.hex()}, {"found": True, "value": value(values[k][0])})
            if len(values[k]) > 1:
                ask(image, "dups", {"db": name, "key": k.hex()}, {"values": [v.hex() for v in values[k]]})
        misses = [k + b"\0" for k in some[:4]] if not (db and db.flags(txn)["integerkey"]) else []
        for k in misses:
            if k not in values and len(k) <= 511:
                ask(image, "get", {"db": name, "key": k.hex()}, {"found": False})
        for k in some[:5] + misses:
            cursor = txn.cursor(db)
            got = []
            more = cursor.set_range(k)
            while more and len(got) < 5:
                got.append(cursor.key().hex())
                more = cursor.next_nodup()
            ask(image, "seek", {"db": name, "key": k.hex(), "limit": 5}, {"keys": got})


def make(image, fill, names=0):
    if len(sys.argv) > 2 and image not in sys.argv[2:]:
        return
    path = f"{DIR}/images/{image}.mdb"
    for p in (path, path + "-lock"):
        if os.path.exists(p):
            os.remove(p)
    env = lmdb.open(path, subdir=False, map_size=1 << 30, max_dbs=64)
    fill(env)
    env.close()
    env = lmdb.open(path, subdir=False, readonly=True, lock=False, max_dbs=64)
    info, stat = env.info(), env.stat()
    ask(image, "meta", {}, {"psize": stat["psize"], "last_pgno": info["last_pgno"], "last_txnid": info["last_txnid"]})
    if names:
        with env.begin() as txn:
            listed = [k for k, _ in txn.cursor()]
        for k in listed:
            db = env.open_db(k, create=False)
            ask_tree(image, env, db, k.decode())
    else:
        ask_tree(image, env, None, None)
    env.close()


def put_all(env, pairs, **kind):
    db = env.open_db(kind.pop("name", None), **kind)
    with env.begin(write=True, db=db) as txn:
        for k, v in pairs:
            txn.put(k, v)


def several(env):
    rng = random.Random(3)
    put_all(env, [(b"k%04d" % (i * 7 % 1000), b"v%d" % i) for i in range(1000)], name=b"plain")
    put_all(env, [(b"k%02d" % (i % 50), rng.randbytes(rng.randrange(1, 40))) for i in range(3000)], name=b"dups", dupsort=True)
    put_all(env, [(b"few%d" % (i % 300), b"%d" % i) for i in range(700)], name=b"inside", dupsort=True)
    put_all(env, [(b"k%02d" % (i % 20), struct.pack(">Q", i * 3)) for i in range(20000)], name=b"fixed", dupsort=True, dupfixed=True)
    put_all(env, [(b"k%02d" % (i % 20), struct.pack("=Q", i * 977 % 65536)) for i in range(9000)], name=b"integer_dups", dupsort=True, dupfixed=True, integerdup=True)
    put_all(env, [(struct.pack("=Q", i * 1000003 % (1 << 40)), b"n%d" % i) for i in range(3000)], name=b"integers", integerkey=True)
    put_all(env, [(struct.pack("=I", i * 7919 % (1 << 31)), b"n%d" % i) for i in range(3000)], name=b"integers32", integerkey=True)
    put_all(env, [(b"%d.example" % i, b"r%d" % i) for i in range(3000)], name=b"reverse", reverse_key=True)
    put_all(env, [(rng.randbytes(rng.randrange(1, 511)), b"x" * rng.randrange(30)) for i in range(2000)], name=b"random_keys")
    put_all(env, [(b"big%d" % i, rng.randbytes(1 << i % 18)) for i in range(60)], name=b"big_values")
    put_all(env, [], name=b"empty")
    put_all(env, [(b"one", b"")], name=b"one")


def deleted(env):
    put_all(env, [(b"k%06d" % i, b"v" * (i % 90)) for i in range(20000)])
    with env.begin(write=True) as txn:
        for i in range(0, 20000):
            if i % 3:
                txn.delete(b"k%06d" % i)


random.seed(11)
make("empty", lambda env: None)
make("plain", lambda env: put_all(env, [(b"key%05d" % (i * 37 % 5000), b"value %d" % i) for i in range(5000)]))
make("deep", lambda env: put_all(env, [(b"%0500d" % (i * 61 % 3000), b"d" * 400) for i in range(3000)]))
make("large_values", lambda env: put_all(env, [(b"key%d" % i, bytes([i]) * (1 << i)) for i in range(21)]))
make("deleted", deleted)
make("several", several, 1)


def damaged(image, change):
    data = bytearray(open(f"{DIR}/images/plain.mdb", "rb").read())
    change(data)
    open(f"{DIR}/images/{image}.mdb", "wb").write(data)
    for key in (b"key00000", b"key04999", b"key02500"):
        try:
            env = lmdb.open(f"{DIR}/images/{image}.mdb", subdir=False, readonly=True, lock=False)
            with env.begin() as txn:
                got = txn.get(key)
            expect = {"found": True, "value": value(got)} if got is not None else {"found": False}
            env.close()
        except lmdb.Error:
            expect = {"error": True}
        ask(image, "get", {"db": None, "key": key.hex()}, expect, ["corrupt"])


def put(offset, data):
    return lambda image: image.__setitem__(slice(offset, offset + len(data)), data)


if len(sys.argv) > 2 and "damaged" not in sys.argv[2:]:
    sys.exit()
SOUND = open(f"{DIR}/images/plain.mdb", "rb").read()
META = max((0, 4096), key=lambda at: struct.unpack_from("<Q", SOUND, at + 144)[0])
ROOT = struct.unpack_from("<Q", SOUND, META + 128)[0]
damaged("bad_magic", put(16, b"\0\0\0\0"))
damaged("bad_version", lambda image: [put(at + 20, b"\7")(image) for at in (0, 4096)])
damaged("bad_root_outside", put(META + 128, struct.pack("<Q", 1 << 40)))
damaged("bad_root_kind", put(ROOT * 4096 + 10, b"\0\0"))
damaged("bad_root_self", lambda image: [put(ROOT * 4096 + 16 + 0, image[ROOT * 4096 + 16:ROOT * 4096 + 18])(image), put(ROOT * 4096 + struct.unpack_from("<H", image, ROOT * 4096 + 16)[0], struct.pack("<H", ROOT))(image)])
damaged("bad_counts", put(ROOT * 4096 + 12, b"\xff" * 4))
damaged("bad_child_outside", lambda image: put(ROOT * 4096 + struct.unpack_from("<H", image, ROOT * 4096 + 16)[0], b"\xff" * 6)(image))
