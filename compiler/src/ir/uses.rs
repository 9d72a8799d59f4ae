//! Operands: looking at each, and putting others in their place.

use super::*;

/// Calls `$each` on every value operand of an operation, by reference: `$iter` is `iter`, or `iter_mut` for one that is to be changed.
macro_rules! for_each_operand {
    ($op:expr, $iter:ident, $each:expr) => {{
        let mut each = $each;
        match $op {
            Op::Const(_) | Op::Arg(_) | Op::ArgLen(_) => {}
            Op::Binary { mode, a, b, .. } => {
                each(a);
                each(b);
                if let Mode::Checked(fault) = mode {
                    fault.found.$iter().chain(fault.at.$iter()).for_each(each);
                }
            }
            Op::Compare { a, b, .. } => {
                each(a);
                each(b);
            }
            Op::Select { cond, a, b } => {
                each(cond);
                each(a);
                each(b);
            }
            Op::Cast(a) | Op::Reinterpret(a) | Op::Extend { a, .. } => each(a),
            Op::Refine { a, cond, .. } => {
                each(a);
                each(cond);
            }
            Op::Load { addr, .. } => addr.base.$iter().chain(addr.index.$iter()).for_each(each),
            Op::Varint { addr, limit, outside, wide, .. } => {
                addr.base.$iter().chain(addr.index.$iter()).for_each(&mut each);
                each(limit);
                for fault in [outside].into_iter().chain(wide) {
                    fault.found.$iter().chain(fault.at.$iter()).for_each(&mut each);
                }
            }
            Op::Decoded(a) => each(a),
            Op::Check { a, size, limit, fault, .. } => {
                each(a);
                if let Size::Value(v) = size {
                    each(v);
                }
                each(limit);
                fault.found.$iter().chain(fault.at.$iter()).for_each(each);
            }
            Op::Guard { cond, fault } => {
                each(cond);
                fault.found.$iter().chain(fault.at.$iter()).for_each(each);
            }
            Op::Prove { cond, .. } => each(cond),
            Op::Store { addr, value, .. } => {
                addr.base.$iter().chain(addr.index.$iter()).for_each(&mut each);
                each(value);
            }
            Op::Copy { to, from, len } => {
                to.base.$iter().chain(to.index.$iter()).for_each(&mut each);
                from.base.$iter().chain(from.index.$iter()).for_each(&mut each);
                if let Size::Value(v) = len {
                    each(v);
                }
            }
        }
    }};
}

/// As [`for_each_operand`], of a terminator, arguments included.
macro_rules! for_each_operand_at_end {
    ($term:expr, $iter:ident, $each:expr) => {{
        let mut each = $each;
        match $term {
            Terminator::Jump(t) | Terminator::Emit { next: t, .. } => t.args.$iter().for_each(each),
            Terminator::Branch { cond, then, other } => {
                each(cond);
                then.args.$iter().chain(other.args.$iter()).for_each(each);
            }
            Terminator::Hop { offset, len, next, .. } => {
                each(offset);
                each(len);
                next.args.$iter().for_each(each);
            }
            Terminator::Return => {}
            Terminator::Fault(fault) => fault.found.$iter().chain(fault.at.$iter()).for_each(each),
        }
    }};
}

impl Op {
    /// Calls `f` on each value operand.
    pub fn for_each_use(&self, mut f: impl FnMut(Value)) {
        for_each_operand!(self, iter, |v: &Value| f(*v));
    }

    /// Replaces each value operand by what `f` makes of it.
    pub fn map_uses(&mut self, mut f: impl FnMut(Value) -> Value) {
        for_each_operand!(self, iter_mut, |v: &mut Value| *v = f(*v));
    }
}

impl FaultRef {
    /// Replaces each value operand by what `f` makes of it.
    pub fn map_uses(&mut self, f: &mut impl FnMut(Value) -> Value) {
        self.found.iter_mut().chain(&mut self.at).for_each(|v| *v = f(*v));
    }
}

impl Terminator {
    /// Calls `f` on each value operand, arguments included.
    pub fn for_each_use(&self, mut f: impl FnMut(Value)) {
        for_each_operand_at_end!(self, iter, |v: &Value| f(*v));
    }

    /// Replaces each value operand by what `f` makes of it.
    pub fn map_uses(&mut self, mut f: impl FnMut(Value) -> Value) {
        for_each_operand_at_end!(self, iter_mut, |v: &mut Value| *v = f(*v));
    }
}
