//! The range of each value: the least solution of the rules in [`crate::ir::eval::range`] that iteration finds.
//!
//! Parameters join what comes in over the edges that can be taken. A parameter that keeps growing is widened to the next constant of the
//! program, then to what was claimed of it before, in the end to its type; two rounds without widening take back what was too much (Cousot & Cousot 1977).

use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::{Block, Disk, Function, Op, Range, Terminator, Value};

const EMPTY: Range = Range::new(1, 0);
/// After so many changes a parameter is widened to the next constant; after more to what was claimed before, or in the end to its type.
const PATIENCE: u8 = 3;
const PATIENCE_GUESS: u8 = 8;
const PATIENCE_END: u8 = 24;

/// Finds all claims, and the sure bytes of each disk block.
pub fn find(f: &mut Function) {
    let graph = Graph::of(f);
    let defs = Defs::of(f);
    let thresholds = thresholds(f);
    // What was claimed before (by lowering: what the variable's type says) is the first guess.
    let guesses: Vec<Range> = f.values.iter().map(|v| v.range).collect();
    for v in &mut f.values {
        v.range = EMPTY;
    }
    let mut changes = vec![0u8; f.values.len()];
    // Blocks are looked at again where something changed that they use. The last round, which changes nothing, is of all of them.
    let users = users(f, &defs);
    let mut is_due = vec![true; f.blocks.len()];
    let mut is_whole = true;
    let mut is_widened = false;
    loop {
        let mut any = false;
        for b in &graph.order {
            if !std::mem::take(&mut is_due[b.index()]) {
                continue;
            }
            let mut changed = false;
            changed |= params(f, &graph, &defs, *b, |f, v, new| {
                let old = f.value(v).range;
                let joined = old.join(new);
                if joined == old {
                    return old;
                }
                changes[v.index()] = changes[v.index()].saturating_add(1);
                let guess = guesses[v.index()];
                let patience = if guess.contains(joined) { PATIENCE_GUESS } else { PATIENCE_END };
                let most = if guess.contains(joined) { guess } else { Range::of(f.value(v).ty) };
                let chosen = widen(old, joined, most, &thresholds, changes[v.index()], patience);
                is_widened |= chosen != joined;
                chosen
            });
            changed |= insts(f, &defs, *b);
            if changed {
                any = true;
                users[b.index()].iter().for_each(|user| is_due[user.index()] = true);
            }
        }
        if !any && is_whole {
            break;
        }
        is_whole = !any;
        if is_whole {
            is_due.fill(true);
        }
    }
    // Narrowing: each value again from what it is made of, which is still above the least solution, unless it is that already.
    for _ in 0..if is_widened { 2 } else { 0 } {
        let mut changed = false;
        for b in &graph.order {
            changed |= params(f, &graph, &defs, *b, |f, v, new| if new.is_empty() { f.value(v).range } else { new });
            changed |= insts(f, &defs, *b);
        }
        if !changed {
            break;
        }
    }
    for b in 0..f.blocks.len() {
        if let Some(Disk { len, .. }) = f.blocks[b].disk {
            let least = f.value(len).range.lo.clamp(0, i128::from(u32::MAX)) as u32;
            f.blocks[b].disk = Some(Disk { len, min: least });
        }
    }
}

fn widen(old: Range, new: Range, all: Range, thresholds: &[i128], changes: u8, patience: u8) -> Range {
    if old.is_empty() || changes <= PATIENCE {
        return new;
    }
    let (mut lo, mut hi) = (new.lo, new.hi);
    if new.hi > old.hi {
        let next = thresholds.partition_point(|t| *t < new.hi);
        hi = if changes > patience { all.hi } else { thresholds.get(next).copied().unwrap_or(all.hi).min(all.hi) };
    }
    if new.lo < old.lo {
        let next = thresholds.partition_point(|t| *t <= new.lo);
        let below = next.checked_sub(1).and_then(|i| thresholds.get(i)).copied();
        lo = if changes > patience { all.lo } else { below.unwrap_or(all.lo).max(all.lo) };
    }
    Range::in_steps(lo, hi, new.step(), new.lo)
}

