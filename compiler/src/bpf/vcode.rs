//! Virtual code: BPF instructions over virtual registers, in basic blocks with parameters.
//!
//! Made by [`select`](super::select), given registers by [`regalloc`](super::regalloc), written out by [`emit`](super::emit). Each virtual
//! register is defined once. An instruction that takes a few real ones and must not be torn apart (a bounds test with the use of what it
//! bounds) is one instruction here; a test that leaves for a fault is not the end of a block, since nothing is alive
//! behind it but what the fault reports.

use super::insn::{AluOp, Cond, Rhs, Width};
use super::program::{Symbol, Turns};
use super::routine;
use crate::ir::FaultId;
use crate::source::Span;

/// A virtual register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VReg(pub u32);

/// A block of virtual code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VBlock(pub u32);

/// A word that a fault reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    /// In a register.
    Reg(VReg),
    /// Known.
    Const(u64),
}

/// Where a failed test goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// A test which the IR's proofs have shown to hold, made for the kernel's verifier.
    Trap,
    /// The walk ends with a fault.
    Fault {
        /// Which.
        fault: FaultId,
        /// The value found.
        found: Option<Report>,
        /// The offset in the disk block.
        at: Option<Report>,
    },
}

/// The operand of a sum whose register takes the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Onto {
    /// The pointer.
    Base,
    /// The variable part: the pointer is used further.
    Var,
}

/// One end of a copy: a byte position in a memory area.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The area.
    pub symbol: Symbol,
    /// Where the region begins in it.
    pub start: u32,
    /// The region's size: what an access must not pass.
    pub size: u32,
    /// Variable offset in the region.
    pub var: Option<VReg>,
    /// Constant offset in the region.
    pub disp: u32,
    /// Whether eight bytes are known to lie there, however few are copied.
    pub has_word: bool,
}

/// A virtual instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VInsn {
    /// A number.
    Imm { dst: VReg, value: u64 },
    /// An address.
    Address { dst: VReg, symbol: Symbol, addend: u32 },
    /// `dst = a op b`.
    Alu { op: AluOp, dst: VReg, a: VReg, b: Rhs<VReg> },
    /// `dst = -a`.
    Neg { dst: VReg, a: VReg },
    /// `dst = be a`.
    Swap { dst: VReg, a: VReg, width: Width },
    /// `dst = a`'s low 32 bits; from ISA level 3 on.
    Low { dst: VReg, a: VReg },
    /// `dst = a`'s low 8, 16 or 32 bits with their sign; from ISA level 4 on.
    SignExtend { dst: VReg, a: VReg, bits: u8 },
    /// `dst = a / b`, or the remainder, of signed numbers; from ISA level 4 on.
    DivideSigned { op: AluOp, dst: VReg, a: VReg, b: VReg },
    /// `dst = *(base + off)`; with its sign, if it is less than a word, from ISA level 4 on only.
    Load { dst: VReg, base: VReg, off: i16, width: Width, signed: bool },
    /// `*(base + off) = value`.
    Store { base: VReg, off: i16, value: Rhs<VReg>, width: Width },
    /// `if var > limit goto exit; dst = base + var`: the pointer to a variable place, in the one way that every kernel's verifier accepts (the
    /// register that was compared with a constant is the register that is added, with nothing in between). `onto` says onto which of the two
    /// registers the other is added.
    Bounded { dst: VReg, base: VReg, var: VReg, limit: u32, exit: Exit, onto: Onto },
    /// `if a cond b goto exit`.
    ExitIf { cond: Cond, a: VReg, b: Rhs<VReg>, exit: Exit },
    /// Leaves for a fault at once; ends a block.
    Fail { exit: Exit },
    /// Copies `len` bytes, which are at most `max`.
    Copy { to: Place, from: Place, len: Rhs<VReg>, max: u32, temps: [VReg; 4] },
    /// `dst` = what a routine returns, by its place in [`VCode::routines`].
    Call { dst: VReg, routine: u32, args: [VReg; 2] },
    /// `dst = a` in the same register, behind a test of it. Where the allocator puts `dst` on the stack it does so after the test: the verifiers of
    /// kernels before 6.8 take what is on the stack for what it was when it was put there, and what was not bounded then for anything.
    Tested { dst: VReg, a: VReg },
    /// Has the kernel's verifier keep its state (see [`checkpoint`](super::checkpoint)).
    Checkpoint,
    /// Ends a block.
    Jump { to: VBlock, args: Vec<VReg> },
    /// Ends a block. Both targets are entered from here only and have no parameters.
    Branch { cond: Cond, a: VReg, b: Rhs<VReg>, then: VBlock, other: VBlock },
    /// Returns the status; ends a block. `resume` is the place in [`VCode::resumes`] where the walk goes on, if it does.
    Return { status: u64, resume: Option<u32> },
}

