//! The claims of the IR: for each operation the one rule that gives its result's range from its operands' ranges.
//!
//! Builder, prover and verifier call the same rules. Every rule is sound: when the operands lie in their ranges, then the
//! result, if the operation makes one, lies in the range given. An empty operand gives the empty range: such an operation
//! is never reached. Bounds saturate, so a rule never panics, whatever range it is given.

use crate::ir::defs::Defs;
use crate::ir::interval::gcd;
use crate::ir::linear::product;
use crate::ir::schema::LeafKind;
use crate::ir::settled::Logic;
use crate::ir::{BinOp, CmpOp, Function, Mode, Op, Range, Size, Terminator, Ty, Value};

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
        Op::Binary { op, mode, a, b } => {
            let result = binary(*op, *mode, ty, range(*a), range(*b));
            match rounded(f, defs, *op, *mode, *a, *b) {
                Some(most) => result.meet(Range::new(i128::MIN, most)),
                None => result,
            }
        }
        Op::Compare { op, a, b } => compare(*op, range(*a), range(*b)),
        Op::Select { cond, a, b } => select(range(*cond), range(*a), range(*b)),
        Op::Cast(a) => range(*a).meet(Range::of(ty)),
        Op::Reinterpret(a) => reinterpret(ty, range(*a)),
        Op::Extend { bits, a } => extend(ty, *bits, range(*a)),
        Op::Refine { a, cond, sense } => refined(f, defs, *a, *cond, *sense).unwrap_or(range(*a)),
        Op::Load { width, .. } => low_bits(ty, width.saturating_mul(8)),
        Op::Varint { kind, .. } => Range::new(1, kind.most_bytes().into()),
        Op::Decoded(_) => Range::of(ty),
        Op::Check { a, size, limit, .. } => check(range(*a), size_range(f, *size), range(*limit)),
        Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. } => EMPTY,
    }
}

/// `x / n * n` and `x >> n << n` are at most `x`, as an interval does not know: the most that they can be, where a product is one.
fn rounded(f: &Function, defs: &Defs, op: BinOp, mode: Mode, a: Value, b: Value) -> Option<i128> {
    if mode == Mode::Wrap {
        return None;
    }
    if op == BinOp::Shl
        && let Some(Op::Binary { op: BinOp::Shr, a: x, b: n, .. }) = defs.op(f, defs.root(f, a))
    {
        return (defs.root(f, *n) == defs.root(f, b) && claim(f, *x).lo >= 0).then(|| claim(f, *x).hi);
    }
    if op != BinOp::Mul {
        return None;
    }
    [(a, b), (b, a)].into_iter().find_map(|(quotient, by)| match defs.op(f, defs.root(f, quotient))? {
        Op::Binary { op: BinOp::Div, a: x, b: n, .. } => {
            let same = defs.root(f, *n) == defs.root(f, by);
            (same && claim(f, *x).lo >= 0 && claim(f, *n).lo > 0).then(|| claim(f, *x).hi)
        }
        _ => None,
    })
}

/// The most that an image has: a byte less than 2^63.
pub const IMAGE_MAX: i128 = i64::MAX as i128;

/// How many sums and products deep an offset is looked through for its parts.
const PARTS_DEEP: u32 = 6;

/// What is known of an argument on the other side of an edge. Behind a read, its offset and what was added up to it lie in the image.
pub fn passed(f: &Function, defs: &Defs, term: &Terminator, arg: Value) -> Range {
    let range = claim(f, arg);
    let Terminator::Hop { offset, len, .. } = term else { return range };
    let end = IMAGE_MAX - claim(f, *len).lo.max(0);
    if Range::new(0, end).contains(range) {
        return range;
    }
    let is_part = f.values.get(arg.index()).is_some_and(|v| v.ty == Ty::U64)
        && is_part(f, defs, *offset, defs.root(f, arg), PARTS_DEEP);
    if is_part { range.meet(Range::new(0, end)) } else { range }
}

