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
    pub fn of(f: &Function, graph: &Graph) -> Steps {
        // Optimistic: a block that has no step yet does not count where paths meet. A block that begins a step stays one,
        // so the number of turns is at most that of the blocks.
        let mut steps: Vec<Option<Block>> = vec![None; f.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for block in &graph.order {
                if steps[block.index()] == Some(*block) {
                    continue;
                }
                let mut of_all = None;
                let mut begins = block.0 == 0;
                for (from, _) in &graph.predecessors[block.index()] {
                    let step = steps[from.index()];
                    begins |= f.block(*from).term.suspends() || (of_all.is_some() && step.is_some() && step != of_all);
                    of_all = of_all.or(step);
                }
                let new = if begins { Some(*block) } else { of_all };
                changed |= new != steps[block.index()];
                steps[block.index()] = new;
            }
        }
        Steps(steps.into_iter().enumerate().map(|(i, step)| step.unwrap_or(Block(i as u32))).collect())
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
