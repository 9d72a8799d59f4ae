//! A text with syntax errors → what can be parsed, and all errors that do not follow from each other.
//!
//! The text is cut at its tokens into declarations, a faulty declaration into its members or statements, and a faulty
//! statement into those of its blocks. Each piece is parsed by itself: an error stays in the smallest piece that holds it.

use pest::Parser;
use pest::error::Error;

use super::cut::Cut;
use super::limits::goes_on;
use super::message::{Piece, explain, place};
use super::scan::{Kind, Token};
use super::tree::{Builder, Declaration, join_doc};
use super::{Grammar, Rule};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::Module;

/// So many errors are shown of one file; nobody reads more, and noise has millions.
const ERRORS_MAX: usize = 50;

/// Parses piece by piece a text that has a token that is none, or for which pest's parse of the whole gave `error`.
pub(super) fn recover(
    mut module: Module,
    text: &str,
    tokens: &[Token],
    error: Option<(&Cut, &Error<Rule>)>,
) -> (Module, Vec<Diagnostic>) {
    let file = module.file;
    let docs = tokens.iter().take_while(|token| token.kind == Kind::ModuleDoc).count();
    module.doc = join_doc(tokens[..docs].iter().map(|token| token.text(text).to_owned()));
    let whole = Piece { file, text, all: tokens, from: 0, to: tokens.len() };
    let mut recovery = Recovery { errors: lexical_errors(&whole), budget: 4 * text.len() + (1 << 16) };
    for piece in declarations(whole.part(docs, tokens.len())) {
        if recovery.errors.len() >= ERRORS_MAX {
            break;
        }
        if piece.tokens().iter().any(|token| token.is_faulty()) {
            continue;
        }
        recovery.declaration(piece, &mut module);
    }
    let mut errors = recovery.errors;
    if let (true, Some((cut, error))) = (errors.is_empty(), error) {
        // Each piece is well by itself, the whole is not.
        errors.push(explain(&whole, cut, error));
    }
    errors.sort_by_key(|error| error.label.span);
    errors.truncate(ERRORS_MAX);
    (module, errors)
}

/// Errors within tokens; the declarations that hold them are not parsed.
fn lexical_errors(piece: &Piece<'_>) -> Vec<Diagnostic> {
    let mut errors: Vec<Diagnostic> = Vec::new();
    let mut last_end = usize::MAX;
    for token in piece.tokens() {
        let span = Span { file: piece.file, start: token.start as u32, end: token.end as u32 };
        match token.kind {
            Kind::Unterminated => {
                let message = "expected a quote before the end of the line, found none";
                let error = Diagnostic::error("E0102", span, message, "this text does not end");
                errors.push(error.help("close it with the quote it begins with; a line break in it is written `\\n`"));
            }
            // A run of strange characters is one error.
            Kind::Bad if token.start == last_end => last_end = token.end,
            Kind::Bad => {
                last_end = token.end;
                let message =
                    format!("expected a word, number or sign, found `{}`", token.text(piece.text).escape_debug());
                errors.push(Diagnostic::error("E0101", span, message, "no token begins with this"));
            }
            _ => {}
        }
        if errors.len() >= ERRORS_MAX {
            break;
        }
    }
    errors
}

/// The words that begin a declaration. The last three are names elsewhere.
pub(super) const DECLARATIONS: [&str; 10] =
    ["const", "enum", "struct", "record", "fn", "traversal", "use", "flags", "source", "test"];

