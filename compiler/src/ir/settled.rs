//! Where conditions are known: by branches and guards, and by evidence.

use super::defs::{Def, Defs};
use super::graph::Graph;
use super::{BinOp, Block, Function, Op, Terminator, Ty, Value};
use crate::fx::FxHashMap;

/// How many conditions one branch or guard may settle through `and`, `or` and negation.
const IMPLIED_MAX: usize = 64;

/// A condition and what follows from it: a conjunction that is true says that both parts are, a disjunction that is false that neither
/// is, a negation the contrary.
pub fn implied(f: &Function, defs: &Defs, cond: Value, sense: bool) -> Vec<(Value, bool)> {
    let mut all = Vec::new();
    add_implied(f, defs, (cond, sense), &mut all);
    all
}

fn add_implied(f: &Function, defs: &Defs, (cond, sense): (Value, bool), all: &mut Vec<(Value, bool)>) {
    if all.len() == IMPLIED_MAX {
        return;
    }
    all.push((cond, sense));
    match Logic::of(f, defs, cond) {
        Some(Logic::And(a, b)) if sense => [b, a].into_iter().for_each(|part| add_implied(f, defs, (part, true), all)),
        Some(Logic::Or(a, b)) if !sense => [b, a].into_iter().for_each(|part| add_implied(f, defs, (part, false), all)),
        Some(Logic::Not(a)) => add_implied(f, defs, (a, !sense), all),
        _ => {}
    }
}

/// What a condition is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// Both hold.
    And(Value, Value),
    /// One holds, or both.
    Or(Value, Value),
    /// It does not hold.
    Not(Value),
}

impl Logic {
    /// Of the operation that makes a value; none for a comparison. `a && b` may be a select of `b` or false.
    pub fn of(f: &Function, defs: &Defs, cond: Value) -> Option<Logic> {
        if f.value(cond).ty != Ty::Bool {
            return None;
        }
        let known = |v: Value| f.value(v).range.as_const();
        match *defs.op(f, cond)? {
            Op::Binary { op: BinOp::And, a, b, .. } => Some(Logic::And(a, b)),
            Op::Binary { op: BinOp::Or, a, b, .. } => Some(Logic::Or(a, b)),
            Op::Binary { op: BinOp::Xor, a, b, .. } => match (known(a), known(b)) {
                (_, Some(1)) => Some(Logic::Not(a)),
                (Some(1), _) => Some(Logic::Not(b)),
                _ => None,
            },
            Op::Select { cond, a, b } if known(b) == Some(0) => Some(Logic::And(cond, a)),
            Op::Select { cond, a, b } if known(a) == Some(1) => Some(Logic::Or(cond, b)),
            Op::Refine { a, .. } => Logic::of(f, defs, a),
            _ => None,
        }
    }
}

/// What the edge to target number `i` says of a branch's condition; none if the edge says nothing.
pub fn on_edge(term: &Terminator, i: usize) -> Option<(Value, bool)> {
    match term {
        Terminator::Branch { cond, then, other } if then.block != other.block => Some((*cond, i == 0)),
        _ => None,
    }
}

/// From which place on each condition has which value: in front of the operation with that number in the block, and in all that the
/// block dominates.
#[derive(Clone, Debug, Default)]
pub struct Settled(FxHashMap<(Value, bool), Vec<(Block, usize)>>);

impl Settled {
    /// Looks through a function.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs) -> Settled {
        let mut settled = Settled::default();
        let mut all = Vec::new();
        let mut add = |from: (Block, usize), known: (Value, bool)| {
            add_implied(f, defs, known, &mut all);
            all.drain(..).for_each(|known| settled.0.entry(known).or_default().push(from));
        };
        for v in f.evidence.proofs.keys() {
            if let (Some(Def::Inst(block, i)), Some(Op::Compare { .. })) = (defs.get(*v), defs.op(f, *v)) {
                add((block, i + 1), (*v, true));
            }
        }
        for (block, data) in f.blocks() {
            for (i, inst) in data.insts.iter().enumerate() {
                if let Op::Guard { cond, .. } = inst.op {
                    add((block, i + 1), (cond, true));
                }
            }
            if let [(from, target)] = graph.predecessors[block.index()]
                && let Some(known) = on_edge(&f.block(from).term, target)
            {
                add((block, 0), known);
            }
        }
        settled.resolve(f, graph, defs);
        settled
    }

    /// Of two of which one holds, the other does where one does not; of two that are not both so, the other is not where one is.
    fn resolve(&mut self, f: &Function, graph: &Graph, defs: &Defs) {
        let mut found = Vec::new();
        for (&(cond, sense), places) in &self.0 {
            let (a, b) = match Logic::of(f, defs, cond) {
                Some(Logic::Or(a, b)) if sense => (a, b),
                Some(Logic::And(a, b)) if !sense => (a, b),
                _ => continue,
            };
            for (this, other) in [(a, b), (b, a)] {
                for against in self.0.get(&(this, !sense)).into_iter().flatten() {
                    for place in places {
                        // From the later of the two on.
                        let later = [(place, against), (against, place)].into_iter().find(|(first, then)| {
                            if first.0 == then.0 { first.1 <= then.1 } else { graph.dominates(first.0, then.0) }
                        });
                        found.extend(later.map(|(_, at)| (*at, (other, sense))));
                    }
                }
            }
        }
        for (at, (cond, sense)) in found {
            for known in implied(f, defs, cond, sense) {
                self.0.entry(known).or_default().push(at);
            }
        }
    }

    /// Whether the condition has this value in front of the operation at a place.
    pub fn holds(&self, graph: &Graph, (block, position): (Block, usize), cond: Value, sense: bool) -> bool {
        self.0.get(&(cond, sense)).is_some_and(|places| {
            places.iter().any(|&(at, from)| if at == block { from <= position } else { graph.dominates(at, block) })
        })
    }

    /// All conditions with their values, and from where on.
    pub fn iter(&self) -> impl Iterator<Item = (Value, bool, (Block, usize))> {
        self.0.iter().flat_map(|((cond, sense), places)| places.iter().map(|at| (*cond, *sense, *at)))
    }
}
