#!/usr/bin/env python3
"""Makes SQLite databases of many kinds and queries about them, answered by SQLite itself.
  sqlite.py DIR [VARIANT…]     writes DIR/images/*.db and DIR/queries.sqlite.jsonl, in the form that the samples have.
Needs Python's sqlite3 with dbstat, and the command sqlite3 (for reserved bytes)."""
import hashlib, json, os, random, shutil, sqlite3, struct, subprocess, sys

DIR = sys.argv[1]
os.makedirs(f"{DIR}/images", exist_ok=True)
QUERIES = open(f"{DIR}/queries.sqlite.jsonl", "w")
WORDS = ["alpha", "Beta", "beta ", "GAMMA", "gamma", "délta", "épsilon", "Ωmega", "日本語", "", " ", "z" * 40, "naïve", "ZETA", "zeta  "]


def ask(image, name, args, expect, oracle, tags=()):
    ask.n = getattr(ask, "n", 0) + 1
    query = dict(id=f"{image}/{name}/{ask.n}", image=f"images/{image}.db", format="sqlite", traversal=f"sqlite.{name}", args=args,
                 expect=expect, oracle=oracle, set="made", tags=list(tags))
    QUERIES.write(json.dumps(query) + "\n")


def stored(value):
    if isinstance(value, float):
        return {"f64": struct.pack(">d", value).hex()}
    if isinstance(value, bytes):
        return {"blob": value.hex()} if len(value) <= 500 else {"blob_len": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, str) and len(value.encode()) > 1000:
        data = value.encode()
        return {"text_bytes_utf8": len(data), "sha256_utf8": hashlib.sha256(data).hexdigest()}
    return value


def record(values, rowid_column=None):
    return [None if i == rowid_column else stored(v) for i, v in enumerate(values)]


def pages(db, table):
    """Paths of a table's or index's pages, from dbstat."""
    return {row[0]: row[1:] for row in db.execute("select path, pageno, pagetype, ncell from dbstat where name=?", (table,))}


def ask_header(image, path, db):
    pragma = lambda name: db.execute(f"pragma {name}").fetchone()[0]
    with open(path, "rb") as f:
        reserved = f.read(21)[20]
    encodings = {"UTF-8": 1, "UTF-16le": 2, "UTF-16be": 3}
    expect = dict(page_size=pragma("page_size"), page_count=pragma("page_count"), freelist_count=pragma("freelist_count"), reserved=reserved,
                  encoding=encodings[pragma("encoding")], user_version=pragma("user_version"), application_id=pragma("application_id"),
                  schema_cookie=pragma("schema_version"), incremental_vacuum=int(pragma("auto_vacuum") == 2))
    ask(image, "header", {}, expect, "pragmas")
    rows = [list(r) for r in db.execute("select type, name, tbl_name, rootpage, sql from sqlite_schema order by rowid")]
    if all(len(str(r[4])) < 900 for r in rows):
        ask(image, "schema", {}, {"n": len(rows), "rows": rows}, "select from sqlite_schema")
    for kind, name, _, root, _ in rows:
        if kind in ("table", "index") and root:
            ask(image, "rootpage", {"name": name}, {"rootpage": root}, "sqlite_schema")
    ask(image, "rootpage", {"name": "no such table"}, {"found": False}, "sqlite_schema")


def ask_pages(image, path, db):
    kinds = db.execute("select pageno, pagetype, ncell from dbstat where pagetype in ('leaf', 'internal') order by random() limit 12")
    for page, kind, cells in kinds:
        ask(image, "page", {"page": page}, {"kind": {"leaf": "leaf", "internal": "interior"}[kind], "ncell": cells}, "dbstat")
    count = db.execute("pragma page_count").fetchone()[0]
    size = db.execute("pragma page_size").fetchone()[0]
    used = {r[0] for r in db.execute("select pageno from dbstat")}
    pending = (1 << 30) // size + 1
    with open(path, "rb") as f:
        head = f.read(100)
    maps = set()
    if struct.unpack(">I", head[52:56])[0]:
        per = (size - head[20]) // 5 + 1
        maps = {p for p in range(2, count + 1, per)}
    free = sorted(set(range(1, count + 1)) - used - maps - {pending})
    ask(image, "freelist", {}, {"pages": free}, "pages that dbstat does not name")
    ask(image, "freelist_trunks", {}, {"pages": trunks(path)}, "the file format's description")
    if maps:
        ask_map(image, db, free, maps)


