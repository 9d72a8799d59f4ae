//! Which blocks receive the address of the disk block as a parameter: those behind a hop, and those where ways with different
//! blocks meet. Everywhere else it is the parameter of a block before.

use trav_compiler::ir::{Block, Function, Terminator};

/// For each block of `order` that has a disk block, the block whose parameter is the address; itself, if it has one. `order` has all
/// reachable blocks in reverse postorder.
pub(super) fn origins(f: &Function, order: &[Block]) -> Vec<Option<Block>> {
    let mut origins: Vec<Option<Block>> = vec![None; f.blocks.len()];
    loop {
        let mut changed = false;
        for &block in order {
            let term = &f.block(block).term;
            for target in term.targets() {
                let to = target.block;
                if f.block(to).disk.is_none() {
                    continue;
                }
                let from = match term {
                    Terminator::Hop { .. } => Some(to),
                    _ => origins[block.index()],
                };
                let old = origins[to.index()];
                let new = if old.is_none() || old == from { from.or(old) } else { Some(to) };
                changed |= old != new;
                origins[to.index()] = new;
            }
        }
        if !changed {
            return origins;
        }
    }
}
