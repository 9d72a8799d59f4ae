//! The steps of a function: what lies between two hops.

use crate::ir::graph::Graph;
use crate::ir::{Block, Function, Terminator};

/// For each block the step to which it belongs, named by the block that begins it.
///
/// A block begins a step when it is the entry, the target of a hop or emit, or when blocks of different steps go to it; any other
/// block is of the step of its predecessors. So on every path to a block the last beginning of a step is that of its own, and no hop
/// lies between. And of a value defined in D and a block U which D dominates: a hop lies on some path from the last turn of D to U
/// exactly if their steps differ.
#[derive(Clone, Debug)]
pub struct Steps(Vec<Block>);

impl Steps {
    /// Looks through a function.
    ///
    /// Where different steps meet is where SSA form would place a join of a variable that the entry and every hop assign: on the
    /// iterated dominance frontier of those blocks (Cytron et al., TOPLAS 1991, section 4).
    pub fn of(f: &Function, graph: &Graph) -> Steps {
        let frontiers = frontiers(f, graph);
        let mut begins = vec![false; f.blocks.len()];
        let mut work = vec![Block(0)];
        for b in &graph.order {
            if f.block(*b).term.suspends() {
                work.extend(f.block(*b).term.targets().map(|t| t.block));
            }
        }
        while let Some(b) = work.pop() {
            if !std::mem::replace(&mut begins[b.index()], true) {
                work.extend(&frontiers[b.index()]);
            }
        }
        let mut steps: Vec<Block> = (0..f.blocks.len() as u32).map(Block).collect();
        for b in &graph.order {
            if let (false, Some(idom)) = (begins[b.index()], graph.idom(*b)) {
                steps[b.index()] = steps[idom.index()];
            }
        }
        Steps(steps)
    }

    /// The block with which the step of this block begins.
    pub fn step(&self, block: Block) -> Block {
        self.0[block.index()]
    }
}

impl Terminator {
    /// Whether it ends a step: a hop or an emit.
    pub fn suspends(&self) -> bool {
        matches!(self, Terminator::Hop { .. } | Terminator::Emit { .. })
    }
}

/// For each block where its dominance ends: blocks that it does not strictly dominate, with a predecessor that it dominates.
fn frontiers(f: &Function, graph: &Graph) -> Vec<Vec<Block>> {
    let mut frontiers = vec![Vec::new(); f.blocks.len()];
    for b in &graph.order {
        if graph.predecessors[b.index()].len() < 2 {
            continue;
        }
        for (p, _) in &graph.predecessors[b.index()] {
            let mut runner = Some(*p);
            while let Some(r) = runner.filter(|r| Some(*r) != graph.idom(*b)) {
                if !frontiers[r.index()].contains(b) {
                    frontiers[r.index()].push(*b);
                }
                runner = graph.idom(r);
            }
        }
    }
    frontiers
}
