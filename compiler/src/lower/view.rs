//! Views: making one, and what its members are.
//!
//! A view is checked when it is made: its fixed part lies in its block, its magics and conditions hold. Members of unknown size are
//! decoded when they are first used. What was decoded is remembered while it dominates.

use super::*;
use crate::ir::eval::range;
use crate::ir::{Addr, BinOp, CmpOp, FaultKind, FoundAs, Op, Region, Size, Value};
use ast::ExprKind;

/// In what a stored type stands while it is decoded.
#[derive(Clone)]
pub(super) struct Context {
    /// The scope of its expressions; none for a type that stands in a body.
    pub view: Option<View>,
    /// Where it must end.
    pub limit: Value,
    /// Whether that is known to lie within the block.
    pub limit_evident: bool,
    /// The byte offset of its block in the source.
    pub block_offset: Value,
    /// What messages call it: `ExtentNode.items`.
    pub name: String,
    /// Whether the block was read for exactly this structure, so that its size is the block's length.
    pub whole: bool,
}

impl Context {
    /// For bytes at a place: where their block is in its source.
    pub fn offset_of_block(&self, place: Place) -> Option<Value> {
        (place.region == Region::Disk).then_some(self.block_offset)
    }
}

/// What the fault of a condition reports: the number found, and the offset in the block.
pub(super) type Report = (Option<(Value, IntTy)>, Option<Value>);

/// What was decoded, and where it ends if that had to be found.
pub(super) struct Decoded {
    pub val: Val,
    pub end: Option<Value>,
}

