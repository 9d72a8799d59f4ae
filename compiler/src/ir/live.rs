//! Which slots are read later: what a hop must keep.

use super::graph::Graph;
use super::{Addr, Block, Function, Op, Region, Size, Slot, Terminator};

/// For each block the slots whose content at its start may still be read.
#[derive(Clone, Debug)]
pub struct LiveSlots {
    /// A bit for each slot, in as many words for each block.
    live: Vec<u64>,
    words: usize,
}

/// What a block does to the slots: those that it reads before it writes them as a whole, and the others that it writes so.
struct Effect {
    block: Block,
    reads: Vec<u64>,
    writes: Vec<u64>,
}

impl LiveSlots {
    /// Looks through a function. A slot is alive until it is read for the last time, or written as a whole.
    pub fn of(f: &Function, graph: &Graph) -> LiveSlots {
        let words = f.slots.len().div_ceil(64);
        let mut live = LiveSlots { live: vec![0; words * f.blocks.len()], words };
        if words == 0 {
            return live;
        }
        let effects: Vec<Effect> = graph.order.iter().rev().map(|b| effect(f, *b, words)).collect();
        let mut at_start = vec![0; words];
        let mut changed = true;
        while changed {
            changed = false;
            for Effect { block, reads, writes } in &effects {
                at_start.fill(0);
                for target in f.block(*block).term.targets() {
                    at_start.iter_mut().zip(live.of_block(target.block)).for_each(|(live, next)| *live |= next);
                }
                for (live, (reads, writes)) in at_start.iter_mut().zip(reads.iter().zip(writes)) {
                    *live = *live & !writes | reads;
                }
                let known = &mut live.live[block.index() * words..][..words];
                if known != at_start {
                    known.copy_from_slice(&at_start);
                    changed = true;
                }
            }
        }
        live
    }

    fn of_block(&self, block: Block) -> &[u64] {
        &self.live[block.index() * self.words..][..self.words]
    }

    /// The slots that are alive where a block starts.
    pub fn at_start(&self, block: Block) -> impl Iterator<Item = Slot> {
        let slots = (0..64 * self.words as u32).map(Slot);
        slots.filter(move |slot| is_in(self.of_block(block), *slot))
    }
}

fn effect(f: &Function, block: Block, words: usize) -> Effect {
    let mut effect = Effect { block, reads: vec![0; words], writes: vec![0; words] };
    for inst in &f.block(block).insts {
        if let Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Copy { from: addr, .. } = &inst.op
            && let Region::Slot(slot) = addr.region
            && !is_in(&effect.writes, slot)
        {
            effect.reads[slot.index() / 64] |= 1 << (slot.index() % 64);
        }
        if let Some(slot) = written_whole(f, &inst.op).filter(|slot| !is_in(&effect.reads, *slot)) {
            effect.writes[slot.index() / 64] |= 1 << (slot.index() % 64);
        }
    }
    effect
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
pub fn keep_live_slots(f: &mut Function) {
    let live = LiveSlots::of(f, &Graph::of(f));
    for block in &mut f.blocks {
        if let Terminator::Hop { next, keep, .. } | Terminator::Emit { next, keep } = &mut block.term {
            *keep = live.at_start(next.block).collect();
        }
    }
}
