//! Instruction selection: verified IR to virtual BPF code.
//!
//! The entry dispatches on the word `step` to the entry block or to where the last hop or row left off; there the parameters
//! are loaded from the frame. Values that are the same word (`Cast`, `Refine`, `Reinterpret`, `Check`) share one register, numbers become
//! immediates, comparisons melt into the jump, guard or select that tests them.

mod arith;
mod cond;
mod flow;
mod memory;
mod search;
mod uses;
mod varint;
mod widen;

use super::abi::StateLayout;
use super::insn::{AluOp, Cond, Rhs};
use super::profile::Isa;
use super::program::Symbol;
use super::target::{Areas, Target};
use super::vcode::{Exit, Report, VBlock, VCode, VInsn, VReg};
use crate::fx::FxHashMap;
use crate::ir::defs::{Def, Defs};
use crate::ir::graph::Graph;
use crate::ir::verify::Steps;
use crate::ir::{Addr, Block, FaultRef, Function, Inst, Op, Region, Value};
use crate::source::Span;
use uses::Uses;
use widen::Widening;

/// Selects the instructions of a function. `constants` says where each constant table begins.
pub fn select(f: &Function, layout: &StateLayout, constants: &[u32], target: &Target, isa: Isa) -> VCode {
    let defs = Defs::of(f);
    let graph = Graph::of(f);
    let widening = Widening::of(f, &graph, &defs);
    // A routine knows areas by their addresses only.
    let calls = target.areas == Areas::Maps;
    let uses = Uses::of(f, &graph, &defs, &widening, &layout.cuts);
    let mut selector = Selector {
        f,
        layout,
        constants,
        uses,
        defs,
        steps: Steps::of(f, &graph),
        graph,
        widening,
        block_size: target.block_size,
        calls,
        isa,
        code: VCode::default(),
        registers: vec![None; f.values.len()],
        shared: FxHashMap::default(),
        left: vec![None; f.blocks.len()],
        copies: FxHashMap::default(),
        decoded: None,
        outside: search::Outside::default(),
        blocks: Vec::new(),
        known: vec![Known::default(); f.blocks.len()],
        zero: VReg(0),
        current: VBlock(0),
        at: Block(0),
        here: Known::default(),
        span: f.span,
    };
    selector.function();
    selector.code.ordered()
}

/// What a variable address is made of. Not only of equal words: a tighter claim is another key, since the bound that is tested follows from
/// the accesses that the claim allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct AddrKey {
    region: Region,
    base: Option<Value>,
    index: Option<Value>,
}

impl AddrKey {
    fn of(f: &Function, addr: &Addr) -> AddrKey {
        let variable = |v: Option<Value>| v.filter(|v| f.value(*v).range.as_const().is_none());
        AddrKey { region: addr.region, base: variable(addr.base), index: variable(addr.index) }
    }
}

/// Registers that hold on to something in a block and in the blocks that only it leads to.
///
/// Areas' addresses are among them, and not kept for the whole program: loading one again costs no more than a move, while a register
/// that is held all the time costs spills.
#[derive(Clone, Debug, Default)]
struct Known {
    areas: FxHashMap<Symbol, VReg>,
    pointers: FxHashMap<AddrKey, VReg>,
    masks: FxHashMap<Value, VReg>,
    /// Values that live in memory.
    loaded: FxHashMap<Value, VReg>,
    /// Values that have been widened.
    widened: FxHashMap<Value, VReg>,
    /// The block that led here, if that was a way out of a loop.
    left: Option<Block>,
}

struct Selector<'a> {
    f: &'a Function,
    layout: &'a StateLayout,
    constants: &'a [u32],
    uses: Uses,
    defs: Defs,
    graph: Graph,
    steps: Steps,
    widening: Widening,
    /// Bytes of the block area that this program may touch.
    block_size: u32,
    /// Whether it calls routines.
    calls: bool,
    /// The instructions that it may use.
    isa: Isa,
    code: VCode,
    registers: Vec<Option<VReg>>,
    /// Pointers that hold wherever their place in [`Uses::place`] dominates.
    shared: FxHashMap<AddrKey, VReg>,
    /// For each block the block in a loop from which the way to it came last.
    left: Vec<Option<Block>>,
    /// Widened copies of counters.
    copies: FxHashMap<Value, VReg>,
    /// The number of the last varint, if it is needed.
    decoded: Option<VReg>,
    /// What searches use in each round and is made before them.
    outside: search::Outside,
    blocks: Vec<VBlock>,
    /// For each block what is known at its start, when one block alone leads to it.
    known: Vec<Known>,
    /// A word that is zero, which the kernel's verifier does not know.
    zero: VReg,
    current: VBlock,
    /// The block that is being selected.
    at: Block,
    here: Known,
    span: Span,
}

