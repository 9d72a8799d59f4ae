//! Images for the walks, made anew for each run, and the calls on them.
//!
//! Each is a whole, well-formed structure of its format. The calls are drawn at random, 131,072 of them: a branch predictor learns a
//! list of a few thousand by heart.

/// Calls of one contest.
pub const CALLS: usize = 1 << 17;

/// An image with the calls on it, each laid out as the runtime wants it.
pub struct Case {
    pub image: Vec<u8>,
    /// All arguments, one call after another.
    pub args: Vec<u64>,
    /// Words of one call.
    pub words: usize,
}

impl Case {
    fn new(image: Vec<u8>, words: usize, mut call: impl FnMut(&mut Random) -> Vec<u64>) -> Case {
        let mut random = Random(0x5eed);
        let args = (0..CALLS).flat_map(|_| call(&mut random)).collect();
        Case { image, args, words }
    }
}

/// Splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA '14).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// A: a B+tree of nodes of 31 keys; the values stand behind it. A node that is not full repeats its last entry.
pub fn bpfkv(keys: u64) -> Case {
    const NODE: usize = 512;
    const FANOUT: usize = 31;
    let key = |n: u64| 7 * n + 3;
    let mut counts = vec![(keys as usize).div_ceil(FANOUT)];
    while let Some(&below) = counts.last().filter(|&&n| n > 1) {
        counts.push(below.div_ceil(FANOUT));
    }
    let log = counts.iter().sum::<usize>() * NODE;
    let mut image = vec![0; log + keys as usize * 64];
    let mut put = |at: usize, word: u64| image[at..at + 8].copy_from_slice(&word.to_le_bytes());
    for n in 0..keys {
        for word in 0..8 {
            put(log + n as usize * 64 + word * 8, key(n) << 8 | word as u64);
        }
    }
    let mut below: Vec<(u64, u64)> = (0..keys).map(|n| (key(n), log as u64 + n * 64)).collect();
    for level in 0..counts.len() {
        let first = counts[level + 1..].iter().sum::<usize>() * NODE;
        let mut level_entries = Vec::with_capacity(counts[level]);
        for (i, entries) in below.chunks(FANOUT).enumerate() {
            let at = first + i * NODE;
            put(at + 8, u64::from(level == 0));
            for n in 0..FANOUT {
                let (key, pointer) = entries[n.min(entries.len() - 1)];
                put(at + 16 + 8 * n, key);
                put(at + 264 + 8 * n, pointer | 1 << 63);
            }
            level_entries.push((entries[0].0, at as u64));
        }
        below = level_entries;
    }
    Case::new(image, 1, |random| vec![key(random.below(keys))])
}

/// B: extents of one to eight blocks without holes, 340 in a leaf. The root, in an inode, has room for four entries.
pub fn extents(leaves: usize) -> Case {
    const ENTRIES: usize = 340;
    let mut random = Random(1);
    let mut image = vec![0; 4096];
    let mut blocks = 0u32;
    // First logical block, length (0: an index), physical block.
    let mut level: Vec<(u32, u16, u64)> = Vec::new();
    for _ in 0..leaves * ENTRIES {
        let length = 1 + random.below(8) as u16;
        level.push((blocks, length, random.below(1 << 40)));
        blocks += u32::from(length);
    }
    let node = |entries: &[(u32, u16, u64)], max: u16, depth: u16| {
        let mut node = Vec::new();
        for half in [0xf30a, entries.len() as u16, max, depth, 0, 0] {
            node.extend(half.to_le_bytes());
        }
        for &(block, length, place) in entries {
            node.extend(block.to_le_bytes());
            let (low, high) = (place as u32, (place >> 32) as u16);
            if depth == 0 {
                node.extend(length.to_le_bytes());
                node.extend(high.to_le_bytes());
                node.extend(low.to_le_bytes());
            } else {
                node.extend(low.to_le_bytes());
                node.extend(high.to_le_bytes());
                node.extend([0; 2]);
            }
        }
        node
    };
    let mut depth = 0;
    while level.len() > 4 {
        let mut parents = Vec::new();
        for entries in level.chunks(ENTRIES) {
            parents.push((entries[0].0, 0, image.len() as u64 / 4096));
            image.extend(node(entries, ENTRIES as u16, depth));
            image.resize(image.len().next_multiple_of(4096), 0);
        }
        level = parents;
        depth += 1;
    }
    let root = node(&level, 4, depth);
    image[..root.len()].copy_from_slice(&root);
    Case::new(image, 1, |random| vec![random.below(blocks.into())])
}

