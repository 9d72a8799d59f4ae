//! Finds evidence: checks and guards that cannot fail because of what holds of several values together.
//!
//! A goal is a linear form that must be at most 0. The variable that was made last is eliminated by one of the facts that bound it, and so on,
//! until the claims show what is left (Fourier and Motzkin's elimination, on demand and depth first, as ABCD goes through differences). What
//! then speaks only of a block's parameters is tried as an invariant: shown on each edge in, by induction around loops. The parts are
//! noted as they are found, and the verifier adds them up.

use super::atoms::ByAtom;
use super::facts::{Facts, Known, of_condition};
use super::ranges::is_taken;
use crate::fx::FxHashSet;
use crate::ir::defs::{Def, Defs};
use crate::ir::evidence::{Evidence, Fact, Invariant, Point, Split, Sum, goals};
use crate::ir::graph::Graph;
use crate::ir::linear::{Atom, Form, Forms, common_divisor, product};
use crate::ir::settled::{implied, on_edge};
use crate::ir::verify::passed;
use crate::ir::{Block, CmpOp, FaultId, FaultKind, Function, Mode, Op, Range, Value};
use std::rc::Rc;

/// How far a search goes.
#[derive(Clone, Copy)]
struct Limits {
    /// Forms looked at, invariants' included.
    fuel: u32,
    /// Eliminations in a row.
    depth: usize,
    /// Invariants, or operands of selects, that rest on one another.
    nested: u32,
}

/// For a check.
const CHECK: [Limits; 1] = [Limits { fuel: 120, depth: 9, nested: 8 }];
/// For an obligation, without whose proof there is no walk. It is searched for near by, then farther: one of the nearest facts may lead far away
/// while another shows the goal at once.
const OBLIGATION: [Limits; 3] = [
    Limits { fuel: 120, depth: 2, nested: 0 },
    Limits { fuel: 120, depth: 3, nested: 8 },
    Limits { fuel: 4_000, depth: 9, nested: 8 },
];
/// Facts tried for one elimination, the nearest first.
const FACTS_MAX: usize = 10;
/// Selects looked at within one another. The verifier takes facts of a depth of 3, of which one is for products.
const SPLITS_MAX: usize = 2;

/// Marks what can be shown: checks that then are no tests any more, and arithmetic that is exact.
pub fn find(f: &mut Function) {
    let graph = Graph::of(f);
    let defs = Defs::of(f);
    let mut wanted = Vec::new();
    // What an obligation asks was shown once already.
    let asked: FxHashSet<FaultId> = f.obligations.iter().filter_map(|o| o.tested).collect();
    for b in &graph.order {
        for (i, inst) in f.block(*b).insts.iter().enumerate() {
            let tests = matches!(inst.op, Op::Check { .. } | Op::Binary { mode: Mode::Checked(_), .. });
            wanted.extend(inst.result.filter(|_| tests).map(|v| (*b, i, v, false)));
            // Where a condition is tested that the spec does not state, it may be true wherever it is made.
            if let Op::Guard { cond, fault } = inst.op
                && matches!(f.faults[fault.fault.index()].kind, FaultKind::Overflow | FaultKind::Limit)
                && let Some(Def::Inst(block, i)) = defs.get(cond)
            {
                wanted.push((block, i, cond, asked.contains(&fault.fault)));
            }
        }
    }
    if wanted.is_empty() {
        return;
    }
    let evidence = {
        let mut search = Search::new(f, &graph, &defs);
        for (block, i, v, is_obligation) in &wanted {
            search.is_obligation = *is_obligation;
            search.check((*block, *i), *v);
        }
        search.evidence
    };
    for (block, i, v, _) in wanted {
        if let (true, Op::Binary { mode, .. }) =
            (evidence.proofs.contains_key(&v), &mut f.blocks[block.index()].insts[i].op)
        {
            *mode = Mode::Exact;
        }
    }
    for b in &mut f.blocks {
        b.insts.retain(|i| !matches!(i.op, Op::Guard { cond, .. } if evidence.proofs.contains_key(&cond)));
    }
    f.evidence = evidence;
}

