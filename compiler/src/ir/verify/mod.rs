//! The IR verifier: the only maker of [`Verified`].
//!
//! It never panics, whatever function it is given, and it is no prover: each rule looks at one place and at what the operands
//! claim. An error names its rule by number.
//!
//! # Rules
//!
//! Shape (`shape.rs`); the others assume it.
//!
//! 1. Every id is in its table. There is an entry block, without parameters and disk block, and a source. `Arg` names a scalar
//!    parameter, `ArgLen` and `Region::Arg` a bytes parameter.
//! 2. `args` are the leaves of `params`. Parameters, result, slots and tables take at most [`AREA_MAX`] bytes each kind.
//! 3. A value that is used is defined, and no value is defined twice.
//! 4. An operation has a result if and only if it makes one. Widths are 1 to 8 bytes, `Extend`'s bits 1 to 63. A `Varint` has a fault
//!    for more than 64 bits if and only if its kind may have more.
//! 5. An edge has one argument for each parameter of its target; a hop one less, because the first receives the length.
//!    `Emit` stands only in a stream.
//!
//! Graph (`flow.rs`); the others assume it.
//!
//! 6. Every block is reachable.
//! 7. Every circle has a header: an edge that goes back goes to a block that dominates its source.
//! 8. A use is dominated by its definition, and both are of one step ([`Steps`]): no value crosses a hop or an emit except as
//!    an argument.
//!
//! Types (`types.rs`); the others assume it.
//!
//! 9. Operands, results and arguments have the types that the operations want; only `Add`, `Sub`, `Mul` and `Shl` may be
//!    `Checked` or `Wrap`.
//!
//! Claims (`claims.rs`).
//!
//! 10. A claim lies in its type and holds all that the operation's rule ([`range::of`]) gives for the operands' claims.
//! 11. An argument's claim lies in its parameter's, and a hop's length's in the first parameter's. Images are shorter than 2^63, so
//!     behind a hop its offset, and what was added up to it, is ([`range::passed`]).
//! 12. `Exact` arithmetic: the mathematical result lies in the type, by the claims or by rule 24.
//! 13. A divisor's claim excludes 0, and for `I64` -1 unless the dividend's excludes the least number; a shift count's lies in
//!     0..=63, and what is cast lies in the new type.
//! 14. `Refine`: `cond` is a comparison with the value refined as an operand, or with what is made of it by sums and products with numbers, and it
//!     is `sense` here: by a dominating `Guard`, or by a dominating block with one way in, which is a branch on it, or by rule 24 wherever it is made. (A
//!     conjunction that is true or a disjunction that is false says the same of both its operands, a negation `x xor true` the contrary of `x`; of two
//!     of which one holds, the other does where one does not.) Of conditions of which one holds, all speak of the value refined.
//! 15. No `Prove` is left.
//!
//! Memory (`memory.rs`).
//!
//! 16. Loads and copies do not read the result; stores and copies write slots or the result.
//! 17. What is accessed (of a `Varint`, the first byte) lies in the region's sure bytes or, with a base, in those that the check has shown. The
//!     disk block is accessed only where there is one.
//! 18. A base is the result of a `Check` on the same region, perhaps refined, and what is `Decoded` that of the `Varint` right before. (By rule 8 no
//!     hop lies between.)
//! 19. The limit of a check or a `Varint` lies in the region: it is the disk block's length, or claimed to be within the sure bytes, or a dominating check
//!     has shown it: it is that check's result, or its result plus its size.
//! 20. The length of a block's disk block is that of each predecessor's, or the argument for it; `min` is no more than what holds at
//!     the predecessor's end or what the length claims. A block may forget the disk block.
//! 21. A hop's target has its first parameter as the length of its disk block. The length read is at most [`READ_MAX`]. The fault is
//!     of the kind `out of device`.
//! 22. A slot that may be read after a hop or emit before it is written as a whole is kept ([`LiveSlots`](super::live::LiveSlots)).
//!
//! Loops (`loops.rs`).
//!
//! 23. The target of a back edge has a [`LoopInfo`](super::LoopInfo). Its counter is one of its `U64` parameters, claimed to lie in
//!     0..=`most`; the argument for it is 0 on each edge into the loop and one more than it on each back edge. As a
//!     claim holds on every run, the header is reached at most `most` + 1 times from outside.
//!
//! Evidence (`evidence.rs`; it assumes the claims): inequalities between values, as linear forms ([`linear`](super::linear)). A block's parameter
//! to which the same is passed over all edges has the form of it, and what is computed again from the same forms has the form of the first.
//!
//! 24. A proof of an operation's result is a sum of facts known in front of it, with factors above 0, that shows what the operation needs (of
//!     integers, so that what is below 1 is at most 0):
//!     that a check cannot fail, that `Exact` arithmetic has a result, that a comparison is true. Facts are claims, settled conditions, what
//!     follows from one operation, that what was read lies in an image, invariants, and products of two of these.
//! 25. An invariant speaks of parameters of its block and of values defined in blocks that dominate it, and has for each edge in a sum, of facts
//!     known at the edge, that shows it for the arguments. Invariants may be used for each other: what holds at the start of every
//!     walk and is kept by every edge holds always.
//!
//! By 7 and 23 every walk ends; by 17 to 21 every access is in bounds; by 12, 13 and 24 every operation has a result.
//!
//! [`range::of`]: super::eval::range::of
//! [`range::passed`]: super::eval::range::passed

