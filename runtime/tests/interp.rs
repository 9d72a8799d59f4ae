//! The interpreter on hand-written functions, against what plain Rust says of the same images; and all engines against it.

use crate::differential::{check_all, check_calls, memory, words};
use crate::xorshift::Random;
use std::collections::BTreeMap;
use std::sync::Arc;
use trav_compiler::ir::parse::parse;
use trav_compiler::ir::verify::{Verified, verify};
use trav_compiler::ir::{FaultId, SourceId};
use trav_runtime::exec::{ExecError, Executor, FaultReport, Hop, Outcome, Trace, interp};
use trav_runtime::image::{MemoryImage, Sources};

fn golden(file: &str) -> Verified {
    let path = format!("{}/../tests/golden/ir/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("the golden files are in the repository");
    let f = parse(&text).unwrap_or_else(|e| panic!("{file}:{e}"));
    verify(f).unwrap_or_else(|e| panic!("{file}: {e:#?}"))
}

fn hop(offset: u64, len: u64) -> Hop {
    Hop { source: SourceId(0), offset, len }
}

fn fault(fault: u32, found: Option<u64>, at: Option<u64>) -> Outcome {
    Outcome::Fault(FaultReport { fault: FaultId(fault), found, at })
}

/// A list of these nodes, each at 16 times its position: next position and number. The walk over it, in plain Rust.
fn chased(nodes: &[(u64, u64)], start: u64) -> Trace {
    let (mut at, mut sum) = (16 * start, 0u64);
    let mut hops = Vec::new();
    let outcome = loop {
        if hops.len() == 100 {
            break fault(1, Some(at), None);
        }
        hops.push(hop(at, 16));
        let Some((next, number)) = nodes.get((at / 16) as usize) else { break fault(0, None, None) };
        match sum.checked_add(*number) {
            Some(more) => sum = more,
            None => break fault(2, Some(*number), Some(at)),
        }
        if 16 * next == at {
            break Outcome::Done(words(&[sum]));
        }
        at = 16 * next;
    };
    Trace { hops, rows: Vec::new(), outcome }
}

#[test]
fn a_list_is_chased() {
    let f = golden("chase.tir");
    let mut random = Random(1);
    let mut ends = BTreeMap::new();
    for turn in 0..60 {
        let count = 1 + random.next() % 40;
        // The last turns have next positions outside the image, or numbers that add up to too much.
        let reach = count + u64::from(turn % 3 == 1);
        let shift = if turn % 3 == 2 { 3 } else { 16 };
        let mut nodes: Vec<_> = (0..count).map(|_| (random.next() % reach, random.next() >> shift)).collect();
        nodes[0].0 = 0;
        let image: Vec<u8> = nodes.iter().flat_map(|(next, number)| words(&[16 * next, *number])).collect();
        let want = chased(&nodes, count - 1);
        assert_eq!(check_all(&f, &words(&[16 * (count - 1)]), &memory(&image)), want, "{nodes:?}");
        let end = match want.outcome {
            Outcome::Done(_) => None,
            Outcome::Fault(report) => Some(report.fault.0),
        };
        *ends.entry(end).or_insert(0) += 1;
    }
    assert_eq!(ends.len(), 4, "the result and each fault were met: {ends:?}");
}

/// What plain Rust reads: the number, and where it ends. `None` where the bytes are over before.
fn read_varint(bytes: &[u8], at: usize, kind: &str) -> Result<(u64, usize), Option<()>> {
    let mut n: u128 = 0;
    for i in 0..10 {
        let byte = *bytes.get(at + i).ok_or(None)?;
        let (low, ends) = (u128::from(byte & 0x7f), byte < 0x80);
        n = match kind {
            "leb128" => n | low << (7 * i),
            "sqlite" if i == 8 => return Ok(((n << 8) as u64 | u64::from(byte), at + 9)),
            _ => n << 7 | low,
        };
        if ends {
            return u64::try_from(n).map(|n| (n, at + i + 1)).map_err(|_| Some(()));
        }
    }
    Err(Some(()))
}

#[test]
fn varints_are_read() {
    let f = golden("varints.tir");
    let mut random = Random(5);
    let mut ends = BTreeMap::new();
    let (mut calls, mut wanted) = (Vec::new(), Vec::new());
    for turn in 0..3000 {
        // Bytes that go on are more common in some turns than in others.
        let byte = |random: &mut Random| {
            let more = random.below(10) < turn % 11;
            random.next() as u8 & 0x7f | if more { 0x80 } else { 0 }
        };
        let block: Vec<u8> = (0..32).map(|_| byte(&mut random)).collect();
        let start = random.below(34);
        let (mut at, mut numbers) = (start as usize, Vec::new());
        let ended = ["leb128", "sqlite", "vlq"].into_iter().find_map(|kind| {
            if at >= 32 {
                return Some(fault(1, None, Some(at as u64)));
            }
            match read_varint(&block, at, kind) {
                Ok((n, end)) => {
                    numbers.push(n);
                    at = end;
                    None
                }
                Err(None) => Some(fault(2, None, Some(32))),
                Err(Some(())) => Some(fault(3, (kind == "vlq").then_some(at as u64), None)),
            }
        });
        let want = ended.unwrap_or_else(|| {
            numbers.push(at as u64);
            Outcome::Done(words(&numbers))
        });
        let end = match &want {
            Outcome::Done(_) => None,
            Outcome::Fault(report) => Some((report.fault.0, report.found.is_some())),
        };
        *ends.entry(end).or_insert(0) += 1;
        calls.push((words(&[start]), memory(&block)));
        wanted.push(want);
    }
    let calls: Vec<_> = calls.iter().map(|(args, sources)| (&args[..], sources)).collect();
    for (trace, want) in check_calls(&f, &calls).into_iter().zip(wanted) {
        assert_eq!(trace.outcome, want);
    }
    assert_eq!(ends.len(), 5, "the result and each fault were met: {ends:?}");
}

#[test]
fn operations_are_counted_by_step() {
    let mut interp = interp::prepare(&golden("chase.tir"));
    let image = words(&[16, 1, 32, 2, 32, 3]);
    interp.run(&words(&[0]), &memory(&image)).unwrap();
    assert_eq!(interp.step_insts(), [10, 14, 14, 7]);
}

/// A B+tree as BPF-KV has it, and where everything is.
struct Tree {
    image: Vec<u8>,
    /// For each inner node by its offset: first keys and offsets of its children.
    inner: BTreeMap<u64, Vec<(u64, u64)>>,
    /// For each key the offset of its value.
    values: BTreeMap<u64, u64>,
}

const NODE: usize = 512;
const FANOUT: usize = 31;
const MARK: u64 = 1 << 63;

impl Tree {
    /// From sorted keys; the root comes last into the tree and first onto the image.
    fn new(keys: &[u64], random: &mut Random) -> Tree {
        let logs = keys.len().div_ceil(8);
        let mut tree = Tree { image: vec![0; NODE], inner: BTreeMap::new(), values: BTreeMap::new() };
        let log_start = tree.image.len();
        tree.image.resize(log_start + NODE * logs, 0);
        let mut entries: Vec<(u64, u64)> = Vec::new();
        for (i, key) in keys.iter().enumerate() {
            let at = log_start + 64 * i;
            for byte in &mut tree.image[at..at + 64] {
                *byte = random.next() as u8;
            }
            tree.values.insert(*key, at as u64);
            entries.push((*key, at as u64));
        }
        let mut kind = 1;
        loop {
            let is_root = entries.len() <= FANOUT;
            let mut parents = Vec::new();
            for chunk in entries.chunks(FANOUT) {
                let at = if is_root { 0 } else { tree.image.len() };
                tree.node(at, kind, chunk);
                if kind == 0 {
                    tree.inner.insert(at as u64, chunk.to_vec());
                }
                parents.push((chunk[0].0, at as u64));
            }
            if is_root {
                return tree;
            }
            entries = parents;
            kind = 0;
        }
    }

    /// next, kind, 31 keys, 31 pointers. Where there are fewer, the keys are as great as can be.
    fn node(&mut self, at: usize, kind: u64, entries: &[(u64, u64)]) {
        let mut node = vec![0, kind];
        node.extend((0..FANOUT).map(|i| entries.get(i).map_or(u64::MAX, |(key, _)| *key)));
        node.extend((0..FANOUT).map(|i| entries.get(i).map_or(0, |(_, to)| *to | MARK)));
        self.image.resize(self.image.len().max(at + NODE), 0);
        self.image[at..at + NODE].copy_from_slice(&words(&node));
    }

    fn get(&self, key: u64) -> Trace {
        let mut hops = vec![hop(0, 512)];
        let mut at = 0;
        while let Some(children) = self.inner.get(&at) {
            let i = children.partition_point(|(first, _)| *first <= key).saturating_sub(1);
            at = children[i].1;
            hops.push(hop(at, 512));
        }
        let mut out = vec![0; 80];
        if let Some(value) = self.values.get(&key) {
            hops.push(hop(value / 512 * 512, 512));
            out[..16].copy_from_slice(&words(&[1, 64]));
            out[16..].copy_from_slice(&self.image[*value as usize..][..64]);
        }
        Trace { hops, rows: Vec::new(), outcome: Outcome::Done(out) }
    }
}

#[test]
fn keys_are_found_in_a_b_plus_tree() {
    let f = golden("bpfkv.tir");
    let mut random = Random(2);
    for count in [1, 31, 32, 1000] {
        let mut keys: Vec<u64> = (0..count).map(|_| random.next() >> 20).collect();
        keys.sort_unstable();
        keys.dedup();
        let tree = Tree::new(&keys, &mut random);
        let sources = memory(&tree.image);
        let mut depths = 0;
        for _ in 0..20 {
            let present = keys[(random.next() % keys.len() as u64) as usize];
            for key in [present, present + 1, present.saturating_sub(1), 0, random.next()] {
                let want = tree.get(key);
                assert_eq!(check_all(&f, &words(&[key]), &sources), want, "{key} of {count}");
                depths = depths.max(want.hops.len());
            }
        }
        assert!(depths >= if count > 31 { 3 } else { 2 });
    }
}

#[test]
fn a_tree_without_leaves_and_a_pointer_to_nowhere_are_faults() {
    let f = golden("bpfkv.tir");
    let mut tree = Tree { image: Vec::new(), inner: BTreeMap::new(), values: BTreeMap::new() };
    tree.node(0, 0, &[(0, 0)]);
    let want = Trace { hops: vec![hop(0, 512); 9], rows: Vec::new(), outcome: fault(2, Some(0), None) };
    assert_eq!(check_all(&f, &words(&[5]), &memory(&tree.image)), want);
    for (to, reads) in [(1, vec![0, 1]), (512, vec![0, 512]), (MARK - 1, vec![0, MARK - 1])] {
        tree.node(0, 0, &[(0, to)]);
        let hops = reads.into_iter().map(|at| hop(at, 512)).collect();
        let want = Trace { hops, rows: Vec::new(), outcome: fault(0, None, None) };
        assert_eq!(check_all(&f, &words(&[5]), &memory(&tree.image)), want);
    }
}

/// `rows.tir`, in plain Rust. `id` holds the place of the record in bytes 4 to 6, and a number in its last five.
fn rows_of(low: i16, id: &[u8; 16], journal: &[u8]) -> Trace {
    let number = id[11..].iter().fold(i64::from(id[11] as i8) >> 8, |n, byte| n << 8 | i64::from(*byte));
    let nine_bits = i64::from(low << 7 >> 7);
    let seen = number - nine_bits;
    let at = id[4..7].iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    let hops = vec![Hop { source: SourceId(1), offset: at, len: 32 }];
    let Some(block) = journal.get(at as usize..at as usize + 32) else {
        return Trace { hops, rows: Vec::new(), outcome: fault(1, None, None) };
    };
    let len = usize::from(block[0] & 15);
    let mut rows = Vec::new();
    let mut name = [0; 16];
    for turn in 0..4 {
        let place = u64::from(block[turn + 1]);
        if place + len as u64 > 32 {
            return Trace { hops, rows, outcome: fault(0, Some(place), Some(place)) };
        }
        let record = &block[place as usize..];
        name[..len].copy_from_slice(&record[..len]);
        if place + 8 > 32 {
            return Trace { hops, rows, outcome: fault(0, None, Some(place)) };
        }
        let value = i32::from_be_bytes(record[2..6].try_into().unwrap());
        if turn < 3 {
            let mut row = words(&[len as u64]);
            row.extend(name);
            row.extend(words(&[0, 1, i64::from(value) as u64, seen as u64 & 0xff]));
            rows.push(row);
        }
    }
    Trace { hops, rows, outcome: Outcome::Done(Vec::new()) }
}

#[test]
fn all_operations_make_rows() {
    let f = golden("rows.tir");
    let mut random = Random(3);
    let (mut done, mut faults) = (0, 0);
    for _ in 0..200 {
        let journal: Vec<u8> = (0..200).map(|_| (random.next() % 30) as u8).collect();
        let image = || Arc::new(MemoryImage::new(vec![]));
        let sources = Sources { images: vec![image(), Arc::new(MemoryImage::new(journal.clone()))] };
        let mut id: [u8; 16] = std::array::from_fn(|_| random.next() as u8);
        id[4..7].copy_from_slice(&[0, 0, (random.next() % 180) as u8]);
        let low = random.next() as i16;
        let mut args = words(&[3, 0x0063_6261, 16]);
        args.extend(id);
        args.extend(words(&[i64::from(low) as u64, 1, 3]));
        let trace = check_all(&f, &args, &sources);
        assert_eq!(trace, rows_of(low, &id, &journal), "{low} {id:?} {journal:?}");
        match trace.outcome {
            Outcome::Done(_) => done += 1,
            Outcome::Fault(_) => faults += 1,
        }
    }
    assert!(done > 20 && faults > 20, "{done} {faults}");
}

#[test]
fn wrong_calls_are_errors() {
    let mut interp = interp::prepare(&golden("rows.tir"));
    let refused = |result: Result<Trace, ExecError>, why: &str| match result {
        Err(ExecError::Arguments(text)) => assert!(text.contains(why), "{text}"),
        other => panic!("{other:?}"),
    };
    let good = words(&[3, 0, 16, 0, 0, 0, 1, 3]);
    let image = memory(&[]);
    refused(interp.run(&good, &image), "no image for the source `the journal`");
    refused(interp.run(&good[8..], &image), "expected 64 bytes, found 56");
    refused(interp.run(&words(&[9, 0, 16, 0, 0, 0, 1, 3]), &image), "`prefix`: expected at most 8 bytes, found 9");
}
