#!/usr/bin/env python3
"""Makes LUKS headers, LVM physical volumes and romfs images, and queries with answers by cryptsetup, lvm and the files put in.

    volumes.py DIR [luks|romfs|lvm…]      makes DIR/images/{luks,lvm2,romfs}_*.img and DIR/queries.{luks,lvm2,romfs}.jsonl; needs cryptsetup, lvm2, genromfs"""
import os, re, shutil, struct, subprocess, sys, tempfile, zlib
from corpus import Corpus, content, have, pattern, run
from readonly import folder_of_files, plain, words

LUKS = {
    "1": ["--type", "luks1"],
    "1_cbc": ["--type", "luks1", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "128", "--hash", "sha1"],
    "1_offset": ["--type", "luks1", "--offset", "8192"],
    "2": ["--type", "luks2"],
    "2_label": ["--type", "luks2", "--label", "my label", "--subsystem", "sub", "--sector-size", "4096"],
    "2_large": ["--type", "luks2", "--luks2-metadata-size", "65536", "--luks2-keyslots-size", "1048576", "--sector-size", "512"],
    "2_most": ["--type", "luks2", "--luks2-metadata-size", "4m", "--luks2-keyslots-size", "16m", "--label", "l" * 47],
    "2_sha512": ["--type", "luks2", "--hash", "sha512", "--key-size", "256"],
    "2_cbc": ["--type", "luks2", "--cipher", "aes-cbc-essiv:sha256", "--key-size", "256", "--offset", "40960"],
    "2_converted": ["--type", "luks1"],
    "2_token": ["--type", "luks2"],
    "2_reencrypt": ["--type", "luks2"],
}
# What is changed afterwards.
LUKS_AFTER = {
    "2_converted": ["convert", "--batch-mode", "--type", "luks2"],
    "2_token": ["token", "add", "--token-id", "3", "--key-slot", "0", "--key-description", "described"],
    # A volume in the middle of it: several segments, one of which counts.
    "2_reencrypt": ["reencrypt", "--init-only", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-slot", "0", "--key-file", "-"],
}


def luks(folder):
    c = Corpus(folder, "luks")
    for name, options in LUKS.items():
        image = c.image(name + ".img")
        with open(image, "wb") as f:
            f.truncate(32 << 20)
        run("cryptsetup", "luksFormat", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", *options, image, "-", text="secret")
        for extra in ("two", "three"):
            run("cryptsetup", "luksAddKey", "--batch-mode", "--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000", "--key-file", "-", image, keyfile(folder, extra), text="secret")
        run("cryptsetup", "luksKillSlot", "--batch-mode", image, "1")
        if name in LUKS_AFTER:
            run("cryptsetup", *LUKS_AFTER[name], image, text="secret")
        dump = run("cryptsetup", "luksDump", image)
        value = lambda text: re.search(r"%s:?\s+(\S.*)" % text, dump)[1].strip()
        if name.startswith("1"):
            expect = {"version": 1, "uuid": value("UUID"), "cipher_name": value("Cipher name"), "cipher_mode": value("Cipher mode"), "hash_spec": value("Hash spec"),
                      "payload_offset": int(value("Payload offset")), "mk_bits": int(value("MK bits")), "active_slots": [int(n) for n in re.findall(r"Key Slot (\d): ENABLED", dump)]}
        else:
            number = lambda text: int(re.match(r"\d+", value(text))[0])
            expect = {"version": 2, "uuid": value("UUID"), "epoch": number("Epoch"), "metadata_size": number("Metadata area"), "keyslots_size": number("Keyslots area"),
                      "cipher": value("\tcipher"), "sector_size": number("\tsector"), "segment_offset": number("\toffset"), "keyslots": re.findall(r"^  (\d+): \w+", re.search(r"\nKeyslots:\n(.*?)\nTokens:", dump, re.S)[1], re.M)}
            if "label" in name:
                expect |= {"label": value("Label"), "subsystem": value("Subsystem")}
        c.add(image, "luks.header", {}, expect, "cryptsetup luksDump")
        damage_luks(c, image, name, dump, expect)
    print("luks: %d queries" % c.count)


def damage_luks(c, image, name, dump, expect):
    """Copies whose first header is damaged, which cryptsetup repairs from the second one where there is one, and copies where both are."""
    with open(image, "rb") as f:
        f.seek(8)
        second = int.from_bytes(f.read(8), "big")
    is_second_version = name.startswith("2")
    changes = {"magic": [(0, b"LUKX")], "magic_both": [(0, b"LUKX"), (second, b"SKUX")] if is_second_version else [(0, bytes(592))], "version": [(6, b"\0\x09")]}
    if is_second_version and second <= 32768:
        changes |= {"json": [(4096 + 20, b"?")], "json_both": [(4096 + 20, b"?"), (second + 4096 + 20, b"?")], "label": [(30, b"X")], "offset": [(256, b"\xff")], "size": [(8, b"\xff" * 8)]}
    changes["cut"] = lambda data: data[:500]
    for what, change in changes.items():
        bad = c.damaged(image, "%s_c_%s.img" % (name, what), change)
        # luksDump itself repairs, so it is shown a copy.
        with tempfile.TemporaryDirectory() as kept:
            check = subprocess.run(["cryptsetup", "luksDump", shutil.copy(bad, kept)], capture_output=True, text=True)
        c.add(bad, "luks.header", {}, expect if check.stdout == dump else {"error": True}, "cryptsetup luksDump", ["corrupt"])


def keyfile(folder, text):
    path = os.path.join(folder, "key")
    with open(path, "w") as f:
        f.write(text)
    return path


def romfs(folder):
    c = Corpus(folder, "romfs")
    for name, options, many in (("plain", [], 100), ("label", ["-V", "a rather long volume name"], 100), ("aligned", ["-a", "512"], 100), ("many", [], 3000)):
        top = folder_of_files(4096, many)
        image = c.image(name + ".img")
        try:
            shutil.rmtree(os.path.join(top, b"names"))
            run("genromfs", "-d", os.fsdecode(top), "-f", image, *options)
            c.add(image, "romfs.super", {}, {"size": int.from_bytes(open(image, "rb").read(12)[8:], "big"), **({"volume_name": options[1]} if "-V" in options else {})}, "the header")
            for folder_, dirs, files in os.walk(top):
                path = folder_[len(top):] or b"/"
                names = sorted(os.listdir(folder_))
                c.add(image, "romfs.readdir", words(path), {"n_entries": len(names), **({"names": [plain(n) for n in names]} if len(names) < 40 else {})}, "the folder put in")
                for n in sorted(files)[:40]:
                    full, inside = folder_ + b"/" + n, (path.rstrip(b"/") + b"/" + n)
                    if os.path.islink(full):
                        c.add(image, "romfs.readlink", words(inside), {"target": os.readlink(full).decode()}, "the folder put in")
                    elif os.path.isfile(full):
                        data = open(full, "rb").read()
                        c.add(image, "romfs.path", words(inside), {"size": len(data), "is_dir": False}, "the folder put in")
                        c.add(image, "romfs.read", words(inside), content(data), "the folder put in")
                for n in (n for n in dirs if not os.path.islink(folder_ + b"/" + n)):
                    c.add(image, "romfs.path", words(path.rstrip(b"/") + b"/" + n), {"is_dir": True}, "the folder put in")
            c.add(image, "romfs.path", {"path": "/none"}, {"found": False}, "the folder put in")
            bad = c.damaged(image, name + "_sum.img", lambda data: data.__setitem__(100, data[100] ^ 1))
            c.add(bad, "romfs.super", {}, {"error": True}, "damaged on purpose", ["corrupt"])
            if name == "plain":
                damage_romfs(c, image)
        finally:
            shutil.rmtree(top)
    print("romfs: %d queries" % c.count)


def damage_romfs(c, image):
    """Damage of a file's header in a folder; where its checksum is made right again, what it says is wrong."""
    with open(image, "rb") as f:
        data = f.read()
    at = data.index(b"entry_00050")  # its name: the header is right before it, and outside of the volume's checksum
    header, name_end = at - 16, data.index(b"\0", at) + 16 & ~15
    before = data.index(b"entry_00049") - 16
    entry = {"path": "/many/" + data[at:data.index(b"\0", at)].decode()}
    word = lambda n: struct.pack(">I", n & 0xffffffff)

    def case(what, change, *asked):
        bad = c.damaged(image, "plain_c_%s.img" % what, change)
        for traversal, args in asked:
            c.add(bad, traversal, args, {"error": True}, "damaged on purpose", ["corrupt"])

    def right(where, piece):
        """The header with a piece changed and the checksum of it."""
        whole = bytearray(data[header:name_end])
        whole[where:where + len(piece)] = piece
        whole[12:16] = bytes(4)
        whole[12:16] = word(-sum(struct.unpack(">%dI" % (len(whole) // 4), whole)))
        return [(header, bytes(whole))]

    absent, read = ("romfs.path", {"path": "/many/none"}), ("romfs.read", entry)
    case("magic", [(0, b"-rom2fs-")], ("romfs.super", {}), read)
    case("header", [(header + 8, b"\1")], ("romfs.path", entry), ("romfs.readdir", {"path": "/many"}))
    case("next_self", right(0, word(header | 2)), absent, ("romfs.readdir", {"path": "/many"}))
    case("next_back", right(0, word(before | 2)), absent, ("romfs.readdir", {"path": "/many"}))
    case("next_outside", right(0, b"\x7f\xff\xff\xf2"), absent)
    case("size_ones", right(8, b"\xff" * 4), read)
    case("link_to_itself", right(0, word(int.from_bytes(data[header:header + 4], "big") & ~7) + word(header)), ("romfs.path", entry))
    for size in (0, 20, header + 8):
        case("cut%d" % size, lambda data: data[:size], ("romfs.path", entry))


# name: (options of pvcreate, KiB of an extent, whether the metadata text goes over the end of its ring)
GROUPS = {
    "plain": ([], 1024, False),
    "aligned": (["--dataalignment", "4m", "--bootloaderareasize", "1m"], 1024, False),
    "copies": (["--metadatacopies", "2"], 64, False),
    "large_extents": (["--metadatasize", "4m"], 4096, False),
    "late": (["--dataalignmentoffset", "512k", "--labelsector", "3"], 512, False),
    "wrapped": ([], 1024, True),
}
LVM = ["--config", "devices { filter=[\"a|/dev/loop.*|\", \"r|.*|\"] use_devicesfile=0 } global { use_lvmpolld=0 } activation { udev_sync=0 udev_rules=0 } backup { backup=0 archive=0 }",
       "--driverloaded", "n"]
# Another run may have a group on its loop devices.
GROUP = "corpus%d" % os.getpid()


def lvm(folder):
    c = Corpus(folder, "lvm2")
    for name, group in GROUPS.items():
        lvm_group(c, name, *group)
    lvm_devices(c)
    print("lvm2: %d queries" % c.count)


def lvm_labels(c, loops, images):
    """Asks what `pvs` says of devices; gives where their extents begin."""
    starts = {}
    for line in run("pvs", *LVM, "--noheadings", "--units", "b", "--nosuffix", "-o", "pv_name,pv_uuid,pe_start,dev_size").splitlines():
        device, uuid, start, size = line.split()
        if device in loops:
            starts[device] = int(start)
            c.add(images[loops.index(device)], "lvm.label", {}, {"pv_uuid": uuid, "device_size": int(size), "data_offset": int(start)}, "pvs")
    return starts


def lvm_devices(c):
    """Devices in no group, and one of a group whose metadata are on another device alone."""
    images = [c.image("device_%s.img" % name) for name in ("alone", "ignored", "bare", "with")]
    loops = []
    try:
        for image in images:
            run("truncate", "-s", "32M", image)
            loops.append(run("losetup", "--find", "--show", image).strip())
        run("pvcreate", *LVM, loops[0])
        run("pvcreate", *LVM, "--metadataignore", "y", loops[1])
        run("pvcreate", *LVM, "--metadatacopies", "0", loops[2])
        run("pvcreate", *LVM, loops[3])
        run("vgcreate", *LVM, GROUP + "bare", loops[2], loops[3])
        run("lvcreate", *LVM, "-an", "-Zn", "-Wn", "-y", "-n", "one", "-l", "2", GROUP + "bare", loops[2])
        starts = lvm_labels(c, loops, images)
    finally:
        for loop in loops:
            run("losetup", "-d", loop)
    for image in images[:3]:
        c.add(image, "lvm.map", {"lv": "one", "offset": 0}, {"error": True}, "no metadata there", ["bad_arg"])
    c.add(images[3], "lvm.map", {"lv": "one", "offset": 4097}, {"pv_offset": starts[loops[2]] + 4097}, "pvs, the extent given")
    bad = c.damaged(images[0], "device_alone_area.img", [(4096 + 40, b"\1")])
    c.add(bad, "lvm.label", {}, {"error": True}, "damaged on purpose", ["corrupt"])


def damage_lvm(c, image):
    """A first device whose label or metadata area is damaged; checksums are made right again where they are not the damage."""
    with open(image, "rb") as f:
        sectors = f.read(8192)
    lvm_sum = lambda data: struct.pack("<I", zlib.crc32(data, 0xf597a6cf ^ 0xffffffff) ^ 0xffffffff)

    def label(at, piece):
        whole = bytearray(sectors[512:1024])
        whole[at:at + len(piece)] = piece
        return [(512, bytes(whole[:16]) + lvm_sum(whole[20:]) + bytes(whole[20:]))]

    def area(at, piece):
        whole = bytearray(sectors[4096:4608])
        whole[at:at + len(piece)] = piece
        return [(4096, lvm_sum(whole[4:]) + bytes(whole[4:]))]

    lists = 32 + 40
    areas = lists + 32  # behind the one data area and the zeros that end its list
    changes = {"label": [(512, b"LABELTWO")], "label_sum": [(512 + 40, b"?")], "sector": label(8, b"\2"), "header_outside": label(20, b"\xff" * 4), "area_outside": label(areas, struct.pack("<Q", 1 << 50)),
               "area_sum": [(4096 + 40, b"\7")], "area_magic": area(4, b" LVM3"), "text_outside": area(40, struct.pack("<Q", 1 << 50)), "text_ones": area(48, b"\xff" * 8), "text_before": area(40, struct.pack("<Q", 100)),
               "text_sum": area(56, b"\xff" * 4)}
    for what, change in changes.items():
        bad = c.damaged(image, "plain_c_%s.img" % what, change)
        c.add(bad, "lvm.map", {"lv": "linear", "offset": 0}, {"error": True}, "damaged on purpose", ["corrupt"])
    for size in (0, 700, 4200):
        bad = c.damaged(image, "plain_c_cut%d.img" % size, lambda data: data[:size])
        c.add(bad, "lvm.label", {}, {"error": True}, "cut short", ["corrupt"])


def lvm_group(c, name, options, extent_kib, wrapped):
    images = [c.image("%s_pv%d.img" % (name, i)) for i in range(3)]
    loops = []
    try:
        for image in images:
            with open(image, "wb") as f:
                f.truncate(64 << 20)
            loops.append(run("losetup", "--find", "--show", image).strip())
        run("pvcreate", *LVM, *options, *loops)
        run("vgcreate", *LVM, "-s", "%dk" % extent_kib, GROUP, *loops)
        create = ["lvcreate", *LVM, "-an", "-Zn", "-Wn", "-y"]
        run(*create, "-n", "linear", "-l", "5", GROUP, loops[0])
        run(*create, "-n", "gap", "-l", "2", GROUP, loops[0])
        run("lvextend", *LVM, "-l", "+3", GROUP + "/linear", loops[0])
        run(*create, "-n", "striped", "-i", "2", "-I", "64k" if extent_kib >= 64 else "4k", "-l", "4", GROUP, loops[1], loops[2])
        run("lvextend", *LVM, "-l", "+5", GROUP + "/linear", loops[1])
        run(*create, "-n", "wide", "-i", "3", "-I", "4k", "-l", "3", "--addtag", "tagged", GROUP, *loops)
        if wrapped:
            run("vgchange", *LVM, *(word for i in range(10) for word in ("--addtag", "%s%d" % ("x" * 900, i))), GROUP)
            for i in range(200):
                # Each change writes the text behind the last one.
                run("vgchange", *LVM, "--addtag", "turn%d" % i, *(["--deltag", "turn%d" % (i - 1)] if i else []), GROUP)
                with open(images[0], "rb") as f:
                    f.seek(4096 + 24)
                    _, area, offset, size = struct.unpack("<QQQQ", f.read(32))
                if offset + size > area:
                    break
            assert offset + size > area, "the text does not wrap"
        starts = lvm_labels(c, loops, images)
        segments = run("lvs", *LVM, "--noheadings", "--segments", "--units", "b", "--nosuffix", "-o", "lv_name,seg_start,seg_size,stripes,stripe_size,seg_pe_ranges")
    finally:
        for loop in loops:
            run("losetup", "-d", loop)
    for line in segments.splitlines():
        lv, start, size, stripes, stripe_size, *ranges = line.split()
        places = [(r.split(":")[0], int(r.split(":")[1].split("-")[0])) for r in ranges]
        start, size, stripes, stripe_size = int(start), int(size), int(stripes), int(stripe_size)
        for inside in (i for i in (0, 1, 70000, 1 << 20, size // 2 + 12345, size - 1) if i < size):
            row, index, along = (inside // stripe_size // stripes, inside // stripe_size % stripes, inside % stripe_size) if stripes > 1 else (0, 0, inside)
            device, extent = places[index]
            offset = starts[device] + extent * extent_kib * 1024 + row * stripe_size + along
            c.add(images[0], "lvm.map", {"lv": lv, "offset": start + inside}, {"pv_offset": offset}, "lvs --segments, pvs")
    c.add(images[0], "lvm.map", {"lv": "none", "offset": 0}, {"error": True}, "no such volume", ["bad_arg"])
    bad = c.damaged(images[0], name + "_text.img", lambda data: data.replace(b"extent_count", b"Xxtent_count"))
    c.add(bad, "lvm.map", {"lv": "linear", "offset": 0}, {"error": True}, "damaged on purpose", ["corrupt"])
    if name == "plain":
        damage_lvm(c, images[0])


def main():
    folder, *wanted = sys.argv[1:]
    for make, tool in ((luks, "cryptsetup"), (romfs, "genromfs"), (lvm, "vgcreate")):
        if wanted and make.__name__ not in wanted or not have(tool):
            continue
        try:
            make(folder)
        except RuntimeError as error:
            if make is not lvm:
                raise
            print("lvm2: skipped, because %s" % str(error).strip().splitlines()[-1])


main()
