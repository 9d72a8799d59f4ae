//! The control-flow graph as passes need it: order, predecessors, dominators.

use super::{Block, Function};
use crate::fx::FxHashSet;
use crate::rows::Rows;

/// Order, predecessors and dominators of the blocks that the entry reaches.
#[derive(Clone, Debug)]
pub struct Graph {
    /// Reverse postorder: a block comes before all that it dominates.
    pub order: Vec<Block>,
    /// For each block its edges in: predecessor and which of its targets.
    pub predecessors: Rows<(Block, usize)>,
    /// For each block its position in `order`; none if it is not reached.
    position: Vec<Option<u32>>,
    /// Immediate dominators, by block.
    idom: Vec<Option<Block>>,
    /// For each block that is reached the numbers, from 1, of the first and the last block below it in the tree of dominators, in preorder.
    below: Vec<(u32, u32)>,
}

impl Graph {
    /// Looks through a function whose targets are all in its table.
    pub fn of(f: &Function) -> Graph {
        let n = f.blocks.len();
        let order = reverse_postorder(f);
        let mut position = vec![None; n];
        for (i, b) in order.iter().enumerate() {
            position[b.index()] = Some(i as u32);
        }
        let edge =
            |from: Block| f.block(from).term.targets().enumerate().map(move |(i, to)| (to.block.index(), (from, i)));
        let predecessors = Rows::of(n, order.iter().flat_map(|b| edge(*b)));
        let mut graph = Graph { order, predecessors, position, idom: vec![None; n], below: vec![(0, 0); n] };
        graph.find_dominators();
        graph.number_tree();
        if !graph.is_reducible() {
            while graph.find_dominators() {}
            graph.number_tree();
        }
        graph
    }

    /// Whether all edges that go back go to what dominates their source. Then they change no dominators, and one round has found all.
    fn is_reducible(&self) -> bool {
        let is_entered_elsewhere = |b: &Block| {
            let mut back = self.predecessors[b.index()].iter().filter(|(from, _)| self.is_back(*from, *b));
            back.any(|(from, _)| !self.dominates(*b, *from))
        };
        !self.order.iter().any(is_entered_elsewhere)
    }

    /// Whether the entry reaches a block.
    pub fn is_reached(&self, b: Block) -> bool {
        self.position[b.index()].is_some()
    }

    /// The immediate dominator; none for the entry.
    pub fn idom(&self, b: Block) -> Option<Block> {
        self.idom[b.index()]
    }

    /// Whether every way to `b` leads through `a` (a block dominates itself).
    pub fn dominates(&self, a: Block, b: Block) -> bool {
        let ((first, last), (b_first, _)) = (self.below[a.index()], self.below[b.index()]);
        a == b || (first > 0 && first <= b_first && b_first <= last)
    }

    /// The blocks that are reached, in preorder of the tree of dominators: all that a block dominates comes right behind it.
    pub fn preorder(&self) -> Vec<Block> {
        let mut blocks = vec![Block(0); self.order.len()];
        self.order.iter().for_each(|b| blocks[self.below[b.index()].0 as usize - 1] = *b);
        blocks
    }

    /// The nearest block that dominates both.
    pub fn common(&self, a: Block, b: Block) -> Option<Block> {
        let mut at = Some(a);
        while let Some(x) = at.filter(|x| !self.dominates(*x, b)) {
            at = self.idom(x);
        }
        at
    }

    /// Whether an edge goes back: to a block that comes no later.
    pub fn is_back(&self, from: Block, to: Block) -> bool {
        self.position[to.index()] <= self.position[from.index()]
    }

    /// The blocks of a loop: what reaches an edge back to its header without passing it.
    pub fn members(&self, header: Block) -> FxHashSet<Block> {
        let mut inside = FxHashSet::from_iter([header]);
        let from = |b: Block| self.predecessors[b.index()].iter().map(|(from, _)| *from);
        let mut open: Vec<Block> = from(header).filter(|b| self.dominates(header, *b)).collect();
        while let Some(b) = open.pop() {
            if inside.insert(b) {
                open.extend(from(b));
            }
        }
        inside
    }

    /// One round of Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm" (2001), figure 3; whether it has changed any.
    fn find_dominators(&mut self) -> bool {
        let mut changed = false;
        for i in 1..self.order.len() {
            let b = self.order[i];
            let mut new: Option<Block> = None;
            for (p, _) in &self.predecessors[b.index()] {
                let known = *p == self.order[0] || self.idom[p.index()].is_some();
                if known {
                    new = Some(new.map_or(*p, |n| self.meet(n, *p)));
                }
            }
            changed |= self.idom[b.index()] != new;
            self.idom[b.index()] = new;
        }
        changed
    }

    /// A block comes after its dominators in the order, so sizes add up from behind, and places go out from the front.
    fn number_tree(&mut self) {
        let mut sizes = vec![1; self.idom.len()];
        for b in self.order.iter().rev() {
            if let Some(above) = self.idom[b.index()] {
                sizes[above.index()] += sizes[b.index()];
            }
        }
        // For each block the next number that is free below it.
        let mut free = vec![1; self.idom.len()];
        for b in &self.order {
            let size = sizes[b.index()];
            let first = match self.idom[b.index()] {
                Some(above) => {
                    free[above.index()] += size;
                    free[above.index()] - size
                }
                None => 1,
            };
            self.below[b.index()] = (first, first + size - 1);
            free[b.index()] = first + 1;
        }
    }

    fn meet(&self, mut a: Block, mut b: Block) -> Block {
        while a != b {
            while self.position[a.index()] > self.position[b.index()] {
                a = self.idom[a.index()].expect("all but the entry have a dominator");
            }
            while self.position[b.index()] > self.position[a.index()] {
                b = self.idom[b.index()].expect("all but the entry have a dominator");
            }
        }
        a
    }
}

/// The blocks that the entry reaches, each before all that it dominates.
pub fn reverse_postorder(f: &Function) -> Vec<Block> {
    let mut seen = vec![false; f.blocks.len()];
    let mut out = Vec::with_capacity(f.blocks.len());
    let mut stack = Vec::with_capacity(f.blocks.len());
    stack.push((Block(0), 0));
    seen[0] = true;
    while let Some((b, i)) = stack.pop() {
        match f.block(b).term.targets().nth(i).map(|t| t.block) {
            Some(t) => {
                stack.push((b, i + 1));
                if !seen[t.index()] {
                    seen[t.index()] = true;
                    stack.push((t, 0));
                }
            }
            None => out.push(b),
        }
    }
    out.reverse();
    out
}
