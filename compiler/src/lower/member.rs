//! Members of views: where they stand, what they hold, and the arms of those that depend on a tag.

use super::view::{Context, Decoded};
use super::*;
use crate::ir::{BinOp, CmpOp, Op, Value};

/// Members within members deeper than this are refused: a structure with parameters that holds itself, or nearly so.
const MEMBERS_DEEP_MAX: usize = 24;

impl Lowerer<'_> {
    /// Where a stored member (or the word of a bit field) begins.
    pub(super) fn place_of_member(&mut self, view: &Shared<View>, i: usize) -> Option<Place> {
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
    fn align_up(&mut self, view: &Shared<View>, end: Value, align: u32) -> Value {
        let start = self.offset_of(view.place);
        let used = self.checked(BinOp::Sub, end, start);
        let more = self.number(i128::from(align) - 1);
        let up = self.checked(BinOp::Add, used, more);
        let unit = self.number(i128::from(align));
        let n = self.exact(BinOp::Div, up, unit);
        let up = self.checked(BinOp::Mul, n, unit);
        self.checked(BinOp::Add, start, up)
    }

    fn end_of_member(&mut self, view: &Shared<View>, i: usize) -> Option<Value> {
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
    pub(super) fn member(&mut self, view: &Shared<View>, i: usize, span: Span) -> Val {
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
                let make = |l: &mut Self| {
                    l.in_member_scope(def.module, Val::View(view.clone()), |l| {
                        let val = l.expr(value);
                        match ty {
                            Some(ty) => l.coerce(val, ty, value.span),
                            None => val,
                        }
                    })
                };
                let val = self.making(view, i, span, make).unwrap_or(Val::Never);
                self.label_value(&val, &m.name, m.span);
                val
            }
            MemberKind::Condition => Val::Unit,
        };
        self.remember(key, val.clone(), None);
        val
    }

    /// Tests the conditions on a member again, so that they are known here. They cannot fail: they held when the view was made.
    fn test_again(&mut self, view: &Shared<View>, i: usize, span: Span) {
        // A condition names the member that is being tested, and perhaps others of the same view.
        if self.testing.contains(&view.id) {
            return;
        }
        self.testing.push(view.id);
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let name = &def.members[i].name;
        for (j, m) in def.members.iter().enumerate() {
            let Some(cond) = m.cond.as_ref().filter(|c| names::names_in(c).iter().any(|n| n == name)) else { continue };
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

    /// Names what a member is, and says that what is known of it comes from its declaration.
    fn label_value(&mut self, val: &Val, name: &str, declared: Span) {
        if let Val::Int(v, _) | Val::Bool(v) | Val::Enum(v, _) | Val::Flags(v, _) = val
            && self.b.function().value(*v).name.is_none()
            && self.as_const(*v).is_none()
        {
            self.b.set_name(*v, name);
            self.b.set_origin(*v, declared);
        }
    }

    pub(super) fn bit_field(&mut self, word: Value, shift: u8, width: u8, scalar: Scalar) -> Val {
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

    /// Makes a member, unless that is what is being done: then it is made of itself.
    fn making<T>(&mut self, view: &View, i: usize, span: Span, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        // What tests a condition again may need what needed the member that it speaks of.
        let key = (view.id, i, self.testing.len());
        if self.making.contains(&key) || self.making.len() >= MEMBERS_DEEP_MAX {
            let def = &self.program.structs[view.def.index()];
            let message = format!("expected members without circles, found one through `{}`", def.members[i].name);
            self.error("E0604", span, message, "made of itself");
            return None;
        }
        self.making.push(key);
        let made = make(self);
        self.making.pop();
        Some(made)
    }

    fn decode_member(&mut self, view: &Shared<View>, i: usize, span: Span) -> Decoded {
        let decoded = self.making(view, i, span, |l| l.decode_stored(view, i, span));
        decoded.unwrap_or(Decoded { val: Val::Never, end: None })
    }

    fn decode_stored(&mut self, view: &Shared<View>, i: usize, span: Span) -> Decoded {
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let m = &def.members[i];
        let MemberKind::Stored { ty, .. } = &m.kind else { return Decoded { val: Val::Never, end: None } };
        let Some(place) = self.place_of_member(view, i) else {
            // In code that is never run nothing ends anywhere.
            if self.flow.reachable {
                let message = format!("expected `{}` at a place that is known here, found none", m.name);
                self.error("E0406", span, message, "what stands before it has no known end");
            }
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
        self.label_value(&decoded.val, &m.name, m.span);
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
                    Decoded { val: Val::Pointer(v, t, to.into()), end }
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
    pub(super) fn end_of_view(&mut self, view: &Shared<View>) -> Option<Value> {
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
                    range = range.meet(Range::new(range.lo + 1, i128::MAX));
                }
            }
            for n in sorted.iter().rev() {
                if *n == range.hi && range.lo <= range.hi {
                    range = range.meet(Range::new(i128::MIN, range.hi - 1));
                }
            }
        }
        if possible.is_empty() { (0..arms.len()).collect() } else { possible }
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
        Some(_) => Val::OneOf(alternatives.into()),
    }
}
