//! What selection must know beforehand: which blocks are reached, which values are needed in a register, which comparisons are
//! only ever tested, and how far each variable address is used.

use super::AddrKey;
use super::widen::Widening;
use crate::bpf::cut::Cuts;
use crate::fx::FxHashMap;
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::halving::Halving;
use crate::ir::needed::needed;
use crate::ir::{BinOp, Block, CmpOp, Function, Op, Region, Size, Terminator, Value};

/// The tables.
pub struct Uses {
    /// For each value whether its register is read.
    needed: Vec<bool>,
    /// For each varint's size whether its number is needed.
    decoded: Vec<bool>,
    /// For each varint's size whether its number is compared with an argument.
    sought: Vec<bool>,
    /// For each value whether it is a condition that is only tested, never needed as a word.
    tested: Vec<bool>,
    /// For each block how often it is entered; 0 when it is not reached.
    entries: Vec<u32>,
    /// Tests of counters that always hold, since their loops end before.
    held: Vec<bool>,
    /// For each variable address the greatest end (displacement plus width) of its accesses.
    extents: FxHashMap<AddrKey, u32>,
    /// For each variable address that several blocks use, where its pointer is made for all of them.
    places: FxHashMap<AddrKey, Block>,
}

impl Uses {
    /// Looks through a function.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs, widening: &Widening, cuts: &Cuts) -> Uses {
        // The function's start enters its first block.
        let entries = |(i, edges): (usize, &[_])| edges.len() as u32 + u32::from(i == 0);
        let mut uses = Uses {
            needed: vec![false; f.values.len()],
            decoded: vec![false; f.values.len()],
            sought: sought(f, defs),
            tested: vec![true; f.values.len()],
            entries: graph.predecessors.iter().enumerate().map(entries).collect(),
            held: held(f, graph, defs, widening, cuts),
            extents: FxHashMap::default(),
            places: places(f, graph, widening, cuts),
        };
        uses.find_tested(f, defs);
        uses.find_needed(f, graph, defs);
        uses.find_extents(f);
        uses
    }

    /// Whether the value's register is read.
    pub fn is_needed(&self, v: Value) -> bool {
        self.needed[v.index()]
    }

    /// Whether the number of the varint with this size is needed.
    pub fn is_decoded(&self, size: Value) -> bool {
        self.decoded[size.index()]
    }

    /// Whether the number of the varint with this size is compared with an argument: it is looked for.
    pub fn is_sought(&self, size: Value) -> bool {
        self.sought[size.index()]
    }

    /// Whether the value is a comparison (or the negation of one) which every use tests directly.
    pub fn is_tested(&self, v: Value) -> bool {
        self.tested[v.index()]
    }

    /// How often the block is entered; 0 when it is not reached.
    pub fn entries(&self, b: Block) -> u32 {
        self.entries[b.index()]
    }

    /// Whether this condition is always true: see [`held`].
    pub fn holds(&self, v: Value) -> bool {
        self.held[v.index()]
    }

    /// The end of the farthest access through this address.
    pub fn extent(&self, key: &AddrKey) -> Option<u32> {
        self.extents.get(key).copied()
    }

    /// Where the pointer for this address is made, if several blocks share it.
    pub fn place(&self, key: &AddrKey) -> Option<Block> {
        self.places.get(key).copied()
    }

    /// The addresses whose pointers are made in this block for others too, in the order of their use.
    pub fn placed(&self, f: &Function, block: Block) -> Vec<AddrKey> {
        let mut keys: Vec<AddrKey> = self.places.iter().filter(|(_, b)| **b == block).map(|(k, _)| *k).collect();
        keys.sort_by_key(|k| (k.index, k.base, region_order(f, k.region)));
        keys
    }

    /// Comparisons start as tested; any use that needs the word ends that. A negation passes on what becomes of it.
    fn find_tested(&mut self, f: &Function, defs: &Defs) {
        for v in (0..f.values.len() as u32).map(Value) {
            self.tested[v.index()] = melts(f, defs, v);
        }
        let mut words = Vec::new();
        for (_, block) in f.blocks() {
            for inst in &block.insts {
                let condition = match &inst.op {
                    Op::Guard { cond, .. } | Op::Select { cond, .. } | Op::Refine { cond, .. } => Some(*cond),
                    _ => inst.result.and_then(|v| negated(f, defs, v)),
                };
                // A condition that is also an operand stands among the uses twice.
                let mut seen = false;
                inst.op.for_each_use(|v| {
                    if Some(v) != condition || std::mem::replace(&mut seen, true) {
                        words.push(v);
                    }
                });
            }
            let condition = match &block.term {
                Terminator::Branch { cond, .. } => Some(*cond),
                _ => None,
            };
            let mut seen = false;
            block.term.for_each_use(|v| {
                if Some(v) != condition || std::mem::replace(&mut seen, true) {
                    words.push(v);
                }
            });
        }
        while let Some(v) = words.pop() {
            if std::mem::replace(&mut self.tested[v.index()], false) {
                words.extend(negated(f, defs, v));
            }
        }
    }

    /// A word that is one number is never needed in a register of its own.
    fn find_needed(&mut self, f: &Function, graph: &Graph, defs: &Defs) {
        let is_number = |v: Value| f.value(v).range.as_const().is_some();
        self.needed = needed(f, (graph, defs), |cond| self.holds(cond), is_number, []);
        for inst in f.blocks.iter().flat_map(|b| &b.insts) {
            if let (Op::Decoded(size), Some(v)) = (&inst.op, inst.result) {
                self.decoded[size.index()] |= self.needed[v.index()];
            }
        }
    }

    fn find_extents(&mut self, f: &Function) {
        for inst in f.blocks.iter().flat_map(|b| &b.insts) {
            match &inst.op {
                Op::Load { addr, width, .. } | Op::Store { addr, width, .. } => {
                    self.extend(AddrKey::of(f, addr), addr.disp + u32::from(*width));
                }
                Op::Varint { addr, .. } => self.extend(AddrKey::of(f, addr), addr.disp + 1),
                Op::Copy { .. }
                | Op::Const(_)
                | Op::Arg(_)
                | Op::ArgLen(_)
                | Op::Binary { .. }
                | Op::Compare { .. }
                | Op::Select { .. }
                | Op::Cast(_)
                | Op::Reinterpret(_)
                | Op::Extend { .. }
                | Op::Refine { .. }
                | Op::Decoded(_)
                | Op::Check { .. }
                | Op::Guard { .. }
                | Op::Prove { .. } => {}
            }
        }
    }

    fn extend(&mut self, key: AddrKey, end: u32) {
        let extent = self.extents.entry(key).or_insert(0);
        *extent = end.max(*extent);
    }
}

