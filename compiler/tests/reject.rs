//! Specs that are refused: each file's diagnostics, with what is known and what would help.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;
use std::path::PathBuf;
use trav_compiler::diag::{Diagnostic, Fix};
use trav_compiler::source::SourceMap;
use trav_compiler::{Loader, compile};

/// No modules of the user's own.
pub struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// Modules without end: `use chain.m0;` uses `chain.m1`, which uses `chain.m2`.
pub struct Chain;

impl Loader for Chain {
    fn load(&self, path: &[&str]) -> Option<(String, String)> {
        let ["chain", name] = path else { return None };
        let n: u32 = name.strip_prefix('m')?.parse().ok()?;
        Some((format!("chain/m{n}.trav"), format!("use chain.m{};\n", n + 1)))
    }
}

/// The golden files of one family.
pub fn golden(family: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden")).join(family);
    let entries = std::fs::read_dir(&folder).expect("the golden files are in the repository");
    let mut files: Vec<PathBuf> = entries
        .map(|e| e.expect("a readable folder").path())
        .filter(|p| p.extension().is_some_and(|e| e == "trav"))
        .collect();
    files.sort();
    files
}

/// A diagnostic as plain text.
pub fn render(d: &Diagnostic, sources: &SourceMap) -> String {
    let mut out = String::new();
    let place = |span| {
        let p = sources.place(span);
        format!("{}:{}:{}", p.file, p.line, p.column)
    };
    let _ = writeln!(out, "{} {}", d.code, d.message);
    let _ = writeln!(out, "  at {} `{}`: {}", place(d.label.span), sources.text(d.label.span), d.label.text);
    for o in &d.others {
        let _ = writeln!(out, "  see {} `{}`: {}", place(o.span), sources.text(o.span), o.text);
    }
    for n in &d.notes {
        let _ = writeln!(out, "  known: {n}");
    }
    if let Some(h) = &d.help {
        // The list grows with the library, and says nothing about the diagnostic.
        let h = h
            .split_once("the standard modules are")
            .map_or(h.clone(), |(before, _)| format!("{before}the standard modules are …"));
        let _ = writeln!(out, "  help: {h}");
    }
    out
}

/// Every file is refused, by the code in its name, and says what it said before.
#[test]
fn refused_files_explain_themselves() {
    for path in golden("reject") {
        let stem = path.file_stem().expect("a file").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        // A file that is too long is made so here.
        let length =
            text.lines().find_map(|l| l.strip_prefix("//! padded to ")).map_or(0, |n| n.parse().expect("bytes"));
        let padding = " ".repeat(text.len().max(length) - text.len());
        let c = compile(&format!("{stem}.trav"), &(text.clone() + &padding), &Chain);
        let code = stem.split('_').next().expect("a name");
        assert!(c.diagnostics.iter().any(|d| d.code == code), "{stem}: expected {code}, found {:?}", c.diagnostics);
        assert!(c.traversals.is_empty(), "{stem}: nothing of a refused file runs");
        let all: Vec<String> = c.diagnostics.iter().map(|d| render(d, &c.sources)).collect();
        insta::with_settings!({ description => text, omit_expression => true, snapshot_path => "snapshots/reject" }, {
            insta::assert_snapshot!(stem, all.join("\n"));
        });
    }
}

/// The text with what is offered, and where; none for a line before one on which a body begins, so that there is no line before.
fn mended(text: &str, fix: &Fix) -> Option<(String, Range<usize>)> {
    let (at, words) = match fix {
        Fix::Words(behind, words) => (behind.end as usize, words.clone()),
        Fix::Line(before, line) => {
            let (start, before) =
                (text[..before.start as usize].rfind('\n').map_or(0, |i| i + 1), before.start as usize);
            if text[start..before].contains('{') {
                return None;
            }
            (start, format!("{line}\n"))
        }
    };
    Some((format!("{}{words}{}", &text[..at], &text[at..]), at..at + words.len()))
}

/// What an error offers to be pasted takes the error away, and is none itself.
#[test]
fn what_is_offered_settles_it() {
    let mut tried: BTreeMap<&str, usize> = BTreeMap::new();
    for path in golden("reject") {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let name = path.display().to_string();
        let before = compile(&name, &text, &NoModules).diagnostics;
        for d in &before {
            let Some(fix) = &d.fix else { continue };
            let Some((mended, new)) = mended(&text, fix) else { continue };
            let after = compile(&name, &mended, &NoModules).diagnostics;
            let moved = |n: u32| n as usize + if n as usize >= new.start { new.len() } else { 0 };
            let same = |e: &&Diagnostic| e.code == d.code && e.label.span.start as usize == moved(d.label.span.start);
            assert!(after.iter().find(same).is_none(), "{name}: {fix:?} does not settle {}:\n{after:#?}", d.message);
            assert!(after.len() < before.len(), "{name}: {fix:?} is an error itself:\n{after:#?}");
            *tried.entry(d.code).or_default() += 1;
        }
    }
    let codes: Vec<&str> = tried.keys().copied().collect();
    assert_eq!(codes, ["E0501", "E0502", "E0503", "E0504", "E0601", "E0602"], "{tried:?}");
}
