//! The words of the text form, each once: the printer writes them and the parser looks them up.

use super::schema::Display;
use super::{BinOp, CmpOp, FaultKind, ObligationKind, Ty};

macro_rules! names {
    ($($ty:ident { $($variant:ident = $name:literal),* $(,)? })*) => {$(
        impl $ty {
            /// Every one, in the order of declaration.
            pub const ALL: &[$ty] = &[$($ty::$variant),*];

            /// Its word in the text form.
            pub fn name(self) -> &'static str {
                match self { $($ty::$variant => $name),* }
            }

            /// The one with this word.
            pub fn from_name(name: &str) -> Option<$ty> {
                Self::ALL.iter().copied().find(|each| each.name() == name)
            }
        }
    )*};
}

names! {
    Ty { U64 = "u64", I64 = "i64", Bool = "bool" }
    BinOp {
        Add = "add", Sub = "sub", Mul = "mul", Div = "div", Rem = "rem",
        And = "and", Or = "or", Xor = "xor", Shl = "shl", Shr = "shr",
    }
    CmpOp { Eq = "eq", Ne = "ne", Lt = "lt", Le = "le" }
    ObligationKind {
        Index = "index", Divisor = "divisor", Shift = "shift", ReadSize = "read_size", LoopBound = "loop_bound",
        View = "view", Overflow = "overflow", HopBound = "hop_bound", FrameSize = "frame_size",
    }
}

impl BinOp {
    /// How a spec writes it.
    pub fn sign(self) -> &'static str {
        match self {
            BinOp::Add => "+",
            BinOp::Sub => "-",
            BinOp::Mul => "*",
            BinOp::Div => "/",
            BinOp::Rem => "%",
            BinOp::And => "&",
            BinOp::Or => "|",
            BinOp::Xor => "^",
            BinOp::Shl => "<<",
            BinOp::Shr => ">>",
        }
    }
}

impl FaultKind {
    /// Every one, in the order of declaration.
    pub const ALL: &[FaultKind] =
        &[FaultKind::Corrupt, FaultKind::Limit, FaultKind::Overflow, FaultKind::OutOfDevice, FaultKind::Fail];
}

impl Display {
    /// Its word in the text form; a plain number has none.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Display::Plain => None,
            Display::Time => Some("time"),
            Display::Uuid => Some("uuid"),
            Display::Mode => Some("mode"),
            Display::Size => Some("size"),
        }
    }
}
