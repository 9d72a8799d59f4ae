//! IR → Cranelift IR: control flow, hops and faults. One Cranelift block per IR block.
//!
//! The address of the current disk block is an extra first parameter of each block that needs it (see [`disks`]), so it
//! lives in a register; a hop computes the next. `Bool` is an `i8`, everything else an `i64`.

use super::code::{Callbacks, Context};
use super::difference::Difference;
use super::disks;
use super::guess;
use super::lanes::Lanes;
use super::needed::Needed;
use super::ops::low_bits;
use super::scaled::{self, Factors};
use super::status::{Status, Variant};
use super::sum::Sum;
use crate::exec::ExecError;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I64};
use cranelift_codegen::ir::{self, AbiParam, BlockArg, InstBuilder, Signature, StackSlot};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use std::collections::{HashMap, HashSet};
use std::mem::offset_of;
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::graph::Graph;
use trav_compiler::ir::schema::LeafKind;
use trav_compiler::ir::{Block, FaultId, FaultRef, Function, Op, Target, Terminator, Ty, Value};

/// Slots live on the stack, up to here: a thread's stack is 2 MiB or more.
const SLOTS_MAX_BYTES: u64 = 256 << 10;

/// Builds the function. Gives the words of a lane, for variants that have them.
pub(super) fn lower(
    f: &Function,
    variant: Variant,
    data: &[Box<[u8]>],
    isa: &dyn TargetIsa,
    into: &mut ir::Function,
    scratch: &mut FunctionBuilderContext,
) -> Result<usize, ExecError> {
    let slots_bytes: u64 = f.slots.iter().map(|s| u64::from(s.size)).sum();
    if slots_bytes > SLOTS_MAX_BYTES {
        let message =
            format!("native code keeps at most {SLOTS_MAX_BYTES} bytes of buffers, the traversal has {slots_bytes}");
        return Err(ExecError::Refused(message));
    }
    let call_conv = isa.default_call_conv();
    into.signature = signature(call_conv, &[I64; 4], &[I64]);
    let mut b = FunctionBuilder::new(into, scratch);
    let entry = b.create_block();
    b.append_block_params_for_function_params(entry);
    b.switch_to_block(entry);
    let [context, views, args, out] = *b.block_params(entry) else { unreachable!("the signature has four parameters") };
    let (exit, noted_exit) = (b.create_block(), b.create_block());
    b.append_block_param(exit, I64);
    for _ in 0..3 {
        b.append_block_param(noted_exit, I64);
    }
    b.set_cold_block(exit);
    b.set_cold_block(noted_exit);
    let graph = Graph::of(f);
    let regions = super::memory::Regions::new(&mut b);
    let defs = Defs::of(f);
    let headers = graph.order.iter().copied().filter(|block| f.block(*block).header.is_some());
    let mut sums: HashMap<Block, Sum<'_>> =
        headers.clone().filter_map(|block| Some((block, Sum::of(f, &graph, &defs, block)?))).collect();
    let differences: HashMap<Block, Difference> = headers
        .filter(|_| !variant.has_lanes())
        .filter_map(|block| Some((block, Difference::of(f, &defs, block)?)))
        .collect();
    let needed = Needed::of(f, &graph, &defs, differences.values().filter_map(|difference| difference.block_len));
    // What a sum reads is alive only if it is needed itself.
    sums.retain(|_, sum| needed.is(sum.sum));
    let row = [context, args, out];
    let lanes = variant.has_lanes().then(|| Lanes::new((f, variant), (&graph, &defs, &needed), &mut b, row));
    let lane_words = lanes.as_ref().map_or(0, Lanes::words);
    let factors = if lanes.is_none() { scaled::factors(f, &graph, &defs, &needed) } else { Factors::new() };
    let mut lower = Lower {
        f,
        variant,
        data,
        call_conv,
        values: vec![None; f.values.len()],
        blocks: vec![None; f.blocks.len()],
        disks: disks::origins(f, &graph.order),
        slots: SlotArea::None,
        ends: HashMap::new(),
        disk: None,
        disk_min: 0,
        looked_at: None,
        regions,
        context,
        views,
        args,
        out,
        exit,
        noted_exit,
        lanes,
        counts: None,
        decoded: None,
        numbers: decoded(f, &needed),
        factors,
        needed,
        guessed: if variant == Variant::Far { guess::choices(f, &graph, &defs) } else { HashSet::new() },
        defs,
        b,
    };
    lower.begin_lanes();
    lower.begin_counts();
    lower.prologue();
    let bodies: HashSet<Block> = sums.values().map(|sum| sum.body).collect();
    for &block in graph.order.iter().filter(|block| !bodies.contains(block)) {
        lower.begin_block(block);
        if let Some(sum) = sums.get(&block) {
            lower.sum(sum);
            lower.insts(block);
            lower.jump(sum.next);
            continue;
        }
        if let Some(difference) = differences.get(&block) {
            lower.skip_equal(difference);
        }
        lower.insts(block);
        lower.terminator(block);
    }
    lower.epilogue();
    lower.end_lanes();
    lower.b.seal_all_blocks();
    lower.b.finalize(isa.frontend_config());
    Ok(lane_words)
}

