//! Inputs that nobody means: noise, depth, length, and golden files with damage.

use std::time::{Duration, Instant};

use trav_compiler::source::FileId;
use trav_compiler::syntax::{format, parse};

use super::golden;
use crate::fuzz::Random;

/// Parses, and checks that the diagnostics point into the text.
fn survives(text: &str) -> Vec<&'static str> {
    let started = Instant::now();
    let (_, errors) = parse(FileId(0), text);
    let spent = started.elapsed();
    let start = &text[..text.floor_char_boundary(80)];
    assert!(spent < Duration::from_secs(20), "{spent:?} for {} bytes of {start:?}", text.len());
    for error in &errors {
        let span = error.label.span;
        assert!(span.start <= span.end && span.end as usize <= text.len(), "{error:?} in {start:?}");
        assert!(text.is_char_boundary(span.start as usize) && text.is_char_boundary(span.end as usize));
    }
    errors.iter().map(|error| error.code).collect()
}

#[test]
fn long_noise_is_refused_at_once() {
    let mut random = Random(1);
    let noise: String = (0..10 << 20).map(|_| (random.below(95) as u8 + 32) as char).collect();
    let started = Instant::now();
    let (_, errors) = parse(FileId(0), &noise);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].code, "E0105");
    let short = &noise[..100_000];
    assert!(!survives(short).is_empty());
}

#[test]
fn depth_is_refused_before_the_stack_ends() {
    let deep = 100_000;
    for (before, open, inner, close, after) in [
        ("const X = ", "(", "1", ")", ";"),
        ("const X = ", "[", "1", "]", ";"),
        ("const X = ", "{", "1", "}", ";"),
        ("const X = ", "!", "a", "", ";"),
        ("const X = ", "- ", "a", "", ";"),
        ("const X = ", "a + ", "a", "", ";"),
        ("const X = ", "a && ", "a", "", ";"),
        ("const X = ", "a.", "a", "", ";"),
        ("const X = a", "()", "", "", ";"),
        ("const X = a", "[0]", "", "", ";"),
        ("const X = a", " as u8", "", "", ";"),
        ("const X = ", "a else ", "a", "", ";"),
        ("const X = ", "follow ", "a", "", ";"),
        ("const X = ", "read u8 at ", "a", "", ";"),
        ("const X = ", "view A at ", "a", " in b", ";"),
        ("const X = ", "any i in ", "a", "", ";"),
        ("const X = ", "if ", "a", " {}", ";"),
        ("const X = ", "match ", "a", " {}", ";"),
        ("const X: ", "[", "u8", "; 1]", " = 1;"),
        ("const X: ", "stream ", "u8", "", " = 1;"),
        ("const X: ", "seq ", "u8", " to end", " = 1;"),
        ("fn f() -> u8 { ", "if a { ", "", "}", "}"),
        ("fn f() -> u8 { ", "if a { } else ", "{ }", "", "}"),
        ("fn f() -> u8 { ", "loop up to 3 { ", "", "}", "}"),
        ("", "{", "", "", ""),
        ("struct A { b: ", "match c { d => ", "u8", "}", "}"),
    ] {
        let text = format!("{before}{}{inner}{}{after}", open.repeat(deep), close.repeat(deep));
        if text.len() < 1 << 20 {
            assert_eq!(survives(&text), ["E0104"], "{before}{open}{open}{inner}{close}{close}{after}");
        }
        // What just passes the limit must not exhaust the stack (2 MiB here), and neither must what is cut off in it.
        for deep in [20, 60, 61, 62, 63, 64, 250, 500] {
            let whole = format!("{before}{}{inner}{}{after}", open.repeat(deep), close.repeat(deep));
            let codes = survives(&whole);
            assert!(deep > 20 || codes.is_empty() || before.is_empty(), "{whole}: {codes:?}");
            survives(&format!("{before}{}", open.repeat(deep)));
            survives(&format!("{before}{}?", open.repeat(deep)));
        }
    }
}

#[test]
fn width_is_no_depth() {
    let elements = "1 + 2, ".repeat(20_000);
    assert!(survives(&format!("const X = [{elements}];")).is_empty());
    let statements = "if a == b { c(d); } else { x = -1; } ".repeat(5_000);
    assert!(survives(&format!("fn f() -> u8 {{ {statements} 3 }}")).is_empty());
    let items = "struct A { b: u8, bits u8 { c: 8 } d: match b { 1 => u8, else => u16 } }\n".repeat(5_000);
    assert!(survives(&items).is_empty());
}

#[test]
fn files_cut_anywhere() {
    // Each cut costs a parse or two, which without optimisation takes milliseconds: there every 17th must do.
    let step = if cfg!(debug_assertions) { 17 } else { 1 };
    for (_, text) in golden() {
        for end in (0..text.len()).step_by(step).filter(|end| text.is_char_boundary(*end)) {
            survives(&text[..end]);
        }
    }
}

#[test]
fn files_with_random_damage() {
    let files = golden();
    let mut random = Random(7);
    let started = Instant::now();
    let (mut good, mut bad) = (0u32, 0u32);
    while started.elapsed() < Duration::from_secs(1) {
        let (_, text) = &files[random.below(files.len())];
        let mut bytes = text.clone().into_bytes();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() - 1);
            let from = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] = bytes[from],
                2 => drop(bytes.drain(at..(at + random.below(40)).min(bytes.len()))),
                _ => {
                    let part = bytes[from..(from + random.below(40)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, part);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match survives(&text).is_empty() {
            true => {
                let once = format(&text).expect("a text without errors can be formatted");
                assert_eq!(format(&once).as_ref(), Ok(&once), "formatting twice differs for\n{text}");
                good += 1;
            }
            false => bad += 1,
        }
    }
    assert!(good > 0 && bad > 0, "{good} without and {bad} with errors");
}
