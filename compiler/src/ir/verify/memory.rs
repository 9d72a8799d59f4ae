//! Rules 16 to 22: regions, evidence, the disk block and slots.

use super::types::passed;
use super::{At, Errors, Facts, READ_MAX};
use crate::ir::eval::range;
use crate::ir::live::LiveSlots;
use crate::ir::schema::LeafKind;
use crate::ir::*;

pub fn check(f: &Facts<'_>, errors: &mut Errors) {
    let live = LiveSlots::of(f.f, &f.graph);
    for (block, data) in f.blocks() {
        let mut before = None;
        for inst in &data.insts {
            Memory { f, errors, block, at: At::Inst(block, inst) }.op(&inst.op, before);
            before = Some(inst);
        }
        let mut memory = Memory { f, errors, block, at: At::Term(block, &data.term) };
        for target in data.term.targets() {
            memory.disk_on_edge(&data.term, target);
        }
        if let Terminator::Hop { next, keep, .. } | Terminator::Emit { next, keep } = &data.term {
            for slot in live.at_start(next.block) {
                memory.want(keep.contains(&slot), 22, || {
                    format!("expected that {slot} is kept, because it is read later")
                });
            }
        }
    }
}

struct Memory<'a> {
    f: &'a Facts<'a>,
    errors: &'a mut Errors,
    block: Block,
    at: At<'a>,
}

