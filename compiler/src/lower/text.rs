//! Text in rooms of fixed size: `cstr` and `utf16`.

use super::loops::{Exits, Head, Plan};
use super::view::{Context, Decoded};
use super::*;
use crate::ir::schema::Display;
use crate::ir::{Addr, BinOp, CmpOp, Endian, FaultKind, Region, Value};

impl Lowerer<'_> {
    /// Text in a room of fixed size: what stands before the first zero byte.
    pub(super) fn decode_cstr(&mut self, n: &ast::Expr, place: Place, ctx: &Context) -> Decoded {
        let span = self.span;
        let Decoded { val, end } = self.decode_bytes(n, Display::Plain, place, ctx);
        let Val::Bytes(b) = val else { return Decoded { val: Val::Never, end } };
        let plan = Plan::quiet(&[], span);
        let most = u64::from(b.max);
        let exits = self.run_loop(
            &plan,
            |l, i| {
                l.span = span;
                let go = match b.len {
                    Len::Const(_) => None,
                    Len::Value(len) => {
                        let inside = l.compare(CmpOp::Lt, i, len);
                        Some(l.split_value(Some(inside)))
                    }
                };
                Head { most, go }
            },
            |l| {
                let i = l.turn_counter();
                let byte = l.byte(b, i);
                let zero = l.number(0);
                let ended = l.compare(CmpOp::Eq, byte, zero);
                let split = l.split_value(Some(ended));
                l.resume(split.yes);
                l.break_with(Val::Int(i, IntTy::plain(32, false)));
                l.resume(split.no);
            },
        );
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        let full = self.scoped(|l| l.len_value(b.len));
        let mut flows = exits.breaks;
        flows.push((self.flow.clone(), Val::Int(full, IntTy::plain(32, false))));
        let Val::Int(len, _) = self.merge(flows, span) else { return Decoded { val: Val::Never, end } };
        Decoded { val: Val::Bytes(Bytes { len: Len::Value(len), ..b }), end }
    }

    /// UTF-16 in a room of so many code units, up to the first that is zero, as UTF-8 in an area of its own. A surrogate without its partner
    /// becomes three bytes like any other unit, so that nothing is lost and every text compares (WTF-8; Sapin, 2016).
    pub(super) fn decode_utf16(&mut self, n: &ast::Expr, order: Endian, place: Place, ctx: &Context) -> Decoded {
        let span = self.span;
        let Some(units) = self.size_in(ctx, n) else { return Decoded { val: Val::Never, end: None } };
        let two = self.number(2);
        let len = self.checked(BinOp::Mul, units, two);
        let Decoded { val, end } = self.sized_bytes(len, Display::Plain, place, ctx);
        let Val::Bytes(raw) = val else { return Decoded { val: Val::Never, end } };
        // A dump shows where things stand, and text that was made elsewhere stands nowhere.
        if self.dump.is_some() {
            return Decoded { val, end };
        }
        let most = raw.max / 2;
        let Some(slot) = self.slot_for(most * 3 + LONGEST, span) else { return Decoded { val: Val::Never, end } };
        let plan = Plan::quiet(&[LEN, START, HIGH], span);
        let room = i128::from(most * 3 + LONGEST);
        for (name, top) in [(LEN, room), (START, room), (HIGH, 0xffff)] {
            let zero = self.number(0);
            self.bind(name, Val::Int(zero, IntTy::plain(32, false)), true, Some(Ty::Int(IntTy::plain(32, false))));
            self.flow.locals.last_mut().expect("just bound").bound = Some(Range::new(0, top));
        }
        let exits = self.run_loop(
            &plan,
            |l, i| {
                l.span = span;
                let go = (raw.len != Len::Const(raw.max)).then(|| {
                    let inside = l.compare(CmpOp::Lt, i, units);
                    l.split_value(Some(inside))
                });
                Head { most: u64::from(most), go }
            },
            |l| {
                let i = l.turn_counter();
                let two = l.number(2);
                let at = l.checked(BinOp::Mul, i, two);
                let unit = l.unit_at(raw, at, order);
                let zero = l.number(0);
                let ended = l.compare(CmpOp::Eq, unit, zero);
                let split = l.split_value(Some(ended));
                l.resume(split.yes);
                l.break_with(Val::Unit);
                l.resume(split.no);
                l.put_unit(unit, slot, room - i128::from(LONGEST), span);
            },
        );
        let Exits { done, spent, breaks, .. } = exits;
        let ends = done.into_iter().chain(spent).map(|f| (f, Val::Unit)).chain(breaks).collect();
        self.merge(ends, span);
        let len = self.hidden(LEN);
        for _ in 0..3 {
            self.flow.locals.pop();
        }
        let Val::Int(len, _) = len else { return Decoded { val: Val::Never, end } };
        let max = most * 3;
        let bound = self.number(i128::from(max));
        let fits = self.compare(CmpOp::Le, len, bound);
        let fault = self.longer(ctx, span);
        self.guard(fits, fault);
        let len = self.shown(len, fits);
        let bytes = Bytes {
            place: Self::at_slot(slot),
            len: Len::Value(len),
            max,
            display: Display::Plain,
            block_offset: None,
        };
        Decoded { val: Val::Bytes(bytes), end }
    }

    /// The fault of text that has more bytes than three for each unit, which no text has.
    fn longer(&mut self, ctx: &Context, span: Span) -> ir::FaultRef {
        self.fault(FaultKind::Limit, format!("{} is longer than its room", ctx.name), span)
    }

    fn unit_at(&mut self, raw: Bytes, at: Value, order: Endian) -> Value {
        let start = self.offset_of(raw.place);
        let at = self.checked(BinOp::Add, start, at);
        let place = Place { origin: Origin::Plain(at), index: None, disp: 0, ..raw.place };
        let addr = self.addr(place, 2, "a unit of text");
        self.load(addr, 2, order, ir::Ty::U64)
    }

    /// Writes a unit's bytes behind the text so far, or, where the unit before was the first half of a pair, the pair's bytes in place of those.
    /// Always writes four and counts those that are meant: no branch depends on data.
    fn put_unit(&mut self, unit: Value, slot: ir::Slot, last: i128, span: Span) {
        let (Val::Int(len, _), Val::Int(start, _), Val::Int(high, _)) =
            (self.hidden(LEN), self.hidden(START), self.hidden(HIGH))
        else {
            return;
        };
        let is_half = |l: &mut Self, unit: Value, from: i128| {
            let (mask, wanted) = (l.number(0xfc00), l.number(from));
            let top = l.exact(BinOp::And, unit, mask);
            l.compare(CmpOp::Eq, top, wanted)
        };
        let (first, second) = (is_half(self, unit, 0xd800), is_half(self, unit, 0xdc00));
        let zero = self.number(0);
        let before = self.compare(CmpOp::Ne, high, zero);
        let pair = self.exact(BinOp::And, before, second);
        let code = {
            let (mask, ten, plane) = (self.number(0x3ff), self.number(10), self.number(0x10000));
            let (a, b) = (self.exact(BinOp::And, high, mask), self.exact(BinOp::And, unit, mask));
            let a = self.exact(BinOp::Shl, a, ten);
            let both = self.exact(BinOp::Or, a, b);
            let both = self.exact(BinOp::Add, both, plane);
            self.select(pair, both, unit)
        };
        let at = self.select(pair, start, len);
        let bound = self.number(last);
        let fits = self.compare(CmpOp::Le, at, bound);
        let fault = self.fault(FaultKind::Limit, "text is longer than its room", span);
        self.guard(fits, fault);
        let at = self.shown(at, fits);
        let below = [0x80, 0x800, 0x10000].map(|n| {
            let n = self.number(n);
            self.compare(CmpOp::Lt, code, n)
        });
        // The low bits from `shift` on, six of them behind a first byte, under the byte's mark.
        let mut part = |shift: i128, mark: i128| {
            let n = self.number(shift);
            let shifted = self.exact(BinOp::Shr, code, n);
            let mask = self.number(if mark == 0x80 { 0x3f } else { 0xff });
            let bits = self.exact(BinOp::And, shifted, mask);
            let mark = self.number(mark);
            self.exact(BinOp::Or, bits, mark)
        };
        let (lead, next) = (
            [part(0, 0), part(6, 0xc0), part(12, 0xe0), part(18, 0xf0)],
            [part(0, 0x80), part(6, 0x80), part(12, 0x80)],
        );
        let by_length = |l: &mut Self, of: [Value; 4]| {
            let long = l.select(below[2], of[2], of[3]);
            let long = l.select(below[1], of[1], long);
            l.select(below[0], of[0], long)
        };
        let bytes = [
            by_length(self, lead),
            by_length(self, [zero, next[0], next[1], next[2]]),
            by_length(self, [zero, zero, next[0], next[1]]),
            next[0],
        ];
        for (disp, byte) in (0..).zip(bytes) {
            let addr = Addr { region: Region::Slot(slot), base: None, index: Some(at), disp };
            self.b.set_span(span);
            self.b.store(addr, 1, Endian::Little, byte);
        }
        let lengths = [1, 2, 3, 4].map(|n| self.number(n));
        let count = by_length(self, lengths);
        let len = self.checked(BinOp::Add, at, count);
        let high = self.select(first, unit, zero);
        for (name, v) in [(LEN, len), (START, at), (HIGH, high)] {
            self.set_hidden(name, Val::Int(v, IntTy::plain(32, false)));
        }
    }
}

/// The bytes of the longest character.
const LONGEST: u32 = 4;
/// How many bytes there are, where the last character begins, and the last unit if it was the first half of a pair.
const LEN: &str = "#text";
const START: &str = "#character";
const HIGH: &str = "#high";
