//! Conditions: where the flow divides, and what each side then knows.

use super::flow::Flow;
use super::*;
use crate::ir::{BinOp, Mode, Op, Value};
use ast::{BinaryOp, ExprKind, UnaryOp};

/// The two ways out of a condition.
pub(super) struct Split {
    pub yes: Flow,
    pub no: Flow,
    /// What was emitted and learnt on the way to each.
    pub yes_scope: Scope,
    pub no_scope: Scope,
    /// The block that branches straight to both ways, and on what.
    pub fork: Option<(ir::Block, Value)>,
}

impl Lowerer<'_> {
    /// A condition as a value.
    pub(super) fn cond(&mut self, e: &ast::Expr) -> Option<Value> {
        match self.expr(e) {
            Val::Bool(v) => Some(v),
            other => {
                let d = self.mismatch(e.span, "a bool", &other);
                debug_assert!(matches!(d, Val::Never));
                self.doubt();
                None
            }
        }
    }

    /// Divides the flow. `a && b` evaluates `b` only where `a` holds, so that `b` may rely on it.
    pub(super) fn split(&mut self, e: &ast::Expr) -> Split {
        match &*e.kind {
            ExprKind::Binary(BinaryOp::And, a, b) => {
                let first = self.split(a);
                let second = self.split_in(first.yes, first.yes_scope, b);
                let no = self.merge_plain(vec![first.no, second.no], e.span);
                Split { yes: second.yes, no, yes_scope: second.yes_scope, no_scope: Scope::default(), fork: None }
            }
            ExprKind::Binary(BinaryOp::Or, a, b) => {
                let first = self.split(a);
                let second = self.split_in(first.no, first.no_scope, b);
                let yes = self.merge_plain(vec![first.yes, second.yes], e.span);
                Split { yes, no: second.no, yes_scope: Scope::default(), no_scope: second.no_scope, fork: None }
            }
            ExprKind::Unary(UnaryOp::Not, a) => {
                let s = self.split(a);
                Split { yes: s.no, no: s.yes, yes_scope: s.no_scope, no_scope: s.yes_scope, fork: None }
            }
            _ => {
                let cond = self.cond(e);
                self.span = e.span;
                self.split_value(cond)
            }
        }
    }

    fn split_in(&mut self, flow: Flow, scope: Scope, e: &ast::Expr) -> Split {
        self.resume(flow);
        self.scopes.push(scope);
        let mut s = self.split(e);
        let outer = self.scopes.pop().expect("just pushed");
        // What the first condition emitted and showed holds on both sides of the second.
        s.yes_scope.absorb_weaker(&outer);
        s.no_scope.absorb_weaker(&outer);
        s
    }

    /// Divides the flow by a value (after an error: by one that nobody knows).
    pub(super) fn split_value(&mut self, cond: Option<Value>) -> Split {
        let known = cond.and_then(|c| self.range(c).as_const());
        let fork = cond.filter(|_| known.is_none()).map(|c| (self.flow.block, c));
        let mut yes = self.branch_off();
        let mut no = self.branch_off();
        let here = self.flow.reachable;
        match (cond, known) {
            (Some(_), Some(c)) => {
                let taken = if c != 0 { &yes } else { &no };
                self.b.jump(taken.block, &[]);
                yes.reachable = here && c != 0;
                no.reachable = here && c == 0;
            }
            (Some(c), None) => self.b.branch(c, ir::Target::new(yes.block, &[]), ir::Target::new(no.block, &[])),
            (None, _) => {
                self.b.jump(yes.block, &[]);
                (yes.reachable, no.reachable) = (here, here);
            }
        }
        self.flow.reachable = false;
        let mut scope_of = |sense| {
            self.scopes.push(Scope::default());
            if let Some(c) = cond {
                self.learn_from(c, sense);
            }
            self.scopes.pop().expect("just pushed")
        };
        let (yes_scope, no_scope) = (scope_of(true), scope_of(false));
        Split { yes, no, yes_scope, no_scope, fork }
    }

    /// Joins flows that carry no value.
    pub(super) fn merge_plain(&mut self, flows: Vec<Flow>, span: Span) -> Flow {
        self.merge(flows.into_iter().map(|f| (f, Val::Unit)).collect(), span);
        self.flow.clone()
    }

    /// Lowers `f` on one way out of a condition.
    pub(super) fn on_way<T>(&mut self, flow: Flow, scope: Scope, f: impl FnOnce(&mut Self) -> T) -> (Flow, T, Scope) {
        self.resume(flow);
        self.scopes.push(scope);
        let out = f(self);
        let scope = self.scopes.pop().expect("just pushed");
        (self.flow.clone(), out, scope)
    }

    /// Both ways, then joined. When one way ends (`return`, `fail`), what the other knows holds from here on.
    pub(super) fn both(
        &mut self,
        split: Split,
        span: Span,
        then: impl FnOnce(&mut Self) -> Val,
        other: impl FnOnce(&mut Self) -> Val,
    ) -> Val {
        let straight = split.fork.map(|fork| (fork, split.yes.clone(), split.no.clone()));
        let (yes, a, yes_scope) = self.on_way(split.yes, split.yes_scope, then);
        let (no, b, no_scope) = self.on_way(split.no, split.no_scope, other);
        match (yes.reachable, no.reachable) {
            (true, false) => self.absorb(yes_scope),
            (false, true) => self.absorb(no_scope),
            (true, true) => {
                if let Some(straight) = straight
                    && let Some(val) = self.as_select(straight, (&yes, &a), (&no, &b))
                {
                    return val;
                }
            }
            (false, false) => {}
        }
        self.merge(vec![(yes, a), (no, b)], span)
    }

    /// Makes what a dominating way emitted and learnt part of the present scope.
    pub(super) fn absorb(&mut self, scope: Scope) {
        self.scopes.last_mut().expect("a scope is open").absorb_weaker(&scope);
    }

    /// `if c { a } else { b }` with two short ways free of effects becomes selects: no branch to mispredict, one path for a verifier.
    fn as_select(
        &mut self,
        ((block, cond), yes_start, no_start): ((ir::Block, Value), Flow, Flow),
        yes: (&Flow, &Val),
        no: (&Flow, &Val),
    ) -> Option<Val> {
        const INSTS_MAX: usize = 6;
        let straight = |start: &Flow, end: &Flow| start.block == end.block && start.step == end.step;
        if !straight(&yes_start, yes.0) || !straight(&no_start, no.0) {
            return None;
        }
        let movable = |op: &Op| match op {
            Op::Const(_) | Op::Arg(_) | Op::ArgLen(_) | Op::Compare { .. } | Op::Select { .. } => true,
            Op::Cast(_) | Op::Reinterpret(_) | Op::Extend { .. } => true,
            Op::Binary { op, mode, .. } => !matches!(op, BinOp::Div | BinOp::Rem) && !matches!(mode, Mode::Checked(_)),
            _ => false,
        };
        for flow in [yes.0, no.0] {
            let insts = &self.b.function().block(flow.block).insts;
            if insts.len() > INSTS_MAX || !insts.iter().all(|i| movable(&i.op)) {
                return None;
            }
        }
        let shape_ok = |a: &Val, b: &Val| {
            a.same_shape(b) && simple(a) && a.parts().iter().zip(b.parts()).all(|(x, y)| self.ty(*x) == self.ty(y))
        };
        let changed = yes.0.locals.iter().zip(&no.0.locals).filter(|(a, b)| !a.is_same(b));
        let mut pairs: Vec<(&Val, &Val)> = changed.map(|(a, b)| (&a.val, &b.val)).collect();
        pairs.extend(yes.0.temps.iter().zip(&no.0.temps));
        pairs.push((yes.1, no.1));
        if !pairs.iter().all(|(a, b)| a == b || shape_ok(a, b)) {
            return None;
        }
        self.move_doubts(&[yes_start.block, no_start.block], block);
        self.b.fold_branch(block, yes_start.block, no_start.block);
        let mut flow = yes.0.clone();
        flow.block = block;
        let (others, value) = (no.0.clone(), no.1.clone());
        self.resume(flow.clone());
        let choose = |l: &mut Self, a: &Val, b: &Val| -> Val {
            if a == b {
                return a.clone();
            }
            let chosen: Vec<Value> = a.parts().into_iter().zip(b.parts()).map(|(x, y)| l.select(cond, x, y)).collect();
            let mut out = a.with_parts(&mut chosen.into_iter());
            if let (Val::Int(v, ty), Val::Int(_, tb)) = (&mut out, b) {
                let wide = IntTy::holding(ty.range().join(tb.range())).unwrap_or(*ty);
                if *ty != *tb {
                    *ty = IntTy { signed: l.ty(*v) == ir::Ty::I64, ..wide };
                }
            }
            out
        };
        for i in 0..flow.locals.len() {
            if !flow.has_same(&others, i) {
                self.flow.locals[i].val = choose(self, &flow.locals[i].val, &others.locals[i].val);
            }
        }
        for i in 0..flow.temps.len() {
            self.flow.temps[i] = choose(self, &flow.temps[i], &others.temps[i]);
        }
        Some(choose(self, yes.1, &value))
    }
}

/// Whether a value is scalars only, which selects can choose between.
fn simple(v: &Val) -> bool {
    match v {
        Val::Unit | Val::None | Val::Int(..) | Val::Bool(_) | Val::Enum(..) | Val::Flags(..) => true,
        Val::Record(_, fields) => fields.iter().all(simple),
        Val::Option(_, inner) => simple(inner),
        _ => false,
    }
}