/// For each block the blocks that use a value of it, as far as can be seen from their operations and from what enters them. Its own operations
/// come behind what they use, and have seen it.
fn users(f: &Function, defs: &Defs) -> Vec<Vec<Block>> {
    let mut users: Vec<Vec<Block>> = vec![Vec::new(); f.blocks.len()];
    let mut add = |maker: Block, user: Block| {
        let of = &mut users[maker.index()];
        if of.last() != Some(&user) {
            of.push(user);
        }
    };
    let maker = |v: Value| defs.get(v).map(|def| def.block());
    for (b, data) in f.blocks() {
        let mut used = |v: Value| maker(v).filter(|maker| *maker != b).into_iter().for_each(|maker| add(maker, b));
        data.insts.iter().for_each(|inst| inst.op.for_each_use(&mut used));
        for t in data.term.targets() {
            data.term.for_each_use(|v| maker(v).into_iter().for_each(|maker| add(maker, t.block)));
        }
    }
    users
}

/// Constants of the program and their neighbours: where loops are likely to end.
fn thresholds(f: &Function) -> Vec<i128> {
    let mut out = vec![0, range::IMAGE_MAX];
    for inst in f.blocks.iter().flat_map(|b| &b.insts) {
        if let (Op::Const(word), Some(v)) = (&inst.op, inst.result) {
            let n = crate::ir::eval::number(f.value(v).ty, *word);
            out.extend([n - 1, n, n + 1]);
        }
    }
    for b in &f.blocks {
        out.extend(b.header.map(|h| i128::from(h.most)));
    }
    out.sort_unstable();
    out.dedup();
    out
}

/// Sets the parameters of a block by what `choose` makes of the join over its edges.
fn params(
    f: &mut Function,
    graph: &Graph,
    defs: &Defs,
    b: Block,
    mut choose: impl FnMut(&Function, Value, Range) -> Range,
) -> bool {
    let mut changed = false;
    for i in 0..f.block(b).params.len() {
        let v = f.block(b).params[i];
        let incoming = graph.predecessors[b.index()].iter().filter_map(|(p, t)| {
            let arg = edge_value(f, *p, *t, i)?;
            Some(range::passed(f, defs, &f.block(*p).term, arg))
        });
        let new = incoming.fold(EMPTY, Range::join);
        // A loop's counter needs no search: it begins at 0, and the test against the bound keeps each next one within it.
        let counted = f.block(b).header.filter(|h| h.counter == v && !new.is_empty());
        let chosen = match counted {
            Some(h) => Range::new(0, h.most.into()),
            None => choose(f, v, new),
        };
        changed |= chosen != f.value(v).range;
        f.values[v.index()].range = chosen;
    }
    changed
}

/// The value that parameter `i` receives over an edge; none if the edge cannot be taken.
fn edge_value(f: &Function, from: Block, target: usize, i: usize) -> Option<Value> {
    match &f.block(from).term {
        Terminator::Hop { len, next, .. } => {
            if i == 0 {
                Some(*len)
            } else {
                next.args.get(i - 1).copied()
            }
        }
        Terminator::Branch { cond, then, other } => {
            let known = f.value(*cond).range;
            let (t, wanted) = if target == 0 { (then, 1) } else { (other, 0) };
            if known.contains(Range::just(wanted)) && !known.is_empty() { t.args.get(i).copied() } else { None }
        }
        term => term.targets().nth(target)?.args.get(i).copied(),
    }
}

fn insts(f: &mut Function, defs: &Defs, b: Block) -> bool {
    let mut changed = false;
    for i in 0..f.block(b).insts.len() {
        let inst = &f.block(b).insts[i];
        let Some(v) = inst.result else { continue };
        let new = range::of(f, defs, &inst.op, f.value(v).ty);
        changed |= new != f.value(v).range;
        f.values[v.index()].range = new;
    }
    changed
}
