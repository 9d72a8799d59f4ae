//! What the claims decide: checks that cannot fail are removed, constants folded, obligations answered.

use super::cleanup::Renamed;
use super::evidence::Search;
use crate::diag::{Diagnostic, Fix, Label};
use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::{
    Addr, BinOp, Block, Disk, Fault, FaultId, FaultKind, FaultRef, FoundAs, Function, Inst, Mode, ObligationKind, Op,
    Range, Region, Size, Terminator, Ty, Value, ValueData,
};
use crate::source::{SourceMap, Span};

/// Answers the obligations, and removes what is needless; the obligations that do not hold.
pub fn discharge(f: &mut Function, graph: &Graph, sources: &SourceMap) -> Vec<Diagnostic> {
    let diagnostics = answer_obligations(f, graph, sources);
    simplify(f);
    diagnostics
}

/// Removes what the claims show to be needless; whether there was anything.
pub fn simplify(f: &mut Function) -> bool {
    let mut has_changed = false;
    let mut replaced = Renamed::none(f);
    let counters = counters(f);
    for b in 0..f.blocks.len() {
        let disk = f.blocks[b].disk;
        let mut insts = std::mem::take(&mut f.blocks[b].insts);
        let mut ends_in = None;
        insts.retain_mut(|inst| {
            if ends_in.is_some() {
                return false;
            }
            if inst.result.is_some_and(|v| f.value(v).range.is_empty()) {
                // The claims say that nothing gets here, the branches do not.
                ends_in = Some(FaultRef::new(never(f, inst.span)));
                return false;
            }
            inst.op.map_uses(|v| replaced.resolve(v));
            if let Op::Guard { cond, fault } = inst.op
                && f.value(cond).range == Range::just(0)
            {
                // What stands behind never runs, and what is known there contradicts itself.
                ends_in = Some(fault);
                return false;
            }
            if inst.result.is_some_and(|v| counters[v.index()]) {
                return true;
            }
            let fate = fate(f, disk, inst, &mut replaced);
            has_changed |= fate != Fate::Same;
            fate != Fate::Needless
        });
        f.blocks[b].insts = insts;
        let mut term = std::mem::replace(&mut f.blocks[b].term, Terminator::Return);
        term.map_uses(|v| replaced.resolve(v));
        let is_branch = matches!(term, Terminator::Branch { .. });
        let term = ends_in.map_or_else(|| simplify_end(f, term), Terminator::Fault);
        has_changed |= ends_in.is_some() || is_branch && !matches!(term, Terminator::Branch { .. });
        f.blocks[b].term = term;
    }
    if has_changed {
        // Blocks before, in the table's order, may use what later ones replaced.
        replaced.apply(f);
        unbase(f);
    }
    has_changed
}

/// The values that loops hand to their counters: they stay sums, even where only one number is possible.
fn counters(f: &Function) -> Vec<bool> {
    let mut is_handed = vec![false; f.values.len()];
    for b in &f.blocks {
        for t in b.term.targets() {
            let to = f.block(t.block);
            if let Some(i) = to.header.and_then(|h| to.params.iter().position(|p| *p == h.counter)) {
                t.args.get(i).into_iter().for_each(|v| is_handed[v.index()] = true);
            }
        }
    }
    is_handed
}

/// The fault that ends what never runs.
fn never(f: &mut Function, span: Span) -> FaultId {
    let message = "what is asked here contradicts itself".into();
    f.faults.push(Fault { kind: FaultKind::Corrupt, message, found_as: FoundAs::Unsigned, span });
    FaultId(f.faults.len() as u32 - 1)
}

fn fits(f: &Function, op: BinOp, a: Value, b: Value) -> bool {
    let ty = f.value(a).ty;
    let exact = range::mathematical(op, f.value(a).range, f.value(b).range);
    !exact.is_empty() && Range::of(ty).contains(exact)
}

/// What becomes of an operation.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Same,
    Simpler,
    Needless,
}

