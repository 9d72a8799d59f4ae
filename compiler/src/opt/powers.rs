//! A search of `2^k - 1` elements counts what is left of them from `2^k` down: each half then is a shift, and the next room too.
//!
//! Lowering looks at the last of the first `(room + 1) / 2` elements and goes on with `room / 2`. Of `room + 1` in place of `room` both are
//! one number while it is a power of two. Three instructions of a round's 21 in walk A, whose nodes have 31 keys.

use super::number;
use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::halving::Halving;
use crate::ir::{BinOp, Block, Function, Inst, Mode, Op, Range, Ty, Value};
use crate::prove::cleanup::targets_mut;
use std::collections::HashMap;

/// The most elements of such a search.
const ELEMENTS_MAX: i128 = 1 << 32;

/// Does so in all searches where it can be done.
pub fn shift(f: &mut Function) {
    if f.blocks.iter().all(|b| b.header.is_none()) {
        return;
    }
    let graph = Graph::of(f);
    let mut defs = Defs::of(f);
    for header in &graph.order {
        let search = f.block(*header).header.and_then(|_| Search::of(f, &graph, &defs, *header));
        if let Some(search) = search {
            search.shift(f, &graph);
            defs = Defs::of(f);
        }
    }
}

/// A search of a known number of elements, one less than a power of two.
struct Search {
    header: Block,
    halving: Halving,
    elements: i128,
    /// Sums of what is left and one, with what is left.
    sums: HashMap<Value, Value>,
}

impl Search {
    fn of(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Search> {
        let halving = Halving::of(f, graph, defs, header).filter(|h| h.floor == 0)?;
        let elements = halving.start.as_const().filter(|n| (1..ELEMENTS_MAX).contains(n))?;
        if (elements + 1) & elements != 0 {
            return None;
        }
        let is_room = |v: Value| defs.root(f, v) == halving.room;
        let one = |v: Value| f.value(v).range.as_const() == Some(1);
        let mut sums = HashMap::new();
        let mut halves = Vec::new();
        for (b, data) in f.blocks().filter(|(b, _)| graph.is_reached(*b)) {
            for inst in &data.insts {
                match (&inst.op, inst.result) {
                    (Op::Refine { .. }, _) => {}
                    (Op::Compare { a, b: room, .. }, _) if is_room(*room) && !is_room(*a) => {
                        // The loop's own test, which the header ends with.
                        let own = matches!(&f.block(header).term, crate::ir::Terminator::Branch { cond, .. } if Some(*cond) == inst.result);
                        if !own || b != header {
                            return None;
                        }
                    }
                    (Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Wrap, a, b }, Some(v))
                        if is_room(*a) && one(*b) =>
                    {
                        sums.insert(v, *a);
                    }
                    (Op::Binary { op: BinOp::Shr, a, b, .. }, Some(v)) if is_room(*a) && one(*b) => halves.push(v),
                    (op, _) => {
                        let mut other = false;
                        op.for_each_use(|v| other |= is_room(v));
                        if other {
                            return None;
                        }
                    }
                }
            }
        }
        // What the sums are used for, and where the halves and what is left go.
        for (b, data) in f.blocks().filter(|(b, _)| graph.is_reached(*b)) {
            let mut others = false;
            for inst in &data.insts {
                let is_half =
                    matches!(&inst.op, Op::Binary { op: BinOp::Shr, a, b, .. } if sums.contains_key(a) && one(*b));
                inst.op.for_each_use(|v| others |= halves.contains(&v) || sums.contains_key(&v) && !is_half);
            }
            let back = graph.is_back(b, header);
            for t in data.term.targets() {
                for (i, v) in t.args.iter().enumerate() {
                    let next = t.block == header && i == halving.place && back && halves.contains(v);
                    others |= !next && (is_room(*v) || halves.contains(v) || sums.contains_key(v));
                }
            }
            if others {
                return None;
            }
        }
        Some(Search { header, halving, elements, sums })
    }

    fn shift(&self, f: &mut Function, graph: &Graph) {
        let span = f.value(self.halving.room).span;
        for &(from, edge) in &graph.predecessors[self.header.index()] {
            if graph.is_back(from, self.header) {
                continue;
            }
            let start = number(f, Ty::U64, self.elements + 1, span);
            let v = start.result.expect("a number is a value");
            let block = &mut f.blocks[from.index()];
            block.insts.push(start);
            let target = targets_mut(&mut block.term).nth(edge).expect("the edge was found there");
            target.args[self.halving.place] = v;
        }
        let floor = number(f, Ty::U64, 1, span);
        let one = floor.result.expect("a number is a value");
        f.values[self.halving.room.index()].range = Range::new(1, self.elements + 1);
        let room = self.halving.room;
        let insts = &mut f.blocks[self.header.index()].insts;
        if let Some(at) = insts.iter().position(|i| matches!(&i.op, Op::Compare { b, .. } if *b == room)) {
            if let Op::Compare { a, .. } = &mut insts[at].op {
                *a = one;
            }
            insts.insert(at, floor);
        }
        for inst in f.blocks.iter_mut().flat_map(|b| &mut b.insts) {
            inst.op.map_uses(|v| self.sums.get(&v).copied().unwrap_or(v));
        }
        self.claim(f, graph);
    }

    /// What follows for what is computed from the room.
    fn claim(&self, f: &mut Function, graph: &Graph) {
        let defs = Defs::of(f);
        for b in &graph.order {
            for i in 0..f.block(*b).insts.len() {
                let inst: &Inst = &f.block(*b).insts[i];
                let Some(v) = inst.result else { continue };
                let of_room = match &inst.op {
                    Op::Refine { a, .. } => defs.root(f, *a) == self.halving.room,
                    Op::Binary { op: BinOp::Shr, a, .. } => defs.root(f, *a) == self.halving.room,
                    _ => false,
                };
                if of_room {
                    f.values[v.index()].range = range::of(f, &defs, &inst.op, f.value(v).ty);
                }
            }
        }
    }
}
