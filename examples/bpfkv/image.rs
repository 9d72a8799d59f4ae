//! An image of a BPF-KV store for `bpfkv.trav`: 8,000 keys in a tree of three levels, and the log with their values.
//!
//! The nodes stand at the start, level by level, the root at 0; the log follows. A node that is not full repeats its last
//! entry, so a search finds the same whichever of the copies it meets.

/// Bytes of a node and of a log block.
pub const NODE: usize = 512;
/// Entries of a node.
pub const FANOUT: usize = 31;
/// Keys in the store.
pub const KEYS: u64 = 8000;
/// Bytes of a value.
pub const VALUE: usize = 64;
/// Marks a pointer that is an offset in the file.
const IN_FILE: u64 = 1 << 63;

/// The `n`th key; between two keys lie six numbers that are none.
pub fn key(n: u64) -> u64 {
    7 * n + 3
}

/// The value of the `n`th key.
pub fn value(n: u64) -> [u8; VALUE] {
    let mut value = [0; VALUE];
    let text = format!("the value of key {}", key(n));
    value[..text.len()].copy_from_slice(text.as_bytes());
    value
}

/// The whole image.
pub fn image() -> Vec<u8> {
    // How many nodes each level has, leaves first, and where each level begins.
    let mut counts = vec![(KEYS as usize).div_ceil(FANOUT)];
    while let Some(&below) = counts.last().filter(|&&n| n > 1) {
        counts.push(below.div_ceil(FANOUT));
    }
    let first = |level: usize| counts[level + 1..].iter().sum::<usize>();
    let log = counts.iter().sum::<usize>() * NODE;

    let mut image = vec![0; log];
    let mut entries: Vec<(u64, u64)> = (0..KEYS).map(|n| (key(n), log as u64 + n * VALUE as u64)).collect();
    for level in 0..counts.len() {
        let mut parents = Vec::new();
        for (i, entries) in entries.chunks(FANOUT).enumerate() {
            let at = (first(level) + i) * NODE;
            image[at..at + NODE].copy_from_slice(&node(entries, level == 0));
            parents.push((entries[0].0, at as u64));
        }
        entries = parents;
    }
    image.extend((0..KEYS).flat_map(value));
    image
}

fn node(entries: &[(u64, u64)], leaf: bool) -> Vec<u8> {
    let entry = |i: usize| entries[i.min(entries.len() - 1)];
    let head = [0, u64::from(leaf)];
    let keys = (0..FANOUT).map(|i| entry(i).0);
    let pointers = (0..FANOUT).map(|i| entry(i).1 | IN_FILE);
    head.into_iter().chain(keys).chain(pointers).flat_map(u64::to_le_bytes).collect()
}
