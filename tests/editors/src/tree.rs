//! tree-sitter: a parser is generated from the grammar's script, compiled and loaded.

use crate::Piece;
use libloading::Library;
use std::path::Path;
use std::process::Command;
use tree_sitter::ffi::TSLanguage;
use tree_sitter::{Language, Parser, Query, QueryCursor, StreamingIterator, Tree};
use tree_sitter_generate::{OptLevel, PARSER_HEADER, generate_parser_for_grammar, load_grammar_file};

/// The grammar and its query for colours.
pub struct Grammar {
    parser: Parser,
    highlights: Query,
    // Last, so that it is unloaded last: the others point into it.
    _library: Library,
}

impl Grammar {
    /// Generates, compiles and loads the parser of a folder with `grammar.js` and `queries/highlights.scm`. What is
    /// generated is kept in `kept`, and used again while the grammar is the same: it takes a while.
    pub fn load(folder: &Path, kept: &Path) -> Result<Self, String> {
        let grammar = load_grammar_file(&folder.join("grammar.js"), None).map_err(|e| format!("grammar.js: {e}"))?;
        let object = kept.join("parser.so");
        let made_of = kept.join("grammar.json");
        if std::fs::read_to_string(&made_of).ok().as_ref() != Some(&grammar) {
            let _ = std::fs::remove_file(&made_of);
            let mut remarks = Vec::new();
            let (_, code) = generate_parser_for_grammar(&grammar, Some((0, 1, 0)), OptLevel::default(), &mut remarks)
                .map_err(|e| format!("grammar.js: {e}"))?;
            if let Some(remark) = remarks.first() {
                return Err(format!("grammar.js: {remark}"));
            }
            compile(&code, kept, &object)?;
            std::fs::write(&made_of, &grammar).map_err(|e| format!("cannot write {}: {e}", made_of.display()))?;
        }
        // SAFETY: loading runs no code of this library: it has tables and functions only.
        let library = unsafe { Library::new(&object) }.map_err(|e| format!("cannot load the parser: {e}"))?;
        // SAFETY: the library was generated and compiled just now; such a parser has this one function, without
        // parameters, which gives a language that lives as long as the library.
        let language: Language = unsafe {
            let function = library.get::<unsafe extern "C" fn() -> *const TSLanguage>(b"tree_sitter_trav");
            Language::from_raw(function.map_err(|e| format!("the grammar is not named trav: {e}"))?())
        };
        let mut parser = Parser::new();
        parser.set_language(&language).map_err(|e| format!("the parser is not one for this library: {e}"))?;
        let file = folder.join("queries/highlights.scm");
        let query = std::fs::read_to_string(&file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
        let highlights = Query::new(&language, &query).map_err(|e| format!("highlights.scm: {e}"))?;
        Ok(Grammar { parser, highlights, _library: library })
    }

    /// What could not be placed in a text, with its line, and what is coloured.
    pub fn parse(&mut self, text: &str) -> Result<(Vec<String>, Vec<Piece>), String> {
        let tree = self.parser.parse(text, None).ok_or("the parser gave up")?;
        let mut cursor = QueryCursor::new();
        let names = self.highlights.capture_names();
        let mut pieces = Vec::new();
        let mut found = cursor.captures(&self.highlights, tree.root_node(), text.as_bytes());
        while let Some((found, at)) = found.next() {
            let capture = found.captures()[*at];
            let range = capture.node.byte_range();
            pieces.push((range.start, range.end, names[capture.index as usize].to_owned()));
        }
        Ok((errors(&tree), pieces))
    }
}

/// Compiles a parser.
fn compile(code: &str, folder: &Path, object: &Path) -> Result<(), String> {
    let include = folder.join("tree_sitter");
    let source = folder.join("parser.c");
    let written = std::fs::create_dir_all(&include)
        .and_then(|()| std::fs::write(include.join("parser.h"), PARSER_HEADER))
        .and_then(|()| std::fs::write(&source, code));
    written.map_err(|e| format!("cannot write the parser: {e}"))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O0", "-I"]).args([folder, &source]).arg("-o").arg(object);
    let compiled = compiler.output().map_err(|e| format!("cannot run cc: {e}"))?;
    if !compiled.status.success() {
        return Err(format!("the parser does not compile: {}", String::from_utf8_lossy(&compiled.stderr)));
    }
    Ok(())
}

/// The nodes of a tree that are errors or are missing from the text: line, column, what.
fn errors(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = vec![tree.root_node()];
    while let Some(node) = rest.pop() {
        let place = node.start_position();
        if node.is_error() || node.is_missing() {
            let what = if node.is_missing() { "MISSING " } else { "" };
            found.push(format!("{}:{}: {what}{}", place.row + 1, place.column + 1, node.kind()));
        }
        if node.has_error() {
            rest.extend(node.children(&mut node.walk()));
        }
    }
    found
}
