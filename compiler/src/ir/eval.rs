//! The scalar semantics of the IR: each operation once, on 64-bit words.
//!
//! The interpreter and the constant folder call this, and the intervals in [`range`] are tested against it. Nothing here
//! panics: what an operation cannot do is a [`Trap`], and the caller decides by the [`Mode`](super::Mode) what follows.

pub mod range;

use super::{BinOp, CmpOp, Endian, Ty};

/// Why an arithmetic operation has no result of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trap {
    /// The mathematical result is not in the type.
    Overflow {
        /// It, modulo 2^64.
        wrapped: u64,
    },
    /// Division by zero.
    ZeroDivisor,
    /// A shift count above 63.
    WideShift,
}

/// The result of a two-operand operation, or why there is none.
pub fn binary(op: BinOp, ty: Ty, a: u64, b: u64) -> Result<u64, Trap> {
    let signed = ty == Ty::I64;
    let (sa, sb) = (a as i64, b as i64);
    let flag = |(wrapped, overflow): (u64, bool)| {
        if overflow { Err(Trap::Overflow { wrapped }) } else { Ok(wrapped) }
    };
    let signed_flag = |(wrapped, overflow): (i64, bool)| flag((wrapped as u64, overflow));
    match op {
        BinOp::Add if signed => signed_flag(sa.overflowing_add(sb)),
        BinOp::Add => flag(a.overflowing_add(b)),
        BinOp::Sub if signed => signed_flag(sa.overflowing_sub(sb)),
        BinOp::Sub => flag(a.overflowing_sub(b)),
        BinOp::Mul if signed => signed_flag(sa.overflowing_mul(sb)),
        BinOp::Mul => flag(a.overflowing_mul(b)),
        BinOp::Div | BinOp::Rem if b == 0 => Err(Trap::ZeroDivisor),
        BinOp::Div if signed => signed_flag(sa.overflowing_div(sb)),
        BinOp::Div => Ok(a / b),
        BinOp::Rem if signed => Ok(sa.wrapping_rem(sb) as u64),
        BinOp::Rem => Ok(a % b),
        BinOp::And => Ok(a & b),
        BinOp::Or => Ok(a | b),
        BinOp::Xor => Ok(a ^ b),
        BinOp::Shl | BinOp::Shr if b > 63 => Err(Trap::WideShift),
        BinOp::Shl if signed => signed_flag((sa << b, (sa << b) >> b != sa)),
        BinOp::Shl => flag((a << b, (a << b) >> b != a)),
        BinOp::Shr if signed => Ok((sa >> b) as u64),
        BinOp::Shr => Ok(a >> b),
    }
}

/// Whether a comparison holds between two words of one type.
pub fn compare(op: CmpOp, ty: Ty, a: u64, b: u64) -> bool {
    let order = if ty == Ty::I64 { (a as i64).cmp(&(b as i64)) } else { a.cmp(&b) };
    match op {
        CmpOp::Eq => order.is_eq(),
        CmpOp::Ne => order.is_ne(),
        CmpOp::Lt => order.is_lt(),
        CmpOp::Le => order.is_le(),
    }
}

/// The low `bits` (1..=63) bits of a word, sign-extended for `I64`, else zero-extended.
pub fn extend(ty: Ty, bits: u8, a: u64) -> u64 {
    let unused = 64 - u32::from(bits.clamp(1, 64));
    match ty {
        Ty::I64 => (((a << unused) as i64) >> unused) as u64,
        Ty::U64 | Ty::Bool => (a << unused) >> unused,
    }
}

/// The integer that 1 to 8 bytes hold, sign-extended for `I64`.
pub fn load(ty: Ty, endian: Endian, bytes: &[u8]) -> u64 {
    let word = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
    let word = match endian {
        Endian::Little => bytes.iter().rev().fold(0, word),
        Endian::Big => bytes.iter().fold(0, word),
    };
    extend(ty, bytes.len() as u8 * 8, word)
}

/// Fills 1 to 8 bytes with the low end of a word.
pub fn store(endian: Endian, word: u64, bytes: &mut [u8]) {
    let width = bytes.len();
    for (i, byte) in bytes.iter_mut().enumerate() {
        let place = match endian {
            Endian::Little => i,
            Endian::Big => width - 1 - i,
        };
        *byte = (word >> (8 * place)) as u8;
    }
}

/// The number that a word stands for.
pub fn number(ty: Ty, word: u64) -> i128 {
    match ty {
        Ty::I64 => i128::from(word as i64),
        Ty::U64 | Ty::Bool => i128::from(word),
    }
}
