//! Varints: one and two bytes by themselves, up to eight from one word, the rest by the host.

use super::code::{Callbacks, Context};
use super::lower::Lower;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, BlockArg, InstBuilder, MemFlagsData};
use std::mem::offset_of;
use trav_compiler::ir::{Addr, FaultRef, Value, Varint, begins_before};

/// The top bits of bytes: set where another follows.
const GOES_ON: u64 = 0x8080_8080_8080_8080;
/// What moves down by so many bits when groups of 7, 14 and 28 bits are put together.
const HIGH_GROUPS: [(u64, i64); 3] =
    [(0x7f00_7f00_7f00_7f00, 1), (0x3fff_0000_3fff_0000, 2), (0x0fff_ffff_0000_0000, 4)];
/// Bytes of a word.
const WORD: i64 = 8;

/// A varint that is read.
struct Reading<'a> {
    kind: Varint,
    /// The address of its first byte, and how it may be accessed.
    address: ir::Value,
    flags: MemFlagsData,
    /// Bytes from there to where it must end.
    room: ir::Value,
    outside: &'a FaultRef,
    wide: Option<&'a FaultRef>,
    /// Where all ways go on, with the size and, if it is wanted, the number.
    ended: ir::Block,
    is_decoded: bool,
}

impl Lower<'_> {
    /// How many bytes the varint at an address has; the number is [`decoded`](Self::decoded), if it is wanted.
    pub fn varint(
        &mut self,
        size: Value,
        (kind, addr): (Varint, &Addr),
        limit: Value,
        (outside, wide): (&FaultRef, Option<&FaultRef>),
    ) -> ir::Value {
        let (start, end) = (self.offset(addr), self.get(limit));
        if !begins_before(self.f, &self.defs, addr, limit) {
            let late = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, start, end);
            self.fault_if(late, outside);
        }
        let is_decoded = self.numbers.contains(&size);
        let ended = self.b.create_block();
        let results: Vec<ir::Value> =
            (0..1 + usize::from(is_decoded)).map(|_| self.b.append_block_param(ended, I64)).collect();
        let address = self.address(addr);
        let room = self.b.ins().isub(end, start);
        let flags = self.region_flags(addr.region);
        let r = Reading { kind, address, flags, room, outside, wide, ended, is_decoded };
        let first = self.byte(&r, 0);
        self.end_if_last(&r, first, 1, |_| first);
        let (roomy, slow) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(slow);
        let is_roomy = match self.known(limit) {
            // The same without what is left: it is below the limit.
            Some(end) if end >= WORD => self.b.ins().icmp_imm_u(IntCC::UnsignedLessThanOrEqual, start, end - WORD),
            _ => self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, r.room, WORD),
        };
        self.b.ins().brif(is_roomy, roomy, &[], slow, &[]);
        self.b.switch_to_block(roomy);
        let low = self.b.ins().band_imm_u(first, 0x7f);
        let second = self.byte(&r, 1);
        self.end_if_last(&r, second, 2, |lower| {
            let (high, low) = if kind == Varint::Leb128 { (second, low) } else { (low, second) };
            let high = lower.b.ins().ishl_imm_u(high, 7);
            lower.b.ins().bor(high, low)
        });
        self.several_at_once(&r, slow);
        self.b.switch_to_block(slow);
        self.by_callback(&r);
        self.b.switch_to_block(ended);
        self.decoded = results.get(1).copied();
        results[0]
    }

    /// Goes on at the end, unless a byte is followed by another.
    fn end_if_last(
        &mut self,
        r: &Reading<'_>,
        byte: ir::Value,
        size: u64,
        number: impl FnOnce(&mut Self) -> ir::Value,
    ) {
        let (last, more) = (self.b.create_block(), self.b.create_block());
        let is_more = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, byte, 0x7f);
        self.b.ins().brif(is_more, more, &[], last, &[]);
        self.b.switch_to_block(last);
        let number = r.is_decoded.then(|| number(self));
        let size = self.const_word(size);
        self.end_of_varint(r, size, number);
        self.b.switch_to_block(more);
    }

    fn end_of_varint(&mut self, r: &Reading<'_>, size: ir::Value, number: Option<ir::Value>) {
        let results: Vec<BlockArg> = [Some(size), number].into_iter().flatten().map(BlockArg::Value).collect();
        self.b.ins().jump(r.ended, &results);
    }

    /// Of eight bytes at once, the last of which may be another's; goes on at `slow` if it has more.
    fn several_at_once(&mut self, r: &Reading<'_>, slow: ir::Block) {
        let word = self.b.ins().load(I64, r.flags, r.address, 0);
        let last = self.b.ins().bnot(word);
        let ends = self.b.ins().band_imm_u(last, GOES_ON as i64);
        let found = self.b.create_block();
        self.b.ins().brif(ends, found, &[], slow, &[]);
        self.b.switch_to_block(found);
        let at = self.b.ins().ctz(ends);
        let before = self.b.ins().ushr_imm_u(at, 3);
        let size = self.b.ins().iadd_imm_s(before, 1);
        let number = r.is_decoded.then(|| {
            // The bytes of the varint, the one with the low bits first, and nothing else.
            let mut number = match r.kind {
                Varint::Leb128 => {
                    let below = self.b.ins().iadd_imm_s(ends, -1);
                    let own = self.b.ins().bxor(ends, below);
                    self.b.ins().band(word, own)
                }
                Varint::Sqlite | Varint::Vlq => {
                    let turned = self.b.ins().bswap(word);
                    let others = self.b.ins().bxor_imm_u(at, 63);
                    self.b.ins().ushr(turned, others)
                }
            };
            number = self.b.ins().band_imm_u(number, !GOES_ON as i64);
            for (high, by) in HIGH_GROUPS {
                let high = self.b.ins().band_imm_u(number, high as i64);
                let moved = self.b.ins().ushr_imm_u(high, by);
                let low = self.b.ins().bxor(number, high);
                number = self.b.ins().bor(low, moved);
            }
            number
        });
        self.end_of_varint(r, size, number);
    }

    /// By the host: where the bytes may end before it does, and where it has more than eight. That is rare, and written out in each place it
    /// would be a third of the function.
    fn by_callback(&mut self, r: &Reading<'_>) {
        let kind = self.const_word(r.kind as u64);
        let size = self.call(Callbacks::varint(), &[self.context, kind, r.address, r.room], true);
        let cut = self.b.ins().icmp_imm_u(IntCC::Equal, size, Callbacks::CUT as i64);
        self.fault_if(cut, r.outside);
        if let Some(wide) = r.wide {
            let is_wide = self.b.ins().icmp_imm_u(IntCC::Equal, size, Callbacks::WIDE as i64);
            self.fault_if(is_wide, wide);
        }
        let number = r.is_decoded.then(|| {
            let at = offset_of!(Context, number) as i32;
            self.b.ins().load(I64, self.regions.context, self.context, at)
        });
        self.end_of_varint(r, size, number);
    }

    fn byte(&mut self, r: &Reading<'_>, at: i32) -> ir::Value {
        self.b.ins().uload8(I64, r.flags, r.address, at)
    }

    /// The offset of an address in its region.
    fn offset(&mut self, addr: &Addr) -> ir::Value {
        let mut sum = None;
        for part in [addr.base, addr.index].into_iter().flatten() {
            let part = self.get(part);
            sum = Some(sum.map_or(part, |sum| self.b.ins().iadd(sum, part)));
        }
        match sum {
            Some(sum) => self.b.ins().iadd_imm_s(sum, i64::from(addr.disp)),
            None => self.const_word(addr.disp.into()),
        }
    }
}
