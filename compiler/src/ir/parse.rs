//! Reads the text form of a function; [`super::print`] describes and writes it.
//!
//! Guarantees `parse(&print(f)) == f` for every function whose `args` are its parameters' leaves. A claim that is not written is the
//! one that follows from the operands. Comments run from `//` to the end of the line. The parser checks no rule of the IR: what it
//! returns may be as wrong as the text.

mod code;
mod evidence;
mod header;
mod lex;

use super::defs::Defs;
use super::eval::range;
use super::*;
use lex::{Token, Tokens};

pub(super) use lex::in_word;

/// What is wrong with a text, and where; line and column count from 1, the column in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
    /// What was expected, then what was found.
    pub message: String,
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{}:{}: {}", self.line, self.column, self.message)
    }
}

/// Reads one function.
pub fn parse(text: &str) -> Result<Function, ParseError> {
    let place = |(offset, message): (usize, String)| {
        let before = &text.as_bytes()[..offset];
        let line_start = before.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
        let line = before.iter().filter(|b| **b == b'\n').count() as u32 + 1;
        ParseError { line, column: (offset - line_start) as u32 + 1, message }
    };
    let tokens = Tokens::read(text).map_err(place)?;
    let mut parser = Parser { tokens, f: header::empty(), open: Vec::new(), values_max: text.len(), area: 0 };
    parser.function().map_err(place)?;
    parser.settle();
    Ok(parser.f)
}

/// The byte offset of an error, and what it is.
type Error = (usize, String);
type Parse<T> = Result<T, Error>;

struct Parser<'t> {
    tokens: Tokens<'t>,
    f: Function,
    /// Values whose claim is not written.
    open: Vec<Value>,
    /// A bound on value ids, so that a short text cannot ask for a long table.
    values_max: usize,
    /// Bytes of all parameters and the result together.
    area: u64,
}

impl<'t> Parser<'t> {
    fn function(&mut self) -> Parse<()> {
        self.header()?;
        while !self.tokens.take("}") {
            if !self.evidence()? {
                self.block()?;
            }
        }
        match self.tokens.peek() {
            Token::End => Ok(()),
            _ => self.expected("the end of the text"),
        }
    }

    /// Gives the claims that are not written. A pass settles at least all of a block whose operands are settled, so the number
    /// of passes is at most that of the blocks; in a circle of definitions claims stay as wide as the type.
    fn settle(&mut self) {
        let defs = Defs::of(&self.f);
        let mut is_open = vec![false; self.f.values.len()];
        for v in &self.open {
            is_open[v.index()] = true;
        }
        loop {
            let before = self.open.len();
            for v in std::mem::take(&mut self.open) {
                // A parameter, or a value that nothing defines: as wide as its type.
                let Some(op) = defs.op(&self.f, v) else {
                    is_open[v.index()] = false;
                    continue;
                };
                let mut ready = true;
                let mut operand = |u: Value| ready &= !is_open.get(u.index()).copied().unwrap_or(false);
                op.for_each_use(&mut operand);
                // The operands of a comparison count where it refines.
                if let Op::Refine { cond, .. } = op
                    && let Some(compare) = defs.op(&self.f, *cond)
                {
                    compare.for_each_use(operand);
                }
                if !ready {
                    self.open.push(v);
                    continue;
                }
                is_open[v.index()] = false;
                let ty = self.f.value(v).ty;
                self.f.values[v.index()].range = range::of(&self.f, &defs, op, ty);
            }
            if self.open.len() == before || self.open.is_empty() {
                return;
            }
        }
    }

    // Small pieces.

    fn expected<T>(&self, what: &str) -> Parse<T> {
        Err((self.tokens.offset(), format!("expected {what}, found {}", self.tokens.peek())))
    }

    fn need(&mut self, text: &str) -> Parse<()> {
        if self.tokens.take(text) { Ok(()) } else { self.expected(&format!("`{text}`")) }
    }

