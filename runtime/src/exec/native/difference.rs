//! Loops that look for the first byte in which two areas differ: a comparison of keys. They are entered at that byte, which is found
//! eight bytes at a time.
//!
//! Such a loop does nothing but count while the bytes are equal, so it may begin with any number up to which they are.

use super::lower::Lower;
use super::stride::{Inside, Stride};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder};
use std::collections::HashSet;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::{BinOp, Block, CmpOp, Function, Mode, Op, Region, Terminator, Value};

/// Blocks of such a loop: two tests of the counter, the comparison and the way back.
const BLOCKS_MAX: usize = 6;
/// Bytes compared at once.
const WORD: i64 = 8;

/// The loop.
pub(super) struct Difference {
    counter: Value,
    /// The counter stays below these.
    limits: Vec<Value>,
    sides: [Stride; 2],
    /// The length of the disk block, for sides in it.
    pub block_len: Option<Value>,
}

impl Difference {
    /// The loop at a header, if it is one.
    pub fn of(f: &Function, defs: &Defs, header: Block) -> Option<Difference> {
        f.block(header).header?;
        let [counter] = f.block(header).params[..] else { return None };
        let mut inside = Inside { f, defs, counter, values: HashSet::from([counter]) };
        let (mut limits, mut compared, mut block) = (Vec::new(), None, header);
        for _ in 0..BLOCKS_MAX {
            for inst in &f.block(block).insts {
                let result = inst.result?;
                match &inst.op {
                    Op::Const(_) | Op::Compare { .. } | Op::Refine { .. } | Op::Load { .. } => {}
                    Op::Binary { mode: Mode::Exact, .. } => {}
                    Op::Check { .. } if f.is_shown(result) => {}
                    _ => return None,
                }
                inside.values.insert(result);
            }
            let next = match &f.block(block).term {
                Terminator::Jump(back) if back.block == header => {
                    let one_more = match defs.op(f, back.args[0])? {
                        Op::Binary { op: BinOp::Add, mode: Mode::Exact, a, b } => {
                            inside.is_counter(*a) && f.value(*b).range.as_const() == Some(1)
                        }
                        _ => false,
                    };
                    let (a, b) = compared.filter(|_| one_more)?;
                    let sides = [inside.side(a)?, inside.side(b)?];
                    let block_len = f.block(header).disk.map(|disk| disk.len);
                    return Difference { counter, limits, sides, block_len }.in_bounds(f);
                }
                Terminator::Branch { cond, then, other } => match defs.op(f, *cond)? {
                    Op::Compare { op: CmpOp::Lt, a, b } if inside.is_counter(*a) => {
                        let known = f.value(*b).range.as_const().is_some();
                        (known || !inside.values.contains(b)).then(|| limits.push(*b))?;
                        then
                    }
                    Op::Compare { op, a, b } if matches!(op, CmpOp::Eq | CmpOp::Ne) => {
                        compared.is_none().then(|| compared = Some((*a, *b)))?;
                        if *op == CmpOp::Eq { then } else { other }
                    }
                    _ => return None,
                },
                _ => return None,
            };
            (next.args.is_empty() && next.block != header).then_some(())?;
            block = next.block;
        }
        None
    }

    /// Itself, if all bytes below the limits are surely there in regions of a known size; what lies in the disk block is tested at run time.
    fn in_bounds(self, f: &Function) -> Option<Difference> {
        let most = self.limits.iter().map(|v| f.value(*v).range.hi).min()?;
        let is_good = |side: &Stride| {
            let bases: i128 = side.bases.iter().map(|v| f.value(*v).range.hi).sum();
            let end = bases + i128::from(side.disp) + most;
            match side.region {
                Region::Disk => end <= i64::MAX.into(),
                Region::Arg(i) => end <= (f.args[i as usize].kind.size() - 8).into(),
                Region::Slot(slot) => end <= f.slots[slot.index()].size.into(),
                Region::Data(data) => end <= f.data[data.index()].bytes.len() as i128,
                Region::Out => false,
            }
        };
        let is_unsigned = self.limits.iter().all(|v| f.value(*v).range.lo >= 0);
        (is_unsigned && self.sides.iter().all(is_good)).then_some(self)
    }
}

