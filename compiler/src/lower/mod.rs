//! Lowering: bodies are typed and emitted as IR in one pass.
//!
//! Everything that a traversal calls is inlined, so an expression meets its operands as [`Val`]s: a type together with the SSA values that
//! hold it. That one pass says everything once: what an operation accepts is written beside what it emits.
//!
//! The rules that the code below keeps:
//!
//! * *Flow* ([`flow`]): `self.flow` is the point of emission with all that is alive there. Branches start from copies of it; joins
//!   merge what differs into block parameters; a hop passes all of it on. Parameters that turn out to be unused are taken away
//!   afterwards by [`crate::prove::cleanup`].
//! * *Scopes* ([`emit`]): pure operations are found again instead of emitted again while their first emission dominates; so a field that
//!   was checked is the value that is used, and a byte is looked at once.
//! * *Obligations*: what logic must show is emitted as `Prove`; what depends on the data is emitted as `Check`, `Guard` or checked
//!   arithmetic. The prover removes what it can show.

mod arith;
mod array;
mod buffer;
mod bytes;
mod call;
mod choose;
mod cond;
mod doubt;
pub mod dump;
mod emit;
mod expr;
mod field;
mod flow;
mod iterate;
mod keep;
mod loop_stmt;
mod loops;
mod member;
mod names;
mod read;
mod search;
mod shape;
mod stmt;
mod stream;
mod text;
mod unify;
mod unused;
mod value;
mod varint;
mod view;

use crate::check::types::*;
use crate::diag::Diagnostic;
use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::build::FunctionBuilder;
use crate::ir::verify::AREA_MAX;
use crate::ir::{self, Range};
use crate::source::{SourceMap, Span};
use crate::syntax::ast;
use emit::Scope;
use flow::Flow;
use std::collections::HashMap;
use std::rc::Rc;
pub(crate) use unused::unused_bodies;
use value::*;

/// Inlining deeper than this is refused: a circle of calls, or nearly one.
const CALLS_DEEP_MAX: usize = 48;
/// A traversal that grows past this many IR values is refused rather than compiled for minutes.
const VALUES_MAX: usize = 200_000;
/// So many expressions are lowered for one traversal at most, each time that they are put somewhere: what has errors makes no values.
const EXPRESSIONS_MAX: u32 = 200_000;

/// A traversal being lowered.
pub struct Lowerer<'a> {
    program: &'a Program,
    sources: &'a SourceMap,
    b: FunctionBuilder,
    flow: Flow,
    scopes: Vec<Scope>,
    frames: Vec<Frame>,
    loops: Vec<loops::LoopFrame>,
    diagnostics: Vec<Diagnostic>,
    /// Where an error left something unknown.
    doubts: Vec<(ir::Block, usize)>,
    /// Errors already reported: a body that is inlined twice says the same thing once.
    reported: FxHashSet<(&'static str, Span)>,
    /// Constant tables that became data.
    tables: FxHashMap<ConstId, ir::DataId>,
    /// By text, which the spec chooses: a hash that no text can be made for.
    literals: HashMap<Vec<u8>, ir::DataId>,
    faults: HashMap<(ir::FaultKind, String, Span), ir::FaultId>,
    next_view: u32,
    /// Views whose conditions are being tested again.
    testing: Vec<u32>,
    /// Members that are being made: view, position, and how many views' conditions were being tested.
    making: Vec<(u32, usize, usize)>,
    /// Types written in bodies, kept so that their addresses stay theirs.
    body_types: Vec<Rc<FieldTy>>,
    next_step: u32,
    next_generation: u32,
    /// Expressions that may still be lowered.
    expressions_left: u32,
    /// The functions that were inlined.
    called: FxHashSet<FnId>,
    /// The dotted paths in bodies that were inlined.
    paths: FxHashMap<FrameKind, Rc<Vec<String>>>,
    /// The place in the spec of what is emitted.
    span: Span,
    /// The sum or product that the present expression is a part of.
    whole: Option<Span>,
    /// What the traversal gives back.
    result: Ty,
    /// Arguments that are known, by their dotted names.
    fixed: &'a [(String, i128)],
    stream: bool,
    /// Whether assertions are allowed, and what may be none is asserted to be something where it is used.
    in_test: bool,
    /// What the rows of a dump stand for; in dumps, magics and conditions are not enforced.
    dump: Option<Vec<dump::Entry>>,
}

