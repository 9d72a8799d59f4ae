//! Gives virtual code its registers, by the crate regalloc2.
//!
//! Owns the one place in which its types are spoken. All ten registers are free for it; a call leaves r6 to r9 as they are.

use super::error::BpfError;
use super::vcode::{Exit, Onto, Report, VBlock, VBlockData, VCode, VInsn, VReg};
use crate::rows::Rows;
use ra::{Allocation, Edit, InstOrEdit, MachineEnv, Operand, PReg, PRegSet, RegClass};
use regalloc2 as ra;

/// Registers that hold values: r0 to r9.
const REGISTERS: std::ops::Range<usize> = 0..10;

/// What a call changes beside r0, its result.
const CLOBBERED: std::ops::Range<usize> = 1..6;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Home {
    /// In a register.
    Reg(u8),
    /// In this stack slot of 8 bytes.
    Stack(u32),
}

/// What happens in a block, in order.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// The instruction at this position in the block, with the homes of its operands in the order of [`operands`].
    Insn(usize, &'a [Home]),
    /// A value changes its home.
    Move { from: Home, to: Home },
}

/// The registers of a function.
pub struct Allocated<'a> {
    input: Input<'a>,
    output: ra::Output,
}

impl Allocated<'_> {
    /// How many stack slots are used.
    pub fn stack_slots(&self) -> u32 {
        self.output.num_spillslots as u32
    }

    /// Calls `f` on what happens in a block.
    pub fn for_each_event(&self, block: VBlock, mut f: impl FnMut(Event<'_>)) {
        let joins = joins(&self.input.code.blocks[block.0 as usize]);
        let first = self.input.ranges[block.0 as usize].start + usize::from(joins);
        let mut homes = Vec::new();
        for event in self.output.block_insts_and_edits(&self.input, ra::Block::new(block.0 as usize)) {
            match event {
                InstOrEdit::Inst(insn) => {
                    homes.clear();
                    homes.extend(self.output.inst_allocs(insn).iter().map(|a| home(*a)));
                    if let Some(position) = insn.index().checked_sub(first) {
                        f(Event::Insn(position, &homes));
                    }
                }
                InstOrEdit::Edit(Edit::Move { from, to }) => f(Event::Move { from: home(*from), to: home(*to) }),
            }
        }
    }
}

fn home(a: Allocation) -> Home {
    match (a.as_reg(), a.as_stack()) {
        (Some(r), _) => Home::Reg(r.hw_enc() as u8),
        (_, Some(s)) => Home::Stack(s.index() as u32),
        _ => unreachable!("each operand has a register or a stack slot"),
    }
}

/// Allocates.
pub fn allocate(code: &VCode) -> Result<Allocated<'_>, BpfError> {
    let insns: usize = code.blocks.iter().map(|b| b.insns.len()).sum();
    // The limits of regalloc2's own encodings.
    if code.vregs as usize >= ra::VReg::MAX || insns >= 1 << 24 {
        return Err(BpfError::TooLong { insns: insns as u64 });
    }
    let input = Input::new(code);
    let registers: PRegSet = REGISTERS.map(register).collect();
    let env = MachineEnv {
        preferred_regs_by_class: [registers, PRegSet::empty(), PRegSet::empty()],
        non_preferred_regs_by_class: [PRegSet::empty(); 3],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    };
    let options = ra::RegallocOptions { validate_ssa: cfg!(debug_assertions), ..Default::default() };
    let output = ra::run(&input, &env, &options).unwrap_or_else(|e| {
        panic!("virtual code is SSA in split form and needs few registers an instruction, but {e}")
    });
    Ok(Allocated { input, output })
}