/// A fact that was collected, by its position, or one that was made for the occasion.
enum Found {
    Collected(u32),
    Made(Box<Known>),
}

impl Found {
    fn known<'a>(&'a self, facts: &'a Facts) -> &'a Known {
        match self {
            Found::Collected(i) => facts.known(*i),
            Found::Made(known) => known,
        }
    }
}

/// Finds proofs in one function.
pub struct Search<'f> {
    pub(super) f: &'f Function,
    pub(super) graph: &'f Graph,
    pub(super) defs: &'f Defs,
    pub(super) forms: Forms,
    facts: Rc<Facts>,
    /// The values that are just one atom, but for the atom's own: by what they claim it to be at least, the greatest first, and by what at
    /// most, the least first.
    names: ByAtom<[Vec<Value>; 2]>,
    /// When each value is made, in the order of blocks.
    age: Vec<u32>,
    evidence: Evidence,
    /// What was tried and is no invariant, as far as this search goes.
    failed: FxHashSet<(Block, Form)>,
    nested: u32,
    /// What is left for the present search.
    fuel: u32,
    limits: Limits,
    /// Whether what is asked is an obligation, for which no way is left untried.
    is_obligation: bool,
    /// The selects whose operands are looked at one by one.
    splitting: Vec<Value>,
    /// How often a limit has ended something.
    cuts: u32,
    /// Whether there may still be branches of which the claims say how they go. The evidence found then is not written down.
    before_folding: bool,
}

type Parts = Vec<(i128, Fact)>;

/// What claims say of a goal.
enum Claimed {
    /// It holds, by these.
    Shown(Parts),
    /// It holds on no run.
    Never,
    /// Neither.
    Open,
}

impl<'f> Search<'f> {
    /// Collects the facts of a function.
    pub fn new(f: &'f Function, graph: &'f Graph, defs: &'f Defs) -> Self {
        let forms = Forms::of(f, graph);
        let made = |b: &Block| {
            let data = f.block(*b);
            data.params.iter().copied().chain(data.insts.iter().filter_map(|inst| inst.result))
        };
        let mut position = vec![0; f.blocks.len()];
        let mut age = vec![0; f.values.len()];
        let mut next = 0;
        for (i, b) in graph.order.iter().enumerate() {
            position[b.index()] = i as u32;
            for v in made(b) {
                next += 1;
                age[v.index()] = next;
            }
        }
        let facts = Facts::of(f, graph, defs, &forms, &position);
        let mut search = Search {
            f,
            graph,
            defs,
            forms,
            facts: Rc::new(facts),
            names: ByAtom::new(f),
            age,
            evidence: Evidence::default(),
            failed: FxHashSet::default(),
            nested: 0,
            fuel: 0,
            limits: CHECK[0],
            is_obligation: false,
            splitting: Vec::new(),
            cuts: 0,
            before_folding: false,
        };
        graph.order.iter().flat_map(made).for_each(|v| search.name(v));
        for [least, most] in search.names.iter_mut() {
            least.sort_by_key(|v| std::cmp::Reverse(f.value(*v).range.lo));
            most.sort_by_key(|v| f.value(*v).range.hi);
        }
        search
    }

    fn name(&mut self, v: Value) {
        let Some(atom) = self.forms.atom(v).filter(|atom| *atom != Atom::Value(v)) else { return };
        let data = self.f.value(v);
        // The type is a claim as well, but no better one than an atom's own value has.
        let is_first = matches!(atom, Atom::Product(..)) && self.names.get(atom).is_none();
        if data.range != Range::of(data.ty) || is_first {
            self.names.at(atom).iter_mut().for_each(|names| names.push(v));
        }
    }

