//! Lookups by hooks beside the loop of pread(2) that they replace, as a table. Under `-icount shift=0,sleep=off` the guest's clock counts
//! instructions, so the figures are the same on every machine. Every answer is checked against a table that never came from the disk.

use crate::Test;
use crate::machine;
use crate::spec::{HOOKS, attach, compile, words};
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;
use trav_runtime::exec::Outcome;

pub const TESTS: &[Test] = &[("measure_cached", cached), ("measure_direct", direct), ("measure_many", many)];

const CHASE: &str = "\
struct Node size 512 { next: u64, value: u64 }

traversal chase(start: u64) -> u64 {
    var node = read Node at start;
    loop up to 63 while node.next != 0 { node = read Node at node.next; }
    return node.value;
}
";

const DEPTHS: [u64; 3] = [1, 6, 10];
const LOOKUPS: u64 = 200;
const NODES: u64 = 2048;

/// Node `i` of a chain; node `i` leads to a node 10 times scattered, and a chain of depth `d` begins at level `d`: nodes stand in 16 levels.
fn image() -> Vec<u8> {
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
fn chain(depth: u64, n: u64) -> (u64, u64) {
    let start = (n * 53 % (NODES / 16)) * 16 + depth - 1;
    let mut at = start;
    while let Some(next) = next(at) {
        at = next;
    }
    (place(start), value(at))
}

/// The program that is replaced.
fn by_pread(file: &File, buffer: &mut [u8], start: u64) -> u64 {
    let word = |buffer: &[u8], at: usize| u64::from_le_bytes(buffer[at..at + 8].try_into().expect("eight bytes"));
    let mut at = start;
    for _ in 0..64 {
        file.read_exact_at(buffer, at).expect("the disk works");
        at = word(buffer, 0);
        if at == 0 {
            break;
        }
    }
    word(buffer, 8)
}

fn assert_found(outcome: &Outcome, want: u64, hook: &str) {
    let Outcome::Done(found) = outcome else { panic!("{hook}: {outcome:?}") };
    assert_eq!(found[..], want.to_le_bytes(), "{hook}");
}

fn table(what: &str, path: &Path, direct: bool) {
    let spec = compile("chase.trav", CHASE);
    let f = &spec.traversals[0];
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).expect("the file is there");
    let mut aligned = memory();
    let buffer = &mut aligned[..512];
    println!("guest: {what}: per lookup, beside pread");
    for depth in DEPTHS {
        let calls: Vec<(u64, u64)> = (0..LOOKUPS).map(|n| chain(depth, n)).collect();
        let mut pread = 0.0;
        for round in 0..2 {
            let begun = Instant::now();
            for (start, want) in &calls {
                assert_eq!(by_pread(&file, buffer, *start), *want);
            }
            // The first round warms the cache.
            pread = if round == 1 { begun.elapsed().as_nanos() as f64 / LOOKUPS as f64 } else { pread };
        }
        println!("guest:   depth {depth:2}  pread   {pread:9.0}");
        for hook in HOOKS {
            let mut attached = attach(f, path, hook, direct);
            let mut each = 0.0;
            for _ in 0..2 {
                let begun = Instant::now();
                for (start, want) in &calls {
                    let got = attached.lookup(&words(&[*start])).unwrap_or_else(|e| panic!("{hook}: {e}"));
                    assert_found(&got.outcome, *want, hook);
                }
                each = begun.elapsed().as_nanos() as f64 / LOOKUPS as f64;
            }
            println!("guest:   depth {depth:2}  {hook:7} {each:9.0}  {:.2}", each / pread);
        }
    }
}

/// A page for direct I/O.
fn memory() -> memmap2::MmapMut {
    memmap2::MmapMut::map_anon(4096).expect("a page can be had")
}

fn cached() {
    let path = machine::file("measured", &image());
    table("cached file, 512 B", &path, false);
}

fn direct() {
    let disk = machine::null_disk("quick", 4, 0, 0);
    std::fs::write(&disk, image()).expect("the disk has room");
    table("O_DIRECT on null_blk, 512 B", &disk, true);
}

/// Many walks in flight on a disk that takes its time.
fn many() {
    const DEPTH: u64 = 10;
    let disk = machine::null_disk("slow", 4, 2, 10_000);
    std::fs::write(&disk, image()).expect("the disk has room");
    let spec = compile("chase.trav", CHASE);
    let f = &spec.traversals[0];
    let calls: Vec<(u64, u64)> = (0..1024).map(|n| chain(DEPTH, n)).collect();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&disk);
    let file = file.expect("the disk is there");
    let mut aligned = memory();
    let begun = Instant::now();
    for (start, want) in &calls {
        assert_eq!(by_pread(&file, &mut aligned[..512], *start), *want);
    }
    let pread = begun.elapsed().as_nanos() as f64 / calls.len() as f64;
    println!("guest: null_blk with 10 us, depth {DEPTH}, per lookup");
    println!("guest:   pread, one after the other {pread:9.0}");
    for hook in ["uring", "hybrid"] {
        let mut attached = attach(f, &disk, hook, true);
        let begun = Instant::now();
        let args = calls.iter().map(|(start, _)| words(&[*start]));
        let done = attached.lookup_many(args, |i, got| assert_found(&got.outcome, calls[i].1, hook));
        done.unwrap_or_else(|e| panic!("{hook}: {e}"));
        let each = begun.elapsed().as_nanos() as f64 / calls.len() as f64;
        println!("guest:   {hook}, 64 in flight          {each:9.0}  {:.1} times the lookups", pread / each);
    }
}