impl Lowerer<'_> {
    /// The offset of a place from its region's start.
    pub(super) fn offset_of(&mut self, place: Place) -> Value {
        let disp = self.number(i128::from(place.disp));
        let start = match place.origin {
            Origin::Start => disp,
            Origin::Checked(v, _) | Origin::Plain(v) => self.checked(BinOp::Add, v, disp),
        };
        match place.index {
            Some((i, _)) => self.checked(BinOp::Add, start, i),
            None => start,
        }
    }

    /// Bytes that are sure to be in a region.
    pub(super) fn sure_bytes(&self, region: Region) -> u32 {
        match region {
            Region::Disk => self.flow.disk.map_or(0, |d| d.min),
            Region::Slot(s) => self.b.function().slots[s.index()].size,
            Region::Data(d) => self.b.function().data[d.index()].bytes.len() as u32,
            Region::Arg(a) => match self.b.function().args[a as usize].kind {
                ir::schema::LeafKind::Bytes { max, .. } => max,
                ir::schema::LeafKind::Scalar { .. } => 0,
            },
            Region::Out => self.b.function().out_size(),
        }
    }

    /// Where a region ends.
    pub(super) fn region_limit(&mut self, region: Region) -> Value {
        match (region, self.flow.disk) {
            (Region::Disk, Some(disk)) => disk.len,
            _ => {
                let n = self.sure_bytes(region);
                self.number(i128::from(n))
            }
        }
    }

    /// Whether the block in which a place lies was replaced by a later read.
    pub(super) fn is_stale(&self, place: Place) -> bool {
        place.region == Region::Disk && self.flow.disk.is_none_or(|d| d.generation != place.generation)
    }

    /// The fault of a structure that does not lie in its block.
    fn outside(&mut self, what: &str, at: Value) -> ir::FaultRef {
        let id =
            self.fault_id(FaultKind::Corrupt, format!("{what} lies outside its block"), FoundAs::Unsigned, self.span);
        ir::FaultRef { fault: id, found: None, at: Some(at) }
    }

    /// The same place with evidence that `size` bytes are there.
    pub(super) fn anchor(&mut self, place: Place, size: u32, what: &str) -> Place {
        let most = place.index.map_or(0, |(_, most)| most);
        let end = u64::from(place.disp) + u64::from(most) + u64::from(size);
        let good = match place.origin {
            Origin::Start => u64::from(self.sure_bytes(place.region)),
            Origin::Checked(_, n) => u64::from(n),
            Origin::Plain(_) => 0,
        };
        if end <= good && !(matches!(place.origin, Origin::Plain(_))) {
            return place;
        }
        let at = self.offset_of(place);
        let limit = self.region_limit(place.region);
        let fault = self.outside(what, at);
        let checked = self.check(place.region, at, Size::Const(size), limit, fault);
        Place { origin: Origin::Checked(checked, size), index: None, disp: 0, ..place }
    }

    /// An address for `width` bytes.
    pub(super) fn addr(&mut self, place: Place, width: u32, what: &str) -> Addr {
        let place = self.anchor(place, width, what);
        let base = match place.origin {
            Origin::Checked(v, _) => Some(v),
            Origin::Start | Origin::Plain(_) => None,
        };
        Addr { region: place.region, base, index: place.index.map(|(v, _)| v), disp: place.disp }
    }

    /// A limit that the verifier accepts: within the region.
    fn evident_limit(&mut self, region: Region, limit: Value, evident: bool, what: &str) -> Value {
        let whole = self.region_limit(region);
        // Only a constant: what is claimed here of other values the prover may find less of.
        if evident || limit == whole || self.as_const(limit).is_some_and(|n| n <= i128::from(self.sure_bytes(region))) {
            return limit;
        }
        let fault = self.outside(what, limit);
        self.check(region, limit, Size::Const(0), whole, fault)
    }

    /// Makes a view and checks what its structure promises.
    pub(super) fn make_view(&mut self, id: StructId, args: Vec<Val>, place: Place, ctx: &Context, span: Span) -> View {
        self.span = span;
        let def = &self.program.structs[id.index()];
        let name = def.name.clone();
        let limit = self.evident_limit(place.region, ctx.limit, ctx.limit_evident, &name);
        let start = self.offset_of(place);
        let fixed = match def.size {
            SizeRule::Const(n) => n,
            _ => def.fixed_bytes.max(def.least_bytes),
        };
        let place = self.within(place, start, fixed, limit, &name);
        let view_id = self.new_view_id();
        let mut view = View {
            id: view_id,
            def: id,
            place,
            limit,
            limit_evident: true,
            args,
            block_offset: ctx.block_offset,
            tested: true,
            kept: Vec::new(),
        };
        match &def.size {
            SizeRule::Const(n) => {
                let size = self.number(i128::from(*n));
                view.limit = self.checked(BinOp::Add, start, size);
                view.limit_evident =
                    matches!(place.origin, Origin::Checked(..)) && place.disp == 0 && place.index.is_none();
            }
            SizeRule::Declared(_) if ctx.whole => {}
            SizeRule::Declared(e) => self.declared_size(&mut view, e, start, limit, &name, fixed),
            SizeRule::LastMember => {}
        }
        self.check_members(&view, span);
        view
    }

    /// A place with evidence that `size` bytes from there on lie within `limit`.
    fn within(&mut self, place: Place, start: Value, size: u32, limit: Value, what: &str) -> Place {
        if self.claim(start).hi + i128::from(size) <= self.claim(limit).lo {
            let anchored = self.anchor(place, size, what);
            return anchored;
        }
        let fault = self.outside(what, start);
        let checked = self.check(place.region, start, Size::Const(size), limit, fault);
        Place { origin: Origin::Checked(checked, size), index: None, disp: 0, ..place }
    }

    fn declared_size(&mut self, view: &mut View, e: &ast::Expr, start: Value, limit: Value, name: &str, fixed: u32) {
        let module = self.program.structs[view.def.index()].module;
        let size = self.in_member_scope(module, Val::View(view.clone()), |l| {
            let val = l.expr(e);
            l.unsigned(val, e.span)
        });
        let Some(size) = size else { return };
        let least = self.number(i128::from(fixed.max(1)));
        let enough = self.compare(CmpOp::Le, least, size);
        let id = self.fault_id(
            FaultKind::Corrupt,
            format!("the size of {name} is {{}}, expected at least {}", fixed.max(1)),
            FoundAs::Unsigned,
            e.span,
        );
        self.guard(enough, ir::FaultRef { fault: id, found: Some(size), at: Some(start) });
        let fault = self.outside(name, start);
        let checked = self.check(view.place.region, start, Size::Value(size), limit, fault);
        view.limit = self.end_of_check(checked, size);
        view.limit_evident = true;
    }

    /// Where the bytes end that a check has shown: kept as this sum, which the verifier takes as evidence.
    pub(super) fn end_of_check(&mut self, checked: Value, size: Value) -> Value {
        let range = range::mathematical(BinOp::Add, self.claim(checked), self.claim(size));
        if Range::of(ir::Ty::U64).contains(range) {
            return self.pure(Op::Binary { op: BinOp::Add, mode: ir::Mode::Exact, a: checked, b: size }, ir::Ty::U64);
        }
        self.checked(BinOp::Add, checked, size)
    }

    /// Checks magics and conditions, in the order of the members.
    fn check_members(&mut self, view: &View, span: Span) {
        if self.dump.is_some() {
            return;
        }
        let program = self.program;
        let def = &program.structs[view.def.index()];
        for (i, m) in def.members.iter().enumerate() {
            self.span = m.span;
            let magic = match &m.kind {
                MemberKind::Stored { magic, .. } | MemberKind::Bits { magic, .. } => magic.as_ref(),
                MemberKind::Computed { .. } | MemberKind::Condition => None,
            };
            if let Some(magic) = magic {
                self.check_magic(view, i, magic);
            }
            if let Some(cond) = &m.cond {
                let subject = if m.name == "_" { None } else { Some((i, format!("{}.{}", def.name, m.name))) };
                self.check_condition(view, subject, cond);
            }
            if let MemberKind::Stored { ty: FieldTy::Struct(inner, _), offset: Offset::Fixed(_), .. } = &m.kind
                && self.has_conditions(*inner)
            {
                self.member(view, i, m.span);
            }
        }
        self.span = span;
    }

    fn has_conditions(&self, id: StructId) -> bool {
        self.program.structs[id.index()].members.iter().any(|m| {
            m.cond.is_some()
                || match &m.kind {
                    MemberKind::Stored { magic: Some(_), .. } | MemberKind::Bits { magic: Some(_), .. } => true,
                    MemberKind::Stored { ty: FieldTy::Struct(inner, _), .. } => self.has_conditions(*inner),
                    _ => false,
                }
        })
    }

    fn check_magic(&mut self, view: &View, i: usize, magic: &ast::Expr) {
        let def = &self.program.structs[view.def.index()];
        let (module, span) = (def.module, def.members[i].span);
        let name = format!("{}.{}", def.name, def.members[i].name);
        let val = self.member(view, i, span);
        let wanted = self.in_member_scope(module, Val::View(view.clone()), |l| l.expr(magic));
        self.span = span;
        let at = self.member_offset(view, i);
        let number = |v: &Val| match v {
            Val::Int(v, t) => Some((*v, usize::from(t.bits) / 4)),
            Val::Enum(v, _) | Val::Flags(v, _) => Some((*v, 2)),
            _ => None,
        };
        let found = number(&val);
        let expected = match number(&wanted).and_then(|(w, _)| self.as_const(w)) {
            Some(n) => format!("{n:#0width$x}", width = found.map_or(2, |f| f.1) + 2),
            None => self.text(magic.span).to_string(),
        };
        let (message, digits) = match found {
            Some((_, digits)) => (format!("{name} is {{}}, expected {expected}"), digits),
            None => (format!("{name} is not {expected}"), 2),
        };
        let id = self.fault_id(FaultKind::Corrupt, message, FoundAs::Hex(digits as u8), span);
        let same = self.comparison(ast::BinaryOp::Eq, (val, span), (wanted, magic.span), span);
        if let Val::Bool(same) = same {
            self.guard(same, ir::FaultRef { fault: id, found: found.map(|f| f.0), at });
        }
    }

    /// Where a member lies in its block, for faults.
    fn member_offset(&mut self, view: &View, i: usize) -> Option<Value> {
        let place = self.place_of_member(view, i)?;
        Some(self.offset_of(place))
    }

    fn check_condition(&mut self, view: &View, subject: Option<(usize, String)>, cond: &ast::Expr) {
        let module = self.program.structs[view.def.index()].module;
        let text = self.text(cond.span).split_whitespace().collect::<Vec<_>>().join(" ");
        let mut found = None;
        let mut at = None;
        let what = match subject {
            Some((i, name)) => {
                let val = self.member(view, i, cond.span);
                at = self.member_offset(view, i);
                if let Val::Int(v, ty) = val {
                    found = Some((v, ty));
                    format!("{name} is {{}}: `{text}` does not hold")
                } else {
                    format!("{name}: `{text}` does not hold")
                }
            }
            None => format!("`{text}` does not hold"),
        };
        let fault = (found, at);
        self.in_member_scope(module, Val::View(view.clone()), |l| {
            l.require(cond, FaultKind::Corrupt, &what, Some(fault))
        });
    }

    /// Ends the walk unless `cond`; its conjuncts are tested one by one, so that each is known afterwards.
    pub(super) fn require(&mut self, cond: &ast::Expr, kind: FaultKind, message: &str, report: Option<Report>) {
        if let ExprKind::Binary(ast::BinaryOp::And, a, b) = &*cond.kind {
            self.require(a, kind, message, report);
            self.require(b, kind, message, report);
            return;
        }
        let Some(c) = self.cond(cond) else { return };
        self.span = cond.span;
        let (found, at) = report.unwrap_or((None, None));
        let format = found.map_or(FoundAs::Unsigned, |(_, t)| arith::found_as(t));
        let id = self.fault_id(kind, message, format, cond.span);
        // A comparison over both ends of a range is two guards.
        if let Some(Op::Binary { op: BinOp::And, a, b, .. }) = self.def_of(c) {
            for part in [a, b] {
                self.guard(part, ir::FaultRef { fault: id, found: found.map(|f| f.0), at });
            }
            return;
        }
        self.guard(c, ir::FaultRef { fault: id, found: found.map(|f| f.0), at });
    }

    /// Where a stored member (or the word of a bit field) begins.
    pub(super) fn place_of_member(&mut self, view: &View, i: usize) -> Option<Place> {
        let program = self.program;
        let def = &program.structs[view.def.index()];
        match &def.members[i].kind {
            MemberKind::Stored { offset: Offset::Fixed(n), .. } => {
                if self.is_stale(view.place) {
                    return None;
                }
                // One check covers all fixed members.
                let place = self.anchor(view.place, def.fixed_bytes, &def.name);
                Some(place.plus(*n))
            }
            MemberKind::Stored { offset: Offset::After { member, align }, .. } => {
                let end = self.end_of_member(view, *member)?;
                let end = if *align > 1 { self.align_up(view, end, *align) } else { end };
                Some(Place { origin: Origin::Plain(end), index: None, disp: 0, ..view.place })
            }
            MemberKind::Stored { offset: Offset::Computed(e), .. } => {
                let start = self.offset_of(view.place);
                let at = self.in_member_scope(def.module, Val::View(view.clone()), |l| {
                    let val = l.expr(e);
                    l.unsigned(val, e.span)
                })?;
                let at = self.checked(BinOp::Add, start, at);
                Some(Place { origin: Origin::Plain(at), index: None, disp: 0, ..view.place })
            }
            MemberKind::Bits { word, .. } => self.place_of_member(view, *word),
            MemberKind::Computed { .. } | MemberKind::Condition => None,
        }
    }

    /// The next multiple of `align` from the structure's start on.
    fn align_up(&mut self, view: &View, end: Value, align: u32) -> Value {
        let start = self.offset_of(view.place);
        let used = self.checked(BinOp::Sub, end, start);
        let more = self.number(i128::from(align) - 1);
        let up = self.checked(BinOp::Add, used, more);
        let unit = self.number(i128::from(align));
        let n = self.exact(BinOp::Div, up, unit);
        let up = self.checked(BinOp::Mul, n, unit);
        self.checked(BinOp::Add, start, up)
    }

    fn end_of_member(&mut self, view: &View, i: usize) -> Option<Value> {
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let MemberKind::Stored { ty, .. } = &def.members[i].kind else { return None };
        if let crate::check::layout::Extent::Const(n) = program.extent(def.module, ty) {
            let place = self.place_of_member(view, i)?;
            return Some(self.offset_of(place.plus(n)));
        }
        let key = (view.id, i);
        if let Some(end) = self.remembered(key).and_then(|(_, end)| end) {
            return Some(end);
        }
        let decoded = self.decode_member(view, i, def.members[i].span);
        match (decoded.end, decoded.val) {
            (None, Val::Array(row)) if row.count.is_some() => {
                let end = self.end_of_row(&row, def.members[i].span);
                self.remember(key, Val::Array(row), end);
                end
            }
            (end, _) => end,
        }
    }

    fn remembered(&self, key: (u32, usize)) -> Option<(Val, Option<Value>)> {
        let step = self.flow.step;
        let found = self.scopes.iter().rev().find_map(|s| s.members.get(&key));
        found.filter(|(s, ..)| *s == step).map(|(_, v, e)| (v.clone(), *e))
    }

    /// A member's value.
    pub(super) fn member(&mut self, view: &View, i: usize, span: Span) -> Val {
        let key = (view.id, i);
        if let Some((val, _)) = self.remembered(key) {
            return val;
        }
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let m = &def.members[i];
        if self.is_stale(view.place) && !matches!(m.kind, MemberKind::Computed { .. }) {
            return self.stale_member(view, i, span);
        }
        let val = match &m.kind {
            MemberKind::Stored { .. } => {
                let val = self.decode_member(view, i, span).val;
                if !view.tested && self.dump.is_none() {
                    self.test_again(view, i, span);
                }
                return val;
            }
            MemberKind::Bits { word, shift, width, scalar, .. } => {
                let Val::Int(w, _) = self.member(view, *word, span) else { return Val::Never };
                self.bit_field(w, *shift, *width, *scalar)
            }
            MemberKind::Computed { ty, value } => {
                let val = self.in_member_scope(def.module, Val::View(view.clone()), |l| {
                    let val = l.expr(value);
                    match ty {
                        Some(ty) => l.coerce(val, ty, value.span),
                        None => val,
                    }
                });
                self.label_value(&val, &m.name);
                val
            }
            MemberKind::Condition => Val::Unit,
        };
        self.remember(key, val.clone(), None);
        val
    }

    /// Tests the conditions on a member again, so that they are known here. They cannot fail: they held when the view was made.
    fn test_again(&mut self, view: &View, i: usize, span: Span) {
        // A condition names the member that is being tested, and perhaps others of the same view.
        if self.testing.contains(&view.id) {
            return;
        }
        self.testing.push(view.id);
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let name = &def.members[i].name;
        for (j, m) in def.members.iter().enumerate() {
            let Some(cond) = m.cond.as_ref().filter(|c| call::names_in(c).iter().any(|n| n == name)) else { continue };
            let subject = if m.name == "_" { None } else { Some((j, format!("{}.{}", def.name, m.name))) };
            self.check_condition(view, subject, cond);
        }
        self.testing.pop();
        self.span = span;
    }

    fn remember(&mut self, key: (u32, usize), val: Val, end: Option<Value>) {
        let step = self.flow.step;
        self.scopes.last_mut().expect("a scope is open").members.insert(key, (step, val, end));
    }

    fn label_value(&mut self, val: &Val, name: &str) {
        if let Val::Int(v, _) | Val::Bool(v) | Val::Enum(v, _) | Val::Flags(v, _) = val
            && self.b.function().value(*v).name.is_none()
            && self.as_const(*v).is_none()
        {
            self.b.set_name(*v, name);
        }
    }

    fn bit_field(&mut self, word: Value, shift: u8, width: u8, scalar: Scalar) -> Val {
        let n = self.number(i128::from(shift));
        let word = if self.ty(word) == ir::Ty::I64 { self.reinterpret(word, ir::Ty::U64) } else { word };
        let shifted = self.exact(BinOp::Shr, word, n);
        let mask = self.number((1i128 << width) - 1);
        let v = self.exact(BinOp::And, shifted, mask);
        match scalar {
            Scalar::Int(t) if t.signed => Val::Int(self.pure(Op::Extend { bits: width, a: v }, ir::Ty::I64), t),
            Scalar::Int(t) => Val::Int(v, t),
            Scalar::Bool => {
                let zero = self.number(0);
                Val::Bool(self.compare(CmpOp::Ne, v, zero))
            }
            Scalar::Enum(e) => Val::Enum(v, e),
            Scalar::Flags(f) => Val::Flags(v, f),
        }
    }

    fn decode_member(&mut self, view: &View, i: usize, span: Span) -> Decoded {
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let m = &def.members[i];
        let MemberKind::Stored { ty, .. } = &m.kind else { return Decoded { val: Val::Never, end: None } };
        let Some(place) = self.place_of_member(view, i) else {
            let message = format!("expected `{}` at a place that is known here, found none", m.name);
            self.error("E0406", span, message, "what stands before it has no known end");
            return Decoded { val: Val::Never, end: None };
        };
        let ctx = Context {
            view: Some(view.clone()),
            limit: view.limit,
            limit_evident: view.limit_evident,
            block_offset: view.block_offset,
            name: format!("{}.{}", def.name, m.name),
            whole: false,
        };
        self.span = span;
        let decoded = self.decode(ty, place, &ctx, span);
        self.label_value(&decoded.val, &m.name);
        self.remember((view.id, i), decoded.val.clone(), decoded.end);
        decoded
    }

    /// What a stored type at a place is.
    pub(super) fn decode(&mut self, ty: &FieldTy, place: Place, ctx: &Context, span: Span) -> Decoded {
        let plain = |val| Decoded { val, end: None };
        match ty {
            FieldTy::Scalar { scalar, width, endian } => {
                let addr = self.addr(place, u32::from(*width), &ctx.name);
                let signed = matches!(scalar, Scalar::Int(t) if t.signed);
                let v = self.load(addr, *width, *endian, if signed { ir::Ty::I64 } else { ir::Ty::U64 });
                plain(match scalar {
                    Scalar::Int(t) => Val::Int(v, *t),
                    Scalar::Bool => {
                        let zero = self.number(0);
                        Val::Bool(self.compare(CmpOp::Ne, v, zero))
                    }
                    Scalar::Enum(e) => Val::Enum(v, *e),
                    Scalar::Flags(f) => Val::Flags(v, *f),
                })
            }
            FieldTy::Bytes(n, display) => self.decode_bytes(n, *display, place, ctx),
            FieldTy::BytesToEnd => plain(self.bytes_to_end(place, ctx)),
            FieldTy::CStr(n) => self.decode_cstr(n, place, ctx),
            FieldTy::Utf16(n, order) => self.decode_utf16(n, *order, place, ctx),
            FieldTy::Varint(kind) => self.decode_varint(*kind, place, ctx),
            FieldTy::Struct(id, args) => self.decode_struct(*id, args, place, ctx, span),
            FieldTy::Array(element, n) => self.decode_array(element, n, place, ctx),
            FieldTy::ArrayToEnd(element) => plain(self.array_to_end(element, place, ctx)),
            FieldTy::Seq(element, n) => self.decode_seq(element, n.as_ref(), place, ctx),
            FieldTy::Match { tag, arms } => self.decode_match(tag, arms, place, ctx, span),
            FieldTy::Pointer { repr, .. } => match self.decode(repr, place, ctx, span) {
                Decoded { val: Val::Int(v, t), end } => {
                    let to = PointerTo { ty: FieldTyRef::new(ty), view: ctx.view.clone() };
                    Decoded { val: Val::Pointer(v, t, Rc::new(to)), end }
                }
                other => other,
            },
            FieldTy::Error => plain(Val::Never),
        }
    }

    /// Evaluates an expression of a stored type in the scope of its structure.
    pub(super) fn eval_in(&mut self, ctx: &Context, e: &ast::Expr) -> Val {
        let span = self.span;
        let val = match &ctx.view {
            Some(view) => {
                let module = self.program.structs[view.def.index()].module;
                self.in_member_scope(module, Val::View(view.clone()), |l| l.expr(e))
            }
            None => self.expr(e),
        };
        self.span = span;
        val
    }

    /// A size or count of a stored type.
    pub(super) fn size_in(&mut self, ctx: &Context, e: &ast::Expr) -> Option<Value> {
        let val = self.eval_in(ctx, e);
        self.unsigned(val, e.span)
    }

    fn decode_struct(&mut self, id: StructId, args: &[ast::Expr], place: Place, ctx: &Context, span: Span) -> Decoded {
        let mut values = Vec::new();
        for a in args {
            let val = self.eval_in(ctx, a);
            values.push((val, a.span));
        }
        let Some(args) = self.struct_args(id, values, span) else { return Decoded { val: Val::Never, end: None } };
        let view = self.make_view(id, args, place, ctx, span);
        let end = self.end_of_view(&view);
        Decoded { val: Val::View(view), end }
    }

    /// Arguments of a structure's parameters, as their types say.
    pub(super) fn struct_args(&mut self, id: StructId, values: Vec<(Val, Span)>, span: Span) -> Option<Vec<Val>> {
        let program = self.program;
        let def = &program.structs[id.index()];
        if values.len() != def.params.len() {
            let message = format!("expected {} arguments of {}, found {}", def.params.len(), def.name, values.len());
            self.error("E0205", span, message, "the wrong number of arguments");
            return None;
        }
        let pairs = values.into_iter().zip(&def.params);
        Some(pairs.map(|((v, at), (_, ty))| self.coerce(v, ty, at)).collect())
    }

    /// Where a view ends: at its declared size, or with its last member.
    pub(super) fn end_of_view(&mut self, view: &View) -> Option<Value> {
        let program = self.program;
        let def = &program.structs[view.def.index()];
        match def.size {
            SizeRule::Const(_) | SizeRule::Declared(_) => Some(view.limit),
            SizeRule::LastMember => {
                let last = def.members.iter().rposition(|m| matches!(m.kind, MemberKind::Stored { .. }))?;
                self.end_of_member(view, last)
            }
        }
    }

    /// What a `match` field is: the one arm that is possible here, or what each possible arm makes of it.
    fn decode_match(&mut self, tag: &ast::Expr, arms: &[FieldArm], place: Place, ctx: &Context, span: Span) -> Decoded {
        let tag_val = self.eval_in(ctx, tag);
        let value = match &tag_val {
            Val::Int(v, _) | Val::Enum(v, _) | Val::Flags(v, _) | Val::Bool(v) => *v,
            Val::Never => return Decoded { val: Val::Never, end: None },
            other => {
                self.mismatch(tag.span, "a number or an enum as tag", other);
                return Decoded { val: Val::Never, end: None };
            }
        };
        let module = ctx.view.as_ref().map_or_else(|| self.module(), |v| self.program.structs[v.def.index()].module);
        let possible = self.possible_arms(value, arms, module);
        if let [one] = possible[..] {
            return self.decode(&arms[one].ty, place, ctx, span);
        }
        let mut alternatives = Vec::new();
        for i in &possible {
            let d = self.scoped(|l| l.decode(&arms[*i].ty, place, ctx, span));
            alternatives.push((arms[*i].label.clone(), d.val));
        }
        let end = self.end_of_arms(value, arms, &possible, place, ctx, module);
        Decoded { val: collapse(alternatives), end }
    }

    /// Where a field ends whose arms differ in size: the tag decides at run time.
    fn end_of_arms(
        &mut self,
        tag: Value,
        arms: &[FieldArm],
        possible: &[usize],
        place: Place,
        ctx: &Context,
        module: ModuleId,
    ) -> Option<Value> {
        let (first, rest) = possible.split_first()?;
        let arm = &arms[*first];
        let span = self.span;
        let end_here = |l: &mut Self| match l.program.extent(module, &arm.ty) {
            crate::check::layout::Extent::Const(n) => Some(l.offset_of(place.plus(n))),
            crate::check::layout::Extent::AtLeast(_) => l.decode(&arm.ty, place, ctx, span).end,
        };
        if rest.is_empty() || arm.patterns.is_empty() {
            return end_here(self);
        }
        let mut hit: Option<Value> = None;
        for n in arm.patterns.iter().filter_map(|p| self.program.const_int(module, p).ok()).collect::<Vec<_>>() {
            let n = self.number_as(n, self.ty(tag));
            let one = self.compare(CmpOp::Eq, tag, n);
            hit = Some(match hit {
                Some(h) => self.exact(BinOp::Or, h, one),
                None => one,
            });
        }
        let split = self.split_value(hit);
        let as_val = |end: Option<Value>| end.map_or(Val::Never, |v| Val::Int(v, IntTy::U64));
        let end = self.both(
            split,
            span,
            |l| as_val(end_here(l)),
            |l| as_val(l.end_of_arms(tag, arms, rest, place, ctx, module)),
        );
        if let Val::Int(v, _) = end { Some(v) } else { None }
    }

    /// The arms that the tag's known range leaves possible.
    fn possible_arms(&mut self, tag: Value, arms: &[FieldArm], module: ModuleId) -> Vec<usize> {
        let mut range = self.range(tag);
        let mut possible = Vec::new();
        for (i, arm) in arms.iter().enumerate() {
            let values: Vec<i128> =
                arm.patterns.iter().filter_map(|p| self.program.const_int(module, p).ok()).collect();
            if arm.patterns.is_empty() {
                if !range.is_empty() {
                    possible.push(i);
                }
                continue;
            }
            let hit = values
                .iter()
                .any(|n| range.contains(Range::just(*n)) && !range.is_empty() && !self.is_excluded(tag, *n));
            if hit {
                possible.push(i);
            }
            // Values that an arm takes from an end of the range are not left for the others.
            let mut sorted = values;
            sorted.sort_unstable();
            for n in &sorted {
                if *n == range.lo {
                    range.lo += 1;
                }
            }
            for n in sorted.iter().rev() {
                if *n == range.hi && range.lo <= range.hi {
                    range.hi -= 1;
                }
            }
        }
        if possible.is_empty() { (0..arms.len()).collect() } else { possible }
    }

    fn stale_member(&mut self, view: &View, i: usize, span: Span) -> Val {
        let def = &self.program.structs[view.def.index()];
        let name = def.members[i].name.clone();
        if let Some((_, val)) = view.kept.iter().find(|(n, _)| *n == name) {
            return match (val, &def.members[i].kind) {
                (Val::Bytes(b), MemberKind::Stored { ty: FieldTy::Array(element, _), .. }) => {
                    let name = format!("{}.{name}", def.name);
                    self.array_of_bytes(*b, element, name)
                }
                _ => val.clone(),
            };
        }
        let prefix = format!("{name}.");
        let nested: Vec<(String, Val)> =
            view.kept.iter().filter_map(|(n, v)| Some((n.strip_prefix(&prefix)?.to_string(), v.clone()))).collect();
        if let MemberKind::Stored { ty: FieldTy::Struct(inner, _), .. } = &def.members[i].kind
            && !nested.is_empty()
        {
            let id = self.new_view_id();
            return Val::View(View { id, def: *inner, kept: nested, args: Vec::new(), ..view.clone() });
        }
        if let MemberKind::Bits { word, shift, width, scalar, .. } = def.members[i].kind.clone() {
            let key = format!("#{word}");
            if let Some((_, Val::Int(w, _))) = view.kept.iter().find(|(n, _)| *n == key) {
                let w = *w;
                return self.bit_field(w, shift, width, scalar);
            }
        }
        let what = self.text(span).to_string();
        let message =
            format!("expected a value that outlives its block, found `{what}`, which is used after a later read");
        let mut d = Diagnostic::error(
            "E0305",
            span,
            message,
            "its block is gone: only scalars and up to 64 bytes of a view are kept over a read",
        );
        d.help = Some(self.how_to_copy(&what, &def.members[i].kind, def.module));
        self.report(d);
        Val::Never
    }

    /// What of a member can be copied before a read.
    fn how_to_copy(&self, what: &str, kind: &MemberKind, module: ModuleId) -> String {
        let MemberKind::Stored { ty, .. } = kind else {
            return format!("copy it before the read: `let copy = {what};`");
        };
        let size = match self.program.extent(module, ty) {
            crate::check::layout::Extent::Const(n) => format!(" has {n} bytes"),
            crate::check::layout::Extent::AtLeast(_) => " has as many bytes as the data say".into(),
        };
        match ty {
            FieldTy::Array(..) | FieldTy::ArrayToEnd(_) => {
                format!("`{what}`{size}; copy the elements that are needed before the read: `let copy = {what}[i];`")
            }
            FieldTy::Bytes(..) | FieldTy::BytesToEnd | FieldTy::CStr(_) | FieldTy::Utf16(..) => format!(
                "`{what}`{size}; copy the part that is needed before the read: `let copy: bytes up to 64 = {what}[..n];`"
            ),
            FieldTy::Struct(..) | FieldTy::Match { .. } | FieldTy::Seq(..) => {
                format!("copy the fields that are needed before the read: `let copy = {what}.…;`")
            }
            _ => format!("copy it before the read: `let copy = {what};`"),
        }
    }

    /// Copies the members that are named later in the body, so that they outlive their block.
    pub(super) fn keep_members(&mut self, view: &mut View, name: Option<&str>) {
        let paths = self.frame().paths.clone();
        let all: Vec<Rc<Vec<(String, Span)>>> = self.frames.iter().map(|f| f.paths.clone()).collect();
        let _ = paths;
        let mut wanted: Vec<String> = Vec::new();
        for (path, _) in all.iter().flat_map(|p| p.iter()) {
            let Some((first, rest)) = path.split_once('.') else { continue };
            if name.is_none_or(|n| n == first) {
                wanted.push(rest.to_string());
            }
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut kept = Vec::new();
        for path in &wanted {
            self.keep_path(&view.clone(), path, "", &mut kept, 0);
        }
        view.kept = kept;
    }

    fn keep_path(&mut self, view: &View, path: &str, prefix: &str, kept: &mut Vec<(String, Val)>, depth: usize) {
        const KEPT_BYTES_MAX: u32 = 64;
        let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let Some(i) = def.by_name.get(first).copied() else { return };
        let full = format!("{prefix}{first}");
        if depth > 4 || kept.iter().any(|(n, _)| *n == full) {
            return;
        }
        match &def.members[i].kind {
            MemberKind::Stored { ty: FieldTy::Struct(..), offset: Offset::Fixed(_), .. } => {
                if let (Some(rest), Val::View(inner)) = (rest, self.member(view, i, def.members[i].span)) {
                    self.keep_path(&inner, rest, &format!("{full}."), kept, depth + 1);
                }
            }
            MemberKind::Stored { ty, offset: Offset::Fixed(_), .. } => {
                let small = match program.extent(def.module, ty) {
                    crate::check::layout::Extent::Const(n) => n <= KEPT_BYTES_MAX,
                    crate::check::layout::Extent::AtLeast(_) => false,
                };
                let kind_ok = matches!(ty, FieldTy::Scalar { .. } | FieldTy::Bytes(..) | FieldTy::Pointer { .. });
                if small && kind_ok {
                    let val = match self.member(view, i, def.members[i].span) {
                        Val::Bytes(b) => match self.slot_for(b.max, self.span) {
                            Some(slot) => Val::Bytes(self.copy_to_slot(b, slot)),
                            None => return,
                        },
                        Val::Pointer(v, t, _) => Val::Int(v, t),
                        other => other,
                    };
                    kept.push((full, val));
                } else if small
                    && let FieldTy::Array(element, _) = ty
                    && matches!(**element, FieldTy::Scalar { .. })
                    && let Val::Array(array) = self.member(view, i, def.members[i].span)
                    && let Some(bytes) = self.bytes_of_array(&array)
                    && let Some(slot) = self.slot_for(bytes.max, self.span)
                {
                    // Bytes are what joins and loops can carry; they are an array again where they are used.
                    kept.push((full, Val::Bytes(self.copy_to_slot(bytes, slot))));
                }
            }
            MemberKind::Bits { word, .. } => {
                let key = format!("{prefix}#{word}");
                if !kept.iter().any(|(n, _)| *n == key) {
                    let val = self.member(view, *word, def.members[i].span);
                    kept.push((key, val));
                }
            }
            MemberKind::Computed { value, .. } => {
                // A computed field is computed again when it is used: what it is made of must be kept.
                for name in call::names_in(value) {
                    self.keep_path(view, &name, prefix, kept, depth + 1);
                }
            }
            MemberKind::Stored { .. } | MemberKind::Condition => {}
        }
    }

    /// A member, a parameter or a record's field of this name, if there is one.
    pub(super) fn member_if_any(&mut self, this: &Val, name: &ast::Ident, span: Span) -> Option<Val> {
        let program = self.program;
        match this {
            Val::View(view) => {
                let def = &program.structs[view.def.index()];
                if let Some(i) = def.params.iter().position(|(n, _)| *n == name.name) {
                    return view.args.get(i).cloned().or(Some(Val::Never));
                }
                let i = *def.by_name.get(&name.name)?;
                let val = self.member(view, i, span);
                self.span = span;
                Some(val)
            }
            Val::Record(id, fields) => {
                let def = &program.records[id.index()];
                let i = def.fields.iter().position(|(n, ..)| *n == name.name)?;
                Some(fields[i].clone())
            }
            _ => None,
        }
    }
}

/// Alternatives that turned out to be the same value are one value.
pub(super) fn collapse(alternatives: Vec<(String, Val)>) -> Val {
    let alternatives: Vec<(String, Val)> = alternatives.into_iter().filter(|(_, v)| !matches!(v, Val::Never)).collect();
    match alternatives.split_first() {
        None => Val::Never,
        Some((first, rest)) if rest.iter().all(|(_, v)| *v == first.1) => first.1.clone(),
        Some(_) => Val::OneOf(alternatives),
    }
}