/// C: an SQLite database with one table `t(id integer primary key, v blob)`, whose root is page 2. Values have 96 bytes.
pub fn sqlite(rows: u64) -> Case {
    const PAGE: usize = 4096;
    let id = |n: u64| 3 * n + 1;
    let mut image = vec![0; 2 * PAGE];
    let mut cells: Vec<(u64, Vec<u8>)> = Vec::new();
    // A page of the tree: its largest rowid and its number.
    let mut level: Vec<(u64, u32)> = Vec::new();
    let mut used = 8;
    for n in 0..rows {
        let mut record = vec![3, 0, 12 + 2 * 96];
        record[2] = 0x81;
        record.push((12 + 2 * 96) & 0x7f);
        record[0] = 4;
        record.extend((0..96).map(|i| (id(n) + i) as u8));
        let mut cell = varint(record.len() as u64);
        cell.extend(varint(id(n)));
        cell.extend(record);
        if used + cell.len() + 2 > PAGE {
            level.push((id(n - 1), image.len() as u32 / PAGE as u32 + 1));
            image.extend(page(13, None, &cells));
            cells.clear();
            used = 8;
        }
        used += cell.len() + 2;
        cells.push((id(n), cell));
    }
    level.push((id(rows - 1), image.len() as u32 / PAGE as u32 + 1));
    image.extend(page(13, None, &cells));
    loop {
        let mut parents = Vec::new();
        let is_root = level.len() <= 300;
        for children in level.chunks(300) {
            let (&(last_id, right), others) = children.split_last().expect("chunks are not empty");
            let cell = |&(rowid, child): &(u64, u32)| (rowid, [child.to_be_bytes().to_vec(), varint(rowid)].concat());
            let cells: Vec<_> = others.iter().map(cell).collect();
            let bytes = page(5, Some(right), &cells);
            if is_root {
                image[PAGE..2 * PAGE].copy_from_slice(&bytes);
            } else {
                parents.push((last_id, image.len() as u32 / PAGE as u32 + 1));
                image.extend(bytes);
            }
        }
        if is_root {
            break;
        }
        level = parents;
    }
    let pages = image.len() / PAGE;
    image[..PAGE].copy_from_slice(&first_page(pages as u32));
    Case::new(image, 2, |random| vec![2, id(random.below(rows))])
}

/// SQLite's numbers, here of at most 56 bits.
fn varint(value: u64) -> Vec<u8> {
    let groups = (64 - (value | 1).leading_zeros()).div_ceil(7);
    (0..groups).rev().map(|i| (value >> (7 * i)) as u8 & 0x7f | if i > 0 { 0x80 } else { 0 }).collect()
}

fn page(kind: u8, right: Option<u32>, cells: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut page = vec![0; 4096];
    page[0] = kind;
    page[3..5].copy_from_slice(&(cells.len() as u16).to_be_bytes());
    let mut pointers = 8;
    if let Some(right) = right {
        page[8..12].copy_from_slice(&right.to_be_bytes());
        pointers = 12;
    }
    let mut content = page.len();
    for (i, (_, cell)) in cells.iter().enumerate() {
        content -= cell.len();
        page[content..content + cell.len()].copy_from_slice(cell);
        page[pointers + 2 * i..][..2].copy_from_slice(&(content as u16).to_be_bytes());
    }
    page[5..7].copy_from_slice(&(content as u16).to_be_bytes());
    page
}

/// The file's header (section 1.3 of SQLite's file format) and the schema, which has one row.
fn first_page(pages: u32) -> Vec<u8> {
    let sql = b"CREATE TABLE t(id integer primary key, v blob)";
    let text = |s: &[u8]| 13 + 2 * s.len() as u8;
    let mut record = vec![6, text(b"table"), text(b"t"), text(b"t"), 1, text(sql)];
    for value in [&b"table"[..], b"t", b"t", &[2], sql] {
        record.extend(value);
    }
    let cell = [varint(record.len() as u64), varint(1), record].concat();
    let tree = page(13, None, &[(1, cell)]);
    let mut page = vec![0; 4096];
    let content = usize::from(u16::from_be_bytes([tree[5], tree[6]]));
    page[content..].copy_from_slice(&tree[content..]);
    page[100..110].copy_from_slice(&tree[..10]);
    page[..16].copy_from_slice(b"SQLite format 3\0");
    page[16..24].copy_from_slice(&[0x10, 0, 1, 1, 0, 64, 32, 32]);
    for (at, word) in [(24, 1), (28, pages), (44, 4), (56, 1), (92, 1), (96, 3_040_001)] {
        page[at..at + 4].copy_from_slice(&u32::to_be_bytes(word));
    }
    page
}