/// A number by which regions are put in order.
fn region_order(f: &Function, region: Region) -> (u32, u32) {
    match region {
        Region::Disk => (0, 0),
        Region::Arg(i) => (1, i),
        Region::Slot(s) => (2, s.0),
        Region::Data(d) => (3, d.0),
        Region::Out => (4, f.args.len() as u32),
    }
}

/// The addresses that several blocks use, with the nearest block that dominates them all. What is widened on the way out of a loop
/// is another word behind it.
fn places(f: &Function, graph: &Graph, widening: &Widening, cuts: &Cuts) -> FxHashMap<AddrKey, Block> {
    let mut users: FxHashMap<AddrKey, Vec<Block>> = FxHashMap::default();
    for b in graph.order.iter().filter(|b| !cuts.is_behind(**b)) {
        for inst in &f.block(*b).insts {
            let addr = match &inst.op {
                Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Store { addr, .. } => addr,
                _ => continue,
            };
            let key = AddrKey::of(f, addr);
            // With a known number beside a variable part, displacements differ from use to use.
            let known = [addr.base, addr.index].into_iter().flatten().any(|v| f.value(v).range.as_const().is_some());
            if (key.base.is_none() && key.index.is_none()) || known {
                continue;
            }
            let blocks = users.entry(key).or_default();
            if blocks.last() != Some(b) {
                blocks.push(*b);
            }
        }
    }
    let mut places = FxHashMap::default();
    for (key, blocks) in users.into_iter().filter(|(_, blocks)| blocks.len() > 1) {
        let place = blocks.iter().skip(1).try_fold(blocks[0], |at, b| graph.common(at, *b));
        if let Some(place) = place.filter(|place| !blocks.iter().any(|b| widening.leaves(*place, *b))) {
            places.insert(key, place);
        }
    }
    places
}

