//! Names with dots, and calls: fns, methods and traversals are inlined where they are called.

use super::search::OptSplit;
use super::*;
use ast::ExprKind;

impl Lowerer<'_> {
    /// Whether an expression begins with a variable or a member, and not with a declaration's name.
    fn begins_with_variable(&self, e: &ast::Expr) -> bool {
        match &*e.kind {
            ExprKind::Name(n) => {
                let base = self.frame().locals_base;
                let locals = &self.flow.locals[base..];
                locals.iter().any(|l| l.name == n.name)
                    || locals.iter().rev().find(|l| l.name == "self").is_some_and(|l| match &l.val {
                        Val::View(v) => {
                            let def = &self.program.structs[v.def.index()];
                            def.by_name.contains_key(&n.name) || def.params.iter().any(|(p, _)| *p == n.name)
                        }
                        Val::Record(r, _) => self.program.records[r.index()].fields.iter().any(|(f, ..)| *f == n.name),
                        _ => false,
                    })
            }
            ExprKind::Field(base, _) => self.begins_with_variable(base),
            _ => true,
        }
    }

    /// `Kind.Inner`, `module.CONST`, `page.kind`, `page.offset`, `sb.incompat.extents`.
    pub(super) fn field(&mut self, base: &ast::Expr, name: &ast::Ident, span: Span) -> Val {
        if !self.begins_with_variable(base)
            && let Some(def) = self.program.def_of_path(self.module(), base)
        {
            return self.declared_item(def, name);
        }
        // The offset of a member, whatever it is: `cell.body.offset`, and `body.offset` where `cell` is `self`.
        if name.name == "offset"
            && let Some((view, i)) = self.stored_member(base)
        {
            return match self.place_of_member(&view, i) {
                Some(place) => {
                    self.span = span;
                    let at = self.offset_of(place);
                    let offset = self.checked(ir::BinOp::Add, view.block_offset, at);
                    Val::Int(offset, IntTy::U64)
                }
                None => self.member(&view, i, base.span),
            };
        }
        let val = self.expr(base);
        self.span = span;
        let val = self.asserted(val, base.span);
        self.project(&val, name, span)
    }

    /// The member of a view that an expression names, when it is stored and has no member `offset` of its own.
    fn stored_member(&mut self, e: &ast::Expr) -> Option<(View, usize)> {
        let (owner, member) = match &*e.kind {
            ExprKind::Field(owner, member) if self.begins_with_variable(owner) => (self.expr(owner), member),
            ExprKind::Name(member) => {
                let base = self.frame().locals_base;
                let locals = &self.flow.locals[base..];
                if locals.iter().any(|l| l.name == member.name) {
                    return None;
                }
                (locals.iter().rev().find(|l| l.name == "self")?.val.clone(), member)
            }
            _ => return None,
        };
        let Val::View(view) = owner else { return None };
        let def = &self.program.structs[view.def.index()];
        let i = *def.by_name.get(&member.name)?;
        let MemberKind::Stored { ty, .. } = &def.members[i].kind else { return None };
        let has_its_own = matches!(ty, FieldTy::Struct(id, _)
            if self.program.structs[id.index()].by_name.contains_key("offset"));
        (!has_its_own).then_some((view, i))
    }

    fn declared_item(&mut self, def: Def, name: &ast::Ident) -> Val {
        let items = match def {
            Def::Enum(id) => &self.program.enums[id.index()],
            Def::Flags(id) => &self.program.flags[id.index()],
            Def::Module(m) => {
                return match self.program.modules[m.index()].names.get(&name.name).map(|(d, _)| *d) {
                    Some(Def::Const(id)) => self.constant(id, name.span),
                    _ => self.error(
                        "E0201",
                        name.span,
                        format!("expected a constant of the module, found `{}`", name.name),
                        "not declared there",
                    ),
                };
            }
            _ => {
                return self.error(
                    "E0201",
                    name.span,
                    format!("expected a value, found `{}`", name.name),
                    "nothing of this name",
                );
            }
        };
        let Some((_, n)) = items.items.iter().find(|(n, _)| *n == name.name) else {
            let like = crate::check::nearest(&name.name, items.items.iter().map(|(n, _)| n.as_str())).map(String::from);
            let mut d = Diagnostic::error(
                "E0201",
                name.span,
                format!("expected an item of {}, found `{}`", items.name, name.name),
                "not declared",
            );
            d.help = like.map(|l| format!("did you mean `{l}`?"));
            self.report(d);
            return Val::Never;
        };
        let v = self.number(i128::from(*n));
        match def {
            Def::Enum(id) => Val::Enum(v, id),
            Def::Flags(id) => Val::Flags(v, id),
            _ => Val::Never,
        }
    }

    /// `value.name`.
    pub(super) fn project(&mut self, val: &Val, name: &ast::Ident, span: Span) -> Val {
        match val {
            Val::Never => Val::Never,
            Val::View(view) => {
                if let Some(v) = self.member_if_any(val, name, span) {
                    return v;
                }
                if name.name == "offset" {
                    let at = self.offset_of(view.place);
                    let offset = self.checked(ir::BinOp::Add, view.block_offset, at);
                    return Val::Int(offset, IntTy::U64);
                }
                self.no_member(val, name)
            }
            Val::Bytes(Bytes { place, block_offset: Some(block), .. }) if name.name == "offset" => {
                let at = self.offset_of(*place);
                Val::Int(self.checked(ir::BinOp::Add, *block, at), IntTy::U64)
            }
            Val::Record(..) => match self.member_if_any(val, name, span) {
                Some(v) => v,
                None => self.no_member(val, name),
            },
            Val::Flags(v, id) => {
                let def = &self.program.flags[id.index()];
                let Some((_, mask)) = def.items.iter().find(|(n, _)| *n == name.name) else {
                    return self.no_member(val, name);
                };
                let (mask, zero) = (self.number(i128::from(*mask)), self.number(0));
                let bit = self.exact(ir::BinOp::And, *v, mask);
                Val::Bool(self.compare(ir::CmpOp::Ne, bit, zero))
            }
            Val::Bytes(b) | Val::Buffer(b) if name.name == "len" => {
                let v = self.len_value(b.len);
                Val::Int(v, IntTy::holding(self.claim(v)).unwrap_or(IntTy::U64))
            }
            Val::Array(a) if name.name == "len" && a.count.is_some() => {
                let v = a.count.expect("just asked");
                Val::Int(v, IntTy::U64)
            }
            Val::OneOf(arms) => self.on_each_arm(
                arms,
                &format!("`{}`", name.name),
                |l, v| l.has_member(v, name),
                |l, v| l.project(v, name, span),
                span,
            ),
            Val::Option(..) => {
                let mut d = Diagnostic::error(
                    "E0301",
                    span,
                    format!("expected a value, found one that may be none: it has no `{}` yet", name.name),
                    "may be none",
                );
                d.help = Some("say what happens then: `EXPR else return none`, or `if let x = EXPR { … }`".into());
                self.report(d);
                Val::Never
            }
            _ => self.no_member(val, name),
        }
    }

    fn has_member(&self, val: &Val, name: &ast::Ident) -> bool {
        match val {
            Val::View(v) => {
                let def = &self.program.structs[v.def.index()];
                name.name == "offset"
                    || def.by_name.contains_key(&name.name)
                    || def.params.iter().any(|(n, _)| *n == name.name)
            }
            Val::Bytes(b) => name.name == "len" || name.name == "offset" && b.block_offset.is_some(),
            Val::Array(_) => name.name == "len",
            Val::Flags(_, id) => self.program.flags[id.index()].items.iter().any(|(n, _)| *n == name.name),
            Val::OneOf(arms) => arms.iter().all(|(_, v)| self.has_member(v, name)),
            _ => false,
        }
    }

    /// Something done to a field that depends on a tag: good when every possible arm gives the same.
    fn on_each_arm(
        &mut self,
        arms: &[(String, Val)],
        what: &str,
        can: impl Fn(&Self, &Val) -> bool,
        mut f: impl FnMut(&mut Self, &Val) -> Val,
        span: Span,
    ) -> Val {
        let (with, without): (Vec<_>, Vec<_>) = arms.iter().partition(|(_, v)| can(self, v));
        if !without.is_empty() {
            let of =
                |arms: &[&(String, Val)]| arms.iter().map(|(l, _)| format!("`{l}`")).collect::<Vec<_>>().join(", ");
            let message = format!("expected {what} in every arm that is possible here, found it only in {}", of(&with));
            let mut d = Diagnostic::error("E0306", span, message, format!("possible here too: {}", of(&without)));
            d.help = Some("test the tag first, with `match` or a condition on it".into());
            self.report(d);
            return Val::Never;
        }
        let results = arms.iter().map(|(l, v)| (l.clone(), f(self, v))).collect();
        view::collapse(results)
    }

    pub(super) fn no_member(&mut self, val: &Val, name: &ast::Ident) -> Val {
        let names: Vec<String> = match val {
            Val::View(v) => self.program.structs[v.def.index()].by_name.keys().cloned().collect(),
            Val::Record(r, _) => self.program.records[r.index()].fields.iter().map(|(n, ..)| n.clone()).collect(),
            Val::Flags(_, f) => self.program.flags[f.index()].items.iter().map(|(n, _)| n.clone()).collect(),
            _ => Vec::new(),
        };
        let of = self.describe(val);
        let mut d = Diagnostic::error(
            "E0201",
            name.span,
            format!("expected a field of {of}, found `{}`", name.name),
            "no such field",
        );
        d.help =
            crate::check::nearest(&name.name, names.iter().map(String::as_str)).map(|l| format!("did you mean `{l}`?"));
        self.report(d);
        Val::Never
    }

    /// `a[i]`.
    pub(super) fn index(&mut self, base: &ast::Expr, index: &ast::Expr, span: Span) -> Val {
        if !self.begins_with_variable(base)
            && let Some(Def::Const(id)) = self.program.def_of_path(self.module(), base)
            && let Ok(ConstValue::Table(table)) = self.program.constant(id)
        {
            return self.table_entry(id, &table, index, span);
        }
        let val = self.expr(base);
        let (val, i) = self.holding(val, |l| l.expr(index));
        let Some(i) = self.unsigned(i, index.span) else { return Val::Never };
        self.span = span;
        self.index_value(&val, (i, index.span), base.span, span)
    }

    fn index_value(&mut self, val: &Val, i: (ir::Value, Span), base_span: Span, span: Span) -> Val {
        match val {
            Val::Never => Val::Never,
            Val::Array(array) => self.element(array, i, span),
            Val::Bytes(b) | Val::Buffer(b) => self.byte_at(*b, i, span),
            Val::OneOf(arms) => {
                let can = |_: &Self, v: &Val| matches!(v, Val::Array(_) | Val::Bytes(_));
                self.on_each_arm(arms, "an array", can, |l, v| l.index_value(v, i, base_span, span), span)
            }
            other => self.mismatch(base_span, "an array or bytes", other),
        }
    }

    fn table_entry(&mut self, id: ConstId, table: &[i128], index: &ast::Expr, span: Span) -> Val {
        let val = self.expr(index);
        let Some(i) = self.unsigned(val, index.span) else { return Val::Never };
        self.span = span;
        self.prove_index(i, table.len() as u64, index.span);
        let declared = self.program.consts[id.index()].ty;
        let all = table.iter().fold(Range::new(1, 0), |r, n| r.join(Range::just(*n)));
        let Some(ty) = declared.or_else(|| IntTy::holding(all)).filter(|t| t.range().contains(all)) else {
            return self.error("E0303", span, "expected a table whose entries one type holds", "an entry does not fit");
        };
        let width = match ty.bits {
            0..=8 => 1u32,
            9..=16 => 2,
            17..=32 => 4,
            _ => 8,
        };
        let data = match self.tables.get(&id) {
            Some(d) => *d,
            None => {
                let bytes: Vec<u8> = table.iter().flat_map(|n| n.to_le_bytes()[..width as usize].to_vec()).collect();
                let name = self.program.consts[id.index()].name.clone();
                let d = self.b.data(&name, &bytes);
                self.tables.insert(id, d);
                d
            }
        };
        let scale = self.number(i128::from(width));
        let offset = self.checked(ir::BinOp::Mul, i, scale);
        let addr = ir::Addr { region: ir::Region::Data(data), base: None, index: Some(offset), disp: 0 };
        let v = self.load(addr, width as u8, ir::Endian::Little, ir_ty(ty));
        Val::Int(v, ty)
    }

    /// The obligation that an index is below a length.
    pub(super) fn prove_index(&mut self, i: ir::Value, len: u64, span: Span) {
        let n = self.number(i128::from(len));
        self.prove_below(i, n, span);
    }

    pub(super) fn prove_below(&mut self, i: ir::Value, n: ir::Value, span: Span) {
        let cond = self.compare(ir::CmpOp::Lt, i, n);
        let (a, b) = (self.name_of(i, span), self.name_of(n, span));
        let outer = std::mem::replace(&mut self.span, span);
        self.prove(ir::ObligationKind::Index, cond, format!("{a} < {b}"), vec![i, n]);
        self.span = outer;
    }

    pub(super) fn self_value(&mut self, span: Span) -> Val {
        let base = self.frame().locals_base;
        match self.flow.locals[base..].iter().find(|l| l.name == "self") {
            Some(l) => l.val.clone(),
            None => {
                self.error("E0201", span, "expected a structure's or record's member around `self`", "no `self` here")
            }
        }
    }

    /// `end`: a variable of this name, or the size of the structure, for offsets from its end.
    pub(super) fn end_of_self(&mut self, span: Span) -> Val {
        let base = self.frame().locals_base;
        if let Some(local) = self.flow.locals[base..].iter().rev().find(|l| l.name == "end") {
            return local.val.clone();
        }
        let Val::View(view) = self.self_value(span) else { return Val::Never };
        let start = self.offset_of(view.place);
        let size = self.checked(ir::BinOp::Sub, view.limit, start);
        Val::Int(size, IntTy::holding(self.claim(size)).unwrap_or(IntTy::U64))
    }

    /// A call as a value.
    pub(super) fn call(&mut self, callee: &ast::Expr, args: &[(Option<ast::Ident>, ast::Expr)], span: Span) -> Val {
        match self.call_split(callee, args, span) {
            Some(OptSplit { some: (mut some, val, _), none: (none, _) }) => {
                let val = self.in_flow(&mut some, |l| {
                    let present = l.truth(true);
                    Val::Option(present, Box::new(val))
                });
                self.merge(vec![(some, val), (none, Val::None)], span)
            }
            None => self.call_value(callee, args, span),
        }
    }

    /// A call of something that may give nothing, with both ways out.
    pub(super) fn call_split(
        &mut self,
        callee: &ast::Expr,
        args: &[(Option<ast::Ident>, ast::Expr)],
        span: Span,
    ) -> Option<OptSplit> {
        if !matches!(self.result_of_call(callee), Some(Ty::Option(_))) {
            return None;
        }
        let target = self.callee(callee)?;
        let (returns, nones) = self.inline(target, callee, args, span)?;
        let val = self.merge(returns, span);
        let some = self.flow.clone();
        self.merge(nones.into_iter().map(|f| (f, Val::Unit)).collect(), span);
        Some(OptSplit { some: (some, val, Scope::default()), none: (self.flow.clone(), Scope::default()) })
    }

    /// What a call gives back, if it calls a fn, a method or a traversal.
    pub(super) fn result_of_call(&mut self, callee: &ast::Expr) -> Option<Ty> {
        Some(match self.callee(callee)? {
            Target::Fn(id, _) => self.program.fns[id.index()].result.clone(),
            Target::Traversal(id) => self.program.traversals[id.index()].result.clone(),
        })
    }

    fn call_value(&mut self, callee: &ast::Expr, args: &[(Option<ast::Ident>, ast::Expr)], span: Span) -> Val {
        match self.callee(callee) {
            Some(target) => match self.inline(target, callee, args, span) {
                Some((returns, _)) => self.merge(returns, span),
                None => Val::Never,
            },
            None => self.builtin_method(callee, args, span),
        }
    }

    /// What a callee names, if it is a fn, a method or a traversal.
    pub(super) fn callee(&mut self, callee: &ast::Expr) -> Option<Target> {
        let module = self.module();
        match self.program.def_of_path(module, callee) {
            Some(Def::Fn(id)) if !self.begins_with_variable(callee) => return Some(Target::Fn(id, None)),
            Some(Def::Traversal(id)) if !self.begins_with_variable(callee) => return Some(Target::Traversal(id)),
            _ => {}
        }
        match &*callee.kind {
            // A method of `self`, without the dot.
            ExprKind::Name(name) => {
                let base = self.frame().locals_base;
                let this = self.flow.locals[base..].iter().rev().find(|l| l.name == "self").map(|l| l.val.clone())?;
                Some(Target::Fn(self.method_of(&this, &name.name)?, Some(this)))
            }
            ExprKind::Field(base, name) => {
                let this = self.receiver(base)?;
                Some(Target::Fn(self.method_of(&this, &name.name)?, Some(this)))
            }
            _ => None,
        }
    }

    /// The value on which a method is called. Evaluating it twice finds the same values again.
    fn receiver(&mut self, base: &ast::Expr) -> Option<Val> {
        if !self.begins_with_variable(base) {
            return None;
        }
        Some(self.expr(base))
    }

    fn method_of(&self, this: &Val, name: &str) -> Option<FnId> {
        match this {
            Val::View(v) => self.program.structs[v.def.index()].methods.get(name).copied(),
            Val::Record(r, _) => self.program.records[r.index()].methods.get(name).copied(),
            _ => None,
        }
    }

    /// Inlines a call: the flows that come back, with a value and without.
    #[allow(clippy::type_complexity, reason = "the two lists of one frame")]
    fn inline(
        &mut self,
        target: Target,
        callee: &ast::Expr,
        args: &[(Option<ast::Ident>, ast::Expr)],
        span: Span,
    ) -> Option<(Vec<(flow::Flow, Val)>, Vec<flow::Flow>)> {
        if self.too_large(span) {
            return None;
        }
        let kind = match &target {
            Target::Fn(id, _) => FrameKind::Fn(*id),
            Target::Traversal(id) => FrameKind::Traversal(*id),
        };
        if self.is_circle(kind, callee, span) {
            return None;
        }
        let program = self.program;
        let (params, defaults) = match &target {
            Target::Fn(id, _) => (&program.fns[id.index()].params, None),
            Target::Traversal(id) => {
                let t = &program.traversals[id.index()];
                if t.stream {
                    let message = "expected a traversal with one result, found a stream";
                    let d = Diagnostic::error("E0301", span, message, "its rows have no place here");
                    self.report(d.help("run over its rows: `for row in … { … }`"));
                    return None;
                }
                (&t.params, Some(&t.defaults))
            }
        };
        let evaluate = |l: &mut Self| l.arguments(params, defaults.map(Vec::as_slice), args, callee, span);
        // An argument may read; the receiver lives through that like anything else.
        let (target, values) = match target {
            Target::Fn(id, Some(this)) => {
                let (this, values) = self.holding(this, evaluate);
                (Target::Fn(id, Some(this)), values?)
            }
            target => (target, evaluate(self)?),
        };
        let frame = self.body_of(target, values, None);
        self.span = span;
        Some((frame.returns, frame.nones))
    }

    /// Whether a body is being lowered already, which is reported.
    pub(super) fn is_circle(&mut self, kind: FrameKind, callee: &ast::Expr, span: Span) -> bool {
        let callers = std::iter::successors(self.frames.last(), |f| f.caller.map(|i| &self.frames[i]));
        let circle = callers.map(|f| f.kind).any(|k| k == kind) || self.frames.len() > CALLS_DEEP_MAX;
        if circle {
            let message = format!("expected calls without circles, found one through `{}`", self.text(callee.span));
            self.error("E0604", span, message, "calls itself");
        }
        circle
    }

    /// Lowers the body of what is called on its arguments; the frame that comes back holds the flows that returned.
    pub(super) fn body_of(&mut self, target: Target, values: Vec<Val>, sink: Option<stream::Sink>) -> Frame {
        let program = self.program;
        let (module, result, body, names, this, kind) = match target {
            Target::Fn(id, this) => {
                self.called.insert(id);
                let f = &program.fns[id.index()];
                (f.module, f.result.clone(), &f.syntax.body, &f.syntax.params, this, FrameKind::Fn(id))
            }
            Target::Traversal(id) => {
                let t = &program.traversals[id.index()];
                let result = if t.stream { Ty::Unit } else { t.result.clone() };
                (t.module, result, &t.syntax.body, &t.syntax.params, None, FrameKind::Traversal(id))
            }
        };
        let base = self.flow.locals.len();
        self.enter(module, kind, result, dotted_paths(body));
        self.frames.last_mut().expect("just entered").sink = sink;
        if let Some(this) = this {
            self.bind("self", this, false, None);
        }
        for (val, p) in values.into_iter().zip(names) {
            self.bind(&p.name.name, val, false, None);
        }
        self.scopes.push(Scope::default());
        let val = self.block(body);
        if self.flow.reachable {
            if body.value.is_none() && !matches!(self.frame().result, Ty::Unit) {
                let wanted = program.describe(&self.frame().result);
                let end = Span { start: body.span.end.saturating_sub(1), ..body.span };
                self.error(
                    "E0304",
                    end,
                    format!("expected a result of type {wanted}, found the end of the body"),
                    "reached without a `return`",
                );
            } else {
                self.return_value(val, body.value.as_ref().map_or(body.span, |e| e.span));
            }
        }
        self.flow.locals.truncate(base);
        self.scopes.pop();
        self.frames.pop().expect("entered above")
    }

    /// The values of a call's arguments, in the order of the parameters.
    pub(super) fn arguments(
        &mut self,
        params: &[(String, Ty)],
        defaults: Option<&[Option<TraversalId>]>,
        args: &[(Option<ast::Ident>, ast::Expr)],
        callee: &ast::Expr,
        span: Span,
    ) -> Option<Vec<Val>> {
        let name = self.text(callee.span);
        let mut chosen: Vec<Option<&ast::Expr>> = vec![None; params.len()];
        // Without names, arguments fill the parameters that have no default first.
        let positional = args.iter().filter(|(n, _)| n.is_none()).count();
        let all_given = positional >= params.len();
        for (given, e) in args {
            let i = match given {
                Some(n) => params.iter().position(|(p, _)| *p == n.name),
                None => (0..params.len())
                    .find(|i| chosen[*i].is_none() && (all_given || defaults.is_none_or(|d| d[*i].is_none()))),
            };
            match i {
                Some(i) if chosen[i].is_none() => chosen[i] = Some(e),
                _ => {
                    let at = given.as_ref().map_or(e.span, |n| n.span);
                    let message = format!("expected {} arguments of `{name}`, found one more", params.len());
                    self.error("E0205", at, message, "no parameter for this");
                    return None;
                }
            }
        }
        let held = self.flow.temps.len();
        for (i, (param, ty)) in params.iter().enumerate() {
            let val = match (chosen[i], defaults.and_then(|d| d[i])) {
                (Some(e), _) => {
                    let val = self.expr(e);
                    self.coerce(val, ty, e.span)
                }
                (None, Some(default)) => {
                    let (returns, _) = self.inline(Target::Traversal(default), callee, &[], span)?;
                    self.merge(returns, span)
                }
                (None, None) => {
                    self.error(
                        "E0205",
                        span,
                        format!("expected an argument for `{param}` of `{name}`, found none"),
                        "not complete",
                    );
                    self.flow.temps.truncate(held);
                    return None;
                }
            };
            self.flow.temps.push(val);
        }
        Some(self.flow.temps.split_off(held))
    }
}

