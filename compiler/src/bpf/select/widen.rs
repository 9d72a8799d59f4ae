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

use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::{Block, Function, Op, Size, Terminator, Value};

/// The decisions for one function.
pub struct Widening {
    loops: Vec<Loop>,
    /// Parameters that are widened at the start of their block.
    params: Vec<bool>,
}

struct Loop {
    header: Block,
    /// For each block whether it belongs to the loop.
    blocks: Vec<bool>,
    /// For each value whether the verifier knows something else of it in each turn.
    varies: Vec<bool>,
}

impl Widening {
    /// Decides. Inner loops come before outer ones.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs) -> Widening {
        let mut loops: Vec<Loop> = f
            .blocks()
            .filter(|(b, data)| data.header.is_some() && graph.is_reached(*b))
            .filter_map(|(h, _)| Loop::at(f, graph, h))
            .collect();
        loops.sort_by_key(|l| l.blocks.iter().filter(|b| **b).count());
        let mut widening = Widening { loops: Vec::new(), params: joins_of_many(f, graph, defs) };
        for mut l in loops {
            let header = f.block(l.header);
            let counter = header.header.map(|h| h.counter);
            l.varies = widening.varying(f, &l);
            if l.branches_and_joins(f) {
                for (i, param) in header.params.iter().enumerate() {
                    let again = |b: Block| {
                        l.contains(b)
                            && f.block(b).term.targets().any(|t| t.block == l.header && l.varies[t.args[i].index()])
                    };
                    widening.params[param.index()] |= Some(*param) != counter && f.blocks().any(|(b, _)| again(b));
                }
                l.varies = widening.varying(f, &l);
            }
            widening.loops.push(l);
        }
        widening
    }

    /// Whether any value may be widened.
    pub fn any(&self) -> bool {
        !self.loops.is_empty() || self.params.contains(&true)
    }

    /// Whether the parameter is widened at the start of its block.
    pub fn at_start(&self, param: Value) -> bool {
        self.params[param.index()]
    }

    /// Whether a loop is left on this way.
    pub fn leaves(&self, from: Block, to: Block) -> bool {
        self.loops.iter().any(|l| l.contains(from) && !l.contains(to))
    }

    /// Whether the value is widened when it goes from one block to another.
    pub fn on_way(&self, v: Value, from: Block, to: Block) -> bool {
        self.loops.iter().any(|l| l.contains(from) && !l.contains(to) && l.varies[v.index()])
    }

    /// The values that differ from turn to turn in what the verifier knows of them: the parameters of the loop's header and of the headers
    /// inside, and what is computed from them. What is loaded from memory is unknown in the same way each time.
    fn varying(&self, f: &Function, l: &Loop) -> Vec<bool> {
        let mut varies = vec![false; f.values.len()];
        let blocks: Vec<Block> = f.blocks().map(|(b, _)| b).filter(|b| l.contains(*b)).collect();
        for param in blocks.iter().filter(|b| f.block(**b).header.is_some()).flat_map(|b| &f.block(*b).params) {
            varies[param.index()] = !self.at_start(*param);
        }
        loop {
            let mut changed = false;
            let mut set =
                |varies: &mut Vec<bool>, v: Value| changed |= !std::mem::replace(&mut varies[v.index()], true);
            for b in &blocks {
                for inst in &f.block(*b).insts {
                    let Some(result) = inst.result else { continue };
                    if operands(&inst.op).into_iter().flatten().any(|v| varies[v.index()]) {
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
            Op::Load { .. } | Op::Arg(_) | Op::ArgLen(_) => Vec::new(),
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
        Op::Const(_) | Op::Arg(_) | Op::ArgLen(_) | Op::Load { .. } => [None; 2],
        Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. } => [None; 2],
    }
}

/// The targets that one run of the program reaches.
fn targets(term: &Terminator) -> impl Iterator<Item = Block> {
    let suspends = matches!(term, Terminator::Hop { .. } | Terminator::Emit { .. });
    term.targets().map(|t| t.block).filter(move |_| !suspends)
}

impl Loop {
    /// The loop of this header; none when each way back is interrupted.
    fn at(f: &Function, graph: &Graph, header: Block) -> Option<Loop> {
        let before = |b: Block| {
            let edges = graph.predecessors[b.index()].iter().map(|(p, _)| *p);
            edges.filter(|p| targets(&f.block(*p).term).any(|t| t == b)).collect::<Vec<_>>()
        };
        let mut work = before(header);
        work.retain(|p| graph.is_back(*p, header));
        if work.is_empty() {
            return None;
        }
        let mut blocks = vec![false; f.blocks.len()];
        blocks[header.index()] = true;
        while let Some(b) = work.pop() {
            if !std::mem::replace(&mut blocks[b.index()], true) {
                work.extend(before(b));
            }
        }
        Some(Loop { header, blocks, varies: Vec::new() })
    }

    fn contains(&self, b: Block) -> bool {
        self.blocks[b.index()]
    }

    /// Whether more than one path leads around.
    fn branches_and_joins(&self, f: &Function) -> bool {
        let branches = |data: &crate::ir::BlockData| {
            let inside = targets(&data.term).filter(|t| self.contains(*t)).count();
            let copies = data.insts.iter().any(|i| matches!(&i.op, Op::Copy { len: Size::Value(_), .. }));
            inside > 1 || copies
        };
        f.blocks().any(|(b, data)| self.contains(b) && branches(data))
    }
}
