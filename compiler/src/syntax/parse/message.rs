//! pest's error → a diagnostic in words: what was expected, what was found, what would help.

use pest::error::{Error, ErrorVariant, InputLocation};

use super::cut::Cut;
use super::scan::{Kind, Token};
use super::{Rule, is_reserved};
use crate::diag::Diagnostic;
use crate::source::{FileId, Span};

/// A piece of a file: a run of its tokens.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub file: FileId,
    /// The whole file.
    pub text: &'a str,
    /// The tokens of the whole file, without comments.
    pub all: &'a [Token],
    /// The piece's first token.
    pub from: usize,
    /// One past its last.
    pub to: usize,
}

impl<'a> Piece<'a> {
    pub(super) fn tokens(&self) -> &'a [Token] {
        &self.all[self.from..self.to]
    }

    /// A part of it; `from` and `to` count from the piece's start.
    pub(super) fn part(&self, from: usize, to: usize) -> Self {
        Piece { from: self.from + from, to: self.from + to, ..*self }
    }

    /// Its first and last byte in the file.
    pub(super) fn ends(&self) -> (usize, usize) {
        let start = self.tokens().first().map_or(0, |token| token.start);
        (start, self.tokens().last().map_or(start, |token| token.end))
    }

    /// What pest reads of it.
    pub(super) fn cut(&self) -> Cut {
        Cut::of(self.file, self.text, self.tokens().iter())
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }
}

/// Where in the file pest gave up.
pub(super) fn place(cut: &Cut, error: &Error<Rule>) -> usize {
    let (InputLocation::Pos(at) | InputLocation::Span((at, _))) = error.location;
    cut.place(at) as usize
}

/// The diagnostic for an error in a piece.
pub(super) fn explain(piece: &Piece<'_>, cut: &Cut, error: &Error<Rule>) -> Diagnostic {
    let at = place(cut, error);
    // Inside a token pest may get beyond its start; people see tokens. What follows the piece is found at its end.
    let index = piece.all.partition_point(|token| token.end <= at).min(piece.to);
    let found = piece.all.get(index);
    let last = index.checked_sub(1).map(|index| piece.all[index]);
    let expected = expected(error);
    let what = found.map_or("the end of the file".to_owned(), |token| name_of(*token, piece.text));
    let list = listed(&expected);
    let message = format!("expected {list}, found {what}");
    // A missing `;` or `,` belongs behind what stands before it, not at the start of a later line.
    let separates = expected.iter().any(|word| matches!(word.text(), "`;`" | "`,`"));
    let missing = last.filter(|last| match found {
        None => true,
        Some(found) => separates && piece.text[last.end..found.start].contains('\n'),
    });
    let (span, label) = match (missing, found) {
        (Some(last), _) => (piece.span(last.end, last.end), format!("expected {list} here")),
        (None, Some(found)) => (piece.span(found.start, found.end), format!("expected {list}")),
        (None, None) => (piece.span(at, at), format!("expected {list}")),
    };
    let mut diagnostic = Diagnostic::error("E0101", span, message, label);
    if let (true, Some(open)) = (index == piece.to, unclosed(piece)) {
        diagnostic = diagnostic.other(piece.span(open.start, open.end), "this is not closed");
    }
    let text = |token: &Token| token.text(piece.text);
    diagnostic.help = help(&expected, found.map(text), last.as_ref().map(text));
    diagnostic
}

/// What stands at a place, in words.
fn name_of(token: Token, text: &str) -> String {
    let word = token.text(text);
    match token.kind {
        Kind::Doc | Kind::ModuleDoc => format!("a `{}` comment", &word[..3]),
        Kind::Text => "a text".to_owned(),
        _ if word.len() > 40 => "a long word".to_owned(),
        _ => format!("`{word}`"),
    }
}

/// The last bracket of a piece that is open at its end.
fn unclosed(piece: &Piece<'_>) -> Option<Token> {
    let mut open = Vec::new();
    for token in piece.tokens() {
        match token.text(piece.text) {
            "(" | "[" | "{" => open.push(*token),
            ")" | "]" | "}" => {
                open.pop();
            }
            _ => {}
        }
    }
    open.pop()
}

