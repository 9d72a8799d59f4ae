//! Limits on depth, checked on the tokens before anything recurses.
//!
//! Both parsers below (pest's rules, and the walk over its tree) recurse, as does every later stage over the syntax tree,
//! and so does freeing it. Two counts bound them along the path from a declaration to any token: *nesting* counts what
//! makes pest recurse (brackets, and words such as `if` and `read` that begin a further expression), *length* also what
//! only deepens the tree (operators, `else if`). Both err on the large side.

use super::scan::{Kind, Token};
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};

const NESTING_MAX: u32 = 64;
const LENGTH_MAX: u32 = 512;

#[derive(Clone, Copy, Default)]
struct Depth {
    nesting: u32,
    length: u32,
}

/// The error that a text is nested too deeply, if it is.
pub(super) fn check(file: FileId, text: &str, tokens: &[Token]) -> Option<Diagnostic> {
    let mut outer: Vec<Depth> = Vec::new();
    let mut base = Depth::default();
    let mut here = base;
    let mut before = "";
    for (i, token) in tokens.iter().enumerate() {
        let word = token.text(text);
        match word {
            "(" | "[" | "{" => {
                here.nesting += 1;
                here.length += 1;
                outer.push(base);
                base = here;
            }
            ")" | "]" | "}" => {
                // What stood before the bracket on its level still counts, and the pair as one operator, unless a brace
                // ended it.
                here = Depth { nesting: base.nesting.saturating_sub(1), length: base.length };
                base = outer.pop().unwrap_or_default();
                let next = tokens.get(i + 1).map_or("", |next| next.text(text));
                if word == "}" && !goes_on(next) {
                    here = base;
                }
            }
            "," | ";" | "=>" => here = base,
            "if" if before == "else" => here.length += 1,
            "else" if tokens.get(i + 1).is_some_and(|next| next.text(text) == "if") => here.length += 1,
            "as" => here.length += 1,
            "->" => here.nesting += 1,
            _ if token.kind == Kind::Word && deepens(word) => here.nesting += 1,
            _ if token.kind == Kind::Sign => here.length += 1,
            _ => {}
        }
        if here.nesting > NESTING_MAX || here.length + here.nesting > LENGTH_MAX {
            let span = Span { file, start: token.start as u32, end: token.end as u32 };
            let message = format!("expected at most {NESTING_MAX} levels and {LENGTH_MAX} operators, found more");
            let error = Diagnostic::error("E0104", span, message, "nested too deeply");
            return Some(error.help("give a part of it a name: `let part = …;`"));
        }
        before = word;
    }
    None
}

/// Whether the token behind a `}` goes on with the expression or statement that the brace is part of.
pub(in crate::syntax) fn goes_on(next: &str) -> bool {
    next == "else" || next == "as" || next.starts_with(|c: char| !c.is_ascii_alphanumeric() && !"_@}/\"'".contains(c))
}

/// The words before a further expression or type.
fn deepens(word: &str) -> bool {
    matches!(
        word,
        "else"
            | "if"
            | "match"
            | "read"
            | "view"
            | "follow"
            | "in"
            | "of"
            | "where"
            | "at"
            | "from"
            | "seq"
            | "stream"
            | "with"
    )
}
