//! The memory that a program which submits its reads to a ring shares with user space, and the contract between the two.
//!
//! The ring's memory region is all that there is: a header of 64-bit words, io_uring's own rings and submission entries (`IORING_SETUP_NO_MMAP`, so that
//! the program reaches them without asking the kernel for more), the state areas of calls (see [`abi`]), and
//! one block area for each walk in flight. Offsets count from the [`RINGS`], before which the header stands.
//!
//! User space lays out the calls of a batch in the first state areas, says in [`word::NEXT`] and [`word::START`] where the program begins, and enters
//! the ring. The program takes the calls from the last to the first, up to [`RingLayout::walks`] of them at a time, each in a walk of its own; when
//! one has ended, the next call takes its place. It returns to user space when none is left in flight.
//!
//! The ring is the program's alone: `user_data` of a completion names the walk that asked for it, by the offsets of its block area and, above it, of its
//! call's state area.
//!
//! Entering again with nothing changed goes on: so user space does after a signal. A batch of one call is always run in the last block area, as
//! it was: so user space goes on with a call after a row or a read of its own.
//!
//! The program takes nothing here for granted: user space may change all of it at any time.

use super::abi::{self, StateLayout};
use super::profile::Ring;
use crate::ir::Function;

/// The header words of the region, by their position.
pub mod word {
    /// The next call to start, as the offset of its state area from the first; it goes down, and below 0 when all have been started. User
    /// space writes it for each batch.
    pub const NEXT: usize = 0;
    /// The block area of the next walk to begin; it goes up to the last one. User space writes it for each batch.
    pub const START: usize = 1;
    /// [`NOT_TAKEN`](super::NOT_TAKEN), when the kernel did not take all entries. The ring is of no use then.
    pub const ERROR: usize = 2;
    /// The address of the rings in user space. Written by user space.
    pub const ADDRESS: usize = 3;
    /// An address in a mapping of the file, for programs that look into the page cache. Written by user space.
    pub const MAPPING: usize = 4;
    /// As [`DEADLINE`](super::abi::word::DEADLINE), for all calls of the batch. Written by user space.
    pub const DEADLINE: usize = 5;
    /// Words in the header; the rest of them is reserved and zero.
    pub const COUNT_OF_WORDS: usize = 16;
}

/// Where the rings begin in the region; offsets count from here.
pub const RINGS: u32 = PAGE as u32;

/// The offset of a header word.
pub const fn header(position: usize) -> i16 {
    -8 * (word::COUNT_OF_WORDS - position) as i16
}

/// `EAGAIN`.
pub const NOT_TAKEN: i32 = -11;

/// What the program returns: the kernel sleeps until there are completions and calls again.
pub const CONTINUE: i32 = 0;
/// The program returns to user space.
pub const STOP: i32 = 1;

/// Offsets from the [`RINGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RingLayout {
    /// Walks in flight at most; the ring has as many submission entries, and twice as many for completions.
    pub walks: u32,
    /// Calls in a batch at most.
    pub calls: u32,
    /// The submission entries, page aligned.
    pub entries: u32,
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
    /// Bytes of the region, whole pages.
    pub size: u32,
}

/// A region is no larger: a variable offset must stay below 2^29 (include/linux/bpf_verifier.h).
const SIZE_MAX: u64 = 1 << 28;
const PAGE: u64 = 4096;
/// What block areas are aligned to, for direct I/O.
const BLOCK_ALIGN: u64 = 512;
/// Above what `struct io_rings` has before the completions, on any kernel.
const RINGS_HEAD: u64 = 256;
/// Bytes of a completion, and of a submission entry.
const CQE: u64 = 16;
const SQE: u64 = 64;

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
        let entries = (RINGS_HEAD + 2 * u64::from(walks) * CQE).next_multiple_of(PAGE);
        let states = (entries + u64::from(walks) * SQE).next_multiple_of(PAGE);
        let state_stride = u64::from(state_size).next_multiple_of(64);
        let blocks = (states + u64::from(calls) * state_stride).next_multiple_of(PAGE);
        let size = u64::from(RINGS) + (blocks + u64::from(walks) * block).next_multiple_of(PAGE);
        (size <= SIZE_MAX).then_some(RingLayout {
            walks,
            calls,
            entries: entries as u32,
            states: states as u32,
            state_stride: state_stride as u32,
            state_size,
            blocks: blocks as u32,
            block_stride: block as u32,
            size: size as u32,
        })
    }

    /// The last state area.
    pub fn last_state(&self) -> u32 {
        self.states + (self.calls - 1) * self.state_stride
    }

    /// The block area of the last walk.
    pub fn last_block(&self) -> u32 {
        self.blocks + (self.walks - 1) * self.block_stride
    }
}
