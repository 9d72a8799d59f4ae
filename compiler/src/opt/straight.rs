//! Searches of a known number of elements without their loop, for native code: a processor then knows each round's numbers beforehand, and
//! nothing is counted or tested. As BPF walk A would have 118 instructions that way, and has 41 with the loop.

use crate::ir::defs::{Def, Defs};
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::halving::Halving;
use crate::ir::{Block, BlockData, Function, Inst, Op, Target, Terminator, Value};
use crate::prove::cleanup::targets_mut;
use std::collections::{HashMap, HashSet};

/// The most rounds that are written out.
const ROUNDS_MAX: u64 = 6;

/// The function with all such searches written out; none if there is none. What was shown of several values is to be found again.
pub fn write_out(f: &Function) -> Option<Function> {
    let mut new: Option<Function> = None;
    let mut done = HashSet::new();
    loop {
        let now = new.as_ref().unwrap_or(f);
        let (graph, defs) = (Graph::of(now), Defs::of(now));
        let searches = graph.order.iter().filter(|b| !done.contains(*b));
        let Some(search) = searches.copied().find_map(|b| Search::of(now, &graph, &defs, b)) else { return new };
        done.insert(search.header);
        let mut next = new.unwrap_or_else(|| f.clone());
        search.write_out(&mut next, &graph);
        new = Some(next);
    }
}

/// A loop that makes a known number of rounds.
struct Search {
    header: Block,
    /// The blocks of a round but for the header, each behind those that lead to it.
    body: Vec<Block>,
    rounds: u64,
    /// The only way in.
    entry: (Block, usize),
}

