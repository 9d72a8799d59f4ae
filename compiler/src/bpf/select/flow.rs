//! Control flow: where a run begins and goes on, how blocks pass values to one another, how a run ends.

use super::cond::Test;
use super::{Known, Selector};
use crate::bpf::abi::{self, Resume, Status, word};
use crate::bpf::insn::{AluOp, Cond, Rhs};
use crate::bpf::program::Turns;
use crate::bpf::vcode::{Exit, VBlock, VInsn, VReg};
use crate::ir::{Block, Function, LoopInfo, Op, Target, Terminator, Value};

impl Selector<'_> {
    pub(super) fn dispatch(&mut self, entry: VBlock) {
        self.current = entry;
        let points = abi::resume_points(self.f, &self.layout.cuts);
        let widens = |op: &Op| matches!(op, Op::Copy { .. }) || matches!(op, Op::Varint { .. }) && !self.calls;
        let joins = |f: &Function| f.blocks.iter().flat_map(|b| &b.insts).any(|i| widens(&i.op));
        if self.widening.any() || joins(self.f) {
            self.zero = self.load_state(8 * word::ZERO as u32);
        }
        if !points.is_empty() {
            let step = self.load_state(8 * word::STEP as u32);
            for (i, point) in points.into_iter().enumerate() {
                let (then, other) = (self.code.block(), self.code.block());
                self.push(VInsn::Branch { cond: Cond::Eq, a: step, b: Rhs::Imm(i as i32 + 1), then, other });
                self.code.resumes.push(then);
                self.current = then;
                self.resume(point);
                self.current = other;
            }
        }
        self.inherit(Block(0));
        self.push(VInsn::Jump { to: self.blocks[0], args: Vec::new() });
    }

    /// Loads the parameters and goes on.
    fn resume(&mut self, point: Resume) {
        let (block, hop) = match point {
            Resume::Hop(block) => (block, true),
            Resume::Emit(block) | Resume::Turn(block) => (block, false),
        };
        let mut args = Vec::new();
        for (i, param) in self.f.block(block).params.iter().enumerate() {
            if self.uses.is_needed(*param) {
                let off = match i.checked_sub(hop.into()) {
                    Some(i) => self.layout.frame + 8 * i as u32,
                    None => 8 * word::LEN as u32,
                };
                let register = self.load_state(off);
                if self.layout.cuts.is_stored(*param) {
                    self.store_state(self.home(*param), Rhs::Reg(register));
                } else {
                    args.push(register);
                }
            }
        }
        if self.turn_counter(block).is_some() {
            args.push(self.imm(0));
        }
        self.inherit(block);
        self.push(VInsn::Jump { to: self.blocks[block.index()], args });
    }

    /// The parameter that counts the turns of a loop that is cut after some.
    fn turn_counter(&self, header: Block) -> Option<(VReg, u32)> {
        let turns = self.layout.cuts.turns(header).filter(|turns| *turns > 0)?;
        let last = self.code.blocks[self.blocks[header.index()].0 as usize].params.last();
        Some((*last.expect("such a header has this parameter"), turns))
    }

    pub(super) fn block(&mut self, id: Block) {
        let block = self.f.block(id);
        self.current = self.blocks[id.index()];
        self.here = std::mem::take(&mut self.known[id.index()]);
        if self.here.left.is_none() {
            // Where all ways come out of loops, so does what joins them.
            let preds = &self.graph.predecessors[id.index()];
            let all = preds.iter().all(|(p, _)| self.left[p.index()].is_some());
            self.here.left = preds.first().filter(|_| all).and_then(|(p, _)| self.left[p.index()]);
        }
        self.at = id;
        self.left[id.index()] = self
            .here
            .left
            .filter(|from| self.widening.leaves(*from, id))
            .or_else(|| self.widening.is_inside(id).then_some(id));
        for param in &block.params {
            let in_register = self.registers[param.index()].is_some();
            if in_register && self.uses.is_needed(*param) && self.widening.at_start(*param) {
                let register = self.reg(*param);
                self.registers[param.index()] = Some(self.widen(register));
            }
        }
        if let Some(info) = block.header {
            self.header(id, info);
        }
        for param in &block.params {
            self.keep_home(*param);
        }
        for inst in &block.insts {
            self.span = inst.span;
            self.inst(inst);
            inst.result.into_iter().for_each(|v| self.keep_home(v));
        }
        self.span = block.span;
        self.share_pointers();
        self.make_outside(&block.term);
        self.terminator(&block.term);
    }

    /// Stores a value that lives in memory, once it is made.
    pub(super) fn keep_home(&mut self, v: Value) {
        let Some(register) = self.registers[v.index()].filter(|_| self.layout.cuts.is_home(v)) else { return };
        self.store_state(self.home(v), Rhs::Reg(register));
    }

    pub(super) fn home(&self, v: Value) -> u32 {
        let before = self.layout.cuts.homes().take_while(|home| *home < v).count();
        self.layout.homes + 8 * before as u32
    }

    fn header(&mut self, id: Block, LoopInfo { counter, most }: LoopInfo) {
        let turns = self.turns(id, most);
        if self.widening.is_outer(id) {
            self.push(VInsn::Checkpoint);
        }
        self.code.loops.push((self.blocks[id.index()], turns));
        if let Some((turn, turns)) = self.turn_counter(id) {
            self.cut(id, turn, turns);
        }
        let Some(register) = self.registers[counter.index()] else { return };
        let uncounted = self.widening.is_uncounted(id) && self.layout.cuts.turns(id).is_none();
        if let Some(most) = i32::try_from(most).ok().filter(|_| uncounted) {
            // The bound is some value, of which the verifier may know nothing.
            self.push(VInsn::ExitIf { cond: Cond::Gt, a: register, b: Rhs::Imm(most), exit: Exit::Trap });
        }
        // A run that begins inside the loop, where one in it is cut, has not come by here.
        let is_passed = !self.layout.cuts.headers().any(|cut| cut != id && self.widening.is_within(cut, id));
        if self.widening.copied_counter(counter).is_some() && is_passed {
            let copy = self.widen(register);
            self.copies.insert(counter, copy);
        }
    }

    /// How often the header is reached: the counter is another number each time, but for where the loop is cut, which comes here twice.
    fn turns(&self, header: Block, most: u64) -> Turns {
        let reached = most.saturating_add(1);
        match self.layout.cuts.turns(header).map(u64::from) {
            None | Some(0) => Turns { run: reached, walk: reached },
            Some(turns) => {
                let run = reached.min(turns + 1);
                Turns { run, walk: reached.saturating_add(reached / turns).saturating_add(1) }
            }
        }
    }

    /// Leaves the loop for another run once its turns are made.
    fn cut(&mut self, header: Block, turn: VReg, turns: u32) {
        let (again, on) = (self.code.block(), self.code.block());
        self.push(VInsn::Branch { cond: Cond::Ge, a: turn, b: Rhs::Imm(turns as i32), then: again, other: on });
        self.current = again;
        let here = self.here.clone();
        let params = self.f.block(header).params.clone();
        self.suspend_in(Resume::Turn(header), &params, &params, Status::Again);
        self.here = here;
        self.current = on;
    }

    fn terminator(&mut self, term: &Terminator) {
        match term {
            Terminator::Jump(target) => self.jump(target),
            Terminator::Branch { cond, then, .. } if self.uses.holds(*cond) => self.jump(then),
            Terminator::Branch { cond, then, other } => match self.test(*cond, true) {
                Test::Known(truth) => self.jump(if truth { then } else { other }),
                Test::Jump(cond, a, b) => {
                    let (then, other) = (self.edge(then), self.edge(other));
                    self.push(VInsn::Branch { cond, a, b, then, other });
                }
            },
            Terminator::Hop { source, offset, len, next, fault, .. } => {
                self.set_header(word::OFFSET, *offset);
                self.set_header(word::LEN, *len);
                // The harness begins with zeroes.
                if self.f.sources.len() > 1 {
                    self.store_state(8 * word::SOURCE as u32, Rhs::Imm(source.0 as i32));
                }
                self.store_state(8 * word::FAULT as u32, Rhs::Imm(fault.0 as i32));
                self.suspend(Resume::Hop(next.block), next, Status::Hop);
            }
            Terminator::Emit { next, .. } => self.suspend(Resume::Emit(next.block), next, Status::Emit),
            Terminator::Return => self.finish(Status::Done, None),
            Terminator::Fault(fault) => {
                let exit = self.exit(fault);
                self.push(VInsn::Fail { exit });
            }
        }
    }

    fn jump(&mut self, target: &Target) {
        if self.is_cut(target) {
            return self.suspend(Resume::Turn(target.block), target, Status::Again);
        }
        self.inherit(target.block);
        let args = self.arguments(target);
        self.push(VInsn::Jump { to: self.blocks[target.block.index()], args });
    }

    /// The block to which a branch goes: the target itself, or a block that passes the arguments.
    fn edge(&mut self, target: &Target) -> VBlock {
        let params = &self.f.block(target.block).params;
        let bare = !params.iter().any(|p| self.uses.is_needed(*p)) && self.uses.entries(target.block) == 1;
        if bare {
            self.inherit(target.block);
            return self.blocks[target.block.index()];
        }
        let (edge, current, here) = (self.code.block(), self.current, self.here.clone());
        self.current = edge;
        self.jump(target);
        self.current = current;
        self.here = here;
        edge
    }

    /// Whether this is a way back on which the loop is always cut.
    fn is_cut(&self, target: &Target) -> bool {
        self.layout.cuts.turns(target.block) == Some(0) && self.goes_back(target.block)
    }

    pub(super) fn goes_back(&self, to: Block) -> bool {
        self.graph.is_back(self.at, to)
    }

    fn inherit(&mut self, to: Block) {
        if self.uses.entries(to) == 1 {
            let left = self.here.left.unwrap_or(self.at);
            let mut known = Known { left: Some(left), ..self.here.clone() };
            if self.widening.leaves(self.at, to) {
                // They stand for values that are widened on the way.
                known.pointers.clear();
                known.masks.clear();
            }
            self.known[to.index()] = known;
        }
    }

    /// The registers of the arguments whose parameters are needed.
    pub(super) fn arguments(&mut self, target: &Target) -> Vec<VReg> {
        let params = &self.f.block(target.block).params;
        let mut args = Vec::new();
        // Parameters in memory that take one another's place are all read before they are written.
        let mut stores = Vec::new();
        for (param, arg) in params.iter().zip(&target.args) {
            if !self.uses.is_needed(*param) {
                continue;
            }
            if self.layout.cuts.is_stored(*param) {
                if arg != param {
                    let value = self.rhs(*arg);
                    match params.contains(arg) {
                        true => stores.push((*param, value)),
                        false => self.store_state(self.home(*param), value),
                    }
                }
                continue;
            }
            let register = self.reg(*arg);
            let known = self.number(*arg).is_none() && self.widening.on_way(*arg, self.at, target.block);
            args.push(if known { self.widen(register) } else { register });
        }
        for (param, value) in stores {
            self.store_state(self.home(param), value);
        }
        if let Some((turn, _)) = self.turn_counter(target.block) {
            args.push(if self.goes_back(target.block) { self.alu(AluOp::Add, turn, 1) } else { self.imm(0) });
        }
        args
    }

    fn suspend(&mut self, point: Resume, next: &Target, status: Status) {
        let params = &self.f.block(next.block).params;
        self.suspend_in(point, &params[params.len() - next.args.len()..], &next.args, status);
    }

    /// Saves the arguments whose parameters are needed, and returns.
    fn suspend_in(&mut self, point: Resume, params: &[Value], args: &[Value], status: Status) {
        for (i, (param, arg)) in params.iter().zip(args).enumerate() {
            if self.uses.is_needed(*param) {
                let value = match self.number(*arg) {
                    Some(n) => self.rhs_number(n),
                    None => Rhs::Reg(self.counted(*arg)),
                };
                self.store_state(self.layout.frame + 8 * i as u32, value);
            }
        }
        let points = abi::resume_points(self.f, &self.layout.cuts);
        let step = points.iter().position(|p| *p == point);
        let step = step.expect("every place that suspends has a resume point") as i32 + 1;
        self.store_state(8 * word::STEP as u32, Rhs::Imm(step));
        self.finish(status, Some(step as u32 - 1));
    }

    fn finish(&mut self, status: Status, resume: Option<u32>) {
        self.store_state(8 * word::STATUS as u32, Rhs::Imm(status as i32));
        self.push(VInsn::Return { status: status as u64, resume });
    }

    fn set_header(&mut self, word: usize, v: Value) {
        let value = self.rhs(v);
        self.store_state(8 * word as u32, value);
    }
}
