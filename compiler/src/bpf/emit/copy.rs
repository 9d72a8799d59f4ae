//! Copies of bytes between memory areas: straight for a small known length and for two words, else counted loops of eight bytes.
//!
//! A variable position is added up as a number and compared with a constant before it becomes a pointer, at each access: the
//! source may end just before its region does, and only `position + bytes so far` is bounded then. The last bytes of a variable length
//! are copied as one word that overlaps what is there already, so that one way leads out of the loop. Less than a word is joined to what follows
//! it in the word at the target, where one is known to be there: one way for all lengths.

use super::Emitter;
use crate::bpf::asm::Label;
use crate::bpf::insn::{AluOp, Cond, Reg, Rhs, Width};
use crate::bpf::program::Turns;
use crate::bpf::vcode::{Exit, Place};

/// A known length up to this is copied without a loop.
const STRAIGHT_MAX: u32 = 128;

/// A place with the register of its variable part.
type End<'a> = (&'a Place, Option<Reg>);

/// Registers to work with.
#[derive(Clone, Copy)]
struct Temps {
    i: Reg,
    position: Reg,
    pointer: Reg,
    data: Reg,
}

/// A position inside a copy.
#[derive(Clone, Copy)]
enum Step {
    Known(u32),
    /// In `Temps::i`, which has been compared with a constant.
    Counted,
}