/// A body being inlined.
struct Frame {
    module: ModuleId,
    /// Names below this index belong to callers.
    locals_base: usize,
    /// Temporaries below this index belong to callers.
    temps_base: usize,
    /// Loops below this index belong to callers.
    loops_base: usize,
    /// What it gives back.
    result: Ty,
    /// Flows that returned with a value, and without one (`none`); only for inlined bodies.
    returns: Vec<(Flow, Val)>,
    nones: Vec<Flow>,
    kind: FrameKind,
    /// The dotted paths in this body.
    paths: Rc<Vec<String>>,
    /// Where the rows go of a stream that was called.
    sink: Option<stream::Sink>,
    /// The frame of the body that called it.
    caller: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum FrameKind {
    /// The traversal itself.
    Root,
    /// An inlined traversal: reads are allowed.
    Traversal(TraversalId),
    /// A `fn` or method.
    Fn(FnId),
    /// An expression of a structure or record: a size, a condition, a computed field.
    Member,
}

/// What lowering a traversal gave.
pub struct Lowered {
    /// The traversal, not proved yet; after an error what there is of it, with the obligations that do not hang on the error.
    pub function: ir::Function,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// The functions that it calls.
    pub called: FxHashSet<FnId>,
}

/// Lowers one traversal of a program without errors in its declarations, for arguments of which some numbers are known.
pub fn lower(program: &Program, sources: &SourceMap, id: TraversalId, fixed: &[(String, i128)]) -> Lowered {
    let def = &program.traversals[id.index()];
    let syntax = &def.syntax;
    let mut l =
        Lowerer::new(program, sources, &program.traversal_name(id), def.result.clone(), def.stream, syntax.span);
    l.b.function_mut().result = program.schema(&def.result).unwrap_or(ir::schema::Schema::Unit);
    l.b.function_mut().stream = def.stream;
    l.b.function_mut().sources = program.sources.clone();
    l.fixed = fixed;
    l.enter(def.module, FrameKind::Root, def.result.clone(), Rc::new(names::dotted_paths(&syntax.body)));
    l.take_arguments(def, syntax);
    let value = l.block(&syntax.body);
    if l.flow.reachable {
        l.finish_body(value, syntax);
    }
    l.finish()
}

/// Lowers a `test` item of the root module: a walk without result that ends in a fault where an assertion fails.
pub fn lower_test(program: &Program, sources: &SourceMap, test: &ast::Test) -> Lowered {
    let mut l = Lowerer::new(program, sources, &test.name, Ty::Unit, false, test.span);
    l.in_test = true;
    l.b.function_mut().sources = program.sources.clone();
    l.enter(ModuleId(0), FrameKind::Root, Ty::Unit, Rc::new(names::dotted_paths(&test.body)));
    l.block(&test.body);
    if l.flow.reachable {
        l.b.ret();
    }
    l.finish()
}

impl<'a> Lowerer<'a> {
    fn new(program: &'a Program, sources: &'a SourceMap, name: &str, result: Ty, stream: bool, span: Span) -> Self {
        let mut b = FunctionBuilder::new(name);
        b.set_function_span(span);
        let entry = b.current();
        Lowerer {
            program,
            sources,
            b,
            flow: Flow::entry(entry),
            scopes: vec![Scope::default()],
            frames: Vec::new(),
            loops: Vec::new(),
            diagnostics: Vec::new(),
            doubts: Vec::new(),
            reported: FxHashSet::default(),
            tables: FxHashMap::default(),
            literals: HashMap::new(),
            faults: HashMap::new(),
            next_view: 0,
            testing: Vec::new(),
            making: Vec::new(),
            body_types: Vec::new(),
            next_step: 1,
            next_generation: 1,
            expressions_left: EXPRESSIONS_MAX,
            called: FxHashSet::default(),
            paths: FxHashMap::default(),
            span,
            whole: None,
            result,
            fixed: &[],
            stream,
            in_test: false,
            dump: None,
        }
    }

    /// Begins a body; what is bound from here on belongs to it.
    fn enter(&mut self, module: ModuleId, kind: FrameKind, result: Ty, paths: Rc<Vec<String>>) {
        self.frames.push(Frame {
            module,
            locals_base: self.flow.locals.len(),
            temps_base: self.flow.temps.len(),
            loops_base: self.loops.len(),
            result,
            returns: Vec::new(),
            nones: Vec::new(),
            kind,
            paths,
            sink: None,
            caller: self.frames.len().checked_sub(1),
        });
    }

