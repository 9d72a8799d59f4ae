//! Evidence: what the prover has found to hold of several values together, written down so that it can be checked by adding up.
//!
//! A claim speaks of one value. That an index lies below a length, or that an array ends before its block does, is an inequality between
//! values. The prover finds it (Farkas's lemma says that a sum of known inequalities always suffices over the rationals); the verifier
//! adds up the sum. What holds around a loop is an invariant of its header: it is shown on each way in, the ways
//! back included, where it may be used itself.

use super::linear::{Form, Forms};
use super::{Block, CmpOp, Function, Mode, Op, Range, Value, eval::range};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A known inequality: a form that is at most 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fact {
    /// A value is at least what it claims.
    Least(Value),
    /// A value is at most what it claims.
    Most(Value),
    /// A comparison is known to be so.
    Condition {
        /// The comparison.
        cond: Value,
        /// How it is.
        sense: bool,
        /// Which of its inequalities.
        k: u8,
    },
    /// It follows from the operation that makes a value.
    Definition {
        /// The value.
        value: Value,
        /// Which of its inequalities.
        k: u8,
    },
    /// An invariant, by its place in [`Evidence::invariants`].
    Invariant(u32),
    /// What a block's hop reads ends within the largest image; known where the hop leads.
    Read(Block),
    /// That the product of two forms that are at most 0 is at least 0.
    Product(Box<Fact>, Box<Fact>),
    /// A form that is at most 0 with either operand of a select in the place of its result.
    Split(Box<Split>),
}

/// See [`Fact::Split`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// The select's result.
    pub value: Value,
    /// The form.
    pub form: Form,
    /// A proof with the operand that is taken if the condition holds, and one with the other.
    pub arms: [Sum; 2],
}

/// A proof that a form is at most 0: `scale` times it is the sum of facts with factors, and a number that is below `scale`. So the form is below 1, and
/// it is an integer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Above 0.
    pub scale: i128,
    /// Facts with factors above 0.
    pub parts: Vec<(i128, Fact)>,
}

/// An inequality that holds whenever a block is entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invariant {
    /// The block.
    pub block: Block,
    /// At most 0. Of parameters of the block and of values whose definitions dominate it.
    pub form: Form,
    /// A proof for each edge in, in the order of the blocks they come from.
    pub edges: Vec<Sum>,
}

/// What has been shown of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// For the result of a `Check`: that it cannot fail, so that it is no test any more. For `Exact` arithmetic: that its result fits. For a
    /// comparison: that it is true, so that a guard on it is gone.
    pub proofs: BTreeMap<Value, Vec<Sum>>,
    /// Invariants that the proofs use.
    pub invariants: Vec<Invariant>,
}

impl Function {
    /// Whether a check or comparison has been shown to hold, so that nothing is tested.
    pub fn is_shown(&self, check: Value) -> bool {
        self.evidence.proofs.contains_key(&check)
    }
}

/// What must be at most 0 for an operation to need no test, but for what the claims show already; none if no form says it.
pub fn goals(f: &Function, forms: &Forms, op: &Op) -> Option<Vec<Form>> {
    match op {
        Op::Check { a, size, limit, .. } => {
            Some(vec![forms.get(*a).plus(1, &forms.size(*size))?.plus(-1, &forms.get(*limit))?])
        }
        Op::Binary { op, mode: Mode::Exact | Mode::Checked(_), a, b } => {
            let exact = range::mathematical(*op, f.value(*a).range, f.value(*b).range);
            let (form, all) = (forms.exact(f, *op, *a, *b)?, Range::of(f.value(*a).ty));
            let mut goals = Vec::new();
            if exact.lo < all.lo {
                goals.push(Form::number(all.lo).plus(-1, &form)?);
            }
            if exact.hi > all.hi {
                goals.push(form.plus_number(-all.hi)?);
            }
            Some(goals)
        }
        Op::Compare { op, a, b } => {
            let below = |a: Value, n: i128, b: Value| forms.get(a).plus(-1, &forms.get(b))?.plus_number(n);
            match op {
                CmpOp::Lt => Some(vec![below(*a, 1, *b)?]),
                CmpOp::Le => Some(vec![below(*a, 0, *b)?]),
                CmpOp::Eq => Some(vec![below(*a, 0, *b)?, below(*b, 0, *a)?]),
                CmpOp::Ne => None,
            }
        }
        _ => None,
    }
}

/// A place at which something is to be shown.
#[derive(Clone, Debug)]
pub struct Point {
    /// The block.
    pub block: Block,
    /// In front of the operation with this number.
    pub position: usize,
    /// Conditions that hold besides those that hold at the place: those of the edge that is taken from it.
    pub edge: Vec<(Value, bool)>,
}
