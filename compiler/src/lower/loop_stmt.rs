//! The statements `for` and `loop`: their bounds, measures and ends.

use super::iterate::Scan;
use super::loops::{AFTER_ERROR, Exits, Head, Plan};
use super::*;
use crate::diag::Fix;
use crate::ir::{CmpOp, FaultKind};
use ast::ExprKind;

impl Lowerer<'_> {
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

    pub(super) fn for_loop(&mut self, name: &ast::Ident, over: &ast::Over, body: &ast::BlockExpr, span: Span) {
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

    pub(super) fn loop_stmt(&mut self, l: &ast::Loop, span: Span) {
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
                    (None, Some(m)) => lw.measure_bound(m, &go, span),
                    (None, None) => {
                        let d = Diagnostic::error("E0601", head_span, "expected a loop with a bound, found none", "how many turns at most?");
                        let mut d = d.help("write `loop up to N { … }`, or `loop descending M { … }` with a value that falls on every turn");
                        d.fix = Some(some_bound(span));
                        lw.report(d);
                        AFTER_ERROR
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
        let Some(v) = self.unsigned(val, m.span) else { return AFTER_ERROR };
        let zero = self.number(0);
        self.expect_bound(zero, v, false, m.span);
        self.turns(zero, v)
    }

    /// The most turns of a loop whose measure falls on every turn: one for each value.
    fn measure_bound(&mut self, m: &ast::Expr, go: &Option<cond::Split>, span: Span) -> u64 {
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
        let Some(range) = range else { return AFTER_ERROR };
        let turns = range.hi - range.lo + 1;
        if turns > 1 << 24 {
            let name = self.text(m.span).to_string();
            let d = Diagnostic::error(
                "E0602",
                m.span,
                format!("expected a measure with a known range, found `{name}`, which may be {}", range.hi),
                "how many turns?",
            );
            let d = d
                .note(format!("`{name}` is {range} here"))
                .note(format!("it would break with {name} = {}", range.lo + (1 << 24)));
            let field = name.rsplit('.').next().unwrap_or(&name);
            let mut d = d.help(format!("bound it where it comes from, as in `{field}: u16 where {field} <= 8`, or say `loop up to N descending {name}`"));
            d.fix = Some(some_bound(span));
            self.report(d);
            return AFTER_ERROR;
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

    pub(super) fn leave_loop(&mut self, span: Span, brk: bool) {
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
}

const MEASURE: &str = "#measure";

/// A bound for a loop that has none. How many turns are enough only its author knows.
fn some_bound(of_loop: Span) -> Fix {
    let word = Span { end: of_loop.start + "loop".len() as u32, ..of_loop };
    Fix::Words(word, " up to 1000".into())
}
