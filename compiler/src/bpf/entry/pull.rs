//! A whole walk in one run: steps, and reads by calls between them.
//!
//! The state and block areas are the object's own, as under the harness. A read that cannot be made is left to user space, with
//! the reason in the word `error`: it tells the end of the file from a fault of the disk.

use super::file::{self, Places};
use super::looked_at::LookedAt;
use super::{REASON, header, load_word, store_word, until};
use crate::bpf::abi::{self, Status, word};
use crate::bpf::asm::Assembler;
use crate::bpf::insn::{Cond, Insn, R0, Reg, Rhs, Width};
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
/// The file, until there is a dynptr.
const FILE: Reg = 7;
/// A read that is wanted.
const LEN: Reg = 2;
const OFFSET: Reg = 4;

pub fn write(asm: &mut Assembler, f: &Function, cached: bool, given: Option<(i16, i16)>) {
    let [none, next, over, left] = [(); 4].map(|()| asm.label());
    let places = match given {
        Some(context) => {
            ours(asm, context);
            store_word(asm, STATE, word::ERROR, Rhs::Imm(NO_FILE));
            Places::readable(asm, FILE, none);
            Places::of_given(cached)
        }
        None => {
            asm.symbol(STATE, Symbol::State, 0);
            store_word(asm, STATE, word::ERROR, Rhs::Imm(NO_FILE));
            Places::by_mapping(cached)
        }
    };
    places.find(asm, (STATE, header(word::MAPPING)), FILE, none);
    places.take(asm, FILE);
    store_word(asm, STATE, word::ERROR, Rhs::Imm(0));
    asm.bind(next);
    asm.may_goto(over);
    asm.call(Callee::Step);
    asm.branch(Cond::Eq, R0, Rhs::Imm(Status::Again as i32), next);
    asm.branch(Cond::Ne, R0, Rhs::Imm(Status::Hop as i32), over);
    until(asm, STATE, header(word::DEADLINE), left);
    // Loaded once: user space has the state mapped.
    load_word(asm, OFFSET, STATE, word::OFFSET);
    load_word(asm, LEN, STATE, word::LEN);
    asm.imm(REASON, OUTSIDE as i64 as u64);
    places.inside(asm, OFFSET, LEN, left);
    // A disk is asked for whole blocks.
    if cached {
        LookedAt::of(f).shorten(asm, LEN);
    } else {
        let capacity = abi::block_capacity(f).min(i32::MAX as u64) as i32;
        asm.branch(Cond::Gt, LEN, Rhs::Imm(capacity), left);
    }
    asm.symbol(1, Symbol::Block, 0);
    file::read(asm, places.dynptr);
    asm.branch(Cond::Eq, R0, Rhs::Imm(0), next);
    asm.mov(REASON, R0);
    asm.bind(left);
    store_word(asm, STATE, word::ERROR, Rhs::Reg(REASON));
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
