//! Arithmetic. BPF divides unsigned numbers only and reports no overflow, so signed division and checked operations are composed.

use super::Selector;
use super::cond::Test;
use crate::bpf::insn::{AluOp, Cond, Rhs};
use crate::bpf::profile::Isa;
use crate::bpf::vcode::{VInsn, VReg};
use crate::ir::{BinOp, FaultRef, Mode, Range, Ty, Value};

impl Selector<'_> {
    pub(super) fn binary(&mut self, result: Value, op: BinOp, mode: &Mode, a: Value, b: Value) {
        if self.registers[result.index()].is_some() {
            // It was made with a pointer.
            return;
        }
        let register = match mode {
            Mode::Checked(fault) => self.checked(op, a, b, fault),
            Mode::Exact | Mode::Wrap if self.widening.counts(result) && op == BinOp::Add => {
                let (a, b) = (self.counted(a), self.rhs(b));
                self.alu(AluOp::Add, a, b)
            }
            Mode::Exact | Mode::Wrap if self.uses.is_needed(result) && !self.uses.is_tested(result) => {
                self.plain(op, self.f.value(result).ty, a, b)
            }
            Mode::Exact | Mode::Wrap => return,
        };
        self.registers[result.index()] = Some(register);
    }

    fn range(&self, v: Value) -> Range {
        self.f.value(v).range
    }

    /// The result modulo 2^64; for `Div` and `Rem` the divisor is not 0 (nor -1 if signed).
    fn plain(&mut self, op: BinOp, ty: Ty, a: Value, b: Value) -> VReg {
        let signed = ty == Ty::I64;
        match op {
            BinOp::Add => self.commutative(AluOp::Add, a, b),
            BinOp::And => self.commutative(AluOp::And, a, b),
            BinOp::Or => self.commutative(AluOp::Or, a, b),
            BinOp::Xor => self.commutative(AluOp::Xor, a, b),
            BinOp::Mul => self.product(a, b),
            BinOp::Sub => self.apply(AluOp::Sub, a, b),
            BinOp::Shl => self.apply(AluOp::Lsh, a, b),
            BinOp::Shr if signed => self.apply(AluOp::Arsh, a, b),
            BinOp::Shr => self.apply(AluOp::Rsh, a, b),
            BinOp::Div | BinOp::Rem if signed && (self.range(a).lo < 0 || self.range(b).lo < 0) => {
                self.signed_division(op, a, b)
            }
            BinOp::Div => self.quotient(a, b),
            BinOp::Rem => self.remainder(a, b),
        }
    }

    fn apply(&mut self, op: AluOp, a: Value, b: Value) -> VReg {
        let a = self.reg(a);
        match self.rhs(b) {
            Rhs::Imm(0) => a,
            b => self.alu(op, a, b),
        }
    }

    fn commutative(&mut self, op: AluOp, a: Value, b: Value) -> VReg {
        let (a, b) = if self.number(a).is_some() { (b, a) } else { (a, b) };
        let a = self.reg(a);
        match self.rhs(b) {
            Rhs::Imm(0) if op != AluOp::And => a,
            b => self.alu(op, a, b),
        }
    }

    fn product(&mut self, a: Value, b: Value) -> VReg {
        let (a, b) = if self.number(a).is_some() { (b, a) } else { (a, b) };
        match self.number(b) {
            Some(1) => self.reg(a),
            Some(n) if n.is_power_of_two() => {
                let a = self.reg(a);
                self.alu(AluOp::Lsh, a, n.trailing_zeros() as i32)
            }
            _ => {
                let (a, b) = (self.reg(a), self.rhs(b));
                self.alu(AluOp::Mul, a, b)
            }
        }
    }

    fn quotient(&mut self, a: Value, b: Value) -> VReg {
        let (n, a) = (self.number(b), self.reg(a));
        match n {
            Some(1) => a,
            // Shifts and masks keep bounds in the kernel's verifier, divisions lose them.
            Some(n) if n.is_power_of_two() => self.alu(AluOp::Rsh, a, n.trailing_zeros() as i32),
            _ => {
                let b = self.rhs_of_division(b);
                self.alu(AluOp::Div, a, b)
            }
        }
    }

    fn remainder(&mut self, a: Value, b: Value) -> VReg {
        let (n, a) = (self.number(b), self.reg(a));
        match n {
            Some(n) if n.is_power_of_two() => {
                let mask = self.rhs_number(n - 1);
                self.alu(AluOp::And, a, mask)
            }
            _ => {
                let b = self.rhs_of_division(b);
                self.alu(AluOp::Mod, a, b)
            }
        }
    }

    /// A divisor. A number that a claim left as 0 is never divided by, but must not stand in an instruction.
    fn rhs_of_division(&mut self, b: Value) -> Rhs<VReg> {
        match self.rhs(b) {
            Rhs::Imm(0) => Rhs::Imm(1),
            b => b,
        }
    }

    /// On magnitudes: the quotient is negative when one of the signs is, the remainder when the dividend is.
    fn signed_division(&mut self, op: BinOp, a: Value, b: Value) -> VReg {
        let (a, b) = (self.reg(a), self.reg(b));
        if self.isa >= Isa::V4 {
            let (op, dst) = (if op == BinOp::Div { AluOp::Div } else { AluOp::Mod }, self.code.vreg());
            self.push(VInsn::DivideSigned { op, dst, a, b });
            return dst;
        }
        let (sign_a, sign_b) = (self.alu(AluOp::Arsh, a, 63), self.alu(AluOp::Arsh, b, 63));
        let (abs_a, abs_b) = (self.negated_if(a, sign_a), self.negated_if(b, sign_b));
        let (op, sign) = match op {
            BinOp::Div => (AluOp::Div, self.alu(AluOp::Xor, sign_a, sign_b)),
            _ => (AluOp::Mod, sign_a),
        };
        let magnitude = self.alu(op, abs_a, abs_b);
        self.negated_if(magnitude, sign)
    }

    /// `-a` where `mask` is all ones, `a` where it is 0.
    fn negated_if(&mut self, a: VReg, mask: VReg) -> VReg {
        let flipped = self.alu(AluOp::Xor, a, mask);
        self.alu(AluOp::Sub, flipped, mask)
    }

    /// The low bits, extended.
    pub(super) fn extend(&mut self, ty: Ty, bits: u8, a: Value) -> VReg {
        let (range, spare) = (self.range(a), i32::from(64 - bits));
        let a = self.reg(a);
        match ty {
            Ty::I64 => self.signed_low(a, bits),
            Ty::U64 | Ty::Bool if Range::new(0, (1 << bits) - 1).contains(range) => a,
            Ty::U64 | Ty::Bool if bits <= 31 => self.alu(AluOp::And, a, ((1u32 << bits) - 1) as i32),
            // The 32-bit arithmetic of user-space machines is not Linux's; their level is none of these.
            Ty::U64 | Ty::Bool if bits == 32 && self.isa >= Isa::V3 => {
                let dst = self.code.vreg();
                self.push(VInsn::Low { dst, a });
                dst
            }
            Ty::U64 | Ty::Bool => {
                let high = self.alu(AluOp::Lsh, a, spare);
                self.alu(AluOp::Rsh, high, spare)
            }
        }
    }

    /// The low bits with their sign.
    pub(super) fn signed_low(&mut self, a: VReg, bits: u8) -> VReg {
        if matches!(bits, 8 | 16 | 32) && self.isa >= Isa::V4 {
            let dst = self.code.vreg();
            self.push(VInsn::SignExtend { dst, a, bits });
            return dst;
        }
        let spare = i32::from(64 - bits);
        let high = self.alu(AluOp::Lsh, a, spare);
        self.alu(AluOp::Arsh, high, spare)
    }

    fn checked(&mut self, op: BinOp, a: Value, b: Value, fault: &FaultRef) -> VReg {
        let signed = self.f.value(a).ty == Ty::I64;
        let ty = self.f.value(a).ty;
        match (op, signed) {
            (BinOp::Add, false) => {
                // The sum is below an operand exactly when it has wrapped.
                let sum = self.plain(op, ty, a, b);
                let smaller = if self.number(b).is_some() { b } else { a };
                let operand = self.rhs(smaller);
                self.leave(Test::Jump(Cond::Lt, sum, operand), fault);
                sum
            }
            (BinOp::Sub, false) => {
                let test = match (self.number(a), self.number(b)) {
                    (Some(a), Some(b)) => Test::Known(a < b),
                    _ => self.jump_on(Cond::Lt, a, b),
                };
                self.leave(test, fault);
                self.plain(op, ty, a, b)
            }
            (BinOp::Add, true) => {
                // Overflow: both operands have the sign that the sum has not.
                let sum = self.plain(op, ty, a, b);
                let (a, b) = (self.reg(a), self.reg(b));
                let (x, y) = (self.alu(AluOp::Xor, a, sum), self.alu(AluOp::Xor, b, sum));
                self.leave_if_negative(x, y, fault);
                sum
            }
            (BinOp::Sub, true) => {
                let difference = self.plain(op, ty, a, b);
                let (a, b) = (self.reg(a), self.reg(b));
                let (x, y) = (self.alu(AluOp::Xor, a, b), self.alu(AluOp::Xor, a, difference));
                self.leave_if_negative(x, y, fault);
                difference
            }
            (BinOp::Mul, false) => {
                let limit = self.imm(u64::MAX);
                self.leave_if_product_above(a, b, limit, fault);
                self.plain(op, ty, a, b)
            }
            (BinOp::Mul, true) => {
                self.leave_if_signed_product_overflows(a, b, fault);
                self.plain(op, ty, a, b)
            }
            (BinOp::Shl, _) => {
                let shifted = self.plain(op, ty, a, b);
                let back = if signed { AluOp::Arsh } else { AluOp::Rsh };
                let b = self.rhs(b);
                let again = if b == Rhs::Imm(0) { shifted } else { self.alu(back, shifted, b) };
                let a = self.rhs(a);
                self.leave(Test::Jump(Cond::Ne, again, a), fault);
                shifted
            }
            (BinOp::Div | BinOp::Rem | BinOp::And | BinOp::Or | BinOp::Xor | BinOp::Shr, _) => self.plain(op, ty, a, b),
        }
    }

    fn leave(&mut self, test: Test, fault: &FaultRef) {
        let exit = self.exit(fault);
        self.exit_if(test, exit);
    }

    fn leave_if_negative(&mut self, x: VReg, y: VReg, fault: &FaultRef) {
        let both = self.alu(AluOp::And, x, y);
        self.leave(Test::Jump(Cond::Slt, both, Rhs::Imm(0)), fault);
    }

    /// For unsigned numbers and a constant factor `b` that is `a > limit / b`, folded.
    fn leave_if_product_above(&mut self, a: Value, b: Value, limit: VReg, fault: &FaultRef) {
        let (a, b) = if self.number(a).is_some() { (b, a) } else { (a, b) };
        if let Some(n) = self.number(b) {
            let most = u64::MAX.checked_div(n).unwrap_or(u64::MAX);
            let (a, most) = (self.reg(a), self.rhs_number(most));
            return self.leave(Test::Jump(Cond::Gt, a, most), fault);
        }
        let (zero_b, a, b) = (self.range(b).lo <= 0, self.reg(a), self.reg(b));
        self.leave_if_above_quotient(a, b, zero_b, limit, fault);
    }

    /// `a > limit / b`, where `b` counts as 1 when it is 0.
    fn leave_if_above_quotient(&mut self, a: VReg, b: VReg, zero_b: bool, limit: VReg, fault: &FaultRef) {
        let divisor = if zero_b {
            let negative = self.neg(b);
            let sign = self.alu(AluOp::Or, negative, b);
            let unequal = self.alu(AluOp::Rsh, sign, 63);
            let equal = self.alu(AluOp::Xor, unequal, 1);
            self.alu(AluOp::Add, equal, b)
        } else {
            b
        };
        let most = self.alu(AluOp::Div, limit, divisor);
        self.leave(Test::Jump(Cond::Gt, a, Rhs::Reg(most)), fault);
    }

    /// The magnitude of the product is at most 2^63 - 1, or 2^63 when it is negative.
    fn leave_if_signed_product_overflows(&mut self, a: Value, b: Value, fault: &FaultRef) {
        let zero_b = self.range(b).contains(Range::just(0));
        let (a, b) = (self.reg(a), self.reg(b));
        let (sign_a, sign_b) = (self.alu(AluOp::Arsh, a, 63), self.alu(AluOp::Arsh, b, 63));
        let (abs_a, abs_b) = (self.negated_if(a, sign_a), self.negated_if(b, sign_b));
        let sign = self.alu(AluOp::Xor, sign_a, sign_b);
        let most = self.imm(i64::MAX as u64);
        let limit = self.alu(AluOp::Sub, most, sign);
        self.leave_if_above_quotient(abs_a, abs_b, zero_b, limit, fault);
    }
}
