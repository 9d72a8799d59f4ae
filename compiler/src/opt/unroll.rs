//! Short loops with a known number of turns make several of them at once, and their sums go in four chains.
//!
//! A turn of a sum over 64 words is a load and an addition, and as many instructions again for counting, testing and the address; the
//! additions wait for one another. With 32 words a turn the verifier walks through 0.26 of what it did, and the CPU adds four
//! words at a time (walk D).

use super::{new_value, number};
use crate::fx::{FxHashMap, FxHashSet};
use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::{BinOp, Block, CmpOp, Function, Inst, Mode, Op, Range, Terminator, Ty, Value};

/// What one turn may be made of afterwards: loads and arithmetic that depends on data.
const WORK_MAX: u64 = 64;
/// Chains that are added up side by side: what a CPU does at once.
const CHAINS: usize = 4;

/// Unrolls what can be.
pub fn unroll(f: &mut Function) {
    if f.blocks.iter().all(|b| b.header.is_none()) {
        return;
    }
    let graph = Graph::of(f);
    let mut defs = Defs::of(f);
    for header in &graph.order {
        if f.block(*header).header.is_some()
            && let Some(l) = Short::of(f, &graph, &defs, *header)
        {
            l.unroll(f);
            split_sums(f, l.body);
            defs = Defs::of(f);
        }
    }
}

/// A loop of two blocks: one tests the counter against a number, the other works and goes back.
struct Short {
    header: Block,
    body: Block,
    counter: Value,
    /// The counter's test.
    cond: Value,
    turns: u64,
    /// How many turns become one.
    factor: u64,
}

impl Short {
    fn of(f: &Function, graph: &Graph, defs: &Defs, header: Block) -> Option<Short> {
        let info = f.block(header).header?;
        let Terminator::Branch { cond, then, other } = &f.block(header).term else { return None };
        let body = then.block;
        let Op::Compare { op: CmpOp::Lt, a, b } = defs.op(f, *cond)? else { return None };
        let turns = u64::try_from(f.value(*b).range.as_const()?).ok()?;
        let back = match &f.block(body).term {
            Terminator::Jump(t) if t.block == header => t,
            _ => return None,
        };
        let simple = *a == info.counter
            && then.args.is_empty()
            && f.block(body).params.is_empty()
            && graph.predecessors[body.index()].len() == 1
            && other.block != body
            && f.block(header).insts.iter().all(|i| matches!(i.op, Op::Const(_) | Op::Compare { .. }))
            && back.args.len() == f.block(header).params.len()
            && turns <= info.most;
        if !simple {
            return None;
        }
        let work: u64 = f.block(body).insts.iter().map(|i| weight(&i.op)).sum::<Option<u64>>()?;
        let fits = |n: &u64| turns % n == 0 && work * n <= WORK_MAX && *n < turns;
        let factor = [32, 16, 8, 4, 2].into_iter().find(fits)?;
        if uses_outside(f, info.counter, header, body) {
            return None;
        }
        Some(Short { header, body, counter: info.counter, cond: *cond, turns, factor })
    }

    fn unroll(&self, f: &mut Function) {
        let old = f.block(self.body).clone();
        let span = old.span;
        let rounds = self.turns / self.factor;
        let mut insts = Vec::new();
        let limit = number(f, Ty::U64, rounds.into(), span);
        self.lower_bound(f, limit, rounds);
        // The round's number, below the bound in here, and its first turn.
        let round = refined(f, &old.insts, self, rounds, &mut insts);
        let scale = number(f, Ty::U64, self.factor.into(), span);
        let last = i128::from(self.turns - self.factor);
        let first = binary(f, BinOp::Mul, round, &scale, Range::new(0, last));
        let first_turn = first.result.expect("arithmetic makes a value");
        insts.extend([scale, first]);
        let Terminator::Jump(back) = &old.term else { unreachable!("the body goes back") };
        let params = f.block(self.header).params.clone();
        let mut now: FxHashMap<Value, Value> = FxHashMap::default();
        for k in 0..self.factor {
            let ahead = number(f, Ty::U64, k.into(), span);
            let turn = binary(f, BinOp::Add, first_turn, &ahead, Range::new(k.into(), last + i128::from(k)));
            now.insert(self.counter, turn.result.expect("arithmetic makes a value"));
            insts.extend([ahead, turn]);
            self.copy(f, &old.insts, &mut now, &mut insts);
            let next: Vec<Value> = back.args.iter().map(|v| now.get(v).copied().unwrap_or(*v)).collect();
            now = params.iter().copied().zip(next).collect();
        }
        let one = number(f, Ty::U64, 1, span);
        let again = binary(f, BinOp::Add, round, &one, Range::new(1, rounds.into()));
        now.insert(self.counter, again.result.expect("arithmetic makes a value"));
        insts.extend([one, again]);
        let body = &mut f.blocks[self.body.index()];
        body.insts = insts;
        if let Terminator::Jump(t) = &mut body.term {
            t.args = params.iter().map(|p| now[p]).collect();
        }
    }