impl Emitter<'_> {
    pub(super) fn copy(&mut self, to: End<'_>, from: End<'_>, len: Rhs<Reg>, max: u32, temps: [Reg; 4]) {
        let [i, position, pointer, data] = temps;
        let t = Temps { i, position, pointer, data };
        match len {
            Rhs::Imm(len) => self.copy_known(to, from, len as u32, t),
            Rhs::Reg(len) => self.copy_variable(to, from, len, max, t),
        }
    }

    fn copy_known(&mut self, to: End<'_>, from: End<'_>, len: u32, t: Temps) {
        self.pointer_to(from, len, t.position, t.i);
        self.pointer_to(to, len, t.pointer, t.i);
        let mut done = 0;
        if len > STRAIGHT_MAX {
            done = len & !31;
            let (top, end) = (self.asm.label(), self.asm.label());
            self.asm.imm(t.i, 0);
            self.asm.bind(top);
            self.turns(u64::from(done / 32) + 1);
            self.asm.branch(Cond::Ge, t.i, Rhs::Imm(done as i32), end);
            for k in [0, 8, 16, 24] {
                self.asm.load(Width::B8, t.data, t.position, k);
                self.asm.store(Width::B8, t.pointer, k, Rhs::Reg(t.data));
            }
            for r in [t.i, t.position, t.pointer] {
                self.asm.alu(AluOp::Add, r, Rhs::Imm(32));
            }
            self.asm.jump(top);
            self.asm.bind(end);
        }
        let rest = len - done;
        let mut k = 0;
        while k < rest {
            let width = Width::within(rest - k);
            self.asm.load(width, t.data, t.position, k as i16);
            self.asm.store(width, t.pointer, k as i16, Rhs::Reg(t.data));
            k += width.bytes();
        }
    }

    /// Here a loop begins that comes here so often.
    fn turns(&mut self, most: u64) {
        self.copies.push((self.asm.here(), Turns { run: most, walk: most }));
    }

    /// `dst` points to a place of which `len` bytes will be used.
    fn pointer_to(&mut self, (place, var): End<'_>, len: u32, dst: Reg, scratch: Reg) {
        self.address(dst, place.symbol, place.start + place.disp);
        if let Some(var) = var {
            self.asm.mov(scratch, var);
            self.bound(scratch, place, len);
            self.asm.alu(AluOp::Add, dst, Rhs::Reg(scratch));
        }
    }

    /// Leaves for the trap unless `len` bytes from this position (without the constant part) on lie in the region.
    fn bound(&mut self, position: Reg, place: &Place, len: u32) {
        let trap = self.exit(&Exit::Trap, &[]);
        match place.size.checked_sub(place.disp + len) {
            Some(limit) => self.asm.branch(Cond::Gt, position, Rhs::Imm(limit as i32), trap),
            None => self.asm.branch(Cond::Ge, position, Rhs::Imm(0), trap),
        }
    }

    fn copy_variable(&mut self, to: End<'_>, from: End<'_>, len: Reg, max: u32, t: Temps) {
        let end = self.asm.label();
        let ends = (to, from);
        let is_word_there = from.0.has_word || from.1.is_some() && from.0.size >= from.0.disp + Width::B8.bytes();
        let joins = to.0.has_word && is_word_there;
        for width in [Width::B8, Width::B4, Width::B2].into_iter().take(if joins { 1 } else { 3 }) {
            let least = width.bytes();
            if max >= least {
                let smaller = self.asm.label();
                self.asm.branch(Cond::Lt, len, Rhs::Imm(least as i32), smaller);
                // More than two words are left to a loop; of less than two halves of a word there are no more.
                let most = if width == Width::B8 { max } else { max.min(2 * least - 1) };
                match most > 2 * least {
                    true => self.copy_words(ends, len, max, t),
                    false => {
                        self.access(ends, Step::Known(0), width, t);
                        self.copy_last(ends, len, most, width, t);
                    }
                }
                self.asm.jump(end);
                self.asm.bind(smaller);
            }
        }
        if joins {
            self.copy_joined(ends, len, t);
        } else {
            self.asm.branch(Cond::Eq, len, Rhs::Imm(0), end);
            self.access(ends, Step::Known(0), Width::B1, t);
        }
        self.asm.bind(end);
    }

    /// Less than 8 bytes, or none: of a word at the source the lower ones, and of that at the target the others.
    fn copy_joined(&mut self, (to, from): (End<'_>, End<'_>), len: Reg, t: Temps) {
        match from {
            (place, Some(var)) if !place.has_word => {
                // The last word of the region begins before the source, if that is near its end.
                let last = (place.size - place.disp - Width::B8.bytes()) as i32;
                let near = self.asm.label();
                self.asm.imm(t.i, 0);
                self.asm.mov(t.position, var);
                self.asm.branch(Cond::Le, t.position, Rhs::Imm(last), near);
                self.asm.mov(t.i, t.position);
                self.asm.alu(AluOp::Sub, t.i, Rhs::Imm(last));
                self.asm.alu(AluOp::Lsh, t.i, Rhs::Imm(3));
                self.asm.imm(t.position, last as u64);
                self.asm.bind(near);
                self.address(t.pointer, place.symbol, place.start + place.disp);
                self.asm.alu(AluOp::Add, t.pointer, Rhs::Reg(t.position));
                self.asm.load(Width::B8, t.data, t.pointer, 0);
                self.asm.alu(AluOp::Rsh, t.data, Rhs::Reg(t.i));
            }
            _ => {
                self.locate(from, Step::Known(0), Width::B8, t);
                self.asm.load(Width::B8, t.data, t.pointer, 0);
            }
        }
        self.asm.mov(t.i, len);
        self.asm.alu(AluOp::Lsh, t.i, Rhs::Imm(3));
        self.asm.mov(t.position, t.data);
        self.clear_below(t.position, t.i);
        self.asm.alu(AluOp::Xor, t.data, Rhs::Reg(t.position));
        self.locate(to, Step::Known(0), Width::B8, t);
        self.asm.load(Width::B8, t.position, t.pointer, 0);
        self.clear_below(t.position, t.i);
        self.asm.alu(AluOp::Or, t.data, Rhs::Reg(t.position));
        self.asm.store(Width::B8, t.pointer, 0, Rhs::Reg(t.data));
    }

    /// Clears the lowest bits.
    fn clear_below(&mut self, word: Reg, bits: Reg) {
        self.asm.alu(AluOp::Rsh, word, Rhs::Reg(bits));
        self.asm.alu(AluOp::Lsh, word, Rhs::Reg(bits));
    }

    /// At least 8 bytes: words as long as one more follows, then the last.
    fn copy_words(&mut self, ends: (End<'_>, End<'_>), len: Reg, max: u32, t: Temps) {
        let trap = self.exit(&Exit::Trap, &[]);
        let (top, last): (Label, Label) = (self.asm.label(), self.asm.label());
        self.asm.imm(t.i, 0);
        self.asm.bind(top);
        // The last time but one the count is below `max - 8`, at a multiple of 8.
        self.turns(u64::from(max.saturating_sub(8)).div_ceil(8) + 1);
        self.asm.mov(t.data, len);
        self.asm.alu(AluOp::Sub, t.data, Rhs::Imm(8));
        self.asm.branch(Cond::Ge, t.i, Rhs::Reg(t.data), last);
        // Comes second: past the last word the count may be above this, when `max` is no multiple of 8.
        self.asm.branch(Cond::Gt, t.i, Rhs::Imm(max as i32 - 8), trap);
        self.access(ends, Step::Counted, Width::B8, t);
        self.asm.alu(AluOp::Add, t.i, Rhs::Imm(8));
        self.asm.jump(top);
        self.asm.bind(last);
        self.copy_last(ends, len, max, Width::B8, t);
    }

    /// The last `width` bytes.
    fn copy_last(&mut self, ends: (End<'_>, End<'_>), len: Reg, max: u32, width: Width, t: Temps) {
        let trap = self.exit(&Exit::Trap, &[]);
        let most = max - width.bytes();
        self.asm.mov(t.i, len);
        self.asm.alu(AluOp::Sub, t.i, Rhs::Imm(width.bytes() as i32));
        self.asm.branch(Cond::Gt, t.i, Rhs::Imm(most as i32), trap);
        self.access(ends, Step::Counted, width, t);
    }

    /// Copies one word.
    fn access(&mut self, (to, from): (End<'_>, End<'_>), step: Step, width: Width, t: Temps) {
        self.locate(from, step, width, t);
        self.asm.load(width, t.data, t.pointer, 0);
        self.locate(to, step, width, t);
        self.asm.store(width, t.pointer, 0, Rhs::Reg(t.data));
    }

    /// Makes `t.pointer` point to a step's word; uses `t.position`.
    fn locate(&mut self, (place, var): End<'_>, step: Step, width: Width, t: Temps) {
        // The constant part goes into the address: a displacement in an instruction has 16 bits only.
        let (known, counted) = match step {
            Step::Known(k) => (k, false),
            Step::Counted => (0, true),
        };
        let moved = Place { disp: place.disp + known, ..*place };
        let position = match var {
            Some(var) => {
                self.asm.mov(t.position, var);
                if counted {
                    self.asm.alu(AluOp::Add, t.position, Rhs::Reg(t.i));
                }
                self.bound(t.position, &moved, width.bytes());
                Some(t.position)
            }
            None => counted.then_some(t.i),
        };
        self.address(t.pointer, place.symbol, place.start + moved.disp);
        if let Some(position) = position {
            self.asm.alu(AluOp::Add, t.pointer, Rhs::Reg(position));
        }
    }
}
