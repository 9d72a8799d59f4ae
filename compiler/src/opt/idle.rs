//! Takes away loops that do nothing: that write nothing, cannot fail, and make nothing that is used behind them.
//!
//! They are left where what a loop found is overwritten. They end, as every loop does, so nobody can tell; but the kernel's verifier goes through every
//! turn of them, on every way: one of ten thousand random walks was refused for 240 turns that had no effect.

use crate::fx::FxHashSet;
use crate::ir::defs::Defs;
use crate::ir::graph::Graph;
use crate::ir::settled::{implied, on_edge};
use crate::ir::{Block, Function, Mode, Op, Target, Terminator, Value};
use crate::prove::cleanup::{prune, targets_mut};

/// Takes away all of them, outer ones first.
pub fn remove(f: &mut Function) {
    loop {
        let graph = Graph::of(f);
        let idle = graph.order.iter().filter(|b| f.block(**b).header.is_some()).find_map(|b| exit(f, &graph, *b));
        let Some((members, header, exit)) = idle else { return };
        for (from, target) in &graph.predecessors[header.index()] {
            if !members.contains(from) {
                let edge = targets_mut(&mut f.blocks[from.index()].term).nth(*target);
                *edge.expect("the edge was found there") = exit.clone();
            }
        }
        prune(f);
    }
}

/// The blocks of a loop that does nothing, its header, and where all ways out of it lead.
fn exit(f: &Function, graph: &Graph, header: Block) -> Option<(FxHashSet<Block>, Block, Target)> {
    let is_idle = |b: Block| {
        let data = f.block(b);
        let is_quiet_end = matches!(data.term, Terminator::Jump(_) | Terminator::Branch { .. });
        is_quiet_end && data.insts.iter().all(|inst| is_quiet(&inst.op))
    };
    // Most loops are seen to do something before all that is in them has been found.
    let mut back = graph.predecessors[header.index()].iter().filter(|(from, _)| graph.is_back(*from, header));
    if !is_idle(header) || !back.all(|(from, _)| is_idle(*from)) {
        return None;
    }
    let members = graph.members(header);
    let mut made: FxHashSet<Value> = FxHashSet::default();
    let mut exits: Vec<&Target> = Vec::new();
    for b in &members {
        if !is_idle(*b) {
            return None;
        }
        let data = f.block(*b);
        made.extend(data.params.iter().copied().chain(data.insts.iter().filter_map(|inst| inst.result)));
        exits.extend(data.term.targets().filter(|t| !members.contains(&t.block)));
    }
    let (first, others) = exits.split_first()?;
    let is_one = others.iter().all(|t| t == first) && !first.args.iter().any(|v| made.contains(v));
    let entered_by_hop = graph.predecessors[header.index()]
        .iter()
        .any(|(from, _)| !matches!(f.block(*from).term, Terminator::Jump(_) | Terminator::Branch { .. }));
    if !is_one || entered_by_hop {
        return None;
    }
    // What leaving the loop says of conditions that are not its own must stay said.
    let defs = Defs::of(f);
    let ends = members.iter().flat_map(|b| (0..2).map(move |target| (*b, target)));
    let told = ends.filter_map(|(b, target)| {
        let to = f.block(b).term.targets().nth(target).filter(|t| !members.contains(&t.block))?;
        let (cond, sense) = on_edge(&f.block(b).term, target).filter(|_| to.block == first.block)?;
        Some(implied(f, &defs, cond, sense))
    });
    if told.flatten().any(|(cond, _)| !made.contains(&cond)) {
        return None;
    }
    let is_used = |v: Value| made.contains(&v);
    let used = f.blocks().filter(|(b, _)| !members.contains(b)).any(|(_, data)| {
        let mut used = data.disk.is_some_and(|disk| is_used(disk.len));
        data.insts.iter().for_each(|inst| inst.op.for_each_use(|v| used |= is_used(v)));
        data.term.for_each_use(|v| used |= is_used(v));
        used
    });
    (!used).then(|| (members, header, (*first).clone()))
}

/// Whether an operation writes nothing and cannot fail.
fn is_quiet(op: &Op) -> bool {
    match op {
        Op::Guard { .. }
        | Op::Check { .. }
        | Op::Prove { .. }
        | Op::Store { .. }
        | Op::Copy { .. }
        | Op::Varint { .. } => false,
        Op::Binary { mode, .. } => !matches!(mode, Mode::Checked(_)),
        _ => true,
    }
}
