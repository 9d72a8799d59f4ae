//! Emission with memory: pure operations are found again while their first emission dominates the present point.
//!
//! Scopes follow the structure of the source: what an arm of a branch or a loop's body emits is forgotten at its end. After a hop nothing
//! from before is found again, since values do not cross hops.

use super::*;
use crate::ir::eval::range;
use crate::ir::{Addr, BinOp, CmpOp, Endian, FaultRef, Mode, Op, Region, Size, Value};
use rustc_hash::FxBuildHasher;
use std::hash::{BuildHasher, Hash, Hasher};

/// What is remembered in one scope.
#[derive(Default)]
pub(super) struct Scope {
    /// Values by the operation that makes them.
    ops: FxHashMap<Key, Value>,
    /// What conditions say about values here.
    facts: FxHashMap<Value, Range>,
    /// Numbers that conditions say values are not.
    excluded: FxHashMap<Value, Vec<i128>>,
    /// Members of views already decoded, by view and member, with their ends where the size is dynamic.
    pub members: FxHashMap<(u32, usize), (u32, Val, Option<Value>)>,
}

/// An operation as it is found again: its step, type and operands, its faults left out. Many scopes are asked for it, so it is hashed once.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    hash: u64,
    step: u32,
    ty: ir::Ty,
    op: Op,
}

