//! The file of a walk as a dynptr, found by a mapping of the task that runs the program.
//!
//! A `struct file` must be a pointer that the verifier trusts: an LSM program's argument is one, and `vm_file` of a mapping that the iterator over mappings gave. What
//! has been taken is given back on every way out, a dynptr even when it could not be made.

use crate::bpf::asm::{Assembler, Label};
use crate::bpf::insn::{AluOp, Cond, FRAME, Insn, R0, Reg, Rhs, Width};
use crate::bpf::kernel::{DYNPTR_READ, Function, GET_CURRENT_TASK_BTF, Member};

/// In `f_mode`: the file is open for reading (include/linux/fs.h). Reading another is a kernel warning.
const FMODE_READ: i32 = 1;

/// Places on the stack, below [`FRAME`].
#[derive(Clone, Copy)]
pub struct Places {
    /// The iterator, 8 bytes; none where the file is given.
    iterator: Option<i16>,
    /// The file's size, 8 bytes.
    size: i16,
    /// The dynptr, 16 bytes.
    pub dynptr: i16,
    /// It reads only what is in the page cache, and never waits.
    cached: bool,
}

impl Places {
    /// For a file that is found by its mapping.
    pub fn by_mapping(cached: bool) -> Places {
        Places { iterator: Some(-8), size: -16, dynptr: -32, cached }
    }

    /// For a file that is given.
    pub fn of_given(cached: bool) -> Places {
        Places { iterator: None, ..Places::by_mapping(cached) }
    }

    /// Finds the file whose mapping has the address that stands at `displacement` of where `area` points. Goes to `none` without it, with only the
    /// iterator to give back. Changes registers 0 to 5 and `file`.
    pub fn find(&self, asm: &mut Assembler, (area, displacement): (Reg, i16), file: Reg, none: Label) {
        let Some(iterator) = self.iterator else { return };
        asm.push(Insn::helper(GET_CURRENT_TASK_BTF));
        asm.mov(2, R0);
        asm.load(Width::B8, 3, area, displacement);
        stack_address(asm, 1, iterator);
        asm.kernel(Function::VmaNew);
        stack_address(asm, 1, iterator);
        asm.kernel(Function::VmaNext);
        asm.branch(Cond::Eq, R0, Rhs::Imm(0), none);
        asm.load_member(file, R0, Member::VmaFile);
        asm.branch(Cond::Eq, file, Rhs::Imm(0), none);
    }

    /// Goes to `none` if the file is not open for reading. One that is mapped is: mmap(2) refuses others. Changes register 1.
    pub fn readable(asm: &mut Assembler, file: Reg, none: Label) {
        asm.load_member(1, file, Member::FileMode);
        asm.alu(AluOp::And, 1, Rhs::Imm(FMODE_READ));
        asm.branch(Cond::Eq, 1, Rhs::Imm(0), none);
    }

    /// Makes the dynptr of the file. Changes registers 0 to 5.
    pub fn take(&self, asm: &mut Assembler, file: Reg) {
        asm.load_member(1, file, Member::FileMapping);
        asm.load_member(1, 1, Member::MappingHost);
        asm.load_member(1, 1, Member::InodeSize);
        asm.store(Width::B8, FRAME, self.size, Rhs::Reg(1));
        // Where the call stands decides: under the lock it makes a dynptr that never waits. It does so for all of a program.
        if self.cached {
            asm.kernel(Function::RcuLock);
        }
        from_file(asm, file, self.dynptr);
        if self.cached {
            asm.kernel(Function::RcuUnlock);
        }
    }

    /// Goes to `outside` if a read does not lie in the file. Changes register 3.
    pub fn inside(&self, asm: &mut Assembler, offset: Reg, len: Reg, outside: Label) {
        asm.load(Width::B8, 3, FRAME, self.size);
        asm.branch(Cond::Gt, offset, Rhs::Reg(3), outside);
        asm.alu(AluOp::Sub, 3, Rhs::Reg(offset));
        asm.branch(Cond::Gt, len, Rhs::Reg(3), outside);
    }

    /// Gives it back; `none` is where to go on without a dynptr.
    pub fn give_back(&self, asm: &mut Assembler, none: Label) {
        stack_address(asm, 1, self.dynptr);
        asm.kernel(Function::Discard);
        asm.bind(none);
        if let Some(iterator) = self.iterator {
            stack_address(asm, 1, iterator);
            asm.kernel(Function::VmaDestroy);
        }
    }
}

fn from_file(asm: &mut Assembler, file: Reg, dynptr: i16) {
    asm.mov(1, file);
    asm.imm(2, 0);
    stack_address(asm, 3, dynptr);
    asm.kernel(Function::FromFile);
}

/// Reads register 2's number of bytes at the offset in register 4 to where register 1 points; 0 in [`R0`] when it could.
pub fn read(asm: &mut Assembler, dynptr: i16) {
    stack_address(asm, 3, dynptr);
    asm.imm(5, 0);
    asm.push(Insn::helper(DYNPTR_READ));
}

fn stack_address(asm: &mut Assembler, dst: Reg, place: i16) {
    asm.mov(dst, FRAME);
    asm.alu(AluOp::Add, dst, Rhs::Imm(place.into()));
}
