//! A finished program: instructions, the addresses that they still need, and where each belongs in the spec.

use super::abi::StateLayout;
use super::insn::Insn;
use super::kernel::{Function, Member};
use super::routine::Routine;
use crate::source::Span;

/// A memory area that a program names by its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Symbol {
    /// The state area of the program's traversal, see [`StateLayout`].
    State,
    /// The block area.
    Block,
    /// The constant tables of the program's traversal, one after the other, see [`Program::constants`].
    Constants,
}

/// A 64-bit immediate that receives an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// The first of the two instructions.
    pub insn: u32,
    /// What it names.
    pub symbol: Symbol,
    /// Bytes to add to the address.
    pub addend: u32,
}

/// How often a place may be reached between two ways into the loop that begins there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turns {
    /// In one run of the program.
    pub run: u64,
    /// In a walk: all runs of a call.
    pub walk: u64,
}

/// What is known of the ways through a program, so that their length can be bounded ([`cost`](super::cost)).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The first instructions of loops; outer loops before those inside.
    pub loops: Vec<(u32, Turns)>,
    /// Where a walk goes on after it was suspended.
    pub resumes: Vec<u32>,
    /// Instructions from which a run only comes to its end, and where in `resumes` the walk then goes on.
    pub suspends: Vec<(u32, u32)>,
}

/// What a call calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Callee {
    /// The traversal's own step.
    Step,
    /// One of the program's routines.
    Routine(u32),
    /// A function of the kernel.
    Kernel(Function),
}

/// A call whose target is still to be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The instruction.
    pub insn: u32,
    /// What it calls.
    pub callee: Callee,
}

/// A load or store of a member of a structure of the kernel, whose place the loader finds out (CO-RE).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// The instruction.
    pub insn: u32,
    /// The member.
    pub member: Member,
}

/// The program that a hook enters where that is not the step itself: it makes the reads and runs the step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// The instructions.
    pub insns: Vec<Insn>,
    /// The addresses to be filled in.
    pub relocations: Vec<Relocation>,
    /// The calls to be filled in.
    pub calls: Vec<Call>,
    /// Members of the kernel's structures.
    pub accesses: Vec<Access>,
}

/// A program for one traversal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// The traversal's name.
    pub name: String,
    /// The instructions; the second half of a 64-bit immediate counts.
    pub insns: Vec<Insn>,
    /// The addresses to be filled in, in the order of their instructions.
    pub relocations: Vec<Relocation>,
    /// The calls to be filled in.
    pub calls: Vec<Call>,
    /// The functions that it calls.
    pub routines: Vec<Routine>,
    /// From which instruction on the code belongs to which place, in order; the first entry is for instruction 0.
    pub lines: Vec<(u32, Span)>,
    /// The constant tables, each at a multiple of 8.
    pub constants: Vec<u8>,
    /// What its state area holds.
    pub layout: StateLayout,
    /// Its loops, and how its runs follow each other.
    pub flow: Flow,
    /// Bytes of the block area that the program may touch.
    pub block_size: u32,
    /// What the hook enters, where it is not this.
    pub entry: Option<Entry>,
}

impl Program {
    /// The program's bytes with all addresses filled in, its routines behind it; a call has the position of its function. And these positions.
    pub fn link(&self, address: impl Fn(Symbol) -> u64) -> (Vec<u8>, Vec<u32>) {
        let mut insns = Vec::new();
        let mut append = |part: &[Insn], relocations: &[Relocation]| {
            let start = insns.len();
            insns.extend_from_slice(part);
            for r in relocations {
                let at = start + r.insn as usize;
                let halves = Insn::load_imm64(insns[at].dst, address(r.symbol) + u64::from(r.addend));
                insns[at..at + 2].copy_from_slice(&halves);
            }
            start as u32
        };
        append(&self.insns, &self.relocations);
        let starts: Vec<u32> = self.routines.iter().map(|r| append(&r.insns, &r.relocations)).collect();
        for call in &self.calls {
            if let Callee::Routine(i) = call.callee {
                insns[call.insn as usize].imm = starts[i as usize] as i32;
            }
        }
        (insns.iter().flat_map(|insn| insn.encode()).collect(), starts)
    }

    /// The place in the spec to which an instruction belongs.
    pub fn span_of(&self, insn: u32) -> Option<Span> {
        let after = self.lines.partition_point(|(start, _)| *start <= insn);
        after.checked_sub(1).map(|i| self.lines[i].1)
    }
}
