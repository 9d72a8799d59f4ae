//! Which slots are read later: what a hop must keep.

use super::graph::Graph;
use super::{Addr, Block, Function, Op, Region, Size, Slot, Terminator};
use std::ops::Range;

/// For each block the slots whose content at its start may still be read.
#[derive(Clone, Debug)]
pub struct LiveSlots {
    /// A bit for each slot, in as many words for each block.
    live: Vec<u64>,
    words: usize,
}

impl LiveSlots {
    /// Looks through a function. A slot is alive until it is read for the last time, or written as a whole.
    pub fn of(f: &Function, graph: &Graph) -> LiveSlots {
        let words = f.slots.len().div_ceil(64);
        let none = vec![0; words * f.blocks.len()];
        let mut live = LiveSlots { live: none.clone(), words };
        if words == 0 {
            return live;
        }
        // For each block those that it reads before it writes them as a whole, and the others that it writes so.
        let (mut reads, mut writes) = (none.clone(), none);
        for (block, _) in f.blocks() {
            let row = live.row(block);
            add_effect(f, block, &mut reads[row.clone()], &mut writes[row]);
        }
        let mut at_start = vec![0; words];
        let mut changed = true;
        while changed {
            changed = false;
            for block in graph.order.iter().rev() {
                at_start.fill(0);
                for target in f.block(*block).term.targets() {
                    at_start.iter_mut().zip(live.of_block(target.block)).for_each(|(live, next)| *live |= next);
                }
                let row = live.row(*block);
                for (live, (reads, writes)) in
                    at_start.iter_mut().zip(reads[row.clone()].iter().zip(&writes[row.clone()]))
                {
                    *live = *live & !writes | reads;
                }
                if live.live[row.clone()] != at_start {
                    live.live[row].copy_from_slice(&at_start);
                    changed = true;
                }
            }
        }
        live
    }

    /// Where a block's words are.
    fn row(&self, block: Block) -> Range<usize> {
        block.index() * self.words..(block.index() + 1) * self.words
    }

    fn of_block(&self, block: Block) -> &[u64] {
        &self.live[self.row(block)]
    }

    /// The slots that are alive where a block starts.
    pub fn at_start(&self, block: Block) -> impl Iterator<Item = Slot> {
        let words = self.of_block(block).iter().zip(0..);
        words.flat_map(|(word, i)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| Slot(64 * i + bit)))
    }
}

/// Adds to what a block reads and writes.
fn add_effect(f: &Function, block: Block, reads: &mut [u64], writes: &mut [u64]) {
    for inst in &f.block(block).insts {
        if let Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Copy { from: addr, .. } = &inst.op
            && let Region::Slot(slot) = addr.region
            && !is_in(writes, slot)
        {
            reads[slot.index() / 64] |= 1 << (slot.index() % 64);
        }
        if let Some(slot) = written_whole(f, &inst.op).filter(|slot| !is_in(reads, *slot)) {
            writes[slot.index() / 64] |= 1 << (slot.index() % 64);
        }
    }
}

fn is_in(set: &[u64], slot: Slot) -> bool {
    set[slot.index() / 64] >> (slot.index() % 64) & 1 == 1
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
pub fn keep_live_slots(f: &mut Function, graph: &Graph) {
    let live = LiveSlots::of(f, graph);
    for block in &mut f.blocks {
        if let Terminator::Hop { next, keep, .. } | Terminator::Emit { next, keep } = &mut block.term {
            *keep = live.at_start(next.block).collect();
        }
    }
}
