//! Functions that steps call, written once by hand: varints.
//!
//! A routine is a global function with numbers for arguments. The kernel's verifier checks it once and by itself, and sees a call of it as a jump that
//! returns some number; so the ways through it do not multiply with those of its callers.

use super::abi::word;
use super::asm::{Assembler, Label, TooFar};
use super::error::BpfError;
use super::insn::{AluOp, Cond, Insn, R0, Reg, Rhs, Width};
use super::program::{Relocation, Symbol};
use crate::ir::Varint;

/// Which routine: for a kind of varint in a memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// How they are written.
    pub kind: Varint,
    /// The area in which they are.
    pub symbol: Symbol,
    /// Where the memory begins in it.
    pub start: u32,
    /// Its bytes.
    pub size: u32,
}

/// What a routine returns for bytes that end before the varint does.
pub const CUT: i32 = 0;
/// What it returns for more than 64 bits.
pub const WIDE: i32 = 11;

/// Bytes of stack that a call takes, as the verifier rounds them.
pub const STACK_BYTES: u32 = 32;

/// A function that a step calls, with a byte offset in its memory and the offset where the varint must end. It returns how many bytes the varint has,
/// [`CUT`] or [`WIDE`], and leaves the number in the header word [`word::NUMBER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routine {
    /// What it reads.
    pub key: Key,
    /// The instructions.
    pub insns: Vec<Insn>,
    /// The addresses to be filled in.
    pub relocations: Vec<Relocation>,
    /// The most instructions that a call executes.
    pub most: u64,
}

const AT: Reg = 1;
const LIMIT: Reg = 2;
const NUMBER: Reg = 3;
const COUNT: Reg = 4;
const AREA: Reg = 5;
const LOW: Reg = 6;
const SHIFT: Reg = 7;

impl Routine {
    /// Its name behind that of the traversal.
    pub fn name(&self) -> String {
        let Key { kind, symbol, start, .. } = self.key;
        match symbol {
            Symbol::Block => kind.name().into(),
            Symbol::State => format!("{}_at_{start}", kind.name()),
            Symbol::Constants => format!("{}_in_constants_{start}", kind.name()),
        }
    }

    /// Writes it.
    pub fn of(key: Key) -> Result<Routine, BpfError> {
        let mut asm = Assembler::default();
        let [again, cut, wide, done, last] = [(); 5].map(|()| asm.label());
        let Key { kind, symbol, start, size } = key;
        let most = i32::from(kind.most_bytes());
        asm.imm(NUMBER, 0);
        asm.imm(COUNT, 0);
        asm.symbol(AREA, symbol, start);
        asm.bind(again);
        let loop_start = asm.here();
        // A loop is tested at its top, by what counts up from zero.
        asm.branch(Cond::Ge, COUNT, Rhs::Imm(most), cut);
        asm.branch(Cond::Ge, AT, Rhs::Reg(LIMIT), cut);
        // What lies below the limit lies in the area; both verifiers are told so. PREVAIL loses the bound of a comparison where the position comes
        // from the stack, and keeps a mask's.
        let last_byte = size.min(i32::MAX as u32) as i32 - 1;
        match size.is_power_of_two() {
            true => asm.alu(AluOp::And, AT, Rhs::Imm(last_byte)),
            false => asm.branch(Cond::Gt, AT, Rhs::Imm(last_byte), cut),
        }
        asm.mov(R0, AREA);
        asm.alu(AluOp::Add, R0, Rhs::Reg(AT));
        asm.load(Width::B1, R0, R0, 0);
        asm.mov(LOW, R0);
        asm.alu(AluOp::And, LOW, Rhs::Imm(0x7f));
        join(&mut asm, kind, last);
        asm.alu(AluOp::Add, AT, Rhs::Imm(1));
        asm.alu(AluOp::Add, COUNT, Rhs::Imm(1));
        asm.branch(Cond::Le, R0, Rhs::Imm(0x7f), done);
        asm.jump(again);
        let turn = u64::from(asm.here() - loop_start);
        end(&mut asm, kind, last, wide);
        asm.bind(done);
        asm.symbol(AREA, Symbol::State, 0);
        asm.store(Width::B8, AREA, 8 * word::NUMBER as i16, Rhs::Reg(NUMBER));
        asm.mov(R0, COUNT);
        asm.push(Insn::exit());
        if kind.may_be_wide() {
            asm.bind(wide);
            asm.imm(R0, WIDE as u64);
            asm.push(Insn::exit());
        }
        asm.bind(cut);
        asm.imm(R0, CUT as u64);
        asm.push(Insn::exit());
        let all = u64::from(asm.here());
        let done = asm.finish().map_err(|TooFar| BpfError::JumpTooFar)?;
        let most = all + turn * (u64::from(kind.most_bytes()) - 1);
        Ok(Routine { key, insns: done.insns, relocations: done.relocations, most })
    }
}

/// Joins the low bits of a byte to the number; goes on at `last` with the last byte that there can be.
fn join(asm: &mut Assembler, kind: Varint, last: Label) {
    match kind {
        Varint::Leb128 => {
            asm.mov(SHIFT, COUNT);
            asm.alu(AluOp::Mul, SHIFT, Rhs::Imm(7));
            asm.alu(AluOp::Lsh, LOW, Rhs::Reg(SHIFT));
            asm.branch(Cond::Eq, COUNT, Rhs::Imm(9), last);
            asm.alu(AluOp::Or, NUMBER, Rhs::Reg(LOW));
        }
        Varint::Sqlite | Varint::Vlq => {
            asm.branch(Cond::Eq, COUNT, Rhs::Imm(i32::from(kind.most_bytes()) - 1), last);
            asm.alu(AluOp::Lsh, NUMBER, Rhs::Imm(7));
            asm.alu(AluOp::Or, NUMBER, Rhs::Reg(LOW));
        }
    }
}

/// The last byte that there can be; goes on with what follows.
fn end(asm: &mut Assembler, kind: Varint, last: Label, wide: Label) {
    asm.bind(last);
    match kind {
        Varint::Leb128 => asm.branch(Cond::Gt, R0, Rhs::Imm(1), wide),
        Varint::Sqlite => {
            asm.alu(AluOp::Lsh, NUMBER, Rhs::Imm(8));
            asm.mov(LOW, R0);
        }
        Varint::Vlq => {
            asm.branch(Cond::Gt, R0, Rhs::Imm(0x7f), wide);
            asm.mov(SHIFT, NUMBER);
            asm.alu(AluOp::Rsh, SHIFT, Rhs::Imm(57));
            asm.branch(Cond::Ne, SHIFT, Rhs::Imm(0), wide);
            asm.alu(AluOp::Lsh, NUMBER, Rhs::Imm(7));
        }
    }
    asm.alu(AluOp::Or, NUMBER, Rhs::Reg(LOW));
    asm.imm(COUNT, u64::from(kind.most_bytes()));
}
