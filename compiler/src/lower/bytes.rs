//! Bytes that stand somewhere: parts, copies, comparison.

use super::loops::{Exits, Head, Plan};
use super::*;
use crate::ir::schema::Display;
use crate::ir::{Addr, BinOp, CmpOp, Endian, FaultKind, FoundAs, Region, Size, Slot, Value};

/// No slot is larger: it must fit the scratch memory of a hook.
pub(super) const SLOT_MAX: u32 = 1 << 16;

/// Comparisons of at most so many known bytes are unrolled, eight bytes a step.
const UNROLLED_MAX: u32 = 64;
/// So are those of at most so many bytes where fewer may have to be compared.
const PADDED_MAX: u32 = 32;
/// Bytes of a word.
const WORD: u32 = 8;

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
        self.word(b, i, 1, Endian::Little)
    }

    /// The number in `width` of the bytes, from the one at `i` on.
    fn word(&mut self, b: Bytes, i: Value, width: u32, endian: Endian) -> Value {
        let most = b.max.saturating_sub(width);
        // Whoever asks for a byte has compared its place with the length; where a word may be is not always in its range.
        let within = width == 1 || self.range(i).hi <= most.into();
        let place = if within && self.has_room(b) {
            Place { index: Some((i, most)), ..b.place }
        } else {
            let start = self.offset_of(b.place);
            let at = self.checked(BinOp::Add, start, i);
            Place { origin: Origin::Plain(at), index: None, disp: 0, ..b.place }
        };
        let addr = self.addr(place, width, "a byte");
        self.load(addr, width as u8, endian, ir::Ty::U64)
    }

    /// Whether the most bytes that there can be may be read, however many there are.
    fn has_room(&self, b: Bytes) -> bool {
        let end = u64::from(b.place.disp) + u64::from(b.max);
        let is_there = match b.place.origin {
            Origin::Start => b.place.region != Region::Disk || end <= u64::from(self.flow.disk.map_or(0, |d| d.min)),
            Origin::Checked(_, n) => end <= u64::from(n),
            Origin::Plain(_) => false,
        };
        is_there && b.place.index.is_none()
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
        let known = [a.len, b.len].into_iter().find_map(|len| match len {
            Len::Const(n) => Some(n),
            Len::Value(_) => None,
        });
        self.both(
            split,
            span,
            |l| match known {
                Some(n) if n <= UNROLLED_MAX.min(a.max).min(b.max) => l.equal_words(a, b, n),
                None if let Some(most) = l.padded_most(a, b) => {
                    let pairs: Vec<_> =
                        words(most).map(|word| l.padded(a, Bytes { len: a.len, ..b }, most, word)).collect();
                    Val::Bool(l.all_equal(pairs))
                }
                _ => {
                    let len = if matches!(a.len, Len::Const(_)) { lb } else { la };
                    let exits = l.walk_bytes((a, b, len), span, |l, x, y| {
                        let differ = l.compare(CmpOp::Ne, x, y);
                        let split = l.split_value(Some(differ));
                        l.resume(split.yes);
                        let no = l.truth(false);
                        l.break_with(Val::Bool(no));
                        l.resume(split.no);
                    });
                    l.end_of_walk(exits, span, |l| l.truth(true))
                }
            },
            |l| Val::Bool(l.truth(false)),
        )
    }

    fn equal_words(&mut self, a: Bytes, b: Bytes, n: u32) -> Val {
        let pairs: Vec<_> = words(n).map(|word| self.words_at(a, b, word, Endian::Little)).collect();
        Val::Bool(self.all_equal(pairs))
    }

    fn all_equal(&mut self, pairs: Vec<(Value, Value)>) -> Value {
        let mut same: Option<Value> = None;
        for (x, y) in pairs {
            let equal = self.compare(CmpOp::Eq, x, y);
            same = Some(match same {
                Some(s) => self.exact(BinOp::And, s, equal),
                None => equal,
            });
        }
        same.unwrap_or_else(|| self.truth(true))
    }

    /// The numbers that stand in both at a known place.
    fn words_at(&mut self, a: Bytes, b: Bytes, (at, width): (u32, u32), endian: Endian) -> (Value, Value) {
        let [x, y] = [a, b].map(|s| {
            let addr = self.addr(s.place.plus(at), width, "bytes");
            self.load(addr, width as u8, endian, ir::Ty::U64)
        });
        (x, y)
    }

    fn order_bytes(&mut self, op: CmpOp, a: Bytes, b: Bytes, span: Span) -> Val {
        if let (Len::Const(n), Len::Const(m)) = (a.len, b.len) {
            let tie = if op == CmpOp::Lt { n < m } else { n <= m };
            if n.min(m) <= UNROLLED_MAX {
                return self.order_words(a, b, n.min(m), tie);
            }
        }
        let (la, lb) = (self.len_value(a.len), self.len_value(b.len));
        if let Some(most) = self.padded_most(a, b) {
            // Bytes with zeroes behind them come in the same order, but for those that end in zeroes.
            let mut pairs: Vec<_> = words(most).map(|word| self.padded(a, b, most, word)).collect();
            pairs.push((la, lb));
            let (x, y) = self.first_difference(pairs).expect("there are at least the lengths");
            return Val::Bool(self.compare(op, x, y));
        }
        let is_shorter = self.compare(CmpOp::Lt, la, lb);
        let len = self.select(is_shorter, la, lb);
        let exits = self.walk_bytes((a, b, len), span, |l, x, y| {
            let differ = l.compare(CmpOp::Ne, x, y);
            let split = l.split_value(Some(differ));
            l.resume(split.yes);
            let less = l.compare(CmpOp::Lt, x, y);
            l.break_with(Val::Bool(less));
            l.resume(split.no);
        });
        self.end_of_walk(exits, span, |l| l.compare(op, la, lb))
    }

    /// Whether the first `n` bytes of `a` come before those of `b`, or are the same and `tie` is so: the first two numbers that differ tell.
    fn order_words(&mut self, a: Bytes, b: Bytes, n: u32, tie: bool) -> Val {
        let pairs: Vec<_> = words(n).map(|word| self.words_at(a, b, word, Endian::Big)).collect();
        let op = if tie { CmpOp::Le } else { CmpOp::Lt };
        Val::Bool(match self.first_difference(pairs) {
            Some((x, y)) => self.compare(op, x, y),
            None => self.truth(tie),
        })
    }

    /// The first two numbers that differ, else the last two.
    fn first_difference(&mut self, pairs: Vec<(Value, Value)>) -> Option<(Value, Value)> {
        pairs.into_iter().reduce(|(before, other), (x, y)| {
            let differ = self.compare(CmpOp::Ne, before, other);
            (self.select(differ, before, x), self.select(differ, other, y))
        })
    }

    /// So many bytes tell the order of both where one of them has no more, if that is known to be few and all of them may be read.
    fn padded_most(&self, a: Bytes, b: Bytes) -> Option<u32> {
        let most = common_most(a, b);
        (most <= PADDED_MAX && self.has_room(a) && self.has_room(b)).then_some(most)
    }

    /// The numbers that stand in both at a known place, with zeroes for what is behind the end.
    fn padded(&mut self, a: Bytes, b: Bytes, most: u32, word: (u32, u32)) -> (Value, Value) {
        let (x, y) = self.words_at(a, b, word, Endian::Big);
        (self.cut_off(x, a.len, most, word), self.cut_off(y, b.len, most, word))
    }

    /// The bytes of a big-endian number at a known place that lie below a length. Which these are stands in a table, in as many zeroes as there may be
    /// bytes and as many ones: the longer the text, the more ones are among the last bytes below `place of the length + zeroes - place of the word`.
    fn cut_off(&mut self, word: Value, len: Len, most: u32, (at, width): (u32, u32)) -> Value {
        let Len::Value(len) = len else { return word };
        let len = self.at_most(len, most);
        let table = [vec![0; most as usize], vec![0xff; most as usize]].concat();
        let Val::Bytes(Bytes { place, .. }) = self.bytes_literal(&table) else { return word };
        let addr = Addr { region: place.region, base: None, index: Some(len), disp: most - width - at };
        let mask = self.load(addr, width as u8, Endian::Little, ir::Ty::U64);
        self.exact(BinOp::And, word, mask)
    }

    fn at_most(&mut self, v: Value, most: u32) -> Value {
        if self.range(v).hi <= most.into() {
            return v;
        }
        let most = self.number(most.into());
        let is_less = self.compare(CmpOp::Lt, v, most);
        self.select(is_less, v, most)
    }

    /// Runs over the bytes that both strings have, `len`: over words, whose order is that of their bytes, where there are as many. The last word
    /// may begin among bytes that have been compared.
    fn walk_bytes(
        &mut self,
        (a, b, len): (Bytes, Bytes, Value),
        span: Span,
        body: impl Fn(&mut Self, Value, Value),
    ) -> Exits {
        // A known length may be far below what there is room for. The kernel's verifier, which does not see what bounds `len`, sees this.
        let most = common_most(a, b);
        if most < WORD {
            return self.walk_turns((most, len), span, |l, at| {
                let (x, y) = (l.byte(a, at), l.byte(b, at));
                body(l, x, y);
            });
        }
        let word = self.number(i128::from(WORD));
        let is_long = self.compare(CmpOp::Le, word, len);
        let split = self.split_value(Some(is_long));
        let (long, mut breaks, _) = self.on_way(split.yes, split.yes_scope, |l| {
            let last = l.checked(BinOp::Sub, len, word);
            let [one_less, shift] = [WORD - 1, 3].map(|n| l.number(i128::from(n)));
            let end = l.checked(BinOp::Add, len, one_less);
            let words = l.exact(BinOp::Shr, end, shift);
            let exits = l.walk_turns((most.div_ceil(WORD), words), span, |l, turn| {
                let at = l.checked(BinOp::Mul, turn, word);
                let is_inside = l.compare(CmpOp::Lt, at, last);
                let at = l.select(is_inside, at, last);
                let (x, y) = (l.word(a, at, WORD, Endian::Big), l.word(b, at, WORD, Endian::Big));
                body(l, x, y);
            });
            l.merge(exits.ends(), span);
            exits.breaks
        });
        let (short, more, _) = self.on_way(split.no, split.no_scope, |l| {
            let exits = l.walk_turns((WORD - 1, len), span, |l, at| {
                let (x, y) = (l.byte(a, at), l.byte(b, at));
                body(l, x, y);
            });
            l.merge(exits.ends(), span);
            exits.breaks
        });
        breaks.extend(more);
        Exits { done: vec![long, short], done_scope: Scope::default(), spent: None, breaks }
    }

    /// A loop of `turns`, at most `most`; `body` is told how many have been.
    fn walk_turns(&mut self, (most, turns): (u32, Value), span: Span, body: impl FnOnce(&mut Self, Value)) -> Exits {
        self.run_loop(
            &Plan::quiet(&[], span),
            |l, i| {
                l.span = span;
                let go = l.compare(CmpOp::Lt, i, turns);
                Head { most: most.into(), go: Some(l.split_value(Some(go))) }
            },
            |l| {
                let i = l.turn_counter();
                body(l, i);
            },
        )
    }

    fn end_of_walk(&mut self, exits: Exits, span: Span, at_end: impl FnOnce(&mut Self) -> Value) -> Val {
        self.merge(exits.ends(), span);
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

/// The most bytes that both may have.
fn common_most(a: Bytes, b: Bytes) -> u32 {
    [a, b].map(|s| if let Len::Const(n) = s.len { n.min(s.max) } else { s.max }).into_iter().min().unwrap_or(0)
}

/// The words that make up so many bytes: where each begins, and its width.
fn words(n: u32) -> impl Iterator<Item = (u32, u32)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let width = match n - at {
            0 => return None,
            WORD.. => WORD,
            4..WORD => 4,
            2 | 3 => 2,
            _ => 1,
        };
        at += width;
        Some((at - width, width))
    })
}