/// Makes an operation simpler, or lets another value stand for what it makes.
fn fate(f: &Function, disk: Option<Disk>, inst: &mut Inst, replaced: &mut Renamed) -> Fate {
    let mut fate = Fate::Same;
    if let Some(v) = inst.result {
        let known = f.value(v).range.as_const();
        match (&inst.op, known) {
            // A refinement of a loop's counter shows that the counter grows by one; its claim says the number anyway.
            (Op::Const(_) | Op::Load { .. } | Op::Varint { .. } | Op::Check { .. }, _) => {}
            (Op::Arg(_) | Op::ArgLen(_) | Op::Refine { .. }, _) => {}
            (Op::Binary { mode: Mode::Checked(_), op, a, b }, Some(_)) if !fits(f, *op, *a, *b) => {}
            (_, Some(n)) => {
                inst.op = Op::Const(n as u64);
                fate = Fate::Simpler;
            }
            _ => {}
        }
    }
    match &mut inst.op {
        Op::Guard { cond, .. } if f.value(*cond).range == Range::just(1) => return Fate::Needless,
        Op::Binary { op, mode, a, b } if matches!(mode, Mode::Checked(_)) && fits(f, *op, *a, *b) => {
            *mode = Mode::Exact;
            fate = Fate::Simpler;
        }
        Op::Refine { a, .. } => {
            let v = inst.result.expect("a refinement makes a value");
            if f.value(v).range == f.value(*a).range && f.value(v).ty == f.value(*a).ty {
                replaced.set(v, *a);
                return Fate::Needless;
            }
        }
        Op::Select { cond, a, b } => {
            let choice = match f.value(*cond).range.as_const() {
                Some(0) => Some(*b),
                Some(_) => Some(*a),
                None if a == b => Some(*a),
                None => None,
            };
            if let (Some(c), Some(v)) = (choice, inst.result) {
                replaced.set(v, c);
                return Fate::Needless;
            }
        }
        Op::Check { region, a, size, limit, .. } if is_needless(f, disk, *region, *a, *size, *limit) => {
            replaced.set(inst.result.expect("a check makes a value"), *a);
            return Fate::Needless;
        }
        _ => {}
    }
    fate
}

/// Whether a check cannot fail, and what it was evidence for is sure without it.
fn is_needless(f: &Function, disk: Option<Disk>, region: Region, a: Value, size: Size, limit: Value) -> bool {
    let sure = match region {
        Region::Disk => disk.map_or(0, |d| d.min),
        Region::Slot(s) => f.slots[s.index()].size,
        Region::Data(d) => f.data[d.index()].bytes.len() as u32,
        Region::Arg(i) => match f.args[i as usize].kind {
            crate::ir::schema::LeafKind::Bytes { max, .. } => max,
            crate::ir::schema::LeafKind::Scalar { .. } => 0,
        },
        Region::Out => f.out_size(),
    };
    let most = match size {
        Size::Const(n) => n.into(),
        Size::Value(v) => f.value(v).range.hi,
    };
    let end = f.value(a).range.hi.saturating_add(most);
    end <= i128::from(sure) && end <= f.value(limit).range.lo && f.value(a).ty == Ty::U64
}

fn simplify_end(f: &Function, term: Terminator) -> Terminator {
    match term {
        Terminator::Branch { cond, then, other } => match f.value(cond).range.as_const() {
            Some(0) => Terminator::Jump(other),
            Some(_) => Terminator::Jump(then),
            None if then == other => Terminator::Jump(then),
            None => Terminator::Branch { cond, then, other },
        },
        other => other,
    }
}

