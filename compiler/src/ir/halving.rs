//! Loops that halve something until little or nothing is left of it: searches.

use super::defs::Defs;
use super::graph::Graph;
use super::{BinOp, Block, CmpOp, Function, Op, Range, Terminator, Ty, Value};

/// A loop that goes on while a parameter is above a number, and halves it in each turn.
#[derive(Clone, Copy, Debug)]
pub struct Halving {
    /// The parameter.
    pub room: Value,
    /// Its position among the header's parameters.
    pub place: usize,
    /// What comes into the loop in it.
    pub start: Range,
    /// What it must be above: 0 or 1.
    pub floor: u32,
}

impl Halving {
    /// What a loop halves; none if it is no such loop.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Halving> {
        let Terminator::Branch { cond, .. } = &f.block(header).term else { return None };
        let Some(Op::Compare { op: CmpOp::Lt, a, b: room }) = defs.op(f, *cond) else { return None };
        let floor = f.value(*a).range.as_const().and_then(|n| u32::try_from(n).ok()).filter(|n| *n <= 1)?;
        if f.value(*room).ty != Ty::U64 {
            return None;
        }
        let place = f.block(header).params.iter().position(|p| p == room)?;
        let mut start = Range::new(1, 0);
        for (from, edge) in &graph.predecessors[header.index()] {
            let target = f.block(*from).term.targets().nth(*edge)?;
            // Where a hop comes in, its first parameter has no argument.
            let arg = *target.args.get((place + target.args.len()).checked_sub(f.block(header).params.len())?)?;
            if graph.is_back(*from, header) {
                if !is_half(f, defs, arg, *room) {
                    return None;
                }
            } else {
                start = start.join(f.value(arg).range);
            }
        }
        Some(Halving { room: *room, place, start, floor })
    }

    /// How many turns it makes at most.
    pub fn turns(&self) -> Option<u64> {
        let most = u64::try_from(self.start.hi).ok()?;
        Some(u64::from(64 - most.leading_zeros()).saturating_sub(self.floor.into()))
    }

    /// Whether what it starts with is a number.
    pub fn is_seen(&self) -> bool {
        self.start.as_const().is_some()
    }

    /// How many turns it makes, if that is known.
    pub fn known_turns(&self) -> Option<u64> {
        self.start.as_const().and(self.turns())
    }
}

/// Whether a value is half of another, rounded down.
pub fn is_half(f: &Function, defs: &Defs, half: Value, of: Value) -> bool {
    matches!(defs.op(f, half), Some(Op::Binary { op: BinOp::Shr, a, b, .. })
        if defs.root(f, *a) == of && f.value(*b).range.as_const() == Some(1))
}
