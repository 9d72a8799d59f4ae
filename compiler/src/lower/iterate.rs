//! What loops and searches run over: numbers, the elements of an array, self-sized structures in a row.

use super::loops::{AFTER_ERROR, Exits, Head, Plan};
use super::*;
use crate::diag::Fix;
use crate::ir::{BinOp, CmpOp, Value};
use ast::{ExprKind, Over, StmtKind};
use std::collections::HashSet;

/// More turns than this are no bound.
pub(super) const TURNS_MAX: i128 = 1 << 32;

impl Lowerer<'_> {
    /// Runs `body` for each element, in order, bound to `name`.
    pub(super) fn iterate(
        &mut self,
        over: &Over,
        name: &str,
        mut plan: Plan,
        body: impl FnOnce(&mut Self, Val),
    ) -> Exits {
        let span = plan.span;
        match over {
            Over::Range(r) => match self.range_ends(r) {
                // A body that emits rows computes the end anew after each: what bounds the index is said in its own terms.
                Some((start, end)) if plan.hops && !plan.reads && self.as_const(end).is_none() && !r.inclusive => self
                    .iterate_range(start, end, name, plan, |l, i| {
                        let now = l.expr(&r.end);
                        if let (Some(now), Val::Int(i, _)) = (l.unsigned(now, r.end.span), &i) {
                            let below = l.compare(CmpOp::Lt, *i, now);
                            let fault = l.fault(ir::FaultKind::Limit, format!("`{name}` left its range"), span);
                            l.guard(below, fault);
                        }
                        body(l, i);
                    }),
                Some((start, end)) => self.iterate_range(start, end, name, plan, body),
                None => self.iterate_nothing(plan, body),
            },
            Over::Elements(e, None) if let Some((text, separator)) = split_call(e) => {
                self.iterate_split(text, separator, plan, |l, x| body(l, x))
            }
            Over::Elements(e, from) => {
                let val = self.expr(e);
                match val {
                    Val::Array(array) if array.stride.is_some() => self.iterate_equal(&array, plan, |l, x, _| {
                        l.name_value(&x, name);
                        body(l, x);
                    }),
                    Val::Array(array) => {
                        let start = match from {
                            Some(from) => {
                                let at = self.expr(from);
                                self.unsigned(at, from.span)
                            }
                            None => None,
                        };
                        plan.assigned.insert(CURSOR.into());
                        self.iterate_seq(&array, start, plan, |l, x, _| body(l, x))
                    }
                    Val::Bytes(b) | Val::Buffer(b) => self.iterate_bytes(b, plan, |l, x| {
                        l.name_value(&x, name);
                        body(l, x);
                    }),
                    Val::Never => self.iterate_nothing(plan, body),
                    other => {
                        self.mismatch(e.span, "a range, an array, a seq or bytes", &other);
                        self.iterate_nothing(plan, body)
                    }
                }
            }
        }
    }

    /// Runs `body` for each element of an array or `seq`, with the offset of the element in its region.
    pub(super) fn iterate_array(
        &mut self,
        array: &Shared<Array>,
        mut plan: Plan,
        body: impl FnOnce(&mut Self, Val, Value),
    ) -> Exits {
        if array.stride.is_some() {
            return self.iterate_equal(array, plan, body);
        }
        plan.assigned.insert(CURSOR.into());
        self.iterate_seq(array, None, plan, body)
    }

    fn iterate_equal(&mut self, array: &Shared<Array>, plan: Plan, body: impl FnOnce(&mut Self, Val, Value)) -> Exits {
        let span = plan.span;
        let count = array.count.expect("an array of equal elements has a count");
        let zero = self.number(0);
        self.bind(ELEMENTS, Val::Array(array.clone()), false, None);
        let exits = self.iterate_range(zero, count, INDEX, plan, |l, i| {
            let (Val::Array(array), Val::Int(i, _)) = (l.hidden(ELEMENTS), i) else { return };
            let element = l.element(&array, (i, span), span);
            let stride = l.number(i128::from(array.stride.unwrap_or(0)));
            let first = l.offset_of(array.place);
            let before = l.checked(BinOp::Mul, i, stride);
            let at = l.checked(BinOp::Add, first, before);
            body(l, element, at);
        });
        self.drop_hidden(exits)
    }

    fn iterate_bytes(&mut self, b: Bytes, plan: Plan, body: impl FnOnce(&mut Self, Val)) -> Exits {
        let span = plan.span;
        let zero = self.number(0);
        let len = self.len_value(b.len);
        self.bind(ELEMENTS, Val::Bytes(b), false, None);
        let exits = self.iterate_range(zero, len, INDEX, plan, |l, i| {
            let (Val::Bytes(b), Val::Int(i, _)) = (l.hidden(ELEMENTS), i) else { return };
            let byte = l.byte_at(b, (i, span), span);
            body(l, byte);
        });
        self.drop_hidden(exits)
    }

    /// After an error: the body is still looked at, as that of a loop that may turn once, for its own errors.
    fn iterate_nothing(&mut self, plan: Plan, body: impl FnOnce(&mut Self, Val)) -> Exits {
        self.run_loop(&plan, |_, _| Head { most: AFTER_ERROR, go: None }, |l| body(l, Val::Never))
    }

    fn name_value(&mut self, val: &Val, name: &str) {
        if let Val::Int(v, _) | Val::Bool(v) | Val::Enum(v, _) = val
            && self.as_const(*v).is_none()
        {
            self.b.set_name(*v, name);
        }
    }

    /// Start and end (exclusive) of a range of numbers that are not negative.
    pub(super) fn range_ends(&mut self, r: &ast::RangeExpr) -> Option<(Value, Value)> {
        let start = self.expr(&r.start);
        let (start, end) = self.holding(start, |l| l.expr(&r.end));
        let start = self.unsigned(start, r.start.span)?;
        let mut end = self.unsigned(end, r.end.span)?;
        // Of what is written there, before one is added to it.
        self.expect_bound(start, end, r.inclusive, r.end.span);
        if r.inclusive {
            self.span = r.span;
            let one = self.number(1);
            end = self.checked(BinOp::Add, end, one);
        }
        Some((start, end))
    }

    /// The most turns of a loop from `start` to `end`; 0 where there are too many, which [`Self::expect_bound`] has reported.
    pub(super) fn turns(&mut self, start: Value, end: Value) -> u64 {
        let most = self.most_apart(start, end);
        if most > TURNS_MAX { AFTER_ERROR } else { most.max(0) as u64 }
    }

    /// The most by which `end` is above `start`: by the ends alone, or by what is known of their difference.
    fn most_apart(&self, start: Value, end: Value) -> i128 {
        let by_ends = self.range_by_parts(end, 4).hi - self.claim(start).lo;
        self.known_difference(end, start).map_or(by_ends, |range| by_ends.min(range.hi))
    }

    /// Reports a loop from `start` to `end`, which may be one of its numbers, with more turns than any; `bound` is what says the end.
    pub(super) fn expect_bound(&mut self, start: Value, end: Value, inclusive: bool, bound: Span) {
        let known = self.range_by_parts(end, 4);
        let most = TURNS_MAX + self.claim(start).lo - i128::from(inclusive);
        if known.hi <= most || self.most_apart(start, end) <= TURNS_MAX - i128::from(inclusive) {
            return;
        }
        let name = self.text(bound).to_string();
        let message = format!("expected a loop with a bound, found one up to `{name}`, which may be {}", known.hi);
        let line = format!("require {name} <= {most} else fail \"too many turns\";");
        let help = format!(
            "bound it where it comes from, as in `count: u32 where count <= 1000`, or write `{line}` before this"
        );
        let mut d = Diagnostic::error("E0602", bound, message, "how many turns?")
            .note(format!("`{name}` is {known} here"))
            .note(format!("it would break with {name} = {}", most + 1))
            .help(help);
        let made = self.b.function().value(end).span;
        if made != bound && made.end > made.start {
            d = d.other(made, format!("`{name}` comes from here: {known}"));
        }
        d.fix = Some(Fix::Line(bound, line));
        self.report(d);
    }

    /// Numbers from `start` to before `end`.
    pub(super) fn iterate_range(
        &mut self,
        start: Value,
        end: Value,
        name: &str,
        plan: Plan,
        body: impl FnOnce(&mut Self, Val),
    ) -> Exits {
        let most = self.turns(start, end);
        // Start and end travel with the variables, for bodies that read.
        self.bind(START, Val::Int(start, IntTy::U64), false, None);
        self.bind(END, Val::Int(end, IntTy::U64), false, None);
        let span = plan.span;
        self.keep_before_loop(&plan);
        let exits = self.run_loop(
            &plan,
            |l, counter| {
                l.span = span;
                let (Val::Int(start, _), Val::Int(end, _)) = (l.hidden(START), l.hidden(END)) else {
                    return Head { most, go: None };
                };
                if l.as_const(start) == Some(0) && l.as_const(end) == Some(i128::from(most)) {
                    return Head { most, go: None };
                }
                let i = l.checked(BinOp::Add, start, counter);
                let go = l.compare(CmpOp::Lt, i, end);
                Head { most, go: Some(l.split_value(Some(go))) }
            },
            |l| {
                l.span = span;
                let Val::Int(start, _) = l.hidden(START) else { return };
                let counter = l.turn_counter();
                let i = l.checked(BinOp::Add, start, counter);
                if l.as_const(start).is_none_or(|s| s != 0) || name.starts_with('#') {
                    l.b.set_name(i, name);
                } else {
                    l.b.set_name(counter, name);
                }
                let ty = IntTy::holding(l.range(i)).unwrap_or(IntTy::U64);
                let ty = IntTy { signed: false, ..ty };
                body(l, Val::Int(i, ty));
            },
        );
        let exits = self.drop_hidden(exits);
        self.drop_hidden(exits)
    }

    /// The counter of the innermost loop, as it is known here.
    pub(super) fn turn_counter(&self) -> Value {
        self.loops.last().expect("in a loop").counter_at(&self.flow)
    }

    fn iterate_seq(
        &mut self,
        array: &Shared<Array>,
        from: Option<Value>,
        plan: Plan,
        body: impl FnOnce(&mut Self, Val, Value),
    ) -> Exits {
        let span = plan.span;
        let first = self.offset_of(array.place);
        let start = match from {
            Some(offset) => self.checked(BinOp::Add, first, offset),
            None => first,
        };
        let least = self.least_element(array);
        let room = self.range(array.limit).hi.min(i128::from(crate::check::SIZE_MAX));
        let most = match array.count {
            Some(n) => self.range(n).hi.min(room / i128::from(least) + 1),
            None => room / i128::from(least) + 1,
        };
        let most = most.max(0) as u64;
        self.bind(ELEMENTS, Val::Array(array.clone()), false, None);
        self.bind(CURSOR, Val::Int(start, IntTy::U64), true, Some(Ty::Int(IntTy::U64)));
        self.keep_before_loop(&plan);
        let exits = self.run_loop(
            &plan,
            |l, counter| {
                l.span = span;
                let (Val::Array(array), Val::Int(at, _)) = (l.hidden(ELEMENTS), l.hidden(CURSOR)) else {
                    return Head { most, go: None };
                };
                let go = match array.count {
                    Some(n) => l.compare(CmpOp::Lt, counter, n),
                    None => l.compare(CmpOp::Lt, at, array.limit),
                };
                Head { most, go: Some(l.split_value(Some(go))) }
            },
            |l| {
                l.span = span;
                let (Val::Array(array), Val::Int(at, _)) = (l.hidden(ELEMENTS), l.hidden(CURSOR)) else { return };
                let (element, end) = l.element_at(&array, at, span);
                // A record that does not move the cursor would repeat for ever within the bound: it is corrupt.
                let moved = l.compare(CmpOp::Lt, at, end);
                let fault =
                    l.fault(ir::FaultKind::Corrupt, format!("an element of {} takes no room", array.name), span);
                l.guard(moved, ir::FaultRef { at: Some(at), ..fault });
                l.set_hidden(CURSOR, Val::Int(end, IntTy::U64));
                body(l, element, at);
            },
        );
        let exits = self.drop_hidden(exits);
        self.drop_hidden(exits)
    }

    /// Where a `seq` of so many elements ends: all are looked at.
    pub(super) fn end_of_row(&mut self, array: &Shared<Array>, span: Span) -> Option<Value> {
        let start = self.offset_of(array.place);
        self.bind(ROW_END, Val::Int(start, IntTy::U64), true, Some(Ty::Int(IntTy::U64)));
        let exits = self.iterate_seq(array, None, Plan::quiet(&[CURSOR, ROW_END], span), |l, _, _| {
            let end = l.hidden(CURSOR);
            l.set_hidden(ROW_END, end);
        });
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        let end = self.flow.locals.pop().map(|l| l.take().val);
        if let Some(Val::Int(end, _)) = end { Some(end) } else { None }
    }

    /// `for part in text.split('/')`: the pieces between the separators, as many as there are separators and one more.
    fn iterate_split(
        &mut self,
        text: &ast::Expr,
        separator: &ast::Expr,
        mut plan: Plan,
        body: impl FnOnce(&mut Self, Val),
    ) -> Exits {
        let span = plan.span;
        let val = self.expr(text);
        let (val, at) = self.holding(val, |l| l.expr(separator));
        let (Val::Bytes(b) | Val::Buffer(b), Some((mark, _))) = (val, self.num(at, separator.span)) else {
            self.error("E0301", text.span, "expected bytes to split and a byte to split at", "cannot be split");
            return self.iterate_nothing(plan, body);
        };
        plan.assigned.insert(CURSOR.into());
        self.bind(ELEMENTS, Val::Bytes(b), false, None);
        self.bind(MARK, Val::Int(mark, IntTy::plain(8, false)), false, None);
        let zero = self.number(0);
        self.bind(CURSOR, Val::Int(zero, IntTy::plain(32, false)), true, Some(Ty::Int(IntTy::plain(32, false))));
        self.keep_before_loop(&plan);
        let most = u64::from(b.max) + 1;
        let exits = self.run_loop(
            &plan,
            |l, _| {
                l.span = span;
                let (Val::Bytes(b), Val::Int(at, _)) = (l.hidden(ELEMENTS), l.hidden(CURSOR)) else {
                    return Head { most, go: None };
                };
                let len = l.len_value(b.len);
                let go = l.compare(CmpOp::Le, at, len);
                Head { most, go: Some(l.split_value(Some(go))) }
            },
            |l| {
                l.span = span;
                let (Val::Bytes(b), Val::Int(at, _), Val::Int(mark, _)) =
                    (l.hidden(ELEMENTS), l.hidden(CURSOR), l.hidden(MARK))
                else {
                    return;
                };
                let end = l.position_of(b, at, mark, span);
                let one = l.number(1);
                let after = l.checked(BinOp::Add, end, one);
                l.set_hidden(CURSOR, Val::Int(after, IntTy::plain(32, false)));
                let part = l.part(b, at, end);
                body(l, part);
            },
        );
        let exits = self.drop_hidden(exits);
        let exits = self.drop_hidden(exits);
        self.drop_hidden(exits)
    }

    /// The index of the first byte from `start` on that is `mark`, or the length.
    fn position_of(&mut self, b: Bytes, start: Value, mark: Value, span: Span) -> Value {
        let plan = Plan::quiet(&[], span);
        let most = u64::from(b.max);
        let len = self.len_value(b.len);
        let exits = self.run_loop(
            &plan,
            |l, i| {
                let at = l.checked(BinOp::Add, start, i);
                let go = l.compare(CmpOp::Lt, at, len);
                Head { most, go: Some(l.split_value(Some(go))) }
            },
            |l| {
                let i = l.turn_counter();
                let at = l.checked(BinOp::Add, start, i);
                let byte = l.byte(b, at);
                let hit = l.compare(CmpOp::Eq, byte, mark);
                let split = l.split_value(Some(hit));
                l.resume(split.yes);
                l.break_with(Val::Int(at, IntTy::plain(32, false)));
                l.resume(split.no);
            },
        );
        let ends = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(ends, span);
        let mut flows = exits.breaks;
        flows.push((self.flow.clone(), Val::Int(len, IntTy::plain(32, false))));
        match self.merge(flows, span) {
            Val::Int(end, _) => end,
            _ => len,
        }
    }

    /// The least size of an element of a `seq`.
    fn least_element(&self, array: &Array) -> u32 {
        let module = array.view.as_ref().map_or_else(|| self.module(), |v| self.program.structs[v.def.index()].module);
        self.program.extent(module, &array.element.ty).least().max(1)
    }

    /// The element of a `seq` at an offset, and where it ends.
    fn element_at(&mut self, array: &Array, at: Value, span: Span) -> (Val, Value) {
        let place = Place { origin: Origin::Plain(at), index: None, disp: 0, ..array.place };
        let ctx = view::Context {
            view: array.view.clone(),
            limit: array.limit,
            limit_evident: array.limit_evident,
            block_offset: array.view.as_ref().map_or(at, |v| v.block_offset),
            name: format!("an element of {}", array.name),
            whole: false,
        };
        let ty = array.element.ty.clone();
        self.body_types.push(ty.clone());
        let d = self.decode(&ty, place, &ctx, span);
        let end = match d.end {
            Some(end) => end,
            None => {
                let size = self.least_element(array);
                let size = self.number(i128::from(size));
                self.checked(BinOp::Add, at, size)
            }
        };
        (d.val, end)
    }

    /// A hidden variable of the innermost loop.
    pub(super) fn hidden(&self, name: &str) -> Val {
        self.flow.locals.iter().rev().find(|l| l.is(name)).map_or(Val::Never, |l| l.val.clone())
    }

    pub(super) fn set_hidden(&mut self, name: &str, val: Val) {
        if let Some(l) = self.flow.locals.iter_mut().rev().find(|l| l.is(name)) {
            l.val = val;
        }
    }

    /// Takes the last hidden variable out of scope, on all ways out.
    pub(super) fn drop_hidden(&mut self, mut exits: Exits) -> Exits {
        exits.done.iter_mut().chain(&mut exits.spent).chain(exits.breaks.iter_mut().map(|(f, _)| f)).for_each(|f| {
            f.locals.pop();
        });
        self.flow.locals.pop();
        exits
    }
}

