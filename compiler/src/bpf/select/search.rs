//! Searches: what each round would make again is made once before them, and a round's guard is the test of its probe's address.
//!
//! Of a round of walk A 26 instructions are left 21 (with [`powers`](crate::opt) 18): the address of the block stays in a register, the guard that keeps
//! the probe inside the array is the compare that the kernel's verifier wants before the access, and a key of 64 bits that all
//! rounds compare with is halved beforehand.

use super::cond::{Comparison, Test};
use super::uses::{made_by, op_of};
use super::{AddrKey, Selector};
use crate::bpf::insn::{AluOp, Cond, Rhs};
use crate::bpf::program::Symbol;
use crate::bpf::vcode::{Exit, VInsn, VReg};
use crate::fx::FxHashMap;
use crate::ir::defs::Def;
use crate::ir::halving::Halving;
use crate::ir::{BinOp, Block, CmpOp, FaultRef, Mode, Op, Region, Terminator, Ty, Value};

/// What was made before a search.
#[derive(Default)]
pub struct Outside {
    /// Addresses of areas, and the headers behind which they are kept.
    areas: FxHashMap<Symbol, (Block, VReg)>,
    /// Operands of comparisons, by whether equality counts.
    halves: FxHashMap<(Value, bool), (Block, [VReg; 2])>,
}

/// A comparison `y <= x` or `y < x` whose `x` is halved already.
#[derive(Clone, Copy)]
pub(super) struct Halves {
    y: Value,
    /// `(x >> 1) + 1` and `~x & 1`, or `(x >> 1) + (x & 1)` and `x & 1`.
    x: [VReg; 2],
    /// Whether it says what the comparison says, or the contrary.
    pub(super) truth: bool,
}

