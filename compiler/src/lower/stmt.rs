//! Statements and blocks.

use super::iterate::Scan;
use super::loops::{Exits, Head, Plan};
use super::search::OptSplit;
use super::*;
use crate::ir::{CmpOp, FaultKind};
use ast::{ElseBranch, ExprKind, StmtKind};

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
        let Some(i) = self.flow.locals[base..].iter().rposition(|l| l.name == name.name).map(|i| i + base) else {
            self.error(
                "E0201",
                name.span,
                format!("expected a variable, found `{}`", name.name),
                "no variable of this name",
            );
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

    pub(super) fn plan(&mut self, parts: impl FnOnce(&mut Scan<'_>), span: Span) -> Plan {
        let mut scan = Scan {
            program: self.program,
            module: self.module(),
            assigned: Default::default(),
            hops: false,
            reads: false,
            emits: false,
            within: Vec::new(),
        };
        parts(&mut scan);
        let mut plan = Plan { assigned: scan.assigned, hops: scan.hops, reads: scan.reads, outer: Vec::new(), span };
        if scan.emits {
            self.plan_for_rows(&mut plan, self.frames.len() - 1);
        }
        plan
    }

    fn for_loop(&mut self, name: &ast::Ident, over: &ast::Over, body: &ast::BlockExpr, span: Span) {
        if let ast::Over::Elements(e, None) = over
            && let ExprKind::Call { callee, args } = &*e.kind
            && let Some(id) = self.stream_called(callee)
        {
            return self.for_rows(id, (callee, args), name, body, span);
        }
        let plan = self.plan(|s| s.block(body), span);
        let exits = self.iterate(over, &name.name, plan, |l, x| {
            l.bind(&name.name, x, false, None);
            l.block(body);
            l.flow.locals.pop();
        });
        // The range is at its end where its bound is.
        let flows = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).chain(exits.breaks).collect();
        self.merge(flows, span);
    }

    fn loop_stmt(&mut self, l: &ast::Loop, span: Span) {
        let plan = self.plan(
            |s| {
                l.cond.iter().chain(&l.measure).for_each(|e| s.expr(e));
                s.block(&l.body);
            },
            span,
        );
        let most = l.most.as_ref().map(|m| self.loop_bound(m));
        let mut plan = plan;
        let measured = l.measure.is_some();
        if measured {
            plan.assigned.insert(MEASURE.into());
            let top = self.number(i128::from(u64::MAX));
            self.bind(MEASURE, Val::Int(top, IntTy::U64), true, Some(Ty::Int(IntTy::U64)));
        }
        self.keep_before_loop(&plan);
        let head_span = Span { end: l.body.span.start.max(span.start), ..span };
        let exits = self.run_loop(
            &plan,
            |lw, _| {
                let go = l.cond.as_ref().map(|c| lw.split(c));
                let most = match (most, &l.measure) {
                    (Some(most), _) => most,
                    (None, Some(m)) => lw.measure_bound(m, &go),
                    (None, None) => {
                        let d = Diagnostic::error("E0601", head_span, "expected a loop with a bound, found none", "how many turns at most?");
                        lw.report(d.help("write `loop up to N { … }`, or `loop descending M { … }` with a value that falls on every turn"));
                        0
                    }
                };
                Head { most, go }
            },
            |lw| {
                if let Some(m) = &l.measure {
                    lw.measure_falls(m);
                }
                lw.block(&l.body);
            },
        );
        let exits = if measured { self.drop_hidden(exits) } else { exits };
        self.after_loop(exits, l, head_span);
    }

    fn after_loop(&mut self, exits: Exits, l: &ast::Loop, span: Span) {
        let Exits { done, done_scope, spent, breaks } = exits;
        let mut flows: Vec<_> = Vec::new();
        if let Some(spent) = spent {
            self.resume(spent);
            self.span = span;
            match &l.other {
                Some(other) => {
                    self.scoped(|lw| lw.block(other));
                }
                None if self.flow.reachable => {
                    let text = l.most.as_ref().map_or(String::new(), |m| format!(" of {}", self.text(m.span)));
                    let fault = self.fault(FaultKind::Limit, format!("the loop's bound{text} was spent"), span);
                    self.b.end_with_fault(fault);
                    self.die();
                }
                None => {}
            }
            if self.flow.reachable {
                flows.push((self.flow.clone(), Val::Unit));
            }
        }
        if flows.is_empty() && breaks.is_empty() {
            self.absorb(done_scope);
        }
        flows.extend(done.into_iter().map(|f| (f, Val::Unit)));
        flows.extend(breaks);
        self.merge(flows, span);
    }

    fn loop_bound(&mut self, m: &ast::Expr) -> u64 {
        let val = self.expr(m);
        let Some(v) = self.unsigned(val, m.span) else { return 0 };
        let zero = self.number(0);
        self.turns(zero, v, m.span)
    }

    /// The most turns of a loop whose measure falls on every turn: one for each value.
    fn measure_bound(&mut self, m: &ast::Expr, go: &Option<cond::Split>) -> u64 {
        let here = self.flow.clone();
        let range = match go {
            Some(split) => {
                let mut flow = split.yes.clone();
                self.in_flow(&mut flow, |l| {
                    let val = l.expr(m);
                    l.unsigned(val, m.span).map(|v| l.range(v))
                })
            }
            None => {
                let val = self.expr(m);
                self.unsigned(val, m.span).map(|v| self.range(v))
            }
        };
        if go.is_some() {
            self.flow = here;
        }
        let Some(range) = range else { return 0 };
        let turns = range.hi - range.lo + 1;
        if turns > 1 << 24 {
            let name = self.text(m.span).to_string();
            let d = Diagnostic::error(
                "E0602",
                m.span,
                format!("expected a measure with a known range, found `{name}`, which may be {}", range.hi),
                "how many turns?",
            );
            self.report(d.help(format!("bound it where it comes from, as in `{name}: u16 where {name} <= 8`, or say `loop up to N descending {name}`")));
            return 0;
        }
        turns.max(0) as u64
    }

    /// A measure that does not fall says that the data runs in a circle.
    fn measure_falls(&mut self, m: &ast::Expr) {
        let val = self.expr(m);
        let (Some(now), Val::Int(before, _)) = (self.unsigned(val, m.span), self.hidden(MEASURE)) else { return };
        self.span = m.span;
        let fell = self.compare(CmpOp::Lt, now, before);
        let id = self.fault_id(
            FaultKind::Corrupt,
            format!("`{}` is {{}} and did not fall", self.text(m.span)),
            ir::FoundAs::Unsigned,
            m.span,
        );
        self.guard(fell, ir::FaultRef { fault: id, found: Some(now), at: None });
        self.set_hidden(MEASURE, Val::Int(now, IntTy::U64));
    }

    fn leave_loop(&mut self, span: Span, brk: bool) {
        if self.loops.len() <= self.frame().loops_base {
            let word = if brk { "break" } else { "continue" };
            self.error("E0308", span, format!("expected `{word}` inside a loop"), "no loop around it");
            return;
        }
        if brk {
            self.break_with(Val::Unit);
        } else {
            self.continue_loop();
        }
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
                    let val = l.coerce(*inner, &wanted, span);
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

    /// `if`, as a statement and as an expression.
    pub(super) fn if_expr(&mut self, i: &ast::IfExpr, span: Span) -> Val {
        let has_else = i.other.is_some();
        let other = |l: &mut Self| match &i.other {
            Some(e) => l.expr(e),
            None => Val::Unit,
        };
        let then = |l: &mut Self| {
            let val = l.block(&i.then);
            if has_else || matches!(val, Val::Never) { val } else { Val::Unit }
        };
        match &i.cond {
            ast::Cond::Expr(c) => {
                let split = self.split(c);
                self.both(split, span, then, other)
            }
            ast::Cond::Let(name, e) => {
                let OptSplit { some: (some, val, some_scope), none: (none, none_scope) } = self.opt_split(e);
                let split =
                    cond::Split { yes: some, no: none, yes_scope: some_scope, no_scope: none_scope, fork: None };
                self.both(
                    split,
                    span,
                    |l| {
                        l.bind(&name.name, val, false, None);
                        let out = then(l);
                        l.flow.locals.pop();
                        out
                    },
                    other,
                )
            }
        }
    }

    /// `EXPR else DEFAULT`.
    pub(super) fn or_else(&mut self, value: &ast::Expr, default: &ElseBranch, span: Span) -> Val {
        let OptSplit { some: (some, val, some_scope), none: (none, none_scope) } = self.opt_split(value);
        let split = cond::Split { yes: some, no: none, yes_scope: some_scope, no_scope: none_scope, fork: None };
        self.both(
            split,
            span,
            |_| val,
            |l| match default {
                ElseBranch::Value(e) => l.expr(e),
                ElseBranch::Return(e, at) => {
                    l.return_stmt(e.as_ref(), *at);
                    Val::Never
                }
                ElseBranch::Fail(message, at) => {
                    l.fail(message, *at);
                    Val::Never
                }
                ElseBranch::Break(at) => {
                    l.leave_loop(*at, true);
                    Val::Never
                }
                ElseBranch::Continue(at) => {
                    l.leave_loop(*at, false);
                    Val::Never
                }
            },
        )
    }

    /// Whether an expression has two ways out by itself.
    fn may_be_nothing(&mut self, e: &ast::Expr) -> bool {
        match &*e.kind {
            ExprKind::Quantified(q) => matches!(
                q.quantifier,
                ast::Quantifier::First | ast::Quantifier::Last | ast::Quantifier::Min | ast::Quantifier::Max
            ),
            ExprKind::Call { callee, .. } => matches!(self.result_of_call(callee), Some(Ty::Option(_))),
            _ => false,
        }
    }

    /// Divides the flow by whether an expression is something or nothing.
    pub(super) fn opt_split(&mut self, e: &ast::Expr) -> OptSplit {
        match &*e.kind {
            ExprKind::Quantified(q) if self.may_be_nothing(e) => return self.search(q, e.span),
            ExprKind::Call { callee, args } => {
                if let Some(split) = self.call_split(callee, args, e.span) {
                    return split;
                }
            }
            _ => {}
        }
        let val = self.expr(e);
        self.span = e.span;
        let (present, inner) = match val {
            Val::Option(present, inner) => (Some(present), *inner),
            Val::None => (Some(self.truth(false)), Val::Never),
            Val::Never => (None, Val::Never),
            other => {
                let found = self.describe(&other);
                self.error(
                    "E0301",
                    e.span,
                    format!("expected something that may be none, found {found}"),
                    "this is always there",
                );
                (None, Val::Never)
            }
        };
        let split = self.split_value(present);
        OptSplit { some: (split.yes, inner, split.yes_scope), none: (split.no, split.no_scope) }
    }

    /// `match`.
    pub(super) fn match_expr(&mut self, scrutinee: &ast::Expr, arms: &[ast::MatchArm], span: Span) -> Val {
        let val = self.expr(scrutinee);
        if matches!(val, Val::Never) {
            return Val::Never;
        }
        let base = self.flow.locals.len();
        self.bind(SCRUTINEE, val, false, None);
        let out = self.match_arms(scrutinee, arms, span);
        self.flow.locals.truncate(base);
        out
    }

    fn match_arms(&mut self, scrutinee: &ast::Expr, arms: &[ast::MatchArm], span: Span) -> Val {
        let Some((arm, rest)) = arms.split_first() else {
            let val = self.hidden(SCRUTINEE);
            // An enum's last item may be the only one left.
            if let Val::Enum(v, _) | Val::Int(v, _) | Val::Bool(v) = val
                && !self.range(v).is_empty()
            {
                let mut d = Diagnostic::error(
                    "E0309",
                    span,
                    format!("expected an arm for every value of `{}`, found some without", self.text(scrutinee.span)),
                    "not complete",
                );
                d.help = Some("values that the spec does not name occur on disk: add `else => …`".into());
                self.report(d);
            }
            self.die();
            return Val::Never;
        };
        if arm.patterns.is_empty() {
            return self.scoped(|l| l.expr(&arm.body));
        }
        let mut hit: Option<ir::Value> = None;
        for p in &arm.patterns {
            let subject = self.hidden(SCRUTINEE);
            let one = match p {
                ast::Pattern::Value(e) => {
                    let wanted = self.expr(e);
                    self.comparison(ast::BinaryOp::Eq, (subject, scrutinee.span), (wanted, e.span), e.span)
                }
                ast::Pattern::Range(r) => {
                    let from = self.expr(&r.start);
                    let to = self.expr(&r.end);
                    let low = self.comparison(
                        ast::BinaryOp::Le,
                        (from, r.start.span),
                        (subject.clone(), scrutinee.span),
                        r.span,
                    );
                    let op = if r.inclusive { ast::BinaryOp::Le } else { ast::BinaryOp::Lt };
                    let high = self.comparison(op, (subject, scrutinee.span), (to, r.end.span), r.span);
                    match (low, high) {
                        (Val::Bool(a), Val::Bool(b)) => Val::Bool(self.exact(ir::BinOp::And, a, b)),
                        _ => Val::Never,
                    }
                }
            };
            let Val::Bool(one) = one else { return Val::Never };
            hit = Some(match hit {
                None => one,
                Some(h) => self.exact(ir::BinOp::Or, h, one),
            });
        }
        let split = self.split_value(hit);
        self.both(split, span, |l| l.expr(&arm.body), |l| l.match_arms(scrutinee, rest, span))
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

const MEASURE: &str = "#measure";
const SCRUTINEE: &str = "#match";
