//! A search that halves its room makes as many rounds as the room has bits, not as many as its type.
//!
//! Lowering knows the type of a count, the prover its claim: of 340 entries at most, counted in 16 bits, 9 rounds are left of 16. The kernel's
//! verifier walks through each of them: 9/16 of the instructions that it processes.

use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::halving::Halving;
use crate::ir::{Block, CmpOp, Function, Op, Range, Terminator, Ty, Value};

/// Lowers the bounds of all such loops.
pub fn bound(f: &mut Function) {
    let graph = Graph::of(f);
    let defs = Defs::of(f);
    let headers: Vec<Block> =
        f.blocks().filter(|(b, data)| data.header.is_some() && graph.is_reached(*b)).map(|(b, _)| b).collect();
    for header in headers {
        if let Some(most) = rounds(f, &graph, &defs, header) {
            lower_bound(f, &defs, header, most);
        }
    }
}

/// How many turns a loop can make, if it ends when a parameter is zero that is halved in each.
fn rounds(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<u64> {
    Halving::of(f, graph, defs, header)?.turns()
}

/// The counter's test and its claim follow the bound.
fn lower_bound(f: &mut Function, defs: &Defs, header: Block, most: u64) {
    let Some(info) = f.block(header).header.filter(|h| most < h.most && most > 0) else { return };
    let tests: Vec<(Value, Value)> = f.blocks.iter().filter_map(|b| test_of(f, defs, &b.term, info.counter)).collect();
    // One test, against the old bound.
    let [(cond, limit)] = tests[..] else { return };
    if f.value(limit).range.as_const() != Some(info.most.into()) {
        return;
    }
    let Some(Def::Inst(block, at)) = defs.get(cond) else { return };
    let number = super::number(f, Ty::U64, most.into(), f.value(limit).span);
    let new = number.result.expect("a number is a value");
    if let Op::Compare { b, .. } = &mut f.blocks[block.index()].insts[at].op {
        *b = new;
    }
    f.blocks[block.index()].insts.insert(at, number);
    if let Some(h) = &mut f.blocks[header.index()].header {
        h.most = most;
    }
    claim(f, header, info.counter, most.into());
}

/// The test `counter < limit` that ends this block: its condition and the limit.
fn test_of(f: &Function, defs: &Defs, term: &Terminator, counter: Value) -> Option<(Value, Value)> {
    let Terminator::Branch { cond, .. } = term else { return None };
    match defs.op(f, *cond)? {
        Op::Compare { op: CmpOp::Lt, a, b } if defs.root(f, *a) == counter => Some((*cond, *b)),
        _ => None,
    }
}

/// Claims of the counter and of what counts on from it.
fn claim(f: &mut Function, _header: Block, counter: Value, most: i128) {
    f.values[counter.index()].range = Range::new(0, most);
    let defs = Defs::of(f);
    for b in Graph::of(f).order {
        for i in 0..f.block(b).insts.len() {
            let inst = &f.block(b).insts[i];
            let (Some(v), Op::Refine { .. } | Op::Binary { .. }) = (inst.result, &inst.op) else { continue };
            let range = crate::ir::eval::range::of(f, &defs, &inst.op, f.value(v).ty);
            let old = f.value(v).range;
            if old.contains(range) && !range.is_empty() {
                f.values[v.index()].range = range;
            }
        }
    }
}
