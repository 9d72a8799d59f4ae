//! Instructions as text, in the syntax of LLVM.
//!
//! Knows the whole instruction set of RFC 9669 and what Linux added since, not only what is emitted here: it also serves to read the
//! objects of others. What it does not know it prints as `<unknown>` with its bytes.

use super::insn::{Insn, LD_IMM64, SRC_REG, class};
use std::fmt::{self, Display, Formatter};

/// An instruction with its second half, if it has one, and its position, for the targets of jumps.
pub struct Printed<'a> {
    /// The instruction.
    pub insn: Insn,
    /// The next eight bytes.
    pub next: Option<Insn>,
    /// Its position, for the name of a jump's target.
    pub at: usize,
    /// Names the target of a jump, call or 64-bit immediate, if it has a name.
    pub name: &'a dyn Fn(Target) -> Option<String>,
}

/// What an instruction may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The instruction at this position.
    Insn(i64),
    /// What the relocation on the instruction at this position says.
    Relocation(usize),
}

/// How many slots of eight bytes an instruction takes.
pub fn slots(insn: Insn) -> usize {
    if insn.op == LD_IMM64 { 2 } else { 1 }
}

impl Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let known = match self.insn.class() {
            class::LD => self.wide(f)?,
            class::LDX => self.load(f)?,
            class::ST | class::STX => self.store(f)?,
            class::ALU32 | class::ALU64 => self.alu(f)?,
            _ => self.jump(f)?,
        };
        if known {
            return Ok(());
        }
        write!(f, "<unknown>")?;
        self.insn.encode().iter().try_for_each(|b| write!(f, " {b:02x}"))
    }
}

