//! Passes over a proved function that make it shorter or faster for all executors alike, each with its reason and its gain in its file.
//!
//! They run at the end of the prover, before it looks for evidence; the verifier checks what they leave: a pass needs no proof of its own, but a
//! claim or an evidence that does not follow by the rules is refused there. What they change no caller can see, faults included.

mod hoist;
mod idle;
mod offsets;
mod powers;
mod rounds;
mod straight;
mod tails;
mod unroll;

use crate::ir::verify::{Verified, verify};
use crate::ir::{Function, Inst, Op, Range, Ty, Value, ValueData};
use crate::prove::cleanup;
use crate::source::Span;

/// How often a walk will run, and so what may be spent on making it ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Effort {
    /// Once or a few times: it is made quickly.
    Once,
    /// Many times: it is made to be fast.
    #[default]
    Many,
}

/// Runs all passes. Evidence speaks of edges and values, so it is found afterwards.
pub fn optimise(f: &mut Function) {
    idle::remove(f);
    rounds::bound(f);
    powers::shift(f);
    unroll::unroll(f);
    offsets::fold(f);
    tails::merge(f);
    hoist::share(f);
    let graph = cleanup::prune(f);
    cleanup::drop_unused(f, &graph);
}

/// The same walk in the shape that native code wants, where it is another: what BPF keeps short, for the sake of the kernel's verifier and
/// of the object's size, is written out. None as well where what needed evidence is not shown again in the other shape: the search for evidence
/// is cut short, and what it took away (guards that cannot fail, tests of exact arithmetic) rests on what it found before.
pub fn for_native(f: &Verified) -> Option<Verified> {
    let mut f = straight::write_out(f)?;
    // What was added to a turn's numbers is added to numbers now.
    offsets::fold(&mut f);
    let graph = cleanup::prune(&mut f);
    cleanup::drop_unused(&mut f, &graph);
    f.evidence = Default::default();
    crate::prove::find_evidence(&mut f);
    verify(f).ok()
}

/// A new value.
fn new_value(f: &mut Function, ty: Ty, range: Range, span: Span) -> Value {
    f.values.push(ValueData { ty, range, name: None, span });
    Value(f.values.len() as u32 - 1)
}

/// A number as a new operation, to be put where it is used.
fn number(f: &mut Function, ty: Ty, n: i128, span: Span) -> Inst {
    let v = new_value(f, ty, Range::just(n), span);
    Inst { op: Op::Const(n as u64), result: Some(v), span }
}