    /// Tries to show that a check is none.
    fn check(&mut self, (block, position): (Block, usize), v: Value) {
        let op = &self.f.block(block).insts[position].op;
        let Some(goals) = goals(self.f, &self.forms, op) else { return };
        let point = Point { block, position, edge: Vec::new() };
        let kept = self.evidence.invariants.len();
        let mut sums = Vec::new();
        for goal in &goals {
            match self.begin(goal, &point) {
                Some(sum) => sums.push(sum),
                None => {
                    self.evidence.invariants.truncate(kept);
                    return;
                }
            }
        }
        self.evidence.proofs.insert(v, sums);
    }

    /// Whether a comparison always holds in front of an operation.
    pub fn holds(&mut self, (block, position): (Block, usize), cond: Value) -> bool {
        (self.before_folding, self.is_obligation) = (true, true);
        let at = Point { block, position, edge: Vec::new() };
        let Some(Op::Compare { op, a, b }) = self.defs.op(self.f, cond) else { return false };
        let (a, b) = (self.forms.get(*a), self.forms.get(*b));
        let mut below = |x: &Form, n: i128, y: &Form| {
            let form = x.plus(-1, y).and_then(|form| form.plus_number(n));
            form.is_some_and(|form| self.begin(&form, &at).is_some())
        };
        match op {
            CmpOp::Lt => below(&a, 1, &b),
            CmpOp::Le => below(&a, 0, &b),
            CmpOp::Ne => below(&a, 1, &b) || below(&b, 1, &a),
            CmpOp::Eq => below(&a, 0, &b) && below(&b, 0, &a),
        }
    }

    /// Shows what is asked from outside.
    fn begin(&mut self, goal: &Form, at: &Point) -> Option<Sum> {
        let tries = if self.is_obligation { &OBLIGATION[..] } else { &CHECK };
        tries.iter().find_map(|limits| {
            (self.fuel, self.limits) = (limits.fuel, *limits);
            self.show(goal, at)
        })
    }

    fn show(&mut self, goal: &Form, at: &Point) -> Option<Sum> {
        let (scale, parts) = self.search(goal, 1, at, &mut Vec::new())?;
        Some(Sum { scale, parts })
    }

    /// Facts with factors whose sum is as often the form as is said beside them, or more. Atoms that are `gone` are not brought back. The form is what is left of
    /// `times` the goal: since all are integers, it may be up to `times - 1`.
    fn search(&mut self, goal: &Form, times: i128, at: &Point, gone: &mut Vec<Atom>) -> Option<(i128, Parts)> {
        match self.by_claims(goal, times, at) {
            Claimed::Shown(parts) => return Some((1, parts)),
            Claimed::Never => return None,
            Claimed::Open => {}
        }
        if self.fuel == 0 || gone.len() == self.limits.depth {
            self.cuts += 1;
            return None;
        }
        self.fuel -= 1;
        let (atom, factor) = *goal.terms().iter().max_by_key(|t| self.made(t.0))?;
        gone.push(atom);
        let found = self.eliminate((goal, times), (atom, factor), at, gone);
        gone.pop();
        found
    }

    fn eliminate(
        &mut self,
        (goal, times): (&Form, i128),
        (atom, factor): (Atom, i128),
        at: &Point,
        gone: &mut Vec<Atom>,
    ) -> Option<(i128, Parts)> {
        let facts = self.facts.clone();
        for found in self.bounding(atom, factor > 0, at) {
            let known = found.known(&facts);
            if known.form.terms().iter().any(|t| t.0 != atom && gone.contains(&t.0)) {
                continue;
            }
            if let Some(found) = self.with_fact((goal, times), (atom, factor), known, at, gone) {
                return Some(found);
            }
        }
        // What is to be shown by itself: an inequality of integers.
        let (whole, by) = goal.clone().plus_number(1 - times)?.rounded();
        if let Some(split) = self.split(&whole, atom, at) {
            return Some((1, vec![(by, Fact::Split(Box::new(split)))]));
        }
        if let Some(known) = self.grown(atom, factor > 0, at)
            && let Some(found) = self.with_fact((goal, times), (atom, factor), &known, at, gone)
        {
            return Some(found);
        }
        if let Some((known, other)) = self.halved((goal, times), (atom, factor), at)
            && let Some(found) = self.with_fact((goal, times), other, &known, at, gone)
        {
            return Some(found);
        }
        if self.is_obligation {
            // What bounds another atom by this one, such as `lo < hi`.
            let own = gone.pop().expect("the atom that is eliminated");
            let found = self.eliminate_other((goal, times), atom, at, gone);
            gone.push(own);
            if found.is_some() {
                return found;
            }
        }
        if let Some(invariant) = self.induct(&whole, atom, at) {
            return Some((1, vec![(by, Fact::Invariant(invariant))]));
        }
        let known = self.claimed(atom, factor > 0, at)?;
        self.with_fact((goal, times), (atom, factor), &known, at, gone)
    }

