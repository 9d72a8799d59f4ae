//! Inequalities that follow from conditions, operations and reads, each from a place on, by the atoms that they speak of.

use super::atoms::ByAtom;
use crate::ir::defs::Defs;
use crate::ir::evidence::Fact;
use crate::ir::graph::Graph;
use crate::ir::linear::{Atom, DEFINITIONS_MAX, Form, Forms, is_defining};
use crate::ir::settled::Settled;
use crate::ir::{Block, Function, Value};

/// A fact, what it says, and from where on.
#[derive(Clone)]
pub struct Known {
    pub fact: Fact,
    pub form: Form,
    pub at: (Block, usize),
}

/// A fact as it stands with an atom that it speaks of.
pub struct About {
    /// Whether it bounds the atom from above, rather than from below.
    pub above: bool,
    pub at: (Block, usize),
    /// Its position in [`Facts`].
    pub known: u32,
    /// The one before of the same atom.
    before: Last,
}

/// The last of a row, by its position among all [`About`]s.
type Last = Option<u32>;

/// All of a function.
pub struct Facts {
    all: Vec<Known>,
    about: Vec<About>,
    /// For each atom the last of them, in the order of their places.
    last_about: ByAtom<Last>,
}

impl Facts {
    /// Collects them. `position` is each block's in the graph's order.
    pub fn of(f: &Function, graph: &Graph, defs: &Defs, forms: &Forms, position: &[u32]) -> Facts {
        let mut all: Vec<Known> = Vec::new();
        for (cond, sense, at) in Settled::of(f, graph, defs).iter() {
            all.extend(of_condition(f, defs, forms, (cond, sense), at));
        }
        for b in &graph.order {
            let read = forms.read(f, graph, *b);
            all.extend(read.map(|(to, form)| Known { fact: Fact::Read(*b), form, at: (to, 0) }));
            for (i, inst) in f.block(*b).insts.iter().enumerate().filter(|(_, inst)| is_defining(&inst.op)) {
                let Some(value) = inst.result else { continue };
                all.extend((0..DEFINITIONS_MAX).filter_map(|k| {
                    let form = forms.definition(f, defs, value, k)?;
                    Some(Known { fact: Fact::Definition { value, k }, form, at: (*b, i + 1) })
                }));
            }
        }
        let mut order: Vec<u32> = (0..all.len() as u32).collect();
        order.sort_by_key(|i| {
            let (block, at) = all[*i as usize].at;
            (position[block.index()], at)
        });
        let (mut about, mut last_about): (Vec<About>, ByAtom<Last>) = (Vec::new(), ByAtom::new(f));
        for i in order {
            let known = &all[i as usize];
            for (atom, factor) in known.form.terms() {
                let before = last_about.at(*atom).replace(about.len() as u32);
                about.push(About { above: *factor > 0, at: known.at, known: i, before });
            }
        }
        Facts { all, about, last_about }
    }

    /// The one at a position.
    pub fn known(&self, position: u32) -> &Known {
        &self.all[position as usize]
    }

    /// Those about an atom, the last one first.
    pub fn about(&self, atom: Atom) -> impl Iterator<Item = &About> {
        let at = |last: Last| last.map(|i| &self.about[i as usize]);
        let last = self.last_about.get(atom).copied().flatten();
        std::iter::successors(at(last), move |about| at(about.before))
    }
}

/// What follows from how a condition is.
pub fn of_condition(
    f: &Function,
    defs: &Defs,
    forms: &Forms,
    (cond, sense): (Value, bool),
    at: (Block, usize),
) -> impl Iterator<Item = Known> {
    (0..2).filter_map(move |k| {
        let form = forms.condition(f, defs, cond, sense, k)?;
        Some(Known { fact: Fact::Condition { cond, sense, k }, form, at })
    })
}