impl Memory<'_> {
    fn want(&mut self, holds: bool, rule: u8, message: impl FnOnce() -> String) {
        self.errors.want(holds, rule, self.at, message);
    }

    fn range(&self, v: Value) -> Range {
        self.f.value(v).range
    }

    fn is_same(&self, a: Value, b: Value) -> bool {
        self.f.defs.root(self.f.f, a) == self.f.defs.root(self.f.f, b)
    }

    fn op(&mut self, op: &Op, before: Option<&Inst>) {
        match op {
            Op::Load { addr, width, .. } => {
                self.is_readable(addr);
                self.access(addr, Size::Const((*width).into()));
            }
            Op::Store { addr, width, .. } => {
                self.is_writable(addr);
                self.access(addr, Size::Const((*width).into()));
            }
            Op::Copy { to, from, len } => {
                self.is_readable(from);
                self.is_writable(to);
                self.access(to, *len);
                self.access(from, *len);
            }
            Op::Varint { addr, limit, .. } => {
                self.is_readable(addr);
                self.access(addr, Size::Const(1));
                self.limit(addr.region, *limit);
            }
            Op::Decoded(a) => {
                let made = before.filter(|inst| matches!(inst.op, Op::Varint { .. })).and_then(|inst| inst.result);
                self.want(made == Some(*a), 18, || format!("expected the size of the varint before this, found {a}"));
            }
            Op::Check { region, limit, .. } => self.limit(*region, *limit),
            _ => {}
        }
    }

    fn is_readable(&mut self, addr: &Addr) {
        self.want(addr.region != Region::Out, 16, || "expected no read of the result".into());
    }

    fn is_writable(&mut self, addr: &Addr) {
        let writable = matches!(addr.region, Region::Slot(_) | Region::Out);
        self.want(writable, 16, || format!("expected a slot or the result to write to, found {}", addr.region));
    }

    /// The bytes of a region that are there on every run; none for the disk where there is none.
    fn sure_size(&self, region: Region) -> Option<u32> {
        Some(match region {
            Region::Disk => self.f.block(self.block).disk?.min,
            Region::Arg(i) => match self.f.args[i as usize].kind {
                LeafKind::Bytes { max, .. } => max,
                LeafKind::Scalar { .. } => 0,
            },
            Region::Slot(slot) => self.f.slots[slot.index()].size,
            Region::Data(data) => self.f.data[data.index()].bytes.len() as u32,
            Region::Out => self.f.out_size,
        })
    }

    /// Rules 17 and 18.
    fn access(&mut self, addr: &Addr, len: Size) {
        let Some(sure) = self.sure_size(addr.region) else {
            self.errors.push(17, self.at, "expected a disk block here, found none");
            return;
        };
        let start = addr.index.map_or(Range::just(0), |v| self.range(v));
        let bytes = range::size_range(self.f.f, len);
        if start.is_empty() || bytes.is_empty() {
            return;
        }
        let end = start.hi.saturating_add(addr.disp.into()).saturating_add(bytes.hi);
        let Some(base) = addr.base else {
            self.want(end <= sure.into(), 17, || {
                format!("expected an end within the sure {sure} bytes of {addr}, found {end}")
            });
            return;
        };
        let shown = match self.f.defs.op(self.f.f, self.f.defs.root(self.f.f, base)) {
            Some(Op::Check { region, size, .. }) if *region == addr.region => *size,
            _ => {
                let message = format!("expected a check on {} as the base, found {base}", addr.region);
                self.errors.push(18, self.at, message);
                return;
            }
        };
        let same = match (shown, len) {
            (Size::Value(shown), Size::Value(len)) => {
                addr.index.is_none() && addr.disp == 0 && self.is_same(shown, len)
            }
            _ => false,
        };
        let least = range::size_range(self.f.f, shown);
        self.want(same || least.is_empty() || end <= least.lo, 17, || {
            format!("expected an end within the {} bytes that {base} has shown, found {end}", least.lo)
        });
    }

    /// Rule 19.
    fn limit(&mut self, region: Region, limit: Value) {
        let Some(sure) = self.sure_size(region) else {
            self.errors.push(17, self.at, "expected a disk block here, found none");
            return;
        };
        let is_len = match self.f.block(self.block).disk {
            Some(disk) if region == Region::Disk => self.is_same(disk.len, limit),
            _ => false,
        };
        let claim = self.range(limit);
        self.want(is_len || self.is_shown(region, limit) || Range::new(0, sure.into()).contains(claim), 19, || {
            format!("expected a limit within the {sure} bytes of {region}, found {limit} up to {}", claim.hi)
        });
    }

    /// Whether a check has shown that an offset lies in its region: it is the result of one, or where the bytes end that one has shown.
    fn is_shown(&self, region: Region, v: Value) -> bool {
        let maker = |v: Value| self.f.defs.op(self.f, self.f.defs.root(self.f, v));
        match maker(v) {
            Some(Op::Check { region: of, .. }) => *of == region,
            Some(Op::Binary { op: BinOp::Add, mode: Mode::Exact | Mode::Checked(_), a, b }) => match maker(*a) {
                Some(Op::Check { region: of, size, .. }) if *of == region => match size {
                    Size::Const(n) => self.range(*b) == Range::just((*n).into()),
                    Size::Value(size) => self.is_same(*size, *b),
                },
                _ => false,
            },
            _ => false,
        }
    }

    /// Rules 20 and 21.
    fn disk_on_edge(&mut self, term: &Terminator, target: &Target) {
        let to = self.f.block(target.block);
        if let Terminator::Hop { len, fault, .. } = term {
            let claim = self.range(*len);
            let starts = to.disk.filter(|disk| to.params.first() == Some(&disk.len));
            self.want(starts.is_some(), 21, || {
                format!("expected the first parameter of {} as the length of its disk block", target.block)
            });
            self.want(Range::new(0, READ_MAX.into()).contains(claim), 21, || {
                format!("expected a read of at most {READ_MAX} bytes, found {len} up to {}", claim.hi)
            });
            let kind = self.f.faults[fault.index()].kind;
            self.want(kind == FaultKind::OutOfDevice, 21, || {
                format!("expected a fault of the kind `out of device`, found `{}`", kind.name())
            });
            let enough = to.disk.is_none_or(|disk| claim.is_empty() || i128::from(disk.min) <= claim.lo);
            self.want(enough, 20, || {
                format!("expected a read of the min bytes of {}, found {}", target.block, claim.lo)
            });
            return;
        }
        let Some(disk) = to.disk else { return };
        let Some(from) = self.f.block(self.block).disk else {
            self.errors.push(20, self.at, format!("expected a disk block for {}, found none", target.block));
            return;
        };
        let receives = passed(self.f.f, term, target).find(|(_, param)| *param == disk.len);
        let len = receives.map_or(disk.len, |(arg, _)| arg);
        self.want(self.is_same(len, from.len), 20, || {
            format!("expected {} as the length of {}'s disk block, found {len}", from.len, target.block)
        });
        let least = self.range(disk.len).lo.max(from.min.into());
        self.want(i128::from(disk.min) <= least, 20, || {
            format!("expected a disk block of {} bytes for {}, found {least}", disk.min, target.block)
        });
    }
}
