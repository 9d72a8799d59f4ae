//! The certificate of a traversal: upper bounds on what a call costs, and which checks stay in the code.

mod promise;

use crate::bpf::abi::StateLayout;
use crate::bpf::cost::{self, InsnBounds};
use crate::bpf::profile::Profile;
use crate::diag::Diagnostic;
use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::verify::Verified;
use crate::ir::{
    Block, Fault, FaultId, FaultKind, FaultRef, Function, Mode, Obligation, ObligationKind, Op, Range, Terminator,
    Value,
};
use crate::source::{SourceMap, Span};
pub use promise::Promise;
use std::collections::{BTreeMap, HashMap, HashSet};

/// Upper bounds. A number that does not fit in 64 bits is `u64::MAX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Most hops of a call.
    pub hops_max: u64,
    /// Most bytes that a call reads.
    pub bytes_max: u64,
    /// Most rows that a stream gives.
    pub rows_max: u64,
    /// Most bytes of one read.
    pub read_bytes_max: u64,
    /// Most bytes of values that one hop carries.
    pub frame_bytes: u64,
    /// Bytes that a hook must keep between hops: the state area with arguments, frame, local areas and result.
    pub scratch_bytes: u64,
    /// Steps: pieces of code between two hops.
    pub steps: u64,
    /// Most instructions of the BPF code that the hook gets; or why there is none, or no bound.
    pub insns: Result<InsnBounds, String>,
    /// Obligations that the prover could not show, by place: they are checked on every run.
    pub checks: Vec<RemainingCheck>,
    /// How many obligations of each kind are proved, for those of which there are any.
    pub proved: BTreeMap<ObligationKind, u64>,
}

/// An obligation that is checked at run time.
///
/// It is one obligation, however often the code that tests it was put in place and wherever it is used: that a member lies in its structure,
/// or that an expression fits in 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemainingCheck {
    /// What is checked.
    pub kind: ObligationKind,
    /// The entry of the fault table that it leads to, at the first place.
    pub fault: FaultId,
    /// The first place in the spec.
    pub span: Span,
    /// The other places where it is tested.
    pub others: Vec<Span>,
    /// Why it could not be proved away.
    pub reason: String,
    /// What is known of each operand, and numbers with which it would fail: one line each.
    pub known: Vec<String>,
    /// What a field would have to promise, if that of one would do.
    pub promise: Option<Promise>,
}

impl RemainingCheck {
    /// The error where no check may remain. `f` is the function that it is of.
    pub fn denied(&self, f: &Function, sources: &SourceMap) -> Diagnostic {
        let fault = &f.faults[self.fault.index()];
        let message = format!("expected a proof, found a check at run time: {} ({})", fault.message, fault.kind.name());
        let mut d = Diagnostic::error("E0505", self.span, message, "checked on every run").note(self.reason.clone());
        d.notes.extend(self.known.iter().cloned());
        if let Some(promise) = &self.promise {
            promise.offer(&mut d, sources);
        }
        d
    }
}

/// The certificate of a function; instructions are counted in the program that is emitted for a hook.
pub fn certificate(f: &Verified, hook: &Profile) -> Certificate {
    let cost = Costs { f, graph: Graph::of(f) }.whole();
    let mut read_bytes_max = 0;
    let mut frame_bytes = 0;
    let mut steps = 1;
    for b in &f.blocks {
        match &b.term {
            Terminator::Hop { len, next, .. } => {
                read_bytes_max = read_bytes_max.max(most(f.value(*len).range.hi));
                frame_bytes = frame_bytes.max(8 * next.args.len() as u64);
                steps += 1;
            }
            Terminator::Emit { next, .. } => {
                frame_bytes = frame_bytes.max(8 * next.args.len() as u64);
                steps += 1;
            }
            _ => {}
        }
    }
    let checks = remaining(f);
    Certificate {
        hops_max: cost.hops,
        bytes_max: cost.bytes,
        rows_max: cost.rows,
        read_bytes_max,
        frame_bytes,
        scratch_bytes: StateLayout::of(f).map_or(u64::MAX, |layout| layout.size.into()),
        steps,
        insns: insns(f, hook),
        proved: proved(f, &checks),
        checks,
    }
}

fn insns(f: &Verified, hook: &Profile) -> Result<InsnBounds, String> {
    let program = crate::bpf::compile(f, hook).map_err(|e| e.to_string())?;
    cost::bounds(&program).ok_or_else(|| "the program makes its reads itself, and their loop is not counted".into())
}

fn most(n: i128) -> u64 {
    u64::try_from(n.max(0)).unwrap_or(u64::MAX)
}

