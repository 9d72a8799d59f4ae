//! The parser: that it takes what the language has, groups as the grammar says, and survives everything.

use trav_compiler::source::FileId;
use trav_compiler::syntax::parse;

/// The files of `tests/golden/parse`, by name.
fn golden() -> Vec<(String, String)> {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/parse");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the golden files are part of the repository")
        .map(|entry| entry.expect("the directory can be listed").path())
        .map(|path| {
            (
                path.file_stem().unwrap().to_string_lossy().into_owned(),
                std::fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    files.sort();
    assert!(files.len() >= 6, "golden files are missing: {files:?}");
    files
}

#[test]
fn golden_files_parse() {
    for (name, text) in golden() {
        let (module, errors) = parse(FileId(0), &text);
        for error in &errors {
            let at = error.label.span.start as usize;
            eprintln!("{name} {}: {error:?}", text[..at].matches('\n').count() + 1);
        }
        assert!(errors.is_empty(), "{name} has errors");
        assert!(!module.items.is_empty(), "{name} is empty");
    }
}
