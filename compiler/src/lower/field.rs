//! Fields, elements, and what a name with a dot stands for.

use super::*;
use ast::ExprKind;

impl Lowerer<'_> {
    /// Whether an expression begins with a variable or a member, and not with a declaration's name.
    pub(super) fn begins_with_variable(&self, e: &ast::Expr) -> bool {
        match &*e.kind {
            ExprKind::Name(n) => {
                let base = self.frame().locals_base;
                let locals = &self.flow.locals[base..];
                locals.iter().any(|l| l.is(&n.name))
                    || locals.iter().rev().find(|l| l.is("self")).is_some_and(|l| match &l.val {
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
    fn stored_member(&mut self, e: &ast::Expr) -> Option<(Shared<View>, usize)> {
        let (owner, member) = match &*e.kind {
            ExprKind::Field(owner, member) if self.begins_with_variable(owner) => (self.expr(owner), member),
            ExprKind::Name(member) => {
                let base = self.frame().locals_base;
                let locals = &self.flow.locals[base..];
                if locals.iter().any(|l| l.is(&member.name)) {
                    return None;
                }
                (locals.iter().rev().find(|l| l.is("self"))?.val.clone(), member)
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
        member::collapse(results)
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
        match self.flow.locals[base..].iter().find(|l| l.is("self")) {
            Some(l) => l.val.clone(),
            None => {
                self.error("E0201", span, "expected a structure's or record's member around `self`", "no `self` here")
            }
        }
    }

    /// `end`: a variable of this name, or the size of the structure, for offsets from its end.
    pub(super) fn end_of_self(&mut self, span: Span) -> Val {
        let base = self.frame().locals_base;
        if let Some(local) = self.flow.locals[base..].iter().rev().find(|l| l.is("end")) {
            return local.val.clone();
        }
        let Val::View(view) = self.self_value(span) else { return Val::Never };
        let start = self.offset_of(view.place);
        let size = self.checked(ir::BinOp::Sub, view.limit, start);
        Val::Int(size, IntTy::holding(self.claim(size)).unwrap_or(IntTy::U64))
    }
}
