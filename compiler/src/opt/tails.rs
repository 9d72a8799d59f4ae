//! Ways out that write the same places of the result share one end.
//!
//! Each `return` writes the whole result and ends the walk, most of them with `none` or another constant. What differs becomes a
//! parameter of one common block. On walk A the BPF code has 12 instructions less of 83.

use super::new_value;
use crate::fx::FxHashMap;
use crate::ir::graph::Graph;
use crate::ir::verify::Steps;
use crate::ir::{Block, BlockData, Endian, Function, Op, Region, Target, Terminator, Ty, Value};
use std::collections::BTreeSet;

/// What differs may be so much: a parameter is a register.
const PARAMS_MAX: usize = 4;

/// Merges the ends, then blocks that have become equal.
pub fn merge(f: &mut Function) {
    let mut groups: Vec<(Shape, Vec<Block>)> = Vec::new();
    let graph = Graph::of(f);
    let steps = Steps::of(f, &graph);
    for b in &graph.order {
        let Some(shape) = Shape::of(f, &steps, *b) else { continue };
        match groups.iter_mut().find(|(s, _)| *s == shape) {
            Some((_, blocks)) => blocks.push(*b),
            None => groups.push((shape, vec![*b])),
        }
    }
    for (shape, blocks) in groups.iter().filter(|(_, blocks)| blocks.len() > 1) {
        merge_group(f, shape, blocks);
    }
    merge_equal(f);
}

/// What the ends of a group have in common.
#[derive(PartialEq)]
struct Shape {
    step: Block,
    disk: Option<Value>,
    stores: Vec<(u32, u8, Endian, Ty)>,
}

impl Shape {
    fn of(f: &Function, steps: &Steps, b: Block) -> Option<Shape> {
        let block = f.block(b);
        if block.term != Terminator::Return {
            return None;
        }
        let stores: Vec<_> = block.insts[first_store(block)..].iter().filter_map(|i| stored(&i.op)).collect();
        let stores: Vec<_> = stores.into_iter().map(|(d, w, e, v)| (d, w, e, f.value(v).ty)).collect();
        (!stores.is_empty()).then(|| Shape { step: steps.step(b), disk: block.disk.map(|d| d.len), stores })
    }
}

/// A store to a known place of the result.
fn stored(op: &Op) -> Option<(u32, u8, Endian, Value)> {
    match op {
        Op::Store { addr, width, endian, value }
            if addr.region == Region::Out && addr.base.is_none() && addr.index.is_none() =>
        {
            Some((addr.disp, *width, *endian, *value))
        }
        _ => None,
    }
}

/// Where the stores at a block's end begin.
fn first_store(block: &BlockData) -> usize {
    block.insts.iter().rposition(|i| stored(&i.op).is_none()).map_or(0, |i| i + 1)
}

fn merge_group(f: &mut Function, shape: &Shape, blocks: &[Block]) {
    let values = |f: &Function, b: Block| -> Vec<Value> {
        let block = f.block(b);
        block.insts[first_store(block)..].iter().filter_map(|i| stored(&i.op)).map(|(.., v)| v).collect()
    };
    let passed: Vec<Vec<Value>> = blocks.iter().map(|b| values(f, *b)).collect();
    let number = |f: &Function, v: Value| f.value(v).range.as_const();
    let first = &passed[0];
    // Equal numbers are written as such; everything else comes in, so that the end needs no value of the step.
    let differs: Vec<bool> = (0..first.len())
        .map(|i| number(f, first[i]).is_none() || passed.iter().any(|p| number(f, p[i]) != number(f, first[i])))
        .collect();
    if differs.iter().filter(|d| **d).count() > PARAMS_MAX {
        return;
    }
    let mut end = f.block(blocks[0]).clone();
    let mut insts: Vec<_> = end.insts.split_off(first_store(&end));
    end.params = Vec::new();
    end.header = None;
    end.insts = Vec::new();
    for (i, inst) in insts.iter_mut().enumerate() {
        let span = inst.span;
        let Op::Store { value, .. } = &mut inst.op else { continue };
        let ty = shape.stores[i].3;
        *value = if differs[i] {
            let range =
                passed.iter().map(|p| f.value(p[i]).range).reduce(|a, b| a.join(b)).expect("a group has blocks");
            let param = new_value(f, ty, range, span);
            end.params.push(param);
            param
        } else {
            let n = number(f, first[i]).expect("what does not differ is a number");
            let constant = super::number(f, ty, n, span);
            let v = constant.result.expect("a number is a value");
            end.insts.push(constant);
            v
        };
    }
    end.insts.extend(insts);
    f.blocks.push(end);
    let to = Block(f.blocks.len() as u32 - 1);
    for (b, values) in blocks.iter().zip(&passed) {
        let block = &mut f.blocks[b.index()];
        block.insts.truncate(first_store(block));
        let args = values.iter().zip(&differs).filter(|(_, d)| **d).map(|(v, _)| *v).collect();
        block.term = Terminator::Jump(Target { block: to, args });
    }
}

/// Blocks that only pass numbers on, to the same block, are one.
fn merge_equal(f: &mut Function) {
    let graph = Graph::of(f);
    let steps = Steps::of(f, &graph);
    let mut seen: FxHashMap<(Block, Block, Vec<i128>), Block> = FxHashMap::default();
    let mut same: FxHashMap<Block, Block> = FxHashMap::default();
    for b in &graph.order {
        let block = f.block(*b);
        let Terminator::Jump(t) = &block.term else { continue };
        let plain = block.params.is_empty() && block.insts.iter().all(|i| matches!(i.op, Op::Const(_)));
        let numbers: Option<Vec<i128>> = t.args.iter().map(|v| f.value(*v).range.as_const()).collect();
        let (true, Some(numbers), false) = (plain, numbers, t.args.is_empty()) else { continue };
        // A length of the disk block is passed on as the value that it is, not as its number.
        let to = f.block(t.block);
        if to.disk.is_some_and(|d| to.params.contains(&d.len)) {
            continue;
        }
        // A block that begins a step is named by it, and stays.
        let first = *seen.entry((steps.step(*b), t.block, numbers)).or_insert(*b);
        if first != *b && f.block(first).disk == block.disk {
            same.insert(*b, first);
        }
    }
    let kept: BTreeSet<Block> = same.values().copied().collect();
    kept.into_iter().for_each(|b| own_numbers(f, b));
    for t in f.blocks.iter_mut().flat_map(|b| crate::prove::cleanup::targets_mut(&mut b.term)) {
        t.block = same.get(&t.block).copied().unwrap_or(t.block);
    }
}

/// A block that more ways lead to makes the numbers itself that it passes on: where they came from may not lie on all of these ways.
fn own_numbers(f: &mut Function, b: Block) {
    let Terminator::Jump(t) = f.block(b).term.clone() else { return };
    let span = f.block(b).span;
    let mut args = Vec::with_capacity(t.args.len());
    for v in t.args {
        let n = f.value(v).range.as_const().expect("such a block passes numbers");
        let constant = super::number(f, f.value(v).ty, n, span);
        args.extend(constant.result);
        f.blocks[b.index()].insts.push(constant);
    }
    f.blocks[b.index()].term = Terminator::Jump(Target { block: t.block, args });
}