/// D: a chain through all blocks in an order drawn at random. The block at 0 is none of it.
pub fn chain(blocks: usize) -> Case {
    let mut random = Random(4);
    let mut order: Vec<u64> = (1..=blocks as u64).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, random.below(i as u64 + 1) as usize);
    }
    let mut image = vec![0; (blocks + 1) * 4096];
    for (i, block) in order.iter().enumerate() {
        let at = *block as usize * 4096;
        let next = order.get(i + 1).map_or(0, |b| b * 4096);
        image[at..at + 8].copy_from_slice(&next.to_le_bytes());
        for word in 1..=64 {
            image[at + 8 * word..][..8].copy_from_slice(&random.next().to_le_bytes());
        }
    }
    // The whole chain is one call: what counts is a block.
    Case { image, args: vec![order[0] * 4096; CALLS / blocks.min(CALLS)], words: 1 }
}

/// E: a LevelDB table with keys of 16 bytes and values of 100, 16 entries between restart points, blocks of 4 KiB.
pub fn leveldb(keys: u64) -> Case {
    let mut image = Vec::new();
    let mut index = Block::new(1);
    let mut block = Block::new(16);
    for n in 0..keys {
        let value: Vec<u8> = (0..100).map(|i| (n + i) as u8).collect();
        block.add(&internal_key(&user_key(n)), &value);
        if block.bytes.len() >= 4096 || n + 1 == keys {
            let handle = [leb128(image.len() as u64), leb128(block.size())].concat();
            index.add(&internal_key(&user_key(n)), &handle);
            image.extend(std::mem::replace(&mut block, Block::new(16)).finish());
            // Compression (none) and checksum, which neither side looks at.
            image.extend([0; 5]);
        }
    }
    let (at, size) = (image.len() as u64, index.size());
    image.extend(index.finish());
    image.extend([0; 5]);
    Case::new(image, 5, |random| {
        let key = user_key(random.below(keys));
        let word = |i: usize| u64::from_le_bytes(key[i..i + 8].try_into().expect("8 bytes"));
        vec![at, size, 16, word(0), word(8)]
    })
}

fn user_key(n: u64) -> [u8; 16] {
    format!("{:016}", 7 * n).into_bytes().try_into().expect("16 digits")
}

/// With the sequence number 1 and the type of a value.
fn internal_key(key: &[u8]) -> Vec<u8> {
    [key, &(1u64 << 8 | 1).to_le_bytes()].concat()
}

fn leb128(value: u64) -> Vec<u8> {
    let groups = (64 - (value | 1).leading_zeros()).div_ceil(7);
    (0..groups).map(|i| (value >> (7 * i)) as u8 & 0x7f | if i + 1 < groups { 0x80 } else { 0 }).collect()
}

struct Block {
    bytes: Vec<u8>,
    restarts: Vec<u32>,
    last: Vec<u8>,
    count: usize,
    interval: usize,
}

impl Block {
    fn new(interval: usize) -> Block {
        Block { bytes: Vec::new(), restarts: Vec::new(), last: Vec::new(), count: 0, interval }
    }

    fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut shared = self.last.iter().zip(key).take_while(|(a, b)| a == b).count();
        if self.count.is_multiple_of(self.interval) {
            self.restarts.push(self.bytes.len() as u32);
            shared = 0;
        }
        for number in [shared, key.len() - shared, value.len()] {
            self.bytes.extend(leb128(number as u64));
        }
        self.bytes.extend(&key[shared..]);
        self.bytes.extend(value);
        self.last = key.to_vec();
        self.count += 1;
    }

    /// Bytes when finished.
    fn size(&self) -> u64 {
        self.bytes.len() as u64 + 4 * self.restarts.len() as u64 + 4
    }

    fn finish(mut self) -> Vec<u8> {
        for restart in &self.restarts {
            self.bytes.extend(restart.to_le_bytes());
        }
        self.bytes.extend((self.restarts.len() as u32).to_le_bytes());
        self.bytes
    }
}