/// What a call calls.
pub(super) enum Target {
    Fn(FnId, Option<Val>),
    Traversal(TraversalId),
}

/// All dotted paths that a body names.
pub(super) fn dotted_paths(b: &ast::BlockExpr) -> Vec<(String, Span)> {
    let mut out = Vec::new();
    let block = ast::Expr { kind: Box::new(ExprKind::Block(b.clone())), span: b.span };
    collect_paths(&block, &mut out);
    out
}

fn collect_paths(e: &ast::Expr, out: &mut Vec<(String, Span)>) {
    if let Some(path) = dotted(e) {
        out.push((path, e.span));
        return;
    }
    for_each_child(e, &mut |c| collect_paths(c, out));
}

fn dotted(e: &ast::Expr) -> Option<String> {
    match &*e.kind {
        ExprKind::Field(base, name) => match &*base.kind {
            ExprKind::Name(n) => Some(format!("{}.{}", n.name, name.name)),
            ExprKind::End => Some(format!("end.{}", name.name)),
            _ => Some(format!("{}.{}", dotted(base)?, name.name)),
        },
        _ => None,
    }
}

/// The simple names in an expression.
pub(super) fn names_in(e: &ast::Expr) -> Vec<String> {
    let mut out = Vec::new();
    fn walk(e: &ast::Expr, out: &mut Vec<String>) {
        if let Some(path) = dotted(e) {
            out.push(path);
        } else if let ExprKind::Name(n) = &*e.kind {
            out.push(n.name.clone());
        }
        for_each_child(e, &mut |c| walk(c, out));
    }
    walk(e, &mut out);
    out
}

