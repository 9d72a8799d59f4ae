//! The point of emission, and how several of them become one.

use super::*;
use crate::ir::{Block, Op, Value};

/// What is alive where code is being emitted.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    /// The block that grows.
    pub block: Block,
    /// Whether it can be reached. Emission goes on when it cannot, into a block that is dropped in the end.
    pub reachable: bool,
    /// The variables in scope, callers' included, innermost last.
    pub locals: Vec<Shared<Local>>,
    /// Values of expressions that are being evaluated around the present one.
    pub temps: Vec<Val>,
    /// The step: values of another step are not usable.
    pub step: u32,
    /// The current disk block.
    pub disk: Option<DiskState>,
}

/// The current disk block.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct DiskState {
    /// Which of all.
    pub generation: u32,
    /// Its length.
    pub len: Value,
    /// The least of it.
    pub min: u32,
}

/// A variable.
#[derive(Clone, Debug)]
pub(super) struct Local {
    pub name: Rc<str>,
    pub val: Val,
    pub mutable: bool,
    /// What assignments must fit, for a `var` of a scalar.
    pub ty: Option<Ty>,
    /// What it is on every turn of a loop, where more is known than its type says.
    pub bound: Option<Range>,
}

impl Local {
    /// Whether it has this name.
    pub fn is(&self, name: &str) -> bool {
        *self.name == *name
    }
}

impl Flow {
    pub fn entry(block: Block) -> Self {
        Flow { block, reachable: true, locals: Vec::new(), temps: Vec::new(), step: 0, disk: None }
    }

    /// A value that is alive: the variables count from 0, after them the temporaries.
    pub fn val(&self, i: usize) -> &Val {
        self.locals.get(i).map_or_else(|| &self.temps[i - self.locals.len()], |l| &l.val)
    }

    /// Whether value `i` is the same in another flow, of as many variables.
    pub fn has_same(&self, other: &Flow, i: usize) -> bool {
        let shared = self.locals.get(i).zip(other.locals.get(i)).is_some_and(|(a, b)| a.is_same(b));
        shared || self.val(i) == other.val(i)
    }

    /// As [`Flow::val`], to replace it.
    pub fn val_mut(&mut self, i: usize) -> &mut Val {
        match i.checked_sub(self.locals.len()) {
            None => &mut self.locals[i].val,
            Some(i) => &mut self.temps[i],
        }
    }

    /// Calls `f` on all values that are alive, in the order of [`Flow::val`], and lets it replace them.
    pub fn map_vals(&mut self, f: &mut impl FnMut(&mut Val)) {
        self.locals.iter_mut().for_each(|l| f(&mut l.val));
        self.temps.iter_mut().for_each(&mut *f);
    }
}

