//! Extended SSA: after a condition, its operands go by new names that carry what it has shown.
//!
//! Bodík, Gupta, Sarkar: "ABCD: Eliminating Array Bounds Checks on Demand" (PLDI 2000), section 3: with a name for each
//! fact, the analyses need no environment per block. A `Refine` stands at the start of the way that a branch takes, and behind each
//! guard; uses that it dominates use it. Behind a check, its result takes the checked offset's place.

use crate::fx::FxHashMap;
use crate::ir::graph::Graph;
use crate::ir::{BinOp, Block, Function, Inst, Op, Terminator, Ty, Value, ValueData};

/// Inserts the refinements and renames the uses.
pub fn insert(f: &mut Function) {
    let graph = Graph::of(f);
    let mut children = vec![Vec::new(); f.blocks.len()];
    for b in &graph.order {
        if let Some(d) = graph.idom(*b) {
            children[d.index()].push(*b);
        }
    }
    let conditions = conditions(f);
    let mut pass =
        Pass { f, graph, conditions, names: FxHashMap::default(), originals: FxHashMap::default(), undo: Vec::new() };
    // Depth first over the dominator tree, by hand: a tree can be deep.
    let mut stack = vec![(Block(0), false, 0usize)];
    while let Some((b, left, mark)) = stack.pop() {
        if left {
            pass.undo_to(mark);
            continue;
        }
        let mark = pass.undo.len();
        pass.block(b);
        stack.push((b, true, mark));
        stack.extend(children[b.index()].iter().map(|c| (*c, false, 0)));
    }
}

/// What a condition is made of: operands as first written.
#[derive(Clone, Copy)]
enum Condition {
    Compare(Value, Value),
    Both(Value, Value),
    Either(Value, Value),
    Not(Value),
}

/// The conditions, by their results.
fn conditions(f: &Function) -> FxHashMap<Value, Condition> {
    let is_bool = |v: Value| f.value(v).ty == Ty::Bool;
    let insts = f.blocks.iter().flat_map(|b| &b.insts);
    let made = insts.filter_map(|i| {
        let condition = match &i.op {
            Op::Compare { a, b, .. } => Condition::Compare(*a, *b),
            Op::Binary { op: BinOp::And, a, b, .. } if is_bool(*a) => Condition::Both(*a, *b),
            Op::Binary { op: BinOp::Or, a, b, .. } if is_bool(*a) => Condition::Either(*a, *b),
            Op::Binary { op: BinOp::Xor, a, b, .. } if is_bool(*a) && f.value(*b).range.as_const() == Some(1) => {
                Condition::Not(*a)
            }
            _ => return None,
        };
        Some((i.result?, condition))
    });
    made.collect()
}

struct Pass<'f> {
    f: &'f mut Function,
    graph: Graph,
    conditions: FxHashMap<Value, Condition>,
    /// The present name of a value.
    names: FxHashMap<Value, Value>,
    /// The value that a name was given for.
    originals: FxHashMap<Value, Value>,
    undo: Vec<(Value, Option<Value>)>,
}

impl Pass<'_> {
    fn undo_to(&mut self, mark: usize) {
        while self.undo.len() > mark {
            let (v, old) = self.undo.pop().expect("longer than the mark");
            match old {
                Some(old) => self.names.insert(v, old),
                None => self.names.remove(&v),
            };
        }
    }

    fn rename(&mut self, v: Value, new: Value) {
        let old = self.names.insert(v, new);
        self.originals.insert(new, v);
        self.undo.push((v, old));
    }

    fn block(&mut self, b: Block) {
        let old = std::mem::take(&mut self.f.blocks[b.index()].insts);
        let mut new = Vec::with_capacity(old.len());
        if let Some((cond, sense)) = self.edge_condition(b) {
            self.refine(cond, sense, b, &mut new);
        }
        for mut inst in old {
            inst.op.map_uses(|v| self.names.get(&v).copied().unwrap_or(v));
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
        self.f.blocks[b.index()].term.map_uses(|v| names.get(&v).copied().unwrap_or(v));
        self.f.blocks[b.index()].insts = new;
    }

    fn original(&self, v: Value) -> Value {
        self.originals.get(&v).copied().unwrap_or(v)
    }

    /// The condition under which alone a block is entered.
    fn edge_condition(&self, b: Block) -> Option<(Value, bool)> {
        let [(p, i)] = self.graph.predecessors[b.index()][..] else { return None };
        match &self.f.block(p).term {
            Terminator::Branch { cond, then, other } if then.block != other.block => Some((*cond, i == 0)),
            _ => None,
        }
    }

    fn refine(&mut self, cond: Value, sense: bool, b: Block, out: &mut Vec<Inst>) {
        let cond = self.original(cond);
        let (x, y) = match self.conditions.get(&cond).copied() {
            Some(Condition::Compare(x, y)) => (x, y),
            // A conjunction that holds says that both parts do; a disjunction that fails, that neither does.
            Some(Condition::Both(x, y)) if sense => {
                self.refine(x, true, b, out);
                self.refine(y, true, b, out);
                return;
            }
            Some(Condition::Either(x, y)) if !sense => {
                self.refine(x, false, b, out);
                self.refine(y, false, b, out);
                return;
            }
            Some(Condition::Not(x)) => return self.refine(x, !sense, b, out),
            _ => return,
        };
        for a in [x, y] {
            let now = self.names.get(&a).copied().unwrap_or(a);
            if self.is_constant(a) {
                continue;
            }
            let data = self.f.value(now).clone();
            self.f.values.push(ValueData { ..data });
            let v = Value(self.f.values.len() as u32 - 1);
            let span = self.f.block(b).span;
            out.push(Inst { op: Op::Refine { a: now, cond, sense }, result: Some(v), span });
            self.rename(a, v);
        }
    }

    fn is_constant(&self, v: Value) -> bool {
        self.f.value(v).range.as_const().is_some()
    }
}
