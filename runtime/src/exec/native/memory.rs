//! Addresses, loads, stores and copies.

use super::code::Callbacks;
use super::lower::{Lower, SlotArea};
use super::status::Variant;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I8X16, I16, I32, I64};
use cranelift_codegen::ir::{
    self, AliasRegion, AliasRegionData, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind,
};
use cranelift_frontend::FunctionBuilder;
use trav_compiler::ir::{Addr, Endian, Function, Region, Size, Value};

/// Copies of a known size up to here are done in place, through registers.
const INLINE_COPY_MAX_BYTES: u32 = 64;
/// Copies of an unknown size up to here are done in place, too.
const SHORT_COPY_MAX_BYTES: u32 = 64;
/// Areas up to this size are cleared in place.
const INLINE_CLEAR_MAX_BYTES: u32 = 256;

/// How each kind of memory may be accessed. None of it traps: the verifier has shown that every access is in bounds.
///
/// The disk block is not marked read-only although we do not write it: others may, and then a load that was done must not be done
/// again.
pub(super) struct Regions {
    /// Words at constant places that nobody writes during a walk: arguments and the descriptions of the images. Such a load may be
    /// done anywhere.
    pub fixed: MemFlagsData,
    /// Bytes of arguments and constant tables. They do not change either, but a load may be in bounds only behind its check.
    constant: MemFlagsData,
    /// The [`super::code::Context`].
    pub context: MemFlagsData,
    disk: MemFlagsData,
    slot: MemFlagsData,
    out: MemFlagsData,
}

impl Regions {
    /// Registers the alias regions.
    pub fn new(b: &mut FunctionBuilder<'_>) -> Self {
        let mut region = |user_id, name: &'static str| -> Option<AliasRegion> {
            let description = name.into();
            Some(b.func.dfg.alias_regions.insert(AliasRegionData { user_id, description }))
        };
        let flags = MemFlagsData::new().with_notrap();
        Regions {
            fixed: flags.with_readonly().with_can_move(),
            constant: flags.with_readonly(),
            context: flags.with_aligned().with_alias_region(region(0, "context")),
            disk: flags.with_alias_region(region(1, "disk")),
            slot: flags.with_alias_region(region(2, "slots")),
            out: flags.with_alias_region(region(3, "out")),
        }
    }

    fn of(&self, region: Region) -> MemFlagsData {
        match region {
            Region::Disk => self.disk,
            Region::Arg(_) | Region::Data(_) => self.constant,
            Region::Slot(_) => self.slot,
            Region::Out => self.out,
        }
    }
}

/// An address that is ready for accesses at small offsets from it.
#[derive(Clone, Copy)]
struct Place {
    base: ir::Value,
    offset: i32,
    flags: MemFlagsData,
}

