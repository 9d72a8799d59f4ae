//! How much of a block a walk looks at.

use crate::ir::{Addr, Function, Op, Region, Size};

/// From the start of a block to behind the last byte that any step may load or copy. What the page cache holds is copied so far only.
pub fn looked_at(f: &Function, capacity: u64) -> u64 {
    let most = |value| f.value(value).range.hi;
    let end = |addr: &Addr, len: i128| {
        let variable: i128 = addr.base.into_iter().chain(addr.index).map(most).sum();
        (addr.region == Region::Disk).then_some(variable + i128::from(addr.disp) + len)
    };
    let ends = f.blocks.iter().flat_map(|block| &block.insts).filter_map(|inst| match &inst.op {
        Op::Load { addr, width, .. } => end(addr, i128::from(*width)),
        Op::Varint { addr, limit, .. } if addr.region == Region::Disk => Some(most(*limit)),
        Op::Copy { from, len: Size::Const(len), .. } => end(from, i128::from(*len)),
        Op::Copy { from, len: Size::Value(len), .. } => end(from, most(*len)),
        _ => None,
    });
    // A read of nothing would be a case of its own.
    ends.max().unwrap_or(0).clamp(1, i128::from(capacity.max(1))) as u64
}
