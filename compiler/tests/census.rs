//! Every rule of the grammar, every operation of the IR and every error code has a golden file: the rules and operations in
//! `tests/golden/run`, whose files are executed, the codes in `tests/golden/reject`. What is new and has none fails here.

use crate::reject::{Chain, NoModules, golden};
use std::collections::BTreeSet;
use std::ops::Range;
use trav_compiler::ir::{Op, Terminator};
use trav_compiler::syntax::{nodes_in, rules};
use trav_compiler::{compile, compile_tests, texts};

/// What no golden file can have, and why.
const EXCEPTIONS: [(&str, &str); 3] = [
    ("E0310", "says that the compiler itself is wrong"),
    ("E0505", "said only where `trav check --deny-checks` asks for it; `cli/tests/check.rs` has it"),
    ("Prove", "the prover takes every obligation out; `compiler/tests/ir` has it"),
];

/// What no diagnostic but that of a syntax error points into, and why.
const NOT_REFUSED: [(&[&str], &str); 4] = [
    (
        &["order", "sorted", "to_end", "wrapping", "sized_word"],
        "words: what they are said of is refused, or nothing is",
    ),
    (&["test_decl", "record_member"], "a label is on a statement or a field in it"),
    (&["fail_jump"], "a text, which may say anything"),
    (&["doc"], "for people"),
];

fn text_of(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).expect("a readable file")
}

fn excepted(name: &str) -> bool {
    EXCEPTIONS.iter().any(|(what, _)| *what == name)
}

#[test]
fn every_rule_is_executed() {
    let mut seen = BTreeSet::new();
    for path in golden("run") {
        let nodes = nodes_in(&text_of(&path)).unwrap_or_else(|| panic!("{} does not parse", path.display()));
        seen.extend(nodes.into_iter().map(|(rule, _)| rule));
    }
    let missing: Vec<_> = all_rules().into_iter().filter(|r| !seen.contains(r) && !excepted(r)).collect();
    assert!(missing.is_empty(), "rules without a golden file in tests/golden/run: {missing:?}");
}

/// Names that are no words of the grammar: types, methods, folds (language text, sections 2 and 3).
const BUILT_IN: [&str; 45] = [
    "u8",
    "u16",
    "u24",
    "u32",
    "u40",
    "u48",
    "u56",
    "u64",
    "i8",
    "i16",
    "i24",
    "i32",
    "i40",
    "i48",
    "i56",
    "i64",
    "bool",
    "uuid",
    "time32",
    "time64",
    "mode16",
    "size32",
    "size64",
    "leb128",
    "zigzag",
    "sqlite",
    "vlq",
    "first",
    "last",
    "any",
    "all",
    "count",
    "sum",
    "min",
    "max",
    "append",
    "truncate",
    "clear",
    "starts_with",
    "split",
    "len",
    "offset",
    "self",
    "end",
    "sorted",
];

#[test]
fn every_built_in_name_is_executed() {
    let mut seen = BTreeSet::new();
    for path in golden("run") {
        let text = text_of(&path);
        let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
        for word in code.flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')) {
            // `u32be` is `u32` in another order.
            seen.extend([word, word.trim_end_matches("be").trim_end_matches("le")].map(str::to_string));
        }
    }
    let missing: Vec<_> = BUILT_IN.into_iter().filter(|name| !seen.contains(*name)).collect();
    assert!(missing.is_empty(), "names without a golden file in tests/golden/run: {missing:?}");
}

/// The rules that make a node.
fn all_rules() -> Vec<String> {
    // The rules that make no node are parts of others; behind the entry points of recovery there are only marks.
    let grammar = include_str!("../../grammar/trav.pest").split("// ---- Entry points").next().expect("a first part");
    let makes_node = |rule: &String| {
        let line = grammar.lines().find_map(|l| l.strip_prefix(rule.as_str())?.trim_start().strip_prefix("= "));
        line.is_some_and(|right| !right.starts_with('_'))
    };
    let all: Vec<String> = rules().into_iter().filter(makes_node).collect();
    assert!(all.len() > 100, "{all:?}");
    all
}

/// What a diagnostic can point at without pointing into a part of it: the innermost of these around a label ends the search for rules.
const WHOLES: [&str; 22] = [
    "use_decl",
    "const_decl",
    "enum_item",
    "source_decl",
    "param",
    "field_member",
    "let_member",
    "align_member",
    "where_member",
    "bit_field",
    "bits_member",
    "record_field",
    "let_stmt",
    "var_stmt",
    "for_stmt",
    "loop_stmt",
    "jump_stmt",
    "require_stmt",
    "emit_stmt",
    "assert_stmt",
    "block_stmt",
    "expr_stmt",
];