    fn word(&mut self, what: &str) -> Parse<&'t str> {
        match self.tokens.peek() {
            Token::Word(word) => {
                self.tokens.advance();
                Ok(word)
            }
            _ => self.expected(what),
        }
    }

    /// A word or a string.
    fn name(&mut self) -> Parse<String> {
        match self.tokens.peek() {
            Token::Text(_) => self.string(),
            _ => Ok(self.word("a name")?.to_owned()),
        }
    }

    fn string(&mut self) -> Parse<String> {
        let Token::Text(raw) = self.tokens.peek() else { return self.expected("a text in quotes") };
        let offset = self.tokens.offset();
        self.tokens.advance();
        lex::unescape(raw).ok_or_else(|| (offset, "expected an escape \\\" \\\\ \\n or \\u{…}, found another".into()))
    }

    /// An integer that fits the type wanted.
    fn int<T: TryFrom<i128>>(&mut self) -> Parse<T> {
        let offset = self.tokens.offset();
        let minus = self.tokens.take("-");
        let Token::Number(digits) = self.tokens.peek() else { return self.expected("a number") };
        self.tokens.advance();
        let (digits, radix) = digits.strip_prefix("0x").map_or((digits, 10), |hex| (hex, 16));
        let sign = if minus { "-" } else { "" };
        i128::from_str_radix(&format!("{sign}{digits}"), radix)
            .ok()
            .and_then(|n| T::try_from(n).ok())
            .ok_or_else(|| (offset, format!("expected a number in range, found {sign}{digits}")))
    }

    /// An id such as `v3`.
    fn id(&mut self, prefix: &str, what: &str) -> Parse<u32> {
        match self.tokens.peek() {
            Token::Word(word) if lex::id(word, prefix).is_some() => {
                self.tokens.advance();
                Ok(lex::id(word, prefix).unwrap_or_default())
            }
            _ => self.expected(&format!("{what} (`{prefix}0`)")),
        }
    }

    /// The id of the next entry of a table, which must be the next number.
    fn next_id(&mut self, prefix: &str, what: &str, next: usize) -> Parse<()> {
        let offset = self.tokens.offset();
        let id = self.id(prefix, what)?;
        if id as usize == next {
            Ok(())
        } else {
            Err((offset, format!("expected `{prefix}{next}`, found `{prefix}{id}`")))
        }
    }

    fn use_value(&mut self) -> Parse<Value> {
        Ok(Value(self.id("v", "a value")?))
    }

    fn fault_id(&mut self) -> Parse<FaultId> {
        Ok(FaultId(self.id("f", "a fault")?))
    }

    /// `@file:start-end`, if it is there.
    fn span(&mut self) -> Parse<Option<Span>> {
        if !self.tokens.take("@") {
            return Ok(None);
        }
        let file = crate::source::FileId(self.int()?);
        self.need(":")?;
        let start = self.int()?;
        self.need("-")?;
        Ok(Some(Span { file, start, end: self.int()? }))
    }

    /// `v3: u64 0..=8 step 4 "name"`: enters the value into the table.
    fn define(&mut self) -> Parse<Value> {
        let offset = self.tokens.offset();
        let v = self.use_value()?;
        if v.index() >= self.values_max {
            return Err((offset, format!("expected a value below v{}, found {v}", self.values_max)));
        }
        self.need(":")?;
        let offset = self.tokens.offset();
        let word = self.word("a type")?;
        let Some(ty) = Ty::from_name(word) else {
            return Err((offset, format!("expected a type (u64, i64, bool), found `{word}`")));
        };
        let claim = match self.tokens.peek() {
            Token::Number(_) | Token::Punct("-") => {
                let lo = self.int()?;
                self.need("..=")?;
                let hi = self.int()?;
                let step = if self.tokens.take("step") { self.int()? } else { 1 };
                Some(Range::in_steps(lo, hi, step, lo))
            }
            _ => None,
        };
        let name = if let Token::Text(_) = self.tokens.peek() { Some(self.string()?) } else { None };
        if self.f.values.len() <= v.index() {
            self.f.values.resize(v.index() + 1, header::unknown_value());
        }
        let range = claim.unwrap_or(Range::of(ty));
        self.f.values[v.index()] = ValueData { ty, range, name, span: Span::default() };
        if claim.is_none() {
            self.open.push(v);
        }
        Ok(v)
    }
}
