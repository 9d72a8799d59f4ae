//! The code of a batch: many walks on one thread, each in a lane of memory.
//!
//! The function gets a row of lanes and a *point*, and runs every lane that waits there up to its next point: the block behind a
//! hop, or a load that would wait for memory (see [`cuts`](super::cuts); not in the variant that reads). A value that is alive at a point has a *home*, a word in the lane: it is
//! stored there where it is made, and loaded behind the point; between points it lives in registers. Every IR value is a Cranelift variable here, because a block can be entered at a point in its midst.
//!
//! All lanes of a turn go on at the same place, so no branch depends on which walk is where, and the processor works on
//! several of them at once.

use super::code::Lane;
use super::cuts::{self, Cuts, WHOLE_MAX_BYTES};
use super::lower::{Lower, type_of};
use super::memory::slot_offset;
use super::status::Variant;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::ir::{self, InstBuilder};
use cranelift_frontend::{FunctionBuilder, Switch, Variable};
use std::mem::{offset_of, size_of};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::{Block, Function, Inst, Op, SourceId, Target, Terminator, Ty, Value};

/// Of a large block only the begin is fetched at its hop; a search's probes are fetched one by one.
const BEGIN_BYTES: u64 = 64;

/// What the builder of a batch's function keeps.
pub(super) struct Lanes {
    /// For each IR value.
    pub values: Vec<Variable>,
    /// For each IR value its word in the lane, if it has one.
    homes: Vec<Option<u32>>,
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
    cuts: Cuts,
    defs: Defs,
}

/// For each value its home, as a word of the lane, and the words of a lane before its slots.
fn homes(f: &Function, defs: &Defs, cuts: &Cuts) -> (Vec<Option<u32>>, u32) {
    let (mut homes, mut end) = (vec![None; f.values.len()], size_of::<Lane>() as u32 / 8);
    let carried = f.blocks.iter().filter_map(|block| match &block.term {
        Terminator::Hop { next, .. } => Some(f.block(next.block).params.as_slice()),
        _ => None,
    });
    for &v in carried.chain(cuts.alive()).flatten() {
        if homes[v.index()].is_none() && !cuts::is_made_again(f, defs, v) {
            homes[v.index()] = Some(end);
            end += 1;
        }
    }
    (homes, end)
}

/// Where the walks of a variant stop beside their hops.
fn cuts(f: &Function, variant: Variant) -> Cuts {
    if variant == Variant::Batch { Cuts::of(f) } else { Cuts::none() }
}

/// Words of a whole lane.
pub(super) fn lane_words(f: &Function, variant: Variant) -> usize {
    homes(f, &Defs::of(f), &cuts(f, variant)).1 as usize + slot_offset(f, f.slots.len()) as usize / 8
}

impl Lanes {
    /// At the function's entry.
    pub fn new(
        f: &Function,
        variant: Variant,
        b: &mut FunctionBuilder<'_>,
        [first, end, point]: [ir::Value; 3],
    ) -> Lanes {
        let (cuts, defs) = (cuts(f, variant), Defs::of(f));
        let (homes, slots_at) = homes(f, &defs, &cuts);
        let slots_at = 8 * slots_at;
        let values = (0..f.values.len()).map(|i| b.declare_var(type_of(f, Value(i as u32)))).collect();
        Lanes {
            values,
            homes,
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
            cuts,
            defs,
        }
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
        let mut switch = Switch::new();
        for (i, &block) in lanes.points.iter().enumerate() {
            switch.set_entry(i as u128, block);
        }
        switch.emit(&mut self.b, lanes.point, lanes.advance);
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

    /// Defines a value, and stores it at its home.
    pub fn set_in_lane(&mut self, v: Value, value: ir::Value) {
        let lanes = self.lanes();
        let (variable, home) = (lanes.values[v.index()], lanes.homes[v.index()]);
        self.b.def_var(variable, value);
        if let Some(home) = home {
            let word = self.word(v);
            self.store_in_lane(8 * home as usize, word);
        }
    }

    /// The walk goes on behind its hop when the block's bytes are in the cache, or have been read.
    pub fn suspend_at_hop(&mut self, source: SourceId, len: Value, next: &Target) {
        let disk = self.disk.expect("a hop has just set it");
        let whole = self.variant == Variant::Reads || self.f.value(len).range.hi <= WHOLE_MAX_BYTES.into();
        let wanted = if whole { self.get(len) } else { self.const_word(BEGIN_BYTES) };
        self.store_in_lane(offset_of!(Lane, disk), disk);
        self.store_in_lane(offset_of!(Lane, wanted_bytes), wanted);
        if self.variant == Variant::Reads {
            let source = self.const_word(source.0.into());
            self.store_in_lane(offset_of!(Lane, source), source);
        }
        self.set_params(next, Some(len));
        self.suspend(disk);
        let f = self.f;
        for &param in &f.block(next.block).params {
            if self.is_carried(param) {
                self.take(param);
            }
        }
        let block = self.clif_block(next.block);
        self.b.ins().jump(block, &[]);
    }

    /// Cuts the walk before a load that would wait, where [`Cuts`] says so.
    pub fn cut_before(&mut self, block: Block, i: usize, inst: &Inst) {
        let Some(lanes) = &self.lanes else { return };
        let Some(alive) = lanes.cuts.before(block, i) else { return };
        let f = self.f;
        let (again, carried): (Vec<Value>, Vec<Value>) =
            alive.iter().partition(|&&v| cuts::is_made_again(f, &lanes.defs, v));
        let (Op::Load { addr, .. } | Op::Varint { addr, .. }) = &inst.op else {
            unreachable!("only what loads is cut")
        };
        let address = self.address(addr);
        self.suspend(address);
        for v in carried {
            self.take(v);
        }
        for v in again {
            self.make_again(v);
        }
    }

    /// Goes to the next lane; then begins the code behind the point.
    fn suspend(&mut self, address: ir::Value) {
        let point = self.lanes().points.len();
        self.store_in_lane(offset_of!(Lane, wanted), address);
        let resume = self.const_word(point as u64);
        self.store_in_lane(offset_of!(Lane, resume), resume);
        let advance = self.lanes().advance;
        self.b.ins().jump(advance, &[]);
        self.resume_here();
        let disk = self.b.ins().load(I64, self.regions.context, self.context, offset_of!(Lane, disk) as i32);
        self.disk = Some(disk);
        let variable = self.lanes().disk;
        self.b.def_var(variable, disk);
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

    /// Takes a value back from its home.
    fn take(&mut self, v: Value) {
        let lanes = self.lanes();
        let variable = lanes.values[v.index()];
        let home = lanes.homes[v.index()].expect("what is alive at a point has a home");
        let word = self.b.ins().load(I64, self.regions.context, self.context, 8 * home as i32);
        let value = if self.f.value(v).ty == Ty::Bool { self.b.ins().ireduce(I8, word) } else { word };
        self.b.def_var(variable, value);
    }

    fn make_again(&mut self, v: Value) {
        let f = self.f;
        let op = self.lanes().defs.op(f, v).cloned();
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
