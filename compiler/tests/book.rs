//! The book is tested text: its programs compile or are refused as it says, and the error index is complete.
//!
//! A block ```` ```trav ```` is a whole module that compiles; ```` ```trav,E0501 ```` is one that is refused with that code.

use crate::reject::{NoModules, render};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use trav_compiler::compile;
use trav_compiler::texts::{error_codes, error_page};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files below a folder with an extension, in order.
fn files(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|e| e == extension) {
            found.push(path);
        }
    }
}

/// A fenced block: its line, what stands behind the fence, its text.
fn blocks(text: &str) -> Vec<(usize, &str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((line, text)) = lines.next() {
        let Some(kind) = text.strip_prefix("```") else { continue };
        let body = lines.by_ref().map(|(_, text)| text).take_while(|text| *text != "```");
        blocks.push((line + 1, kind, body.map(|text| format!("{text}\n")).collect()));
    }
    blocks
}

/// The pages of the book, the front page first.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec![root().join("README.md")];
    files(&root().join("book/src"), "md", &mut pages);
    pages
}

/// The programs of the book, right or wrong, each with its page and line.
pub fn programs() -> Vec<(String, String)> {
    let mut programs = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        let written = blocks(&text).into_iter().filter(|(_, kind, _)| *kind == "trav" || kind.starts_with("trav,"));
        programs.extend(
            written.map(|(line, _, program)| (format!("{}:{line}", page.file_name().unwrap().display()), program)),
        );
    }
    programs
}

#[test]
fn programs_of_the_book_do_what_it_says() {
    let mut programs = 0;
    let mut wrong = Vec::new();
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for (line, kind, program) in blocks(&text) {
            let expected = match kind.split_once(',') {
                None if kind == "trav" => None,
                Some(("trav", code)) => Some(code),
                _ => continue,
            };
            programs += 1;
            let name = format!("{}:{line}", page.file_name().unwrap().display());
            let compiled = compile(&name, &program, &NoModules);
            let all: Vec<String> = compiled.diagnostics.iter().map(|d| render(d, &compiled.sources)).collect();
            let good = match expected {
                None => all.is_empty(),
                Some(code) => !all.is_empty() && compiled.diagnostics.iter().all(|d| d.code == code),
            };
            if !good {
                wrong.push(format!("{name}: expected {}, found:\n{}", expected.unwrap_or("no error"), all.join("\n")));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(programs > 60, "found only {programs}");
}

#[test]
fn every_error_has_its_page_and_every_page_its_error() {
    let mut used = BTreeSet::new();
    for package in ["compiler", "runtime", "cli"] {
        let mut sources = Vec::new();
        files(&root().join(package).join("src"), "rs", &mut sources);
        for source in sources {
            let text = std::fs::read_to_string(source).unwrap();
            let quoted = text.split("\"E0").skip(1).filter(|rest| rest.as_bytes().get(3) == Some(&b'"'));
            used.extend(quoted.map(|rest| format!("E0{}", &rest[..3])));
        }
    }
    let pages: BTreeSet<String> = error_codes().map(String::from).collect();
    assert_eq!(used, pages);

    let summary = std::fs::read_to_string(root().join("book/src/SUMMARY.md")).unwrap();
    let index = std::fs::read_to_string(root().join("book/src/errors.md")).unwrap();
    for code in pages {
        let page = error_page(&code).unwrap();
        assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        for text in [&summary, &index] {
            assert!(text.contains(&format!("(errors/{code}.md)")), "{code} is not listed");
        }
        for (line, kind, _) in blocks(page) {
            let other = kind.strip_prefix("trav,").is_some_and(|shown| shown != code);
            assert!(!other, "{code}.md:{line} shows another error");
        }
    }
}
