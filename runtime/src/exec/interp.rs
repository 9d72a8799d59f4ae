//! The IR interpreter: it runs a verified function as it stands, and so says what a program means.
//!
//! Every access goes through a checked slice: should the verifier have let something pass, this panics and reads nothing foreign.
//! With [`Interp::check_claims`] each value is also held against its claim when it is made, which tests the prover.

use super::{ExecError, Executor, FaultReport, Hop, Outcome, Trace};
use crate::image::Sources;
use trav_compiler::ir::eval::{self, Trap, number};
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::*;

/// Makes a traversal ready. Values are held against their claims in debug builds.
pub fn prepare(f: &Verified) -> Interp {
    Interp { function: f.clone(), check_claims: cfg!(debug_assertions), step_insts: Vec::new() }
}

/// A traversal in the interpreter.
#[derive(Clone, Debug)]
pub struct Interp {
    function: Verified,
    /// Whether a value outside its claim panics, which is a broken invariant of the prover or the verifier.
    pub check_claims: bool,
    step_insts: Vec<u64>,
}

impl Interp {
    /// For each step of the last run, in order, how many operations it took, its terminators included.
    pub fn step_insts(&self) -> &[u64] {
        &self.step_insts
    }
}

impl Executor for Interp {
    fn name(&self) -> &'static str {
        "interp"
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        let f = &self.function;
        super::args::check(f, args)?;
        if let Some(missing) = f.sources.get(sources.images.len()) {
            return Err(ExecError::Arguments(format!("no image for the source `{missing}`")));
        }
        let mut machine = Machine {
            f,
            check_claims: self.check_claims,
            args,
            sources,
            values: vec![0; f.values.len()],
            decoded: 0,
            slots: f.slots.iter().map(|slot| vec![0; slot.size as usize]).collect(),
            out: vec![0; f.out_size() as usize],
            disk: Vec::new(),
            hops: Vec::new(),
            rows: Vec::new(),
            step_insts: vec![0],
        };
        let outcome = match machine.walk() {
            Ok(()) if f.stream => Outcome::Done(Vec::new()),
            Ok(()) => Outcome::Done(std::mem::take(&mut machine.out)),
            Err(End::Fault(report)) => Outcome::Fault(report),
            Err(End::Error(error)) => return Err(error),
        };
        let Machine { hops, rows, step_insts, .. } = machine;
        self.step_insts = step_insts;
        sources.check().map_err(ExecError::Io)?;
        Ok(Trace { hops, rows, outcome })
    }
}

/// Why a walk stops before it is done.
enum End {
    Fault(FaultReport),
    Error(ExecError),
}

/// The state of one walk.
struct Machine<'a> {
    f: &'a Function,
    check_claims: bool,
    args: &'a [u8],
    sources: &'a Sources,
    values: Vec<u64>,
    /// The number of the last varint.
    decoded: u64,
    slots: Vec<Vec<u8>>,
    out: Vec<u8>,
    /// The current disk block. A copy: what others do to the image meanwhile is not seen within a step.
    disk: Vec<u8>,
    hops: Vec<Hop>,
    rows: Vec<Vec<u8>>,
    step_insts: Vec<u64>,
}

impl<'a> Machine<'a> {
    fn walk(&mut self) -> Result<(), End> {
        let f = self.f;
        let mut block = Block(0);
        loop {
            let data = f.block(block);
            for inst in &data.insts {
                self.inst(inst)?;
            }
            if let Some(count) = self.step_insts.last_mut() {
                *count += data.insts.len() as u64 + 1;
            }
            block = match &data.term {
                Terminator::Jump(target) => self.enter(target, None),
                Terminator::Branch { cond, then, other } => {
                    let target = if self.get(*cond) != 0 { then } else { other };
                    self.enter(target, None)
                }
                Terminator::Hop { source, offset, len, next, keep, fault } => {
                    let hop = Hop { source: *source, offset: self.get(*offset), len: self.get(*len) };
                    self.hop(hop, *fault)?;
                    self.suspend(keep);
                    self.enter(next, Some(hop.len))
                }
                Terminator::Emit { next, keep } => {
                    self.rows.push(self.out.clone());
                    self.suspend(keep);
                    self.enter(next, None)
                }
                Terminator::Return => return Ok(()),
                Terminator::Fault(fault) => return Err(self.fault(fault)),
            };
        }
    }

