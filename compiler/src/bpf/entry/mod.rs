//! The programs that hooks enter where that is not the step itself: they make the reads and run the step.
//!
//! The step is a global function, which the kernel's verifier checks once and by itself; for it a call is a jump into the unknown that
//! returns some number. So an entry's loops look the same to it at every turn, and it is done after two. A loop is left by `may_goto`
//! (Linux 6.9) once the program has had its time; all that the loop carries is in memory, and the next run goes on.

mod file;
mod looked_at;
mod pull;
mod ring;

use super::asm::{Assembler, Label, TooFar};
use super::error::BpfError;
use super::insn::{Cond, Insn, R0, Reg, Rhs, Width};
use super::kernel::KTIME_GET_NS;
use super::program::Entry;
use super::target::Entered;
use crate::ir::Function;

/// Bytes of stack that an entry takes, as the verifier rounds them.
pub const STACK_BYTES: u32 = 96;

/// Writes the entry for a function.
pub fn entry(f: &Function, entered: &Entered) -> Result<Entry, BpfError> {
    let mut asm = Assembler::default();
    match entered {
        Entered::Pull { cached, given } => pull::write(&mut asm, f, *cached, *given),
        Entered::Loop { ring, cached, sources } => ring::write(&mut asm, ring, f, *cached, *sources),
    }
    let done = asm.finish().map_err(|TooFar| BpfError::JumpTooFar)?;
    Ok(Entry { insns: done.insns, relocations: done.relocations, calls: done.calls, accesses: done.accesses })
}

/// Goes to `over` when the time in a word of an area's header has come. Changes registers 0 to 5.
fn until(asm: &mut Assembler, base: Reg, position: usize, over: Label) {
    let on = asm.label();
    load_word(asm, 1, base, position);
    asm.branch(Cond::Eq, 1, Rhs::Imm(0), on);
    asm.push(Insn::helper(KTIME_GET_NS));
    load_word(asm, 1, base, position);
    asm.branch(Cond::Gt, R0, Rhs::Reg(1), over);
    asm.bind(on);
}

/// A 64-bit word of an area's header, by its position.
fn header(position: usize) -> i16 {
    8 * position as i16
}

fn load_word(asm: &mut Assembler, dst: Reg, base: Reg, position: usize) {
    asm.load(Width::B8, dst, base, header(position));
}

fn store_word(asm: &mut Assembler, base: Reg, position: usize, value: Rhs<Reg>) {
    asm.store(Width::B8, base, header(position), value);
}
