//! The contract between a step program and its harness: what lies where in the state area, and who writes it when.
//!
//! One walk has one *state area*, all 64-bit words in the host's order (little endian on every target that is supported):
//! the header words below, then the arguments, the frame, homes of values, the slots and the result. One run of the program is one step.
//!
//! 1. The harness zeroes the state, writes the arguments at [`StateLayout::args`], and runs the program: `step` is 0.
//! 2. The program returns its [`Status`], which also stands in the word `status`.
//! 3. On [`Status::Hop`] the harness reads `len` bytes at `offset` of `source` into the block area, from its start, and runs the
//!    program again. When they do not lie in the source the walk has ended in the fault that the word `fault` names.
//! 4. On [`Status::Emit`] it takes a row from [`StateLayout::out`] and runs the program again, with the block area untouched.
//! 5. On [`Status::Again`] it runs the program again, with nothing changed.
//! 6. On [`Status::Done`] the result is at [`StateLayout::out`]. On [`Status::Fault`] the words `fault`, `found`, `at` and
//!    `flags` say which and with what.
//!
//! A hook whose kernel makes the reads is told by its context: the next offset and length, or that the walk is done. The state area is then
//! the hook's scratch memory, and the word `status` says which of the other cases it is. [`Status::Emit`] and [`Status::Fault`] end the
//! kernel's part; after a row, user space starts again with the block at `offset`. [`Status::Again`] reads the same block again.
//!
//! Under a hook whose program makes the reads, one run is as many steps as it can make ([`pull`](super::entry), and for many walks at once
//! [`ring`](super::ring)). When it returns the word `status` says why; with [`Status::Hop`] user space makes that read, which the program could not
//! for the reason in the word `error`, or because it had had its time; then it runs the program again, or it ends the walk.
//!
//! The harness changes nothing else between runs; bytes of the block area past `len` may hold anything.

use super::cut::Cuts;
use crate::ir::{Block, Function, Terminator};

/// The header words of the state area, by their position.
pub mod word {
    /// Where to go on: 0 is the entry, `n + 1` the n-th of [`resume_points`](super::resume_points). Written by the program.
    pub const STEP: usize = 0;
    /// The [`Status`](super::Status) returned last.
    pub const STATUS: usize = 1;
    /// Byte offset of the next read.
    pub const OFFSET: usize = 2;
    /// Bytes to read next; after the hop, the bytes in the block area.
    pub const LEN: usize = 3;
    /// The source of the next read, a [`SourceId`](crate::ir::SourceId).
    pub const SOURCE: usize = 4;
    /// A [`FaultId`](crate::ir::FaultId): the fault, or with a hop the one for a read that does not lie in the source.
    pub const FAULT: usize = 5;
    /// The value found.
    pub const FOUND: usize = 6;
    /// The offset in the disk block.
    pub const AT: usize = 7;
    /// Which of `found` and `at` the fault reports: [`FOUND_VALID`](super::FOUND_VALID), [`AT_VALID`](super::AT_VALID).
    pub const FLAGS: usize = 8;
    /// Always zero. The program adds it to values of which the kernel's verifier shall know nothing.
    pub const ZERO: usize = 9;
    /// Under a hook that makes the reads: why the read asked for was not made, as a negative error number of 32 bits or more, or how many bytes it gave. User space makes it
    /// then, or ends the walk, and zeroes the word.
    pub const ERROR: usize = 10;
    /// Under a hook whose program finds its file in a mapping of the task: an address in it. Written by user space.
    pub const MAPPING: usize = 11;
    /// Under a hook whose program many tasks pass through: the only one that it serves, as `bpf_get_current_pid_tgid` counts them (process
    /// above, thread below). Written by user space.
    pub const OWNER: usize = 12;
    /// Under a hook that makes the reads: a time of CLOCK_MONOTONIC in nanoseconds after which none is made, [`TIMED_OUT`](super::TIMED_OUT) is
    /// then the word `error`; 0 for no end. Written by user space.
    pub const DEADLINE: usize = 13;
    /// The number of the varint that was read last. Written by the program, between a call and what follows it.
    pub const NUMBER: usize = 14;
    /// Words in the header; the rest of them is reserved and zero.
    pub const COUNT: usize = 16;
}

/// In `flags`: the word `found` counts.
pub const FOUND_VALID: u64 = 1;
/// In `flags`: the word `at` counts.
pub const AT_VALID: u64 = 2;

/// In the word `fault`: a test failed that the compiler has proved to hold. No walk of a right compiler reports it; its harness
/// says so and refuses.
pub const TRAP: u64 = u64::MAX;

/// In the word `fault`: the next read would not begin where the hook can read. The word `found` has its offset.
pub const MISALIGNED: u64 = u64::MAX - 1;

/// The command of an ioctl(2) that enters a program, "trav".
pub const IOCTL: i32 = 0x7472_6176;

/// In the word `error`: `ETIME`, the deadline is past.
pub const TIMED_OUT: i32 = -62;

/// What a run of the program returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u64)]
pub enum Status {
    /// It wants a block.
    Hop = 1,
    /// The walk is over.
    Done = 2,
    /// The walk ended in a fault.
    Fault = 3,
    /// A row is ready.
    Emit = 4,
    /// It wants to be run again at once, with all as it is: a long loop has made its share of turns.
    Again = 5,
}

