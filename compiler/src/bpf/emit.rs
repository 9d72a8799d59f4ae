//! Writes virtual code with its registers as instructions.
//!
//! Owns the layout of blocks and the stack frame.

mod copy;
mod falls;
mod leave;
mod slots;

use super::asm::{Assembled, Assembler, Label, TooFar};
use super::checkpoint;
use super::error::BpfError;
use super::insn::{AluOp, Cond, FRAME, Insn, Reg, Rhs, Width};
use super::program::{Callee, Flow, Turns};
use super::regalloc::{Allocated, Event, Home};
use super::routine;
use super::target::{Areas, Target};
use super::vcode::{Exit, Onto, VBlock, VCode, VInsn};
use crate::fx::FxHashMap;
use crate::source::Span;

/// Writes a function, and says how its code is run through.
pub fn emit(code: &VCode, homes: &Allocated<'_>, target: &Target) -> Result<(Assembled, Flow), BpfError> {
    let mut apart = vec![false; code.blocks.len()];
    loop {
        let (done, flow, labels) = write(code, homes, target, &apart)?;
        let fallen = falls::fallen_back_to(&done.insns);
        let before = apart.clone();
        for (apart, label) in apart.iter_mut().zip(labels) {
            *apart |= done.position(label).is_some_and(|at| fallen.contains(&at));
        }
        if apart == before {
            return Ok((done, flow));
        }
    }
}

/// The same, where some blocks are entered by jumps alone; and each block's label.
fn write(
    code: &VCode,
    homes: &Allocated<'_>,
    target: &Target,
    apart: &[bool],
) -> Result<(Assembled, Flow, Vec<Label>), BpfError> {
    let frame = Frame::of(code, homes, target)?;
    let mut asm = Assembler::default();
    let labels: Vec<Label> = code.blocks.iter().map(|_| asm.label()).collect();
    let mut emitter = Emitter {
        labels,
        forward: forwarding(code, homes),
        stubs: FxHashMap::default(),
        pending: Vec::new(),
        ends: [(); 4].map(|()| asm.label()),
        lefts: code.exits().map(leave::Left::of).collect(),
        ask: asm.label(),
        over: asm.label(),
        frame,
        areas: target.areas.clone(),
        copies: Vec::new(),
        suspends: Vec::new(),
        reports: code
            .exits()
            .any(|exit| matches!(exit, Exit::Fault { found: Some(_), .. } | Exit::Fault { at: Some(_), .. })),
        span: code.blocks[0].insns[0].1,
        apart,
        asm,
    };
    emitter.start();
    for i in 0..code.blocks.len() {
        let block = VBlock(i as u32);
        if emitter.resolve(block) == block {
            emitter.block(code, homes, block);
        }
    }
    emitter.stubs();
    emitter.tails();
    let Emitter { asm, labels, copies, suspends, .. } = emitter;
    let done = asm.finish().map_err(|TooFar| BpfError::JumpTooFar)?;
    let position =
        |b: &VBlock| done.position(labels[b.0 as usize]).expect("blocks with a name of their own are written");
    let loops = code.loops.iter().map(|(b, turns)| (position(b), *turns));
    let loops = loops.chain(copies).collect();
    let resumes = code.resumes.iter().map(position).collect();
    Ok((done, Flow { loops, resumes, suspends }, labels))
}

/// Where each block goes on when nothing is left of it but a jump. Where loops begin and walks go on there must be an
/// instruction that nothing else leads to.
fn forwarding(code: &VCode, homes: &Allocated<'_>) -> Vec<Option<VBlock>> {
    let mut named = vec![false; code.blocks.len()];
    code.loops.iter().map(|(b, _)| b).chain(&code.resumes).for_each(|b| named[b.0 as usize] = true);
    let empty = |i: usize| {
        if named[i] {
            return None;
        }
        let (VInsn::Jump { to, .. }, _) = code.blocks[i].insns.last()? else { return None };
        let mut empty = code.blocks[i].insns.len() == 1;
        homes.for_each_event(VBlock(i as u32), |event| {
            empty &= !matches!(event, Event::Move { from, to } if from != to)
        });
        empty.then_some(*to)
    };
    (0..code.blocks.len()).map(empty).collect()
}

/// The stack: slots for values, and where the areas are behind the context, its address.
struct Frame {
    /// Slots before those for values.
    reserved: u32,
    /// For each of the allocator's slots the one that it has.
    slots: Vec<u32>,
}

impl Frame {
    fn of(code: &VCode, homes: &Allocated<'_>, target: &Target) -> Result<Frame, BpfError> {
        let reserved = leave::reserved_slots(&target.areas);
        let (slots, count) = slots::pack(code, homes);
        let needed = 8 * (reserved + count);
        let called = if code.routines.is_empty() { 0 } else { routine::STACK_BYTES };
        let limit = target.stack_size.saturating_sub(called);
        match needed <= limit.min(i16::MAX as u32) {
            true => Ok(Frame { reserved, slots }),
            false => Err(BpfError::Stack { needed, limit }),
        }
    }

