//! Variable-length integers: decoded byte by byte, each byte checked to lie in its block.

use super::view::{Context, Decoded};
use super::*;
use crate::ir::{BinOp, CmpOp, FaultKind, Value};

impl Lowerer<'_> {
    /// A varint at a place, and where it ends.
    pub(super) fn decode_varint(&mut self, kind: VarintKind, place: Place, ctx: &Context) -> Decoded {
        let span = self.span;
        let at = self.offset_of(place);
        let mut ends: Vec<(flow::Flow, Val)> = Vec::new();
        let mut value = self.number(0);
        let most = match kind {
            VarintKind::Sqlite => 9,
            VarintKind::Leb128 | VarintKind::Zigzag | VarintKind::Vlq => 10,
        };
        let depth = self.scopes.len();
        for i in 0..most {
            let here = Place { origin: Origin::Plain(at), index: None, disp: i, ..place };
            let addr = self.addr(here, 1, &ctx.name);
            let byte = self.load(addr, 1, ir::Endian::Little, ir::Ty::U64);
            let last = kind == VarintKind::Sqlite && i == 8;
            value = self.varint_step(kind, value, byte, i, last, span, &ctx.name);
            let size = self.number(i128::from(i) + 1);
            if last || i + 1 == most {
                if !last {
                    let limit = self.number(128);
                    let ended = self.compare(CmpOp::Lt, byte, limit);
                    let fault = self.fault(
                        FaultKind::Corrupt,
                        format!("{} is a varint of more than {most} bytes", ctx.name),
                        span,
                    );
                    self.guard(ended, ir::FaultRef { at: Some(at), ..fault });
                }
                ends.push((self.flow.clone(), two(value, size)));
                break;
            }
            let limit = self.number(128);
            let ended = self.compare(CmpOp::Lt, byte, limit);
            let split = self.split_value(Some(ended));
            ends.push((split.yes, two(value, size)));
            self.resume(split.no);
            self.scopes.push(split.no_scope);
        }
        self.scopes.truncate(depth);
        let Val::Record(_, parts) = self.merge(ends, span) else { return Decoded { val: Val::Never, end: None } };
        let (Val::Int(value, _), Val::Int(size, _)) = (&parts[0], &parts[1]) else {
            return Decoded { val: Val::Never, end: None };
        };
        let (value, size) = (*value, *size);
        self.span = span;
        let end = self.checked(BinOp::Add, at, size);
        let val = match kind {
            VarintKind::Zigzag => Val::Int(self.unzigzag(value), IntTy::plain(64, true)),
            // SQLite's varints are 64-bit two's-complement (file format, section 1.6).
            VarintKind::Sqlite => Val::Int(self.reinterpret(value, ir::Ty::I64), IntTy::plain(64, true)),
            VarintKind::Leb128 | VarintKind::Vlq => Val::Int(value, IntTy::U64),
        };
        Decoded { val, end: Some(end) }
    }

    #[allow(clippy::too_many_arguments, reason = "one round of the decoder")]
    fn varint_step(
        &mut self,
        kind: VarintKind,
        value: Value,
        byte: Value,
        i: u32,
        last: bool,
        span: Span,
        name: &str,
    ) -> Value {
        let low = self.number(0x7f);
        match kind {
            VarintKind::Leb128 | VarintKind::Zigzag => {
                let bits = self.exact(BinOp::And, byte, low);
                if i == 9 {
                    // The tenth byte holds the last bit of 64.
                    let one = self.number(1);
                    let fits = self.compare(CmpOp::Le, byte, one);
                    let fault =
                        self.fault(FaultKind::Corrupt, format!("{name} is a varint of more than 64 bits"), span);
                    self.guard(fits, fault);
                }
                let shift = self.number(i128::from(7 * i));
                let part = self.wrapping(BinOp::Shl, bits, shift);
                self.exact(BinOp::Or, value, part)
            }
            VarintKind::Sqlite | VarintKind::Vlq => {
                if kind == VarintKind::Vlq && i == 9 {
                    let most = self.number((1 << 57) - 1);
                    let fits = self.compare(CmpOp::Le, value, most);
                    let fault =
                        self.fault(FaultKind::Corrupt, format!("{name} is a varint of more than 64 bits"), span);
                    self.guard(fits, fault);
                }
                let bits = if last { byte } else { self.exact(BinOp::And, byte, low) };
                let n = self.number(if last { 8 } else { 7 });
                let shifted = self.wrapping(BinOp::Shl, value, n);
                self.exact(BinOp::Or, shifted, bits)
            }
        }
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

/// Value and size travel through the joins together.
fn two(value: Value, size: Value) -> Val {
    Val::Record(RecordId(u32::MAX), vec![Val::Int(value, IntTy::U64), Val::Int(size, IntTy::plain(8, false))].into())
}
