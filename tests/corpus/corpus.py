"""What the scripts of this folder share: tools, contents of files, queries, damage.

Each script is named after its family (`ext.py DIR [VARIANT…]`) and makes DIR/images/FAMILY_*.img and DIR/queries.FAMILY.jsonl. No answer comes from
this project: they are what the formats' own tools say, or what was put in. `score.py` runs the queries."""
import fcntl, hashlib, json, os, re, shutil, subprocess, sys, tempfile


def run(*command, ok=(0,), text=None, **more):
    """The output of a command."""
    p = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", errors="surrogateescape", **more)
    if p.returncode not in ok:
        raise RuntimeError("%s: %s" % (" ".join(map(os.fsdecode, command)), (p.stdout + p.stderr)[-500:]))
    return p.stdout


def have(*tools):
    """Whether all tools are installed; says what is missing."""
    missing = [t for t in tools if not shutil.which(t, path=os.environ["PATH"] + ":/sbin:/usr/sbin")]
    for t in missing:
        print("skipped, because %s is not installed" % t)
    return not missing


def pattern(size, salt):
    """Bytes of which every stretch says where it is from."""
    block = b"".join(b"%s%08d\n" % (salt.encode(), i) for i in range(size // 9 + 1))
    return block[:size]


def content(data):
    """What an answer says of bytes."""
    return {"length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def sample(items, most):
    """At most so many of the items, spread evenly."""
    items = list(items)
    return items if len(items) <= most else [items[i * len(items) // most] for i in range(most)]


def listed(name, items):
    """A list as answers give it."""
    items = list(items)
    return {"n_" + name: len(items), name: items} if len(items) <= 40 else {"n_" + name: len(items), "head": items[:4], "tail": items[-4:]}


def cloned(original, path, apart):
    """A file that shares extents with another (FICLONE), with three parts of its own, so far apart."""
    with open(original, "rb") as f, open(path, "wb") as g:
        try:
            fcntl.ioctl(g, 0x40049409, f.fileno())
            for i in range(3):
                g.seek(i * apart)
                g.write(pattern(1000, "z"))
        except OSError:
            g.write(b"no reflinks")


def runs(numbers):
    """Maximal runs [start, count]."""
    out = []
    for n in numbers:
        if out and sum(out[-1]) == n:
            out[-1][1] += 1
        else:
            out.append([n, 1])
    return out


def crc32c_table():
    out = []
    for n in range(256):
        for _ in range(8):
            n = n >> 1 ^ (0x82F63B78 if n & 1 else 0)
        out.append(n)
    return out


CRC32C = crc32c_table()


def crc32c(data):
    n = 0xffffffff
    for byte in data:
        n = CRC32C[(n ^ byte) & 255] ^ n >> 8
    return n ^ 0xffffffff


class Corpus:
    """The queries of one family."""

    def __init__(self, folder, family, format=None):
        os.makedirs(os.path.join(folder, "images"), exist_ok=True)
        self.folder, self.family, self.format, self.count = folder, family, format or family, 0
        self.out = open(os.path.join(folder, "queries.%s.jsonl" % family), "w")

    def image(self, name):
        """Where an image is made; what was there is gone."""
        path = os.path.join(self.folder, "images", "%s_%s" % (self.family, name))
        if os.path.exists(path):
            os.remove(path)
        return path

    def add(self, image, traversal, args, expect, oracle, tags=None):
        """One query; `traversal` with its prefix, as `fat.path`."""
        self.count += 1
        stem = os.path.splitext(os.path.basename(image))[0]
        row = {"id": "%s/%s/%05d" % (stem, traversal.split(".", 1)[1], self.count), "image": "images/" + os.path.basename(image), "format": self.format,
               "traversal": traversal, "args": args, "expect": expect, "oracle": oracle, "set": "made", **({"tags": tags} if tags else {})}
        self.out.write(json.dumps(row) + "\n")
        self.out.flush()

    def damaged(self, base, name, change, oracle="damaged on purpose"):
        """A copy of an image with pieces of it changed: a list of (offset, bytes), or a function of all its bytes."""
        with open(base, "rb") as f:
            data = bytearray(f.read())
        if callable(change):
            changed = change(data)
            data = data if changed is None else changed
        else:
            for at, piece in change:
                data[at:at + len(piece)] = piece
        path = self.image(name)
        zeros = bytes(65536)
        with open(path, "wb") as f:
            f.truncate(len(data))
            for at in range(0, len(data), 65536):
                # What is zero takes no room on the disk.
                if data[at:at + 65536] != zeros[:len(data) - at]:
                    f.seek(at)
                    f.write(data[at:at + 65536])
        return path


def variants(script_variants, argv):
    """The folder and the variants that a command line asks for."""
    if len(argv) < 2:
        sys.exit("usage: %s DIR [VARIANT…]" % argv[0])
    wanted = argv[2:]
    return argv[1], {n: v for n, v in script_variants.items() if not wanted or n in wanted}


def make_small(folder, makers, files):
    """The small images of test items, one by each maker, of these files with a link to the first in a folder."""
    os.makedirs(folder, exist_ok=True)
    with tempfile.TemporaryDirectory() as source:
        for name, data in files.items():
            with open(os.path.join(source, name), "wb") as f:
                f.write(data)
        os.mkdir(os.path.join(source, "dir"))
        os.symlink("../" + next(iter(files)), os.path.join(source, "dir", "link"))
        for make in makers:
            path = os.path.join(folder, make.__name__ + ".img")
            if os.path.exists(path):
                os.remove(path)
            make(path, source)