/// The tests of counters in loops that halve a number of a known bound: the kernel's verifier sees by itself that such a loop ends.
fn held(f: &Function, graph: &Graph, defs: &Defs, widening: &Widening, cuts: &Cuts) -> Vec<bool> {
    let mut held = vec![false; f.values.len()];
    for (header, data) in f.blocks().filter(|(b, _)| graph.is_reached(*b)) {
        let Some(info) = data.header.filter(|_| cuts.turns(header).is_none()) else { continue };
        let halving = Halving::of(f, graph, defs, header)
            .filter(|h| h.is_seen() || widening.is_plain(header) && !cuts.is_behind(header));
        // Behind a read the verifier does not know what comes in. What is no number is compared with its bound before the jump in.
        let comes_in = |(from, _): &(Block, usize)| match f.block(*from).term {
            _ if graph.is_back(*from, header) => true,
            Terminator::Jump(_) => true,
            Terminator::Branch { .. } => halving.is_some_and(|h| h.is_seen()),
            _ => false,
        };
        if !graph.predecessors[header.index()].iter().all(comes_in) {
            continue;
        }
        if halving.filter(|h| h.start.hi <= i32::MAX.into()).and_then(|h| h.turns()).is_none_or(|n| n > info.most) {
            continue;
        }
        for b in f.blocks.iter() {
            let Terminator::Branch { cond, .. } = &b.term else { continue };
            held[cond.index()] |= matches!(op_of(f, defs, *cond), Some(Op::Compare { op: CmpOp::Lt, a, b })
                if defs.root(f, *a) == info.counter && f.value(*b).range.as_const() == Some(info.most.into()));
        }
    }
    held
}

/// The operation that makes a value.
pub fn op_of<'a>(f: &'a Function, defs: &Defs, v: Value) -> Option<&'a Op> {
    match defs.get(v)? {
        Def::Inst(b, i) => Some(&f.block(b).insts[i].op),
        Def::Param(..) => None,
    }
}

/// What a value refines: the first value that is the same word.
pub fn refined(f: &Function, defs: &Defs, v: Value) -> Value {
    let mut v = v;
    while let Some(Op::Refine { a, .. } | Op::Cast(a) | Op::Reinterpret(a)) = op_of(f, defs, v) {
        v = *a;
    }
    v
}

/// The condition of which this value is the negation, `x ^ true`.
pub fn negated(f: &Function, defs: &Defs, v: Value) -> Option<Value> {
    let Op::Binary { op: BinOp::Xor, a, b, .. } = op_of(f, defs, v)? else { return None };
    let is_true = |v: Value| f.value(v).ty == crate::ir::Ty::Bool && f.value(v).range.as_const() == Some(1);
    match (is_true(*a), is_true(*b)) {
        (false, true) => Some(*a),
        (true, false) => Some(*b),
        _ => None,
    }
}

/// Whether a value is a comparison, or the negation of one: the negation of any other condition is a word.
fn melts(f: &Function, defs: &Defs, mut v: Value) -> bool {
    while let Some(inner) = negated(f, defs, v) {
        v = inner;
    }
    matches!(op_of(f, defs, v), Some(Op::Compare { .. }))
}

/// The number of bytes, when it is known.
pub fn known_size(f: &Function, size: Size) -> Option<u64> {
    match size {
        Size::Const(n) => Some(n.into()),
        Size::Value(v) => f.value(v).range.as_const().map(|n| n as u64),
    }
}

/// The varints whose numbers are compared with an argument, by their sizes.
fn sought(f: &Function, defs: &Defs) -> Vec<bool> {
    let mut sought = vec![false; f.values.len()];
    for inst in f.blocks().flat_map(|(_, data)| &data.insts) {
        if let Op::Compare { a, b, .. } = inst.op {
            for (one, other) in [(a, b), (b, a)] {
                if let (Some(Op::Decoded(size)), Some(Op::Arg(_))) = (made_by(f, defs, one), made_by(f, defs, other)) {
                    sought[size.index()] = true;
                }
            }
        }
    }
    sought
}

/// The operation that made the word which a value is.
pub fn made_by<'a>(f: &'a Function, defs: &Defs, v: Value) -> Option<&'a Op> {
    op_of(f, defs, refined(f, defs, v))
}
