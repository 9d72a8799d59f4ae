//! What several ways compute is computed once, where they part.
//!
//! Lowering's value numbering finds what is computed again on the same way; here are the rest: two arms of a branch, or an arm and what
//! comes after it, that scale the same index. Claims belong to values, so what is exact in one place is so in every place that its operands
//! reach. On walks A and B it saves four instructions each, most of them tests of the address that is then formed once.

use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::Defs;
use crate::ir::graph::Graph;
use crate::ir::verify::Steps;
use crate::ir::{BinOp, Block, Function, Mode, Op, Ty, Value};
use std::collections::hash_map::Entry;

/// Shares, until nothing is left to share: what uses the same operands now may be the same.
pub fn share(f: &mut Function) {
    let graph = Graph::of(f);
    let steps = Steps::of(f, &graph);
    while share_once(f, &graph, &steps) {}
}

/// An operation, its result's type, and its operands.
type Key = (How, Ty, Operand, Option<Operand>);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum How {
    Exact(BinOp),
    Wrap(BinOp),
    Extend(u8),
}

/// A number is the same whatever makes it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Operand {
    Value(Value),
    Number(i128),
}

/// Where the same is computed: first, and again.
struct Group {
    first: (Block, Value),
    again: Vec<(Block, Value)>,
}

fn share_once(f: &mut Function, graph: &Graph, steps: &Steps) -> bool {
    let mut places: FxHashMap<Key, usize> = FxHashMap::default();
    let mut groups: Vec<Group> = Vec::new();
    let counted = counted(f);
    for b in &graph.order {
        for inst in &f.block(*b).insts {
            let Some((v, key)) = inst.result.and_then(|v| Some((v, key(f, &inst.op, v)?))) else { continue };
            // A number is made where it is used; a counter of one turn is one, and each loop has its own.
            if f.value(v).range.as_const().is_some() || counted.contains(&v) {
                continue;
            }
            match places.entry(key) {
                Entry::Occupied(place) => groups[*place.get()].again.push((*b, v)),
                Entry::Vacant(place) => {
                    place.insert(groups.len());
                    groups.push(Group { first: (*b, v), again: Vec::new() });
                }
            }
        }
    }
    let mut renamed: FxHashMap<Value, Value> = FxHashMap::default();
    let defs = Defs::of(f);
    let mut home: Vec<Option<Block>> = (0..f.values.len() as u32).map(|v| Some(defs.get(Value(v))?.block())).collect();
    for group in groups.iter().filter(|group| !group.again.is_empty()) {
        merge(f, graph, steps, group, &mut home, &mut renamed);
    }
    rename(f, &renamed);
    !renamed.is_empty()
}

/// What loops add to their counters on the way back. It stays with its loop even where it is a known number: the verifier wants this very
/// counter and one.
fn counted(f: &Function) -> FxHashSet<Value> {
    let targets = f.blocks.iter().flat_map(|b| b.term.targets());
    let passed = targets.filter_map(|t| {
        let to = f.block(t.block);
        let counter = to.params.iter().position(|p| to.header.is_some_and(|h| h.counter == *p))?;
        t.args.get(counter).copied()
    });
    passed.collect()
}

/// What an operation is, where doing it where it is not needed costs next to nothing.
fn key(f: &Function, op: &Op, result: Value) -> Option<Key> {
    let operand = |v: Value| f.value(v).range.as_const().map_or(Operand::Value(v), Operand::Number);
    let ty = f.value(result).ty;
    match *op {
        Op::Binary { op: BinOp::Div | BinOp::Rem, .. } => None,
        Op::Binary { op, mode: Mode::Exact, a, b } => Some((How::Exact(op), ty, operand(a), Some(operand(b)))),
        Op::Binary { op, mode: Mode::Wrap, a, b } => Some((How::Wrap(op), ty, operand(a), Some(operand(b)))),
        Op::Extend { bits, a } => Some((How::Extend(bits), ty, operand(a), None)),
        _ => None,
    }
}

/// Moves the first of a group to where all of its ways part, and lets it stand for the others.
fn merge(
    f: &mut Function,
    graph: &Graph,
    steps: &Steps,
    group: &Group,
    home: &mut [Option<Block>],
    renamed: &mut FxHashMap<Value, Value>,
) {
    let (first, kept) = group.first;
    let same_claim = |v: Value| f.value(v).range == f.value(kept).range;
    let rest: Vec<(Block, Value)> = group
        .again
        .iter()
        .copied()
        .filter(|(b, v)| *v != kept && same_claim(*v) && steps.step(*b) == steps.step(first))
        .collect();
    let Some(place) = rest.iter().try_fold(first, |at, (b, _)| graph.common(at, *b)) else { return };
    if rest.is_empty() || steps.step(place) != steps.step(first) {
        return;
    }
    if place != first && !bring(f, graph, steps, home, kept, place) {
        return;
    }
    renamed.extend(rest.iter().map(|(_, v)| (*v, kept)));
}

/// Moves an operation to the end of a block that dominates its own, with the numbers among its operands; if the other operands are there.
fn bring(f: &mut Function, graph: &Graph, steps: &Steps, home: &mut [Option<Block>], v: Value, to: Block) -> bool {
    let Some(from) = home[v.index()] else { return false };
    let Some(at) = f.block(from).insts.iter().position(|inst| inst.result == Some(v)) else { return false };
    let mut inst = f.block(from).insts[at].clone();
    let there = |u: Value| home[u.index()].is_some_and(|b| graph.dominates(b, to) && steps.step(b) == steps.step(to));
    let mut all = true;
    inst.op.for_each_use(|u| all &= there(u) || f.value(u).range.as_const().is_some());
    if !all {
        return false;
    }
    let mut numbers = Vec::new();
    let mut op = inst.op.clone();
    op.map_uses(|u| {
        if there(u) {
            return u;
        }
        let n = f.value(u).range.as_const().expect("what is not there is a number");
        let number = super::number(f, f.value(u).ty, n, inst.span);
        let v = number.result.expect("a number is a value");
        numbers.push(number);
        v
    });
    inst.op = op;
    home[v.index()] = Some(to);
    f.blocks[from.index()].insts.remove(at);
    f.blocks[to.index()].insts.extend(numbers);
    f.blocks[to.index()].insts.push(inst);
    true
}

fn rename(f: &mut Function, renamed: &FxHashMap<Value, Value>) {
    if renamed.is_empty() {
        return;
    }
    for b in &mut f.blocks {
        // Each stands for itself from now on.
        b.insts.retain(|i| i.result.is_none_or(|v| !renamed.contains_key(&v)));
        b.insts.iter_mut().for_each(|i| i.op.map_uses(|v| renamed.get(&v).copied().unwrap_or(v)));
        b.term.map_uses(|v| renamed.get(&v).copied().unwrap_or(v));
    }
}
