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
    /// iterated dominance frontier of those blocks (Cytron et al., TOPLAS 1991, section 4). A block that begins no step is of that of its
    /// immediate dominator; if a predecessor is of another one, a beginning lies between and the block is on its frontier.
    pub fn of(f: &Function, graph: &Graph) -> Steps {
        let mut begins = vec![false; f.blocks.len()];
        begins[0] = true;
        for b in graph.order.iter().filter(|b| f.block(**b).term.suspends()) {
            f.block(*b).term.targets().for_each(|t| begins[t.block.index()] = true);
        }
        let mut steps: Vec<Block> = (0..f.blocks.len() as u32).map(Block).collect();
        let mut changed = true;
        while changed {
            // In this order dominators and predecessors come first, but for those behind edges that go back.
            for b in graph.order.iter().skip(1) {
                if begins[b.index()] {
                    steps[b.index()] = *b;
                    continue;
                }
                let above = graph.idom(*b).expect("all but the entry have a dominator");
                steps[b.index()] = steps[above.index()];
                if meets(graph, &steps, *b, false) {
                    begins[b.index()] = true;
                    steps[b.index()] = *b;
                }
            }
            changed = false;
            for b in &graph.order {
                if !begins[b.index()] && meets(graph, &steps, *b, true) {
                    begins[b.index()] = true;
                    changed = true;
                }
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

/// Whether a block has a predecessor of another step, on edges that go forward or on those that go back.
fn meets(graph: &Graph, steps: &[Block], b: Block, back: bool) -> bool {
    let mut edges = graph.predecessors[b.index()].iter().filter(|(p, _)| graph.is_back(*p, b) == back);
    edges.any(|(p, _)| steps[p.index()] != steps[b.index()])
}