    /// Passes arguments; `first` comes before the target's own. All are read before any parameter is written.
    fn enter(&mut self, target: &Target, first: Option<u64>) -> Block {
        let words: Vec<u64> = first.into_iter().chain(target.args.iter().map(|v| self.get(*v))).collect();
        let f = self.f;
        for (param, word) in f.block(target.block).params.iter().zip(words) {
            self.set(*param, word);
        }
        target.block
    }

    /// Reads the next disk block. Notes the hop in any case.
    fn hop(&mut self, hop: Hop, fault: FaultId) -> Result<(), End> {
        self.hops.push(hop);
        let image = &self.sources.images[hop.source.index()];
        let inside = hop.offset.checked_add(hop.len).is_some_and(|end| end <= image.len());
        if !inside {
            return Err(End::Fault(FaultReport { fault, found: None, at: None }));
        }
        self.disk.clear();
        if let Some(bytes) = image.bytes() {
            // Both fit usize, because the image lies in memory.
            self.disk.extend_from_slice(&bytes[hop.offset as usize..][..hop.len as usize]);
            return Ok(());
        }
        self.disk.resize(hop.len as usize, 0);
        image.read_at(hop.offset, &mut self.disk).map_err(|e| End::Error(ExecError::Io(e)))
    }

    /// A new step begins. What is not kept is gone: bytes that nobody stored make it show if somebody reads it all the same.
    fn suspend(&mut self, keep: &[Slot]) {
        for (i, bytes) in self.slots.iter_mut().enumerate() {
            if !keep.contains(&Slot(i as u32)) {
                bytes.fill(0xdb);
            }
        }
        self.step_insts.push(0);
    }

    fn get(&self, v: Value) -> u64 {
        self.values[v.index()]
    }

    fn set(&mut self, v: Value, word: u64) {
        if self.check_claims {
            let value = self.f.value(v);
            let n = number(value.ty, word);
            assert!(
                value.range.contains(Range::just(n)),
                "a value lies in its claim, but {v} {:?} of {} is {n}, not in {}..={}",
                value.name,
                self.f.name,
                value.range.lo,
                value.range.hi
            );
        }
        self.values[v.index()] = word;
    }

    fn fault(&self, fault: &FaultRef) -> End {
        let found = fault.found.map(|v| self.get(v));
        let at = fault.at.map(|v| self.get(v));
        End::Fault(FaultReport { fault: fault.fault, found, at })
    }

    fn inst(&mut self, inst: &Inst) -> Result<(), End> {
        let ty = inst.result.map_or(Ty::U64, |v| self.f.value(v).ty);
        let word = match &inst.op {
            Op::Const(word) => *word,
            Op::Arg(i) | Op::ArgLen(i) => {
                let at = self.f.args[*i as usize].offset as usize;
                eval::load(Ty::U64, Endian::Little, &self.args[at..at + 8])
            }
            Op::Binary { op, mode, a, b } => self.binary(*op, *mode, ty, *a, *b)?,
            Op::Compare { op, a, b } => eval::compare(*op, self.f.value(*a).ty, self.get(*a), self.get(*b)).into(),
            Op::Select { cond, a, b } => self.get(if self.get(*cond) != 0 { *a } else { *b }),
            Op::Cast(a) | Op::Reinterpret(a) | Op::Refine { a, .. } => self.get(*a),
            Op::Extend { bits, a } => eval::extend(ty, *bits, self.get(*a)),
            Op::Load { addr, width, endian } => {
                let start = self.offset(addr);
                eval::load(ty, *endian, part(self.region(addr.region), start, (*width).into()))
            }
            Op::Varint { kind, addr, limit, outside, wide } => {
                let (start, limit) = (self.offset(addr), self.get(*limit));
                let bytes = part(self.region(addr.region), start, limit.saturating_sub(start));
                match (kind.decode(bytes), wide) {
                    (Ok((number, size)), _) => {
                        self.decoded = number;
                        size.into()
                    }
                    (Err(NoVarint::Wide), Some(wide)) => return Err(self.fault(wide)),
                    (Err(_), _) => return Err(self.fault(outside)),
                }
            }
            Op::Decoded(_) => self.decoded,
            Op::Check { a, size, limit, fault, .. } => {
                let (a, limit) = (self.get(*a), self.get(*limit));
                let end = a.checked_add(self.size(*size));
                if end.is_none_or(|end| end > limit) {
                    let shown = inst.result.is_some_and(|v| self.f.is_shown(v));
                    assert!(!shown, "a check with a proof holds, but {inst:?} of {} met {a} and {limit}", self.f.name);
                    return Err(self.fault(fault));
                }
                a
            }
            Op::Guard { cond, fault } => {
                return if self.get(*cond) != 0 { Ok(()) } else { Err(self.fault(fault)) };
            }
            Op::Prove { .. } => unreachable!("the verifier lets no obligation pass"),
            Op::Store { addr, width, endian, value } => {
                let (start, word) = (self.offset(addr), self.get(*value));
                eval::store(*endian, word, part_mut(self.region_mut(addr.region), start, (*width).into()));
                return Ok(());
            }
            Op::Copy { to, from, len } => {
                let len = self.size(*len);
                let bytes = part(self.region(from.region), self.offset(from), len).to_vec();
                let start = self.offset(to);
                part_mut(self.region_mut(to.region), start, len).copy_from_slice(&bytes);
                return Ok(());
            }
        };
        if let Some(v) = inst.result {
            self.set(v, word);
        }
        Ok(())
    }

