#!/usr/bin/env python3
"""Makes swap areas in many variants, and queries with answers by mkswap and blkid.

    swap.py DIR      needs util-linux (mkswap, blkid)

Variants: page sizes of 4 to 64 KiB, both byte orders, labels of every length, lists of bad pages, and damaged areas."""
from corpus import *
import struct

UUID = "5a5a5a5a-0000-4000-8000-%012x"


def make(corpus, name, kib, page, big, label):
    image = corpus.image(name + ".img")
    run("truncate", "-s", "%dK" % kib, image)
    uuid = UUID % (corpus.count + 1)
    run("mkswap", "-p", str(page), "-U", uuid, *(["-L", label] if label else []), image)
    if big:
        # As mkswap writes it on a machine of the other byte order, and blkid reads it.
        with open(image, "r+b") as f:
            f.seek(1024)
            words = struct.unpack("<III", f.read(12))
            f.seek(1024)
            f.write(struct.pack(">III", *words))
    found = dict(l.split("=", 1) for l in run("blkid", "-p", "-o", "export", image).splitlines() if "=" in l)
    expect = {"version": int(found.get("VERSION", 1)), "last_page": kib * 1024 // page - 1, "nr_badpages": 0, "uuid": found["UUID"], "label": label, "page_size": page}
    corpus.add(image, "swap.header", {"page_size": page}, expect, "mkswap, blkid")
    corpus.add(image, "swap.header", {}, {"page_size": page, "uuid": found["UUID"]}, "mkswap, blkid")
    return image, page


def main():
    folder, _ = variants({}, sys.argv)
    if not have("mkswap", "blkid"):
        return
    corpus = Corpus(folder, "swap")
    for page in (4096, 8192, 16384, 32768, 65536):
        for big in (False, True):
            image, _ = make(corpus, "%d_%s" % (page, "big" if big else "little"), 2048 + page // 1024, page, big, "label%d" % page)
            order = ">" if big else "<"
            other = corpus.damaged(image, "%d_%s_bad.img" % (page, "big" if big else "little"), [(1024 + 8, struct.pack(order + "I", 3)), (1536, struct.pack(order + "III", 5, 9, 20))])
            corpus.add(other, "swap.badpages", {"page_size": page}, {"nr_badpages": 3}, "three numbers put in")
    for label in ("", "a", "f" * 15):
        image, _ = make(corpus, "label%d" % len(label), 512, 4096, False, label)
    suspended = corpus.damaged(image, "suspended.img", [(4086, b"S1SUSPEND\0")])
    found = dict(l.split("=", 1) for l in run("blkid", "-p", "-o", "export", suspended).splitlines() if "=" in l)
    assert found["TYPE"] == "swsuspend", found
    corpus.add(suspended, "swap.header", {"page_size": 4096}, {"uuid": found["UUID"], "label": found["LABEL"], "last_page": 127}, "blkid")
    for what, change in {"version_0": [(1024, bytes(4))], "version_2": [(1024, b"\2\0\0\0")], "signature": [(4086, b"SWAP-SPACE")], "signature_end": [(4095, b"\0")], "pages_0": [(1028, bytes(4))], "bad_ones": [(1032, b"\xff" * 4)],
                         "bad_638": [(1032, struct.pack("<I", 638))]}.items():
        other = corpus.damaged(image, "c_%s.img" % what, change)
        corpus.add(other, "swap.header", {"page_size": 4096}, {"error": True}, "damaged on purpose", ["corrupt"])
    for size in (0, 1000, 1030, 4095):
        other = corpus.damaged(image, "c_cut%d.img" % size, lambda data: data[:size])
        corpus.add(other, "swap.header", {"page_size": 4096}, {"error": True}, "cut short", ["corrupt"])


if __name__ == "__main__":
    main()
