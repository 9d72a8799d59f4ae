//! Linear forms: what a value is as a sum of others, and which inequalities follow from single operations.
//!
//! A form stands for an integer without bounds; an inequality is a form that is at most 0. Nothing here searches: prover and verifier read the
//! same forms off the same function. A product of two variables is an atom of its own, so that `n * stride` can be spoken of.

use super::interval::gcd;
use crate::fx::FxHashMap;
use crate::ir::defs::Defs;
use crate::ir::eval::range::IMAGE_MAX;
use crate::ir::graph::Graph;
use crate::ir::terms::Terms;
use crate::ir::verify::passed;
use crate::ir::{BinOp, Block, CmpOp, Function, Mode, Op, Range, Size, Terminator, Ty, Value};
use serde::{Deserialize, Serialize};

/// A form of more terms is not expanded: it is an atom.
const TERMS_MAX: usize = 10;

/// What sums are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Atom {
    /// A value that is no sum itself.
    Value(Value),
    /// The product of two, in order.
    Product(Value, Value),
}

impl Atom {
    fn product(a: Atom, b: Atom) -> Option<Atom> {
        match (a, b) {
            (Atom::Value(a), Atom::Value(b)) => Some(Atom::Product(a.min(b), a.max(b))),
            _ => None,
        }
    }

    /// The values in it.
    pub fn values(self) -> impl Iterator<Item = Value> {
        let (a, b) = match self {
            Atom::Value(a) => (a, None),
            Atom::Product(a, b) => (a, Some(b)),
        };
        std::iter::once(a).chain(b)
    }
}

/// A sum of atoms times numbers, and a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Form {
    /// In order of their atoms, none with 0.
    terms: Terms,
    /// The number.
    pub constant: i128,
}

impl Form {
    /// Just a number.
    pub fn number(constant: i128) -> Form {
        Form { terms: Terms::default(), constant }
    }

    /// Just an atom.
    pub fn atom(atom: Atom) -> Form {
        let mut terms = Terms::default();
        terms.push((atom, 1));
        Form { terms, constant: 0 }
    }

    /// The terms, in order.
    pub fn terms(&self) -> &[(Atom, i128)] {
        &self.terms
    }

    /// The values that it speaks of.
    pub fn values(&self) -> impl Iterator<Item = Value> {
        self.terms.iter().flat_map(|t| t.0.values())
    }

    /// The factor of an atom.
    pub fn factor(&self, atom: Atom) -> i128 {
        // Forms are short.
        self.terms.iter().find(|t| t.0 == atom).map_or(0, |t| t.1)
    }

    /// The atom, where it is nothing else.
    pub fn as_atom(&self) -> Option<Atom> {
        match self.terms[..] {
            [(atom, 1)] if self.constant == 0 => Some(atom),
            _ => None,
        }
    }

    /// `self + k * other`; none if a number does not fit.
    pub fn plus(&self, k: i128, other: &Form) -> Option<Form> {
        Form::combined(1, self, k, other)
    }

    /// `self + n`; none if the number does not fit.
    pub fn plus_number(mut self, n: i128) -> Option<Form> {
        self.constant = self.constant.checked_add(n)?;
        Some(self)
    }

    /// `n * a + m * b`, where neither factor is 0; none if a number does not fit.
    pub fn combined(n: i128, a: &Form, m: i128, b: &Form) -> Option<Form> {
        let mut terms = Terms::default();
        let (mut x, mut y) = (&a.terms[..], &b.terms[..]);
        loop {
            let (atom, factor) = match (x, y) {
                ([(atom, p), next_x @ ..], [(other, q), next_y @ ..]) if atom == other => {
                    (x, y) = (next_x, next_y);
                    (*atom, product(n, *p)?.checked_add(product(m, *q)?)?)
                }
                ([(atom, p), next @ ..], [(other, _), ..]) if atom < other => {
                    x = next;
                    (*atom, product(n, *p)?)
                }
                (_, [(atom, q), next @ ..]) => {
                    y = next;
                    (*atom, product(m, *q)?)
                }
                ([(atom, p), next @ ..], []) => {
                    x = next;
                    (*atom, product(n, *p)?)
                }
                ([], []) => break,
            };
            if factor != 0 {
                terms.push((atom, factor));
            }
        }
        let constant = product(n, a.constant)?.checked_add(product(m, b.constant)?)?;
        Some(Form { terms, constant })
    }