    /// Declares the parameters and checks what their types promise.
    fn take_arguments(&mut self, def: &TraversalDef, syntax: &ast::Traversal) {
        for (i, (name, ty)) in def.params.iter().enumerate() {
            self.span = syntax.params[i].name.span;
            let default = def.defaults[i].map(|t| self.program.traversal_name(t));
            let Some(val) = self.take_argument(name, ty, default) else { continue };
            self.bind(name, val, false, None);
            self.span = syntax.params[i].name.span;
            let val = self.flow.locals.last().expect("just bound").val.clone();
            self.check_record_conditions(&val);
        }
    }

    /// Declares one parameter; none for a type that no caller can give.
    fn take_argument(&mut self, name: &str, ty: &Ty, default: Option<String>) -> Option<Val> {
        let schema = self.program.schema(ty)?;
        let mut leaf = self.b.param(name, schema, default).start;
        Some(self.argument(ty, &mut leaf, name))
    }

    /// The value of the arguments from leaf `leaf` on.
    fn argument(&mut self, ty: &Ty, leaf: &mut u32, name: &str) -> Val {
        let mut scalar = |l: &mut Self, ty: ir::Ty, range: Range, name: &str| {
            let v = l.push_op(ir::Op::Arg(*leaf), ty);
            l.b.set_range(v, range);
            l.b.set_name(v, name);
            *leaf += 1;
            l.fixed_argument(v, name)
        };
        match ty {
            Ty::Int(i) => Val::Int(scalar(self, ir_ty(*i), i.range(), name), *i),
            Ty::Bool => Val::Bool(scalar(self, ir::Ty::Bool, Range::of(ir::Ty::Bool), name)),
            Ty::Enum(e) => {
                let bits = self.program.enums[e.index()].bits;
                Val::Enum(scalar(self, ir::Ty::U64, IntTy::plain(bits, false).range(), name), *e)
            }
            Ty::Flags(e) => {
                let bits = self.program.flags[e.index()].bits;
                Val::Flags(scalar(self, ir::Ty::U64, IntTy::plain(bits, false).range(), name), *e)
            }
            Ty::Bytes { max, fixed, display } => {
                let place = Place {
                    region: ir::Region::Arg(*leaf),
                    generation: 0,
                    origin: Origin::Start,
                    index: None,
                    disp: 0,
                };
                let len = if *fixed {
                    Len::Const(*max)
                } else {
                    let v = self.b.arg_len(*leaf);
                    self.b.set_name(v, format!("{name}.len"));
                    Len::Value(v)
                };
                *leaf += 1;
                Val::Bytes(Bytes { place, len, max: *max, display: *display, block_offset: None })
            }
            Ty::Record(r) => {
                let program = self.program;
                let fields = program.records[r.index()].fields.iter();
                let fields = fields.map(|(f, t, _)| self.argument(t, leaf, &format!("{name}.{f}"))).collect();
                Val::Record(*r, fields)
            }
            Ty::Option(inner) => {
                let present = scalar(self, ir::Ty::Bool, Range::of(ir::Ty::Bool), &format!("{name}?"));
                Val::Option(present, Shared::from(self.argument(inner, leaf, name)))
            }
            Ty::Unit | Ty::AnyBytes | Ty::View(_) | Ty::Stream(_) | Ty::Buffer(_) | Ty::Error => Val::Never,
        }
    }

    /// An argument, or the number that it must be, which is checked.
    fn fixed_argument(&mut self, v: ir::Value, name: &str) -> ir::Value {
        let Some((_, n)) = self.fixed.iter().find(|(fixed, _)| fixed == name) else { return v };
        if !self.claim(v).contains(Range::just(*n)) {
            let (span, range) = (self.span, self.claim(v));
            let message = format!("expected a number from {} to {} for `{name}`, found {n}", range.lo, range.hi);
            self.error("E0303", span, message, "fixed at a number that its type does not hold");
            return v;
        }
        let known = self.number_as(*n, self.ty(v));
        let holds = self.compare(ir::CmpOp::Eq, v, known);
        let message = format!("`{name}` is {{}}, and the walk was built for {n}");
        let fault = self.fault_id(ir::FaultKind::Fail, message, ir::FoundAs::Unsigned, self.span);
        self.guard(holds, ir::FaultRef { fault, found: Some(v), at: None });
        known
    }

    fn finish_body(&mut self, value: Val, syntax: &ast::Traversal) {
        self.span = syntax.span;
        if self.stream || self.result == Ty::Unit {
            self.b.ret();
            self.flow.reachable = false;
        } else if syntax.body.value.is_some() {
            self.return_value(value, syntax.body.span);
        } else {
            let wanted = self.program.describe(&self.result);
            let end = Span { start: syntax.body.span.end.saturating_sub(1), ..syntax.body.span };
            self.error(
                "E0304",
                end,
                format!("expected a result of type {wanted}, found the end of the body"),
                "reached without a `return`",
            );
        }
    }

