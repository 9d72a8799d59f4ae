//! Rules 1 to 5: ids, tables and arity.

use super::{AREA_MAX, At, Errors};
use crate::ir::schema::{LeafKind, Schema};
use crate::ir::*;

/// Types within types, at most: what walks over a type may call itself so often.
const DEPTH_MAX: u32 = 256;

pub fn check(f: &Function, errors: &mut Errors) {
    tables(f, errors);
    let mut shape = Shape { f, errors, defined: vec![0; f.values.len()], used: vec![false; f.values.len()] };
    for (block, data) in f.blocks() {
        shape.block(block, data);
    }
    for i in 0..f.values.len() {
        if shape.defined[i] > 1 {
            shape.errors.push(3, Value(i as u32), "expected one definition, found several");
        } else if shape.used[i] && shape.defined[i] == 0 {
            shape.errors.push(3, Value(i as u32), "expected a definition of what is used, found none");
        }
    }
}

fn tables(f: &Function, errors: &mut Errors) {
    match f.blocks.first() {
        None => errors.push(1, &f.name, "expected an entry block, found no block"),
        Some(entry) => {
            errors.want(entry.params.is_empty(), 1, Block(0), || "expected no parameters of the entry".into());
            errors.want(entry.disk.is_none(), 1, Block(0), || "expected no disk block in the entry".into());
        }
    }
    errors.want(!f.sources.is_empty(), 1, &f.name, || "expected a source, found none".into());
    let params: u64 = f.params.iter().map(|p| area(&p.schema, 0)).fold(0, u64::saturating_add);
    let slots: u64 = f.slots.iter().map(|s| u64::from(s.size)).sum();
    let data: u64 = f.data.iter().map(|d| d.bytes.len() as u64).sum();
    let areas = [("parameters", params), ("the result", area(&f.result, 0)), ("slots", slots), ("tables", data)];
    for (what, bytes) in areas {
        errors.want(bytes <= AREA_MAX.into(), 2, &f.name, || format!("expected {what} of at most {AREA_MAX} bytes"));
    }
    if params <= AREA_MAX.into() {
        let mut start = 0;
        let mut leaves = Vec::new();
        for p in &f.params {
            leaves.extend(p.schema.leaves(&p.name, start));
            start += p.schema.size();
        }
        errors.want(leaves == f.args, 2, &f.name, || "expected the parameters' leaves as `args`".into());
    }
    for (i, o) in f.obligations.iter().enumerate() {
        let known = o.operands.iter().all(|v| v.index() < f.values.len());
        errors.want(known, 1, format!("o{i}"), || "expected operands in the table of values".into());
    }
}

/// The bytes of a type, reckoned without overflow; very many where it is too deep.
fn area(schema: &Schema, depth: u32) -> u64 {
    match schema {
        _ if depth > DEPTH_MAX => u64::MAX,
        Schema::Unit => 0,
        Schema::Int { .. } | Schema::Bool | Schema::Enum { .. } | Schema::Flags { .. } => 8,
        Schema::Bytes { max, .. } => 8 + u64::from(*max).next_multiple_of(8),
        Schema::Record { fields, .. } => fields.iter().map(|(_, s)| area(s, depth + 1)).fold(0, u64::saturating_add),
        Schema::Option(inner) => area(inner, depth + 1).saturating_add(8),
    }
}

struct Shape<'f, 'e> {
    f: &'f Function,
    errors: &'e mut Errors,
    defined: Vec<u32>,
    used: Vec<bool>,
}

impl Shape<'_, '_> {
    fn block(&mut self, block: Block, data: &BlockData) {
        for v in &data.params {
            self.define(*v, At::Block(block));
        }
        if let Some(disk) = data.disk {
            self.use_value(disk.len, At::Block(block));
        }
        if let Some(header) = data.header {
            self.use_value(header.counter, At::Block(block));
        }
        for inst in &data.insts {
            let at = At::Inst(block, inst);
            if let Some(v) = inst.result {
                self.define(v, at);
            }
            inst.op.for_each_use(|v| self.use_value(v, at));
            self.op(inst, at);
        }
        let at = At::Term(block, &data.term);
        data.term.for_each_use(|v| self.use_value(v, at));
        self.term(&data.term, at);
    }

    fn define(&mut self, v: Value, place: At<'_>) {
        match self.defined.get_mut(v.index()) {
            Some(count) => *count += 1,
            None => self.errors.push(1, place, format!("expected an entry {v} in the table of values, found none")),
        }
    }

    fn use_value(&mut self, v: Value, place: At<'_>) {
        match self.used.get_mut(v.index()) {
            Some(used) => *used = true,
            None => self.errors.push(1, place, format!("expected an entry {v} in the table of values, found none")),
        }
    }

