//! The intermediate representation: what every executor runs and every backend emits.
//!
//! One [`Function`] is one traversal, with everything it calls inlined: an SSA control-flow graph with block
//! parameters, in which **a disk read is a terminator** ([`Terminator::Hop`]). What lies between two hops is a *step*: a
//! pure, bounded function of the bytes of the current disk block, the parameters and the values that the hop carried.
//!
//! # Rules (the verifier in [`verify`] holds them; see there for the full list)
//!
//! * A value is a 64-bit word with a type ([`Ty`]) and a *claim*: the range in which it lies on every run. Each
//!   claim follows from the claims of the operands by one rule of the operation, so checking it needs no search.
//! * No value crosses a hop except as an argument of it. Slots cross only when the hop keeps them.
//! * A back edge goes only to a block with a [`LoopInfo`]: a counter that starts at 0, grows by 1 and is tested at
//!   the top against a constant.
//! * A load or copy names its evidence: it lies inside the first `disk.min` bytes of the block, or inside the bytes
//!   that the dominating [`Op::Check`] which made its `base` has shown to be there.
//! * There is one current disk block. [`BlockData::disk`] says for each basic block which value is its length.
//!
//! # Meaning
//!
//! [`eval`] defines each scalar operation once; the interpreter and the constant folder call it. All arithmetic is on
//! 64-bit words. An operation that cannot produce its result (overflow in [`Mode::Checked`], a failed check or guard)
//! ends the walk with its fault.

pub mod build;
pub mod defs;
pub mod eval;
pub mod evidence;
mod fault;
pub mod graph;
pub mod halving;
pub mod interval;
pub mod linear;
pub mod live;
mod names;
pub mod needed;
pub mod parse;
pub mod print;
pub mod schema;
pub mod settled;
mod terms;
mod uses;
mod varint;
pub mod verify;

use crate::source::Span;
pub use fault::*;
pub use interval::Range;
use schema::{Leaf, Schema};
use serde::{Deserialize, Serialize};
pub use varint::{NoVarint, Varint, begins_before};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($prefix:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub struct $name(pub u32);
        impl $name {
            /// Position in its table.
            pub fn index(self) -> usize { self.0 as usize }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    )*};
}

ids! {
    /// An SSA value, printed `v3`.
    Value("v");
    /// A basic block, printed `b2`.
    Block("b");
    /// A local byte area, printed `s0`.
    Slot("s");
    /// An entry of the function's fault table, printed `f4`.
    FaultId("f");
    /// A constant byte area, printed `d1`.
    DataId("d");
    /// A source of blocks: `i0` is the main image, the others are declared by `source`.
    SourceId("i");
}

/// The type of a value. All are 64-bit words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Ty {
    /// Unsigned.
    U64,
    /// Two's complement.
    I64,
    /// 0 or 1.
    Bool,
}

/// What is known of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueData {
    /// Its type.
    pub ty: Ty,
    /// The claim: on every run the value lies here.
    pub range: Range,
    /// What the user would call it (`node.entries`), for messages and listings.
    pub name: Option<String>,
    /// Where it comes from.
    pub span: Span,
}

/// The memories that a function can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Region {
    /// The current disk block, read only; shared with user space under some hooks.
    Disk,
    /// A bytes parameter, by its position among all parameters; read only. Its length is
    /// `Op::ArgLen`, its capacity the leaf's.
    Arg(u32),
    /// A local area, zero at the start of the walk.
    Slot(Slot),
    /// A constant table, read only.
    Data(DataId),
    /// The result (or row) being built, laid out by [`Schema`]; write only. Zero at the start of the walk; a row that was emitted stays
    /// until it is overwritten.
    Out,
}

/// A byte address inside a region: `base + index + disp`.
///
/// Evidence: without `base`, `index` (0 if absent) + `disp` + the width accessed is at most the region's sure size
/// (`disk.min` for the disk block, the capacity of an argument, slot, table or the result). With `base`, which must be the result of a
/// [`Op::Check`] on the same region, it is at most the least `size` of that check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Addr {
    /// The memory.
    pub region: Region,
    /// The result of an [`Op::Check`].
    pub base: Option<Value>,
    /// A variable, bounded by its claim.
    pub index: Option<Value>,
    /// A constant.
    pub disp: u32,
}

/// Byte order of a load or store of more than one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Endian {
    /// Least byte first.
    Little,
    /// Greatest byte first.
    Big,
}

/// Two-operand arithmetic. Both operands and the result have one type, but for `Shl` and `Shr`, whose count is `U64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BinOp {
    /// Sum.
    Add,
    /// Difference.
    Sub,
    /// Product.
    Mul,
    /// Quotient, rounded towards zero. The divisor's claim excludes 0 (and -1 for `I64`).
    Div,
    /// Remainder, with the dividend's sign. As for `Div`.
    Rem,
    /// Bitwise (or logical) and.
    And,
    /// Bitwise (or logical) or.
    Or,
    /// Bitwise (or logical) exclusive or.
    Xor,
    /// Left shift. The count's claim is within 0..=63.
    Shl,
    /// Right shift; arithmetic for `I64`. The count's claim is within 0..=63.
    Shr,
}

