//! A walk compiled alone is the walk compiled with its module.

use trav_compiler::{Compilation, Effort, Loader, Options, ahead, compile, compile_some, compile_with, ir, texts};

/// One module of the user's own beside the standard ones.
struct Beside;

impl Loader for Beside {
    fn load(&self, path: &[&str]) -> Option<(String, String)> {
        let text = "const SIZE = 64; fn double(x: u32) -> u64 { x as u64 * 2 } fn other(x: u32) -> u64 { double(x) }";
        (path == ["beside"]).then(|| ("beside.trav".into(), text.into()))
    }
}

fn listing(compilation: &Compilation, name: &str) -> String {
    let walk = compilation.traversals.iter().find(|walk| walk.name == name);
    ir::print::print(walk.unwrap_or_else(|| panic!("no walk {name}: {:?}", compilation.diagnostics)))
}

fn check_alone(file: &str, text: &str) {
    let whole = compile(file, text, &Beside);
    assert!(!whole.traversals.is_empty(), "{file}: {:?}", whole.diagnostics);
    for walk in &whole.traversals {
        let alone = compile_some(file, text, &Beside, Some(&walk.name));
        assert_eq!(listing(&alone, &walk.name), listing(&whole, &walk.name), "{file}, {}", walk.name);
    }
}

#[test]
fn a_walk_of_a_standard_module_is_the_same_alone() {
    for name in ["fat", "gpt", "leveldb"] {
        let (file, text) = texts::standard_module(&["std", name]).expect("a standard module");
        check_alone(&file, text);
    }
}

/// What is made quickly is verified like anything else, and takes the same.
#[test]
fn each_standard_walk_can_be_made_for_one_call() {
    for module in texts::standard_modules() {
        let path: Vec<&str> = module.split('.').collect();
        let (file, text) = texts::standard_module(&path).expect("a standard module");
        let options = Options { effort: Effort::Once, ..Options::default() };
        let quick = compile_with(&file, text, &Beside, options);
        assert!(quick.diagnostics.is_empty(), "{file}: {:?}", quick.diagnostics);
        for walk in &quick.traversals {
            let kept = ahead::from_bytes(&ahead::to_bytes(walk));
            assert!(kept.is_some_and(|kept| *kept == **walk), "{file}, {}", walk.name);
        }
    }
}

/// Bytes that are no walk's make none, or one that keeps the rules; none makes the program stop.
#[test]
fn damaged_bytes_of_a_walk_are_refused() {
    let (file, text) = texts::standard_module(&["std", "swap"]).expect("a standard module");
    let compiled = compile_with(&file, text, &Beside, Options { effort: Effort::Once, ..Options::default() });
    let whole = ahead::to_bytes(&compiled.traversals[0]);
    let mut refused = 0;
    for (i, byte) in whole.iter().enumerate() {
        for bad in [0, 1, 0x7f, 0xff, byte ^ 1] {
            let mut bytes = whole.clone();
            bytes[i] = bad;
            refused += usize::from(ahead::from_bytes(&bytes).is_none());
        }
        assert!(ahead::from_bytes(&whole[..i]).is_none(), "cut at {i}");
    }
    assert!(refused > whole.len(), "{refused} of {} refused", 5 * whole.len());
}

#[test]
fn names_are_found_however_they_are_written() {
    let text = "use beside;
        use std.checksum.{crc16, crc32c};
        enum Kind: u8 { A = 1, B = 2 }
        struct Body { list: bytes<4> }
        struct Block size beside.SIZE { map: u32, kind: Kind, body: Body, fn twice() -> u64 { beside.other(self.map) } }
        fn map(x: u32) -> u64 { beside.double(x) }
        traversal list(at: u64) -> u64 { let block = read Block at at; return block.twice() + map(block.map); }
        traversal kind(at: u64) -> Kind { let block = read Block at at; return block.kind; }
        traversal sum(at: u64) -> u32 { let block = read Block at at; return crc32c(block.body.list); }";
    check_alone("own.trav", text);
}

#[test]
fn an_error_that_a_walk_does_not_reach_is_not_its_own() {
    let text = "traversal good() -> u64 { return 1; } traversal bad() -> u64 { return nothing; }";
    assert_eq!(compile("own.trav", text, &Beside).diagnostics.len(), 1);
    assert_eq!(compile_some("own.trav", text, &Beside, Some("good")).traversals.len(), 1);
    assert_eq!(compile_some("own.trav", text, &Beside, Some("bad")).diagnostics.len(), 1);
}
