//! What walks of a batch carry over each of their stops, in words of their lanes.
//!
//! A value that is alive behind a stop has a *home*, a word of the lane. It is loaded behind each stop over which it is alive, and stored at a
//! stop only if some way there makes it anew since the stop before. Alive is what code that is emitted reads. Constants and
//! arguments have no home: they are made again.

use super::code::Lane;
use super::cuts::Cuts;
use super::needed::Needed;
use super::ops::without_not;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::size_of;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::needed::has_effect;
use trav_compiler::ir::{Block, Function, Inst, Op, Size, Target, Terminator, Ty, Value};

/// What one stop does.
#[derive(Clone)]
pub(super) struct Stop {
    /// Those of `loaded` that may have been made since the stop before.
    pub stored: Vec<Value>,
    /// What is alive behind it and has a home.
    pub loaded: Vec<Value>,
    /// What is alive behind it and has none.
    pub made_again: Vec<Value>,
}

/// What the stops of one function do.
pub(super) struct Carried {
    /// For each value the one that has its word: what only says more of a value is the value by another name.
    pub names: Vec<Value>,
    /// For each value its word in the lane, if it has one.
    homes: Vec<Option<u32>>,
    /// Words of a lane up to the last home.
    pub end: u32,
    /// By the operation before which the walk stops; a hop counts as the last one of its block.
    stops: BTreeMap<(Block, usize), Stop>,
}

impl Carried {
    /// Finds it.
    pub fn of(f: &Function, (graph, defs, needed): (&Graph, &Defs, &Needed), cuts: &Cuts) -> Carried {
        let names = names(f, graph);
        let carried = Carried {
            names,
            homes: vec![None; f.values.len()],
            end: size_of::<Lane>() as u32 / 8,
            stops: BTreeMap::new(),
        };
        let mut finder = Finder { f, graph, defs, needed, cuts, carried };
        finder.find_loaded();
        finder.find_stored();
        finder.carried
    }

    /// What the stop before an operation does; none if the walk does not stop there.
    pub fn at(&self, block: Block, inst: usize) -> Option<&Stop> {
        self.stops.get(&(block, inst))
    }

    /// The home of a value that is carried, in bytes from the lane's begin.
    pub fn home(&self, v: Value) -> usize {
        8 * self.homes[v.index()].expect("what is alive behind a stop has a home") as usize
    }
}

/// For each value the one that it is another name of.
fn names(f: &Function, graph: &Graph) -> Vec<Value> {
    let mut names: Vec<Value> = (0..f.values.len() as u32).map(Value).collect();
    let is_bool = |v: Value| f.value(v).ty == Ty::Bool;
    // In this order definitions come before their uses.
    for inst in graph.order.iter().flat_map(|block| &f.block(*block).insts) {
        if let (Some(v), Op::Refine { a, .. } | Op::Check { a, .. } | Op::Cast(a) | Op::Reinterpret(a)) =
            (inst.result, &inst.op)
            && f.value(v).range.as_const().is_none()
            && is_bool(v) == is_bool(*a)
        {
            names[v.index()] = names[a.index()];
        }
    }
    names
}

struct Finder<'f> {
    f: &'f Function,
    graph: &'f Graph,
    defs: &'f Defs,
    needed: &'f Needed,
    cuts: &'f Cuts,
    carried: Carried,
}