impl Status {
    /// The status with this number.
    pub fn from_word(word: u64) -> Option<Status> {
        match word {
            1 => Some(Status::Hop),
            2 => Some(Status::Done),
            3 => Some(Status::Fault),
            4 => Some(Status::Emit),
            5 => Some(Status::Again),
            _ => None,
        }
    }
}

/// The section of the state areas, all zero when loaded.
pub const STATE_SECTION: &str = ".bss";
/// The section of the block area.
pub const BLOCK_SECTION: &str = ".data.block";
/// The variable in [`BLOCK_SECTION`], one for all programs of an object.
pub const BLOCK_SYMBOL: &str = "trav_block";
/// The section of the constant tables.
pub const CONST_SECTION: &str = ".rodata";

/// The variable that holds a traversal's state area.
pub fn state_symbol(traversal: &str) -> String {
    format!("{traversal}_state")
}

/// The member of a ring's structure of functions into which the loader puts the ring's descriptor.
pub const RING_MEMBER: &str = "ring_fd";

/// The variable of a traversal's structure of functions.
pub fn operations_symbol(traversal: &str) -> String {
    format!("{traversal}_ops")
}

/// The greatest number of bytes that a hop of this function asks for; 0 when it has none.
pub fn block_capacity(f: &Function) -> u64 {
    let lens = f.blocks.iter().filter_map(|b| match &b.term {
        Terminator::Hop { len, .. } => Some(f.value(*len).range.hi.clamp(0, u64::MAX.into()) as u64),
        Terminator::Jump(_)
        | Terminator::Branch { .. }
        | Terminator::Emit { .. }
        | Terminator::Return
        | Terminator::Fault(_) => None,
    });
    lens.max().unwrap_or(0)
}

/// The size of the block area for programs of this capacity: whole pages, so that it can be mapped, and never empty.
pub fn block_area_size(capacity: u64) -> u64 {
    capacity.clamp(1, u64::MAX - 4095).next_multiple_of(4096)
}

/// Where a walk can go on after it has been suspended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resume {
    /// After a hop: the first parameter is the word `len`, the others come from the frame.
    Hop(Block),
    /// After a row: all parameters come from the frame.
    Emit(Block),
    /// In a loop that was cut: all parameters of its header come from the frame.
    Turn(Block),
}

/// All resume points, without repetition; their steps count from 1.
pub fn resume_points(f: &Function, cuts: &Cuts) -> Vec<Resume> {
    let mut points: Vec<Resume> = cuts.headers().map(Resume::Turn).collect();
    for point in f.blocks.iter().filter_map(|b| resume_point(&b.term)) {
        if !points.contains(&point) {
            points.push(point);
        }
    }
    points
}

/// Where this terminator suspends to, if it does.
pub fn resume_point(term: &Terminator) -> Option<Resume> {
    match term {
        Terminator::Hop { next, .. } => Some(Resume::Hop(next.block)),
        Terminator::Emit { next, .. } => Some(Resume::Emit(next.block)),
        Terminator::Jump(_) | Terminator::Branch { .. } | Terminator::Return | Terminator::Fault(_) => None,
    }
}

/// Byte offsets in the state area; all are multiples of 8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateLayout {
    /// The arguments: leaf `i` lies at `args + leaf.offset`.
    pub args: u32,
    /// Bytes of the arguments.
    pub args_size: u32,
    /// The arguments of a hop or row, one word each.
    pub frame: u32,
    /// Words in the frame.
    pub frame_words: u32,
    /// The loops that are cut, and the values that live in memory for it.
    pub cuts: Cuts,
    /// Those values, one word each, in the order of [`Cuts::homes`].
    pub homes: u32,
    /// The slots, by [`Slot`](crate::ir::Slot).
    pub slots: Vec<u32>,
    /// The result or row, laid out by the function's result schema.
    pub out: u32,
    /// Bytes of the result.
    pub out_size: u32,
    /// All of it.
    pub size: u32,
}

impl StateLayout {
    /// The layout for a function; none when it would exceed 2 GiB.
    pub fn of(f: &Function) -> Option<StateLayout> {
        let args = (word::COUNT * 8) as u32;
        let args_size = f.args.last().map_or(0, |leaf| leaf.offset + leaf.kind.size());
        let frame = args.checked_add(args_size)?;
        let suspends = f.blocks.iter().filter(|b| resume_point(&b.term).is_some());
        let args_of = suspends.flat_map(|b| b.term.targets()).map(|t| t.args.len());
        let cuts = Cuts::of(f);
        let params_of = cuts.headers().map(|h| f.block(h).params.len());
        let frame_words = args_of.chain(params_of).max().unwrap_or(0) as u32;
        let homes = frame.checked_add(frame_words.checked_mul(8)?)?;
        let mut end = homes.checked_add(8 * cuts.homes().count() as u32)?;
        let mut slots = Vec::new();
        for slot in &f.slots {
            slots.push(end);
            end = end.checked_add(slot.size.checked_next_multiple_of(8)?)?;
        }
        let (out, out_size) = (end, f.out_size());
        let size = out.checked_add(out_size)?;
        let layout = StateLayout { args, args_size, frame, frame_words, cuts, homes, slots, out, out_size, size };
        (size <= i32::MAX as u32).then_some(layout)
    }
}
