//! Where walks of a batch stop beside their hops: before a load that will miss the caches.
//!
//! A search of a large block touches a new cache line with each probe, at a place that depends on what the probe before it read; a
//! loop over an array does not, and the processor fetches ahead by itself. So a walk is cut before a load of the disk block
//! in a loop without hops, if its address depends on what was read, and if no load on the way to it has touched the line.

use std::collections::{HashMap, HashSet};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::{Addr, BinOp, Block, Function, Inst, Op, Region, Terminator, Value};

/// Blocks up to this size are fetched as a whole at their hop: no load of them is cut.
pub(super) const WHOLE_MAX_BYTES: u32 = 512;
/// What lies nearer is taken to be on the same line.
const NEAR_BYTES: i128 = 64;

/// The cuts of one function: the loads before which they are.
pub(super) struct Cuts(HashSet<(Block, usize)>);

impl Cuts {
    /// None: what the walk looks at has been read.
    pub fn none() -> Cuts {
        Cuts(HashSet::new())
    }

    /// Finds them.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs) -> Cuts {
        let tainted = tainted(f, graph);
        let in_loop = in_small_loop(f, graph);
        let mut touched: HashMap<Block, HashSet<Value>> = HashMap::new();
        let mut places = HashSet::new();
        for &block in &graph.order {
            // What every way to here has touched; a loop's begin forgets what its turns touch.
            let mut roots = graph.idom(block).and_then(|d| touched.get(&d).cloned()).unwrap_or_default();
            for (i, inst) in f.block(block).insts.iter().enumerate() {
                let Some(index) = variable_address(inst) else { continue };
                let large = f.block(block).disk.is_some_and(|d| f.value(d.len).range.hi > WHOLE_MAX_BYTES.into());
                if roots.insert(root(f, defs, index)) && large && in_loop[block.index()] && tainted[index.index()] {
                    places.insert((block, i));
                }
            }
            touched.insert(block, roots);
        }
        Cuts(places)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether one is before an operation.
    pub fn is_before(&self, block: Block, inst: usize) -> bool {
        self.0.contains(&(block, inst))
    }
}

/// What varies in the address of a load of the disk block.
fn variable_address(inst: &Inst) -> Option<Value> {
    match &inst.op {
        Op::Load { addr, .. } | Op::Varint { addr, .. } if addr.region == Region::Disk => addr.base.or(addr.index),
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
fn tainted(f: &Function, graph: &Graph) -> Vec<bool> {
    let mut tainted = vec![false; f.values.len()];
    loop {
        let mut changed = false;
        let mut taint = |tainted: &mut Vec<bool>, v: Value| {
            changed |= !std::mem::replace(&mut tainted[v.index()], true);
        };
        for &block in &graph.order {
            for inst in &f.block(block).insts {
                let Some(result) = inst.result else { continue };
                let loads = |addr: &Addr| addr.region == Region::Disk;
                let mut is = matches!(&inst.op, Op::Load { addr, .. } | Op::Varint { addr, .. } if loads(addr));
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
