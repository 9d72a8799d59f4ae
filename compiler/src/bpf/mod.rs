//! eBPF: from verified IR to instructions, and from those to an object that Linux loads.
//!
//! [`compile`] makes one program: [`select`] chooses instructions over virtual registers, [`regalloc`] gives them real ones, [`emit`] writes them. The
//! program keeps the contract of [`abi`]. A function that is verified compiles, or the error names the target's limit that it exceeds.

pub mod abi;
pub mod asm;
pub mod bindings;
pub mod btf;
pub mod cut;
mod describe;
mod disasm;
mod elf;
mod emit;
pub mod error;
pub mod insn;
pub mod listing;
mod loops;
pub mod print;
pub mod profile;
pub mod program;
mod regalloc;
mod select;
mod vcode;

pub use disasm::disassemble;
pub use elf::object;

use crate::ir::verify::Verified;
use abi::StateLayout;
use error::BpfError;
use program::Program;

/// Bytes of stack of a BPF program (Linux, include/linux/filter.h, `MAX_BPF_STACK`).
const STACK_SIZE: u32 = 512;

/// The most bytes of one access region: offsets are compared as signed 32-bit immediates.
const AREA_MAX: u64 = i32::MAX as u64;

/// Compiles one traversal.
pub fn compile(f: &Verified) -> Result<Program, BpfError> {
    let layout = StateLayout::of(f).ok_or(BpfError::StateTooLarge)?;
    let capacity = abi::block_capacity(f);
    if capacity > AREA_MAX - 4096 {
        return Err(BpfError::ReadTooLarge { needed: capacity, limit: AREA_MAX - 4096 });
    }
    let mut constants = Vec::new();
    let starts: Vec<u32> = f.data.iter().map(|data| append_aligned(&mut constants, &data.bytes)).collect();
    let code = select::select(f, &layout, &starts);
    let homes = regalloc::allocate(&code)?;
    let stack_size = 8 * homes.stack_slots();
    if stack_size > STACK_SIZE {
        return Err(BpfError::Stack { needed: stack_size, limit: STACK_SIZE });
    }
    let done = emit::emit(&code, &homes)?;
    Ok(Program {
        name: f.name.clone(),
        insns: done.insns,
        relocations: done.relocations,
        lines: done.lines,
        constants,
        stack_size,
    })
}

/// Appends bytes at a multiple of 8; where they begin.
fn append_aligned(area: &mut Vec<u8>, bytes: &[u8]) -> u32 {
    area.resize(area.len().next_multiple_of(8), 0);
    let start = area.len() as u32;
    area.extend_from_slice(bytes);
    start
}