/// One thing that could have stood there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    /// A sign that has to come.
    Mark(&'static str),
    /// A larger thing that may come.
    Thing(&'static str),
    /// What may come before the mark that has to: not worth a word beside it.
    Maybe(&'static str),
    /// What is possible behind most operands, and so says little.
    More(&'static str),
}

impl Word {
    fn text(&self) -> &'static str {
        let (Word::Mark(text) | Word::Thing(text) | Word::Maybe(text) | Word::More(text)) = self;
        text
    }
}

const EXPRESSION: Word = Word::Thing("an expression");

/// What pest would have taken, in a few words.
fn expected(error: &Error<Rule>) -> Vec<Word> {
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        return Vec::new();
    };
    let mut words: Vec<Word> = positives.iter().filter_map(|rule| word(*rule)).collect();
    if words.iter().any(|word| !matches!(word, Word::More(_))) {
        words.retain(|word| !matches!(word, Word::More(_)));
    }
    if words.iter().any(|word| matches!(word, Word::Mark(_))) {
        words.retain(|word| !matches!(word, Word::Maybe(_)));
    }
    // Everything that an expression can begin with is one thing.
    if words.contains(&EXPRESSION) {
        words.retain(|word| *word == EXPRESSION || matches!(word, Word::Mark(_)));
    }
    words.sort();
    words.dedup();
    words
}

fn listed(words: &[Word]) -> String {
    match words {
        [] => "something else".to_owned(),
        [word] => word.text().to_owned(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(Word::text).collect();
            format!("{} or {}", first.join(", "), last.text())
        }
    }
}

/// What can be typed in, where it is plain.
fn help(expected: &[Word], found: Option<&str>, last: Option<&str>) -> Option<String> {
    let expects = |text| expected.iter().any(|word| word.text() == text);
    let text = match found {
        Some("=") if expects("`{`") || expects("`)`") || expects("`else`") => "`==` compares; `=` assigns".to_owned(),
        Some("==") if expects("`=`") => "write `=` here; `==` compares".to_owned(),
        Some(word) if word.starts_with("//!") => {
            "`//!` stands at the top of a file; write `///` before a declaration and `//` elsewhere".to_owned()
        }
        Some(word) if word.starts_with("///") && !expects("`;`") && !expects("`,`") && !expects("`}`") => {
            "`///` stands before a declaration, field or item; write `//` elsewhere".to_owned()
        }
        Some(word) if expects("a name") && is_reserved(word) => {
            format!("`{word}` is a word of the language; choose another name, such as `{word}_`")
        }
        _ if expects("a declaration") => {
            "declarations begin with `const`, `enum`, `flags`, `struct`, `record`, `fn`, `traversal`, `source`, `test` \
             or `use`"
                .to_owned()
        }
        _ if expects("`;`") => format!("add `;` after `{}`", last?),
        _ if expects("`,`") => format!("add `,` after `{}`", last?),
        _ if expects("`descending`") => {
            "every loop has a bound: `loop up to 20 { … }` or `loop descending node.depth { … }`".to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// A rule in the words of people; none for what no message should name. pest names a rule whose parts failed at its
/// start, or the part if there was but one.
fn word(rule: Rule) -> Option<Word> {
    Some(match rule {
        Rule::semi => Word::Mark("`;`"),
        Rule::comma => Word::Mark("`,`"),
        Rule::rparen => Word::Mark("`)`"),
        Rule::rbracket => Word::Mark("`]`"),
        Rule::rbrace => Word::Mark("`}`"),
        Rule::rangle => Word::Mark("`>`"),
        Rule::fat_arrow => Word::Mark("`=>`"),
        Rule::colon => Word::Maybe("`:`"),
        Rule::eq | Rule::magic => Word::Maybe("`=`"),
        Rule::arrow | Rule::pointer => Word::Maybe("`->`"),
        Rule::range_op => Word::Maybe("`..`"),
        Rule::kw_else => Word::Maybe("`else`"),
        Rule::lparen | Rule::call | Rule::type_args => Word::More("`(`"),
        Rule::lbracket | Rule::index => Word::More("`[`"),
        Rule::kw_in => Word::More("`in`"),
        Rule::params => Word::Thing("`(`"),
        Rule::lbrace => Word::Maybe("`{`"),
        Rule::block | Rule::enum_items => Word::Thing("`{`"),
        Rule::langle => Word::Thing("`<`"),
        Rule::ident | Rule::path | Rule::use_names => Word::Thing("a name"),
        Rule::string => Word::Thing("a text in quotes"),
        Rule::r#type | Rule::named_type | Rule::bytes_type | Rule::sized_type | Rule::seq_type | Rule::array_type => {
            Word::Thing("a type")
        }
        Rule::one_declaration
        | Rule::item
        | Rule::use_decl
        | Rule::kw_const
        | Rule::kw_struct
        | Rule::kw_enum
        | Rule::kw_traversal => Word::Thing("a declaration"),
        Rule::one_member
        | Rule::one_record_member
        | Rule::member
        | Rule::field_member
        | Rule::record_member
        | Rule::record_field
        | Rule::kw_align => Word::Thing("a field"),
        Rule::enum_item => Word::Thing("`NAME = VALUE`"),
        Rule::param => Word::Thing("`NAME: TYPE`"),
        Rule::bit_field => Word::Thing("`NAME: WIDTH`"),
        Rule::type_arm | Rule::match_arm | Rule::pattern | Rule::value_pattern => Word::Thing("a pattern"),
        Rule::record_init => Word::Thing("`NAME: VALUE`"),
        Rule::one_statement
        | Rule::let_stmt
        | Rule::expr_stmt
        | Rule::jump_stmt
        | Rule::kw_var
        | Rule::kw_emit
        | Rule::kw_loop => Word::Thing("a statement"),
        Rule::expr
        | Rule::infix
        | Rule::infix_h
        | Rule::tight
        | Rule::tight_h
        | Rule::place
        | Rule::place_h
        | Rule::int => EXPRESSION,
        Rule::or
        | Rule::and
        | Rule::equal
        | Rule::add
        | Rule::sub
        | Rule::mul
        | Rule::bit_or
        | Rule::shl
        | Rule::in_range
        | Rule::in_range_h
        | Rule::field
        | Rule::cast
        | Rule::assign_op => Word::More("an operator"),
        Rule::kw_up => Word::Thing("`up to`"),
        Rule::kw_descending => Word::Thing("`descending`"),
        Rule::kw_at => Word::Thing("`at`"),
        Rule::kw_fail | Rule::fail_jump => Word::Thing("`fail`"),
        Rule::kw_on => Word::Thing("`on`"),
        Rule::kw_to | Rule::to_end => Word::Thing("`to end`"),
        Rule::kw_end => Word::Thing("`end`"),
        Rule::kw_count => Word::Thing("`count`"),
        _ => return None,
    })
}