/// Each rule has a refused file with a label on the construct, on a part of it within one statement or member, or right beside it, as an
/// operator is beside its operand.
#[test]
fn every_rule_is_refused() {
    let mut seen = BTreeSet::new();
    for path in golden("reject") {
        let text = text_of(&path);
        let Some(nodes) = nodes_in(&text) else { continue };
        let found = compile("golden.trav", &text, &Chain);
        let own =
            found.diagnostics.iter().map(|d| d.label.span).filter(|s| found.sources.file(s.file).name == "golden.trav");
        for label in own {
            let (start, end) = (label.start as usize, label.end as usize);
            let blank = |from: usize, to: usize| text[from..to].trim().is_empty();
            let beside =
                |at: &Range<usize>| at.end <= start && blank(at.end, start) || end <= at.start && blank(end, at.start);
            let covered = |at: &Range<usize>| start <= at.start && at.end <= end;
            seen.extend(nodes.iter().filter(|(_, at)| covered(at) || beside(at)).map(|(rule, _)| rule.clone()));
            for (rule, _) in nodes.iter().rev().filter(|(_, at)| at.start <= start && end <= at.end) {
                seen.insert(rule.clone());
                if WHOLES.contains(&rule.as_str()) {
                    break;
                }
            }
        }
    }
    let refusable = |r: &String| !NOT_REFUSED.iter().any(|(rules, _)| rules.contains(&r.as_str()));
    let missing: Vec<_> = all_rules().into_iter().filter(|r| !seen.contains(r) && refusable(r)).collect();
    assert!(missing.is_empty(), "rules without a label in a file of tests/golden/reject: {missing:?}");
    let needless: Vec<_> = NOT_REFUSED.iter().flat_map(|(rules, _)| *rules).filter(|r| seen.contains(**r)).collect();
    assert!(needless.is_empty(), "rules that are refused after all: {needless:?}");
}

/// The variants of an enum of the IR, from its source: a new one is seen without being listed anywhere.
fn variants(name: &str) -> BTreeSet<String> {
    let source = include_str!("../src/ir/mod.rs");
    let body = source.split(&format!("pub enum {name} {{\n")).nth(1).expect("the enum is declared there");
    let body = body.split("\n}\n").next().expect("it ends");
    let starts = body.lines().filter_map(|l| l.strip_prefix("    ")).filter(|l| l.starts_with(char::is_uppercase));
    starts.map(|l| l.chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
}

/// The name of a variant, from how it is shown.
fn variant(value: &dyn std::fmt::Debug) -> String {
    format!("{value:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
}

#[test]
fn every_operation_is_executed() {
    let mut seen = BTreeSet::new();
    for path in golden("run") {
        for test in compile_tests("golden.trav", &text_of(&path), &NoModules, trav_compiler::Effort::Many).tests {
            for block in &test.walk.blocks {
                seen.insert(variant(&block.term as &Terminator));
                for inst in &block.insts {
                    seen.insert(variant(&inst.op as &Op));
                    if let Op::Binary { op, mode, .. } = &inst.op {
                        seen.extend([variant(op), variant(mode)]);
                    }
                    if let Op::Compare { op, .. } = &inst.op {
                        seen.insert(variant(op));
                    }
                }
            }
        }
    }
    // The functions in the IR's own text are executed too, with arguments (`runtime/tests/interp.rs`).
    for (name, text) in crate::ir::golden() {
        let f = trav_compiler::ir::parse::parse(&text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        for block in &f.blocks {
            seen.insert(variant(&block.term as &Terminator));
            seen.extend(block.insts.iter().map(|i| variant(&i.op)));
        }
    }
    let all: Vec<String> = ["Op", "Terminator", "BinOp", "CmpOp", "Mode"].into_iter().flat_map(variants).collect();
    assert!(all.len() > 30, "{all:?}");
    let missing: Vec<_> = all.iter().filter(|o| !seen.contains(*o) && !excepted(o)).collect();
    assert!(missing.is_empty(), "operations without a golden file in tests/golden/run: {missing:?}");
}

/// Each code with a page is one that the compiler gives, and the other way round, and each has a refused file.
#[test]
fn every_code_is_refused() {
    let pages: BTreeSet<String> = texts::error_codes().map(String::from).collect();
    let mut given = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the sources are there") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = text_of(&path);
                let quoted = text.split('"').filter(|w| w.len() == 5 && w.starts_with("E0"));
                given.extend(quoted.filter(|w| w[1..].bytes().all(|b| b.is_ascii_digit())).map(String::from));
            }
        }
    }
    assert_eq!(given, pages, "codes in the source, and pages in the book");
    let files: BTreeSet<String> =
        golden("reject").iter().filter_map(|p| Some(p.file_stem()?.to_str()?.split('_').next()?.to_owned())).collect();
    let missing: Vec<_> = pages.iter().filter(|c| !files.contains(*c) && !excepted(c)).collect();
    assert!(missing.is_empty(), "codes without a golden file in tests/golden/reject: {missing:?}");
}
