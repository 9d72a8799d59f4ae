//! Many walks at once: completions are reaped, the steps of their walks run, the next reads submitted.
//!
//! The program is io_uring's `loop_step` (io_uring/loop.c): the kernel calls it again and again while it returns [`CONTINUE`], and sleeps in
//! between until the completions are there that it asked for. What lies where in the memory is [`ring`](crate::bpf::ring)'s.

use super::file::{self, Places};
use super::looked_at::looked_at;
use super::{load_word, store_word, until};
use crate::bpf::abi::{self, Status};
use crate::bpf::asm::{Assembler, Label};
use crate::bpf::insn::{AluOp, Cond, FRAME, Insn, R0, Reg, Rhs, Width};
use crate::bpf::kernel::{Function, Member};
use crate::bpf::program::Callee;
use crate::bpf::ring::{CONTINUE, RingLayout, STOP, word};
use crate::ir;

/// `EINVAL`: no file has this offset.
const BAD_OFFSET: i32 = -22;
/// `EFAULT`: what user space wrote into the region makes no sense.
const BAD_REGION: i32 = -14;

/// `EBADF`: no file is mapped at the address.
const NO_FILE: i32 = -9;

/// Region numbers (io_uring/bpf-ops.h).
const REGION_MEMORY: u64 = 0;
const REGION_COMPLETIONS: u64 = 1;
const REGION_SUBMISSIONS: u64 = 2;

/// Bytes of a submission entry, as a shift; a completion's.
const SQE_SHIFT: i32 = 6;
const CQE_SHIFT: i32 = 4;
/// Above the offset of the first completion in the completion region, on any kernel.
const CQES_AT_MOST: u64 = 256;
/// A submission entry's first four bytes: `IORING_OP_READ_FIXED`, `IOSQE_FIXED_FILE`, no priority.
const READ_FIXED: i32 = 4 | 1 << 8;

/// The context of the call, opaque.
const CONTEXT: Reg = 6;
const REGION: Reg = 7;
const COMPLETIONS: Reg = 8;
const SUBMISSIONS: Reg = 9;

/// A walk with its call, as `user_data` names them: the call above, the walk below.
const CALL_SHIFT: i32 = 16;
const WALK_MASK: i32 = (1 << CALL_SHIFT) - 1;
/// Above the length in a submission entry: `IORING_NOP_INJECT_RESULT`, the length is what the request gives.
const INJECT: i32 = 1;

/// Places on the stack.
const PARAMS: i16 = -8;
const STATE: i16 = -16;
const BLOCK: i16 = -24;
const NAME: i16 = -32;
const OFFSET: i16 = -40;
const LEN: i16 = -48;
const PLACES: Places = Places { iterator: Some(-56), size: -64, dynptr: -80, cached: true };

/// Writes the entry.
pub fn write(asm: &mut Assembler, ring: &RingLayout, f: &ir::Function, cached: bool, sources: u32) {
    let [reap, run, launch, submit, none, stop, corrupt] = [(); 7].map(|()| asm.label());
    let capacity = abi::block_capacity(f).min(i32::MAX as u64) as i32;
    let looked_at = looked_at(f, capacity as u64) as i32;
    let mut entry =
        RingEntry { asm, ring, cached, sources, capacity, looked_at, reap, run, launch, submit, none, stop, corrupt };
    entry.regions();
    entry.reap();
    entry.start();
    entry.run();
    entry.launch();
    entry.submit();
    entry.ends();
}

struct RingEntry<'a> {
    asm: &'a mut Assembler,
    ring: &'a RingLayout,
    cached: bool,
    sources: u32,
    capacity: i32,
    looked_at: i32,
    /// Takes the next completion.
    reap: Label,
    /// Runs the walk whose places are on the stack.
    run: Label,
    /// Gives the walk a call.
    launch: Label,
    /// Submits what is queued and waits.
    submit: Label,
    /// Behind the file, without dynptrs.
    none: Label,
    /// Returns to user space.
    stop: Label,
    /// What was read from the region makes no sense.
    corrupt: Label,
}

