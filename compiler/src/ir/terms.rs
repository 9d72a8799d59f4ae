//! The terms of a linear form: a row of which the first few need no memory of their own.
//!
//! A search for evidence makes a form at each of its turns, and few have more than three terms: half of its time went into getting and giving
//! back memory.

use super::Value;
use super::linear::Atom;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt::{self, Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::ops::Deref;

/// So many terms are kept in place.
const FEW: usize = 3;

/// A term: a number times an atom.
pub type Term = (Atom, i128);

/// Terms in order.
#[derive(Clone)]
pub struct Terms {
    /// Those in place, as many as `count`, unless there are `more`.
    few: [Term; FEW],
    count: usize,
    /// All, when they are more than a few.
    more: Vec<Term>,
}

impl Terms {
    /// Appends one.
    #[inline]
    pub fn push(&mut self, term: Term) {
        if self.count < FEW {
            self.few[self.count] = term;
            self.count += 1;
        } else {
            self.push_to_more(term);
        }
    }

    #[cold]
    fn push_to_more(&mut self, term: Term) {
        if self.more.is_empty() {
            self.more.reserve(2 * FEW);
            self.more.extend(self.few);
        }
        self.more.push(term);
    }
}

impl Default for Terms {
    fn default() -> Self {
        Terms { few: [(Atom::Value(Value(0)), 0); FEW], count: 0, more: Vec::new() }
    }
}

impl Deref for Terms {
    type Target = [Term];

    fn deref(&self) -> &[Term] {
        if self.more.is_empty() { &self.few[..self.count] } else { &self.more }
    }
}

impl Debug for Terms {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        (**self).fmt(out)
    }
}

impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Terms {}

impl Hash for Terms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl FromIterator<Term> for Terms {
    fn from_iter<I: IntoIterator<Item = Term>>(terms: I) -> Self {
        let mut all = Terms::default();
        terms.into_iter().for_each(|term| all.push(term));
        all
    }
}

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Vec::<Term>::deserialize(from)?.into_iter().collect())
    }
}
