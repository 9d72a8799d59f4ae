//! Conditions: as jumps where they are tested, as words and masks where they are computed with.
//!
//! Words and masks are made without branches. In a search whose result becomes an address, a branch would double the states
//! of the kernel's verifier in each round; arithmetic keeps it at one path.

use super::Selector;
use super::uses::{negated, op_of, refined};
use crate::bpf::insn::{AluOp, Cond, Rhs};
use crate::bpf::vcode::VReg;
use crate::ir::{BinOp, CmpOp, FaultRef, Mode, Op, Ty, Value, eval};

/// A condition as a jump tests it.
#[derive(Clone, Copy, Debug)]
pub enum Test {
    /// It is known.
    Known(bool),
    /// Two operands are compared.
    Jump(Cond, VReg, Rhs<VReg>),
}

/// A comparison, or the negation of one.
#[derive(Clone, Copy)]
pub(super) struct Comparison {
    pub(super) op: CmpOp,
    pub(super) a: Value,
    pub(super) b: Value,
    /// Whether it must hold or fail.
    sense: bool,
}

impl Selector<'_> {
    /// How to test that a condition is `sense`.
    pub(super) fn test(&mut self, condition: Value, sense: bool) -> Test {
        let (condition, sense) = self.without_negation(condition, sense);
        if let Some(n) = self.number(condition) {
            return Test::Known((n != 0) == sense);
        }
        match self.comparison(condition, sense) {
            Some(c) => self.compare(c),
            None => Test::Jump(if sense { Cond::Ne } else { Cond::Eq }, self.reg(condition), Rhs::Imm(0)),
        }
    }

    pub(super) fn guard(&mut self, condition: Value, fault: &FaultRef) {
        let test = self.test(condition, false);
        let exit = self.exit(fault);
        self.exit_if(test, exit);
    }

    /// Follows negations that have no register of their own.
    pub(super) fn without_negation(&self, condition: Value, sense: bool) -> (Value, bool) {
        let (mut condition, mut sense) = (condition, sense);
        while let Some(inner) = negated(self.f, &self.defs, condition).filter(|_| self.uses.is_tested(condition)) {
            (condition, sense) = (inner, !sense);
        }
        (condition, sense)
    }

    /// The comparison that a condition melts into, if it is one that is only tested.
    pub(super) fn comparison(&self, condition: Value, sense: bool) -> Option<Comparison> {
        match op_of(self.f, &self.defs, condition)? {
            Op::Compare { op, a, b } if self.uses.is_tested(condition) => {
                Some(Comparison { op: *op, a: *a, b: *b, sense })
            }
            _ => None,
        }
    }

    fn compare(&mut self, Comparison { op, a, b, sense }: Comparison) -> Test {
        let ty = self.f.value(a).ty;
        if let (Some(a), Some(b)) = (self.number(a), self.number(b)) {
            return Test::Known(eval::compare(op, ty, a, b) == sense);
        }
        let signed = ty == Ty::I64;
        let cond = match op {
            CmpOp::Eq => Cond::Eq,
            CmpOp::Ne => Cond::Ne,
            CmpOp::Lt if signed => Cond::Slt,
            CmpOp::Lt => Cond::Lt,
            CmpOp::Le if signed => Cond::Sle,
            CmpOp::Le => Cond::Le,
        };
        let cond = if sense { cond } else { cond.negated().expect("only the test of common bits has no negation") };
        self.jump_on(cond, a, b)
    }

    /// A test of two values, at least one of which is not known.
    pub(super) fn jump_on(&mut self, cond: Cond, a: Value, b: Value) -> Test {
        match self.number(a) {
            Some(n) => {
                let (b, a) = (self.counted(b), self.rhs_number(n));
                Test::Jump(cond.swapped(), b, a)
            }
            // With a number the counter itself is compared: that is what shows that the loop ends.
            None if self.number(b).is_some() => Test::Jump(cond, self.counted(a), self.rhs(b)),
            None => Test::Jump(cond, self.reg(a), self.rhs(b)),
        }
    }

    /// A comparison as 0 or 1.
    pub(super) fn compare_word(&mut self, op: CmpOp, a: Value, b: Value) -> VReg {
        if let (Some(x), Some(y)) = (self.number(a), self.number(b)) {
            return self.imm(eval::compare(op, self.f.value(a).ty, x, y).into());
        }
        let sign = self.sign(Comparison { op, a, b, sense: true });
        self.alu(AluOp::Rsh, sign, 63)
    }

    /// `if condition { a } else { b }`.
    pub(super) fn select(&mut self, condition: Value, a: Value, b: Value) -> VReg {
        let (condition, sense) = self.without_negation(condition, true);
        if let Some(n) = self.number(condition) {
            return self.reg(if (n != 0) == sense { a } else { b });
        }
        let (mask, holds) = self.mask(condition);
        let (a, b) = if holds == sense { (a, b) } else { (b, a) };
        // All ones choose `a`, zeroes `b`.
        match (self.number(a), self.number(b)) {
            (Some(1), Some(0)) => self.neg(mask),
            (_, Some(0)) => {
                let a = self.rhs(a);
                self.alu(AluOp::And, mask, a)
            }
            (Some(0), _) => {
                let inverse = self.alu(AluOp::Xor, mask, -1);
                let b = self.rhs(b);
                self.alu(AluOp::And, inverse, b)
            }
            _ => self.choose(a, b, mask),
        }
    }

    /// `a` where the mask is all ones, `b` where it is 0.
    fn choose(&mut self, a: Value, b: Value, mask: VReg) -> VReg {
        match (self.addend(a, b), self.addend(b, a)) {
            (Some(step), _) => {
                let (step, b) = (self.masked(step, mask), self.reg(b));
                self.alu(AluOp::Add, b, step)
            }
            (_, Some(step)) => {
                let (step, b) = (self.masked(step, mask), self.reg(b));
                self.alu(AluOp::Sub, b, step)
            }
            (None, None) => {
                let b_reg = self.reg(b);
                let a_rhs = self.rhs(a);
                let difference = self.alu(AluOp::Xor, b_reg, a_rhs);
                let difference = self.alu(AluOp::And, difference, mask);
                self.alu(AluOp::Xor, difference, b_reg)
            }
        }
    }

    /// The value or 0. The mask comes second: where zeroes or ones are masked with a number, the verifier of kernel 6.18 parts its ways.
    fn masked(&mut self, v: Value, mask: VReg) -> VReg {
        let register = self.reg(v);
        self.alu(AluOp::And, register, mask)
    }

    /// What is added to `b` to make `a`, if it is made so: a search goes on by a step or not at all.
    fn addend(&self, a: Value, b: Value) -> Option<Value> {
        let same = |v: Value| refined(self.f, &self.defs, v);
        let step = match op_of(self.f, &self.defs, same(a))? {
            Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Wrap, a: x, b: y } if same(*x) == same(b) => *y,
            Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Wrap, a: x, b: y } if same(*y) == same(b) => *x,
            _ => return None,
        };
        // No operand of the choice, it need not be alive here: a hop or a cut may lie between.
        let block = self.defs.get(step)?.block();
        let near = block == self.at
            || !self.layout.cuts.is_behind(self.at) && self.steps.step(block) == self.steps.step(self.at);
        near.then_some(step)
    }

    /// All ones where the condition is as told, else 0: whichever of the two is less work. Several selects often share one condition.
    fn mask(&mut self, condition: Value) -> (VReg, bool) {
        let comparison = self.comparison(condition, true);
        // `a <= b` is `!(b < a)`, `a == b` is `!(a != b)`.
        let holds = match comparison {
            Some(c) if let Some(halves) = self.halves_of(c) => halves.truth,
            c => !matches!(c, Some(Comparison { op: CmpOp::Le | CmpOp::Eq, .. })),
        };
        if let Some(mask) = self.here.masks.get(&condition) {
            return (*mask, holds);
        }
        let mask = match comparison {
            Some(c) => match (self.number(c.a), self.number(c.b)) {
                (Some(a), Some(b)) => {
                    let truth = eval::compare(c.op, self.f.value(c.a).ty, a, b);
                    self.imm(if truth == holds { u64::MAX } else { 0 })
                }
                _ => {
                    let sign = self.sign(Comparison { sense: holds, ..c });
                    self.alu(AluOp::Arsh, sign, 63)
                }
            },
            None => {
                let word = self.reg(condition);
                self.neg(word)
            }
        };
        self.here.masks.insert(condition, mask);
        (mask, holds)
    }

    /// A word whose highest bit tells whether the comparison is as it must be.
    fn sign(&mut self, c: Comparison) -> VReg {
        if let Some(halves) = self.halves_of(c) {
            let sign = self.sign_by_halves(halves);
            return if halves.truth == c.sense { sign } else { self.alu(AluOp::Xor, sign, -1) };
        }
        match c.op {
            CmpOp::Lt => self.sign_of_less(c.a, c.b, c.sense),
            CmpOp::Le => self.sign_of_less(c.b, c.a, !c.sense),
            CmpOp::Eq => self.sign_of_unequal(c.a, c.b, !c.sense),
            CmpOp::Ne => self.sign_of_unequal(c.a, c.b, c.sense),
        }
    }

    /// Whether the sign of `a - b` tells whether `a` is less.
    pub(super) fn difference_fits(&self, a: Value, b: Value) -> bool {
        let (a, b) = (self.f.value(a).range, self.f.value(b).range);
        a.lo - b.hi >= i64::MIN.into() && a.hi - b.lo <= i64::MAX.into()
    }

    fn sign_of_less(&mut self, a: Value, b: Value, sense: bool) -> VReg {
        let (ra, rb) = (self.f.value(a).range, self.f.value(b).range);
        let fits = self.difference_fits(a, b);
        // a >= b is b - a <= 0, one less is < 0.
        let fits_inverse = rb.lo - ra.hi > i64::MIN.into() && rb.hi - ra.lo <= i64::MAX.into();
        if sense && fits {
            return self.difference(a, b);
        }
        if !sense && fits_inverse {
            if let Some(n) = self.number(b).and_then(|n| (n as i64).checked_sub(1)) {
                let (n, a) = (self.imm(n as u64), self.rhs(a));
                return self.alu(AluOp::Sub, n, a);
            }
            let d = self.difference(b, a);
            return self.alu(AluOp::Sub, d, 1);
        }
        let less = self.sign_of_less_wide(a, b);
        if sense { less } else { self.alu(AluOp::Xor, less, -1) }
    }

    fn difference(&mut self, a: Value, b: Value) -> VReg {
        let a = self.reg(a);
        let b = self.rhs(b);
        match b {
            Rhs::Imm(0) => a,
            b => self.alu(AluOp::Sub, a, b),
        }
    }

    /// The borrow of `a - b`, which is the majority of `!a`, `b` and `a - b` in each bit (Hacker's Delight, 2-13), for signed
    /// numbers of `!b`, `a` and the difference. The majority of x, y and z is `y ^ ((x ^ y) & (y ^ z))`.
    fn sign_of_less_wide(&mut self, a: Value, b: Value) -> VReg {
        let signed = self.f.value(a).ty == Ty::I64;
        let (x, y) = if signed { (b, a) } else { (a, b) };
        let not_x = match self.number(x) {
            Some(n) => self.imm(!n),
            None => {
                let x = self.reg(x);
                self.alu(AluOp::Xor, x, -1)
            }
        };
        let y = self.reg(y);
        let difference = self.difference(a, b);
        let unlike = self.alu(AluOp::Xor, not_x, y);
        let changed = self.alu(AluOp::Xor, difference, y);
        let decided = self.alu(AluOp::And, unlike, changed);
        self.alu(AluOp::Xor, decided, y)
    }

    fn sign_of_unequal(&mut self, a: Value, b: Value, sense: bool) -> VReg {
        let (a, b) = if self.number(a).is_some() { (b, a) } else { (a, b) };
        let (ra, rb) = (self.f.value(a).range, self.f.value(b).range);
        let small = ra.lo >= 0 && rb.lo >= 0 && ra.hi <= i64::MAX.into() && rb.hi <= i64::MAX.into();
        let a = self.reg(a);
        let difference = match self.rhs(b) {
            Rhs::Imm(0) => a,
            b => self.alu(AluOp::Xor, a, b),
        };
        match (small, sense) {
            (true, true) => self.neg(difference),
            (true, false) => self.alu(AluOp::Sub, difference, 1),
            (false, _) => {
                let negative = self.neg(difference);
                let unequal = self.alu(AluOp::Or, negative, difference);
                if sense { unequal } else { self.alu(AluOp::Xor, unequal, -1) }
            }
        }
    }
}
