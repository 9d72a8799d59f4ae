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
use crate::ir::{Block, BlockData, Function, Mode, Op, Size, Terminator, Value};
use std::collections::{BTreeMap, BTreeSet};

/// What the verifier may walk through on one way through all outermost loops together, as estimated here. Instructions: it walks some of
/// them several times, once for each way into them; a factor of ten is left for that. Branches: 8192 may wait for their other side.
const BUDGET: Cost = Cost { insns: 100_000, branches: 6_000 };
/// The share of a loop inside another, as a shift.
const INNER_SHIFT: u32 = 3;
/// The least share.
const BUDGET_MIN: Cost = Cost { insns: 512, branches: 64 };

/// What a walk through some code costs the verifier.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    insns: u64,
    branches: u64,
}

impl Cost {
    fn plus(self, other: Cost) -> Cost {
        let add = u64::saturating_add;
        Cost { insns: add(self.insns, other.insns), branches: add(self.branches, other.branches) }
    }

    fn times(self, n: u64) -> Cost {
        Cost { insns: self.insns.saturating_mul(n), branches: self.branches.saturating_mul(n) }
    }

    /// How often it fits.
    fn fits(self, budget: Cost) -> u64 {
        (budget.insns / self.insns.max(1)).min(budget.branches / self.branches.max(1))
    }

    /// The share of one of `n` loops at this depth.
    fn share(self, n: u64, depth: u32) -> Cost {
        let part = |all: u64, least: u64| (all / n).checked_shr(INNER_SHIFT * depth).unwrap_or(0).max(least);
        Cost { insns: part(self.insns, BUDGET_MIN.insns), branches: part(self.branches, BUDGET_MIN.branches) }
    }
}

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
    let of_block = |b: &BlockData| {
        let end = Cost { insns: 8, branches: u64::from(matches!(b.term, Terminator::Branch { .. })) };
        b.insts.iter().fold(end, |sum, i| sum.plus(cost_of(f, &i.op)))
    };
    let mut cost: Vec<Cost> = f.blocks.iter().map(of_block).collect();
    let depth = |l: &Loop| loops.iter().filter(|o| o.header != l.header && o.contains(l.header)).count() as u32;
    let outermost = loops.iter().filter(|l| depth(l) == 0).count().max(1) as u64;
    let mut turns: BTreeMap<Block, u32> = BTreeMap::new();
    for l in loops {
        let most = f.block(l.header).header.map_or(u64::MAX, |h| h.most).max(1);
        let blocks: Vec<usize> = f.blocks().map(|(b, _)| b).filter(|b| l.contains(*b)).map(Block::index).collect();
        let body = blocks.iter().fold(Cost::default(), |sum, b| sum.plus(cost[*b]));
        let fit = body.fits(BUDGET.share(outermost, depth(l))).max(1);
        let has_cut = turns.keys().any(|inner| l.contains(*inner));
        let made = match () {
            // The count of its turns would not outlive the cut inside.
            () if has_cut => Some(0),
            () if fit < most => Some(fit.min(i32::MAX as u64) as u32),
            () => None,
        };
        turns.extend(made.map(|n| (l.header, n)));
        let walked = body.times(if has_cut { 1 } else { fit.min(most) });
        // For the loops around this one it is one expensive block.
        blocks.iter().for_each(|b| cost[*b] = Cost::default());
        cost[l.header.index()] = walked;
    }
    turns
}

/// One operation, roughly.
fn cost_of(f: &Function, op: &Op) -> Cost {
    let (insns, branches) = match op {
        Op::Copy { len: Size::Const(n), .. } => (8 + u64::from(*n) / 4, 2),
        Op::Copy { len: Size::Value(v), .. } => {
            let most = f.value(*v).range.hi.clamp(0, 1 << 32) as u64;
            (64 + 2 * most, 8 + 3 * most / 8)
        }
        Op::Load { .. } | Op::Store { .. } | Op::Check { .. } | Op::Guard { .. } => (4, 1),
        Op::Binary { mode: Mode::Checked(_), .. } => (4, 1),
        Op::Const(_) | Op::Cast(_) | Op::Refine { .. } | Op::Reinterpret(_) | Op::Prove { .. } => (0, 0),
        Op::Arg(_) | Op::ArgLen(_) | Op::Extend { .. } => (2, 0),
        Op::Binary { .. } | Op::Compare { .. } | Op::Select { .. } => (4, 0),
    };
    Cost { insns, branches }
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