/// Whether a number is at most `whole`, because it is a part of that sum or a factor of that product.
fn is_part(f: &Function, defs: &Defs, whole: Value, part: Value, depth: u32) -> bool {
    let whole = defs.root(f, whole);
    if whole == part {
        return true;
    }
    let Some(Op::Binary { op, mode, a, b }) = defs.op(f, whole).filter(|_| depth > 0) else { return false };
    // As no word is negative, each operand of a sum is at most the sum.
    if *mode == Mode::Wrap || f.values.get(whole.index()).is_none_or(|v| v.ty != Ty::U64) {
        return false;
    }
    match op {
        BinOp::Add | BinOp::Or => is_part(f, defs, *a, part, depth - 1) || is_part(f, defs, *b, part, depth - 1),
        BinOp::Shl => is_part(f, defs, *a, part, depth - 1),
        BinOp::Mul => {
            [(*a, *b), (*b, *a)].into_iter().any(|(x, by)| claim(f, by).lo > 0 && is_part(f, defs, x, part, depth - 1))
        }
        _ => false,
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

/// What `a` is when `cond`, a comparison with `a`, with what `a` refines or with what is made of that by numbers, is `sense`; none if `cond` is
/// no such thing. Of several conditions of which one holds, all must speak of it.
pub fn refined(f: &Function, defs: &Defs, a: Value, cond: Value, sense: bool) -> Option<Range> {
    refined_within(f, defs, a, (cond, sense), LOGIC_DEEP)
}

/// How deep conditions are made of conditions.
const LOGIC_DEEP: u32 = 6;

fn refined_within(f: &Function, defs: &Defs, a: Value, (cond, sense): (Value, bool), depth: u32) -> Option<Range> {
    let Some(Op::Compare { op, a: left, b: right }) = defs.op(f, cond) else {
        let depth = depth.checked_sub(1)?;
        let part = |cond: Value, sense: bool| refined_within(f, defs, a, (cond, sense), depth);
        return match Logic::of(f, defs, cond)? {
            Logic::Not(x) => part(x, !sense),
            Logic::And(x, y) if sense => either(part(x, sense), part(y, sense)),
            Logic::Or(x, y) if !sense => either(part(x, sense), part(y, sense)),
            Logic::And(x, y) | Logic::Or(x, y) => Some(part(x, sense)?.join(part(y, sense)?)),
        };
    };
    let root = defs.root(f, a);
    let range = claim(f, a);
    if defs.root(f, *left) == root {
        return Some(refine(*op, sense, true, range, claim(f, *right)));
    }
    if defs.root(f, *right) == root {
        return Some(refine(*op, sense, false, range, claim(f, *left)));
    }
    [(*left, true, *right), (*right, false, *left)].into_iter().find_map(|(whole, is_left, other)| {
        let told = refine(*op, sense, is_left, claim(f, whole), claim(f, other));
        Some(range.meet(undone(f, defs, whole, told, root, SCALED_DEEP)?))
    })
}

/// How many operations with numbers deep a condition is looked through for what it says of a count.
pub const SCALED_DEEP: u32 = 3;

/// What `part` is when `whole`, made of it by sums and products with numbers, lies in a range.
fn undone(f: &Function, defs: &Defs, whole: Value, range: Range, part: Value, depth: u32) -> Option<Range> {
    let whole = defs.root(f, whole);
    if whole == part {
        return Some(range);
    }
    let (a, by) = scaled(f, defs, whole)?;
    let depth = depth.checked_sub(1)?;
    let inner = match by {
        // Of what never happens it is said of the part, too.
        _ if range.is_empty() => range,
        Scaled::Plus(n) => Range::new(range.lo.checked_sub(n)?, range.hi.checked_sub(n)?),
        Scaled::Times(n) => Range::new(-(-range.lo).div_euclid(n), range.hi.div_euclid(n)),
    };
    undone(f, defs, a, inner, part, depth)
}

/// A sum or product with a number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scaled {
    /// A sum.
    Plus(i128),
    /// A product with what is above zero.
    Times(i128),
}

/// What a value is a sum or product of, and with which number; none if it may be another number than the mathematical one.
pub fn scaled(f: &Function, defs: &Defs, v: Value) -> Option<(Value, Scaled)> {
    let Op::Binary { op, mode: Mode::Exact | Mode::Checked(_), a, b } = *defs.op(f, v)? else { return None };
    let number = |v: Value| claim(f, v).as_const();
    let (a, n) = match (op, number(a), number(b)) {
        (_, None, Some(n)) => (a, n),
        (BinOp::Add | BinOp::Mul, Some(n), None) => (b, n),
        _ => return None,
    };
    let by = match op {
        BinOp::Add => Scaled::Plus(n),
        BinOp::Sub => Scaled::Plus(n.checked_neg()?),
        BinOp::Mul if n > 0 => Scaled::Times(n),
        BinOp::Shl if (0..63).contains(&n) => Scaled::Times(1 << n),
        _ => return None,
    };
    Some((a, by))
}

/// What both say, or the one that says something.
fn either(a: Option<Range>, b: Option<Range>) -> Option<Range> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.meet(b)),
        (a, b) => a.or(b),
    }
}

