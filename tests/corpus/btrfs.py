#!/usr/bin/env python3
"""Makes Btrfs images in many variants, and queries with answers by btrfs inspect-internal, btrfs-map-logical and the mounted file system.

    btrfs.py DIR [VARIANT…]     makes DIR/images/btrfs_*.img and DIR/queries.btrfs.jsonl; needs btrfs-progs 6.2 or later

Where the kernel does not mount Btrfs for this user, `mkfs.btrfs --rootdir` fills the image (no subvolumes and no compression then).
Variants: every checksum, node size and profile, volumes of several devices (the first has the queries, `devices` names all), mixed groups, holes
with and without items, the trees of block groups and of free space, every compression, subvolumes and snapshots, names with the same hash."""
import os, re, shutil, subprocess, sys, tempfile
from corpus import CRC32C, Corpus, cloned, content, have, listed, pattern, run, sample, variants
import btrfs_damage

UUID = "b7b7b7b7-0000-4000-8000-0000000000%02x"
# name: (options of mkfs.btrfs, devices, MiB of each, options of mount, more)
VARIANTS = {
    "default": ([], 1, 120, "", {}),
    "xxhash": (["--csum", "xxhash"], 1, 120, "", {}),
    "sha256": (["--csum", "sha256"], 1, 120, "", {}),
    "blake2": (["--csum", "blake2"], 1, 120, "", {}),
    "node4k": (["-n", "4096"], 1, 120, "", {"many": 4000}),
    "node8k": (["-n", "8192"], 1, 120, "", {}),
    "node32k": (["-n", "32768"], 1, 120, "", {}),
    "node64k": (["-n", "65536"], 1, 128, "", {}),
    "mixed": (["-M", "-n", "4096"], 1, 64, "", {}),
    "single": (["-m", "single", "-d", "single"], 1, 120, "", {}),
    "dup": (["-m", "dup", "-d", "dup"], 1, 256, "", {}),
    "holes": (["-O", "^no-holes"], 1, 120, "", {}),
    "old": (["-O", "^no-holes,^extref,^skinny-metadata", "-R", "^free-space-tree"], 1, 120, "", {}),
    "quota": (["-R", "quota"], 1, 120, "", {}),
    "zlib": ([], 1, 120, "compress-force=zlib", {}),
    "zstd": ([], 1, 120, "compress-force=zstd", {}),
    "lzo": ([], 1, 120, "compress-force=lzo", {}),
    "subvolumes": ([], 1, 120, "", {"subvolumes": 1}),
    "raid0": (["-m", "raid0", "-d", "raid0"], 3, 128, "", {}),
    "raid1": (["-m", "raid1", "-d", "raid1"], 2, 128, "", {}),
    "raid1_3": (["-m", "raid1", "-d", "raid1"], 3, 128, "", {}),
    "raid1c3": (["-m", "raid1c3", "-d", "raid1c3"], 3, 128, "", {}),
    "raid1c4": (["-m", "raid1c4", "-d", "raid1c4"], 4, 128, "", {}),
    "raid10": (["-m", "raid10", "-d", "raid10"], 4, 128, "", {}),
    "raid5": (["-m", "raid5", "-d", "raid5"], 3, 160, "", {}),
    "raid6": (["-m", "raid6", "-d", "raid6"], 4, 160, "", {}),
    "mixed_profiles": (["-m", "raid1", "-d", "single"], 2, 128, "", {}),
    "metadata_uuid": ([], 1, 120, "", {"tune": [["btrfstune", "-f", "-m"]]}),
    "new_uuid": ([], 1, 120, "", {"tune": [["btrfstune", "-f", "-u"]]}),
    "seed": ([], 1, 120, "", {"tune": [["btrfstune", "-f", "-S", "1"]]}),
    "upgraded": (["-O", "^no-holes,^extref,^skinny-metadata", "-R", "^free-space-tree"], 1, 120, "", {"tune": [["btrfstune", "-r", "-x", "-n"]]}),
    "balanced": ([], 1, 256, "", {"after": [["balance", "start", "-f", "-mconvert=single", "-dconvert=dup"]]}),
    "grown": ([], 1, 400, "", {"after": [["filesystem", "resize", "300M"], ["filesystem", "resize", "max"]]}),
    "defragmented": ([], 1, 120, "", {"after": [["filesystem", "defragment", "-r", "-czstd"]]}),
    "converted": ([], 1, 256, "", {"from_ext4": True}),
    "sector16k": (["-s", "16384", "-n", "16384"], 1, 120, None, {}),
    "sector64k": (["-s", "65536", "-n", "65536"], 1, 256, None, {}),
    "sector8k_sha": (["-s", "8192", "-n", "32768", "--csum", "sha256"], 1, 120, None, {}),
    "unmounted": ([], 1, 120, None, {}),
    "unmounted_sha256": (["--csum", "sha256", "-n", "4096"], 1, 120, None, {"many": 900}),
    "unmounted_mixed": (["-M", "-n", "4096"], 1, 64, None, {}),
}