impl Printed<'_> {
    fn wide(&self, f: &mut Formatter<'_>) -> Result<bool, fmt::Error> {
        let insn = self.insn;
        let (LD_IMM64, Some(next)) = (insn.op, self.next) else { return Ok(false) };
        match (self.name)(Target::Relocation(self.at)) {
            Some(name) => write!(f, "r{} = {name} ll", insn.dst)?,
            None => {
                let imm = u64::from(insn.imm as u32) | u64::from(next.imm as u32) << 32;
                write!(f, "r{} = {imm:#x} ll", insn.dst)?;
            }
        }
        Ok(true)
    }

    fn load(&self, f: &mut Formatter<'_>) -> Result<bool, fmt::Error> {
        let insn = self.insn;
        let sign = match insn.op & 0xe0 {
            0x60 => 'u',
            0x80 => 's',
            _ => return Ok(false),
        };
        write!(f, "r{} = *({sign}{} *)(r{} {})", insn.dst, bits(insn.op), insn.src, Offset(insn.off))?;
        Ok(true)
    }

    fn store(&self, f: &mut Formatter<'_>) -> Result<bool, fmt::Error> {
        let insn = self.insn;
        let place = format!("*(u{} *)(r{} {})", bits(insn.op), insn.dst, Offset(insn.off));
        match (insn.class(), insn.op & 0xe0) {
            (class::ST, 0x60) => write!(f, "{place} = {}", Hex(insn.imm.into()))?,
            (class::STX, 0x60) => write!(f, "{place} = r{}", insn.src)?,
            (class::STX, 0xc0) => return self.atomic(f, &place),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn atomic(&self, f: &mut Formatter<'_>, place: &str) -> Result<bool, fmt::Error> {
        let src = self.insn.src;
        match self.insn.imm {
            0x00 | 0x01 => write!(f, "lock {place} += r{src}")?,
            0x40 | 0x41 => write!(f, "lock {place} |= r{src}")?,
            0x50 | 0x51 => write!(f, "lock {place} &= r{src}")?,
            0xa0 | 0xa1 => write!(f, "lock {place} ^= r{src}")?,
            0xe1 => write!(f, "r{src} = xchg({place}, r{src})")?,
            0xf1 => write!(f, "r0 = cmpxchg({place}, r0, r{src})")?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn alu(&self, f: &mut Formatter<'_>) -> Result<bool, fmt::Error> {
        let insn = self.insn;
        let wide = insn.class() == class::ALU64;
        let r = if wide { 'r' } else { 'w' };
        let signed = insn.off == 1;
        let op = match insn.op & 0xf0 {
            0x00 => "+=",
            0x10 => "-=",
            0x20 => "*=",
            0x30 if signed => "s/=",
            0x30 => "/=",
            0x40 => "|=",
            0x50 => "&=",
            0x60 => "<<=",
            0x70 => ">>=",
            0x80 => {
                write!(f, "{r}{0} = -{r}{0}", insn.dst)?;
                return Ok(true);
            }
            0x90 if signed => "s%=",
            0x90 => "%=",
            0xa0 => "^=",
            0xb0 => "=",
            0xc0 => "s>>=",
            0xd0 => {
                let kind = match (wide, insn.op & SRC_REG != 0) {
                    (true, _) => "bswap",
                    (false, true) => "be",
                    (false, false) => "le",
                };
                write!(f, "r{0} = {kind}{1} r{0}", insn.dst, insn.imm)?;
                return Ok(true);
            }
            _ => return Ok(false),
        };
        let is_move = insn.op & 0xf0 == 0xb0;
        match insn.op & SRC_REG != 0 {
            true if is_move && insn.off != 0 => write!(f, "{r}{} = (s{}){r}{}", insn.dst, insn.off, insn.src)?,
            true => write!(f, "{r}{} {op} {r}{}", insn.dst, insn.src)?,
            false => write!(f, "{r}{} {op} {}", insn.dst, Hex(insn.imm.into()))?,
        }
        Ok(true)
    }

    fn jump(&self, f: &mut Formatter<'_>) -> Result<bool, fmt::Error> {
        let insn = self.insn;
        let wide = insn.class() == class::JMP;
        let op = match insn.op & 0xf0 {
            0x00 if wide => return self.goto(f, "goto", insn.off.into()),
            0x00 => return self.goto(f, "gotol", insn.imm.into()),
            0x80 if wide => return self.call(f),
            0x90 if wide => {
                write!(f, "exit")?;
                return Ok(true);
            }
            0xe0 if wide => return self.goto(f, "may_goto", insn.off.into()),
            0x10 => "==",
            0x20 => ">",
            0x30 => ">=",
            0x40 => "&",
            0x50 => "!=",
            0x60 => "s>",
            0x70 => "s>=",
            0xa0 => "<",
            0xb0 => "<=",
            0xc0 => "s<",
            0xd0 => "s<=",
            _ => return Ok(false),
        };
        let r = if wide { 'r' } else { 'w' };
        match insn.op & SRC_REG != 0 {
            true => write!(f, "if {r}{} {op} {r}{} ", insn.dst, insn.src)?,
            false => write!(f, "if {r}{} {op} {} ", insn.dst, Hex(insn.imm.into()))?,
        }
        self.goto(f, "goto", insn.off.into())
    }

    fn goto(&self, f: &mut Formatter<'_>, word: &str, distance: i64) -> Result<bool, fmt::Error> {
        match (self.name)(Target::Insn(self.at as i64 + 1 + distance)) {
            Some(name) => write!(f, "{word} {name}")?,
            None => write!(f, "{word} {distance:+}")?,
        }
        Ok(true)
    }

    fn call(&self, f: &mut Formatter<'_>) -> Result<bool, fmt::Error> {
        let insn = self.insn;
        match ((self.name)(Target::Relocation(self.at)), insn.op & SRC_REG != 0) {
            (Some(name), _) => write!(f, "call {name}")?,
            (None, true) => write!(f, "callx r{}", insn.dst)?,
            (None, false) => match insn.src {
                1 => return self.goto(f, "call", insn.imm.into()),
                _ => write!(f, "call {}", Hex(insn.imm.into()))?,
            },
        }
        Ok(true)
    }
}

fn bits(op: u8) -> u32 {
    match op & 0x18 {
        0x00 => 32,
        0x08 => 16,
        0x10 => 8,
        _ => 64,
    }
}

/// A displacement with its sign apart.
struct Offset(i16);

impl Display for Offset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        write!(f, "{sign} {:#x}", self.0.unsigned_abs())
    }
}

/// A signed number in hexadecimal.
struct Hex(i64);

impl Display for Hex {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        write!(f, "{sign}{:#x}", self.0.unsigned_abs())
    }
}