def ask_map(image, db, free, maps):
    """What the pointer map must say, from the tree that dbstat shows."""
    by_path = {(name, path): page for name, path, page in db.execute("select name, path, pageno from dbstat")}
    parents = {page: (2, 0) for page in free}
    for (name, path), page in by_path.items():
        if path == "/":
            parents[page] = (1, 0)
        elif "+" in path:
            cell, number = path.split("+")
            before = by_path[name, f"{cell}+{int(number, 16) - 1:06x}"] if int(number, 16) else by_path[name, cell[:cell.rindex("/") + 1]]
            parents[page] = (4 if int(number, 16) else 3, before)
        else:
            parents[page] = (5, by_path[name, path[:path.rstrip("/").rindex("/") + 1]])
    for page in sorted(random.sample(sorted(set(parents) - {1}), 40)):
        kind, parent = parents[page]
        ask(image, "ptrmap", {"page": page}, {"type": kind, "parent": parent}, "dbstat")


def checked(db):
    """Whether SQLite's own check finds nothing."""
    try:
        return db.execute("pragma integrity_check").fetchone() == ("ok",)
    except sqlite3.Error:
        return False


def ask_damaged(image, db, change):
    """A damaged copy: SQLite answers, or refuses."""
    path = f"{DIR}/images/{image}.db"
    data = bytearray(open(f"{DIR}/images/page_1024.db", "rb").read())
    change(data)
    open(path, "wb").write(data)

    def answered(name, args, question):
        try:
            bad = sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
            expect = question(bad)
            # Where SQLite reads on through damage that its own check sees, a reader may as well refuse.
            if expect != question(db) and not checked(bad):
                expect = {"terminates": True}
        except (sqlite3.Error, UnicodeDecodeError) as error:
            # A header may be sound where the schema behind it is not.
            expect = {"error": True} if name != "header" or "not a database" in str(error) else None
        if expect is None:
            return
        ask(image, name, args, expect, "sqlite3, or its error", ["corrupt"])

    def row(table, columns, rowid):
        def question(bad):
            values = bad.execute(f"select {columns} from {table} where rowid=?", (rowid,)).fetchone()
            return {"record": record(values, 0 if table != "plain" else None)} if values else {"found": False}
        answered("row", {"table": table, "rowid": rowid}, question)

    row("t", "a, b, c, d, e", 1)
    row("t", "a, b, c, d, e", 898)
    row("plain", "x, y", 0)
    row("blobs", "id, body, note", 1)
    answered("header", {}, lambda bad: bad.execute("select * from sqlite_schema").fetchone() and {"schema_cookie": bad.execute("pragma schema_version").fetchone()[0]})
    answered("minmax", {"table": "t"}, lambda bad: {"min_rowid": bad.execute("select min(rowid) from t").fetchone()[0], "max_rowid": bad.execute("select max(rowid) from t").fetchone()[0]})
    answered("index_lookup", {"index": "t_b", "key": ["gamma"]}, lambda bad: {"rowids": sorted(r[0] for r in bad.execute("select rowid from t indexed by t_b where b = 'gamma'"))})
    # SQLite reads a chain that leads back; it is an error all the same.
    repeats = image in ("bad_overflow_self", "bad_overflow_back")
    answered("overflow_chain", {"table": "blobs", "rowid": 1}, lambda bad: {"error": True} if repeats and bad is not db else bad.execute("select length(body), substr(body, -1) from blobs where rowid = 1").fetchone() and {})
    answered("count", {"table": "plain"}, lambda bad: {"count": bad.execute("select count(*) from plain not indexed").fetchone()[0]})