    /// Takes an atom other than `last` out of a goal, by what bounds it in terms of that.
    fn eliminate_other(
        &mut self,
        (goal, times): (&Form, i128),
        last: Atom,
        at: &Point,
        gone: &mut Vec<Atom>,
    ) -> Option<(i128, Parts)> {
        let facts = self.facts.clone();
        for (atom, factor) in goal.terms().iter().filter(|t| t.0 != last) {
            for found in self.bounding(*atom, *factor > 0, at) {
                let known = found.known(&facts);
                let terms = known.form.terms();
                if known.form.factor(last) == 0 || terms.iter().any(|t| t.0 != *atom && gone.contains(&t.0)) {
                    continue;
                }
                gone.push(*atom);
                let found = self.with_fact((goal, times), (*atom, *factor), known, at, gone);
                gone.pop();
                if found.is_some() {
                    return found;
                }
            }
        }
        None
    }

    /// Takes an atom out of a goal by a fact, and shows what is left.
    fn with_fact(
        &mut self,
        (goal, of): (&Form, i128),
        (atom, factor): (Atom, i128),
        known: &Known,
        at: &Point,
        gone: &mut Vec<Atom>,
    ) -> Option<(i128, Parts)> {
        let with = known.form.factor(atom);
        let common = common_divisor(factor.abs(), with.abs()).max(1);
        let part = |n: i128| if common == 1 { n.abs() } else { n.abs() / common };
        let (scale, times) = (part(with), part(factor));
        let rest = Form::combined(scale, goal, -times, &known.form)?;
        let (more, mut parts) = self.search(&rest, of.checked_mul(scale)?, at, gone)?;
        parts.push((times.checked_mul(more)?, known.fact.clone()));
        Some((scale.checked_mul(more)?, parts))
    }

    /// When an atom is made.
    fn made(&self, atom: Atom) -> u32 {
        atom.values().map(|v| self.age[v.index()]).max().unwrap_or(0)
    }

    fn holds_at(&self, from: (Block, usize), at: &Point) -> bool {
        if from.0 == at.block { from.1 <= at.position } else { self.graph.dominates(from.0, at.block) }
    }

    fn is_known(&self, v: Value, at: &Point) -> bool {
        match self.defs.get(v) {
            Some(Def::Inst(block, i)) => self.holds_at((block, i + 1), at),
            Some(Def::Param(block, _)) => self.holds_at((block, 0), at),
            None => false,
        }
    }

    /// The tightest claim on an atom: the value that makes it, and its bound. Of equal ones that which is made first.
    fn claim(&self, atom: Atom, above: bool, at: &Point) -> Option<(Value, i128)> {
        let claim = |v: Value| {
            let range = self.f.value(v).range;
            (v, if above { range.hi } else { range.lo })
        };
        let own = match atom {
            Atom::Value(v) => self.is_known(v, at).then(|| claim(v)),
            Atom::Product(..) => None,
        };
        let is_tighter = |(_, bound): &(Value, i128)| {
            own.is_none_or(|(_, known)| if above { *bound < known } else { *bound > known })
        };
        let names = self.names.get(atom).into_iter().flat_map(|names| &names[usize::from(above)]);
        let mut tighter = names.map(|v| claim(*v)).take_while(is_tighter);
        tighter.find(|(v, _)| self.is_known(*v, at)).or(own)
    }