impl Lowerer<'_> {
    pub(super) fn bind(&mut self, name: &str, val: Val, mutable: bool, ty: Option<Ty>) {
        self.name_parts(name, &val);
        self.flow.locals.push(Local { name: name.into(), val, mutable, ty, bound: None }.into());
    }

    fn name_parts(&mut self, name: &str, val: &Val) {
        if let Val::Int(v, _) | Val::Bool(v) | Val::Enum(v, _) | Val::Flags(v, _) = val
            && !name.starts_with('#')
            && self.as_const(*v).is_none()
            && self.b.value(*v).name.is_none()
        {
            self.b.set_name(*v, name);
        }
    }

    /// Opens the block of a flow for emission.
    pub(super) fn resume(&mut self, flow: Flow) {
        self.b.switch_to(flow.block);
        self.flow = flow;
    }

    /// A copy of the present flow that starts a new block without parameters, for the target of a branch.
    pub(super) fn branch_off(&mut self) -> Flow {
        let block = self.b.block();
        self.set_disk(block, self.flow.disk);
        Flow { block, ..self.flow.clone() }
    }

    pub(super) fn set_disk(&mut self, block: Block, disk: Option<DiskState>) {
        self.b.set_disk(block, disk.map(|d| ir::Disk { len: d.len, min: d.min }));
    }

    /// Ends the present block; what is emitted from here on is never reached.
    pub(super) fn die(&mut self) {
        self.flow.reachable = false;
        let block = self.b.block();
        self.set_disk(block, self.flow.disk);
        self.flow.block = block;
        self.b.switch_to(block);
    }

    /// Keeps a value alive while `f` runs: a hop in `f` may replace its SSA values.
    pub(super) fn holding<T>(&mut self, val: Val, f: impl FnOnce(&mut Self) -> T) -> (Val, T) {
        self.flow.temps.push(val);
        let depth = self.flow.temps.len();
        let out = f(self);
        debug_assert!(self.flow.temps.len() == depth, "temporaries are released in the order they were held");
        (self.flow.temps.pop().expect("just held"), out)
    }

    /// Joins flows, each with a value; the present flow becomes the joined one. All have the same variables and temporaries.
    pub(super) fn merge(&mut self, flows: Vec<(Flow, Val)>, span: Span) -> Val {
        let mut flows: Vec<(Flow, Val)> = flows.into_iter().filter(|(f, _)| f.reachable).collect();
        match flows.len() {
            0 => {
                self.die();
                return Val::Never;
            }
            1 => {
                let (flow, val) = flows.pop().expect("there is one");
                self.resume(flow);
                return val;
            }
            _ => {}
        }
        // The value travels as a last temporary.
        for (flow, val) in &mut flows {
            flow.temps.push(std::mem::replace(val, Val::Unit));
        }
        let mut flows: Vec<Flow> = flows.into_iter().map(|(f, _)| f).collect();
        let same_step = flows.iter().all(|f| f.step == flows[0].step);
        let same_disk = flows.iter().all(|f| f.disk == flows[0].disk);
        let alike = self.unify(&mut flows, span);
        let step = if same_step { flows[0].step } else { self.new_step() };
        let block = self.b.block();
        let mut args: Vec<Vec<Value>> = vec![Vec::new(); flows.len()];
        let disk = self.merge_disk(&flows, same_step && same_disk, block, &mut args);
        let mut merged = flows[0].clone();
        // What is the same in all flows of one step stays as it is.
        let stays = |i: usize| same_step && alike[i];
        let all: Vec<Vec<Value>> = flows.iter().map(|f| parts_of(f, |i| !stays(i))).collect();
        let mut news = Vec::with_capacity(all[0].len());
        let mut made: FxHashMap<Vec<Value>, Value> = FxHashMap::default();
        if let Some(d) = disk.filter(|_| !(same_step && same_disk)) {
            // A limit that is the block's length in every flow is the joined block's length.
            made.insert(flows.iter().filter_map(|f| f.disk.map(|d| d.len)).collect(), d.len);
        }
        self.b.switch_to(block);
        for i in 0..all[0].len() {
            let column: Vec<Value> = all.iter().map(|a| a[i]).collect();
            let one = column.iter().all(|v| *v == column[0]);
            if same_step && one {
                news.push(column[0]);
            } else if let Some(v) = made.get(&column) {
                news.push(*v);
            } else {
                let v = self.merge_column(block, &column, same_step, &mut args);
                made.insert(column, v);
                news.push(v);
            }
        }
        let mut news = news.into_iter();
        for i in (0..merged.locals.len() + merged.temps.len()).filter(|i| !stays(*i)) {
            let new = merged.val(i).with_parts(&mut news);
            if new != *merged.val(i) {
                let v = merged.val_mut(i);
                *v = new;
                v.forget_evidence();
            }
        }
        for (flow, args) in flows.iter().zip(args) {
            self.b.switch_to(flow.block);
            self.b.jump(block, &args);
        }
        merged.block = block;
        merged.step = step;
        merged.disk = disk;
        self.set_disk(block, disk);
        self.fix_generations(&mut merged, &flows);
        self.resume(merged);
        self.flow.temps.pop().expect("the value travels as a temporary")
    }

    pub(super) fn new_step(&mut self) -> u32 {
        self.next_step += 1;
        self.next_step - 1
    }

    pub(super) fn new_generation(&mut self) -> u32 {
        self.next_generation += 1;
        self.next_generation - 1
    }

    fn merge_disk(&mut self, flows: &[Flow], same: bool, block: Block, args: &mut [Vec<Value>]) -> Option<DiskState> {
        if same {
            return flows[0].disk;
        }
        let disks: Option<Vec<DiskState>> = flows.iter().map(|f| f.disk).collect();
        let disks = disks?;
        let range = disks.iter().map(|d| self.claim(d.len)).fold(Range::new(1, 0), Range::join);
        let len = self.b.block_param(block, ir::Ty::U64, range);
        self.b.set_name(len, "block length");
        for (a, d) in args.iter_mut().zip(&disks) {
            a.push(d.len);
        }
        let min = disks.iter().map(|d| d.min).min().unwrap_or(0);
        let one = disks.iter().all(|d| d.generation == disks[0].generation);
        let generation = if one { disks[0].generation } else { self.new_generation() };
        Some(DiskState { generation, len, min })
    }

    /// One value of the joined flow: the same constant made again, or a parameter.
    fn merge_column(&mut self, block: Block, column: &[Value], same_step: bool, args: &mut [Vec<Value>]) -> Value {
        let ty = self.ty(column[0]);
        let range = column.iter().map(|v| self.claim(*v)).fold(Range::new(1, 0), Range::join);
        if !same_step && let Some(op) = self.again(column) {
            return self.make_again(op, column[0]);
        }
        let v = self.b.block_param(block, ty, range);
        let name = self.b.function().value(column[0]).name.clone();
        if let Some(name) = name {
            self.b.set_name(v, &name);
        }
        for (a, v) in args.iter_mut().zip(column) {
            a.push(*v);
        }
        v
    }

    /// The operation that makes all of these values, when it can be made again anywhere: constants and arguments.
    pub(super) fn again(&self, column: &[Value]) -> Option<Op> {
        let first = self.def_of(column[0])?;
        // An argument of which a check has shown more than its type says is carried, so that what was shown stays known.
        let anywhere = match first {
            Op::Const(_) => true,
            Op::Arg(_) | Op::ArgLen(_) => column.iter().all(|v| self.range(*v) == self.claim(*v)),
            _ => false,
        };
        let same = column.iter().all(|v| self.def_of(*v).as_ref() == Some(&first) && self.ty(*v) == self.ty(column[0]));
        (anywhere && same).then_some(first)
    }

    pub(super) fn make_again(&mut self, op: Op, like: Value) -> Value {
        let data = self.b.function().value(like).clone();
        let v = self.push_op(op, data.ty);
        self.b.set_range(v, data.range);
        if let Some(name) = &data.name {
            self.b.set_name(v, name);
        }
        v
    }

    /// After a join: views of the block that was current in all flows are views of the current block; others are of one that is gone.
    fn fix_generations(&mut self, merged: &mut Flow, flows: &[Flow]) {
        let Some(disk) = merged.disk else { return };
        if flows.iter().all(|f| f.disk.is_some_and(|d| d.generation == disk.generation)) {
            return;
        }
        let mut column = 0;
        let all: Vec<Vec<u32>> = flows
            .iter()
            .map(|f| {
                let current = f.disk.map_or(0, |d| d.generation);
                let mut out = Vec::new();
                f.clone().map_vals(&mut |v| {
                    generations(v, &mut |g| out.push(if *g == current { disk.generation } else { 0 }))
                });
                out
            })
            .collect();
        merged.map_vals(&mut |v| {
            generations(v, &mut |g| {
                *g = if all.iter().all(|f| f.get(column) == Some(&disk.generation)) { disk.generation } else { 0 };
                column += 1;
            });
        });
        let ids = &mut self.next_view;
        merged.map_vals(&mut |v| {
            if let Val::View(view) = v {
                view.id = *ids;
                *ids += 1;
            }
        });
    }

    /// Passes all that is alive over a hop (or an emit): the present block ends in it, and the flow goes on in its target. `end` writes
    /// the terminator, given the target and its arguments.
    pub(super) fn carry(&mut self, len: Option<(Value, u32)>, end: impl FnOnce(&mut Self, Block, Vec<Value>)) {
        let block = self.b.block();
        let from = self.flow.block;
        let mut args = Vec::new();
        let mut renamed: FxHashMap<Value, Value> = FxHashMap::default();
        let old_disk = self.flow.disk;
        let disk_len = match (len, old_disk) {
            (Some((v, _)), _) => Some(v),
            (None, d) => d.map(|d| d.len),
        };
        let mut new_len = None;
        if let Some(v) = disk_len {
            let range = self.range(v);
            let p = self.b.block_param(block, ir::Ty::U64, range);
            self.b.set_name(p, "block length");
            new_len = Some(p);
            if len.is_none() {
                args.push(v);
            }
        }
        if let (None, Some(old), Some(new)) = (len, disk_len, new_len) {
            renamed.insert(old, new);
        }
        self.b.switch_to(block);
        for v in alive(&self.flow) {
            if renamed.contains_key(&v) {
                continue;
            }
            let new = match self.again(&[v]) {
                Some(op) => self.make_again(op, v),
                None => {
                    // What conditions have shown of it travels with it.
                    let range = self.range(v);
                    let data = self.b.function().value(v).clone();
                    let p = self.b.block_param(block, data.ty, range);
                    if let Some(name) = &data.name {
                        self.b.set_name(p, name);
                    }
                    args.push(v);
                    p
                }
            };
            renamed.insert(v, new);
        }
        self.b.switch_to(from);
        end(self, block, args);
        let mut flow = std::mem::replace(&mut self.flow, Flow::entry(block));
        flow.map_vals(&mut |v| {
            v.map_parts(&mut |p| renamed[&p]);
            v.forget_evidence();
        });
        flow.block = block;
        flow.step = self.new_step();
        flow.disk = match (len, new_len, old_disk) {
            (Some((_, min)), Some(len), _) => Some(DiskState { generation: self.new_generation(), len, min }),
            (None, Some(len), Some(d)) => Some(DiskState { len, ..d }),
            _ => None,
        };
        self.set_disk(block, flow.disk);
        self.resume(flow);
    }
}

