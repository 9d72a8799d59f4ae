//! The types of parameters and results, and how they are laid out for an executor.
//!
//! A type flattens into *leaves*, in order: scalars take 8 bytes, bytes an 8-byte length and their capacity rounded up to 8. An
//! option puts a scalar (0 or 1) before its content. The same layout serves arguments, results and rows, in memory of the
//! host's order (little endian on every target that is supported).

use super::Ty;
use serde::{Deserialize, Serialize};

/// How a number is shown to people; `--json` stays raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Display {
    /// As a number.
    Plain,
    /// Seconds since 1970, as a time.
    Time,
    /// Sixteen bytes as a UUID.
    Uuid,
    /// A file mode, as `drwxr-xr-x`.
    Mode,
    /// A number of bytes, with its unit.
    Size,
}

/// The type of a parameter, a result or a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Schema {
    /// Nothing (a traversal without a result).
    Unit,
    /// An integer of this many bits.
    Int {
        /// 1 to 64.
        bits: u8,
        /// Two's complement.
        signed: bool,
        /// How it is shown.
        display: Display,
    },
    /// True or false.
    Bool,
    /// A named number.
    Enum {
        /// The type's name.
        name: String,
        /// Bits on disk.
        bits: u8,
        /// Names and values.
        items: Vec<(String, u64)>,
    },
    /// A set of named bits.
    Flags {
        /// The type's name.
        name: String,
        /// Bits on disk.
        bits: u8,
        /// Names and masks.
        items: Vec<(String, u64)>,
    },
    /// Bytes.
    Bytes {
        /// The most.
        max: u32,
        /// Always exactly `max`.
        fixed: bool,
        /// How they are shown.
        display: Display,
    },
    /// A record.
    Record {
        /// The type's name.
        name: String,
        /// Its fields.
        fields: Vec<(String, Schema)>,
    },
    /// Something or nothing.
    Option(Box<Schema>),
}

/// One flat piece of a [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// The path from the root, joined by dots; an option's presence ends in `?`.
    pub name: String,
    /// What it is.
    pub kind: LeafKind,
    /// Byte offset in the laid out memory.
    pub offset: u32,
}

/// The two kinds of leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LeafKind {
    /// A word.
    Scalar {
        /// Its type.
        ty: Ty,
        /// Bits that count.
        bits: u8,
    },
    /// A length (8 bytes), then so many bytes of room (rounded up to 8).
    Bytes {
        /// The most.
        max: u32,
        /// Always exactly `max`.
        fixed: bool,
    },
}

impl LeafKind {
    /// The bytes that it takes in memory, a multiple of 8.
    pub fn size(self) -> u32 {
        match self {
            LeafKind::Scalar { .. } => 8,
            LeafKind::Bytes { max, .. } => 8 + max.next_multiple_of(8),
        }
    }
}

impl Schema {
    /// The leaves in order, with their offsets, the first at `start`.
    pub fn leaves(&self, name: &str, start: u32) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        let mut offset = start;
        self.flatten(name, &mut offset, &mut leaves);
        leaves
    }

    /// The bytes of the laid out type, however many: [`size`](Self::size) counts on it that they have been looked at.
    pub fn area(&self) -> u64 {
        match self {
            Schema::Unit => 0,
            Schema::Int { .. } | Schema::Bool | Schema::Enum { .. } | Schema::Flags { .. } => 8,
            Schema::Bytes { max, .. } => 8 + u64::from(*max).next_multiple_of(8),
            Schema::Record { fields, .. } => fields.iter().map(|(_, s)| s.area()).fold(0, u64::saturating_add),
            Schema::Option(inner) => inner.area().saturating_add(8),
        }
    }

    /// The bytes of the laid out type.
    pub fn size(&self) -> u32 {
        self.leaves("", 0).iter().map(|l| l.kind.size()).sum()
    }

    fn flatten(&self, name: &str, offset: &mut u32, leaves: &mut Vec<Leaf>) {
        let mut push = |name: String, kind: LeafKind| {
            leaves.push(Leaf { name, kind, offset: *offset });
            *offset += kind.size();
        };
        match self {
            Schema::Unit => {}
            Schema::Int { bits, signed, .. } => {
                let ty = if *signed { Ty::I64 } else { Ty::U64 };
                push(name.into(), LeafKind::Scalar { ty, bits: *bits });
            }
            Schema::Bool => push(name.into(), LeafKind::Scalar { ty: Ty::Bool, bits: 1 }),
            Schema::Enum { bits, .. } | Schema::Flags { bits, .. } => {
                push(name.into(), LeafKind::Scalar { ty: Ty::U64, bits: *bits });
            }
            Schema::Bytes { max, fixed, .. } => push(name.into(), LeafKind::Bytes { max: *max, fixed: *fixed }),
            Schema::Record { fields, .. } => {
                for (field, schema) in fields {
                    let path = if name.is_empty() { field.clone() } else { format!("{name}.{field}") };
                    schema.flatten(&path, offset, leaves);
                }
            }
            Schema::Option(inner) => {
                push(format!("{name}?"), LeafKind::Scalar { ty: Ty::Bool, bits: 1 });
                inner.flatten(name, offset, leaves);
            }
        }
    }
}