    fn finish(mut self) -> Lowered {
        let f = self.b.function();
        let slots: u64 = f.slots.iter().map(|s| u64::from(s.size)).sum();
        let tables: u64 = f.data.iter().map(|d| d.bytes.len() as u64).sum();
        for (what, bytes) in [("byte strings of its own", slots), ("tables", tables)] {
            if bytes > u64::from(AREA_MAX) {
                let message = format!("expected a traversal with {what} of at most {AREA_MAX} bytes, found {bytes}");
                self.error("E0603", self.span, message, "too large, with all that it calls");
            }
        }
        self.b.end_open_blocks();
        let mut function = self.b.finish();
        doubt::drop_doubtful(&mut function, &self.doubts);
        Lowered { function, diagnostics: self.diagnostics, called: self.called }
    }

    fn frame(&self) -> &Frame {
        self.frames.last().expect("a body is being lowered")
    }

    fn module(&self) -> ModuleId {
        self.frame().module
    }

    fn text(&self, span: Span) -> &'a str {
        self.sources.text(span)
    }

    /// Reports an error once for its place.
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) -> Val {
        self.report(Diagnostic::error(code, span, message, label));
        Val::Never
    }

    fn report(&mut self, d: Diagnostic) {
        if self.reported.insert((d.code, d.label.span)) {
            self.diagnostics.push(d);
        }
    }

    /// A type error: what was wanted and what came.
    fn mismatch(&mut self, span: Span, wanted: &str, found: &Val) -> Val {
        if matches!(found, Val::Never) {
            return Val::Never;
        }
        let found = self.describe(found);
        self.error("E0301", span, format!("expected {wanted}, found {found}"), "of the wrong type")
    }

    /// How messages write the type of a value.
    fn describe(&self, val: &Val) -> String {
        match val {
            Val::Unit => "nothing".into(),
            Val::Never => "an error".into(),
            Val::None => "none".into(),
            Val::Int(_, t) => t.to_string(),
            Val::Pointer(..) => "a pointer".into(),
            Val::Bool(_) => "bool".into(),
            Val::Enum(_, e) => self.program.enums[e.index()].name.clone(),
            Val::Flags(_, e) => self.program.flags[e.index()].name.clone(),
            Val::Bytes(Bytes { len: Len::Const(n), .. }) => format!("bytes<{n}>"),
            Val::Bytes(b) => format!("bytes up to {}", b.max),
            Val::View(v) => format!("a view of {}", self.program.structs[v.def.index()].name),
            Val::Array(_) => "an array".into(),
            Val::OneOf(_) => "a field that depends on a tag".into(),
            Val::Record(r, _) => self.program.records[r.index()].name.clone(),
            Val::Option(_, inner) => format!("{}?", self.describe(inner)),
            Val::Buffer(b) => format!("buffer<{}>", b.max),
        }
    }

    /// The fault table's entry, made once.
    fn fault_id(
        &mut self,
        kind: ir::FaultKind,
        message: impl Into<String>,
        found_as: ir::FoundAs,
        span: Span,
    ) -> ir::FaultId {
        let message = message.into();
        let key = (kind, message.clone(), span);
        if let Some(id) = self.faults.get(&key) {
            return *id;
        }
        let id = {
            self.b.set_span(span);
            self.b.fault(kind, message, found_as)
        };
        self.faults.insert(key, id);
        id
    }

    /// A fault without a value.
    fn fault(&mut self, kind: ir::FaultKind, message: impl Into<String>, span: Span) -> ir::FaultRef {
        ir::FaultRef { fault: self.fault_id(kind, message, ir::FoundAs::Unsigned, span), found: None, at: None }
    }

    fn too_large(&mut self, span: Span) -> bool {
        if self.b.function().values.len() <= VALUES_MAX && self.expressions_left > 0 {
            return false;
        }
        if !self.diagnostics.iter().any(|d| d.code == "E0603") {
            let message = "expected a traversal of a reasonable size";
            self.error("E0603", span, message, "everything it calls, inlined, is too large");
        }
        true
    }
}

/// The SSA type of an integer type.
fn ir_ty(i: IntTy) -> ir::Ty {
    if i.signed { ir::Ty::I64 } else { ir::Ty::U64 }
}
