//! One eBPF instruction: its fields, its eight bytes, its opcodes.
//!
//! Owns the numbers of the instruction set (RFC 9669). What a step is made of is the common ground of Linux, with any `-mcpu`, and of the
//! user-space machines: 64-bit arithmetic and jumps, loads and stores of 1, 2, 4 and 8 bytes, byte swaps by `le`/`be`. Calls are made by
//! the entries of hooks, and by steps of their routines.

/// A register, 0 to 10.
pub type Reg = u8;
/// The result of the program.
pub const R0: Reg = 0;
/// The end of the stack, read only.
pub const FRAME: Reg = 10;

/// An encoded instruction. A 64-bit immediate takes two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Insn {
    /// The opcode.
    pub op: u8,
    /// Destination register.
    pub dst: Reg,
    /// Source register, or the kind of a pseudo instruction.
    pub src: Reg,
    /// Displacement of memory accesses, or distance of jumps.
    pub off: i16,
    /// Immediate.
    pub imm: i32,
}

/// The low three bits of an opcode.
pub mod class {
    /// 64-bit immediates.
    pub const LD: u8 = 0;
    /// Loads.
    pub const LDX: u8 = 1;
    /// Stores of an immediate.
    pub const ST: u8 = 2;
    /// Stores of a register.
    pub const STX: u8 = 3;
    /// 32-bit arithmetic, and byte swaps.
    pub const ALU32: u8 = 4;
    /// 64-bit jumps.
    pub const JMP: u8 = 5;
    /// 32-bit jumps.
    pub const JMP32: u8 = 6;
    /// 64-bit arithmetic.
    pub const ALU64: u8 = 7;
}

/// In an opcode of arithmetic or a jump: the second operand is the register `src`.
pub const SRC_REG: u8 = 0x08;
/// In an opcode of a load or store: address is register plus displacement.
pub const MODE_MEM: u8 = 0x60;
/// Its mode with sign extension.
const MODE_MEM_SIGNED: u8 = 0x80;
/// The first half of a 64-bit immediate.
pub const LD_IMM64: u8 = 0x18;
/// A call; `src` says of what.
pub const CALL: u8 = 0x85;
/// In `src` of a call: of a function of the object or, once loaded, of the kernel's by its type.
pub const CALL_FUNCTION: Reg = 1;
/// A jump that the kernel's verifier takes to be made at some time, and that is made when the program has had its time (Linux 6.9).
const MAY_GOTO: u8 = 0xe5;
const JA: u8 = 0x05;
const EXIT: u8 = 0x95;
const NEG: u8 = 0x87;
const TO_BE: u8 = 0xdc;

/// Arithmetic; the value is the opcode's upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AluOp {
    /// Sum.
    Add = 0x00,
    /// Difference.
    Sub = 0x10,
    /// Product.
    Mul = 0x20,
    /// Unsigned quotient.
    Div = 0x30,
    /// Bitwise or.
    Or = 0x40,
    /// Bitwise and.
    And = 0x50,
    /// Left shift.
    Lsh = 0x60,
    /// Logical right shift.
    Rsh = 0x70,
    /// Unsigned remainder.
    Mod = 0x90,
    /// Bitwise exclusive or.
    Xor = 0xa0,
    /// Copy.
    Mov = 0xb0,
    /// Arithmetic right shift.
    Arsh = 0xc0,
}

/// The condition of a jump; the value is the opcode's upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Cond {
    /// Equal.
    Eq = 0x10,
    /// Unsigned greater.
    Gt = 0x20,
    /// Unsigned greater or equal.
    Ge = 0x30,
    /// A common bit.
    Set = 0x40,
    /// Not equal.
    Ne = 0x50,
    /// Signed greater.
    Sgt = 0x60,
    /// Signed greater or equal.
    Sge = 0x70,
    /// Unsigned less.
    Lt = 0xa0,
    /// Unsigned less or equal.
    Le = 0xb0,
    /// Signed less.
    Slt = 0xc0,
    /// Signed less or equal.
    Sle = 0xd0,
}

