//! Long loops are cut: after its share of turns the program saves the loop's parameters and asks to be run again at once.
//!
//! The kernel's verifier walks through a loop turn by turn. It gives up after a million instructions, and after 8192 branches whose
//! other side is still to be looked at. A search in a directory or a checksum over a block passes both; cut, each run makes a number of
//! turns that it can walk through, and what comes after the cut it looks at once.
//!
//! Values that are alive across a cut and are not the loop's own parameters live in memory, in the state area: they are stored where they
//! are made and loaded where they are used in another block, unless that is one of the loop that counts by them. So do values for which registers and stack have no room.

use super::loops::{Loop, loops, targets};
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::{BinOp, Block, BlockData, Function, Mode, Op, Size, Terminator, Value};
use crate::rows::Rows;
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
    /// Those of them that are parameters to which memory is the only way.
    stored: BTreeSet<Value>,
    /// Blocks that a run may come to which has begun at a cut: nothing is in a register there that was made before it.
    behind: BTreeSet<Block>,
    /// For those of them by which a loop counts that is not cut, the blocks of the loop.
    own: BTreeMap<Value, BTreeSet<Block>>,
}

impl Cuts {
    /// Decides.
    pub fn of(f: &Function) -> Cuts {
        let graph = Graph::of(f);
        let loops = loops(f, &graph);
        let turns = turns(f, &loops);
        let homes = Lives::of(f, &graph, &loops).homes(f, &turns);
        let is_header = |b: Block| loops.iter().any(|l| l.header == b);
        let params = f.blocks().filter(|(b, _)| !is_header(*b)).flat_map(|(_, data)| &data.params).copied();
        let stored = params.filter(|p| homes.contains(p)).collect();
        let whole = loops.iter().filter(|l| !turns.contains_key(&l.header) && !l.entered);
        let defs = Defs::of(f);
        let own = whole.flat_map(|l| {
            let blocks: BTreeSet<Block> = f.blocks().map(|(b, _)| b).filter(|b| l.contains(*b)).collect();
            let inside = |v: Value| defs.get(v).is_some_and(|def| l.contains(def.block()));
            let counts = |v: Value| inside(v) && f.block(l.header).params.contains(&defs.root(f, v));
            homes.iter().filter(|v| counts(**v)).map(|v| (*v, blocks.clone())).collect::<Vec<_>>()
        });
        let own = own.collect();
        let mut behind = BTreeSet::new();
        let mut work: Vec<Block> = turns.keys().copied().collect();
        while let Some(b) = work.pop() {
            if behind.insert(b) {
                work.extend(targets(&f.block(b).term));
            }
        }
        Cuts { turns, homes, stored, own, behind }
    }

    /// Whether the value is a parameter that those who go to its block store in memory.
    pub fn is_stored(&self, v: Value) -> bool {
        self.stored.contains(&v)
    }

    /// Whether a loop around the block counts by the value, in whose register it still is: the verifier must see how loops count.
    pub fn is_own(&self, v: Value, block: Block) -> bool {
        self.own.get(&v).is_some_and(|blocks| blocks.contains(&block))
    }

    /// Whether a run may come to the block that has begun inside a loop that is cut, with a counter of which the verifier knows nothing.
    pub fn is_behind(&self, b: Block) -> bool {
        self.behind.contains(&b)
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
            // The count of its turns would not outlive the cut inside, or would be missing where a run begins inside.
            () if has_cut => Some(0),
            () if fit < most && l.entered => Some(0),
            () if fit < most => Some(fit.min(i32::MAX as u64) as u32),
            () => None,
        };
        turns.extend(made.map(|n| (l.header, n)));
        let walked = body.times(if made == Some(0) { 1 } else { fit.min(most) });
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
        // As much as in place byte by byte; a call of a routine is a tenth of it.
        Op::Varint { .. } => (200, 30),
        Op::Load { .. } | Op::Store { .. } | Op::Check { .. } | Op::Guard { .. } => (4, 1),
        Op::Binary { mode: Mode::Checked(_), .. } => (4, 1),
        Op::Decoded(_) => (0, 0),
        Op::Const(_) | Op::Cast(_) | Op::Refine { .. } | Op::Reinterpret(_) | Op::Prove { .. } => (0, 0),
        Op::Arg(_) | Op::ArgLen(_) | Op::Extend { .. } => (2, 0),
        Op::Binary { .. } | Op::Compare { .. } | Op::Select { .. } => (4, 0),
    };
    Cost { insns, branches }
}

