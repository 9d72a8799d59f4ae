//! Loops that halve something until it is nothing: searches.

use super::defs::Defs;
use super::graph::Graph;
use super::{BinOp, Block, CmpOp, Function, Op, Range, Terminator, Ty};

/// What comes into a loop that ends when this parameter is zero, and halves it in each turn; none for any other loop.
pub fn halved(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Range> {
    let Terminator::Branch { cond, .. } = &f.block(header).term else { return None };
    let Some(Op::Compare { op: CmpOp::Lt, a, b: room }) = defs.op(f, *cond) else { return None };
    if f.value(*a).range.as_const() != Some(0) || f.value(*room).ty != Ty::U64 {
        return None;
    }
    let place = f.block(header).params.iter().position(|p| p == room)?;
    let mut start = Range::new(1, 0);
    for (from, edge) in &graph.predecessors[header.index()] {
        let target = f.block(*from).term.targets().nth(*edge)?;
        // Where a hop comes in, its first parameter has no argument.
        let arg = *target.args.get((place + target.args.len()).checked_sub(f.block(header).params.len())?)?;
        if graph.is_back(*from, header) {
            let is_half = matches!(defs.op(f, arg), Some(Op::Binary { op: BinOp::Shr, a, b, .. })
                if defs.root(f, *a) == *room && f.value(*b).range.as_const() == Some(1));
            if !is_half {
                return None;
            }
        } else {
            start = start.join(f.value(arg).range);
        }
    }
    Some(start)
}
