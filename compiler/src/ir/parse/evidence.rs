//! What stands behind the last block: invariants and proofs, as [`crate::ir::print`] writes them.

use super::lex::{self, Token};
use super::{Parse, Parser};
use crate::ir::evidence::{Fact, Invariant, Split, Sum};
use crate::ir::linear::{Atom, Form};
use crate::ir::*;

/// Facts within facts, at most.
const DEPTH_MAX: u32 = 8;

impl Parser<'_> {
    /// An invariant or a proof, if one begins here.
    pub(super) fn evidence(&mut self) -> Parse<bool> {
        if self.tokens.take("invariant") {
            let block = Block(self.id("b", "a block")?);
            let form = self.form()?;
            let edges = self.sums("edge")?;
            self.f.evidence.invariants.push(Invariant { block, form, edges });
        } else if self.tokens.take("proof") {
            let v = self.use_value()?;
            let sums = self.sums("sum")?;
            self.f.evidence.proofs.insert(v, sums);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    /// `[12 v5, -1 v3 v9] + 12`
    fn form(&mut self) -> Parse<Form> {
        let mut form = Some(Form::number(0));
        let offset = self.tokens.offset();
        self.list("[", "]", |p| {
            let factor = p.int()?;
            let first = p.use_value()?;
            let atom = match p.tokens.peek() {
                Token::Word(word) if lex::id(word, "v").is_some() => {
                    let second = p.use_value()?;
                    Atom::Product(first.min(second), first.max(second))
                }
                _ => Atom::Value(first),
            };
            form = form.take().and_then(|f| f.plus(factor, &Form::atom(atom)));
            Ok(())
        })?;
        self.need("+")?;
        let constant = self.int()?;
        let form = form.and_then(|f| f.plus(1, &Form::number(constant)));
        form.ok_or_else(|| (offset, "expected factors that add up within 128 bits".into()))
    }

    fn sums(&mut self, word: &str) -> Parse<Vec<Sum>> {
        let mut sums = Vec::new();
        while self.tokens.take(word) {
            sums.push(self.sum(0)?);
        }
        Ok(sums)
    }

    fn sum(&mut self, depth: u32) -> Parse<Sum> {
        let scale = self.int()?;
        let mut parts = Vec::new();
        self.list("[", "]", |p| {
            let factor = p.int()?;
            parts.push((factor, p.fact(depth)?));
            Ok(())
        })?;
        Ok(Sum { scale, parts })
    }

    fn fact(&mut self, depth: u32) -> Parse<Fact> {
        let offset = self.tokens.offset();
        Ok(match self.word("a fact")? {
            "least" => Fact::Least(self.use_value()?),
            "most" => Fact::Most(self.use_value()?),
            "true" => Fact::Condition { cond: self.use_value()?, sense: true, k: self.int()? },
            "false" => Fact::Condition { cond: self.use_value()?, sense: false, k: self.int()? },
            "def" => Fact::Definition { value: self.use_value()?, k: self.int()? },
            "invariant" => Fact::Invariant(self.int()?),
            "read" => Fact::Read(Block(self.id("b", "a block")?)),
            "product" if depth < DEPTH_MAX => {
                self.need("(")?;
                let first = self.fact(depth + 1)?;
                self.need(",")?;
                let second = self.fact(depth + 1)?;
                self.need(")")?;
                Fact::Product(Box::new(first), Box::new(second))
            }
            "split" if depth < DEPTH_MAX => {
                self.need("(")?;
                let (value, form) = (self.use_value()?, self.form()?);
                self.need(",")?;
                let first = self.sum(depth + 1)?;
                self.need(",")?;
                let second = self.sum(depth + 1)?;
                self.need(")")?;
                Fact::Split(Box::new(Split { value, form, arms: [first, second] }))
            }
            word => return Err((offset, format!("expected a fact (least, most, true, …), found `{word}`"))),
        })
    }
}
