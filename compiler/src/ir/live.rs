//! Which slots are read later: what a hop must keep.

use super::graph::Graph;
use super::{Addr, Block, Function, Op, Region, Size, Slot, Terminator};

/// For each block the slots whose content at its start may still be read.
#[derive(Clone, Debug)]
pub struct LiveSlots(Vec<Vec<bool>>);

impl LiveSlots {
    /// Looks through a function. A slot is alive until it is read for the last time, or written as a whole.
    pub fn of(f: &Function, graph: &Graph) -> LiveSlots {
        let mut live = LiveSlots(vec![vec![false; f.slots.len()]; f.blocks.len()]);
        let mut changed = !f.slots.is_empty();
        while changed {
            changed = false;
            for block in graph.order.iter().rev() {
                let at_start = live.through(f, *block);
                changed |= at_start != live.0[block.index()];
                live.0[block.index()] = at_start;
            }
        }
        live
    }

    /// The slots that are alive where a block starts.
    pub fn at_start(&self, block: Block) -> impl Iterator<Item = Slot> {
        self.0[block.index()].iter().enumerate().filter(|(_, live)| **live).map(|(i, _)| Slot(i as u32))
    }

    /// What is alive at the start of a block, by what is alive at the start of its successors.
    fn through(&self, f: &Function, block: Block) -> Vec<bool> {
        let mut live = vec![false; f.slots.len()];
        for target in f.block(block).term.targets() {
            live.iter_mut().zip(&self.0[target.block.index()]).for_each(|(live, next)| *live |= next);
        }
        for inst in f.block(block).insts.iter().rev() {
            if let Some(slot) = written_whole(f, &inst.op) {
                live[slot.index()] = false;
            }
            if let Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Copy { from: addr, .. } = &inst.op
                && let Region::Slot(slot) = addr.region
            {
                live[slot.index()] = true;
            }
        }
        live
    }
}

/// The slot of which an operation writes every byte.
fn written_whole(f: &Function, op: &Op) -> Option<Slot> {
    let (to, bytes) = match op {
        Op::Store { addr, width, .. } => (addr, u32::from(*width)),
        Op::Copy { to, len: Size::Const(len), .. } => (to, *len),
        _ => return None,
    };
    match *to {
        Addr { region: Region::Slot(slot), base: None, index: None, disp: 0 } => {
            (bytes >= f.slots[slot.index()].size).then_some(slot)
        }
        _ => None,
    }
}

/// Makes each hop and emit keep exactly the slots that are read later.
pub fn keep_live_slots(f: &mut Function) {
    let live = LiveSlots::of(f, &Graph::of(f));
    for block in &mut f.blocks {
        if let Terminator::Hop { next, keep, .. } | Terminator::Emit { next, keep } = &mut block.term {
            *keep = live.at_start(next.block).collect();
        }
    }
}
