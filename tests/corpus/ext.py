#!/usr/bin/env python3
"""Makes ext2, ext3 and ext4 images in many variants, and queries with answers by debugfs, dumpe2fs and the files put in.

    ext.py DIR        makes DIR/images/ext_*.img and DIR/queries.ext.jsonl; needs e2fsprogs 1.46 or later

No answer comes from this project. Variants: block sizes 1 to 64 KiB, inode sizes 128 to 1024, revision 0, every hash, signed and
unsigned, extents and pointers, 32 and 64 bits, meta_bg, flex_bg, bigalloc, inline data, attributes in inode, block and inode, volumes that resize2fs
and tune2fs changed."""
from corpus import *
import struct

SEED = "a5a5a5a5-0123-4567-89ab-cdef00112233"
UUID = "e4e4e4e4-0000-4000-8000-0000000000%02x"
BASE = "none,filetype,sparse_super,large_file,dir_index,ext_attr"
EXT4 = BASE + ",extent,flex_bg,64bit,metadata_csum,huge_file,dir_nlink,extra_isize,has_journal"

# name: (features, block size, inode size, size in KiB, more options, what else)
VARIANTS = {
    "1k": (EXT4, 1024, 256, 16384, [], {}),
    "2k": (EXT4, 2048, 256, 16384, [], {}),
    "4k": (EXT4, 4096, 256, 32768, [], {}),
    "8k": (EXT4, 8192, 256, 32768, [], {}),
    "16k": (EXT4, 16384, 256, 65536, [], {}),
    "32k": (EXT4, 32768, 512, 65536, [], {}),
    "64k": (EXT4, 65536, 1024, 98304, [], {}),
    "64k_no_csum": (BASE + ",extent,flex_bg", 65536, 256, 98304, [], {}),
    "ext2_1k": (BASE, 1024, 128, 16384, [], {}),
    "ext2_4k": (BASE, 4096, 128, 32768, [], {}),
    "ext2_64k": (BASE, 65536, 128, 98304, [], {}),
    "ext2_big_inodes": (BASE, 1024, 1024, 16384, [], {}),
    "ext3": (BASE + ",has_journal", 2048, 256, 16384, [], {}),
    "rev0": ("none", 1024, 128, 8192, ["-r", "0"], {"plain": True}),
    "no_filetype": ("none,sparse_super,extent", 1024, 256, 8192, [], {}),
    "no_sparse": ("none,filetype,extent,dir_index", 1024, 256, 32768, ["-g", "2048"], {}),
    "32bit_csum": (EXT4.replace(",64bit", ""), 1024, 256, 16384, [], {}),
    "csum_seed": (EXT4 + ",metadata_csum_seed", 1024, 256, 16384, [], {"new_uuid": True}),
    "csum_128": (EXT4.replace(",extra_isize", ""), 1024, 128, 16384, [], {}),
    "uninit_bg": (BASE + ",extent,flex_bg,uninit_bg", 1024, 256, 65536, ["-g", "8192"], {}),
    "uninit_bg_64": (BASE + ",extent,flex_bg,uninit_bg,64bit", 1024, 256, 65536, ["-g", "8192"], {}),
    "meta_bg": (EXT4 + ",meta_bg", 1024, 256, 65536, ["-g", "1024"], {}),
    "meta_bg_4k": (EXT4 + ",meta_bg", 4096, 256, 65536, ["-g", "256"], {}),
    "many_groups": (EXT4.replace(",flex_bg", ""), 1024, 256, 65536, ["-g", "1024"], {}),
    "sparse_super2": (EXT4.replace("sparse_super", "sparse_super,sparse_super2"), 1024, 256, 32768, ["-g", "2048"], {}),
    "bigalloc": (EXT4 + ",bigalloc", 4096, 256, 65536, ["-C", "16384"], {}),
    "bigalloc_1k": (EXT4 + ",bigalloc", 1024, 256, 65536, ["-C", "16384"], {}),
    "inline": (EXT4 + ",inline_data", 1024, 256, 16384, [], {"inline": True}),
    "inline_big": (EXT4 + ",inline_data", 4096, 1024, 32768, [], {"inline": True}),
    "ea_inode": (EXT4 + ",ea_inode", 1024, 256, 16384, [], {"ea_inode": True}),
    "inode512": (EXT4, 4096, 512, 32768, [], {}),
    "legacy": (EXT4, 1024, 256, 16384, [], {"hash": "legacy"}),
    "tea": (EXT4, 1024, 256, 16384, [], {"hash": "tea"}),
    "unsigned": (EXT4, 1024, 256, 16384, [], {"unsigned": True}),
    "tea_unsigned": (EXT4, 1024, 256, 16384, [], {"hash": "tea", "unsigned": True}),
    "largedir": (EXT4 + ",large_dir", 1024, 256, 49152, ["-N", "12000"], {"large": 9000}),
    "orphan_file": (EXT4 + ",orphan_file", 1024, 256, 16384, [], {}),
    "plain": (BASE + ",extent,huge_file,dir_nlink,extra_isize", 1024, 256, 8192, [], {"damage": True}),
    "plain_4k": (BASE + ",extent,huge_file,dir_nlink,extra_isize", 4096, 256, 16384, [], {"damage": True}),
    "plain_csum": (EXT4.replace(",64bit", "").replace(",has_journal", ""), 1024, 256, 8192, [], {"damage": True}),
    "plain_ext2": (BASE, 1024, 256, 8192, [], {"damage": True}),
    "inode_as_block": (EXT4, 4096, 4096, 65536, [], {}),
    "inode_1k": (EXT4, 1024, 1024, 32768, [], {}),
    "triple": (BASE, 1024, 128, 16384, [], {"triple": True}),
    "triple_2k": (BASE, 2048, 256, 16384, [], {"triple": True}),
    "desc_128": (EXT4, 1024, 256, 32768, ["-E", "desc_size=128"], {}),
    "flex_bg_1": (EXT4, 1024, 256, 65536, ["-G", "1", "-g", "4096"], {}),
    "flex_bg_64": (EXT4, 1024, 256, 65536, ["-G", "64", "-g", "1024"], {}),
    "half_blocks": (EXT4, 1024, 256, 16001, ["-g", "8000"], {}),
    "resize": (EXT4 + ",resize_inode", 1024, 256, 16384, ["-E", "resize=500000"], {}),
    "mmp": (EXT4 + ",mmp", 1024, 256, 16384, [], {}),
    "encrypt": (EXT4 + ",encrypt,verity,stable_inodes", 1024, 256, 16384, [], {}),
    "casefold": (EXT4 + ",casefold", 1024, 256, 16384, [], {}),
    "bigalloc_64k": (EXT4 + ",bigalloc", 4096, 256, 131072, ["-C", "65536"], {}),
    "bigalloc_group": (EXT4 + ",bigalloc", 1024, 256, 65536, ["-C", "2048", "-g", "8192"], {}),
    "sparse_super2_meta": (EXT4.replace("sparse_super", "sparse_super2") + ",meta_bg", 1024, 256, 65536, ["-g", "1024"], {}),
    "no_dir_index": (EXT4.replace("dir_index,", ""), 1024, 256, 16384, [], {}),
    "no_journal_32": (BASE + ",extent", 1024, 256, 16384, ["-g", "256"], {}),
    "hurd": ("none,sparse_super,large_file,dir_index,ext_attr", 4096, 128, 16384, ["-o", "hurd"], {}),
    "packed": (EXT4, 1024, 256, 65536, ["-g", "2048", "-E", "packed_meta_blocks=1"], {}),
    "one_backup": (EXT4.replace("sparse_super", "sparse_super,sparse_super2"), 1024, 256, 32768, ["-g", "2048", "-E", "num_backup_sb=1"], {}),
    "no_backup": (EXT4.replace("sparse_super", "sparse_super,sparse_super2"), 1024, 256, 32768, ["-g", "2048", "-E", "num_backup_sb=0"], {}),
    "lazy": (EXT4, 1024, 256, 65536, ["-g", "1024", "-E", "lazy_itable_init=1,lazy_journal_init=1"], {}),
    "bigalloc_32bit": (EXT4.replace(",64bit", "") + ",bigalloc", 1024, 256, 65536, ["-C", "8192"], {}),
    "fast_commit": (EXT4 + ",fast_commit", 1024, 256, 32768, ["-J", "size=8"], {}),
    "no_dir_index": (EXT4.replace(",dir_index", ""), 1024, 256, 16384, [], {}),
    "quota": (EXT4 + ",quota,project", 1024, 256, 16384, [], {}),
    "rev0_4k": ("none", 4096, 128, 16384, ["-r", "0"], {"plain": True}),
    "strict_names": (EXT4 + ",casefold", 4096, 256, 32768, ["-E", "encoding=utf8-12.1,encoding_flags=strict"], {}),
    "many_inodes": (EXT4, 1024, 256, 32768, ["-N", "30000"], {}),
    "short_groups": (EXT4, 4096, 256, 32768, ["-g", "256"], {}),
    # What is changed after it was filled: shell commands on the image.
    "grown": (EXT4 + ",resize_inode", 1024, 256, 16384, [], {"after": ["resize2fs {} 120M"]}),
    "grown_flex": (EXT4 + ",resize_inode", 1024, 256, 16384, ["-g", "2048", "-E", "resize=40000"], {"after": ["resize2fs {} 90M"]}),
    "shrunk": (EXT4, 1024, 256, 65536, [], {"after": ["resize2fs -M {}"]}),
    "to_64bit": (EXT4.replace(",64bit", ""), 1024, 256, 32768, [], {"after": ["resize2fs -b {}"]}),
    "to_32bit": (EXT4, 1024, 256, 32768, [], {"after": ["resize2fs -s {}"]}),
    "larger_inodes": (EXT4.replace(",flex_bg", ""), 1024, 128, 32768, [], {"after": ["tune2fs -I 512 {}"]}),
    "to_csum": (EXT4.replace(",metadata_csum", ""), 1024, 256, 16384, [], {"after": ["tune2fs -O metadata_csum {}"]}),
    "from_csum": (EXT4, 1024, 256, 16384, [], {"after": ["tune2fs -O ^metadata_csum {}"]}),
    "to_extents": (BASE + ",has_journal", 1024, 256, 16384, [], {"after": ["tune2fs -O extents,dir_nlink,huge_file {}", "e2fsck -fy -E bmap2extent {}"]}),
    "bad_blocks": (EXT4, 1024, 256, 16384, [], {"after": ["printf '9000\\n9001\\n12000\\n' | e2fsck -fy -L /dev/stdin {}"]}),
    "unjournaled": (EXT4, 1024, 256, 32768, [], {"after": ["tune2fs -O ^has_journal {}"]}),
}


