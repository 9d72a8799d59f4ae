//! Expressions.

use super::*;
use crate::ir::{CmpOp, Value};
use ast::{BinaryOp, ExprKind, UnaryOp};

impl Lowerer<'_> {
    /// Types and emits an expression.
    pub(super) fn expr(&mut self, e: &ast::Expr) -> Val {
        if self.too_large(e.span) {
            return Val::Never;
        }
        self.expressions_left -= 1;
        self.span = e.span;
        match &*e.kind {
            ExprKind::Int(n) => self.literal(i128::from(*n)),
            ExprKind::Bool(b) => Val::Bool(self.truth(*b)),
            ExprKind::Bytes(b) => self.bytes_literal(b),
            ExprKind::None => Val::None,
            ExprKind::Array(_) | ExprKind::Repeat(..) => self.error(
                "E0301",
                e.span,
                "expected a value, found a table",
                "tables are constants: `const NAME = […];`",
            ),
            ExprKind::Name(name) => self.name(name),
            ExprKind::SelfValue => self.self_value(e.span),
            ExprKind::SelfWith(fields) => self.self_with(fields, e.span),
            ExprKind::End => self.end_of_self(e.span),
            ExprKind::Field(base, name) => self.field(base, name, e.span),
            ExprKind::Index(base, index) => self.index(base, index, e.span),
            ExprKind::Slice(base, from, to) => self.slice(base, from.as_ref(), to.as_ref(), e.span),
            ExprKind::Call { callee, args } => self.call(callee, args, e.span),
            ExprKind::Record { path, fields, rest } => self.record(path, fields, rest.as_ref(), e.span),
            ExprKind::Unary(op, a) => self.unary(*op, a, e.span),
            ExprKind::Binary(op, a, b) => self.binary(*op, a, b, e.span),
            ExprKind::In(a, range) => self.contained(a, range, e.span),
            ExprKind::As { value, ty, wrapping } => self.cast_to(value, ty, *wrapping, e.span),
            ExprKind::Read { ty, at, from } => self.read(ty, at, from.as_ref(), e.span),
            ExprKind::View { ty, at, parent } => self.view_in(ty, at, parent, e.span),
            ExprKind::Follow(pointer) => self.follow(pointer, e.span),
            ExprKind::Else(value, default) => self.or_else(value, default, e.span),
            ExprKind::If(i) => self.if_expr(i, e.span),
            ExprKind::Match { scrutinee, arms } => self.match_expr(scrutinee, arms, e.span),
            ExprKind::Block(b) => self.block(b),
            ExprKind::Quantified(q) => self.quantified(q, e.span),
        }
    }

    /// A variable, a member of `self`, or a constant.
    fn name(&mut self, name: &ast::Ident) -> Val {
        let base = self.frame().locals_base;
        if let Some(local) = self.flow.locals[base..].iter().rev().find(|l| l.is(&name.name)) {
            return local.val.clone();
        }
        if let Some(this) = self.flow.locals[base..].iter().rev().find(|l| l.is("self")).map(|l| l.val.clone()) {
            if let Some(val) = self.member_if_any(&this, name, name.span) {
                return val;
            }
            if name.name == "offset" && matches!(this, Val::View(_)) {
                return self.project(&this, name, name.span);
            }
        }
        let module = self.module();
        match self.program.modules[module.index()].names.get(&name.name).map(|(d, _)| *d) {
            Some(Def::Const(id)) => self.constant(id, name.span),
            Some(Def::Source(..)) => self.error(
                "E0301",
                name.span,
                format!("expected a value, found the source `{}`", name.name),
                "read from it: `read T at O from …`",
            ),
            Some(_) => self.error(
                "E0301",
                name.span,
                format!("expected a value, found the name `{}` of a declaration", name.name),
                "not a value",
            ),
            None => self.unknown(name),
        }
    }

    fn unknown(&mut self, name: &ast::Ident) -> Val {
        let base = self.frame().locals_base;
        let module = &self.program.modules[self.module().index()];
        let locals = self.flow.locals[base..].iter().map(|l| &*l.name);
        let names = locals.chain(module.names.keys().map(String::as_str));
        let members: Vec<&str> = match self.flow.locals[base..].iter().find(|l| l.is("self")).map(|l| &l.val) {
            Some(Val::View(v)) => self.program.structs[v.def.index()].by_name.keys().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let like = crate::check::nearest(&name.name, names.chain(members)).map(String::from);
        let mut d = Diagnostic::error(
            "E0201",
            name.span,
            format!("expected a name that is declared, found `{}`", name.name),
            "not declared",
        );
        d.help = like.map(|l| format!("did you mean `{l}`?"));
        self.report(d);
        Val::Never
    }

    /// A constant's value.
    pub(super) fn constant(&mut self, id: ConstId, span: Span) -> Val {
        let def = &self.program.consts[id.index()];
        match self.program.constant(id) {
            Ok(ConstValue::Int(n)) => {
                let Val::Int(v, ty) = self.literal(n) else { return Val::Never };
                match def.ty {
                    Some(declared) => Val::Int(self.fit_int((v, ty), declared, span), declared),
                    None => Val::Int(v, ty),
                }
            }
            Ok(ConstValue::Bool(b)) => Val::Bool(self.truth(b)),
            Ok(ConstValue::Bytes(b)) => self.bytes_literal(&b),
            Ok(ConstValue::Table(_)) => {
                self.error("E0301", span, "expected a value, found a table", "take an entry: `TABLE[i]`")
            }
            Ok(ConstValue::Error) | Err(_) => Val::Never,
        }
    }

    fn unary(&mut self, op: UnaryOp, a: &ast::Expr, span: Span) -> Val {
        let val = self.expr(a);
        self.span = span;
        match op {
            UnaryOp::Not => match val {
                Val::Bool(v) => Val::Bool(self.not(v)),
                other => self.mismatch(a.span, "a bool", &other),
            },
            UnaryOp::Neg => self.num(val, a.span).map_or(Val::Never, |n| self.negate(n, span)),
            // A number without a type has as many bits as there are, as in constants: `x & ~0x1f` keeps the high ones.
            UnaryOp::Complement => match self.num(val, a.span) {
                Some((v, _)) if self.is_untyped(a) => self.complement((v, IntTy::plain(64, false))),
                n => n.map_or(Val::Never, |n| self.complement(n)),
            },
        }
    }

    /// Whether an expression is a number written down, or the name of a constant without a type.
    fn is_untyped(&self, e: &ast::Expr) -> bool {
        match &*e.kind {
            ExprKind::Int(_) => true,
            ExprKind::Name(name) => {
                let is_local = self.flow.locals[self.frame().locals_base..].iter().any(|l| l.is(&name.name));
                let def = self.program.modules[self.module().index()].names.get(&name.name);
                matches!(def, Some((Def::Const(id), _)) if !is_local && self.program.consts[id.index()].ty.is_none())
            }
            _ => false,
        }
    }

    fn binary(&mut self, op: BinaryOp, a: &ast::Expr, b: &ast::Expr, span: Span) -> Val {
        match op {
            BinaryOp::And | BinaryOp::Or => self.logic(op, a, b, span),
            BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
                let left = self.expr(a);
                let (left, right) = self.holding(left, |l| l.expr(b));
                self.span = span;
                self.comparison(op, (left, a.span), (right, b.span), span)
            }
            _ => {
                let outer = self.enter_whole(op, span);
                let left = self.expr(a);
                let (left, right) = self.holding(left, |l| l.expr(b));
                let result = self.operate(op, (left, a.span), (right, b.span), span);
                self.whole = outer;
                result
            }
        }
    }

    /// Begins a sum or product, unless it is a part of one: then what does not fit is the whole. What is divided, subtracted from or masked is no
    /// part, as its result may fit though it does not.
    fn enter_whole(&mut self, op: BinaryOp, span: Span) -> Option<Span> {
        let grows = matches!(op, BinaryOp::Add | BinaryOp::Mul | BinaryOp::Shl);
        let outer = self.whole;
        self.whole = match outer {
            Some(whole) if grows && whole.covers(span) => Some(whole),
            _ => grows.then_some(span),
        };
        outer
    }

    /// An operator of two operands that are there.
    fn operate(&mut self, op: BinaryOp, (left, a): (Val, Span), (right, b): (Val, Span), span: Span) -> Val {
        if let (Val::Flags(x, f), Val::Flags(y, g)) = (&left, &right)
            && f == g
        {
            let flags = *f;
            let bits = IntTy::plain(self.program.flags[flags.index()].bits, false);
            return match self.arithmetic(op, (*x, bits), ((*y, bits), b), span) {
                Val::Int(v, _) => Val::Flags(v, flags),
                other => other,
            };
        }
        let (Some(x), Some(y)) = (self.num(left, a), self.num(right, b)) else { return Val::Never };
        self.arithmetic(op, x, (y, b), span)
    }

    /// `a && b` as a value.
    fn logic(&mut self, op: BinaryOp, a: &ast::Expr, b: &ast::Expr, span: Span) -> Val {
        let split = self.split(a);
        let rest = |l: &mut Self| match l.cond(b) {
            Some(v) => Val::Bool(v),
            None => Val::Never,
        };
        let short = |value: bool| move |l: &mut Self| Val::Bool(l.truth(value));
        match op {
            BinaryOp::And => self.both(split, span, rest, short(false)),
            _ => self.both(split, span, short(true), rest),
        }
    }

    pub(super) fn comparison(
        &mut self,
        op: BinaryOp,
        (a, a_span): (Val, Span),
        (b, b_span): (Val, Span),
        span: Span,
    ) -> Val {
        let (ir_op, swap) = match op {
            BinaryOp::Eq => (CmpOp::Eq, false),
            BinaryOp::Ne => (CmpOp::Ne, false),
            BinaryOp::Lt => (CmpOp::Lt, false),
            BinaryOp::Le => (CmpOp::Le, false),
            BinaryOp::Gt => (CmpOp::Lt, true),
            _ => (CmpOp::Le, true),
        };
        let equality = matches!(ir_op, CmpOp::Eq | CmpOp::Ne);
        let (a, b) = match (a, b) {
            (a, Val::None) => (a, Val::None),
            (Val::None, b) => (Val::None, b),
            (a, b) => (self.asserted(a, a_span), self.asserted(b, b_span)),
        };
        let ordered =
            |l: &mut Self, x: Value, y: Value| if swap { l.compare(ir_op, y, x) } else { l.compare(ir_op, x, y) };
        match (&a, &b) {
            (Val::Never, _) | (_, Val::Never) => Val::Never,
            (Val::Int(..) | Val::Pointer(..), Val::Int(..) | Val::Pointer(..)) => {
                let (Some(x), Some(y)) = (self.num(a, a_span), self.num(b, b_span)) else { return Val::Never };
                let v = if swap { self.compare_nums(ir_op, y, x) } else { self.compare_nums(ir_op, x, y) };
                Val::Bool(v)
            }
            (Val::Bool(x), Val::Bool(y)) if equality => Val::Bool(ordered(self, *x, *y)),
            (Val::Enum(x, e), Val::Enum(y, f)) if e == f => Val::Bool(ordered(self, *x, *y)),
            (Val::Flags(x, e), Val::Flags(y, f)) if e == f && equality => Val::Bool(ordered(self, *x, *y)),
            (Val::Bytes(x) | Val::Buffer(x), Val::Bytes(y) | Val::Buffer(y)) => {
                let (x, y) = (*x, *y);
                if swap { self.compare_bytes(ir_op, y, x, span) } else { self.compare_bytes(ir_op, x, y, span) }
            }
            // What a call gives may be known to be nothing.
            (Val::None, Val::None) if equality => Val::Bool(self.truth(ir_op == CmpOp::Eq)),
            (Val::Option(present, _), Val::None) | (Val::None, Val::Option(present, _)) if equality => {
                let present = *present;
                Val::Bool(if ir_op == CmpOp::Ne { present } else { self.not(present) })
            }
            _ => {
                let (x, y) = (self.describe(&a), self.describe(&b));
                let d = Diagnostic::error(
                    "E0301",
                    span,
                    format!("expected two values that compare, found {x} and {y}"),
                    "of different types",
                );
                self.report(d.other(a_span, format!("this is {x}")).other(b_span, format!("this is {y}")));
                Val::Never
            }
        }
    }

    /// In a test, what may be none is asserted to be something.
    pub(super) fn asserted(&mut self, val: Val, span: Span) -> Val {
        match val {
            Val::Option(present, inner) if self.in_test => {
                let text = self.text(span).split_whitespace().collect::<Vec<_>>().join(" ");
                let fault = self.fault(ir::FaultKind::Fail, format!("`{text}` is none"), span);
                self.guard(present, fault);
                inner.take()
            }
            other => other,
        }
    }

    /// `x in a..b`.
    fn contained(&mut self, a: &ast::Expr, range: &ast::RangeExpr, span: Span) -> Val {
        let x = self.expr(a);
        let (x, start) = self.holding(x, |l| l.expr(&range.start));
        let (x, (start, end)) = self.holding(x, |l| l.holding(start, |l| l.expr(&range.end)));
        self.span = span;
        let lower = self.comparison(BinaryOp::Le, (start, range.start.span), (x.clone(), a.span), span);
        let op = if range.inclusive { BinaryOp::Le } else { BinaryOp::Lt };
        let upper = self.comparison(op, (x, a.span), (end, range.end.span), span);
        let (Val::Bool(lower), Val::Bool(upper)) = (lower, upper) else { return Val::Never };
        match (self.as_const(lower), self.as_const(upper)) {
            (Some(1), _) => Val::Bool(upper),
            (_, Some(1)) => Val::Bool(lower),
            _ => Val::Bool(self.exact(ir::BinOp::And, lower, upper)),
        }
    }

    /// `x as T`.
    fn cast_to(&mut self, value: &ast::Expr, ty: &ast::Type, wrapping: bool, span: Span) -> Val {
        let wanted = self.resolve_type(ty);
        let val = self.expr(value);
        self.span = span;
        match (val, wanted) {
            (Val::Never, _) | (_, Ty::Error) => Val::Never,
            (Val::Int(v, from) | Val::Pointer(v, from, _), Ty::Int(to)) if wrapping => {
                let v = if self.ty(v) == ir_ty(to) { v } else { self.reinterpret(v, ir_ty(to)) };
                let _ = from;
                Val::Int(self.extend(v, to), to)
            }
            (Val::Int(v, from) | Val::Pointer(v, from, _), Ty::Int(to)) => {
                Val::Int(self.fit_int((v, from), to, value.span), to)
            }
            (Val::Int(v, from), Ty::Enum(e)) => {
                let ty = IntTy::plain(self.program.enums[e.index()].bits, false);
                Val::Enum(self.fit_int((v, from), ty, value.span), e)
            }
            (Val::Int(v, from), Ty::Flags(f)) => {
                let ty = IntTy::plain(self.program.flags[f.index()].bits, false);
                Val::Flags(self.fit_int((v, from), ty, value.span), f)
            }
            (Val::Enum(v, e), Ty::Int(to)) => {
                let ty = IntTy::plain(self.program.enums[e.index()].bits, false);
                Val::Int(self.fit_int((v, ty), to, value.span), to)
            }
            (Val::Flags(v, f), Ty::Int(to)) => {
                let ty = IntTy::plain(self.program.flags[f.index()].bits, false);
                Val::Int(self.fit_int((v, ty), to, value.span), to)
            }
            (Val::Bool(v), Ty::Int(to)) => {
                let v = self.cast(v, ir::Ty::U64);
                Val::Int(self.fit_int((v, IntTy::plain(8, false)), to, value.span), to)
            }
            (val, wanted) => {
                let wanted = self.program.describe(&wanted);
                self.mismatch(value.span, &format!("a value that can become {wanted}"), &val)
            }
        }
    }

    /// `Mapping { start: …, … }`.
    fn record(
        &mut self,
        path: &[ast::Ident],
        fields: &[(ast::Ident, ast::Expr)],
        rest: Option<&ast::Expr>,
        span: Span,
    ) -> Val {
        let module = self.module();
        let named = Rc::new(path_expr(path));
        let Some(Def::Record(id)) = self.program.def_of_path(module, &named) else {
            let name = &path[path.len() - 1];
            return self.error(
                "E0201",
                name.span,
                format!("expected a record, found `{}`", name.name),
                "no record of this name",
            );
        };
        let program = self.program;
        let def = &program.records[id.index()];
        let mut held = 0;
        for (name, value) in fields {
            if !def.fields.iter().any(|(n, ..)| *n == name.name) {
                let like =
                    crate::check::nearest(&name.name, def.fields.iter().map(|(n, ..)| n.as_str())).map(String::from);
                let mut d = Diagnostic::error(
                    "E0201",
                    name.span,
                    format!("expected a field of {}, found `{}`", def.name, name.name),
                    "no such field",
                );
                d.help = like.map(|l| format!("did you mean `{l}`?"));
                self.report(d);
            }
            let val = self.expr(value);
            self.flow.temps.push(val);
            held += 1;
        }
        let rest = rest.map(|e| {
            let val = self.expr(e);
            self.coerce(val, &Ty::Record(id), e.span)
        });
        let values = self.flow.temps.split_off(self.flow.temps.len() - held);
        let mut out = Vec::new();
        for (i, (name, ty, _)) in def.fields.iter().enumerate() {
            let given = fields.iter().zip(&values).find(|((n, _), _)| n.name == *name);
            match (given, &rest) {
                (Some(((_, e), v)), _) => out.push(self.coerce(v.clone(), ty, e.span)),
                (None, Some(Val::Record(_, others))) => out.push(others[i].clone()),
                (None, Some(_)) => return Val::Never,
                (None, None) if matches!(ty, Ty::Option(_)) => out.push(self.coerce(Val::None, ty, span)),
                (None, None) => {
                    let message = format!("expected all fields of {}, found no `{name}`", def.name);
                    self.error("E0205", span, message, "not complete");
                    return Val::Never;
                }
            }
        }
        if out.iter().any(|v| matches!(v, Val::Never)) {
            return Val::Never;
        }
        let val = Val::Record(id, out.into());
        self.check_record_conditions(&val);
        val
    }

    /// What a record's `where`s promise, checked where the record is made or comes in.
    pub(super) fn check_record_conditions(&mut self, val: &Val) {
        let Val::Record(id, fields) = val else { return };
        for f in fields.iter() {
            self.check_record_conditions(f);
        }
        let program = self.program;
        let def = &program.records[id.index()];
        for (name, _, cond) in &def.fields {
            if let Some(cond) = cond {
                let what = format!("{}.{name}: `{}` does not hold", def.name, self.text(cond.span));
                self.in_member_scope(def.module, val.clone(), |l| l.require(cond, ir::FaultKind::Corrupt, &what, None));
            }
        }
    }

    /// Evaluates `f` in the scope of a structure's or record's members.
    pub(super) fn in_member_scope<T>(&mut self, module: ModuleId, this: Val, f: impl FnOnce(&mut Self) -> T) -> T {
        let base = self.flow.locals.len();
        self.enter(module, FrameKind::Member, Ty::Unit, Rc::default());
        let this = flow::Local { name: "self".into(), val: this, mutable: false, ty: None, bound: None };
        self.flow.locals.push(this.into());
        let span = self.span;
        let out = f(self);
        self.span = span;
        self.flow.locals.truncate(base);
        self.frames.pop();
        out
    }

    /// A value that must be what a type says.
    pub(super) fn coerce(&mut self, val: Val, ty: &Ty, span: Span) -> Val {
        match (val, ty) {
            (Val::Never, _) | (_, Ty::Error) => Val::Never,
            (Val::Int(v, from) | Val::Pointer(v, from, _), Ty::Int(to)) => {
                self.span = span;
                Val::Int(self.fit_int((v, from), *to, span), *to)
            }
            (Val::Option(p, inner), Ty::Option(wanted)) => {
                let inner = self.coerce_inner(p, inner.take(), wanted, span);
                Val::Option(p, Shared::from(inner))
            }
            (Val::None, Ty::Option(wanted)) => {
                let absent = self.truth(false);
                let blank = self.blank_of(wanted);
                Val::Option(absent, Shared::from(blank))
            }
            (val, Ty::Option(wanted)) => {
                let present = self.truth(true);
                Val::Option(present, Shared::from(self.coerce(val, wanted, span)))
            }
            (val @ Val::Bool(_), Ty::Bool) | (val @ Val::Unit, Ty::Unit) => val,
            (Val::Enum(v, e), Ty::Enum(f)) if e == *f => Val::Enum(v, e),
            (Val::Flags(v, e), Ty::Flags(f)) if e == *f => Val::Flags(v, e),
            (Val::Record(id, f), Ty::Record(wanted)) if id == *wanted => Val::Record(id, f),
            (Val::View(v), Ty::View(s)) if v.def == *s => Val::View(v),
            (val @ (Val::Bytes(_) | Val::Buffer(_)), Ty::AnyBytes) => val,
            (Val::View(v), Ty::AnyBytes) => Val::Bytes(self.bytes_of_view(&v)),
            (Val::Bytes(b) | Val::Buffer(b), Ty::Bytes { max, fixed, display }) => {
                self.fit_bytes(b, *max, *fixed, *display, span)
            }
            (val, wanted) => {
                let wanted = self.program.describe(wanted);
                self.mismatch(span, &wanted, &val)
            }
        }
    }

    /// The content of an option need not fit where it is absent: checks hold only where it is present.
    fn coerce_inner(&mut self, present: Value, inner: Val, wanted: &Ty, span: Span) -> Val {
        if let (Val::Int(v, _), Ty::Int(to)) = (&inner, wanted)
            && to.range().contains(self.claim(*v))
        {
            return self.coerce(inner, wanted, span);
        }
        if matches!((&inner, wanted), (Val::Int(..), _) | (Val::Bytes(_), _)) {
            let split = self.split_value(Some(present));
            let like = wanted.clone();
            return self.both(split, span, |l| l.coerce(inner, wanted, span), |l| l.blank_of(&like));
        }
        self.coerce(inner, wanted, span)
    }

    /// A value of a type that nobody looks at.
    pub(super) fn blank_of(&mut self, ty: &Ty) -> Val {
        match ty {
            Ty::Int(i) => Val::Int(self.number_as(0, ir_ty(*i)), *i),
            Ty::Bool => Val::Bool(self.truth(false)),
            Ty::Enum(e) => Val::Enum(self.number(0), *e),
            Ty::Flags(f) => Val::Flags(self.number(0), *f),
            Ty::Bytes { max, fixed, display } => {
                let Val::Bytes(b) = self.bytes_literal(&vec![0; *max as usize]) else { return Val::Never };
                let len = if *fixed { b.len } else { Len::Value(self.number(0)) };
                Val::Bytes(Bytes { len, max: *max, display: *display, ..b })
            }
            Ty::Record(r) => {
                let program = self.program;
                Val::Record(*r, program.records[r.index()].fields.iter().map(|(_, t, _)| self.blank_of(t)).collect())
            }
            Ty::Option(inner) => {
                let absent = self.truth(false);
                Val::Option(absent, Shared::from(self.blank_of(inner)))
            }
            Ty::Unit => Val::Unit,
            Ty::AnyBytes | Ty::View(_) | Ty::Stream(_) | Ty::Buffer(_) | Ty::Error => Val::Never,
        }
    }

    /// A type written in a body.
    pub(super) fn resolve_type(&mut self, ty: &ast::Type) -> Ty {
        let module = self.module();
        let mut found = Vec::new();
        let mut r =
            crate::check::resolver::Resolver { program: self.program, sources: self.sources, diagnostics: &mut found };
        let out = r.resolve_type(module, ty);
        found.into_iter().for_each(|d| self.report(d));
        out
    }

    /// A stored type written in a body.
    pub(super) fn resolve_stored(&mut self, ty: &ast::Type) -> FieldTy {
        let module = self.module();
        let mut found = Vec::new();
        let mut r =
            crate::check::resolver::Resolver { program: self.program, sources: self.sources, diagnostics: &mut found };
        let out = r.resolve_field_type(module, ty, None);
        found.into_iter().for_each(|d| self.report(d));
        out
    }
}

/// A dotted path as an expression.
pub(super) fn path_expr(path: &[ast::Ident]) -> ast::Expr {
    let (first, rest) = path.split_first().expect("a path has a part");
    let start = ast::Expr { kind: Box::new(ExprKind::Name(first.clone())), span: first.span };
    rest.iter().fold(start, |base, part| {
        let span = base.span.to(part.span);
        ast::Expr { kind: Box::new(ExprKind::Field(base, part.clone())), span }
    })
}
