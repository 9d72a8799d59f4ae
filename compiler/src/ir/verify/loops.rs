//! Rule 23: counted loops.

use super::types::passed;
use super::{At, Errors, Facts};
use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::Def;
use crate::ir::*;

pub fn check(f: &Facts<'_>, errors: &mut Errors) {
    for (block, data) in f.blocks() {
        let is_header = predecessors(f, block).any(|(from, _)| f.graph.is_back(from, block));
        match data.header {
            Some(header) => counter(f, errors, block, header),
            None if is_header => errors.push(23, block, "expected a bound of the loop that begins here, found none"),
            None => {}
        }
    }
}

fn counter(f: &Facts<'_>, errors: &mut Errors, block: Block, header: LoopInfo) {
    let LoopInfo { counter, most } = header;
    if !f.block(block).params.contains(&counter) || f.value(counter).ty != Ty::U64 {
        errors.push(23, block, format!("expected a u64 parameter of this block as the counter, found {counter}"));
        return;
    }
    let claim = f.value(counter).range;
    errors.want(Range::new(0, most.into()).contains(claim), 23, block, || {
        format!("expected a claim within 0..={most} of the counter {counter}, found up to {}", claim.hi)
    });
    let edges = predecessors(f, block).filter_map(|(from, target)| {
        let (arg, _) = passed(f.f, &f.block(from).term, target).find(|(_, param)| *param == counter)?;
        Some((from, arg))
    });
    let edges: Vec<(Block, Value)> = edges.collect();
    let back = edges.iter().filter(|(from, _)| f.graph.is_back(*from, block)).map(|(_, arg)| *arg);
    let distances = Turn { f, header: block, counter }.distances(back);
    for (from, arg) in edges {
        let at = At::Term(from, &f.block(from).term);
        if f.graph.is_back(from, block) {
            let found = distances.get(&arg);
            errors.want(found == Some(&Distance::Known(1)), 23, at, || {
                format!("expected {counter} + 1 on the way back to {block}, found {arg}")
            });
        } else {
            let found = f.value(arg).range;
            errors.want(Range::just(0).contains(found), 23, at, || {
                format!("expected 0 for the counter {counter} on the way into {block}, found {arg}")
            });
        }
    }
}

/// The edges into a block: where each comes from, and what it passes.
fn predecessors<'f>(f: &'f Facts<'_>, block: Block) -> impl Iterator<Item = (Block, &'f Target)> {
    let edges = f.graph.predecessors[block.index()].iter();
    edges.filter_map(|(from, i)| Some((*from, f.block(*from).term.targets().nth(*i)?)))
}

/// A value of one turn, less the counter of the same turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distance {
    Known(i128),
    Unknown,
}

/// The turn of a loop: what is computed behind its header.
///
/// A value that reaches an edge back, through operations or parameters of blocks, is defined on a way from the header to there if the header
/// dominates its definition, and else before the loop: the definition dominates its use (rule 8), and what dominates one block does so in a row.
struct Turn<'a> {
    f: &'a Facts<'a>,
    header: Block,
    counter: Value,
}

/// What a value of a turn is made of, as far as its distance goes.
enum Made {
    /// It has this one.
    Of(Distance),
    /// By adding a number to another value.
    Sum(Value, i128),
    /// A parameter of a block: what is passed to it.
    Joined(Vec<Value>),
}

impl Turn<'_> {
    /// The distances of some values from the counter, and of those that they are made of, through refinements, sums with constants and
    /// parameters of blocks (a hop in the loop carries the counter as an argument). Optimistic: a value of which nothing is known yet is not
    /// in the map. Each goes from there to `Known`, perhaps to `Unknown`, and no further.
    fn distances(&self, values: impl Iterator<Item = Value>) -> FxHashMap<Value, Distance> {
        let mut seen = FxHashSet::default();
        let mut open: Vec<Value> = values.collect();
        let mut made = Vec::new();
        while let Some(v) = open.pop() {
            if seen.insert(v) {
                let how = self.made(v);
                match &how {
                    Made::Of(_) => {}
                    Made::Sum(a, _) => open.push(*a),
                    Made::Joined(args) => open.extend(args),
                }
                made.push((v, how));
            }
        }
        let mut distances: FxHashMap<Value, Distance> = FxHashMap::default();
        let mut changed = true;
        while changed {
            changed = false;
            // What others are made of was found after them.
            for (v, how) in made.iter().rev() {
                let new = match how {
                    Made::Of(distance) => Some(*distance),
                    Made::Sum(a, n) => distances.get(a).map(|d| d.plus(*n)),
                    Made::Joined(args) => {
                        let known = args.iter().filter_map(|a| distances.get(a).copied());
                        known.reduce(|a, b| if a == b { a } else { Distance::Unknown })
                    }
                };
                changed |= new.is_some_and(|new| distances.insert(*v, new) != Some(new));
            }
        }
        distances
    }

    fn made(&self, v: Value) -> Made {
        let f = self.f;
        let unknown = Made::Of(Distance::Unknown);
        let Some(def) = f.defs.get(v).filter(|def| f.graph.dominates(self.header, def.block())) else { return unknown };
        if v == self.counter {
            return Made::Of(Distance::Known(0));
        }
        let block = def.block();
        if block == self.header && matches!(def, Def::Param(..)) {
            // What another turn hands over.
            return unknown;
        }
        let Some(op) = f.defs.op(f.f, v) else {
            let passed = predecessors(f, block).filter_map(|(from, target)| {
                passed(f.f, &f.block(from).term, target).find(|(_, to)| *to == v).map(|(arg, _)| arg)
            });
            return Made::Joined(passed.collect());
        };
        let constant = |v: Value| f.value(v).range.as_const();
        match *op {
            Op::Refine { a, .. } | Op::Check { a, .. } => Made::Sum(a, 0),
            Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Checked(_), a, b } => {
                match (constant(a), constant(b)) {
                    (_, Some(n)) => Made::Sum(a, n),
                    (Some(n), _) => Made::Sum(b, n),
                    (None, None) => unknown,
                }
            }
            _ => unknown,
        }
    }
}

impl Distance {
    fn plus(self, n: i128) -> Distance {
        match self {
            Distance::Known(d) => Distance::Known(d.saturating_add(n)),
            Distance::Unknown => Distance::Unknown,
        }
    }
}