    /// Divided by what all factors are multiples of, and that divisor: the form is at most 0 where this one is.
    pub fn rounded(&self) -> (Form, i128) {
        let by = self.terms.iter().fold(0, |by, t| common_divisor(by, t.1.saturating_abs())).max(1);
        if by == 1 {
            return (self.clone(), 1);
        }
        let mut terms = Terms::default();
        self.terms.iter().for_each(|(atom, factor)| terms.push((*atom, factor / by)));
        // Up: what is added to an integer that is to be at most 0 may be the next one.
        let constant = self.constant.div_euclid(by) + i128::from(self.constant.rem_euclid(by) > 0);
        (Form { terms, constant }, by)
    }

    /// The product; none if it is of the third degree, or a number does not fit.
    pub fn times(&self, other: &Form) -> Option<Form> {
        if other.terms.is_empty() {
            return Form::number(0).plus(other.constant, self);
        }
        let mut out = Form::number(0).plus(self.constant, other)?;
        for (atom, n) in self.terms() {
            out = out.plus(n.checked_mul(other.constant)?, &Form::atom(*atom))?;
            for (with, m) in other.terms() {
                out = out.plus(n.checked_mul(*m)?, &Form::atom(Atom::product(*atom, *with)?))?;
            }
        }
        Some(out)
    }

    /// With forms in the place of values.
    pub fn replaced(&self, of: impl Fn(Value) -> Form) -> Option<Form> {
        let mut out = Form::number(self.constant);
        for (atom, n) in self.terms() {
            let form = match *atom {
                Atom::Value(v) => of(v),
                Atom::Product(a, b) => of(a).times(&of(b))?,
            };
            out = out.plus(*n, &form)?;
        }
        Some(out)
    }
}

/// The product; none if it does not fit. Most numbers are short, and their products need no test.
pub fn product(a: i128, b: i128) -> Option<i128> {
    match (i64::try_from(a), i64::try_from(b)) {
        (Ok(a), Ok(b)) => Some(i128::from(a) * i128::from(b)),
        _ => a.checked_mul(b),
    }
}

/// The greatest common divisor of two factors, neither below 0. Most are 1, and need no division.
pub fn common_divisor(a: i128, b: i128) -> i128 {
    if a == 1 || b == 1 { 1 } else { gcd(a, b) }
}

/// At most so many inequalities follow from one operation.
pub const DEFINITIONS_MAX: u8 = 3;

/// Whether any inequality may follow from an operation ([`Forms::definition`]).
pub fn is_defining(op: &Op) -> bool {
    match op {
        Op::Binary { op, .. } => !matches!(op, BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Xor),
        Op::Check { .. } | Op::Select { .. } | Op::Varint { .. } => true,
        _ => false,
    }
}

/// The operand whose number the result of an operation is.
fn same(f: &Function, op: &Op, ty: Ty) -> Option<Value> {
    match op {
        Op::Cast(a) | Op::Refine { a, .. } | Op::Check { a, .. } => Some(*a),
        Op::Reinterpret(a) => Some(*a).filter(|a| Range::of(ty).contains(f.value(*a).range)),
        Op::Extend { bits, a } => {
            Some(*a).filter(|a| super::eval::range::low_bits(ty, *bits).contains(f.value(*a).range))
        }
        _ => None,
    }
}

/// How a result is made of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    /// By an operator, which may wrap.
    Binary(BinOp, bool),
    /// By the sign, from so many bits.
    Extend(u8),
}

/// The forms of all values.
#[derive(Clone, Debug)]
pub struct Forms {
    of: Vec<Made>,
    /// Those that are more than an atom.
    sums: Vec<Form>,
}

