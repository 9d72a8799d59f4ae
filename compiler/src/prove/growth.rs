//! What loops add up: a variable that grows by at most `d` in a turn is at most where it began and `d` times the turns made; and one that grows by
//! at least `d` is at least that.
//!
//! Induction alone does not find this, since it speaks of the loop's counter, of which the goal says nothing. Here it is guessed, and then shown like
//! any other invariant.

use super::evidence::Search;
use super::facts::Known;
use crate::ir::evidence::{Fact, Point};
use crate::ir::halving::is_half;
use crate::ir::linear::{Atom, Form};
use crate::ir::{Block, Op, Value, defs::Def};

/// Loops, joins and selects through which the growth of a variable is followed.
const DEPTH_MAX: u32 = 8;

impl Search<'_> {
    /// The bound on a loop's parameter, from above or below, that follows from how it grows, as a fact known at a place.
    pub(super) fn grown(&mut self, atom: Atom, above: bool, at: &Point) -> Option<Known> {
        let Atom::Value(v) = atom else { return None };
        let Some(Def::Param(block, _)) = self.defs.get(v) else { return None };
        let header = self.f.block(block).header.filter(|h| h.counter != v)?;
        if !self.graph.dominates(block, at.block) {
            return None;
        }
        let sign = if above { 1 } else { -1 };
        let (mut by, mut start) = (None, None);
        for (from, arg) in self.arguments(block, v) {
            if self.graph.is_back(from, block) {
                by = by.max(Some(self.growth(arg, v, sign, DEPTH_MAX)?));
            } else if start.replace(self.forms.get(arg)).is_some() {
                return None;
            }
        }
        // What does not grow needs no counter: plain induction finds it.
        let by = by.filter(|by| *by != 0)?;
        let form = Form::number(0).plus(sign, &Form::atom(atom))?.plus(-sign, &start?)?;
        let form = form.plus(-by, &Form::atom(Atom::Value(header.counter)))?;
        let invariant = self.invariant(block, &form, at)?;
        Some(Known { fact: Fact::Invariant(invariant), form, at: (block, 0) })
    }

    /// What a loop that halves `atom` keeps, as a fact that shows a goal: of a search, that what is left of its room ends before the room did; with the
    /// term of the goal to be eliminated by it. A round leaves half of the room behind and takes half away, each rounded, so with half of it on one
    /// side of an inequality no round shows the next; with all of it each does.
    pub(super) fn halved(
        &mut self,
        (goal, times): (&Form, i128),
        (atom, factor): (Atom, i128),
        at: &Point,
    ) -> Option<(Known, (Atom, i128))> {
        let Atom::Value(room) = atom else { return None };
        let Some(Def::Param(block, _)) = self.defs.get(room) else { return None };
        let by = factor.checked_mul(2).filter(|by| *by > 0)?;
        let mut others = goal.terms().iter().copied().filter(|(other, _)| *other != atom);
        let turns = self.arguments(block, room).into_iter().filter(|(from, _)| self.graph.is_back(*from, block));
        let mut halves = turns.map(|(_, arg)| is_half(self.f, self.defs, arg, room));
        if !others.clone().all(|(_, n)| n % by == 0) || halves.next() != Some(true) || !halves.all(|half| half) {
            return None;
        }
        let whole = goal.clone().plus_number(1 - times)?.plus(factor, &Form::atom(atom))?;
        let (form, _) = whole.rounded();
        let invariant = self.invariant(block, &form, at)?;
        Some((Known { fact: Fact::Invariant(invariant), form, at: (block, 0) }, others.next()?))
    }

    /// What a parameter receives, and from where.
    fn arguments(&self, block: Block, v: Value) -> Vec<(Block, Value)> {
        let edges = self.graph.predecessors[block.index()].iter();
        let received = edges.filter_map(|(from, target)| {
            let term = &self.f.block(*from).term;
            let to = term.targets().nth(*target)?;
            let (arg, _) = crate::ir::verify::passed(self.f, term, to).find(|(_, param)| *param == v)?;
            Some((*from, arg))
        });
        received.collect()
    }

    /// The most by which `v` may exceed `p`, of which it is made, or with a `sign` of -1 the most by which it may fall short of it. It is a guess: of a
    /// loop on the way it takes all turns.
    fn growth(&self, v: Value, p: Value, sign: i128, depth: u32) -> Option<i128> {
        let rest = self.forms.get(v).plus(-1, &self.forms.get(p))?;
        if rest.values().all(|x| x != p) {
            return self.most(&rest, sign);
        }
        let depth = depth.checked_sub(1)?;
        // One of the summands goes on to `p`; the claims bound the others.
        let made = rest.terms().iter().filter(|(atom, factor)| *factor == 1 && *atom != Atom::Value(p));
        let through = made.filter_map(|(atom, _)| match atom {
            Atom::Value(x) => Some((*x, rest.plus(-1, &Form::atom(*atom))?.plus(1, &self.forms.get(p))?)),
            Atom::Product(..) => None,
        });
        let grown = |(x, others): (Value, Form)| self.most(&others, sign)?.checked_add(self.step(x, p, sign, depth)?);
        through.filter_map(grown).min()
    }

    /// [`Self::growth`] of a value that is no sum.
    fn step(&self, x: Value, p: Value, sign: i128, depth: u32) -> Option<i128> {
        let growth = |v: Value, p: Value| self.growth(v, p, sign, depth);
        match self.defs.get(x)? {
            Def::Inst(..) => match self.defs.op(self.f, x)? {
                Op::Select { a, b, .. } => Some(growth(*a, p)?.max(growth(*b, p)?)),
                _ => None,
            },
            Def::Param(block, _) => {
                let (mut most, mut turn) = (None, None);
                for (from, arg) in self.arguments(block, x) {
                    if self.graph.is_back(from, block) {
                        turn = turn.max(Some(growth(arg, x)?));
                    } else {
                        most = most.max(Some(growth(arg, p)?));
                    }
                }
                let turns = self.f.block(block).header.map_or(0, |h| i128::from(h.most));
                most?.checked_add(turn.unwrap_or(0).checked_mul(turns)?)
            }
        }
    }

    /// The most that a form, or its negation, can be by the claims on its values.
    fn most(&self, form: &Form, sign: i128) -> Option<i128> {
        form.terms().iter().try_fold(sign.checked_mul(form.constant)?, |sum, (atom, factor)| {
            let Atom::Value(v) = atom else { return None };
            let (range, factor) = (self.f.value(*v).range, sign.checked_mul(*factor)?);
            sum.checked_add(factor.checked_mul(if factor > 0 { range.hi } else { range.lo })?)
        })
    }
}
