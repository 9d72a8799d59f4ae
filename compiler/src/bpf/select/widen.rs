//! Where to make the kernel's verifier forget.
//!
//! The verifier walks every path and merges two only when it knows nothing different about them. A position that starts at a known number
//! and grows with each turn of a loop is known exactly on every path; with a branch in the loop the paths then multiply. Adding a word that
//! is zero, but that only the harness knows to be zero, makes such a value unknown, and paths merge again. Nothing is lost: each
//! address is compared with a constant right before its use.
//!
//! Widened are: parameters in which many ways join; of a loop whose body branches and joins again, the parameters that are computed from
//! one turn to the next (never the counter, which shows that the loop ends); what is computed in a loop, where it leaves it. A loop
//! that a hop or a row interrupts is none to the verifier.

use super::uses::{op_of, refined};
use crate::bpf::loops::{Loop, loops, targets};
use crate::fx::FxHashMap;
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::halving::Halving;
use crate::ir::{Addr, BinOp, Block, BlockData, Function, Mode, Op, Size, Terminator, Value};

/// The decisions for one function.
pub struct Widening {
    loops: Vec<Knowledge>,
    /// Parameters that are widened at the start of their block.
    params: Vec<bool>,
    /// What a search has chosen in a turn, where it is widened at the start of the next.
    chosen: Vec<bool>,
    /// Counters, and what they are refined to, that are used by a widened copy.
    copied: FxHashMap<Value, Value>,
    /// The counters' next values.
    next: Vec<bool>,
}

/// A loop with what is known of it.
struct Knowledge {
    shape: Loop,
    /// Whether only one path leads around.
    plain: bool,
    /// Whether each turn compares the counter with a number.
    counted: bool,
    /// Whether a run may come to it in its midst, and bring a counter from memory.
    resumed: bool,
    /// For each value whether the verifier knows something else of it in each turn.
    varies: Vec<bool>,
}