/// The result of arithmetic. Under `Exact` and `Checked` the result, where there is one, is the mathematical one.
pub fn binary(op: BinOp, mode: Mode, ty: Ty, a: Range, b: Range) -> Range {
    let exact = mathematical(op, a, b);
    let all = Range::of(ty);
    match mode {
        Mode::Wrap if !all.contains(exact) => all.stepped(exact.step() & exact.step().wrapping_neg(), exact.lo),
        Mode::Wrap | Mode::Exact | Mode::Checked(_) => exact.meet(all),
    }
}

/// The result of arithmetic on integers without bounds. Whether it lies in the type is what `Mode::Exact` must show.
pub fn mathematical(op: BinOp, a: Range, b: Range) -> Range {
    if a.is_empty() || b.is_empty() {
        return EMPTY;
    }
    let hull = hull(op, a, b);
    match in_steps(op, a, b) {
        Some((step, of)) => hull.stepped(step, of),
        None => hull,
    }
}

/// A step and a number that the results of an operation differ from by its multiples.
fn in_steps(op: BinOp, a: Range, b: Range) -> Option<(u64, i128)> {
    let (by_a, by_b) = (a.spacing(), b.spacing());
    match op {
        // Nothing to be found, and most often so.
        BinOp::Add | BinOp::Sub if by_a == 1 || by_b == 1 => None,
        BinOp::Add => Some((gcd(by_a, by_b), a.lo.checked_add(b.lo)?)),
        BinOp::Sub => Some((gcd(by_a, by_b), a.lo.checked_sub(b.lo)?)),
        BinOp::Mul if by_a == 1 && by_b == 1 => None,
        BinOp::Mul => {
            // (x + i s) (y + j t) = x y + x j t + y i s + i j s t
            let product = |n: i128, by: u64| u64::try_from(n.unsigned_abs()).ok()?.checked_mul(by);
            let steps = [product(a.lo, by_b)?, product(b.lo, by_a)?, by_a.checked_mul(by_b)?];
            Some((steps.into_iter().fold(0, gcd), a.lo.checked_mul(b.lo)?))
        }
        BinOp::Shl => in_steps(BinOp::Mul, a, Range::just(1 << count(b)?)),
        BinOp::Shr => in_steps(BinOp::Div, a, Range::just(1 << count(b)?)),
        BinOp::Div => {
            let n = u64::try_from(b.as_const()?).ok().filter(|n| *n > 0)?;
            let even = by_a.is_multiple_of(n) && a.lo >= 0 && a.lo % i128::from(n) == 0;
            even.then(|| (by_a / n, a.lo / i128::from(n)))
        }
        BinOp::Rem => {
            let n = u64::try_from(b.as_const()?).ok().filter(|n| *n > 0 && a.lo >= 0)?;
            let step = gcd(by_a, n);
            Some((step, a.lo % i128::from(step)))
        }
        BinOp::And | BinOp::Or | BinOp::Xor => low_bits_known(op, a, b),
    }
}

