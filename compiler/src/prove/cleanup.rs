//! Taking away what nothing needs: unreachable blocks, chains of jumps, unused values and parameters, slots that are only written.

use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::verify::Steps;
use crate::ir::{Addr, Block, Function, Op, Region, Slot, Target, Terminator, Value};

/// Drops blocks that the entry does not reach, and glues a block to its only predecessor where that only jumps to it.
pub fn prune(f: &mut Function) {
    glue(f);
    let graph = Graph::of(f);
    let mut new_ids = vec![None; f.blocks.len()];
    let mut old: Vec<_> = std::mem::take(&mut f.blocks).into_iter().map(Some).collect();
    let mut blocks = Vec::with_capacity(graph.order.len());
    for b in &graph.order {
        new_ids[b.index()] = Some(Block(blocks.len() as u32));
        blocks.extend(old[b.index()].take());
    }
    for b in &mut blocks {
        for t in targets_mut(&mut b.term) {
            t.block = new_ids[t.block.index()].expect("a reached block's targets are reached");
        }
    }
    f.blocks = blocks;
}

/// The targets, to be changed.
pub fn targets_mut(term: &mut Terminator) -> impl Iterator<Item = &mut Target> {
    let both = match term {
        Terminator::Jump(t) | Terminator::Hop { next: t, .. } | Terminator::Emit { next: t, .. } => [Some(t), None],
        Terminator::Branch { then, other, .. } => [Some(then), Some(other)],
        Terminator::Return | Terminator::Fault(_) => [None, None],
    };
    both.into_iter().flatten()
}

/// Joins `a: … jump b(args)` and `b(params)` where `a` is the only way to `b`.
fn glue(f: &mut Function) {
    let graph = Graph::of(f);
    let mut renamed: FxHashMap<Value, Value> = FxHashMap::default();
    for b in graph.order.iter().rev() {
        while let Terminator::Jump(t) = f.block(*b).term.clone() {
            let alone =
                graph.predecessors[t.block.index()].len() == 1 && t.block != *b && f.block(t.block).header.is_none();
            if !alone {
                break;
            }
            let next = f.blocks[t.block.index()].clone();
            for (p, a) in next.params.iter().zip(&t.args) {
                renamed.insert(*p, *a);
            }
            let here = &mut f.blocks[b.index()];
            here.insts.extend(next.insts);
            here.term = next.term;
            here.span = next.span;
            // Its own jumps now start here; it is left empty and unreached.
            let gone = &mut f.blocks[t.block.index()];
            gone.insts.clear();
            gone.term = Terminator::Return;
        }
    }
    if renamed.is_empty() {
        return;
    }
    let resolve = |mut v: Value| {
        while let Some(n) = renamed.get(&v) {
            v = *n;
        }
        v
    };
    for b in &mut f.blocks {
        b.insts.iter_mut().for_each(|i| i.op.map_uses(resolve));
        b.term.map_uses(resolve);
        if let Some(d) = &mut b.disk {
            d.len = resolve(d.len);
        }
        if let Some(h) = &mut b.header {
            h.counter = resolve(h.counter);
        }
    }
}

/// Drops operations without effect whose result nothing uses, parameters that nothing uses, and parameters that always receive the same.
pub fn drop_unused(f: &mut Function) {
    let graph = Graph::of(f);
    let steps = Steps::of(f, &graph);
    while drop_same_params(f, &graph, &steps) {}
    let live = live_values(f);
    // What a hop enters a block with first, the block's length, is not an argument.
    let mut given = vec![0; f.blocks.len()];
    for data in &f.blocks {
        if let Terminator::Hop { next, .. } = &data.term {
            given[next.block.index()] = 1;
        }
    }
    let keep: Vec<Vec<bool>> = f
        .blocks
        .iter()
        .zip(&given)
        .map(|(data, first)| data.params.iter().enumerate().map(|(i, v)| i < *first || live[v.index()]).collect())
        .collect();
    // Blocks that the entry does not reach are left: what was dropped above was not dropped for them.
    for (b, keep_here) in graph.order.iter().map(|b| (b, &keep[b.index()])) {
        let data = &mut f.blocks[b.index()];
        data.insts.retain(|i| has_effect(&i.op) || i.result.is_some_and(|v| live[v.index()]));
        let mut at = keep_here.iter();
        data.params.retain(|_| *at.next().expect("one mark a parameter"));
        let hop = usize::from(matches!(data.term, Terminator::Hop { .. }));
        for t in targets_mut(&mut data.term) {
            let mut at = keep[t.block.index()].iter().skip(hop);
            t.args.retain(|_| *at.next().expect("one mark an argument"));
        }
    }
}

fn has_effect(op: &Op) -> bool {
    match op {
        Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. } => true,
        Op::Check { .. } | Op::Varint { .. } => true,
        Op::Binary { mode, .. } => matches!(mode, crate::ir::Mode::Checked(_)),
        _ => false,
    }
}

