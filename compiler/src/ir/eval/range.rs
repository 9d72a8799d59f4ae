//! The claims of the IR: for each operation the one rule that gives its result's range from its operands' ranges.
//!
//! Builder, prover and verifier call the same rules. Every rule is sound: when the operands lie in their ranges, then the
//! result, if the operation makes one, lies in the range given. An empty operand gives the empty range: such an operation
//! is never reached. Bounds saturate, so a rule never panics, whatever range it is given.

use crate::ir::defs::Defs;
use crate::ir::schema::LeafKind;
use crate::ir::{BinOp, CmpOp, Function, Mode, Op, Range, Size, Ty, Value};

/// The range of no value.
const EMPTY: Range = Range::new(1, 0);

/// What follows for an operation's result from the claims of its operands.
pub fn of(f: &Function, defs: &Defs, op: &Op, ty: Ty) -> Range {
    let range = |v: Value| claim(f, v);
    match op {
        Op::Const(word) => Range::just(super::number(ty, *word)),
        Op::Arg(i) => match f.args.get(*i as usize).map(|leaf| leaf.kind) {
            Some(LeafKind::Scalar { ty, bits }) => low_bits(ty, bits),
            _ => Range::of(ty),
        },
        Op::ArgLen(i) => match f.args.get(*i as usize).map(|leaf| leaf.kind) {
            Some(LeafKind::Bytes { max, fixed }) => Range::new(if fixed { max.into() } else { 0 }, max.into()),
            _ => Range::of(ty),
        },
        Op::Binary { op, mode, a, b } => binary(*op, *mode, ty, range(*a), range(*b)),
        Op::Compare { op, a, b } => compare(*op, range(*a), range(*b)),
        Op::Select { cond, a, b } => select(range(*cond), range(*a), range(*b)),
        Op::Cast(a) => range(*a).meet(Range::of(ty)),
        Op::Reinterpret(a) => reinterpret(ty, range(*a)),
        Op::Extend { bits, a } => extend(ty, *bits, range(*a)),
        Op::Refine { a, cond, sense } => refined(f, defs, *a, *cond, *sense).unwrap_or(range(*a)),
        Op::Load { width, .. } => low_bits(ty, width.saturating_mul(8)),
        Op::Check { a, size, limit, .. } => check(range(*a), size_range(f, *size), range(*limit)),
        Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. } => EMPTY,
    }
}

/// What a value claims; of an id outside the table, nothing.
fn claim(f: &Function, v: Value) -> Range {
    let all = Range::of(Ty::U64).join(Range::of(Ty::I64));
    f.values.get(v.index()).map_or(all, |value| value.range)
}

/// The range of a number of bytes.
pub fn size_range(f: &Function, size: Size) -> Range {
    match size {
        Size::Const(n) => Range::just(n.into()),
        Size::Value(v) => claim(f, v),
    }
}

/// What `a` is when `cond`, a comparison with `a` or with what `a` refines, is `sense`; none if `cond` is no such thing.
pub fn refined(f: &Function, defs: &Defs, a: Value, cond: Value, sense: bool) -> Option<Range> {
    let Some(Op::Compare { op, a: left, b: right }) = defs.op(f, cond) else {
        return None;
    };
    let root = defs.root(f, a);
    let range = claim(f, a);
    if defs.root(f, *left) == root {
        Some(refine(*op, sense, true, range, claim(f, *right)))
    } else if defs.root(f, *right) == root {
        Some(refine(*op, sense, false, range, claim(f, *left)))
    } else {
        None
    }
}

/// The result of arithmetic. Under `Exact` and `Checked` the result, where there is one, is the mathematical one.
pub fn binary(op: BinOp, mode: Mode, ty: Ty, a: Range, b: Range) -> Range {
    let exact = mathematical(op, a, b);
    let all = Range::of(ty);
    match mode {
        Mode::Wrap if !all.contains(exact) => all,
        Mode::Wrap | Mode::Exact | Mode::Checked(_) => exact.meet(all),
    }
}

/// The result of arithmetic on integers without bounds. Whether it lies in the type is what `Mode::Exact` must show.
pub fn mathematical(op: BinOp, a: Range, b: Range) -> Range {
    if a.is_empty() || b.is_empty() {
        return EMPTY;
    }
    match op {
        BinOp::Add => Range::new(a.lo.saturating_add(b.lo), a.hi.saturating_add(b.hi)),
        BinOp::Sub => Range::new(a.lo.saturating_sub(b.hi), a.hi.saturating_sub(b.lo)),
        BinOp::Mul => corners(a, b, i128::saturating_mul),
        BinOp::Div => {
            let below = Range::new(b.lo, b.hi.min(-1));
            let above = Range::new(b.lo.max(1), b.hi);
            let part = |b: Range| {
                if b.is_empty() { EMPTY } else { corners(a, b, i128::saturating_div) }
            };
            part(below).join(part(above))
        }
        BinOp::Rem => remainder(a, b),
        BinOp::And => and(a, b),
        BinOp::Or => {
            let bits = bitwise(a, b);
            if a.lo < 0 || b.lo < 0 { bits } else { Range::new(a.lo.max(b.lo), bits.hi) }
        }
        BinOp::Xor => bitwise(a, b),
        BinOp::Shl => shift(b, |count| corners(a, count, |a, n| a.saturating_mul(1 << n))),
        BinOp::Shr => shift(b, |count| corners(a, count, |a, n| a >> n)),
    }
}

/// `rule` on the counts that a shift can have.
fn shift(count: Range, rule: impl Fn(Range) -> Range) -> Range {
    let count = count.meet(Range::new(0, 63));
    if count.is_empty() { EMPTY } else { rule(count) }
}

