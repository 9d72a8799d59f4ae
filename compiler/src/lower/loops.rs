//! Loops: a counted header, what changes from turn to turn as its parameters, and the ways out.
//!
//! Every loop of the language becomes one shape: `header(counter, …)` evaluates the loop's own condition, then tests `counter < most` against a
//! constant. Variables that the body assigns are parameters of the header; where the body reads blocks, so is everything else that is alive,
//! since values do not cross hops.

use super::cond::Split;
use super::flow::{DiskState, Flow};
use super::shape::assigned_ranges;
use super::*;
use crate::ir::{Block, CmpOp, Value};
use std::collections::HashSet;

/// How often a loop turns whose bound is an error.
pub(super) const AFTER_ERROR: u64 = 1;

/// A loop whose body is being lowered.
pub(super) struct LoopFrame {
    /// Variables and temporaries that belong to the outside.
    locals: usize,
    temps: usize,
    /// Variables that live through a turn: those of the outside, and the hidden counter.
    turn_locals: usize,
    /// The header's counter, and the step in which it is usable.
    counter: Value,
    step: u32,
    /// Flows that left by `break`, with the value they carry.
    breaks: Vec<(Flow, Val)>,
    continues: Vec<Flow>,
}

/// What is known of a loop before it is lowered.
pub(super) struct Plan {
    /// Names of the variables that the body assigns.
    pub assigned: HashSet<String>,
    /// Whether the body (or condition) may read a block or emit a row: values then travel as parameters.
    pub hops: bool,
    /// Whether it may read a block: the current one is then gone.
    pub reads: bool,
    /// Positions of variables of callers that a row's receiver assigns.
    pub outer: Vec<usize>,
    pub span: Span,
}

impl Plan {
    /// Of a loop that neither reads nor emits, and changes only these hidden variables.
    pub fn quiet(assigned: &[&str], span: Span) -> Plan {
        let assigned = assigned.iter().map(|s| s.to_string()).collect();
        Plan { assigned, hops: false, reads: false, outer: Vec::new(), span }
    }
}

/// The ways out of a loop.
pub(super) struct Exits {
    /// The condition did not hold (or the range was at its end).
    pub done: Vec<Flow>,
    /// What that way knows, when it is the only one.
    pub done_scope: Scope,
    /// The bound was spent.
    pub spent: Option<Flow>,
    /// `break`s with their values.
    pub breaks: Vec<(Flow, Val)>,
}

impl Exits {
    /// The ways out that are no `break`.
    pub fn ends(&self) -> Vec<(Flow, Val)> {
        self.done.iter().chain(&self.spent).map(|flow| (flow.clone(), Val::Unit)).collect()
    }
}

/// What the head of a loop decides.
pub(super) struct Head {
    /// The most turns.
    pub most: u64,
    /// Whether to go on: the flow divides here; none to go on always.
    pub go: Option<Split>,
}

impl LoopFrame {
    /// What receives the rows of a stream, as a loop: it has no counter, and a turn for each row.
    pub fn of_rows(locals: usize, temps: usize) -> Self {
        let (breaks, continues) = (Vec::new(), Vec::new());
        LoopFrame { locals, temps, turn_locals: locals, counter: Value(0), step: u32::MAX, breaks, continues }
    }

    /// The flows that left it by `break`, and those that end its turn by `continue`.
    pub fn ways_out(self) -> (Vec<Flow>, Vec<Flow>) {
        (self.breaks.into_iter().map(|(f, _)| f).collect(), self.continues)
    }

    /// The counter as it is known in a flow: past a hop, as the hidden variable that carried it.
    pub fn counter_at(&self, flow: &Flow) -> Value {
        if flow.step == self.step {
            return self.counter;
        }
        match flow.locals[..self.turn_locals].last().map(|l| (&l.name, &l.val)) {
            Some((name, Val::Int(v, _))) if **name == *COUNTER => *v,
            _ => self.counter,
        }
    }
}

struct Header {
    block: Block,
    counter: Value,
    /// The header's flow as it began: the shapes that later turns must have.
    flow: Flow,
    /// Which of its values are parameters, in order (by position among all alive).
    params: Vec<usize>,
    disk_param: bool,
}

