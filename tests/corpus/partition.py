#!/usr/bin/env python3
"""Makes disks with partition tables (MBR and GPT) in many variants, and queries with answers by sfdisk, sgdisk and zlib.

    partition.py DIR [VARIANT…]      needs fdisk (sfdisk) and gdisk (sgdisk)

Variants: primary, extended and logical partitions in and out of order, also of 2048 and 4096 bytes a sector, up to 60 logical ones, several extended types; GPT of 512 and 4096 bytes a
sector, 4 to 256 entries, names of 36 units, attributes, hybrid boot records, and damaged headers and arrays whose other sums are right."""
from corpus import *
import struct, zlib

# name: (sectors of the disk, script for sfdisk, bytes of a sector where they are not 512)
MBR = {
    "one": (20480, "label: dos\nlabel-id: 0x00000001\nstart=1,size=100,type=7\n"),
    "four": (65536, "label: dos\nlabel-id: 0xfeedface\nstart=2048,size=4096,type=83,bootable\nstart=6144,size=2048,type=c\nstart=8192,size=8,type=82\nstart=16384,size=40000,type=fd\n"),
    "gaps": (65536, "label: dos\nlabel-id: 0x12345678\n2: start=2048,size=4096,type=83\n4: start=8192,size=2048,type=6,bootable\n"),
    "order": (65536, "label: dos\nlabel-id: 0x12345678\n1: start=40000,size=4096,type=83\n2: start=2048,size=2048,type=6\n3: start=20000,size=2048,type=a5\n"),
    "logical": (131072, "label: dos\nlabel-id: 0xabcdef01\nstart=2048,size=4096,type=83\nstart=8192,size=100000,type=5\nstart=10240,size=4096,type=83\nstart=16384,size=4096,type=82,bootable\nstart=24576,size=2048,type=b\n"),
    "logical_f": (131072, "label: dos\nlabel-id: 0xabcdef02\n1: start=8192,size=100000,type=f\n5: start=10240,size=4096,type=83\n6: start=16384,size=4096,type=7\n2: start=2048,size=2048,type=83\n"),
    "logical_85": (131072, "label: dos\nlabel-id: 0xabcdef03\n4: start=8192,size=100000,type=85\n5: start=10240,size=4096,type=83\n6: start=16384,size=4096,type=83\n"),
    "logical_none": (131072, "label: dos\nlabel-id: 0xabcdef04\n1: start=2048,size=2048,type=83\n2: start=8192,size=100000,type=5\n"),
    "logical_60": (262144, "label: dos\nlabel-id: 0xabcdef05\n1: start=2048,size=250000,type=5\n" + "".join("%d: start=%d,size=1024,type=83\n" % (i + 5, 4096 + 4096 * i) for i in range(56))),
    "disorder": (131072, "label: dos\nlabel-id: 0xabcdef06\n1: start=2048,size=120000,type=5\n5: start=40000,size=2000,type=83\n6: start=10000,size=2000,type=b\n7: start=80000,size=1,type=83\n8: start=20000,size=2000,type=82\n"),
    "two_extended": (131072, "label: dos\nlabel-id: 0xabcdef07\n1: start=2048,size=30000,type=5\n2: start=40000,size=30000,type=83\n5: start=4096,size=2000,type=83\n6: start=10000,size=2000,type=83\n"),
    "adjacent": (65536, "label: dos\nlabel-id: 0xabcdef08\n4: start=63,size=60000,type=f\n" + "".join("%d: start=%d,size=1000,type=7\n" % (5 + i, 64 + 1001 * i) for i in range(40))),
    "edges": (65536, "label: dos\nlabel-id: 0xabcdef09\n3: start=1,size=1,type=0c\n1: start=65535,size=1,type=27\n"),
    "4kn": (32768, "label: dos\nlabel-id: 0xabcdef0a\n1: start=256,size=4096,type=83\n2: start=5000,size=20000,type=5\n5: start=6000,size=1000,type=83\n6: start=9000,size=7,type=b\n7: start=12000,size=8000,type=83\n", 4096),
    "2kn": (65536, "label: dos\nlabel-id: 0xabcdef0b\n4: start=1000,size=60000,type=f\n5: start=40000,size=1000,type=83\n6: start=2000,size=3000,type=83\n", 2048),
    "huge": (4294967295, "label: dos\nlabel-id: 0xffffffff\nstart=2048,size=4294960000,type=83\n"),
}
LINUX, DATA, EFI = "0FC63DAF-8483-4772-8E79-3D69D8477DE4", "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7", "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
GUID = "C0FFEE00-0000-4000-8000-%012X"
# name: (sectors, bytes a sector, entries, partitions: number, start, size, type, name, attributes)
GPT = {
    "one": (32768, 512, 128, [(1, 2048, 4096, LINUX, "root", 0)]),
    "some": (131072, 512, 128, [(1, 2048, 4096, EFI, "EFI system", 1), (2, 8192, 2048, LINUX, "\u00fcml\u00e4ut \u4f60\u597d", 1 << 2 | 1 << 60), (7, 20480, 8192, DATA, "n" * 36, 1 << 63), (128, 40960, 1, LINUX, "last", 0)]),
    "many": (262144, 512, 128, [(i + 1, 2048 + 1024 * i, 1024, LINUX, "part %d" % (i + 1), i) for i in range(128)]),
    "entries_256": (65536, 512, 256, [(200, 4096, 4096, LINUX, "two hundred", 0)]),
    "entries_4": (65536, 512, 4, [(4, 4096, 4096, LINUX, "four", 0)]),
    "4kn": (32768, 4096, 128, [(1, 256, 4096, LINUX, "root", 0), (3, 8192, 8192, DATA, "data", 4)]),
    "2k": (32768, 2048, 128, [(1, 512, 4096, LINUX, "root", 0), (100, 8192, 8192, DATA, "data", 1 << 62)]),
    "1k": (32768, 1024, 64, [(2, 1024, 4096, LINUX, "", 0)]),
    "entries_1024": (65536, 512, 1024, [(1, 4096, 1, LINUX, "one", 0), (1024, 8192, 4096, EFI, "the last", 0)]),
    "tight": (256, 512, 128, [(1, 40, 1, DATA, "\U0001f600", 0), (2, 41, 100, DATA, "\u1234" * 36, 0)]),
    "order": (65536, 512, 128, [(1, 40000, 100, LINUX, "behind", 0), (2, 2048, 100, LINUX, "before", 0), (3, 20000, 100, LINUX, "between", 0)]),
    "huge": (1 << 33, 512, 128, [(1, 2048, (1 << 33) - 5000, LINUX, "four TiB", 0)]),
    "empty": (32768, 512, 128, []),
}


