//! The text form in tokens.

use std::fmt;

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'t> {
    /// Letters, digits, `_` and `.`, a letter or `_` first.
    Word(&'t str),
    /// Digits, or `0x` and hexadecimal digits.
    Number(&'t str),
    /// What stands between quotes, escapes as they are.
    Text(&'t str),
    /// A sign.
    Punct(&'static str),
    /// The end of the text.
    End,
}

impl fmt::Display for Token<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(text) | Token::Number(text) | Token::Punct(text) => write!(out, "`{text}`"),
            Token::Text(text) => write!(out, "\"{text}\""),
            Token::End => out.write_str("the end of the text"),
        }
    }
}

/// Signs; those that begin with another one stand before it.
const PUNCTS: [&str; 19] =
    ["..=", "->", "<=", "(", ")", "[", "]", "{", "}", "<", ">", ":", ",", "=", "+", "-", "?", "@", ";"];

/// Whether a character goes on a word.
pub(in crate::ir) fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

/// The number of an id with this prefix.
pub fn id(word: &str, prefix: &str) -> Option<u32> {
    let digits = word.strip_prefix(prefix)?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

/// All tokens, and how far they have been read.
pub struct Tokens<'t> {
    tokens: Vec<(usize, Token<'t>)>,
    next: usize,
}

impl<'t> Tokens<'t> {
    /// Splits a text.
    pub fn read(text: &'t str) -> Result<Self, super::Error> {
        let mut tokens = Vec::new();
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at..];
            let until = |end: fn(char) -> bool| rest.find(end).unwrap_or(rest.len());
            let (len, token) = if c.is_whitespace() {
                (c.len_utf8(), None)
            } else if rest.starts_with("//") {
                (until(|c| c == '\n'), None)
            } else if c.is_ascii_alphabetic() || c == '_' {
                let len = until(|c| !in_word(c));
                (len, Some(Token::Word(&rest[..len])))
            } else if c.is_ascii_digit() {
                let len = until(|c| !c.is_ascii_hexdigit() && c != 'x');
                (len, Some(Token::Number(&rest[..len])))
            } else if c == '"' {
                let len = text_len(rest).ok_or((at, "expected a closing quote on the same line".to_owned()))?;
                (len, Some(Token::Text(&rest[1..len - 1])))
            } else if let Some(punct) = PUNCTS.iter().find(|p| rest.starts_with(**p)) {
                (punct.len(), Some(Token::Punct(punct)))
            } else {
                return Err((at, format!("expected an item, found {c:?}")));
            };
            tokens.extend(token.map(|token| (at, token)));
            at += len;
        }
        tokens.push((text.len(), Token::End));
        Ok(Tokens { tokens, next: 0 })
    }

    /// The next token.
    pub fn peek(&self) -> Token<'t> {
        self.tokens[self.next].1
    }

    /// Where the next token begins.
    pub fn offset(&self) -> usize {
        self.tokens[self.next].0
    }

    /// Goes past the next token; the end stays.
    pub fn advance(&mut self) {
        self.next = (self.next + 1).min(self.tokens.len() - 1);
    }

    /// Whether the next token is this word or sign; goes past it then.
    pub fn take(&mut self, text: &str) -> bool {
        let is = matches!(self.peek(), Token::Word(found) | Token::Punct(found) if found == text);
        if is {
            self.advance();
        }
        is
    }
}

/// The length of a quoted text that begins here, quotes included.
fn text_len(rest: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, b) in rest.bytes().enumerate().skip(1) {
        match b {
            b'\n' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(i + 1),
            _ => {}
        }
    }
    None
}

/// What a quoted text stands for; none when an escape is wrong.
pub fn unescape(raw: &str) -> Option<String> {
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let c = rest.chars().next()?;
        rest = &rest[c.len_utf8()..];
        match c {
            '"' | '\\' => out.push(c),
            'n' => out.push('\n'),
            'u' => {
                let (digits, after) = rest.strip_prefix('{')?.split_once('}')?;
                out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
                rest = after;
            }
            _ => return None,
        }
    }
    out.push_str(rest);
    Some(out)
}