    fn binary(&self, op: BinOp, mode: Mode, ty: Ty, a: Value, b: Value) -> Result<u64, End> {
        match (eval::binary(op, ty, self.get(a), self.get(b)), mode) {
            (Ok(word), _) => Ok(word),
            (Err(Trap::Overflow { wrapped }), Mode::Wrap) => Ok(wrapped),
            (Err(Trap::Overflow { .. }), Mode::Checked(fault)) => Err(self.fault(&fault)),
            (Err(trap), _) => panic!("the operands' claims rule out a trap, but {op:?} of {a} and {b} met {trap:?}"),
        }
    }

    fn size(&self, size: Size) -> u64 {
        match size {
            Size::Const(n) => n.into(),
            Size::Value(v) => self.get(v),
        }
    }

    /// Where in its region an address is. Wraps like a machine's; the slice that is taken there is checked.
    fn offset(&self, addr: &Addr) -> u64 {
        let parts = [addr.base, addr.index].into_iter().flatten().map(|v| self.get(v));
        parts.fold(addr.disp.into(), u64::wrapping_add)
    }

    fn region(&self, region: Region) -> &[u8] {
        match region {
            Region::Disk => &self.disk,
            Region::Arg(i) => {
                let leaf = &self.f.args[i as usize];
                let start = leaf.offset as usize + 8;
                &self.args[start..start + leaf.kind.size() as usize - 8]
            }
            Region::Slot(slot) => &self.slots[slot.index()],
            Region::Data(data) => &self.f.data[data.index()].bytes,
            Region::Out => &self.out,
        }
    }

    fn region_mut(&mut self, region: Region) -> &mut [u8] {
        match region {
            Region::Slot(slot) => &mut self.slots[slot.index()],
            Region::Out => &mut self.out,
            Region::Disk | Region::Arg(_) | Region::Data(_) => {
                unreachable!("the verifier lets nothing but slots and the result be written")
            }
        }
    }
}

fn part(bytes: &[u8], start: u64, len: u64) -> &[u8] {
    let found = usize::try_from(start).ok().and_then(|start| bytes.get(start..)?.get(..len as usize));
    found.unwrap_or_else(|| outside(bytes.len(), start, len))
}

fn part_mut(bytes: &mut [u8], start: u64, len: u64) -> &mut [u8] {
    let size = bytes.len();
    let found = usize::try_from(start).ok().and_then(|start| bytes.get_mut(start..)?.get_mut(..len as usize));
    found.unwrap_or_else(|| outside(size, start, len))
}

fn outside(size: usize, start: u64, len: u64) -> ! {
    panic!("every access has evidence, but {len} bytes at {start} are outside a region of {size}")
}
