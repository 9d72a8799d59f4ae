//! Many walks at once: completions are reaped, the steps of their walks run, the next reads submitted.
//!
//! The program is io_uring's `loop_step` (io_uring/loop.c): the kernel calls it again and again while it returns [`CONTINUE`], and sleeps in
//! between until the completions are there that it asked for. What lies where in the memory is [`ring`](crate::bpf::ring)'s.
//!
//! Two registers hold the walk that is looked after, as addresses in the memory; they are made from numbers that are compared with constants
//! first. Whatever goes wrong with a walk is left to user space, which finds it where it stopped.

use super::file::{self, Places};
use super::looked_at::LookedAt;
use super::{REASON, until};
use crate::bpf::abi::{self, Status};
use crate::bpf::asm::{Assembler, Label};
use crate::bpf::insn::{AluOp, Cond, Insn, R0, Reg, Rhs, Width};
use crate::bpf::kernel::{Function, Member};
use crate::bpf::program::Callee;
use crate::bpf::ring::{self, CONTINUE, NOT_TAKEN, RINGS, RingLayout, STOP, word};

/// `EINVAL`: no file has this offset.
const BAD_OFFSET: i32 = -22;

/// The number of the memory region (io_uring/bpf-ops.h).
const REGION_MEMORY: u64 = 0;

/// Bytes of a submission entry, as a shift; a completion's.
const SQE_SHIFT: i32 = 6;
const CQE_SHIFT: i32 = 4;
/// A submission entry's first eight bytes: `IORING_OP_READ_FIXED`, `IOSQE_FIXED_FILE`, no priority, the file number 0.
const READ_FIXED: i32 = 4 | 1 << 8;
/// Offsets in a submission entry.
const SQE_FILE: i16 = 4;
const SQE_OFFSET: i16 = 8;
const SQE_ADDRESS: i16 = 16;
const SQE_LEN: i16 = 24;
const SQE_USER_DATA: i16 = 32;
/// The state in `user_data` stands above the block.
const STATE_SHIFT: i32 = 32;

/// The arguments of the call.
const CONTEXT: Reg = 6;
/// The rings, from which all in the memory is found.
const RING: Reg = 7;
/// The walk's state area and block area. A file is in the first until there is a dynptr.
const STATE: Reg = 8;
const FILE: Reg = 8;
const BLOCK: Reg = 9;
/// Behind the last entry that was filled, and behind the last completion that was taken, when no walk is looked after.
const TAIL: Reg = 8;
const HEAD: Reg = 9;
/// A read that is wanted.
const LEN: Reg = 2;
const OFFSET: Reg = 4;

/// Writes the entry.
pub fn write(asm: &mut Assembler, ring: &RingLayout, looked_at: Option<LookedAt>, sources: u32) {
    let [reap, failed, launch, run, start, submit, none, stop] = [(); 8].map(|()| asm.label());
    let cached = looked_at.map(|looked_at| (Places::by_mapping(true), looked_at));
    let mut entry = RingEntry { asm, ring, cached, sources, reap, failed, launch, run, start, submit, none, stop };
    entry.begin();
    entry.reap();
    entry.launch();
    entry.run();
    entry.start();
    entry.submit();
}

struct RingEntry<'a> {
    asm: &'a mut Assembler,
    ring: &'a RingLayout,
    /// What is in the page cache is read at once.
    cached: Option<(Places, LookedAt)>,
    sources: u32,
    /// Takes the next completion.
    reap: Label,
    /// Ends the walk for [`REASON`].
    failed: Label,
    /// Gives the walk a call.
    launch: Label,
    /// Runs the walk.
    run: Label,
    /// Begins a walk.
    start: Label,
    /// Submits what is queued and waits.
    submit: Label,
    /// The same without a file.
    none: Label,
    /// Returns to user space.
    stop: Label,
}

