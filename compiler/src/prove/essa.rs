//! Extended SSA: after a condition, its operands go by new names that carry what it has shown.
//!
//! Bodík, Gupta, Sarkar: "ABCD: Eliminating Array Bounds Checks on Demand" (PLDI 2000), section 3: with a name for each
//! fact, the analyses need no environment per block. A `Refine` stands at the start of the way that a branch takes, and behind each
//! guard; uses that it dominates use it. Behind a check, its result takes the checked offset's place. Where ways join that have each learnt
//! something else of a value (`x == 3 || x == 5`), a parameter of the block goes on with what they have in common.

use crate::fx::FxHashMap;
use crate::ir::defs::Defs;
use crate::ir::eval::range::{SCALED_DEEP, Scaled, scaled};
use crate::ir::graph::Graph;
use crate::ir::settled::Logic;
use crate::ir::{Block, Function, Inst, Op, Terminator, Value};

/// Inserts the refinements and renames the uses.
pub fn insert(f: &mut Function, graph: &Graph) {
    let (conditions, counts) = (conditions(f), counts(f));
    let mut pass = Pass {
        learnt: vec![None; f.blocks.len()],
        named: vec![0; f.blocks.len()],
        names: (0..f.values.len() as u32).map(Value).collect(),
        originals: (0..f.values.len() as u32).map(Value).collect(),
        f,
        graph,
        conditions,
        counts,
        refined: FxHashMap::default(),
        undo: Vec::new(),
    };
    // One where ways join comes after all of them, since what a block dominates comes in the order of the blocks.
    for b in graph.preorder() {
        // Back to the names at the end of the block above.
        pass.undo_to(graph.idom(b).map_or(0, |above| pass.named[above.index()]));
        pass.block(b);
    }
}

/// How deep conditions are made of conditions, for what one of them says.
const LOGIC_DEEP: u32 = 5;

/// What a condition is made of: operands as first written.
#[derive(Clone, Copy)]
enum Condition {
    Compare(Value, Value),
    Logic(Logic),
}

/// The conditions, by their results.
fn conditions(f: &Function) -> FxHashMap<Value, Condition> {
    let defs = Defs::of(f);
    let insts = f.blocks.iter().flat_map(|b| &b.insts);
    let made = insts.filter_map(|i| {
        let v = i.result?;
        let condition = match &i.op {
            Op::Compare { a, b, .. } => Condition::Compare(*a, *b),
            _ => Condition::Logic(Logic::of(f, &defs, v)?),
        };
        Some((v, condition))
    });
    made.collect()
}

/// For each comparison what its operands are made of by a product with a number, and perhaps sums: a count, of which a test of a size tells.
fn counts(f: &Function) -> FxHashMap<Value, Vec<Value>> {
    let defs = Defs::of(f);
    let insts = f.blocks.iter().flat_map(|b| &b.insts);
    let compares = insts.filter_map(|i| match i.op {
        Op::Compare { a, b, .. } => Some((i.result?, [a, b])),
        _ => None,
    });
    let parts = |v: Value| {
        let steps = std::iter::successors(scaled(f, &defs, v), |(v, _)| scaled(f, &defs, *v));
        let mut parts: Vec<(Value, Scaled)> = steps.take(SCALED_DEEP as usize).collect();
        // Of sums alone checks and the claims of what they are made of tell as much.
        let last = parts.iter().rposition(|(_, by)| matches!(by, Scaled::Times(_)));
        parts.truncate(last.map_or(0, |i| i + 1));
        parts.into_iter().map(|(v, _)| v)
    };
    compares.map(|(v, operands)| (v, operands.into_iter().flat_map(parts).collect())).collect()
}

struct Pass<'f> {
    f: &'f mut Function,
    graph: &'f Graph,
    conditions: FxHashMap<Value, Condition>,
    /// See [`counts`].
    counts: FxHashMap<Value, Vec<Value>>,
    /// The present name of each value, at first its own.
    names: Vec<Value>,
    /// The value that each name was given for, of a value its own.
    originals: Vec<Value>,
    /// The names that a condition gave: what was refined, and by which.
    refined: FxHashMap<Value, (Value, Outcome)>,
    /// The names before, the last one last.
    undo: Vec<(Value, Value)>,
    /// For each block the length of `undo` at its end.
    named: Vec<usize>,
    /// For each block that has been passed, the values that have got names since the block that dominates where it leads, and these.
    learnt: Vec<Option<Vec<(Value, Value)>>>,
}

/// A condition and its outcome.
type Outcome = (Value, bool);

