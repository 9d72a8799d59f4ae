//! The code of a batch: many walks on one thread, each in a lane of memory.
//!
//! The function gets a row of lanes and a *point*, and runs every lane that waits there up to its next stop: a hop, or an operation that
//! would wait for memory (see [`cuts`](super::cuts)). What is carried over the stop then lies in the lane (see
//! [`carried`](super::carried)); between stops values live in registers. Every IR value is a Cranelift variable here, because a
//! block can be entered at a point in its midst.
//!
//! All lanes of a turn go on at the same place, so no branch depends on which walk is where, and the processor works on
//! several of them at once.

use super::carried::{Carried, Stop};
use super::code::Lane;
use super::cuts::{self, Cuts, WHOLE_MAX_BYTES};
use super::lower::{Lower, type_of};
use super::memory::slot_offset;
use super::needed::Needed;
use super::status::Variant;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::ir::{self, InstBuilder};
use cranelift_frontend::{FunctionBuilder, Variable};
use std::mem::offset_of;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::{Block, Function, Inst, Op, Size, SourceId, Target, Ty, Value};

/// What is fetched of a large block at its hop.
const BEGIN_BYTES: u64 = 64;

/// What the builder of a batch's function keeps.
pub(super) struct Lanes {
    /// For each IR value; what has one name has one variable.
    pub values: Vec<Variable>,
    /// The address of the current disk block.
    pub disk: Variable,
    /// Where in a lane the slots begin, in bytes.
    pub slots_at: u32,
    /// The address of the lane that is run.
    lane: Variable,
    /// The first lane, the end behind the last one, and the point, as the function received them.
    first: ir::Value,
    end: ir::Value,
    point: ir::Value,
    /// Runs the lane if it waits at the point.
    dispatch: ir::Block,
    /// Goes to the next lane.
    advance: ir::Block,
    /// Where each point goes on.
    points: Vec<ir::Block>,
    stride: u32,
    carried: Carried,
}

impl Lanes {
    /// At the function's entry.
    pub fn new(
        (f, variant): (&Function, Variant),
        (graph, defs, needed): (&Graph, &Defs, &Needed),
        b: &mut FunctionBuilder<'_>,
        [first, end, point]: [ir::Value; 3],
    ) -> Lanes {
        let cuts = if variant == Variant::Batch { Cuts::of(f, graph, defs, needed) } else { Cuts::none() };
        let carried = Carried::of(f, (graph, defs, needed), &cuts);
        let variables: Vec<Variable> = carried.names.iter().map(|v| b.declare_var(type_of(f, *v))).collect();
        let slots_at = 8 * carried.end;
        Lanes {
            values: carried.names.iter().map(|v| variables[v.index()]).collect(),
            disk: b.declare_var(I64),
            lane: b.declare_var(I64),
            slots_at,
            first,
            end,
            point,
            dispatch: b.create_block(),
            advance: b.create_block(),
            points: Vec::new(),
            stride: slots_at + slot_offset(f, f.slots.len()),
            carried,
        }
    }

    /// Words of a whole lane.
    pub fn words(&self) -> usize {
        self.stride as usize / 8
    }
}

