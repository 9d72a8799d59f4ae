//! Calls: fns, methods and traversals are inlined where they are called.

use super::search::OptSplit;
use super::*;
use ast::ExprKind;

impl Lowerer<'_> {
    /// A call as a value.
    pub(super) fn call(&mut self, callee: &ast::Expr, args: &[(Option<ast::Ident>, ast::Expr)], span: Span) -> Val {
        match self.call_split(callee, args, span) {
            Some(OptSplit { some: (mut some, val, _), none: (none, _) }) => {
                let val = self.in_flow(&mut some, |l| {
                    let present = l.truth(true);
                    Val::Option(present, Shared::from(val))
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
                let this = self.flow.locals[base..].iter().rev().find(|l| l.is("self")).map(|l| l.val.clone())?;
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
        let paths = self.paths.entry(kind).or_insert_with(|| Rc::new(names::dotted_paths(body))).clone();
        self.enter(module, kind, result, paths);
        self.frames.last_mut().expect("just entered").sink = sink;
        if let Some(this) = this {
            self.bind("self", this, false, None);
        }
        for (val, p) in values.into_iter().zip(names) {
            self.bind(&p.name.name, val, false, None);
        }
        self.scopes.push(Scope::default());
        let val = self.block(body);
        let ends = self.flow.reachable && self.frame().sink.is_none();
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
        let scope = self.scopes.pop().expect("pushed above");
        let frame = self.frames.pop().expect("entered above");
        if ends && frame.returns.len() + frame.nones.len() == 1 {
            // The only way back comes from the body's end: what is known there is known to the caller, such as decoded members.
            self.scopes.last_mut().expect("a scope is open").absorb_weaker(&scope);
        }
        frame
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