/// Addresses based on a check that is gone count from the region's start. What it checked may itself come from a check, of another region.
fn unbase(f: &mut Function) {
    let defs = Defs::of(f);
    let is_checked = |f: &Function, v: Value, of: Region| matches!(defs.op(f, defs.root(f, v)), Some(Op::Check { region, .. }) if *region == of);
    let mut sums = Vec::new();
    for b in 0..f.blocks.len() {
        for i in 0..f.blocks[b].insts.len() {
            let is_gone = |addr: &Addr| addr.base.is_some_and(|base| !is_checked(f, base, addr.region));
            let any = match &f.blocks[b].insts[i].op {
                Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Store { addr, .. } => is_gone(addr),
                Op::Copy { to, from, .. } => is_gone(to) || is_gone(from),
                _ => false,
            };
            if !any {
                continue;
            }
            let mut op = f.blocks[b].insts[i].op.clone();
            let addrs = match &mut op {
                Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Store { addr, .. } => [Some(addr), None],
                Op::Copy { to, from, .. } => [Some(to), Some(from)],
                _ => unreachable!("no other operation has an address"),
            };
            for addr in addrs.into_iter().flatten() {
                let Some(base) = addr.base.filter(|base| !is_checked(f, *base, addr.region)) else { continue };
                addr.base = None;
                match (f.value(base).range.as_const(), addr.index) {
                    (Some(n), _) if n >= 0 => addr.disp += n as u32,
                    (_, None) => addr.index = Some(base),
                    (_, Some(index)) => {
                        let sum = sum_of(f, base, index);
                        sums.push((b, i, sum, base, index));
                        addr.index = Some(sum);
                    }
                }
            }
            f.blocks[b].insts[i].op = op;
        }
    }
    for (b, i, sum, base, index) in sums.into_iter().rev() {
        let span = f.blocks[b].insts[i].span;
        let op = Op::Binary { op: BinOp::Add, mode: Mode::Exact, a: base, b: index };
        f.blocks[b].insts.insert(i, Inst { op, result: Some(sum), span });
    }
}

fn sum_of(f: &mut Function, a: Value, b: Value) -> Value {
    let (ra, rb) = (f.value(a).range, f.value(b).range);
    let span = f.value(a).span;
    f.values.push(ValueData { ty: Ty::U64, range: Range::new(ra.lo + rb.lo, ra.hi + rb.hi), name: None, span });
    Value(f.values.len() as u32 - 1)
}

/// Answers the obligations and takes them out. One that holds by a relation of several values, which no claim says, becomes a test, so that
/// the claims behind it say it; the search for evidence takes the test away again.
fn answer_obligations(f: &mut Function, graph: &Graph, sources: &SourceMap) -> Vec<Diagnostic> {
    let mut failed: Vec<(u32, Value)> = Vec::new();
    // In the order of the blocks, and in each of its operations.
    let mut related: Vec<(Block, usize)> = Vec::new();
    let defs = Defs::of(f);
    {
        // Most functions need no more than the claims.
        let mut search = None;
        for b in &graph.order {
            for (i, inst) in f.block(*b).insts.iter().enumerate() {
                if let Op::Prove { cond, obligation } = inst.op {
                    let known = f.value(cond).range;
                    if known == Range::just(1) || known.is_empty() {
                        continue;
                    }
                    let search = search.get_or_insert_with(|| Search::new(f, graph, &defs));
                    if search.holds((*b, i), cond) {
                        related.push((*b, i));
                    } else {
                        failed.push((obligation, cond));
                    }
                }
            }
        }
    }
    if failed.is_empty() && related.is_empty() {
        f.blocks.iter_mut().for_each(|b| b.insts.retain(|i| !matches!(i.op, Op::Prove { .. })));
        return Vec::new();
    }
    let mut seen = FxHashSet::default();
    let diagnostics = failed
        .into_iter()
        .filter(|(o, _)| seen.insert(f.obligations[*o as usize].span))
        .map(|(o, cond)| explain(f, sources, o, cond))
        .collect();
    let mut tested = Vec::new();
    for places in related.chunk_by(|x, y| x.0 == y.0) {
        let b = places[0].0;
        let (old, mut term) = (f.block(b).insts.clone(), f.block(b).term.clone());
        let mut told = Told { f, defs: &defs, conditions: Vec::new(), names: FxHashMap::default(), out: Vec::new() };
        for (i, mut inst) in old.into_iter().enumerate() {
            match inst.op {
                Op::Prove { cond, obligation } if places.contains(&(b, i)) => told.test(cond, obligation, inst.span),
                _ => {
                    inst.op.map_uses(|v| told.name(v));
                    told.out.push(inst);
                }
            }
        }
        // How long a read is; what a block passes on keeps its name.
        if let Terminator::Hop { offset, len, .. } = &mut term {
            (*offset, *len) = (told.name(*offset), told.name(*len));
        }
        tested.push((b, told.out, term));
    }
    // Only now, since the definitions are found by their places.
    for (b, insts, term) in tested {
        (f.blocks[b.index()].insts, f.blocks[b.index()].term) = (insts, term);
    }
    for b in &mut f.blocks {
        b.insts.retain(|i| !matches!(i.op, Op::Prove { .. }));
    }
    diagnostics
}