impl Widening {
    /// Decides. Inner loops come before outer ones.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs) -> Widening {
        let mut widening = Widening {
            loops: Vec::new(),
            params: joins_of_many(f, graph, defs),
            chosen: vec![false; f.values.len()],
            copied: FxHashMap::default(),
            next: vec![false; f.values.len()],
        };
        for l in loops(f, graph) {
            let header = f.block(l.header);
            let counter = header.header.map(|h| h.counter);
            if let Some(counter) = counter.filter(|c| mixes(f, &l, &widening.computed_from(f, &l, &[*c]))) {
                widening.copy_counter(f, &l, counter);
            }
            widening.search(f, graph, defs, &l);
            let mut varies = widening.varying(f, &l);
            if branches_and_joins(f, &l) {
                for (i, param) in header.params.iter().enumerate() {
                    let to_header = |b: &Block| f.block(*b).term.targets().filter(|t| t.block == l.header);
                    let mut again = l.backs.iter().flat_map(to_header);
                    let told = |v: Value| varies[v.index()] || v != *param && is_told(f, defs, &l, v);
                    let computed = again.any(|t| told(t.args[i]));
                    widening.params[param.index()] |= computed && Some(*param) != counter;
                }
                varies = widening.varying(f, &l);
            }
            if is_one_way(f, graph, defs, &l) {
                varies = vec![false; f.values.len()];
            }
            let counted = is_counted(f, graph, defs, &l);
            let plain = !branches_and_joins(f, &l);
            let mut backs = graph.predecessors[l.header.index()].iter().filter(|(b, _)| graph.is_back(*b, l.header));
            let resumed = l.entered || backs.any(|(b, _)| !l.backs.contains(b));
            widening.loops.push(Knowledge { shape: l, plain, counted, resumed, varies });
        }
        widening
    }

    /// Whether any value may be widened.
    pub fn any(&self) -> bool {
        let varies = self.loops.iter().any(|l| l.varies.contains(&true));
        varies || self.params.contains(&true) || !self.copied.is_empty()
    }

    /// Whether the parameter is widened at the start of its block.
    pub fn at_start(&self, param: Value) -> bool {
        self.params[param.index()]
    }

    /// Whether the value is what a search chooses in a turn, and differs from turn to turn in nothing that the verifier knows.
    pub fn is_chosen(&self, v: Value) -> bool {
        self.chosen[v.index()]
    }

    /// Whether this is the header of a loop in which no comparison with a number shows that it ends.
    pub fn is_uncounted(&self, header: Block) -> bool {
        self.loops.iter().any(|l| l.shape.header == header && !l.counted)
    }

    /// Whether another loop is inside the one of this header.
    pub fn is_outer(&self, header: Block) -> bool {
        let outer = self.loops.iter().find(|l| l.shape.header == header);
        outer.is_some_and(|o| self.loops.iter().any(|l| l.shape.header != header && o.shape.contains(l.shape.header)))
    }

    /// The counter of which a widened copy stands for this value, except where it is counted.
    pub fn copied_counter(&self, v: Value) -> Option<Value> {
        self.copied.get(&v).copied()
    }

    /// Whether the value is a counter's next one.
    pub fn counts(&self, v: Value) -> bool {
        self.next[v.index()]
    }

    /// Of a search in so many elements as the verifier does not know, each turn is a way out: what it has chosen so far is widened
    /// before, so that all ways out but one are found to be known.
    fn search(&mut self, f: &Function, graph: &Graph, defs: &Defs, l: &Loop) {
        if Halving::of(f, graph, defs, l.header).is_none_or(|h| h.known_turns().is_some()) {
            return;
        }
        for (i, param) in f.block(l.header).params.iter().enumerate() {
            let again = l.backs.iter().flat_map(|b| f.block(*b).term.targets().filter(|t| t.block == l.header));
            for chosen in again.map(|t| t.args[i]).filter(|v| matches!(op_of(f, defs, *v), Some(Op::Select { .. }))) {
                self.params[param.index()] = true;
                self.chosen[chosen.index()] = true;
            }
        }
    }

    fn copy_counter(&mut self, f: &Function, l: &Loop, counter: Value) {
        self.copied.insert(counter, counter);
        let position = f.block(l.header).params.iter().position(|p| *p == counter);
        for (b, data) in f.blocks().filter(|(b, _)| l.contains(*b)) {
            for t in data.term.targets().filter(|t| t.block == l.header && l.contains(b)) {
                if let Some(i) = position {
                    self.next[t.args[i].index()] = true;
                }
            }
            for inst in &data.insts {
                let (Op::Refine { a, .. } | Op::Cast(a) | Op::Reinterpret(a), Some(result)) = (&inst.op, inst.result)
                else {
                    continue;
                };
                if self.copied.get(a) == Some(&counter) {
                    self.copied.insert(result, counter);
                }
            }
        }
    }

    /// Whether a loop is left on this way.
    pub fn leaves(&self, from: Block, to: Block) -> bool {
        self.loops.iter().any(|l| l.shape.contains(from) && !l.shape.contains(to))
    }

    /// Whether the kernel's verifier knows the value in each turn: a counter's multiple, in a loop whose test shows it the counter.
    pub fn is_followed(&self, f: &Function, defs: &Defs, v: Value, at: Block) -> bool {
        let v = refined(f, defs, v);
        match op_of(f, defs, v) {
            Some(Op::Binary { op: BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Shl, mode: Mode::Exact, a, b }) => {
                f.value(*b).range.as_const().is_some() && self.is_followed(f, defs, *a, at)
            }
            Some(_) => false,
            None => self.loops.iter().any(|l| {
                let is_counter = f.block(l.shape.header).header.is_some_and(|h| h.counter == v);
                is_counter && l.counted && l.shape.contains(at) && !self.copied.contains_key(&v)
            }),
        }
    }

    /// Whether the value counts the turns of a loop in which runs begin: there it comes from memory, and may be anything until it is tested.
    pub fn is_resumed(&self, f: &Function, v: Value) -> bool {
        let counter = |l: &Knowledge| f.block(l.shape.header).header.map(|h| h.counter);
        self.loops.iter().any(|l| l.resumed && counter(l) == Some(v))
    }

    /// Whether only one path leads around in the loop of this header.
    pub fn is_plain(&self, header: Block) -> bool {
        self.loops.iter().any(|l| l.shape.header == header && l.plain)
    }

    /// Whether a block belongs to the loop of this header.
    pub fn is_within(&self, b: Block, header: Block) -> bool {
        self.loops.iter().any(|l| l.shape.header == header && l.shape.contains(b))
    }

    /// Whether a block belongs to a loop.
    pub fn is_inside(&self, b: Block) -> bool {
        self.loops.iter().any(|l| l.shape.contains(b))
    }

    /// Whether the value is widened when it goes from one block to another.
    pub fn on_way(&self, v: Value, from: Block, to: Block) -> bool {
        self.loops.iter().any(|l| l.shape.contains(from) && !l.shape.contains(to) && l.varies[v.index()])
    }

    /// The values that differ from turn to turn in what the verifier knows of them: the parameters of the loop's header and of the headers
    /// inside, and what is computed from them. What is loaded from memory is unknown in the same way each time.
    fn varying(&self, f: &Function, l: &Loop) -> Vec<bool> {
        let headers = f.blocks().filter(|(b, data)| l.contains(*b) && data.header.is_some());
        let params = headers.flat_map(|(_, data)| &data.params).copied();
        let seeds: Vec<Value> = params.filter(|p| !self.at_start(*p) && !self.copied.contains_key(p)).collect();
        self.computed_from(f, l, &seeds)
    }

    /// What a loop computes from some values, and they themselves.
    fn computed_from(&self, f: &Function, l: &Loop, seeds: &[Value]) -> Vec<bool> {
        let mut varies = vec![false; f.values.len()];
        seeds.iter().for_each(|v| varies[v.index()] = true);
        let blocks: Vec<Block> = f.blocks().map(|(b, _)| b).filter(|b| l.contains(*b)).collect();
        loop {
            let mut changed = false;
            let mut set =
                |varies: &mut Vec<bool>, v: Value| changed |= !std::mem::replace(&mut varies[v.index()], true);
            for b in &blocks {
                for inst in &f.block(*b).insts {
                    let Some(result) = inst.result else { continue };
                    if operands(&inst.op).into_iter().flatten().any(|v| varies[v.index()]) || self.counts(result) {
                        set(&mut varies, result);
                    }
                }
                for t in f.block(*b).term.targets().filter(|t| l.contains(t.block)) {
                    let params = &f.block(t.block).params;
                    for (param, arg) in params.iter().rev().zip(t.args.iter().rev()) {
                        let known = varies[arg.index()] && !self.on_way(*arg, *b, t.block) && !self.at_start(*param);
                        if known {
                            set(&mut varies, *param);
                        }
                    }
                }
            }
            if !changed {
                return varies;
            }
        }
    }
}

