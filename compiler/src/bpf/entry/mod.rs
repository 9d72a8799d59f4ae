//! The programs that hooks enter where that is not the step itself: they make the reads and run the step.
//!
//! The step is a global function, which the kernel's verifier checks once and by itself; for it a call is a jump into the unknown that
//! returns some number. So an entry's loops look the same to it at every turn, and it is done after two. A loop is left by `may_goto`
//! (Linux 6.9) once the program has had its time; all that the loop carries is in memory, and the next run goes on.

mod file;
mod looked_at;
mod pull;
mod ring;

use super::abi;
use super::asm::{Assembler, Label, TooFar};
use super::error::BpfError;
use super::insn::{Cond, Insn, R0, Reg, Rhs, Width};
use super::kernel::KTIME_GET_NS;
use super::program::Entry;
use super::target::Entered;
use crate::ir::Function;
use looked_at::LookedAt;

/// Bytes of stack that an entry takes, as the verifier rounds them.
pub const STACK_BYTES: u32 = 64;

/// Where a way out of an entry finds its reason.
const REASON: Reg = 5;

/// Writes the entry for a function.
pub fn entry(f: &Function, entered: &Entered) -> Result<Entry, BpfError> {
    let mut asm = Assembler::default();
    match entered {
        Entered::Pull { cached, given } => pull::write(&mut asm, f, *cached, *given),
        Entered::Loop { ring, cached, sources } => {
            ring::write(&mut asm, ring, cached.then(|| LookedAt::of(f)), *sources);
        }
    }
    let done = asm.finish().map_err(|TooFar| BpfError::JumpTooFar)?;
    Ok(Entry { insns: done.insns, relocations: done.relocations, calls: done.calls, accesses: done.accesses })
}

/// Goes to `over` when the time has come that stands at `displacement` of where `base` points, with that in [`REASON`]. Changes registers 0 to 5.
fn until(asm: &mut Assembler, base: Reg, displacement: i16, over: Label) {
    let on = asm.label();
    asm.load(Width::B8, 1, base, displacement);
    asm.branch(Cond::Eq, 1, Rhs::Imm(0), on);
    asm.push(Insn::helper(KTIME_GET_NS));
    asm.load(Width::B8, 1, base, displacement);
    asm.imm(REASON, abi::TIMED_OUT as i64 as u64);
    asm.branch(Cond::Gt, R0, Rhs::Reg(1), over);
    asm.bind(on);
}

/// A 64-bit word of a state area's header, by its position.
fn header(position: usize) -> i16 {
    8 * position as i16
}

fn load_word(asm: &mut Assembler, dst: Reg, base: Reg, position: usize) {
    asm.load(Width::B8, dst, base, header(position));
}

fn store_word(asm: &mut Assembler, base: Reg, position: usize, value: Rhs<Reg>) {
    asm.store(Width::B8, base, header(position), value);
}