/// Values that reach an effect, a branch or a hop; parameters only through what uses them.
fn live_values(f: &Function) -> Vec<bool> {
    let mut live = vec![false; f.values.len()];
    let mut work: Vec<Value> = Vec::new();
    let defs = Defs::of(f);
    let mut preds: Vec<Vec<(usize, usize)>> = vec![Vec::new(); f.blocks.len()];
    for (b, data) in f.blocks() {
        for inst in data.insts.iter().filter(|inst| has_effect(&inst.op)) {
            inst.op.for_each_use(|v| work.push(v));
            // An error speaks of them.
            if let Op::Prove { obligation, .. } = inst.op {
                work.extend(f.obligations.get(obligation as usize).into_iter().flat_map(|o| &o.operands));
            }
        }
        match &data.term {
            Terminator::Branch { cond, .. } => work.push(*cond),
            Terminator::Hop { offset, len, .. } => work.extend([*offset, *len]),
            Terminator::Fault(fault) => work.extend(fault.found.into_iter().chain(fault.at)),
            Terminator::Jump(_) | Terminator::Emit { .. } | Terminator::Return => {}
        }
        work.extend(data.header.map(|h| h.counter));
        work.extend(data.disk.map(|d| d.len));
        for (i, t) in data.term.targets().enumerate() {
            preds[t.block.index()].push((b.index(), i));
        }
    }
    while let Some(v) = work.pop() {
        if std::mem::replace(&mut live[v.index()], true) {
            continue;
        }
        if let Some(op) = defs.op(f, v) {
            op.for_each_use(|u| work.push(u));
        } else if let Some(Def::Param(b, i)) = defs.get(v) {
            for (p, t) in &preds[b.index()] {
                let term = &f.blocks[*p].term;
                let hop = usize::from(matches!(term, Terminator::Hop { .. }));
                let target = term.targets().nth(*t).expect("the edge was found there");
                if let Some(a) = i.checked_sub(hop).and_then(|i| target.args.get(i)) {
                    work.push(*a);
                }
            }
        }
    }
    live
}

/// A parameter that receives one value on all edges (or itself around a loop) is that value, within one step. Behind a read, what receives what
/// another parameter receives is that one: so the number that was read and is carried beside is known to be the block's length.
fn drop_same_params(f: &mut Function, graph: &Graph, steps: &Steps) -> bool {
    let mut renamed: FxHashMap<Value, Value> = FxHashMap::default();
    let resolve = |renamed: &FxHashMap<Value, Value>, mut v: Value| {
        while let Some(n) = renamed.get(&v) {
            v = *n;
        }
        v
    };
    for b in &graph.order {
        let edges = &graph.predecessors[b.index()];
        if edges.is_empty() || f.block(*b).params.is_empty() {
            continue;
        }
        let begins = steps.step(*b) == *b;
        let read = |(p, _): &(Block, usize)| matches!(f.block(*p).term, Terminator::Hop { .. });
        let hop = usize::from(edges.iter().any(read));
        // What each parameter receives, by edge; a hop's length comes first.
        let received: Vec<Vec<Value>> = edges
            .iter()
            .map(|(p, t)| incoming(f, *p, *t).into_iter().map(|v| resolve(&renamed, v)).collect())
            .collect();
        for i in (hop..f.block(*b).params.len()).rev() {
            let v = f.block(*b).params[i];
            if f.block(*b).header.is_some_and(|h| h.counter == v) {
                continue;
            }
            let mut one = None;
            let mut args = received.iter().map(|args| args[i]);
            let same = !begins && args.all(|a| a == v || *one.get_or_insert(a) == a);
            let twin = || {
                (0..i).find(|j| {
                    let alike = f.value(v).ty == f.value(f.block(*b).params[*j]).ty;
                    alike && received.iter().all(|args| args[i] == args[*j])
                })
            };
            let is = match one.filter(|_| same) {
                Some(a) => a,
                None => match begins.then(twin).flatten() {
                    Some(j) => f.block(*b).params[j],
                    None => continue,
                },
            };
            renamed.insert(v, is);
            f.blocks[b.index()].params.remove(i);
            for (p, t) in edges {
                let target = targets_mut(&mut f.blocks[p.index()].term).nth(*t);
                target.expect("the edge was found there").args.remove(i - hop);
            }
        }
    }
    if renamed.is_empty() {
        return false;
    }
    for b in &mut f.blocks {
        b.insts.iter_mut().for_each(|i| i.op.map_uses(|v| resolve(&renamed, v)));
        b.term.map_uses(|v| resolve(&renamed, v));
        if let Some(d) = &mut b.disk {
            d.len = resolve(&renamed, d.len);
        }
    }
    true
}

/// What an edge passes to its block's parameters.
fn incoming(f: &Function, from: Block, target: usize) -> Vec<Value> {
    let term = &f.block(from).term;
    let len = match term {
        Terminator::Hop { len, .. } => Some(*len),
        _ => None,
    };
    let args = &term.targets().nth(target).expect("the edge was found there").args;
    len.into_iter().chain(args.iter().copied()).collect()
}

/// Drops writes to slots that nothing reads, and says at each hop which slots are read later.
pub fn keep_slots(f: &mut Function) {
    let mut read: FxHashSet<Slot> = FxHashSet::default();
    let from_slot = |a: &Addr| if let Region::Slot(s) = a.region { Some(s) } else { None };
    for inst in f.blocks.iter().flat_map(|b| &b.insts) {
        match &inst.op {
            Op::Load { addr, .. } | Op::Varint { addr, .. } => read.extend(from_slot(addr)),
            Op::Copy { from, .. } => read.extend(from_slot(from)),
            _ => {}
        }
    }
    for b in &mut f.blocks {
        b.insts.retain(|i| match &i.op {
            Op::Store { addr, .. } => from_slot(addr).is_none_or(|s| read.contains(&s)),
            Op::Copy { to, .. } => from_slot(to).is_none_or(|s| read.contains(&s)),
            _ => true,
        });
    }
    crate::ir::live::keep_live_slots(f);
}