    /// Displacement of a value's slot.
    fn slot(&self, index: u32) -> i16 {
        -8 * (self.reserved + self.slots[index as usize] + 1) as i16
    }
}

struct Emitter<'a> {
    asm: Assembler,
    /// Blocks that are entered by jumps alone.
    apart: &'a [bool],
    labels: Vec<Label>,
    forward: Vec<Option<VBlock>>,
    stubs: FxHashMap<leave::Stub, Label>,
    pending: Vec<(leave::Stub, Label, Span)>,
    /// The common end of all stubs, and where those enter it that have left something to it: by [`leave::Left`].
    ends: [Label; 4],
    /// What the stubs leave to it.
    lefts: Vec<leave::Left>,
    /// Behind the stubs: tells the kernel of the next read, or that the walk is over.
    ask: Label,
    over: Label,
    frame: Frame,
    areas: Areas,
    /// The loops inside copies.
    copies: Vec<(u32, Turns)>,
    /// Where runs end that another follows, and where that goes on.
    suspends: Vec<(u32, u32)>,
    /// Whether any fault reports a value.
    reports: bool,
    span: Span,
}

impl Emitter<'_> {
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
            (Home::Reg(from), Home::Stack(to)) => self.asm.store(Width::B8, FRAME, self.frame.slot(to), Rhs::Reg(from)),
            (Home::Stack(from), Home::Reg(to)) => self.asm.load(Width::B8, to, FRAME, self.frame.slot(from)),
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
            VInsn::Address { symbol, addend, .. } => self.address(reg(), *symbol, *addend),
            VInsn::Alu { op, b, .. } => {
                let (dst, _, b) = (reg(), reg(), rhs(b, &mut reg));
                self.asm.alu(*op, dst, b);
            }
            VInsn::Neg { .. } => self.asm.push(Insn::neg(reg())),
            VInsn::Swap { width, .. } => self.asm.push(Insn::to_big_endian(reg(), *width)),
            VInsn::Low { .. } => {
                let (dst, a) = (reg(), reg());
                self.asm.push(Insn::low(dst, a));
            }
            VInsn::SignExtend { bits, .. } => {
                let (dst, a) = (reg(), reg());
                self.asm.push(Insn::sign_extend(dst, a, *bits));
            }
            VInsn::DivideSigned { op, .. } => {
                let (dst, _, b) = (reg(), reg(), reg());
                self.asm.push(Insn::signed_alu(*op, dst, b));
            }
            VInsn::Load { off, width, signed, .. } => {
                let (dst, base) = (reg(), reg());
                match signed {
                    true => self.asm.push(Insn::load_signed(*width, dst, base, *off)),
                    false => self.asm.load(*width, dst, base, *off),
                }
            }
            VInsn::Store { off, value, width, .. } => {
                let (base, value) = (reg(), rhs(value, &mut reg));
                self.asm.store(*width, base, *off, value);
            }
            VInsn::Bounded { limit, exit, onto, .. } => {
                let (dst, base, var) = (reg(), reg(), reg());
                let fail = self.exit(exit, rest.as_slice());
                self.asm.branch(Cond::Gt, var, Rhs::Imm(*limit as i32), fail);
                self.asm.alu(AluOp::Add, dst, Rhs::Reg(if *onto == Onto::Base { var } else { base }));
            }
            VInsn::ExitIf { cond, b, exit, .. } => {
                let (a, b) = (reg(), rhs(b, &mut reg));
                let fail = self.exit(exit, rest.as_slice());
                self.asm.branch(*cond, a, b, fail);
            }
            VInsn::Fail { exit } => {
                let stub = leave::stub_of(exit, rest.as_slice());
                self.fail(stub);
            }
            VInsn::Copy { to, from, len, max, .. } => {
                let temps = [reg(), reg(), reg(), reg()];
                let to_var = to.var.map(|_| reg());
                let from_var = from.var.map(|_| reg());
                let len = rhs(len, &mut reg);
                self.copy((to, to_var), (from, from_var), len, *max, temps);
            }
            VInsn::Tested { .. } => {}
            VInsn::Checkpoint => (0..checkpoint::JUMPS).for_each(|_| self.asm.push(Insn::jump())),
            VInsn::Call { routine, .. } => self.asm.call(Callee::Routine(*routine)),
            VInsn::Jump { to, .. } => {
                let to = self.resolve(*to);
                if Some(to) != next || self.apart[to.0 as usize] {
                    self.asm.jump(self.labels[to.0 as usize]);
                }
            }
            VInsn::Branch { cond, b, then, other, .. } => {
                let (a, b) = (reg(), rhs(b, &mut reg));
                self.branch(*cond, a, b, (*then, *other), next);
            }
            VInsn::Return { status, resume } => {
                self.finish(*status);
                self.suspends.extend(resume.map(|resume| (self.asm.here() - 1, resume)));
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
}

fn rhs<R>(rhs: &Rhs<R>, reg: &mut impl FnMut() -> Reg) -> Rhs<Reg> {
    match rhs {
        Rhs::Reg(_) => Rhs::Reg(reg()),
        Rhs::Imm(imm) => Rhs::Imm(*imm),
    }
}
