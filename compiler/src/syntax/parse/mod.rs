//! The parser: source text → syntax tree and the syntax errors.
//!
//! The grammar is `grammar/trav.pest`; pest's types stay within this directory. A text without errors is parsed in one go
//! (`tree.rs` and its siblings); a text with errors is cut into pieces which are parsed one by one (`recover.rs`).
//! Guarantees: any text ends in a tree and diagnostics, in time linear in its length and within the stack that
//! `limits.rs` allows.

mod cut;
mod exprs;
mod limits;
mod literals;
mod message;
mod parts;
mod recover;
pub(super) mod scan;
mod stmts;
mod suspects;
mod tree;
mod types;

use pest::Parser;
use pest::iterators::Pair;
use pest_derive::Parser;

pub(super) use limits::goes_on;
pub use parts::{Parts, Words};
pub use suspects::Suspects;

use super::ast::Module;
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};
use cut::Cut;
use scan::{Kind, Token};
use std::ops::Range;
use tree::Builder;

#[derive(Parser)]
#[grammar = "../../grammar/trav.pest"]
struct Grammar;

/// The greatest length of a file, in bytes. Offsets of spans have 32 bits, and a file this long is no spec.
const LENGTH_MAX: usize = 1 << 20;

/// The words that are never names, as in the grammar.
const RESERVED: [&str; 31] = [
    "as",
    "assert",
    "break",
    "const",
    "continue",
    "else",
    "emit",
    "enum",
    "fail",
    "false",
    "fn",
    "follow",
    "for",
    "if",
    "in",
    "let",
    "loop",
    "match",
    "none",
    "read",
    "record",
    "require",
    "return",
    "self",
    "struct",
    "traversal",
    "true",
    "use",
    "var",
    "where",
    "while",
];

/// Whether a word is never a name.
pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word).is_ok()
}

/// The names of all rules of the grammar.
pub fn rules() -> Vec<String> {
    Rule::all_rules().iter().map(|rule| format!("{rule:?}").trim_start_matches("r#").to_owned()).collect()
}

/// The nodes of the parse of a text, each with its rule's name and the bytes that it spans, outer before inner and in the
/// text's order; none for a text with errors. Comments and blanks have none.
pub fn nodes_in(text: &str) -> Option<Vec<(String, Range<usize>)>> {
    let cut = Cut::of(FileId(0), text, marks(text).iter());
    let nodes = Grammar::parse(Rule::module, &cut.text).ok()?.flatten();
    let name = |rule: Rule| format!("{rule:?}").trim_start_matches("r#").to_owned();
    let place = |node: &Pair<'_, Rule>| {
        let span = cut.span(node.as_span().start(), node.as_span().end());
        span.start as usize..span.end as usize
    };
    Some(nodes.map(|node| (name(node.as_rule()), place(&node))).collect())
}

/// Parses a file. The module holds what could be parsed, which is everything if there is no diagnostic.
pub fn parse(file: FileId, text: &str) -> (Module, Vec<Diagnostic>) {
    let empty = Module { file, doc: String::new(), uses: Vec::new(), items: Vec::new() };
    if text.len() > LENGTH_MAX {
        let message = format!("expected a file of at most {LENGTH_MAX} bytes, found {}", text.len());
        let error = Diagnostic::error("E0105", Span { file, start: 0, end: 0 }, message, "in this file");
        return (empty, vec![error]);
    }
    let marks = marks(text);
    if let Some(error) = limits::check(file, text, &marks) {
        return (empty, vec![error]);
    }
    if marks.iter().any(|token| token.is_faulty()) {
        return recover::recover(empty, text, &marks, None);
    }
    let cut = Cut::of(file, text, marks.iter());
    match Grammar::parse(Rule::module, &cut.text) {
        Ok(mut nodes) => {
            let builder = Builder::new(&cut);
            let module = builder.module(nodes.next().expect("a parse has one root"));
            (module, builder.finish())
        }
        Err(error) => recover::recover(empty, text, &marks, Some((&cut, &error))),
    }
}

/// The tokens of a text without comments.
fn marks(text: &str) -> Vec<Token> {
    scan::scan(text).into_iter().filter(|token| token.kind != Kind::Comment).collect()
}
