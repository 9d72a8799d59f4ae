//! Rule 23: counted loops.

use super::types::passed;
use super::{At, Errors, Facts};
use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::*;

pub fn check(f: &Facts<'_>, errors: &mut Errors) {
    for (block, data) in f.blocks() {
        let is_header = predecessors(f, block).any(|(from, _)| f.graph.is_back(from, block));
        match data.header {
            Some(header) => counter(f, errors, block, header),
            None if is_header => errors.push(23, block, "expected a bound of the loop that begins here, found none"),
            None => {}
        }
    }
}

fn counter(f: &Facts<'_>, errors: &mut Errors, block: Block, header: LoopInfo) {
    let LoopInfo { counter, most } = header;
    if !f.block(block).params.contains(&counter) || f.value(counter).ty != Ty::U64 {
        errors.push(23, block, format!("expected a u64 parameter of this block as the counter, found {counter}"));
        return;
    }
    let claim = f.value(counter).range;
    errors.want(Range::new(0, most.into()).contains(claim), 23, block, || {
        format!("expected a claim within 0..={most} of the counter {counter}, found up to {}", claim.hi)
    });
    let distances = distances(f, block, counter);
    for (from, target) in predecessors(f, block) {
        let term = &f.block(from).term;
        let Some((arg, _)) = passed(f.f, term, target).find(|(_, param)| *param == counter) else { continue };
        let at = At::Term(from, term);
        if f.graph.is_back(from, block) {
            let found = distances.get(&arg);
            errors.want(found == Some(&Distance::Known(1)), 23, at, || {
                format!("expected {counter} + 1 on the way back to {block}, found {arg}")
            });
        } else {
            let found = f.value(arg).range;
            errors.want(Range::just(0).contains(found), 23, at, || {
                format!("expected 0 for the counter {counter} on the way into {block}, found {arg}")
            });
        }
    }
}

/// The edges into a block: where each comes from, and what it passes.
fn predecessors<'f>(f: &'f Facts<'_>, block: Block) -> impl Iterator<Item = (Block, &'f Target)> {
    let edges = f.graph.predecessors[block.index()].iter();
    edges.filter_map(|(from, i)| Some((*from, f.block(*from).term.targets().nth(*i)?)))
}

/// The blocks of the loop with this header: all from which an edge back to it can be reached without passing it.
fn loop_blocks(f: &Facts<'_>, header: Block) -> Vec<Block> {
    let mut inside = FxHashSet::from_iter([header]);
    let back = predecessors(f, header).map(|(from, _)| from).filter(|from| f.graph.is_back(*from, header));
    let mut open: Vec<Block> = back.collect();
    while let Some(block) = open.pop() {
        if inside.insert(block) {
            open.extend(predecessors(f, block).map(|(from, _)| from));
        }
    }
    f.graph.order.iter().copied().filter(|block| inside.contains(block)).collect()
}

/// A value of one turn, less the counter of the same turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distance {
    Known(i128),
    Unknown,
}

/// The distance of each value in the loop from its counter, through refinements, sums with constants and parameters of blocks
/// (a hop in the loop carries the counter as an argument). Optimistic: a value of which nothing is known yet is not in the
/// map. Each goes from there to `Known`, perhaps to `Unknown`, and no further.
fn distances(f: &Facts<'_>, header: Block, counter: Value) -> FxHashMap<Value, Distance> {
    let blocks = loop_blocks(f, header);
    let inside: FxHashSet<Block> = blocks.iter().copied().collect();
    let mut distances = FxHashMap::from_iter([(counter, Distance::Known(0))]);
    let mut changed = true;
    while changed {
        changed = false;
        for block in &blocks {
            for v in &f.block(*block).params {
                if *block != header {
                    let new = of_param(f, &distances, &inside, *block, *v);
                    changed |= enter(&mut distances, *v, new);
                }
            }
            for inst in &f.block(*block).insts {
                if let Some(v) = inst.result {
                    let new = of_op(f, &distances, &inside, &inst.op);
                    changed |= enter(&mut distances, v, new);
                }
            }
        }
    }
    distances
}

type Distances = FxHashMap<Value, Distance>;
type Blocks = FxHashSet<Block>;

fn enter(distances: &mut Distances, v: Value, new: Option<Distance>) -> bool {
    match new {
        Some(new) => distances.insert(v, new) != Some(new),
        None => false,
    }
}

fn of_value(f: &Facts<'_>, distances: &Distances, inside: &Blocks, v: Value) -> Option<Distance> {
    let is_inside = f.defs.get(v).is_some_and(|def| inside.contains(&def.block()));
    if is_inside { distances.get(&v).copied() } else { Some(Distance::Unknown) }
}

fn of_param(f: &Facts<'_>, distances: &Distances, inside: &Blocks, block: Block, param: Value) -> Option<Distance> {
    let mut all = None;
    for (from, target) in predecessors(f, block) {
        let Some((arg, _)) = passed(f.f, &f.block(from).term, target).find(|(_, to)| *to == param) else { continue };
        let one = of_value(f, distances, inside, arg);
        all = match (all, one) {
            (None, one) => one,
            (all, None) => all,
            (Some(a), Some(b)) => Some(if a == b { a } else { Distance::Unknown }),
        };
    }
    all
}

fn of_op(f: &Facts<'_>, distances: &Distances, inside: &Blocks, op: &Op) -> Option<Distance> {
    let of = |v: Value| of_value(f, distances, inside, v);
    match *op {
        Op::Refine { a, .. } | Op::Check { a, .. } => of(a),
        Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Checked(_), a, b } => {
            let constant = |v: Value| f.value(v).range.as_const();
            let (from, n) = match (constant(a), constant(b)) {
                (_, Some(n)) => (of(a)?, n),
                (Some(n), _) => (of(b)?, n),
                (None, None) => return Some(Distance::Unknown),
            };
            Some(match from {
                Distance::Known(d) => Distance::Known(d.saturating_add(n)),
                Distance::Unknown => Distance::Unknown,
            })
        }
        _ => Some(Distance::Unknown),
    }
}
