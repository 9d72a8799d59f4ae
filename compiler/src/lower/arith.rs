//! Integers: every operator of the language on numbers.
//!
//! Numbers are ideal: the type of a result is the smallest that holds what the operands' ranges allow, so `a - b` of two `u32` is
//! simply a number that may be negative. Only where not even 64 bits are sure to hold it is there a check (the fault `overflow`).
//! The wrapping operators work in the width of the wider operand.

use super::*;
use crate::ir::{BinOp, CmpOp, FaultKind, Op, Value};
use ast::BinaryOp;

/// A number with its type.
pub(super) type Num = (Value, IntTy);

/// Operations through which the sign of a number is looked for.
const SIGN_DEPTH: u32 = 4;

/// The range of products, unless it leaves 128 bits.
pub(super) fn product(a: Range, b: Range) -> Option<Range> {
    let all = [a.lo.checked_mul(b.lo)?, a.lo.checked_mul(b.hi)?, a.hi.checked_mul(b.lo)?, a.hi.checked_mul(b.hi)?];
    Some(Range::new(all.into_iter().min()?, all.into_iter().max()?))
}

impl Lowerer<'_> {
    /// A number, or an error.
    pub(super) fn num(&mut self, val: Val, span: Span) -> Option<Num> {
        match val {
            Val::Int(v, t) | Val::Pointer(v, t, _) => Some((v, t)),
            other => {
                self.mismatch(span, "a number", &other);
                None
            }
        }
    }

    /// A number that is not negative, as `U64`; a negative one is the fault `overflow`.
    pub(super) fn unsigned(&mut self, val: Val, span: Span) -> Option<Value> {
        let (v, _) = self.num(val, span)?;
        Some(self.fit(v, ir::Ty::U64, span))
    }

    /// The same number under an SSA type, with a check where the claim leaves a doubt.
    pub(super) fn fit(&mut self, v: Value, ty: ir::Ty, span: Span) -> Value {
        if self.ty(v) == ty {
            return v;
        }
        let range = self.claim(v);
        if !Range::of(ty).contains(range) {
            let what = self.text(span).to_string();
            let (bound, cond) = match ty {
                ir::Ty::U64 => {
                    let zero = self.number_as(0, ir::Ty::I64);
                    ("negative", self.compare(CmpOp::Le, zero, v))
                }
                _ => {
                    let most = self.number(i128::from(i64::MAX));
                    ("above 2^63", self.compare(CmpOp::Le, v, most))
                }
            };
            let fault = self.fault(FaultKind::Overflow, format!("`{what}` is {bound}"), span);
            self.guard(cond, fault);
            let v = self.shown(v, cond);
            if let Some(any) = self.beyond(v, Range::of(ty), ty) {
                return any;
            }
            return self.cast(v, ty);
        }
        self.cast(v, ty)
    }

    /// Any number of a range, where a guard has just kept all that `v` can be from it: nothing behind the guard runs, and yet it has to be
    /// of its type.
    fn beyond(&mut self, v: Value, range: Range, ty: ir::Ty) -> Option<Value> {
        let claim = self.claim(v);
        (claim.hi < range.lo || range.hi < claim.lo).then(|| self.number_as(range.lo.max(0).min(range.hi), ty))
    }

    /// The number in `ty`; one that does not fit is the fault `overflow`.
    pub(super) fn fit_int(&mut self, (v, from): Num, ty: IntTy, span: Span) -> Value {
        let range = self.range(v);
        if from == ty || (ty.range().contains(self.claim(v)) && self.ty(v) == ir_ty(ty)) {
            return v;
        }
        let mut v = self.fit(v, ir_ty(ty), span);
        if !ty.range().contains(range) {
            let what = self.text(span).to_string();
            let fault_id =
                self.fault_id(FaultKind::Overflow, format!("`{what}` is {{}}, which is no {ty}"), found_as(ty), span);
            let fault = ir::FaultRef { fault: fault_id, found: Some(v), at: None };
            let claim = self.claim(v);
            if claim.hi > ty.range().hi {
                let most = self.number_as(ty.range().hi, ir_ty(ty));
                let cond = self.compare(CmpOp::Le, v, most);
                self.guard(cond, fault);
                v = self.shown(v, cond);
            }
            if claim.lo < ty.range().lo {
                let least = self.number_as(ty.range().lo, ir_ty(ty));
                let cond = self.compare(CmpOp::Le, least, v);
                self.guard(cond, fault);
                v = self.shown(v, cond);
            }
            if let Some(any) = self.beyond(v, ty.range(), ir_ty(ty)) {
                return any;
            }
        }
        v
    }

    /// The same number, claimed to be what a guard on `cond` has shown.
    pub(super) fn shown(&mut self, v: Value, cond: Value) -> Value {
        match self.def_of(cond) {
            Some(Op::Compare { .. }) => self.pure(Op::Refine { a: v, cond, sense: true }, self.ty(v)),
            _ => v,
        }
    }

    fn int(&self, v: Value, least_bits: u8) -> Val {
        let mut ty = IntTy::holding(self.claim(v)).unwrap_or(IntTy::U64);
        ty.signed = self.ty(v) == ir::Ty::I64;
        ty.bits = ty.bits.max(least_bits);
        if ty.signed && !ty.range().contains(self.claim(v)) {
            ty.bits = 64;
        }
        Val::Int(v, ty)
    }

    pub(super) fn literal(&mut self, n: i128) -> Val {
        let v = self.number(n);
        self.int(v, 8)
    }

    /// `a op b` for the arithmetic and bit operators.
    pub(super) fn arithmetic(&mut self, op: BinaryOp, a: Num, (b, b_span): (Num, Span), span: Span) -> Val {
        self.span = span;
        match op {
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => self.ideal(op, a, b, span),
            BinaryOp::Div | BinaryOp::Rem => self.divide(op, a, b, b_span, span),
            BinaryOp::AddWrap | BinaryOp::SubWrap | BinaryOp::MulWrap => self.wrap(op, a, b),
            BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => self.bitwise(op, a, b, span),
            BinaryOp::Shl | BinaryOp::ShlWrap | BinaryOp::Shr => self.shift(op, a, b, b_span, span),
            _ => unreachable!("only arithmetic operators come here"),
        }
    }

    fn ideal(&mut self, op: BinaryOp, (a, ta): Num, (b, tb): Num, span: Span) -> Val {
        let (ra, rb) = (self.claim(a), self.claim(b));
        let (ir_op, range) = match op {
            BinaryOp::Add => (BinOp::Add, Some(Range::new(ra.lo + rb.lo, ra.hi + rb.hi))),
            BinaryOp::Sub => (BinOp::Sub, Some(Range::new(ra.lo - rb.hi, ra.hi - rb.lo))),
            _ => (BinOp::Mul, product(ra, rb)),
        };
        if op == BinaryOp::Sub
            && let Some(v) = self.align_down(a, b)
        {
            return self.int(v, 8);
        }
        let fits = |ty| range.is_some_and(|r| Range::of(ty).contains(r));
        let ty = match (fits(ir::Ty::U64), fits(ir::Ty::I64)) {
            (true, _) => ir::Ty::U64,
            // What is known here to have no sign needs none.
            _ if self.has_no_sign(op, a, b) => ir::Ty::U64,
            (false, true) => ir::Ty::I64,
            (false, false) if !ta.signed && !tb.signed => ir::Ty::U64,
            (false, false) => ir::Ty::I64,
        };
        let a = self.fit(a, ty, span);
        let b = self.fit(b, ty, span);
        let v = self.checked(ir_op, a, b);
        self.int(v, 8)
    }

    /// Whether conditions say that neither the numbers nor the result is negative.
    fn has_no_sign(&self, op: BinaryOp, a: Value, b: Value) -> bool {
        let (a, b) = (self.range_by_parts(a, SIGN_DEPTH), self.range_by_parts(b, SIGN_DEPTH));
        a.lo >= 0 && b.lo >= 0 && (op != BinaryOp::Sub || a.lo >= b.hi)
    }

    /// `x - x % c` cannot be negative: it is `x / c * c`.
    fn align_down(&mut self, x: Value, rem: Value) -> Option<Value> {
        match self.def_of(rem)? {
            Op::Binary { op: BinOp::Rem, a, b, .. } if a == x && self.ty(x) == ir::Ty::U64 => {
                let quotient = self.exact(BinOp::Div, x, b);
                let c = self.as_const(b)?;
                let c = self.number(c);
                Some(self.exact(BinOp::Mul, quotient, c))
            }
            Op::Binary { op: BinOp::And, a, b, .. } if a == x && self.ty(x) == ir::Ty::U64 => {
                let mask = self.as_const(b)?;
                let keep = self.number(i128::from(u64::MAX) & !mask);
                Some(self.exact(BinOp::And, x, keep))
            }
            _ => None,
        }
    }

    fn divide(&mut self, op: BinaryOp, (a, ta): Num, (b, tb): Num, b_span: Span, span: Span) -> Val {
        let signed = (ta.signed && self.claim(a).lo < 0) || (tb.signed && self.claim(b).lo < 0);
        let ty = if signed { ir::Ty::I64 } else { ir::Ty::U64 };
        let a = self.fit(a, ty, span);
        let b = self.fit(b, ty, span);
        let (claim, least) = (self.claim(b), self.claim(a).lo == i128::from(i64::MIN));
        let overflows = ty == ir::Ty::I64 && least && claim.lo <= -1 && claim.hi >= -1;
        if overflows || claim.lo <= 0 && claim.hi >= 0 {
            let zero = self.number_as(0, ty);
            // An interval cannot leave out a number in its middle: a divisor that may be negative has to be shown above 0.
            let (cond, sign) = match ty {
                ir::Ty::I64 => (self.compare(CmpOp::Lt, zero, b), ">"),
                _ => (self.compare(CmpOp::Ne, b, zero), "!="),
            };
            let text = format!("{} {sign} 0", self.text(b_span));
            self.span = b_span;
            self.prove(ir::ObligationKind::Divisor, cond, text, vec![b]);
            self.span = span;
        }
        let op = if op == BinaryOp::Div { BinOp::Div } else { BinOp::Rem };
        if let Some(c) = self.as_const(b).filter(|c| *c > 0 && c & (c - 1) == 0)
            && ty == ir::Ty::U64
        {
            // A power of two: a shift or a mask, which every backend does in one instruction.
            let v = match op {
                BinOp::Div => {
                    let n = self.number(i128::from(c.trailing_zeros()));
                    self.exact(BinOp::Shr, a, n)
                }
                _ => {
                    let mask = self.number(c - 1);
                    self.exact(BinOp::And, a, mask)
                }
            };
            return self.int(v, 8);
        }
        let v = self.exact(op, a, b);
        self.int(v, 8)
    }

    /// Both operands under one SSA type, bit for bit.
    fn same_bits(&mut self, (a, ta): Num, (b, tb): Num) -> (Value, Value, IntTy) {
        let constant = |v: Value| self.as_const(v).is_some();
        let signed = (ta.signed && (tb.signed || constant(b))) || (tb.signed && constant(a));
        let ty = IntTy::plain(ta.bits.max(tb.bits), signed);
        let mut same = |v| if self.ty(v) == ir_ty(ty) { v } else { self.reinterpret(v, ir_ty(ty)) };
        (same(a), same(b), ty)
    }

    pub(super) fn reinterpret(&mut self, v: Value, ty: ir::Ty) -> Value {
        if Range::of(ty).contains(self.claim(v)) {
            return self.cast(v, ty);
        }
        self.pure(Op::Reinterpret(v), ty)
    }

    fn wrap(&mut self, op: BinaryOp, a: Num, b: Num) -> Val {
        let (a, b, ty) = self.same_bits(a, b);
        let op = match op {
            BinaryOp::AddWrap => BinOp::Add,
            BinaryOp::SubWrap => BinOp::Sub,
            _ => BinOp::Mul,
        };
        let v = self.wrapping(op, a, b);
        Val::Int(self.extend(v, ty), ty)
    }

    /// The low bits of a word as a number of `ty`.
    pub(super) fn extend(&mut self, v: Value, ty: IntTy) -> Value {
        if ty.bits == 64 || ty.range().contains(self.claim(v)) {
            return v;
        }
        if let Some(c) = self.as_const(v) {
            let low = c & ((1i128 << ty.bits) - 1);
            let n = if ty.signed && low >> (ty.bits - 1) != 0 { low - (1i128 << ty.bits) } else { low };
            return self.number_as(n, ir_ty(ty));
        }
        self.pure(Op::Extend { bits: ty.bits, a: v }, ir_ty(ty))
    }

    fn bitwise(&mut self, op: BinaryOp, a: Num, b: Num, span: Span) -> Val {
        let may_be_negative = |l: &Self, n: Num| n.1.signed && l.claim(n.0).lo < 0;
        let (negative_a, negative_b) = (may_be_negative(self, a), may_be_negative(self, b));
        if op == BinaryOp::BitAnd && negative_a != negative_b {
            // The bits of a negative number go on to the left without end; the other's do not, so 64 of them decide.
            let plain = |l: &mut Self, n: Num| l.reinterpret(n.0, ir::Ty::U64);
            let (x, y) = (plain(self, a), plain(self, b));
            let other = if negative_a { b.1 } else { a.1 };
            return Val::Int(self.exact(BinOp::And, x, y), IntTy { signed: false, ..other });
        }
        if negative_a != negative_b {
            return self.error(
                "E0301",
                span,
                "expected two numbers of one sign, found one that may be negative",
                "bits of what?",
            );
        }
        let (a, b, ty) = self.same_bits(a, b);
        let op = match op {
            BinaryOp::BitAnd => BinOp::And,
            BinaryOp::BitOr => BinOp::Or,
            _ => BinOp::Xor,
        };
        let v = self.exact(op, a, b);
        Val::Int(v, ty)
    }

    fn shift(&mut self, op: BinaryOp, (a, ta): Num, (n, _): Num, n_span: Span, span: Span) -> Val {
        let n = self.fit(n, ir::Ty::U64, span);
        if self.claim(n).hi > 63 {
            let width = self.number(64);
            let cond = self.compare(CmpOp::Lt, n, width);
            let text = format!("{} < 64", self.text(n_span));
            self.span = n_span;
            self.prove(ir::ObligationKind::Shift, cond, text, vec![n]);
            self.span = span;
        }
        match op {
            BinaryOp::Shr => {
                let v = self.exact(BinOp::Shr, a, n);
                self.int(v, ta.bits)
            }
            BinaryOp::ShlWrap => {
                let v = self.wrapping(BinOp::Shl, a, n);
                Val::Int(self.extend(v, ta), ta)
            }
            _ => {
                let (ra, rn) = (self.claim(a), self.range(n));
                let most = u32::try_from(rn.hi.clamp(0, 64)).unwrap_or(64);
                let fits = ra.lo >= 0 && ra.hi << most <= i128::from(u64::MAX) && rn.hi <= 63 && self.claim(n).hi <= 63;
                let v = if fits { self.exact(BinOp::Shl, a, n) } else { self.checked(BinOp::Shl, a, n) };
                self.int(v, 8)
            }
        }
    }

    /// `a op b` for two numbers, whatever their signs.
    pub(super) fn compare_nums(&mut self, op: CmpOp, (a, _): Num, (b, _): Num) -> Value {
        if self.ty(a) == self.ty(b) {
            return self.compare(op, a, b);
        }
        let (ra, rb) = (self.claim(a), self.claim(b));
        for ty in [ir::Ty::U64, ir::Ty::I64] {
            if Range::of(ty).contains(ra) && Range::of(ty).contains(rb) {
                let (a, b) = (self.cast(a, ty), self.cast(b, ty));
                return self.compare(op, a, b);
            }
        }
        // One is a large u64, the other may be negative: the sign decides first.
        let a_signed = self.ty(a) == ir::Ty::I64;
        let (s, zero) = (if a_signed { a } else { b }, self.number_as(0, ir::Ty::I64));
        let negative = self.compare(CmpOp::Lt, s, zero);
        let (ua, ub) = (self.reinterpret(a, ir::Ty::U64), self.reinterpret(b, ir::Ty::U64));
        let plain = self.compare(op, ua, ub);
        let if_negative = match op {
            CmpOp::Eq => false,
            CmpOp::Ne => true,
            CmpOp::Lt | CmpOp::Le => a_signed,
        };
        let if_negative = self.truth(if_negative);
        self.select(negative, if_negative, plain)
    }

    /// `-x`, `~x`.
    pub(super) fn negate(&mut self, (v, ty): Num, span: Span) -> Val {
        let zero = self.number_as(0, ir::Ty::U64);
        self.ideal(BinaryOp::Sub, (zero, IntTy::plain(8, ty.signed)), (v, ty), span)
    }

    pub(super) fn complement(&mut self, (v, ty): Num) -> Val {
        if ty.signed {
            let ones = self.number_as(-1, ir::Ty::I64);
            return Val::Int(self.exact(BinOp::Xor, v, ones), ty);
        }
        let mask = self.number(ty.range().hi);
        Val::Int(self.exact(BinOp::Xor, v, mask), ty)
    }

    /// What messages call a value.
    pub(super) fn name_of(&self, v: Value, span: Span) -> String {
        match (&self.b.function().value(v).name, self.as_const(v)) {
            (Some(name), _) => name.clone(),
            (None, Some(n)) => n.to_string(),
            _ => self.text(span).to_string(),
        }
    }
}

/// How a fault writes a number of this type.
pub(super) fn found_as(ty: IntTy) -> ir::FoundAs {
    if ty.signed { ir::FoundAs::Signed } else { ir::FoundAs::Unsigned }
}
