//! Taking away what nothing needs: unreachable blocks, chains of jumps, unused values and parameters, slots that are only written.

use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::{Graph, reverse_postorder};
use crate::ir::verify::Steps;
use crate::ir::{Addr, Block, Function, Op, Region, Slot, Target, Terminator, Value};

/// Drops blocks that the entry does not reach, and glues a block to its only predecessor where that only jumps to it. What is left, in reverse
/// postorder.
pub fn prune(f: &mut Function) -> Graph {
    let order = glue(f);
    let mut new_ids = vec![None; f.blocks.len()];
    let mut old: Vec<_> = std::mem::take(&mut f.blocks).into_iter().map(Some).collect();
    let mut blocks = Vec::with_capacity(order.len());
    for b in &order {
        new_ids[b.index()] = Some(Block(blocks.len() as u32));
        blocks.extend(old[b.index()].take());
    }
    for b in &mut blocks {
        for t in targets_mut(&mut b.term) {
            t.block = new_ids[t.block.index()].expect("a reached block's targets are reached");
        }
    }
    f.blocks = blocks;
    Graph::of(f)
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

/// Joins `a: … jump b(args)` and `b(params)` where `a` is the only way to `b`. What the entry still reaches, in reverse postorder.
fn glue(f: &mut Function) -> Vec<Block> {
    let mut order = reverse_postorder(f);
    let mut ways = vec![0u32; f.blocks.len()];
    for t in order.iter().flat_map(|b| f.block(*b).term.targets()) {
        ways[t.block.index()] += 1;
    }
    let mut is_glued = vec![false; f.blocks.len()];
    let mut renamed = Renamed::none(f);
    for b in order.iter().rev() {
        while let Terminator::Jump(t) = &f.block(*b).term {
            let to = t.block;
            let alone = ways[to.index()] == 1 && to != *b && f.block(to).header.is_none();
            if !alone {
                break;
            }
            is_glued[to.index()] = true;
            // Its own jumps now start here; it is left empty and unreached.
            let gone = &mut f.blocks[to.index()];
            let (insts, params, span) = (std::mem::take(&mut gone.insts), std::mem::take(&mut gone.params), gone.span);
            let term = std::mem::replace(&mut gone.term, Terminator::Return);
            let here = &mut f.blocks[b.index()];
            here.insts.extend(insts);
            here.span = span;
            if let Terminator::Jump(t) = std::mem::replace(&mut here.term, term) {
                params.into_iter().zip(t.args).for_each(|(param, arg)| renamed.set(param, arg));
            }
        }
    }
    renamed.apply(f);
    order.retain(|b| !is_glued[b.index()]);
    order
}

/// Values in whose place others stand.
pub(super) struct Renamed {
    to: Vec<Value>,
    is_any: bool,
}

impl Renamed {
    pub fn none(f: &Function) -> Renamed {
        Renamed { to: (0..f.values.len() as u32).map(Value).collect(), is_any: false }
    }

    pub fn set(&mut self, v: Value, to: Value) {
        self.to[v.index()] = to;
        self.is_any = true;
    }

    pub fn resolve(&self, mut v: Value) -> Value {
        while self.to[v.index()] != v {
            v = self.to[v.index()];
        }
        v
    }

    pub fn apply(&self, f: &mut Function) {
        if !self.is_any {
            return;
        }
        let resolve = |v: Value| self.resolve(v);
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
}

/// Drops operations without effect whose result nothing uses, parameters that nothing uses, and parameters that always receive the same.
pub fn drop_unused(f: &mut Function, graph: &Graph) {
    let steps = Steps::of(f, graph);
    while drop_same_params(f, graph, &steps) {}
    let live = live_values(f, graph);
    // What a hop enters a block with first, the block's length, is not an argument.
    let mut given = vec![0; f.blocks.len()];
    for data in &f.blocks {
        if let Terminator::Hop { next, .. } = &data.term {
            given[next.block.index()] = 1;
        }
    }
    // Blocks that the entry does not reach are left: what was dropped above was not dropped for them.
    for b in &graph.order {
        let mut term = std::mem::replace(&mut f.blocks[b.index()].term, Terminator::Return);
        let hop = usize::from(matches!(term, Terminator::Hop { .. }));
        for t in targets_mut(&mut term) {
            let mut params = f.blocks[t.block.index()].params.iter().enumerate().skip(hop);
            t.args.retain(|_| {
                let (i, v) = params.next().expect("one parameter an argument");
                i < given[t.block.index()] || live[v.index()]
            });
        }
        f.blocks[b.index()].term = term;
    }
    for b in &graph.order {
        let data = &mut f.blocks[b.index()];
        data.insts.retain(|i| has_effect(&i.op) || i.result.is_some_and(|v| live[v.index()]));
        let mut places = 0..;
        data.params.retain(|v| places.next().is_some_and(|i| i < given[b.index()]) || live[v.index()]);
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
fn live_values(f: &Function, graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; f.values.len()];
    let mut work: Vec<Value> = Vec::new();
    let defs = Defs::of(f);
    for data in &f.blocks {
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
    }
    while let Some(v) = work.pop() {
        if std::mem::replace(&mut live[v.index()], true) {
            continue;
        }
        if let Some(op) = defs.op(f, v) {
            op.for_each_use(|u| work.push(u));
        } else if let Some(Def::Param(b, i)) = defs.get(v) {
            for (p, t) in &graph.predecessors[b.index()] {
                let term = &f.block(*p).term;
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
    let mut renamed = Renamed::none(f);
    // What each parameter of a block receives over its edges.
    let mut received: Vec<Value> = Vec::new();
    for b in &graph.order {
        let edges = &graph.predecessors[b.index()];
        let count = f.block(*b).params.len();
        if edges.is_empty() || count == 0 {
            continue;
        }
        let begins = steps.step(*b) == *b;
        received.clear();
        received.resize(count * edges.len(), Value(0));
        for (e, (p, t)) in edges.iter().enumerate() {
            // A hop's length comes first.
            for (i, v) in incoming(f, *p, *t).enumerate() {
                received[i * edges.len() + e] = renamed.resolve(v);
            }
        }
        let of = |i: usize| &received[i * edges.len()..][..edges.len()];
        // Where a step begins, the first parameter that receives the same; what receives the same has the same type.
        let mut firsts: FxHashMap<&[Value], usize> = FxHashMap::default();
        if begins {
            firsts.reserve(count);
            firsts.extend((0..count).rev().map(|i| (of(i), i)));
        }
        let read = |(p, _): &(Block, usize)| matches!(f.block(*p).term, Terminator::Hop { .. });
        let hop = usize::from(edges.iter().any(read));
        for i in (hop..count).rev() {
            let v = f.block(*b).params[i];
            if f.block(*b).header.is_some_and(|h| h.counter == v) {
                continue;
            }
            let mut one = None;
            let same = !begins && of(i).iter().all(|a| *a == v || *one.get_or_insert(*a) == *a);
            let is = match one.filter(|_| same) {
                Some(a) => a,
                None => match begins.then(|| firsts[of(i)]) {
                    Some(j) if j < i => f.block(*b).params[j],
                    _ => continue,
                },
            };
            renamed.set(v, is);
            f.blocks[b.index()].params.remove(i);
            for (p, t) in edges {
                let target = targets_mut(&mut f.blocks[p.index()].term).nth(*t);
                target.expect("the edge was found there").args.remove(i - hop);
            }
        }
    }
    renamed.apply(f);
    renamed.is_any
}

/// What an edge passes to its block's parameters.
fn incoming(f: &Function, from: Block, target: usize) -> impl Iterator<Item = Value> {
    let term = &f.block(from).term;
    let len = match term {
        Terminator::Hop { len, .. } => Some(*len),
        _ => None,
    };
    let args = &term.targets().nth(target).expect("the edge was found there").args;
    len.into_iter().chain(args.iter().copied())
}

/// Drops writes to slots that nothing reads, and says at each hop which slots are read later.
pub fn keep_slots(f: &mut Function, graph: &Graph) {
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
    crate::ir::live::keep_live_slots(f, graph);
}
