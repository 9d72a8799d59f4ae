//! Bytes, arrays, rows of structures, and local byte strings.

use super::loops::{Exits, Head, Plan};
use super::view::{Context, Decoded};
use super::*;
use crate::check::layout::Extent;
use crate::ir::schema::Display;
use crate::ir::{Addr, BinOp, CmpOp, Endian, FaultKind, FoundAs, Region, Size, Slot, Value};

/// Methods that change a buffer.
pub(super) const MUTATING: [&str; 3] = ["append", "truncate", "clear"];

/// No slot is larger: it must fit the scratch memory of a hook.
const SLOT_MAX: u32 = 1 << 16;

/// Comparisons for equality of at most so many known bytes are unrolled, eight bytes a step.
const UNROLLED_MAX: u32 = 64;

impl Lowerer<'_> {
    pub(super) fn bytes_literal(&mut self, b: &[u8]) -> Val {
        let data = match self.literals.get(b) {
            Some(d) => *d,
            None => {
                let d = self.b.data("text", b);
                self.literals.insert(b.to_vec(), d);
                d
            }
        };
        let place = Place { region: Region::Data(data), generation: 0, origin: Origin::Start, index: None, disp: 0 };
        let n = b.len() as u32;
        Val::Bytes(Bytes { place, len: Len::Const(n), max: n, display: Display::Plain, block_offset: None })
    }

    pub(super) fn len_value(&mut self, len: Len) -> Value {
        match len {
            Len::Const(n) => self.number(i128::from(n)),
            Len::Value(v) => v,
        }
    }

    pub(super) fn slot_for(&mut self, size: u32, span: Span) -> Option<Slot> {
        if size > SLOT_MAX {
            self.error(
                "E0303",
                span,
                format!("expected at most {SLOT_MAX} bytes to copy, found {size}"),
                "too large for a local area",
            );
            return None;
        }
        Some(self.b.slot("bytes", size.max(1)))
    }

    pub(super) fn at_slot(slot: Slot) -> Place {
        Place { region: Region::Slot(slot), generation: 0, origin: Origin::Start, index: None, disp: 0 }
    }

    /// Copies bytes into a slot; they stand there from then on.
    pub(super) fn copy_to_slot(&mut self, b: Bytes, slot: Slot) -> Bytes {
        if b.place == Self::at_slot(slot) {
            return b;
        }
        self.copy(Addr { region: Region::Slot(slot), base: None, index: None, disp: 0 }, b);
        Bytes { place: Self::at_slot(slot), block_offset: None, ..b }
    }

    /// Copies bytes to an address with room for the most of them.
    pub(super) fn copy(&mut self, to: Addr, b: Bytes) {
        if b.len == Len::Const(0) || self.stale_bytes(&b) {
            return;
        }
        let (from, len) = match b.len {
            Len::Const(n) => (self.addr(b.place, n, "what is copied"), Size::Const(n)),
            Len::Value(v) => (self.addr_of_all(b, v), Size::Value(v)),
        };
        self.b.set_span(self.span);
        self.b.copy(to, from, len);
    }

    fn stale_bytes(&mut self, b: &Bytes) -> bool {
        let stale = self.is_stale(b.place);
        if stale {
            let mut d = Diagnostic::error(
                "E0305",
                self.span,
                "expected bytes that are still there, found bytes of a block that was replaced by a later read",
                "their block is gone",
            );
            d.help = Some("use them before the read; up to 64 bytes in a variable are kept over it".into());
            self.report(d);
        }
        stale
    }

    /// An address with evidence for as many bytes as `len` says.
    fn addr_of_all(&mut self, b: Bytes, len: Value) -> Addr {
        if matches!(b.place.origin, Origin::Start) && b.place.region != Region::Disk {
            return self.addr(b.place, b.max, "what is copied");
        }
        let at = self.offset_of(b.place);
        let limit = self.region_limit(b.place.region);
        let id = self.fault_id(FaultKind::Corrupt, "bytes lie outside their block", FoundAs::Unsigned, self.span);
        let fault = ir::FaultRef { fault: id, found: None, at: Some(at) };
        let base = self.check(b.place.region, at, Size::Value(len), limit, fault);
        Addr { region: b.place.region, base: Some(base), index: None, disp: 0 }
    }

    /// The byte at an index that is below the length.
    pub(super) fn byte(&mut self, b: Bytes, i: Value) -> Value {
        let most = b.max.saturating_sub(1);
        let plain = !matches!(b.place.origin, Origin::Plain(_)) && b.place.index.is_none();
        let covered = match b.place.origin {
            Origin::Start => {
                b.place.region != Region::Disk
                    || u64::from(b.place.disp) + u64::from(b.max) <= u64::from(self.flow.disk.map_or(0, |d| d.min))
            }
            Origin::Checked(_, n) => u64::from(b.place.disp) + u64::from(b.max) <= u64::from(n),
            Origin::Plain(_) => false,
        };
        let place = if plain && covered {
            Place { index: Some((i, most)), ..b.place }
        } else {
            let start = self.offset_of(b.place);
            let at = self.checked(BinOp::Add, start, i);
            Place { origin: Origin::Plain(at), index: None, disp: 0, ..b.place }
        };
        let addr = self.addr(place, 1, "a byte");
        self.load(addr, 1, Endian::Little, ir::Ty::U64)
    }

    pub(super) fn byte_at(&mut self, b: Bytes, (i, i_span): (Value, Span), span: Span) -> Val {
        if self.stale_bytes(&b) {
            return Val::Never;
        }
        let len = self.len_value(b.len);
        self.prove_below(i, len, i_span);
        self.span = span;
        Val::Int(self.byte(b, i), IntTy::plain(8, false))
    }

    /// `a[i..j]`: both ends must lie inside, in order.
    pub(super) fn slice(
        &mut self,
        base: &ast::Expr,
        from: Option<&ast::Expr>,
        to: Option<&ast::Expr>,
        span: Span,
    ) -> Val {
        let val = self.expr(base);
        let b = match val {
            Val::Bytes(b) | Val::Buffer(b) => b,
            Val::View(v) => self.bytes_of_view(&v),
            other => return self.mismatch(base.span, "bytes", &other),
        };
        let (val, ends) = self.holding(Val::Bytes(b), |l| {
            let zero = l.number(0);
            let start = match from {
                Some(e) => {
                    let v = l.expr(e);
                    l.unsigned(v, e.span)
                }
                None => Some(zero),
            };
            let start = start.map_or(Val::Never, |v| Val::Int(v, IntTy::U64));
            l.holding(start, |l| {
                to.map(|e| {
                    let v = l.expr(e);
                    l.unsigned(v, e.span)
                })
            })
        });
        let Val::Bytes(b) = val else { return Val::Never };
        let (Val::Int(start, _), end) = ends else { return Val::Never };
        self.span = span;
        let len = self.len_value(b.len);
        let end = match end {
            Some(Some(v)) => v,
            Some(None) => return Val::Never,
            None => len,
        };
        let text = self.text(span).to_string();
        let fault = self.fault(FaultKind::Corrupt, format!("`{text}` lies outside its bytes"), span);
        let ordered = self.compare(CmpOp::Le, end, len);
        self.guard(ordered, fault);
        let end = self.shown(end, ordered);
        let ordered = self.compare(CmpOp::Le, start, end);
        self.guard(ordered, fault);
        let start = self.shown(start, ordered);
        self.part(b, start, end)
    }

    pub(super) fn part(&mut self, b: Bytes, start: Value, end: Value) -> Val {
        let len = match (self.as_const(start), self.as_const(end)) {
            (Some(s), Some(e)) if e >= s => Len::Const((e - s) as u32),
            _ => Len::Value(self.checked(BinOp::Sub, end, start)),
        };
        let place = match self.as_const(start) {
            Some(s) => b.place.plus(s as u32),
            None => {
                let at = self.offset_of(b.place);
                let at = self.checked(BinOp::Add, at, start);
                Place { origin: Origin::Plain(at), index: None, disp: 0, ..b.place }
            }
        };
        let max = match len {
            Len::Const(n) => n,
            Len::Value(v) => u32::try_from(self.claim(v).hi.clamp(0, i128::from(b.max))).unwrap_or(b.max),
        };
        Val::Bytes(Bytes { place, len, max, ..b })
    }

    /// Bytes as a parameter or result of a given capacity.
    pub(super) fn fit_bytes(&mut self, b: Bytes, max: u32, fixed: bool, display: Display, span: Span) -> Val {
        self.span = span;
        let out = Bytes { display: if display == Display::Plain { b.display } else { display }, ..b };
        match (b.len, fixed) {
            (Len::Const(n), true) if n == max => return Val::Bytes(out),
            (Len::Const(n), false) if n <= max => return Val::Bytes(out.with_max(max)),
            (Len::Value(_), false) if b.max <= max => return Val::Bytes(out.with_max(max)),
            (Len::Const(n), _) => {
                let wanted = if fixed { format!("bytes<{max}>") } else { format!("bytes up to {max}") };
                return self.error(
                    "E0301",
                    span,
                    format!("expected {wanted}, found bytes<{n}>"),
                    "of the wrong length",
                );
            }
            (Len::Value(_), _) => {}
        }
        let Len::Value(len) = b.len else { return Val::Never };
        let most = self.number(i128::from(max));
        let cond = if fixed { self.compare(CmpOp::Eq, len, most) } else { self.compare(CmpOp::Le, len, most) };
        let text = self.text(span).to_string();
        let rule = if fixed { "expected" } else { "at most" };
        let id = self.fault_id(
            FaultKind::Overflow,
            format!("`{text}` has {{}} bytes, {rule} {max}"),
            FoundAs::Unsigned,
            span,
        );
        self.guard(cond, ir::FaultRef { fault: id, found: Some(len), at: None });
        let len = if fixed { Len::Const(max) } else { Len::Value(len) };
        Val::Bytes(Bytes { len, max, ..out })
    }

    /// All bytes of a view.
    pub(super) fn bytes_of_view(&mut self, view: &View) -> Bytes {
        let start = self.offset_of(view.place);
        let len = self.checked(BinOp::Sub, view.limit, start);
        let max = u32::try_from(self.claim(len).hi.clamp(0, i128::from(crate::check::SIZE_MAX))).unwrap_or(0);
        let len = match self.as_const(len) {
            Some(n) => Len::Const(n as u32),
            None => Len::Value(len),
        };
        let block_offset = Some(view.block_offset);
        Bytes { place: view.place, len, max, display: Display::Plain, block_offset }
    }

    /// `self with checksum = 0`.
    pub(super) fn self_with(&mut self, fields: &[(ast::Ident, ast::Expr)], span: Span) -> Val {
        let Val::View(view) = self.self_value(span) else { return Val::Never };
        let all = self.bytes_of_view(&view);
        let Some(slot) = self.slot_for(all.max, span) else { return Val::Never };
        let copy = self.copy_to_slot(all, slot);
        let program = self.program;
        let def = &program.structs[view.def.index()];
        for (name, value) in fields {
            let member = def.by_name.get(&name.name).map(|i| &def.members[*i].kind);
            let Some(MemberKind::Stored {
                offset: Offset::Fixed(at), ty: FieldTy::Scalar { width, endian, .. }, ..
            }) = member
            else {
                return self.error(
                    "E0301",
                    name.span,
                    format!("expected a scalar field at a fixed offset, found `{}`", name.name),
                    "cannot be replaced",
                );
            };
            let val = self.expr(value);
            let Some(v) = self.unsigned(val, value.span) else { return Val::Never };
            let addr = Addr { region: Region::Slot(slot), base: None, index: None, disp: *at };
            self.b.set_span(span);
            self.b.store(addr, *width, *endian, v);
        }
        Val::Bytes(copy)
    }

    /// Compares byte strings in lexicographic order.
    pub(super) fn compare_bytes(&mut self, op: CmpOp, a: Bytes, b: Bytes, span: Span) -> Val {
        if self.stale_bytes(&a) || self.stale_bytes(&b) {
            return Val::Never;
        }
        match op {
            CmpOp::Eq => self.equal_bytes(a, b, span),
            CmpOp::Ne => match self.equal_bytes(a, b, span) {
                Val::Bool(v) => Val::Bool(self.not(v)),
                other => other,
            },
            CmpOp::Lt | CmpOp::Le => self.order_bytes(op, a, b, span),
        }
    }

    fn equal_bytes(&mut self, a: Bytes, b: Bytes, span: Span) -> Val {
        if let (Len::Const(n), Len::Const(m)) = (a.len, b.len) {
            if n != m {
                return Val::Bool(self.truth(false));
            }
            if n <= UNROLLED_MAX {
                return self.equal_words(a, b, n);
            }
        }
        let (la, lb) = (self.len_value(a.len), self.len_value(b.len));
        let same_len = self.compare(CmpOp::Eq, la, lb);
        let split = self.split_value(Some(same_len));
        self.both(
            split,
            span,
            |l| {
                let exits = l.walk_bytes(a, b, span, |l, x, y| {
                    let differ = l.compare(CmpOp::Ne, x, y);
                    let split = l.split_value(Some(differ));
                    l.resume(split.yes);
                    let no = l.truth(false);
                    l.break_with(Val::Bool(no));
                    l.resume(split.no);
                });
                l.end_of_walk(exits, span, |l| l.truth(true))
            },
            |l| Val::Bool(l.truth(false)),
        )
    }

    fn equal_words(&mut self, a: Bytes, b: Bytes, n: u32) -> Val {
        let mut at = 0;
        let mut same: Option<Value> = None;
        while at < n {
            let width = match n - at {
                8.. => 8,
                4..=7 => 4,
                2 | 3 => 2,
                _ => 1u32,
            };
            let (x, y) = (self.addr(a.place.plus(at), width, "bytes"), self.addr(b.place.plus(at), width, "bytes"));
            let x = self.load(x, width as u8, Endian::Little, ir::Ty::U64);
            let y = self.load(y, width as u8, Endian::Little, ir::Ty::U64);
            let equal = self.compare(CmpOp::Eq, x, y);
            same = Some(match same {
                Some(s) => self.exact(BinOp::And, s, equal),
                None => equal,
            });
            at += width;
        }
        Val::Bool(same.unwrap_or_else(|| self.truth(true)))
    }

    fn order_bytes(&mut self, op: CmpOp, a: Bytes, b: Bytes, span: Span) -> Val {
        let exits = self.walk_bytes(a, b, span, |l, x, y| {
            let differ = l.compare(CmpOp::Ne, x, y);
            let split = l.split_value(Some(differ));
            l.resume(split.yes);
            let less = l.compare(CmpOp::Lt, x, y);
            l.break_with(Val::Bool(less));
            l.resume(split.no);
        });
        self.end_of_walk(exits, span, |l| {
            let (la, lb) = (l.len_value(a.len), l.len_value(b.len));
            l.compare(op, la, lb)
        })
    }

    /// Runs over the bytes that both strings have.
    fn walk_bytes(&mut self, a: Bytes, b: Bytes, span: Span, body: impl FnOnce(&mut Self, Value, Value)) -> Exits {
        let plan = Plan::quiet(&[], span);
        let most = u64::from(a.max.min(b.max));
        self.run_loop(
            &plan,
            |l, i| {
                l.span = span;
                let mut conds = Vec::new();
                for s in [a, b] {
                    if !matches!(s.len, Len::Const(n) if u64::from(n) >= most) {
                        let len = l.len_value(s.len);
                        conds.push(l.compare(CmpOp::Lt, i, len));
                    }
                }
                Head { most, go: l.split_all(conds, span) }
            },
            |l| {
                let i = l.turn_counter();
                let (x, y) = (l.byte(a, i), l.byte(b, i));
                body(l, x, y);
            },
        )
    }

    fn end_of_walk(&mut self, exits: Exits, span: Span, at_end: impl FnOnce(&mut Self) -> Value) -> Val {
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        // This way does not dominate what follows: a difference found before leads there too.
        let v = Val::Bool(self.scoped(at_end));
        let mut flows = exits.breaks;
        flows.push((self.flow.clone(), v));
        self.merge(flows, span)
    }

    pub(super) fn decode_bytes(&mut self, n: &ast::Expr, display: Display, place: Place, ctx: &Context) -> Decoded {
        let Some(len) = self.size_in(ctx, n) else { return Decoded { val: Val::Never, end: None } };
        self.sized_bytes(len, display, place, ctx)
    }

    /// So many bytes at a place, which must lie within the limit.
    pub(super) fn sized_bytes(&mut self, len: Value, display: Display, place: Place, ctx: &Context) -> Decoded {
        let block_offset = ctx.offset_of_block(place);
        if let Some(n) = self.as_const(len)
            && let Ok(n) = u32::try_from(n)
        {
            let place = self.bounded(place, n, ctx);
            let end = self.offset_of(place.plus(n));
            let len = Len::Const(n);
            return Decoded { val: Val::Bytes(Bytes { place, len, max: n, display, block_offset }), end: Some(end) };
        }
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let fault = self.outside_of(&ctx.name, start);
        let checked = self.check(place.region, start, Size::Value(len), limit, fault);
        let max = self.claim(len).hi.min(self.claim(limit).hi).clamp(0, i128::from(crate::check::SIZE_MAX));
        let place = Place { origin: Origin::Plain(checked), index: None, disp: 0, ..place };
        let end = self.end_of_check(checked, len);
        let len = Len::Value(len);
        Decoded { val: Val::Bytes(Bytes { place, len, max: max as u32, display, block_offset }), end: Some(end) }
    }

    fn outside_of(&mut self, name: &str, at: Value) -> ir::FaultRef {
        let id =
            self.fault_id(FaultKind::Corrupt, format!("{name} lies outside its block"), FoundAs::Unsigned, self.span);
        ir::FaultRef { fault: id, found: None, at: Some(at) }
    }

    fn good_limit(&mut self, region: Region, ctx: &Context) -> Value {
        let whole = self.region_limit(region);
        if ctx.limit_evident || ctx.limit == whole {
            return ctx.limit;
        }
        let fault = self.outside_of(&ctx.name, ctx.limit);
        self.check(region, ctx.limit, Size::Const(0), whole, fault)
    }

    /// A place with evidence that `size` bytes from there lie within the limit of what they stand in.
    fn bounded(&mut self, place: Place, size: u32, ctx: &Context) -> Place {
        // What lies in the fixed part of a view was checked with it.
        if !matches!(place.origin, Origin::Plain(_)) {
            let anchored = self.anchor(place, size, &ctx.name);
            if anchored == place {
                return place;
            }
        }
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let fault = self.outside_of(&ctx.name, start);
        let checked = self.check(place.region, start, Size::Const(size), limit, fault);
        Place { origin: Origin::Checked(checked, size), index: None, disp: 0, ..place }
    }

    pub(super) fn bytes_to_end(&mut self, place: Place, ctx: &Context) -> Val {
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let len = self.room(place.region, start, limit, &ctx.name);
        let max = self.claim(limit).hi.clamp(0, i128::from(crate::check::SIZE_MAX)) as u32;
        let len = match self.as_const(len) {
            Some(n) => Len::Const(n as u32),
            None => Len::Value(len),
        };
        let max = if let Len::Const(n) = len { n } else { max };
        let block_offset = ctx.offset_of_block(place);
        Val::Bytes(Bytes { place, len, max, display: Display::Plain, block_offset })
    }

    /// The bytes from `start` to `limit`; it is corrupt to begin after it.
    fn room(&mut self, region: Region, start: Value, limit: Value, name: &str) -> Value {
        let fault = self.outside_of(name, start);
        let start = self.check(region, start, Size::Const(0), limit, fault);
        self.checked(BinOp::Sub, limit, start)
    }

    fn array(
        &mut self,
        element: &FieldTy,
        place: Place,
        count: Option<Value>,
        stride: Option<u32>,
        ctx: &Context,
    ) -> Val {
        let limit = self.good_limit(place.region, ctx);
        Val::Array(Rc::new(Array {
            view: ctx.view.clone(),
            element: FieldTyRef::new(element),
            place,
            count,
            stride,
            limit,
            limit_evident: true,
            name: ctx.name.clone(),
        }))
    }

    fn module_of(&self, ctx: &Context) -> ModuleId {
        ctx.view.as_ref().map_or_else(|| self.module(), |v| self.program.structs[v.def.index()].module)
    }

    pub(super) fn decode_array(&mut self, element: &FieldTy, n: &ast::Expr, place: Place, ctx: &Context) -> Decoded {
        let Some(count) = self.size_in(ctx, n) else { return Decoded { val: Val::Never, end: None } };
        let Extent::Const(stride) = self.program.extent(self.module_of(ctx), element) else {
            return self.decode_seq(element, Some(n), place, ctx);
        };
        let scale = self.number(i128::from(stride));
        let total = self.checked(BinOp::Mul, count, scale);
        if let Some(total) = self.as_const(total).and_then(|t| u32::try_from(t).ok()) {
            let place = self.bounded(place, total, ctx);
            let end = self.offset_of(place.plus(total));
            return Decoded { val: self.array(element, place, Some(count), Some(stride), ctx), end: Some(end) };
        }
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let fault = self.outside_of(&ctx.name, start);
        let checked = self.check(place.region, start, Size::Value(total), limit, fault);
        let end = self.end_of_check(checked, total);
        let place = Place { origin: Origin::Plain(checked), index: None, disp: 0, ..place };
        Decoded { val: self.array(element, place, Some(count), Some(stride), ctx), end: Some(end) }
    }

    pub(super) fn array_to_end(&mut self, element: &FieldTy, place: Place, ctx: &Context) -> Val {
        let Extent::Const(stride) = self.program.extent(self.module_of(ctx), element) else {
            return self.array(element, place, None, None, ctx);
        };
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let room = self.room(place.region, start, limit, &ctx.name);
        let unit = self.number(i128::from(stride.max(1)));
        let count = self.exact(BinOp::Div, room, unit);
        self.array(element, place, Some(count), Some(stride), ctx)
    }

    pub(super) fn decode_seq(
        &mut self,
        element: &FieldTy,
        n: Option<&ast::Expr>,
        place: Place,
        ctx: &Context,
    ) -> Decoded {
        let count = match n {
            Some(n) => match self.size_in(ctx, n) {
                Some(v) => Some(v),
                None => return Decoded { val: Val::Never, end: None },
            },
            None => None,
        };
        let end = if count.is_none() { Some(ctx.limit) } else { None };
        Decoded { val: self.array(element, place, count, None, ctx), end }
    }

    /// The bytes of an array of so many scalars.
    pub(super) fn bytes_of_array(&mut self, array: &Array) -> Option<Bytes> {
        let n = u32::try_from(self.as_const(array.count?)?).ok()?.checked_mul(array.stride?)?;
        let scalar = matches!(*array.element.ty, FieldTy::Scalar { .. }) && n > 0;
        let (place, len) = (array.place, Len::Const(n));
        scalar.then_some(Bytes { place, len, max: n, display: Display::Plain, block_offset: None })
    }

    /// Bytes of known length as an array of scalars.
    pub(super) fn array_of_bytes(&mut self, b: Bytes, element: &FieldTy, name: String) -> Val {
        let FieldTy::Scalar { width, .. } = element else { return Val::Never };
        let count = self.number(i128::from(b.max / u32::from(*width)));
        let end = self.offset_of(b.place.plus(b.max));
        Val::Array(Rc::new(Array {
            view: None,
            element: FieldTyRef::new(element),
            place: b.place,
            count: Some(count),
            stride: Some(u32::from(*width)),
            limit: end,
            limit_evident: false,
            name,
        }))
    }

    /// `array[i]`.
    pub(super) fn element(&mut self, array: &Rc<Array>, (i, i_span): (Value, Span), span: Span) -> Val {
        if self.is_stale(array.place) {
            let message = format!(
                "expected an array that is still there, found {}, whose block was replaced by a later read",
                array.name
            );
            let mut d = Diagnostic::error("E0305", span, message, "its block is gone");
            d.help = Some(format!(
                "up to 64 bytes of numbers are kept; of {} copy the elements that are needed before the read, or read the block again",
                array.name
            ));
            self.report(d);
            return Val::Never;
        }
        let (Some(count), Some(stride)) = (array.count, array.stride) else {
            let mut d = Diagnostic::error(
                "E0301",
                span,
                format!("expected an array of equal elements, found {}, whose elements say their own size", array.name),
                "has no index",
            );
            d.help = Some("run over it: `for e in …`".into());
            self.report(d);
            return Val::Never;
        };
        self.prove_below(i, count, i_span);
        self.span = span;
        let scale = self.number(i128::from(stride));
        let offset = self.checked(BinOp::Mul, i, scale);
        let total = self.as_const(count).map(|n| n * i128::from(stride));
        let covered = match (array.place.origin, total) {
            (Origin::Start, Some(t)) => {
                i128::from(array.place.disp) + t + i128::from(array.place.index.map_or(0, |x| x.1))
                    <= i128::from(self.sure_bytes(array.place.region))
            }
            (Origin::Checked(_, n), Some(t)) => {
                i128::from(array.place.disp) + t + i128::from(array.place.index.map_or(0, |x| x.1)) <= i128::from(n)
            }
            _ => false,
        };
        let place = if let (true, Some(total)) = (covered, total) {
            let most = (total - i128::from(stride)).max(0) as u32;
            let index = match array.place.index {
                Some((outer, outer_most)) => (self.checked(BinOp::Add, outer, offset), outer_most + most),
                None => (offset, most),
            };
            Place { index: Some(index), ..array.place }
        } else {
            let start = self.offset_of(array.place);
            let at = self.checked(BinOp::Add, start, offset);
            Place { origin: Origin::Plain(at), index: None, disp: 0, ..array.place }
        };
        let zero = self.number(0);
        let ctx = Context {
            view: array.view.clone(),
            limit: array.limit,
            limit_evident: array.limit_evident,
            block_offset: array.view.as_ref().map_or(zero, |v| v.block_offset),
            name: array.name.clone(),
            whole: false,
        };
        let ty = array.element.ty.clone();
        self.body_types.push(ty.clone());
        self.decode(&ty, place, &ctx, span).val
    }

    /// `var k: buffer<64>;` Twice the room, so that an append at any length stays inside whatever its own length.
    pub(super) fn new_buffer(&mut self, name: &str, n: u32, span: Span) -> Val {
        if n == 0 || n > SLOT_MAX / 2 {
            return self.error(
                "E0303",
                span,
                format!("expected a buffer of 1 to {} bytes, found {n}", SLOT_MAX / 2),
                "no such size",
            );
        }
        let slot = self.b.slot(name, 2 * n);
        let zero = self.number(0);
        let (place, len) = (Self::at_slot(slot), Len::Value(zero));
        Val::Buffer(Bytes { place, len, max: n, display: Display::Plain, block_offset: None })
    }

    /// Methods that the language has built in: `starts_with` of bytes; `append`, `truncate`, `clear` of a buffer.
    pub(super) fn builtin_method(
        &mut self,
        callee: &ast::Expr,
        args: &[(Option<ast::Ident>, ast::Expr)],
        span: Span,
    ) -> Val {
        let ast::ExprKind::Field(base, method) = &*callee.kind else {
            let name = self.text(callee.span).to_string();
            let known = self.program.modules[self.module().index()].names.keys().map(String::as_str);
            let like = crate::check::nearest(&name, known).map(String::from);
            let mut d = Diagnostic::error(
                "E0201",
                callee.span,
                format!("expected a fn or a traversal, found `{name}`"),
                "not declared",
            );
            d.help = like.map(|l| format!("did you mean `{l}`?"));
            self.report(d);
            return Val::Never;
        };
        let this = self.expr(base);
        let (this, given) = self.holding(this, |l| args.iter().map(|(_, a)| (l.expr(a), a.span)).collect::<Vec<_>>());
        self.span = span;
        match (&this, method.name.as_str(), &given[..]) {
            (Val::Never, ..) => Val::Never,
            (Val::Bytes(b) | Val::Buffer(b), "starts_with", [(Val::Bytes(p) | Val::Buffer(p), _)]) => {
                self.starts_with(*b, *p, span)
            }
            (Val::Buffer(b), m, _) if MUTATING.contains(&m) => {
                let new = self.change_buffer(*b, m, &given, span);
                let name = if let ast::ExprKind::Name(n) = &*base.kind { n.name.clone() } else { String::new() };
                if let Some(new) = new {
                    self.set_hidden(&name, Val::Buffer(new));
                }
                Val::Unit
            }
            _ => {
                let of = self.describe(&this);
                self.error(
                    "E0201",
                    method.span,
                    format!("expected a method of {of}, found `{}`", method.name),
                    "no such method",
                )
            }
        }
    }

    fn starts_with(&mut self, b: Bytes, prefix: Bytes, span: Span) -> Val {
        let (len, wanted) = (self.len_value(b.len), self.len_value(prefix.len));
        let enough = self.compare(CmpOp::Le, wanted, len);
        let split = self.split_value(Some(enough));
        self.both(
            split,
            span,
            |l| {
                let head = Bytes { len: prefix.len, max: prefix.max.min(b.max), ..b };
                l.equal_bytes(head, prefix, span)
            },
            |l| Val::Bool(l.truth(false)),
        )
    }

    pub(super) fn change_buffer(&mut self, b: Bytes, method: &str, given: &[(Val, Span)], span: Span) -> Option<Bytes> {
        let len = self.len_value(b.len);
        let Region::Slot(slot) = b.place.region else { return None };
        match (method, given) {
            ("clear", []) => Some(Bytes { len: Len::Value(self.number(0)), ..b }),
            ("truncate", [(n, at)]) => {
                let n = self.unsigned(n.clone(), *at)?;
                let fits = self.compare(CmpOp::Le, n, len);
                let text = self.text(span).to_string();
                let id = self.fault_id(
                    FaultKind::Corrupt,
                    format!("`{text}`: expected at most as many bytes as there are, found {{}}"),
                    FoundAs::Unsigned,
                    span,
                );
                self.guard(fits, ir::FaultRef { fault: id, found: Some(n), at: None });
                Some(Bytes { len: Len::Value(n), ..b })
            }
            ("append", [(what, at)]) => {
                let more = match what {
                    Val::Bytes(x) | Val::Buffer(x) => *x,
                    Val::Int(v, _) => {
                        let byte = self.fit_int((*v, IntTy::U64), IntTy::plain(8, false), *at);
                        let addr = Addr { region: Region::Slot(slot), base: None, index: Some(len), disp: 0 };
                        let one = self.number(1);
                        let grown = self.grown(b, len, one, span);
                        self.b.set_span(span);
                        self.b.store(addr, 1, Endian::Little, byte);
                        return Some(Bytes { len: Len::Value(grown), ..b });
                    }
                    other => {
                        self.mismatch(*at, "bytes or a byte", other);
                        return None;
                    }
                };
                let added = self.len_value(more.len);
                let grown = self.grown(b, len, added, span);
                let to = Addr { region: Region::Slot(slot), base: None, index: Some(len), disp: 0 };
                self.copy(to, more);
                Some(Bytes { len: Len::Value(grown), ..b })
            }
            _ => {
                self.error(
                    "E0205",
                    span,
                    format!("expected another number of arguments of `{method}`"),
                    "not complete",
                );
                None
            }
        }
    }

    /// The length after an append, which must not pass the buffer's size.
    fn grown(&mut self, b: Bytes, len: Value, added: Value, span: Span) -> Value {
        let most = self.number(i128::from(b.max));
        let text = self.text(span).to_string();
        let id = self.fault_id(
            FaultKind::Overflow,
            format!("`{text}`: the buffer holds {} bytes, found {{}} more", b.max),
            FoundAs::Unsigned,
            span,
        );
        let fault = ir::FaultRef { fault: id, found: Some(added), at: None };
        // Each length alone is below the size first: both bounds are then known by themselves.
        for part in [len, added] {
            let fits = self.compare(CmpOp::Le, part, most);
            self.guard(fits, fault);
        }
        let grown = self.checked(BinOp::Add, len, added);
        let fits = self.compare(CmpOp::Le, grown, most);
        self.guard(fits, fault);
        grown
    }
}

impl Bytes {
    fn with_max(self, max: u32) -> Bytes {
        Bytes { max, ..self }
    }
}