impl Finder<'_> {
    fn name(&self, v: Value) -> Value {
        self.carried.names[v.index()]
    }

    /// The value that an operation makes, if it is emitted and its result no other name.
    fn made(&self, inst: &Inst) -> Option<Value> {
        inst.result.filter(|v| self.name(*v) == *v && self.needed.is_done(self.f, inst))
    }

    /// The parameters that a way to a block sets, and to what.
    fn set_by(&self, target: &Target, len: Option<Value>) -> impl Iterator<Item = (Value, Value)> {
        let params = self.f.block(target.block).params.iter();
        let given = len.into_iter().chain(target.args.iter().copied());
        params
            .zip(given)
            .filter(|(param, _)| self.needed.is_carried(self.f, **param))
            .map(|(param, arg)| (*param, self.name(arg)))
    }

    /// Calls `f` with each value that the code of an operation reads.
    fn for_each_read(&self, inst: &Inst, mut see: impl FnMut(Value)) {
        let is_name = inst.result.is_some_and(|v| self.name(v) != v);
        match &inst.op {
            _ if !self.needed.is_done(self.f, inst) || is_name && !has_effect(self.f, inst) => {}
            Op::Refine { .. } | Op::Decoded(_) => {}
            Op::Select { cond, a, b } => {
                [without_not(self.f, self.defs, *cond).0, *a, *b].into_iter().for_each(|v| see(self.name(v)))
            }
            op => op.for_each_use(|v| see(self.name(v))),
        }
    }

    /// The same behind a stop before it: where it looks is known then.
    fn for_each_read_behind(&self, inst: &Inst, mut see: impl FnMut(Value)) {
        match &inst.op {
            Op::Load { .. } => {}
            Op::Copy { to, len, from: _ } => {
                let len = if let Size::Value(len) = len { Some(*len) } else { None };
                [to.base, to.index, len].into_iter().flatten().for_each(|v| see(self.name(v)));
            }
            _ => self.for_each_read(inst, see),
        }
    }

    /// Finds what is alive behind each stop, and gives it homes.
    fn find_loaded(&mut self) {
        let (f, graph) = (self.f, self.graph);
        let mut alive: Vec<BTreeSet<Value>> = vec![BTreeSet::new(); f.blocks.len()];
        let mut changed = !self.cuts.is_empty();
        while changed {
            changed = false;
            for &block in graph.order.iter().rev() {
                let now = self.alive_before(&alive, block, 0);
                changed |= now.len() > alive[block.index()].len();
                alive[block.index()] = now;
            }
        }
        for &block in &graph.order {
            let data = f.block(block);
            for (i, inst) in data.insts.iter().enumerate() {
                if self.cuts.is_before(block, i) {
                    let mut behind = self.alive_before(&alive, block, i + 1);
                    inst.result.map(|v| behind.remove(&v));
                    self.for_each_read_behind(inst, |v| {
                        behind.insert(v);
                    });
                    self.add_stop((block, i), behind);
                }
            }
            if let Terminator::Hop { len, next, .. } = &data.term
                && !self.cuts.is_passed(block)
            {
                let params = self.set_by(next, Some(*len)).map(|(param, _)| param).collect();
                self.add_stop((block, data.insts.len()), params);
            }
        }
    }

    /// The values alive before an operation of a block, those at the begin of each block being `alive`.
    fn alive_before(&self, alive: &[BTreeSet<Value>], block: Block, inst: usize) -> BTreeSet<Value> {
        let data = self.f.block(block);
        let mut now = BTreeSet::new();
        let mut len = None;
        match &data.term {
            Terminator::Branch { cond, .. } if !self.needed.holds(*cond) => {
                now.insert(self.name(*cond));
            }
            Terminator::Hop { offset, len: bytes, .. } => {
                now.extend([*offset, *bytes].map(|v| self.name(v)));
                len = Some(*bytes);
            }
            Terminator::Fault(fault) => now.extend(fault.found.into_iter().chain(fault.at).map(|v| self.name(v))),
            Terminator::Branch { .. } | Terminator::Jump(_) | Terminator::Emit { .. } | Terminator::Return => {}
        }
        for target in data.term.targets() {
            let params = &self.f.block(target.block).params;
            now.extend(alive[target.block.index()].iter().filter(|v| !params.contains(v)));
            now.extend(self.set_by(target, len).map(|(_, arg)| arg));
        }
        for inst in data.insts[inst..].iter().rev() {
            self.made(inst).map(|v| now.remove(&v));
            self.for_each_read(inst, |v| {
                now.insert(v);
            });
        }
        now
    }

    fn add_stop(&mut self, at: (Block, usize), alive: BTreeSet<Value>) {
        let (made_again, loaded): (Vec<Value>, Vec<Value>) = alive.into_iter().partition(|v| self.is_made_again(*v));
        let Carried { homes, end, stops, .. } = &mut self.carried;
        for v in &loaded {
            homes[v.index()].get_or_insert_with(|| {
                *end += 1;
                *end - 1
            });
        }
        stops.insert(at, Stop { stored: Vec::new(), loaded, made_again });
    }

    fn is_made_again(&self, v: Value) -> bool {
        let is_constant = self.f.value(v).range.as_const().is_some();
        is_constant || matches!(self.defs.op(self.f, v), Some(Op::Const(_) | Op::Arg(_) | Op::ArgLen(_)))
    }

    /// Finds what each stop stores.
    fn find_stored(&mut self) {
        let order = &self.graph.order;
        let mut made: Vec<BTreeSet<Value>> = vec![BTreeSet::new(); self.f.blocks.len()];
        let mut changed = true;
        while changed {
            changed = false;
            for &block in order {
                let at_begin = made[block.index()].clone();
                self.follow(
                    block,
                    at_begin,
                    |_, _| {},
                    |next, made_on_way| {
                        let before = made[next.index()].len();
                        made[next.index()].extend(made_on_way);
                        changed |= made[next.index()].len() > before;
                    },
                );
            }
        }
        let mut stored = Vec::new();
        for &block in order {
            let at_begin = std::mem::take(&mut made[block.index()]);
            self.follow(block, at_begin, |at, made| stored.push((at, made.clone())), |_, _| {});
        }
        for (at, made) in stored {
            let stop = self.carried.stops.get_mut(&at).expect("it was met there");
            stop.stored = stop.loaded.iter().copied().filter(|v| made.contains(v)).collect();
        }
    }

    /// Follows what has been made since the last stop through a block: shows it to `stop` at each stop, and to `next` on each way to another block.
    fn follow(
        &self,
        block: Block,
        mut made: BTreeSet<Value>,
        mut stop: impl FnMut((Block, usize), &BTreeSet<Value>),
        mut next: impl FnMut(Block, BTreeSet<Value>),
    ) {
        let Carried { homes, stops, .. } = &self.carried;
        let has_home = |v: &Value| homes[v.index()].is_some();
        let data = self.f.block(block);
        for (i, inst) in data.insts.iter().enumerate() {
            if stops.contains_key(&(block, i)) {
                stop((block, i), &made);
                made.clear();
            }
            made.extend(self.made(inst).filter(has_home));
        }
        let len = if let Terminator::Hop { len, .. } = &data.term { Some(*len) } else { None };
        let at_end = (block, data.insts.len());
        for target in data.term.targets() {
            let mut on_way = made.clone();
            let set = self.set_by(target, len).filter(|(param, arg)| param != arg).map(|(param, _)| param);
            on_way.extend(set.filter(has_home));
            if stops.contains_key(&at_end) {
                stop(at_end, &on_way);
                on_way.clear();
            }
            next(target.block, on_way);
        }
    }
}
