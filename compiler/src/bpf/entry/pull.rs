//! A whole walk in one run: steps, and reads by calls between them.
//!
//! The state and block areas are the object's own, as under the harness. A read that cannot be made is left to user space, with
//! the reason in the word `error`: it tells the end of the file from a fault of the disk.

use super::file::{self, Places};
use super::looked_at::looked_at;
use super::{load_word, store_word, until};
use crate::bpf::abi::{self, Status, word};
use crate::bpf::asm::Assembler;
use crate::bpf::insn::{AluOp, Cond, FRAME, Insn, R0, Reg, Rhs, Width};
use crate::bpf::kernel::GET_CURRENT_PID_TGID;
use crate::bpf::program::{Callee, Symbol};
use crate::ir::Function;

/// `EBADF`: no file is mapped at the address.
const NO_FILE: i32 = -9;
/// `ECANCELED`: what an ioctl(2) that was a walk returns.
const CANCELED: i64 = -125;
/// `ERANGE`: the read does not lie in the file, or is longer than any that the walk makes.
const OUTSIDE: i32 = -34;

const STATE: Reg = 6;
/// The file, until there are dynptrs; then the offset of a read.
const FILE: Reg = 7;
const OFFSET: Reg = 7;
const LEN: Reg = 8;

pub fn write(asm: &mut Assembler, f: &Function, cached: bool, given: Option<(i16, i16)>) {
    let iterator = given.is_none().then_some(-8);
    let places = Places { iterator, size: -16, dynptr: -32, cached };
    let capacity = abi::block_capacity(f).min(i32::MAX as u64) as i32;
    let [none, next, over, outside, late, left] = [(); 6].map(|()| asm.label());
    if let Some(context) = given {
        ours(asm, context);
    } else {
        asm.symbol(STATE, Symbol::State, 0);
    }
    store_word(asm, STATE, word::ERROR, Rhs::Imm(NO_FILE));
    places.find(asm, (STATE, word::MAPPING), FILE, none);
    places.take(asm, FILE, none);
    store_word(asm, STATE, word::ERROR, Rhs::Imm(0));
    asm.bind(next);
    asm.may_goto(over);
    asm.call(Callee::Step);
    asm.branch(Cond::Eq, R0, Rhs::Imm(Status::Again as i32), next);
    asm.branch(Cond::Ne, R0, Rhs::Imm(Status::Hop as i32), over);
    until(asm, STATE, word::DEADLINE, late);
    // Loaded once: user space has the state mapped.
    load_word(asm, OFFSET, STATE, word::OFFSET);
    load_word(asm, LEN, STATE, word::LEN);
    asm.branch(Cond::Gt, LEN, Rhs::Imm(capacity), outside);
    asm.load(Width::B8, 1, FRAME, places.size);
    asm.branch(Cond::Gt, OFFSET, Rhs::Reg(1), outside);
    asm.alu(AluOp::Sub, 1, Rhs::Reg(OFFSET));
    asm.branch(Cond::Gt, LEN, Rhs::Reg(1), outside);
    asm.symbol(1, Symbol::Block, 0);
    asm.mov(2, LEN);
    // A disk is asked for whole blocks.
    let looked_at = looked_at(f, capacity as u64) as i32;
    if cached && looked_at < capacity {
        let short = asm.label();
        asm.branch(Cond::Lt, 2, Rhs::Imm(looked_at), short);
        asm.imm(2, looked_at as u64);
        asm.bind(short);
    }
    asm.mov(4, OFFSET);
    file::read(asm, places.dynptr);
    asm.branch(Cond::Eq, R0, Rhs::Imm(0), next);
    asm.jump(left);
    asm.bind(outside);
    asm.imm(R0, OUTSIDE as i64 as u64);
    asm.jump(left);
    asm.bind(late);
    asm.imm(R0, abi::TIMED_OUT as i64 as u64);
    asm.bind(left);
    store_word(asm, STATE, word::ERROR, Rhs::Reg(R0));
    asm.bind(over);
    places.give_back(asm, none);
    asm.imm(R0, given.map_or(0, |_| CANCELED as u64));
    asm.push(Insn::exit());
}

/// Lets all pass that is not a walk's ioctl(2) by the thread that owns the state; then the file is in its register.
fn ours(asm: &mut Assembler, (file, command): (i16, i16)) {
    let [mine, pass] = [(); 2].map(|()| asm.label());
    asm.load(Width::B4, 2, 1, command);
    asm.branch(Cond::Ne, 2, Rhs::Imm(abi::IOCTL), pass);
    asm.load(Width::B8, FILE, 1, file);
    asm.push(Insn::helper(GET_CURRENT_PID_TGID));
    asm.symbol(STATE, Symbol::State, 0);
    load_word(asm, 1, STATE, word::OWNER);
    asm.branch(Cond::Eq, 1, Rhs::Reg(R0), mine);
    asm.bind(pass);
    asm.imm(R0, 0);
    asm.push(Insn::exit());
    asm.bind(mine);
}