/// Structure and arithmetic that is checked at run time. Conditions that the spec states itself are not among them.
pub fn remaining(f: &Function) -> Vec<RemainingCheck> {
    let mut places: BTreeMap<(Span, FaultId), (ObligationKind, &Op)> = BTreeMap::new();
    for inst in f.blocks.iter().flat_map(|b| &b.insts) {
        let Some((kind, fault)) = obliged(f, &inst.op) else { continue };
        if inst.result.is_some_and(|v| f.is_shown(v)) {
            continue;
        }
        places.insert((f.faults[fault.fault.index()].span, fault.fault), (kind, &inst.op));
    }
    let mut out: Vec<RemainingCheck> = Vec::new();
    let mut known: HashMap<(ObligationKind, Option<Span>, &str), usize> = HashMap::new();
    let defs = Defs::of(f);
    for ((span, fault), (kind, op)) in places {
        let at = *known.entry(key(f, kind, fault)).or_insert(out.len());
        match out.get_mut(at) {
            Some(check) if !check.others.contains(&span) && check.span != span => check.others.push(span),
            Some(_) => {}
            None => {
                let (reason, known) = (reason(f, op), known_of(f, op));
                let promise = Promise::of(f, &defs, op);
                out.push(RemainingCheck { kind, fault, span, others: Vec::new(), reason, known, promise });
            }
        }
    }
    out
}

/// What makes an obligation one: that a structure lies in its parent, member by member and wherever it is looked at; anything else by its place.
fn key(f: &Function, kind: ObligationKind, fault: FaultId) -> (ObligationKind, Option<Span>, &str) {
    let fault = &f.faults[fault.index()];
    let named = fault.message.strip_suffix(" lies outside its block").filter(|what| !what.contains(' '));
    match named.filter(|_| kind == ObligationKind::View) {
        Some(what) => (kind, None, what.split('.').next().unwrap_or(what)),
        None => (kind, Some(fault.span), &fault.message),
    }
}

/// The obligation that an operation tests, if it is one that the spec does not state as a condition.
fn obliged<'f>(f: &Function, op: &'f Op) -> Option<(ObligationKind, &'f FaultRef)> {
    match op {
        Op::Check { fault, .. } | Op::Varint { outside: fault, .. } => Some((ObligationKind::View, fault)),
        Op::Binary { mode: Mode::Checked(fault), .. } => Some((ObligationKind::Overflow, fault)),
        Op::Guard { fault, .. } if f.faults[fault.fault.index()].kind == FaultKind::Overflow => {
            Some((ObligationKind::Overflow, fault))
        }
        _ => None,
    }
}

fn reason(f: &Function, op: &Op) -> String {
    match op {
        Op::Check { a, size, limit, .. } => {
            let (a, limit, size) = (f.value(*a).range, f.value(*limit).range, range::size_range(f, *size));
            format!("begins at {a}, takes {size} bytes, must end by {limit}")
        }
        Op::Binary { op, a, b, .. } => {
            let exact = range::mathematical(*op, f.value(*a).range, f.value(*b).range);
            format!("the result of `{}` is {exact}", op.sign())
        }
        Op::Varint { limit, .. } => {
            format!(
                "says itself where it ends, must end by {}..={}",
                f.value(*limit).range.lo,
                f.value(*limit).range.hi
            )
        }
        Op::Guard { fault, .. } => match fault.found {
            Some(v) => format!("it is {}", f.value(v).range),
            None => "nothing that is known of its parts shows it".into(),
        },
        _ => String::new(),
    }
}

/// What is known of the operands that have names, and a pair of numbers with which the test fails.
fn known_of(f: &Function, op: &Op) -> Vec<String> {
    let ranges = |values: &[(&str, Value)]| -> Vec<String> {
        let told = values.iter().filter(|(_, v)| f.value(*v).range.as_const().is_none());
        told.map(|(what, v)| {
            let data = f.value(*v);
            format!("{} is {}", shown(data.name.as_deref(), what), data.range)
        })
        .collect()
    };
    match *op {
        Op::Binary { op, a, b, .. } => {
            let (x, y, all) = (f.value(a).range, f.value(b).range, Range::of(f.value(a).ty));
            let pairs = [(x.hi, y.hi), (x.lo, y.hi), (x.hi, y.lo), (x.lo, y.lo)];
            let fails = pairs.into_iter().find(|(x, y)| {
                let exact = range::mathematical(op, Range::just(*x), Range::just(*y));
                !all.contains(exact)
            });
            let mut known = ranges(&[("the left side", a), ("the right side", b)]);
            known.extend(fails.map(|(x, y)| format!("it would fail with {x} {} {y}", op.sign())));
            known
        }
        Op::Check { a, size, limit, .. } => {
            let (at, size, limit) = (f.value(a).range, range::size_range(f, size), f.value(limit).range);
            vec![format!("it would fail with {} bytes at {} of {}", size.hi, at.hi, limit.lo)]
        }
        _ => Vec::new(),
    }
}

fn shown(name: Option<&str>, what: &str) -> String {
    name.map_or_else(|| what.into(), |name| format!("`{name}`"))
}

/// The obligations that a function has before its proof, as they are counted: by what [`remaining`] calls one.
pub fn name_obligations(f: &mut Function) {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for inst in f.blocks.iter().flat_map(|b| &b.insts) {
        if let Some((kind, fault)) = obliged(f, &inst.op)
            && seen.insert(key(f, kind, fault.fault))
        {
            let Fault { message, span, .. } = &f.faults[fault.fault.index()];
            found.push(Obligation { kind, span: *span, text: message.clone(), operands: Vec::new(), tested: None });
        }
    }
    f.obligations.extend(found);
}