impl RingEntry<'_> {
    fn load_word(&mut self, dst: Reg, position: usize) {
        self.asm.load(Width::B8, dst, RING, ring::header(position));
    }

    fn store_word(&mut self, position: usize, value: Rhs<Reg>) {
        self.asm.store(Width::B8, RING, ring::header(position), value);
    }

    /// Finds the memory and the file. Without memory nothing can be told but that.
    fn begin(&mut self) {
        let asm = &mut *self.asm;
        asm.mov(CONTEXT, 1);
        asm.load(Width::B8, 1, CONTEXT, 0);
        asm.imm(2, REGION_MEMORY);
        asm.imm(3, self.ring.size.into());
        asm.kernel(Function::Region);
        asm.branch(Cond::Eq, R0, Rhs::Imm(0), self.stop);
        asm.mov(RING, R0);
        asm.alu(AluOp::Add, RING, Rhs::Imm(RINGS as i32));
        if let Some((places, _)) = &self.cached {
            places.find(asm, (RING, ring::header(word::MAPPING)), FILE, self.none);
            places.take(asm, FILE);
        }
    }

    /// Takes a completion and hands its block to the walk.
    fn reap(&mut self) {
        let asm = &mut *self.asm;
        asm.bind(self.reap);
        asm.load_member(1, RING, Member::CqHead);
        asm.load_member(2, RING, Member::CqTail);
        asm.branch(Cond::Eq, 1, Rhs::Reg(2), self.start);
        asm.mov(3, 1);
        asm.alu(AluOp::And, 3, Rhs::Imm(2 * self.ring.walks as i32 - 1));
        asm.alu(AluOp::Lsh, 3, Rhs::Imm(CQE_SHIFT));
        asm.alu(AluOp::Add, 3, Rhs::Reg(RING));
        asm.load_member(STATE, 3, Member::CqeUserData);
        asm.load_member(REASON, 3, Member::CqeResult);
        asm.alu(AluOp::Add, 1, Rhs::Imm(1));
        asm.store_member(RING, Member::CqHead, 1);
        // A name that is none of ours is nobody's loss but user space's.
        asm.push(Insn::low(BLOCK, STATE));
        asm.alu(AluOp::Rsh, STATE, Rhs::Imm(STATE_SHIFT));
        asm.branch(Cond::Gt, STATE, Rhs::Imm(self.ring.last_state() as i32), self.submit);
        asm.alu(AluOp::Add, STATE, Rhs::Reg(RING));
        asm.branch(Cond::Gt, BLOCK, Rhs::Imm(self.ring.last_block() as i32), self.submit);
        asm.alu(AluOp::Add, BLOCK, Rhs::Reg(RING));
        // The result has 32 bits, and no length has the sign of an error among them.
        asm.load(Width::B8, LEN, STATE, super::header(abi::word::LEN));
        asm.branch(Cond::Eq, REASON, Rhs::Reg(LEN), self.run);
        asm.bind(self.failed);
        asm.store(Width::B8, STATE, super::header(abi::word::ERROR), Rhs::Reg(REASON));
    }

    /// Gives the walk the next call; without one it is over. What has completed meanwhile is taken in the next run then: here every loop goes through
    /// `run`.
    fn launch(&mut self) {
        let stride = self.ring.state_stride as i32;
        self.asm.bind(self.launch);
        self.load_word(STATE, word::NEXT);
        let last = (self.ring.calls as i32 - 1) * stride;
        self.asm.branch(Cond::Gt, STATE, Rhs::Imm(last), self.submit);
        self.asm.mov(1, STATE);
        self.asm.alu(AluOp::Add, 1, Rhs::Imm(-stride));
        self.store_word(word::NEXT, Rhs::Reg(1));
        self.asm.alu(AluOp::Add, STATE, Rhs::Reg(RING));
        self.asm.alu(AluOp::Add, STATE, Rhs::Imm(self.ring.states as i32));
    }

    /// Runs the walk until it waits for a block that is not there, or has ended. When the time is over this run is, too: user space makes the
    /// read that the walk asked for last.
    fn run(&mut self) {
        let asm = &mut *self.asm;
        asm.bind(self.run);
        asm.may_goto(self.submit);
        asm.mov(1, STATE);
        asm.mov(2, BLOCK);
        asm.call(Callee::Step);
        asm.branch(Cond::Eq, R0, Rhs::Imm(Status::Again as i32), self.run);
        asm.branch(Cond::Ne, R0, Rhs::Imm(Status::Hop as i32), self.launch);
        until(asm, RING, ring::header(word::DEADLINE), self.failed);
        self.wanted();
        if let Some((places, looked_at)) = self.cached {
            self.look(&places, looked_at);
            self.wanted();
        }
        self.ask();
    }

    /// Loads the read that the walk wants. User space may change it meanwhile: whoever makes the read compares it with the file and with the memory.
    fn wanted(&mut self) {
        self.asm.load(Width::B8, OFFSET, STATE, super::header(abi::word::OFFSET));
        self.asm.load(Width::B8, LEN, STATE, super::header(abi::word::LEN));
    }

    /// Looks for the block in the page cache.
    fn look(&mut self, places: &Places, looked_at: LookedAt) {
        let asm = &mut *self.asm;
        // In the last page the cache goes on behind the file's end.
        asm.imm(REASON, BAD_OFFSET as i64 as u64);
        places.inside(asm, OFFSET, LEN, self.failed);
        looked_at.shorten(asm, LEN);
        asm.mov(1, BLOCK);
        file::read(asm, places.dynptr);
        asm.branch(Cond::Eq, R0, Rhs::Imm(0), self.run);
    }

    /// Fills a submission entry.
    fn ask(&mut self) {
        let asm = &mut *self.asm;
        // -1 would be the file's own position.
        asm.imm(REASON, BAD_OFFSET as i64 as u64);
        asm.branch(Cond::Slt, OFFSET, Rhs::Imm(0), self.failed);
        asm.load_member(1, RING, Member::SqTail);
        asm.mov(3, 1);
        asm.alu(AluOp::And, 3, Rhs::Imm(self.ring.walks as i32 - 1));
        asm.alu(AluOp::Lsh, 3, Rhs::Imm(SQE_SHIFT));
        asm.alu(AluOp::Add, 3, Rhs::Reg(RING));
        asm.alu(AluOp::Add, 3, Rhs::Imm(self.ring.entries as i32));
        asm.alu(AluOp::Add, 1, Rhs::Imm(1));
        asm.store_member(RING, Member::SqTail, 1);
        asm.store(Width::B8, 3, 0, Rhs::Imm(READ_FIXED));
        if self.sources > 1 {
            asm.load(Width::B8, 1, STATE, super::header(abi::word::SOURCE));
            asm.store(Width::B4, 3, SQE_FILE, Rhs::Reg(1));
        }
        asm.store(Width::B8, 3, SQE_OFFSET, Rhs::Reg(OFFSET));
        asm.store(Width::B4, 3, SQE_LEN, Rhs::Reg(LEN));
        for (area, place) in [(STATE, SQE_USER_DATA + STATE_SHIFT as i16 / 8), (BLOCK, SQE_USER_DATA)] {
            asm.mov(1, area);
            asm.alu(AluOp::Sub, 1, Rhs::Reg(RING));
            asm.store(Width::B4, 3, place, Rhs::Reg(1));
        }
        self.load_word(2, word::ADDRESS);
        let asm = &mut *self.asm;
        asm.alu(AluOp::Add, 1, Rhs::Reg(2));
        // What is not written stays zero, as the kernel has found it.
        asm.store(Width::B8, 3, SQE_ADDRESS, Rhs::Reg(1));
        asm.jump(self.reap);
    }

    /// With no completion left: begins a walk, if there are more to be.
    fn start(&mut self) {
        self.asm.bind(self.start);
        self.load_word(BLOCK, word::START);
        self.asm.branch(Cond::Gt, BLOCK, Rhs::Imm(self.ring.last_block() as i32), self.submit);
        self.asm.mov(1, BLOCK);
        self.asm.alu(AluOp::Add, 1, Rhs::Imm(self.ring.block_stride as i32));
        self.store_word(word::START, Rhs::Reg(1));
        self.asm.alu(AluOp::Add, BLOCK, Rhs::Reg(RING));
        self.asm.jump(self.launch);
    }

    /// Submits; then waits for completions, or ends when none will come. What is done at once is left to the next call: a way back from
    /// here would make a loop of the ways that are taken when the time is over, which the verifier takes for an endless one.
    fn submit(&mut self) {
        let refused = self.asm.label();
        self.asm.bind(self.submit);
        if let Some((places, _)) = &self.cached {
            // A request may want the lock that the iterator holds.
            places.give_back(self.asm, self.none);
        }
        let asm = &mut *self.asm;
        // Each entry gives one completion: what is in flight, or will be, is the difference.
        asm.load_member(TAIL, RING, Member::SqTail);
        asm.load_member(HEAD, RING, Member::CqHead);
        asm.branch(Cond::Eq, TAIL, Rhs::Reg(HEAD), self.stop);
        asm.load(Width::B8, 1, CONTEXT, 0);
        asm.imm(2, self.ring.walks.into());
        asm.kernel(Function::Submit);
        asm.load_member(1, RING, Member::SqHead);
        asm.branch(Cond::Ne, 1, Rhs::Reg(TAIL), refused);
        asm.alu(AluOp::Sub, TAIL, Rhs::Reg(HEAD));
        asm.push(Insn::low(2, TAIL));
        // For a quarter of it, at least one: to wake up for each costs as much as a hop.
        asm.alu(AluOp::Add, 2, Rhs::Imm(3));
        asm.alu(AluOp::Rsh, 2, Rhs::Imm(2));
        asm.alu(AluOp::Add, 2, Rhs::Reg(HEAD));
        asm.load(Width::B8, 3, CONTEXT, 8);
        asm.store_member(3, Member::WaitIndex, 2);
        asm.imm(R0, CONTINUE as u64);
        asm.push(Insn::exit());
        asm.bind(refused);
        self.store_word(word::ERROR, Rhs::Imm(NOT_TAKEN));
        self.asm.bind(self.stop);
        self.asm.imm(R0, STOP as u64);
        self.asm.push(Insn::exit());
    }
}