impl Pass<'_> {
    fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            let (v, old) = self.undo.pop().expect("longer than the mark");
            self.names[v.index()] = old;
        }
    }

    fn rename(&mut self, v: Value, new: Value) {
        let old = std::mem::replace(&mut self.names[v.index()], new);
        self.originals[new.index()] = v;
        self.undo.push((v, old));
    }

    /// Makes a value that is like another one.
    fn like(&mut self, v: Value) -> Value {
        let new = Value(self.f.values.len() as u32);
        self.f.values.push(self.f.value(v).clone());
        self.names.push(new);
        self.originals.push(new);
        new
    }

    fn block(&mut self, b: Block) {
        self.join(b);
        let old = std::mem::take(&mut self.f.blocks[b.index()].insts);
        let mut new = Vec::with_capacity(old.len());
        if let Some((cond, sense)) = self.edge_condition(b) {
            self.refine(cond, sense, b, &mut new);
        }
        for mut inst in old {
            inst.op.map_uses(|v| self.names[v.index()]);
            let shown = match (&inst.op, inst.result) {
                (Op::Guard { cond, .. }, _) => Some(*cond),
                (Op::Check { a, .. }, Some(result)) => {
                    let origin = self.original(*a);
                    self.rename(origin, result);
                    None
                }
                _ => None,
            };
            new.push(inst);
            if let Some(cond) = shown {
                self.refine(cond, true, b, &mut new);
            }
        }
        let names = &self.names;
        self.f.blocks[b.index()].term.map_uses(|v| names[v.index()]);
        self.pass_lengths(b);
        self.f.blocks[b.index()].insts = new;
        self.named[b.index()] = self.undo.len();
        self.learnt[b.index()] = self.learnt_for(b);
    }

    /// What a block at whose end several ways join has to tell there.
    fn learnt_for(&self, b: Block) -> Option<Vec<(Value, Value)>> {
        let Terminator::Jump(to) = &self.f.block(b).term else { return None };
        // Where a loop begins, what comes around it is not known yet; and a way by a branch has nothing to tell.
        let ways = &self.graph.predecessors[to.block.index()];
        let is_told =
            |p: Block| matches!(self.f.block(p).term, Terminator::Jump(_)) && !self.graph.is_back(p, to.block);
        if ways.len() < 2 || !ways.iter().all(|(p, _)| is_told(*p)) {
            return None;
        }
        let from = self.named[self.graph.idom(to.block)?.index()];
        let mut values: Vec<Value> = self.undo.get(from..)?.iter().map(|(v, _)| *v).collect();
        values.sort_unstable();
        values.dedup();
        Some(values.into_iter().map(|v| (v, self.names[v.index()])).collect())
    }

    /// Makes parameters of what all ways to a block have learnt something of, unless together they have learnt nothing.
    fn join(&mut self, b: Block) {
        let graph = self.graph;
        let ways = &graph.predecessors[b.index()];
        let learnt: Option<Vec<_>> = ways.iter().map(|(p, _)| self.learnt[p.index()].as_deref()).collect();
        let Some([first, others @ ..]) = learnt.as_deref().filter(|ways| ways.len() > 1) else { return };
        let name = |way: &[(Value, Value)], v: Value| Some(way[way.binary_search_by_key(&v, |(v, _)| *v).ok()?].1);
        let mut joins = Vec::new();
        for &(v, of_first) in *first {
            let of_others: Option<Vec<Value>> = others.iter().map(|way| name(way, v)).collect();
            let Some(of_others) = of_others else { continue };
            let names: Vec<Value> = std::iter::once(of_first).chain(of_others).collect();
            let before = self.names[v.index()];
            let outcomes: Option<Vec<Vec<Outcome>>> = names.iter().map(|name| self.outcomes(before, *name)).collect();
            if outcomes.is_some_and(|outcomes| !is_all(outcomes)) {
                joins.push((v, names));
            }
        }
        for (v, names) in joins {
            let param = self.like(v);
            self.f.blocks[b.index()].params.push(param);
            for ((way, _), name) in ways.iter().zip(names) {
                let Terminator::Jump(to) = &mut self.f.blocks[way.index()].term else {
                    unreachable!("only jumps have learnt something for a join")
                };
                to.args.push(name);
            }
            self.rename(v, param);
        }
    }

    /// The conditions by which a name came out of another one, the last one last; none if it did otherwise.
    fn outcomes(&self, before: Value, mut name: Value) -> Option<Vec<Outcome>> {
        let mut outcomes = Vec::new();
        while name != before {
            let (of, outcome) = *self.refined.get(&name)?;
            outcomes.push(outcome);
            name = of;
        }
        outcomes.reverse();
        Some(outcomes)
    }

    /// The length of the disk block goes by one name everywhere.
    fn pass_lengths(&mut self, b: Block) {
        if matches!(self.f.block(b).term, Terminator::Hop { .. }) {
            return;
        }
        let mut term = std::mem::replace(&mut self.f.blocks[b.index()].term, Terminator::Return);
        for t in super::cleanup::targets_mut(&mut term) {
            let to = self.f.block(t.block);
            let place = to.disk.and_then(|d| to.params.iter().position(|p| *p == d.len));
            if let Some(arg) = place.and_then(|i| t.args.get_mut(i)) {
                *arg = self.original(*arg);
            }
        }
        self.f.blocks[b.index()].term = term;
    }

    fn original(&self, v: Value) -> Value {
        self.originals[v.index()]
    }

    /// The condition under which alone a block is entered.
    fn edge_condition(&self, b: Block) -> Option<(Value, bool)> {
        let [(p, i)] = self.graph.predecessors[b.index()] else { return None };
        match &self.f.block(p).term {
            Terminator::Branch { cond, then, other } if then.block != other.block => Some((*cond, i == 0)),
            _ => None,
        }
    }

    fn refine(&mut self, cond: Value, sense: bool, b: Block, out: &mut Vec<Inst>) {
        let cond = self.original(cond);
        match self.conditions.get(&cond).copied() {
            Some(Condition::Compare(x, y)) => {
                self.name_refined(&[x, y], (cond, sense), b, out);
                let counts = self.counts.get(&cond).cloned().unwrap_or_default();
                // They are mentioned by the way: no parameter is made for them where ways join.
                self.name_refined(&counts, (cond, sense), b, out);
                for v in counts {
                    self.refined.remove(&self.names[v.index()]);
                }
            }
            // A conjunction that holds says that both parts do; a disjunction that fails, that neither does.
            Some(Condition::Logic(Logic::And(x, y))) if sense => {
                self.refine(x, true, b, out);
                self.refine(y, true, b, out);
            }
            Some(Condition::Logic(Logic::Or(x, y))) if !sense => {
                self.refine(x, false, b, out);
                self.refine(y, false, b, out);
            }
            Some(Condition::Logic(Logic::Not(x))) => self.refine(x, !sense, b, out),
            // Of two that do not both hold, or of which one does, both must speak of what is learnt.
            Some(Condition::Logic(Logic::And(x, y) | Logic::Or(x, y))) => {
                let (mut of_x, mut of_y) = (Vec::new(), Vec::new());
                self.compared(x, LOGIC_DEEP, &mut of_x);
                self.compared(y, LOGIC_DEEP, &mut of_y);
                of_x.retain(|v| of_y.contains(v));
                of_x.dedup();
                self.name_refined(&of_x, (cond, sense), b, out);
            }
            None => {}
        }
    }

    /// The values that a condition compares, as first written.
    fn compared(&self, cond: Value, depth: u32, found: &mut Vec<Value>) {
        match self.conditions.get(&self.original(cond)).copied().filter(|_| depth > 0) {
            Some(Condition::Compare(x, y)) => {
                let new: Vec<Value> =
                    [x, y].into_iter().map(|v| self.original(v)).filter(|v| !found.contains(v)).collect();
                found.extend(new);
            }
            Some(Condition::Logic(Logic::And(x, y) | Logic::Or(x, y))) => {
                self.compared(x, depth - 1, found);
                self.compared(y, depth - 1, found);
            }
            Some(Condition::Logic(Logic::Not(x))) => self.compared(x, depth - 1, found),
            None => {}
        }
    }

    /// Gives values new names that carry what a condition says of them.
    fn name_refined(&mut self, values: &[Value], (cond, sense): (Value, bool), b: Block, out: &mut Vec<Inst>) {
        for a in values {
            let now = self.names[a.index()];
            if self.is_constant(*a) {
                continue;
            }
            let v = self.like(now);
            let span = self.f.block(b).span;
            out.push(Inst { op: Op::Refine { a: now, cond, sense }, result: Some(v), span });
            self.refined.insert(v, (now, (cond, sense)));
            self.rename(*a, v);
        }
    }

    fn is_constant(&self, v: Value) -> bool {
        self.f.value(v).range.as_const().is_some()
    }
}

/// Whether ways with these outcomes, in order, are all that there are: one condition's outcomes behind the same others are none.
fn is_all(mut ways: Vec<Vec<Outcome>>) -> bool {
    loop {
        let both = |a: &[Outcome], b: &[Outcome]| match (a.split_last(), b.split_last()) {
            (Some((x, before)), Some((y, also))) => before == also && x.0 == y.0 && x.1 != y.1,
            _ => false,
        };
        let pair = (0..ways.len()).find_map(|i| Some((i, (0..i).find(|j| both(&ways[i], &ways[*j]))?)));
        let Some((i, j)) = pair else { break };
        ways[j].pop();
        ways.swap_remove(i);
    }
    ways.iter().any(Vec::is_empty)
}
