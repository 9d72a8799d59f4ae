//! Functions whose evidence has been tampered with: the verifier refuses each mutant that could do harm.
//!
//! A mutant that the verifier passes must be as sound as the original, so it is run on hostile images with every claim looked at. Some mutants
//! do no harm: a fact that was not needed, a factor that says more than it must. Those of the kinds in [`FATAL`] always say
//! something that does not follow, and none of them may pass.

use super::hostile::{Attacked, mix, programs, times};
use trav_compiler::ir::evidence::{Fact, Sum};
use trav_compiler::ir::linear::Form;
use trav_compiler::ir::verify::verify;
use trav_compiler::ir::{Function, Mode, Op, Range, Terminator, Value};

/// Values in all mutants of one function, so that large ones have fewer; and calls of each mutant that passes.
const VALUES: u64 = 5_000;
const CALLS: u64 = 3;

/// What is changed. The first ones must always be noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What is loaded or given as an argument is claimed to be less than it can be.
    Claim,
    /// More bytes of a disk block are claimed to be sure.
    Sure,
    /// A loop is said to turn less often than its counter's claim allows.
    Turns,
    /// A hop or jump passes one value less.
    Carried,
    /// A hop passes the values of two parameters with different claims in the other order.
    Swapped,
    /// Arithmetic that needs its proof has none.
    Unproved,
    /// A claim, anywhere.
    AnyClaim,
    /// Arithmetic or a check is said to be proved by nothing.
    Baseless,
    /// A factor, a fact, an edge or a number of the evidence.
    Evidence,
    /// The test behind a refinement is turned around.
    Sense,
}

const FATAL: [Kind; 6] = [Kind::Claim, Kind::Sure, Kind::Turns, Kind::Carried, Kind::Swapped, Kind::Unproved];
const KINDS: [Kind; 10] = [
    Kind::Claim,
    Kind::Sure,
    Kind::Turns,
    Kind::Carried,
    Kind::Swapped,
    Kind::Unproved,
    Kind::AnyClaim,
    Kind::Baseless,
    Kind::Evidence,
    Kind::Sense,
];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }

    /// One of those that there are.
    fn one<T>(&mut self, mut all: Vec<T>) -> Option<T> {
        let n = self.next() as usize;
        if all.is_empty() { None } else { Some(all.swap_remove(n % all.len())) }
    }
}

fn narrowed(range: Range, random: u64) -> Option<Range> {
    let narrow = match random % 4 {
        0 => Range::new(range.lo, range.hi - 1),
        1 => Range::new(range.lo + 1, range.hi),
        2 => Range::in_steps(range.lo, range.hi, range.step().saturating_mul(2), range.lo),
        _ => Range::new(range.lo, range.lo + (range.hi - range.lo) / 2),
    };
    (range.lo < range.hi && narrow != range).then_some(narrow)
}