/// The parts of `text.split('/')`.
fn split_call(e: &ast::Expr) -> Option<(&ast::Expr, &ast::Expr)> {
    let ExprKind::Call { callee, args } = &*e.kind else { return None };
    match (&*callee.kind, &args[..]) {
        (ExprKind::Field(text, method), [(None, separator)]) if method.name == "split" => Some((text, separator)),
        _ => None,
    }
}

const MARK: &str = "#mark";
pub(super) const ELEMENTS: &str = "#elements";
const CURSOR: &str = "#cursor";
const ROW_END: &str = "#end of row";
const INDEX: &str = "#index";
const START: &str = "#start";
const END: &str = "#end";

/// What loops over these expressions and blocks change: assigned names, and whether a block may be read.
pub(super) struct Scan<'p> {
    pub program: &'p Program,
    pub module: ModuleId,
    pub assigned: HashSet<String>,
    pub hops: bool,
    pub reads: bool,
    /// Whether it may give a row.
    pub emits: bool,
    /// Traversals being looked at, to stop at a circle.
    pub within: Vec<TraversalId>,
}

impl Scan<'_> {
    /// A traversal that is called with so many arguments reads when it or one that fills a parameter does.
    fn called(&mut self, id: TraversalId, given: usize) {
        if self.reads || self.within.contains(&id) {
            return;
        }
        let program = self.program;
        let def = &program.traversals[id.index()];
        let mut inner = Scan {
            program,
            module: def.module,
            assigned: HashSet::new(),
            hops: false,
            reads: false,
            emits: false,
            within: self.within.iter().copied().chain([id]).collect(),
        };
        inner.block(&def.syntax.body);
        if given < def.params.len() {
            def.defaults.iter().flatten().for_each(|d| inner.called(*d, 0));
        }
        self.hops |= inner.hops;
        self.reads |= inner.reads;
    }

    pub fn block(&mut self, b: &ast::BlockExpr) {
        b.stmts.iter().for_each(|s| self.stmt(s));
        b.value.iter().for_each(|e| self.expr(e));
    }

    fn stmt(&mut self, s: &ast::Stmt) {
        match &s.kind {
            StmtKind::Let(_, _, e) | StmtKind::Expr(e) | StmtKind::Require(e, _) | StmtKind::Assert(e) => self.expr(e),
            StmtKind::Var(_, _, e) | StmtKind::Return(e) => e.iter().for_each(|e| self.expr(e)),
            StmtKind::Assign(place, _, e) => {
                if let Some((name, _)) = stmt::assigned_place(place) {
                    self.assigned.insert(name.name.clone());
                }
                self.expr(e);
            }
            StmtKind::For(_, over, body) => {
                self.over(over);
                self.block(body);
            }
            StmtKind::Loop(l) => {
                l.most.iter().chain(&l.measure).chain(&l.cond).for_each(|e| self.expr(e));
                self.block(&l.body);
                l.other.iter().for_each(|b| self.block(b));
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Fail(_) => {}
            StmtKind::Emit(e) => {
                (self.hops, self.emits) = (true, true);
                self.expr(e);
            }
        }
    }

    pub fn over(&mut self, over: &Over) {
        match over {
            Over::Range(r) => {
                self.expr(&r.start);
                self.expr(&r.end);
            }
            Over::Elements(e, from) => {
                self.expr(e);
                from.iter().for_each(|e| self.expr(e));
            }
        }
    }

    pub fn expr(&mut self, e: &ast::Expr) {
        match &*e.kind {
            ExprKind::Read { .. } | ExprKind::Follow(_) => (self.hops, self.reads) = (true, true),
            ExprKind::Call { callee, args } => {
                if let Some(Def::Traversal(id)) = self.program.def_of_path(self.module, callee) {
                    self.called(id, args.len());
                }
                // A buffer's methods change it.
                if let ExprKind::Field(base, method) = &*callee.kind
                    && let ExprKind::Name(n) = &*base.kind
                    && buffer::MUTATING.contains(&method.name.as_str())
                {
                    self.assigned.insert(n.name.clone());
                }
            }
            ExprKind::Block(b) => {
                b.stmts.iter().for_each(|s| self.stmt(s));
            }
            ExprKind::If(i) => {
                i.then.stmts.iter().for_each(|s| self.stmt(s));
            }
            _ => {}
        }
        names::for_each_child(e, &mut |c| self.expr(c));
    }
}
