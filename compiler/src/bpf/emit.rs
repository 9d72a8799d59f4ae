//! Writes virtual code with its registers as instructions.
//!
//! Owns the layout of blocks, the way out for faults, and the stack frame. Faults leave by small stubs behind the code, which share one
//! end; a stub writes what the fault reports, so the common path pays one jump a check.

mod copy;

use super::abi::{AT_VALID, FOUND_VALID, Status, TRAP, word};
use super::asm::{Assembled, Assembler, Label, TooFar};
use super::error::BpfError;
use super::insn::{AluOp, Cond, FRAME, Insn, R0, Reg, Rhs, Width};
use super::program::Symbol;
use super::regalloc::{Allocated, Event, Home};
use super::vcode::{Exit, Report, VBlock, VCode, VInsn};
use crate::source::Span;
use std::collections::HashMap;

/// Writes a function.
pub fn emit(code: &VCode, homes: &Allocated<'_>) -> Result<Assembled, BpfError> {
    let mut asm = Assembler::default();
    let end = asm.label();
    let forward = forwarding(code, homes);
    let labels: Vec<Label> = code.blocks.iter().map(|_| asm.label()).collect();
    let mut emitter =
        Emitter { asm, labels, forward, stubs: HashMap::new(), pending: Vec::new(), end, span: Span::default() };
    for i in 0..code.blocks.len() {
        let block = VBlock(i as u32);
        if emitter.resolve(block) == block {
            emitter.block(code, homes, block);
        }
    }
    emitter.stubs();
    emitter.asm.finish().map_err(|TooFar| BpfError::JumpTooFar)
}

/// Where each block goes on when nothing is left of it but a jump.
fn forwarding(code: &VCode, homes: &Allocated<'_>) -> Vec<Option<VBlock>> {
    let empty = |i: usize| {
        let (VInsn::Jump { to, .. }, _) = code.blocks[i].insns.last()? else { return None };
        let mut empty = code.blocks[i].insns.len() == 1;
        homes.for_each_event(VBlock(i as u32), |event| {
            empty &= !matches!(event, Event::Move { from, to } if from != to)
        });
        empty.then_some(*to)
    };
    (0..code.blocks.len()).map(empty).collect()
}

/// What a stub reports, by where it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Stub {
    Trap,
    Fault { fault: u32, found: Option<Source>, at: Option<Source> },
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    Home(Home),
    Const(u64),
}

struct Emitter {
    asm: Assembler,
    labels: Vec<Label>,
    forward: Vec<Option<VBlock>>,
    stubs: HashMap<Stub, Label>,
    pending: Vec<(Stub, Label, Span)>,
    /// The common end of all stubs.
    end: Label,
    span: Span,
}

impl Emitter {
    /// The block that is really entered.
    fn resolve(&self, block: VBlock) -> VBlock {
        let mut at = block;
        // A circle of jumps alone cannot be: each loop tests its counter.
        while let Some(next) = self.forward[at.0 as usize] {
            at = next;
        }
        at
    }

    fn label(&self, block: VBlock) -> Label {
        self.labels[self.resolve(block).0 as usize]
    }

    fn block(&mut self, code: &VCode, homes: &Allocated<'_>, block: VBlock) {
        self.asm.bind(self.labels[block.0 as usize]);
        let insns = &code.blocks[block.0 as usize].insns;
        let next = (block.0 + 1..code.blocks.len() as u32).map(VBlock).find(|b| self.resolve(*b) == *b);
        self.span = insns[0].1;
        homes.for_each_event(block, |event| match event {
            Event::Move { from, to } => self.change_home(from, to),
            Event::Insn(i, homes) => {
                self.span = insns[i].1;
                self.asm.at(self.span);
                self.insn(&insns[i].0, homes, next);
            }
        });
    }