    /// What the claims alone say of a goal.
    fn by_claims(&self, goal: &Form, times: i128, at: &Point) -> Claimed {
        let sum = |sign: i128| {
            goal.terms().iter().try_fold(goal.constant, |sum, (atom, factor)| {
                let (_, bound) = self.claim(*atom, sign * factor > 0, at)?;
                sum.checked_add(product(*factor, bound)?)
            })
        };
        if sum(1).is_some_and(|most| most < times) {
            let claims = goal.terms().iter().filter_map(|(atom, factor)| {
                let (v, _) = self.claim(*atom, *factor > 0, at)?;
                Some((factor.abs(), claim_fact(v, *factor > 0)))
            });
            return Claimed::Shown(claims.collect());
        }
        if sum(-1).is_some_and(|least| least >= times) { Claimed::Never } else { Claimed::Open }
    }

    /// The claim as a fact.
    fn claimed(&self, atom: Atom, above: bool, at: &Point) -> Option<Known> {
        let (v, bound) = self.claim(atom, above, at)?;
        let sign = if above { 1 } else { -1 };
        let form = Form::number(bound.checked_mul(-sign)?).plus(sign, &Form::atom(atom))?;
        Some(Known { fact: claim_fact(v, above), form, at: (at.block, at.position) })
    }

    /// Facts that bound an atom from above, or from below: those that are known at a place, the nearest first.
    fn bounding(&self, atom: Atom, above: bool, at: &Point) -> Vec<Found> {
        let is_bound = |form: &Form| {
            let factor = form.factor(atom);
            factor != 0 && (factor > 0) == above
        };
        let fits = |known: &Known| is_bound(&known.form);
        let here = (at.block, at.position);
        let on_edge = at
            .edge
            .iter()
            .flat_map(|(cond, sense)| of_condition(self.f, self.defs, &self.forms, (*cond, *sense), here));
        let made = |known: Known| Found::Made(Box::new(known));
        let mut out: Vec<Found> = on_edge.filter(fits).map(made).collect();
        let near = self.facts.about(atom).filter(|fact| fact.above == above && self.holds_at(fact.at, at));
        out.extend(near.take(FACTS_MAX).map(|fact| Found::Collected(fact.known)));
        if let Atom::Product(x, y) = atom {
            out.extend(self.products((x, y), at).into_iter().filter(fits).map(made));
        }
        for (i, invariant) in self.evidence.invariants.iter().enumerate() {
            if is_bound(&invariant.form) && self.graph.dominates(invariant.block, at.block) {
                let (fact, form) = (Fact::Invariant(i as u32), invariant.form.clone());
                out.push(made(Known { fact, form, at: (invariant.block, 0) }));
            }
        }
        out
    }

    /// What follows for the product of two from what bounds one, and a claim on the other.
    fn products(&self, (x, y): (Value, Value), at: &Point) -> Vec<Known> {
        let mut out = Vec::new();
        for (one, other) in [(x, y), (y, x)] {
            let Some((least, bound)) = self.claim(Atom::Value(other), false, at).filter(|(_, lo)| *lo >= 0) else {
                continue;
            };
            let Some(below) = Form::number(bound).plus(-1, &Form::atom(Atom::Value(other))) else { continue };
            let near = self.facts.about(Atom::Value(one)).filter(|fact| self.holds_at(fact.at, at));
            for known in near.take(FACTS_MAX).map(|fact| self.facts.known(fact.known)) {
                if let Some(form) = known.form.times(&below).and_then(|p| Form::number(0).plus(-1, &p)) {
                    let fact = Fact::Product(Box::new(known.fact.clone()), Box::new(Fact::Least(least)));
                    out.push(Known { fact, form, at: known.at });
                }
            }
        }
        out
    }

