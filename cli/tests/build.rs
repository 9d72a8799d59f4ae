//! `trav build` and `trav disasm`.

use super::{BPFKV, folder, trav};
use std::fs;

#[test]
fn an_object_for_each_hook_can_be_read_again() {
    let out = folder("build").join("get.bpf.o");
    let out = out.to_str().expect("the target folder's path is UTF-8");
    let hooks = trav(&["hooks"]);
    assert!(hooks.status == Some(0) && hooks.out.lines().count() > 1, "{hooks:?}");
    for hook in hooks.out.lines().filter_map(|l| l.split_whitespace().next()) {
        let built = trav(&["build", BPFKV, "--hook", hook, "-o", out]);
        if built.status == Some(4) {
            // A hook may not carry this walk; then it says why, and writes nothing.
            assert!(built.err.contains(&format!("hook `{hook}`")), "{hook}: {}", built.err);
            assert!(!fs::exists(out).expect("the folder can be read"), "{hook}");
            continue;
        }
        assert_eq!((built.status, built.out.as_str(), built.err.as_str()), (Some(0), "", ""), "{hook}");
        assert_eq!(fs::read(out).expect("the object was written")[..4], *b"\x7fELF");
        let listing = trav(&["disasm", out]);
        assert_eq!(listing.status, Some(0), "{hook}: {}", listing.err);
        assert!(listing.out.contains("exit"), "{hook}: {}", listing.out);
        fs::remove_file(out).expect("the object can be removed");
    }
}

#[test]
fn other_products_are_printed() {
    let asm = trav(&["build", BPFKV, "--emit", "asm"]);
    assert!(asm.status == Some(0) && asm.out.starts_with("get:\n") && asm.out.contains("read Node at"), "{asm:?}");
    let ir = trav(&["build", BPFKV, "--traversal", "get", "--emit", "ir"]);
    assert!(ir.status == Some(0) && ir.out.contains("hop"), "{ir:?}");
    assert_eq!(trav(&["build", BPFKV, "--traversal", "got", "--emit", "ir"]).status, Some(2));
}
