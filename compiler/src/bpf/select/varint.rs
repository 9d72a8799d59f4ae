//! Varints: some bytes in place and the rest by a routine, or byte by byte in place.

use super::Selector;
use super::memory::Pointer;
use crate::bpf::abi::word;
use crate::bpf::insn::{AluOp, Cond, Rhs, Width};
use crate::bpf::routine::{self, Key};
use crate::bpf::vcode::{Exit, VBlock, VInsn, VReg};
use crate::ir::{Addr, FaultRef, Value, Varint, begins_before};

/// Bytes of a varint that are looked at in place before a routine reads them all. Most varints have no other, and a call takes long; but each is
/// one more way that the kernel's verifier walks through.
const BEFORE_CALL: u8 = 1;
/// The same for a varint that is looked for: numbers of rows and the like, of which tables have many.
const SOUGHT_BEFORE_CALL: u8 = 3;

/// A varint on its way from its first byte to its last.
struct Reading<'a> {
    kind: Varint,
    addr: &'a Addr,
    /// The variable and the known part of where it begins.
    place: (Option<VReg>, u64),
    limit: Value,
    outside: Exit,
    wide: Option<Exit>,
    /// Whether the size is needed, and the number.
    is_sized: bool,
    is_decoded: bool,
    /// Where all ways join.
    ended: VBlock,
}

impl Reading<'_> {
    /// What the ways pass on where they join.
    fn wanted(&self, size: impl FnOnce() -> VReg, number: Option<VReg>) -> Vec<VReg> {
        self.is_sized.then(size).into_iter().chain(number.filter(|_| self.is_decoded)).collect()
    }
}