impl Lower<'_> {
    /// A word of the arguments.
    pub fn load_arg_word(&mut self, offset: u32) -> ir::Value {
        self.b.ins().load(I64, self.regions.fixed, self.args, offset as i32)
    }

    /// The address itself.
    pub fn address(&mut self, addr: &Addr) -> ir::Value {
        let place = self.place(addr);
        self.b.ins().iadd_imm_s(place.base, i64::from(place.offset))
    }

    fn place(&mut self, addr: &Addr) -> Place {
        if let Some(base) = self.looked_at.take_if(|_| addr.region == Region::Disk) {
            return Place { base, offset: 0, flags: self.regions.disk };
        }
        let (mut base, start) = self.start_of(addr.region);
        for part in [addr.base, addr.index].into_iter().flatten() {
            let part = self.get(part);
            base = self.b.ins().iadd(base, part);
        }
        let offset = i64::from(start) + i64::from(addr.disp);
        let flags = self.regions.of(addr.region);
        // Room is left for the accesses at an offset from here.
        match i32::try_from(offset + i64::from(INLINE_CLEAR_MAX_BYTES)) {
            Ok(_) => Place { base, offset: offset as i32, flags },
            Err(_) => Place { base: self.b.ins().iadd_imm_s(base, offset), offset: 0, flags },
        }
    }

    /// The begin of a region, as a value and an offset from it.
    fn start_of(&mut self, region: Region) -> (ir::Value, u32) {
        match region {
            Region::Disk => (self.disk.expect("the verifier has shown that a disk block is there"), 0),
            // The bytes follow the length.
            Region::Arg(i) => (self.args, self.f.args[i as usize].offset + 8),
            Region::Slot(slot) => self.slot_base(slot.index()),
            Region::Data(data) => {
                let address = self.data[data.index()].as_ptr().expose_provenance();
                (self.const_word(address as u64), 0)
            }
            Region::Out => (self.out, 0),
        }
    }

    /// The address of a region's first byte.
    pub fn region_start(&mut self, region: Region) -> ir::Value {
        let (base, offset) = self.start_of(region);
        self.b.ins().iadd_imm_s(base, i64::from(offset))
    }

    /// How a region may be accessed.
    pub fn region_flags(&self, region: Region) -> MemFlagsData {
        self.regions.of(region)
    }

    fn load_at(&mut self, ty: ir::Type, place: Place, at: u32) -> ir::Value {
        self.b.ins().load(ty, place.flags, place.base, place.offset + at as i32)
    }

    fn store_at(&mut self, value: ir::Value, place: Place, at: u32) {
        self.b.ins().store(place.flags, value, place.base, place.offset + at as i32);
    }

    /// Loads `width` bytes as a word.
    pub fn load(&mut self, addr: &Addr, width: u8, endian: Endian, signed: bool) -> ir::Value {
        let place = self.place(addr);
        if let (Endian::Little, false, 1 | 2 | 4) | (_, false, 1) = (endian, signed, width) {
            return self.load_small(place, 0, width);
        }
        if let Some(ty) = whole(width) {
            let value = self.load_at(ty, place, 0);
            let value = if endian == Endian::Big { self.swap(value, ty) } else { value };
            return match (ty, signed) {
                (I64, _) => value,
                (_, true) => self.b.ins().sextend(I64, value),
                (_, false) => self.b.ins().uextend(I64, value),
            };
        }
        let value = self.load_odd(place, width, endian, self.surely_readable(addr) >= 8);
        if signed { self.extend(value, width * 8, true) } else { value }
    }

    /// 1, 2 or 4 bytes, zero-extended: as one instruction, which Cranelift does not make of a load and an extension.
    fn load_small(&mut self, Place { base, offset, flags }: Place, at: i32, width: u8) -> ir::Value {
        let at = offset + at;
        match width {
            1 => self.b.ins().uload8(I64, flags, base, at),
            2 => self.b.ins().uload16(I64, flags, base, at),
            _ => self.b.ins().uload32(flags, base, at),
        }
    }

    /// 3, 5, 6 or 7 bytes, zero-extended; as one load of 8 and a shift where that many are there.
    fn load_odd(&mut self, place: Place, width: u8, endian: Endian, eight: bool) -> ir::Value {
        let bits = i64::from(width) * 8;
        if eight {
            let word = self.load_at(I64, place, 0);
            return match endian {
                Endian::Little => self.extend(word, width * 8, false),
                Endian::Big => {
                    let word = self.b.ins().bswap(word);
                    self.b.ins().ushr_imm_u(word, 64 - bits)
                }
            };
        }
        let mut value = None;
        for (at, size) in parts(width) {
            let ty = whole(size).expect("parts are whole");
            let part = self.load_at(ty, place, at);
            let part = if endian == Endian::Big { self.swap(part, ty) } else { part };
            let part = self.b.ins().uextend(I64, part);
            let shift = match endian {
                Endian::Little => i64::from(at) * 8,
                Endian::Big => bits - (i64::from(at) + i64::from(size)) * 8,
            };
            let part = self.b.ins().ishl_imm_u(part, shift);
            value = Some(value.map_or(part, |sum| self.b.ins().bor(sum, part)));
        }
        value.expect("there are parts")
    }

    /// Stores the low `width` bytes of a word.
    pub fn store(&mut self, addr: &Addr, width: u8, endian: Endian, word: ir::Value) {
        let place = self.place(addr);
        let bits = i64::from(width) * 8;
        for (at, size) in parts(width) {
            let ty = whole(size).expect("parts are whole");
            let shift = match endian {
                Endian::Little => i64::from(at) * 8,
                Endian::Big => bits - (i64::from(at) + i64::from(size)) * 8,
            };
            let mut part = word;
            if shift > 0 {
                part = self.b.ins().ushr_imm_u(part, shift);
            }
            if ty != I64 {
                part = self.b.ins().ireduce(ty, part);
            }
            if endian == Endian::Big {
                part = self.swap(part, ty);
            }
            self.store_at(part, place, at);
        }
    }

    /// Copies bytes between two regions.
    pub fn copy(&mut self, to: &Addr, from: &Addr, len: Size) {
        let (to, from) = (self.place(to), self.place(from));
        match len {
            Size::Const(len) if len <= INLINE_COPY_MAX_BYTES => {
                for (at, ty) in pieces(len) {
                    let piece = self.load_at(ty, from, at);
                    self.store_at(piece, to, at);
                }
            }
            Size::Value(v)
                if self.variant != Variant::Full && self.f.value(v).range.hi <= SHORT_COPY_MAX_BYTES.into() =>
            {
                self.copy_short(to, from, v);
            }
            len => {
                let len = match len {
                    Size::Const(len) => self.const_word(len.into()),
                    Size::Value(v) => self.get(v),
                };
                let [to, from] = [to, from].map(|p| self.b.ins().iadd_imm_s(p.base, i64::from(p.offset)));
                self.call(Callbacks::copy(), &[to, from, len], false);
            }
        }
    }

    /// Copies a few bytes without a call: a register from the begin and one to the end, which may overlap, of the
    /// size that fits the length.
    fn copy_short(&mut self, to: Place, from: Place, len: Value) {
        let most = self.f.value(len).range.hi;
        let len = self.get(len);
        let done = self.b.create_block();
        for (size, ty) in [(16, I8X16), (8, I64), (4, I32), (2, I16), (1, I8)] {
            if most < size.into() {
                continue;
            }
            let (fits, shorter) = (self.b.create_block(), self.b.create_block());
            let is_long = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThanOrEqual, len, i64::from(size));
            self.b.ins().brif(is_long, fits, &[], shorter, &[]);
            self.b.switch_to_block(fits);
            if most > (2 * size).into() && size == 16 {
                self.copy_middle(to, from, len, done);
            }
            let [from_end, to_end] = [from, to].map(|place| self.before_end(place, len, size));
            let (begin, end) = (self.load_at(ty, from, 0), self.load_at(ty, from_end, 0));
            self.store_at(begin, to, 0);
            self.store_at(end, to_end, 0);
            self.b.ins().jump(done, &[]);
            self.b.switch_to_block(shorter);
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(done);
    }

    /// Of 33 to 64 bytes; goes on with fewer.
    fn copy_middle(&mut self, to: Place, from: Place, len: ir::Value, done: ir::Block) {
        let (more, few) = (self.b.create_block(), self.b.create_block());
        let is_long = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, len, 32);
        self.b.ins().brif(is_long, more, &[], few, &[]);
        self.b.switch_to_block(more);
        let [from_end, to_end] = [from, to].map(|place| self.before_end(place, len, 32));
        let parts = [(from, 0), (from, 16), (from_end, 0), (from_end, 16)].map(|(p, at)| self.load_at(I8X16, p, at));
        for (part, (place, at)) in parts.into_iter().zip([(to, 0), (to, 16), (to_end, 0), (to_end, 16)]) {
            self.store_at(part, place, at);
        }
        self.b.ins().jump(done, &[]);
        self.b.switch_to_block(few);
    }

    /// So many bytes before the end of an area.
    fn before_end(&mut self, area: Place, len: ir::Value, bytes: i32) -> Place {
        Place { base: self.b.ins().iadd(area.base, len), offset: area.offset - bytes, ..area }
    }

    /// Gives the slots their place, and clears them.
    pub fn add_slots(&mut self) {
        let size = slot_offset(self.f, self.f.slots.len());
        if size == 0 {
            return;
        }
        self.slots = match &self.lanes {
            Some(lanes) => SlotArea::Lane(lanes.slots_at),
            None => {
                let data = StackSlotData::new(StackSlotKind::ExplicitSlot, size, 4);
                SlotArea::Stack(self.b.create_sized_stack_slot(data))
            }
        };
        let (base, offset) = self.slot_base(0);
        let place = Place { base, offset: offset as i32, flags: self.regions.slot };
        self.clear(place, size);
    }

    /// The address of a slot, as a value and an offset from it.
    fn slot_base(&mut self, slot: usize) -> (ir::Value, u32) {
        let at = slot_offset(self.f, slot);
        match self.slots {
            SlotArea::Stack(area) => (self.b.ins().stack_addr(I64, area, 0), at),
            SlotArea::Lane(start) => (self.context, start + at),
            SlotArea::None => unreachable!("the verifier has shown that the slot is there"),
        }
    }

    /// Clears the result.
    pub fn clear_out(&mut self) {
        let place = Place { base: self.out, offset: 0, flags: self.regions.out };
        self.clear(place, self.f.out_size());
    }

    fn clear(&mut self, place: Place, size: u32) {
        if size > INLINE_CLEAR_MAX_BYTES {
            let size = self.const_word(size.into());
            let start = self.b.ins().iadd_imm_s(place.base, i64::from(place.offset));
            self.call(Callbacks::clear(), &[start, size], false);
            return;
        }
        for (at, ty) in pieces(size) {
            let zero = if ty == I8X16 {
                let byte = self.b.ins().iconst(I8, 0);
                self.b.ins().splat(I8X16, byte)
            } else {
                self.b.ins().iconst(ty, 0)
            };
            self.store_at(zero, place, at);
        }
    }

    fn swap(&mut self, value: ir::Value, ty: ir::Type) -> ir::Value {
        if ty == I8 { value } else { self.b.ins().bswap(value) }
    }

    /// Bytes that are readable from `addr` on without a check at run time.
    fn surely_readable(&self, addr: &Addr) -> i128 {
        let size = match addr.region {
            _ if addr.base.is_some() => return 0,
            Region::Disk => self.disk_min,
            Region::Arg(i) => self.f.args[i as usize].kind.size() - 8,
            Region::Slot(slot) => self.f.slots[slot.index()].size,
            Region::Data(data) => self.data[data.index()].len() as u32,
            Region::Out => self.f.out_size(),
        };
        let start = addr.index.map_or(0, |v| self.f.value(v).range.hi) + i128::from(addr.disp);
        i128::from(size) - start
    }
}