    /// Shows a form with either operand of a select in the place of its result.
    fn split(&mut self, goal: &Form, atom: Atom, at: &Point) -> Option<Split> {
        let value = atom.values().max_by_key(|v| self.age[v.index()])?;
        let Some(Op::Select { cond, a, b }) = self.defs.op(self.f, value) else { return None };
        if self.nested == self.limits.nested || self.splitting.len() == SPLITS_MAX {
            self.cuts += 1;
            return None;
        }
        // In an arm the operand stands for it; if it comes back, by a fact, that fact is of no use.
        if self.splitting.contains(&value) {
            return None;
        }
        self.splitting.push(value);
        let mut arm = |v: Value, sense: bool| {
            let form = goal.replaced(|x| self.forms.get(if x == value { v } else { x }))?;
            let mut point = at.clone();
            point.edge.extend(implied(self.f, self.defs, *cond, sense));
            self.nested += 1;
            let sum = self.show(&form, &point);
            self.nested -= 1;
            sum
        };
        let arms = arm(*a, true).and_then(|first| Some([first, arm(*b, false)?]));
        self.splitting.pop();
        Some(Split { value, form: goal.clone(), arms: arms? })
    }

    /// Tries the form as an invariant of the block whose parameter `atom` is.
    fn induct(&mut self, form: &Form, atom: Atom, at: &Point) -> Option<u32> {
        let last = atom.values().max_by_key(|v| self.age[v.index()])?;
        let Some(Def::Param(block, _)) = self.defs.get(last) else { return None };
        self.invariant(block, form, at)
    }

    /// Shows that a form is at most 0 whenever a block is entered.
    pub(super) fn invariant(&mut self, block: Block, form: &Form, at: &Point) -> Option<u32> {
        let found = self
            .evidence
            .invariants
            .iter()
            .position(|i| i.block == block && i.form.terms() == form.terms() && i.form.constant >= form.constant);
        if let Some(i) = found {
            return Some(i as u32);
        }
        let known = self.failed.contains(&(block, form.clone()));
        self.cuts += u32::from(self.nested == self.limits.nested);
        if known || self.nested == self.limits.nested || block == Block(0) || !self.graph.dominates(block, at.block) {
            return None;
        }
        let (kept, cuts) = (self.evidence.invariants.len(), self.cuts);
        self.evidence.invariants.push(Invariant { block, form: form.clone(), edges: Vec::new() });
        self.nested += 1;
        let edges = self.edges(block, form);
        self.nested -= 1;
        match edges {
            Some(edges) => {
                self.evidence.invariants[kept].edges = edges;
                Some(kept as u32)
            }
            None => {
                // What was shown meanwhile may rest on it.
                self.evidence.invariants.truncate(kept);
                // What a limit ended may be shown from elsewhere.
                if self.cuts == cuts {
                    self.failed.insert((block, form.clone()));
                }
                None
            }
        }
    }

    fn edges(&mut self, block: Block, form: &Form) -> Option<Vec<Sum>> {
        let f = self.f;
        let mut sums = Vec::new();
        let graph = self.graph;
        for &(from, target) in &graph.predecessors[block.index()] {
            let data = f.block(from);
            let to = data.term.targets().nth(target)?;
            if self.before_folding && !is_taken(f, &data.term, target) {
                sums.push(Sum { scale: 1, parts: Vec::new() });
                continue;
            }
            let form = form.replaced(|v| {
                let arg = passed(f, &data.term, to).find(|(_, param)| *param == v);
                self.forms.get(arg.map_or(v, |(arg, _)| arg))
            })?;
            let edge = on_edge(&data.term, target).map_or(Vec::new(), |(c, s)| implied(f, self.defs, c, s));
            let point = Point { block: from, position: data.insts.len(), edge };
            sums.push(self.show(&form, &point)?);
        }
        Some(sums)
    }
}

/// A claim of a value as a fact.
fn claim_fact(v: Value, above: bool) -> Fact {
    if above { Fact::Most(v) } else { Fact::Least(v) }
}
