//! Streams that a walk calls: `for row in clusters(vol, first) { … }`.
//!
//! The stream's body is inlined like any other, and the loop's body is lowered at each `emit` in it, in the scope of the caller. While it
//! runs, the stream's variables wait among the temporaries, so that the caller's are the innermost again.

use super::call::Target;
use super::flow::{Flow, Local};
use super::iterate::Scan;
use super::loops::{LoopFrame, Plan};
use super::*;

/// What receives the rows of a stream that was called.
pub(super) struct Sink {
    /// The caller's frame.
    frame: usize,
    /// Variables and temporaries below these indices belong to the caller.
    locals_base: usize,
    temps_base: usize,
    /// The type of a row.
    row: Ty,
    /// The variable of the loop, and its body.
    name: String,
    body: Rc<ast::BlockExpr>,
    /// Whether the body may read a block.
    reads: bool,
    /// Flows that left the loop by `break`.
    breaks: Vec<Flow>,
}

impl Lowerer<'_> {
    /// The stream that a call would run, if it is one.
    pub(super) fn stream_called(&mut self, callee: &ast::Expr) -> Option<TraversalId> {
        match self.callee(callee) {
            Some(Target::Traversal(id)) if self.program.traversals[id.index()].stream => Some(id),
            _ => None,
        }
    }

    /// `for name in STREAM(args) { body }`
    pub(super) fn for_rows(
        &mut self,
        id: TraversalId,
        (callee, args): (&ast::Expr, &[(Option<ast::Ident>, ast::Expr)]),
        name: &ast::Ident,
        body: &ast::BlockExpr,
        span: Span,
    ) {
        if self.too_large(span) || self.is_circle(FrameKind::Traversal(id), callee, span) {
            return;
        }
        let def = &self.program.traversals[id.index()];
        let Some(values) = self.arguments(&def.params, Some(&def.defaults), args, callee, span) else { return };
        let reads = self.plan(|s| s.block(body), span).reads;
        let sink = Sink {
            frame: self.frames.len() - 1,
            locals_base: self.flow.locals.len(),
            temps_base: self.flow.temps.len(),
            row: def.result.clone(),
            name: name.name.clone(),
            body: Rc::new(body.clone()),
            reads,
            breaks: Vec::new(),
        };
        let frame = self.body_of(Target::Traversal(id), values, Some(sink));
        let breaks = frame.sink.map_or_else(Vec::new, |s| s.breaks);
        let flows = frame.returns.into_iter().map(|(f, _)| f).chain(breaks);
        self.merge(flows.map(|f| (f, Val::Unit)).collect(), span);
        self.span = span;
    }

    /// An `emit` in a stream that was called: the caller's loop takes a turn.
    pub(super) fn give_row(&mut self, row: Val, span: Span) {
        let stream = self.frames.len() - 1;
        let Some(mut sink) = self.frames[stream].sink.take() else { return };
        let row = self.coerce(row, &sink.row, span);
        if sink.reads {
            for i in sink.locals_base..self.flow.locals.len() {
                self.keep_local(i);
            }
        }
        let waiting: Vec<Shared<Local>> = self.flow.locals.split_off(sink.locals_base);
        let held = self.flow.temps.len();
        self.flow.temps.extend(waiting.iter().map(|l| l.val.clone()));
        let frame = self.frames[sink.frame].again();
        self.frames.push(frame);
        self.loops.push(LoopFrame::of_rows(sink.locals_base, self.flow.temps.len()));
        self.bind(&sink.name, row, false, None);
        self.scoped(|l| l.block(&sink.body));
        self.flow = self.cut_turn();
        let (mut breaks, mut turns) = self.loops.pop().expect("pushed above").ways_out();
        if self.flow.reachable {
            turns.push(self.flow.clone());
        }
        let again = self.frames.pop().expect("pushed above");
        let caller = &mut self.frames[sink.frame];
        caller.returns.extend(again.returns);
        caller.nones.extend(again.nones);
        // The caller of the caller may have left its loop too.
        if let (Some(outer), Some(inner)) = (&mut caller.sink, again.sink) {
            outer.breaks.extend(inner.breaks);
        }
        breaks.iter_mut().for_each(|f| f.temps.truncate(sink.temps_base));
        sink.breaks.extend(breaks);
        self.merge(turns.into_iter().map(|f| (f, Val::Unit)).collect(), span);
        let vals = self.flow.temps.split_off(held);
        self.flow.locals.extend(waiting.into_iter().zip(vals).map(|(l, val)| Local { val, ..l.take() }.into()));
        self.frames[stream].sink = Some(sink);
    }

    /// Adds to the plan of a loop that emits what the receiver of its rows does, which `frame` may have.
    pub(super) fn plan_for_rows(&mut self, plan: &mut Plan, frame: usize) {
        let Some(sink) = &self.frames[frame].sink else { return };
        let (caller, body, below) = (sink.frame, sink.body.clone(), sink.locals_base);
        let mut scan = Scan {
            program: self.program,
            module: self.frames[caller].module,
            assigned: Default::default(),
            hops: false,
            reads: false,
            emits: false,
            within: Vec::new(),
        };
        scan.block(&body);
        plan.hops |= scan.hops;
        plan.reads |= scan.reads;
        let base = self.frames[caller].locals_base;
        let locals = &self.flow.locals[base..below];
        for name in &scan.assigned {
            if let Some(i) = locals.iter().rposition(|l| l.mutable && l.is(name)) {
                plan.outer.push(base + i);
            }
        }
        if scan.emits {
            self.plan_for_rows(plan, caller);
        }
    }
}

impl Frame {
    /// The same body once more, for a piece of it that is lowered inside of another.
    fn again(&mut self) -> Frame {
        Frame {
            module: self.module,
            locals_base: self.locals_base,
            temps_base: self.temps_base,
            loops_base: self.loops_base,
            result: self.result.clone(),
            returns: Vec::new(),
            nones: Vec::new(),
            kind: self.kind,
            paths: self.paths.clone(),
            sink: self.sink.as_ref().map(Sink::again),
            caller: self.caller,
        }
    }
}

impl Sink {
    fn again(&self) -> Sink {
        Sink {
            frame: self.frame,
            locals_base: self.locals_base,
            temps_base: self.temps_base,
            row: self.row.clone(),
            name: self.name.clone(),
            body: self.body.clone(),
            reads: self.reads,
            breaks: Vec::new(),
        }
    }
}
