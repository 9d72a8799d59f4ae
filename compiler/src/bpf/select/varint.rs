//! Varints: by a routine, or byte by byte in place.

use super::Selector;
use super::memory::Pointer;
use crate::bpf::abi::word;
use crate::bpf::insn::{AluOp, Cond, Rhs, Width};
use crate::bpf::routine::{self, Key};
use crate::bpf::vcode::{Exit, VBlock, VInsn, VReg};
use crate::ir::{Addr, FaultRef, Value, Varint, begins_before};

/// Bytes that are read in place before a routine reads them all. Most varints have no other, and a call takes long; but each is one more way
/// that the kernel's verifier walks through.
const BEFORE_CALL: u8 = 1;

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
        let (var, known) = self.parts(addr);
        let (outside, wide) = (self.exit(outside), wide.map(|fault| self.exit(fault)));
        let end = self.rhs(limit);
        // What is made from here on is not there where the ways join.
        let here = self.here.clone();
        let ended = self.code.block();
        let (size, number) = (self.code.vreg(), self.code.vreg());
        let is_decoded = self.uses.is_decoded(result);
        self.code.blocks[ended.0 as usize].params.extend([size].into_iter().chain(is_decoded.then_some(number)));
        let mut so_far = None;
        let in_place = if self.calls { BEFORE_CALL } else { kind.most_bytes() };
        for i in 0..kind.most_bytes() {
            if i == in_place {
                let (symbol, start, size) = self.region(addr.region);
                let args = [self.offset(var, known), self.reg(limit)];
                let (size, number) = self.call_for_varint(Key { kind, symbol, start, size }, args, outside, wide);
                self.push(VInsn::Jump {
                    to: ended,
                    args: [size].into_iter().chain(is_decoded.then_some(number)).collect(),
                });
                break;
            }
            let byte = match i {
                0 => {
                    if !begins_before(self.f, &self.defs, addr, limit) {
                        let here = self.offset(var, known);
                        self.push(VInsn::ExitIf { cond: Cond::Ge, a: here, b: end, exit: outside });
                    }
                    self.load_byte(first)
                }
                _ => {
                    let at = known + u64::from(i);
                    let here = self.offset(var, at);
                    self.push(VInsn::ExitIf { cond: Cond::Ge, a: here, b: end, exit: outside });
                    let pointer = self.byte_of(addr, var, at);
                    self.load_byte(pointer)
                }
            };
            let is_last = i + 1 == kind.most_bytes();
            if let (true, Some(exit)) = (is_last, wide) {
                match kind {
                    Varint::Leb128 => self.push(VInsn::ExitIf { cond: Cond::Gt, a: byte, b: Rhs::Imm(1), exit }),
                    Varint::Sqlite | Varint::Vlq => {
                        let high = self.alu(AluOp::Rsh, so_far.unwrap_or(byte), 57);
                        self.push(VInsn::ExitIf { cond: Cond::Ne, a: high, b: Rhs::Imm(0), exit });
                        self.push(VInsn::ExitIf { cond: Cond::Gt, a: byte, b: Rhs::Imm(127), exit });
                    }
                }
            }
            let more = (!is_last).then(|| {
                let (more, done) = (self.code.block(), self.code.block());
                // The longer way comes first, so that the kernel's verifier finds what it knows of the shorter ones among what it has seen.
                self.push(VInsn::Branch { cond: Cond::Gt, a: byte, b: Rhs::Imm(127), then: more, other: done });
                self.current = done;
                more
            });
            // The byte that ends it has no top bit to be taken off.
            let number = if is_decoded { Some(self.joined(kind, so_far, byte, i)) } else { None };
            self.end_of_varint(ended, i + 1, number);
            let Some(more) = more else { break };
            self.current = more;
            if i + 1 < in_place && (is_decoded || wide.is_some() && kind == Varint::Vlq) {
                let low = self.alu(AluOp::And, byte, 0x7f);
                so_far = Some(self.joined(kind, so_far, low, i));
            }
        }
        self.here = here;
        self.current = ended;
        // What a routine returns is known of no more than this.
        let joined = |l: &mut Self, v: VReg| if l.calls { v } else { l.widen(v) };
        self.registers[result.index()] = Some(joined(self, size));
        self.decoded = is_decoded.then(|| joined(self, number));
    }

    /// Has a routine read it; the size and the number.
    fn call_for_varint(&mut self, key: Key, args: [VReg; 2], outside: Exit, wide: Option<Exit>) -> (VReg, VReg) {
        let routine = self.code.routine(key);
        let dst = self.code.vreg();
        self.push(VInsn::Call { dst, routine, args });
        let exits = [(routine::CUT, Some(outside)), (routine::WIDE, wide)];
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

    fn end_of_varint(&mut self, ended: VBlock, size: u8, number: Option<VReg>) {
        let size = self.imm(size.into());
        self.push(VInsn::Jump { to: ended, args: [size].into_iter().chain(number).collect() });
    }
}
