//! What is compiled, and how the generated function returns.

/// What is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Variant {
    /// Images in memory; hops and bytes are counted.
    Fast,
    /// The same for walks that wait for memory: see [`guess`](super::guess).
    Far,
    /// Any images; each hop is noted.
    Full,
    /// Images in memory; many walks at once, each of which stops where it would wait for memory.
    Batch,
    /// Any images; many walks at once, each of which stops at its hops, which the caller makes.
    Reads,
}

impl Variant {
    /// Whether the function runs lanes: walks that stop and go on.
    pub fn has_lanes(self) -> bool {
        matches!(self, Variant::Batch | Variant::Reads)
    }
}

/// How a walk of the generated function ends, packed into one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Done,
    /// The arguments contradict the function's claims about them; nothing was done.
    Arguments,
    /// A read failed; the host has the reason.
    Io,
    /// A fault, and whether [`found`](super::code::Context::found) and [`at`](super::code::Context::at) are set.
    Fault {
        fault: u32,
        found: bool,
        at: bool,
    },
}

impl Status {
    /// [`Status::Done`], encoded.
    pub const DONE: u64 = 0;
    /// [`Status::Arguments`], encoded.
    pub const ARGUMENTS: u64 = 1;

    pub fn encode(self) -> i64 {
        match self {
            Status::Done => Self::DONE as i64,
            Status::Arguments => Self::ARGUMENTS as i64,
            Status::Io => 2,
            Status::Fault { fault, found, at } => {
                3 | i64::from(found) << 2 | i64::from(at) << 3 | i64::from(fault) << 8
            }
        }
    }

    pub fn decode(word: u64) -> Self {
        match word & 3 {
            Self::DONE => Status::Done,
            Self::ARGUMENTS => Status::Arguments,
            2 => Status::Io,
            _ => Status::Fault { fault: (word >> 8) as u32, found: word & 4 != 0, at: word & 8 != 0 },
        }
    }
}
