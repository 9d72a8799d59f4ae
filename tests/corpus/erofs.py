#!/usr/bin/env python3
"""Makes EROFS images in many variants, and queries with answers by dump.erofs and the kernel.

    erofs.py DIR [VARIANT…]     makes DIR/images/erofs_*.img and DIR/queries.erofs.jsonl; needs erofs-utils 1.5 or later

Variants: compact and extended inodes, inline data, chunks, LZ4 with small and large clusters, compact and full indexes, packed tails, attributes."""
import os, re, shutil, sys
from corpus import Corpus, have, run, sample, variants
from readonly import folder_of_files, ask_mounted, words

# name: (options of mkfs.erofs, names in the large folder)
VARIANTS = {
    "plain": ([], 300),
    "compact": (["-E", "force-inode-compact"], 300),
    "extended": (["-E", "force-inode-extended"], 300),
    "no_inline": (["-E", "noinline_data"], 300),
    "no_xattrs": (["-x", "-1"], 300),
    "chunks": (["--chunksize", "4096"], 300),
    "chunks_16k": (["--chunksize", "16384"], 300),
    "chunks_indexed": (["--chunksize", "4096", "-E", "force-chunk-indexes"], 300),
    "build_time": (["--ignore-mtime", "-T", "1234567890"], 300),
    "one_owner": (["--all-root"], 300),
    "long_folder": ([], 9000),
    "lz4": (["-zlz4"], 300),
    "lz4hc": (["-zlz4hc,12"], 300),
    "lz4_16k": (["-zlz4", "-C", "16384"], 300),
    "lz4_64k": (["-zlz4hc", "-C", "65536"], 300),
    "lz4_full": (["-zlz4", "-E", "legacy-compress"], 300),
    "lz4_tails": (["-zlz4", "-E", "ztailpacking"], 300),
    "lz4_extended": (["-zlz4", "-E", "force-inode-extended"], 300),
    "lz4_limit": (["-zlz4", "--max-extent-bytes", "65536"], 300),
    "lzma": (["-zlzma"], 300),
}


def make(c, name, options, many):
    image = c.image(name + ".img")
    top = folder_of_files(4096, many, longest=200)  # mkfs.erofs 1.5 fails on longer ones.
    try:
        os.setxattr(os.path.join(top, b"a", b"size_2"), "user.attr", b"value" * 20)
        os.setxattr(os.path.join(top, b"a", b"size_3"), "user.attr", b"value" * 20)
        run("mkfs.erofs", "-U", "e0e0e0e0-0000-4000-8000-000000000004", *options, image, top)
        paths = [folder[len(top):] + b"/" + n for folder, dirs, files in os.walk(top) for n in files]
        regular = [p for p in paths if os.path.isfile(top + p) and not os.path.islink(top + p) and os.path.getsize(top + p)]
    finally:
        shutil.rmtree(top)
    said = run("dump.erofs", "-s", image)
    number = lambda text: int(re.search(text + r"\D*(\d+)", said)[1])
    expect = {"blocks": number("Filesystem blocks"), "meta_blkaddr": number("inode metadata start block"), "xattr_blkaddr": number("shared xattr metadata start block"), "root_nid": number("root nid"),
              "inos": number("inode count"), "uuid": re.search(r"Filesystem UUID:\s+(\S+)", said)[1]}
    c.add(image, "erofs.super", {}, expect, "dump.erofs -s")
    for path in sample([p for p in regular if b"many" not in p and p.isascii()], 30):
        rows = re.findall(r"^\s*\d+:\s+(\d+)\.\.\s*(\d+) \|\s+\d+ :\s+(\d+)\.\.\s*(\d+) \|\s+\d+", run("dump.erofs", "-e", "--path=" + path.decode(), image), re.M)
        rows = [[int(n) for n in row] for row in rows]
        if rows:
            c.add(image, "erofs.extents", words(path), {"n_extents": len(rows), "first": rows[0], "last": rows[-1]}, "dump.erofs -e")
    ask_mounted(c, "erofs", image)


def main():
    if not have("mkfs.erofs", "dump.erofs"):
        return
    folder, wanted = variants(VARIANTS, sys.argv)
    c = Corpus(folder, "erofs")
    for name, variant in wanted.items():
        try:
            make(c, name, *variant)
        except RuntimeError as error:
            print("erofs_%s: skipped, because %s" % (name, str(error).splitlines()[-1]))
    print("erofs: %d queries" % c.count)


main()
