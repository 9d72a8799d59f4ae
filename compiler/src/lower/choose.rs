//! `if`, `else` and `match`.

use super::search::OptSplit;
use super::*;
use ast::{ElseBranch, ExprKind};

impl Lowerer<'_> {
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
    pub(super) fn may_be_nothing(&mut self, e: &ast::Expr) -> bool {
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
            Val::Option(present, inner) => (Some(present), inner.take()),
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
        if present.is_none() {
            self.doubt();
        }
        let split = self.split_value(present);
        OptSplit { some: (split.yes, inner, split.yes_scope), none: (split.no, split.no_scope) }
    }

    /// `match`.
    pub(super) fn match_expr(&mut self, scrutinee: &ast::Expr, arms: &[ast::MatchArm], span: Span) -> Val {
        let val = self.expr(scrutinee);
        if matches!(val, Val::Never) {
            self.doubt();
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
                        // What is above the least anyway has only one end to be tested against; then not to match says something.
                        (Val::Bool(a), Val::Bool(b)) if self.is_sure(a) => Val::Bool(b),
                        (Val::Bool(a), Val::Bool(b)) => Val::Bool(self.exact(ir::BinOp::And, a, b)),
                        _ => Val::Never,
                    }
                }
            };
            let Val::Bool(one) = one else {
                self.doubt();
                return Val::Never;
            };
            hit = Some(match hit {
                None => one,
                Some(h) => self.exact(ir::BinOp::Or, h, one),
            });
        }
        let split = self.split_value(hit);
        self.both(split, span, |l| l.expr(&arm.body), |l| l.match_arms(scrutinee, rest, span))
    }
}

const SCRUTINEE: &str = "#match";