/// Changes a function; none if there is nothing of this kind in it.
fn mutate(f: &mut Function, kind: Kind, r: &mut Random) -> Option<()> {
    let insts = |f: &Function, want: &dyn Fn(&Op, Value) -> bool| -> Vec<(usize, usize, Value)> {
        let all = f.blocks.iter().enumerate().flat_map(|(b, data)| {
            data.insts.iter().enumerate().filter_map(move |(i, inst)| Some((b, i, inst.result?)))
        });
        all.filter(|(b, i, v)| want(&f.blocks[*b].insts[*i].op, *v)).collect()
    };
    match kind {
        Kind::Claim => {
            let given = |op: &Op| {
                matches!(op, Op::Load { .. } | Op::Varint { .. } | Op::Decoded(_) | Op::Arg(_) | Op::ArgLen(_))
            };
            let given = insts(f, &|op, _| given(op));
            let (_, _, v) = r.one(given)?;
            f.values[v.index()].range = narrowed(f.value(v).range, r.next())?;
        }
        Kind::AnyClaim => {
            let v = r.next() as usize % f.values.len();
            f.values[v].range = narrowed(f.values[v].range, r.next())?;
        }
        Kind::Sure => {
            let after_hop: Vec<usize> = f
                .blocks
                .iter()
                .filter_map(|b| match &b.term {
                    Terminator::Hop { next, .. } => Some(next.block.index()),
                    _ => None,
                })
                .collect();
            let b = r.one(after_hop)?;
            let more = 1 + (r.next() % 9) as u32;
            f.blocks[b].disk.as_mut()?.min += more;
        }
        Kind::Turns => {
            let counted = |b: &usize| {
                f.blocks[*b].header.is_some_and(|h| h.most > 0 && f.value(h.counter).range.hi == i128::from(h.most))
            };
            let b = r.one((0..f.blocks.len()).filter(counted).collect())?;
            f.blocks[b].header.as_mut()?.most -= 1;
        }
        Kind::Carried => {
            let target = some_target(f, r, |args| !args.is_empty())?;
            target.pop();
        }
        Kind::Swapped => {
            let ranges: Vec<Range> = f.values.iter().map(|v| v.range).collect();
            let types: Vec<_> = f.values.iter().map(|v| v.ty).collect();
            let params: Vec<Vec<Value>> = f.blocks.iter().map(|b| b.params.clone()).collect();
            let hops: Vec<usize> = (0..f.blocks.len()).filter(|b| f.blocks[*b].term.suspends()).collect();
            let b = r.one(hops)?;
            let first = usize::from(matches!(f.blocks[b].term, Terminator::Hop { .. }));
            let (Terminator::Hop { next, .. } | Terminator::Emit { next, .. }) = &mut f.blocks[b].term else {
                return None;
            };
            let params = &params[next.block.index()][first..];
            let pairs = (0..params.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
            // Of these one at least does not fit where it goes.
            let harmful = pairs.filter(|(i, j)| {
                let (a, b) = (next.args[*i].index(), next.args[*j].index());
                let wrong = |v: usize, p: Value| types[v] != types[p.index()] || !ranges[p.index()].contains(ranges[v]);
                wrong(a, params[*j]) || wrong(b, params[*i])
            });
            let (i, j) = r.one(harmful.collect())?;
            next.args.swap(i, j);
        }
        Kind::Unproved => {
            let exact = |op: &Op, v: Value| {
                matches!(op, Op::Binary { mode: Mode::Exact, .. }) && f.evidence.proofs.contains_key(&v)
            };
            let (_, _, v) = r.one(insts(f, &exact))?;
            f.evidence.proofs.remove(&v);
        }
        Kind::Baseless => {
            let tests = |op: &Op, _| matches!(op, Op::Check { .. } | Op::Binary { mode: Mode::Checked(_), .. });
            let (b, i, v) = r.one(insts(f, &tests))?;
            if let Op::Binary { mode, .. } = &mut f.blocks[b].insts[i].op {
                *mode = Mode::Exact;
            }
            let some: Vec<Vec<Sum>> = f.evidence.proofs.values().cloned().collect();
            let sums = r.one(some).unwrap_or(vec![Sum { scale: 1, parts: Vec::new() }]);
            f.evidence.proofs.insert(v, sums);
        }
        Kind::Evidence => {
            let edges = f.evidence.invariants.iter_mut().flat_map(|i| &mut i.edges);
            let sums: Vec<&mut Sum> = f.evidence.proofs.values_mut().flatten().chain(edges).collect();
            let sum = r.one(sums)?;
            tamper(sum, r);
            if r.next().is_multiple_of(4) && !f.evidence.invariants.is_empty() {
                let i = r.next() as usize % f.evidence.invariants.len();
                let form = &mut f.evidence.invariants[i].form;
                *form = form.plus(1, &Form::number(if r.next().is_multiple_of(2) { 1 } else { -1 }))?;
            }
        }
        Kind::Sense => {
            let refined = insts(f, &|op, _| matches!(op, Op::Refine { .. }));
            let (b, i, _) = r.one(refined)?;
            if let Op::Refine { sense, .. } = &mut f.blocks[b].insts[i].op {
                *sense = !*sense;
            }
        }
    }
    Some(())
}

fn some_target<'f>(f: &'f mut Function, r: &mut Random, fits: impl Fn(&[Value]) -> bool) -> Option<&'f mut Vec<Value>> {
    let mut all = Vec::new();
    for b in &mut f.blocks {
        match &mut b.term {
            Terminator::Jump(t) | Terminator::Hop { next: t, .. } | Terminator::Emit { next: t, .. } => {
                all.push(&mut t.args)
            }
            Terminator::Branch { then, other, .. } => all.extend([&mut then.args, &mut other.args]),
            Terminator::Return | Terminator::Fault(_) => {}
        }
    }
    all.retain(|args| fits(args));
    r.one(all)
}

fn tamper(sum: &mut Sum, r: &mut Random) {
    let i = r.next() as usize % sum.parts.len().max(1);
    match (r.next() % 5, sum.parts.get_mut(i)) {
        (0, Some((factor, _))) => *factor += 1,
        (1, Some((factor, _))) => *factor = -*factor,
        (2, Some((_, fact))) => match fact {
            Fact::Least(v) => *fact = Fact::Most(*v),
            Fact::Most(v) => *v = Value(v.0 ^ 1),
            Fact::Condition { sense, .. } => *sense = !*sense,
            Fact::Definition { k, .. } => *k += 1,
            Fact::Invariant(i) => *i += 1,
            Fact::Read(block) => block.0 ^= 1,
            Fact::Product(a, _) => *fact = (**a).clone(),
            Fact::Split(split) => split.arms.swap(0, 1),
        },
        (3, Some(_)) => drop(sum.parts.remove(i)),
        _ => sum.scale = -sum.scale,
    }
}

#[test]
fn harmful_mutants_are_refused() {
    let (mut made, mut passed) = ([0u32; KINDS.len()], [0u32; KINDS.len()]);
    let mut runs = 0;
    for (number, (name, f)) in programs().iter().enumerate() {
        let mut r = Random((number as u64) << 40);
        let mutants = (VALUES / f.values.len() as u64).clamp(2, 50);
        for turn in 0..mutants * times() {
            let k = ((turn + number as u64) % KINDS.len() as u64) as usize;
            let mut mutant = Function::clone(f);
            if mutate(&mut mutant, KINDS[k], &mut r).is_none() || mutant == **f {
                continue;
            }
            made[k] += 1;
            let Ok(mutant) = verify(mutant) else { continue };
            passed[k] += 1;
            assert!(!FATAL.contains(&KINDS[k]), "{name}: a mutant of the kind {:?} passed", KINDS[k]);
            let mut attacked = Attacked::new(&mutant);
            runs += (0..CALLS).map(|call| attacked.attack(mix(turn) ^ call, |_| {}).0).sum::<u64>();
        }
    }
    let table: Vec<_> = KINDS.iter().zip(made).zip(passed).collect();
    println!("made and passed: {table:?}; {runs} walks of those that passed");
    assert!(made.iter().all(|n| *n > 20), "mutants of each kind are made: {table:?}");
    assert!(passed.iter().sum::<u32>() * 3 < made.iter().sum::<u32>(), "most are refused: {table:?}");
}
