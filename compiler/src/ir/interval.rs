//! What a value can be: an interval of integers, and the steps in which they lie in it.

use super::Ty;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};

/// An inclusive range of integers, of which each differs from the least by a multiple of a step. `lo > hi` is the empty range: the value is never made.
///
/// Strided intervals: Reps, Balakrishnan and Lim, "Intermediate-representation recovery from low-level code" (PEPM 2006).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "(i128, i128, u64)", into = "(i128, i128, u64)")]
pub struct Range {
    /// Least.
    pub lo: i128,
    /// Greatest.
    pub hi: i128,
    /// 1 where all numbers in between belong to it, and where there is only one number or none.
    step: u64,
}

impl From<Range> for (i128, i128, u64) {
    fn from(range: Range) -> Self {
        (range.lo, range.hi, range.step)
    }
}

impl From<(i128, i128, u64)> for Range {
    fn from((lo, hi, step): (i128, i128, u64)) -> Self {
        Range::in_steps(lo, hi, step, lo)
    }
}

/// What is farther from 0 is not reckoned with in steps, so that nothing overflows.
const STEPPED_MAX: u128 = 1 << 100;

impl Range {
    /// From `lo` to `hi`, both included.
    pub const fn new(lo: i128, hi: i128) -> Self {
        Range { lo, hi, step: 1 }
    }
    /// Just one number.
    pub const fn just(n: i128) -> Self {
        Range::new(n, n)
    }
    /// Everything a type can hold.
    pub const fn of(ty: Ty) -> Self {
        match ty {
            Ty::U64 => Range::new(0, u64::MAX as i128),
            Ty::I64 => Range::new(i64::MIN as i128, i64::MAX as i128),
            Ty::Bool => Range::new(0, 1),
        }
    }
    /// The numbers from `lo` to `hi` that differ from `of` by a multiple of `step`.
    pub fn in_steps(lo: i128, hi: i128, step: u64, of: i128) -> Self {
        let is_far = [lo, hi, of].into_iter().any(|n| n.unsigned_abs() > STEPPED_MAX);
        if step <= 1 || lo > hi || is_far {
            return Range::new(lo, hi);
        }
        let (lo, hi) = (lo + (of - lo).rem_euclid(step.into()), hi - (hi - of).rem_euclid(step.into()));
        Range { lo, hi, step: if lo < hi { step } else { 1 } }
    }
    /// The step.
    pub const fn step(self) -> u64 {
        self.step
    }
    /// What all differences of two numbers are multiples of; 0 for one number.
    pub const fn spacing(self) -> u64 {
        if self.lo == self.hi { 0 } else { self.step }
    }
    /// Of these the ones that differ from `of` by a multiple of `step`, where that is more than is known.
    pub fn stepped(self, step: u64, of: i128) -> Self {
        if step > self.step { Range::in_steps(self.lo, self.hi, step, of) } else { self }
    }
    /// Whether no number is in it.
    pub const fn is_empty(self) -> bool {
        self.lo > self.hi
    }
    /// Whether every number of `other` is in it.
    pub fn contains(self, other: Range) -> bool {
        let within = other.is_empty() || (self.lo <= other.lo && other.hi <= self.hi);
        let in_step = |n: i128| n % i128::from(self.step) == 0;
        within && (self.step == 1 || other.is_empty() || in_step(other.lo - self.lo) && in_step(other.spacing().into()))
    }
    /// The smallest range over both.
    pub fn join(self, other: Range) -> Range {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let (lo, hi) = (self.lo.min(other.lo), self.hi.max(other.hi));
        if self.spacing() == 1 || other.spacing() == 1 {
            return Range::new(lo, hi);
        }
        let apart = self.lo.abs_diff(other.lo).try_into().unwrap_or(1);
        Range::in_steps(lo, hi, gcd(gcd(self.spacing(), other.spacing()), apart), lo)
    }
    /// What is in both. Where their common step would not fit, all of this range that lies in the other's interval.
    pub fn meet(self, other: Range) -> Range {
        let (lo, hi) = (self.lo.max(other.lo), self.hi.min(other.hi));
        match (self.step, other.step) {
            (1, 1) => Range::new(lo, hi),
            (_, 1) if (lo, hi) == (self.lo, self.hi) => self,
            (_, 1) => Range::in_steps(lo, hi, self.step, self.lo),
            (1, _) => Range::in_steps(lo, hi, other.step, other.lo),
            _ => match common(self, other) {
                Some((step, of)) => Range::in_steps(lo, hi, step, of),
                None if self.is_apart(other) => Range::new(1, 0),
                None => Range::in_steps(lo, hi, self.step, self.lo),
            },
        }
    }
    /// Whether no number is in both, as far as interval and steps tell.
    pub fn is_apart(self, other: Range) -> bool {
        if self.lo.max(other.lo) > self.hi.min(other.hi) {
            return true;
        }
        let step = gcd(self.spacing(), other.spacing());
        let by = self.lo.abs_diff(other.lo);
        step > 1 && by <= STEPPED_MAX && !by.is_multiple_of(step.into())
    }
    /// The one number, when there is only one.
    pub fn as_const(self) -> Option<i128> {
        (self.lo == self.hi).then_some(self.lo)
    }
}