/// The sizes of varints whose numbers are wanted.
fn decoded(f: &Function, needed: &Needed) -> HashSet<Value> {
    let insts = f.blocks.iter().flat_map(|b| &b.insts).filter(|inst| inst.result.is_some_and(|v| needed.is(v)));
    insts.filter_map(|inst| if let Op::Decoded(size) = inst.op { Some(size) } else { None }).collect()
}

fn signature(call_conv: cranelift_codegen::isa::CallConv, params: &[ir::Type], returns: &[ir::Type]) -> Signature {
    let mut signature = Signature::new(call_conv);
    signature.params.extend(params.iter().map(|&ty| AbiParam::new(ty)));
    signature.returns.extend(returns.iter().map(|&ty| AbiParam::new(ty)));
    signature
}

/// How a value is represented.
pub(super) fn type_of(f: &Function, v: Value) -> ir::Type {
    if f.value(v).ty == Ty::Bool { I8 } else { I64 }
}

/// The function under construction.
pub(super) struct Lower<'a> {
    pub f: &'a Function,
    pub variant: Variant,
    pub data: &'a [Box<[u8]>],
    call_conv: cranelift_codegen::isa::CallConv,
    /// Where values do not live in [`Lanes`].
    values: Vec<Option<ir::Value>>,
    blocks: Vec<Option<ir::Block>>,
    /// For each block, the one whose first parameter is the address of its disk block.
    disks: Vec<Option<Block>>,
    pub slots: SlotArea,
    /// Ends with faults that report no value.
    ends: HashMap<FaultId, ir::Block>,
    /// The address of the current disk block, where there is one.
    pub disk: Option<ir::Value>,
    /// At least so many bytes are there.
    pub disk_min: u32,
    /// Right behind a stop before an operation: the address in the disk block where it looks.
    pub looked_at: Option<ir::Value>,
    pub regions: super::memory::Regions,
    /// Of the walk that is run, as `args` and `out`; in a batch they belong to the lane.
    pub context: ir::Value,
    pub views: ir::Value,
    pub args: ir::Value,
    pub out: ir::Value,
    /// Ends with the status.
    exit: ir::Block,
    /// Stores the value found and the offset, and ends with the status.
    noted_exit: ir::Block,
    /// For the batch variant.
    pub lanes: Option<Lanes>,
    needed: Needed,
    /// The values of which multiples are kept.
    pub factors: Factors,
    /// The choices that are branches.
    pub guessed: HashSet<Value>,
    pub defs: Defs,
    /// The sizes of varints whose numbers are wanted.
    pub numbers: HashSet<Value>,
    /// The hops and bytes so far, where they are in registers.
    pub counts: Option<[Variable; 2]>,
    /// The number of the last varint.
    pub decoded: Option<ir::Value>,
    pub b: FunctionBuilder<'a>,
}

/// Where the slots are, one after another.
#[derive(Clone, Copy)]
pub(super) enum SlotArea {
    /// There are none.
    None,
    Stack(StackSlot),
    /// So many bytes behind the lane's begin.
    Lane(u32),
}