/// Calls `f` on each operand in the order in which homes are given.
fn operands(insn: &VInsn, mut f: impl FnMut(Operand)) {
    use super::insn::Rhs;
    let v = |r: VReg| ra::VReg::new(r.0 as usize, RegClass::Int);
    let reads = |r: &Rhs<VReg>, f: &mut dyn FnMut(Operand)| {
        if let Rhs::Reg(r) = r {
            f(Operand::reg_use(v(*r)));
        }
    };
    match insn {
        VInsn::Imm { dst, .. } | VInsn::Address { dst, .. } => f(Operand::reg_def(v(*dst))),
        VInsn::Alu { dst, a, b, .. } => {
            f(Operand::reg_reuse_def(v(*dst), 1));
            f(Operand::reg_use(v(*a)));
            reads(b, &mut f);
        }
        VInsn::DivideSigned { dst, a, b, .. } => {
            f(Operand::reg_reuse_def(v(*dst), 1));
            f(Operand::reg_use(v(*a)));
            f(Operand::reg_use(v(*b)));
        }
        VInsn::Low { dst, a } | VInsn::SignExtend { dst, a, .. } => {
            f(Operand::reg_def(v(*dst)));
            f(Operand::reg_use(v(*a)));
        }
        VInsn::Neg { dst, a } | VInsn::Swap { dst, a, .. } | VInsn::Tested { dst, a } => {
            f(Operand::reg_reuse_def(v(*dst), 1));
            f(Operand::reg_use(v(*a)));
        }
        VInsn::Load { dst, base, .. } => {
            f(Operand::reg_def(v(*dst)));
            f(Operand::reg_use(v(*base)));
        }
        VInsn::Store { base, value, .. } => {
            f(Operand::reg_use(v(*base)));
            reads(value, &mut f);
        }
        VInsn::Bounded { dst, base, var, exit, onto, .. } => {
            f(Operand::reg_reuse_def(v(*dst), if *onto == Onto::Base { 1 } else { 2 }));
            f(Operand::reg_use(v(*base)));
            f(Operand::reg_use(v(*var)));
            reports(exit, |r| f(Operand::any_use(v(r))));
        }
        VInsn::ExitIf { a, b, exit, .. } => {
            f(Operand::reg_use(v(*a)));
            reads(b, &mut f);
            reports(exit, |r| f(Operand::any_use(v(r))));
        }
        VInsn::Fail { exit } => reports(exit, |r| f(Operand::any_use(v(r)))),
        VInsn::Copy { to, from, len, temps, .. } => {
            temps.iter().for_each(|t| f(Operand::reg_temp(v(*t))));
            [to, from].into_iter().filter_map(|p| p.var).for_each(|r| f(Operand::reg_use(v(r))));
            reads(len, &mut f);
        }
        VInsn::Branch { a, b, .. } => {
            f(Operand::reg_use(v(*a)));
            reads(b, &mut f);
        }
        VInsn::Call { dst, args, .. } => {
            f(Operand::reg_fixed_def(v(*dst), register(0)));
            args.iter().zip(1..).for_each(|(arg, r)| f(Operand::reg_fixed_use(v(*arg), register(r))));
        }
        VInsn::Checkpoint | VInsn::Jump { .. } | VInsn::Return { .. } => {}
    }
}

fn register(r: usize) -> PReg {
    PReg::new(r, RegClass::Int)
}

fn reports(exit: &Exit, mut f: impl FnMut(VReg)) {
    if let Exit::Fault { found, at, .. } = exit {
        for report in [found, at] {
            if let Some(Report::Reg(r)) = report {
                f(*r);
            }
        }
    }
}

/// Virtual code as regalloc2 asks for it: flat tables.
struct Input<'a> {
    code: &'a VCode,
    ranges: Vec<std::ops::Range<usize>>,
    succs: Rows<ra::Block>,
    preds: Rows<ra::Block>,
    params: Rows<ra::VReg>,
    args: Rows<ra::VReg>,
    operands: Rows<Operand>,
    ends: Vec<End>,
    calls: Vec<bool>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    No,
    Branch,
    Return,
}