impl Selector<'_> {
    /// Makes what a search needs that this jump leads into.
    pub(super) fn make_outside(&mut self, term: &Terminator) {
        let Terminator::Jump(target) = term else { return };
        let header = target.block;
        if self.f.block(header).header.is_none() || self.layout.cuts.is_behind(header) || self.goes_back(header) {
            return;
        }
        let Some(halving) = Halving::of(self.f, &self.graph, &self.defs, header) else { return };
        let f = self.f;
        let held = matches!(&f.block(header).header, Some(h) if !self.uses.is_needed(h.counter));
        if held && !halving.is_seen() {
            // From here on the verifier can count the rounds: each halves what this allows.
            let room = self.reg(target.args[halving.place]);
            let most = Rhs::Imm(halving.start.hi as i32);
            self.push(VInsn::ExitIf { cond: Cond::Gt, a: room, b: most, exit: Exit::Trap });
        }
        let inside: Vec<Block> = self.graph.order.iter().copied().filter(|b| self.is_in_loop(*b, header)).collect();
        for inst in inside.iter().flat_map(|b| &f.block(*b).insts) {
            match &inst.op {
                Op::Load { addr, .. } if addr.base.is_some() || addr.index.is_some() => {
                    let (symbol, start, _) = self.region(addr.region);
                    if start == 0 && self.outside_area_of(symbol, header).is_none() {
                        let register = match self.here.areas.get(&symbol) {
                            Some(register) => *register,
                            None => self.address_of(symbol, 0),
                        };
                        self.outside.areas.insert(symbol, (header, register));
                    }
                }
                Op::Select { cond, .. } if !inst.result.is_some_and(|v| self.is_parted(v, *cond)) => {
                    let (condition, _) = self.without_negation(*cond, true);
                    let Some(c) = self.comparison(condition, true) else { continue };
                    self.make_halves(c, header, &inside);
                }
                _ => {}
            }
        }
    }

    /// Whether a search branches here: where it compares a varint that was looked for. Reading one takes so long that nothing is lost if the
    /// processor begins with the next probe before the comparison is done, even if it guesses wrong every second time.
    pub(super) fn is_parted(&self, chosen: Value, condition: Value) -> bool {
        let (condition, _) = self.without_negation(condition, true);
        let sought = |v: Value| match made_by(self.f, &self.defs, v) {
            Some(Op::Decoded(size)) => self.uses.is_sought(*size),
            _ => false,
        };
        self.calls
            && self.widening.is_chosen(chosen)
            && self.comparison(condition, true).is_some_and(|c| sought(c.a) || sought(c.b))
    }

    /// `if condition { a } else { b }` with a branch.
    pub(super) fn part(&mut self, condition: Value, a: Value, b: Value) -> VReg {
        let values = [self.reg(a), self.reg(b)];
        match self.test(condition, true) {
            Test::Known(truth) => values[usize::from(!truth)],
            Test::Jump(cond, x, y) => {
                let [then, other, ended] = [(); 3].map(|()| self.code.block());
                let chosen = self.code.vreg();
                self.code.blocks[ended.0 as usize].params.push(chosen);
                self.push(VInsn::Branch { cond, a: x, b: y, then, other });
                for (way, value) in [then, other].into_iter().zip(values) {
                    self.current = way;
                    self.push(VInsn::Jump { to: ended, args: vec![value] });
                }
                self.current = ended;
                chosen
            }
        }
    }

    fn is_in_loop(&self, b: Block, header: Block) -> bool {
        self.widening.is_within(b, header)
    }

    /// The address of an area, if it is kept here.
    pub(super) fn outside_area(&self, symbol: Symbol) -> Option<VReg> {
        self.outside_area_of(symbol, self.at)
    }

    fn outside_area_of(&self, symbol: Symbol, at: Block) -> Option<VReg> {
        let (header, register) = self.outside.areas.get(&symbol)?;
        self.is_behind(*header, at).then_some(*register)
    }

    /// Whether what was made before this header is there.
    fn is_behind(&self, header: Block, at: Block) -> bool {
        self.graph.dominates(header, at)
            && self.steps.step(header) == self.steps.step(at)
            && !self.layout.cuts.is_behind(at)
    }

    fn make_halves(&mut self, c: Comparison, header: Block, inside: &[Block]) {
        let wide = matches!(c.op, CmpOp::Lt | CmpOp::Le)
            && self.number(c.a).is_none()
            && self.number(c.b).is_none()
            && !self.difference_fits(c.a, c.b)
            && !self.difference_fits(c.b, c.a);
        if !wide {
            return;
        }
        let comes_in = |v: Value| self.defs.get(v).map(Def::block).is_some_and(|b| !inside.contains(&b));
        // `a < b` is `y < x` of y = a and the contrary of `y <= x` of y = b; `a <= b` the other way round.
        let (x, or_equal) = match (comes_in(c.a), comes_in(c.b)) {
            (false, true) => (c.b, c.op == CmpOp::Le),
            (true, false) => (c.a, c.op == CmpOp::Lt),
            _ => return,
        };
        let known = self.outside.halves.get(&(x, or_equal)).is_some_and(|(h, _)| self.is_behind(*h, header));
        if known {
            return;
        }
        let shift = self.half_shift(x);
        let register = self.reg(x);
        let half = self.alu(shift, register, 1);
        let pair = match or_equal {
            true => {
                let inverse = self.alu(AluOp::Xor, register, -1);
                let odd = self.alu(AluOp::And, inverse, 1);
                [self.alu(AluOp::Add, half, 1), odd]
            }
            false => {
                let odd = self.alu(AluOp::And, register, 1);
                [self.alu(AluOp::Add, half, odd), odd]
            }
        };
        self.outside.halves.insert((x, or_equal), (header, pair));
    }

    fn half_shift(&self, v: Value) -> AluOp {
        if self.f.value(v).ty == Ty::I64 { AluOp::Arsh } else { AluOp::Rsh }
    }

    /// The comparison by halves, if one of its operands is halved already.
    pub(super) fn halves_of(&self, c: Comparison) -> Option<Halves> {
        let halved = |x: Value, or_equal: bool| {
            let (header, pair) = self.outside.halves.get(&(x, or_equal))?;
            self.is_behind(*header, self.at).then_some(*pair)
        };
        let or_equal = match c.op {
            CmpOp::Le => true,
            CmpOp::Lt => false,
            CmpOp::Eq | CmpOp::Ne => return None,
        };
        let forward = halved(c.b, or_equal).map(|x| Halves { y: c.a, x, truth: true });
        forward.or_else(|| halved(c.a, !or_equal).map(|x| Halves { y: c.b, x, truth: false }))
    }

    /// A word that is negative if `y` is at most `x`: `y/2 - x/2 - 1`, and one more where the halves hide that `y` is greater. Or if it is less:
    /// `y/2 - x/2`, and one less where they hide that `y` is less.
    pub(super) fn sign_by_halves(&mut self, halves: Halves) -> VReg {
        let y = self.reg(halves.y);
        let half = self.alu(self.half_shift(halves.y), y, 1);
        let difference = self.alu(AluOp::Sub, half, halves.x[0]);
        let odd = self.alu(AluOp::And, y, halves.x[1]);
        self.alu(AluOp::Add, difference, odd)
    }

    /// Where a guard compares with a number and what it lets pass is scaled into an address in this block, the scaled compare serves both.
    pub(super) fn guarded_pointer(&mut self, condition: Value, fault: &FaultRef) -> bool {
        let Some(found) = self.scaled_index(condition) else { return false };
        let (symbol, start, size) = self.region(found.key.region);
        let Some(extent) = self.uses.extent(&found.key) else { return false };
        let limit = u64::try_from(found.most * found.scale).ok();
        let Some(limit) = limit.filter(|l| l + u64::from(extent) <= size.into() && *l <= i32::MAX as u64) else {
            return false;
        };
        let register = self.reg(found.guarded);
        let var = match found.scale.count_ones() {
            1 if found.scale == 1 => register,
            1 => self.alu(AluOp::Lsh, register, found.scale.trailing_zeros() as i32),
            _ => self.alu(AluOp::Mul, register, found.scale as i32),
        };
        if found.scale != 1 {
            self.registers[found.index.index()] = Some(var);
        }
        let exit = self.exit(fault);
        let pointer = self.bounded(symbol, start, var, limit as u32, exit);
        self.keep_pointer(found.key, pointer.base);
        true
    }

    fn scaled_index(&self, condition: Value) -> Option<Scaled> {
        let f = self.f;
        if self.layout.cuts.is_behind(self.at) || !self.uses.is_tested(condition) {
            return None;
        }
        let Op::Compare { op, a, b } = op_of(f, &self.defs, condition)? else { return None };
        let n = f.value(*b).range.as_const()?;
        let most = match op {
            CmpOp::Le => n,
            CmpOp::Lt => n - 1,
            CmpOp::Eq | CmpOp::Ne => return None,
        };
        if f.value(*a).ty != Ty::U64 || f.value(*a).range.as_const().is_some() || most < 0 {
            return None;
        }
        let insts = &f.block(self.at).insts;
        let refined = insts.iter().find_map(|i| match i.op {
            Op::Refine { a: of, cond, sense: true } if of == *a && cond == condition => i.result,
            _ => None,
        })?;
        let scaled = insts.iter().find_map(|i| match i.op {
            Op::Binary { op: BinOp::Mul, mode: Mode::Exact, a, b } if a == refined => {
                Some((i.result?, f.value(b).range.as_const()?))
            }
            _ => None,
        });
        let (index, scale) = scaled.unwrap_or((refined, 1));
        let fits = |n: i128| n.checked_mul(scale).is_some_and(|n| n <= i64::MAX.into());
        if scale < 1
            || scale > i32::MAX.into()
            || !fits(f.value(*a).range.hi)
            || self.registers[index.index()].is_some()
        {
            return None;
        }
        let key = insts.iter().find_map(|i| match &i.op {
            Op::Load { addr, .. }
                if addr.region == Region::Disk && addr.base.is_none() && addr.index == Some(index) =>
            {
                Some(AddrKey::of(f, addr))
            }
            _ => None,
        })?;
        let known = self.here.pointers.contains_key(&key) || self.shared.contains_key(&key);
        (!known && f.value(index).range.as_const().is_none()).then_some(Scaled { guarded: *a, index, scale, most, key })
    }
}

/// An index that a guard bounds.
struct Scaled {
    /// What the guard compares.
    guarded: Value,
    /// The index, `scale` times that.
    index: Value,
    scale: i128,
    /// The most that passes.
    most: i128,
    key: AddrKey,
}
