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

type Key = (Block, Ty, Op);

/// Renames what is computed again, and drops guards on what has passed one.
pub fn number(f: &mut Function) {
    let graph = Graph::of(f);
    let steps = Steps::of(f, &graph);
    let mut children = vec![Vec::new(); f.blocks.len()];
    for b in &graph.order {
        if let Some(d) = graph.idom(*b) {
            children[d.index()].push(*b);
        }
    }
    let mut known: FxHashMap<Key, Value> = FxHashMap::default();
    let mut renamed: Vec<Option<Value>> = vec![None; f.values.len()];
    // Depth first over the dominator tree, by hand: a tree can be deep. What a block adds is forgotten when it is left.
    let mut stack: Vec<(Block, Option<Vec<Key>>)> = vec![(Block(0), None)];
    while let Some((b, added)) = stack.pop() {
        if let Some(added) = added {
            for key in &added {
                known.remove(key);
            }
            continue;
        }
        let added = block(f, steps.step(b), b, &mut known, &mut renamed);
        stack.push((b, Some(added)));
        stack.extend(children[b.index()].iter().map(|c| (*c, None)));
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

/// Numbers one block; the keys that it has added.
fn block(
    f: &mut Function,
    step: Block,
    b: Block,
    known: &mut FxHashMap<Key, Value>,
    renamed: &mut [Option<Value>],
) -> Vec<Key> {
    let mut added = Vec::new();
    let mut insts = std::mem::take(&mut f.blocks[b.index()].insts);
    insts.retain_mut(|inst| {
        inst.op.map_uses(|v| renamed[v.index()].unwrap_or(v));
        let Some((v, op)) = inst.result.zip(pure(&inst.op)) else { return true };
        let key = (step, f.value(v).ty, op);
        // A number is told beside its varint only.
        let told = |first: Value| {
            !matches!(key.2, Op::Varint { .. }) || known.contains_key(&(step, Ty::U64, Op::Decoded(first)))
        };
        if let Some(first) = known.get(&key).filter(|first| told(**first)) {
            renamed[v.index()] = Some(*first);
            name_alike(f, *first, v);
            return false;
        }
        known.insert(key.clone(), v);
        added.push(key);
        true
    });
    f.blocks[b.index()].insts = insts;
    added
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
