//! Specs that nobody means, through the whole compiler: each ends soon, in a result or in diagnostics. (What the parser alone must bear is in
//! `syntax/hostile.rs`.)

use std::time::{Duration, Instant};
use trav_compiler::{Compilation, Loader, compile};

/// Modules by a rule: what a path's text is.
struct Rule(fn(&[&str]) -> Option<String>);

impl Loader for Rule {
    fn load(&self, path: &[&str]) -> Option<(String, String)> {
        Some((format!("{}.trav", path.join("/")), (self.0)(path)?))
    }
}

/// Compiles a text, with the room that the command has, and within a time in which nobody thinks that it hangs.
fn compiled(text: &str, modules: fn(&[&str]) -> Option<String>) -> Compilation {
    let text = text.to_owned();
    let started = Instant::now();
    let work = move || compile("hostile.trav", &text, &Rule(modules));
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(work).expect("a thread");
    let done = thread.join().expect("no panic");
    let most = Duration::from_secs(if cfg!(debug_assertions) { 30 } else { 3 });
    assert!(started.elapsed() < most, "took {:?}", started.elapsed());
    done
}

fn codes(text: &str) -> Vec<&'static str> {
    compiled(text, |_| None).diagnostics.iter().map(|d| d.code).collect()
}

#[test]
fn modules_in_a_circle() {
    let done = compiled("use a.one.{X};\nconst Y = X;", |path| match path {
        ["a", "one"] => Some("use a.two;\nconst X = 1;".into()),
        ["a", "two"] => Some("use a.one;\nconst Z = 2;".into()),
        _ => None,
    });
    assert!(done.diagnostics.len() <= 2, "{:?}", done.diagnostics);
    let done = compiled("use a.self_user;", |_| Some("use a.self_user;\nconst X = 1;".into()));
    assert!(done.diagnostics.len() <= 1, "{:?}", done.diagnostics);
}

#[test]
fn chains_of_modules_without_end() {
    let done = compiled("use chain.m;", |path| Some(format!("use chain.{}m;", path[1])));
    let codes: Vec<_> = done.diagnostics.iter().map(|d| d.code).collect();
    assert_eq!(codes, ["E0206"]);
    // Each module uses two more: the files are many, and each is taken once.
    let done = compiled("use tree.a; use tree.b;", |path| {
        let name = path[1];
        (name.len() <= 9).then(|| format!("use tree.{name}a; use tree.{name}b;"))
    });
    assert!(done.diagnostics.iter().all(|d| ["E0203", "E0206", "E0202"].contains(&d.code)));
}

#[test]
fn sizes_that_no_memory_has() {
    for text in [
        "struct A size 18446744073709551615 { a: u8 } traversal t() -> u8 { return (read A at 0).a; }",
        "struct A size 64 { a: [u64; 18446744073709551615] } traversal t() -> u64 { return (read A at 0).a[0]; }",
        "struct A size 64 { a: [[[[u64; 65535]; 65535]; 65535]; 65535] } traversal t() -> u64 { return (read A at 0).a.len; }",
        "struct A size 64 { @0xffffffffffffffff a: u8 } traversal t() -> u8 { return (read A at 0).a; }",
        "struct A size 64 { a: bytes<4294967295> } traversal t() -> u64 { return (read A at 0).a.len; }",
        "const T = [0; 4294967295]; traversal t() -> u64 { return T[0]; }",
        "traversal t() -> bytes up to 4294967295 { return \"\"; }",
        "traversal t(a: bytes up to 18446744073709551615) -> u64 { return a.len; }",
        "traversal t() -> u64 { var b: buffer<4294967295>; return b.len; }",
        "source s[4294967295]; traversal t() -> u8 { return read u8 at 0 from s[0]; }",
        "traversal t() -> u8 { return read [u8; 4294967295] at 0; }",
    ] {
        assert!(!codes(text).is_empty(), "{text}");
    }
}

#[test]
fn loops_of_any_length() {
    let nested = |n: usize| {
        let heads: String = (0..n).map(|i| format!("for i{i} in 0..4294967295 {{ ")).collect();
        format!("traversal t() -> u64 {{ var n: u64 = 0; {heads} n = n +% 1; {} return n; }}", "}".repeat(n))
    };
    assert_eq!(codes(&nested(20)), Vec::<&str>::new());
    assert_eq!(codes("traversal t() -> u64 { loop up to 18446744073709551615 { break; } return 1; }"), ["E0602"]);
}

/// Every function calls the one before it many times; what nobody calls is looked at too, and all of it within bounds.
#[test]
fn calls_that_double() {
    let mut text = String::from("fn f0(x: u64) -> u64 { x }\n");
    for i in 1..40 {
        text += &format!("fn f{i}(x: u64) -> u64 {{ f{}(x) ^ f{0}(x +% 1) ^ wrong }}\n", i - 1);
    }
    let codes = codes(&text);
    assert!(codes.contains(&"E0201") && codes.len() < 100, "{codes:?}");
}