impl Cond {
    /// The condition that holds when this one does not; none for [`Cond::Set`].
    pub fn negated(self) -> Option<Cond> {
        Some(match self {
            Cond::Eq => Cond::Ne,
            Cond::Ne => Cond::Eq,
            Cond::Gt => Cond::Le,
            Cond::Le => Cond::Gt,
            Cond::Ge => Cond::Lt,
            Cond::Lt => Cond::Ge,
            Cond::Sgt => Cond::Sle,
            Cond::Sle => Cond::Sgt,
            Cond::Sge => Cond::Slt,
            Cond::Slt => Cond::Sge,
            Cond::Set => return None,
        })
    }

    /// The condition with its operands exchanged.
    pub fn swapped(self) -> Cond {
        match self {
            Cond::Eq | Cond::Ne | Cond::Set => self,
            Cond::Gt => Cond::Lt,
            Cond::Lt => Cond::Gt,
            Cond::Ge => Cond::Le,
            Cond::Le => Cond::Ge,
            Cond::Sgt => Cond::Slt,
            Cond::Slt => Cond::Sgt,
            Cond::Sge => Cond::Sle,
            Cond::Sle => Cond::Sge,
        }
    }
}

/// The bytes of one access.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Width {
    /// 1 byte.
    B1,
    /// 2 bytes.
    B2,
    /// 4 bytes.
    B4,
    /// 8 bytes.
    B8,
}

impl Width {
    /// Their number.
    pub fn bytes(self) -> u32 {
        match self {
            Width::B1 => 1,
            Width::B2 => 2,
            Width::B4 => 4,
            Width::B8 => 8,
        }
    }

    /// The greatest width within so many bytes (at least 1).
    pub fn within(bytes: u32) -> Width {
        match bytes {
            0 | 1 => Width::B1,
            2 | 3 => Width::B2,
            4..=7 => Width::B4,
            _ => Width::B8,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Width::B4 => 0x00,
            Width::B2 => 0x08,
            Width::B1 => 0x10,
            Width::B8 => 0x18,
        }
    }
}

/// A second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rhs<R> {
    /// A register.
    Reg(R),
    /// A number, sign-extended to 64 bits.
    Imm(i32),
}

impl Insn {
    /// The eight bytes.
    pub fn encode(self) -> [u8; 8] {
        let mut bytes = [self.op, self.src << 4 | self.dst, 0, 0, 0, 0, 0, 0];
        bytes[2..4].copy_from_slice(&self.off.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.imm.to_le_bytes());
        bytes
    }

    /// The instruction that eight bytes stand for.
    pub fn decode(b: [u8; 8]) -> Insn {
        Insn {
            op: b[0],
            dst: b[1] & 15,
            src: b[1] >> 4,
            off: i16::from_le_bytes([b[2], b[3]]),
            imm: i32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        }
    }

    /// The class of its opcode.
    pub fn class(self) -> u8 {
        self.op & 7
    }

    /// Whether it may go on elsewhere than with the next. A call comes back.
    pub fn jumps(self) -> bool {
        matches!(self.class(), class::JMP | class::JMP32) && self.op != CALL && self.op != EXIT
    }

    /// Where it leads from its place: to the next first, then to what it jumps to.
    pub fn ways(self, at: u32) -> [Option<u32>; 2] {
        let next = at + 1;
        let target = (i64::from(next) + i64::from(self.off)) as u32;
        match self.op {
            EXIT => [None, None],
            JA => [Some(target), None],
            _ => [Some(next), Some(target).filter(|target| self.jumps() && *target != next)],
        }
    }

    fn with_rhs(op: u8, dst: Reg, rhs: Rhs<Reg>) -> Insn {
        match rhs {
            Rhs::Reg(src) => Insn { op: op | SRC_REG, dst, src, ..Insn::default() },
            Rhs::Imm(imm) => Insn { op, dst, imm, ..Insn::default() },
        }
    }

    /// `dst op= rhs` on 64 bits.
    pub fn alu(op: AluOp, dst: Reg, rhs: Rhs<Reg>) -> Insn {
        Insn::with_rhs(class::ALU64 | op as u8, dst, rhs)
    }

