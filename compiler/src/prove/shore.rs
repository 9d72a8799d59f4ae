//! Where the claims fall short, a check at run time takes their place.
//!
//! An obligation may hold by a relation of two values (`i < n`) that no single claim expresses, and lowering may have counted on a range that
//! the analysis could not confirm. The verifier goes by claims alone, so what they do not show is tested in the code: the walk is then as safe, and
//! its certificate lists the test.

use crate::fx::FxHashMap;
use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::schema::LeafKind;
use crate::ir::*;
use crate::source::Span;

/// Adds the tests.
pub fn shore_up(f: &mut Function) {
    let defs = Defs::of(f);
    let shown = shown(f, &defs);
    for b in 0..f.blocks.len() {
        let disk = f.blocks[b].disk;
        let old = std::mem::take(&mut f.blocks[b].insts);
        let mut pass = Pass { f, defs: &defs, shown: &shown, disk, out: Vec::with_capacity(old.len()) };
        for inst in old {
            pass.inst(inst);
        }
        let out = pass.out;
        f.blocks[b].insts = out;
    }
}

/// How many bytes the checks have shown to be at their results.
fn shown(f: &Function, defs: &Defs) -> FxHashMap<Value, i128> {
    let results = f.blocks.iter().flat_map(|b| &b.insts).filter_map(|i| i.result);
    let sized = results.filter_map(|v| match defs.op(f, defs.root(f, v)) {
        Some(Op::Check { size, .. }) => Some((v, range::size_range(f, *size).lo)),
        _ => None,
    });
    sized.collect()
}

struct Pass<'f> {
    f: &'f mut Function,
    defs: &'f Defs,
    shown: &'f FxHashMap<Value, i128>,
    disk: Option<Disk>,
    out: Vec<Inst>,
}

impl Pass<'_> {
    fn inst(&mut self, mut inst: Inst) {
        let span = inst.span;
        match &mut inst.op {
            Op::Binary {
                op: op @ (BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Shl),
                mode: mode @ Mode::Exact,
                a,
                b,
            } => {
                let exact = range::mathematical(*op, self.f.value(*a).range, self.f.value(*b).range);
                if !exact.is_empty() && !Range::of(self.f.value(*a).ty).contains(exact) {
                    let fault = self.fault(FaultKind::Overflow, "a number does not fit in 64 bits", span);
                    *mode = Mode::Checked(FaultRef::new(fault));
                }
            }
            Op::Load { addr, width, .. } | Op::Store { addr, width, .. } => {
                *addr = self.address(*addr, Size::Const(u32::from(*width)), span)
            }
            Op::Varint { addr, .. } => *addr = self.address(*addr, Size::Const(1), span),
            Op::Copy { to, from, len } => {
                *to = self.address(*to, *len, span);
                *from = self.address(*from, *len, span);
            }
            _ => {}
        }
        self.out.push(inst);
    }

    fn fault(&mut self, kind: FaultKind, message: &str, span: Span) -> FaultId {
        let known = self.f.faults.iter().position(|x| x.kind == kind && x.message == message && x.span == span);
        let id = known.unwrap_or_else(|| {
            self.f.faults.push(Fault { kind, message: message.into(), found_as: FoundAs::Unsigned, span });
            self.f.faults.len() - 1
        });
        FaultId(id as u32)
    }

    /// The bytes that are sure to be at the address's base.
    fn sure(&self, addr: &Addr) -> i128 {
        if let Some(base) = addr.base {
            return self.shown.get(&base).copied().unwrap_or(0);
        }
        i128::from(match addr.region {
            Region::Disk => self.disk.map_or(0, |d| d.min),
            Region::Arg(i) => match self.f.args[i as usize].kind {
                LeafKind::Bytes { max, .. } => max,
                LeafKind::Scalar { .. } => 0,
            },
            Region::Slot(s) => self.f.slots[s.index()].size,
            Region::Data(d) => self.f.data[d.index()].bytes.len() as u32,
            Region::Out => self.f.out_size(),
        })
    }

    fn address(&mut self, addr: Addr, size: Size, span: Span) -> Addr {
        let index = addr.index.map_or(Range::just(0), |i| self.f.value(i).range);
        let bytes = range::size_range(self.f, size);
        let end = index.hi.saturating_add(i128::from(addr.disp)).saturating_add(bytes.hi);
        // A base for a length that is not known was checked for that very length.
        let is_checked = addr.base.is_some() && matches!(size, Size::Value(_));
        if is_checked || index.is_empty() || bytes.is_empty() || end <= self.sure(&addr) {
            return addr;
        }
        let mut at = self.number(i128::from(addr.disp), span);
        for part in [addr.base, addr.index].into_iter().flatten() {
            at = self.sum(at, part, span);
        }
        let limit = match (addr.region, self.disk) {
            (Region::Disk, Some(disk)) => disk.len,
            _ => {
                let sure = self.sure(&Addr { base: None, ..addr });
                self.number(sure, span)
            }
        };
        let fault = self.fault(FaultKind::Corrupt, "what is accessed lies outside its block", span);
        let op = Op::Check { region: addr.region, a: at, size, limit, fault: FaultRef::new(fault).at(at) };
        let base = self.make(op, span);
        Addr { region: addr.region, base: Some(base), index: None, disp: 0 }
    }

    fn number(&mut self, n: i128, span: Span) -> Value {
        self.make(Op::Const(n as u64), span)
    }

    fn sum(&mut self, a: Value, b: Value, span: Span) -> Value {
        let exact = range::mathematical(BinOp::Add, self.f.value(a).range, self.f.value(b).range);
        let mode = if Range::of(Ty::U64).contains(exact) {
            Mode::Exact
        } else {
            Mode::Checked(FaultRef::new(self.fault(FaultKind::Overflow, "an offset does not fit in 64 bits", span)))
        };
        self.make(Op::Binary { op: BinOp::Add, mode, a, b }, span)
    }

    fn make(&mut self, op: Op, span: Span) -> Value {
        let range = range::of(self.f, self.defs, &op, Ty::U64);
        self.f.values.push(ValueData { ty: Ty::U64, range, name: None, span });
        let v = Value(self.f.values.len() as u32 - 1);
        self.out.push(Inst { op, result: Some(v), span });
        v
    }
}