impl Selector<'_> {
    pub(super) fn varint(
        &mut self,
        result: Value,
        kind: Varint,
        addr: &Addr,
        limit: Value,
        (outside, wide): (&FaultRef, Option<&FaultRef>),
    ) {
        let first = self.pointer(addr, 1);
        let place = self.parts(addr);
        let (outside, wide) = (self.exit(outside), wide.map(|fault| self.exit(fault)));
        let ended = self.code.block();
        let (is_sized, is_decoded) = (self.uses.is_needed(result), self.uses.is_decoded(result));
        let reading = Reading { kind, addr, place, limit, outside, wide, is_sized, is_decoded, ended };
        if !begins_before(self.f, &self.defs, addr, limit) {
            self.exit_from(&reading, 0);
        }
        let (size, number) = (self.code.vreg(), self.code.vreg());
        self.code.blocks[ended.0 as usize].params = reading.wanted(|| size, Some(number));
        // What is made from here on is not there where the ways join.
        let here = self.here.clone();
        let first = self.load_byte(first);
        match self.calls {
            true => self.few_in_place(&reading, first, self.uses.is_sought(result)),
            false => self.all_in_place(&reading, first),
        }
        self.here = here;
        self.current = ended;
        // What a routine returns is known of no more than this.
        let joined = |l: &mut Self, v: VReg| if l.calls { v } else { l.widen(v) };
        self.registers[result.index()] = is_sized.then(|| joined(self, size));
        self.decoded = is_decoded.then(|| joined(self, number));
    }

    /// Looks at some bytes; a routine reads what has more of them, or may end behind the limit.
    fn few_in_place(&mut self, reading: &Reading, first: VReg, is_sought: bool) {
        let Reading { kind, addr, place: (var, known), limit, .. } = *reading;
        let (symbol, start, size) = self.region(addr.region);
        let in_place = if is_sought { SOUGHT_BEFORE_CALL } else { BEFORE_CALL };
        let last = known + u64::from(in_place) - 1;
        // Behind a displacement, which has 16 bits.
        let more = var.filter(|_| in_place > 1 && last < size.min(i16::MAX as u32).into());
        let call = self.code.block();
        let mut so_far = self.go_on(reading, None, first, 0, more.is_some());
        if let Some(var) = more {
            // One test for all of them.
            let (end, near, far) = (self.rhs(limit), self.code.block(), self.code.block());
            let a = self.offset(Some(var), last);
            self.push(VInsn::Branch { cond: Cond::Lt, a, b: end, then: near, other: far });
            self.current = far;
            self.push(VInsn::Jump { to: call, args: Vec::new() });
            self.current = near;
            let pointer = self.bounded_pointer(symbol, start, var, size.checked_sub(last as u32 + 1));
            for i in 1..in_place {
                let byte = self.load_byte(Pointer { off: pointer.off + known as u32 + u32::from(i), ..pointer });
                so_far = self.go_on(reading, so_far, byte, i, i + 1 < in_place);
            }
        }
        self.push(VInsn::Jump { to: call, args: Vec::new() });
        self.current = call;
        let args = [self.offset(var, known), self.reg(limit)];
        let (size, number) = self.call_for_varint(Key { kind, symbol, start, size }, args, reading);
        let args = reading.wanted(|| size, Some(number));
        self.push(VInsn::Jump { to: reading.ended, args });
    }

    fn all_in_place(&mut self, reading: &Reading, first: VReg) {
        let Reading { kind, addr, place: (var, known), .. } = *reading;
        let mut so_far = None;
        for i in 0..kind.most_bytes() {
            let byte = match i {
                0 => first,
                _ => {
                    self.exit_from(reading, i);
                    let pointer = self.byte_of(addr, var, known + u64::from(i));
                    self.load_byte(pointer)
                }
            };
            if i + 1 < kind.most_bytes() {
                so_far = self.go_on(reading, so_far, byte, i, true);
                continue;
            }
            if let Some(exit) = reading.wide {
                match kind {
                    Varint::Leb128 => self.push(VInsn::ExitIf { cond: Cond::Gt, a: byte, b: Rhs::Imm(1), exit }),
                    Varint::Sqlite | Varint::Vlq => {
                        let high = self.alu(AluOp::Rsh, so_far.unwrap_or(byte), 57);
                        self.push(VInsn::ExitIf { cond: Cond::Ne, a: high, b: Rhs::Imm(0), exit });
                        self.push(VInsn::ExitIf { cond: Cond::Gt, a: byte, b: Rhs::Imm(127), exit });
                    }
                }
            }
            self.end_of_varint(reading, so_far, byte, i);
        }
    }

    /// Leaves if the byte at this position is behind the limit.
    fn exit_from(&mut self, reading: &Reading, i: u8) {
        let (var, known) = reading.place;
        let (a, b) = (self.offset(var, known + u64::from(i)), self.rhs(reading.limit));
        self.push(VInsn::ExitIf { cond: Cond::Ge, a, b, exit: reading.outside });
    }

    /// Ends with a byte whose top bit is not set. Else goes on; the number so far, if it is needed and more bytes are `joined`.
    fn go_on(&mut self, reading: &Reading, so_far: Option<VReg>, byte: VReg, i: u8, joined: bool) -> Option<VReg> {
        let is_needed = joined && (reading.is_decoded || reading.wide.is_some() && reading.kind == Varint::Vlq);
        let (more, done) = (self.code.block(), self.code.block());
        // The longer way comes first, so that the kernel's verifier finds what it knows of the shorter ones among what it has seen.
        self.push(VInsn::Branch { cond: Cond::Gt, a: byte, b: Rhs::Imm(127), then: more, other: done });
        self.current = done;
        // The byte that ends it has no top bit to be taken off.
        self.end_of_varint(reading, so_far, byte, i);
        self.current = more;
        is_needed.then(|| {
            let low = self.alu(AluOp::And, byte, 0x7f);
            self.joined(reading.kind, so_far, low, i)
        })
    }

    /// Has a routine read it; the size and the number.
    fn call_for_varint(&mut self, key: Key, args: [VReg; 2], reading: &Reading) -> (VReg, VReg) {
        let routine = self.code.routine(key);
        let dst = self.code.vreg();
        self.push(VInsn::Call { dst, routine, args });
        let exits = [(routine::CUT, Some(reading.outside)), (routine::WIDE, reading.wide)];
        for (returned, exit) in exits.into_iter().filter_map(|(returned, exit)| Some((returned, exit?))) {
            self.push(VInsn::ExitIf { cond: Cond::Eq, a: dst, b: Rhs::Imm(returned), exit });
        }
        (dst, self.load_state(8 * word::NUMBER as u32))
    }

    /// An offset in a register.
    fn offset(&mut self, var: Option<VReg>, known: u64) -> VReg {
        match var {
            Some(var) if known == 0 => var,
            Some(var) => {
                let known = self.rhs_number(known);
                self.alu(AluOp::Add, var, known)
            }
            None => self.imm(known),
        }
    }

    /// A byte that is in its region, as a test has shown.
    fn byte_of(&mut self, addr: &Addr, var: Option<VReg>, at: u64) -> Pointer {
        let (symbol, start, size) = self.region(addr.region);
        let (var, off) = match (var, u32::try_from(at)) {
            (Some(var), Ok(off)) if off < i16::MAX as u32 => (var, off),
            _ => (self.offset(var, at), 0),
        };
        let pointer = self.bounded_pointer(symbol, start, var, size.checked_sub(off + 1));
        Pointer { off, ..pointer }
    }

    fn load_byte(&mut self, Pointer { base, off }: Pointer) -> VReg {
        let dst = self.code.vreg();
        self.push(VInsn::Load { dst, base, off: off as i16, width: Width::B1, signed: false });
        dst
    }

    /// The number so far with the bits of one more byte, the one with this position.
    fn joined(&mut self, kind: Varint, so_far: Option<VReg>, bits: VReg, i: u8) -> VReg {
        let Some(so_far) = so_far else { return bits };
        match kind {
            Varint::Leb128 => {
                let bits = self.alu(AluOp::Lsh, bits, 7 * i32::from(i));
                self.alu(AluOp::Or, so_far, bits)
            }
            Varint::Sqlite | Varint::Vlq => {
                let whole = kind == Varint::Sqlite && i == 8;
                let high = self.alu(AluOp::Lsh, so_far, if whole { 8 } else { 7 });
                self.alu(AluOp::Or, high, bits)
            }
        }
    }

    fn end_of_varint(&mut self, reading: &Reading, so_far: Option<VReg>, byte: VReg, i: u8) {
        let number = reading.is_decoded.then(|| self.joined(reading.kind, so_far, byte, i));
        let args = reading.wanted(|| self.imm(u64::from(i) + 1), number);
        self.push(VInsn::Jump { to: reading.ended, args });
    }
}