/// What a value is: many share a form, and most are atoms.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Made {
    /// Just this value, which is an atom.
    Atom(Value),
    /// By its position in [`Forms::sums`].
    Sum(u32),
}

impl Forms {
    /// Reads them off a function in which definitions dominate uses.
    ///
    /// What a block receives is what is passed to it, where that is the same over all edges, behind a read as well: what is learnt of the one is
    /// known of the other, and what was known before the read is not lost.
    ///
    /// What is computed again, from the same, is the same, so that what is made of carried values in two steps has one name.
    pub fn of(f: &Function, graph: &Graph) -> Forms {
        let atoms = (0..f.values.len() as u32).map(|i| Made::Atom(Value(i)));
        let mut forms = Forms { of: atoms.collect(), sums: Vec::new() };
        let mut made: FxHashMap<(How, Ty, Form, Form), (Block, Value)> = FxHashMap::default();
        for b in &graph.order {
            forms.receive(f, graph, *b);
            for inst in &f.block(*b).insts {
                let Some(v) = inst.result else { continue };
                let ty = f.value(v).ty;
                if let Some(same) = same(f, &inst.op, ty) {
                    forms.of[v.index()] = forms.of[same.index()];
                } else if let Some(form) = forms.expanded(f, &inst.op, ty) {
                    if form.terms.len() <= TERMS_MAX {
                        forms.set(v, form);
                    }
                } else if ty != Ty::Bool
                    && let Some((how, x, y)) = forms.made(&inst.op)
                {
                    let first = made.entry((how, ty, x, y)).or_insert((*b, v));
                    if graph.dominates(first.0, *b) {
                        forms.of[v.index()] = Made::Atom(first.1);
                    } else {
                        *first = (*b, v);
                    }
                }
            }
        }
        forms
    }

    /// The parameters of a block, the ones before which in order have their forms.
    fn receive(&mut self, f: &Function, graph: &Graph, b: Block) {
        let edges = &graph.predecessors[b.index()];
        if f.block(b).params.is_empty() {
            return;
        }
        // What comes from behind has no forms yet.
        if edges.iter().any(|(from, _)| graph.dominates(b, *from)) {
            return;
        }
        let passed_over = |(from, target): &(Block, usize)| {
            let term = &f.block(*from).term;
            let to = term.targets().nth(*target);
            to.map_or_else(Vec::new, |to| passed(f, term, to).collect())
        };
        let Some((first, others)) = edges.split_first() else { return };
        let others: Vec<Vec<(Value, Value)>> = others.iter().map(passed_over).collect();
        for (i, (arg, param)) in passed_over(first).into_iter().enumerate() {
            let is_same = |way: &Vec<(Value, Value)>| way.get(i).is_some_and(|(other, _)| self.are_same(*other, arg));
            if others.iter().all(is_same) {
                self.of[param.index()] = self.of[arg.index()];
            }
        }
    }

    /// How an operation that is no sum makes its result, and of what.
    fn made(&self, op: &Op) -> Option<(How, Form, Form)> {
        match op {
            Op::Binary { op, mode, a, b } => Some((How::Binary(*op, *mode == Mode::Wrap), self.get(*a), self.get(*b))),
            Op::Extend { bits, a } => Some((How::Extend(*bits), self.get(*a), Form::default())),
            _ => None,
        }
    }

    /// What a value is.
    pub fn get(&self, v: Value) -> Form {
        match self.of[v.index()] {
            Made::Atom(v) => Form::atom(Atom::Value(v)),
            Made::Sum(i) => self.sums[i as usize].clone(),
        }
    }

    /// The atom that a value is, where it is nothing else.
    pub fn atom(&self, v: Value) -> Option<Atom> {
        match self.of[v.index()] {
            Made::Atom(v) => Some(Atom::Value(v)),
            Made::Sum(i) => self.sums[i as usize].as_atom(),
        }
    }

    /// Whether two values have one form.
    fn are_same(&self, a: Value, b: Value) -> bool {
        self.of[a.index()] == self.of[b.index()] || self.get(a) == self.get(b)
    }

