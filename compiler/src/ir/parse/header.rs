//! What stands before the first block: signature and tables.

use super::lex::Token;
use super::{Parse, Parser};
use crate::ir::schema::{Display, Schema};
use crate::ir::verify::AREA_MAX;
use crate::ir::*;

/// Types within types, at most.
const DEPTH_MAX: u32 = 64;

/// A function without anything.
pub fn empty() -> Function {
    Function {
        name: String::new(),
        params: Vec::new(),
        args: Vec::new(),
        result: Schema::Unit,
        stream: false,
        sources: Vec::new(),
        values: Vec::new(),
        blocks: Vec::new(),
        slots: Vec::new(),
        data: Vec::new(),
        faults: Vec::new(),
        obligations: Vec::new(),
        evidence: Default::default(),
        span: Span::default(),
    }
}

/// What stands in the table for an id that the text does not define.
pub fn unknown_value() -> ValueData {
    ValueData { ty: Ty::U64, range: Range::of(Ty::U64), name: None, span: Span::default() }
}

impl Parser<'_> {
    /// All up to the first block.
    pub(super) fn header(&mut self) -> Parse<()> {
        self.need("traversal")?;
        self.f.name = self.name()?;
        self.need("->")?;
        self.f.stream = self.tokens.take("stream");
        self.f.result = self.schema(0)?;
        self.f.span = self.span()?.unwrap_or_default();
        self.need("{")?;
        loop {
            if self.tokens.take("param") {
                self.param()?;
            } else if self.tokens.take("source") {
                self.next_id("i", "a source", self.f.sources.len())?;
                let name = self.name()?;
                self.f.sources.push(name);
            } else if self.tokens.take("slot") {
                self.next_id("s", "a slot", self.f.slots.len())?;
                let slot = SlotData { name: self.name()?, size: self.int()? };
                self.f.slots.push(slot);
            } else if self.tokens.take("data") {
                self.next_id("d", "constant data", self.f.data.len())?;
                let data = Data { name: self.name()?, bytes: self.hex_bytes()? };
                self.f.data.push(data);
            } else if self.tokens.take("fault") {
                self.fault_entry()?;
            } else if self.tokens.take("obligation") {
                self.obligation()?;
            } else if self.tokens.take("unused") {
                let v = self.define()?;
                self.f.values[v.index()].span = self.span()?.unwrap_or_default();
            } else {
                break;
            }
        }
        if self.f.sources.is_empty() {
            self.f.sources.push("image".into());
        }
        Ok(())
    }

    fn param(&mut self) -> Parse<()> {
        let name = self.name()?;
        self.need(":")?;
        let schema = self.schema(0)?;
        let start = self.f.args.last().map_or(0, |leaf| leaf.offset + leaf.kind.size());
        self.f.args.extend(schema.leaves(&name, start));
        let default = if self.tokens.take("=") { Some(self.name()?) } else { None };
        self.f.params.push(Param { name, schema, default });
        Ok(())
    }

    fn fault_entry(&mut self) -> Parse<()> {
        self.next_id("f", "a fault", self.f.faults.len())?;
        let offset = self.tokens.offset();
        let word = self.word("a kind of fault")?;
        let Some(kind) = FaultKind::ALL.iter().copied().find(|kind| kind.name().replace(' ', "_") == word) else {
            return Err((offset, format!("expected a kind of fault (corrupt, limit, …), found `{word}`")));
        };
        let found_as = if self.tokens.take("hex") {
            FoundAs::Hex(self.int()?)
        } else if self.tokens.take("signed") {
            FoundAs::Signed
        } else {
            self.need("unsigned")?;
            FoundAs::Unsigned
        };
        let fault = Fault { kind, found_as, message: self.string()?, span: self.span()?.unwrap_or_default() };
        self.f.faults.push(fault);
        Ok(())
    }

    fn obligation(&mut self) -> Parse<()> {
        self.next_id("o", "an obligation", self.f.obligations.len())?;
        let offset = self.tokens.offset();
        let word = self.word("a kind of obligation")?;
        let Some(kind) = ObligationKind::from_name(word) else {
            return Err((offset, format!("expected a kind of obligation (index, divisor, …), found `{word}`")));
        };
        let text = self.string()?;
        let mut operands = Vec::new();
        while let Token::Word(word) = self.tokens.peek()
            && super::lex::id(word, "v").is_some()
        {
            operands.push(self.use_value()?);
        }
        let span = self.span()?.unwrap_or_default();
        self.f.obligations.push(Obligation { kind, span, text, operands, tested: None });
        Ok(())
    }

    fn hex_bytes(&mut self) -> Parse<Vec<u8>> {
        let offset = self.tokens.offset();
        let digits = self.string()?;
        let byte = |pair: &[u8]| match pair {
            [a, b] => Some((char::from(*a).to_digit(16)? << 4 | char::from(*b).to_digit(16)?) as u8),
            _ => None,
        };
        let bytes: Option<Vec<u8>> = digits.as_bytes().chunks(2).map(byte).collect();
        bytes.ok_or_else(|| (offset, "expected pairs of hexadecimal digits".into()))
    }

    fn schema(&mut self, depth: u32) -> Parse<Schema> {
        let offset = self.tokens.offset();
        let word = self.word("a type")?;
        let mut schema = match word {
            _ if depth > DEPTH_MAX => return Err((offset, "expected a type that is less deep".into())),
            "unit" => Schema::Unit,
            "bool" => Schema::Bool,
            "bytes" => {
                let fixed = self.tokens.take("<");
                if !fixed {
                    self.need("up")?;
                    self.need("to")?;
                }
                let max = self.int()?;
                self.area += u64::from(max);
                if fixed {
                    self.need(">")?;
                }
                Schema::Bytes { max, fixed, display: self.display()? }
            }
            "enum" | "flags" => self.named_numbers(word == "enum")?,
            "record" => {
                let name = self.name()?;
                let mut fields = Vec::new();
                self.list("{", "}", |p| {
                    let name = p.name()?;
                    p.need(":")?;
                    fields.push((name, p.schema(depth + 1)?));
                    Ok(())
                })?;
                Schema::Record { name, fields }
            }
            _ => {
                let bits = super::lex::id(word, "u").or(super::lex::id(word, "i"));
                let Some(bits @ 1..=64) = bits else {
                    return Err((offset, format!("expected a type (u32, bytes, record, …), found `{word}`")));
                };
                Schema::Int { bits: bits as u8, signed: word.starts_with('i'), display: self.display()? }
            }
        };
        self.area += 16;
        if self.area > AREA_MAX.into() {
            return Err((offset, format!("expected types of at most {AREA_MAX} bytes together")));
        }
        let mut options = depth;
        while self.tokens.take("?") {
            options += 1;
            if options > DEPTH_MAX {
                return Err((offset, "expected a type that is less deep".into()));
            }
            self.area += 8;
            schema = Schema::Option(Box::new(schema));
        }
        Ok(schema)
    }

    fn named_numbers(&mut self, is_enum: bool) -> Parse<Schema> {
        let name = self.name()?;
        self.need(":")?;
        let bits = self.int()?;
        let mut items = Vec::new();
        self.list("{", "}", |p| {
            let name = p.name()?;
            p.need("=")?;
            items.push((name, p.int()?));
            Ok(())
        })?;
        Ok(if is_enum { Schema::Enum { name, bits, items } } else { Schema::Flags { name, bits, items } })
    }

    fn display(&mut self) -> Parse<Display> {
        if !self.tokens.take("as") {
            return Ok(Display::Plain);
        }
        let offset = self.tokens.offset();
        let word = self.word("a way to show")?;
        [Display::Time, Display::Uuid, Display::Mode, Display::Size]
            .into_iter()
            .find(|display| display.name() == Some(word))
            .ok_or_else(|| (offset, format!("expected time, uuid, mode or size, found `{word}`")))
    }

    /// `open item, item close`.
    pub(super) fn list(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> Parse<()>) -> Parse<()> {
        self.need(open)?;
        if self.tokens.take(close) {
            return Ok(());
        }
        loop {
            item(self)?;
            if !self.tokens.take(",") {
                return self.need(close);
            }
        }
    }
}