/// What happens when the mathematical result of `Add`, `Sub`, `Mul` or `Shl` is not in the type. Always `Exact` for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// It cannot happen: the operands' claims show it.
    Exact,
    /// The walk ends with this fault.
    Checked(FaultRef),
    /// The result is taken modulo 2^64.
    Wrap,
}

/// Comparison of two values of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CmpOp {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less.
    Lt,
    /// Less or equal.
    Le,
}

/// A number of bytes: known, or a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Size {
    /// Known.
    Const(u32),
    /// At run time; type `U64`.
    Value(Value),
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Op {
    /// A number; the word's bits.
    Const(u64),
    /// The scalar parameter at this position among all parameters.
    Arg(u32),
    /// The length in bytes of the bytes parameter at this position.
    ArgLen(u32),
    /// Arithmetic.
    Binary {
        /// Which.
        op: BinOp,
        /// On overflow.
        mode: Mode,
        /// Left.
        a: Value,
        /// Right.
        b: Value,
    },
    /// A comparison; the result is `Bool`.
    Compare {
        /// Which.
        op: CmpOp,
        /// Left.
        a: Value,
        /// Right.
        b: Value,
    },
    /// `if cond { a } else { b }` without a branch.
    Select {
        /// `Bool`.
        cond: Value,
        /// If true.
        a: Value,
        /// If false.
        b: Value,
    },
    /// The same word under the type of the result. Between `U64` and `I64` the operand's claim must fit both.
    Cast(Value),
    /// The same word, bit for bit, under the type of the result (`U64` and `I64` only).
    Reinterpret(Value),
    /// The low `bits` (1..=63) bits, zero-extended (`U64`) or sign-extended (`I64` result).
    Extend {
        /// How many.
        bits: u8,
        /// Of what.
        a: Value,
    },
    /// The same value with a tighter claim, because `cond` is `sense` here: a dominating branch edge or guard says so, and `cond`
    /// is a comparison that has `a` (or what `a` refines) as an operand.
    Refine {
        /// What is refined.
        a: Value,
        /// A `Compare`.
        cond: Value,
        /// Whether it is true or false here.
        sense: bool,
    },
    /// Reads `width` bytes (1..=8) of memory as an integer, sign-extended when the result is `I64`.
    Load {
        /// Where.
        addr: Addr,
        /// How many bytes.
        width: u8,
        /// In which order.
        endian: Endian,
    },
    /// How many bytes the varint at `addr` has, the first of which is there as for a load. Where it does not end before `limit`, which lies in
    /// the region as for a check, `outside`; where it has more bits than a word, `wide`, which a kind has that may have more.
    Varint {
        /// How it is written.
        kind: Varint,
        /// Where it begins.
        addr: Addr,
        /// Where it must end.
        limit: Value,
        /// If it does not.
        outside: FaultRef,
        /// If it is too large.
        wide: Option<FaultRef>,
    },
    /// The number (`U64`) that the bytes of a varint stand for: a second result of the [`Op::Varint`] right before, whose size it names.
    Decoded(Value),
    /// The offset `a` (`U64`), after the test that `a + size <= limit`, without overflow; else the fault. For region `Disk`, `limit`
    /// must be shown to be at most the block's length: it is `disk.len`, or its claim is within `disk.min`.
    /// The result is the evidence for accesses based on it.
    Check {
        /// The memory.
        region: Region,
        /// The offset.
        a: Value,
        /// How many bytes from there on.
        size: Size,
        /// Where they must end.
        limit: Value,
        /// Otherwise.
        fault: FaultRef,
    },
    /// Ends the walk with `fault` unless `cond` is true.
    Guard {
        /// `Bool`.
        cond: Value,
        /// Otherwise.
        fault: FaultRef,
    },
    /// An obligation of the prover: `cond` must be shown to be true. None is left in a verified function.
    Prove {
        /// `Bool`.
        cond: Value,
        /// Position in [`Function::obligations`].
        obligation: u32,
    },
    /// Writes the low `width` bytes (1..=8) of a word into a slot or the result.
    Store {
        /// Where: region `Slot` or `Out`.
        addr: Addr,
        /// How many bytes.
        width: u8,
        /// In which order.
        endian: Endian,
        /// What.
        value: Value,
    },
    /// Copies `len` bytes; where the areas overlap, as if all were read before any is written. Both addresses are good for the most
    /// that `len` claims, or have no index and a base whose check has the same value as its `size`.
    Copy {
        /// To: region `Slot` or `Out`.
        to: Addr,
        /// From: any but `Out`.
        from: Addr,
        /// How many bytes.
        len: Size,
    },
}

/// An operation with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inst {
    /// What is done.
    pub op: Op,
    /// The value made; none for `Guard`, `Prove`, `Store` and `Copy`.
    pub result: Option<Value>,
    /// The place in the spec.
    pub span: Span,
}

/// A jump's target and the arguments for its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The block.
    pub block: Block,
    /// One for each parameter (for `Hop`: each but the first).
    pub args: Vec<Value>,
}