/// Values that may be alive in registers and stack slots where a block starts; the rest of both is for what is computed in it.
const LIVE_MAX: u32 = 40;

/// Where values are alive.
struct Lives {
    /// For each value the blocks at whose start it is alive, but for the one that makes it.
    across: Rows<Block>,
    /// Parameters of headers of loops, which stay in registers: the verifier must see how loops count.
    pinned: Vec<bool>,
}

impl Lives {
    fn of(f: &Function, graph: &Graph, loops: &[Loop]) -> Lives {
        let defs = Defs::of(f);
        let (mut uses, mut last, mut work) = (Vec::new(), vec![None; f.values.len()], Vec::new());
        for b in &graph.order {
            let data = f.block(*b);
            data.insts.iter().for_each(|inst| inst.op.for_each_use(|v| work.push(v)));
            data.term.for_each_use(|v| work.push(v));
            while let Some(v) = work.pop() {
                if last[v.index()].replace(*b) == Some(*b) {
                    continue;
                }
                uses.push((v.index(), *b));
                // A comparison may be made where it is tested.
                if let Some(Op::Compare { a, b, .. } | Op::Binary { op: BinOp::Xor, a, b, .. }) = op_of(f, &defs, v) {
                    work.extend([*a, *b]);
                }
            }
        }
        let uses = Rows::of(f.values.len(), uses.iter().copied());
        let (mut across, mut open) = (Vec::new(), Vec::new());
        let mut seen = vec![u32::MAX; f.blocks.len()];
        for v in (0..f.values.len() as u32).map(Value) {
            let (Some(def), None) = (defs.get(v).map(Def::block), f.value(v).range.as_const()) else { continue };
            open.extend_from_slice(&uses[v.index()]);
            while let Some(b) = open.pop() {
                if b != def && std::mem::replace(&mut seen[b.index()], v.0) != v.0 {
                    across.push((v.index(), b));
                    open.extend(graph.predecessors[b.index()].iter().map(|(p, _)| *p));
                }
            }
        }
        let across = Rows::of(f.values.len(), across.iter().copied());
        let mut pinned = vec![false; f.values.len()];
        loops.iter().flat_map(|l| &f.block(l.header).params).for_each(|p| pinned[p.index()] = true);
        Lives { across, pinned }
    }

    /// The values that live in memory: what is alive where a loop that is cut begins, but for its own parameters; and what is too much for
    /// registers and stack, those first that are alive longest.
    fn homes(&self, f: &Function, turns: &BTreeMap<Block, u32>) -> BTreeSet<Value> {
        let values = || (0..f.values.len() as u32).map(Value);
        let is_cut = |v: &Value| self.across[v.index()].iter().any(|b| turns.contains_key(b));
        let mut homes: BTreeSet<Value> = values().filter(is_cut).collect();
        let across = values().flat_map(|v| self.across[v.index()].iter().map(move |b| (b.index(), v)));
        let params = f.blocks().flat_map(|(b, data)| data.params.iter().map(move |p| (b.index(), *p)));
        let params = params.filter(|(_, p)| f.value(*p).range.as_const().is_none());
        let in_registers = across.chain(params).filter(|(_, v)| !homes.contains(v));
        let alive = Rows::of(f.blocks.len(), in_registers);
        for at_start in alive.iter().filter(|alive| alive.len() > LIVE_MAX as usize) {
            let mut candidates: Vec<Value> = at_start.iter().copied().filter(|v| !homes.contains(v)).collect();
            let surplus = candidates.len().saturating_sub(LIVE_MAX as usize);
            candidates.retain(|v| !self.pinned[v.index()]);
            candidates.sort_by_key(|v| std::cmp::Reverse(self.across[v.index()].len()));
            homes.extend(candidates.into_iter().take(surplus));
        }
        homes
    }
}

/// The operation that makes a value.
fn op_of<'a>(f: &'a Function, defs: &Defs, v: Value) -> Option<&'a Op> {
    match defs.get(v)? {
        Def::Inst(b, i) => Some(&f.block(b).insts[i].op),
        Def::Param(..) => None,
    }
}