    /// One turn's operations, with what they use as it is in this turn.
    fn copy(&self, f: &mut Function, old: &[Inst], now: &mut FxHashMap<Value, Value>, insts: &mut Vec<Inst>) {
        for inst in old {
            let Some(result) = inst.result else { unreachable!("a short loop only computes") };
            if let Op::Refine { a, .. } = inst.op {
                now.insert(result, now.get(&a).copied().unwrap_or(a));
                continue;
            }
            let mut new = inst.clone();
            new.op.map_uses(|v| now.get(&v).copied().unwrap_or(v));
            let mut data = f.value(result).clone();
            // Of the turn's number more is known than of the counter's.
            let range = range::of(f, &Defs::default(), &new.op, data.ty).meet(data.range);
            data.range = if range.is_empty() { data.range } else { range };
            f.values.push(data);
            let v = Value(f.values.len() as u32 - 1);
            new.result = Some(v);
            now.insert(result, v);
            insts.push(new);
        }
    }

    fn lower_bound(&self, f: &mut Function, limit: Inst, rounds: u64) {
        let v = limit.result;
        let insts = &mut f.blocks[self.header.index()].insts;
        let at = insts.iter().position(|i| i.result == Some(self.cond)).expect("the header tests the counter");
        if let (Op::Compare { b, .. }, Some(v)) = (&mut insts[at].op, v) {
            *b = v;
        }
        insts.insert(at, limit);
        if let Some(info) = &mut f.blocks[self.header.index()].header {
            info.most = rounds;
        }
        f.values[self.counter.index()].range = Range::new(0, rounds.into());
    }
}

/// The counter as it is known below its bound; the body has a refinement of it, or gets one.
fn refined(f: &mut Function, old: &[Inst], l: &Short, rounds: u64, insts: &mut Vec<Inst>) -> Value {
    let span = old.first().map_or(f.span, |i| i.span);
    let v = new_value(f, Ty::U64, Range::new(0, i128::from(rounds) - 1), span);
    insts.push(Inst { op: Op::Refine { a: l.counter, cond: l.cond, sense: true }, result: Some(v), span });
    v
}

fn binary(f: &mut Function, op: BinOp, a: Value, b: &Inst, range: Range) -> Inst {
    let b_value = b.result.expect("a number is a value");
    let v = new_value(f, Ty::U64, range, b.span);
    Inst { op: Op::Binary { op, mode: Mode::Exact, a, b: b_value }, result: Some(v), span: b.span }
}

/// How much an operation counts; none if it must not be repeated in one turn.
fn weight(op: &Op) -> Option<u64> {
    match op {
        Op::Load { .. } | Op::Extend { .. } | Op::Select { .. } | Op::Compare { .. } => Some(1),
        Op::Binary { mode: Mode::Wrap, .. } => Some(1),
        // What is computed from the counter goes into displacements.
        Op::Binary { op: BinOp::Add | BinOp::Mul, mode: Mode::Exact, .. } => Some(0),
        Op::Binary { mode: Mode::Exact, .. } => Some(1),
        Op::Const(_) | Op::Refine { .. } | Op::Cast(_) | Op::Reinterpret(_) => Some(0),
        _ => None,
    }
}