    fn change_home(&mut self, from: Home, to: Home) {
        self.asm.at(self.span);
        match (from, to) {
            (Home::Reg(from), Home::Reg(to)) => self.asm.mov(to, from),
            (Home::Reg(from), Home::Stack(to)) => self.asm.store(Width::B8, FRAME, slot(to), Rhs::Reg(from)),
            (Home::Stack(from), Home::Reg(to)) => self.asm.load(Width::B8, to, FRAME, slot(from)),
            (Home::Stack(_), Home::Stack(_)) => unreachable!("regalloc2 moves through registers"),
        }
    }

    fn insn(&mut self, insn: &VInsn, homes: &[Home], next: Option<VBlock>) {
        let mut rest = homes.iter();
        let mut reg = || match rest.next() {
            Some(Home::Reg(r)) => *r,
            _ => unreachable!("operands that are computed with are in registers"),
        };
        match insn {
            VInsn::Imm { value, .. } => self.asm.imm(reg(), *value),
            VInsn::Address { symbol, addend, .. } => self.asm.symbol(reg(), *symbol, *addend),
            VInsn::Alu { op, b, .. } => {
                let (dst, _, b) = (reg(), reg(), rhs(b, &mut reg));
                self.asm.alu(*op, dst, b);
            }
            VInsn::Neg { .. } => self.asm.push(Insn::neg(reg())),
            VInsn::Swap { width, .. } => self.asm.push(Insn::to_big_endian(reg(), *width)),
            VInsn::Load { off, width, .. } => {
                let (dst, base) = (reg(), reg());
                self.asm.load(*width, dst, base, *off);
            }
            VInsn::Store { off, value, width, .. } => {
                let (base, value) = (reg(), rhs(value, &mut reg));
                self.asm.store(*width, base, *off, value);
            }
            VInsn::Bounded { limit, exit, .. } => {
                let (dst, _, var) = (reg(), reg(), reg());
                let fail = self.exit(exit, rest.as_slice());
                self.asm.branch(Cond::Gt, var, Rhs::Imm(*limit as i32), fail);
                self.asm.alu(AluOp::Add, dst, Rhs::Reg(var));
            }
            VInsn::ExitIf { cond, b, exit, .. } => {
                let (a, b) = (reg(), rhs(b, &mut reg));
                let fail = self.exit(exit, rest.as_slice());
                self.asm.branch(*cond, a, b, fail);
            }
            VInsn::Fail { exit } => {
                let stub = stub_of(exit, rest.as_slice());
                self.fail(stub);
            }
            VInsn::Copy { to, from, len, max, .. } => {
                let temps = [reg(), reg(), reg(), reg()];
                let to_var = to.var.map(|_| reg());
                let from_var = from.var.map(|_| reg());
                let len = rhs(len, &mut reg);
                self.copy((to, to_var), (from, from_var), len, *max, temps);
            }
            VInsn::Jump { to, .. } => {
                if Some(self.resolve(*to)) != next {
                    self.asm.jump(self.label(*to));
                }
            }
            VInsn::Branch { cond, b, then, other, .. } => {
                let (a, b) = (reg(), rhs(b, &mut reg));
                self.branch(*cond, a, b, (*then, *other), next);
            }
            VInsn::Return { status } => {
                self.asm.imm(R0, *status);
                self.asm.push(Insn::exit());
            }
        }
    }

    fn branch(&mut self, cond: Cond, a: Reg, b: Rhs<Reg>, (then, other): (VBlock, VBlock), next: Option<VBlock>) {
        match cond.negated() {
            Some(negated) if Some(self.resolve(then)) == next => self.asm.branch(negated, a, b, self.label(other)),
            _ => {
                self.asm.branch(cond, a, b, self.label(then));
                if Some(self.resolve(other)) != next {
                    self.asm.jump(self.label(other));
                }
            }
        }
    }

