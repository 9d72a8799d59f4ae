//! Addresses as they vary with the counter of a loop.

use std::collections::HashSet;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::{Addr, BinOp, Function, Mode, Op, Region, Ty, Value};

/// A loop with one counter, as far as it was looked through.
pub(super) struct Inside<'f> {
    pub f: &'f Function,
    pub defs: &'f Defs,
    pub counter: Value,
    /// What the loop defines, the counter included.
    pub values: HashSet<Value>,
}

/// `bases + factor * counter + disp` in a region; the bases do not change in the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stride {
    pub region: Region,
    pub bases: Vec<Value>,
    pub factor: u64,
    pub disp: u64,
}

impl Inside<'_> {
    /// An address, if it is of this form.
    pub fn stride(&self, addr: &Addr) -> Option<Stride> {
        let mut stride = Stride { region: addr.region, bases: Vec::new(), factor: 0, disp: addr.disp.into() };
        for v in [addr.base, addr.index].into_iter().flatten() {
            self.add(&mut stride, v, 1)?;
        }
        stride.bases.sort();
        Some(stride)
    }

    /// Whether a value is the counter, refined or not.
    pub fn is_counter(&self, v: Value) -> bool {
        self.plain(v) == self.counter
    }

    /// The value without what only says more of it.
    fn plain(&self, mut v: Value) -> Value {
        while self.values.contains(&v) {
            v = match self.defs.op(self.f, v) {
                Some(Op::Refine { a, .. }) => *a,
                Some(Op::Check { a, .. }) if self.f.is_shown(v) => *a,
                _ => break,
            };
        }
        v
    }

    fn add(&self, to: &mut Stride, v: Value, times: u64) -> Option<()> {
        let (f, v) = (self.f, self.plain(v));
        let number = |v: Value| f.value(v).range.as_const().and_then(|n| u64::try_from(n).ok());
        if f.value(v).ty != Ty::U64 {
            return None;
        }
        if v == self.counter {
            to.factor = to.factor.checked_add(times)?;
        } else if let Some(n) = number(v) {
            to.disp = to.disp.checked_add(n.checked_mul(times)?)?;
        } else if !self.values.contains(&v) {
            (times == 1).then(|| to.bases.push(v))?;
        } else {
            match self.defs.op(f, v)? {
                Op::Binary { op: BinOp::Add, mode: Mode::Exact, a, b } => {
                    self.add(to, *a, times)?;
                    self.add(to, *b, times)?;
                }
                Op::Binary { op: BinOp::Mul, mode: Mode::Exact, a, b } => {
                    let (a, n) = number(*b).map(|n| (*a, n)).or_else(|| Some((*b, number(*a)?)))?;
                    self.add(to, a, times.checked_mul(n)?)?;
                }
                _ => return None,
            }
        }
        Some(())
    }
}
