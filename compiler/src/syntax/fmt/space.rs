//! Where a blank stands between two tokens of a line, and what a bracket is the bracket of.

use crate::syntax::parse::is_reserved;
use crate::syntax::parse::scan::{Kind, Token};

/// What a bracket holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Declarations: the file itself.
    File,
    /// Statements.
    Block,
    /// Members, items or fields, with commas.
    List,
    /// The arms of a `match`.
    Arms,
    /// The names of a `use`, set without inner blanks.
    Names,
    /// Parameters, arguments, an expression.
    Parens,
    /// Elements, an index.
    Square,
}

/// What the formatter knows of each token besides its text.
pub(super) struct Roles {
    /// For a bracket: its partner. Otherwise the token itself.
    pub partner: Vec<usize>,
    /// For a bracket: what it holds.
    pub holds: Vec<Holds>,
    /// Whether a word has a meaning in the grammar here. A guess where a name and such a word look alike: it only
    /// decides on blanks.
    keyword: Vec<bool>,
    /// `<` and `>` of a type such as `bytes<4>`.
    angle: Vec<bool>,
    /// A sign before its operand.
    prefix: Vec<bool>,
}

/// Finds the roles of all tokens. Those of comments are never asked for.
pub(super) fn roles(text: &str, tokens: &[Token]) -> Roles {
    let count = tokens.len();
    let mut roles = Roles {
        partner: (0..count).collect(),
        holds: vec![Holds::Block; count],
        keyword: vec![false; count],
        angle: vec![false; count],
        prefix: vec![false; count],
    };
    // For each open bracket: its index, and the head (see `is_head`) that goes on behind it.
    let mut open: Vec<(usize, &str)> = Vec::new();
    let mut head = "";
    let mut last: Option<usize> = None;
    for (i, token) in tokens.iter().enumerate() {
        if matches!(token.kind, Kind::Comment | Kind::Doc | Kind::ModuleDoc) {
            continue;
        }
        let word = token.text(text);
        let before = last.map_or("", |last| tokens[last].text(text));
        let after_operand = last.is_some_and(|last| roles.ends_operand(text, tokens, last));
        match word {
            "(" | "[" | "{" => {
                roles.holds[i] = match word {
                    "(" => Holds::Parens,
                    "[" => Holds::Square,
                    _ => brace(head, after_operand && before != "}"),
                };
                open.push((i, if word == "{" { "" } else { head }));
                head = "";
            }
            ")" | "]" | "}" => {
                if let Some((opening, outer)) = open.pop() {
                    roles.partner[opening] = i;
                    roles.partner[i] = opening;
                    roles.holds[i] = roles.holds[opening];
                    head = outer;
                }
            }
            ";" | "," | "=>" => head = "",
            "<" => roles.mark_angles(text, tokens, i, before),
            "-" | "!" | "~" => roles.prefix[i] = !after_operand,
            _ if token.kind == Kind::Word => {
                // Two words in a row: the second is one of the grammar's, such as `at` in `read Node at`.
                roles.keyword[i] = is_reserved(word)
                    || (after_operand && before != "}")
                    || (before == "up" && word == "to")
                    || (introduces(word) && begins_name(text, tokens.get(i + 1)));
                if is_head(word) && (is_reserved(word) || open.is_empty()) && (word != "else" || before == "}") {
                    head = word;
                }
            }
            _ => {}
        }
        last = Some(i);
    }
    roles
}

/// Words that stand before a type or a name.
fn introduces(word: &str) -> bool {
    matches!(word, "view" | "seq" | "stream" | "bits" | "source" | "flags")
}

fn begins_name(text: &str, next: Option<&Token>) -> bool {
    next.is_some_and(|next| next.kind == Kind::Word && !is_reserved(next.text(text)))
}

/// Words that say what the next brace on their level holds.
fn is_head(word: &str) -> bool {
    matches!(
        word,
        "fn" | "traversal"
            | "test"
            | "if"
            | "else"
            | "for"
            | "loop"
            | "match"
            | "struct"
            | "record"
            | "enum"
            | "flags"
            | "use"
    )
}

/// What a brace holds that follows a head, or without one perhaps an operand (a record's path, the type of `bits`).
fn brace(head: &str, after_operand: bool) -> Holds {
    match head {
        "match" => Holds::Arms,
        "struct" | "record" | "enum" | "flags" => Holds::List,
        "use" => Holds::Names,
        "" if after_operand => Holds::List,
        _ => Holds::Block,
    }
}

impl Roles {
    /// Whether a token can end an operand, so that a sign behind it is infix and a bracket is a call or an index.
    fn ends_operand(&self, text: &str, tokens: &[Token], i: usize) -> bool {
        let word = tokens[i].text(text);
        match tokens[i].kind {
            Kind::Word => !self.keyword[i] || matches!(word, "self" | "true" | "false" | "none"),
            Kind::Number | Kind::Text => true,
            _ => matches!(word, ")" | "]" | "}" | "?") || (word == ">" && self.angle[i]),
        }
    }

    /// Marks the angle brackets of `bytes<4>` and its like.
    fn mark_angles(&mut self, text: &str, tokens: &[Token], open: usize, before: &str) {
        if !matches!(before, "bytes" | "cstr" | "utf16" | "varint" | "buffer") {
            return;
        }
        for (i, token) in tokens.iter().enumerate().skip(open + 1) {
            let word = token.text(text);
            match token.kind {
                Kind::Word | Kind::Number | Kind::Text => {}
                _ if word == ">" => {
                    self.angle[open] = true;
                    self.angle[i] = true;
                    return;
                }
                _ if "+-*/%.()[]<<>>".contains(word) => {}
                _ => return,
            }
        }
    }

    /// Whether a blank stands between token `a` and token `b` behind it, on one line.
    pub(super) fn blank(&self, text: &str, tokens: &[Token], a: usize, b: usize) -> bool {
        match (tokens[a].text(text), tokens[b].text(text)) {
            ("{", "}") => false,
            ("{", _) => self.holds[a] != Holds::Names,
            (_, "}") => self.holds[b] != Holds::Names,
            ("(" | "[" | "." | ".." | "..=" | "@", _) => false,
            (_, ")" | "]" | "," | ";" | "." | ".." | "..=" | "?" | ":") => false,
            _ if self.prefix[a] || self.angle[a] && tokens[a].text(text) == "<" || self.angle[b] => false,
            (_, "(" | "[") => !self.ends_operand(text, tokens, a),
            _ => true,
        }
    }
}