/// Calls `f` on each expression directly inside of another, statements' included.
pub(super) fn for_each_child(e: &ast::Expr, f: &mut dyn FnMut(&ast::Expr)) {
    match &*e.kind {
        ExprKind::Int(_)
        | ExprKind::Bool(_)
        | ExprKind::Bytes(_)
        | ExprKind::None
        | ExprKind::Name(_)
        | ExprKind::SelfValue
        | ExprKind::End => {}
        ExprKind::Array(items) => items.iter().for_each(f),
        ExprKind::Repeat(a, b) | ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => {
            f(a);
            f(b);
        }
        ExprKind::SelfWith(fields) => fields.iter().for_each(|(_, e)| f(e)),
        ExprKind::Field(a, _) | ExprKind::Unary(_, a) | ExprKind::Follow(a) => f(a),
        ExprKind::Slice(a, b, c) => [Some(a), b.as_ref(), c.as_ref()].into_iter().flatten().for_each(f),
        ExprKind::Call { callee, args } => {
            f(callee);
            args.iter().for_each(|(_, a)| f(a));
        }
        ExprKind::Record { fields, rest, .. } => fields.iter().map(|(_, e)| e).chain(rest).for_each(f),
        ExprKind::In(a, r) => {
            f(a);
            f(&r.start);
            f(&r.end);
        }
        ExprKind::As { value, .. } => f(value),
        ExprKind::Read { at, from, ty } => {
            type_args(ty, f);
            f(at);
            from.iter().for_each(f);
        }
        ExprKind::View { at, parent, ty } => {
            type_args(ty, f);
            f(at);
            f(parent);
        }
        ExprKind::Else(a, b) => {
            f(a);
            match b {
                ast::ElseBranch::Value(e) | ast::ElseBranch::Return(Some(e), _) => f(e),
                _ => {}
            }
        }
        ExprKind::If(i) => {
            match &i.cond {
                ast::Cond::Expr(c) | ast::Cond::Let(_, c) => f(c),
            }
            block_children(&i.then, f);
            i.other.iter().for_each(f);
        }
        ExprKind::Match { scrutinee, arms } => {
            f(scrutinee);
            for arm in arms {
                for p in &arm.patterns {
                    if let ast::Pattern::Value(e) = p {
                        f(e);
                    }
                }
                f(&arm.body);
            }
        }
        ExprKind::Block(b) => block_children(b, f),
        ExprKind::Quantified(q) => {
            match &q.over {
                ast::Over::Range(r) => {
                    f(&r.start);
                    f(&r.end);
                }
                ast::Over::Elements(e, from) => {
                    f(e);
                    from.iter().for_each(&mut *f);
                }
            }
            q.cond.iter().chain(&q.value).for_each(f);
        }
    }
}