    fn set(&mut self, v: Value, form: Form) {
        self.of[v.index()] = match form.as_atom() {
            Some(Atom::Value(atom)) => Made::Atom(atom),
            _ => {
                self.sums.push(form);
                Made::Sum(self.sums.len() as u32 - 1)
            }
        };
    }

    /// A number of bytes.
    pub fn size(&self, size: Size) -> Form {
        match size {
            Size::Const(n) => Form::number(n.into()),
            Size::Value(v) => self.get(v),
        }
    }

    fn expanded(&self, f: &Function, op: &Op, ty: Ty) -> Option<Form> {
        match op {
            Op::Const(word) => Some(Form::number(super::eval::number(ty, *word))),
            Op::Binary { op, mode, a, b } if ty != Ty::Bool => self.arithmetic(f, *op, *mode, *a, *b),
            _ => None,
        }
    }

    /// The mathematical result of arithmetic, where it is a form and the result is it.
    fn arithmetic(&self, f: &Function, op: BinOp, mode: Mode, a: Value, b: Value) -> Option<Form> {
        let range = |v: Value| f.value(v).range;
        let fits = || {
            let exact = super::eval::range::mathematical(op, range(a), range(b));
            Range::of(f.value(a).ty).contains(exact)
        };
        if mode == Mode::Wrap && !fits() {
            return None;
        }
        self.exact(f, op, a, b)
    }

    /// The mathematical result of arithmetic, where it is a form.
    pub fn exact(&self, f: &Function, op: BinOp, a: Value, b: Value) -> Option<Form> {
        match op {
            BinOp::Add => self.get(a).plus(1, &self.get(b)),
            BinOp::Sub => self.get(a).plus(-1, &self.get(b)),
            BinOp::Mul => self.get(a).times(&self.get(b)),
            BinOp::Shl => {
                let by = f.value(b).range.as_const().filter(|n| (0..64).contains(n))?;
                Form::number(0).plus(1 << by, &self.get(a))
            }
            // Bits that do not meet: the high part is a multiple of what the low part is below.
            BinOp::Or => [(a, b), (b, a)].into_iter().find_map(|(high, low)| {
                let range = f.value(low).range;
                if range.lo < 0 || f.value(high).range.lo < 0 {
                    return None;
                }
                let room = u64::try_from(range.hi).ok()?.checked_add(1)?.checked_next_power_of_two()?;
                let high = self.get(high);
                let multiple = high.terms.iter().map(|t| t.1).chain([high.constant]).all(|n| n % i128::from(room) == 0);
                multiple.then(|| high.plus(1, &self.get(low)))?
            }),
            _ => None,
        }
    }

    /// The inequality that holds once the read which ends a block has succeeded, since it lies in an image, and the block where that is known.
    pub fn read(&self, f: &Function, graph: &Graph, block: Block) -> Option<(Block, Form)> {
        let Terminator::Hop { offset, len, next, .. } = &f.blocks.get(block.index())?.term else { return None };
        let form = self.get(*offset).plus(1, &self.get(*len))?.plus_number(-IMAGE_MAX)?;
        (graph.predecessors.get(next.block.index())?.len() == 1).then_some((next.block, form))
    }