impl Lowerer<'_> {
    /// Lowers a loop. `head` runs at the top of each turn with the number of turns so far; `body` after it decided to go on.
    pub(super) fn run_loop(
        &mut self,
        plan: &Plan,
        head: impl FnOnce(&mut Self, Value) -> Head,
        body: impl FnOnce(&mut Self),
    ) -> Exits {
        let header = self.open_header(plan);
        self.loops.push(LoopFrame {
            locals: header.flow.locals.len(),
            temps: header.flow.temps.len(),
            turn_locals: self.flow.locals.len(),
            counter: header.counter,
            step: header.flow.step,
            breaks: Vec::new(),
            continues: Vec::new(),
        });
        self.scopes.push(Scope::default());
        let Head { most, go } = head(self, header.counter);
        let mut done = Vec::new();
        let mut done_scope = Scope::default();
        let mut yes_scope = Scope::default();
        if let Some(split) = go {
            done_scope = split.no_scope;
            yes_scope = split.yes_scope;
            if split.no.reachable {
                done.push(self.cut(split.no));
            }
            self.resume(split.yes);
        }
        self.scopes.push(yes_scope);
        self.span = plan.span;
        let bound = self.number(i128::from(most));
        let counter = self.turn_counter();
        let turn = self.pure(crate::ir::Op::Compare { op: CmpOp::Lt, a: counter, b: bound }, ir::Ty::Bool);
        let Split { yes, no, yes_scope, .. } = self.split_value(Some(turn));
        let spent = self.cut(no);
        self.resume(yes);
        self.scopes.push(yes_scope);
        if plan.hops && self.as_const(turn).is_none() {
            // The copies that travel over hops are known to be below the bound from the start.
            let below = self.pure(crate::ir::Op::Refine { a: counter, cond: turn, sense: true }, ir::Ty::U64);
            self.set_hidden(COUNTER, Val::Int(below, IntTy::U64));
        }
        self.scopes.push(Scope::default());
        body(self);
        let scope = self.scopes.pop().expect("just pushed");
        // What a body emitted that some turns leave by `continue` does not dominate the end of the turn.
        if self.loops.last().is_some_and(|l| l.continues.is_empty()) {
            self.absorb(scope);
        }
        self.close(header, plan, most);
        self.scopes.pop();
        self.scopes.pop();
        let scope = self.scopes.pop().expect("pushed above");
        self.flow = self.cut(self.flow.clone());
        let frame = self.loops.pop().expect("pushed above");
        // What the head emitted dominates every way out.
        done_scope.absorb_weaker(&scope);
        self.absorb(scope);
        Exits { done, done_scope, spent: Some(spent), breaks: frame.breaks }
    }

    /// A flow with only what belongs outside of the innermost loop.
    fn cut(&self, mut flow: Flow) -> Flow {
        let frame = self.loops.last().expect("in a loop");
        flow.locals.truncate(frame.locals);
        flow.temps.truncate(frame.temps);
        flow
    }

    /// A flow with what lives through a turn of the innermost loop.
    pub(super) fn cut_turn(&self) -> Flow {
        let frame = self.loops.last().expect("in a loop");
        let mut flow = self.flow.clone();
        flow.locals.truncate(frame.turn_locals);
        flow.temps.truncate(frame.temps);
        flow
    }

    pub(super) fn break_with(&mut self, val: Val) {
        let flow = self.cut(self.flow.clone());
        if flow.reachable {
            self.loops.last_mut().expect("in a loop").breaks.push((flow, val));
        }
        self.die();
    }

    pub(super) fn continue_loop(&mut self) {
        let flow = self.cut_turn();
        if flow.reachable {
            self.loops.last_mut().expect("in a loop").continues.push(flow);
        }
        self.die();
    }

    fn open_header(&mut self, plan: &Plan) -> Header {
        for i in 0..self.flow.locals.len() {
            if self.assigned_here(plan, i) {
                self.generalise(i, plan.span);
            }
        }
        let from = self.flow.block;
        let block = self.b.block();
        let counter = self.b.block_param(block, ir::Ty::U64, Range::new(0, iterate::TURNS_MAX));
        self.b.set_name(counter, "turn");
        let zero = self.number(0);
        let mut args = vec![zero];
        let mut flow = self.flow.clone();
        flow.block = block;
        let mut disk_param = false;
        if plan.hops {
            flow.step = self.new_step();
            if let Some(d) = self.flow.disk {
                let range = Range::new(0, i128::from(crate::check::SIZE_MAX));
                let len = self.b.block_param(block, ir::Ty::U64, range);
                self.b.set_name(len, "block length");
                args.push(d.len);
                disk_param = true;
                flow.disk = Some(if plan.reads {
                    DiskState { generation: self.new_generation(), len, min: 0 }
                } else {
                    DiskState { len, ..d }
                });
            }
        }
        let mut params = Vec::new();
        let mut same: FxHashMap<Value, Value> = FxHashMap::default();
        let mut at = 0;
        let old = self.flow.clone();
        self.b.switch_to(block);
        for i in 0..old.locals.len() + old.temps.len() {
            let local = old.locals.get(i);
            let assigned = local.is_some() && self.assigned_here(plan, i);
            let old_val = old.val(i);
            if assigned || plan.hops {
                let mut new = old_val.clone();
                let ranges = local.map_or_else(Vec::new, |local| assigned_ranges(local));
                let mut column = at;
                new.map_parts(&mut |v| {
                    // Two variables that hold one value go on holding one: relations between them stay known.
                    let made = match (same.get(&v).filter(|_| !assigned), self.again(&[v]).filter(|_| !assigned)) {
                        (Some(made), _) => *made,
                        (None, Some(op)) => self.make_again(op, v),
                        (None, None) => {
                            params.push(column);
                            args.push(v);
                            let loose = ranges.get(column - at).copied().flatten();
                            self.header_param(block, v, assigned, loose)
                        }
                    };
                    if !assigned {
                        same.insert(v, made);
                    }
                    column += 1;
                    made
                });
                new.forget_evidence();
                self.loosen(&mut new, assigned);
                *flow.val_mut(i) = new;
            }
            at += old_val.part_count();
        }
        self.retarget(&old, &mut flow, plan);
        self.b.switch_to(from);
        self.b.jump(block, &args);
        self.set_disk(block, flow.disk);
        let mut begun = flow.clone();
        if plan.hops {
            // The counter travels with the variables, for conditions that read.
            let ty = IntTy::U64;
            let val = Val::Int(counter, ty);
            begun.locals.push(flow::Local { name: COUNTER.into(), val, mutable: false, ty: None, bound: None }.into());
        }
        self.resume(begun);
        Header { block, counter, flow, params, disk_param }
    }

    /// `loose` is what every turn's value of an assigned variable is sure to be.
    fn header_param(&mut self, block: Block, v: Value, assigned: bool, loose: Option<Range>) -> Value {
        let data = self.b.function().value(v).clone();
        let range = if assigned { loose.unwrap_or(Range::of(data.ty)) } else { self.range(v) };
        let p = self.b.block_param(block, data.ty, range);
        if let Some(name) = &data.name {
            self.b.set_name(p, name);
        }
        p
    }

    /// Offsets and limits in blocks are bounded, whatever the turn.
    fn loosen(&mut self, val: &mut Val, assigned: bool) {
        if !assigned {
            return;
        }
        let bound = Range::new(0, i128::from(crate::check::SIZE_MAX));
        match val {
            Val::View(w) => {
                let (w_place, w_limit) = (w.place, w.limit);
                for v in [w_place.origin.value(), Some(w_limit)].into_iter().flatten() {
                    self.b.set_range(v, bound);
                }
                let def = &self.program.structs[w.def.index()];
                for (arg, (_, ty)) in w.args.iter().zip(&def.params) {
                    if let (Val::Int(v, _), Ty::Int(t)) = (arg, ty) {
                        self.b.set_range(*v, t.range());
                    }
                }
                w.id = self.new_view_id();
            }
            Val::Bytes(b) | Val::Buffer(b) => {
                let len = if let Len::Value(v) = b.len { Some(v) } else { None };
                let room = Range::new(0, i128::from(b.max));
                if let Some(v) = len {
                    self.b.set_range(v, room);
                }
                if let Some(v) = b.place.origin.value() {
                    self.b.set_range(v, bound);
                }
            }
            _ => {}
        }
    }

    /// In a loop with reads, views of the current block stay so only where the body gives them a new one.
    fn retarget(&mut self, old: &Flow, flow: &mut Flow, plan: &Plan) {
        if !plan.reads {
            return;
        }
        let current = old.disk.map(|d| d.generation);
        let now = flow.disk.map_or(0, |d| d.generation);
        for i in 0..flow.locals.len() + flow.temps.len() {
            let assigned = i < flow.locals.len() && self.assigned_here(plan, i);
            let is_view = i < old.locals.len() && matches!(old.locals[i].val, Val::View(_));
            flow::generations(flow.val_mut(i), &mut |g| {
                *g = if assigned && is_view && Some(*g) == current { now } else { 0 }
            });
        }
    }

    fn assigned_here(&self, plan: &Plan, i: usize) -> bool {
        let l = &self.flow.locals[i];
        if plan.outer.contains(&i) {
            return true;
        }
        // The innermost variable of a name is the one that the body assigns.
        l.mutable
            && plan.assigned.contains(&*l.name)
            && !self.flow.locals[i + 1..].iter().any(|m| m.is(&l.name) && m.mutable)
            && i >= self.hidden_base(&l.name)
    }

    fn hidden_base(&self, name: &str) -> usize {
        if name.starts_with('#') { 0 } else { self.frame().locals_base }
    }

    /// Before a loop with reads: views that the body does not replace lose their block.
    pub(super) fn keep_before_loop(&mut self, plan: &Plan) {
        if !plan.reads {
            return;
        }
        for i in 0..self.flow.locals.len() {
            if !self.assigned_here(plan, i) {
                self.keep_local(i);
            }
        }
    }

    /// The end of a turn: back to the header.
    fn close(&mut self, header: Header, plan: &Plan, most: u64) {
        let mut flows = std::mem::take(&mut self.loops.last_mut().expect("in a loop").continues);
        let end = self.cut_turn();
        if end.reachable {
            flows.push(end);
        }
        self.b.set_header(header.block, header.counter, most);
        if flows.is_empty() {
            self.b.function_mut().blocks[header.block.index()].header = None;
            return;
        }
        self.merge(flows.into_iter().map(|f| (f, Val::Unit)).collect(), plan.span);
        let counter = self.turn_counter();
        for i in 0..header.flow.locals.len() {
            if self.assigned_here(plan, i) {
                self.reshape(i, &header.flow.locals[i].val.clone(), plan);
            }
        }
        for i in 0..header.flow.locals.len() {
            if !self.flow.locals[i].is_same(&header.flow.locals[i]) {
                self.keep_shape(i, &header.flow.locals[i].val);
            }
        }
        let one = self.number(1);
        let next = self
            .pure(crate::ir::Op::Binary { op: ir::BinOp::Add, mode: ir::Mode::Exact, a: counter, b: one }, ir::Ty::U64);
        self.b.set_range(next, Range::new(1, i128::from(most)));
        self.b.set_range(header.counter, Range::new(0, i128::from(most)));
        let mut args = vec![next];
        if header.disk_param {
            match self.flow.disk {
                Some(d) => args.push(d.len),
                None => unreachable!("a block that was read stays until the next read"),
            }
        }
        let mut alive = Vec::new();
        let (nl, nt) = (header.flow.locals.len(), header.flow.temps.len());
        let vals = self.flow.locals[..nl].iter().map(|l| &l.val).chain(&self.flow.temps[..nt]);
        vals.for_each(|v| v.for_each_part(&mut |p| alive.push(p)));
        let there = header.params.iter().all(|i| *i < alive.len());
        assert!(there, "what is alive in the header is alive at the end of a turn");
        args.extend(header.params.iter().map(|i| alive[*i]));
        self.b.jump(header.block, &args);
        self.flow.reachable = false;
    }
}

/// The hidden variable that carries a loop's counter over hops.
pub(super) const COUNTER: &str = "#turn";
