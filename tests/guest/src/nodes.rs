//! Chains of nodes of 512 bytes, scattered over an image; what stands at their ends is known without reading it.

const NODES: u64 = 2048;

/// Node `i` of a chain; node `i` leads to a node 10 times scattered, and a chain of depth `d` begins at level `d`: nodes stand in 16 levels.
pub fn image() -> Vec<u8> {
    let mut bytes = vec![0; place(NODES) as usize];
    for i in 0..NODES {
        let node = &mut bytes[place(i) as usize..][..512];
        node[..8].copy_from_slice(&next(i).map_or(0, place).to_le_bytes());
        node[8..16].copy_from_slice(&value(i).to_le_bytes());
    }
    bytes
}

/// Where a node stands: behind the first block, since 0 ends a chain.
fn place(i: u64) -> u64 {
    512 * (i + 1)
}

/// The level of a node is its number modulo 16; level 0 ends a chain.
fn next(i: u64) -> Option<u64> {
    let group = (i / 16 * 37 + 11) % (NODES / 16);
    (!i.is_multiple_of(16)).then(|| group * 16 + i % 16 - 1)
}

fn value(i: u64) -> u64 {
    i.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The start of the `n`-th chain of a depth, and its answer.
pub fn chain(depth: u64, n: u64) -> (u64, u64) {
    let start = (n * 53 % (NODES / 16)) * 16 + depth - 1;
    let mut at = start;
    while let Some(next) = next(at) {
        at = next;
    }
    (place(start), value(at))
}
