//! Packs stack slots: those that are never in use together share one.
//!
//! The register allocator gives up looking for a free slot after a few tries, which suits stacks that can grow. The one here has 512
//! bytes. Colouring of the interference graph, in the order of first use.

use crate::bpf::regalloc::{Allocated, Event, Home};
use crate::bpf::vcode::{VBlock, VCode};

/// For each slot of the allocator the one that it gets, and how many there are.
pub fn pack(code: &VCode, homes: &Allocated<'_>) -> (Vec<u32>, u32) {
    let n = homes.stack_slots() as usize;
    let blocks: Vec<Vec<Access>> = (0..code.blocks.len()).map(|b| accesses(homes, VBlock(b as u32))).collect();
    let live = live_at_start(code, &blocks, n);
    let mut together = vec![Set::new(n); n];
    for (b, accesses) in blocks.iter().enumerate() {
        let mut alive = live_at_end(code, &live, b, n);
        for access in accesses.iter().rev() {
            match *access {
                Access::Read(slot) => alive.insert(slot),
                Access::Write(slot) => {
                    alive.remove(slot);
                    together[slot].add(&alive);
                }
            }
        }
    }
    colour(&together)
}

fn colour(together: &[Set]) -> (Vec<u32>, u32) {
    let mut colours: Vec<u32> = Vec::new();
    for slot in 0..together.len() {
        let meets = |other: usize| together[slot].contains(other) || together[other].contains(slot);
        let taken: Vec<u32> = (0..slot).filter(|other| meets(*other)).map(|other| colours[other]).collect();
        colours.push((0..).find(|c| !taken.contains(c)).expect("there are as many colours as numbers"));
    }
    let count = colours.iter().map(|c| c + 1).max().unwrap_or(0);
    (colours, count)
}

#[derive(Clone, Copy)]
enum Access {
    Read(usize),
    Write(usize),
}

/// The uses of slots in a block, in order.
fn accesses(homes: &Allocated<'_>, block: VBlock) -> Vec<Access> {
    let mut accesses = Vec::new();
    homes.for_each_event(block, |event| match event {
        Event::Move { from, to } => {
            if let Home::Stack(slot) = from {
                accesses.push(Access::Read(slot as usize));
            }
            if let Home::Stack(slot) = to {
                accesses.push(Access::Write(slot as usize));
            }
        }
        Event::Insn(_, homes) => {
            // What an instruction takes from a slot it only reports.
            for home in homes {
                if let Home::Stack(slot) = home {
                    accesses.push(Access::Read(*slot as usize));
                }
            }
        }
    });
    accesses
}

fn live_at_start(code: &VCode, blocks: &[Vec<Access>], n: usize) -> Vec<Set> {
    let mut live = vec![Set::new(n); blocks.len()];
    let mut changed = true;
    while changed {
        changed = false;
        for b in (0..blocks.len()).rev() {
            let mut alive = live_at_end(code, &live, b, n);
            for access in blocks[b].iter().rev() {
                match *access {
                    Access::Read(slot) => alive.insert(slot),
                    Access::Write(slot) => alive.remove(slot),
                }
            }
            changed |= alive != live[b];
            live[b] = alive;
        }
    }
    live
}

fn live_at_end(code: &VCode, live: &[Set], block: usize, n: usize) -> Set {
    let mut alive = Set::new(n);
    let end = code.blocks[block].insns.last();
    end.into_iter().flat_map(|(insn, _)| insn.targets()).for_each(|t| alive.add(&live[t.0 as usize]));
    alive
}

/// A set of slots.
#[derive(Clone, PartialEq, Eq)]
struct Set(Vec<u64>);

impl Set {
    fn new(n: usize) -> Set {
        Set(vec![0; n.div_ceil(64)])
    }
    fn insert(&mut self, i: usize) {
        self.0[i / 64] |= 1 << (i % 64);
    }
    fn remove(&mut self, i: usize) {
        self.0[i / 64] &= !(1 << (i % 64));
    }
    fn contains(&self, i: usize) -> bool {
        self.0[i / 64] >> (i % 64) & 1 != 0
    }
    fn add(&mut self, other: &Set) {
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
    }
}
