//! A program as an annotated listing: each line of the spec before the instructions that it became.

use super::insn::Insn;
use super::print::{Printed, Target, slots};
use super::program::{Callee, Program, Relocation, Symbol};
use crate::source::SourceMap;
use std::collections::BTreeMap;
use std::fmt::Write;

/// The listing of one program (`--emit asm`).
pub fn list(program: &Program, sources: &SourceMap) -> String {
    let mut lines = BTreeMap::new();
    for (insn, span) in &program.lines {
        let place = sources.place(*span);
        lines.insert(*insn as usize, format!("{}:{}: {}", place.file, place.line, sources.line_text(*span)));
    }
    let named = |relocations: &[Relocation]| -> BTreeMap<usize, String> {
        let named = relocations.iter().map(|r| {
            let symbol = match r.symbol {
                Symbol::State => "state",
                Symbol::Block => "block",
                Symbol::Constants => "constants",
            };
            let name = if r.addend == 0 { symbol.into() } else { format!("{symbol} + {:#x}", r.addend) };
            (r.insn as usize, name)
        });
        named.collect()
    };
    let mut text = format!("{}:\n", program.name);
    let mut names = named(&program.relocations);
    names.extend(program.calls.iter().filter_map(|call| match call.callee {
        Callee::Routine(i) => Some((call.insn as usize, program.routines[i as usize].name())),
        Callee::Step | Callee::Kernel(_) => None,
    }));
    write_code(&mut text, &program.insns, &lines, &names);
    for routine in &program.routines {
        let _ = writeln!(text, "{}:", routine.name());
        write_code(&mut text, &routine.insns, &BTreeMap::new(), &named(&routine.relocations));
    }
    text
}

/// Appends a function's instructions, with labels where jumps go, and lines and names where some are known.
pub(super) fn write_code(
    text: &mut String,
    insns: &[Insn],
    lines: &BTreeMap<usize, String>,
    relocations: &BTreeMap<usize, String>,
) {
    let labels = labels(insns);
    let name = |target: Target| match target {
        Target::Insn(at) => usize::try_from(at).ok().and_then(|at| labels.get(&at)).map(|n| format!("L{n}")),
        Target::Relocation(at) => relocations.get(&at).cloned(),
    };
    let mut at = 0;
    let mut last_line = None;
    while let Some(insn) = insns.get(at) {
        if let Some(label) = labels.get(&at) {
            let _ = writeln!(text, "L{label}:");
        }
        if let Some(line) = lines.get(&at).filter(|line| last_line != Some(*line)) {
            let _ = writeln!(text, "; {line}");
            last_line = Some(line);
        }
        let printed = Printed { insn: *insn, next: insns.get(at + 1).copied(), at, name: &name };
        let _ = writeln!(text, "{at:6}:  {printed}");
        at += slots(*insn);
    }
}

/// Numbers the places that jumps of these instructions go to, in the order of their places.
fn labels(insns: &[Insn]) -> BTreeMap<usize, usize> {
    let mut targets = BTreeMap::new();
    let mut at = 0;
    while let Some(insn) = insns.get(at) {
        // Printing a jump asks for the name of its target; nothing else does for an instruction.
        let seen = std::cell::Cell::new(None);
        let note = |target: Target| {
            if let Target::Insn(to) = target {
                seen.set(Some(to));
            }
            None
        };
        let _ = Printed { insn: *insn, next: insns.get(at + 1).copied(), at, name: &note }.to_string();
        if let Some(to) = seen.get().and_then(|to| usize::try_from(to).ok()).filter(|to| *to < insns.len()) {
            targets.insert(to, 0);
        }
        at += slots(*insn);
    }
    targets.values_mut().enumerate().for_each(|(n, label)| *label = n);
    targets
}
