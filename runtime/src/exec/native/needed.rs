//! Values that the code needs: the others are not made, and no loop carries them.
//!
//! Above all the counters of searches. A loop that halves its room ends when nothing is left; that it makes no more turns than its bound the verifier has to
//! be told by a counter, the machine has not.

use std::collections::HashSet;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::halving::Halving;
use trav_compiler::ir::needed::{has_effect, needed};
use trav_compiler::ir::{Block, CmpOp, Function, Inst, Op, Terminator, Value};

/// What is needed of one function.
pub(super) struct Needed {
    values: Vec<bool>,
    /// Conditions of branches that always hold there.
    holding: HashSet<Value>,
}

impl Needed {
    /// Finds it. What `also` has is needed, too.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs, also: impl Iterator<Item = Value>) -> Needed {
        let headers = graph.order.iter().filter(|block| f.block(**block).header.is_some());
        let holding: HashSet<Value> = headers.filter_map(|header| counter_test(f, graph, defs, *header)).collect();
        let values = needed(f, (graph, defs), |cond| holding.contains(&cond), |_| false, also);
        Needed { values, holding }
    }

    /// Whether an operation is done.
    pub fn is_done(&self, f: &Function, inst: &Inst) -> bool {
        has_effect(f, inst) || inst.result.is_some_and(|v| self.is(v))
    }

    /// Whether a value is needed.
    pub fn is(&self, v: Value) -> bool {
        self.values[v.index()]
    }

    /// Whether a parameter is passed to its block: not if the claim leaves only one word, and not if nothing needs it.
    pub fn is_carried(&self, f: &Function, v: Value) -> bool {
        f.value(v).range.as_const().is_none() && self.is(v)
    }

    /// Whether the condition of a branch always holds there.
    pub fn holds(&self, cond: Value) -> bool {
        self.holding.contains(&cond)
    }
}

/// The test of a counter that only a turn with something left to halve comes to, and that such a turn passes.
fn counter_test(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Value> {
    let counter = f.block(header).header?.counter;
    let turns = Halving::of(f, graph, defs, header)?.turns()?;
    let Terminator::Branch { then, other, .. } = &f.block(header).term else { return None };
    let turn = then.block;
    if turn == other.block || graph.predecessors[turn.index()].len() != 1 {
        return None;
    }
    graph.order.iter().filter(|block| graph.dominates(turn, **block)).find_map(|block| {
        let Terminator::Branch { cond, .. } = &f.block(*block).term else { return None };
        match defs.op(f, *cond)? {
            Op::Compare { op: CmpOp::Lt, a, b } if defs.root(f, *a) == counter => {
                f.value(*b).range.as_const().is_some_and(|most| most >= turns.into()).then_some(*cond)
            }
            _ => None,
        }
    })
}
