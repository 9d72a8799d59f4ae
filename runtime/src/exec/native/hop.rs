//! Hops: the count, the test that a read lies on its image, and the address of its bytes.

use super::code::{Callbacks, Context, View};
use super::lower::Lower;
use super::status::{Status, Variant};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder};
use std::mem::{offset_of, size_of};
use trav_compiler::ir::{FaultId, SourceId, Value};

/// Where a walk's hops and bytes are told.
const COUNTS: [i32; 2] = [offset_of!(Context, hops) as i32, offset_of!(Context, bytes) as i32];

impl Lower<'_> {
    /// Counts a hop, tests that it lies on its source, and makes its bytes the current block.
    pub fn hop(&mut self, source: SourceId, offset: Value, len: Value, fault: FaultId) {
        let (start, size) = (self.get(offset), self.get(len));
        if self.variant == Variant::Full {
            return self.hop_by_callback(source, start, size, fault);
        }
        self.count_hop(size);
        let outside = self.outside(source, offset, len);
        self.bare_fault_if(outside, fault);
        if self.variant == Variant::Reads {
            // Where the bytes are is known when the caller has read them.
            self.disk = Some(start);
            return;
        }
        let base = self.view(source, offset_of!(View, base));
        self.disk = Some(self.b.ins().iadd(base, start));
    }

    /// The same by the callback, which does all of it and says why it failed.
    fn hop_by_callback(&mut self, source: SourceId, start: ir::Value, size: ir::Value, fault: FaultId) {
        let id = self.const_word(source.0.into());
        let address = self.call(Callbacks::read(), &[self.context, id, start, size], true);
        let failed = self.b.ins().icmp_imm_u(IntCC::Equal, address, 0);
        self.leave_to(failed, true, |lower| {
            let flags = lower.regions.context;
            let unread = lower.b.ins().load(I64, flags, lower.context, offset_of!(Context, unread) as i32);
            let [io, outside] = [Status::Io, Status::Fault { fault: fault.0, found: false, at: false }]
                .map(|status| lower.b.ins().iconst(I64, status.encode()));
            let status = lower.b.ins().select(unread, io, outside);
            lower.exit(status);
        });
        self.disk = Some(address);
    }

    /// Whether `offset + len` passes the image's end. Images are shorter than 2^63.
    fn outside(&mut self, source: SourceId, offset: Value, len: Value) -> ir::Value {
        let (start, size) = (self.get(offset), self.get(len));
        let image = self.view(source, offset_of!(View, len));
        let len_claim = self.f.value(len).range;
        let end_most = self.f.value(offset).range.hi + len_claim.hi;
        if len_claim.as_const().is_none() && end_most <= u64::MAX.into() {
            let end = self.b.ins().iadd(start, size);
            return self.b.ins().icmp(IntCC::UnsignedGreaterThan, end, image);
        }
        if len_claim.hi < i64::MAX.into() {
            // Offsets below `image - len + 1` are good, none if that is negative. For a constant length this number does not
            // change during the walk, and Cranelift computes it outside of loops: one compare is left.
            let room = self.b.ins().isub(image, size);
            let starts = self.b.ins().iadd_imm_s(room, 1);
            let zero = self.const_word(0);
            let starts = self.b.ins().smax(starts, zero);
            return self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, start, starts);
        }
        let long = self.b.ins().icmp(IntCC::UnsignedGreaterThan, size, image);
        let room = self.b.ins().isub(image, size);
        let late = self.b.ins().icmp(IntCC::UnsignedGreaterThan, start, room);
        self.b.ins().bor(long, late)
    }

    /// A word of the description of a source. It does not change during the walk.
    fn view(&mut self, source: SourceId, field: usize) -> ir::Value {
        let at = source.index() * size_of::<View>() + field;
        self.b.ins().load(I64, self.regions.fixed, self.views, at as i32)
    }

    /// In registers, unless the walk stops behind its hops: what it counts then lies in its lane.
    fn count_hop(&mut self, size: ir::Value) {
        let one = self.const_word(1);
        if let Some(counts) = self.counts {
            for (count, by) in counts.into_iter().zip([one, size]) {
                let old = self.b.use_var(count);
                let new = self.b.ins().iadd(old, by);
                self.b.def_var(count, new);
            }
            return;
        }
        for (field, by) in COUNTS.into_iter().zip([one, size]) {
            let flags = self.regions.context;
            let old = self.b.ins().load(I64, flags, self.context, field);
            let new = self.b.ins().iadd(old, by);
            self.b.ins().store(flags, new, self.context, field);
        }
    }

    /// At the begin of a walk that does not stop.
    pub fn begin_counts(&mut self) {
        if !matches!(self.variant, Variant::Fast | Variant::Far) {
            return;
        }
        let zero = self.const_word(0);
        self.counts = Some(COUNTS.map(|_| {
            let count = self.b.declare_var(I64);
            self.b.def_var(count, zero);
            count
        }));
    }

    /// At its end.
    pub fn end_counts(&mut self) {
        for (count, field) in self.counts.into_iter().flatten().zip(COUNTS) {
            let count = self.b.use_var(count);
            self.b.ins().store(self.regions.context, count, self.context, field);
        }
    }
}
