//! The blocks on which the walks run, and what they are asked. Made by the formats' documents, not by trav.

/// The block area of both sides.
pub const BLOCK_SIZE: usize = 4096;

/// Arguments of one run, as each side takes them.
#[derive(Debug)]
pub struct Args {
    /// In the order of the traversal's parameters.
    pub trav: Vec<u8>,
    /// The member `args` of `io` in `walk.h`.
    pub c: Vec<u8>,
    /// Words of the result.
    pub results: usize,
}

/// A walk with its input.
pub struct Walk {
    /// Its files' name.
    pub name: &'static str,
    /// The block.
    pub block: Vec<u8>,
    /// One run each.
    pub args: Vec<Args>,
}

/// All five.
pub fn all() -> [Walk; 5] {
    [bpfkv(), extents(), sqlite(), list(), leveldb()]
}

/// Numbers without order (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", the mixing function).
fn scattered(i: u64) -> u64 {
    let x = (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

fn one_word(word: u64) -> Args {
    Args { trav: [0, word].map(u64::to_le_bytes).concat(), c: word.to_le_bytes().to_vec(), results: 1 }
}

/// A leaf with 31 keys; half of the keys asked for are there.
fn bpfkv() -> Walk {
    let mut keys: Vec<u64> = (0..31).map(scattered).collect();
    keys.sort_unstable();
    let words = [0, 1].into_iter().chain(keys.iter().copied()).chain((0..31).map(|i| 512 + 64 * i));
    let block = words.flat_map(u64::to_le_bytes).collect();
    let asked = keys.iter().step_by(4).flat_map(|k| [*k, k / 2 + 5]);
    Walk { name: "a", block, args: asked.map(one_word).collect() }
}

/// A full leaf: 340 extents of 16 blocks, with holes of 4 between them.
fn extents() -> Walk {
    let mut block = Vec::new();
    for short in [0xf30a, 340u16, 340, 0, 0, 0] {
        block.extend(short.to_le_bytes());
    }
    for i in 0..340u32 {
        block.extend((20 * i).to_le_bytes());
        block.extend((if i % 5 == 0 { 32768 + 16u16 } else { 16 }).to_le_bytes());
        block.extend((i as u16 % 3).to_le_bytes());
        block.extend((scattered(i.into()) as u32 >> 4).to_le_bytes());
    }
    let asked = (0..16).map(|i| one_word(scattered(i) % 7000));
    Walk { name: "b", block, args: asked.collect() }
}

/// A leaf with 80 rows of 35 bytes, whose rowids take three bytes.
fn sqlite() -> Walk {
    let mut block = vec![0; BLOCK_SIZE];
    let mut end = BLOCK_SIZE;
    let rowid = |i: u64| 100_000 + 7 * i;
    for i in 0..80 {
        let id = rowid(i);
        let mut cell = vec![35, (id >> 14) as u8 | 128, (id >> 7) as u8 | 128, id as u8 & 127];
        cell.extend((0..35).map(|j| scattered(i + j) as u8));
        end -= cell.len();
        block[end..end + cell.len()].copy_from_slice(&cell);
        block[8 + 2 * i as usize..][..2].copy_from_slice(&(end as u16).to_be_bytes());
    }
    block[0] = 13;
    block[3..5].copy_from_slice(&80u16.to_be_bytes());
    block[5..7].copy_from_slice(&(end as u16).to_be_bytes());
    let asked = (0..16).map(|i| one_word(rowid(scattered(i) % 80) + u64::from(i % 4 == 3)));
    Walk { name: "c", block, args: asked.collect() }
}

fn list() -> Walk {
    let block = (0..BLOCK_SIZE as u64 / 8).map(scattered).flat_map(u64::to_le_bytes).collect();
    Walk { name: "d", block, args: vec![Args { trav: vec![0; 8], c: vec![0; 8], results: 2 }] }
}

/// Entries with keys of 16 digits and values of 100 bytes, a restart point each 16 of them.
fn leveldb() -> Walk {
    let key = |i: u64| format!("{:016}", 1_000_000 + 37 * i).into_bytes();
    let mut block = Vec::new();
    let mut restarts = Vec::new();
    let mut before: Vec<u8> = Vec::new();
    let mut entries = 0;
    while block.len() < 3900 {
        let now = key(entries);
        let shared = match entries % 16 {
            0 => {
                restarts.push(block.len() as u32);
                0
            }
            _ => now.iter().zip(&before).take_while(|(a, b)| a == b).count(),
        };
        block.extend([shared as u8, 16 - shared as u8, 100]);
        block.extend(&now[shared..]);
        block.extend((0..100).map(|j| scattered(entries + j) as u8));
        before = now;
        entries += 1;
    }
    restarts.push(restarts.len() as u32);
    restarts.into_iter().for_each(|r| block.extend(r.to_le_bytes()));
    let size = block.len() as u64;
    let asked = (0..16).map(|i| {
        let mut key = key(scattered(i) % entries);
        key[15] += u8::from(i % 4 == 3);
        let trav = [0, size, 16].map(u64::to_le_bytes).concat();
        Args { trav: [trav, key.clone()].concat(), c: [size.to_le_bytes().to_vec(), key].concat(), results: 3 }
    });
    Walk { name: "e", block, args: asked.collect() }
}
