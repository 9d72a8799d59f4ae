//! Variable-length integers: one operation tells how many bytes one has, another what number they stand for.

use super::view::{Context, Decoded};
use super::*;
use crate::ir::{BinOp, FaultKind, Op, Region, Value, Varint};

impl Lowerer<'_> {
    /// A varint at a place, and where it ends.
    pub(super) fn decode_varint(&mut self, kind: VarintKind, place: Place, ctx: &Context) -> Decoded {
        let written = match kind {
            VarintKind::Leb128 | VarintKind::Zigzag => Varint::Leb128,
            VarintKind::Sqlite => Varint::Sqlite,
            VarintKind::Vlq => Varint::Vlq,
        };
        let at = self.offset_of(place);
        let addr = self.addr(place, 1, &ctx.name);
        let limit = self.region_limit(place.region);
        // The first byte is there, so what is missing begins at the limit.
        let outside = self.outside(&ctx.name, limit);
        let wide = written.may_be_wide().then(|| {
            let message = format!("{} is a varint of more than 64 bits", ctx.name);
            self.fault(FaultKind::Corrupt, message, self.span)
        });
        let op = Op::Varint { kind: written, addr, limit, outside, wide };
        let size = match place.region {
            Region::Slot(_) | Region::Out => self.push_op(op, ir::Ty::U64),
            Region::Disk | Region::Arg(_) | Region::Data(_) => self.pure(op, ir::Ty::U64),
        };
        let value = self.pure(Op::Decoded(size), ir::Ty::U64);
        let end = self.checked(BinOp::Add, at, size);
        let val = match kind {
            VarintKind::Zigzag => Val::Int(self.unzigzag(value), IntTy::plain(64, true)),
            // SQLite's varints are 64-bit two's-complement (file format, section 1.6).
            VarintKind::Sqlite => Val::Int(self.reinterpret(value, ir::Ty::I64), IntTy::plain(64, true)),
            VarintKind::Leb128 | VarintKind::Vlq => Val::Int(value, IntTy::U64),
        };
        Decoded { val, end: Some(end) }
    }

    /// `(n >> 1) ^ -(n & 1)`, as a signed number.
    fn unzigzag(&mut self, n: Value) -> Value {
        let one = self.number(1);
        let half = self.exact(BinOp::Shr, n, one);
        let sign = self.exact(BinOp::And, n, one);
        let zero = self.number(0);
        let mask = self.wrapping(BinOp::Sub, zero, sign);
        let bits = self.exact(BinOp::Xor, half, mask);
        self.reinterpret(bits, ir::Ty::I64)
    }
}
