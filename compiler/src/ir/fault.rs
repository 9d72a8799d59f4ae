//! Faults: how a walk may end without a result; and obligations, which are shown before it runs.

use super::*;

/// A place in the function's fault table together with what is reported at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FaultRef {
    /// The entry.
    pub fault: FaultId,
    /// The value that was found, for the `{}` in the entry's message.
    pub found: Option<Value>,
    /// The offset in the disk block to which the fault belongs.
    pub at: Option<Value>,
}

/// The kinds of fault that a walk can end in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FaultKind {
    /// The bytes contradict the spec.
    Corrupt,
    /// A loop's bound was spent.
    Limit,
    /// An arithmetic result does not fit.
    Overflow,
    /// A read that does not lie on the device.
    OutOfDevice,
    /// The spec said `fail`.
    Fail,
}

impl FaultKind {
    /// The name in results and messages: `corrupt`, `limit`, `overflow`, `out of device`, `fail`.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::Corrupt => "corrupt",
            FaultKind::Limit => "limit",
            FaultKind::Overflow => "overflow",
            FaultKind::OutOfDevice => "out of device",
            FaultKind::Fail => "fail",
        }
    }
}

/// How the `{}` of a fault's message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FoundAs {
    /// Unsigned decimal.
    Unsigned,
    /// Signed decimal.
    Signed,
    /// `0x` and this many hexadecimal digits at least.
    Hex(u8),
}

/// An entry of the fault table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its kind.
    pub kind: FaultKind,
    /// The message; the first `{}` stands for the value found.
    pub message: String,
    /// How the value found is written.
    pub found_as: FoundAs,
    /// The line of the spec that it belongs to.
    pub span: Span,
}

/// What must be proved, for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obligation {
    /// What kind.
    pub kind: ObligationKind,
    /// The expression to which it belongs.
    pub span: Span,
    /// Text of what must hold: `i < 31`.
    pub text: String,
    /// The values that it speaks of.
    pub operands: Vec<Value>,
    /// The fault of the test that it became, because it holds by a relation of several values (see `prove/discharge`).
    pub tested: Option<FaultId>,
}

/// The kinds of obligation (language reference, chapter "What is proved").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObligationKind {
    /// An index is below its array's length.
    Index,
    /// A divisor is not zero.
    Divisor,
    /// A shift count is below the width.
    Shift,
    /// A read's size is within the most that a hook could carry.
    ReadSize,
    /// A loop's number of turns.
    LoopBound,
    /// A structure, member or array lies inside its parent.
    View,
    /// A result fits in 64 bits, or in the type that it is stored in.
    Overflow,
    /// A walk's number of reads.
    HopBound,
    /// The bytes of the values that a read carries over.
    FrameSize,
}