def as_json(image):
    return json.loads(run("sfdisk", "-J", image))["partitiontable"]


def make_mbr(corpus, name, sectors, script, sector=512):
    image = corpus.image("mbr_%s.img" % name)
    run("truncate", "-s", str(sectors * sector), image)
    # Only a device has other sectors; its partitions are named after it.
    disk = image if sector == 512 else run("losetup", "--show", "-b", str(sector), "-f", image).strip()
    run("sfdisk", "-q", "--force", "--no-reread", "--no-tell-kernel", disk, text=script)
    table = as_json(disk)
    if disk != image:
        run("losetup", "-d", disk)
    args = {} if sector == 512 else {"sector_size": sector}
    rows = [{"number": int(re.search(r"(\d+)$", p["node"][len(disk):]).group(1)), "start": p["start"], "size": p["size"], "type": int(p["type"], 16), "bootable": p.get("bootable", False)} for p in table.get("partitions", [])]
    corpus.add(image, "mbr.table", args, {"disk_id": int(table["id"], 16), "partitions": rows}, "sfdisk -J")
    for row in rows:
        corpus.add(image, "mbr.partition", {**args, "number": row["number"]}, row, "sfdisk -J")
    for n in {1, 2, 3, 4, 5, 70} - {r["number"] for r in rows}:
        corpus.add(image, "mbr.partition", {**args, "number": n}, {"found": False}, "sfdisk -J")
    return image, rows


def damage_mbr(corpus, image, rows):
    extended = next(r for r in rows if r["type"] == 5)
    logical = [r for r in rows if r["number"] > 4]
    # The second link of the chain is named by the second entry of the first.
    first = extended["start"] * 512
    entry = first + 446 + 16
    for what, change in {"self": [(entry + 8, bytes(4))], "self_short": [(entry + 8, bytes(4)), (entry + 12, b"\1\0\0\0")], "oob": [(entry + 8, b"\xff\xff\xff\x7f")], "no_mark": [(first + 510, b"\0\0")]}.items():
        other = corpus.damaged(image, "mbr_c_%s.img" % what, change)
        corpus.add(other, "mbr.table", {}, {"error": True}, "the chain is damaged", ["corrupt"])
        for number in (6, 70):
            corpus.add(other, "mbr.partition", {"number": number}, {"error": True}, "the chain is damaged", ["corrupt"])
        corpus.add(other, "mbr.partition", {"number": 1}, next(r for r in rows if r["number"] == 1), "unchanged", ["control"])
    for what, change in {"no_signature": [(510, b"\0\0")], "zeros": [(0, bytes(512))]}.items():
        other = corpus.damaged(image, "mbr_c_%s.img" % what, change)
        corpus.add(other, "mbr.table", {}, {"error": True}, "no boot record", ["corrupt"])
        corpus.add(other, "mbr.partition", {"number": 1}, {"error": True}, "no boot record", ["corrupt"])
    for size in (0, 511):
        other = corpus.damaged(image, "mbr_c_cut%d.img" % size, lambda data: data[:size])
        corpus.add(other, "mbr.table", {}, {"error": True}, "cut short", ["corrupt"])


