//! Where walks of a batch stop beside their hops: before a load that will miss the caches.
//!
//! A search of a large block touches a new cache line with each probe, at a place that depends on what the probe before it read; a
//! loop over an array does not, and the processor fetches ahead by itself. So a walk is cut before a load of the disk block
//! in a loop without hops, if its address depends on what was read, and if no load on the way to it has touched the line.

use std::collections::{BTreeMap, HashMap, HashSet};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::{Addr, BinOp, Block, Function, Inst, Op, Region, Terminator, Value};

/// Blocks up to this size are fetched as a whole at their hop: no load of them is cut.
pub(super) const WHOLE_MAX_BYTES: u32 = 512;
/// What lies nearer is taken to be on the same line.
const NEAR_BYTES: i128 = 64;

/// The cuts of one function.
pub(super) struct Cuts {
    /// For each, the values that are alive before the load.
    alive: BTreeMap<(Block, usize), Vec<Value>>,
}

impl Cuts {
    /// None: what the walk looks at has been read.
    pub fn none() -> Cuts {
        Cuts { alive: BTreeMap::new() }
    }

    /// Finds them.
    pub fn of(f: &Function) -> Cuts {
        let (graph, defs) = (Graph::of(f), Defs::of(f));
        let tainted = tainted(f, &graph);
        let in_loop = in_small_loop(f, &graph);
        let mut touched: HashMap<Block, HashSet<Value>> = HashMap::new();
        let mut places = Vec::new();
        for &block in &graph.order {
            // What every way to here has touched; a loop's begin forgets what its turns touch.
            let mut roots = graph.idom(block).and_then(|d| touched.get(&d).cloned()).unwrap_or_default();
            for (i, inst) in f.block(block).insts.iter().enumerate() {
                let Some(index) = variable_address(inst) else { continue };
                let large = f.block(block).disk.is_some_and(|d| f.value(d.len).range.hi > WHOLE_MAX_BYTES.into());
                if roots.insert(root(f, &defs, index)) && large && in_loop[block.index()] && tainted[index.index()] {
                    places.push((block, i));
                }
            }
            touched.insert(block, roots);
        }
        if places.is_empty() {
            return Cuts::none();
        }
        let live_in = live_in(f, &graph);
        Cuts { alive: places.into_iter().map(|at| (at, alive_before(f, &live_in, at))).collect() }
    }

    /// The values alive before an operation, if the walk is cut there.
    pub fn before(&self, block: Block, inst: usize) -> Option<&[Value]> {
        self.alive.get(&(block, inst)).map(Vec::as_slice)
    }

    /// For each cut the values that are alive there, the cuts in order.
    pub fn alive(&self) -> impl Iterator<Item = &[Value]> {
        self.alive.values().map(Vec::as_slice)
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
        // The natural loop: what reaches a back edge without passing the header.
        let mut body = vec![false; f.blocks.len()];
        body[header.index()] = true;
        let back = graph.predecessors[header.index()].iter().map(|(p, _)| *p).filter(|p| graph.dominates(header, *p));
        let mut work: Vec<Block> = back.collect();
        while let Some(block) = work.pop() {
            if !std::mem::replace(&mut body[block.index()], true) {
                work.extend(graph.predecessors[block.index()].iter().map(|(p, _)| *p));
            }
        }
        let hops = f.blocks().any(|(b, data)| body[b.index()] && matches!(data.term, Terminator::Hop { .. }));
        if !hops {
            inside.iter_mut().zip(body).for_each(|(inside, body)| *inside |= body);
        }
    }
    inside
}

/// For each block the values alive at its begin, its own parameters included.
fn live_in(f: &Function, graph: &Graph) -> Vec<HashSet<Value>> {
    let mut live: Vec<HashSet<Value>> = vec![HashSet::new(); f.blocks.len()];
    loop {
        let mut changed = false;
        for &block in graph.order.iter().rev() {
            let mut now = live_out(f, &live, block);
            walk_back(f, block, 0, &mut now);
            if now.len() > live[block.index()].len() {
                live[block.index()] = now;
                changed = true;
            }
        }
        if !changed {
            return live;
        }
    }
}

fn live_out(f: &Function, live_in: &[HashSet<Value>], block: Block) -> HashSet<Value> {
    let term = &f.block(block).term;
    let mut live = HashSet::new();
    for target in term.targets() {
        let params = &f.block(target.block).params;
        live.extend(live_in[target.block.index()].iter().filter(|v| !params.contains(v)));
    }
    term.for_each_use(|v| {
        live.insert(v);
    });
    live
}

/// From the end of a block back to before the operation `to`.
fn walk_back(f: &Function, block: Block, to: usize, live: &mut HashSet<Value>) {
    for inst in f.block(block).insts[to..].iter().rev() {
        if let Some(result) = inst.result {
            live.remove(&result);
        }
        inst.op.for_each_use(|v| {
            live.insert(v);
        });
    }
}

fn alive_before(f: &Function, live_in: &[HashSet<Value>], (block, inst): (Block, usize)) -> Vec<Value> {
    let mut live = live_out(f, live_in, block);
    walk_back(f, block, inst, &mut live);
    let mut live: Vec<Value> = live.into_iter().collect();
    live.sort();
    live
}

/// Values that are made again rather than carried: constants and arguments.
pub(super) fn is_made_again(f: &Function, defs: &Defs, v: Value) -> bool {
    f.value(v).range.as_const().is_some() || matches!(defs.op(f, v), Some(Op::Const(_) | Op::Arg(_) | Op::ArgLen(_)))
}
