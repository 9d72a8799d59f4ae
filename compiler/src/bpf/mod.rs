//! eBPF: from verified IR to instructions, and from those to an object that Linux loads.
//!
//! [`compile`] makes one program: [`select`] chooses instructions over virtual registers, [`regalloc`] gives them real ones, [`emit`] writes them. The
//! program keeps the contract of [`abi`]. A function that is verified compiles, or the error names the target's limit that it exceeds.

pub mod abi;
mod align;
pub mod asm;
pub mod bindings;
pub mod btf;
mod checkpoint;
pub mod cost;
pub mod cut;
pub(crate) mod describe;
mod disasm;
mod elf;
mod emit;
pub mod entry;
pub mod error;
pub mod insn;
pub mod kernel;
pub mod listing;
mod loops;
pub mod print;
pub mod profile;
pub mod program;
mod regalloc;
pub mod ring;
pub mod routine;
mod select;
pub mod target;
mod vcode;

pub use disasm::disassemble;
pub use elf::object;

use crate::ir::verify::Verified;
use abi::StateLayout;
use error::BpfError;
use profile::Profile;
use program::Program;
use routine::Routine;
use target::Target;

/// Compiles one traversal for a hook.
pub fn compile(f: &Verified, profile: &Profile) -> Result<Program, BpfError> {
    let layout = StateLayout::of(f).ok_or(BpfError::StateTooLarge)?;
    let target = Target::of(f, profile)?;
    let mut constants = Vec::new();
    let starts: Vec<u32> = f.data.iter().map(|data| append_aligned(&mut constants, &data.bytes)).collect();
    let code = select::select(f, &layout, &starts, &target, profile.program.isa);
    let homes = regalloc::allocate(&code)?;
    let (done, flow) = emit::emit(&code, &homes, &target)?;
    if done.insns.len() as u64 > profile.limits.insns {
        return Err(BpfError::TooLong { insns: done.insns.len() as u64 });
    }
    let entry = target.entered.as_ref().map(|entered| entry::entry(f, entered)).transpose()?;
    Ok(Program {
        name: f.name.clone(),
        insns: done.insns,
        relocations: done.relocations,
        calls: done.calls,
        routines: code.routines.iter().map(|key| Routine::of(*key)).collect::<Result<_, _>>()?,
        lines: done.lines,
        constants,
        layout,
        flow,
        block_size: target.block_size,
        entry,
    })
}

/// Appends bytes at a multiple of 8; where they begin.
fn append_aligned(area: &mut Vec<u8>, bytes: &[u8]) -> u32 {
    area.resize(area.len().next_multiple_of(8), 0);
    let start = area.len() as u32;
    area.extend_from_slice(bytes);
    start
}