def make_damaged():
    """Each kind of damage that SQLite itself sees, on a copy of one database."""
    db = sqlite3.connect(f"{DIR}/images/page_1024.db")
    size = 1024
    roots = dict(db.execute("select name, rootpage from sqlite_schema where type = 'table'"))
    at = lambda name: (roots[name] - 1) * size
    leaf = db.execute("select pageno from dbstat where name='t' and pagetype='leaf' order by path limit 1").fetchone()[0]
    chain = [r[0] for r in db.execute("select pageno from dbstat where name='blobs' and path glob '*000+*' order by path")]

    def put(offset, data):
        return lambda image: image.__setitem__(slice(offset, offset + len(data)), data)

    number = lambda n: struct.pack(">I", n)
    ask_damaged("bad_magic", db, put(0, b"sqlite format 3"))
    ask_damaged("bad_page_size", db, put(16, b"\3\0"))
    ask_damaged("bad_reserved", db, put(16, b"\2\0\1\1\xff"))
    ask_damaged("bad_fractions", db, put(21, b"\x41"))
    ask_damaged("bad_read_version", db, put(19, b"\3"))
    ask_damaged("bad_format", db, put(44, number(9)))
    ask_damaged("bad_format_byte", db, put(44, number(0x80000001)))
    ask_damaged("bad_reserved_all", db, put(20, b"\xff"))
    ask_damaged("bad_reserved_some", db, put(20, b"\x10"))
    ask_damaged("bad_root_kind", db, put(at("t"), b"\7"))
    ask_damaged("bad_root_is_index", db, put(at("t"), b"\2"))
    ask_damaged("bad_child_outside", db, put(at("t") + 8, number(99999999)))
    ask_damaged("bad_child_zero", db, put(at("t") + 8, number(0)))
    ask_damaged("bad_child_self", db, put(at("t") + 8, number(roots["t"])))
    ask_damaged("bad_cells", db, put(at("t") + 3, b"\xff\xff"))
    ask_damaged("bad_leaf_kind", db, put((leaf - 1) * size, b"\0"))
    ask_damaged("bad_overflow_outside", db, put((chain[0] - 1) * size, number(88888888)))
    more_damage(db, put, number, roots, leaf, chain, size)
    ask_damaged("bad_truncated", db, lambda image: image.__delitem__(slice(len(image) // 2, None)))
    db.close()


def more_damage(db, put, number, roots, leaf, chain, size):
    """Pointers, counts and sizes of pages and cells, one at a time."""
    with open(f"{DIR}/images/page_1024.db", "rb") as f:
        data = f.read()
    word = lambda at, n=2: int.from_bytes(data[at:at + n], "big")
    short = lambda n: struct.pack(">H", n)
    root, first, blobs = ((p - 1) * size for p in (roots["t"], leaf, roots["blobs"]))
    plain = (db.execute("select pageno from dbstat where name='plain' and pagetype='leaf' order by path limit 1").fetchone()[0] - 1) * size
    cell = first + word(first + 8)
    blob_leaf = (db.execute("select pageno from dbstat where name='blobs' and pagetype='leaf' order by path limit 1").fetchone()[0] - 1) * size
    blob = blob_leaf + word(blob_leaf + 8)
    cases = {
        "page_size_0": put(16, short(0)), "page_size_odd": put(16, short(1000)), "page_size_3": put(16, short(3)), "page_size_256": put(16, short(256)), "page_size_64k": put(16, short(1)), "page_size_2048": put(16, short(2048)), "page_size_512": put(16, short(512)),
        "encoding_4": put(56, number(4)), "encoding_0": put(56, number(0)), "write_version_3": put(18, b"\3"), "versions_0": put(18, b"\0\0"), "min_fraction": put(22, b"\x21"), "leaf_fraction": put(23, b"\0"), "format_0": put(44, number(0)), "format_5": put(44, number(5)),
        "count_0": put(28, number(0)), "count_less": put(28, number(3)), "count_more": put(28, number(1 << 20)), "zeros": put(0, bytes(100)), "ones": put(16, b"\xff" * 84), "empty": lambda image: image.clear(), "short_header": lambda image: image.__delitem__(slice(60, None)), "one_page": lambda image: image.__delitem__(slice(size, None)), "odd_end": lambda image: image.__delitem__(slice(len(image) - 100, None)),
        "schema_kind": put(100, b"\0"), "schema_cells": put(103, short(0xffff)), "schema_cells_0": put(103, short(0)), "schema_right": put(108, number(1)) if data[100] == 5 else put(108, short(0xffff)), "schema_pointer": put(108 if data[100] == 13 else 112, short(5)),
        "right_self": put(root + 8, number(roots["t"])), "right_1": put(root + 8, number(1)), "right_ones": put(root + 8, b"\xff" * 4), "right_index": put(root + 8, number(db.execute("select rootpage from sqlite_schema where name='t_b'").fetchone()[0])), "right_leaf": put(root + 8, number(leaf)),
        "root_cells_0": put(root + 3, short(0)), "root_pointer_ones": put(root + 12, short(0xffff)), "root_pointer_0": put(root + 12, short(0)), "root_pointer_end": put(root + 12, short(size - 2)), "left_self": put(root + word(root + 12), number(roots["t"])), "left_0": put(root + word(root + 12), number(0)), "left_oob": put(root + word(root + 12), number(1 << 24)), "left_blobs": put(root + word(root + 12), number(roots["blobs"])),
        "root_zeros": put(root, bytes(size)), "root_ones": put(root, b"\xff" * size), "root_key": put(root + word(root + 12) + 4, b"\x7f"),
        "leaf_cells": put(first + 3, short(0x7fff)), "leaf_cells_0": put(first + 3, short(0)), "leaf_pointer_ones": put(first + 8, short(0xffff)), "leaf_pointer_0": put(first + 8, short(0)), "leaf_pointer_end": put(first + 8, short(size - 1)), "leaf_zeros": put(first, bytes(size)), "leaf_ones": put(first, b"\xff" * size), "leaf_interior": put(first, b"\5"), "leaf_index": put(first, b"\x0a"), "leaf_content_0": put(first + 5, short(0)), "leaf_content_ones": put(first + 5, short(0xffff)), "leaf_free": put(first + 1, short(size - 3)),
        "payload_ones": put(cell, b"\xff" * 9), "payload_0": put(cell, b"\0"), "payload_long": put(cell, b"\xff\x7f"), "payload_more": put(cell, bytes([data[cell] + 7])), "rowid_ones": put(cell + 1, b"\xff" * 9), "rowid_2": put(cell + 1, b"\x02"), "head_0": put(cell + 2, b"\0"), "head_1": put(cell + 2, b"\1"), "head_7f": put(cell + 2, b"\x7f"), "head_long": put(cell + 2, b"\xff\xff\x7f"), "kind_10": put(cell + 4, b"\x0a"), "kind_11": put(cell + 4, b"\x0b"), "kind_ones": put(cell + 3, b"\xff" * 5), "kind_text": put(cell + 4, b"\x7d"), "kinds_ones": put(cell + 3, b"\xff" * 9),
        "plain_leaf": put(plain + 8, short(3)), "plain_kind": put(plain, b"\x0d\xff\xff\xff\xff"),
        "blob_payload": put(blob, b"\xff\xff\xff\x7f"), "overflow_self": put((chain[0] - 1) * size, number(chain[0])), "overflow_back": put((chain[2] - 1) * size, number(chain[0])), "overflow_0": put((chain[1] - 1) * size, number(0)), "overflow_1": put((chain[1] - 1) * size, number(1)), "overflow_root": put((chain[0] - 1) * size, number(roots["blobs"])), "overflow_first_0": put(blob + data[blob:blob + 2 * size].find(number(chain[0])), number(0)), "overflow_first_oob": put(blob + data[blob:blob + 2 * size].find(number(chain[0])), number(1 << 30)), "overflow_end": put((chain[-1] - 1) * size, number(chain[0])),
    }
    for what, change in cases.items():
        ask_damaged("bad_" + what, db, change)


def ask_rows(image, db, table, rowid_column=None, columns="*", location=True):
    rowids = [r[0] for r in db.execute(f"select rowid from {table} order by rowid")]
    ask(image, "count", {"table": table}, {"count": len(rowids)}, "select count(*)")
    if not rowids:
        ask(image, "minmax", {"table": table}, {"min_rowid": None, "max_rowid": None}, "select min, max")
        ask(image, "row", {"table": table, "rowid": 1}, {"found": False}, "select")
        return
    ask(image, "minmax", {"table": table}, {"min_rowid": rowids[0], "max_rowid": rowids[-1]}, "select min, max")
    paths = pages(db, table) if location else {}
    leaves = [(page, cells) for path, (page, kind, cells) in sorted(paths.items()) if kind == "leaf"]
    some = sorted(set(random.sample(range(len(rowids)), min(12, len(rowids)))) | {0, len(rowids) - 1})
    for i in some:
        rowid = rowids[i]
        values = db.execute(f"select {columns} from {table} where rowid=?", (rowid,)).fetchone()
        ask(image, "row", {"table": table, "rowid": rowid}, {"record": record(values, rowid_column)}, "select")
        if location:
            ask_location(image, table, rowid, i, paths, leaves)
    taken = set(rowids)
    for miss in {rowids[0] - 1, rowids[-1] + 1, rowids[len(rowids) // 2] + 1} - taken:
        if -(1 << 63) <= miss < 1 << 63:
            ask(image, "row", {"table": table, "rowid": miss}, {"found": False}, "select")
    for start in (rowids[0], rowids[len(rowids) // 2], rowids[-1], -(1 << 63)):
        got = [r for r in rowids if r >= start][:6]
        ask(image, "range", {"table": table, "from": start, "limit": 6}, {"rowids": got}, "select")


def ask_location(image, table, rowid, rank, paths, leaves):
    for page, cells in leaves:
        if rank < cells:
            break
        rank -= cells
    path = next(p for p, (number, _, _) in paths.items() if number == page)
    names = path.strip("/").split("/") if path != "/" else []
    numbers = [paths["/" + "".join(f"{n}/" for n in names[:i])][0] for i in range(len(names) + 1)]
    chain = [paths[p][0] for p in sorted(paths) if p.startswith(f"{path}{rank:03x}+")]
    expect = {"pages": numbers, "cell": rank, "n_overflow": len(chain), "overflow": chain}
    ask(image, "row_location", {"table": table, "rowid": rowid}, expect, "dbstat")
    if chain:
        ask(image, "overflow_chain", {"table": table, "rowid": rowid}, {"pages": chain}, "dbstat")


def ask_index(image, db, table, index, columns, keys, collations=None, desc=None):
    for key in keys:
        where = " and ".join(f"{c} is ?" for c in columns[:len(key)])
        rowids = sorted(r[0] for r in db.execute(f"select rowid from {table} where {where}", key))
        args = {"index": index, "key": [stored_key(k) for k in key]}
        if collations:
            args["collations"] = collations
        if desc:
            args["desc"] = desc
        ask(image, "index_lookup", args, {"count": len(rowids), "rowids": rowids[:40]}, "select")


def stored_key(value):
    return {"blob": value.hex()} if isinstance(value, bytes) else value if not isinstance(value, float) else stored(value)


def open_new(image, *pragmas):
    path = f"{DIR}/images/{image}.db"
    for suffix in ("", "-wal", "-shm", "-journal"):
        if os.path.exists(path + suffix):
            os.remove(path + suffix)
    db = sqlite3.connect(path, isolation_level=None)
    for pragma in pragmas:
        db.execute(f"pragma {pragma}")
    return path, db


def fill(db, rows, big):
    """A database with tables and indexes of most kinds; `big` is the length of its longest values."""
    rng = random.Random(rows)
    db.execute("begin")
    db.execute("create table t(a integer primary key, b text, c int, d real, e blob)")
    db.execute("create index t_b on t(b)")
    db.execute("create index t_c on t(c desc, b)")
    db.execute("create index t_nocase on t(b collate nocase)")
    db.execute("create index t_rtrim on t(b collate rtrim, c)")
    db.execute("create table plain(x, y)")
    db.execute("create index plain_x on plain(x)")
    db.execute("create table empty(x)")
    db.execute("create table wr(k text, n int, v blob, primary key(k, n desc)) without rowid")
    db.execute("create table wr2(v text, id integer primary key, w) without rowid")
    db.execute("create table blobs(id integer primary key, body blob, note text)")
    db.execute("create view v as select a, b from t")
    for i in range(rows):
        word = rng.choice(WORDS) + (str(rng.randrange(rows // 3 + 1)) if rng.random() < 0.7 else "")
        db.execute("insert into t values(?,?,?,?,?)", (i * 3 + 1, word, rng.randrange(-50, 50), rng.choice([i / 7, float(i), -i * 1e20]), rng.randbytes(rng.randrange(30))))
    for i in range(rows // 2):
        x = rng.choice([None, i, -i, i + 0.5, float(i), f"s{i}", b"b%d" % i, 1 << 40, -(1 << 62), 1e300, -1e300, 2.0 ** 53, (1 << 53) + 1, 3])
        db.execute("insert into plain(rowid, x, y) values(?,?,?)", ((i - rows // 4) * 1000003, x, rng.choice([0, 1, 127, 128, -129, 32768, 1 << 23, 1 << 31, 1 << 47, 1 << 62, -(1 << 63), None])))
    for rowid in (-(1 << 63), (1 << 63) - 1):
        db.execute("insert into plain(rowid, x, y) values(?,?,?)", (rowid, "end", rowid))
    for i in range(rows // 2):
        db.execute("insert or ignore into wr values(?,?,?)", (rng.choice(WORDS) + str(rng.randrange(40)), rng.randrange(100), rng.randbytes(rng.randrange(60))))
        db.execute("insert into wr2 values(?,?,?)", ("v" * rng.randrange(200), i * 5, i / 3))
    for i in range(24):
        size = (big >> (i % 12)) + i
        db.execute("insert into blobs values(?,?,?)", (i + 1, random.Random(i).randbytes(size), WORDS[i % len(WORDS)] * (size // 60)))
    db.execute("commit")


def ask_all(image, path, db):
    ask_header(image, path, db)
    ask_pages(image, path, db)
    ask_rows(image, db, "t", 0)
    ask_rows(image, db, "plain", None, "x, y")
    ask_rows(image, db, "empty")
    ask_rows(image, db, "blobs", 0)
    some = [r[0] for r in db.execute("select b from t order by random() limit 8")] + ["nothing"]
    ask_index(image, db, "t", "t_b", ["b"], [[b] for b in some])
    ask_index(image, db, "t", "t_c", ["c", "b"], [[c] for c in (-50, 0, 49, 77)] + [[r[0], r[1]] for r in db.execute("select c, b from t order by random() limit 5")], None, [True, False])
    ask_index(image, db, "t", "t_nocase", ["b collate nocase"], [[b.swapcase() if b.isascii() else b] for b in some], ["NOCASE"])
    ask_index(image, db, "t", "t_rtrim", ["b collate rtrim", "c"], [[b.strip() + "   "] for b in some], ["RTRIM", "BINARY"])
    xs = [r[0] for r in db.execute("select x from plain order by random() limit 10")]
    ask_index(image, db, "plain", "plain_x", ["x"], [[x] for x in xs + [3.0, 9007199254740993, 9007199254740992.0, 1e300, 5e-324, -1e300, 2 ** 62]])
    for k, n in db.execute("select k, n from wr order by random() limit 8"):
        values = db.execute("select k, n, v from wr where k=? and n=?", (k, n)).fetchone()
        ask(image, "without_rowid_lookup", {"table": "wr", "key": [k, n], "desc": [False, True]}, {"record": record(values)}, "select")
    ask(image, "without_rowid_lookup", {"table": "wr", "key": ["absent", 1], "desc": [False, True]}, {"found": False}, "select")
    for (i,) in db.execute("select id from wr2 order by random() limit 5").fetchall():
        values = db.execute("select id, v, w from wr2 where id=?", (i,)).fetchone()
        ask(image, "without_rowid_lookup", {"table": "wr2", "key": [i]}, {"record": record(values)}, "select")
    for table in ("wr", "wr2"):
        ask(image, "count", {"table": table}, {"count": db.execute(f"select count(*) from {table}").fetchone()[0]}, "select count(*)")


def wanted(image):
    return len(sys.argv) < 3 or image in sys.argv[2:]


def make(image, pragmas, rows=600, big=20000, after=None):
    if not wanted(image):
        return
    path, db = open_new(image, *pragmas)
    fill(db, rows, big)
    if after:
        after(db)
    ask_all(image, path, db)
    db.close()


def thin(db):
    db.execute("delete from t where a % 5 < 3")
    db.execute("delete from blobs where id % 3 = 0")


def grown(db):
    db.execute("alter table t add column later text default 'x'")
    db.execute("alter table t add column more int")


def make_special():
    path, db = open_new("wide", "page_size=512")
    db.execute("create table w(" + ", ".join(f"c{i}" for i in range(1500)) + ")")
    for i in range(3):
        db.execute("insert into w values(" + ",".join("?" * 1500) + ")", [[j, str(j), None, j / 2, 1][(j + i) % 5] for j in range(1500)])
    ask_rows("wide", db, "w")
    db.close()
    path, db = open_new("long_keys", "page_size=1024")
    db.execute("create table l(s text, n int)")
    db.execute("create index l_s on l(s, n)")
    values = [c * n + str(i) for i, (c, n) in enumerate((c, n) for c in "abcX" for n in (10, 200, 250, 900, 1000, 2500, 3500))]
    for n in range(3):
        for s in values:
            db.execute("insert into l values(?,?)", (s, n))
    ask_index("long_keys", db, "l", "l_s", ["s", "n"], [[s] for s in values] + [[s, 1] for s in values[::5]])
    ask_index("long_keys", db, "l", "l_s", ["s"], [["a" * 2500], ["b"], ["X" * 900]])
    db.close()
    path, db = open_new("generated")
    db.execute("create table g(a integer primary key, b int, v int generated always as (b * 2) virtual, s text generated always as ('s' || b) stored)")
    db.execute("create index g_v on g(v)")
    for i in range(200):
        db.execute("insert into g(b) values(?)", (i * 7,))
    ask_rows("generated", db, "g", 0, "a, b, s")
    ask_index("generated", db, "g", "g_v", ["v"], [[14], [15], [0]])
    db.close()
    path, db = open_new("names")
    names = ["Ünï", "with space", "select", "a" * 300, 'quo"te'] + [f"t{i}" for i in range(120)]
    for i, name in enumerate(names):
        db.execute('create table "%s"(a, b)' % name.replace('"', '""'))
        db.execute('insert into "%s" values(?, ?)' % name.replace('"', '""'), (i, name))
    for i, name in enumerate(names):
        if i % 7 == 0 or i < 5:
            ask("names", "row", {"table": name, "rowid": 1}, {"record": [i, name]}, "select")
    ask("names", "count", {"table": "T5"}, {"count": 1}, "select")
    ask("names", "count", {"table": "sqlite_schema"}, {"count": len(names)}, "select")
    db.close()


def make_kinds():
    """Tables and indexes of the rarer kinds."""
    path, db = open_new("kinds", "page_size=1024")
    db.execute("create table descending(a integer primary key desc, b text)")
    db.execute("create table counted(id integer primary key autoincrement, b text unique, c int, unique(c, b))")
    db.execute("create table strict_one(a int, b real, c any) strict")
    db.execute("create index some on counted(c) where c > 50")
    db.execute("create index folded on counted(lower(b), c desc)")
    db.execute("create table folded_key(k text collate nocase, v int, w text, primary key(v desc, k)) without rowid")
    db.execute("create table typed(a numeric, b text, c blob, d integer, e real)")
    db.execute("create table dated(d text default current_timestamp, b boolean check (b in (0, 1)), c decimal(10, 2))")
    db.execute("create virtual table words using fts5(body)")
    db.execute("create virtual table boxes using rtree(id, x0, x1)")
    db.execute("create trigger t after insert on strict_one begin insert into dated(b) values(1); end")
    db.execute("begin")
    for i in range(400):
        db.execute("insert into descending values(?, ?)", (1000 - i * 2, "d%d" % i))
        db.execute("insert into counted(b, c) values(?, ?)", ("B%d" % i if i % 3 else "b\u00e9%d" % i, i % 97))
        db.execute("insert into strict_one values(?, ?, ?)", (i, i / 4, [i, str(i), None, i / 3, b"%d" % i][i % 5]))
        db.execute("insert into folded_key values(?, ?, ?)", (["Key", "kEY2", "other"][i % 3], i // 3, "w%d" % i))
        db.execute("insert into typed values(?, ?, ?, ?, ?)", [[str(i), i, i, str(i), str(i)], [i / 2, i / 2, i / 2, float(i), i], ["x", b"x", "x", "1e3", "0x10"], [None, True, False, -i, -i / 8]][i % 4])
        db.execute("insert into words values(?)", ("word%d and more of %d" % (i % 50, i),))
        db.execute("insert into boxes values(?, ?, ?)", (i, i, i + 5))
    db.execute("delete from counted where c % 7 = 3")
    db.execute("analyze")
    db.execute("commit")
    ask_header("kinds", path, db)
    ask_pages("kinds", path, db)
    for table, alias in (("descending", None), ("counted", 0), ("strict_one", None), ("typed", None), ("dated", None), ("sqlite_sequence", None), ("sqlite_stat1", None), ("words_data", 0), ("words_content", 0), ("words_docsize", 0), ("boxes_node", 0), ("boxes_rowid", 0)):
        ask_rows("kinds", db, table, alias)
    ask_index("kinds", db, "counted", "sqlite_autoindex_counted_1", ["b"], [["B1"], ["b\u00e90"], ["B398"], ["absent"]])
    ask_index("kinds", db, "counted", "sqlite_autoindex_counted_2", ["c", "b"], [[5], [5, "B5"], [96], [-1]])
    ask_index("kinds", db, "descending", "sqlite_autoindex_descending_1", ["a"], [[1000], [202], [999]], None, [True])
    for c in (51, 60, 96):
        rowids = sorted(r[0] for r in db.execute("select rowid from counted where c = ?", (c,)))
        ask("kinds", "index_lookup", {"index": "some", "key": [c]}, {"count": len(rowids), "rowids": rowids}, "select")
    ask("kinds", "index_lookup", {"index": "some", "key": [50]}, {"count": 0, "rowids": []}, "not in the partial index")
    for i in (1, 44, 398):
        rowids = sorted(r[0] for r in db.execute("select rowid from counted where lower(b) = ?", ("b%d" % i,)))
        ask("kinds", "index_lookup", {"index": "folded", "key": ["b%d" % i]}, {"count": len(rowids), "rowids": rowids}, "select")
    for k, v in (("KEY", 0), ("key2", 40), ("OTHER", 132), ("none", 5)):
        row = db.execute("select v, k, w from folded_key where v=? and k=?", (v, k)).fetchone()
        ask("kinds", "without_rowid_lookup", {"table": "folded_key", "key": [v, k], "collations": ["BINARY", "NOCASE"], "desc": [True, False]}, {"record": record(row)} if row else {"found": False}, "select")
    db.close()


def make_left_over():
    """Databases that a program left open: what stands in the write-ahead log is not in the file."""
    path, db = open_new("log_left", "page_size=1024", "journal_mode=wal", "wal_autocheckpoint=0")
    fill(db, 300, 9000)
    db.execute("pragma wal_checkpoint(truncate)")
    shutil.copy(path, path + ".kept")
    db.execute("delete from t")
    db.close()
    os.replace(path + ".kept", path)
    db = sqlite3.connect(path, isolation_level=None)
    ask_all("log_left", path, db)
    db.close()
    # The header's count of pages counts only where the change counter is that of the program that wrote it.
    path, db = open_new("old_writer", "page_size=1024")
    fill(db, 300, 9000)
    db.close()
    with open(path, "r+b") as f:
        f.seek(28)
        f.write(struct.pack(">I", 7))
        f.seek(92)
        f.write(struct.pack(">I", 0x10000))
    db = sqlite3.connect(path, isolation_level=None)
    ask_all("old_writer", path, db)
    db.close()


def trunks(path):
    """The freelist's trunk pages, by the file format's description (1.5)."""
    with open(path, "rb") as f:
        head = f.read(100)
        size = struct.unpack(">H", head[16:18])[0]
        size, page, out = 65536 if size == 1 else size, struct.unpack(">I", head[32:36])[0], []
        while page:
            out.append(page)
            f.seek((page - 1) * size)
            page = struct.unpack(">I", f.read(4))[0]
    return out


def make_reserved(image, bytes_):
    if not wanted(image):
        return
    path = f"{DIR}/images/{image}.db"
    if os.path.exists(path):
        os.remove(path)
    subprocess.run(["sqlite3", path], input=f".filectrl reserve_bytes {bytes_}\ncreate table q(x); drop table q; vacuum;", text=True, check=True, stdout=subprocess.DEVNULL)
    db = sqlite3.connect(path, isolation_level=None)
    fill(db, 400, 9000)
    ask_all(image, path, db)
    db.close()


def main():
    random.seed(7)
    for size in (512, 1024, 2048, 4096, 8192, 16384, 32768, 65536):
        make(f"page_{size}", [f"page_size={size}"], 600 if size < 8192 else 3000, size * 5)
    for encoding in ("UTF-16le", "UTF-16be"):
        make(f"{encoding.lower().replace('-', '')}", [f"encoding='{encoding}'", "page_size=1024"])
    make("auto_full", ["page_size=512", "auto_vacuum=1"], 1500)
    make("auto_incremental", ["page_size=1024", "auto_vacuum=2"], 1500, 20000, thin)
    make("deleted", ["page_size=512"], 1500, 60000, thin)
    make("altered", ["page_size=4096", "user_version=77", "application_id=-5"], 300)
    make("old_format", ["legacy_file_format=1", "page_size=1024"], 300)
    make("deep", ["page_size=512"], 20000, 400000)
    make("wal", ["journal_mode=wal"], 500, 20000, lambda db: db.execute("pragma wal_checkpoint(truncate)"))
    make_reserved("reserved_32", 32)
    make_reserved("reserved_255", 255)
    if wanted("special"):
        make_special()
    if wanted("kinds"):
        make_kinds()
    if wanted("left_over"):
        make_left_over()
    if wanted("damaged"):
        make_damaged()


main()
