//! Differences of two values: is `a - b <= c` on every run?
//!
//! On demand, from the goal back to definitions, as in ABCD (Bodík, Gupta, Sarkar, PLDI 2000, section 4): refinements give edges
//! `x - y <= k`, additions of constants shift the goal, joins need it on all edges. A goal that comes back to itself around a loop holds by
//! induction, unless it became harder on the way.

use super::ranges::edge_value;
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::{BinOp, CmpOp, Function, Mode, Op, Size, Value};
use std::collections::HashMap;

/// Enough for the programs of the standard library, little enough to keep a proof under a millisecond.
const FUEL: u32 = 4_000;
const DEPTH_MAX: u32 = 48;

/// Answers questions about one function.
pub struct Relations<'f> {
    f: &'f Function,
    graph: &'f Graph,
    defs: Defs,
    fuel: u32,
    /// Goals being proved: the `c` with which they began.
    open: HashMap<(Value, Value), i128>,
}

impl<'f> Relations<'f> {
    /// For a function and its graph.
    pub fn new(f: &'f Function, graph: &'f Graph) -> Self {
        Relations { f, graph, defs: Defs::of(f), fuel: 0, open: HashMap::new() }
    }

    /// Whether a comparison is always true.
    pub fn holds(&mut self, cond: Value) -> bool {
        let Some(Op::Compare { op, a, b }) = self.defs.op(self.f, cond).cloned() else { return false };
        self.fuel = FUEL;
        match op {
            CmpOp::Lt => self.at_most(a, b, -1),
            CmpOp::Le => self.at_most(a, b, 0),
            CmpOp::Ne => self.at_most(a, b, -1) || self.at_most(b, a, -1),
            CmpOp::Eq => self.at_most(a, b, 0) && self.at_most(b, a, 0),
        }
    }

    fn at_most(&mut self, a: Value, b: Value, c: i128) -> bool {
        self.open.clear();
        self.prove(a, b, c, 0)
    }

    /// `a - b <= c`?
    fn prove(&mut self, a: Value, b: Value, c: i128, depth: u32) -> bool {
        let (ra, rb) = (self.f.value(a).range, self.f.value(b).range);
        if ra.is_empty() || rb.is_empty() || ra.hi - rb.lo <= c || (a == b && c >= 0) {
            return true;
        }
        if self.fuel == 0 || depth > DEPTH_MAX {
            return false;
        }
        self.fuel -= 1;
        if let Some(began) = self.open.get(&(a, b)) {
            // Around a loop: by induction, if the goal is no harder than where it began.
            return c >= *began;
        }
        self.open.insert((a, b), c);
        let found = self.by_left(a, b, c, depth + 1) || self.by_right(a, b, c, depth + 1);
        self.open.remove(&(a, b));
        found
    }