/// Ways that may join in a parameter with different knowledge before it is widened.
const JOINED_MAX: usize = 2;

/// The parameters in which more than a few ways join that the verifier can tell apart, such as the sizes that a varint may have.
fn joins_of_many(f: &Function, graph: &Graph, defs: &Defs) -> Vec<bool> {
    let mut widened = vec![false; f.values.len()];
    // For each parameter what has joined in it.
    let mut joined: Vec<Vec<Known>> = vec![Vec::new(); f.values.len()];
    for b in graph.order.iter().copied().filter(|b| f.block(*b).header.is_none()) {
        for (i, param) in f.block(b).params.iter().enumerate() {
            let mut ways: Vec<Known> = Vec::new();
            for (pred, edge) in &graph.predecessors[b.index()] {
                let Some(t) = f.block(*pred).term.targets().nth(*edge) else { continue };
                // The first parameter of a hop's target has no argument.
                let Some(arg) = (i + t.args.len()).checked_sub(f.block(b).params.len()).map(|i| t.args[i]) else {
                    continue;
                };
                for way in known(f, defs, arg, &joined, &widened) {
                    if !ways.contains(&way) && ways.len() <= JOINED_MAX {
                        ways.push(way);
                    }
                }
            }
            widened[param.index()] = ways.len() > JOINED_MAX;
            joined[param.index()] = ways;
        }
    }
    widened
}

/// What the verifier may know of a value on a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Number(i128),
    /// Something that follows from how it is computed.
    Computed(Value),
}

fn known(f: &Function, defs: &Defs, v: Value, joined: &[Vec<Known>], widened: &[bool]) -> Vec<Known> {
    if let Some(n) = f.value(v).range.as_const() {
        return vec![Known::Number(n)];
    }
    match defs.get(v) {
        Some(Def::Param(..)) if widened[v.index()] => Vec::new(),
        Some(Def::Param(..)) if joined[v.index()].is_empty() => vec![Known::Computed(v)],
        Some(Def::Param(..)) => joined[v.index()].clone(),
        Some(Def::Inst(b, i)) => match &f.block(b).insts[i].op {
            Op::Load { .. } | Op::Varint { .. } | Op::Decoded(_) | Op::Arg(_) | Op::ArgLen(_) => Vec::new(),
            Op::Cast(a) | Op::Reinterpret(a) | Op::Refine { a, .. } => known(f, defs, *a, joined, widened),
            _ => vec![Known::Computed(v)],
        },
        None => Vec::new(),
    }
}

