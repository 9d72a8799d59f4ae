//! Reads that never begin where a hook can read: their offsets' low bits.
//!
//! A hook may read whole sectors only. Whether an offset that comes from the disk is a multiple of a sector shows when the walk runs, and is
//! tested there; but `8 + 512 * i` never is, whatever `i`, and such a read is refused beforehand.

use crate::ir::graph::Graph;
use crate::ir::{BinOp, Block, Function, Op, Terminator, Value};

/// What is known of a word: so many low bits, and what they are.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Low {
    bits: u32,
    word: u64,
}

impl Low {
    const UNKNOWN: Low = Low { bits: 0, word: 0 };

    fn new(bits: u32, word: u64) -> Low {
        let bits = bits.min(64);
        Low { bits, word: if bits == 64 { word } else { word & ((1 << bits) - 1) } }
    }

    /// What is known of a word that is one or the other.
    fn join(self, other: Low) -> Low {
        Low::new(self.bits.min(other.bits).min((self.word ^ other.word).trailing_zeros()), self.word)
    }

    /// A result whose low bits follow from as many of both.
    fn with(self, other: Low, f: impl Fn(u64, u64) -> u64) -> Low {
        Low::new(self.bits.min(other.bits), f(self.word, other.word))
    }

    fn number(self) -> Option<u64> {
        (self.bits == 64).then_some(self.word)
    }
}

/// A read that never begins at a multiple of `align`, a power of two: how many bytes behind one, and the block that it ends. The first in the order
/// of the code.
pub fn misaligned(f: &Function, align: u64) -> Option<(u64, Block)> {
    let graph = Graph::of(f);
    let low = lows(f, &graph);
    graph.order.iter().find_map(|b| {
        let Terminator::Hop { offset, .. } = &f.block(*b).term else { return None };
        let offset = low[offset.index()].unwrap_or(Low::UNKNOWN);
        let behind = offset.word & (align - 1) & if offset.bits == 64 { u64::MAX } else { (1 << offset.bits) - 1 };
        (behind != 0).then_some((behind, *b))
    })
}

/// For each value what is known of it; none where nothing comes to it.
fn lows(f: &Function, graph: &Graph) -> Vec<Option<Low>> {
    let mut low: Vec<Option<Low>> = vec![None; f.values.len()];
    // Bits become fewer from round to round, until they stay.
    loop {
        let mut changed = false;
        for b in &graph.order {
            let data = f.block(*b);
            let params = data.params.iter().enumerate().map(|(i, v)| (*v, of_param(f, graph, &low, *b, i)));
            let params: Vec<_> = params.collect();
            for (v, new) in params {
                changed |= std::mem::replace(&mut low[v.index()], new) != new;
            }
            for inst in &data.insts {
                let Some(v) = inst.result else { continue };
                let new = match f.value(v).range.as_const() {
                    Some(n) => Some(Low::new(64, n as u64)),
                    None => of_op(&low, &inst.op),
                };
                changed |= std::mem::replace(&mut low[v.index()], new) != new;
            }
        }
        if !changed {
            return low;
        }
    }
}

fn of_param(f: &Function, graph: &Graph, low: &[Option<Low>], b: Block, param: usize) -> Option<Low> {
    let v = f.block(b).params[param];
    if let Some(n) = f.value(v).range.as_const() {
        return Some(Low::new(64, n as u64));
    }
    let mut joined: Option<Low> = None;
    for (from, edge) in &graph.predecessors[b.index()] {
        let term = &f.block(*from).term;
        let target = term.targets().nth(*edge)?;
        // The first parameter of a hop's target is the length that was read.
        let Some(place) = param.checked_sub(usize::from(matches!(term, Terminator::Hop { .. }))) else {
            return Some(Low::UNKNOWN);
        };
        let Some(new) = low[target.args[place].index()] else { continue };
        joined = Some(joined.map_or(new, |old| old.join(new)));
    }
    joined
}

fn of_op(low: &[Option<Low>], op: &Op) -> Option<Low> {
    let of = |v: Value| low[v.index()];
    Some(match op {
        Op::Binary { op, a, b, .. } => {
            let (a, b) = (of(*a)?, of(*b)?);
            match op {
                BinOp::Add => a.with(b, u64::wrapping_add),
                BinOp::Sub => a.with(b, u64::wrapping_sub),
                BinOp::Xor => a.with(b, |a, b| a ^ b),
                BinOp::Or => a.with(b, |a, b| a | b),
                BinOp::And => masked(a, b).unwrap_or_else(|| a.with(b, |a, b| a & b)),
                BinOp::Mul => match (a.number(), b.number()) {
                    (_, Some(n)) => scaled(a, n),
                    (Some(n), _) => scaled(b, n),
                    (None, None) => a.with(b, u64::wrapping_mul),
                },
                BinOp::Shl => match b.number() {
                    Some(n @ 0..=63) => scaled(a, 1 << n),
                    _ => Low::UNKNOWN,
                },
                BinOp::Div | BinOp::Rem | BinOp::Shr => Low::UNKNOWN,
            }
        }
        Op::Select { a, b, .. } => of(*a)?.join(of(*b)?),
        Op::Cast(a) | Op::Reinterpret(a) | Op::Refine { a, .. } | Op::Check { a, .. } => of(*a)?,
        Op::Extend { bits, a } => {
            let a = of(*a)?;
            Low::new(a.bits.min((*bits).into()), a.word)
        }
        _ => Low::UNKNOWN,
    })
}

/// A product with a number: its low zeroes are known, whatever the factor.
fn scaled(a: Low, n: u64) -> Low {
    if n == 0 { Low::new(64, 0) } else { Low::new(a.bits + n.trailing_zeros(), a.word.wrapping_mul(n)) }
}

/// What a number masks: its low zeroes are known.
fn masked(a: Low, b: Low) -> Option<Low> {
    let (mask, other) = match (a.number(), b.number()) {
        (_, Some(n)) => (n, a),
        (Some(n), _) => (n, b),
        (None, None) => return None,
    };
    Some(Low::new(other.bits.max(mask.trailing_zeros()), other.word & mask))
}
