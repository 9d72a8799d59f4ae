//! Value numbering: what is computed twice is one value, so that what is known of it is known wherever it is used.
//!
//! Lowering finds operations again within the scopes of the source; functions that are put in place compute again what their callers have. An
//! operation that one of the same step dominates, equal to it and free of effects, is that one (Briggs, Cooper, Simpson: "Value numbering", 1997: the
//! technique over the dominator tree).

use crate::fx::FxHashMap;
use crate::ir::graph::Graph;
use crate::ir::verify::Steps;
use crate::ir::{Addr, Block, FaultId, FaultRef, Function, Mode, Op, Region, Ty, Value};

/// What does not tell operations apart: the fault that they would end in.
const NO_FAULT: FaultRef = FaultRef { fault: FaultId(u32::MAX), found: None, at: None };

/// An operation in a step, and the type of its result.
type Key = (Block, Ty, Op);

/// Where each was last seen: the value that it makes there. Where that block does not dominate, it is not known.
type Known = FxHashMap<Key, (Block, Value)>;

/// Renames what is computed again, and drops guards on what has passed one.
pub fn number(f: &mut Function, graph: &Graph) {
    let steps = Steps::of(f, graph);
    let mut known = Known::default();
    let mut renamed: Vec<Option<Value>> = vec![None; f.values.len()];
    // In this order what one block has seen is not forgotten before all that it dominates has come.
    for b in graph.preorder() {
        block(f, graph, (steps.step(b), b), &mut known, &mut renamed);
    }
    // A block's own length, and what loops hand back, may have been named after the block was seen.
    let resolve = |v: Value| renamed[v.index()].unwrap_or(v);
    f.obligations.iter_mut().flat_map(|o| &mut o.operands).for_each(|v| *v = resolve(*v));
    for b in &mut f.blocks {
        b.term.map_uses(resolve);
        if let Some(d) = &mut b.disk {
            d.len = resolve(d.len);
        }
    }
}

/// Numbers one block of a step.
fn block(f: &mut Function, graph: &Graph, (step, b): (Block, Block), known: &mut Known, renamed: &mut [Option<Value>]) {
    let mut insts = std::mem::take(&mut f.blocks[b.index()].insts);
    insts.retain_mut(|inst| {
        inst.op.map_uses(|v| renamed[v.index()].unwrap_or(v));
        let Some((v, op)) = inst.result.zip(pure(&inst.op)) else { return true };
        let key = (step, f.value(v).ty, op);
        let find = |key: &Key| known.get(key).filter(|(at, _)| graph.dominates(*at, b)).map(|(_, first)| *first);
        // A number is told beside its varint only.
        let told = |first: &Value| {
            !matches!(key.2, Op::Varint { .. }) || find(&(step, Ty::U64, Op::Decoded(*first))).is_some()
        };
        if let Some(first) = find(&key).filter(told) {
            renamed[v.index()] = Some(first);
            name_alike(f, first, v);
            return false;
        }
        known.insert(key, (b, v));
        true
    });
    f.blocks[b.index()].insts = insts;
}

/// Keeps the name and the tighter claim of the two.
fn name_alike(f: &mut Function, first: Value, again: Value) {
    let (range, name) = (f.value(again).range, f.value(again).name.clone());
    let data = &mut f.values[first.index()];
    data.name = data.name.take().or(name);
    data.range = data.range.meet(range);
}

/// The operation as it is compared; none where it has an effect, or where what it reads may change.
fn pure(op: &Op) -> Option<Op> {
    let mut op = op.clone();
    match &mut op {
        Op::Binary { mode: Mode::Checked(fault), .. } => *fault = NO_FAULT,
        Op::Check { fault, .. } => *fault = NO_FAULT,
        Op::Varint { addr, outside, wide, .. } if never_changes(addr) => {
            *outside = NO_FAULT;
            *wide = None;
        }
        Op::Const(_) | Op::Arg(_) | Op::ArgLen(_) | Op::Binary { .. } | Op::Compare { .. } | Op::Select { .. } => {}
        Op::Cast(_) | Op::Reinterpret(_) | Op::Extend { .. } | Op::Decoded(_) => {}
        Op::Load { addr, .. } if never_changes(addr) => {}
        Op::Load { .. }
        | Op::Varint { .. }
        | Op::Refine { .. }
        | Op::Guard { .. }
        | Op::Prove { .. }
        | Op::Store { .. }
        | Op::Copy { .. } => {
            return None;
        }
    }
    Some(op)
}

/// Whether what is at an address stays the same during a step.
fn never_changes(addr: &Addr) -> bool {
    matches!(addr.region, Region::Disk | Region::Arg(_) | Region::Data(_))
}
