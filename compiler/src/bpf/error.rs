//! What a target cannot take.

use std::fmt;

/// A limit of the target which a verified function exceeds. The function is right; another target, or a smaller block, may take it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BpfError {
    /// More values are alive at once than registers and the stack hold.
    Stack {
        /// Bytes needed.
        needed: u32,
        /// Bytes there are.
        limit: u32,
    },
    /// The program has too many instructions.
    TooLong {
        /// How many.
        insns: u64,
    },
    /// A jump does not reach its target.
    JumpTooFar,
    /// Arguments, frame, slots and result together are too large.
    StateTooLarge,
    /// A hop asks for more bytes than the hook reads at once.
    ReadTooLarge {
        /// Bytes asked for.
        needed: u64,
        /// Bytes that the hook reads.
        limit: u64,
    },
    /// A read never begins where the hook can read.
    Misaligned {
        /// What the read says when it fails: the expression.
        read: String,
        /// Bytes behind a multiple of `align`.
        behind: u64,
        /// What the hook's offsets are multiples of.
        align: u64,
    },
    /// The walk reads from more sources than the hook reaches.
    TooManySources {
        /// Its sources.
        needed: u32,
        /// The hook's.
        limit: u32,
    },
    /// The state area does not fit the hook's scratch memory.
    Scratch {
        /// Bytes needed.
        needed: u32,
        /// Bytes there are.
        limit: u32,
    },
    /// Two programs of one object have the same name.
    SameName(String),
    /// The profile describes something that is not emitted.
    NotEmitted(String),
    /// The ELF writer refused.
    Elf(String),
}

impl fmt::Display for BpfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BpfError::Stack { needed, limit } => {
                write!(f, "frame larger than the BPF stack: {needed} bytes are needed, there are {limit}")
            }
            BpfError::TooLong { insns } => write!(f, "the program would have {insns} instructions or more"),
            BpfError::JumpTooFar => write!(f, "a jump would be farther than 32767 instructions"),
            BpfError::StateTooLarge => write!(f, "arguments, slots and result together are larger than 2 GiB"),
            BpfError::ReadTooLarge { needed, limit } => {
                write!(f, "a read asks for up to {needed} bytes, and the hook reads at most {limit} at once")
            }
            BpfError::Misaligned { read, behind, align } => {
                let bytes = if *behind == 1 { "byte" } else { "bytes" };
                write!(
                    f,
                    "{read} begins {behind} {bytes} behind a multiple of {align}, and the hook reads at multiples of {align} only"
                )
            }
            BpfError::TooManySources { needed, limit } => {
                write!(f, "the walk reads from {needed} sources, and the hook reaches {limit}")
            }
            BpfError::Scratch { needed, limit } => {
                write!(
                    f,
                    "arguments, frame, slots and result take {needed} bytes, and the hook's scratch memory has {limit}"
                )
            }
            BpfError::SameName(name) => write!(f, "two traversals of one object are called `{name}`"),
            BpfError::NotEmitted(what) => write!(f, "not emitted yet by this version: {what}"),
            BpfError::Elf(what) => write!(f, "the object cannot be written: {what}"),
        }
    }
}

impl std::error::Error for BpfError {}
