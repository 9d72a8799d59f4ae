//! Numbers in as many bytes as they need.

use super::defs::Defs;
use super::{Addr, Function, Op, Value, eval::range};
use serde::{Deserialize, Serialize};

/// How they are written: seven bits a byte, the top bit set on all bytes but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Varint {
    /// Least first (LEB128: DWARF 5, section 7.6; protobuf).
    Leb128,
    /// Greatest first, the ninth byte whole (SQLite file format, section 1.6).
    Sqlite,
    /// Greatest first (MIDI 1.0).
    Vlq,
}

/// Why bytes are no varint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoVarint {
    /// They end before it does.
    Cut,
    /// It has more than 64 bits, or a tenth byte that is not the last.
    Wide,
}

impl Varint {
    /// All of them.
    pub const ALL: [Varint; 3] = [Varint::Leb128, Varint::Sqlite, Varint::Vlq];

    /// The name in the text form.
    pub fn name(self) -> &'static str {
        match self {
            Varint::Leb128 => "leb128",
            Varint::Sqlite => "sqlite",
            Varint::Vlq => "vlq",
        }
    }

    /// The one with this name.
    pub fn from_name(name: &str) -> Option<Varint> {
        Varint::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The most bytes that one has.
    pub fn most_bytes(self) -> u8 {
        match self {
            Varint::Sqlite => 9,
            Varint::Leb128 | Varint::Vlq => 10,
        }
    }

    /// Whether there are bytes that stand for more than 64 bits.
    pub fn may_be_wide(self) -> bool {
        self != Varint::Sqlite
    }

    /// The number that bytes begin with, and how many of them it takes.
    pub fn decode(self, bytes: &[u8]) -> Result<(u64, u8), NoVarint> {
        let mut number = 0u64;
        for i in 0..self.most_bytes() {
            let byte = u64::from(*bytes.get(usize::from(i)).ok_or(NoVarint::Cut)?);
            let low = byte & 0x7f;
            number = match self {
                Varint::Sqlite if i == 8 => return Ok((number << 8 | byte, 9)),
                // The tenth byte holds the last bit of 64.
                Varint::Leb128 if i == 9 && byte > 1 => return Err(NoVarint::Wide),
                Varint::Vlq if i == 9 && (byte > 127 || number >> 57 != 0) => return Err(NoVarint::Wide),
                Varint::Leb128 => number | low << (7 * i),
                Varint::Sqlite | Varint::Vlq => number << 7 | low,
            };
            if byte < 128 {
                return Ok((number, i + 1));
            }
        }
        unreachable!("the last byte that a varint may have ends it or is refused")
    }
}

/// Whether the first byte of a varint is known to lie before where it must end: its claim says so, or the check that shows that it is there.
pub fn begins_before(f: &Function, defs: &Defs, addr: &Addr, limit: Value) -> bool {
    let most = addr.index.map_or(0, |v| f.value(v).range.hi).saturating_add(addr.disp.into());
    let base_most = addr.base.map_or(0, |v| f.value(v).range.hi);
    if most.saturating_add(base_most) < f.value(limit).range.lo {
        return true;
    }
    let Some(base) = addr.base else { return false };
    match defs.op(f, defs.root(f, base)) {
        Some(Op::Check { size, limit: shown, .. }) => {
            defs.root(f, *shown) == defs.root(f, limit) && most < range::size_range(f, *size).lo
        }
        _ => false,
    }
}
