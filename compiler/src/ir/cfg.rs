//! The control-flow graph of a function: edges, order, dominators and steps.
//!
//! Assumes that block ids are in range; guarantees nothing for blocks that are not reachable. Dominators after Cooper, Harvey and
//! Kennedy, "A Simple, Fast Dominance Algorithm" (2001).

use super::{Block, Function, Target, Terminator};

/// One of the ways from a block to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The block whose terminator it is.
    pub from: Block,
    /// Position in [`Terminator::targets`].
    pub position: usize,
}

impl Edge {
    /// The block and arguments to which it goes.
    pub fn target(self, f: &Function) -> &Target {
        f.block(self.from).term.targets().nth(self.position).expect("an edge is made from a target")
    }
}

/// What is known of the graph.
#[derive(Clone, Debug)]
pub struct Cfg {
    order: Vec<Block>,
    /// Position in `order`; none for a block that is not reachable.
    position: Vec<Option<usize>>,
    preds: Vec<Vec<Edge>>,
    idom: Vec<Block>,
    /// First and last time of the visit of each block in a walk over the dominator tree.
    visits: Vec<(u32, u32)>,
    step: Vec<Block>,
}

impl Cfg {
    /// Looks at a function.
    pub fn of(f: &Function) -> Cfg {
        let order = reverse_postorder(f);
        let mut position = vec![None; f.blocks.len()];
        for (i, block) in order.iter().enumerate() {
            position[block.index()] = Some(i);
        }
        let mut preds = vec![Vec::new(); f.blocks.len()];
        for from in &order {
            for (position, target) in f.block(*from).term.targets().enumerate() {
                preds[target.block.index()].push(Edge { from: *from, position });
            }
        }
        let mut cfg = Cfg { order, position, preds, idom: Vec::new(), visits: Vec::new(), step: Vec::new() };
        cfg.idom = cfg.dominators(f.blocks.len());
        cfg.visits = cfg.dominator_visits();
        cfg.step = cfg.steps(f);
        cfg
    }

    /// The reachable blocks in reverse postorder: each after its dominators.
    pub fn order(&self) -> &[Block] {
        &self.order
    }

    /// Whether a block can be reached from the entry.
    pub fn is_reachable(&self, block: Block) -> bool {
        self.position[block.index()].is_some()
    }

    /// The edges into a block, from reachable blocks.
    pub fn preds(&self, block: Block) -> &[Edge] {
        &self.preds[block.index()]
    }

    /// The closest block that every path to `block` passes, other than it; none for the entry.
    pub fn idom(&self, block: Block) -> Option<Block> {
        (self.position[block.index()]? > 0).then(|| self.idom[block.index()])
    }