impl Inside<'_> {
    /// What a loaded byte is of.
    fn side(&self, v: Value) -> Option<Stride> {
        match self.defs.op(self.f, v)? {
            Op::Load { addr, width: 1, .. } if self.values.contains(&v) => {
                self.stride(addr).filter(|stride| stride.factor == 1)
            }
            _ => None,
        }
    }
}

impl Lower<'_> {
    /// At the begin of the loop's header: takes the counter on as far as the bytes are equal.
    pub fn skip_equal(&mut self, loop_: &Difference) {
        let counter = self.get(loop_.counter);
        let mut limits = loop_.limits.iter().map(|&v| self.get_or_known(v)).collect::<Vec<_>>().into_iter();
        let first = limits.next().expect("such a loop has a limit");
        let limit = limits.fold(first, |least, limit| self.b.ins().umin(least, limit));
        let mut is_long = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, limit, WORD);
        let mut starts = Vec::with_capacity(2);
        for side in &loop_.sides {
            let mut at = self.const_word(side.disp);
            for &base in &side.bases {
                let base = self.get(base);
                at = self.b.ins().iadd(at, base);
            }
            if side.region == Region::Disk {
                let len = loop_.block_len.expect("the verifier has shown that a disk block is there");
                let (end, len) = (self.b.ins().iadd(at, limit), self.get(len));
                let lies = self.b.ins().icmp(IntCC::UnsignedLessThanOrEqual, end, len);
                is_long = self.b.ins().band(is_long, lies);
            }
            let start = self.region_start(side.region);
            starts.push((self.b.ins().iadd(start, at), self.region_flags(side.region)));
        }
        let [words, differs, equal, bytes] = [(); 4].map(|()| self.b.create_block());
        let (at, found) = (self.b.append_block_param(words, I64), self.b.append_block_param(bytes, I64));
        self.b.ins().brif(is_long, words, &[counter.into()], bytes, &[counter.into()]);

        // The last word lies at the end, over bytes that are known to be equal.
        self.b.switch_to_block(words);
        let last = self.b.ins().iadd_imm_s(limit, -WORD);
        let here = self.b.ins().umin(at, last);
        let [a, b] = [0, 1].map(|i| {
            let (start, flags) = starts[i];
            let address = self.b.ins().iadd(start, here);
            self.b.ins().load(I64, flags, address, 0)
        });
        let difference = self.b.ins().bxor(a, b);
        self.b.ins().brif(difference, differs, &[], equal, &[]);

        // A byte before the counter says nothing: it was not asked for.
        self.b.switch_to_block(differs);
        let bits = self.b.ins().ctz(difference);
        let byte = self.b.ins().ushr_imm_u(bits, 3);
        let byte = self.b.ins().iadd(here, byte);
        self.go_on_at(byte, counter, bytes);

        self.b.switch_to_block(equal);
        let next = self.b.ins().iadd_imm_s(here, WORD);
        let is_end = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, next, limit);
        let end = self.b.create_block();
        self.b.ins().brif(is_end, end, &[], words, &[next.into()]);
        self.b.switch_to_block(end);
        self.go_on_at(next, counter, bytes);

        self.b.switch_to_block(bytes);
        self.set(loop_.counter, found);
    }

    fn go_on_at(&mut self, byte: ir::Value, counter: ir::Value, bytes: ir::Block) {
        let byte = self.b.ins().umax(byte, counter);
        self.b.ins().jump(bytes, &[byte.into()]);
    }

    /// A value that may be a number that is only defined later.
    fn get_or_known(&mut self, v: Value) -> ir::Value {
        match self.known(v) {
            Some(word) => self.const_word(word as u64),
            None => self.get(v),
        }
    }
}
