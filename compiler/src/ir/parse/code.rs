//! Blocks, operations and terminators.

use super::lex::{self, Token};
use super::{Parse, Parser};
use crate::ir::eval::number;
use crate::ir::*;

impl Parser<'_> {
    pub(super) fn block(&mut self) -> Parse<()> {
        self.next_id("b", "a block", self.f.blocks.len())?;
        let mut params = Vec::new();
        if self.tokens.peek() == Token::Punct("(") {
            self.list("(", ")", |p| {
                let v = p.define()?;
                p.f.values[v.index()].span = p.span()?.unwrap_or_default();
                params.push(v);
                Ok(())
            })?;
        }
        let mut disk = None;
        if self.tokens.take("disk") {
            let len = self.use_value()?;
            self.need("min")?;
            disk = Some(Disk { len, min: self.int()? });
        }
        let mut header = None;
        if self.tokens.take("loop") {
            let counter = self.use_value()?;
            self.need("<")?;
            header = Some(LoopInfo { counter, most: self.int()? });
        }
        self.need(":")?;
        let mut insts = Vec::new();
        let term = loop {
            if let Some(term) = self.terminator()? {
                break term;
            }
            insts.push(self.inst()?);
        };
        let span = self.span()?.unwrap_or_default();
        self.f.blocks.push(BlockData { params, disk, header, insts, term, span });
        Ok(())
    }

    fn inst(&mut self) -> Parse<Inst> {
        let mut result = None;
        let mut value_span = None;
        if let Token::Word(word) = self.tokens.peek()
            && lex::id(word, "v").is_some()
        {
            result = Some(self.define()?);
            value_span = self.span()?;
            self.need("=")?;
        }
        let ty = result.map_or(Ty::U64, |v| self.f.value(v).ty);
        let op = self.op(ty)?;
        let span = self.span()?.unwrap_or_default();
        if let Some(v) = result {
            self.f.values[v.index()].span = value_span.unwrap_or(span);
        }
        Ok(Inst { op, result, span })
    }

    fn op(&mut self, ty: Ty) -> Parse<Op> {
        let offset = self.tokens.offset();
        let word = self.word("an operation or a terminator")?;
        let (name, suffix) = word.split_once('.').unwrap_or((word, ""));
        if let Some(op) = BinOp::from_name(name) {
            let (a, b) = self.pair()?;
            let mode = match suffix {
                "" => Mode::Exact,
                "wrap" => Mode::Wrap,
                "checked" => Mode::Checked(self.otherwise()?),
                _ => {
                    return Err((
                        offset,
                        format!("expected `{name}`, `{name}.checked` or `{name}.wrap`, found `{word}`"),
                    ));
                }
            };
            return Ok(Op::Binary { op, mode, a, b });
        }
        if let Some((width, endian)) = width(suffix) {
            let addr = self.addr()?;
            match name {
                "load" => return Ok(Op::Load { addr, width, endian }),
                "store" => {
                    self.need(",")?;
                    return Ok(Op::Store { addr, width, endian, value: self.use_value()? });
                }
                _ => {}
            }
        }
        if let ("varint", Some(kind)) = (name, Varint::from_name(suffix)) {
            let addr = self.addr()?;
            self.need("within")?;
            let limit = self.use_value()?;
            let outside = self.otherwise()?;
            let wide = self.tokens.take("wide").then(|| self.fault()).transpose()?;
            return Ok(Op::Varint { kind, addr, limit, outside, wide });
        }
        if let Some(op) = CmpOp::from_name(word) {
            let (a, b) = self.pair()?;
            return Ok(Op::Compare { op, a, b });
        }
        Ok(match word {
            "const" => self.constant(ty)?,
            "arg" => Op::Arg(self.int()?),
            "arglen" => Op::ArgLen(self.int()?),
            "select" => {
                let cond = self.use_value()?;
                self.need(",")?;
                let (a, b) = self.pair()?;
                Op::Select { cond, a, b }
            }
            "decoded" => Op::Decoded(self.use_value()?),
            "cast" => Op::Cast(self.use_value()?),
            "reinterpret" => Op::Reinterpret(self.use_value()?),
            "extend" => {
                let bits = self.int()?;
                self.need(",")?;
                Op::Extend { bits, a: self.use_value()? }
            }
            "refine" => {
                let a = self.use_value()?;
                let sense = self.tokens.take("if");
                if !sense {
                    self.need("unless")?;
                }
                Op::Refine { a, cond: self.use_value()?, sense }
            }
            "check" => {
                let region = self.region()?;
                let a = self.use_value()?;
                self.need("+")?;
                let size = self.size()?;
                self.need("<=")?;
                let limit = self.use_value()?;
                Op::Check { region, a, size, limit, fault: self.otherwise()? }
            }
            "guard" => Op::Guard { cond: self.use_value()?, fault: self.otherwise()? },
            "prove" => {
                let cond = self.use_value()?;
                self.need("as")?;
                Op::Prove { cond, obligation: self.id("o", "an obligation")? }
            }
            "copy" => {
                let to = self.addr()?;
                self.need(",")?;
                let from = self.addr()?;
                self.need(",")?;
                Op::Copy { to, from, len: self.size()? }
            }
            _ => return Err((offset, format!("expected an operation or a terminator, found `{word}`"))),
        })
    }

    fn constant(&mut self, ty: Ty) -> Parse<Op> {
        let offset = self.tokens.offset();
        let n: i128 = self.int()?;
        let word = n as u64;
        // A word of the type `Bool` may hold more than one bit in a wrong function, and must come back as it was.
        let same = number(if ty == Ty::I64 { Ty::I64 } else { Ty::U64 }, word) == n;
        if same {
            Ok(Op::Const(word))
        } else {
            Err((offset, format!("expected a number that fits {}, found {n}", ty.name())))
        }
    }

    /// The terminator, if one is next.
    fn terminator(&mut self) -> Parse<Option<Terminator>> {
        let Token::Word(word) = self.tokens.peek() else { return Ok(None) };
        if !matches!(word, "jump" | "branch" | "hop" | "emit" | "return" | "fault") {
            return Ok(None);
        }
        self.tokens.advance();
        Ok(Some(match word {
            "jump" => Terminator::Jump(self.target()?),
            "branch" => {
                let cond = self.use_value()?;
                self.need(",")?;
                let then = self.target()?;
                self.need(",")?;
                Terminator::Branch { cond, then, other: self.target()? }
            }
            "hop" => {
                let source = SourceId(self.id("i", "a source")?);
                self.need("at")?;
                let offset = self.use_value()?;
                self.need("len")?;
                let len = self.use_value()?;
                self.need("to")?;
                let next = self.target()?;
                let keep = self.keep()?;
                self.need("else")?;
                Terminator::Hop { source, offset, len, next, keep, fault: self.fault_id()? }
            }
            "emit" => {
                self.need("to")?;
                Terminator::Emit { next: self.target()?, keep: self.keep()? }
            }
            "return" => Terminator::Return,
            _ => Terminator::Fault(self.fault()?),
        }))
    }

    fn keep(&mut self) -> Parse<Vec<Slot>> {
        let mut keep = Vec::new();
        if self.tokens.take("keep") {
            while let Token::Word(word) = self.tokens.peek()
                && let Some(id) = lex::id(word, "s")
            {
                self.tokens.advance();
                keep.push(Slot(id));
            }
        }
        Ok(keep)
    }

    fn target(&mut self) -> Parse<Target> {
        let block = Block(self.id("b", "a block")?);
        let mut args = Vec::new();
        if self.tokens.peek() == Token::Punct("(") {
            self.list("(", ")", |p| {
                args.push(p.use_value()?);
                Ok(())
            })?;
        }
        Ok(Target { block, args })
    }

    fn otherwise(&mut self) -> Parse<FaultRef> {
        self.need("else")?;
        self.fault()
    }

    fn fault(&mut self) -> Parse<FaultRef> {
        let mut fault = FaultRef { fault: self.fault_id()?, found: None, at: None };
        if self.tokens.peek() == Token::Punct("(") {
            self.list("(", ")", |p| {
                if p.tokens.take("found") {
                    fault.found = Some(p.use_value()?);
                } else {
                    p.need("at")?;
                    fault.at = Some(p.use_value()?);
                }
                Ok(())
            })?;
        }
        Ok(fault)
    }

    fn pair(&mut self) -> Parse<(Value, Value)> {
        let a = self.use_value()?;
        self.need(",")?;
        Ok((a, self.use_value()?))
    }

    fn size(&mut self) -> Parse<Size> {
        match self.tokens.peek() {
            Token::Number(_) => Ok(Size::Const(self.int()?)),
            _ => Ok(Size::Value(self.use_value()?)),
        }
    }

    fn region(&mut self) -> Parse<Region> {
        let offset = self.tokens.offset();
        let word = self.word("a region")?;
        let numbered = |prefix| lex::id(word, prefix);
        match word {
            "disk" => Ok(Region::Disk),
            "out" => Ok(Region::Out),
            _ => numbered("arg")
                .map(Region::Arg)
                .or(numbered("s").map(|id| Region::Slot(Slot(id))))
                .or(numbered("d").map(|id| Region::Data(DataId(id))))
                .ok_or_else(|| (offset, format!("expected a region (disk, out, arg0, s0, d0), found `{word}`"))),
        }
    }

    fn addr(&mut self) -> Parse<Addr> {
        let mut addr = Addr { region: self.region()?, base: None, index: None, disp: 0 };
        self.need("[")?;
        if self.tokens.take("base") {
            addr.base = Some(self.use_value()?);
            if self.tokens.take("]") {
                return Ok(addr);
            }
            self.need("+")?;
        }
        if let Token::Word(_) = self.tokens.peek() {
            addr.index = Some(self.use_value()?);
            if self.tokens.take("]") {
                return Ok(addr);
            }
            self.need("+")?;
        }
        addr.disp = self.int()?;
        self.need("]")?;
        Ok(addr)
    }
}

/// The end of `load.4le`.
fn width(suffix: &str) -> Option<(u8, Endian)> {
    let (digits, endian) = match suffix.strip_suffix("le") {
        Some(digits) => (digits, Endian::Little),
        None => (suffix.strip_suffix("be")?, Endian::Big),
    };
    Some((digits.parse().ok()?, endian))
}
