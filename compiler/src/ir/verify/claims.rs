//! Rules 10 to 15: claims, and what follows from them.

use super::types::passed;
use super::{At, Errors, Facts};
use crate::ir::eval::range;
use crate::ir::settled::Settled;
use crate::ir::*;

pub fn check(f: &Facts<'_>, settled: &Settled, errors: &mut Errors) {
    for (i, value) in f.values.iter().enumerate() {
        errors.want(Range::of(value.ty).contains(value.range), 10, Value(i as u32), || {
            format!("expected a claim within {}, found {}", value.ty.name(), show(value.range))
        });
    }
    for (block, data) in f.blocks() {
        for (i, inst) in data.insts.iter().enumerate() {
            let at = At::Inst(block, inst);
            operands(f, errors, inst, at);
            if let Op::Refine { a, cond, sense } = inst.op {
                refinement(f, errors, settled, (block, i), (a, cond, sense), at);
            }
            if let Some(v) = inst.result {
                let (claim, follows) = (f.value(v).range, range::of(f.f, &f.defs, &inst.op, f.value(v).ty));
                errors.want(claim.contains(follows), 10, at, || {
                    format!("expected a claim over all of {}, found {}", show(follows), show(claim))
                });
            }
        }
        for target in data.term.targets() {
            for (arg, param) in passed(f.f, &data.term, target) {
                let (found, wanted) = (range::passed(f.f, &f.defs, &data.term, arg), f.value(param).range);
                errors.want(wanted.contains(found), 11, At::Term(block, &data.term), || {
                    format!("expected {arg} within {} for {param}, found {}", show(wanted), show(found))
                });
            }
        }
    }
}

/// Rules 12, 13 and 15.
fn operands(f: &Facts<'_>, errors: &mut Errors, inst: &Inst, at: At<'_>) {
    let range = |v: Value| f.value(v).range;
    let ty = inst.result.map_or(Ty::U64, |v| f.value(v).ty);
    match inst.op {
        Op::Binary { op: BinOp::Div | BinOp::Rem, a, b, .. } => {
            let has = |r: Range, n: i128| r.contains(Range::just(n));
            errors.want(!has(range(b), 0), 13, at, || {
                format!("expected a divisor that is not 0, found {b} in {}", show(range(b)))
            });
            let overflows = ty == Ty::I64 && has(range(b), -1) && has(range(a), i64::MIN.into());
            errors.want(!overflows, 13, at, || format!("expected {a} above the least i64 or {b} without -1"));
        }
        Op::Binary { op: op @ (BinOp::Shl | BinOp::Shr), b, .. } if !Range::new(0, 63).contains(range(b)) => {
            errors.push(13, at, format!("expected a count of {} in 0..=63, found {}", op.name(), show(range(b))));
        }
        Op::Binary { op, mode: Mode::Exact, a, b } => {
            let result = range::mathematical(op, range(a), range(b));
            let shown = inst.result.is_some_and(|v| f.is_shown(v));
            errors.want(shown || Range::of(ty).contains(result), 12, at, || {
                format!("expected that {} fits {}, found {}", op.name(), ty.name(), show(result))
            });
        }
        Op::Cast(a) => errors.want(Range::of(ty).contains(range(a)), 13, at, || {
            format!("expected {a} within {}, found {}", ty.name(), show(range(a)))
        }),
        Op::Prove { .. } => errors.push(15, at, "expected no obligation in what is to be run, found one"),
        _ => {}
    }
}

/// Rule 14; that the claim follows is rule 10.
fn refinement(
    f: &Facts<'_>,
    errors: &mut Errors,
    settled: &Settled,
    here: (Block, usize),
    (a, cond, sense): (Value, Value, bool),
    at: At<'_>,
) {
    errors.want(range::refined(f.f, &f.defs, a, cond, sense).is_some(), 14, at, || {
        format!("expected a comparison with {a} as {cond}, found another value")
    });
    errors.want(settled.holds(&f.graph, here, cond, sense), 14, at, || {
        format!("expected a branch or guard before this by which {cond} is {sense}, found none")
    });
}

fn show(range: Range) -> String {
    if range.is_empty() { "nothing".into() } else { range.to_string() }
}