/// All values that are alive, in the order in which [`Flow::map_vals`] meets them.
fn alive(flow: &Flow) -> Vec<Value> {
    parts_of(flow, |_| true)
}

/// As [`alive`], for those of its variables and temporaries, counted from 0, that `is_wanted`.
fn parts_of(flow: &Flow, is_wanted: impl Fn(usize) -> bool) -> Vec<Value> {
    let mut out = Vec::new();
    let vals = flow.locals.iter().map(|l| &l.val).chain(&flow.temps);
    vals.enumerate().filter(|(i, _)| is_wanted(*i)).for_each(|(_, v)| v.for_each_part(&mut |p| out.push(p)));
    out
}

/// Calls `f` on the generation of each place in a value.
pub(super) fn generations(val: &mut Val, f: &mut impl FnMut(&mut u32)) {
    match val {
        Val::Bytes(b) | Val::Buffer(b) => f(&mut b.place.generation),
        Val::View(v) => view_generations(v, f),
        Val::Pointer(_, _, to) => {
            if let Some(view) = &mut to.view {
                view_generations(view, f);
            }
        }
        Val::Array(a) => {
            let a = &mut **a;
            if let Some(view) = &mut a.view {
                view_generations(view, f);
            }
            f(&mut a.place.generation);
        }
        Val::OneOf(arms) => arms.iter_mut().for_each(|(_, v)| generations(v, f)),
        Val::Record(_, fields) => fields.iter_mut().for_each(|v| generations(v, f)),
        Val::Option(_, inner) => generations(inner, f),
        Val::Unit | Val::Never | Val::None | Val::Int(..) | Val::Bool(_) | Val::Enum(..) | Val::Flags(..) => {}
    }
}

fn view_generations(view: &mut View, f: &mut impl FnMut(&mut u32)) {
    f(&mut view.place.generation);
    view.args.iter_mut().for_each(|a| generations(a, f));
    view.kept.iter_mut().for_each(|(_, v)| generations(v, f));
}
