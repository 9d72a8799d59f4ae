//! Positions of searches that are kept as offsets.
//!
//! A round of a search over elements of 12 bytes multiplies the position of its probe by 12 before it can load, and the next round waits for what was
//! loaded. If the position is kept times 12 throughout, the product of what is added is made beside the wait. Elements of 1, 2, 4 and 8 bytes are
//! left alone: there the load multiplies by itself.

use super::lower::Lower;
use super::needed::Needed;
use cranelift_codegen::ir::{self, InstBuilder};
use std::collections::{HashMap, HashSet};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::halving::Halving;
use trav_compiler::ir::{BinOp, Block, Function, Inst, Mode, Op, Ty, Value};

/// For each value that is kept as a multiple, of how much.
pub(super) type Factors = HashMap<Value, u64>;

/// Finds the positions of a function's searches.
pub(super) fn factors(f: &Function, graph: &Graph, defs: &Defs, needed: &Needed) -> Factors {
    let mut factors = Factors::new();
    for &header in graph.order.iter().filter(|block| f.block(**block).header.is_some()) {
        let Some(halving) = Halving::of(f, graph, defs, header) else { continue };
        let search = Search { f, graph, needed, header, blocks: graph.members(header).into_iter().collect() };
        for &position in f.block(header).params.iter().filter(|param| **param != halving.room) {
            let kept = search.kept(position);
            if let Some(factor) = search.factor(position, &kept) {
                factors.extend(kept.into_iter().map(|v| (v, factor)));
            }
        }
    }
    factors
}

struct Search<'f> {
    f: &'f Function,
    graph: &'f Graph,
    needed: &'f Needed,
    header: Block,
    /// Of the loop.
    blocks: HashSet<Block>,
}

impl Search<'_> {
    /// The operations that are done in some blocks.
    fn insts(&self, blocks: impl Fn(Block) -> bool) -> impl Iterator<Item = (Block, &Inst)> {
        let blocks = self.graph.order.iter().copied().filter(move |block| blocks(*block));
        let insts = blocks.flat_map(|block| self.f.block(block).insts.iter().map(move |inst| (block, inst)));
        insts.filter(|(_, inst)| self.needed.is_done(self.f, inst))
    }

    /// The position with what becomes of it by sums and choices in the loop.
    fn kept(&self, position: Value) -> HashSet<Value> {
        let mut kept = HashSet::from([position]);
        for (block, inst) in self.insts(|block| self.graph.dominates(self.header, block)) {
            let is_kept = match inst.op {
                Op::Refine { a, .. } => kept.contains(&a),
                Op::Binary { op: BinOp::Add, mode: Mode::Exact, a, b } => {
                    self.blocks.contains(&block) && kept.contains(&a) != kept.contains(&b)
                }
                Op::Select { a, b, .. } => self.blocks.contains(&block) && kept.contains(&a) && kept.contains(&b),
                _ => false,
            };
            kept.extend(inst.result.filter(|_| is_kept));
        }
        kept
    }

    /// What they are multiplied by in the loop, if that is all that is done with them there and the products fit.
    fn factor(&self, position: Value, kept: &HashSet<Value>) -> Option<u64> {
        let f = self.f;
        let number = |v: Value| f.value(v).range.as_const().and_then(|n| u64::try_from(n).ok());
        let mut factor = None;
        for (_, inst) in self.insts(|block| self.blocks.contains(&block)) {
            let mut uses = 0;
            inst.op.for_each_use(|v| uses += u32::from(kept.contains(&v)));
            if uses == 0 || inst.result.is_some_and(|v| kept.contains(&v)) {
                continue;
            }
            let Op::Binary { op: BinOp::Mul, mode: Mode::Exact, b, .. } = inst.op else { return None };
            let by = number(b).filter(|by| !matches!(by, 0 | 1 | 2 | 4 | 8))?;
            if *factor.get_or_insert(by) != by {
                return None;
            }
        }
        let factor = factor?;
        let fits = |v: &Value| {
            let most = f.value(*v).range.hi.checked_mul(factor.into());
            f.value(*v).ty == Ty::U64 && most.is_some_and(|most| most <= u64::MAX.into())
        };
        let passed =
            self.blocks.iter().flat_map(|block| f.block(*block).term.targets()).all(|target| {
                let params = &f.block(target.block).params;
                // The first parameter of a hop's target has no argument.
                target.args.iter().rev().zip(params.iter().rev()).all(|(arg, param)| {
                    !self.blocks.contains(&target.block) || kept.contains(arg) == (*param == position)
                })
            });
        (passed && kept.iter().all(fits) && number(position).is_none()).then_some(factor)
    }
}

impl Lower<'_> {
    /// A value times a number.
    pub fn multiple(&mut self, v: Value, factor: u64) -> ir::Value {
        if self.factors.get(&v) == Some(&factor) {
            return self.kept(v);
        }
        match self.known(v) {
            Some(n) => self.const_word((n as u64).wrapping_mul(factor)),
            None => {
                let value = self.get(v);
                self.b.ins().imul_imm_u(value, factor as i64)
            }
        }
    }

    /// Emits an operation whose result is kept as a multiple.
    pub fn kept_inst(&mut self, result: Option<Value>, op: &Op, factor: u64) -> ir::Value {
        match *op {
            Op::Refine { a, .. } => self.multiple(a, factor),
            Op::Binary { a, b, .. } => {
                let (a, b) = (self.multiple(a, factor), self.multiple(b, factor));
                self.b.ins().iadd(a, b)
            }
            Op::Select { cond, a, b } => {
                let (cond, yes, no) = self.choice(cond, a, b);
                let (yes, no) = (self.multiple(yes, factor), self.multiple(no, factor));
                self.pick(result, cond, yes, no)
            }
            _ => unreachable!("only sums, choices and refinements are kept as multiples"),
        }
    }

    /// The number of which a multiple is kept. The division leaves nothing, so it is a product with the factor's inverse.
    pub fn divided(&mut self, multiple: ir::Value, factor: u64) -> ir::Value {
        let shift = factor.trailing_zeros();
        let odd = factor >> shift;
        // Newton's iteration doubles the bits that are right, of which an odd number has three to begin with.
        let inverse = (0..5).fold(odd, |inverse, _| inverse.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(inverse))));
        let multiple = self.b.ins().ushr_imm_u(multiple, i64::from(shift));
        self.b.ins().imul_imm_u(multiple, inverse as i64)
    }
}