/// What ends a basic block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminator {
    /// To one block.
    Jump(Target),
    /// To one of two.
    Branch {
        /// `Bool`.
        cond: Value,
        /// If true.
        then: Target,
        /// If false.
        other: Target,
    },
    /// Reads `len` bytes at `offset` of a source, which become the current disk block. The target's first parameter receives `len`; the
    /// others the arguments. Nothing else is alive there but parameters of the function and the slots kept.
    Hop {
        /// From where.
        source: SourceId,
        /// Byte offset in it, `U64`.
        offset: Value,
        /// Bytes, `U64`; its claim's upper end is the most that the hook must carry.
        len: Value,
        /// Where the walk goes on.
        next: Target,
        /// Slots whose content is used later.
        keep: Vec<Slot>,
        /// The fault (`out of device`) when the bytes do not lie in the source.
        fault: FaultId,
    },
    /// One row of a stream is complete in the result. Like a hop it may suspend the walk; the disk block stays current.
    Emit {
        /// Where the walk goes on.
        next: Target,
        /// Slots whose content is used later.
        keep: Vec<Slot>,
    },
    /// The walk is over; the result is complete.
    Return,
    /// The walk ends with a fault.
    Fault(FaultRef),
}

/// The current disk block in a basic block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// Its length: a value that is the same at the end of every predecessor (or its argument).
    pub len: Value,
    /// At least so many bytes are there.
    pub min: u32,
}

/// The bound of a loop, kept by its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopInfo {
    /// A parameter of the header: 0 on entry, one more on each back edge, and claimed to lie in 0..=`most`. The claim is what bounds
    /// the loop; as claims follow locally, a comparison with the counter dominates each back edge.
    pub counter: Value,
    /// The most turns.
    pub most: u64,
}

/// A basic block.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockData {
    /// Its parameters.
    pub params: Vec<Value>,
    /// The current disk block; none before the first hop.
    pub disk: Option<Disk>,
    /// Set for the header of a loop.
    pub header: Option<LoopInfo>,
    /// The operations in order.
    pub insts: Vec<Inst>,
    /// The end.
    pub term: Terminator,
    /// The place of the terminator in the spec.
    pub span: Span,
}

/// A local byte area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotData {
    /// What the user calls it.
    pub name: String,
    /// Bytes.
    pub size: u32,
}

/// A constant byte area.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// What the user calls it.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// A parameter of the traversal as its caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its type.
    pub schema: Schema,
    /// The traversal that makes its default.
    pub default: Option<String>,
}

/// A traversal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// Its parameters, as the caller sees them.
    pub params: Vec<Param>,
    /// All parameters' leaves in order: what `Op::Arg` and `Region::Arg` count.
    pub args: Vec<Leaf>,
    /// The result's type, or a row's.
    pub result: Schema,
    /// Whether it gives rows.
    pub stream: bool,
    /// The names of the sources; the first is the main image and is called `image`.
    pub sources: Vec<String>,
    /// All values.
    pub values: Vec<ValueData>,
    /// All blocks; the first is the entry and has no parameters.
    pub blocks: Vec<BlockData>,
    /// All local areas.
    pub slots: Vec<SlotData>,
    /// All constant areas.
    pub data: Vec<Data>,
    /// The fault table.
    pub faults: Vec<Fault>,
    /// What the prover must show. Kept after proof for reports.
    pub obligations: Vec<Obligation>,
    /// What has been shown of several values together.
    pub evidence: evidence::Evidence,
    /// The place of the declaration.
    pub span: Span,
}

impl Function {
    /// What is known of a value.
    pub fn value(&self, v: Value) -> &ValueData {
        &self.values[v.index()]
    }
    /// A basic block.
    pub fn block(&self, b: Block) -> &BlockData {
        &self.blocks[b.index()]
    }
    /// All blocks with their ids.
    pub fn blocks(&self) -> impl Iterator<Item = (Block, &BlockData)> + Clone {
        self.blocks.iter().enumerate().map(|(i, b)| (Block(i as u32), b))
    }
    /// The bytes of the result area.
    pub fn out_size(&self) -> u32 {
        self.result.size()
    }
    /// How many sources, from the first, must be at hand: those of its module behind the last that it reads from are not.
    pub fn sources_read(&self) -> usize {
        let reads = self.blocks.iter().filter_map(|b| match b.term {
            Terminator::Hop { source, .. } => Some(source.index() + 1),
            _ => None,
        });
        reads.max().unwrap_or(0)
    }
}

impl Terminator {
    /// The targets, in order.
    pub fn targets(&self) -> impl Iterator<Item = &Target> + Clone {
        let (a, b) = match self {
            Terminator::Jump(t) => (Some(t), None),
            Terminator::Branch { then, other, .. } => (Some(then), Some(other)),
            Terminator::Hop { next, .. } | Terminator::Emit { next, .. } => (Some(next), None),
            Terminator::Return | Terminator::Fault(_) => (None, None),
        };
        a.into_iter().chain(b)
    }
}
