//! Rules 10 to 15: claims, and what follows from them.

use super::types::passed;
use super::{At, Errors, Facts};
use crate::ir::eval::range;
use crate::ir::*;
use std::collections::HashMap;

/// How many conditions one branch or guard may settle through `and`, `or` and negation.
const IMPLIED_MAX: usize = 64;

pub fn check(f: &Facts<'_>, errors: &mut Errors) {
    let settled = Settled::of(f);
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
                refinement(f, errors, &settled, (block, i), (a, cond, sense), at);
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
                let (found, wanted) = (f.value(arg).range, f.value(param).range);
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
            errors.want(Range::of(ty).contains(result), 12, at, || {
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
    errors.want(settled.holds(f, here, cond, sense), 14, at, || {
        format!("expected a branch or guard before this by which {cond} is {sense}, found none")
    });
}

/// Where conditions are known: from which place on each has which value.
struct Settled(HashMap<(Value, bool), Vec<(Block, usize)>>);

impl Settled {
    fn of(f: &Facts<'_>) -> Settled {
        let mut settled = Settled(HashMap::new());
        for (block, data) in f.blocks() {
            for (i, inst) in data.insts.iter().enumerate() {
                if let Op::Guard { cond, .. } = inst.op {
                    settled.add(f, (block, i + 1), cond, true);
                }
            }
            if let [(from, target)] = f.graph.predecessors[block.index()][..]
                && let Terminator::Branch { cond, .. } = f.block(from).term
            {
                settled.add(f, (block, 0), cond, target == 0);
            }
        }
        settled
    }

    fn add(&mut self, f: &Facts<'_>, from: (Block, usize), cond: Value, sense: bool) {
        let mut open = vec![(cond, sense)];
        for _ in 0..IMPLIED_MAX {
            let Some((cond, sense)) = open.pop() else { break };
            self.0.entry((cond, sense)).or_default().push(from);
            let Some(Op::Binary { op, a, b, .. }) = f.defs.op(f.f, cond) else { continue };
            let (a, b) = (*a, *b);
            match (op, f.value(a).range.as_const(), f.value(b).range.as_const()) {
                _ if f.value(cond).ty != Ty::Bool => {}
                (BinOp::And, ..) if sense => open.extend([(a, true), (b, true)]),
                (BinOp::Or, ..) if !sense => open.extend([(a, false), (b, false)]),
                (BinOp::Xor, _, Some(n)) => open.push((a, sense != (n == 1))),
                (BinOp::Xor, Some(n), _) => open.push((b, sense != (n == 1))),
                _ => {}
            }
        }
    }

    /// Whether the condition has this value in front of the operation at a place.
    fn holds(&self, f: &Facts<'_>, (block, position): (Block, usize), cond: Value, sense: bool) -> bool {
        self.0.get(&(cond, sense)).is_some_and(|places| {
            places.iter().any(|&(at, from)| if at == block { from <= position } else { f.graph.dominates(at, block) })
        })
    }
}

fn show(range: Range) -> String {
    if range.is_empty() { "nothing".into() } else { format!("{}..={}", range.lo, range.hi) }
}