mod claims;
mod evidence;
mod flow;
mod loops;
mod memory;
mod shape;
mod steps;
mod types;

use super::defs::Defs;
use super::graph::Graph;
use super::settled::Settled;
use super::{Block, Function, Inst};
pub use steps::Steps;
pub use types::passed;

use std::fmt::{self, Display, Formatter};

/// The most bytes that parameters, result, slots or tables may take together, each for themselves.
pub const AREA_MAX: u32 = 16 << 20;

/// The most bytes that one read may have.
pub const READ_MAX: u32 = 16 << 20;

/// A function that keeps every rule of the IR. Only [`verify`] makes one, and only this can be run or emitted.
#[derive(Clone, Debug)]
pub struct Verified(Function);

impl std::ops::Deref for Verified {
    type Target = Function;
    fn deref(&self) -> &Function {
        &self.0
    }
}

/// What is wrong with a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// The number of the rule that is broken.
    pub rule: u8,
    /// Where, as the text form names it (`b2`, `v7`, `b2: v7`).
    pub place: String,
    /// What.
    pub message: String,
}

impl Display for VerifyError {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "rule {}: {}: {}", self.rule, self.place, self.message)
    }
}

/// Checks every rule. A failure is a bug of the compiler (or of who wrote the `.tir` by hand), never of a spec.
pub fn verify(function: Function) -> Result<Verified, Vec<VerifyError>> {
    let mut errors = Errors(Vec::new());
    shape::check(&function, &mut errors);
    errors.stop()?;
    let f = Facts::of(&function);
    flow::check(&f, &mut errors);
    errors.stop()?;
    types::check(&f, &mut errors);
    errors.stop()?;
    let settled = Settled::of(&function, &f.graph, &f.defs);
    claims::check(&f, &settled, &mut errors);
    memory::check(&f, &mut errors);
    loops::check(&f, &mut errors);
    errors.stop()?;
    evidence::check(&f, &settled, &mut errors);
    errors.stop()?;
    Ok(Verified(function))
}

/// Whether a function keeps rules 1 to 9, which say nothing of what the values are.
pub fn is_well_formed(function: &Function) -> bool {
    let mut errors = Errors(Vec::new());
    shape::check(function, &mut errors);
    if errors.stop().is_err() {
        return false;
    }
    let f = Facts::of(function);
    flow::check(&f, &mut errors);
    if errors.stop().is_err() {
        return false;
    }
    types::check(&f, &mut errors);
    errors.stop().is_ok()
}

/// A function whose shape is right, and what is often asked about it.
struct Facts<'f> {
    f: &'f Function,
    graph: Graph,
    steps: Steps,
    defs: Defs,
    out_size: u32,
}

impl<'f> Facts<'f> {
    fn of(f: &'f Function) -> Self {
        let graph = Graph::of(f);
        let steps = Steps::of(f, &graph);
        Facts { f, graph, steps, defs: Defs::of(f), out_size: f.out_size() }
    }
}

impl std::ops::Deref for Facts<'_> {
    type Target = Function;
    fn deref(&self) -> &Function {
        self.f
    }
}

struct Errors(Vec<VerifyError>);

impl Errors {
    fn push(&mut self, rule: u8, place: impl Display, message: impl Into<String>) {
        self.0.push(VerifyError { rule, place: place.to_string(), message: message.into() });
    }

    /// Reports unless `holds`.
    fn want(&mut self, holds: bool, rule: u8, place: impl Display, message: impl FnOnce() -> String) {
        if !holds {
            self.push(rule, place, message());
        }
    }

    fn stop(&mut self) -> Result<(), Vec<VerifyError>> {
        if self.0.is_empty() { Ok(()) } else { Err(std::mem::take(&mut self.0)) }
    }
}

/// A place in a block, as errors name it.
#[derive(Clone, Copy)]
enum At<'f> {
    Block(Block),
    Inst(Block, &'f Inst),
    Term(Block, &'f super::Terminator),
}

impl Display for At<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            At::Block(block) => write!(out, "{block}"),
            At::Inst(block, Inst { result: Some(v), .. }) => write!(out, "{block}: {v}"),
            At::Inst(block, inst) => write!(out, "{block}: {}", inst.op),
            At::Term(block, term) => write!(out, "{block}: {term}"),
        }
    }
}