/// The operands from which the verifier computes what it knows of a result.
fn operands(op: &Op) -> [Option<Value>; 2] {
    match op {
        Op::Binary { a, b, .. } | Op::Compare { a, b, .. } | Op::Select { a, b, .. } => [Some(*a), Some(*b)],
        Op::Cast(a) | Op::Reinterpret(a) | Op::Extend { a, .. } | Op::Refine { a, .. } | Op::Check { a, .. } => {
            [Some(*a), None]
        }
        Op::Const(_) | Op::Arg(_) | Op::ArgLen(_) => [None; 2],
        Op::Load { .. } | Op::Varint { .. } | Op::Decoded(_) => [None; 2],
        Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. } => [None; 2],
    }
}

/// Whether a branch in the loop tells the verifier something of the value, and both ways stay in the loop.
fn is_told(f: &Function, defs: &Defs, l: &Loop, v: Value) -> bool {
    let root = refined(f, defs, v);
    f.blocks().filter(|(b, _)| l.contains(*b)).any(|(_, data)| {
        let Terminator::Branch { cond, .. } = &data.term else { return false };
        let Some(Op::Compare { a, b, .. }) = op_of(f, defs, *cond) else { return false };
        targets(&data.term).all(|t| l.contains(t)) && [*a, *b].into_iter().any(|v| refined(f, defs, v) == root)
    })
}

/// Whether the verifier has only one way through: a search in a known number of elements, in which nothing parts.
fn is_one_way(f: &Function, graph: &Graph, defs: &Defs, l: &Loop) -> bool {
    let known = Halving::of(f, graph, defs, l.header).is_some_and(|h| h.known_turns().is_some());
    // That which the header tests, and that of the counter, which is not tested.
    let ways_out = graph.order.iter().filter(|b| l.contains(**b)).flat_map(|b| targets(&f.block(*b).term));
    known && ways_out.filter(|t| !l.contains(*t)).count() <= 2 && !branches_and_joins(f, l)
}

/// Whether each turn compares the counter with a number, which shows the verifier that the loop ends.
fn is_counted(f: &Function, graph: &Graph, defs: &Defs, l: &Loop) -> bool {
    let counter = f.block(l.header).header.map(|h| h.counter);
    let compares = |b: Block| {
        let Terminator::Branch { cond, .. } = &f.block(b).term else { return false };
        let Some(Op::Compare { a, b, .. }) = op_of(f, defs, *cond) else { return false };
        let is_counter = |v: Value| Some(refined(f, defs, v)) == counter;
        let is_number = |v: Value| f.value(v).range.as_const().is_some();
        (is_counter(*a) && is_number(*b)) || (is_number(*a) && is_counter(*b))
    };
    let each_turn = |b: Block| l.backs.iter().all(|back| graph.dominates(b, *back));
    graph.order.iter().any(|b| l.contains(*b) && compares(*b) && each_turn(*b))
}

/// Whether something computed from the counter is added to something that is not known: from kernel 6.10 on, the bounds of such a sum
/// tell the verifier about what it was added to, and so in each turn something else.
fn mixes(f: &Function, l: &Loop, counted: &[bool]) -> bool {
    let known = |v: Value| f.value(v).range.as_const().is_some();
    let mixed = |a: Value, b: Value| !known(a) && !known(b) && counted[a.index()] != counted[b.index()];
    let place = |addr: &Addr| matches!((addr.base, addr.index), (Some(a), Some(b)) if mixed(a, b));
    let inst = |op: &Op| match op {
        Op::Binary { op: BinOp::Add | BinOp::Sub, a, b, .. } => mixed(*a, *b),
        Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Store { addr, .. } => place(addr),
        _ => false,
    };
    f.blocks().any(|(b, data)| l.contains(b) && data.insts.iter().any(|i| inst(&i.op)))
}

/// Whether more than one path leads around.
fn branches_and_joins(f: &Function, l: &Loop) -> bool {
    let branches = |data: &BlockData| {
        let inside = targets(&data.term).filter(|t| l.contains(*t)).count();
        let copies = data.insts.iter().any(|i| matches!(&i.op, Op::Copy { len: Size::Value(_), .. }));
        inside > 1 || copies
    };
    f.blocks().any(|(b, data)| l.contains(b) && branches(data))
}