/// Cuts a file into declarations: at a `;` or a closing brace outside all brackets, and before a declaring word at the
/// very start of a line, whatever is still open there.
pub(super) fn declarations(file: Piece<'_>) -> Vec<Piece<'_>> {
    let text = file.text;
    let mut pieces = Vec::new();
    let (mut start, mut depth) = (0, 0usize);
    for (i, token) in file.tokens().iter().enumerate() {
        let word = token.text(text);
        let first_of_line = token.start == 0 || text.as_bytes()[token.start - 1] == b'\n';
        if first_of_line && DECLARATIONS.contains(&word) {
            let docs = file.tokens()[start..i].iter().rev().take_while(|token| token.kind == Kind::Doc).count();
            if start < i - docs {
                pieces.push(file.part(start, i - docs));
                start = i - docs;
            }
            depth = 0;
        }
        let next = file.tokens().get(i + 1).map_or("", |next| next.text(text));
        depth = depth_after(depth, word);
        if depth == 0 && (word == ";" || (word == "}" && !goes_on(next))) {
            pieces.push(file.part(start, i + 1));
            start = i + 1;
        }
    }
    if start < file.tokens().len() {
        pieces.push(file.part(start, file.tokens().len()));
    }
    pieces
}

fn depth_after(depth: usize, word: &str) -> usize {
    match word {
        "(" | "[" | "{" => depth + 1,
        ")" | "]" | "}" => depth.saturating_sub(1),
        _ => depth,
    }
}

struct Recovery {
    errors: Vec<Diagnostic>,
    /// How many bytes may still be parsed again in smaller pieces, which keeps the time linear.
    budget: usize,
}

impl Recovery {
    fn declaration(&mut self, piece: Piece<'_>, module: &mut Module) {
        let cut = piece.cut();
        let mut nodes = match Grammar::parse(Rule::one_declaration, &cut.text) {
            Ok(nodes) => nodes,
            Err(error) => {
                let smaller = self.smaller(piece, place(&cut, &error));
                return match smaller.is_empty() {
                    true => self.errors.push(explain(&piece, &cut, &error)),
                    false => self.errors.extend(smaller),
                };
            }
        };
        let builder = Builder::new(&cut);
        let root = nodes.next().expect("a parse has one root");
        let node = root.into_inner().next().expect("a piece holds one declaration");
        match builder.declaration(node) {
            Declaration::Use(found) => module.uses.push(found),
            Declaration::Item(found) => module.items.push(found),
        }
        self.errors.extend(builder.finish());
    }

    /// The errors in the parts of a faulty piece, which pest could not parse beyond `at`; none if it cannot be cut, or
    /// if its parts are well.
    fn smaller(&mut self, piece: Piece<'_>, at: usize) -> Vec<Diagnostic> {
        let mut words =
            piece.tokens().iter().filter(|token| token.kind != Kind::Doc).map(|token| token.text(piece.text));
        let rule = match words.next() {
            Some("struct") => Rule::one_member,
            Some("record") => Rule::one_record_member,
            Some("fn" | "traversal" | "test" | "if" | "loop" | "for") => Rule::one_statement,
            _ => return Vec::new(),
        };
        let blocks = blocks(piece);
        // An error outside the blocks is the piece's own.
        if !blocks.iter().any(|block| block.ends().0 <= at && at <= block.ends().1) {
            return Vec::new();
        }
        let mut errors = Vec::new();
        for part in blocks.into_iter().flat_map(|block| parts(block, rule)) {
            let (start, end) = part.ends();
            let Some(budget) = self.budget.checked_sub(end - start) else {
                break;
            };
            self.budget = budget;
            if errors.len() >= ERRORS_MAX {
                break;
            }
            let cut = part.cut();
            let Err(error) = Grammar::parse(rule, &cut.text) else {
                continue;
            };
            let smaller = self.smaller(part, place(&cut, &error));
            match smaller.is_empty() {
                true => errors.push(explain(&part, &cut, &error)),
                false => errors.extend(smaller),
            }
        }
        errors
    }
}

/// What stands between the outermost braces of a piece.
fn blocks(piece: Piece<'_>) -> Vec<Piece<'_>> {
    let mut blocks = Vec::new();
    let (mut open, mut start) = (Vec::new(), 0);
    for (i, token) in piece.tokens().iter().enumerate() {
        match token.text(piece.text) {
            bracket @ ("(" | "[" | "{") => {
                if open.is_empty() {
                    start = i + 1;
                }
                open.push(bracket);
            }
            ")" | "]" | "}" => {
                let opened = open.pop();
                if opened == Some("{") && open.is_empty() && start < i {
                    blocks.push(piece.part(start, i));
                }
            }
            _ => {}
        }
    }
    blocks
}

/// Cuts the inside of a block into members or statements.
fn parts(block: Piece<'_>, rule: Rule) -> Vec<Piece<'_>> {
    let end_sign = if rule == Rule::one_statement { ";" } else { "," };
    let mut pieces = Vec::new();
    let (mut start, mut depth) = (0, 0);
    let (mut before, text) = ("", block.text);
    for (i, token) in block.tokens().iter().enumerate() {
        let word = token.text(text);
        let begins = rule == Rule::one_statement && begins_statement(word) && !matches!(before, "else" | "=>" | "if");
        if depth == 0 && begins && start < i {
            pieces.push(block.part(start, i));
            start = i;
        }
        depth = depth_after(depth, word);
        let next = block.tokens().get(i + 1).map_or("", |next| next.text(text));
        if depth == 0 && (word == end_sign || (word == "}" && !goes_on(next) && next != "where")) {
            pieces.push(block.part(start, i + 1));
            start = i + 1;
        }
        before = word;
    }
    if start < block.tokens().len() {
        pieces.push(block.part(start, block.tokens().len()));
    }
    pieces
}

/// The words that only a statement begins with, or what follows `else` or `=>`.
fn begins_statement(word: &str) -> bool {
    matches!(
        word,
        "let" | "var" | "for" | "loop" | "require" | "emit" | "assert" | "return" | "break" | "continue" | "fail"
    )
}