impl Lower<'_> {
    fn lanes(&mut self) -> &mut Lanes {
        self.lanes.as_mut().expect("only variants with lanes come here")
    }

    /// From the function's entry to the first lane, and the first point: the begin of a walk. Nothing for other variants.
    pub fn begin_lanes(&mut self) {
        let Some(lanes) = &self.lanes else { return };
        self.b.def_var(lanes.lane, lanes.first);
        self.b.ins().jump(lanes.dispatch, &[]);
        self.resume_here();
    }

    /// The loop over the lanes, when all points are known.
    pub fn end_lanes(&mut self) {
        let Some(lanes) = &self.lanes else { return };
        let (stop, run) = (self.b.create_block(), self.b.create_block());
        self.b.switch_to_block(lanes.advance);
        let lane = self.b.use_var(lanes.lane);
        let next = self.b.ins().iadd_imm_s(lane, i64::from(lanes.stride));
        self.b.def_var(lanes.lane, next);
        let at_end = self.b.ins().icmp(IntCC::Equal, next, lanes.end);
        self.b.ins().brif(at_end, stop, &[], lanes.dispatch, &[]);
        self.b.switch_to_block(stop);
        let zero = self.b.ins().iconst(I64, 0);
        self.b.ins().return_(&[zero]);
        self.b.switch_to_block(lanes.dispatch);
        let lane = self.b.use_var(lanes.lane);
        let resume = self.b.ins().load(I64, self.regions.context, lane, offset_of!(Lane, resume) as i32);
        let here = self.b.ins().icmp(IntCC::Equal, resume, lanes.point);
        self.b.ins().brif(here, run, &[], lanes.advance, &[]);
        self.b.switch_to_block(run);
        let points = lanes.points.clone();
        self.resume_at(resume, &points, 0);
    }

    /// Goes on at one of the points from `first` on. By comparisons and not by a table: the point is the same for all lanes of a turn, so
    /// that their ways are predicted, and there are few of them. Of the lane's own word, which no register has to keep for them.
    fn resume_at(&mut self, resume: ir::Value, points: &[ir::Block], first: usize) {
        let (low, high) = points.split_at(points.len() / 2);
        if low.is_empty() {
            self.b.ins().jump(high[0], &[]);
            return;
        }
        let (below, above) = (self.b.create_block(), self.b.create_block());
        let middle = first + low.len();
        let is_below = self.b.ins().icmp_imm_u(IntCC::UnsignedLessThan, resume, middle as i64);
        self.b.ins().brif(is_below, below, &[], above, &[]);
        self.b.switch_to_block(below);
        self.resume_at(resume, low, first);
        self.b.switch_to_block(above);
        self.resume_at(resume, high, middle);
    }

    /// At the begin of each block: what belongs to the lane. What is not used is not loaded.
    pub fn enter_lane(&mut self) {
        let Some(lanes) = &self.lanes else { return };
        self.context = self.b.use_var(lanes.lane);
        let flags = self.regions.fixed;
        self.args = self.b.ins().load(I64, flags, self.context, offset_of!(Lane, args) as i32);
        self.out = self.b.ins().load(I64, flags, self.context, offset_of!(Lane, out) as i32);
    }

    /// A walk has ended: the lane rests.
    pub fn leave_lane(&mut self, status: ir::Value) {
        self.store_in_lane(offset_of!(Lane, status), status);
        let resting = self.b.ins().iconst(I64, Lane::RESTING as i64);
        self.store_in_lane(offset_of!(Lane, resume), resting);
        let advance = self.lanes().advance;
        self.b.ins().jump(advance, &[]);
    }

    /// The walk goes on behind its hop: at once, or when the block's bytes are in the cache, or have been read.
    pub fn go_on_behind_hop(&mut self, block: Block, source: SourceId, len: Value, next: &Target) {
        let disk = self.disk.expect("a hop has just set it");
        self.store_in_lane(offset_of!(Lane, disk), disk);
        let at_end = self.f.block(block).insts.len();
        let stop = self.lanes().carried.at(block, at_end).cloned();
        if stop.is_some() {
            self.want(Size::Value(len));
        }
        if self.variant == Variant::Reads {
            let source = self.const_word(source.0.into());
            self.store_in_lane(offset_of!(Lane, source), source);
        }
        self.set_params(next, Some(len));
        match stop {
            Some(stop) => self.suspend(disk, stop),
            None => {
                let variable = self.lanes().disk;
                self.b.def_var(variable, disk);
            }
        }
        let block = self.clif_block(next.block);
        self.b.ins().jump(block, &[]);
    }

    /// Cuts the walk before an operation that would wait, where [`Cuts`] says so.
    pub fn cut_before(&mut self, block: Block, i: usize, inst: &Inst) {
        let Some(stop) = self.lanes.as_ref().and_then(|lanes| lanes.carried.at(block, i)).cloned() else { return };
        let addr = cuts::disk_address(inst).expect("only what looks at the disk block is cut");
        if let Op::Copy { len, .. } = inst.op {
            self.want(len);
        }
        let address = self.address(addr);
        self.suspend(address, stop);
        self.looked_at = Some(self.load_from_lane(offset_of!(Lane, wanted)));
    }

    /// How many bytes are wanted behind the next stop. Of many only the begin: a search's probes are fetched one by one.
    fn want(&mut self, bytes: Size) {
        let (bytes, most) = match bytes {
            Size::Const(n) => (self.const_word(n.into()), n.into()),
            Size::Value(v) => (self.get(v), self.f.value(v).range.hi),
        };
        let is_whole = self.variant == Variant::Reads || most <= WHOLE_MAX_BYTES.into();
        let bytes = if is_whole { bytes } else { self.const_word(BEGIN_BYTES) };
        self.store_in_lane(offset_of!(Lane, wanted_bytes), bytes);
    }

    /// Stops the walk and goes to the next lane; then begins the code behind the point.
    fn suspend(&mut self, address: ir::Value, stop: Stop) {
        for v in stop.stored {
            let (home, word) = (self.lanes().carried.home(v), self.word(v));
            self.store_in_lane(home, word);
        }
        let point = self.lanes().points.len();
        self.store_in_lane(offset_of!(Lane, wanted), address);
        let resume = self.const_word(point as u64);
        self.store_in_lane(offset_of!(Lane, resume), resume);
        let advance = self.lanes().advance;
        self.b.ins().jump(advance, &[]);
        self.resume_here();
        let disk = self.load_from_lane(offset_of!(Lane, disk));
        self.disk = Some(disk);
        let variable = self.lanes().disk;
        self.b.def_var(variable, disk);
        for v in stop.loaded {
            let home = self.lanes().carried.home(v);
            let word = self.load_from_lane(home);
            let value = if self.f.value(v).ty == Ty::Bool { self.b.ins().ireduce(I8, word) } else { word };
            self.set(v, value);
        }
        for v in stop.made_again {
            self.make_again(v);
        }
    }

    /// Begins a new point.
    fn resume_here(&mut self) {
        let block = self.b.create_block();
        self.lanes().points.push(block);
        self.b.switch_to_block(block);
        self.enter_lane();
    }

    fn store_in_lane(&mut self, at: usize, value: ir::Value) {
        self.b.ins().store(self.regions.context, value, self.context, at as i32);
    }

    fn load_from_lane(&mut self, at: usize) -> ir::Value {
        self.b.ins().load(I64, self.regions.context, self.context, at as i32)
    }

    fn make_again(&mut self, v: Value) {
        let f = self.f;
        let op = self.defs.op(f, v).cloned();
        match (self.known(v), op) {
            (Some(word), _) => {
                let value = self.b.ins().iconst(type_of(self.f, v), word);
                self.set(v, value);
            }
            (None, Some(op)) => {
                let inst = Inst { op, result: Some(v), span: self.f.span };
                self.inst(&inst);
            }
            (None, None) => unreachable!("only constants and arguments are made again"),
        }
    }

    /// Sets the parameters of a jump's target, all at once.
    pub fn set_params(&mut self, target: &Target, first: Option<Value>) {
        let params = self.f.block(target.block).params.iter();
        let given = first.into_iter().chain(target.args.iter().copied()).zip(params.copied());
        let mut values = Vec::with_capacity(target.args.len() + 1);
        for (arg, param) in given {
            if self.is_carried(param) && arg != param {
                values.push((param, self.get(arg)));
            }
        }
        for (param, value) in values {
            self.set(param, value);
        }
    }
}