    fn table(&mut self, known: bool, what: impl std::fmt::Display, place: At<'_>) {
        self.errors.want(known, 1, place, || format!("expected an entry for {what} in its table, found none"));
    }

    fn fault(&mut self, fault: FaultId, place: At<'_>) {
        self.table(fault.index() < self.f.faults.len(), fault, place);
    }

    fn region(&mut self, region: Region, place: At<'_>) {
        let known = match region {
            Region::Disk | Region::Out => true,
            Region::Arg(i) => {
                matches!(self.f.args.get(i as usize).map(|leaf| leaf.kind), Some(LeafKind::Bytes { .. }))
            }
            Region::Slot(slot) => slot.index() < self.f.slots.len(),
            Region::Data(data) => data.index() < self.f.data.len(),
        };
        self.table(known, region, place);
    }

    fn op(&mut self, inst: &Inst, place: At<'_>) {
        let makes = !matches!(inst.op, Op::Guard { .. } | Op::Prove { .. } | Op::Store { .. } | Op::Copy { .. });
        self.errors.want(makes == inst.result.is_some(), 4, place, || {
            format!("expected {} of {}", if makes { "a result" } else { "no result" }, inst.op)
        });
        let mut width = |bytes: u8| {
            self.errors.want((1..=8).contains(&bytes), 4, place, || format!("expected 1 to 8 bytes, found {bytes}"));
        };
        match &inst.op {
            Op::Load { width: bytes, .. } | Op::Store { width: bytes, .. } => width(*bytes),
            Op::Extend { bits, .. } => {
                self.errors.want((1..=63).contains(bits), 4, place, || format!("expected 1 to 63 bits, found {bits}"));
            }
            Op::Varint { kind, wide, .. } => {
                self.errors.want(kind.may_be_wide() == wide.is_some(), 4, place, || {
                    let more = if kind.may_be_wide() { "a" } else { "no" };
                    format!("expected {more} fault for a {} of more than 64 bits", kind.name())
                });
            }
            _ => {}
        }
        match &inst.op {
            Op::Arg(i) => {
                let leaf = self.f.args.get(*i as usize).map(|leaf| leaf.kind);
                self.table(matches!(leaf, Some(LeafKind::Scalar { .. })), format!("the scalar arg {i}"), place);
            }
            Op::ArgLen(i) => self.region(Region::Arg(*i), place),
            Op::Binary { mode: Mode::Checked(fault), .. } | Op::Guard { fault, .. } => self.fault(fault.fault, place),
            Op::Check { region, fault, .. } => {
                self.region(*region, place);
                self.fault(fault.fault, place);
            }
            Op::Varint { addr, outside, wide, .. } => {
                self.region(addr.region, place);
                [Some(outside), wide.as_ref()].into_iter().flatten().for_each(|fault| self.fault(fault.fault, place));
            }
            Op::Load { addr, .. } | Op::Store { addr, .. } => self.region(addr.region, place),
            Op::Copy { to, from, .. } => {
                self.region(to.region, place);
                self.region(from.region, place);
            }
            Op::Prove { obligation, .. } => {
                let known = (*obligation as usize) < self.f.obligations.len();
                self.table(known, format!("o{obligation}"), place);
            }
            Op::Const(_)
            | Op::Binary { .. }
            | Op::Compare { .. }
            | Op::Select { .. }
            | Op::Cast(_)
            | Op::Reinterpret(_)
            | Op::Extend { .. }
            | Op::Decoded(_)
            | Op::Refine { .. } => {}
        }
    }

    fn term(&mut self, term: &Terminator, place: At<'_>) {
        let implicit = usize::from(matches!(term, Terminator::Hop { .. }));
        for target in term.targets() {
            let Some(to) = self.f.blocks.get(target.block.index()) else {
                self.table(false, target.block, place);
                continue;
            };
            let (wanted, found) = (to.params.len(), target.args.len() + implicit);
            self.errors.want(wanted == found, 5, place, || {
                format!("expected {wanted} arguments for {}, found {found}", target.block)
            });
        }
        match term {
            Terminator::Hop { source, fault, .. } => {
                self.table(source.index() < self.f.sources.len(), source, place);
                self.fault(*fault, place);
            }
            Terminator::Emit { .. } => {
                self.errors.want(self.f.stream, 5, place, || "expected `emit` only in a stream".into());
            }
            Terminator::Fault(fault) => self.fault(fault.fault, place),
            Terminator::Jump(_) | Terminator::Branch { .. } | Terminator::Return => {}
        }
        if let Terminator::Hop { keep, .. } | Terminator::Emit { keep, .. } = term {
            for slot in keep {
                self.table(slot.index() < self.f.slots.len(), slot, place);
            }
        }
    }
}
