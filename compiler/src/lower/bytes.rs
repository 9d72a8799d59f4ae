//! Bytes that stand somewhere: parts, copies, comparison.

use super::loops::{Exits, Head, Plan};
use super::*;
use crate::ir::schema::Display;
use crate::ir::{Addr, BinOp, CmpOp, Endian, FaultKind, FoundAs, Region, Size, Slot, Value};

/// No slot is larger: it must fit the scratch memory of a hook.
pub(super) const SLOT_MAX: u32 = 1 << 16;

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
    pub(super) fn bytes_of_view(&mut self, view: &Shared<View>) -> Bytes {
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

    pub(super) fn equal_bytes(&mut self, a: Bytes, b: Bytes, span: Span) -> Val {
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
}

impl Bytes {
    fn with_max(self, max: u32) -> Bytes {
        Bytes { max, ..self }
    }
}