/// A block.
#[derive(Clone, Debug, Default)]
pub struct VBlockData {
    /// Parameters.
    pub params: Vec<VReg>,
    /// Instructions with their places; the last one ends the block.
    pub insns: Vec<(VInsn, Span)>,
}

/// A function. The first block is the entry.
#[derive(Clone, Debug, Default)]
pub struct VCode {
    /// The blocks, each after some predecessor of it (but for the entry).
    pub blocks: Vec<VBlockData>,
    /// How many virtual registers there are.
    pub vregs: u32,
    /// The headers of loops with what bounds them, outer ones before those inside.
    pub loops: Vec<(VBlock, Turns)>,
    /// The functions that it calls.
    pub routines: Vec<routine::Key>,
    /// Where walks go on, in the order of [`resume_points`](super::abi::resume_points).
    pub resumes: Vec<VBlock>,
}

impl VCode {
    /// A new register.
    pub fn vreg(&mut self) -> VReg {
        self.vregs += 1;
        VReg(self.vregs - 1)
    }

    /// The place of a routine, which is new if it was not called before.
    pub fn routine(&mut self, key: routine::Key) -> u32 {
        let known = self.routines.iter().position(|known| *known == key);
        known.unwrap_or_else(|| {
            self.routines.push(key);
            self.routines.len() - 1
        }) as u32
    }

    /// A new, empty block.
    pub fn block(&mut self) -> VBlock {
        self.blocks.push(VBlockData::default());
        VBlock(self.blocks.len() as u32 - 1)
    }
}

impl VCode {
    /// The same code without blocks that nothing leads to, in reverse postorder: the target that a branch takes when true comes next,
    /// and a loop's blocks stand together.
    pub fn ordered(mut self) -> VCode {
        let mut postorder = Vec::new();
        let mut seen = vec![false; self.blocks.len()];
        let mut stack = vec![(VBlock(0), false)];
        while let Some((block, done)) = stack.pop() {
            if done {
                postorder.push(block);
            } else if !std::mem::replace(&mut seen[block.0 as usize], true) {
                stack.push((block, true));
                let end = self.blocks[block.0 as usize].insns.last();
                stack.extend(end.into_iter().flat_map(|(insn, _)| insn.targets()).map(|t| (t, false)));
            }
        }
        let mut place = vec![0; self.blocks.len()];
        postorder.iter().rev().enumerate().for_each(|(i, b)| place[b.0 as usize] = i as u32);
        let mut blocks: Vec<_> =
            postorder.iter().rev().map(|b| std::mem::take(&mut self.blocks[b.0 as usize])).collect();
        for (insn, _) in blocks.iter_mut().filter_map(|b| b.insns.last_mut()) {
            insn.map_targets(|t| VBlock(place[t.0 as usize]));
        }
        let moved = |b: VBlock| VBlock(place[b.0 as usize]);
        let loops = self.loops.iter().filter(|(b, _)| seen[b.0 as usize]).map(|(b, t)| (moved(*b), *t)).collect();
        let resumes = self.resumes.iter().map(|b| moved(*b)).collect();
        VCode { blocks, vregs: self.vregs, loops, routines: self.routines, resumes }
    }
}

impl VCode {
    /// The ways out for faults.
    pub fn exits(&self) -> impl Iterator<Item = &Exit> {
        self.blocks.iter().flat_map(|b| &b.insns).filter_map(|(insn, _)| match insn {
            VInsn::Bounded { exit, .. } | VInsn::ExitIf { exit, .. } | VInsn::Fail { exit } => Some(exit),
            _ => None,
        })
    }
}

impl VInsn {
    fn map_targets(&mut self, f: impl Fn(VBlock) -> VBlock) {
        match self {
            VInsn::Jump { to, .. } => *to = f(*to),
            VInsn::Branch { then, other, .. } => {
                *then = f(*then);
                *other = f(*other);
            }
            _ => {}
        }
    }

    /// The blocks it goes on to.
    pub fn targets(&self) -> impl Iterator<Item = VBlock> + Clone {
        let (a, b) = match self {
            VInsn::Jump { to, .. } => (Some(*to), None),
            VInsn::Branch { then, other, .. } => (Some(*then), Some(*other)),
            _ => (None, None),
        };
        a.into_iter().chain(b)
    }
}