impl Lower<'_> {
    /// The Cranelift value of an IR value.
    pub fn get(&mut self, v: Value) -> ir::Value {
        match &self.lanes {
            Some(lanes) => self.b.use_var(lanes.values[v.index()]),
            None => match self.factors.get(&v) {
                Some(&factor) => {
                    let multiple = self.kept(v);
                    self.divided(multiple, factor)
                }
                None => self.kept(v),
            },
        }
    }

    /// What is kept of an IR value: it itself, or a multiple.
    pub fn kept(&self, v: Value) -> ir::Value {
        self.values[v.index()].expect("the verifier has shown that definitions dominate uses")
    }

    /// Defines an IR value.
    pub fn set(&mut self, v: Value, value: ir::Value) {
        match &self.lanes {
            Some(lanes) => self.b.def_var(lanes.values[v.index()], value),
            None => self.values[v.index()] = Some(value),
        }
    }

    /// A value as a 64-bit word, whatever its type.
    pub fn word(&mut self, v: Value) -> ir::Value {
        let value = self.get(v);
        if self.f.value(v).ty == Ty::Bool { self.b.ins().uextend(I64, value) } else { value }
    }

    /// A constant word.
    pub fn const_word(&mut self, n: u64) -> ir::Value {
        self.b.ins().iconst(I64, n as i64)
    }

    /// Whether an IR parameter is one of the Cranelift block.
    pub fn is_carried(&self, v: Value) -> bool {
        self.needed.is_carried(self.f, v)
    }

    /// The word, when the claim leaves only one.
    pub fn known(&self, v: Value) -> Option<i64> {
        self.f.value(v).range.as_const().map(|n| n as i64)
    }

    fn clif_type(&self, v: Value) -> ir::Type {
        type_of(self.f, v)
    }

    /// Checks the arguments, clears slots and the result, and goes to the first block.
    fn prologue(&mut self) {
        self.check_arguments();
        self.add_slots();
        self.clear_out();
        let first = self.clif_block(Block(0));
        self.b.ins().jump(first, &[]);
    }

    fn check_arguments(&mut self) {
        let mut bad = None;
        for i in 0..self.f.args.len() {
            let leaf = &self.f.args[i];
            let word = self.load_arg_word(leaf.offset);
            let wrong = match leaf.kind {
                LeafKind::Scalar { ty: Ty::Bool, .. } => self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, word, 1),
                LeafKind::Scalar { bits: 64.., .. } => continue,
                LeafKind::Scalar { ty: Ty::U64, bits } => {
                    let most = low_bits(bits);
                    self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, word, most)
                }
                LeafKind::Scalar { ty: Ty::I64, bits } => {
                    let narrow = self.extend(word, bits, true);
                    self.b.ins().icmp(IntCC::NotEqual, narrow, word)
                }
                LeafKind::Bytes { max, fixed: true } => self.b.ins().icmp_imm_u(IntCC::NotEqual, word, i64::from(max)),
                LeafKind::Bytes { max, fixed: false } => {
                    self.b.ins().icmp_imm_u(IntCC::UnsignedGreaterThan, word, i64::from(max))
                }
            };
            bad = Some(match bad {
                Some(so_far) => self.b.ins().bor(so_far, wrong),
                None => wrong,
            });
        }
        if let Some(bad) = bad {
            self.leave_to(bad, true, |lower| {
                let status = lower.b.ins().iconst(I64, Status::Arguments.encode());
                lower.exit(status);
            });
        }
    }

    /// The blocks where faults end.
    fn epilogue(&mut self) {
        self.b.switch_to_block(self.noted_exit);
        let [status, found, at] = *self.b.block_params(self.noted_exit) else {
            unreachable!("it was made with three parameters")
        };
        let flags = self.regions.context;
        self.enter_lane();
        self.b.ins().store(flags, found, self.context, offset_of!(Context, found) as i32);
        self.b.ins().store(flags, at, self.context, offset_of!(Context, at) as i32);
        self.b.ins().jump(self.exit, &[status.into()]);
        self.b.switch_to_block(self.exit);
        let status = self.b.block_params(self.exit)[0];
        self.enter_lane();
        self.finish(status);
    }

    /// The walk has ended.
    fn finish(&mut self, status: ir::Value) {
        if self.lanes.is_some() {
            self.leave_lane(status);
        } else {
            self.end_counts();
            self.b.ins().return_(&[status]);
        }
    }

    /// The Cranelift block of an IR block, made when first asked for.
    pub fn clif_block(&mut self, block: Block) -> ir::Block {
        if let Some(made) = self.blocks[block.index()] {
            return made;
        }
        let made = self.b.create_block();
        let data = self.f.block(block);
        let has_params = self.lanes.is_none();
        if has_params && self.disks[block.index()] == Some(block) {
            self.b.append_block_param(made, I64);
        }
        for &param in &data.params {
            if has_params && self.is_carried(param) {
                let ty = self.clif_type(param);
                let value = self.b.append_block_param(made, ty);
                self.set(param, value);
            }
        }
        self.blocks[block.index()] = Some(made);
        made
    }

    fn begin_block(&mut self, block: Block) {
        let made = self.clif_block(block);
        self.b.switch_to_block(made);
        let data = self.f.block(block);
        self.enter_lane();
        self.disk = match &self.lanes {
            Some(lanes) => data.disk.map(|_| self.b.use_var(lanes.disk)),
            None => self.disks[block.index()].map(|origin| {
                let origin = self.clif_block(origin);
                self.b.block_params(origin)[0]
            }),
        };
        self.disk_min = data.disk.map_or(0, |disk| disk.min);
        for &param in &data.params {
            if let Some(word) = self.known(param) {
                let ty = self.clif_type(param);
                let value = self.b.ins().iconst(ty, word);
                self.set(param, value);
            }
        }
    }

    fn insts(&mut self, block: Block) {
        for (i, inst) in self.f.block(block).insts.iter().enumerate() {
            if self.needed.is_done(self.f, inst) {
                self.cut_before(block, i, inst);
                self.inst(inst);
            }
        }
    }

    fn terminator(&mut self, block: Block) {
        match &self.f.block(block).term {
            Terminator::Jump(target) => self.jump(target),
            Terminator::Branch { cond, then, .. } if self.needed.holds(*cond) => self.jump(then),
            Terminator::Branch { cond, then, other } => {
                let cond = self.get(*cond);
                let (yes, no) = (self.way(then), self.way(other));
                self.b.ins().brif(cond, yes.0, &yes.1, no.0, &no.1);
                self.fill_way(&yes, then);
                self.fill_way(&no, other);
            }
            Terminator::Hop { source, offset, len, next, keep: _, fault } => {
                self.hop(*source, *offset, *len, *fault);
                if self.lanes.is_some() {
                    self.go_on_behind_hop(block, *source, *len, next);
                } else {
                    let (block, args) = self.target(next, Some(*len));
                    self.b.ins().jump(block, &args);
                }
            }
            Terminator::Emit { next, keep: _ } => {
                let (context, out) = (self.context, self.out);
                self.call(Callbacks::row(), &[context, out], false);
                self.jump(next);
            }
            Terminator::Return => {
                let done = self.b.ins().iconst(I64, Status::Done.encode());
                self.finish(done);
            }
            Terminator::Fault(fault) => self.end(fault),
        }
    }

    fn jump(&mut self, target: &Target) {
        let (block, args) = self.target(target, None);
        self.b.ins().jump(block, &args);
    }

    /// One way of a branch: in a batch, parameters are set on the way and must not be seen on the other one.
    fn way(&mut self, target: &Target) -> (ir::Block, Vec<BlockArg>) {
        if self.lanes.is_none() {
            return self.target(target, None);
        }
        if target.args.is_empty() {
            return (self.clif_block(target.block), Vec::new());
        }
        (self.b.create_block(), Vec::new())
    }

    /// Fills what [`way`](Self::way) has made.
    fn fill_way(&mut self, (block, _): &(ir::Block, Vec<BlockArg>), target: &Target) {
        if self.lanes.is_some() && !target.args.is_empty() {
            self.b.switch_to_block(*block);
            self.jump(target);
        }
    }

    /// Block and arguments of a jump; `first` goes before the target's own arguments.
    fn target(&mut self, target: &Target, first: Option<Value>) -> (ir::Block, Vec<BlockArg>) {
        let block = self.clif_block(target.block);
        if self.lanes.is_some() {
            self.set_params(target, first);
            return (block, Vec::new());
        }
        let mut args = Vec::with_capacity(target.args.len() + 2);
        if self.disks[target.block.index()] == Some(target.block) {
            let disk = self.disk.expect("the verifier has shown that a disk block is there");
            args.push(BlockArg::Value(disk));
        }
        let params = &self.f.block(target.block).params;
        for (&arg, &param) in first.iter().chain(&target.args).zip(params) {
            if self.is_carried(param) {
                let arg = match self.factors.get(&param) {
                    Some(&factor) => self.multiple(arg, factor),
                    None => self.get(arg),
                };
                args.push(BlockArg::Value(arg));
            }
        }
        (block, args)
    }

    /// Ends the walk with a fault unless `cond` holds.
    pub fn fault_unless(&mut self, cond: ir::Value, fault: &FaultRef) {
        self.fault_where(cond, false, fault);
    }

    /// Ends the walk with a fault if `cond` holds.
    pub fn fault_if(&mut self, cond: ir::Value, fault: &FaultRef) {
        self.fault_where(cond, true, fault);
    }

    /// Ends the walk with a fault that reports no value if `cond` holds.
    pub fn bare_fault_if(&mut self, cond: ir::Value, fault: FaultId) {
        self.fault_where(cond, true, &FaultRef { fault, found: None, at: None });
    }

    /// Ends with faults that report no value are shared.
    fn fault_where(&mut self, cond: ir::Value, is: bool, fault: &FaultRef) {
        let is_bare = fault.found.is_none() && fault.at.is_none();
        if let Some(&end) = self.ends.get(&fault.fault).filter(|_| is_bare) {
            return self.leave_where(cond, is, end);
        }
        let end = self.leave_to(cond, is, |lower| lower.end(fault));
        if is_bare {
            self.ends.insert(fault.fault, end);
        }
    }

    /// Goes to a new cold block if `cond` is `is`, and there does what `fill` emits. Gives the block.
    pub fn leave_to(&mut self, cond: ir::Value, is: bool, fill: impl FnOnce(&mut Self)) -> ir::Block {
        let end = self.b.create_block();
        self.b.set_cold_block(end);
        self.leave_where(cond, is, end);
        let go_on = self.b.current_block().expect("it was just begun");
        self.b.switch_to_block(end);
        fill(self);
        self.b.switch_to_block(go_on);
        end
    }

    fn leave_where(&mut self, cond: ir::Value, is: bool, end: ir::Block) {
        let go_on = self.b.create_block();
        let (yes, no) = if is { (end, go_on) } else { (go_on, end) };
        self.b.ins().brif(cond, yes, &[], no, &[]);
        self.b.switch_to_block(go_on);
    }

    /// Ends the walk with a fault.
    fn end(&mut self, fault: &FaultRef) {
        let status = Status::Fault { fault: fault.fault.0, found: fault.found.is_some(), at: fault.at.is_some() };
        let status = self.b.ins().iconst(I64, status.encode());
        if fault.found.is_none() && fault.at.is_none() {
            return self.exit(status);
        }
        let [found, at] = [fault.found, fault.at].map(|v| match v {
            Some(v) => self.word(v),
            None => self.const_word(0),
        });
        self.b.ins().jump(self.noted_exit, &[status, found, at].map(BlockArg::Value));
    }

    /// Ends the walk with a status.
    pub fn exit(&mut self, status: ir::Value) {
        self.b.ins().jump(self.exit, &[status.into()]);
    }

    /// Calls a function of this program; with `returns`, its result.
    pub fn call(&mut self, callee: usize, args: &[ir::Value], returns: bool) -> ir::Value {
        let returns: &[ir::Type] = if returns { &[I64] } else { &[] };
        let types = vec![I64; args.len()];
        let signature = self.b.import_signature(signature(self.call_conv, &types, returns));
        let callee = self.const_word(callee as u64);
        let inst = self.b.ins().call_indirect(signature, callee, args);
        self.b.inst_results(inst).first().copied().unwrap_or(callee)
    }
}