/// The hull of an operation that is monotone (either way) in each operand: its extremes are among the four corners.
fn corners(a: Range, b: Range, op: impl Fn(i128, i128) -> i128) -> Range {
    let ends = [op(a.lo, b.lo), op(a.lo, b.hi), op(a.hi, b.lo), op(a.hi, b.hi)];
    ends.into_iter().map(Range::just).fold(EMPTY, Range::join)
}

/// The remainder has the dividend's sign, is no greater than it and smaller than the divisor.
fn remainder(a: Range, b: Range) -> Range {
    let most = b.lo.saturating_abs().max(b.hi.saturating_abs()) - 1;
    if most < 0 {
        return EMPTY;
    }
    if a.lo >= 0 && a.hi < b.lo {
        return a;
    }
    let lo = if a.lo >= 0 { 0 } else { a.lo.max(-most) };
    let hi = if a.hi <= 0 { 0 } else { a.hi.min(most) };
    Range::new(lo, hi)
}

/// `x & y` is at most either operand that is not negative.
fn and(a: Range, b: Range) -> Range {
    match (a.lo >= 0, b.lo >= 0) {
        (true, true) => match (a.as_const(), b.as_const()) {
            (Some(a), Some(b)) => Range::just(a & b),
            _ => Range::new(0, a.hi.min(b.hi)),
        },
        (true, false) => Range::new(0, a.hi),
        (false, true) => Range::new(0, b.hi),
        (false, false) => Range::new(bitwise(a, b).lo, a.hi.max(b.hi)),
    }
}

/// What any bitwise operation on both can give: nothing outside the bits that they use. `x | y` and `x ^ y` of numbers that
/// are not negative are also at most their sum.
fn bitwise(a: Range, b: Range) -> Range {
    let reach = |n: i128| if n < 0 { !n } else { n };
    let greatest = reach(a.lo).max(reach(a.hi)).max(reach(b.lo)).max(reach(b.hi));
    let ones = if greatest == 0 { 0 } else { i128::MAX >> (greatest.leading_zeros() - 1) };
    if a.lo < 0 || b.lo < 0 { Range::new(!ones, ones) } else { Range::new(0, ones.min(a.hi.saturating_add(b.hi))) }
}

/// Whether a comparison holds, as far as the ranges tell.
pub fn compare(op: CmpOp, a: Range, b: Range) -> Range {
    if a.is_empty() || b.is_empty() {
        return EMPTY;
    }
    let known = |yes: bool, no: bool| Range::new(yes.into(), (!no).into());
    let apart = a.meet(b).is_empty();
    let same = a.as_const().is_some() && a == b;
    match op {
        CmpOp::Eq => known(same, apart),
        CmpOp::Ne => known(apart, same),
        CmpOp::Lt => known(a.hi < b.lo, a.lo >= b.hi),
        CmpOp::Le => known(a.hi <= b.lo, a.lo > b.hi),
    }
}

/// One of two values.
pub fn select(cond: Range, a: Range, b: Range) -> Range {
    match cond.as_const() {
        Some(0) => b,
        Some(_) => a,
        None if cond.is_empty() => EMPTY,
        None => a.join(b),
    }
}

/// The same word under another type: numbers that the type has stay, the others move by 2^64.
pub fn reinterpret(ty: Ty, a: Range) -> Range {
    let all = Range::of(ty);
    let moved = |by: i128| Range::new(a.lo.saturating_add(by), a.hi.saturating_add(by));
    [a, moved(1 << 64), moved(-(1 << 64))].into_iter().find(|r| all.contains(*r)).unwrap_or(all)
}

/// The low bits of a word. A range that fits in them stays.
pub fn extend(ty: Ty, bits: u8, a: Range) -> Range {
    let all = low_bits(ty, bits);
    if all.contains(a) { a } else { all }
}

/// All numbers of so many bits.
pub fn low_bits(ty: Ty, bits: u8) -> Range {
    match (ty, bits) {
        (Ty::U64, 1..=63) => Range::new(0, (1 << bits) - 1),
        (Ty::I64, 1..=63) => Range::new(-(1 << (bits - 1)), (1 << (bits - 1)) - 1),
        _ => Range::of(ty),
    }
}

/// An offset that has passed `a + size <= limit`.
pub fn check(a: Range, size: Range, limit: Range) -> Range {
    if size.is_empty() || limit.is_empty() {
        return EMPTY;
    }
    a.meet(Range::new(0, limit.hi.saturating_sub(size.lo)))
}

/// What is left of `a` when a comparison with `other` is `sense`; `a` is its left operand, or its right one.
pub fn refine(op: CmpOp, sense: bool, left: bool, a: Range, other: Range) -> Range {
    if a.is_empty() || other.is_empty() {
        return EMPTY;
    }
    let at_most = |n: i128| a.meet(Range::new(i128::MIN, n));
    let at_least = |n: i128| a.meet(Range::new(n, i128::MAX));
    match (op, sense, left) {
        (CmpOp::Eq, true, _) | (CmpOp::Ne, false, _) => a.meet(other),
        (CmpOp::Eq, false, _) | (CmpOp::Ne, true, _) => match other.as_const() {
            Some(n) if n == a.lo => at_least(n.saturating_add(1)),
            Some(n) if n == a.hi => at_most(n.saturating_sub(1)),
            _ => a,
        },
        (CmpOp::Lt, true, true) | (CmpOp::Le, false, false) => at_most(other.hi.saturating_sub(1)),
        (CmpOp::Lt, false, true) | (CmpOp::Le, true, false) => at_least(other.lo),
        (CmpOp::Le, true, true) | (CmpOp::Lt, false, false) => at_most(other.hi),
        (CmpOp::Le, false, true) | (CmpOp::Lt, true, false) => at_least(other.lo.saturating_add(1)),
    }
}
