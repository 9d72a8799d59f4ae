#!/usr/bin/env python3
"""Makes SquashFS images in many variants, and queries with answers by unsquashfs and the kernel.

    squashfs.py DIR [VARIANT…]     makes DIR/images/squashfs_*.img and DIR/queries.squashfs.jsonl; needs squashfs-tools 4.5 or later

Variants: every compression and none, of data, fragments and inodes apart; block sizes 4 KiB to 1 MiB, with and without fragments, exports, attributes."""
import os, re, shutil, sys
from corpus import Corpus, have, run, variants
from readonly import folder_of_files, ask_mounted

NONE = ["-noI", "-noD", "-noF", "-noX"]
# name: (options of mksquashfs, block size, names in the large folder)
VARIANTS = {
    "plain": (NONE, 131072, 300),
    "gzip": ([], 131072, 300),
    "lzo": (["-comp", "lzo"], 131072, 300),
    "lz4": (["-comp", "lz4"], 131072, 300),
    "lz4hc": (["-comp", "lz4", "-Xhc"], 65536, 300),
    "xz": (["-comp", "xz"], 131072, 300),
    "zstd": (["-comp", "zstd"], 131072, 300),
    "block4k": (NONE, 4096, 300),
    "block1m": (NONE, 1048576, 300),
    "gzip4k": ([], 4096, 300),
    "no_fragments": ([*NONE, "-no-fragments"], 16384, 300),
    "always_fragments": ([*NONE, "-always-use-fragments"], 32768, 300),
    "data_only": (["-noI"], 65536, 300),
    "inodes_only": (["-noD", "-noF"], 65536, 300),
    "no_export": ([*NONE, "-no-exports"], 131072, 300),
    "no_duplicates": ([*NONE, "-no-duplicates"], 8192, 300),
    "long_folder": (NONE, 131072, 9000),
    "long_folder_gzip": ([], 131072, 9000),
    "tail_end": ([*NONE, "-no-tailends"], 16384, 300),
    "one_owner": ([*NONE, "-all-root"], 131072, 300),
}


def make(c, name, options, block, many):
    image = c.image(name + ".img")
    top = folder_of_files(16384 if block > 65536 else block, many)
    try:
        os.setxattr(os.path.join(top, b"a", b"size_2"), "user.attr", b"value" * 20)
        run("mksquashfs", top, image, "-noappend", "-quiet", "-no-progress", "-b", str(block), *options)
    finally:
        shutil.rmtree(top)
    said = run("unsquashfs", "-s", image)
    number = lambda text: int(re.search(text + r" (\d+)", said)[1])
    expect = {"block_size": number("Block size"), "fragments": number("Number of fragments"), "inodes": number("Number of inodes"), "ids": number("Number of ids"), "version": "4.0"}
    c.add(image, "squashfs.super", {}, expect, "unsquashfs -s")
    ask_mounted(c, "squashfs", image)


def main():
    if not have("mksquashfs", "unsquashfs"):
        return
    folder, wanted = variants(VARIANTS, sys.argv)
    c = Corpus(folder, "squashfs")
    for name, variant in wanted.items():
        try:
            make(c, name, *variant)
        except RuntimeError as error:
            if not str(error).startswith("mount"):
                raise
            print("squashfs_%s: skipped, because the kernel does not mount it: %s" % (name, str(error).splitlines()[-1]))
    print("squashfs: %d queries" % c.count)


main()
