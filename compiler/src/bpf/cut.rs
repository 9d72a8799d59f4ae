//! Long loops are cut: after its share of turns the program saves the loop's parameters and asks to be run again at once.
//!
//! The kernel's verifier walks through a loop turn by turn. It gives up after a million instructions, and after 8192 branches whose
//! other side is still to be looked at. A search in a directory or a checksum over a block passes both; cut, each run makes a number of
//! turns that it can walk through, and what comes after the cut it looks at once.
//!
//! Values that are alive across a cut and are not the loop's own parameters live in memory, in the state area: they are stored where they
//! are made and loaded where they are used in another block.

use super::loops::{Loop, loops};
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::{Block, Function, Op, Size, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the verifier may walk through in all outermost loops together, in instructions as estimated here. It walks some of them several
/// times, once for each way into them; a factor of ten is left for that.
const BUDGET: u64 = 100_000;
/// The share of a loop inside another, as a shift.
const INNER_SHIFT: u32 = 3;
/// The least share.
const BUDGET_MIN: u64 = 512;
/// Turns of any loop: each may leave a branch to be looked at, of which 8192 are allowed.
const TURNS_MAX: u64 = 2048;

/// The cuts of a function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cuts {
    /// Headers of the loops that are cut, with the turns that one run makes; 0 if every way back is a cut.
    turns: BTreeMap<Block, u32>,
    /// Values that live in memory.
    homes: BTreeSet<Value>,
}

impl Cuts {
    /// Decides.
    pub fn of(f: &Function) -> Cuts {
        let graph = Graph::of(f);
        let loops = loops(f, &graph);
        let turns = turns(f, &loops);
        let homes = if turns.is_empty() { BTreeSet::new() } else { homes(f, &graph, &turns) };
        Cuts { turns, homes }
    }

    /// The headers of the loops that are cut.
    pub fn headers(&self) -> impl Iterator<Item = Block> {
        self.turns.keys().copied()
    }

    /// How many turns of the loop one run makes, if the loop is cut; 0 if every way back is a cut.
    pub fn turns(&self, header: Block) -> Option<u32> {
        self.turns.get(&header).copied()
    }

    /// The values that live in memory, in order.
    pub fn homes(&self) -> impl Iterator<Item = Value> {
        self.homes.iter().copied()
    }

    /// Whether the value lives in memory.
    pub fn is_home(&self, v: Value) -> bool {
        self.homes.contains(&v)
    }
}

fn turns(f: &Function, loops: &[Loop]) -> BTreeMap<Block, u32> {
    let mut cost: Vec<u64> =
        f.blocks.iter().map(|b| 8 + b.insts.iter().map(|i| cost_of(f, &i.op)).sum::<u64>()).collect();
    let depth = |l: &Loop| loops.iter().filter(|o| o.header != l.header && o.contains(l.header)).count() as u32;
    let outermost = loops.iter().filter(|l| depth(l) == 0).count().max(1) as u64;
    let mut turns: BTreeMap<Block, u32> = BTreeMap::new();
    for l in loops {
        let most = f.block(l.header).header.map_or(u64::MAX, |h| h.most).max(1);
        let blocks: Vec<usize> = f.blocks().map(|(b, _)| b).filter(|b| l.contains(*b)).map(Block::index).collect();
        let body = blocks.iter().fold(0u64, |sum, b| sum.saturating_add(cost[*b]));
        let budget = (BUDGET / outermost).checked_shr(INNER_SHIFT * depth(l)).unwrap_or(0).max(BUDGET_MIN);
        let fit = (budget / body).clamp(1, TURNS_MAX);
        let has_cut = turns.keys().any(|inner| l.contains(*inner));
        let made = match () {
            // The count of its turns would not outlive the cut inside.
            () if has_cut => Some(0),
            () if fit < most => Some(fit as u32),
            () => None,
        };
        turns.extend(made.map(|n| (l.header, n)));
        let walked = body.saturating_mul(if has_cut { 1 } else { fit.min(most) });
        // For the loops around this one it is one expensive block.
        blocks.iter().for_each(|b| cost[*b] = 0);
        cost[l.header.index()] = walked;
    }
    turns
}

/// Instructions of one operation, roughly.
fn cost_of(f: &Function, op: &Op) -> u64 {
    match op {
        Op::Copy { len: Size::Const(n), .. } => 8 + u64::from(*n) / 4,
        Op::Copy { len: Size::Value(v), .. } => 64 + 2 * f.value(*v).range.hi.clamp(0, 1 << 32) as u64,
        Op::Const(_) | Op::Cast(_) | Op::Refine { .. } | Op::Reinterpret(_) => 0,
        _ => 4,
    }
}

/// The values that are alive where a loop that is cut begins, but for its own parameters and numbers.
fn homes(f: &Function, graph: &Graph, turns: &BTreeMap<Block, u32>) -> BTreeSet<Value> {
    let defs = Defs::of(f);
    let mut uses: Vec<Vec<Block>> = vec![Vec::new(); f.values.len()];
    for b in &graph.order {
        let mut note = |v: Value| {
            if uses[v.index()].last() != Some(b) {
                uses[v.index()].push(*b);
            }
        };
        let data = f.block(*b);
        data.insts.iter().for_each(|inst| inst.op.for_each_use(&mut note));
        data.term.for_each_use(note);
    }
    let mut homes = BTreeSet::new();
    let mut seen = vec![u32::MAX; f.blocks.len()];
    for v in (0..f.values.len() as u32).map(Value) {
        let (Some(def), None) = (defs.get(v).map(Def::block), f.value(v).range.as_const()) else { continue };
        let mut work: Vec<Block> = uses[v.index()].iter().copied().filter(|b| *b != def).collect();
        while let Some(b) = work.pop() {
            if b == def || std::mem::replace(&mut seen[b.index()], v.0) == v.0 {
                continue;
            }
            if turns.contains_key(&b) {
                homes.insert(v);
                break;
            }
            work.extend(graph.predecessors[b.index()].iter().map(|(p, _)| *p));
        }
    }
    homes
}