impl Display for Range {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}..={}", self.lo, self.hi)?;
        if self.step > 1 { write!(out, " in steps of {}", self.step) } else { Ok(()) }
    }
}

/// The step in which the numbers lie that are in the steps of both, and one of them (the Chinese remainder theorem); none if there is no such number, or
/// the step does not fit.
fn common(a: Range, b: Range) -> Option<(u64, i128)> {
    let by = gcd(a.step, b.step);
    let (to, rest) = (i128::from(b.step / by), b.lo - a.lo);
    // Products of two such numbers stay below 2^127.
    if rest % i128::from(by) != 0 || to >= 1 << 62 {
        return None;
    }
    let step = (a.step / by).checked_mul(b.step)?;
    // How many steps of `a` lead to a number of `b`, below `to`.
    let steps = rest / i128::from(by) % to * inverse(i128::from(a.step / by), to) % to;
    Some((step, a.lo + steps.rem_euclid(to) * i128::from(a.step)))
}

/// The number by which `n` is to be multiplied to leave 1 when divided by `by`, with which it has no divisor in common.
fn inverse(n: i128, by: i128) -> i128 {
    let (mut r, mut x) = ((n % by, by), (1, 0));
    while r.0 != 0 {
        let q = r.1 / r.0;
        (r, x) = ((r.1 - q * r.0, r.0), (x.1 - q * x.0, x.0));
    }
    x.1
}

/// The greatest common divisor; of 0 and a number that number.
pub fn gcd<N: Copy + Default + PartialEq + std::ops::Rem<Output = N>>(mut a: N, mut b: N) -> N {
    while b != N::default() {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All ranges with small numbers.
    fn all() -> Vec<Range> {
        let mut all = Vec::new();
        for (lo, hi, step) in (-6..=6).flat_map(|lo| (-6..=6).flat_map(move |hi| (1..=4).map(move |s| (lo, hi, s)))) {
            all.push(Range::in_steps(lo, hi, step, lo));
        }
        all
    }

    fn numbers(r: Range) -> Vec<i128> {
        (-20..=20).filter(|n| r.contains(Range::just(*n))).collect()
    }

    #[test]
    fn ranges_are_sets() {
        for a in all() {
            for b in all() {
                let (x, y) = (numbers(a), numbers(b));
                let both: Vec<i128> = x.iter().copied().filter(|n| y.contains(n)).collect();
                assert_eq!(a.contains(b), y.iter().all(|n| x.contains(n)), "{a:?} {b:?}");
                let joined = numbers(a.join(b));
                assert!(x.iter().chain(&y).all(|n| joined.contains(n)), "{a:?} {b:?}: {joined:?}");
                assert_eq!(numbers(a.meet(b)), both, "{a:?} {b:?}");
                assert!(!a.is_apart(b) || both.is_empty(), "{a:?} {b:?}");
            }
        }
    }
}