/// The rest of a block, behind tests: what they compare goes by new names in it.
struct Told<'f> {
    f: &'f mut Function,
    defs: &'f Defs,
    conditions: Vec<Value>,
    names: FxHashMap<Value, Value>,
    out: Vec<Inst>,
}

impl Told<'_> {
    fn test(&mut self, cond: Value, obligation: u32, span: Span) {
        let asked = &mut self.f.obligations[obligation as usize];
        let id = *asked.tested.get_or_insert(FaultId(self.f.faults.len() as u32));
        if id.index() == self.f.faults.len() {
            let message = format!("`{}` does not hold", asked.text);
            self.f.faults.push(Fault { kind: FaultKind::Overflow, message, found_as: FoundAs::Unsigned, span });
        }
        self.out.push(Inst { op: Op::Guard { cond, fault: FaultRef::new(id) }, result: None, span });
        self.conditions.push(cond);
        self.names.clear();
    }

    /// The name by which a value goes behind the tests, made where it is used.
    fn name(&mut self, v: Value) -> Value {
        if let Some(name) = self.names.get(&v) {
            return *name;
        }
        let mut now = v;
        for cond in self.conditions.clone() {
            let told = range::refined(self.f, self.defs, v, cond, true);
            let data = self.f.value(now).clone();
            if let Some(range) = told.map(|told| told.meet(data.range)).filter(|r| *r != data.range) {
                let span = data.span;
                self.f.values.push(ValueData { range, ..data });
                let new = Value(self.f.values.len() as u32 - 1);
                self.out.push(Inst { op: Op::Refine { a: now, cond, sense: true }, result: Some(new), span });
                now = new;
            }
        }
        self.names.insert(v, now);
        now
    }
}

/// Where what is known of a value comes from: each condition on the way here that says more of it, and where it is made.
fn origins(f: &Function, defs: &Defs, mut v: Value, name: &str) -> Vec<Label> {
    let mut labels = Vec::new();
    let mut label = |span: Span, text: String| {
        if span.end > span.start {
            labels.push(Label { span, text });
        }
    };
    while let Some(Op::Refine { a, cond, .. }) = defs.op(f, v) {
        let (told, before) = (f.value(v).range, f.value(*a).range);
        if told != before {
            label(f.value(*cond).span, format!("`{name}` is {told} behind this"));
        }
        v = *a;
    }
    let made = f.value(v);
    label(made.span, format!("`{name}` comes from here: {}", made.range));
    labels
}

/// What a value without a name goes by.
const UNNAMED: &str = "the length";

