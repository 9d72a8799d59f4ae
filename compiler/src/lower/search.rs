//! Searches and folds: `first`, `last`, `any`, `all`, `count`, `sum`, `min`, `max`.

use super::flow::Flow;
use super::iterate::Scan;
use super::loops::{Exits, Head, Plan};
use super::*;
use crate::ir::{BinOp, CmpOp};
use ast::{Over, Quantifier};

/// The two outcomes of something that may be nothing.
pub(super) struct OptSplit {
    pub some: (Flow, Val, Scope),
    pub none: (Flow, Scope),
}

impl Lowerer<'_> {
    /// A search or fold as a value.
    pub(super) fn quantified(&mut self, q: &ast::Quantified, span: Span) -> Val {
        match q.quantifier {
            Quantifier::First | Quantifier::Last | Quantifier::Min | Quantifier::Max => {
                let OptSplit { some: (some, val, _), none: (none, _) } = self.search(q, span);
                let mut yes = some;
                let val = self.in_flow(&mut yes, |l| {
                    let present = l.truth(true);
                    Val::Option(present, Shared::from(val))
                });
                self.merge(vec![(yes, val), (none, Val::None)], span)
            }
            Quantifier::Any | Quantifier::All => {
                let wanted = q.quantifier == Quantifier::Any;
                let exits = self.scan_until(q, span, wanted, |_, _| Val::Unit);
                let found = exits.breaks.into_iter().map(|(f, _)| (f, wanted));
                let ended = exits.done.into_iter().chain(exits.spent).map(|f| (f, !wanted));
                let flows = found.chain(ended).map(|(mut f, b)| {
                    let v = self.in_flow(&mut f, |l| Val::Bool(l.truth(b)));
                    (f, v)
                });
                let flows = flows.collect();
                self.merge(flows, span)
            }
            Quantifier::Count | Quantifier::Sum => self.accumulate(q, span),
        }
    }

    /// `first` and `last` with both ways out, so that the found index keeps what is known of it.
    pub(super) fn search(&mut self, q: &ast::Quantified, span: Span) -> OptSplit {
        match (q.quantifier, q.sorted, &q.over) {
            (Quantifier::First | Quantifier::Last, true, Over::Range(r)) => self.binary_search(q, r, span),
            (Quantifier::First | Quantifier::Last, true, Over::Elements(..)) => {
                self.error(
                    "E0301",
                    span,
                    "expected a range behind `sorted` searches, found elements",
                    "search over the indices: `first i in 0..n sorted where a[i] …`",
                );
                self.nothing()
            }
            (Quantifier::First, ..) => {
                let exits = self.scan_until(q, span, true, |_, x| x);
                self.option_of(exits, span)
            }
            (Quantifier::Last, _, Over::Range(r)) => self.last_in_range(q, r, span),
            _ => self.extreme(q, span),
        }
    }

    fn nothing(&mut self) -> OptSplit {
        let mut some = self.branch_off();
        self.b.jump(some.block, &[]);
        self.flow.reachable = false;
        let none = Flow { reachable: some.reachable, ..some.clone() };
        some.reachable = false;
        OptSplit { some: (some, Val::Never, Scope::default()), none: (none, Scope::default()) }
    }

    fn option_of(&mut self, exits: Exits, span: Span) -> OptSplit {
        let val = self.merge(exits.breaks, span);
        let some = self.flow.clone();
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        OptSplit { some: (some, val, Scope::default()), none: (self.flow.clone(), Scope::default()) }
    }

    fn plan_of(&mut self, q: &ast::Quantified, hidden: &[&str], span: Span) -> Plan {
        let mut scan = Scan {
            program: self.program,
            module: self.module(),
            assigned: Default::default(),
            hops: false,
            reads: false,
            emits: false,
            within: Vec::new(),
        };
        q.cond.iter().chain(&q.value).for_each(|e| scan.expr(e));
        scan.assigned.extend(hidden.iter().map(|s| s.to_string()));
        Plan { assigned: scan.assigned, hops: scan.hops, reads: scan.reads, outer: Vec::new(), span }
    }

    /// Runs over the elements until the condition is `wanted`, and breaks with what `pick` makes of that element.
    fn scan_until(
        &mut self,
        q: &ast::Quantified,
        span: Span,
        wanted: bool,
        pick: impl FnOnce(&mut Self, Val) -> Val,
    ) -> Exits {
        let plan = self.plan_of(q, &[], span);
        let name = q.name.name.clone();
        self.iterate(&q.over, &q.name.name, plan, |l, x| {
            l.bind(&name, x, false, None);
            let split = match &q.cond {
                Some(c) => l.split(c),
                None => {
                    let yes = l.truth(true);
                    l.split_value(Some(yes))
                }
            };
            let split = if wanted {
                split
            } else {
                cond::Split {
                    yes: split.no,
                    no: split.yes,
                    yes_scope: split.no_scope,
                    no_scope: split.yes_scope,
                    fork: None,
                }
            };
            l.resume(split.yes);
            let x = l.hidden(&name);
            l.scopes.push(split.yes_scope);
            let val = pick(l, x);
            l.scopes.pop();
            l.break_with(val);
            l.resume(split.no);
            l.flow.locals.pop();
        })
    }

    /// The last hit of a linear scan: all elements are looked at, the latest hit is kept by a select. No branch depends on data.
    fn last_in_range(&mut self, q: &ast::Quantified, r: &ast::RangeExpr, span: Span) -> OptSplit {
        let plan = self.plan_of(q, &[FOUND], span);
        let Some((start, end)) = self.range_ends(r) else { return self.nothing() };
        // One more than the index found; 0 for none. `end` bounds it, which keeps the index provable.
        let zero = self.number(0);
        let ty = IntTy::holding(Range::new(0, self.range(end).hi)).unwrap_or(IntTy::U64);
        self.bind(FOUND, Val::Int(zero, ty), true, Some(Ty::Int(ty)));
        self.bound_last(end);
        let name = q.name.name.clone();
        let exits = self.iterate_range(start, end, &name, plan, |l, i| {
            l.bind(&name, i, false, None);
            let hit = match &q.cond {
                Some(c) => l.cond(c),
                None => Some(l.truth(true)),
            };
            let (Some(hit), Val::Int(i, _), Val::Int(found, _)) = (hit, l.hidden(&name), l.hidden(FOUND)) else {
                return;
            };
            l.span = span;
            let one = l.number(1);
            let after = l.checked(BinOp::Add, i, one);
            let found = l.select(hit, after, found);
            l.set_hidden(FOUND, Val::Int(found, ty));
            l.flow.locals.pop();
        });
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        let Val::Int(found, _) = self.hidden(FOUND) else { return self.nothing() };
        self.flow.locals.pop();
        self.span = span;
        let zero = self.number(0);
        let present = self.compare(CmpOp::Lt, zero, found);
        self.index_before(present, found, &name)
    }

    /// The variable bound last never passes `end`.
    fn bound_last(&mut self, end: ir::Value) {
        let bound = Range::new(0, self.range(end).hi);
        self.flow.locals.last_mut().expect("just bound").bound = Some(bound);
    }

    /// Divides by `present`; where it holds, the value is `after - 1`.
    fn index_before(&mut self, present: ir::Value, after: ir::Value, name: &str) -> OptSplit {
        let split = self.split_value(Some(present));
        let (some, val, scope) = self.on_way(split.yes, split.yes_scope, |l| {
            let one = l.number(1);
            // `after` is at least 1 here: the prover sees it from the branch.
            let i = l.checked(BinOp::Sub, after, one);
            l.b.set_name(i, name);
            let ty = IntTy::holding(l.claim(i)).unwrap_or(IntTy::U64);
            Val::Int(i, ty)
        });
        OptSplit { some: (some, val, scope), none: (split.no, split.no_scope) }
    }

    /// Length-halving search for the point at which a monotone condition changes (Knuth, vol. 3, 6.2.1, program U's shape).
    ///
    /// A round probes the last of the first `(room + 1) / 2` elements and goes on with `room / 2`, which by a select begin behind the probe or where
    /// they began before: enough for what is left, whichever half it is. So the number of rounds depends on the length alone, and
    /// only one select on what is read.
    fn binary_search(&mut self, q: &ast::Quantified, r: &ast::RangeExpr, span: Span) -> OptSplit {
        let first = q.quantifier == Quantifier::First;
        let Some((start, end)) = self.range_ends(r) else { return self.nothing() };
        let most_len = self.turns(start, end);
        let rounds = u64::from(64 - most_len.leading_zeros());
        self.span = span;
        // An empty range may be given with its ends the wrong way round.
        let some_room = self.compare(CmpOp::Lt, start, end);
        let zero = self.number(0);
        let room = match (self.as_const(start), self.as_const(end)) {
            (Some(0), _) => end,
            (Some(s), Some(e)) => self.number((e - s).max(0)),
            _ => {
                let d = self.wrapping(BinOp::Sub, end, start);
                self.select(some_room, d, zero)
            }
        };
        let ty = IntTy::holding(Range::new(0, self.range(end).hi)).unwrap_or(IntTy::U64);
        let u64_ty = Some(Ty::Int(ty));
        self.bind(STOP, Val::Int(end, IntTy::U64), false, None);
        self.bind(BEGIN, Val::Int(start, IntTy::U64), false, None);
        self.bind(LOW, Val::Int(start, IntTy::U64), true, u64_ty.clone());
        self.bound_last(end);
        self.bind(ROOM, Val::Int(room, IntTy::U64), true, u64_ty);
        self.bound_last(end);
        let plan = self.plan_of(q, &[LOW, ROOM], span);
        let name = q.name.name.clone();
        self.probe_in_loop(q, first, rounds, &plan, span);
        let (Val::Int(low, _), Val::Int(end, _), Val::Int(start, _)) =
            (self.hidden(LOW), self.hidden(STOP), self.hidden(BEGIN))
        else {
            return self.nothing();
        };
        for _ in 0..4 {
            self.flow.locals.pop();
        }
        self.span = span;
        if first {
            let present = self.compare(CmpOp::Lt, low, end);
            let split = self.split_value(Some(present));
            self.b.set_name(low, &name);
            OptSplit { some: (split.yes, Val::Int(low, ty), split.yes_scope), none: (split.no, split.no_scope) }
        } else {
            let present = self.compare(CmpOp::Lt, start, low);
            self.index_before(present, low, &name)
        }
    }

    /// One round: looks at the middle of the `room` elements from `low` on, and keeps its left or right half. Either has at most half of the
    /// elements, rounded down, and so many are kept: how `room` shrinks does not depend on the data, and only `low` is chosen.
    fn probe(&mut self, q: &ast::Quantified, first: bool, name: &str, span: Span) {
        self.span = span;
        let (Val::Int(low, _), Val::Int(room, _), Val::Int(end, _)) =
            (self.hidden(LOW), self.hidden(ROOM), self.hidden(STOP))
        else {
            return;
        };
        let one = self.number(1);
        let more = self.checked(BinOp::Add, room, one);
        let half = self.exact(BinOp::Shr, more, one);
        let after = self.checked(BinOp::Add, low, half);
        // Holds since low + room never passes the end. Said as a test, which goes where that is proved (`prove/growth.rs`).
        let inside = self.compare(CmpOp::Le, after, end);
        let fault = self.fault(ir::FaultKind::Limit, format!("the search for `{name}` left its range"), span);
        self.guard(inside, fault);
        let middle = self.checked(BinOp::Sub, after, one);
        self.b.set_name(middle, name);
        self.bind(name, Val::Int(middle, IntTy::U64), false, None);
        self.bind(AFTER, Val::Int(after, IntTy::U64), false, None);
        let hit = match &q.cond {
            Some(c) => self.cond(c),
            None => Some(self.truth(true)),
        };
        let (Some(hit), Val::Int(after, _), Val::Int(low, _), Val::Int(room, _)) =
            (hit, self.hidden(AFTER), self.hidden(LOW), self.hidden(ROOM))
        else {
            return;
        };
        self.flow.locals.pop();
        self.flow.locals.pop();
        self.span = span;
        let go_right = if first { self.not(hit) } else { hit };
        let one = self.number(1);
        let low = self.select(go_right, after, low);
        let room = self.exact(BinOp::Shr, room, one);
        self.set_hidden(LOW, Val::Int(low, IntTy::U64));
        self.set_hidden(ROOM, Val::Int(room, IntTy::U64));
    }

    /// As many probes as the length wants.
    fn probe_in_loop(&mut self, q: &ast::Quantified, first: bool, rounds: u64, plan: &Plan, span: Span) {
        self.keep_before_loop(plan);
        let name = q.name.name.clone();
        let exits = self.run_loop(
            plan,
            |l, _| {
                l.span = span;
                let (Val::Int(room, _), zero) = (l.hidden(ROOM), l.number(0)) else {
                    return Head { most: rounds, go: None };
                };
                let go = l.compare(CmpOp::Lt, zero, room);
                Head { most: rounds, go: Some(l.split_value(Some(go))) }
            },
            |l| l.probe(q, first, &name, span),
        );
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
    }

    /// `count … where …`, `sum … of …`
    fn accumulate(&mut self, q: &ast::Quantified, span: Span) -> Val {
        let plan = self.plan_of(q, &[FOUND], span);
        let zero = self.number(0);
        self.bind(FOUND, Val::Int(zero, IntTy::U64), true, Some(Ty::Int(IntTy::U64)));
        let name = q.name.name.clone();
        let exits = self.iterate(&q.over, &q.name.name, plan, |l, x| {
            l.bind(&name, x, false, None);
            let split = q.cond.as_ref().map(|c| l.split(c));
            let add = |l: &mut Self| -> Val {
                let amount = match &q.value {
                    Some(v) => {
                        let val = l.expr(v);
                        l.unsigned(val, v.span)
                    }
                    None => Some(l.number(1)),
                };
                let (Some(amount), Val::Int(so_far, _)) = (amount, l.hidden(FOUND)) else { return Val::Unit };
                l.span = span;
                let sum = l.checked(BinOp::Add, so_far, amount);
                l.set_hidden(FOUND, Val::Int(sum, IntTy::U64));
                Val::Unit
            };
            match split {
                Some(split) => l.both(split, span, add, |_| Val::Unit),
                None => add(l),
            };
            l.flow.locals.pop();
        });
        self.finish_fold(exits, span)
    }

    fn finish_fold(&mut self, exits: Exits, span: Span) -> Val {
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        let val = self.hidden(FOUND);
        self.flow.locals.pop();
        val
    }

    /// `min`, `max`, and `last` over elements: the best so far is kept.
    fn extreme(&mut self, q: &ast::Quantified, span: Span) -> OptSplit {
        let plan = self.plan_of(q, &[FOUND], span);
        let blank = self.blank_of(&Ty::Int(IntTy::U64));
        let absent = self.truth(false);
        if q.quantifier == Quantifier::Last {
            self.error(
                "E0301",
                span,
                "expected a range behind `last`, found elements",
                "search over the indices: `last i in 0..n where a[i] …`",
            );
            return self.nothing();
        }
        self.bind(FOUND, Val::Option(absent, Shared::from(blank)), true, None);
        let name = q.name.name.clone();
        let exits = self.iterate(&q.over, &q.name.name, plan, |l, x| {
            l.bind(&name, x.clone(), false, None);
            let split = q.cond.as_ref().map(|c| l.split(c));
            let better = |l: &mut Self| -> Val {
                let (val, at) = match &q.value {
                    Some(v) => (l.expr(v), v.span),
                    None => (l.hidden(&name), span),
                };
                let Some(v) = l.unsigned(val, at) else { return Val::Unit };
                let Val::Option(present, best) = l.hidden(FOUND) else { return Val::Unit };
                let Val::Int(best, _) = best.take() else { return Val::Unit };
                l.span = span;
                let less = if q.quantifier == Quantifier::Min {
                    l.compare(CmpOp::Lt, v, best)
                } else {
                    l.compare(CmpOp::Lt, best, v)
                };
                let none_yet = l.not(present);
                let take = l.exact(BinOp::Or, none_yet, less);
                let best = l.select(take, v, best);
                let present = l.truth(true);
                l.set_hidden(FOUND, Val::Option(present, Shared::from(Val::Int(best, IntTy::U64))));
                Val::Unit
            };
            match split {
                Some(split) => l.both(split, span, better, |_| Val::Unit),
                None => better(l),
            };
            l.flow.locals.pop();
        });
        match self.finish_fold(exits, span) {
            Val::Option(present, best) => {
                let split = self.split_value(Some(present));
                OptSplit { some: (split.yes, best.take(), split.yes_scope), none: (split.no, split.no_scope) }
            }
            _ => self.nothing(),
        }
    }
}

const FOUND: &str = "#found";
const AFTER: &str = "#after";
const LOW: &str = "#low";
const ROOM: &str = "#room";
const STOP: &str = "#stop";
const BEGIN: &str = "#begin";