impl Search {
    fn of(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Search> {
        f.block(header).header?;
        let rounds = Halving::of(f, graph, defs, header)?.known_turns().filter(|n| (1..=ROUNDS_MAX).contains(n))?;
        let (backs, entries): (Vec<_>, Vec<_>) =
            graph.predecessors[header.index()].iter().copied().partition(|(from, _)| graph.is_back(*from, header));
        let [entry] = entries[..] else { return None };
        let mut inside = HashSet::from([header]);
        let mut work: Vec<Block> = backs.iter().map(|(from, _)| *from).collect();
        while let Some(b) = work.pop() {
            if inside.insert(b) {
                work.extend(graph.predecessors[b.index()].iter().map(|(from, _)| *from));
            }
        }
        let body: Vec<Block> = graph.order.iter().copied().filter(|b| *b != header && inside.contains(b)).collect();
        let search = Search { header, body, rounds, entry };
        (search.is_left_by_header(f, defs, &inside) && search.is_used_by_header(f, defs, &inside)).then_some(search)
    }

    /// Whether no read or row interrupts it, and only the header's test ends it: the other is that of the counter, which holds.
    fn is_left_by_header(&self, f: &Function, defs: &Defs, inside: &HashSet<Block>) -> bool {
        let counter = f.block(self.header).header.map(|h| h.counter);
        self.body.iter().all(|b| match &f.block(*b).term {
            Terminator::Jump(t) => inside.contains(&t.block),
            Terminator::Branch { cond, then, other } => {
                let counts = matches!(defs.op(f, *cond), Some(Op::Compare { a, b, .. })
                    if Some(defs.root(f, *a)) == counter
                        && f.value(*b).range.as_const().is_some_and(|n| n >= self.rounds.into()));
                inside.contains(&then.block) && (counts || inside.contains(&other.block))
            }
            _ => false,
        })
    }

    /// Whether what comes behind uses values of the header only.
    fn is_used_by_header(&self, f: &Function, defs: &Defs, inside: &HashSet<Block>) -> bool {
        let in_body = |v: Value| defs.get(v).map(Def::block).is_some_and(|b| b != self.header && inside.contains(&b));
        f.blocks().filter(|(b, _)| !inside.contains(b)).all(|(_, data)| {
            let mut any = data.disk.is_some_and(|d| in_body(d.len));
            data.insts.iter().for_each(|i| i.op.for_each_use(|v| any |= in_body(v)));
            data.term.for_each_use(|v| any |= in_body(v));
            !any
        })
    }

    fn write_out(&self, f: &mut Function, graph: &Graph) {
        let (from, edge) = self.entry;
        let came = f.block(from).term.targets().nth(edge).expect("the edge was found there");
        let mut args = came.args.clone();
        let mut into = (from, edge);
        let mut now = HashMap::new();
        for round in 0..=self.rounds {
            now = f.block(self.header).params.iter().copied().zip(args).collect();
            let blocks: Vec<Block> = if round < self.rounds { self.body.clone() } else { Vec::new() };
            let copies = self.copy(f, &blocks, &mut now);
            let edge = targets_mut(&mut f.blocks[into.0.index()].term).nth(into.1);
            *edge.expect("the edge was found there") = Target { block: copies[&self.header], args: Vec::new() };
            let back = blocks.iter().map(|b| copies[b]).find_map(|b| {
                let at = f.block(b).term.targets().position(|t| t.block == self.header)?;
                Some((b, at))
            });
            let Some((last, at)) = back else { break };
            args = f.block(last).term.targets().nth(at).expect("found there").args.clone();
            into = (last, at);
        }
        // What comes behind has the values of the last test.
        let copied: HashSet<Block> = self.body.iter().copied().chain([self.header]).collect();
        for b in graph.order.iter().filter(|b| !copied.contains(b)) {
            let data = &mut f.blocks[b.index()];
            data.insts.iter_mut().for_each(|i| i.op.map_uses(|v| now.get(&v).copied().unwrap_or(v)));
            data.term.map_uses(|v| now.get(&v).copied().unwrap_or(v));
        }
    }

    /// The header and these blocks once more, with values of their own; `now` says what stands for the old ones.
    fn copy(&self, f: &mut Function, body: &[Block], now: &mut HashMap<Value, Value>) -> HashMap<Block, Block> {
        let mut copies = HashMap::new();
        for b in [self.header].iter().chain(body) {
            let mut data = f.block(*b).clone();
            data.insts.clear();
            if *b == self.header {
                data.header = None;
                data.params.clear();
            }
            for p in &mut data.params {
                let copy = again(f, *p);
                now.insert(*p, copy);
                *p = copy;
            }
            f.blocks.push(data);
            copies.insert(*b, Block(f.blocks.len() as u32 - 1));
        }
        for b in [self.header].iter().chain(body) {
            let old = f.block(*b).clone();
            let insts = copied_insts(f, &old, now);
            let mut term = old.term;
            term.map_uses(|v| now.get(&v).copied().unwrap_or(v));
            if let Terminator::Branch { cond, then, other } = &term
                && let Some(n) = f.value(*cond).range.as_const()
            {
                term = Terminator::Jump(if n != 0 { then.clone() } else { other.clone() });
            }
            for t in targets_mut(&mut term) {
                // The way back is led to the next round afterwards.
                if t.block != self.header {
                    t.block = copies.get(&t.block).copied().unwrap_or(t.block);
                }
            }
            let new = &mut f.blocks[copies[b].index()];
            new.insts = insts;
            new.term = term;
            let rename = |v: Value| now.get(&v).copied().unwrap_or(v);
            new.disk.iter_mut().for_each(|d| d.len = rename(d.len));
            new.header.iter_mut().for_each(|h| h.counter = rename(h.counter));
        }
        copies
    }
}

/// A value like this one.
fn again(f: &mut Function, v: Value) -> Value {
    let data = f.value(v).clone();
    f.values.push(data);
    Value(f.values.len() as u32 - 1)
}

/// A block's operations on other values, of which more is known: what then cannot fail, or shows nothing, is left out.
fn copied_insts(f: &mut Function, old: &BlockData, now: &mut HashMap<Value, Value>) -> Vec<Inst> {
    let mut insts = Vec::with_capacity(old.insts.len());
    for inst in &old.insts {
        let mut new = inst.clone();
        new.op.map_uses(|v| now.get(&v).copied().unwrap_or(v));
        let is_known = |v: Value| f.value(v).range.as_const() == Some(1);
        match (&new.op, inst.result) {
            (Op::Guard { cond, .. }, _) if is_known(*cond) => continue,
            (Op::Refine { a, cond, .. }, Some(v)) if f.value(*cond).range.as_const().is_some() => {
                now.insert(v, *a);
                continue;
            }
            _ => {}
        }
        if let Some(v) = inst.result {
            let copy = again(f, v);
            let range = match &new.op {
                // No less than what follows by the rule, since the operands claim no more than the old ones.
                Op::Refine { a, .. } => f.value(*a).range.meet(f.value(v).range),
                op => range::of(f, &Defs::default(), op, f.value(v).ty),
            };
            f.values[copy.index()].range = range;
            new.result = Some(copy);
            now.insert(v, copy);
        }
        insts.push(new);
    }
    insts
}
