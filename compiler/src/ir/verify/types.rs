//! Rule 9: types.

use super::{At, Errors, Facts};
use crate::ir::schema::LeafKind;
use crate::ir::*;
use std::fmt::Display;

pub fn check(f: &Facts<'_>, errors: &mut Errors) {
    for (block, data) in f.blocks() {
        if let Some(disk) = data.disk {
            let ty = f.value(disk.len).ty;
            errors.want(ty == Ty::U64, 9, block, || format!("expected a length of type u64, found {}", ty.name()));
        }
        for inst in &data.insts {
            Types { f, errors, at: At::Inst(block, inst) }.op(inst);
        }
        Types { f, errors, at: At::Term(block, &data.term) }.term(&data.term);
    }
}

struct Types<'a> {
    f: &'a Facts<'a>,
    errors: &'a mut Errors,
    at: At<'a>,
}

impl Types<'_> {
    fn ty(&self, v: Value) -> Ty {
        self.f.value(v).ty
    }

    fn is(&mut self, what: impl Display, found: Ty, allowed: &[Ty]) {
        let names = || allowed.iter().map(|ty| ty.name()).collect::<Vec<_>>().join(" or ");
        self.errors.want(allowed.contains(&found), 9, self.at, || {
            format!("expected {what} of type {}, found {}", names(), found.name())
        });
    }

    fn value(&mut self, v: Value, allowed: &[Ty]) {
        self.is(v, self.ty(v), allowed);
    }

    fn size(&mut self, size: Size) {
        if let Size::Value(v) = size {
            self.value(v, &[Ty::U64]);
        }
    }

    fn addr(&mut self, addr: &Addr) {
        for v in addr.base.into_iter().chain(addr.index) {
            self.value(v, &[Ty::U64]);
        }
    }

    fn fault(&mut self, fault: &FaultRef) {
        if let Some(at) = fault.at {
            self.value(at, &[Ty::U64]);
        }
    }

    fn op(&mut self, inst: &Inst) {
        const ALL: &[Ty] = Ty::ALL;
        const INT: &[Ty] = &[Ty::U64, Ty::I64];
        // Rule 4 has seen to it that the operations which use it have a result.
        let result = inst.result.map_or(Ty::U64, |v| self.ty(v));
        match &inst.op {
            Op::Const(_) => {}
            Op::Arg(i) => {
                if let LeafKind::Scalar { ty, .. } = self.f.args[*i as usize].kind {
                    self.is("the result", result, &[ty]);
                }
            }
            Op::ArgLen(_) => self.is("the result", result, &[Ty::U64]),
            Op::Binary { op, mode, a, b } => {
                let logic = matches!(op, BinOp::And | BinOp::Or | BinOp::Xor);
                let shift = matches!(op, BinOp::Shl | BinOp::Shr);
                let overflows = matches!(op, BinOp::Add | BinOp::Sub | BinOp::Mul | BinOp::Shl);
                self.is("the result", result, if logic { ALL } else { INT });
                self.value(*a, &[result]);
                self.value(*b, &[if shift { Ty::U64 } else { result }]);
                self.errors.want(overflows || *mode == Mode::Exact, 9, self.at, || {
                    format!("expected no mode of {}, which does not overflow", op.name())
                });
                if let Mode::Checked(fault) = mode {
                    self.fault(fault);
                }
            }
            Op::Compare { a, b, .. } => {
                self.is("the result", result, &[Ty::Bool]);
                self.value(*b, &[self.ty(*a)]);
            }
            Op::Select { cond, a, b } => {
                self.value(*cond, &[Ty::Bool]);
                self.value(*a, &[result]);
                self.value(*b, &[result]);
            }
            Op::Cast(_) => {}
            Op::Reinterpret(a) | Op::Extend { a, .. } => {
                self.is("the result", result, INT);
                self.value(*a, INT);
            }
            Op::Refine { a, cond, .. } => {
                self.value(*a, &[result]);
                self.value(*cond, &[Ty::Bool]);
            }
            Op::Load { addr, .. } => {
                self.is("the result", result, INT);
                self.addr(addr);
            }
            Op::Varint { addr, limit, outside, wide, .. } => {
                self.is("the result", result, &[Ty::U64]);
                self.addr(addr);
                self.value(*limit, &[Ty::U64]);
                [Some(outside), wide.as_ref()].into_iter().flatten().for_each(|fault| self.fault(fault));
            }
            Op::Decoded(_) => self.is("the result", result, &[Ty::U64]),
            Op::Check { a, size, limit, fault, .. } => {
                self.is("the result", result, &[Ty::U64]);
                self.value(*a, &[Ty::U64]);
                self.size(*size);
                self.value(*limit, &[Ty::U64]);
                self.fault(fault);
            }
            Op::Guard { cond, fault } => {
                self.value(*cond, &[Ty::Bool]);
                self.fault(fault);
            }
            Op::Prove { cond, .. } => self.value(*cond, &[Ty::Bool]),
            Op::Store { addr, .. } => self.addr(addr),
            Op::Copy { to, from, len } => {
                self.addr(to);
                self.addr(from);
                self.size(*len);
            }
        }
    }

    fn term(&mut self, term: &Terminator) {
        match term {
            Terminator::Branch { cond, .. } => self.value(*cond, &[Ty::Bool]),
            Terminator::Hop { offset, len, .. } => {
                self.value(*offset, &[Ty::U64]);
                self.value(*len, &[Ty::U64]);
            }
            Terminator::Fault(fault) => self.fault(fault),
            Terminator::Jump(_) | Terminator::Emit { .. } | Terminator::Return => {}
        }
        for target in term.targets() {
            for (arg, param) in passed(self.f.f, term, target) {
                self.is(format_args!("{arg} for {param}"), self.ty(arg), &[self.ty(param)]);
            }
        }
    }
}

/// What each parameter of a target receives; for a hop the first receives the length.
pub fn passed<'f>(
    f: &'f Function,
    term: &'f Terminator,
    target: &'f Target,
) -> impl Iterator<Item = (Value, Value)> + 'f {
    let len = match term {
        Terminator::Hop { len, .. } => Some(*len),
        _ => None,
    };
    let params = f.block(target.block).params.iter().copied();
    len.into_iter().chain(target.args.iter().copied()).zip(params)
}