    /// The inequality number `k` (form at most 0), below [`DEFINITIONS_MAX`], that follows from the operation which makes a value.
    pub fn definition(&self, f: &Function, defs: &Defs, v: Value, k: u8) -> Option<Form> {
        let form = |v: Value| self.get(v);
        let range = |v: Value| f.value(v).range;
        // `x + n - y`
        let less = |x: &Form, n: i128, y: &Form| x.plus(-1, y)?.plus_number(n);
        match (defs.op(f, v)?, k) {
            (Op::Binary { op: op @ (BinOp::Div | BinOp::Shr), a, b, .. }, k)
                if range(*a).lo >= 0 && range(*b).lo >= 0 =>
            {
                let by = match op {
                    BinOp::Div => range(*b).as_const().filter(|n| *n > 0),
                    _ => range(*b).as_const().filter(|n| *n < 64).map(|n| 1 << n),
                };
                match (by, k) {
                    (Some(n), 0) => Form::combined(n, &form(v), -1, &form(*a)),
                    (Some(n), 1) => Form::combined(1, &form(*a), -n, &form(v))?.plus_number(1 - n),
                    (None, 0) if *op == BinOp::Div && range(*b).lo > 0 => form(v).times(&form(*b))?.plus(-1, &form(*a)),
                    (None, 0) => less(&form(v), 0, &form(*a)),
                    _ => None,
                }
            }
            (Op::Binary { op: BinOp::Rem, a, b, .. }, k) if range(*a).lo >= 0 && range(*b).lo > 0 => match k {
                0 => less(&form(v), 0, &form(*a)),
                1 => less(&form(v), 1, &form(*b)),
                _ => None,
            },
            (Op::Binary { op: BinOp::And, a, b, .. }, k) if range(*a).lo >= 0 && range(*b).lo >= 0 => match k {
                0 => less(&form(v), 0, &form(*a)),
                1 => less(&form(v), 0, &form(*b)),
                _ => None,
            },
            (Op::Binary { op: BinOp::Or, a, b, .. }, k) if range(*a).lo >= 0 && range(*b).lo >= 0 => match k {
                0 => less(&form(*a), 0, &form(v)),
                1 => less(&form(*b), 0, &form(v)),
                2 => less(&form(v), 0, &form(*a).plus(1, &form(*b))?),
                _ => None,
            },
            (Op::Binary { op: BinOp::Shl, mode: Mode::Exact | Mode::Checked(_), a, .. }, 0) if range(*a).lo >= 0 => {
                less(&form(*a), 0, &form(v))
            }
            (Op::Varint { addr, limit, .. }, 0) => {
                let parts = addr.base.into_iter().chain(addr.index).map(form);
                let start =
                    parts.chain([form(v)]).try_fold(Form::number(addr.disp.into()), |sum, part| sum.plus(1, &part))?;
                start.plus(-1, &form(*limit))
            }
            (Op::Check { a, size, limit, .. }, 0) => form(*a).plus(1, &self.size(*size))?.plus(-1, &form(*limit)),
            (Op::Select { cond, a, b }, k) => self.extreme(f, defs, (v, *cond, *a, *b), k),
            _ => None,
        }
    }

    /// `if a < b { a } else { b }` is at most both; `if a < b { b } else { a }` at least.
    fn extreme(&self, f: &Function, defs: &Defs, (v, cond, a, b): (Value, Value, Value, Value), k: u8) -> Option<Form> {
        let Op::Compare { op: CmpOp::Lt | CmpOp::Le, a: x, b: y } = defs.op(f, cond)? else { return None };
        let is = |v: Value, w: Value| self.are_same(v, w);
        let of = if k == 0 { a } else { b };
        match k {
            0 | 1 if is(a, *x) && is(b, *y) => self.get(v).plus(-1, &self.get(of)),
            0 | 1 if is(a, *y) && is(b, *x) => self.get(of).plus(-1, &self.get(v)),
            _ => None,
        }
    }

    /// The inequality number `k` that holds where a comparison is `sense`; two where it says that both are equal.
    pub fn condition(&self, f: &Function, defs: &Defs, cond: Value, sense: bool, k: u8) -> Option<Form> {
        let Op::Compare { op, a, b } = defs.op(f, cond)? else { return None };
        let below = |x: &Value, n: i128, y: &Value| self.get(*x).plus(-1, &self.get(*y))?.plus_number(n);
        match (op, sense, k) {
            (CmpOp::Lt, true, 0) => below(a, 1, b),
            (CmpOp::Lt, false, 0) => below(b, 0, a),
            (CmpOp::Le, true, 0) => below(a, 0, b),
            (CmpOp::Le, false, 0) => below(b, 1, a),
            (CmpOp::Eq, true, 0) | (CmpOp::Ne, false, 0) => below(a, 0, b),
            (CmpOp::Eq, true, 1) | (CmpOp::Ne, false, 1) => below(b, 0, a),
            _ => None,
        }
    }
}
