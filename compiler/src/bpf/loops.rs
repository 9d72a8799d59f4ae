//! The loops that one run of a program goes around in. A loop that a hop or a row interrupts on each way back is none.

use crate::ir::graph::Graph;
use crate::ir::{Block, Function, Terminator};

/// A loop.
#[derive(Clone, Debug)]
pub struct Loop {
    /// Its header.
    pub header: Block,
    /// The blocks from which its ways back come.
    pub backs: Vec<Block>,
    /// Whether a run may begin inside it, or come in by another way than the header: after a hop that not every turn makes.
    pub entered: bool,
    /// For each block whether it belongs to the loop.
    blocks: Vec<bool>,
}

impl Loop {
    /// Whether a block belongs to the loop.
    pub fn contains(&self, b: Block) -> bool {
        self.blocks[b.index()]
    }

    /// The loop of this header, if it is one.
    fn at(f: &Function, graph: &Graph, header: Block) -> Option<Loop> {
        let mut reached = vec![false; f.blocks.len()];
        let mut work = vec![header];
        while let Some(b) = work.pop() {
            if !std::mem::replace(&mut reached[b.index()], true) {
                work.extend(targets(&f.block(b).term));
            }
        }
        let before = |b: Block| {
            let edges = graph.predecessors[b.index()].iter().map(|(p, _)| *p);
            edges.filter(|p| reached[p.index()] && targets(&f.block(*p).term).any(|t| t == b)).collect::<Vec<_>>()
        };
        let mut backs = before(header);
        backs.retain(|p| graph.is_back(*p, header));
        if backs.is_empty() {
            return None;
        }
        let mut blocks = vec![false; f.blocks.len()];
        blocks[header.index()] = true;
        let mut work = backs.clone();
        while let Some(b) = work.pop() {
            if !std::mem::replace(&mut blocks[b.index()], true) {
                work.extend(before(b));
            }
        }
        let inside = |b: Block, from: Block| blocks[from.index()] && targets(&f.block(from).term).any(|t| t == b);
        let within = f.blocks().map(|(b, _)| b).filter(|b| blocks[b.index()] && *b != header);
        let entered =
            within.into_iter().any(|b| graph.predecessors[b.index()].iter().any(|(from, _)| !inside(b, *from)));
        Some(Loop { header, backs, entered, blocks })
    }
}

/// All loops, inner ones before those around them.
pub fn loops(f: &Function, graph: &Graph) -> Vec<Loop> {
    let headers = f.blocks().filter(|(b, data)| data.header.is_some() && graph.is_reached(*b));
    let mut loops: Vec<Loop> = headers.filter_map(|(h, _)| Loop::at(f, graph, h)).collect();
    loops.sort_by_key(|l| l.blocks.iter().filter(|b| **b).count());
    loops
}

/// The targets that one run of the program reaches.
pub fn targets(term: &Terminator) -> impl Iterator<Item = Block> {
    let suspends = matches!(term, Terminator::Hop { .. } | Terminator::Emit { .. });
    term.targets().map(|t| t.block).filter(move |_| !suspends)
}