/// Whether anything but the loop uses the counter.
fn uses_outside(f: &Function, counter: Value, header: Block, body: Block) -> bool {
    let mut found = false;
    for (_, data) in f.blocks().filter(|(b, _)| *b != header && *b != body) {
        data.insts.iter().for_each(|i| i.op.for_each_use(|v| found |= v == counter));
        data.term.for_each_use(|v| found |= v == counter);
    }
    found
}

/// Sums of which only the last is used are made of four, side by side: addition modulo 2^64 knows no order.
fn split_sums(f: &mut Function, body: Block) {
    let sums: FxHashMap<Value, (Value, Value)> =
        f.block(body).insts.iter().filter_map(|i| Some((i.result?, wrapped_sum(&i.op)?))).collect();
    if sums.len() <= CHAINS {
        return;
    }
    let mut uses = vec![0; f.values.len()];
    for b in &f.blocks {
        b.insts.iter().for_each(|i| i.op.for_each_use(|v| uses[v.index()] += 1));
        b.term.for_each_use(|v| uses[v.index()] += 1);
    }
    let is_inner = |v: Value| sums.contains_key(&v) && uses[v.index()] == 1;
    let used_by_sum: Vec<Value> = sums.values().flat_map(|(a, _)| [*a]).collect();
    let last: Vec<Value> = f
        .block(body)
        .insts
        .iter()
        .filter_map(|i| i.result)
        .filter(|v| sums.contains_key(v) && !(is_inner(*v) && used_by_sum.contains(v)))
        .collect();
    for end in last {
        // The chain `((start + x0) + x1) + …`, from its end back.
        let mut parts = Vec::new();
        let mut at = end;
        while let Some((a, b)) = sums.get(&at).copied().filter(|_| at == end || is_inner(at)) {
            parts.push((at, b));
            at = a;
        }
        if parts.len() > CHAINS {
            parts.reverse();
            rebuild(f, body, at, &parts);
        }
    }
}

fn wrapped_sum(op: &Op) -> Option<(Value, Value)> {
    match op {
        Op::Binary { op: BinOp::Add, mode: Mode::Wrap, a, b } => Some((*a, *b)),
        _ => None,
    }
}

/// The first additions begin the chains, each later one goes on with its own, and the last ones bring them together.
fn rebuild(f: &mut Function, body: Block, start: Value, parts: &[(Value, Value)]) {
    let mut chains: Vec<Value> = parts[..CHAINS].iter().map(|(_, x)| *x).collect();
    let n = parts.len();
    // Operands of each addition, in order: there are as many as before.
    let mut operands: Vec<(Value, Value)> = Vec::with_capacity(n);
    for (i, (_, x)) in parts[CHAINS..].iter().enumerate() {
        let sum = parts[i].0;
        operands.push((chains[i % CHAINS], *x));
        chains[i % CHAINS] = sum;
    }
    let mut rest = chains.into_iter();
    let mut total = rest.next().expect("there are four chains");
    for chain in rest {
        operands.push((total, chain));
        total = parts[operands.len() - 1].0;
    }
    // The one that comes from the turn before takes the rest up, in its register.
    operands.push((start, total));
    let order = std::mem::take(&mut f.blocks[body.index()].insts);
    let mut old: FxHashMap<Value, Inst> = FxHashMap::default();
    let mut missing: FxHashSet<Value> = order.iter().filter_map(|i| i.result).collect();
    let mut out = Vec::with_capacity(order.len());
    let mut done = 0;
    for inst in order {
        let result = inst.result;
        let sum = result.filter(|v| parts.iter().any(|(sum, _)| sum == v));
        match sum {
            Some(v) => {
                old.insert(v, inst);
            }
            None => {
                result.iter().for_each(|v| _ = missing.remove(v));
                out.push(inst);
            }
        }
        // An addition stands behind the last of its operands; the final ones where the last one stood.
        while done < n {
            let ((a, b), (v, _)) = (operands[done], parts[done]);
            let last = done >= n - CHAINS;
            if missing.contains(&a) || missing.contains(&b) || !old.contains_key(&v) && last {
                break;
            }
            let span = old.get(&v).map_or(f.value(v).span, |i| i.span);
            out.push(Inst { op: Op::Binary { op: BinOp::Add, mode: Mode::Wrap, a, b }, result: Some(v), span });
            missing.remove(&v);
            done += 1;
        }
    }
    f.blocks[body.index()].insts = out;
}
