//! One operation → Cranelift instructions.

use super::lower::Lower;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I16, I32, I64};
use cranelift_codegen::ir::{self, InstBuilder};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::{BinOp, CmpOp, FaultRef, Function, Inst, Mode, Op, Size, Ty, Value};

impl Lower<'_> {
    /// Emits one operation. Exhaustive: a new operation must break the build.
    pub fn inst(&mut self, inst: &Inst) {
        let ty = inst.result.map(|v| self.f.value(v).ty);
        let factor = inst.result.and_then(|v| self.factors.get(&v).copied());
        let made = match &inst.op {
            op if let Some(factor) = factor => Some(self.kept_inst(inst.result, op, factor)),
            Op::Const(n) if ty == Some(Ty::Bool) => Some(self.b.ins().iconst(I8, *n as i64)),
            Op::Const(n) => Some(self.const_word(*n)),
            Op::Arg(i) | Op::ArgLen(i) => {
                let word = self.load_arg_word(self.f.args[*i as usize].offset);
                Some(self.typed(word, ty))
            }
            Op::Binary { op, mode, a, b } => Some(self.binary(*op, *mode, *a, *b)),
            Op::Compare { op, a, b } => Some(self.compare(*op, *a, *b)),
            Op::Select { cond, a, b } => {
                let (cond, yes, no) = self.choice(*cond, *a, *b);
                let (yes, no) = (self.get(yes), self.get(no));
                Some(self.pick(inst.result, cond, yes, no))
            }
            Op::Cast(a) | Op::Reinterpret(a) => {
                let word = self.word(*a);
                Some(self.typed(word, ty))
            }
            Op::Extend { bits, a } => {
                let word = self.word(*a);
                Some(self.extend(word, *bits, ty == Some(Ty::I64)))
            }
            Op::Refine { a, .. } => match inst.result.and_then(|v| self.known(v)) {
                Some(word) if ty == Some(Ty::Bool) => Some(self.b.ins().iconst(I8, word)),
                Some(word) => Some(self.b.ins().iconst(I64, word)),
                None => Some(self.get(*a)),
            },
            Op::Load { addr, width, endian } => {
                let word = self.load(addr, *width, *endian, ty == Some(Ty::I64));
                Some(self.typed(word, ty))
            }
            Op::Varint { kind, addr, limit, outside, wide } => {
                let size = inst.result.expect("a varint has a size");
                Some(self.varint(size, (*kind, addr), *limit, (outside, wide.as_ref())))
            }
            Op::Decoded(_) => Some(self.decoded.expect("it is right behind its varint")),
            Op::Check { a, .. } if inst.result.is_some_and(|v| self.f.is_shown(v)) => Some(self.get(*a)),
            Op::Check { region: _, a, size, limit, fault } => Some(self.check(*a, *size, *limit, fault)),
            Op::Guard { cond, fault } => {
                let cond = self.get(*cond);
                self.fault_unless(cond, fault);
                None
            }
            Op::Prove { .. } => unreachable!("the verifier lets no obligation pass"),
            Op::Store { addr, width, endian, value } => {
                let word = self.word(*value);
                self.store(addr, *width, *endian, word);
                None
            }
            Op::Copy { to, from, len } => {
                self.copy(to, from, *len);
                None
            }
        };
        if let (Some(result), Some(value)) = (inst.result, made) {
            self.set(result, value);
        }
    }

    /// A condition and what is chosen where it holds and where not.
    pub fn choice(&mut self, cond: Value, a: Value, b: Value) -> (ir::Value, Value, Value) {
        let (cond, holds) = without_not(self.f, &self.defs, cond);
        let (yes, no) = if holds { (a, b) } else { (b, a) };
        (self.get(cond), yes, no)
    }

    /// A word in the representation of a type.
    fn typed(&mut self, word: ir::Value, ty: Option<Ty>) -> ir::Value {
        if ty == Some(Ty::Bool) { self.b.ins().ireduce(I8, word) } else { word }
    }

    /// The low bits of a word, extended.
    pub fn extend(&mut self, word: ir::Value, bits: u8, signed: bool) -> ir::Value {
        let narrow = match bits {
            8 => Some(I8),
            16 => Some(I16),
            32 => Some(I32),
            _ => None,
        };
        match (narrow, signed) {
            (Some(ty), _) => {
                let low = self.b.ins().ireduce(ty, word);
                if signed { self.b.ins().sextend(I64, low) } else { self.b.ins().uextend(I64, low) }
            }
            (None, false) => self.b.ins().band_imm_u(word, low_bits(bits)),
            (None, true) => {
                let spare = 64 - i64::from(bits);
                let high = self.b.ins().ishl_imm_u(word, spare);
                self.b.ins().sshr_imm_u(high, spare)
            }
        }
    }

    fn compare(&mut self, op: CmpOp, a: Value, b: Value) -> ir::Value {
        let signed = self.f.value(a).ty == Ty::I64;
        let cc = match (op, signed) {
            (CmpOp::Eq, _) => IntCC::Equal,
            (CmpOp::Ne, _) => IntCC::NotEqual,
            (CmpOp::Lt, false) => IntCC::UnsignedLessThan,
            (CmpOp::Lt, true) => IntCC::SignedLessThan,
            (CmpOp::Le, false) => IntCC::UnsignedLessThanOrEqual,
            (CmpOp::Le, true) => IntCC::SignedLessThanOrEqual,
        };
        let (a, b) = (self.get(a), self.get(b));
        self.b.ins().icmp(cc, a, b)
    }

    fn binary(&mut self, op: BinOp, mode: Mode, a: Value, b: Value) -> ir::Value {
        let signed = self.f.value(a).ty == Ty::I64;
        if let Mode::Checked(fault) = mode {
            return self.checked(op, signed, a, b, &fault);
        }
        // Of two numbers that are not negative, quotient and remainder are the unsigned ones, which are cheaper for powers of two.
        let negative = signed && (self.f.value(a).range.lo < 0 || self.f.value(b).range.lo < 0);
        let kept = self.factors.get(&a).filter(|factor| op == BinOp::Mul && self.known(b) == Some(**factor as i64));
        if kept.is_some() {
            return self.kept(a);
        }
        let (x, y) = (self.get(a), self.get(b));
        if let (BinOp::Mul, Some(shift)) = (op, self.power_of_two(b)) {
            return self.b.ins().ishl_imm_u(x, shift);
        }
        let ins = self.b.ins();
        match op {
            BinOp::Add => ins.iadd(x, y),
            BinOp::Sub => ins.isub(x, y),
            BinOp::Mul => ins.imul(x, y),
            BinOp::Div if negative => ins.sdiv(x, y),
            BinOp::Div => ins.udiv(x, y),
            BinOp::Rem if negative => ins.srem(x, y),
            BinOp::Rem => ins.urem(x, y),
            BinOp::And => ins.band(x, y),
            BinOp::Or => ins.bor(x, y),
            BinOp::Xor => ins.bxor(x, y),
            BinOp::Shl => ins.ishl(x, y),
            BinOp::Shr if signed => ins.sshr(x, y),
            BinOp::Shr => ins.ushr(x, y),
        }
    }

    /// The exponent, if the value is known to be a power of two.
    fn power_of_two(&self, v: Value) -> Option<i64> {
        let n = u64::try_from(self.f.value(v).range.as_const()?).ok()?;
        n.is_power_of_two().then(|| n.trailing_zeros().into())
    }

    /// Arithmetic that faults when the result is not in the type.
    fn checked(&mut self, op: BinOp, signed: bool, a: Value, b: Value, fault: &FaultRef) -> ir::Value {
        let (x, y) = (self.get(a), self.get(b));
        let (result, overflow) = match (op, signed) {
            (BinOp::Add, false) => {
                // Add and compare: Cranelift does not yet branch on the carry of `uadd_overflow`.
                let sum = self.b.ins().iadd(x, y);
                (sum, self.b.ins().icmp(IntCC::UnsignedLessThan, sum, x))
            }
            (BinOp::Add, true) => self.b.ins().sadd_overflow(x, y),
            (BinOp::Sub, false) => {
                let difference = self.b.ins().isub(x, y);
                (difference, self.b.ins().icmp(IntCC::UnsignedLessThan, x, y))
            }
            (BinOp::Sub, true) => self.b.ins().ssub_overflow(x, y),
            (BinOp::Mul, false) => self.b.ins().umul_overflow(x, y),
            (BinOp::Mul, true) => self.b.ins().smul_overflow(x, y),
            (BinOp::Shl, _) => {
                let shifted = self.b.ins().ishl(x, y);
                let back = if signed { self.b.ins().sshr(shifted, y) } else { self.b.ins().ushr(shifted, y) };
                (shifted, self.b.ins().icmp(IntCC::NotEqual, back, x))
            }
            (BinOp::Div | BinOp::Rem | BinOp::And | BinOp::Or | BinOp::Xor | BinOp::Shr, _) => {
                unreachable!("the verifier has shown that the mode is exact")
            }
        };
        self.fault_if(overflow, fault);
        result
    }

    /// Tests that `a + size <= limit` without overflow; gives `a`.
    fn check(&mut self, a: Value, size: Size, limit: Value, fault: &FaultRef) -> ir::Value {
        let (start, end) = (self.get(a), self.get(limit));
        let (size_value, size_most) = match size {
            Size::Const(n) => (None, i128::from(n)),
            Size::Value(v) => (Some(self.get(v)), self.f.value(v).range.hi),
        };
        let sum_fits = self.f.value(a).range.hi + size_most <= u64::MAX.into();
        let limit_claim = self.f.value(limit).range;
        let outside = match (size_value, limit_claim.as_const()) {
            // `a <= limit - size`, folded.
            (None, Some(limit)) if limit >= size_most => {
                self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, start, (limit - size_most) as i64)
            }
            // The same with a limit that is known to be large enough.
            (None, None) if limit_claim.lo >= size_most => {
                let room = self.b.ins().iadd_imm_s(end, -(size_most as i64));
                self.b.ins().icmp(IntCC::UnsignedGreaterThan, start, room)
            }
            (size_value, _) => {
                let size = size_value.unwrap_or_else(|| self.const_word(size_most as u64));
                let sum = self.b.ins().iadd(start, size);
                let late = self.b.ins().icmp(IntCC::UnsignedGreaterThan, sum, end);
                if sum_fits {
                    late
                } else {
                    let wrapped = self.b.ins().icmp(IntCC::UnsignedLessThan, sum, start);
                    self.b.ins().bor(late, wrapped)
                }
            }
        };
        self.fault_if(outside, fault);
        start
    }
}

/// A condition without its negation, of which Cranelift would make a number, and whether it holds where the condition does.
pub(super) fn without_not(f: &Function, defs: &Defs, cond: Value) -> (Value, bool) {
    match defs.op(f, cond) {
        Some(Op::Binary { op: BinOp::Xor, a, b, .. }) if f.value(*b).range.as_const() == Some(1) => (*a, false),
        _ => (cond, true),
    }
}

/// A mask of so many (1..=63) low bits.
pub(super) fn low_bits(bits: u8) -> i64 {
    (u64::MAX >> (64 - u32::from(bits))) as i64
}