def debugfs(image, commands, write=False):
    """The output of each command, run in one go."""
    options = ["-w"] if write else []
    out = run("debugfs", *options, "-f", "/dev/stdin", image, text="".join(c + "\n" for c in commands))
    parts = re.split(r"(?m)^debugfs: (.*)\n", out)
    assert len(parts) // 2 == len(commands), (image, len(parts), len(commands))
    return parts[2::2]


def tree(root, what):
    """Files of all shapes; the same in every image but for what it cannot hold."""
    def write(path, data):
        path = os.path.join(root, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(data)
    write("hello.txt", b"hello world\n")
    for size in (0, 1, 59, 60, 61, 100, 130, 159, 160, 600, 1024, 4096, 5001):
        write("sizes/s%d" % size, pattern(size, "s"))
    write("big/300k.bin", pattern(300000, "b"))
    write("big/2m.bin", pattern(2 << 20, "m"))
    write("a/b/c/d/e/deep.dat", b"deep")
    sparse = os.path.join(root, "big/sparse")
    with open(sparse, "wb") as f:
        for i in range(0, 420):
            f.seek(i * 8192)
            f.write(b"x%07d" % i * 128)
        if not what.get("inline"):  # mke2fs cuts a hole at the end off then
            f.truncate(5 << 20)
    if what.get("triple"):
        with open(os.path.join(root, "big/triple"), "wb") as f:
            for at in (0, 300 << 10, 66 << 20, 67 << 20, 140 << 20, 600 << 20):
                f.seek(at)
                f.write(pattern(3000, "t"))
    for n in (1, 5, 50, 59, 60, 61, 120, 155, 156, 157, 900):
        os.symlink("t" * n, os.path.join(root, "link%d" % n))
    os.symlink("hello.txt", os.path.join(root, "to_hello"))
    os.symlink("/a/b/../b/c", os.path.join(root, "to_c"))
    os.symlink("../to_hello", os.path.join(root, "a/up"))
    os.symlink("loop", os.path.join(root, "loop"))
    os.symlink("to_c/d/e", os.path.join(root, "to_e"))
    os.link(os.path.join(root, "hello.txt"), os.path.join(root, "a/b/hard"))
    write("names/name with spaces", b"1")
    write("names/\u00fcml\u00e4ut-\u4f60\u597d", b"2")
    write("names/" + "n" * 255, b"3")
    for i in range(3):
        write("small/f%d" % i, b"f%d" % i)
    for i in range(12):
        write("mid/entry%02d-with-some-length" % i, b"m%d" % i)
    for i in range(what.get("large", 60 if what.get("plain") else 700)):
        write("hashed/\u00e9ntry-%05d%s" % (i, "h" * (i % 7 * 20)), b"")


def make(path, source, number, features, block, inode, kib, options, what):
    if os.path.exists(path):
        os.remove(path)
    flags = ["-E", "hash_seed=%s,root_owner=0:0%s" % (SEED, "" if "uninit_bg" not in features else ",lazy_itable_init=1"), "-U", UUID % number]
    if "-r" in options:
        flags = ["-U", UUID % number]
    label = ["-L", "openlabel"]
    count = [] if "-N" in options else ["-N", "2000"]
    size = [] if "-r" in options else ["-I", str(inode)]
    run("mke2fs", "-q", "-F", "-b", str(block), *size, "-O", features, *count, "-m", "5", *flags, *label, *options, "-d", source, path, "%dk" % kib)
    setup = []
    if "hash" in what:
        version = {"legacy": 0, "half_md4": 1, "tea": 2}[what["hash"]]
        setup.append("ssv def_hash_version %d" % version)
    if what.get("unsigned"):
        setup.append("ssv flags 2")
    if setup:
        debugfs(path, setup, write=True)
    if "dir_index" in features:
        run("e2fsck", "-fyD", path, ok=(0, 1))
    if what.get("new_uuid"):
        run("tune2fs", "-U", UUID % 0xff, path)
    change = ["cd /a", "mknod fifo p", "mknod chr c 5 1", "mknod blk b 7 3", "cd /"]
    if "extent" in features:
        change.append("fallocate /big/300k.bin 400 420")
    if what.get("inline"):
        # As truncate(2) leaves a file that it makes larger.
        change.append("sif /small/f1 size 300")
        os.truncate(os.path.join(source, "small/f1"), 300)
    values = {"user.small": b"v", "user.mid": b"m" * 100, "trusted.t": b"trust", "security.s": b"sec"}
    if "ext_attr" in features:
        for name, value in values.items():
            change.append('ea_set /hello.txt %s %s' % (name, value.decode()))
            change.append('ea_set /a %s %s' % (name, value.decode()))
        if what.get("ea_inode"):
            # debugfs takes at most a block.
            with open(path + ".value", "wb") as f:
                f.write(pattern(1024, "e"))
            change.append("ea_set -f %s.value /hello.txt user.large" % path)
            values["user.large"] = pattern(1024, "e")
    debugfs(path, change, write=True)
    if os.path.exists(path + ".value"):
        os.remove(path + ".value")
    for command in what.get("after", ()):
        run("sh", "-c", "e2fsck -fy {0}; {1}".format(path, command.format(path)), ok=(0, 1))
    # debugfs leaves quotas and some counts to e2fsck.
    run("e2fsck", "-fy", path, ok=(0, 1))
    run("e2fsck", "-fn", path)
    return values if "ext_attr" in features else {}


def super_fields(image):
    text = run("dumpe2fs", "-h", image)
    get = lambda key, default=None: (m.group(1).strip() if (m := re.search(r"(?m)^%s:\s+(.*)$" % re.escape(key), text)) else default)
    number = lambda key: int(get(key))
    label = get("Filesystem volume name")
    fields = {"inodes_count": number("Inode count"), "blocks_count": number("Block count"), "free_blocks": number("Free blocks"), "free_inodes": number("Free inodes"),
              "first_data_block": number("First block"), "block_size": number("Block size"), "blocks_per_group": number("Blocks per group"),
              "inodes_per_group": number("Inodes per group"), "uuid": get("Filesystem UUID"), "label": "" if label == "<none>" else label}
    if get("Inode size"):
        fields["inode_size"] = number("Inode size")
    if get("Checksum"):
        fields["checksum"] = int(get("Checksum"), 16)
    return fields


def inode_fields(text, high):
    get = lambda pattern: re.search(pattern, text)
    first = get(r"Inode: (\d+)\s+Type: (.*?)\s+Mode:\s+(\d+)\s+Flags: 0x([0-9a-f]+)")
    owner = get(r"User:\s+(\d+)\s+Group:\s+(\d+).*?Size: (\d+)")
    fields = {"type": first.group(2), "perm": int(first.group(3), 8), "flags": int(first.group(4), 16), "uid": int(owner.group(1)), "gid": int(owner.group(2)),
              "size": int(owner.group(3)), "generation": int(get(r"Generation: (\d+)").group(1)), "file_acl": int(get(r"File ACL: (\d+)").group(1)),
              "links": int(get(r"Links: (\d+)").group(1)), "blocks512": int(get(r"Blockcount: (\d+)").group(1))}
    for name in ("ctime", "atime", "mtime", "crtime"):
        if m := get(r"(?m)^\s*%s: 0x([0-9a-f]{8})(?::([0-9a-f]{8}))?" % name):
            fields[name + "_raw"] = int(m.group(1), 16)
            if m.group(2):
                fields[name + "_extra_raw"] = int(m.group(2), 16)
    if m := get(r"Inode checksum: 0x([0-9a-f]+)"):
        fields["checksum"] = int(m.group(1), 16)
    if m := get(r"Device major/minor number: (\d+):(\d+)"):
        fields["dev"] = [int(m.group(1)), int(m.group(2))]
    return fields


def extent_fields(text):
    rows = [(int(l), int(a), int(d), int(b), int(c), int(n or 0), "Uninit" in flags) for l, a, d, b, c, n, flags in
            ((m[0], m[2], m[1], m[3], m[5], m[7], m[8]) for m in re.findall(r"(?m)^\s*(\d+)/\s*(\d+)\s+(\d+)/\s*\d+\s+(\d+)\s*-\s*(\d+)\s+(\d+)(\s*-\s*\d+)?\s+(\d+)?[ ]*(\w*)$", text))]
    leaves = [[b, c, n, u] for l, a, d, b, c, n, u in rows if l == d]
    return rows, leaves


def ask(corpus, image, source, values, what, block):
    """All queries; `source` is the folder put in, or with `mounted` the volume itself."""
    fields = super_fields(image)
    corpus.add(image, "ext.super", {}, fields, "dumpe2fs -h")
    names = {}
    for folder, dirs, files in os.walk(source):
        dirs[:] = [d for d in dirs if d != what.get("unread_folder")]
        for name in dirs + files:
            names["/" + os.path.relpath(os.path.join(folder, name), source)] = os.path.join(folder, name)
    if not what.get("mounted"):
        # What make() adds to the files put in.
        names |= {path: None for path in ("/lost+found", "/a/fifo", "/a/chr", "/a/blk")}
    large = what.get("large_folders", ("/hashed/",))
    chosen = [n for n in names if not n.startswith(large)] + [n for folder in large for n in sample((n for n in names if n.startswith(folder)), 40)]
    chosen += ["/", "/no/such/name", "/a/b/none", "/hashed/none"]
    numbers = {}
    for path, text in zip(chosen, debugfs(image, ['stat "%s"' % p for p in chosen])):
        m = re.search(r"Inode: (\d+)", text)
        numbers[path] = int(m.group(1)) if m else None
        corpus.add(image, "ext.path", {"path": path}, {"inode": numbers[path]} if m else {"found": False}, "debugfs stat")
        if m:
            corpus.add(image, "ext.inode", {"inode": numbers[path]}, inode_fields(text, True), "debugfs stat")
            if "checksum" in fields:
                corpus.add(image, "ext.inode_csum", {"inode": numbers[path]}, {"valid": True}, "e2fsck -fn clean")
    for path, real in (("/to_hello", "/hello.txt"), ("/to_c/d", "/a/b/c/d"), ("/a/up", "/hello.txt"), ("/to_e/deep.dat", "/a/b/c/d/e/deep.dat"), ("/to_e/", "/a/b/c/d/e")):
        corpus.add(image, "ext.resolve", {"path": path}, {"inode": numbers[real]}, "the same file under its name")
    corpus.add(image, "ext.resolve", {"path": "/loop"}, {"error": True}, "a link to itself")
    corpus.add(image, "ext.resolve", {"path": "/link5"}, {"found": False}, "a link to nothing")
    if "unread_folder" not in what:
        n_dirs = sum(os.path.isdir(real) and not os.path.islink(real) if real else path == "/lost+found" for path, real in names.items())
        corpus.add(image, "ext.walk", {"path": "/"}, {"n_dirs": n_dirs, "n_nondirs": len(names) - n_dirs}, "the tree put in")
    contents(corpus, image, names, numbers, block)
    directories(corpus, image, names, numbers, block, fields)
    maps(corpus, image, {p: numbers[p] for p in ("/big/300k.bin", "/big/2m.bin", "/big/sparse", "/big/triple", "/hashed", "/", "/sizes/s5001", "/sizes/s0", "/link900") if numbers.get(p)})
    for name, value in values.items():
        for path in ("/hello.txt", "/a"):
            if name == "user.large" and path == "/a":
                continue
            corpus.add(image, "ext.xattr", {"inode": numbers[path], "name": name}, {"length": len(value), "sha256": hashlib.sha256(value).hexdigest()}, "debugfs ea_set")
    if values:
        corpus.add(image, "ext.xattr", {"inode": numbers["/hello.txt"], "name": "user.none"}, {"found": False}, "no such attribute")
    groups(corpus, image, fields)


def contents(corpus, image, names, numbers, block):
    for path, real in names.items():
        number = numbers.get(path)
        if number is None or real is None:
            continue
        if os.path.islink(real):
            corpus.add(image, "ext.readlink", {"inode": number}, {"target": os.readlink(real)}, "the link put in")
        elif os.path.isfile(real):
            size = os.path.getsize(real)
            with open(real, "rb") as f:
                if size < 16 << 20:
                    corpus.add(image, "ext.read", {"inode": number, "offset": 0, "length": size + 10}, content(f.read()), "the file put in")
                for offset in {size // 2, max(size - 20, 0)}:
                    f.seek(offset)
                    piece = f.read(33)
                    corpus.add(image, "ext.read", {"inode": number, "offset": offset, "length": 33}, {"length": len(piece), "hex": piece.hex()}, "the file put in")


def directories(corpus, image, names, numbers, block, fields):
    dirs = [p for p, real in names.items() if real and os.path.isdir(real)] + ["/"]
    for path, text in zip(dirs, debugfs(image, ['ls -p "%s"' % p for p in dirs])):
        entries = [[m[1], int(m[0])] for m in re.findall(r"(?m)^/(\d+)/[0-7]+/\d+/\d+/([^/\n]+)/", text) if int(m[0])]
        entries.sort(key=str)
        expect = {"n_entries": len(entries)}
        if len(entries) <= 40:
            expect["entries"] = entries
        else:
            expect.update(head=entries[:4], tail=entries[-4:])
        corpus.add(image, "ext.readdir", {"inode": numbers[path]}, expect, "debugfs ls -p")
    text = debugfs(image, ["htree_dump /hashed"])[0]
    if "Root node dump" not in text:
        return
    number = numbers["/hashed"]
    root = {k: int(re.search(p, text).group(1)) for k, p in (("hash_version", r"Hash Version: (\d+)"), ("indirect_levels", r"Indirect levels: (\d+)"), ("count", r"Number of entries \(count\): (\d+)"), ("limit", r"Number of entries \(limit\): (\d+)"))}
    corpus.add(image, "ext.htree_root", {"inode": number}, root, "debugfs htree_dump")
    leaf, physical, found = None, None, []
    for line in text.splitlines():
        if m := re.match(r"Reading directory block (\d+), phys (\d+)", line):
            leaf, physical = int(m.group(1)), int(m.group(2))
        for m in re.finditer(r"(\d+) 0x([0-9a-f]+)-([0-9a-f]+) \(\d+\) (\S+)", line):
            found.append((m.group(4), int(m.group(1)), int(m.group(2), 16), leaf, physical))
    for name, inode, hash, leaf, physical in sample(found, 40):
        corpus.add(image, "ext.htree_lookup", {"inode": number, "name": name}, {"inode": inode, "hash": hash, "leaf_logical": leaf, "leaf_physical": physical}, "debugfs htree_dump")
    corpus.add(image, "ext.htree_lookup", {"inode": number, "name": "none"}, {"found": False}, "no such name")
    if "checksum" in fields:
        for logical in range(0, min(8, len({leaf for _, _, _, leaf, _ in found}) + 1)):
            corpus.add(image, "ext.dir_block_csum", {"inode": number, "logical": logical}, {"valid": True}, "e2fsck -fn clean")


def maps(corpus, image, numbers):
    """How the blocks of files are mapped: {path: inode}."""
    files, borders = list(numbers), set()
    for path, text in zip(files, debugfs(image, ['ex "%s"' % p for p in files])):
        number = numbers[path]
        if "does not use extent" in text or "Level Entries" not in text:
            continue
        rows, leaves = extent_fields(text)
        for start, _, length, _ in sample(leaves, 8):
            borders.update((path, start + along) for along in (0, length - 1, length))
        depth = max((d for _, _, d, *_ in rows), default=0)
        expect = {"n_extents": len(leaves), "head": leaves[:4], "tail": leaves[-4:], "n_nodes": sum(l < d for l, _, d, *_ in rows)}
        if rows:
            expect["depth"] = depth
        corpus.add(image, "ext.extents", {"inode": number}, expect, "debugfs ex")
        for l, a, d, b, c, n, u in rows:
            if l < d:
                corpus.add(image, "ext.extent_block_csum", {"inode": number, "block": c}, {"valid": True}, "e2fsck -fn clean") if "checksum" in super_fields(image) else None
    for path, text in zip(files, debugfs(image, ['stat "%s"' % p for p in files])):
        if "BLOCKS:" not in text:
            continue
        body = text.split("BLOCKS:", 1)[1]
        meta = [[m[0], int(m[1])] for m in re.findall(r"\((IND|DIND|TIND)\):(\d+)", body)]
        total = re.search(r"TOTAL: (\d+)", body)
        expect = {"n_meta": len(meta), "head": meta[:4], "tail": meta[-4:]}
        if total:
            expect["n_blocks"] = int(total.group(1)) - len(meta)
        corpus.add(image, "ext.indirect", {"inode": numbers[path]}, expect, "debugfs stat")
    asked = sorted(borders | {(p, l) for p in files for l in (0, 1, 5, 11, 12, 13, 100, 267, 268, 269, 523, 1035, 2000, 67584, 67585, 68700, 143360, 307200, 1 << 20)})
    for (path, logical), text in zip(asked, debugfs(image, ['bmap "%s" %d' % a for a in asked])):
        m = re.match(r"(\d+)(?: \((\w+)\))?\s*$", text.strip())
        if m:
            corpus.add(image, "ext.bmap", {"inode": numbers[path], "logical": logical}, {"physical": int(m.group(1)), "unwritten": m.group(2) is not None}, "debugfs bmap")


def groups(corpus, image, fields):
    text = run("dumpe2fs", image)
    found = list(re.finditer(r"(?ms)^Group (\d+): \(Blocks (\d+)-(\d+)\)(?: csum 0x([0-9a-f]+))?(.*?)(?=^Group |\Z)", text))
    for m in sample(found, 20):
        body = m.group(5)
        number = lambda p: int(re.search(p, body).group(1))
        expect = {"first_block": int(m.group(2)), "last_block": int(m.group(3)), "block_bitmap": number(r"Block bitmap at (\d+)"), "inode_bitmap": number(r"Inode bitmap at (\d+)"),
                  "inode_table": number(r"Inode table at (\d+)"), "free_blocks": number(r"(\d+) free (?:blocks|clusters)"), "free_inodes": number(r"(\d+) free inodes"), "used_dirs": number(r"(\d+) directories")}
        if m.group(4):
            expect["checksum"] = int(m.group(4), 16)
            corpus.add(image, "ext.group_csum", {"group": int(m.group(1))}, {"stored": expect["checksum"], "valid": True}, "dumpe2fs, e2fsck -fn clean")
        if u := re.search(r"(\d+) unused inodes", body):
            expect["itable_unused"] = int(u.group(1))
        corpus.add(image, "ext.group", {"group": int(m.group(1))}, expect, "dumpe2fs")
    if "checksum" in fields:
        corpus.add(image, "ext.super_csum", {}, {"stored": fields["checksum"], "valid": True}, "dumpe2fs -h, e2fsck -fn clean")
    for b in re.findall(r"Backup superblock at (\d+)", text)[:3]:
        group = next(int(m.group(1)) for m in found if int(m.group(2)) <= int(b) <= int(m.group(3)))
        corpus.add(image, "ext.super_backup", {"block": int(b)}, {"uuid": fields["uuid"], "block_size": fields["block_size"], "block_group_nr": group}, "dumpe2fs")
    last = fields["blocks_count"] - 1
    blocks = sorted({max(1, last * i // 60) for i in range(61)} | {int(m.group(2)) + i for m in sample(found, 12) for i in range(0, 40, 3) if 0 < int(m.group(2)) + i <= last})
    for b, text in zip(blocks, debugfs(image, ["testb %d" % b for b in blocks])):
        corpus.add(image, "ext.block_used", {"block": b}, {"used": "marked in use" in text}, "debugfs testb")
    inodes = sorted({max(1, fields["inodes_count"] * i // 40) for i in range(41)} | set(range(1, 20)))
    for i, text in zip(inodes, debugfs(image, ["testi <%d>" % i for i in inodes])):
        corpus.add(image, "ext.inode_used", {"inode": i}, {"used": "marked in use" in text}, "debugfs testi")
    corpus.add(image, "ext.inode", {"inode": fields["inodes_count"] + 1}, {"error": True}, "no such inode")


def hashes(corpus, image):
    """Hashes of names of every length about the borders of their blocks of 16, 32 and 8 words; debugfs counts bytes as signed."""
    names = ["a", "lost+found", "\u00fcml\u00e4ut \u4f60"] + ["N" * n + "z" for n in (3, 7, 14, 15, 16, 30, 31, 32, 33, 62, 63, 64, 127, 254)] + ["\u00e9" * n for n in (4, 16, 40, 127)]
    asked = [(n, version, seed) for n in names for version in range(3) for seed in (SEED, "00000000-0000-0000-0000-000000000000")]
    for (name, version, seed), text in zip(asked, debugfs(image, ['dx_hash -h %s -s %s "%s"' % (("legacy", "half_md4", "tea")[v], seed, n) for n, v, seed in asked])):
        m = re.search(r"is 0x([0-9a-f]+) \(minor 0x([0-9a-f]+)\)", text)
        for unsigned in {False, name.isascii()}:
            corpus.add(image, "ext.dirhash", {"name": name, "version": version, "unsigned": unsigned, "seed": seed}, {"hash": int(m.group(1), 16), "minor_hash": int(m.group(2), 16)}, "debugfs dx_hash")


def damage(corpus, image, source, block):
    """Copies with one thing wrong each, which e2fsck sees too; what is not on the way still reads."""
    name = os.path.splitext(os.path.basename(image))[0][len("ext_"):]
    with open(image, "rb") as f:
        whole = f.read()
    word = lambda at, size=4: int.from_bytes(whole[at:at + size], "little")
    p32, p16 = (lambda n: struct.pack("<I", n & 0xffffffff)), (lambda n: struct.pack("<H", n))
    paths = ["/big/sparse", "/hashed", "/mid", "/link900", "/link50", "/a", "/hello.txt", "/big/2m.bin", "/small", "/a/b/c"]
    numbers, places, blocks = {}, {}, {}
    for path, stat, imap, list in zip(paths, debugfs(image, ["stat " + p for p in paths]), debugfs(image, ["imap " + p for p in paths]), debugfs(image, ["blocks " + p for p in paths])):
        numbers[path] = int(re.search(r"Inode: (\d+)", stat).group(1))
        m = re.search(r"located at block (\d+), offset 0x([0-9a-f]+)", imap)
        places[path] = int(m.group(1)) * block + int(m.group(2), 16)
        blocks[path] = [int(b) for b in list.split()] if "does not" not in list else []
    sparse, hashed, mid = numbers["/big/sparse"], numbers["/hashed"], numbers["/mid"]
    with open(os.path.join(source, "hello.txt"), "rb") as f:
        hello = f.read()
    count = word(1024 + 4)
    is_checked = "metadata_csum" in run("dumpe2fs", "-h", image)
    read = lambda ino: ("ext.read", {"inode": ino, "offset": 0, "length": 8 << 20})
    def case(what, change, *asked, control=True):
        other = corpus.damaged(image, "%s_c_%s.img" % (name, what), change)
        # Where counts are absurd e2fsck itself does not end in time.
        check = subprocess.run(["timeout", "5", "e2fsck", "-fn", other], capture_output=True)
        if check.returncode == 0:
            print("%s_c_%s: e2fsck sees nothing wrong" % (name, what), file=sys.stderr)
            return
        for traversal, args in asked:
            corpus.add(other, traversal, args, {"error": True}, "e2fsck -fn says so", ["corrupt"])
        if control:
            corpus.add(other, "ext.path", {"path": "/hello.txt"}, {"inode": numbers["/hello.txt"]}, "unchanged", ["control"])
            corpus.add(other, "ext.read", {"inode": numbers["/hello.txt"], "offset": 0, "length": 100}, content(hello), "unchanged", ["control"])
    # The superblock.
    sb = 1024
    for what, at, piece in (("magic", 0x38, b"\x53\xee"), ("log_block_7", 0x18, p32(7)), ("log_block_ones", 0x18, p32(-1)), ("log_cluster", 0x1c, p32(9)), ("inodes_per_group_0", 0x28, p32(0)),
                            ("inodes_per_group_ones", 0x28, p32(-1)), ("blocks_per_group_0", 0x20, p32(0)), ("blocks_per_group_ones", 0x20, p32(-1)), ("inode_size_0", 0x58, p16(0)), ("inode_size_100", 0x58, p16(100)),
                            ("inode_size_big", 0x58, p16(0x8000)), ("blocks_0", 4, p32(0)), ("first_block_ones", 0x14, p32(-1)), ("revision", 0x4c, p32(9)), ("incompat", 0x60, p32(1 << 31 | word(sb + 0x60))), ("inodes_ones", 0, p32(-1)), ("flex", 0x174, b"\x20"), ("zeros", 0, bytes(1024))):
        case("sb_" + what, [(sb + at, piece)], ("ext.super", {}) if what != "incompat" else ("ext.read", {"inode": 2}), ("ext.path", {"path": "/hello.txt"}), ("ext.inode", {"inode": 2}), control=False)
    # Descriptors: the first group's table of inodes.
    gd = (2 if block == 1024 else 1) * block
    for what, value in (("0", 0), ("oob", count + 5), ("ones", 0xffffffff)):
        case("table_" + what, [(gd + 8, p32(value))], ("ext.inode", {"inode": 2}), ("ext.path", {"path": "/hello.txt"}), control=False)
    for what, at, asked in (("blocks", 0, ("ext.block_used", {"block": count - 1})), ("inodes", 4, ("ext.inode_used", {"inode": 2}))):
        for name_of, value in (("0", 0), ("oob", count), ("ones", 0xffffffff)):
            case("bitmap_%s_%s" % (what, name_of), [(gd + at, p32(value))], asked, control=False)
    # A linear directory.
    at = blocks["/mid"][0] * block
    third = at + 24
    for what, change in {"rec_len_0": [(third + 4, p16(0))], "rec_len_4": [(third + 4, p16(4))], "rec_len_8": [(third + 4, p16(8))], "rec_len_odd": [(third + 4, p16(33))], "rec_len_over": [(third + 4, p16(block))], "rec_len_ones": [(third + 4, p16(0xffff))],
                         "name_len_over": [(third + 6, b"\xff")], "name_len_0": [(third + 6, b"\0")], "inode_ones": [(third, p32(-1))], "inode_over": [(third, p32(word(sb) + 1))], "all_ones": [(at, b"\xff" * block)]}.items():
        case("dir_" + what, change, ("ext.readdir", {"inode": mid}), ("ext.path", {"path": "/mid/none"}), ("ext.walk", {"path": "/"}))
    inode = lambda path, at, piece: [(places[path] + at, piece)]
    # Directories that lead back: /a/b/c/d is /a.
    at = blocks["/a/b/c"][0] * block
    case("dir_cycle", [(at + 24, p32(numbers["/a"]))], ("ext.walk", {"path": "/"}))
    # Inodes.
    for what, value in (("odd", 33), ("ones", 0xffff)):
        case("extra_" + what, inode("/mid", 128, p16(value)), ("ext.inode", {"inode": mid}), ("ext.readdir", {"inode": mid}))
    case("mode_0", inode("/a/b/c", 0, p16(0)), ("ext.path", {"path": "/a/b/c/d"}), ("ext.walk", {"path": "/"}))
    root = lambda path, at, piece: inode(path, 40 + at, piece)
    if word(places["/big/sparse"] + 32) & 0x80000:
        top = places["/big/sparse"] + 40
        child = (word(top + 12 + 4), word(top + 12 + 8, 2))[0]
        node = child * block
        for what, change in {"magic": root("/big/sparse", 0, b"\0\0"), "entries": root("/big/sparse", 2, p16(9)), "entries_ones": root("/big/sparse", 2, p16(0xffff)), "max": root("/big/sparse", 4, p16(5)), "max_1": root("/big/sparse", 4, p16(1)), "depth_more": root("/big/sparse", 6, p16(word(top + 6, 2) + 1)),
                             "twice": root("/big/sparse", 2, p16(2)) + root("/big/sparse", 24, whole[top + 12:top + 24]), "depth_6": root("/big/sparse", 6, p16(6)),
                             "depth_ones": root("/big/sparse", 6, p16(0xffff)), "child_oob": root("/big/sparse", 16, p32(count + 1)), "child_ones": root("/big/sparse", 16, b"\xff" * 6), "child_0": root("/big/sparse", 16, p32(0)),
                             "node_magic": [(node, b"\0\0")], "node_zeros": [(node, bytes(block))], "node_entries": [(node + 2, p16(0xffff))], "node_depth": [(node + 6, p16(word(node + 6, 2) + 1))], "node_depth_5": [(node + 6, p16(5))], "node_begin": [(node + 12, p32(3))],
                             "node_self": [(node + 16, p32(child)), (node + 20, p16(0))], "node_child_oob": [(node + 16, p32(count)), (node + 20, p16(0))]}.items():
            case("ext_" + what, change, ("ext.extents", {"inode": sparse}), ("ext.bmap", {"inode": sparse, "logical": 0}), read(sparse))
        leaf = child
        while word(leaf * block + 6, 2):
            leaf = word(leaf * block + 16)
        at = leaf * block + 12
        for what, change, asked in (("len_0", [(at + 4, p16(0))], 0), ("oob", [(at + 8, p32(count - 1)), (at + 4, p16(9))], 0), ("ones", [(at + 8, p32(-1))], 0), ("start_0", [(at + 8, p32(0)), (at + 6, p16(0))], 0), ("overlap", [(at + 4, p16(1000))], 0),
                                    ("order", [(at + 24, p32(1 << 30))], None), ("swapped", [(at, whole[at + 12:at + 24]), (at + 12, whole[at:at + 12])], 0)):
            walks = [("ext.extents", {"inode": sparse}), read(sparse)] + ([("ext.bmap", {"inode": sparse, "logical": asked})] if asked is not None else [])
            case("leaf_" + what, change, *walks)
    else:
        ind, dind = word(places["/big/2m.bin"] + 40 + 48), word(places["/big/2m.bin"] + 40 + 52)
        big = numbers["/big/2m.bin"]
        for what, change, logical in (("direct_oob", root("/big/2m.bin", 0, p32(count)), 0), ("direct_ones", root("/big/2m.bin", 4, p32(-1)), 1), ("ind_oob", root("/big/2m.bin", 48, p32(count + 7)), 12), ("dind_ones", root("/big/2m.bin", 52, p32(-1)), 12 + block // 4),
                                      ("ind_self", [(ind * block, p32(ind))], 12), ("dind_self", [(dind * block, p32(dind))], 12 + block // 4), ("ind_entry_oob", [(ind * block + 4, p32(count))], 13), ("dind_entry_ones", [(dind * block, p32(-1))], 12 + block // 4),
                                      ("ind_ones", [(ind * block, b"\xff" * block)], 12)):
            case("ptr_" + what, change, ("ext.indirect", {"inode": big}), ("ext.bmap", {"inode": big, "logical": logical}), read(big))
    # Symbolic links.
    for what, change in {"slow_size_0": inode("/link900", 4, p32(0)), "slow_size_block": inode("/link900", 4, p32(block + 1)), "slow_size_ones": inode("/link900", 4, p32(-1)), "fast_size_59": inode("/link50", 4, p32(59)), "slow_size_less": inode("/link900", 4, p32(800)), "slow_size_more": inode("/link900", 4, p32(901)), "fast_size_less": inode("/link50", 4, p32(49))}.items():
        path = "/link900" if "slow" in what else "/link50"
        case("link_" + what, change, ("ext.readlink", {"inode": numbers[path]}))
    # A hash tree.
    if blocks["/hashed"] and word(places["/hashed"] + 32) & 0x1000:
        at = blocks["/hashed"][0] * block
        lookup = ("ext.htree_lookup", {"inode": hashed, "name": "\u00e9ntry-00003" + "h" * 60})
        for what, change in {"count_0": [(at + 34, p16(0))], "count_ones": [(at + 34, p16(0xffff))], "limit_ones": [(at + 32, p16(0xffff))], "limit_3": [(at + 32, p16(3))], "version_9": [(at + 28, b"\x09")], "info_0": [(at + 29, b"\0")], "levels_9": [(at + 30, b"\x09")],
                             "blocks_self": [(at + 36 + 8 * i, p32(0)) for i in range(word(at + 34, 2))], "blocks_oob": [(at + 36 + 8 * i, p32(0x0fffffff)) for i in range(word(at + 34, 2))], "reserved": [(at + 24, p32(1))]}.items():
            case("htree_" + what, change, lookup)
    # Attributes.
    if word(places["/a"] + 128, 2) and word(places["/a"] + 128 + 4 + word(places["/a"] + 128, 2)) == 0xea020000:
        first = places["/a"] + 132 + word(places["/a"] + 128, 2)
        found = [n for n in ("user.small", "trusted.t", "security.s") if n.split(".")[1].encode() in whole[first:first + 100]]
        for what, change in {"name_len": [(first, b"\xff")], "value_offset": [(first + 2, p16(0xfff0))], "value_size": [(first + 8, p32(-1))]}.items():
            asked = {1: "user.", 4: "trusted.", 6: "security."}[whole[first + 1]] + whole[first + 16:first + 16 + whole[first]].decode()
            case("xattr_" + what, change, ("ext.xattr", {"inode": numbers["/a"], "name": asked if what != "name_len" else "user.none"}))
    if is_checked:
        for path, at in (("/mid", 100), ("/hashed", 100)):
            case("sum_dir" + path[1:], [(blocks[path][0] * block + at, bytes([whole[blocks[path][0] * block + at] ^ 1]))], ("ext.readdir", {"inode": numbers[path]}))
        case("sum_inode", inode("/mid", 8, b"\1\2\3\4"), ("ext.inode", {"inode": mid}), ("ext.readdir", {"inode": mid}))
        case("sum_super", [(sb + 0x78, b"changed")], ("ext.super", {}), ("ext.path", {"path": "/hello.txt"}), control=False)
        case("sum_group", [(gd + 14, p16(word(gd + 14, 2) ^ 0x10))], ("ext.path", {"path": "/hello.txt"}), control=False)
    for size in (0, 1000, 1024, 2047, 2048 + 30, gd + 10, word(gd + 8) * block + 10):
        case("cut%d" % size, lambda data: data[:size], ("ext.path", {"path": "/hello.txt"}), read(sparse), control=False)


def main():
    folder, wanted = variants(VARIANTS, sys.argv)
    if not have("mke2fs", "debugfs", "dumpe2fs", "e2fsck"):
        return
    corpus = Corpus(folder, "ext", "ext4")
    for number, (name, (features, block, inode, kib, options, what)) in enumerate(wanted.items(), 1):
        image = corpus.image(name + ".img")
        with tempfile.TemporaryDirectory() as source:
            tree(source, what)
            try:
                values = make(image, source, number, features, block, inode, kib, options, what)
            except RuntimeError as error:
                print("%s: not made: %s" % (name, error), file=sys.stderr)
                continue
            ask(corpus, image, source, values, what, block)
            if name == "1k":
                hashes(corpus, image)
            if "damage" in what:
                damage(corpus, image, source, block)
        print("%s: %d queries so far" % (name, corpus.count), file=sys.stderr)


if __name__ == "__main__":
    main()
