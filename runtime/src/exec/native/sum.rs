//! Sums over words that lie one after another are made with vector registers, in four chains.
//!
//! Cranelift does not vectorise. Wrapping addition knows no order, so the sum is the same. The chains are parameters of the loop's
//! block: were they values of a long block, the additions would be moved behind all loads, and most of them spilled.

use super::lower::Lower;
use super::stride::{Inside, Stride};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I64, I64X2};
use cranelift_codegen::ir::{self, BlockArg, InstBuilder};
use std::collections::HashSet;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::{BinOp, Block, CmpOp, Endian, Function, Mode, Op, Target, Terminator, Value};

/// Chains, each of two words.
const CHAINS: usize = 4;
/// Words of one turn.
const TURN_WORDS: u64 = 2 * CHAINS as u64;

/// A loop that does nothing but add words up.
pub(super) struct Sum<'f> {
    /// Parameters of its header.
    counter: Value,
    pub sum: Value,
    turns: u64,
    /// The first word; there is no counter in it.
    first: Stride,
    words: u64,
    /// Where it goes on.
    pub next: &'f Target,
    /// The block that works, of which nothing is left.
    pub body: Block,
}

impl<'f> Sum<'f> {
    /// The loop at a header, if it is one.
    pub fn of(f: &'f Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Sum<'f>> {
        let counter = f.block(header).header?.counter;
        let Terminator::Branch { cond, then, other: next } = &f.block(header).term else { return None };
        let Op::Compare { op: CmpOp::Lt, a, b } = defs.op(f, *cond)? else { return None };
        let turns = u64::try_from(f.value(*b).range.as_const()?).ok()?;
        let body = then.block;
        let Terminator::Jump(back) = &f.block(body).term else { return None };
        let of_counter = f.block(header).params.iter().position(|p| *p == counter)?;
        let ([_, _], [_, _]) = (&f.block(header).params[..], &back.args[..]) else { return None };
        let sum = f.block(header).params[1 - of_counter];
        let is_simple = *a == counter
            && back.block == header
            && then.args.is_empty()
            && graph.predecessors[body.index()].len() == 1
            && f.block(header).insts.iter().all(|i| matches!(i.op, Op::Const(_) | Op::Compare { .. }));
        let starts_at_0 = graph.predecessors[header.index()].iter().all(|(from, i)| {
            let target = f.block(*from).term.targets().nth(*i);
            *from == body || target.is_some_and(|t| f.value(t.args[of_counter]).range.as_const() == Some(0))
        });
        if !is_simple || !starts_at_0 {
            return None;
        }
        let mut values = HashSet::from([counter, sum]);
        for inst in &f.block(body).insts {
            match &inst.op {
                Op::Const(_) | Op::Refine { .. } | Op::Load { .. } => {}
                Op::Binary { op: BinOp::Add | BinOp::Mul, mode: Mode::Exact, .. } => {}
                Op::Binary { op: BinOp::Add, mode: Mode::Wrap, .. } => {}
                Op::Check { .. } if inst.result.is_some_and(|v| f.is_shown(v)) => {}
                _ => return None,
            }
            values.extend(inst.result);
        }
        let inside = Inside { f, defs, counter, values };
        let Op::Binary { op: BinOp::Add, mode: Mode::Exact, a, b } = defs.op(f, back.args[of_counter])? else {
            return None;
        };
        if !inside.is_counter(*a) || f.value(*b).range.as_const() != Some(1) {
            return None;
        }
        let (first, each) = inside.addends(back.args[1 - of_counter], sum)?;
        let words = turns.checked_mul(each)?;
        (words >= 2 * TURN_WORDS).then_some(Sum { counter, sum, turns, first, words, next, body })
    }
}

impl Inside<'_> {
    /// What `total` adds to `sum`, if it is words one after another: the first one in the turn 0, and how many there are in a turn.
    fn addends(&self, total: Value, sum: Value) -> Option<(Stride, u64)> {
        let (mut todo, mut strides, mut sums) = (vec![total], Vec::new(), 0);
        while let Some(v) = todo.pop() {
            if v == sum {
                sums += 1;
                continue;
            }
            match self.defs.op(self.f, v).filter(|_| self.values.contains(&v))? {
                Op::Binary { op: BinOp::Add, mode: Mode::Wrap, a, b } => todo.extend([*a, *b]),
                Op::Load { addr, width: 8, endian: Endian::Little } => strides.push(self.stride(addr)?),
                _ => return None,
            }
            // A value that is added twice is met twice.
            (strides.len() + todo.len() <= self.values.len()).then_some(())?;
        }
        strides.sort_by_key(|stride| stride.disp);
        let mut first = strides.first()?.clone();
        let each = strides.len() as u64;
        let are_in_row = strides
            .iter()
            .zip(0..)
            .all(|(stride, i)| *stride == Stride { disp: first.disp + 8 * i, factor: 8 * each, ..first.clone() });
        first.factor = 0;
        (sums == 1 && are_in_row).then_some((first, each))
    }
}

impl Lower<'_> {
    /// In place of the loop's header and body.
    pub fn sum(&mut self, loop_: &Sum<'_>) {
        let mut start = self.region_start(loop_.first.region);
        let flags = self.region_flags(loop_.first.region);
        for &base in &loop_.first.bases {
            let base = self.get(base);
            start = self.b.ins().iadd(start, base);
        }
        start = self.b.ins().iadd_imm_s(start, loop_.first.disp as i64);
        let in_turns = loop_.words / TURN_WORDS * TURN_WORDS;
        let end = self.b.ins().iadd_imm_s(start, 8 * in_turns as i64);
        let zero = self.const_word(0);
        let zero = self.b.ins().splat(I64X2, zero);

        let (turn, done) = (self.b.create_block(), self.b.create_block());
        let at = self.b.append_block_param(turn, I64);
        let chains = [(); CHAINS].map(|()| self.b.append_block_param(turn, I64X2));
        let enter: Vec<BlockArg> = std::iter::once(start).chain([zero; CHAINS]).map(BlockArg::Value).collect();
        self.b.ins().jump(turn, &enter);
        self.b.switch_to_block(turn);
        let words = [0, 1, 2, 3].map(|i| self.b.ins().load(I64X2, flags, at, 16 * i));
        let sums = [0, 1, 2, 3].map(|i| self.b.ins().iadd(chains[i], words[i]));
        let next = self.b.ins().iadd_imm_s(at, 8 * TURN_WORDS as i64);
        let again: Vec<BlockArg> = std::iter::once(next).chain(sums).map(BlockArg::Value).collect();
        let more = self.b.ins().icmp(IntCC::NotEqual, next, end);
        self.b.ins().brif(more, turn, &again, done, &[]);

        self.b.switch_to_block(done);
        let [a, b, c, d] = sums;
        let (a, c) = (self.b.ins().iadd(a, b), self.b.ins().iadd(c, d));
        let pair = self.b.ins().iadd(a, c);
        let (low, high) = (self.b.ins().extractlane(pair, 0), self.b.ins().extractlane(pair, 1));
        let mut total: ir::Value = self.b.ins().iadd(low, high);
        for i in 0..loop_.words - in_turns {
            let word = self.b.ins().load(I64, flags, end, 8 * i as i32);
            total = self.b.ins().iadd(total, word);
        }
        let before = self.get(loop_.sum);
        let total = self.b.ins().iadd(before, total);
        self.set(loop_.sum, total);
        let turns = self.const_word(loop_.turns);
        self.set(loop_.counter, turns);
    }
}