    /// Whether every path to `b` passes `a`. A block dominates itself.
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let (a, b) = (self.visits[a.index()], self.visits[b.index()]);
        a.0 <= b.0 && b.1 <= a.1
    }

    /// Whether an edge closes a loop whose header is its target.
    pub fn is_back_edge(&self, from: Block, to: Block) -> bool {
        self.dominates(to, from)
    }

    /// The step to which a block belongs, named by the block that begins it.
    ///
    /// A block begins a step when it is the entry, the target of a hop or emit, or when blocks of different steps go to it; any other
    /// block is of the step of its predecessors. Two facts follow. The last step's beginning on every path to a block is that of
    /// its step, so no hop lies between. And of a value defined in D and a block U which D dominates, a hop lies on some path from D's
    /// last turn to U exactly if their steps differ.
    pub fn step(&self, block: Block) -> Block {
        self.step[block.index()]
    }

    /// The blocks of the loop with this header, which comes first: all from which a back edge to it can be reached without passing it.
    pub fn loop_blocks(&self, header: Block) -> Vec<Block> {
        let mut inside = vec![false; self.position.len()];
        inside[header.index()] = true;
        let mut blocks = vec![header];
        let back = self.preds(header).iter().map(|edge| edge.from).filter(|from| self.is_back_edge(*from, header));
        let mut open: Vec<Block> = back.collect();
        while let Some(block) = open.pop() {
            if !std::mem::replace(&mut inside[block.index()], true) {
                blocks.push(block);
                open.extend(self.preds(block).iter().map(|edge| edge.from));
            }
        }
        blocks.sort_by_key(|block| self.position[block.index()]);
        blocks
    }

    fn dominators(&self, blocks: usize) -> Vec<Block> {
        let entry = Block(0);
        let mut idom: Vec<Option<Block>> = vec![None; blocks];
        idom[0] = Some(entry);
        let place = |b: Block| self.position[b.index()];
        let mut changed = true;
        while changed {
            changed = false;
            for block in self.order.iter().skip(1) {
                let mut new: Option<Block> = None;
                for edge in self.preds(*block) {
                    let Some(_) = idom[edge.from.index()] else { continue };
                    let Some(mut a) = new else {
                        new = Some(edge.from);
                        continue;
                    };
                    let mut b = edge.from;
                    while a != b {
                        let later = if place(a) > place(b) { &mut a } else { &mut b };
                        *later = idom[later.index()].expect("a block comes after its dominators");
                    }
                    new = Some(a);
                }
                changed |= new != idom[block.index()];
                idom[block.index()] = new;
            }
        }
        idom.into_iter().map(|block| block.unwrap_or(entry)).collect()
    }

    fn dominator_visits(&self) -> Vec<(u32, u32)> {
        let mut children = vec![Vec::new(); self.position.len()];
        for block in self.order.iter().skip(1) {
            children[self.idom[block.index()].index()].push(*block);
        }
        let mut visits = vec![(u32::MAX, 0); self.position.len()];
        let mut time = 0;
        let mut open = vec![(Block(0), false)];
        while let Some((block, done)) = open.pop() {
            time += 1;
            if done {
                visits[block.index()].1 = time;
                continue;
            }
            visits[block.index()].0 = time;
            open.push((block, true));
            open.extend(children[block.index()].iter().map(|child| (*child, false)));
        }
        visits
    }

    fn steps(&self, f: &Function) -> Vec<Block> {
        // Optimistic: a block that has no step yet does not count where paths meet. A block that begins a step stays one,
        // so the number of turns is at most that of the blocks.
        let mut step: Vec<Option<Block>> = vec![None; f.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for block in &self.order {
                if step[block.index()] == Some(*block) {
                    continue;
                }
                let mut of_preds = None;
                let mut begins = block.0 == 0;
                for edge in self.preds(*block) {
                    let suspends = f.block(edge.from).term.suspends();
                    let from = step[edge.from.index()];
                    begins |= suspends || (of_preds.is_some() && from.is_some() && from != of_preds);
                    of_preds = of_preds.or(from);
                }
                let new = if begins { Some(*block) } else { of_preds };
                changed |= new != step[block.index()];
                step[block.index()] = new;
            }
        }
        step.into_iter().enumerate().map(|(i, step)| step.unwrap_or(Block(i as u32))).collect()
    }
}

impl Terminator {
    /// Whether it ends a step: a hop or an emit.
    pub fn suspends(&self) -> bool {
        matches!(self, Terminator::Hop { .. } | Terminator::Emit { .. })
    }
}

fn reverse_postorder(f: &Function) -> Vec<Block> {
    let mut seen = vec![false; f.blocks.len()];
    let mut order = Vec::new();
    let mut open = vec![(Block(0), false)];
    while let Some((block, done)) = open.pop() {
        if done {
            order.push(block);
        } else if !std::mem::replace(&mut seen[block.index()], true) {
            open.push((block, true));
            let targets: Vec<Block> = f.block(block).term.targets().map(|target| target.block).collect();
            // The first target is to come first in the order, so it is finished last.
            open.extend(targets.into_iter().map(|target| (target, false)));
        }
    }
    order.reverse();
    order
}
