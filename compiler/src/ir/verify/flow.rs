//! Rules 6 to 8: reachability, headers, dominance and steps.

use super::{At, Errors, Facts};
use crate::ir::defs::Def;
use crate::ir::{Block, Value};
use std::fmt::Display;

pub fn check(f: &Facts<'_>, errors: &mut Errors) {
    for (block, _) in f.blocks() {
        errors.want(f.graph.is_reached(block), 6, block, || "expected a way here from the entry, found none".into());
    }
    if !errors.0.is_empty() {
        return;
    }
    for block in &f.graph.order {
        for target in f.block(*block).term.targets() {
            let circles = f.graph.is_back(*block, target.block) && !f.graph.dominates(target.block, *block);
            errors.want(!circles, 7, block, || {
                format!("expected that {} dominates this block, from which an edge goes back to it", target.block)
            });
        }
    }
    for (block, data) in f.blocks() {
        // The length of the disk block is asked for at the start, where only the parameters are defined.
        if let Some(disk) = data.disk {
            is_available(f, errors, disk.len, block, 0, block);
        }
        for (i, inst) in data.insts.iter().enumerate() {
            inst.op.for_each_use(|v| is_available(f, errors, v, block, i, At::Inst(block, inst)));
        }
        data.term.for_each_use(|v| is_available(f, errors, v, block, data.insts.len(), At::Term(block, &data.term)));
    }
}

/// Rule 8 for a use of `v` in front of the operation at `position` in `block`.
fn is_available(f: &Facts<'_>, errors: &mut Errors, v: Value, block: Block, position: usize, place: impl Display) {
    let Some(def) = f.defs.get(v) else { return };
    let dominates = match def {
        Def::Inst(at, i) if at == block => i < position,
        def => f.graph.dominates(def.block(), block),
    };
    if !dominates {
        errors.push(8, place, format!("expected that the definition of {v} dominates its use"));
    } else if f.steps.step(def.block()) != f.steps.step(block) {
        let step = f.steps.step(block);
        errors.push(
            8,
            place,
            format!("expected a value of the step that begins with {step}, found {v} of an earlier one"),
        );
    }
}
