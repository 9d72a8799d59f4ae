//! The range of each value: the least solution of the rules in [`crate::ir::eval::range`] that iteration finds.
//!
//! Parameters join what comes in over the edges that can be taken. A parameter that keeps growing is widened to the next constant of the
//! program, then to what was claimed of it before, in the end to its type; two rounds without widening take back what was too much (Cousot & Cousot 1977).

use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::graph::Graph;
use crate::ir::verify::passed;
use crate::ir::{BinOp, Block, Disk, Function, Op, Range, Terminator, Value};

const EMPTY: Range = Range::new(1, 0);
/// After so many changes a parameter is widened to the next constant; after more to what was claimed before, or in the end to its type.
const PATIENCE: u8 = 3;
const PATIENCE_GUESS: u8 = 8;
const PATIENCE_END: u8 = 24;

/// Finds all claims, and the sure bytes of each disk block.
pub fn find(f: &mut Function, graph: &Graph) {
    let defs = Defs::of(f);
    let thresholds = thresholds(f);
    // What was claimed before (by lowering: what the variable's type says) is the first guess.
    let guesses: Vec<Range> = f.values.iter().map(|v| v.range).collect();
    for v in &mut f.values {
        v.range = EMPTY;
    }
    let mut changes = vec![0u8; f.values.len()];
    // Blocks are looked at again where something changed that they use. The last round, which changes nothing, is of all of them.
    let users = Users::of(f, &defs);
    let mut is_due = vec![true; f.blocks.len()];
    let mut is_whole = true;
    let mut is_widened = false;
    let mut pass = Pass::new(f, graph, &defs);
    loop {
        let mut any = false;
        for b in &graph.order {
            if !std::mem::take(&mut is_due[b.index()]) {
                continue;
            }
            let changed = pass.block(*b, false, |f, v, new| {
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
            if changed {
                any = true;
                users.get(*b).iter().for_each(|user| is_due[user.index()] = true);
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
    if is_widened {
        pass.narrow();
    }
    find_sure_bytes(f);
}

/// Finds the claims again where they held before something was taken away, in fewer looks than [`find`]. What goes around a loop may stay wider than
/// it has become.
pub fn narrow(f: &mut Function, graph: &Graph) {
    let defs = Defs::of(f);
    let mut pass = Pass::new(f, graph, &defs);
    pass.narrow();
    if pass.has_grown {
        // Of two values that are one now, the claim of the other was the wider one.
        return find(f, graph);
    }
    find_sure_bytes(f);
}

fn find_sure_bytes(f: &mut Function) {
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
struct Users {
    /// Where each block's users end; they begin where those of the block before end.
    ends: Vec<u32>,
    row: Vec<Block>,
}

impl Users {
    fn of(f: &Function, defs: &Defs) -> Users {
        let mut pairs: Vec<(Block, Block)> = Vec::new();
        let mut last = vec![None; f.blocks.len()];
        let mut ends = vec![0; f.blocks.len()];
        let mut add = |v: Value, own: Option<Block>, user: Block| {
            let Some(maker) = defs.get(v).map(|def| def.block()).filter(|maker| Some(*maker) != own) else { return };
            if last[maker.index()].replace(user) != Some(user) {
                pairs.push((maker, user));
                ends[maker.index()] += 1;
            }
        };
        for (b, data) in f.blocks() {
            data.insts.iter().for_each(|inst| inst.op.for_each_use(|v| add(v, Some(b), b)));
            for t in data.term.targets() {
                data.term.for_each_use(|v| add(v, None, t.block));
            }
        }
        let mut sum = 0;
        for end in &mut ends {
            // Where the block's users begin; it moves on to their end as they are entered.
            sum += std::mem::replace(end, sum);
        }
        let mut row = vec![Block(0); pairs.len()];
        for (maker, user) in pairs {
            let end = &mut ends[maker.index()];
            row[*end as usize] = user;
            *end += 1;
        }
        Users { ends, row }
    }

    fn get(&self, b: Block) -> &[Block] {
        let start = b.index().checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.row[start as usize..self.ends[b.index()] as usize]
    }
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

/// The ranges on the way to where they stay, and when each has changed: what is made of the same as before is not made again.
struct Pass<'a> {
    f: &'a mut Function,
    graph: &'a Graph,
    defs: &'a Defs,
    /// The number of the visit to a block that is going on.
    now: u32,
    /// For each value in which visit it was last changed.
    changed: Vec<u32>,
    /// For each block its last visit; 0 before the first.
    seen: Vec<u32>,
    /// What comes in for each parameter of the block.
    received: Vec<Range>,
    /// Whether a value was found to be more than it was known to be.
    has_grown: bool,
}

impl<'a> Pass<'a> {
    fn new(f: &'a mut Function, graph: &'a Graph, defs: &'a Defs) -> Self {
        let (changed, seen) = (vec![0; f.values.len()], vec![0; f.blocks.len()]);
        Pass { f, graph, defs, now: 0, changed, seen, received: Vec::new(), has_grown: false }
    }

    /// Each value again from what it is made of, which is still above the least solution, unless it is that already.
    fn narrow(&mut self) {
        for anew in [true, false] {
            let mut changed = false;
            for b in &self.graph.order {
                changed |= self.block(*b, anew, |f, v, new| if new.is_empty() { f.value(v).range } else { new });
            }
            if !changed {
                break;
            }
        }
    }

    /// Finds the values of a block again, its parameters by what `choose` makes of the join over its edges, `anew` where it chose otherwise before;
    /// whether any has changed.
    fn block(&mut self, b: Block, anew: bool, choose: impl FnMut(&Function, Value, Range) -> Range) -> bool {
        self.now += 1;
        let is_due = anew || self.is_entered_anew(b);
        let changed = is_due && self.params(b, choose);
        let changed = self.insts(b) || changed;
        self.seen[b.index()] = self.now;
        changed
    }

    fn set(&mut self, v: Value, range: Range) -> bool {
        let known = &mut self.f.values[v.index()].range;
        if *known == range {
            return false;
        }
        self.has_grown |= !known.contains(range);
        *known = range;
        self.changed[v.index()] = self.now;
        true
    }

    fn params(&mut self, b: Block, mut choose: impl FnMut(&Function, Value, Range) -> Range) -> bool {
        let count = self.f.block(b).params.len();
        if count == 0 {
            return false;
        }
        self.receive(b);
        let mut changed = false;
        for i in 0..count {
            let (v, new) = (self.f.block(b).params[i], self.received[i]);
            // A loop's counter needs no search: it begins at 0, and the test against the bound keeps each next one within it.
            let counted = self.f.block(b).header.filter(|h| h.counter == v && !new.is_empty());
            let chosen = match counted {
                Some(h) => Range::new(0, h.most.into()),
                None => choose(self.f, v, new),
            };
            changed |= self.set(v, chosen);
        }
        changed
    }

    /// Whether anything that decides what comes into a block may have changed since the last visit.
    fn is_entered_anew(&self, b: Block) -> bool {
        let seen = self.seen[b.index()];
        // The block's own values were found, in that visit, behind what came in.
        let has_changed = |v: &Value| self.changed[v.index()] >= seen;
        let is_anew = |(from, target): &(Block, usize)| {
            let (args, cond) = match &self.f.block(*from).term {
                Terminator::Jump(to) | Terminator::Emit { next: to, .. } => (&to.args, None),
                Terminator::Branch { cond, then, other } => {
                    (if *target == 0 { &then.args } else { &other.args }, Some(cond))
                }
                // What was read looks at more than its arguments.
                _ => return true,
            };
            args.iter().chain(cond).any(has_changed)
        };
        seen == 0 || self.graph.predecessors[b.index()].iter().any(is_anew)
    }

    /// Joins what comes in over the edges that can be taken.
    fn receive(&mut self, b: Block) {
        let f = &*self.f;
        self.received.clear();
        self.received.resize(f.block(b).params.len(), EMPTY);
        for (from, target) in &self.graph.predecessors[b.index()] {
            let term = &f.block(*from).term;
            let Some(to) = term.targets().nth(*target).filter(|_| is_taken(f, term, *target)) else { continue };
            for (received, (arg, _)) in self.received.iter_mut().zip(passed(f, term, to)) {
                *received = received.join(range::passed(f, self.defs, term, arg));
            }
        }
    }

    fn insts(&mut self, b: Block) -> bool {
        let mut changed = false;
        for i in 0..self.f.block(b).insts.len() {
            let inst = &self.f.block(b).insts[i];
            let Some(v) = inst.result else { continue };
            if self.is_stale(b, &inst.op) {
                let new = range::of(self.f, self.defs, &inst.op, self.f.value(v).ty);
                changed |= self.set(v, new);
            }
        }
        changed
    }

    /// Whether anything that an operation of a block is made of may have changed since the last visit.
    fn is_stale(&self, b: Block, op: &Op) -> bool {
        let seen = self.seen[b.index()];
        let has_changed = |v: Value| self.changed[v.index()] > seen;
        match op {
            _ if seen == 0 => true,
            Op::Refine { a, cond, .. } => match self.defs.op(self.f, *cond) {
                Some(Op::Compare { a: x, b: y, .. }) => [*a, *x, *y].into_iter().any(has_changed),
                _ => true,
            },
            // These look farther than at their operands.
            Op::Binary { op: BinOp::Mul | BinOp::Shl, .. } => true,
            _ => {
                let mut any = false;
                op.for_each_use(|v| any |= has_changed(v));
                any
            }
        }
    }
}

/// Whether an edge can be taken, as far as the claims tell.
pub fn is_taken(f: &Function, term: &Terminator, target: usize) -> bool {
    match term {
        Terminator::Branch { cond, .. } => {
            let known = f.value(*cond).range;
            known.contains(Range::just(i128::from(target == 0))) && !known.is_empty()
        }
        _ => true,
    }
}