    /// By what `a` is made of: values that it is at most.
    fn by_left(&mut self, a: Value, b: Value, c: i128, depth: u32) -> bool {
        let range = |v: Value| self.f.value(v).range;
        match self.defs.get(a) {
            Some(Def::Param(..)) => self.over_edges(a, b, c, depth),
            Some(Def::Inst(block, i)) => match self.f.block(block).insts[i].op.clone() {
                Op::Refine { a: x, cond, sense } => {
                    if let Some((y, k)) = self.below(x, cond, sense)
                        && self.prove(y, b, c - k, depth)
                    {
                        return true;
                    }
                    self.prove(x, b, c, depth)
                }
                Op::Cast(x) => self.prove(x, b, c, depth),
                Op::Select { a: x, b: y, .. } => self.prove(x, b, c, depth) && self.prove(y, b, c, depth),
                Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Checked(_), a: x, b: y } => {
                    let (hx, hy) = (range(x).hi, range(y).hi);
                    self.prove(x, b, c - hy, depth) || self.prove(y, b, c - hx, depth)
                }
                Op::Binary { op: BinOp::Sub, mode: Mode::Exact | Mode::Checked(_), a: x, b: y } => {
                    let least = range(y).lo;
                    self.prove(x, b, c + least, depth)
                }
                Op::Binary { op: BinOp::Shr | BinOp::Div, a: x, .. } if range(x).lo >= 0 => self.prove(x, b, c, depth),
                Op::Binary { op: BinOp::And, a: x, b: y, .. } if range(x).lo >= 0 && range(y).lo >= 0 => {
                    self.prove(x, b, c, depth) || self.prove(y, b, c, depth)
                }
                Op::Binary { op: BinOp::Rem, a: x, b: y, .. } if range(x).lo >= 0 && range(y).lo > 0 => {
                    self.prove(x, b, c, depth) || self.prove(y, b, c + 1, depth)
                }
                Op::Check { a: x, size, limit, .. } => {
                    let least = match size {
                        Size::Const(n) => i128::from(n),
                        Size::Value(v) => range(v).lo,
                    };
                    self.prove(limit, b, c + least, depth) || self.prove(x, b, c, depth)
                }
                _ => false,
            },
            None => false,
        }
    }

    /// By what `b` is made of: values that it is at least.
    fn by_right(&mut self, a: Value, b: Value, c: i128, depth: u32) -> bool {
        let range = |v: Value| self.f.value(v).range;
        match self.defs.op(self.f, b).cloned() {
            Some(Op::Refine { a: x, cond, sense }) => {
                if let Some((y, k)) = self.above(x, cond, sense)
                    && self.prove(a, y, c - k, depth)
                {
                    return true;
                }
                self.prove(a, x, c, depth)
            }
            Some(Op::Cast(x)) => self.prove(a, x, c, depth),
            Some(Op::Select { a: x, b: y, .. }) => self.prove(a, x, c, depth) && self.prove(a, y, c, depth),
            Some(Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Checked(_), a: x, b: y }) => {
                let (lx, ly) = (range(x).lo, range(y).lo);
                self.prove(a, x, c + ly, depth) || self.prove(a, y, c + lx, depth)
            }
            Some(Op::Binary { op: BinOp::Sub, mode: Mode::Exact | Mode::Checked(_), a: x, b: y }) => {
                let most = range(y).hi;
                self.prove(a, x, c - most, depth)
            }
            Some(Op::Check { a: x, .. }) => self.prove(a, x, c, depth),
            _ => false,
        }
    }

    /// What a condition says `x` is at most: `x - y <= k`.
    fn below(&self, x: Value, cond: Value, sense: bool) -> Option<(Value, i128)> {
        let Some(Op::Compare { op, a, b }) = self.defs.op(self.f, cond) else { return None };
        let root = self.defs.root(self.f, x);
        let is_left = self.defs.root(self.f, *a) == root;
        if !is_left && self.defs.root(self.f, *b) != root {
            return None;
        }
        match (op, sense, is_left) {
            (CmpOp::Lt, true, true) => Some((*b, -1)),
            (CmpOp::Le, true, true) => Some((*b, 0)),
            (CmpOp::Lt, false, false) => Some((*a, 0)),
            (CmpOp::Le, false, false) => Some((*a, -1)),
            (CmpOp::Eq, true, true) | (CmpOp::Ne, false, true) => Some((*b, 0)),
            (CmpOp::Eq, true, false) | (CmpOp::Ne, false, false) => Some((*a, 0)),
            _ => None,
        }
    }

    /// What a condition says `x` is at least: `y - x <= k`.
    fn above(&self, x: Value, cond: Value, sense: bool) -> Option<(Value, i128)> {
        let Some(Op::Compare { op, a, b }) = self.defs.op(self.f, cond) else { return None };
        let root = self.defs.root(self.f, x);
        let is_left = self.defs.root(self.f, *a) == root;
        if !is_left && self.defs.root(self.f, *b) != root {
            return None;
        }
        match (op, sense, is_left) {
            (CmpOp::Lt, true, false) => Some((*a, -1)),
            (CmpOp::Le, true, false) => Some((*a, 0)),
            (CmpOp::Lt, false, true) => Some((*b, 0)),
            (CmpOp::Le, false, true) => Some((*b, -1)),
            (CmpOp::Eq, true, true) | (CmpOp::Ne, false, true) => Some((*b, 0)),
            (CmpOp::Eq, true, false) | (CmpOp::Ne, false, false) => Some((*a, 0)),
            _ => None,
        }
    }

    /// A parameter is at most what holds for the value on every edge in.
    fn over_edges(&mut self, a: Value, b: Value, c: i128, depth: u32) -> bool {
        let Some(Def::Param(block, i)) = self.defs.get(a) else { return false };
        let pair = match self.defs.get(b) {
            Some(Def::Param(other, j)) if other == block => Some(j),
            Some(def) if def.block() != block && self.graph.dominates(def.block(), block) => None,
            _ => return false,
        };
        let edges = self.graph.predecessors[block.index()].clone();
        edges.into_iter().all(|(p, t)| match edge_value(self.f, p, t, i) {
            Some(x) => {
                let y = match pair {
                    Some(j) => edge_value(self.f, p, t, j),
                    None => Some(b),
                };
                y.is_some_and(|y| self.prove(x, y, c, depth))
            }
            None => true,
        })
    }
}
