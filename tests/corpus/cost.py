#!/usr/bin/env python3
"""Prints what a lookup of each standard format costs at most, as its certificate says: the book's table.

    cost.py [TRAV]      TRAV is the command, `trav` where it is not given

One walk stands for each format. Instructions are those of the emitted program between two reads, at most; checks are those that the prover left in the
code of this walk. The last line counts the checks of all walks of all formats."""
import json, subprocess, sys

WALKS = {"bpfkv": "get", "btrfs": "inode", "erofs": "map", "exfat": "next", "ext4": "map", "fat": "next", "gpt": "partition", "iso9660": "lookup", "leveldb": "get", "lmdb": "get", "luks": "open", "lvm2": "map",
         "mbr": "partition", "qcow2": "map", "rocksdb": "get", "romfs": "lookup", "sqlite": "row", "squashfs": "lookup", "swap": "open", "wiredtiger": "leaf", "xfs": "map"}


def number(n):
    return "—" if n is None else "{:,}".format(n)


def main():
    trav = sys.argv[1] if len(sys.argv) > 1 else "trav"
    walks = checks = 0
    print("| walk | hops, at most | instructions a hop, at most | checks that remain |\n| --- | ---: | ---: | ---: |")
    for module, walk in WALKS.items():
        text = subprocess.run([trav, "check", "--report", "--json", "std." + module], capture_output=True, text=True, check=True).stdout
        certificates = json.loads(text)["traversals"]
        walks += len(certificates)
        checks += sum(len(c["checks"]) for c in certificates)
        c = next(c for c in certificates if c["traversal"] == walk)
        print("| `std.%s` `%s` | %s | %s | %d |" % (module, walk, number(c["hops_max"]), number(c["insns_hop_max"]), len(c["checks"])))
    print("\n%d checks in %d walks: %.1f each" % (checks, walks, checks / walks))


if __name__ == "__main__":
    main()