impl Selector<'_> {
    fn function(&mut self) {
        let entry = self.code.block();
        self.blocks = self.f.blocks.iter().map(|_| self.code.block()).collect();
        for (id, block) in self.f.blocks() {
            let mut params = Vec::new();
            for param in &block.params {
                if self.uses.is_needed(*param) && !self.layout.cuts.is_stored(*param) {
                    params.push(self.define(*param));
                }
            }
            if self.layout.cuts.turns(id).is_some_and(|turns| turns > 0) {
                params.push(self.code.vreg());
            }
            self.code.blocks[self.blocks[id.index()].0 as usize].params = params;
        }
        self.dispatch(entry);
        for block in self.graph.order.clone() {
            self.block(block);
        }
    }

    // Operations.

    fn inst(&mut self, inst: &Inst) {
        match &inst.op {
            Op::Guard { cond, fault } => {
                if !self.guarded_pointer(*cond, fault) {
                    self.guard(*cond, fault);
                }
            }
            Op::Varint { kind, addr, limit, outside, wide } => {
                let result = inst.result.expect("a varint has a size");
                self.varint(result, *kind, addr, *limit, (outside, wide.as_ref()));
            }
            Op::Check { region, a, size, limit, fault } => {
                let result = inst.result.expect("a check makes a value");
                self.check(result, *region, *a, *size, *limit, fault);
            }
            Op::Store { addr, width, endian, value } => self.store(addr, *width, *endian, *value),
            Op::Copy { to, from, len } => self.copy(to, from, *len),
            Op::Prove { .. } => unreachable!("no obligation is left in a verified function"),
            Op::Binary { op, mode, a, b } => {
                let result = inst.result.expect("arithmetic makes a value");
                self.binary(result, *op, mode, *a, *b);
            }
            op => {
                if let Some(result) = inst.result.filter(|v| self.uses.is_needed(*v) && !self.uses.is_tested(*v)) {
                    self.value(result, op);
                }
            }
        }
    }

    /// An operation that only makes a value.
    fn value(&mut self, result: Value, op: &Op) {
        let register = match op {
            Op::Const(n) => self.imm(*n),
            Op::Arg(i) => self.load_state(self.layout.args + self.f.args[*i as usize].offset),
            Op::ArgLen(i) => self.load_state(self.layout.args + self.f.args[*i as usize].offset),
            Op::Refine { a, .. } if self.widening.is_resumed(self.f, *a) => {
                let (dst, a) = (self.code.vreg(), self.counted(*a));
                self.push(VInsn::Tested { dst, a });
                dst
            }
            Op::Cast(a) | Op::Reinterpret(a) | Op::Refine { a, .. } => self.counted(*a),
            Op::Decoded(_) => self.decoded.expect("it is right behind its varint"),
            Op::Extend { bits, a } => self.extend(self.f.value(result).ty, *bits, *a),
            Op::Compare { op, a, b } => self.compare_word(*op, *a, *b),
            Op::Select { cond, a, b } if self.is_parted(result, *cond) => self.part(*cond, *a, *b),
            Op::Select { cond, a, b } => self.select(*cond, *a, *b),
            Op::Load { addr, width, endian } => self.load(self.f.value(result).ty, addr, *width, *endian),
            Op::Binary { .. }
            | Op::Varint { .. }
            | Op::Check { .. }
            | Op::Guard { .. }
            | Op::Prove { .. }
            | Op::Store { .. }
            | Op::Copy { .. } => {
                unreachable!("operations with an effect are selected elsewhere")
            }
        };
        self.registers[result.index()] = Some(register);
    }

    /// The way out for a fault.
    fn exit(&mut self, fault: &FaultRef) -> Exit {
        let mut report = |v: Option<Value>| {
            v.map(|v| match self.number(v) {
                Some(n) => Report::Const(n),
                None => Report::Reg(self.reg(v)),
            })
        };
        Exit::Fault { fault: fault.fault, found: report(fault.found), at: report(fault.at) }
    }

    // Registers.

    fn push(&mut self, insn: VInsn) {
        self.code.blocks[self.current.0 as usize].insns.push((insn, self.span));
    }

    /// Gives a value a new register.
    fn define(&mut self, v: Value) -> VReg {
        let register = self.code.vreg();
        self.registers[v.index()] = Some(register);
        register
    }

    /// The word, when the claim leaves only one.
    fn number(&self, v: Value) -> Option<u64> {
        self.f.value(v).range.as_const().map(|n| n as u64)
    }

    /// A register with the value.
    fn reg(&mut self, v: Value) -> VReg {
        if let Some(n) = self.number(v) {
            return self.imm(n);
        }
        if self.is_away(v) {
            return self.load_home(v);
        }
        let copy = self.widening.copied_counter(v).and_then(|counter| self.copies.get(&counter));
        if let Some(copy) = copy {
            return *copy;
        }
        if let Some(register) = self.here.widened.get(&v) {
            return *register;
        }
        let register = self.registers[v.index()];
        let register = register.unwrap_or_else(|| unreachable!("{v} is needed, so it was defined before its use"));
        match self.here.left {
            Some(from) if self.widening.on_way(v, from, self.at) => {
                let register = self.widen(register);
                self.here.widened.insert(v, register);
                register
            }
            _ => register,
        }
    }

    /// Whether the value is in memory only: it lives there, and was not made in this block.
    fn is_away(&self, v: Value) -> bool {
        let cuts = &self.layout.cuts;
        let elsewhere = || self.defs.get(v).map(Def::block) != Some(self.at) && !cuts.is_own(v, self.at);
        cuts.is_home(v) && (cuts.is_stored(v) || elsewhere())
    }

    fn load_home(&mut self, v: Value) -> VReg {
        if let Some(register) = self.here.loaded.get(&v) {
            return *register;
        }
        let register = self.load_state(self.home(v));
        self.here.loaded.insert(v, register);
        register
    }

    /// A register with the value; with the counter itself, where a copy stands for it otherwise.
    fn counted(&mut self, v: Value) -> VReg {
        let copied = self.number(v).is_none() && self.widening.copied_counter(v).is_some() && !self.is_away(v);
        match self.registers[v.index()].filter(|_| copied) {
            Some(register) => register,
            None => self.reg(v),
        }
    }

    /// The same word, of which the kernel's verifier knows nothing.
    fn widen(&mut self, register: VReg) -> VReg {
        self.alu(AluOp::Add, register, self.zero)
    }

    /// The value as a second operand.
    fn rhs(&mut self, v: Value) -> Rhs<VReg> {
        match self.number(v) {
            Some(n) => self.rhs_number(n),
            None => Rhs::Reg(self.reg(v)),
        }
    }

    fn rhs_number(&mut self, n: u64) -> Rhs<VReg> {
        match i32::try_from(n as i64) {
            Ok(imm) => Rhs::Imm(imm),
            Err(_) => Rhs::Reg(self.imm(n)),
        }
    }

    fn imm(&mut self, value: u64) -> VReg {
        let dst = self.code.vreg();
        self.push(VInsn::Imm { dst, value });
        dst
    }

    fn alu(&mut self, op: AluOp, a: VReg, b: impl Into<Rhs<VReg>>) -> VReg {
        let dst = self.code.vreg();
        self.push(VInsn::Alu { op, dst, a, b: b.into() });
        dst
    }

    fn neg(&mut self, a: VReg) -> VReg {
        let dst = self.code.vreg();
        self.push(VInsn::Neg { dst, a });
        dst
    }

    /// Leaves for `exit` if the test holds.
    fn exit_if(&mut self, test: cond::Test, exit: Exit) {
        match test {
            cond::Test::Known(false) => {}
            cond::Test::Known(true) => {
                // The rest of the block stays reachable for the kernel, which refuses instructions that are not.
                let a = self.imm(0);
                self.push(VInsn::ExitIf { cond: Cond::Ge, a, b: Rhs::Imm(0), exit });
            }
            cond::Test::Jump(cond, a, b) => self.push(VInsn::ExitIf { cond, a, b, exit }),
        }
    }
}

impl From<VReg> for Rhs<VReg> {
    fn from(r: VReg) -> Self {
        Rhs::Reg(r)
    }
}

impl From<i32> for Rhs<VReg> {
    fn from(imm: i32) -> Self {
        Rhs::Imm(imm)
    }
}
