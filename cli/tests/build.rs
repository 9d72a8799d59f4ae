//! `trav build` and `trav disasm`.

use super::{BPFKV, file, folder, trav};
use std::fs;
use std::process::Command;

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
fn the_kernel_gives_an_account() {
    let out = folder("verified").join("get.bpf.o");
    let out = out.to_str().expect("the target folder's path is UTF-8");
    let built = trav(&["build", BPFKV, "--traversal", "get", "--verify", "-o", out]);
    match built.status {
        Some(4) => assert!(built.err.contains("CAP_BPF"), "{built:?}"),
        status => {
            assert_eq!(status, Some(0), "{built:?}");
            assert!(built.out.starts_with("get: accepted; ") && built.out.contains(" processed"), "{built:?}");
        }
    }
}

/// XRP reads 512 bytes and no more.
#[test]
fn a_hook_that_cannot_carry_a_walk_names_those_that_can() {
    let built = trav(&["build", "examples/list/list.trav", "--hook", "xrp"]);
    assert_eq!(built.status, Some(4), "{built:?}");
    for part in ["4096 bytes", "512", "`test`, `", "`file`"] {
        assert!(built.err.contains(part), "{part}: {built:?}");
    }
}

/// Each limit of a hook is told with its reason, and with the hooks that have another.
#[test]
fn each_limit_of_a_hook_is_told_with_the_hooks_that_have_room() {
    const NODE: &str = "struct Node size 512 { next: u64, count: u32, keys: [u64; 8] }\n";
    let never_aligned = "traversal walk(i: u32) -> u32 { let n = read Node at 512 * i + 1536 + 8; return n.count; }";
    let large_frame = "traversal walk(at: u64) -> u64 {
        var names: buffer<3000>;
        let a = read Node at at;
        names.append(a[0..512]);
        let b = read Node at a.next;
        names.append(b[0..512]);
        let c = read bytes[512] at b.next;
        return if names[5..9] == b\"abcd\" { 1 } else { names.len };
    }";
    let two_sources = "source journal;
    traversal walk(at: u64) -> u32 { let n = read Node at at; let m = read Node at n.next from journal; return m.count; }";
    let short = folder("limits").join("short.toml");
    let text = trav(&["hooks", "xrp"]).out.replace("insns = 1000000", "insns = 20");
    assert!(text.contains("insns = 20"), "{text}");
    fs::write(&short, text).expect("the folder is writable");
    let short = short.to_str().expect("the target folder's path is UTF-8");
    for (name, walk, hook, reason) in [
        ("aligned", never_aligned, "xrp", "`read Node at 512 * i + 1536 + 8` begins 8 bytes behind a multiple of 512"),
        ("frame", &large_frame.replace("3000", "4090"), "xrp", "the hook's scratch memory has 4096"),
        ("sources", two_sources, "xrp", "reads from 2 sources, and the hook reaches 1"),
        (
            "insns",
            "traversal walk(at: u64) -> u32 { let n = read Node at at; return n.count; }",
            short,
            "the program would have ",
        ),
    ] {
        let spec = file(&format!("limits-{name}"), &format!("{name}.trav"), format!("{NODE}{walk}"));
        let built = trav(&["build", &spec, "--hook", hook, "-o", &format!("{spec}.o")]);
        assert_eq!(built.status, Some(4), "{name}: {built:?}");
        for part in [reason, "these hooks can carry it: `test`"] {
            assert!(built.err.contains(part), "{name}: {part}: {}", built.err);
        }
        assert!(!fs::exists(format!("{spec}.o")).expect("the folder can be read"), "{name}");
    }
}

#[test]
fn numbers_of_parameters_can_be_fixed() {
    let build = |set: &[&str]| {
        let mut args = vec!["build", "std.ext4", "--traversal", "map", "--emit", "asm"];
        args.extend(set.iter().flat_map(|s| ["--set", s]));
        trav(&args)
    };
    let (any, known) = (build(&[]), build(&["vol.block_size=4096", "vol.inode_size=0x100"]));
    assert_eq!((any.status, known.status), (Some(0), Some(0)), "{known:?}");
    assert!(known.out.lines().count() < any.out.lines().count());
    for (set, part) in [
        ("vol.blocksize=4096", "did you mean `vol.block_size`?"),
        ("vol.block_size", "NAME=NUMBER"),
        ("vol.block_size=x", "no number"),
    ] {
        let wrong = build(&[set]);
        assert!(wrong.status == Some(2) && wrong.err.contains(part), "{set}: {wrong:?}");
    }
    let too_large = build(&["vol.block_size=4294967296"]);
    assert!(too_large.status == Some(1) && too_large.err.contains("E0303"), "{too_large:?}");
}

#[test]
fn other_products_are_printed() {
    let asm = trav(&["build", BPFKV, "--emit", "asm"]);
    assert!(asm.status == Some(0) && asm.out.starts_with("get:\n") && asm.out.contains("read Node at"), "{asm:?}");
    let ir = trav(&["build", BPFKV, "--traversal", "get", "--emit", "ir"]);
    assert!(ir.status == Some(0) && ir.out.contains("hop"), "{ir:?}");
    assert_eq!(trav(&["build", BPFKV, "--traversal", "got", "--emit", "ir"]).status, Some(2));
}

/// Names that are keywords, a message that has to be quoted, and results of each form.
const AWKWARD: &str = r#"
struct S size 64 { type: u8 where type < 7, int: u8, name: bytes<7>, fn_: i32 }
record R { type: u8, int: i32, name: bytes<7> }
traversal walk(at: u64, switch: u8, text: bytes up to 9) -> R? {
    let s = read S at at;
    if s.type == switch { return none; }
    require s.int != 9 else fail "say \"why??/\\\" in µ";
    return R { type: s.type, int: s.fn_, name: s.name };
}
"#;

#[test]
fn bindings_compile_and_have_the_objects_sizes() {
    let spec = file("bindings", "awkward.trav", AWKWARD);
    let folder = folder("bindings-out");
    for (kind, name, compiler, flags) in [
        ("header", "walk.h", "cc", &["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"][..]),
        ("rust", "walk.rs", "rustc", &["--crate-type=lib", "--edition=2024", "--emit=metadata", "-Dwarnings"]),
    ] {
        let emitted = trav(&["build", &spec, "--emit", kind]);
        assert_eq!((emitted.status, emitted.err.as_str()), (Some(0), ""), "{kind}");
        assert!(emitted.out.contains("walk_state") && emitted.out.contains("\"corrupt\""), "{}", emitted.out);
        fs::write(folder.join(name), &emitted.out).expect("the folder is writable");
        // Only the sizes that the text itself asserts make this compile.
        let compiled = Command::new(compiler).args(flags).arg(name).current_dir(&folder).output();
        let compiled = compiled.unwrap_or_else(|e| panic!("{compiler}: {e}"));
        assert!(compiled.status.success(), "{}\n{}", String::from_utf8_lossy(&compiled.stderr), emitted.out);
    }
}