/// Where a slot begins behind the first one, in bytes; of the one behind the last, the size of all.
pub(super) fn slot_offset(f: &Function, slot: usize) -> u32 {
    f.slots[..slot].iter().map(|slot| slot.size.next_multiple_of(8)).sum()
}

/// The integer type of so many bytes.
fn whole(width: u8) -> Option<ir::Type> {
    match width {
        1 => Some(I8),
        2 => Some(I16),
        4 => Some(I32),
        8 => Some(I64),
        _ => None,
    }
}

/// A width as disjoint powers of two, greatest first: (offset, size).
fn parts(width: u8) -> impl Iterator<Item = (u32, u8)> {
    let mut at = 0;
    [8, 4, 2, 1].into_iter().filter(move |size| width & size != 0).map(move |size| {
        let start = at;
        at += u32::from(size);
        (start, size)
    })
}

/// An area in pieces for vector and integer registers; the last one may overlap the one before it.
fn pieces(len: u32) -> impl Iterator<Item = (u32, ir::Type)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = len - at;
        // One register covers the rest if it may reach back over what is done.
        let (size, ty) = [(16, I8X16), (8, I64), (4, I32), (2, I16), (1, I8)]
            .into_iter()
            .find(|&(size, _)| size <= len && (size <= left || (left > size / 2 && at > 0)))?;
        let start = at.min(len - size);
        at = start + size;
        (left > 0).then_some((start, ty))
    })
}

#[cfg(test)]
mod tests {
    use super::pieces;

    #[test]
    fn pieces_cover_each_length_without_leaving_it() {
        for len in 0..200 {
            let mut covered = vec![false; len as usize];
            for (start, ty) in pieces(len) {
                covered[start as usize..(start + ty.bytes()) as usize].fill(true);
            }
            assert!(covered.iter().all(|&c| c), "{len}");
        }
        assert_eq!(pieces(60).count(), 4);
        assert_eq!(pieces(13).count(), 2);
    }
}
