//! Rules 24 and 25: proofs and invariants.

use super::{At, Errors, Facts, types::passed};
use crate::ir::defs::Def;
use crate::ir::evidence::{Fact, Point, Sum, goals};
use crate::ir::linear::{Form, Forms};
use crate::ir::settled::{Settled, implied, on_edge};
use crate::ir::{Block, Op, Value};

/// Facts may be made of facts; deeper than this they are refused.
const DEPTH_MAX: u32 = 3;

pub fn check(f: &Facts<'_>, settled: &Settled, errors: &mut Errors) {
    let evidence = &f.evidence;
    if evidence.proofs.is_empty() && evidence.invariants.is_empty() {
        return;
    }
    for (i, invariant) in evidence.invariants.iter().enumerate() {
        let in_table =
            invariant.block.index() < f.blocks.len() && invariant.form.values().all(|v| f.defs.get(v).is_some());
        errors.want(in_table, 25, format_args!("invariant {i}"), || {
            "expected a block and values that are there, found others".into()
        });
        if !in_table {
            return;
        }
    }
    let scope = Scope { f, settled, forms: Forms::of(f.f, &f.graph) };
    for (v, sums) in &evidence.proofs {
        let Some(Def::Inst(block, i)) = f.defs.get(*v) else {
            errors.push(24, v, "expected a proof of what an operation makes, found a parameter");
            continue;
        };
        let inst = &f.block(block).insts[i];
        let goals = goals(f.f, &scope.forms, &inst.op);
        let point = Point { block, position: i, edge: Vec::new() };
        let holds = goals.is_some_and(|goals| {
            goals.len() == sums.len() && goals.iter().zip(sums).all(|(goal, sum)| scope.shows(sum, goal, &point, 0))
        });
        errors.want(holds, 24, At::Inst(block, inst), || {
            "expected a sum that shows what is needed, found another".into()
        });
    }
    for (i, invariant) in evidence.invariants.iter().enumerate() {
        let place = invariant.block;
        let mut defs = invariant.form.values().map(|v| f.defs.get(v));
        let known = defs.all(|def| match def {
            Some(Def::Param(at, _)) if at == place => true,
            Some(def) => def.block() != place && f.graph.dominates(def.block(), place),
            None => false,
        });
        errors.want(known, 25, place, || format!("expected an invariant {i} of what is known here, found another"));
        let edges = &f.graph.predecessors[place.index()];
        errors.want(edges.len() == invariant.edges.len() && place != Block(0), 25, place, || {
            format!(
                "expected a proof of invariant {i} for each of {} edges, found {}",
                edges.len(),
                invariant.edges.len()
            )
        });
        for ((from, target), sum) in edges.iter().zip(&invariant.edges) {
            let holds = scope.over_edge(&invariant.form, *from, *target);
            let holds = holds.is_some_and(|(form, point)| scope.shows(sum, &form, &point, 0));
            errors.want(holds, 25, At::Term(*from, &f.block(*from).term), || {
                format!("expected a sum that shows invariant {i} of {place}, found another")
            });
        }
    }
}

struct Scope<'a> {
    f: &'a Facts<'a>,
    settled: &'a Settled,
    forms: Forms,
}

impl Scope<'_> {
    /// What an inequality at the start of a block says of the values that an edge passes to it, and where that is to be shown.
    fn over_edge(&self, form: &Form, from: Block, target: usize) -> Option<(Form, Point)> {
        let data = self.f.block(from);
        let to = data.term.targets().nth(target)?;
        let form = form.replaced(|v| {
            let arg = passed(self.f.f, &data.term, to).find(|(_, param)| *param == v);
            self.forms.get(arg.map_or(v, |(arg, _)| arg))
        })?;
        let edge = on_edge(&data.term, target).map_or(Vec::new(), |(c, s)| implied(self.f.f, &self.f.defs, c, s));
        Some((form, Point { block: from, position: data.insts.len(), edge }))
    }

    /// Whether a sum shows that a form is at most 0.
    fn shows(&self, sum: &Sum, goal: &Form, at: &Point, depth: u32) -> bool {
        let rest = || {
            let mut rest = Form::number(0).plus(sum.scale.checked_neg()?, goal)?;
            for (factor, fact) in &sum.parts {
                let form = self.form(fact, at, depth).filter(|_| *factor > 0)?;
                rest = rest.plus(*factor, &form)?;
            }
            Some(rest)
        };
        // What is left is a number, by which the facts say more than is needed. Or less, but by less than one: the form is an integer.
        sum.scale > 0 && rest().is_some_and(|rest| rest.terms().is_empty() && rest.constant > -sum.scale)
    }

    /// The inequality that a fact is, if it is known at a place.
    fn form(&self, fact: &Fact, at: &Point, depth: u32) -> Option<Form> {
        let f = self.f;
        match fact {
            Fact::Least(v) | Fact::Most(v) => {
                let (range, form) = (f.values.get(v.index())?.range, self.forms.get(*v));
                self.is_known(*v, at).then_some(())?;
                match fact {
                    Fact::Least(_) => Form::number(range.lo).plus(-1, &form),
                    _ => form.plus(-1, &Form::number(range.hi)),
                }
            }
            Fact::Condition { cond, sense, k } => {
                let settled = self.settled.holds(&f.graph, (at.block, at.position), *cond, *sense);
                let known = settled || at.edge.contains(&(*cond, *sense));
                self.forms.condition(f.f, &f.defs, *cond, *sense, *k).filter(|_| known)
            }
            Fact::Definition { value, k } => {
                self.forms.definition(f.f, &f.defs, *value, *k).filter(|_| self.is_known(*value, at))
            }
            Fact::Invariant(i) => {
                let invariant = f.evidence.invariants.get(*i as usize)?;
                f.graph.dominates(invariant.block, at.block).then(|| invariant.form.clone())
            }
            Fact::Read(block) => self
                .forms
                .read(f.f, &f.graph, *block)
                .filter(|(to, _)| f.graph.dominates(*to, at.block))
                .map(|(_, form)| form),
            Fact::Product(a, b) if depth < DEPTH_MAX => {
                let product = self.form(a, at, depth + 1)?.times(&self.form(b, at, depth + 1)?)?;
                Form::number(0).plus(-1, &product)
            }
            Fact::Split(split) if depth < DEPTH_MAX => {
                let Some(Op::Select { cond, a, b }) = f.defs.op(f.f, split.value) else { return None };
                split.form.values().all(|v| f.defs.get(v).is_some()).then_some(())?;
                let arms = [(*a, true), (*b, false)].into_iter().zip(&split.arms);
                let shown = |((v, sense), sum): ((Value, bool), &Sum)| {
                    let form = split.form.replaced(|x| self.forms.get(if x == split.value { v } else { x }))?;
                    let mut point = at.clone();
                    point.edge.extend(implied(f.f, &f.defs, *cond, sense));
                    self.shows(sum, &form, &point, depth + 1).then_some(())
                };
                self.is_known(split.value, at).then_some(())?;
                arms.map(shown).collect::<Option<()>>()?;
                Some(split.form.clone())
            }
            Fact::Product(..) | Fact::Split(_) => None,
        }
    }

    /// Whether a value is defined at a place.
    fn is_known(&self, v: Value, at: &Point) -> bool {
        match self.f.defs.get(v) {
            Some(Def::Inst(block, i)) if block == at.block => i < at.position,
            Some(def) => self.f.graph.dominates(def.block(), at.block),
            None => false,
        }
    }
}
