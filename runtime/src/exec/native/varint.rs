//! Varints: byte by byte.

use super::lower::Lower;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder};
use trav_compiler::ir::{Addr, Endian, FaultRef, Value, Varint, begins_before};

impl Lower<'_> {
    /// How many bytes the varint at an address has; the number is [`decoded`](Self::decoded).
    pub fn varint(
        &mut self,
        kind: Varint,
        addr: &Addr,
        limit: Value,
        (outside, wide): (&FaultRef, Option<&FaultRef>),
    ) -> ir::Value {
        let limit_value = limit;
        let (start, limit) = (self.offset(addr), self.get(limit));
        let ended = self.b.create_block();
        let [size, number] = [(); 2].map(|()| self.b.append_block_param(ended, I64));
        let mut so_far = self.b.ins().iconst(I64, 0);
        for i in 0..kind.most_bytes() {
            if i > 0 || !begins_before(self.f, &self.defs, addr, limit_value) {
                let at = self.b.ins().iadd_imm_s(start, i64::from(i));
                let late = self.b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, at, limit);
                self.fault_if(late, outside);
            }
            let byte = self.load(&Addr { disp: addr.disp + u32::from(i), ..*addr }, 1, Endian::Little, false);
            let is_last = i + 1 == kind.most_bytes();
            if let (true, Some(wide)) = (is_last, wide) {
                let most = if kind == Varint::Leb128 { 1 } else { 127 };
                let mut large = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, byte, most);
                if kind == Varint::Vlq {
                    let most = (1 << 57) - 1;
                    let full = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, so_far, most);
                    large = self.b.ins().bor(large, full);
                }
                self.fault_if(large, wide);
            }
            let bits = match is_last && kind == Varint::Sqlite {
                true => byte,
                false => self.b.ins().band_imm_u(byte, 0x7f),
            };
            so_far = match kind {
                Varint::Leb128 => {
                    let bits = self.b.ins().ishl_imm_u(bits, 7 * i64::from(i));
                    self.b.ins().bor(so_far, bits)
                }
                Varint::Sqlite | Varint::Vlq => {
                    let high = self.b.ins().ishl_imm_u(so_far, if is_last && kind == Varint::Sqlite { 8 } else { 7 });
                    self.b.ins().bor(high, bits)
                }
            };
            let size = self.const_word(u64::from(i) + 1);
            if is_last {
                self.b.ins().jump(ended, &[size.into(), so_far.into()]);
            } else {
                let more = self.b.create_block();
                let is_more = self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, byte, 127);
                self.b.ins().brif(is_more, more, &[], ended, &[size.into(), so_far.into()]);
                self.b.switch_to_block(more);
            }
        }
        self.b.switch_to_block(ended);
        self.decoded = Some(number);
        size
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