fn count(b: Range) -> Option<u32> {
    b.as_const().and_then(|n| u32::try_from(n).ok()).filter(|n| *n < 64)
}

/// The low bits of a bitwise operation's result, as far as those of the operands are known: a power of two and the bits below it.
fn low_bits_known(op: BinOp, a: Range, b: Range) -> Option<(u64, i128)> {
    if a.lo < 0 || b.lo < 0 {
        return None;
    }
    // In steps of a multiple of 2^n the low n bits are always the same.
    let known = |r: Range| r.spacing().trailing_zeros().min(63);
    let zeros = |r: Range| r.lo.trailing_zeros().min(known(r));
    let ones = |r: Range| r.lo.trailing_ones().min(known(r));
    let (both, bits) = (known(a).min(known(b)), |n: u32| (1i128 << n) - 1);
    let (result, clear) = match op {
        BinOp::And => (a.lo & b.lo, zeros(a).max(zeros(b))),
        BinOp::Or => (a.lo | b.lo, 0),
        _ => (a.lo ^ b.lo, 0),
    };
    let set = if op == BinOp::Or { ones(a).max(ones(b)) } else { 0 };
    match both.max(clear).max(set) {
        0 => None,
        n if n == both => Some((1 << n, result & bits(n))),
        n if n == clear => Some((1 << n, 0)),
        n => Some((1 << n, bits(n))),
    }
}

/// The interval of [`mathematical`], of operands that are not empty.
fn hull(op: BinOp, a: Range, b: Range) -> Range {
    match op {
        BinOp::Add => Range::new(a.lo.saturating_add(b.lo), a.hi.saturating_add(b.hi)),
        BinOp::Sub => Range::new(a.lo.saturating_sub(b.hi), a.hi.saturating_sub(b.lo)),
        BinOp::Mul => corners(a, b, times),
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
        BinOp::Shl => shift(b, |count| corners(a, count, |a, n| times(a, 1 << n))),
        BinOp::Shr => shift(b, |count| corners(a, count, |a, n| a >> n)),
    }
}

/// `rule` on the counts that a shift can have.
fn shift(count: Range, rule: impl Fn(Range) -> Range) -> Range {
    let all = Range::new(0, 63);
    let count = if all.contains(count) { count } else { count.meet(all) };
    if count.is_empty() { EMPTY } else { rule(count) }
}

/// The product, or what is nearest to it.
fn times(a: i128, b: i128) -> i128 {
    product(a, b).unwrap_or_else(|| a.saturating_mul(b))
}

/// The hull of an operation that is monotone (either way) in each operand: its extremes are among the four corners.
fn corners(a: Range, b: Range, op: impl Fn(i128, i128) -> i128) -> Range {
    let side = |b: i128| {
        let (one, other) = (op(a.lo, b), op(a.hi, b));
        Range::new(one.min(other), one.max(other))
    };
    let least = side(b.lo);
    if b.lo == b.hi {
        return least;
    }
    let most = side(b.hi);
    Range::new(least.lo.min(most.lo), least.hi.max(most.hi))
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
    let same = || a.as_const().is_some() && a == b;
    match op {
        CmpOp::Eq => known(same(), a.is_apart(b)),
        CmpOp::Ne => known(a.is_apart(b), same()),
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
    let moved = |by: i128| {
        let (lo, hi) = (a.lo.saturating_add(by), a.hi.saturating_add(by));
        Range::in_steps(lo, hi, a.step(), lo)
    };
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
