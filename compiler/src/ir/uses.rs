//! Operands: looking at each, and putting others in their place.

use super::*;

impl Op {
    /// Calls `f` on each value operand.
    pub fn for_each_use(&self, mut f: impl FnMut(Value)) {
        self.clone().map_uses(|v| {
            f(v);
            v
        });
    }

    /// Replaces each value operand by what `f` makes of it.
    pub fn map_uses(&mut self, mut f: impl FnMut(Value) -> Value) {
        fn addr(a: &mut Addr, f: &mut impl FnMut(Value) -> Value) {
            a.base = a.base.map(&mut *f);
            a.index = a.index.map(&mut *f);
        }
        fn size(s: &mut Size, f: &mut impl FnMut(Value) -> Value) {
            if let Size::Value(v) = s {
                *v = f(*v);
            }
        }
        let f = &mut f;
        match self {
            Op::Const(_) | Op::Arg(_) | Op::ArgLen(_) => {}
            Op::Binary { mode, a, b, .. } => {
                *a = f(*a);
                *b = f(*b);
                if let Mode::Checked(fault) = mode {
                    fault.map_uses(f);
                }
            }
            Op::Compare { a, b, .. } => {
                *a = f(*a);
                *b = f(*b);
            }
            Op::Select { cond, a, b } => {
                *cond = f(*cond);
                *a = f(*a);
                *b = f(*b);
            }
            Op::Cast(a) | Op::Reinterpret(a) | Op::Extend { a, .. } => *a = f(*a),
            Op::Refine { a, cond, .. } => {
                *a = f(*a);
                *cond = f(*cond);
            }
            Op::Load { addr: a, .. } => addr(a, f),
            Op::Varint { addr: a, limit, outside, wide, .. } => {
                addr(a, f);
                *limit = f(*limit);
                outside.map_uses(f);
                wide.iter_mut().for_each(|fault| fault.map_uses(f));
            }
            Op::Decoded(a) => *a = f(*a),
            Op::Check { a, size: s, limit, fault, .. } => {
                *a = f(*a);
                size(s, f);
                *limit = f(*limit);
                fault.map_uses(f);
            }
            Op::Guard { cond, fault } => {
                *cond = f(*cond);
                fault.map_uses(f);
            }
            Op::Prove { cond, .. } => *cond = f(*cond),
            Op::Store { addr: a, value, .. } => {
                addr(a, f);
                *value = f(*value);
            }
            Op::Copy { to, from, len } => {
                addr(to, f);
                addr(from, f);
                size(len, f);
            }
        }
    }
}

impl FaultRef {
    /// Replaces each value operand by what `f` makes of it.
    pub fn map_uses(&mut self, f: &mut impl FnMut(Value) -> Value) {
        self.found = self.found.map(&mut *f);
        self.at = self.at.map(&mut *f);
    }
}

impl Target {
    fn map_uses(&mut self, f: &mut impl FnMut(Value) -> Value) {
        for v in &mut self.args {
            *v = f(*v);
        }
    }
}

impl Terminator {
    /// Calls `f` on each value operand, arguments included.
    pub fn for_each_use(&self, mut f: impl FnMut(Value)) {
        self.clone().map_uses(|v| {
            f(v);
            v
        });
    }

    /// Replaces each value operand by what `f` makes of it.
    pub fn map_uses(&mut self, mut f: impl FnMut(Value) -> Value) {
        let f = &mut f;
        match self {
            Terminator::Jump(t) | Terminator::Emit { next: t, .. } => t.map_uses(f),
            Terminator::Branch { cond, then, other } => {
                *cond = f(*cond);
                then.map_uses(f);
                other.map_uses(f);
            }
            Terminator::Hop { offset, len, next, .. } => {
                *offset = f(*offset);
                *len = f(*len);
                next.map_uses(f);
            }
            Terminator::Return => {}
            Terminator::Fault(fault) => fault.map_uses(f),
        }
    }
}
