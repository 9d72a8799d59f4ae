//! Views: making one, and what must hold of it (its members: `member`).
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
    pub view: Option<Shared<View>>,
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
    pub(super) fn outside(&mut self, what: &str, at: Value) -> ir::FaultRef {
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
    pub(super) fn make_view(
        &mut self,
        id: StructId,
        args: Vec<Val>,
        place: Place,
        ctx: &Context,
        span: Span,
    ) -> Shared<View> {
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
        let mut view = Shared::from(View {
            id: view_id,
            def: id,
            place,
            limit,
            limit_evident: true,
            args,
            block_offset: ctx.block_offset,
            tested: true,
            kept: Vec::new(),
        });
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

    fn declared_size(
        &mut self,
        view: &mut Shared<View>,
        e: &ast::Expr,
        start: Value,
        limit: Value,
        name: &str,
        fixed: u32,
    ) {
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
    fn check_members(&mut self, view: &Shared<View>, span: Span) {
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

    fn check_magic(&mut self, view: &Shared<View>, i: usize, magic: &ast::Expr) {
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
    fn member_offset(&mut self, view: &Shared<View>, i: usize) -> Option<Value> {
        let place = self.place_of_member(view, i)?;
        Some(self.offset_of(place))
    }

    pub(super) fn check_condition(&mut self, view: &Shared<View>, subject: Option<(usize, String)>, cond: &ast::Expr) {
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
}