/// How many obligations of each kind hold on every run.
fn proved(f: &Function, checks: &[RemainingCheck]) -> BTreeMap<ObligationKind, u64> {
    let mut out = BTreeMap::new();
    let checked: HashSet<(ObligationKind, &str)> =
        checks.iter().map(|c| (c.kind, f.faults[c.fault.index()].message.as_str())).collect();
    let mut seen = HashSet::new();
    for o in &f.obligations {
        if !checked.contains(&(o.kind, o.text.as_str())) && seen.insert((o.kind, o.span, o.text.as_str())) {
            *out.entry(o.kind).or_default() += 1;
        }
    }
    let headers = f.blocks.iter().filter(|b| b.header.is_some()).map(|b| b.span);
    let reads = f.blocks.iter().filter(|b| matches!(b.term, Terminator::Hop { .. })).map(|b| b.span);
    let (headers, reads): (HashSet<Span>, HashSet<Span>) = (headers.collect(), reads.collect());
    let counted = [
        (ObligationKind::LoopBound, headers.len()),
        (ObligationKind::ReadSize, reads.len()),
        (ObligationKind::FrameSize, reads.len()),
        (ObligationKind::HopBound, 1),
    ];
    out.extend(counted.into_iter().filter(|(_, n)| *n > 0).map(|(kind, n)| (kind, n as u64)));
    out
}

#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    hops: u64,
    bytes: u64,
    rows: u64,
}

impl Cost {
    fn plus(self, other: Cost) -> Cost {
        Cost {
            hops: self.hops.saturating_add(other.hops),
            bytes: self.bytes.saturating_add(other.bytes),
            rows: self.rows.saturating_add(other.rows),
        }
    }

    fn times(self, n: u64) -> Cost {
        Cost {
            hops: self.hops.saturating_mul(n),
            bytes: self.bytes.saturating_mul(n),
            rows: self.rows.saturating_mul(n),
        }
    }

    fn max(self, other: Cost) -> Cost {
        Cost { hops: self.hops.max(other.hops), bytes: self.bytes.max(other.bytes), rows: self.rows.max(other.rows) }
    }
}

struct Costs<'f> {
    f: &'f Function,
    graph: Graph,
}

impl Costs<'_> {
    fn whole(&self) -> Cost {
        let all: FxHashSet<Block> = self.graph.order.iter().copied().collect();
        self.longest(Block(0), &all).values().fold(Cost::default(), |a, b| a.max(*b))
    }

    /// The cost of leaving a block over an edge.
    fn edge(&self, from: Block) -> Cost {
        match &self.f.block(from).term {
            Terminator::Hop { len, .. } => Cost { hops: 1, bytes: most(self.f.value(*len).range.hi), rows: 0 },
            Terminator::Emit { .. } => Cost { hops: 0, bytes: 0, rows: 1 },
            _ => Cost::default(),
        }
    }

    /// The greatest cost, read off the terminator included, from `entry` to the end of each block in `members`; an inner loop counts as
    /// often as it may turn.
    fn longest(&self, entry: Block, members: &FxHashSet<Block>) -> FxHashMap<Block, Cost> {
        let mut arrive: FxHashMap<Block, Cost> = FxHashMap::from_iter([(entry, Cost::default())]);
        let mut leave: FxHashMap<Block, Cost> = FxHashMap::default();
        for b in self.graph.order.iter().filter(|b| members.contains(b)) {
            if leave.contains_key(b) {
                continue;
            }
            let Some(here) = arrive.get(b).copied() else { continue };
            if let (Some(header), true) = (self.f.block(*b).header, *b != entry) {
                let inner = self.graph.members(*b);
                let within = self.longest(*b, &inner);
                let turn = self.graph.predecessors[b.index()].iter().filter(|(p, _)| inner.contains(p));
                let turn = turn.filter_map(|(p, _)| within.get(p)).fold(Cost::default(), |a, c| a.max(*c));
                let start = here.plus(turn.times(header.most));
                for (x, cost) in within {
                    let end = start.plus(cost);
                    leave.insert(x, end);
                    self.arrive_at_targets(x, end, &inner, &mut arrive);
                }
                continue;
            }
            let end = here.plus(self.edge(*b));
            leave.insert(*b, end);
            self.arrive_at_targets(*b, end, &FxHashSet::default(), &mut arrive);
        }
        leave
    }

    fn arrive_at_targets(
        &self,
        from: Block,
        cost: Cost,
        inside: &FxHashSet<Block>,
        arrive: &mut FxHashMap<Block, Cost>,
    ) {
        for t in self
            .f
            .block(from)
            .term
            .targets()
            .filter(|t| !inside.contains(&t.block) && !self.graph.is_back(from, t.block))
        {
            let known = arrive.entry(t.block).or_default();
            *known = known.max(cost);
        }
    }
}
