//! Where conditions are known: by branches and guards.

use super::defs::Defs;
use super::graph::Graph;
use super::{BinOp, Block, Function, Op, Terminator, Ty, Value};
use crate::fx::FxHashMap;

/// How many conditions one branch or guard may settle through `and`, `or` and negation.
const IMPLIED_MAX: usize = 64;

/// A condition and what follows from it: a conjunction that is true says that both parts are, a disjunction that is false that neither
/// is, a negation the contrary.
pub fn implied(f: &Function, defs: &Defs, cond: Value, sense: bool) -> Vec<(Value, bool)> {
    let mut open = vec![(cond, sense)];
    let mut all = Vec::new();
    while let Some((cond, sense)) = open.pop().filter(|_| all.len() < IMPLIED_MAX) {
        all.push((cond, sense));
        let Some(Op::Binary { op, a, b, .. }) = defs.op(f, cond) else { continue };
        let (a, b) = (*a, *b);
        match (op, f.value(a).range.as_const(), f.value(b).range.as_const()) {
            _ if f.value(cond).ty != Ty::Bool => {}
            (BinOp::And, ..) if sense => open.extend([(a, true), (b, true)]),
            (BinOp::Or, ..) if !sense => open.extend([(a, false), (b, false)]),
            (BinOp::Xor, _, Some(n)) => open.push((a, sense != (n == 1))),
            (BinOp::Xor, Some(n), _) => open.push((b, sense != (n == 1))),
            _ => {}
        }
    }
    all
}

/// What the edge to target number `i` says of a branch's condition; none if the edge says nothing.
pub fn on_edge(term: &Terminator, i: usize) -> Option<(Value, bool)> {
    match term {
        Terminator::Branch { cond, then, other } if then.block != other.block => Some((*cond, i == 0)),
        _ => None,
    }
}

/// From which place on each condition has which value: in front of the operation with that number in the block, and in all that the
/// block dominates.
#[derive(Clone, Debug, Default)]
pub struct Settled(FxHashMap<(Value, bool), Vec<(Block, usize)>>);

impl Settled {
    /// Looks through a function.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs) -> Settled {
        let mut settled = Settled::default();
        let mut add = |from: (Block, usize), (cond, sense): (Value, bool)| {
            for known in implied(f, defs, cond, sense) {
                settled.0.entry(known).or_default().push(from);
            }
        };
        for (block, data) in f.blocks() {
            for (i, inst) in data.insts.iter().enumerate() {
                if let Op::Guard { cond, .. } = inst.op {
                    add((block, i + 1), (cond, true));
                }
            }
            if let [(from, target)] = graph.predecessors[block.index()][..]
                && let Some(known) = on_edge(&f.block(from).term, target)
            {
                add((block, 0), known);
            }
        }
        settled
    }

    /// Whether the condition has this value in front of the operation at a place.
    pub fn holds(&self, graph: &Graph, (block, position): (Block, usize), cond: Value, sense: bool) -> bool {
        self.0.get(&(cond, sense)).is_some_and(|places| {
            places.iter().any(|&(at, from)| if at == block { from <= position } else { graph.dominates(at, block) })
        })
    }

    /// All conditions with their values, and from where on.
    pub fn iter(&self) -> impl Iterator<Item = (Value, bool, (Block, usize))> {
        self.0.iter().flat_map(|((cond, sense), places)| places.iter().map(|at| (*cond, *sense, *at)))
    }
}