impl Key {
    fn new(step: u32, ty: ir::Ty, op: &Op) -> Key {
        let mut op = op.clone();
        match &mut op {
            Op::Binary { mode: Mode::Checked(f), .. } => *f = NO_FAULT,
            Op::Check { fault, .. } => *fault = NO_FAULT,
            Op::Varint { outside, wide, .. } => {
                *outside = NO_FAULT;
                *wide = None;
            }
            _ => {}
        }
        let hash = FxBuildHasher.hash_one((step, ty, &op));
        Key { hash, step, ty, op }
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Scope {
    /// Takes over what a scope that holds here knows, without overruling what is known already.
    pub fn absorb_weaker(&mut self, other: &Scope) {
        for (k, v) in &other.ops {
            self.ops.entry(k.clone()).or_insert(*v);
        }
        for (k, r) in &other.facts {
            let known = self.facts.entry(*k).or_insert(*r);
            *known = known.meet(*r);
        }
        for (k, numbers) in &other.excluded {
            self.excluded.entry(*k).or_default().extend(numbers);
        }
        for (k, v) in &other.members {
            self.members.entry(*k).or_insert_with(|| v.clone());
        }
    }
}

/// No fault: faults are left out of the keys under which operations are remembered.
const NO_FAULT: FaultRef = FaultRef { fault: ir::FaultId(u32::MAX), found: None, at: None };

impl Lowerer<'_> {
    pub(super) fn scoped<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> T {
        self.scopes.push(Scope::default());
        let out = f(self);
        self.scopes.pop();
        out
    }

    /// Appends an operation at the present place of the source.
    pub(super) fn push_op(&mut self, op: Op, ty: ir::Ty) -> Value {
        self.b.set_span(self.span);
        self.b.op(ty, op)
    }

    /// The operation that makes a value; none for a parameter.
    pub(super) fn def_of(&self, v: Value) -> Option<Op> {
        self.b.defs().op(self.b.function(), v).cloned()
    }

    /// Emits a pure operation, or finds it.
    pub(super) fn pure(&mut self, op: Op, ty: ir::Ty) -> Value {
        let key = Key::new(self.flow.step, ty, &op);
        if let Some(v) = self.scopes.iter().rev().find_map(|s| s.ops.get(&key)) {
            return *v;
        }
        let v = self.push_op(op, ty);
        self.scopes.last_mut().expect("a scope is open").ops.insert(key, v);
        v
    }

    /// A constant of type `U64`, or `I64` when it is negative.
    pub(super) fn number(&mut self, n: i128) -> Value {
        let ty = if n < 0 { ir::Ty::I64 } else { ir::Ty::U64 };
        self.number_as(n, ty)
    }

    pub(super) fn number_as(&mut self, n: i128, ty: ir::Ty) -> Value {
        self.pure(Op::Const(n as u64), ty)
    }

    pub(super) fn truth(&mut self, b: bool) -> Value {
        self.number_as(i128::from(b), ir::Ty::Bool)
    }

    pub(super) fn range(&self, v: Value) -> Range {
        let claim = self.b.function().value(v).range;
        // What was learnt last is all that is known: `learn` has looked at the scopes around.
        self.scopes.iter().rev().find_map(|s| s.facts.get(&v)).map_or(claim, |known| claim.meet(*known))
    }

    /// What is known of `a - b`, where that has been computed.
    pub(super) fn known_difference(&self, a: Value, b: Value) -> Option<Range> {
        let modes = [Mode::Checked(NO_FAULT), Mode::Exact].into_iter();
        let keys = modes.map(|mode| Key::new(self.flow.step, self.ty(a), &Op::Binary { op: BinOp::Sub, mode, a, b }));
        let mut found = keys.filter_map(|key| self.scopes.iter().rev().find_map(|s| s.ops.get(&key)));
        found.next().map(|v| self.range(*v))
    }

    /// What is known of a value through what is known of its operands.
    pub(super) fn range_by_parts(&self, v: Value, depth: u32) -> Range {
        let known = self.range(v);
        match self.def_of(v) {
            Some(Op::Binary { op, mode, a, b }) if depth > 0 => {
                let (ra, rb) = (self.range_by_parts(a, depth - 1), self.range_by_parts(b, depth - 1));
                known.meet(range::binary(op, mode, self.ty(v), ra, rb))
            }
            Some(Op::Cast(a) | Op::Refine { a, .. }) if depth > 0 => known.meet(self.range_by_parts(a, depth - 1)),
            _ => known,
        }
    }

    pub(super) fn claim(&self, v: Value) -> Range {
        self.b.function().value(v).range
    }

    pub(super) fn ty(&self, v: Value) -> ir::Ty {
        self.b.function().value(v).ty
    }

    /// Adds what a condition says about a value in the present scope.
    pub(super) fn learn(&mut self, v: Value, range: Range) {
        let known = self.range(v).meet(range);
        self.scopes.last_mut().expect("a scope is open").facts.insert(v, known);
    }

    /// Whether what is known of its operands says that a comparison is true.
    pub(super) fn is_sure(&self, cond: Value) -> bool {
        let by_parts = match self.def_of(cond) {
            Some(Op::Compare { op, a, b }) => range::compare(op, self.range(a), self.range(b)),
            _ => self.range(cond),
        };
        by_parts == Range::just(1) || self.range(cond) == Range::just(1)
    }

    /// Whether conditions say that a value is not this number.
    pub(super) fn is_excluded(&self, v: Value, n: i128) -> bool {
        self.scopes.iter().any(|s| s.excluded.get(&v).is_some_and(|numbers| numbers.contains(&n)))
    }

    /// The constant that a value is, by its claim.
    pub(super) fn as_const(&self, v: Value) -> Option<i128> {
        self.claim(v).as_const()
    }

    /// An operation whose exact result is known to fit.
    pub(super) fn exact(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        if let Some(v) = self.fold(op, a, b) {
            return v;
        }
        let ty = self.ty(a);
        self.pure(Op::Binary { op, mode: Mode::Exact, a, b }, ty)
    }

    /// Folds constants and neutral elements.
    fn fold(&mut self, op: BinOp, a: Value, b: Value) -> Option<Value> {
        let (ca, cb) = (self.as_const(a), self.as_const(b));
        match (op, ca, cb) {
            (BinOp::Add | BinOp::Sub | BinOp::Shl | BinOp::Shr | BinOp::Or | BinOp::Xor, _, Some(0)) => Some(a),
            (BinOp::Add | BinOp::Or | BinOp::Xor, Some(0), _) => Some(b),
            (BinOp::Mul | BinOp::Div, _, Some(1)) => Some(a),
            (BinOp::Mul, Some(1), _) => Some(b),
            (_, Some(x), Some(y)) => {
                let ty = self.ty(a);
                let n = match op {
                    BinOp::Add => x + y,
                    BinOp::Sub => x - y,
                    BinOp::Mul => x.checked_mul(y)?,
                    BinOp::Div if y != 0 => x / y,
                    BinOp::Rem if y != 0 => x % y,
                    BinOp::And => x & y,
                    BinOp::Or => x | y,
                    BinOp::Xor => x ^ y,
                    BinOp::Shl if (0..64).contains(&y) => x << y,
                    BinOp::Shr if (0..64).contains(&y) => x >> y,
                    _ => return None,
                };
                Range::of(ty).contains(Range::just(n)).then(|| self.number_as(n, ty))
            }
            _ => None,
        }
    }

    /// An operation that ends the walk with `overflow` when its result does not fit its type.
    pub(super) fn checked(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        let ty = self.ty(a);
        let (ra, rb) = (self.claim(a), self.claim(b));
        let exact = match op {
            BinOp::Add => Some(Range::new(ra.lo + rb.lo, ra.hi + rb.hi)),
            BinOp::Sub => Some(Range::new(ra.lo - rb.hi, ra.hi - rb.lo)),
            BinOp::Mul => arith::product(ra, rb),
            _ => None,
        };
        if exact.is_some_and(|r| Range::of(ty).contains(r)) {
            return self.exact(op, a, b);
        }
        if let Some(v) = self.fold(op, a, b) {
            return v;
        }
        let (span, wrong) = match op {
            BinOp::Sub if ty == ir::Ty::U64 => (self.span, "is negative"),
            BinOp::Sub => (self.span, "does not fit in 64 bits"),
            _ => (self.whole.filter(|w| w.covers(self.span)).unwrap_or(self.span), "does not fit in 64 bits"),
        };
        let message = format!("`{}` {wrong}", self.text(span));
        let fault = self.fault(ir::FaultKind::Overflow, message, span);
        self.pure(Op::Binary { op, mode: Mode::Checked(fault), a, b }, ty)
    }

    pub(super) fn wrapping(&mut self, op: BinOp, a: Value, b: Value) -> Value {
        let ty = self.ty(a);
        self.pure(Op::Binary { op, mode: Mode::Wrap, a, b }, ty)
    }

    pub(super) fn compare(&mut self, op: CmpOp, a: Value, b: Value) -> Value {
        let (ra, rb) = (self.claim(a), self.claim(b));
        let known = match op {
            CmpOp::Lt if ra.hi < rb.lo => Some(true),
            CmpOp::Lt if ra.lo >= rb.hi => Some(false),
            CmpOp::Le if ra.hi <= rb.lo => Some(true),
            CmpOp::Le if ra.lo > rb.hi => Some(false),
            CmpOp::Eq | CmpOp::Ne if ra.meet(rb).is_empty() => Some(op == CmpOp::Ne),
            CmpOp::Eq | CmpOp::Ne if ra.as_const().is_some() && ra == rb => Some(op == CmpOp::Eq),
            _ if a == b => Some(matches!(op, CmpOp::Eq | CmpOp::Le)),
            _ => None,
        };
        match known {
            Some(b) => self.truth(b),
            None => self.pure(Op::Compare { op, a, b }, ir::Ty::Bool),
        }
    }

    pub(super) fn select(&mut self, cond: Value, a: Value, b: Value) -> Value {
        match self.as_const(cond) {
            Some(0) => b,
            Some(_) => a,
            None if a == b => a,
            None => {
                let ty = self.ty(a);
                self.pure(Op::Select { cond, a, b }, ty)
            }
        }
    }

    pub(super) fn not(&mut self, a: Value) -> Value {
        let one = self.truth(true);
        if let Some(c) = self.as_const(a) {
            return self.truth(c == 0);
        }
        self.pure(Op::Binary { op: BinOp::Xor, mode: Mode::Exact, a, b: one }, ir::Ty::Bool)
    }

    /// The same number under another SSA type; its claim must fit.
    pub(super) fn cast(&mut self, a: Value, ty: ir::Ty) -> Value {
        if self.ty(a) == ty {
            return a;
        }
        match self.as_const(a) {
            Some(n) => self.number_as(n, ty),
            None => self.pure(Op::Cast(a), ty),
        }
    }

    pub(super) fn load(&mut self, addr: Addr, width: u8, endian: Endian, ty: ir::Ty) -> Value {
        let op = Op::Load { addr, width, endian };
        match addr.region {
            // What was written meanwhile may differ: only disk blocks, arguments and tables are constant within a step.
            Region::Slot(_) | Region::Out => self.push_op(op, ty),
            Region::Disk | Region::Arg(_) | Region::Data(_) => self.pure(op, ty),
        }
    }

    pub(super) fn check(&mut self, region: Region, a: Value, size: Size, limit: Value, fault: FaultRef) -> Value {
        self.pure(Op::Check { region, a, size, limit, fault }, ir::Ty::U64)
    }

    /// Ends the walk with `fault` unless `cond`; from then on `cond` is known.
    pub(super) fn guard(&mut self, cond: Value, fault: FaultRef) {
        if self.range(cond) == Range::just(1) {
            return;
        }
        self.b.set_span(self.span);
        self.b.guard(cond, fault);
        self.learn_from(cond, true);
    }

    /// What a comparison with a known result says about its operands.
    pub(super) fn learn_from(&mut self, cond: Value, sense: bool) {
        self.learn(cond, Range::just(i128::from(sense)));
        match self.def_of(cond) {
            Some(Op::Compare { op, a, b }) => {
                let (ra, rb) = (self.range(a), self.range(b));
                let na = range::refine(op, sense, true, ra, rb);
                let nb = range::refine(op, sense, false, rb, ra);
                self.learn(a, na);
                self.learn(b, nb);
                if matches!((op, sense), (CmpOp::Eq, false) | (CmpOp::Ne, true)) {
                    for (v, other) in [(a, b), (b, a)] {
                        if let Some(n) = self.as_const(other) {
                            self.scopes.last_mut().expect("a scope is open").excluded.entry(v).or_default().push(n);
                        }
                    }
                }
            }
            Some(Op::Binary { op: BinOp::Xor, a, b, .. }) if self.as_const(b) == Some(1) => self.learn_from(a, !sense),
            Some(Op::Binary { op: BinOp::And, a, b, .. }) if sense => {
                self.learn_from(a, true);
                self.learn_from(b, true);
            }
            Some(Op::Binary { op: BinOp::Or, a, b, .. }) if !sense => {
                self.learn_from(a, false);
                self.learn_from(b, false);
            }
            Some(Op::Cast(a)) => {
                let range = self.range(cond);
                self.learn(a, range);
            }
            _ => {}
        }
    }

    /// What must be shown.
    pub(super) fn prove(&mut self, kind: ir::ObligationKind, cond: Value, text: String, operands: Vec<Value>) {
        if self.range(cond) == Range::just(1) {
            return;
        }
        self.b.set_span(self.span);
        let obligation = self.b.obligation(kind, text, &operands);
        self.b.prove(cond, obligation);
        self.learn_from(cond, true);
    }
}
