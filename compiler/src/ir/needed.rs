//! Values that code made of a function needs: the others are not made, and no loop carries them.

use super::defs::{Def, Defs};
use super::graph::Graph;
use super::{Function, Inst, Mode, Op, Terminator, Value};

/// For each value whether it is needed by an effect, by the end of a block, or by what `also` has. A branch whose condition `holds` asks for
/// nothing. What `is_known` needs no operands, and is itself not among them.
pub fn needed(
    f: &Function,
    (graph, defs): (&Graph, &Defs),
    holds: impl Fn(Value) -> bool,
    is_known: impl Fn(Value) -> bool,
    also: impl IntoIterator<Item = Value>,
) -> Vec<bool> {
    let mut work: Vec<Value> = also.into_iter().collect();
    for &block in &graph.order {
        for inst in f.block(block).insts.iter().filter(|inst| has_effect(f, inst)) {
            inst.op.for_each_use(|v| work.push(v));
        }
        match &f.block(block).term {
            Terminator::Branch { cond, .. } if holds(*cond) => {}
            Terminator::Branch { cond, .. } => work.push(*cond),
            Terminator::Hop { offset, len, .. } => work.extend([*offset, *len]),
            Terminator::Fault(fault) => work.extend(fault.found.into_iter().chain(fault.at)),
            Terminator::Jump(_) | Terminator::Emit { .. } | Terminator::Return => {}
        }
    }
    let mut needed = vec![false; f.values.len()];
    while let Some(v) = work.pop() {
        if is_known(v) || std::mem::replace(&mut needed[v.index()], true) {
            continue;
        }
        match defs.get(v) {
            Some(Def::Inst(block, i)) => match &f.block(block).insts[i] {
                // What only says more of a value is the value by another name.
                Inst { op: Op::Refine { a, .. }, .. } => work.push(*a),
                Inst { op: Op::Check { a, .. }, .. } if f.is_shown(v) => work.push(*a),
                // It is right behind its varint, which is read for its effect.
                Inst { op: Op::Decoded(_), .. } => {}
                inst if has_effect(f, inst) => {}
                inst => inst.op.for_each_use(|v| work.push(v)),
            },
            Some(Def::Param(block, i)) => {
                for (from, edge) in &graph.predecessors[block.index()] {
                    let target = f.block(*from).term.targets().nth(*edge);
                    let args = &target.expect("an edge is one of its block's ways").args;
                    // The first parameter behind a hop is the block's length, for which nothing is passed.
                    let own = f.block(block).params.len() - args.len();
                    work.extend(i.checked_sub(own).map(|i| args[i]));
                }
            }
            None => {}
        }
    }
    needed
}

/// Whether an operation does more than make its result. A check that is known to hold does not.
pub fn has_effect(f: &Function, inst: &Inst) -> bool {
    match inst.op {
        Op::Binary { mode, .. } => matches!(mode, Mode::Checked(_)),
        Op::Check { .. } => !inst.result.is_some_and(|v| f.is_shown(v)),
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
        | Op::Decoded(_)
        | Op::Load { .. } => false,
    }
}
