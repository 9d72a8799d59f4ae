//! Statements and blocks.

use super::search::OptSplit;
use super::*;
use crate::ir::FaultKind;
use ast::{ExprKind, StmtKind};

impl Lowerer<'_> {
    /// A block: its variables end with it.
    pub(super) fn block(&mut self, b: &ast::BlockExpr) -> Val {
        let base = self.flow.locals.len();
        for s in &b.stmts {
            self.stmt(s);
        }
        let val = match &b.value {
            Some(e) => self.expr(e),
            None if self.flow.reachable => Val::Unit,
            None => Val::Never,
        };
        self.flow.locals.truncate(base);
        val
    }

    fn stmt(&mut self, s: &ast::Stmt) {
        self.span = s.span;
        match &s.kind {
            StmtKind::Let(name, ty, e) => {
                let val = self.expr(e);
                let val = self.annotated(val, ty.as_ref(), e.span);
                self.bind(&name.name, val, false, None);
            }
            StmtKind::Var(name, ty, e) => self.var(name, ty.as_ref(), e.as_ref(), s.span),
            StmtKind::Assign(place, op, e) => self.assign(place, *op, e, s.span),
            StmtKind::Expr(e) => {
                self.expr(e);
            }
            StmtKind::For(name, over, body) => self.for_loop(name, over, body, s.span),
            StmtKind::Loop(l) => self.loop_stmt(l, s.span),
            StmtKind::Break => self.leave_loop(s.span, true),
            StmtKind::Continue => self.leave_loop(s.span, false),
            StmtKind::Return(e) => self.return_stmt(e.as_ref(), s.span),
            StmtKind::Require(cond, message) => self.require_or_fail(cond, message, s.span),
            StmtKind::Fail(message) => self.fail(message, s.span),
            StmtKind::Emit(e) => self.emit_row(e, s.span),
            StmtKind::Assert(e) if self.in_test && self.frame().kind == FrameKind::Root => {
                let text = self.text(e.span).split_whitespace().collect::<Vec<_>>().join(" ");
                self.require_or_fail(e, &format!("`{text}` does not hold"), s.span);
            }
            StmtKind::Assert(e) => {
                self.error("E0301", e.span, "expected a statement of a walk, found `assert`", "only tests assert");
            }
        }
    }

    fn annotated(&mut self, val: Val, ty: Option<&ast::Type>, span: Span) -> Val {
        match ty {
            Some(ty) => {
                let wanted = self.resolve_type(ty);
                self.coerce(val, &wanted, span)
            }
            None => val,
        }
    }

    fn var(&mut self, name: &ast::Ident, ty: Option<&ast::Type>, e: Option<&ast::Expr>, span: Span) {
        let declared = ty.map(|t| self.resolve_type(t));
        if let (Some(Ty::Buffer(n)), None) = (&declared, e) {
            let val = self.new_buffer(&name.name, *n, span);
            self.bind(&name.name, val, true, declared);
            return;
        }
        let Some(e) = e else {
            self.error("E0301", span, "expected a value for the variable", "only a `buffer<N>` begins without one");
            self.bind(&name.name, Val::Never, true, None);
            return;
        };
        let val = self.expr(e);
        let (val, ty) = match (declared, val) {
            (Some(ty), val) => (self.coerce(val, &ty, e.span), Some(ty)),
            (None, Val::Int(v, t) | Val::Pointer(v, t, _)) => {
                // A number that was computed may grow to any number; one that was stored keeps its type.
                let computed = matches!(&*e.kind, ExprKind::Int(_) | ExprKind::Unary(..))
                    || matches!(&*e.kind, ExprKind::Binary(op, ..) if matches!(op, ast::BinaryOp::Add | ast::BinaryOp::Sub | ast::BinaryOp::Mul | ast::BinaryOp::Div | ast::BinaryOp::Rem | ast::BinaryOp::Shl));
                let t = if computed { IntTy::plain(64, t.signed) } else { t };
                (Val::Int(v, t), Some(Ty::Int(t)))
            }
            (None, val) => (val, None),
        };
        self.bind(&name.name, val, true, ty);
    }

    fn assign(&mut self, place: &ast::Expr, op: Option<ast::BinaryOp>, e: &ast::Expr, span: Span) {
        let Some((name, fields)) = assigned_place(place) else {
            self.error(
                "E0301",
                place.span,
                "expected a variable on the left of `=`",
                "structures on disk are only read",
            );
            self.doubt();
            return;
        };
        let value = match op {
            Some(op) => {
                let sum = ast::Expr { kind: Box::new(ExprKind::Binary(op, place.clone(), e.clone())), span };
                self.expr(&sum)
            }
            None => self.expr(e),
        };
        let base = self.frame().locals_base;
        let Some(i) = self.flow.locals[base..].iter().rposition(|l| l.is(&name.name)).map(|i| i + base) else {
            self.error(
                "E0201",
                name.span,
                format!("expected a variable, found `{}`", name.name),
                "no variable of this name",
            );
            self.doubt();
            return;
        };
        if !self.flow.locals[i].mutable {
            let mut d = Diagnostic::error(
                "E0307",
                name.span,
                format!("expected a `var`, found `{}`, which does not change", name.name),
                "assigned here",
            );
            d.help = Some(format!("declare it with `var {}`", name.name));
            self.report(d);
            self.doubt();
            return;
        }
        let ty = self.flow.locals[i].ty.clone();
        let old = self.flow.locals[i].val.clone();
        let new = match (&ty, &old) {
            _ if !fields.is_empty() => {
                let new = self.with_field(&old, &fields, value, e.span);
                self.check_record_conditions(&new);
                new
            }
            (Some(Ty::Buffer(_)), Val::Buffer(b)) => {
                let empty = self.change_buffer(*b, "clear", &[], span);
                let full = empty.and_then(|b| self.change_buffer(b, "append", &[(value, e.span)], span));
                full.map_or(Val::Never, Val::Buffer)
            }
            (Some(ty), _) => self.coerce(value, ty, e.span),
            (None, Val::View(w)) => self.coerce(value, &Ty::View(w.def), e.span),
            (None, Val::Record(id, _)) => self.coerce(value, &Ty::Record(*id), e.span),
            (None, _) => value,
        };
        if matches!(new, Val::Never) {
            self.doubt();
        }
        self.flow.locals[i].val = new;
    }

    /// A record with another value for one field, or a field of a field.
    fn with_field(&mut self, old: &Val, fields: &[&ast::Ident], value: Val, span: Span) -> Val {
        let Some((first, rest)) = fields.split_first() else { return value };
        let Val::Record(id, values) = old else {
            let message = "expected a record's field on the left of `=`, since structures on disk are only read";
            let found = self.describe(old);
            return match old {
                Val::Never => Val::Never,
                _ => self.error("E0301", first.span, message, format!("this is a field of {found}")),
            };
        };
        let program = self.program;
        let def = &program.records[id.index()];
        let Some(i) = def.fields.iter().position(|(n, ..)| *n == first.name) else { return self.no_member(old, first) };
        let new = self.with_field(&values[i], rest, value, span);
        let new = self.coerce(new, &def.fields[i].1, span);
        let mut values = values.clone();
        values[i] = new;
        Val::Record(*id, values)
    }

    fn require_or_fail(&mut self, cond: &ast::Expr, message: &str, span: Span) {
        match &*cond.kind {
            ExprKind::Binary(ast::BinaryOp::And, a, b) => {
                self.require_or_fail(a, message, span);
                self.require_or_fail(b, message, span);
            }
            ExprKind::Binary(ast::BinaryOp::Or, ..) | ExprKind::Unary(ast::UnaryOp::Not, _) => {
                let split = self.split(cond);
                self.resume(split.no);
                self.fail(message, span);
                self.resume(split.yes);
                self.absorb(split.yes_scope);
            }
            _ => self.require(cond, FaultKind::Fail, message, None),
        }
    }

    pub(super) fn fail(&mut self, message: &str, span: Span) {
        if self.flow.reachable {
            // The message is the user's own: it has no place for a value.
            let fault = self.fault(FaultKind::Fail, message, span);
            self.b.end_with_fault(fault);
        }
        self.die();
    }

    /// `return [EXPR];`
    pub(super) fn return_stmt(&mut self, e: Option<&ast::Expr>, span: Span) {
        let val = match e {
            // The two ways of a search or call return each by itself.
            Some(e)
                if matches!(self.frame().result, Ty::Option(_))
                    && self.may_be_nothing(e)
                    && self.frame().kind != FrameKind::Root =>
            {
                let OptSplit { some: (some, val, some_scope), none: (none, none_scope) } = self.opt_split(e);
                self.on_way(some, some_scope, |l| l.return_value(val, e.span));
                self.on_way(none, none_scope, |l| l.return_value(Val::None, e.span));
                self.die();
                return;
            }
            Some(e) => self.expr(e),
            None => Val::Unit,
        };
        self.return_value(val, e.map_or(span, |e| e.span));
    }

    /// Ends the body with a value.
    pub(super) fn return_value(&mut self, val: Val, span: Span) {
        let result = self.frame().result.clone();
        if self.frame().kind == FrameKind::Root {
            if self.stream && !matches!(val, Val::Unit | Val::Never) {
                self.error(
                    "E0301",
                    span,
                    "expected no value, found one: a stream gives its rows by `emit`",
                    "not a row",
                );
            } else if !self.stream {
                let val = self.coerce(val, &result, span);
                if self.flow.reachable && !matches!(val, Val::Never) {
                    self.write_out(&val, &mut 0);
                } else if self.flow.reachable && self.diagnostics.is_empty() {
                    // Never silently: what has no value must have been an error.
                    self.error(
                        "E0310",
                        span,
                        "expected a result, found something that trav could not make a value of",
                        "please report this",
                    );
                }
            }
            if self.flow.reachable {
                self.b.ret();
            }
            self.die();
            return;
        }
        if self.frame().kind == FrameKind::Member {
            self.error("E0308", span, "expected `return` inside a body", "not in the expression of a structure");
            self.die();
            return;
        }
        match (val, &result) {
            (Val::Never, _) => {}
            (Val::None, Ty::Option(_)) => {
                let flow = self.cut_frame();
                if flow.reachable {
                    self.frames.last_mut().expect("in a body").nones.push(flow);
                }
            }
            (Val::Option(present, inner), Ty::Option(wanted)) => {
                let split = self.split_value(Some(present));
                let wanted = (**wanted).clone();
                self.on_way(split.yes, split.yes_scope, |l| {
                    let val = l.coerce(inner.take(), &wanted, span);
                    l.push_return(val);
                });
                self.on_way(split.no, split.no_scope, |l| {
                    let flow = l.cut_frame();
                    if flow.reachable {
                        l.frames.last_mut().expect("in a body").nones.push(flow);
                    }
                });
            }
            (val, Ty::Option(wanted)) => {
                let wanted = (**wanted).clone();
                let val = self.coerce(val, &wanted, span);
                self.push_return(val);
            }
            (val, _) => {
                let val = self.coerce(val, &result, span);
                self.push_return(val);
            }
        }
        self.die();
    }

    fn push_return(&mut self, val: Val) {
        let flow = self.cut_frame();
        if flow.reachable {
            self.frames.last_mut().expect("in a body").returns.push((flow, val));
        }
    }

    /// The present flow with only what belongs to the callers of the innermost body.
    fn cut_frame(&self) -> flow::Flow {
        let frame = self.frame();
        let mut flow = self.flow.clone();
        flow.locals.truncate(frame.locals_base);
        flow.temps.truncate(frame.temps_base);
        flow
    }

    /// Writes a value into the result, leaf by leaf.
    pub(super) fn write_out(&mut self, val: &Val, offset: &mut u32) {
        match val {
            Val::Int(v, _) | Val::Pointer(v, _, _) | Val::Bool(v) | Val::Enum(v, _) | Val::Flags(v, _) => {
                self.store_word(ir::Region::Out, *offset, *v);
                *offset += 8;
            }
            Val::Bytes(b) | Val::Buffer(b) => {
                let len = self.len_value(b.len);
                self.store_word(ir::Region::Out, *offset, len);
                let to = ir::Addr { region: ir::Region::Out, base: None, index: None, disp: *offset + 8 };
                self.copy(to, *b);
                *offset += 8 + b.max.next_multiple_of(8);
            }
            Val::Record(_, fields) => fields.iter().for_each(|f| self.write_out(f, offset)),
            Val::Option(present, inner) => {
                self.store_word(ir::Region::Out, *offset, *present);
                *offset += 8;
                self.write_out(inner, offset);
            }
            Val::Unit | Val::Never | Val::None | Val::View(_) | Val::Array(_) | Val::OneOf(_) => {}
        }
    }

    pub(super) fn store_word(&mut self, region: ir::Region, disp: u32, value: ir::Value) {
        let addr = ir::Addr { region, base: None, index: None, disp };
        self.b.set_span(self.span);
        self.b.store(addr, 8, ir::Endian::Little, value);
    }

    fn emit_row(&mut self, e: &ast::Expr, span: Span) {
        let val = self.expr(e);
        if self.frame().sink.is_some() {
            return self.give_row(val, e.span);
        }
        if self.frame().kind != FrameKind::Root || !self.stream {
            self.error("E0308", span, "expected `emit` in the traversal that gives the stream", "this gives no rows");
            return;
        }
        let result = self.result.clone();
        let val = self.coerce(val, &result, e.span);
        if matches!(val, Val::Never) {
            return;
        }
        self.write_out(&val, &mut 0);
        self.carry(None, |l, block, args| {
            l.b.set_span(span);
            l.b.emit(ir::Target::new(block, &args));
        });
    }
}

/// The variable, and the path of fields behind it, to which something is assigned.
pub(super) fn assigned_place(place: &ast::Expr) -> Option<(&ast::Ident, Vec<&ast::Ident>)> {
    match &*place.kind {
        ExprKind::Name(name) => Some((name, Vec::new())),
        ExprKind::Field(base, field) => {
            let (name, mut fields) = assigned_place(base)?;
            fields.push(field);
            Some((name, fields))
        }
        _ => None,
    }
}