#[test]
fn structures_in_structures() {
    let mut text = String::from("struct S0 { a: u8 }\n");
    for i in 1..24 {
        text += &format!("struct S{i} {{ a: S{}, b: S{0} }}\n", i - 1);
    }
    text += "traversal t() -> u8 { return (read S12 at 0).b.b.b.b.b.b.b.b.b.b.b.b.a; }";
    compiled(&text, |_| None);
}

/// Each record has the one before it twice, or in a circle that an option hides.
#[test]
fn records_in_records() {
    let mut text = String::from("record R0 { a: u64 }\n");
    for i in 1..60 {
        text += &format!("record R{i} {{ a: R{}, b: R{0}? }}\n", i - 1);
    }
    assert_eq!(codes(&(text.clone() + "traversal t(r: R59) -> u64 { return 1; }")), ["E0303"; 4]);
    let backwards: Vec<&str> = text.lines().rev().collect();
    assert_eq!(codes(&(backwards.join("\n") + "traversal t() -> R59? { return none; }")), ["E0303"; 4]);
    for circle in
        ["record R { a: u64, b: R? }", "record R { a: S } record S { b: R? }", "record R { a: S } record S { b: R }"]
    {
        let text = format!("{circle} traversal t(r: R) -> u64 {{ return 1; }}");
        assert_eq!(codes(&text), ["E0301"], "{text}");
    }
    let chain: String = (0..10_000).map(|i| format!("record C{i} {{ a: C{} }}\n", i + 1)).collect();
    let refused = codes(&(chain + "record C10000 { a: u8 } traversal t(r: C0) -> u64 { return 1; }"));
    assert!(!refused.is_empty() && refused.iter().all(|code| *code == "E0303"), "{refused:?}");
}

/// What executors set aside before a walk begins has a bound, and whoever writes a walk above it is told so.
#[test]
fn areas_that_no_executor_sets_aside() {
    let large = "record Large { a: bytes up to 9000000 }";
    for (text, code) in [
        ("traversal t(a: Large, b: Large) -> u64 { return a.a.len; }", "E0303"),
        ("record Two { a: Large, b: Large } traversal t() -> Two? { return none; }", "E0303"),
        ("traversal t() -> bytes up to 16777216 { return \"\"; }", "E0303"),
    ] {
        assert_eq!(codes(&format!("{large} {text}")), [code], "{text}");
    }
    let calls = "n = n +% f(n); ".repeat(520);
    let text = format!(
        "fn f(x: u64) -> u64 {{ var b: buffer<32768>; b.append(x & 1); b.len }}
        traversal t(a: u64) -> u64 {{ var n: u64 = a; {calls} return n; }}"
    );
    assert_eq!(codes(&text), ["E0603"]);
}

/// What holds by a relation of several values holds for the verifier as well, which goes by claims of one.
#[test]
fn obligations_that_hold_by_relations() {
    for text in [
        "traversal t(a: u32, c: u32) -> u64 { require a + c <= 63 else fail \"no\"; return 0x10000 >> a; }",
        "traversal t(a: u32, c: u32) -> u64 { require a + c <= 63 else fail \"no\"; return 1 << a; }",
        "traversal t(x: u32, a: u32, b: u32) -> u64 { require a < b else fail \"no\"; return x as u64 / (b - a); }",
        "traversal t(x: u32, a: u32, b: u32) -> u64 { require a < b else fail \"no\"; return x as u64 % (b - a); }",
        "struct B(n: u32) size n { x: u8 }
        traversal t(a: u32, c: u32) -> u8 {
            require a + c <= 4096 else fail \"long\";
            require a >= 1 else fail \"empty\";
            let b = read B(a) at 0;
            return b.x;
        }",
    ] {
        compiled(text, |_| None);
    }
}

/// Conditions that never hold, by the numbers in them: nothing behind them runs, and it is compiled all the same.
#[test]
fn conditions_that_never_hold() {
    for text in [
        "struct E { n: varint<leb128>, s: bytes[n] } struct B size 512 { all: seq E to end }
        traversal t(at: u64, key: bytes up to 64) -> u64? {
            let b = read B at at;
            var k: buffer<64>;
            for e in b.all {
                k.append(e.s);
                require k.len >= 65536 else fail \"never\";
                if k[..k.len - 8] >= key { return k.len; }
            }
            return none;
        }",
        "struct S size 64 { a: u16 where a <= 100 && any shift in 65536..=16 where a == 1 << shift }
        traversal t(x: u64) -> u64 { return (read S at x).a; }",
        "struct B(size: u32) size size + 5 { n: u32 where n < 100, let rest = size - 65536 - 4 * n, tail: bytes[rest] }
        traversal t(x: u32) -> u8? { require x in 8..1000 else fail \"no\"; let b = read B(x) at 0; return b.tail[3]; }",
        "traversal t(a: u32) -> u64 { var n = a; loop up to 9 while n > 0 { n -= 9223372036854775807; } return n; }",
        "traversal t(a: u8) -> u8 { var n = a; n = a + 256; return n; }",
        "traversal t(a: u8) -> u64 { let n = a as i64 - 256; let m: u32 = n; return m; }",
    ] {
        compiled(text, |_| None);
    }
}
