//! The parser: that it takes what the language has, groups as the grammar says, and survives everything.

mod colours;
mod editors;
mod format;
mod hostile;
mod precedence;
mod recovery;

use trav_compiler::diag::Diagnostic;
use trav_compiler::source::{FileId, SourceMap};
use trav_compiler::syntax::ast::Module;
use trav_compiler::syntax::parse;

/// The files of `tests/golden/parse`, by name.
fn golden() -> Vec<(String, String)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/parse");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the golden files are part of the repository")
        .map(|entry| entry.expect("the directory can be listed").path())
        .map(|path| {
            let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).expect("a golden file is text"))
        })
        .collect();
    files.sort();
    assert!(files.len() >= 6, "golden files are missing: {files:?}");
    files
}

/// Diagnostics as lines of text: `2:5-8 E0101 message | label | help`.
fn shown(text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut sources = SourceMap::new();
    sources.add("test.trav", text);
    let mut shown = String::new();
    for found in diagnostics {
        let place = sources.place(found.label.span);
        let end = place.column + (found.label.span.end - found.label.span.start);
        shown += &format!("{}:{}-{} {} {}", place.line, place.column, end, found.code, found.message);
        shown += &format!(" | {}", found.label.text);
        for other in &found.others {
            let place = sources.place(other.span);
            shown += &format!(" | {}:{} {}", place.line, place.column, other.text);
        }
        if let Some(help) = &found.help {
            shown += &format!(" | help: {help}");
        }
        shown.push('\n');
    }
    shown
}

/// The tree of a text without errors.
fn parsed(text: &str) -> Module {
    let (module, errors) = parse(FileId(0), text);
    assert!(errors.is_empty(), "{text}\n{}", shown(text, &errors));
    module
}

#[test]
fn golden_files_parse() {
    for (name, text) in golden() {
        assert!(!parsed(&text).items.is_empty(), "{name} is empty");
    }
}

/// Spans neither begin nor end in blanks or comments, and cover what they name.
#[test]
fn spans_cover_their_nodes() {
    use trav_compiler::syntax::ast::{Item, StmtKind};
    let text = "  /// Doc.\n  fn f ( a : u8 ) -> u8 { // one\n let x = a + ( 1 ) /* */ ; a }  // two\n";
    let text = text.replace("/* */", "// three\n");
    let module = parsed(&text);
    let Item::Fn(found) = &module.items[0] else { panic!("not a fn") };
    let cut = |span: trav_compiler::source::Span| &text[span.start as usize..span.end as usize];
    assert_eq!(found.doc, "Doc.");
    assert!(cut(found.span).starts_with("fn f") && cut(found.span).ends_with("a }"));
    let StmtKind::Let(name, None, value) = &found.body.stmts[0].kind else { panic!("not a let") };
    assert_eq!((cut(name.span), cut(value.span)), ("x", "a + ( 1 )"));
    assert_eq!(cut(found.body.stmts[0].span), "let x = a + ( 1 ) // three\n ;");
    assert_eq!(cut(found.body.value.as_ref().expect("a value").span), "a");
}
