//! After an error: what else in the body can still be judged.
//!
//! A value that could not be made is [`Val::Never`], and nothing is asked of what is computed from it. A condition that could not be made
//! is more: code behind it may rely on it. So the point is noted where knowledge was lost, and what must be shown in code
//! that can be reached from there is left alone; what must be shown elsewhere is an error of its own.

use super::*;
use crate::ir::{Function, Op};

impl Lowerer<'_> {
    /// Notes that from here on something may be true that is not known: a condition, a bound or a variable's value was an error.
    pub(super) fn doubt(&mut self) {
        let block = self.flow.block;
        let at = self.b.function().block(block).insts.len();
        self.doubts.push((block, at));
    }

    /// When the operations of blocks are about to move to the end of another one.
    pub(super) fn move_doubts(&mut self, from: &[ir::Block], to: ir::Block) {
        let end = self.b.function().block(to).insts.len();
        self.doubts.iter_mut().filter(|(block, _)| from.contains(block)).for_each(|doubt| *doubt = (to, end));
    }
}

/// Takes out the obligations in code that one of `doubts`, each a block and a position in it, may come before.
pub(super) fn drop_doubtful(f: &mut Function, doubts: &[(ir::Block, usize)]) {
    let mut first: FxHashMap<ir::Block, usize> = FxHashMap::default();
    let mut open: Vec<(ir::Block, usize)> = doubts.to_vec();
    while let Some((block, at)) = open.pop() {
        let known = first.get(&block).copied();
        if known.is_some_and(|known| known <= at) {
            continue;
        }
        first.insert(block, at);
        if known.is_none() {
            open.extend(f.block(block).term.targets().map(|t| (t.block, 0)));
        }
    }
    for (block, at) in first {
        let mut position = 0..;
        f.blocks[block.index()].insts.retain(|i| position.next() < Some(at) || !matches!(i.op, Op::Prove { .. }));
    }
}
