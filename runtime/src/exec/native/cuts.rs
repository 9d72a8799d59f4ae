//! Where walks of a batch stop: at their hops, and before they look at what will not be in the caches.
//!
//! A search of a large block touches a new cache line with each probe, at a place that depends on what the probe before it read; a
//! loop over an array does not, and the processor fetches ahead by itself. So a walk is cut before it looks at the disk block
//! in a loop without hops, if the address depends on what was read, and if nothing on the way to it has touched the line.
//!
//! Behind most hops the walk first looks at fixed places, and then at others by what it finds there: it stops at the hop, for the whole
//! block. If it looks at one place only, it goes on, and is cut there.

use super::needed::Needed;
use std::collections::{HashMap, HashSet};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::{Addr, BinOp, Block, Function, Inst, Op, Region, Terminator, Value};

/// Blocks up to this size are fetched as a whole at their hop: no load of them is cut.
pub(super) const WHOLE_MAX_BYTES: u32 = 512;
/// What lies nearer is taken to be on the same line.
const NEAR_BYTES: i128 = 64;

/// The cuts of one function.
pub(super) struct Cuts {
    /// The operations before which they are.
    places: HashSet<(Block, usize)>,
    /// The blocks whose hops are made without a stop.
    passed: HashSet<Block>,
}

impl Cuts {
    /// None: what the walk looks at has been read.
    pub fn none() -> Cuts {
        Cuts { places: HashSet::new(), passed: HashSet::new() }
    }

    /// Finds them.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs, needed: &Needed) -> Cuts {
        let tainted = tainted(f, graph);
        let mut finder = Finder { f, defs, needed, in_loop: in_small_loop(f, graph), behind_passed: HashSet::new() };
        let mut cuts = Cuts::none();
        for &block in &graph.order {
            if let Terminator::Hop { next, .. } = &f.block(block).term
                && let Some(behind) = finder.with_one_place(next.block)
            {
                cuts.passed.insert(block);
                finder.behind_passed.extend(behind);
            }
        }
        let mut touched: HashMap<Block, HashSet<Value>> = HashMap::new();
        for &block in &graph.order {
            // What every way to here has touched; a loop's begin forgets what its turns touch.
            let mut roots = graph.idom(block).and_then(|d| touched.get(&d).cloned()).unwrap_or_default();
            let large = f.block(block).disk.is_some_and(|d| f.value(d.len).range.hi > WHOLE_MAX_BYTES.into());
            for (i, addr) in finder.looks(block) {
                let Some(index) = addr.base.or(addr.index) else { continue };
                let is_probe = large && finder.in_loop[block.index()] && tainted[index.index()];
                if roots.insert(root(f, defs, index)) && (is_probe || finder.behind_passed.contains(&block)) {
                    cuts.places.insert((block, i));
                }
            }
            touched.insert(block, roots);
        }
        cuts
    }

    /// Whether there is none before an operation.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether one is before an operation.
    pub fn is_before(&self, block: Block, inst: usize) -> bool {
        self.places.contains(&(block, inst))
    }

    /// Whether the hop of a block is made without a stop.
    pub fn is_passed(&self, block: Block) -> bool {
        self.passed.contains(&block)
    }
}

struct Finder<'f> {
    f: &'f Function,
    defs: &'f Defs,
    needed: &'f Needed,
    in_loop: Vec<bool>,
    /// Blocks behind hops without a stop.
    behind_passed: HashSet<Block>,
}

impl<'f> Finder<'f> {
    /// Where the operations of a block look at the disk block.
    fn looks(&self, block: Block) -> impl Iterator<Item = (usize, &'f Addr)> {
        let insts = self.f.block(block).insts.iter().enumerate();
        insts
            .filter(|(_, inst)| self.needed.is_done(self.f, inst))
            .filter_map(|(i, inst)| Some((i, disk_address(inst)?)))
    }

    /// The blocks between a hop to `begin` and the next ones, if they look at one place of the disk block only, and not in a loop. A fixed
    /// place is as well waited for at the hop.
    fn with_one_place(&self, begin: Block) -> Option<HashSet<Block>> {
        let (mut behind, mut open) = (HashSet::from([begin]), vec![begin]);
        let mut place = None;
        while let Some(block) = open.pop() {
            for (_, addr) in self.looks(block) {
                let root = root(self.f, self.defs, addr.base.or(addr.index)?);
                let (first, disp) = *place.get_or_insert((root, addr.disp));
                let is_near = root == first && i128::from(addr.disp.abs_diff(disp)) < NEAR_BYTES;
                (is_near && !self.in_loop[block.index()]).then_some(())?;
            }
            let term = &self.f.block(block).term;
            if !matches!(term, Terminator::Hop { .. }) {
                open.extend(term.targets().map(|target| target.block).filter(|next| behind.insert(*next)));
            }
        }
        Some(behind)
    }
}

/// Where an operation looks at the disk block.
pub(super) fn disk_address(inst: &Inst) -> Option<&Addr> {
    match &inst.op {
        Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Copy { from: addr, .. }
            if addr.region == Region::Disk =>
        {
            Some(addr)
        }
        _ => None,
    }
}

/// The value without what moves it only a little: two addresses with one root are on one line, or on neighbours.
fn root(f: &Function, defs: &Defs, mut v: Value) -> Value {
    let small = |v: Value| f.value(v).range.lo >= 0 && f.value(v).range.hi < NEAR_BYTES;
    // Bounded, because nothing is known of a function that is not verified.
    for _ in 0..64 {
        v = match defs.op(f, v) {
            Some(Op::Refine { a, .. } | Op::Check { a, .. } | Op::Cast(a)) => *a,
            Some(Op::Binary { op: BinOp::Add, a, b, .. }) if small(*b) => *a,
            Some(Op::Binary { op: BinOp::Add, a, b, .. }) if small(*a) => *b,
            _ => break,
        };
    }
    v
}

/// Values that depend on what was loaded from the disk block.
pub(super) fn tainted(f: &Function, graph: &Graph) -> Vec<bool> {
    let mut tainted = vec![false; f.values.len()];
    loop {
        let mut changed = false;
        let mut taint = |tainted: &mut Vec<bool>, v: Value| {
            changed |= !std::mem::replace(&mut tainted[v.index()], true);
        };
        for &block in &graph.order {
            for inst in &f.block(block).insts {
                let Some(result) = inst.result else { continue };
                let mut is = disk_address(inst).is_some();
                inst.op.for_each_use(|v| is |= tainted[v.index()]);
                if is {
                    taint(&mut tainted, result);
                }
            }
            let term = &f.block(block).term;
            let skip = usize::from(matches!(term, Terminator::Hop { .. }));
            for target in term.targets() {
                for (arg, param) in target.args.iter().zip(&f.block(target.block).params[skip..]) {
                    if tainted[arg.index()] {
                        taint(&mut tainted, *param);
                    }
                }
            }
        }
        if !changed {
            return tainted;
        }
    }
}

/// Blocks of loops in which no hop is made.
fn in_small_loop(f: &Function, graph: &Graph) -> Vec<bool> {
    let mut inside = vec![false; f.blocks.len()];
    for &header in graph.order.iter().filter(|b| f.block(**b).header.is_some()) {
        let members = graph.members(header);
        if !members.iter().any(|b| matches!(f.block(*b).term, Terminator::Hop { .. })) {
            members.iter().for_each(|b| inside[b.index()] = true);
        }
    }
    inside
}