/// The error of an obligation that does not hold: what is known of each operand, where that comes from, a value that breaks it, and
/// the smallest thing to add.
fn explain(f: &Function, sources: &SourceMap, obligation: u32, cond: Value) -> Diagnostic {
    let o = &f.obligations[obligation as usize];
    let defs = Defs::of(f);
    let operands = match defs.op(f, cond) {
        Some(Op::Compare { a, b, .. }) if o.kind != ObligationKind::Divisor => vec![*a, *b],
        _ => o.operands.clone(),
    };
    let name = |v: Value, i: usize| -> String {
        let data = f.value(v);
        match (&data.name, data.range.as_const()) {
            _ if i == 0 && o.kind != ObligationKind::ReadSize => sources.text(o.span).to_string(),
            (Some(n), _) => n.clone(),
            (None, Some(n)) => n.to_string(),
            (None, None) => UNNAMED.into(),
        }
    };
    let (a, b) = (operands[0], operands.get(1).copied().unwrap_or(operands[0]));
    let (na, nb) = (name(a, 0), name(b, 1));
    let (ra, rb) = (f.value(a).range, f.value(b).range);
    let (code, message, label) = match o.kind {
        ObligationKind::Index => (
            "E0501",
            match ra.as_const() {
                Some(_) => format!("expected an index below {nb}, found `{na}`"),
                None => format!("expected an index below {nb}, found `{na}`, which may be {}", ra.hi),
            },
            "may lie outside the array".to_string(),
        ),
        ObligationKind::Divisor if ra.lo < 0 => (
            "E0502",
            format!("expected a divisor above 0, found `{na}`, which may be {}", ra.lo),
            "may be 0 or negative".into(),
        ),
        ObligationKind::Divisor => {
            ("E0502", format!("expected a divisor that is not 0, found `{na}`, which may be 0"), "may be 0".into())
        }
        ObligationKind::Shift => (
            "E0503",
            format!("expected a shift below 64, found `{na}`, which may be {}", ra.hi),
            "may be too far".into(),
        ),
        ObligationKind::ReadSize => (
            "E0504",
            format!("expected a read of at most {} bytes, found one of `{na}`, which may be {}", rb.hi, ra.hi),
            "may be larger than any hook carries".into(),
        ),
        ObligationKind::LoopBound => {
            ("E0602", format!("expected a loop with a bound, found one up to `{na}`"), "how many turns?".into())
        }
        ObligationKind::View | ObligationKind::Overflow | ObligationKind::HopBound | ObligationKind::FrameSize => {
            unreachable!("what is checked or bounded in any case is no condition to prove")
        }
    };
    let mut d = Diagnostic::error(code, o.span, message, label);
    for (v, n) in [(a, &na), (b, &nb)].into_iter().take(operands.len()) {
        let range = f.value(v).range;
        if range.as_const().is_none() {
            d.notes.push(format!("`{n}` is {range} here"));
            d.others.extend(origins(f, &defs, v, n).into_iter().filter(|label| label.span != o.span));
        }
    }
    let breaks = match o.kind {
        ObligationKind::Divisor => ra.lo.min(0),
        _ => ra.hi,
    };
    if ra.as_const().is_none() {
        let against = if rb.as_const().is_some() || o.kind == ObligationKind::Divisor {
            String::new()
        } else {
            format!(" and {nb} = {}", rb.lo)
        };
        d.notes.push(format!("it would break with {na} = {breaks}{against}"));
    } else if let (ObligationKind::Index, Some(n)) = (o.kind, rb.as_const()) {
        // A number that is written there: nothing is to be asked of it.
        return d.help(format!("write a number up to {}", n - 1));
    }
    let bound = match o.kind {
        ObligationKind::Divisor if ra.lo < 0 => format!("{na} > 0"),
        ObligationKind::Divisor => format!("{na} != 0"),
        ObligationKind::ReadSize => format!("{na} <= {}", rb.hi),
        _ => format!("{na} < {nb}"),
    };
    // A `where` stands at a field, under the field's own name.
    let is_field = matches!(defs.op(f, defs.root(f, a)), Some(Op::Load { .. }));
    let field = f.value(a).name.clone().filter(|_| is_field);
    let promise = field.map_or(String::new(), |field| {
        format!("say what the data promises, `where {}` at the field, or ", bound.replacen(&na, &field, 1))
    });
    let wrong = match o.kind {
        ObligationKind::Divisor if ra.lo < 0 => "is not above 0",
        ObligationKind::Divisor => "is 0",
        ObligationKind::Shift => "is too far a shift",
        ObligationKind::ReadSize => "is too long",
        _ => "is out of bounds",
    };
    let line = format!("require {bound} else fail \"{} {wrong}\";", na.replace('"', "'"));
    d.help = Some(format!("{promise}write `{line}` before this"));
    // What has no name cannot be written.
    let can_be_written = ![&na, &nb].contains(&&UNNAMED.to_string()) && ra.as_const().is_none();
    d.fix = can_be_written.then_some(Fix::Line(o.span, line));
    d
}
