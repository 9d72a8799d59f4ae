//! A table by atoms: dense for values, which are nearly all of them.

use crate::fx::FxHashMap;
use crate::ir::linear::Atom;
use crate::ir::{Function, Value};

/// For each atom something, at first the default.
pub struct ByAtom<T> {
    of_values: Vec<T>,
    of_products: FxHashMap<(Value, Value), T>,
}

impl<T: Default + Clone> ByAtom<T> {
    /// For the atoms of a function.
    pub fn new(f: &Function) -> Self {
        ByAtom { of_values: vec![T::default(); f.values.len()], of_products: FxHashMap::default() }
    }

    /// What there is for an atom; none for a product of which nothing was said.
    pub fn get(&self, atom: Atom) -> Option<&T> {
        match atom {
            Atom::Value(v) => self.of_values.get(v.index()),
            Atom::Product(a, b) => self.of_products.get(&(a, b)),
        }
    }

    /// What there is for each atom of which something was said, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.of_values.iter_mut().chain(self.of_products.values_mut())
    }

    /// The same, to be changed.
    pub fn at(&mut self, atom: Atom) -> &mut T {
        match atom {
            Atom::Value(v) => &mut self.of_values[v.index()],
            Atom::Product(a, b) => self.of_products.entry((a, b)).or_default(),
        }
    }
}
