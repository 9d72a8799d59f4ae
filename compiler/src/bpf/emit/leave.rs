//! Ways out of the program: faults, and the end of a step.
//!
//! Faults leave by small stubs behind the code, which share one end; a stub puts in place what the fault reports, so the common path pays
//! one jump a check. Under a hook whose kernel makes the reads, the context is told last, from what stands in the state.

use super::Emitter;
use crate::bpf::abi::{AT_VALID, FOUND_VALID, MISALIGNED, Status, TRAP, word};
use crate::bpf::asm::Label;
use crate::bpf::insn::{AluOp, Cond, FRAME, Insn, R0, Reg, Rhs, Width};
use crate::bpf::program::Symbol;
use crate::bpf::regalloc::Home;
use crate::bpf::target::{Areas, Context};
use crate::bpf::vcode::{Exit, Report};
use crate::source::Span;

/// What a stub reports, by where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Stub {
    Trap,
    Fault { fault: u32, left: Left, found: Option<Source>, at: Option<Source> },
}

/// How much of what a fault reports stands in registers; the rest is in one number with the fault. Each begins where the common end
/// has less left to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Left {
    /// Nothing: neither a value found, nor an offset that is not known here.
    Packed,
    /// The value found.
    Found,
    /// The offset; no value was found.
    At,
    /// Both.
    All,
}

impl Stub {
    fn left(&self) -> Left {
        match self {
            Stub::Trap => Left::Packed,
            Stub::Fault { left, .. } => *left,
        }
    }
}

