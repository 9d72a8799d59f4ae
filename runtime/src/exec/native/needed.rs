//! Values that the code needs: the others are not made, and no loop carries them.
//!
//! Above all the counters of searches. A loop that halves its room ends when nothing is left; that it makes no more turns than its bound the verifier has to
//! be told by a counter, the machine has not.

use std::collections::HashSet;
use trav_compiler::ir::defs::{Def, Defs};
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::halving::Halving;
use trav_compiler::ir::{Block, CmpOp, Function, Mode, Op, Terminator, Value};

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
        let holding = headers.filter_map(|header| counter_test(f, graph, defs, *header)).collect();
        let mut needed = Needed { values: vec![false; f.values.len()], holding };
        let mut work: Vec<Value> = also.collect();
        for &block in &graph.order {
            let data = f.block(block);
            for inst in data.insts.iter().filter(|inst| inst.result.is_none() || acts(f, &inst.op, inst.result)) {
                work.extend(inst.result);
                for_each_operand(f, &inst.op, inst.result, &mut |v| work.push(v));
            }
            match &data.term {
                Terminator::Branch { cond, .. } if needed.holds(*cond) => {}
                Terminator::Branch { cond, .. } => work.push(*cond),
                Terminator::Hop { offset, len, .. } => work.extend([*offset, *len]),
                Terminator::Fault(fault) => work.extend(fault.found.into_iter().chain(fault.at)),
                Terminator::Jump(_) | Terminator::Emit { .. } | Terminator::Return => {}
            }
        }
        while let Some(v) = work.pop() {
            if std::mem::replace(&mut needed.values[v.index()], true) {
                continue;
            }
            match defs.get(v) {
                Some(Def::Inst(block, i)) => {
                    for_each_operand(f, &f.block(block).insts[i].op, Some(v), &mut |v| work.push(v));
                }
                Some(Def::Param(block, i)) => {
                    for (from, edge) in &graph.predecessors[block.index()] {
                        let target = f.block(*from).term.targets().nth(*edge);
                        let args = &target.expect("an edge is one of its block's ways").args;
                        // The first parameter behind a hop is the block's length.
                        let own = f.block(block).params.len() - args.len();
                        work.extend(i.checked_sub(own).map(|i| args[i]));
                    }
                }
                None => {}
            }
        }
        needed
    }

    /// Whether a value is made.
    pub fn is(&self, v: Value) -> bool {
        self.values[v.index()]
    }

    /// Whether the condition of a branch always holds there.
    pub fn holds(&self, cond: Value) -> bool {
        self.holding.contains(&cond)
    }
}

/// Whether an operation does more than make its result.
fn acts(f: &Function, op: &Op, result: Option<Value>) -> bool {
    match op {
        Op::Binary { mode, .. } => matches!(mode, Mode::Checked(_)),
        Op::Check { .. } => !result.is_some_and(|v| f.is_shown(v)),
        Op::Varint { .. } | Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. } => true,
        Op::Const(_)
        | Op::Arg(_)
        | Op::ArgLen(_)
        | Op::Compare { .. }
        | Op::Select { .. }
        | Op::Cast(_)
        | Op::Reinterpret(_)
        | Op::Extend { .. }
        | Op::Refine { .. }
        | Op::Load { .. }
        | Op::Decoded(_) => false,
    }
}

/// What the code of an operation uses; of what only says more of a value the value alone.
fn for_each_operand(f: &Function, op: &Op, result: Option<Value>, each: &mut dyn FnMut(Value)) {
    match op {
        Op::Refine { a, .. } => each(*a),
        Op::Check { a, .. } if result.is_some_and(|v| f.is_shown(v)) => each(*a),
        op => op.for_each_use(each),
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