impl RingEntry<'_> {
    /// Finds the memory. Without it nothing can be told but that.
    fn regions(&mut self) {
        let quit = self.asm.label();
        let walks = u64::from(self.ring.walks);
        self.asm.load(Width::B8, CONTEXT, 1, 0);
        self.asm.load(Width::B8, 1, 1, 8);
        self.asm.store(Width::B8, FRAME, PARAMS, Rhs::Reg(1));
        self.region(REGION, REGION_MEMORY, u64::from(self.ring.size), quit);
        self.region(COMPLETIONS, REGION_COMPLETIONS, CQES_AT_MOST + ((2 * walks) << CQE_SHIFT), quit);
        let on = self.asm.label();
        self.asm.jump(on);
        self.asm.bind(quit);
        self.asm.imm(R0, STOP as u64);
        self.asm.push(Insn::exit());
        self.asm.bind(on);
        if self.cached {
            store_word(self.asm, REGION, word::ERROR, Rhs::Imm(NO_FILE));
            // The file stands in the register only until there is a dynptr.
            PLACES.find(self.asm, (REGION, word::MAPPING), SUBMISSIONS, self.none);
            PLACES.take(self.asm, SUBMISSIONS, self.none);
            store_word(self.asm, REGION, word::ERROR, Rhs::Imm(0));
        }
        self.region(SUBMISSIONS, REGION_SUBMISSIONS, walks << SQE_SHIFT, self.stop);
    }

    /// `dst` points to so many bytes of a region.
    fn region(&mut self, dst: Reg, id: u64, size: u64, missing: Label) {
        self.asm.mov(1, CONTEXT);
        self.asm.imm(2, id);
        self.asm.imm(3, size);
        self.asm.kernel(Function::Region);
        self.asm.branch(Cond::Eq, R0, Rhs::Imm(0), missing);
        self.asm.mov(dst, R0);
    }

    /// Puts the places of the walk and the call that a register names on the stack; it is not trusted. Changes registers 1 to 3 and it.
    fn walk_of(&mut self, name: Reg) {
        self.asm.store(Width::B8, FRAME, NAME, Rhs::Reg(name));
        self.asm.mov(1, name);
        self.asm.alu(AluOp::Rsh, 1, Rhs::Imm(CALL_SHIFT));
        self.asm.branch(Cond::Gt, 1, Rhs::Imm(self.ring.calls as i32 - 1), self.corrupt);
        self.state_of(1);
        self.asm.alu(AluOp::And, name, Rhs::Imm(WALK_MASK));
        self.asm.branch(Cond::Gt, name, Rhs::Imm(self.ring.walks as i32 - 1), self.corrupt);
        self.block_of(name);
    }

    /// The state of a call that has been checked. Changes register 2 and `call`.
    fn state_of(&mut self, call: Reg) {
        let state = self.element(2, call, self.ring.states, self.ring.state_stride);
        self.asm.store(Width::B8, FRAME, STATE, Rhs::Reg(state));
    }

    /// The block area of a walk that has been checked. Changes register 2.
    fn block_of(&mut self, walk: Reg) {
        let block = self.element(2, walk, self.ring.blocks, self.ring.block_stride);
        self.asm.store(Width::B8, FRAME, BLOCK, Rhs::Reg(block));
    }

    /// `dst` points to an element of a table in the region.
    fn element(&mut self, dst: Reg, index: Reg, start: u32, stride: u32) -> Reg {
        self.asm.mov(dst, index);
        self.asm.alu(AluOp::Mul, dst, Rhs::Imm(stride as i32));
        self.asm.alu(AluOp::Add, dst, Rhs::Reg(REGION));
        self.asm.alu(AluOp::Add, dst, Rhs::Imm(start as i32));
        dst
    }

    /// Adds to a word of the header. Changes register 1.
    fn count(&mut self, position: usize, by: i32) {
        load_word(self.asm, 1, REGION, position);
        self.asm.alu(AluOp::Add, 1, Rhs::Imm(by));
        store_word(self.asm, REGION, position, Rhs::Reg(1));
    }

    /// Takes a completion and hands its block to the walk.
    fn reap(&mut self) {
        let start = self.asm.label();
        let asm = &mut *self.asm;
        asm.bind(self.reap);
        asm.load_member(1, COMPLETIONS, Member::CqHead);
        asm.load_member(2, COMPLETIONS, Member::CqTail);
        asm.branch(Cond::Eq, 1, Rhs::Reg(2), start);
        asm.mov(3, 1);
        asm.alu(AluOp::And, 3, Rhs::Imm(2 * self.ring.walks as i32 - 1));
        asm.alu(AluOp::Lsh, 3, Rhs::Imm(CQE_SHIFT));
        asm.alu(AluOp::Add, 3, Rhs::Reg(COMPLETIONS));
        asm.load_member(4, 3, Member::CqeUserData);
        asm.load_member(5, 3, Member::CqeResult);
        asm.alu(AluOp::Add, 1, Rhs::Imm(1));
        asm.store_member(COMPLETIONS, Member::CqHead, 1);
        self.walk_of(4);
        let asm = &mut *self.asm;
        // The result has 32 bits, and no length has the sign of an error among them.
        asm.load(Width::B8, 1, FRAME, STATE);
        load_word(asm, 2, 1, abi::word::LEN);
        asm.branch(Cond::Eq, 5, Rhs::Reg(2), self.run);
        store_word(asm, 1, abi::word::ERROR, Rhs::Reg(5));
        asm.jump(self.launch);
        asm.bind(start);
    }

    /// With no completion left: gives the walks that have none their first call.
    fn start(&mut self) {
        load_word(self.asm, 1, REGION, word::NEXT);
        load_word(self.asm, 2, REGION, word::COUNT);
        self.asm.branch(Cond::Ge, 1, Rhs::Reg(2), self.submit);
        load_word(self.asm, 1, REGION, word::STARTED);
        self.asm.branch(Cond::Gt, 1, Rhs::Imm(self.ring.walks as i32 - 1), self.submit);
        self.asm.store(Width::B8, FRAME, NAME, Rhs::Reg(1));
        self.block_of(1);
        self.asm.alu(AluOp::Add, 1, Rhs::Imm(1));
        store_word(self.asm, REGION, word::STARTED, Rhs::Reg(1));
        self.count(word::ACTIVE, 1);
        self.asm.jump(self.launch);
    }

    /// Runs the walk until it waits for a block that is not there, or has ended.
    fn run(&mut self) {
        let [late, bad] = [(); 2].map(|()| self.asm.label());
        let [past, fill] = [(); 2].map(|()| self.asm.label());
        let asm = &mut *self.asm;
        asm.bind(self.run);
        asm.may_goto(late);
        asm.load(Width::B8, 1, FRAME, STATE);
        asm.load(Width::B8, 2, FRAME, BLOCK);
        asm.call(Callee::Step);
        asm.branch(Cond::Eq, R0, Rhs::Imm(Status::Again as i32), self.run);
        asm.branch(Cond::Ne, R0, Rhs::Imm(Status::Hop as i32), self.launch);
        until(asm, REGION, word::DEADLINE, past);
        asm.load(Width::B8, 1, FRAME, STATE);
        load_word(asm, 4, 1, abi::word::OFFSET);
        load_word(asm, 2, 1, abi::word::LEN);
        if self.cached {
            asm.branch(Cond::Gt, 2, Rhs::Imm(self.capacity), bad);
            self.look(bad);
        }
        self.ask(bad, fill);
        let asm = &mut *self.asm;
        asm.bind(bad);
        asm.load(Width::B8, 1, FRAME, STATE);
        store_word(asm, 1, abi::word::ERROR, Rhs::Imm(BAD_OFFSET));
        asm.jump(self.launch);
        asm.bind(past);
        asm.load(Width::B8, 1, FRAME, STATE);
        store_word(asm, 1, abi::word::ERROR, Rhs::Imm(abi::TIMED_OUT));
        asm.jump(self.launch);
        // Others have their turn. A request that does nothing gives what the last read gave.
        asm.bind(late);
        asm.load(Width::B8, 1, FRAME, STATE);
        load_word(asm, 2, 1, abi::word::LEN);
        asm.imm(R0, (INJECT as u64) << 32);
        asm.alu(AluOp::Or, 2, Rhs::Reg(R0));
        asm.imm(4, 0);
        asm.imm(R0, 0);
        asm.jump(fill);
    }

    /// Looks for the block in the page cache. Keeps offset and length in registers 4 and 2.
    fn look(&mut self, bad: Label) {
        let asm = &mut *self.asm;
        // In the last page the cache goes on behind the file's end.
        asm.load(Width::B8, 3, FRAME, PLACES.size);
        asm.branch(Cond::Gt, 4, Rhs::Reg(3), bad);
        asm.alu(AluOp::Sub, 3, Rhs::Reg(4));
        asm.branch(Cond::Gt, 2, Rhs::Reg(3), bad);
        asm.store(Width::B8, FRAME, OFFSET, Rhs::Reg(4));
        asm.store(Width::B8, FRAME, LEN, Rhs::Reg(2));
        let copy = asm.label();
        if self.looked_at < self.capacity {
            asm.branch(Cond::Lt, 2, Rhs::Imm(self.looked_at), copy);
            asm.imm(2, self.looked_at as u64);
        }
        asm.bind(copy);
        asm.load(Width::B8, 1, FRAME, BLOCK);
        file::read(asm, PLACES.dynptr);
        asm.branch(Cond::Eq, R0, Rhs::Imm(0), self.run);
        asm.load(Width::B8, 1, FRAME, STATE);
        asm.load(Width::B8, 4, FRAME, OFFSET);
        asm.load(Width::B8, 2, FRAME, LEN);
    }

    /// Fills a submission entry for length and offset in registers 2 and 4; the state is in 1. The kernel compares both with the file and with the memory.
    fn ask(&mut self, bad: Label, fill: Label) {
        let asm = &mut *self.asm;
        // -1 would be the file's own position.
        asm.branch(Cond::Slt, 4, Rhs::Imm(0), bad);
        // With it the file, number 0.
        asm.imm(R0, READ_FIXED as u64);
        asm.bind(fill);
        load_word(asm, 5, REGION, word::QUEUED);
        asm.branch(Cond::Gt, 5, Rhs::Imm(self.ring.walks as i32 - 1), self.corrupt);
        asm.mov(3, 5);
        asm.alu(AluOp::Lsh, 3, Rhs::Imm(SQE_SHIFT));
        asm.alu(AluOp::Add, 3, Rhs::Reg(SUBMISSIONS));
        asm.alu(AluOp::Add, 5, Rhs::Imm(1));
        store_word(asm, REGION, word::QUEUED, Rhs::Reg(5));
        asm.store(Width::B8, 3, 0, Rhs::Reg(R0));
        if self.sources > 1 {
            load_word(asm, 5, 1, abi::word::SOURCE);
            asm.store(Width::B4, 3, 4, Rhs::Reg(5));
        }
        asm.store(Width::B8, 3, 8, Rhs::Reg(4));
        // The length, and flags above it.
        asm.store(Width::B8, 3, 24, Rhs::Reg(2));
        asm.load(Width::B8, 1, FRAME, NAME);
        // What is behind it stays zero, as the kernel has made it.
        asm.store(Width::B8, 3, 32, Rhs::Reg(1));
        asm.alu(AluOp::And, 1, Rhs::Imm(WALK_MASK));
        asm.alu(AluOp::Mul, 1, Rhs::Imm(self.ring.block_stride as i32));
        load_word(asm, 5, REGION, word::BLOCKS);
        asm.alu(AluOp::Add, 1, Rhs::Reg(5));
        asm.store(Width::B8, 3, 16, Rhs::Reg(1));
        // When the time is over this run is, too.
        asm.branch(Cond::Eq, R0, Rhs::Imm(0), self.submit);
        asm.jump(self.reap);
    }

    /// Gives the walk on the stack the next call; without one it is over.
    fn launch(&mut self) {
        let asm = &mut *self.asm;
        let over = asm.label();
        asm.bind(self.launch);
        load_word(asm, 1, REGION, word::NEXT);
        load_word(asm, 2, REGION, word::COUNT);
        asm.branch(Cond::Ge, 1, Rhs::Reg(2), over);
        asm.branch(Cond::Gt, 1, Rhs::Imm(self.ring.calls as i32 - 1), over);
        asm.mov(2, 1);
        asm.alu(AluOp::Add, 2, Rhs::Imm(1));
        store_word(asm, REGION, word::NEXT, Rhs::Reg(2));
        asm.load(Width::B8, 4, FRAME, NAME);
        asm.alu(AluOp::And, 4, Rhs::Imm(WALK_MASK));
        asm.mov(2, 1);
        asm.alu(AluOp::Lsh, 2, Rhs::Imm(CALL_SHIFT));
        asm.alu(AluOp::Or, 4, Rhs::Reg(2));
        asm.store(Width::B8, FRAME, NAME, Rhs::Reg(4));
        self.state_of(1);
        self.asm.jump(self.run);
        self.asm.bind(over);
        // What has completed meanwhile is taken in the next run: here every loop goes through `run`.
        self.count(word::ACTIVE, -1);
    }

    /// Submits; then waits for a completion, or ends when none will come. What is done at once is left to the next call: a way back from
    /// here would make a loop of the ways that are taken when the time is over, which the verifier takes for an endless one.
    fn submit(&mut self) {
        let [idle, refused, unused] = [(); 3].map(|()| self.asm.label());
        self.asm.bind(self.submit);
        if self.cached {
            // A request may want the lock that the iterator holds.
            PLACES.give_back(self.asm, unused);
        }
        let asm = &mut *self.asm;
        load_word(asm, 2, REGION, word::QUEUED);
        asm.branch(Cond::Eq, 2, Rhs::Imm(0), idle);
        asm.mov(1, CONTEXT);
        asm.kernel(Function::Submit);
        load_word(asm, 2, REGION, word::QUEUED);
        store_word(asm, REGION, word::QUEUED, Rhs::Imm(0));
        asm.alu(AluOp::Sub, 2, Rhs::Reg(R0));
        asm.alu(AluOp::Lsh, 2, Rhs::Imm(32));
        asm.branch(Cond::Ne, 2, Rhs::Imm(0), refused);
        asm.bind(idle);
        self.wait(refused);
    }

    fn wait(&mut self, refused: Label) {
        let [sleep, back] = [(); 2].map(|()| self.asm.label());
        let asm = &mut *self.asm;
        asm.load(Width::B8, 3, FRAME, PARAMS);
        asm.load_member(2, COMPLETIONS, Member::CqTail);
        asm.load_member(1, COMPLETIONS, Member::CqHead);
        asm.branch(Cond::Ne, 1, Rhs::Reg(2), back);
        load_word(asm, 1, REGION, word::ACTIVE);
        asm.branch(Cond::Ne, 1, Rhs::Imm(0), sleep);
        asm.imm(R0, STOP as u64);
        asm.push(Insn::exit());
        asm.bind(sleep);
        // For a quarter of what is in flight, at least one: to wake up for each costs as much as a hop.
        asm.alu(AluOp::Add, 1, Rhs::Imm(3));
        asm.alu(AluOp::Rsh, 1, Rhs::Imm(2));
        asm.alu(AluOp::Add, 2, Rhs::Reg(1));
        // Without a sleep the kernel calls again at once.
        asm.bind(back);
        asm.store_member(3, Member::WaitIndex, 2);
        asm.imm(R0, CONTINUE as u64);
        asm.push(Insn::exit());
        asm.bind(refused);
        store_word(asm, REGION, word::ERROR, Rhs::Reg(R0));
        asm.imm(R0, STOP as u64);
        asm.push(Insn::exit());
    }

    /// The other ways out.
    fn ends(&mut self) {
        let asm = &mut *self.asm;
        asm.bind(self.corrupt);
        store_word(asm, REGION, word::ERROR, Rhs::Imm(BAD_REGION));
        asm.bind(self.stop);
        if self.cached {
            PLACES.give_back(asm, self.none);
        }
        asm.imm(R0, STOP as u64);
        asm.push(Insn::exit());
    }
}
