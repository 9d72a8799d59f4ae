//! A whole walk in one run: steps, and reads by calls between them.
//!
//! The state and block areas are the object's own, as under the harness. A read that cannot be made is left to user space, with
//! the reason in the word `error`: it tells the end of the file from a fault of the disk.

use super::file::{self, Places};
use super::{load_word, store_word};
use crate::bpf::abi::{self, Status, word};
use crate::bpf::asm::Assembler;
use crate::bpf::insn::{AluOp, Cond, FRAME, Insn, R0, Reg, Rhs, Width};
use crate::bpf::program::{Callee, Symbol};
use crate::ir::Function;

/// `EBADF`: no file is mapped at the address.
const NO_FILE: i32 = -9;
/// `ERANGE`: the read does not lie in the file, or is longer than any that the walk makes.
const OUTSIDE: i32 = -34;

const STATE: Reg = 6;
/// The file, until there are dynptrs; then the offset of a read.
const FILE: Reg = 7;
const OFFSET: Reg = 7;
const LEN: Reg = 8;
const HOPS: Reg = 9;

pub fn write(asm: &mut Assembler, f: &Function, cached: bool) {
    let places = Places { iterator: -8, size: -16, cached: cached.then_some(-32), waiting: Some(-48) };
    let capacity = abi::block_capacity(f).min(i32::MAX as u64) as i32;
    let [none, next, over, outside, left] = [(); 5].map(|()| asm.label());
    asm.symbol(STATE, Symbol::State, 0);
    store_word(asm, STATE, word::ERROR, Rhs::Imm(NO_FILE));
    places.take(asm, (STATE, word::MAPPING), FILE, none);
    store_word(asm, STATE, word::ERROR, Rhs::Imm(0));
    asm.imm(HOPS, 0);
    asm.bind(next);
    asm.may_goto(over);
    asm.call(Callee::Step);
    asm.branch(Cond::Eq, R0, Rhs::Imm(Status::Again as i32), next);
    asm.branch(Cond::Ne, R0, Rhs::Imm(Status::Hop as i32), over);
    // Loaded once: user space has the state mapped.
    load_word(asm, OFFSET, STATE, word::OFFSET);
    load_word(asm, LEN, STATE, word::LEN);
    asm.alu(AluOp::Add, HOPS, Rhs::Imm(1));
    asm.branch(Cond::Gt, LEN, Rhs::Imm(capacity), outside);
    asm.load(Width::B8, 1, FRAME, places.size);
    asm.branch(Cond::Gt, OFFSET, Rhs::Reg(1), outside);
    asm.alu(AluOp::Sub, 1, Rhs::Reg(OFFSET));
    asm.branch(Cond::Gt, LEN, Rhs::Reg(1), outside);
    for dynptr in places.cached.into_iter().chain(places.waiting) {
        asm.symbol(1, Symbol::Block, 0);
        asm.mov(2, LEN);
        asm.mov(4, OFFSET);
        file::read(asm, dynptr);
        asm.branch(Cond::Eq, R0, Rhs::Imm(0), next);
    }
    asm.jump(left);
    asm.bind(outside);
    asm.imm(R0, OUTSIDE as i64 as u64);
    asm.bind(left);
    store_word(asm, STATE, word::ERROR, Rhs::Reg(R0));
    asm.bind(over);
    load_word(asm, 1, STATE, word::HOPS);
    asm.alu(AluOp::Add, 1, Rhs::Reg(HOPS));
    store_word(asm, STATE, word::HOPS, Rhs::Reg(1));
    places.give_back(asm, none);
    asm.imm(R0, 0);
    asm.push(Insn::exit());
}
