//! The assembler: a growing list of instructions with labels, relocations and places in the spec.
//!
//! Guarantees that every label used is bound and that each jump reaches its target with the 16 bits that it has.

use super::insn::{AluOp, Cond, Insn, Reg, Rhs, Width};
use super::kernel::{Function, Member};
use super::program::{Access, Call, Callee, Relocation, Symbol};
use crate::source::Span;

/// A place in the code, bound before or after its uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label(u32);

/// A jump that is farther than 32767 instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooFar;

/// Code in the making.
#[derive(Debug, Default)]
pub struct Assembler {
    insns: Vec<Insn>,
    labels: Vec<Option<u32>>,
    jumps: Vec<(u32, Label)>,
    relocations: Vec<Relocation>,
    calls: Vec<Call>,
    accesses: Vec<Access>,
    lines: Vec<(u32, Span)>,
}

/// What the assembler has made.
#[derive(Debug)]
pub struct Assembled {
    /// The instructions; the second half of a 64-bit immediate counts.
    pub insns: Vec<Insn>,
    /// Where addresses are to be filled in.
    pub relocations: Vec<Relocation>,
    /// Calls whose targets are to be filled in.
    pub calls: Vec<Call>,
    /// Members of the kernel's structures.
    pub accesses: Vec<Access>,
    /// From which instruction on the code belongs to which place.
    pub lines: Vec<(u32, Span)>,
    /// Where each label that is bound stands.
    labels: Vec<Option<u32>>,
}

impl Assembled {
    /// The instruction behind a label; none if it was not bound.
    pub fn position(&self, label: Label) -> Option<u32> {
        self.labels[label.0 as usize]
    }
}

impl Assembler {
    /// A label that is not bound yet.
    pub fn label(&mut self) -> Label {
        self.labels.push(None);
        Label(self.labels.len() as u32 - 1)
    }

    /// The position of the next instruction.
    pub fn here(&self) -> u32 {
        self.insns.len() as u32
    }

    /// Binds a label to the next instruction.
    pub fn bind(&mut self, label: Label) {
        let place = &mut self.labels[label.0 as usize];
        assert!(place.is_none(), "a label is bound once");
        *place = Some(self.insns.len() as u32);
    }

    /// What follows belongs to this place.
    pub fn at(&mut self, span: Span) {
        let here = self.here();
        match self.lines.last_mut() {
            Some((_, last)) if *last == span => {}
            Some((start, last)) if *start == here => *last = span,
            _ => self.lines.push((here, span)),
        }
    }

    /// Appends an instruction.
    pub fn push(&mut self, insn: Insn) {
        self.insns.push(insn);
    }

    /// `dst op= rhs`.
    pub fn alu(&mut self, op: AluOp, dst: Reg, rhs: Rhs<Reg>) {
        self.push(Insn::alu(op, dst, rhs));
    }

    /// `dst = src`, unless that is no change.
    pub fn mov(&mut self, dst: Reg, src: Reg) {
        if dst != src {
            self.push(Insn::mov(dst, src));
        }
    }

    /// `dst = imm`, as short as it goes.
    pub fn imm(&mut self, dst: Reg, imm: u64) {
        match i32::try_from(imm as i64) {
            Ok(imm) => self.push(Insn::alu(AluOp::Mov, dst, Rhs::Imm(imm))),
            Err(_) => self.insns.extend(Insn::load_imm64(dst, imm)),
        }
    }

    /// `dst = address of symbol + addend`.
    pub fn symbol(&mut self, dst: Reg, symbol: Symbol, addend: u32) {
        self.relocations.push(Relocation { insn: self.insns.len() as u32, symbol, addend });
        self.insns.extend(Insn::load_imm64(dst, 0));
    }

    /// `dst = *(base + off)`.
    pub fn load(&mut self, width: Width, dst: Reg, base: Reg, off: i16) {
        self.push(Insn::load(width, dst, base, off));
    }

    /// `*(base + off) = value`.
    pub fn store(&mut self, width: Width, base: Reg, off: i16, value: Rhs<Reg>) {
        self.push(Insn::store(width, base, off, value));
    }

    /// `if lhs cond rhs goto target`.
    pub fn branch(&mut self, cond: Cond, lhs: Reg, rhs: Rhs<Reg>, target: Label) {
        self.jumps.push((self.insns.len() as u32, target));
        self.push(Insn::branch(cond, lhs, rhs));
    }

    /// `goto target`.
    pub fn jump(&mut self, target: Label) {
        self.jumps.push((self.insns.len() as u32, target));
        self.push(Insn::jump());
    }

    /// Calls the step or a function of the kernel, arguments in registers 1 to 5.
    pub fn call(&mut self, callee: Callee) {
        self.calls.push(Call { insn: self.here(), callee });
        self.push(Insn::call());
    }

    /// Calls a function of the kernel.
    pub fn kernel(&mut self, function: Function) {
        self.call(Callee::Kernel(function));
    }

    /// `dst = base->member`.
    pub fn load_member(&mut self, dst: Reg, base: Reg, member: Member) {
        self.accesses.push(Access { insn: self.here(), member });
        self.load(member.width(), dst, base, member.offset());
    }

    /// `base->member = value`.
    pub fn store_member(&mut self, base: Reg, member: Member, value: Reg) {
        self.accesses.push(Access { insn: self.here(), member });
        self.store(member.width(), base, member.offset(), Rhs::Reg(value));
    }

    /// Goes to the target when the program has had its time.
    pub fn may_goto(&mut self, target: Label) {
        self.jumps.push((self.here(), target));
        self.push(Insn::may_goto());
    }

    /// Fills in the distances.
    pub fn finish(mut self) -> Result<Assembled, TooFar> {
        for (at, label) in self.jumps {
            let target = self.labels[label.0 as usize].expect("every label that is used gets bound");
            let distance = i64::from(target) - i64::from(at) - 1;
            self.insns[at as usize].off = i16::try_from(distance).map_err(|_| TooFar)?;
        }
        let Assembler { insns, relocations, calls, accesses, lines, labels, .. } = self;
        Ok(Assembled { insns, relocations, calls, accesses, lines, labels })
    }
}