class Disk:
    """A disk that may be too large to read, by slices."""

    def __init__(self, path):
        self.path = path

    def __getitem__(self, part):
        with open(self.path, "rb") as f:
            f.seek(part.start)
            return f.read(part.stop - part.start)


def header_fields(data, lba, sector):
    h = data[lba * sector:lba * sector + sector]
    size, crc = struct.unpack("<II", h[12:20])
    entries, count, each, sum = struct.unpack("<QIII", h[72:92])
    array = data[entries * sector:entries * sector + count * each]
    return {"my_lba": int.from_bytes(h[24:32], "little"), "alternate_lba": int.from_bytes(h[32:40], "little"), "entries_lba": entries, "num_entries": count, "entry_size": each, "header_crc": crc,
            "header_crc_valid": zlib.crc32(h[:16] + bytes(4) + h[20:size]) == crc, "entries_crc": sum, "entries_crc_valid": zlib.crc32(array) == sum}


def make_gpt(corpus, name, sectors, sector, entries, parts):
    image = corpus.image("gpt_%s.img" % name)
    run("truncate", "-s", str(sectors * sector), image)
    script = "label: gpt\nlabel-id: %s\ntable-length: %d\n%s" % (GUID % 0, entries, "sector-size: %d\n" % sector if sector != 512 else "")
    for number, start, size, kind, label, attributes in parts:
        names = {0: "RequiredPartition", 1: "NoBlockIOProtocol", 2: "LegacyBIOSBootable"}
        attrs = ",".join(names.get(b, "GUID:%d" % b) for b in range(64) if attributes >> b & 1 and (b < 3 or b > 47))
        script += '%d: start=%d,size=%d,type=%s,uuid=%s,name="%s"%s\n' % (number, start, size, kind, GUID % number, label, ',attrs="%s"' % attrs if attrs else "")
    if sector != 512:
        # Only a device has other sectors; its partitions are named after it.
        device = run("losetup", "--show", "-b", str(sector), "-f", image).strip()
        run("sfdisk", "-q", "--force", "--no-reread", "--no-tell-kernel", device, text=script)
        table = as_json(device)
        run("losetup", "-d", device)
    else:
        run("sfdisk", "-q", "--force", "--no-reread", "--no-tell-kernel", image, text=script)
        table = as_json(image)
    extra = {"sector_size": sector} if sector != 512 else {}
    data = Disk(image)
    first = {**header_fields(data, 1, sector), "first_usable": table["firstlba"], "last_usable": table["lastlba"], "disk_guid": table["id"].lower()}
    corpus.add(image, "gpt.header", {"which": "primary", **extra}, first, "sfdisk -J; sums by zlib")
    corpus.add(image, "gpt.header", {"which": "backup", **extra}, header_fields(data, sectors - 1, sector), "sums by zlib")
    rows = {}
    for p in table.get("partitions", []):
        number = int(re.search(r"(\d+)$", p["node"]).group(1))
        attributes = sum(1 << {"RequiredPartition": 0, "NoBlockIOProtocol": 1, "LegacyBIOSBootable": 2}[a] if not a.startswith("GUID") else sum(1 << int(b) for b in a[5:].split(",")) for a in p.get("attrs", "").split())
        rows[number] = {"start": p["start"], "size": p["size"], "type_guid": p["type"].lower(), "guid": p["uuid"].lower(), "name": p.get("name", ""), "attributes": attributes}
    assert [(n, r["start"], r["size"]) for n, r in rows.items()] == [(p[0], p[1], p[2]) for p in parts], (name, rows, parts)
    for number, row in rows.items():
        corpus.add(image, "gpt.partition", {"number": number, **extra}, row, "sfdisk -J")
    corpus.add(image, "gpt.count", extra, {"used_entries": len(rows), "numbers": list(rows)}, "sfdisk -J")
    unused = next((n for n in range(1, entries) if n not in rows), None)
    if unused:
        corpus.add(image, "gpt.partition", {"number": unused, **extra}, {"found": False}, "sfdisk -J")
    for n in (0, entries + 1, 1 << 31):
        corpus.add(image, "gpt.partition", {"number": n, **extra}, {"error": True}, "no such entry", ["bad_arg"])
    return image, rows, data


