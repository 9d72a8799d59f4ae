#!/usr/bin/env python3
"""Makes the small images of the specs' test items, in tests/small. They are checked in, so that the tests need no tools; all but a few hundred bytes of each are zeros.

    small.py DIR      needs the formats' own tools (see the scripts of the families)

What the test items expect was read from these images with debugfs, mdir, mshowfat, dump.exfat, sfdisk, qemu-img, isoinfo and mkswap."""
from corpus import *

UUID = "c0ffee00-0000-4000-8000-000000000001"


def ext4(path, source):
    options = ["-U", UUID, "-L", "small", "-N", "32", "-I", "256", "-E", "hash_seed=%s,root_owner=0:0" % UUID]
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^has_journal,^resize_inode,metadata_csum,64bit", *options, "-d", source, path, "128k")


def fat(path, source):
    run("mkfs.fat", "-F", "12", "-i", "C0FFEE01", "-n", "SMALL", "-r", "32", "-s", "1", "-C", path, "64")
    for name in ("hello.txt", "a longer name.bin"):
        run("mcopy", "-i", path, os.path.join(source, name), "::" + name)
    run("mmd", "-i", path, "::/dir")
    run("mcopy", "-i", path, os.path.join(source, "hello.txt"), "::/dir/again.txt")


def exfat(path, source):
    run("truncate", "-s", "64K", path)
    run("mkfs.exfat", "-c", "512", "-b", "512", "-L", "SMALL", path)


def mbr(path, source):
    run("truncate", "-s", "64K", path)
    run("sfdisk", "-q", path, text="label: dos\nlabel-id: 0x12345678\n1: start=1,size=8,type=83,bootable\n2: start=16,size=100,type=5\n5: start=20,size=4,type=82\n6: start=40,size=8,type=c\n")


def gpt(path, source):
    run("truncate", "-s", "64K", path)
    run("sfdisk", "-q", path, text='label: gpt\nlabel-id: %s\nfirst-lba: 34\n1: start=40,size=8,type=L,uuid=%s,name="root"\n3: start=56,size=16,type=U,uuid=%s,name="EFI system"\n' % (UUID, UUID[:-1] + "2", UUID[:-1] + "3"))


def qcow2(path, source):
    run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512,compat=1.1", path, "64K")
    run("qemu-io", "-c", "write -P 0x61 1024 512", "-c", "write -z 2048 512", "-c", "write -c -P 0x62 4096 512", path)


def iso9660(path, source):
    run("genisoimage", "-quiet", "-R", "-J", "-no-pad", "-V", "SMALL", "-o", path, source)


def swap(path, source):
    run("truncate", "-s", "40K", path)
    run("mkswap", "-p", "4096", "-U", UUID, "-L", "small", path)


if __name__ == "__main__":
    files = {"hello.txt": b"hello world\n", "a longer name.bin": pattern(1500, "n")}
    make_small(sys.argv[1], (ext4, fat, exfat, mbr, gpt, qcow2, iso9660, swap), files)
