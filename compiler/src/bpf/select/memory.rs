//! Memory: addresses with the tests that the kernel's verifier wants, loads, stores, copies, and checks.
//!
//! An access at a variable address is preceded by a compare of that very register with a constant. The IR's evidence says that it
//! cannot fail, so it leads to the trap; where a check of the spec compares with a constant, the one compare serves both.

use super::cond::Test;
use super::uses::known_size;
use super::{AddrKey, Selector};
use crate::bpf::insn::{AluOp, Cond, Rhs, Width};
use crate::bpf::profile::Isa;
use crate::bpf::program::Symbol;
use crate::bpf::vcode::{Exit, Onto, Place, VInsn, VReg};
use crate::ir::defs::Def;
use crate::ir::{Addr, Endian, FaultRef, Region, Size, Ty, Value, eval};

/// The greatest displacement in an instruction, less the width of an access.
const DISP_MAX: u32 = i16::MAX as u32 - 8;

/// A pointer and a constant displacement from it.
#[derive(Clone, Copy)]
pub(super) struct Pointer {
    pub(super) base: VReg,
    pub(super) off: u32,
}

impl Selector<'_> {
    pub(super) fn load_state(&mut self, off: u32) -> VReg {
        let Pointer { base, off } = self.known_pointer(Symbol::State, off);
        let dst = self.code.vreg();
        self.push(VInsn::Load { dst, base, off: off as i16, width: Width::B8, signed: false });
        dst
    }

    pub(super) fn store_state(&mut self, off: u32, value: Rhs<VReg>) {
        let Pointer { base, off } = self.known_pointer(Symbol::State, off);
        self.push(VInsn::Store { base, off: off as i16, value, width: Width::B8 });
    }

    /// Where a region lies, and how long it is.
    pub(super) fn region(&self, region: Region) -> (Symbol, u32, u32) {
        let (f, layout) = (self.f, self.layout);
        match region {
            Region::Disk => (Symbol::Block, 0, self.block_size),
            Region::Arg(i) => {
                let leaf = &f.args[i as usize];
                (Symbol::State, layout.args + leaf.offset + 8, leaf.kind.size() - 8)
            }
            Region::Slot(s) => (Symbol::State, layout.slots[s.index()], f.slots[s.index()].size),
            Region::Data(d) => (Symbol::Constants, self.constants[d.index()], f.data[d.index()].bytes.len() as u32),
            Region::Out => (Symbol::State, layout.out, layout.out_size),
        }
    }

    /// A pointer from which a constant place is reached.
    fn known_pointer(&mut self, symbol: Symbol, off: u32) -> Pointer {
        if off > DISP_MAX {
            return Pointer { base: self.address_of(symbol, off), off: 0 };
        }
        let base = match self.here.areas.get(&symbol).copied().or_else(|| self.outside_area(symbol)) {
            Some(base) => base,
            None => {
                let base = self.address_of(symbol, 0);
                self.here.areas.insert(symbol, base);
                base
            }
        };
        Pointer { base, off }
    }

    pub(super) fn address_of(&mut self, symbol: Symbol, addend: u32) -> VReg {
        let dst = self.code.vreg();
        self.push(VInsn::Address { dst, symbol, addend });
        dst
    }

    /// The variable part of an address: its register, none when it is all known; and the constant part.
    pub(super) fn parts(&mut self, addr: &Addr) -> (Option<VReg>, u64) {
        let mut known = u64::from(addr.disp);
        let mut variable = None;
        for v in addr.base.into_iter().chain(addr.index) {
            match (self.number(v), variable) {
                (Some(n), _) => known = known.saturating_add(n),
                (None, None) => variable = Some(self.reg(v)),
                (None, Some(a)) => {
                    let b = self.reg(v);
                    variable = Some(self.alu(AluOp::Add, a, b));
                }
            }
        }
        (variable, known)
    }

    /// A pointer good for `len` bytes at this address.
    pub(super) fn pointer(&mut self, addr: &Addr, len: u32) -> Pointer {
        let (symbol, start, size) = self.region(addr.region);
        let key = AddrKey::of(self.f, addr);
        if key.base.is_none() && key.index.is_none() {
            let (_, known) = self.parts(addr);
            if known + u64::from(len) <= size.into() {
                return self.known_pointer(symbol, start + known as u32);
            }
            // No run comes here, since a check before it fails; the kernel wants to see that.
            let var = self.imm(known);
            return self.bounded_pointer(symbol, start, var, size.checked_sub(len));
        }
        // The part of the displacement that belongs to this address alone; the rest of it is in the variable part's key.
        let constants = addr.base.into_iter().chain(addr.index).filter_map(|v| self.number(v));
        let own = constants.fold(u64::from(addr.disp), u64::saturating_add);
        let own = u32::try_from(own).unwrap_or(u32::MAX);
        let extra = own - addr.disp.min(own);
        let extent = match extra {
            0 => self.uses.extent(&key).unwrap_or(0).max(own.saturating_add(len)),
            _ => own.saturating_add(len),
        };
        let shared = || self.shared.get(&key).filter(|_| extra == 0 && !self.layout.cuts.is_behind(self.at));
        let known = self.here.pointers.get(&key).or_else(shared);
        let base = match known {
            // Displacements beside a known number differ from use to use: such pointers are not shared.
            Some(base) if extra == 0 => *base,
            _ => {
                let (var, _) = self.parts(addr);
                let var = var.expect("an address with a key has a variable part");
                let followed = addr.index.filter(|_| addr.base.is_none());
                let followed = followed.is_some_and(|v| self.widening.is_followed(self.f, &self.defs, v, self.at));
                let Pointer { base, off } = match followed && !self.layout.cuts.is_behind(self.at) && extent <= size {
                    true => {
                        let base = self.address_of(symbol, start);
                        Pointer { base: self.alu(AluOp::Add, base, var), off: 0 }
                    }
                    false => self.bounded_pointer(symbol, start, var, size.checked_sub(extent)),
                };
                debug_assert_eq!(off, 0, "the region's start is in the pointer");
                if extra == 0 {
                    self.keep_pointer(key, base);
                }
                base
            }
        };
        if own <= DISP_MAX {
            return Pointer { base, off: own };
        }
        Pointer { base: self.alu(AluOp::Add, base, own as i32), off: 0 }
    }

    /// A pointer to a variable place of a region, at most `limit`; none if no place is left.
    pub(super) fn bounded_pointer(&mut self, symbol: Symbol, start: u32, var: VReg, limit: Option<u32>) -> Pointer {
        if limit.is_none() {
            self.push(VInsn::ExitIf { cond: Cond::Ge, a: var, b: Rhs::Imm(0), exit: Exit::Trap });
        }
        self.bounded(symbol, start, var, limit.unwrap_or(0), Exit::Trap)
    }

    pub(super) fn bounded(&mut self, symbol: Symbol, start: u32, var: VReg, limit: u32, exit: Exit) -> Pointer {
        let kept = self.outside_area(symbol).filter(|_| start == 0);
        let (base, onto) = match kept {
            Some(base) => (base, Onto::Var),
            None => (self.address_of(symbol, start), Onto::Base),
        };
        let dst = self.code.vreg();
        self.push(VInsn::Bounded { dst, base, var, limit: limit.min(i32::MAX as u32), exit, onto });
        Pointer { base: dst, off: 0 }
    }

    pub(super) fn load(&mut self, ty: Ty, addr: &Addr, width: u8, endian: Endian) -> VReg {
        let pointer = self.pointer(addr, width.into());
        let plain = matches!(width, 1 | 2 | 4) && (endian == Endian::Little || width == 1);
        if ty == Ty::I64 && plain && self.isa >= Isa::V4 {
            let (dst, off) = (self.code.vreg(), pointer.off as i16);
            let width = Width::within(width.into());
            self.push(VInsn::Load { dst, base: pointer.base, off, width, signed: true });
            return dst;
        }
        let mut word: Option<VReg> = None;
        let mut shift = 0;
        for (at, part) in chunks(width, endian) {
            let dst = self.code.vreg();
            self.push(VInsn::Load {
                dst,
                base: pointer.base,
                off: (pointer.off + at) as i16,
                width: part,
                signed: false,
            });
            let bits = 8 * part.bytes() as i32;
            let chunk = self.in_order(dst, part, endian);
            word = Some(match (word, endian) {
                (None, _) => chunk,
                (Some(word), Endian::Little) => {
                    let high = self.alu(AluOp::Lsh, chunk, shift);
                    self.alu(AluOp::Or, word, high)
                }
                (Some(word), Endian::Big) => {
                    let high = self.alu(AluOp::Lsh, word, bits);
                    self.alu(AluOp::Or, high, chunk)
                }
            });
            shift += bits;
        }
        let word = word.expect("a load has at least one byte");
        if ty == Ty::I64 && width < 8 { self.signed_low(word, 8 * width) } else { word }
    }

    fn in_order(&mut self, a: VReg, width: Width, endian: Endian) -> VReg {
        if endian == Endian::Little || width == Width::B1 {
            return a;
        }
        let dst = self.code.vreg();
        self.push(VInsn::Swap { dst, a, width });
        dst
    }

    pub(super) fn store(&mut self, addr: &Addr, width: u8, endian: Endian, value: Value) {
        let pointer = self.pointer(addr, width.into());
        let mut bytes = [0; 8];
        let known = self.number(value);
        if let Some(n) = known {
            eval::store(endian, n, &mut bytes[..width.into()]);
        }
        for (at, part) in chunks(width, endian) {
            let value = match known {
                Some(_) => {
                    let mut chunk = [0; 8];
                    let len = part.bytes() as usize;
                    chunk[..len].copy_from_slice(&bytes[at as usize..at as usize + len]);
                    match part {
                        Width::B8 => self.rhs_number(u64::from_le_bytes(chunk)),
                        _ => Rhs::Imm(u64::from_le_bytes(chunk) as u32 as i32),
                    }
                }
                None => {
                    let below = match endian {
                        Endian::Little => at,
                        Endian::Big => u32::from(width) - at - part.bytes(),
                    };
                    let word = self.reg(value);
                    let word = if below == 0 { word } else { self.alu(AluOp::Rsh, word, 8 * below as i32) };
                    Rhs::Reg(self.in_order(word, part, endian))
                }
            };
            self.push(VInsn::Store { base: pointer.base, off: (pointer.off + at) as i16, value, width: part });
        }
    }

    pub(super) fn copy(&mut self, to: &Addr, from: &Addr, len: Size) {
        let max = match len {
            Size::Const(n) => n,
            Size::Value(v) => self.f.value(v).range.hi.clamp(0, i32::MAX.into()) as u32,
        };
        if max == 0 {
            return;
        }
        let len = match known_size(self.f, len) {
            Some(n) => Rhs::Imm(n as i32),
            None => match len {
                Size::Const(n) => Rhs::Imm(n as i32),
                // The paths for short and long copies must not part the rest of the program.
                Size::Value(v) => {
                    let len = self.reg(v);
                    Rhs::Reg(self.widen(len))
                }
            },
        };
        let (to, from) = (self.place(to, max), self.place(from, max));
        let temps = [(); 4].map(|()| self.code.vreg());
        self.push(VInsn::Copy { to, from, len, max, temps });
    }

    fn place(&mut self, addr: &Addr, max: u32) -> Place {
        let (symbol, start, size) = self.region(addr.region);
        let (var, known) = self.parts(addr);
        let parts = addr.base.into_iter().chain(addr.index);
        let most = parts.fold(i128::from(addr.disp), |sum, v| sum.saturating_add(self.f.value(v).range.hi));
        let has_word = most + 8 <= size.into();
        match u32::try_from(known) {
            Ok(disp) if var.is_some() || disp.saturating_add(max) <= size => {
                Place { symbol, start, size, var, disp, has_word }
            }
            // A known place that is good for fewer bytes than `max`: each access is tested.
            _ => Place { symbol, start, size, var: Some(self.imm(known)), disp: 0, has_word },
        }
    }

    pub(super) fn check(
        &mut self,
        result: Value,
        region: Region,
        a: Value,
        size: Size,
        limit: Value,
        fault: &FaultRef,
    ) {
        if self.f.is_shown(result) {
            if self.uses.is_needed(result) {
                self.registers[result.index()] = Some(self.reg(a));
            }
            return;
        }
        let known = (self.number(a), known_size(self.f, size), self.number(limit));
        let test = match known {
            (Some(a), Some(size), Some(limit)) => Test::Known(a.checked_add(size).is_none_or(|end| end > limit)),
            (None, Some(size), Some(limit)) => match limit.checked_sub(size) {
                None => Test::Known(true),
                Some(most) => match self.checked_pointer(result, region, a, most, fault) {
                    true => Test::Known(false),
                    false => {
                        let most = self.rhs_number(most);
                        Test::Jump(Cond::Gt, self.reg(a), most)
                    }
                },
            },
            _ => self.check_at_run_time(a, size, limit, fault),
        };
        let exit = self.exit(fault);
        self.exit_if(test, exit);
        if self.number(result).is_none() {
            self.registers[result.index()] = Some(self.reg(a));
        }
    }

    /// Makes the check's compare and the pointer to what it has checked in one, if such a pointer is used.
    fn checked_pointer(&mut self, result: Value, region: Region, a: Value, most: u64, fault: &FaultRef) -> bool {
        let key = AddrKey { region, base: Some(result), index: None };
        let (symbol, start, size) = self.region(region);
        let Some(extent) = self.uses.extent(&key).filter(|_| self.number(result).is_none()) else { return false };
        if most + u64::from(extent) > size.into() || most > i32::MAX as u64 {
            return false;
        }
        let (var, exit) = (self.reg(a), self.exit(fault));
        let Pointer { base, .. } = self.bounded(symbol, start, var, most as u32, exit);
        self.keep_pointer(key, base);
        true
    }

    pub(super) fn keep_pointer(&mut self, key: AddrKey, base: VReg) {
        self.here.pointers.insert(key, base);
        // A check is where it says, before all that is based on it.
        let here = self.uses.place(&key).is_some_and(|place| place == self.at || key.base.is_some());
        let everywhere = key.base.is_none_or(|v| self.defs.get(v).map(Def::block) == Some(self.at));
        if here && everywhere {
            self.shared.insert(key, base);
        }
    }

    /// Makes the pointers of this block that later blocks share, where it has not used them itself.
    pub(super) fn share_pointers(&mut self) {
        for key in self.uses.placed(self.f, self.at) {
            if !self.shared.contains_key(&key) {
                let addr = Addr { region: key.region, base: key.base, index: key.index, disp: 0 };
                let pointer = self.pointer(&addr, 1);
                self.shared.insert(key, pointer.base);
            }
        }
    }

    /// The test that `a + size > limit`.
    fn check_at_run_time(&mut self, a: Value, size: Size, limit: Value, fault: &FaultRef) -> Test {
        let known = known_size(self.f, size);
        let size_most = match size {
            Size::Const(n) => n.into(),
            Size::Value(v) => self.f.value(v).range.hi,
        };
        match known {
            Some(0) => return self.jump_on(Cond::Gt, a, limit),
            Some(1) => return self.jump_on(Cond::Ge, a, limit),
            _ => {}
        }
        if self.f.value(a).range.hi + size_most <= u64::MAX.into() {
            let end = match (self.number(a), known, size) {
                (Some(a), Some(size), _) => self.imm(a + size),
                (None, Some(size), _) => {
                    let (a, size) = (self.reg(a), self.rhs_number(size));
                    self.alu(AluOp::Add, a, size)
                }
                (_, None, Size::Value(size)) => {
                    let (size, a) = (self.reg(size), self.rhs(a));
                    if a == Rhs::Imm(0) { size } else { self.alu(AluOp::Add, size, a) }
                }
                (_, None, Size::Const(_)) => unreachable!("a constant size is known"),
            };
            return Test::Jump(Cond::Gt, end, self.rhs(limit));
        }
        // The sum might wrap: subtract from the limit instead.
        let limit = self.reg(limit);
        let size = match (known, size) {
            (Some(n), _) => self.rhs_number(n),
            (None, Size::Value(v)) => Rhs::Reg(self.reg(v)),
            (None, Size::Const(_)) => unreachable!("a constant size is known"),
        };
        let exit = self.exit(fault);
        self.exit_if(Test::Jump(Cond::Lt, limit, size), exit);
        let most = self.alu(AluOp::Sub, limit, size);
        match self.number(a) {
            Some(n) => Test::Jump(Cond::Lt, most, self.rhs_number(n)),
            None => Test::Jump(Cond::Gt, self.reg(a), Rhs::Reg(most)),
        }
    }
}

/// The accesses that make up one of `width` bytes, by their offset. Little-endian ones go up with the greatest part first, big-endian ones with
/// the greatest part last, so that parts with a byte order of their own stand at the low end of the word.
fn chunks(width: u8, endian: Endian) -> Vec<(u32, Width)> {
    let mut parts = Vec::new();
    let mut rest = u32::from(width);
    while rest > 0 {
        let part = Width::within(rest);
        parts.push(part);
        rest -= part.bytes();
    }
    if endian == Endian::Big {
        parts.reverse();
    }
    let mut at = 0;
    let place = |part: Width| {
        let start = at;
        at += part.bytes();
        (start, part)
    };
    parts.into_iter().map(place).collect()
}