def damage_gpt(corpus, image, rows, data, sectors):
    number, row = next(iter(rows.items()))
    def header_with(at, piece, lba=1):
        h = bytearray(data[lba * 512:lba * 512 + 512])
        h[at:at + len(piece)] = piece
        size = struct.unpack("<I", h[12:16])[0]
        h[16:20] = bytes(4)
        h[16:20] = struct.pack("<I", zlib.crc32(h[:size if size <= 512 else 512]))
        return [(lba * 512, bytes(h))]
    bad = {"signature": [(512, b"EFI TRAP")], "header_bit": [(512 + 40, b"\x23")], "array_bit": [(1024 + 56, b"X")], "header_sum": [(512 + 16, b"\0\0\0\0")], "wiped": [(512, bytes(512))],
           "size_0": header_with(12, struct.pack("<I", 0)), "size_big": header_with(12, struct.pack("<I", 0xffffffff)), "my_lba": header_with(24, struct.pack("<Q", 2)),
           "entries_oob": header_with(72, struct.pack("<Q", 1 << 60)), "entries_far": header_with(72, struct.pack("<Q", sectors + 5)), "count_ones": header_with(80, b"\xff" * 4), "each_0": header_with(84, struct.pack("<I", 0)),
           "count_0": header_with(80, bytes(4)), "usable_swapped": header_with(40, struct.pack("<QQ", sectors - 34, 34)), "usable_oob": header_with(48, struct.pack("<Q", sectors)),
           "usable_ones": header_with(48, b"\xff" * 8), "each_odd": header_with(84, struct.pack("<I", 100)), "each_ones": header_with(84, b"\xff" * 4)}
    for what, change in bad.items():
        other = corpus.damaged(image, "gpt_c_%s.img" % what, change)
        corpus.add(other, "gpt.partition", {"number": number}, {"error": True}, "the first table is damaged", ["corrupt"])
        corpus.add(other, "gpt.partition", {"number": number, "fallback": "backup"}, row, "the copy is sound", ["corrupt"])
        corpus.add(other, "gpt.count", {"fallback": "backup"}, {"used_entries": len(rows)}, "the copy is sound", ["corrupt"])
    both = corpus.damaged(image, "gpt_c_both.img", [(512, b"EFI TRAP"), ((sectors - 1) * 512, b"EFI TRAP")])
    corpus.add(both, "gpt.partition", {"number": number, "fallback": "backup"}, {"error": True}, "both tables are damaged", ["corrupt"])
    other = corpus.damaged(image, "gpt_c_array.img", [(1024 + 56, b"X")])
    corpus.add(other, "gpt.header", {"which": "primary"}, {"header_crc_valid": True, "entries_crc_valid": False}, "sums by zlib", ["corrupt"])
    other = corpus.damaged(image, "gpt_c_my_lba_header.img", bad["my_lba"])
    corpus.add(other, "gpt.header", {"which": "primary"}, {"header_crc_valid": True, "my_lba": 2}, "sums by zlib", ["corrupt"])
    for size in (0, 600, 1024, 4096, sectors * 256, (sectors - 34) * 512):
        other = corpus.damaged(image, "gpt_c_cut%d.img" % size, lambda all: all[:size])
        corpus.add(other, "gpt.partition", {"number": number}, {"error": True}, "cut short", ["corrupt"])


def main():
    folder, wanted = variants({**{"mbr_" + n: v for n, v in MBR.items()}, **{"gpt_" + n: v for n, v in GPT.items()}}, sys.argv)
    if not have("sfdisk"):
        return
    corpus = Corpus(folder, "disk", "mbr")
    for name, what in wanted.items():
        kind, name = name.split("_", 1)
        corpus.format = kind
        try:
            if kind == "mbr":
                image, rows = make_mbr(corpus, name, *what)
                if name == "logical":
                    damage_mbr(corpus, image, rows)
            else:
                image, rows, data = make_gpt(corpus, name, *what)
                if name == "some":
                    damage_gpt(corpus, image, rows, data, what[0])
        except RuntimeError as error:
            print("%s: not made: %s" % (name, error), file=sys.stderr)


if __name__ == "__main__":
    main()
