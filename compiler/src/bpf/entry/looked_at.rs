//! How much of a block a walk looks at.

use crate::bpf::abi;
use crate::bpf::asm::Assembler;
use crate::bpf::insn::{Cond, Reg, Rhs};
use crate::ir::{Addr, Function, Op, Region, Size, Terminator};

/// What the page cache holds is copied so far only.
#[derive(Clone, Copy)]
pub struct LookedAt {
    /// From the start of a block to behind the last byte that any step may load or copy.
    bytes: i32,
    /// No read is shorter.
    always: bool,
}

impl LookedAt {
    /// By a function.
    pub fn of(f: &Function) -> LookedAt {
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
        let capacity = abi::block_capacity(f).clamp(1, i32::MAX as u64);
        // A read of nothing would be a case of its own.
        let bytes = ends.max().unwrap_or(0).clamp(1, capacity.into());
        let always = f.blocks.iter().all(|block| match &block.term {
            Terminator::Hop { len, .. } => f.value(*len).range.lo >= bytes,
            _ => true,
        });
        LookedAt { bytes: bytes as i32, always }
    }

    /// Makes the length of a read that of what is looked at.
    pub fn shorten(self, asm: &mut Assembler, len: Reg) {
        let short = asm.label();
        if !self.always {
            asm.branch(Cond::Lt, len, Rhs::Imm(self.bytes), short);
        }
        asm.imm(len, self.bytes as u64);
        asm.bind(short);
    }
}
