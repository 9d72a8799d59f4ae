//! Walks that wait for memory: where a place is chosen by what was read, the processor guesses.
//!
//! A round of a search in the cache is fastest without a branch: of branches half would be guessed wrong, and each costs as much as a round. Where
//! the probe has to come from memory, the wait for it is many times as long, and behind a branch the next probe is asked for meanwhile: the
//! right one every second time. How much of an image is in the caches its size does not tell (of a file system of 256 MiB the nodes of one file's tree
//! are), so the caller says it: [`bind_far`](super::Native::bind_far).

use super::cuts::{disk_address, tainted};
use super::lower::Lower;
use cranelift_codegen::ir::{self, InstBuilder};
use std::collections::HashSet;
use trav_compiler::ir::defs::{Def, Defs};
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::{Block, Function, Op, Value};

/// The choices that decide by what was read which place is read next.
pub(super) fn choices(f: &Function, graph: &Graph, defs: &Defs) -> HashSet<Value> {
    let tainted = tainted(f, graph);
    let located = located(f, graph, defs);
    let is_choice = |v: &Value| match defs.op(f, *v) {
        Some(Op::Select { cond, .. }) => tainted[cond.index()],
        _ => false,
    };
    located.into_iter().filter(is_choice).collect()
}

/// Values that addresses in disk blocks are made of.
fn located(f: &Function, graph: &Graph, defs: &Defs) -> HashSet<Value> {
    let insts = graph.order.iter().flat_map(|block| &f.block(*block).insts);
    let addrs = insts.filter_map(disk_address);
    let mut work: Vec<Value> = addrs.flat_map(|addr| addr.base.into_iter().chain(addr.index)).collect();
    let mut located = HashSet::new();
    while let Some(v) = work.pop() {
        if !located.insert(v) {
            continue;
        }
        if let Some(Def::Param(block, place)) = defs.get(v) {
            work.extend(incoming(f, graph, block, place));
        }
        match defs.op(f, v) {
            Some(Op::Binary { a, b, .. } | Op::Select { a, b, .. }) => work.extend([*a, *b]),
            Some(Op::Refine { a, .. } | Op::Check { a, .. } | Op::Cast(a) | Op::Reinterpret(a)) => work.push(*a),
            _ => {}
        }
    }
    located
}

/// What comes into a block in its parameter at this position.
fn incoming(f: &Function, graph: &Graph, block: Block, place: usize) -> impl Iterator<Item = Value> {
    graph.predecessors[block.index()].iter().filter_map(move |(from, edge)| {
        let target = f.block(*from).term.targets().nth(*edge)?;
        // Where a hop comes in, its first parameter has no argument.
        target.args.get((place + target.args.len()).checked_sub(f.block(block).params.len())?).copied()
    })
}

impl Lower<'_> {
    /// One of two values. With a branch, if it is a choice that is guessed.
    pub fn pick(&mut self, chosen: Option<Value>, cond: ir::Value, yes: ir::Value, no: ir::Value) -> ir::Value {
        if !chosen.is_some_and(|v| self.guessed.contains(&v)) {
            return self.b.ins().select(cond, yes, no);
        }
        let joined = self.b.create_block();
        let ty = self.b.func.dfg.value_type(yes);
        let picked = self.b.append_block_param(joined, ty);
        self.b.ins().brif(cond, joined, &[yes.into()], joined, &[no.into()]);
        self.b.switch_to_block(joined);
        picked
    }
}