impl Left {
    pub(super) fn of(exit: &Exit) -> Left {
        match exit {
            Exit::Trap => Left::Packed,
            Exit::Fault { fault, found, at } => {
                let fits = match at {
                    None => true,
                    Some(Report::Const(at)) => *at <= AT_MOST,
                    Some(Report::Reg(_)) => false,
                };
                match found {
                    None if fault.0 < 1 << 16 && fits => Left::Packed,
                    Some(_) if fault.0 < 1 << 16 && fits => Left::Found,
                    None => Left::At,
                    Some(_) => Left::All,
                }
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Home(Home),
    Const(u64),
}

/// Where the context's address is kept.
const CONTEXT_SLOT: i16 = -8;
/// Where the areas' addresses are kept that a step was called with.
const STATE_SLOT: i16 = -8;
const BLOCK_SLOT: i16 = -16;

/// Stack slots for the addresses.
pub(super) fn reserved_slots(areas: &Areas) -> u32 {
    match areas {
        Areas::Maps => 0,
        Areas::Context(_) => 1,
        Areas::Arguments => 2,
    }
}

/// The context, and a register to compute with, in the tails.
const CONTEXT: Reg = 1;
const STATE_IN_TAIL: Reg = 2;
const WORD: Reg = 3;
const LOW: Reg = 4;

impl Emitter<'_> {
    /// Begins the program.
    pub(super) fn start(&mut self) {
        self.asm.at(self.span);
        match self.areas {
            Areas::Maps => {}
            Areas::Context(_) => self.asm.store(Width::B8, FRAME, CONTEXT_SLOT, Rhs::Reg(CONTEXT)),
            Areas::Arguments => {
                for (register, slot) in [(1, STATE_SLOT), (2, BLOCK_SLOT)] {
                    self.asm.store(Width::B8, FRAME, slot, Rhs::Reg(register));
                }
            }
        }
    }

    /// `dst` = the address of an area, and so many bytes on.
    pub(super) fn address(&mut self, dst: Reg, symbol: Symbol, addend: u32) {
        let pointer = match (&self.areas, symbol) {
            (Areas::Maps, _) | (_, Symbol::Constants) => return self.asm.symbol(dst, symbol, addend),
            (Areas::Context(context), Symbol::State) => Some(context.scratch),
            (Areas::Context(context), Symbol::Block) => Some(context.data),
            (Areas::Arguments, Symbol::State) => {
                self.asm.load(Width::B8, dst, FRAME, STATE_SLOT);
                None
            }
            (Areas::Arguments, Symbol::Block) => {
                self.asm.load(Width::B8, dst, FRAME, BLOCK_SLOT);
                None
            }
        };
        if let Some(pointer) = pointer {
            self.asm.load(Width::B8, dst, FRAME, CONTEXT_SLOT);
            self.asm.load(Width::B8, dst, dst, pointer);
        }
        if addend > 0 {
            self.asm.alu(AluOp::Add, dst, Rhs::Imm(addend as i32));
        }
    }

    /// Ends the step; the status stands in the state already.
    pub(super) fn finish(&mut self, status: u64) {
        match &self.areas {
            Areas::Maps | Areas::Arguments => {
                self.asm.imm(R0, status);
                self.asm.push(Insn::exit());
            }
            Areas::Context(_) => {
                let reads = status == Status::Hop as u64 || status == Status::Again as u64;
                self.asm.jump(if reads { self.ask } else { self.over });
            }
        }
    }

    /// What all steps end in that the context is told of.
    pub(super) fn tails(&mut self) {
        let Areas::Context(context) = self.areas.clone() else { return };
        self.asm.bind(self.ask);
        self.asm.load(Width::B8, CONTEXT, FRAME, CONTEXT_SLOT);
        self.asm.load(Width::B8, STATE_IN_TAIL, CONTEXT, context.scratch);
        self.ask(&context);
        self.asm.bind(self.over);
        self.asm.load(Width::B8, CONTEXT, FRAME, CONTEXT_SLOT);
        // Stores of immediates to a context are refused by older kernels.
        self.asm.imm(R0, 1);
        self.asm.store(Width::B4, CONTEXT, context.done, Rhs::Reg(R0));
        self.asm.imm(R0, 0);
        self.asm.push(Insn::exit());
    }

    /// Names the next read, or goes on to the end if it cannot be made.
    fn ask(&mut self, context: &Context) {
        let misaligned = self.asm.label();
        let below = context.align as i32 - 1;
        self.asm.load(Width::B8, WORD, STATE_IN_TAIL, header(word::OFFSET));
        if below > 0 {
            self.asm.mov(LOW, WORD);
            self.asm.alu(AluOp::And, LOW, Rhs::Imm(below));
            self.asm.branch(Cond::Ne, LOW, Rhs::Imm(0), misaligned);
        }
        self.asm.store(Width::B8, CONTEXT, context.next, Rhs::Reg(WORD));
        if let Some((file, files)) = context.files {
            self.asm.load(Width::B4, LOW, CONTEXT, file);
            self.asm.store(Width::B4, CONTEXT, files, Rhs::Reg(LOW));
        }
        self.asm.load(Width::B8, WORD, STATE_IN_TAIL, header(word::LEN));
        if below > 0 {
            self.asm.alu(AluOp::Add, WORD, Rhs::Imm(below));
            self.asm.alu(AluOp::And, WORD, Rhs::Imm(!below));
        }
        self.asm.store(Width::B8, CONTEXT, context.size, Rhs::Reg(WORD));
        self.asm.imm(R0, 0);
        self.asm.push(Insn::exit());
        if below > 0 {
            self.asm.bind(misaligned);
            let words = [
                (word::FOUND, Rhs::Reg(WORD)),
                (word::FLAGS, Rhs::Imm(FOUND_VALID as i32)),
                (word::FAULT, Rhs::Imm(MISALIGNED as i32)),
                (word::STATUS, Rhs::Imm(Status::Fault as i32)),
            ];
            for (position, value) in words {
                self.asm.store(Width::B8, STATE_IN_TAIL, header(position), value);
            }
        }
    }

    /// The label of the stub for this exit, whose registers have these homes.
    pub(super) fn exit(&mut self, exit: &Exit, homes: &[Home]) -> Label {
        let stub = stub_of(exit, homes);
        if let Some(label) = self.stubs.get(&stub) {
            return *label;
        }
        let label = self.asm.label();
        self.stubs.insert(stub, label);
        self.pending.push((stub, label, self.span));
        label
    }

    /// Leaves at once. The first to leave this way has the stub in its place.
    pub(super) fn fail(&mut self, stub: Stub) {
        if let Some(label) = self.stubs.get(&stub) {
            return self.asm.jump(*label);
        }
        let label = self.asm.label();
        self.asm.bind(label);
        self.stubs.insert(stub, label);
        self.stub(&stub);
        self.asm.jump(self.end_of(&stub));
    }

    /// Where a stub goes on.
    fn end_of(&self, stub: &Stub) -> Label {
        let left = if self.reports { stub.left() } else { Left::All };
        self.ends[left as usize]
    }

    /// All stubs that are still to be written, and the end of all.
    pub(super) fn stubs(&mut self) {
        if self.stubs.is_empty() {
            return;
        }
        let mut pending = std::mem::take(&mut self.pending);
        // The last one falls into the end, which begins with what is packed; the last one before that with an offset into an end for these.
        pending.sort_by_key(|(stub, ..)| std::cmp::Reverse(stub.left()));
        let first = self.lefts.iter().min().copied().unwrap_or(Left::All);
        let begin = self.ends[if self.reports { first } else { Left::All } as usize];
        let has_own_end = self.reports && self.lefts.contains(&Left::At) && first < Left::At;
        let packed = pending.split_off(pending.partition_point(|(stub, ..)| !has_own_end || stub.left() >= Left::At));
        if has_own_end {
            self.stubs_before(&pending, self.ends[Left::At as usize]);
            self.end_with_offset();
            self.asm.jump(self.ends[Left::All as usize]);
            self.stubs_before(&packed, begin);
        } else {
            self.stubs_before(&pending, begin);
        }
        if self.reports && first == Left::At {
            self.end_with_offset();
        }
        if self.reports && first == Left::Packed {
            self.asm.bind(self.ends[Left::Packed as usize]);
            self.asm.imm(FOUND, 0);
        }
        if self.reports && first <= Left::Found {
            self.asm.bind(self.ends[Left::Found as usize]);
            self.asm.mov(AT, FAULT);
            self.asm.alu(AluOp::Rsh, AT, Rhs::Imm(FLAG_BITS));
            self.asm.alu(AluOp::And, AT, Rhs::Imm(AT_MOST as i32));
        }
        self.asm.bind(self.ends[Left::All as usize]);
        self.address(STATE, Symbol::State, 0);
        if !self.reports {
            self.asm.store(Width::B8, STATE, header(word::FAULT), Rhs::Reg(FAULT));
            self.asm.store(Width::B8, STATE, header(word::STATUS), Rhs::Imm(Status::Fault as i32));
            return self.finish(Status::Fault as u64);
        }
        self.asm.store(Width::B8, STATE, header(word::FOUND), Rhs::Reg(FOUND));
        self.asm.store(Width::B8, STATE, header(word::AT), Rhs::Reg(AT));
        self.asm.mov(FOUND, FAULT);
        self.asm.alu(AluOp::Arsh, FOUND, Rhs::Imm(FAULT_SHIFT));
        self.asm.store(Width::B8, STATE, header(word::FAULT), Rhs::Reg(FOUND));
        self.asm.alu(AluOp::And, FAULT, Rhs::Imm((1 << FLAG_BITS) - 1));
        self.asm.store(Width::B8, STATE, header(word::FLAGS), Rhs::Reg(FAULT));
        self.asm.store(Width::B8, STATE, header(word::STATUS), Rhs::Imm(Status::Fault as i32));
        self.finish(Status::Fault as u64);
    }

    /// Stubs, of which the last one falls into an end, if it is its own.
    fn stubs_before(&mut self, stubs: &[(Stub, Label, Span)], next: Label) {
        for (i, (stub, label, span)) in stubs.iter().enumerate() {
            self.asm.bind(*label);
            self.asm.at(*span);
            self.stub(stub);
            let end = self.end_of(stub);
            if i + 1 < stubs.len() || end != next {
                self.asm.jump(end);
            }
        }
    }

    fn end_with_offset(&mut self) {
        self.asm.bind(self.ends[Left::At as usize]);
        self.asm.imm(FOUND, 0);
    }

    /// Puts what is reported where the common end wants it; all of it, since the kernel lets no register be read that was not set.
    fn stub(&mut self, stub: &Stub) {
        let (fault, left, found, at) = match *stub {
            Stub::Trap => (TRAP, Left::Packed, None, None),
            Stub::Fault { fault, left, found, at } => (u64::from(fault), left, found, at),
        };
        if !self.reports {
            // What is reported is zero since the start of the walk.
            return self.asm.imm(FAULT, fault);
        }
        let flags = found.map_or(0, |_| FOUND_VALID) | at.map_or(0, |_| AT_VALID);
        let known = match at {
            Some(Source::Const(at)) if left < Left::At => at << FLAG_BITS,
            _ => 0,
        };
        let number = fault << FAULT_SHIFT | known | flags;
        if left < Left::At {
            if left == Left::Found {
                self.fetch(FOUND, found);
            }
            return self.asm.imm(FAULT, number);
        }
        if left == Left::At {
            self.fetch(AT, at);
            return self.asm.imm(FAULT, number);
        }
        let in_register = |source: Option<Source>, r: Reg| source == Some(Source::Home(Home::Reg(r)));
        match (in_register(found, AT), in_register(at, FOUND)) {
            (true, true) => {
                self.asm.mov(STATE, AT);
                self.asm.mov(AT, FOUND);
                self.asm.mov(FOUND, STATE);
            }
            (false, true) => {
                self.fetch(AT, at);
                self.fetch(FOUND, found);
            }
            (_, false) => {
                self.fetch(FOUND, found);
                self.fetch(AT, at);
            }
        }
        self.asm.imm(FAULT, number);
    }

    fn fetch(&mut self, to: Reg, source: Option<Source>) {
        match source {
            Some(Source::Home(Home::Reg(from))) => self.asm.mov(to, from),
            Some(Source::Home(Home::Stack(s))) => self.asm.load(Width::B8, to, FRAME, self.frame.slot(s)),
            Some(Source::Const(c)) => self.asm.imm(to, c),
            None => self.asm.imm(to, 0),
        }
    }
}

pub(super) fn stub_of(exit: &Exit, homes: &[Home]) -> Stub {
    let mut homes = homes.iter();
    let mut source = |report: &Option<Report>| {
        report.map(|report| match report {
            Report::Const(c) => Source::Const(c),
            Report::Reg(_) => Source::Home(*homes.next().expect("each reported register is an operand")),
        })
    };
    match exit {
        Exit::Trap => Stub::Trap,
        Exit::Fault { fault, found, at } => {
            Stub::Fault { fault: fault.0, left: Left::of(exit), found: source(found), at: source(at) }
        }
    }
}

// The registers of a fault's way out: the fault's number above its flags, what is reported, and the state's address.
const FAULT: Reg = R0;
const STATE: Reg = 1;
const FOUND: Reg = 2;
const AT: Reg = 3;
/// The flags' share of the register [`FAULT`]; above it an offset that is known here, above that the fault's number. The trap's number, all
/// ones, survives the shift.
const FLAG_BITS: i32 = 2;
const FAULT_SHIFT: i32 = 15;
/// The greatest offset that has room.
const AT_MOST: u64 = (1 << (FAULT_SHIFT - FLAG_BITS)) - 1;

/// Displacement of a header word in the state.
fn header(word: usize) -> i16 {
    (8 * word) as i16
}