    /// The label of the stub for this exit, whose registers have these homes.
    fn exit(&mut self, exit: &Exit, homes: &[Home]) -> Label {
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
    fn fail(&mut self, stub: Stub) {
        if let Some(label) = self.stubs.get(&stub) {
            return self.asm.jump(*label);
        }
        let label = self.asm.label();
        self.asm.bind(label);
        self.stubs.insert(stub, label);
        self.stub(&stub);
        self.asm.jump(self.end);
    }

    /// All stubs that are still to be written, and the end of all.
    fn stubs(&mut self) {
        if self.stubs.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        for (i, (stub, label, span)) in pending.iter().enumerate() {
            self.asm.bind(*label);
            self.asm.at(*span);
            self.stub(stub);
            if i + 1 < pending.len() {
                self.asm.jump(self.end);
            }
        }
        self.asm.bind(self.end);
        self.asm.symbol(STATE, Symbol::State, 0);
        self.asm.store(Width::B8, STATE, header(word::FOUND), Rhs::Reg(FOUND));
        self.asm.store(Width::B8, STATE, header(word::AT), Rhs::Reg(AT));
        self.asm.mov(FOUND, FAULT);
        self.asm.alu(AluOp::Arsh, FOUND, Rhs::Imm(FLAG_BITS));
        self.asm.store(Width::B8, STATE, header(word::FAULT), Rhs::Reg(FOUND));
        self.asm.alu(AluOp::And, FAULT, Rhs::Imm((1 << FLAG_BITS) - 1));
        self.asm.store(Width::B8, STATE, header(word::FLAGS), Rhs::Reg(FAULT));
        self.asm.store(Width::B8, STATE, header(word::STATUS), Rhs::Imm(Status::Fault as i32));
        self.asm.imm(R0, Status::Fault as u64);
        self.asm.push(Insn::exit());
    }

    /// Puts what is reported where the common end wants it; all of it, since the kernel lets no register be read that was not set.
    fn stub(&mut self, stub: &Stub) {
        let (fault, found, at) = match *stub {
            Stub::Trap => (TRAP, None, None),
            Stub::Fault { fault, found, at } => (u64::from(fault), found, at),
        };
        let flags = found.map_or(0, |_| FOUND_VALID) | at.map_or(0, |_| AT_VALID);
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
        self.asm.imm(FAULT, fault << FLAG_BITS | flags);
    }

    fn fetch(&mut self, to: Reg, source: Option<Source>) {
        match source {
            Some(Source::Home(Home::Reg(from))) => self.asm.mov(to, from),
            Some(Source::Home(Home::Stack(s))) => self.asm.load(Width::B8, to, FRAME, slot(s)),
            Some(Source::Const(c)) => self.asm.imm(to, c),
            None => self.asm.imm(to, 0),
        }
    }
}

fn stub_of(exit: &Exit, homes: &[Home]) -> Stub {
    let mut homes = homes.iter();
    let mut source = |report: &Option<Report>| {
        report.map(|report| match report {
            Report::Const(c) => Source::Const(c),
            Report::Reg(_) => Source::Home(*homes.next().expect("each reported register is an operand")),
        })
    };
    match exit {
        Exit::Trap => Stub::Trap,
        Exit::Fault { fault, found, at } => Stub::Fault { fault: fault.0, found: source(found), at: source(at) },
    }
}

// The registers of a fault's way out: the fault's number above its flags, what is reported, and the state's address.
const FAULT: Reg = R0;
const STATE: Reg = 1;
const FOUND: Reg = 2;
const AT: Reg = 3;
/// The flags' share of the register [`FAULT`]. The trap's number, all ones, survives the shift.
const FLAG_BITS: i32 = 2;

fn rhs<R>(rhs: &Rhs<R>, reg: &mut impl FnMut() -> Reg) -> Rhs<Reg> {
    match rhs {
        Rhs::Reg(_) => Rhs::Reg(reg()),
        Rhs::Imm(imm) => Rhs::Imm(*imm),
    }
}

/// Displacement of a header word in the state.
fn header(word: usize) -> i16 {
    (8 * word) as i16
}

/// Displacement of a stack slot. The stack's size is checked before anything is emitted.
fn slot(index: u32) -> i16 {
    -8 * (index as i16 + 1)
}
