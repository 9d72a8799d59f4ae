//! Source text → tokens with their places, comments included.
//!
//! The parser proper works on characters (pest has no token stage), of what `cut.rs` makes of these tokens. They serve what lies around
//! it, too: the limits on depth, the search for places at which to go on after an error, the words of error messages, and the formatter.
//! Total: any text gives tokens, and a text that cannot be a token is one of kind [`Kind::Bad`].

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a word of the grammar.
    Word,
    /// `12`, `0x1f`, `4KiB`
    Number,
    /// `"…"`, `b"…"`, `'c'`, `b'c'`
    Text,
    /// A sign, the longest that fits: `<<%`, `..=`, `{`.
    Sign,
    /// `// …`
    Comment,
    /// `/// …`
    Doc,
    /// `//! …`
    ModuleDoc,
    /// A `"` or `'` without its end on the same line, up to the line's end.
    Unterminated,
    /// A character that begins no token.
    Bad,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Token {
    /// Its text, in the text that was scanned.
    pub fn text(self, source: &str) -> &str {
        &source[self.start..self.end]
    }

    /// Whether it is no token of the language.
    pub fn is_faulty(self) -> bool {
        matches!(self.kind, Kind::Bad | Kind::Unterminated)
    }
}

/// Signs of more than one character, longer ones before their prefixes.
const SIGNS: [&str; 26] = [
    "<<%", "<<=", ">>=", "..=", "..", "->", "=>", "==", "!=", "<=", ">=", "&&", "||", "<<", ">>", "+%", "-%", "*%",
    "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=",
];

/// All tokens of a text, in order.
pub fn scan(source: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(source.len() / 4);
    let mut at = 0;
    while let Some(rest) = source.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.as_bytes()[0];
        if matches!(first, b' ' | b'\n' | b'\t' | b'\r') {
            at += 1;
            continue;
        }
        let (kind, length) = token(rest, first);
        tokens.push(Token { kind, start: at, end: at + length });
        at += length;
    }
    tokens
}

/// The kind and length of the token at the start of `rest`, whose first byte is `first`.
fn token(rest: &str, first: u8) -> (Kind, usize) {
    match first {
        b'/' if rest.starts_with("//") => {
            let line = rest.find('\n').map_or(rest, |end| &rest[..end]).trim_end();
            let kind = match () {
                () if line.starts_with("//!") => Kind::ModuleDoc,
                () if line.starts_with("///") && !line.starts_with("////") => Kind::Doc,
                () => Kind::Comment,
            };
            (kind, line.len())
        }
        b'"' => quoted(rest, 0, b'"'),
        b'\'' => quoted(rest, 0, b'\''),
        b'b' if rest.starts_with("b\"") => quoted(rest, 1, b'"'),
        b'b' if rest.starts_with("b'") => quoted(rest, 1, b'\''),
        b'0'..=b'9' => (Kind::Number, word_length(rest)),
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => (Kind::Word, word_length(rest)),
        // Most signs are one of those that begin no longer one.
        b'(' | b')' | b'[' | b']' | b'{' | b'}' | b',' | b';' | b':' | b'~' | b'?' | b'@' => (Kind::Sign, 1),
        _ => match SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            Some(sign) => (Kind::Sign, sign.len()),
            None if b".=<>+-*/%&|^!".contains(&first) => (Kind::Sign, 1),
            None => (Kind::Bad, rest.chars().next().map_or(1, char::len_utf8)),
        },
    }
}

fn word_length(rest: &str) -> usize {
    rest.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b'_').unwrap_or(rest.len())
}

/// A literal whose opening quote is at `open`.
fn quoted(rest: &str, open: usize, quote: u8) -> (Kind, usize) {
    let mut escaped = false;
    for (i, byte) in rest.bytes().enumerate().skip(open + 1) {
        match byte {
            b'\n' => return (Kind::Unterminated, rest[..i].trim_end().len()),
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            _ if byte == quote => return (Kind::Text, i + 1),
            _ => {}
        }
    }
    (Kind::Unterminated, rest.trim_end().len())
}
