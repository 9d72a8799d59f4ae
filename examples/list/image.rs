//! An image of a linked list for `list.trav`: 40 blocks in an order that is not theirs on disk.

/// Bytes of a block.
pub const BLOCK: usize = 4096;
/// Blocks in the list.
pub const BLOCKS: usize = 40;

/// The place of the `n`th block of the list, as a block number. The first stands at 0; 7 has no divisor in common with 40.
pub fn place(n: usize) -> usize {
    n * 7 % BLOCKS
}

/// The values that the `n`th block holds: between none and as many as fit.
pub fn values(n: usize) -> Vec<u32> {
    (0..n * 26).map(|i| (n * 1000 + i) as u32).collect()
}

/// The whole image.
pub fn image() -> Vec<u8> {
    let mut image = vec![0; BLOCKS * BLOCK];
    for n in 0..BLOCKS {
        let next = if n + 1 < BLOCKS { place(n + 1) * BLOCK } else { 0 };
        let mut block = Vec::new();
        block.extend(0x4c49_5354_u32.to_le_bytes());
        block.extend((values(n).len() as u32).to_le_bytes());
        block.extend((next as u64).to_le_bytes());
        block.extend(values(n).iter().flat_map(|v| v.to_le_bytes()));
        image[place(n) * BLOCK..][..block.len()].copy_from_slice(&block);
    }
    image
}