    /// `dst = src`.
    pub fn mov(dst: Reg, src: Reg) -> Insn {
        Insn::alu(AluOp::Mov, dst, Rhs::Reg(src))
    }

    /// `dst = src`'s low 32 bits: a 32-bit move clears the rest.
    pub fn low(dst: Reg, src: Reg) -> Insn {
        Insn { op: class::ALU32 | AluOp::Mov as u8 | SRC_REG, dst, src, ..Insn::default() }
    }

    /// `dst = src`'s low 8, 16 or 32 bits with their sign.
    pub fn sign_extend(dst: Reg, src: Reg, bits: u8) -> Insn {
        Insn { off: bits.into(), ..Insn::mov(dst, src) }
    }

    /// `dst s/= src` or `dst s%= src`.
    pub fn signed_alu(op: AluOp, dst: Reg, src: Reg) -> Insn {
        Insn { off: 1, ..Insn::alu(op, dst, Rhs::Reg(src)) }
    }

    /// `dst = -dst`.
    pub fn neg(dst: Reg) -> Insn {
        Insn { op: NEG, dst, ..Insn::default() }
    }

    /// `dst = be dst`: exchanges the bytes of the low end and clears the rest.
    pub fn to_big_endian(dst: Reg, width: Width) -> Insn {
        Insn { op: TO_BE, dst, imm: 8 * width.bytes() as i32, ..Insn::default() }
    }

    /// `dst = *(width *)(base + off)`, zero-extended.
    pub fn load(width: Width, dst: Reg, base: Reg, off: i16) -> Insn {
        Insn { op: class::LDX | MODE_MEM | width.bits(), dst, src: base, off, imm: 0 }
    }

    /// `dst = *(width *)(base + off)`, sign-extended.
    pub fn load_signed(width: Width, dst: Reg, base: Reg, off: i16) -> Insn {
        Insn { op: class::LDX | MODE_MEM_SIGNED | width.bits(), dst, src: base, off, imm: 0 }
    }

    /// `*(width *)(base + off) = value`.
    pub fn store(width: Width, base: Reg, off: i16, value: Rhs<Reg>) -> Insn {
        let op = MODE_MEM | width.bits();
        match value {
            Rhs::Reg(src) => Insn { op: class::STX | op, dst: base, src, off, imm: 0 },
            Rhs::Imm(imm) => Insn { op: class::ST | op, dst: base, src: 0, off, imm },
        }
    }

    /// Both halves of `dst = imm` on 64 bits.
    pub fn load_imm64(dst: Reg, imm: u64) -> [Insn; 2] {
        let low = Insn { op: LD_IMM64, dst, imm: imm as u32 as i32, ..Insn::default() };
        [low, Insn { imm: (imm >> 32) as u32 as i32, ..Insn::default() }]
    }

    /// `if lhs cond rhs goto`, the distance still to be set.
    pub fn branch(cond: Cond, lhs: Reg, rhs: Rhs<Reg>) -> Insn {
        Insn::with_rhs(class::JMP | cond as u8, lhs, rhs)
    }

    /// `goto`, the distance still to be set: as it stands, to the next instruction.
    pub fn jump() -> Insn {
        Insn { op: JA, ..Insn::default() }
    }

    /// Calls a helper by its number.
    pub fn helper(number: i32) -> Insn {
        Insn { op: CALL, imm: number, ..Insn::default() }
    }

    /// Calls a function that a relocation names. Its place is counted from the next instruction, so -1 is the symbol itself.
    pub fn call() -> Insn {
        Insn { op: CALL, src: CALL_FUNCTION, imm: -1, ..Insn::default() }
    }

    /// Goes on, or jumps when the program has had its time; the distance still to be set.
    pub fn may_goto() -> Insn {
        Insn { op: MAY_GOTO, ..Insn::default() }
    }

    /// `exit`.
    pub fn exit() -> Insn {
        Insn { op: EXIT, ..Insn::default() }
    }
}
