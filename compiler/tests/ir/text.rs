//! The text form: what is printed is read back as it was, and what is wrong is said with its place.

use super::{Random, golden};
use trav_compiler::ir::parse::parse;
use trav_compiler::ir::print::print;
use trav_compiler::ir::verify::verify;

#[test]
fn golden_functions_are_read_verified_and_printed_as_they_were() {
    for (name, text) in golden() {
        let f = parse(&text).unwrap_or_else(|e| panic!("{name}:{e}"));
        let printed = print(&f);
        let again = parse(&printed).unwrap_or_else(|e| panic!("{name}, printed:{e}\n{printed}"));
        assert_eq!(f, again, "{name}:\n{printed}");
        assert_eq!(print(&again), printed);
        if let Err(errors) = verify(f) {
            let list: Vec<_> = errors.iter().map(ToString::to_string).collect();
            panic!("{name}:\n{}", list.join("\n"));
        }
    }
}

#[test]
fn people_read_functions_without_places() {
    let (_, text) = golden().into_iter().find(|(name, _)| name == "rows.tir").unwrap();
    let f = parse(&text).unwrap();
    let shown = f.to_string();
    assert!(!shown.contains('@') && print(&f).contains(" @1:70-80\n"));
    assert!(shown.contains("    hop i1 at v13 len v19 to b1(v14) keep s0 s1 else f1\n"), "{shown}");
    assert!(shown.contains("    v30: u64 0..=65535 = load.2le disk[base v28 + v21 + 2]\n"), "{shown}");
    assert!(shown.contains(r#"    fault f0 corrupt hex 4 "Record.magic is {}, \"expected\" 0xf30a\n""#), "{shown}");
}

#[test]
fn errors_have_a_place() {
    let header = "traversal f -> unit {\n";
    for (text, error) in [
        ("", "1:1: expected `traversal`, found the end of the text"),
        ("traversal f -> u65 {", "1:16: expected a type (u32, bytes, record, …), found `u65`"),
        ("slot s1 x 8", "2:6: expected `s0`, found `s1`"),
        ("fault f0 corrupt hex 300 \"\"", "2:22: expected a number in range, found 300"),
        ("fault f0 broken unsigned \"\"", "2:10: expected a kind of fault (corrupt, limit, …), found `broken`"),
        ("data d0 x \"0f1\"", "2:11: expected pairs of hexadecimal digits"),
        ("data d0 x \"0f", "2:11: expected a closing quote on the same line"),
        ("data d0 \"\\q\" \"\"", "2:9: expected an escape \\\" \\\\ \\n or \\u{…}, found another"),
        ("b0:\n return", "3:8: expected a block (`b0`), found the end of the text"),
        ("b0:\n v0: u32 = const 1", "3:6: expected a type (u64, i64, bool), found `u32`"),
        ("b0:\n v0: u64 = const -1", "3:18: expected a number that fits u64, found -1"),
        ("b0:\n v0: u64 = twice v1", "3:12: expected an operation or a terminator, found `twice`"),
        ("b0:\n v0: u64 = add.odd v1, v2", "3:12: expected `add`, `add.checked` or `add.wrap`, found `add.odd`"),
        ("b0:\n v0: u64 = load.8le heap[0]", "3:21: expected a region (disk, out, arg0, s0, d0), found `heap`"),
        ("b0:\n v4000000000: u64 = const 1", "3:2: expected a value below v"),
        ("b0:\n return\n}\nb1:", "5:1: expected the end of the text, found `b1`"),
        ("param x: bytes<4294967295>", "2:10: expected types of at most 16777216 bytes together"),
        ("b0:\n €", "3:2: expected an item, found '€'"),
    ] {
        let text =
            if text.starts_with("traversal") || text.is_empty() { text.into() } else { format!("{header}{text}") };
        let found = parse(&text).unwrap_err().to_string();
        assert!(found.starts_with(error), "{text}\nfound:  {found}\nwanted: {error}");
    }
    let deep = format!("traversal f -> unit{} {{", "?".repeat(100_000));
    assert!(parse(&deep).unwrap_err().to_string().contains("less deep"));
    let deep = format!("traversal f -> {} ", "record r { x: ".repeat(100_000));
    assert!(parse(&deep).unwrap_err().to_string().contains("less deep"));
}

#[test]
fn broken_texts_do_not_panic() {
    let mut random = Random(11);
    for (_, text) in golden() {
        for _ in 0..1000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => drop(bytes.remove(at)),
                    1 => bytes[at] = random.pick(b" 0123456789abdfov()[]{},:=<>@-\"\\\n"),
                    _ => bytes.truncate(at.max(9)),
                }
            }
            if let Ok(f) = parse(&String::from_utf8_lossy(&bytes)) {
                let printed = print(&f);
                assert_eq!(parse(&printed).as_ref(), Ok(&f), "{printed}");
                let _ = verify(f);
            }
        }
    }
}