def name_hash(name):
    """As btrfs_name_hash of the kernel."""
    h = 0xfffffffe
    for letter in name:
        h = CRC32C[(h ^ letter) & 255] ^ h >> 8
    return h


def fill(top, many):
    at = lambda *names: os.path.join(top, *names)

    def write(path, data):
        with open(path, "wb") as f:
            f.write(data)

    write(at(b"hello"), b"hello world\n")
    write(at(b"empty"), b"")
    write(at(b"inline"), pattern(1500, "i"))
    write(at(b"contig"), pattern(600000, "c"))
    write(at(b"text"), b"the same again and again " * 30000)
    os.makedirs(at(b"a", b"b", b"c"))
    write(at(b"a", b"b", b"c", b"odd"), pattern(4097, "o"))
    os.mkdir(at(b"many"))
    for i in range(many):
        write(at(b"many", b"entry_%05d_%s" % (i, b"y" * (i % 40))), b"%d" % i if i % 3 == 0 else b"")
    os.mkdir(at(b"names"))
    for name in (b"x", b"with space", "ümlä你".encode(), b"n" * 255, b"\xff\xfe", b"'q'"):
        write(at(b"names", name), name)
    os.mkdir(at(b"same_hash"))
    for name in SAME_HASH:
        write(at(b"same_hash", name), name)
    with open(at(b"sparse"), "wb") as f:
        for i in range(30):
            f.seek(i * 3 * 65536 // 2)
            f.write(pattern(5000 + 100 * i, "s%d" % i))
        f.truncate(8 << 20)
    with open(at(b"prealloc"), "wb") as f:
        os.posix_fallocate(f.fileno(), 0, 300000)
        f.seek(100000)
        f.write(pattern(30000, "p"))
    with open(at(b"rewritten"), "wb") as f:
        f.write(pattern(400000, "r"))
    with open(at(b"rewritten"), "r+b") as f:
        os.fsync(f.fileno())
        f.seek(123456)
        f.write(pattern(20000, "w"))
    os.symlink(b"a/b/c", at(b"link"))
    os.symlink(b"t/" * 900 + b"end", at(b"link_long"))
    os.link(at(b"hello"), at(b"a", b"again"))
    cloned(at(b"contig"), at(b"cloned"), 200000)
    os.mkdir(at(b"links"))
    for i in range(100):
        try:
            os.link(at(b"text"), at(b"links", b"%d-" % i + b"l" * 150))
        except OSError:
            break  # Without `extref` an inode's names must have room in one item.
    os.mkfifo(at(b"fifo"))
    os.mknod(at(b"null"), 0o020666, os.makedev(1, 3))
    os.chown(at(b"empty"), 70000, 1 << 31)


def same_hash(first, head):
    """A name that begins with `head` and has the hash of `first`: the last four bytes are solved for; letters only, so by trying heads."""
    target = name_hash(first)
    back = {CRC32C[i] >> 24: i for i in range(256)}
    for n in range(1 << 20):
        start = head + b"%x" % n
        state = name_hash(start)
        # Runs the register back over four unknown bytes.
        h, indices = target, []
        for _ in range(4):
            i = back[h >> 24]
            indices.append(i)
            h = (h ^ CRC32C[i]) << 8 & 0xffffffff | i
        out = b""
        for i in reversed(indices):
            letter = (state ^ i) & 255
            out += bytes([letter])
            state = CRC32C[i] ^ state >> 8
        if state == target and all(0x20 < c < 0x7f and c != 0x2f for c in out):
            return start + out
    raise RuntimeError("no name has this hash")


SAME_HASH = [b"first name"] + [same_hash(b"first name", head) for head in (b"second", b"third")]


def key(text):
    """A key of dump-tree: `(256 INODE_ITEM 0)`."""
    object_, kind, number = text.split(" ")
    as_number = lambda t: int(t) if t.lstrip("-").isdigit() else t
    return [as_number(object_), kind, as_number(number)]


def leaves(device, tree):
    """The items of a tree as dump-tree shows them: (key, leaf, slot, size, more lines)."""
    out, leaf = [], None
    for line in run("btrfs", "inspect-internal", "dump-tree", "-t", str(tree), device).splitlines():
        if found := re.match(r"leaf (\d+) items", line):
            leaf = int(found[1])
        elif found := re.match(r"\s+item (\d+) key \((\S+ \S+ \S+)\) itemoff \d+ itemsize (\d+)", line):
            out.append((key(found[2]), leaf, int(found[1]), int(found[3]), []))
        elif out and line.startswith("\t\t"):
            out[-1][4].append(line.strip())
    return out


def ask_volume(c, image, device, args):
    dump = run("btrfs", "inspect-internal", "dump-super", "-f", device)
    value = lambda name: re.search(r"^%s\t+(\S*)" % re.escape(name), dump, re.M)[1]
    expect = {n: int(value(n), 0) for n in "generation root root_level chunk_root chunk_root_level total_bytes bytes_used sectorsize nodesize num_devices sys_array_size root_dir csum_type incompat_flags".split() if n in dump}
    expect["sys_array_size"] = int(value("sys_array_size"))
    root_dir = re.search(r"^root_dir\t+(\d+)", dump, re.M)
    expect |= {"csum_type": int(value("csum_type")), "csum_valid": "[match]" in dump, "fsid": value("fsid"), "label": value("label"), "devid": int(value("dev_item.devid"))}
    if root_dir:
        expect["root_dir"] = int(root_dir[1])
    c.add(image, "btrfs.super", args, expect, "btrfs inspect-internal dump-super")
    roots = run("btrfs", "inspect-internal", "dump-tree", "-r", device)
    found = {"root tree: ": 1, "chunk tree: ": 3}
    for name, number, address, level in re.findall(r"^(root tree: |chunk tree: |.*?\((\S+) ROOT_ITEM \d+\) )(\d+) level (\d)", roots, re.M):
        number = found.get(name) or number
        names = {"EXTENT_TREE": 2, "DEV_TREE": 4, "FS_TREE": 5, "CSUM_TREE": 7, "UUID_TREE": 9, "FREE_SPACE_TREE": 10, "BLOCK_GROUP_TREE": 11}
        number = names.get(number, number)
        if str(number).isdigit():
            c.add(image, "btrfs.tree_root", {"tree": int(number), **args}, {"bytenr": int(address), "level": int(level)}, "dump-tree -r")
    chunks = []
    for k, _, _, _, lines in leaves(device, 3):
        if k[1] == "CHUNK_ITEM":
            body = "\n".join(lines)
            kind = re.search(r"type (\S+)", body)[1]
            chunks.append({"logical": k[2], "length": int(re.search(r"length (\d+)", body)[1]), "type": kind, "stripes": [[int(a), int(b)] for a, b in re.findall(r"stripe \d+ devid (\d+) offset (\d+)", body)]})
    c.add(image, "btrfs.chunks", args, {"chunks": chunks}, "dump-tree -t 3")
    for chunk in chunks:
        for inside in (0, 70000, chunk["length"] // 2 + 12288, chunk["length"] - 4096):
            logical = chunk["logical"] + inside
            out = subprocess.run(["btrfs-map-logical", "-l", str(logical), "-b", "4096", device], capture_output=True, text=True).stdout
            physical = sorted({int(p) for at, p in re.findall(r"mirror \d+ logical (\d+) physical (\d+)", out) if int(at) == logical})
            if physical:
                c.add(image, "btrfs.map_logical", {"logical": logical, **args}, {"physical": physical}, "btrfs-map-logical")
    c.add(image, "btrfs.map_logical", {"logical": 1 << 50, **args}, {"found": False}, "beyond the last chunk")
    return [1, 2, 3, 4, 5, 7]


def plain(name):
    try:
        return name.decode()
    except UnicodeDecodeError:
        return {"hex": name.hex()}


def ask_items(c, image, device, trees, args):
    for tree in trees:
        rows = leaves(device, tree)
        for k, leaf, slot, size, lines in sample(rows, 25):
            c.add(image, "btrfs.item", {"tree": tree, "key": k, **args}, {"leaf": leaf, "slot": slot, "size": size}, "dump-tree -t %d" % tree)
        if tree in (5,) or tree >= 256:
            ask_files(c, image, tree, rows, args)
            for k, *_ in sample(rows, 3):
                if isinstance(k[2], int) and [k[0], k[1], k[2] + 1] not in [r[0] for r in rows]:
                    c.add(image, "btrfs.item", {"tree": tree, "key": [k[0], k[1], k[2] + 1], **args}, {"found": False}, "dump-tree -t %d" % tree)


def ask_files(c, image, tree, rows, args):
    """Inodes and extents of a tree, by dump-tree."""
    inodes, extents = {}, {}
    for k, _, _, _, lines in rows:
        body = "\n".join(lines)
        if k[1] == "INODE_ITEM" and isinstance(k[0], int):
            f = {n: int(v) for n, v in re.findall(r"(size|nbytes|nlink|links|uid|gid) (\d+)", body)}
            inodes[k[0]] = {"size": f["size"], "nbytes": f["nbytes"], "mode": int(re.search(r"mode (\d+)", body)[1], 8), "nlink": f.get("links", f.get("nlink")), "uid": f["uid"], "gid": f["gid"]}
        if k[1] == "EXTENT_DATA":
            compression = int((re.search(r"compression (\d)", body) or "00")[1])
            if "inline extent data" in body:
                e = {"offset": k[2], "type": "inline", "compression": compression, "ram_bytes": int(re.search(r"ram_bytes (\d+)", body)[1])}
            else:
                e = {"offset": k[2], "type": "prealloc" if "(prealloc)" in body else "regular", "compression": compression}
                if found := re.search(r"(?:extent|prealloc) data disk byte (\d+) nr (\d+)", body):
                    e |= {"disk_bytenr": int(found[1])}
            extents.setdefault(k[0], []).append(e)
    for ino, expect in sample(inodes.items(), 30):
        c.add(image, "btrfs.inode", {"tree": tree, "inode": ino, **args}, expect, "dump-tree INODE_ITEM")
    for ino, rows in extents.items():
        c.add(image, "btrfs.extents", {"tree": tree, "inode": ino, **args}, listed("extents", rows), "dump-tree EXTENT_DATA") if len(rows) > 1 or ino % 7 == 0 else None


def ask_tree(c, image, top, args):
    tree_of, inodes = {}, {}
    for folder, dirs, files in os.walk(top):
        local = folder[len(top):]
        for name in dirs + files:
            inodes[local + b"/" + name] = os.lstat(folder + b"/" + name)
    few = [p for p in inodes if p.count(b"/") == 1 or p.startswith((b"/a", b"/names", b"/same", b"/sub", b"/snap"))]
    few += sample([p for p in inodes if p not in set(few)], 20)
    for path in few:
        st = inodes[path]
        words = {"path": path.decode()} if plain(path) == path.decode("utf-8", "replace") else {"path_hex": path.hex()}
        c.add(image, "btrfs.path", {**words, **args}, {"inode": st.st_ino, "size": st.st_size}, "kernel lstat")
        name, parent = os.path.basename(path), os.path.dirname(path)
        c.add(image, "btrfs.dirhash", {**({"name": name.decode()} if plain(name) == name.decode("utf-8", "replace") else {"name_hex": name.hex()}), **args}, {"hash": name_hash(name)}, "btrfs_name_hash")
        here = os.lstat(top + parent)
        if here.st_dev == os.lstat(top).st_dev and st.st_dev == here.st_dev and words.get("path"):
            c.add(image, "btrfs.lookup", {"tree": 5, "dir": here.st_ino, "name": name.decode(), **args}, {"inode": st.st_ino}, "kernel lstat")
            c.add(image, "btrfs.lookup", {"tree": 5, "dir": here.st_ino, "name": name.decode() + "~", **args}, {"found": False}, "kernel lstat")
        if st.st_dev != os.lstat(top).st_dev:
            pass
        elif st.st_mode & 0xf000 == 0x4000:
            entries = [[plain(n), os.lstat(top + path + b"/" + n).st_ino] for n in sorted(os.listdir(top + path))]
            if all(os.lstat(top + path + b"/" + n).st_dev == st.st_dev for n in os.listdir(top + path)):
                c.add(image, "btrfs.readdir", {"tree": 5, "inode": st.st_ino, **args}, listed("entries", entries), "kernel readdir")
        elif st.st_mode & 0xf000 == 0xa000:
            c.add(image, "btrfs.readlink", {"path": path.decode(), **args}, {"target": os.readlink(top + path).decode()}, "kernel readlink")
        if st.st_mode & 0xf000 == 0x8000 and st.st_size:
            with open(top + path, "rb") as f:
                for offset, length in {(0, min(st.st_size, 300000)), (st.st_size // 2, 70000), (max(st.st_size - 5000, 0), 5000)}:
                    f.seek(offset)
                    c.add(image, "btrfs.read", {**words, "offset": offset, "length": length, **args}, content(f.read(length)), "kernel read")
    c.add(image, "btrfs.path", {"path": "/a/none", **args}, {"found": False}, "kernel lstat")


class Attached:
    """Loop devices of images."""

    def __init__(self, images, readonly=False):
        self.loops = []
        for image in images:
            self.loops.append(run("losetup", "--find", "--show", *(["--read-only"] if readonly else []), image).strip())

    def __enter__(self):
        subprocess.run(["btrfs", "device", "scan", *self.loops], capture_output=True)
        return self.loops

    def __exit__(self, *_):
        for loop in self.loops:
            run("losetup", "--detach", loop)
        subprocess.run(["btrfs", "device", "scan", "--forget"], capture_output=True)


def make(c, name, options, devices, size, mount, more):
    images = [c.image(f"{name}.img" if devices == 1 else f"{name}_{i}.img") for i in range(devices)]
    for image in images:
        with open(image, "wb") as f:
            f.truncate(size << 20)
    args = {} if devices == 1 else {"devices": ["images/" + os.path.basename(i) for i in images]}
    command = ["mkfs.btrfs", "-q", "-f", "-L", "volume", "-U", UUID % (abs(hash(name)) % 256), *options]
    if mount is None:
        folder = tempfile.mkdtemp().encode()
        fill(folder, more.get("many", 300))
        run(*command, "--rootdir", folder, images[0])
        shutil.rmtree(folder)
        ask_items(c, images[0], images[0], ask_volume(c, images[0], images[0], args), args)
        return
    top = tempfile.mkdtemp().encode()
    try:
        with Attached(images) as loops:
            if more.get("from_ext4"):
                run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", loops[0])
            else:
                run(*command, *loops)
                run("btrfs", "device", "scan", *loops)
            run("mount", "-o", ",".join(filter(None, ["noatime", mount])), loops[0], top)
            try:
                fill(top, more.get("many", 700))
                if more.get("subvolumes"):
                    subvolumes(top)
                for command in more.get("after", ()):
                    run("sync")
                    run("btrfs", *command, top)
                run("sync")
            finally:
                run("umount", top)
            if more.get("from_ext4"):
                run("btrfs-convert", "--no-progress", loops[0])
            for command in more.get("tune", ()):
                run(*command, loops[0])
        with Attached(images, True) as loops:
            trees = ask_volume(c, images[0], loops[0], args)
            ask_items(c, images[0], loops[0], trees + ([256] if more.get("subvolumes") else []), args)
            run("mount", "-o", "ro,noatime", loops[0], top)
            try:
                ask_tree(c, images[0], top, args)
            finally:
                run("umount", top)
    finally:
        os.rmdir(top)


def subvolumes(top):
    run("btrfs", "-q", "subvolume", "create", top + b"/sub")
    os.mkdir(top + b"/sub/inner")
    with open(top + b"/sub/inner/file", "wb") as f:
        f.write(pattern(9000, "v"))
    run("btrfs", "-q", "subvolume", "create", top + b"/sub/inner/nested")
    with open(top + b"/sub/inner/nested/deep", "wb") as f:
        f.write(b"deep\n")
    run("btrfs", "-q", "subvolume", "snapshot", top + b"/sub", top + b"/snap")
    run("btrfs", "-q", "subvolume", "snapshot", "-r", top, top + b"/a/snapshot")
    with open(top + b"/sub/inner/file", "ab") as f:
        f.write(b"more")
    os.remove(top + b"/snap/inner/file")


def main():
    if not have("mkfs.btrfs", "btrfs", "btrfs-map-logical"):
        return
    folder, wanted = variants(VARIANTS | {"damaged": None}, sys.argv)
    c = Corpus(folder, "btrfs")
    if wanted.pop("damaged", 0) is None:
        btrfs_damage.damage(c)
    for name, variant in wanted.items():
        try:
            make(c, name, *variant)
        except RuntimeError as error:
            print("btrfs_%s: not made: %s" % (name, str(error)[-200:]))
    print("btrfs: %d queries" % c.count)


main()