fn type_args(ty: &ast::Type, f: &mut dyn FnMut(&ast::Expr)) {
    if let ast::TypeKind::Named { args, .. } = &ty.kind {
        args.iter().for_each(f);
    }
}

fn block_children(b: &ast::BlockExpr, f: &mut dyn FnMut(&ast::Expr)) {
    use ast::StmtKind;
    for s in &b.stmts {
        match &s.kind {
            StmtKind::Let(_, _, e)
            | StmtKind::Expr(e)
            | StmtKind::Require(e, _)
            | StmtKind::Emit(e)
            | StmtKind::Assert(e) => f(e),
            StmtKind::Var(_, _, e) | StmtKind::Return(e) => e.iter().for_each(&mut *f),
            StmtKind::Assign(a, _, e) => {
                f(a);
                f(e);
            }
            StmtKind::For(_, over, body) => {
                match over {
                    ast::Over::Range(r) => {
                        f(&r.start);
                        f(&r.end);
                    }
                    ast::Over::Elements(e, from) => {
                        f(e);
                        from.iter().for_each(&mut *f);
                    }
                }
                block_children(body, f);
            }
            StmtKind::Loop(l) => {
                l.most.iter().chain(&l.measure).chain(&l.cond).for_each(&mut *f);
                block_children(&l.body, f);
                l.other.iter().for_each(|b| block_children(b, f));
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Fail(_) => {}
        }
    }
    b.value.iter().for_each(f);
}
