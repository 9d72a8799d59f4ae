//! The memory that a program which submits its reads to a ring shares with user space, and the contract between the two.
//!
//! The ring's memory region holds a header of 64-bit words, the state areas of calls (see [`abi`]), and
//! one block area for each walk in flight. User space lays out the calls of a batch in their state areas, writes [`word::COUNT`], zeroes
//! [`word::NEXT`] and [`word::STARTED`], and enters the ring. The program runs up to [`RingLayout::walks`] of them at a time, each in a walk of
//! its own; when one has ended, the next call takes its place. It returns to user space when none is left in flight.
//!
//! The ring is the program's alone: `user_data` of a completion names the walk that asked for it and its call.
//!
//! Entering again with nothing changed goes on: so user space does after a signal. A batch of one call is always run by walk 0, which finds its block area as it
//! was: so user space goes on with a call after a row or a read of its own.
//!
//! The program takes nothing here for granted: user space may change all of it at any time.

use super::abi::{self, StateLayout};
use super::profile::Ring;
use crate::ir::Function;

/// The header words of the region, by their position.
pub mod word {
    /// Calls in the batch. Written by user space.
    pub const COUNT: usize = 0;
    /// The next call to start.
    pub const NEXT: usize = 1;
    /// Walks that have been given a call in this batch.
    pub const STARTED: usize = 2;
    /// Walks that have a call; between runs each waits for a read.
    pub const ACTIVE: usize = 3;
    /// Entries filled and not submitted.
    pub const QUEUED: usize = 4;
    /// What the kernel said when it did not take all entries, as a negative number or a count. The ring is of no use then.
    pub const ERROR: usize = 5;
    /// The address of the block areas in user space. Written by user space.
    pub const BLOCKS: usize = 6;
    /// An address in a mapping of the file, for programs that look into the page cache. Written by user space.
    pub const MAPPING: usize = 7;
    /// As [`DEADLINE`](super::abi::word::DEADLINE), for all calls of the batch. Written by user space.
    pub const DEADLINE: usize = 8;
    /// Words in the header; the rest of them is reserved and zero.
    pub const COUNT_OF_WORDS: usize = 16;
}

/// What the program returns: the kernel sleeps until there are completions and calls again.
pub const CONTINUE: i32 = 0;
/// The program returns to user space.
pub const STOP: i32 = 1;

/// Byte offsets in the region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLayout {
    /// Walks in flight at most; the ring has as many submission entries, and twice as many for completions.
    pub walks: u32,
    /// Calls in a batch at most.
    pub calls: u32,
    /// The state areas.
    pub states: u32,
    /// From one to the next.
    pub state_stride: u32,
    /// Bytes of one.
    pub state_size: u32,
    /// The block areas, page aligned.
    pub blocks: u32,
    /// From one to the next.
    pub block_stride: u32,
    /// All of it, whole pages.
    pub size: u32,
}

/// A region is no larger: a variable offset must stay below 2^29 (include/linux/bpf_verifier.h).
const SIZE_MAX: u64 = 1 << 28;
const PAGE: u64 = 4096;
/// What block areas are aligned to, for direct I/O.
const BLOCK_ALIGN: u64 = 512;

impl RingLayout {
    /// The layout for a function; none when it does not fit, whatever the number of calls. There are fewer calls, and then fewer walks, than the profile
    /// says, when states or blocks are large.
    pub fn of(f: &Function, ring: &Ring) -> Option<RingLayout> {
        let state = StateLayout::of(f)?.size;
        // A block area is as large as the step thinks it is.
        let block = abi::block_capacity(f).clamp(1, SIZE_MAX).next_multiple_of(BLOCK_ALIGN);
        let mut walks = ring.walks.clamp(1, 4096).next_power_of_two();
        let mut calls = ring.calls.max(walks);
        loop {
            let layout = RingLayout::with(walks, calls, state, block);
            match layout {
                Some(layout) => return Some(layout),
                None if calls > walks => calls = walks.max(calls / 2),
                None if walks > 1 => (walks, calls) = (walks / 2, walks / 2),
                None => return None,
            }
        }
    }

    fn with(walks: u32, calls: u32, state_size: u32, block: u64) -> Option<RingLayout> {
        let states = 8 * word::COUNT_OF_WORDS as u64;
        let state_stride = u64::from(state_size).next_multiple_of(64);
        let blocks = (states + u64::from(calls) * state_stride).next_multiple_of(PAGE);
        let size = (blocks + u64::from(walks) * block).next_multiple_of(PAGE);
        (size <= SIZE_MAX).then_some(RingLayout {
            walks,
            calls,
            states: states as u32,
            state_stride: state_stride as u32,
            state_size,
            blocks: blocks as u32,
            block_stride: block as u32,
            size: size as u32,
        })
    }
}
