//! Wrong calls and wrong specs: each has its exit status and says what is wrong.

use super::{BPFKV, LIST, bpfkv, file, list, trav};

/// Calls, checks the status and that the message has these parts.
#[track_caller]
fn refused(args: &[&str], status: i32, parts: &[&str]) {
    let ran = trav(args);
    assert_eq!(ran.status, Some(status), "{args:?}: {ran:?}");
    assert_eq!(ran.out, "", "{args:?}");
    for part in parts {
        assert!(ran.err.contains(part), "{args:?}: expected `{part}` in:\n{}", ran.err);
    }
}

#[test]
fn usage() {
    refused(&[], 2, &["Usage"]);
    refused(&["runn"], 2, &["run"]);
    refused(&["run", LIST], 2, &["TRAVERSAL"]);
    refused(&["run", LIST, "total", "--image"], 2, &["--image"]);
    refused(&["run", LIST, "total", "--engine", "jit", "--image", "x"], 2, &["native", "interp", "vm", "kernel"]);
    refused(&["check"], 2, &["FILE"]);
    for help in [&["--help"][..], &["run", "--help"], &["--version"]] {
        let ran = trav(help);
        assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{help:?}");
    }
}

#[test]
fn files() {
    refused(&["check", "no/such.trav"], 2, &["no/such.trav", "No such file"]);
    refused(&["check", "examples"], 2, &["examples", "directory"]);
    refused(&["run", "std.ext5", "map"], 2, &["std.ext5"]);
    refused(&["run", LIST, "total", "--image", "no/such.img"], 2, &["no/such.img", "No such file"]);
    refused(&["run", LIST, "total", "--image", "examples"], 2, &["examples", "directory"]);
    refused(&["run", LIST, "total"], 2, &["--image"]);
    refused(&["run", BPFKV, "get", "--batch", "no/such", "--image", LIST], 2, &["no/such"]);
    let twice = trav(&["run", LIST, "total", "--image", "no/such.img"]);
    assert_eq!(twice.err.matches("no/such.img").count(), 1, "{}", twice.err);
    let binary = file("binary", "binary.trav", [0x7f, 0xff, 0x00]);
    refused(&["check", &binary], 1, &["not UTF-8", "offset 1"]);
}

#[test]
fn arguments() {
    let image = file("arguments", "kv.img", bpfkv::image());
    let get = |args: &[&str], parts: &[&str]| {
        refused(&[&["run", BPFKV, "get"], args, &["--image", &image]].concat(), 2, parts);
    };
    get(&[], &["`key` is missing"]);
    get(&["3"], &["NAME=VALUE", "`3`"]);
    get(&["=3"], &["NAME=VALUE"]);
    get(&["kee=3"], &["no argument `kee`"]);
    get(&["key=3", "key=3"], &["`key` is given twice"]);
    for value in ["", "x", "-1", "1.5", "0x", "18446744073709551616", "16EiB"] {
        get(&[&format!("key={value}")], &["`key`", "from 0 to 18446744073709551615", &format!("found `{value}`")]);
    }
    refused(&["run", BPFKV, "gett", "key=3", "--image", &image], 2, &["no traversal `gett`", "did you mean `get`"]);
    refused(&["run", BPFKV, "get", "key=3", "--image", &image, "--image", &image], 2, &["given twice"]);
    let journal = format!("journal={image}");
    refused(&["run", BPFKV, "get", "key=3", "--image", &image, "--image", &journal], 2, &["no source `journal`"]);
}

/// What is given is looked at before a default walk runs, which ends in a fault here.
#[test]
fn arguments_beside_a_default_that_fails() {
    let image = file("noise", "noise.img", [7; 100]);
    let map = |argument: &str, status: i32, parts: &[&str]| {
        refused(&["run", "std.ext4", "map", "ino=2", argument, "--image", &image], status, parts);
    };
    map("block=zz", 2, &["`block`", "found `zz`"]);
    map("blok=0", 2, &["no argument `blok`"]);
    map("block=0", 3, &["out of device"]);
    refused(&["run", "std.ext4", "map", "ino=2", "--image", &image], 2, &["`block` is missing"]);
}

#[test]
fn dumps() {
    let image = file("dumps", "list.img", list::image());
    let dump = |args: &[&str], parts: &[&str]| {
        refused(&[&["dump", LIST], args, &["--image", &image]].concat(), 2, parts);
    };
    dump(&["Blok", "--at", "0"], &["no structure `Blok`", "did you mean `Block`"]);
    dump(&["Block"], &["--at"]);
    dump(&["Block", "--at", "x"], &["--at takes an integer", "found `x`"]);
    dump(&["Block", "n=1", "--at", "0"], &["no parameter `n`"]);
    let off = trav(&["dump", LIST, "Block", "--at", "1TiB", "--image", &image]);
    assert!(off.status == Some(3) && off.err.starts_with("fault: "), "{off:?}");
}

#[test]
fn specs() {
    let wrong = file("wrong-spec", "wrong.trav", "struct A { a: u99 }\n");
    refused(&["check", &wrong], 1, &["wrong.trav:1", "E0"]);
    refused(&["run", &wrong, "walk", "--image", LIST], 1, &["wrong.trav:1"]);
    refused(&["build", &wrong], 1, &["wrong.trav:1"]);
    refused(&["dump", &wrong, "A", "--at", "0", "--image", LIST], 1, &["wrong.trav:1"]);
    let unproved = "struct A { a: [u8; 4] }\ntraversal get(i: u64) -> u8 { let a = read A at 0; return a.a[i]; }\n";
    let unproved = file("unproved", "unproved.trav", unproved);
    refused(&["check", &unproved], 1, &["E0501", "unproved.trav:2", "trav explain E0501"]);
    let nested = file("nested", "nested.trav", format!("const A = {}1;", "(".repeat(200_000)));
    refused(&["check", &nested], 1, &["E0104"]);
}

#[test]
fn codes_and_hooks() {
    refused(&["explain", "E9999"], 2, &["no error code `E9999`"]);
    let page = trav(&["explain", "e0501"]);
    assert_eq!(page.status, Some(0));
    assert!(page.out.starts_with("# E0501"), "{}", page.out);
    refused(&["hooks", "xrq"], 2, &["no hook `xrq`", "did you mean `xrp`"]);
    refused(&["build", LIST, "--hook", "nvme"], 2, &["no hook `nvme`"]);
    refused(&["disasm", LIST], 2, &["no little-endian 64-bit ELF"]);
}
