//! Rows of things, one for each index of a table, all in one piece of memory: a row of its own for each would be as many allocations.

use std::ops::Index;

/// For each index of a table a row.
#[derive(Clone, Debug)]
pub struct Rows<T> {
    /// Where each row ends; it begins where the one before ends.
    ends: Vec<u32>,
    all: Vec<T>,
}

impl<T: Copy> Rows<T> {
    /// So many rows of the things beside whose index they stand; in each they keep their order.
    pub fn of(count: usize, things: impl Iterator<Item = (usize, T)> + Clone) -> Rows<T> {
        let mut ends = vec![0; count];
        things.clone().for_each(|(i, _)| ends[i] += 1);
        let mut sum = 0;
        for end in &mut ends {
            // Where the row begins; it moves on to its end as things are entered.
            sum += std::mem::replace(end, sum);
        }
        let mut all: Vec<T> = things.clone().next().map_or_else(Vec::new, |(_, any)| vec![any; sum as usize]);
        for (i, thing) in things {
            let end = &mut ends[i];
            all[*end as usize] = thing;
            *end += 1;
        }
        Rows { ends, all }
    }

    /// None yet, with room for so many.
    pub fn with_capacity(count: usize) -> Rows<T> {
        Rows { ends: Vec::with_capacity(count), all: Vec::new() }
    }

    /// Appends a row.
    pub fn push(&mut self, row: impl IntoIterator<Item = T>) {
        self.all.extend(row);
        self.ends.push(self.all.len() as u32);
    }

    /// The row of this index; none for one that is not in the table.
    pub fn get(&self, index: usize) -> Option<&[T]> {
        (index < self.ends.len()).then(|| &self[index])
    }

    /// Each row, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = &[T]> {
        (0..self.ends.len()).map(|i| &self[i])
    }
}

impl<T> Index<usize> for Rows<T> {
    type Output = [T];

    fn index(&self, index: usize) -> &[T] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.all[start as usize..self.ends[index] as usize]
    }
}