impl<'a> Input<'a> {
    fn new(code: &'a VCode) -> Self {
        let (n, insns) = (code.blocks.len(), code.blocks.iter().map(|b| b.insns.len()).sum());
        let vregs = |rs: &'a [VReg]| rs.iter().map(|r| ra::VReg::new(r.0 as usize, RegClass::Int));
        let ends = || code.blocks.iter().enumerate().filter_map(|(i, b)| Some((i, &b.insns.last()?.0)));
        let edges = ends().flat_map(|(from, end)| end.targets().map(move |to| (from, to.0 as usize)));
        let params = code.blocks.iter().map(|b| &b.params).enumerate();
        let args = ends().filter_map(|(i, end)| match end {
            VInsn::Jump { args, .. } => Some((i, args)),
            _ => None,
        });
        let mut input = Input {
            code,
            ranges: Vec::with_capacity(n),
            succs: Rows::of(n, edges.clone().map(|(from, to)| (from, ra::Block::new(to)))),
            preds: Rows::of(n, edges.map(|(from, to)| (to, ra::Block::new(from)))),
            params: Rows::of(n, params.flat_map(|(i, params)| vregs(params).map(move |r| (i, r)))),
            args: Rows::of(n, args.flat_map(|(i, args)| vregs(args).map(move |r| (i, r)))),
            operands: Rows::with_capacity(insns),
            ends: Vec::with_capacity(insns),
            calls: Vec::with_capacity(insns),
        };
        let mut row = Vec::new();
        for block in &code.blocks {
            let first = input.ends.len();
            if joins(block) {
                input.push(None, &mut row);
            }
            for (insn, _) in &block.insns {
                input.push(Some(insn), &mut row);
            }
            input.ranges.push(first..input.ends.len());
        }
        input
    }

    /// The next instruction; none for one that does nothing. `row` is empty.
    fn push(&mut self, insn: Option<&VInsn>, row: &mut Vec<Operand>) {
        insn.into_iter().for_each(|insn| operands(insn, |o| row.push(o)));
        self.operands.push(row.drain(..));
        self.calls.push(matches!(insn, Some(VInsn::Call { .. })));
        self.ends.push(match insn {
            Some(VInsn::Jump { .. } | VInsn::Branch { .. }) => End::Branch,
            Some(VInsn::Return { .. } | VInsn::Fail { .. }) => End::Return,
            _ => End::No,
        });
    }
}

/// Whether ways join here. For the allocator such a block begins with an instruction that does nothing: what its first one needs from the stack is
/// then loaded behind the join, once, and not on each way to it.
fn joins(block: &VBlockData) -> bool {
    !block.params.is_empty()
}

impl ra::Function for Input<'_> {
    fn num_insts(&self) -> usize {
        self.ends.len()
    }
    fn num_blocks(&self) -> usize {
        self.ranges.len()
    }
    fn entry_block(&self) -> ra::Block {
        ra::Block::new(0)
    }
    fn block_insns(&self, block: ra::Block) -> ra::InstRange {
        let range = &self.ranges[block.index()];
        ra::InstRange::new(ra::Inst::new(range.start), ra::Inst::new(range.end))
    }
    fn block_succs(&self, block: ra::Block) -> &[ra::Block] {
        &self.succs[block.index()]
    }
    fn block_preds(&self, block: ra::Block) -> &[ra::Block] {
        &self.preds[block.index()]
    }
    fn block_params(&self, block: ra::Block) -> &[ra::VReg] {
        &self.params[block.index()]
    }
    fn is_ret(&self, insn: ra::Inst) -> bool {
        self.ends[insn.index()] == End::Return
    }
    fn is_branch(&self, insn: ra::Inst) -> bool {
        self.ends[insn.index()] == End::Branch
    }
    fn branch_blockparams(&self, block: ra::Block, _: ra::Inst, _: usize) -> &[ra::VReg] {
        &self.args[block.index()]
    }
    fn inst_operands(&self, insn: ra::Inst) -> &[Operand] {
        &self.operands[insn.index()]
    }
    fn inst_clobbers(&self, insn: ra::Inst) -> PRegSet {
        if self.calls[insn.index()] { CLOBBERED.map(register).collect() } else { PRegSet::empty() }
    }
    fn num_vregs(&self) -> usize {
        self.code.vregs as usize
    }
    fn spillslot_size(&self, _: RegClass) -> usize {
        1
    }
}
