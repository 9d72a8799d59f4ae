//! Where each value is defined.

use super::{Block, Function, Op, Value};

/// The place that defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Def {
    /// A parameter of a block, by its position.
    Param(Block, usize),
    /// The result of an operation, by its position in its block.
    Inst(Block, usize),
}

impl Def {
    /// The block in which it is.
    pub fn block(self) -> Block {
        match self {
            Def::Param(block, _) | Def::Inst(block, _) => block,
        }
    }
}

/// The definitions of all values of one function, as it was when this table was made.
#[derive(Clone, Debug, Default)]
pub struct Defs(Vec<Option<Def>>);

impl Defs {
    /// Looks through a function. Where a value is defined twice, which the verifier refuses, the last place counts.
    pub fn of(f: &Function) -> Defs {
        let mut defs = Defs(vec![None; f.values.len()]);
        for (block, data) in f.blocks() {
            for (i, v) in data.params.iter().enumerate() {
                defs.set(*v, Def::Param(block, i));
            }
            for (i, inst) in data.insts.iter().enumerate() {
                if let Some(v) = inst.result {
                    defs.set(v, Def::Inst(block, i));
                }
            }
        }
        defs
    }

    /// Enters a value; ids outside the function's table are passed over.
    pub fn set(&mut self, v: Value, def: Def) {
        if let Some(entry) = self.0.get_mut(v.index()) {
            *entry = Some(def);
        }
    }

    /// Makes room for one more value.
    pub(super) fn push(&mut self, def: Def) {
        self.0.push(Some(def));
    }

    /// Where a value is defined; none for an id that nothing defines.
    pub fn get(&self, v: Value) -> Option<Def> {
        self.0.get(v.index()).copied().flatten()
    }

    /// The operation that makes a value; none for a parameter.
    pub fn op<'f>(&self, f: &'f Function, v: Value) -> Option<&'f Op> {
        match self.get(v)? {
            Def::Inst(block, i) => f.blocks.get(block.index())?.insts.get(i).map(|inst| &inst.op),
            Def::Param(..) => None,
        }
    }

    /// The value that a chain of `Refine` starts from: the same number with the widest claim.
    pub fn root(&self, f: &Function, mut v: Value) -> Value {
        // The bound holds only for a function whose definitions run in a circle, which the verifier refuses.
        for _ in 0..self.0.len() {
            let Some(Op::Refine { a, .. }) = self.op(f, v) else {
                break;
            };
            v = *a;
        }
        v
    }
}
