//! Walks by hooks: the answers are the interpreter's.

use crate::Test;
use crate::machine;
use crate::spec::{HOOKS, assert_same, attach, compile, interpret, words};

pub const TESTS: &[Test] = &[
    ("chain", chain),
    ("chain_cold", chain_cold),
    ("chain_direct", chain_direct),
    ("chain_many", chain_many),
];

const CHAIN: &str = "\
struct Block size 512 { next: u64, count: u16 where count <= 100, values: [u32; count] }
record Sum { blocks: u8, sum: u64 }

traversal sum(start: u64) -> Sum {
    var at = start;
    var sum: u64 = 0;
    var blocks: u8 = 0;
    loop up to 20 while at != 0 {
        let block = read Block at at;
        for i in 0..block.count { sum = sum +% block.values[i]; }
        blocks += 1;
        at = block.next;
    }
    return Sum { blocks: blocks, sum: sum };
}
";

/// Chains of blocks in an order that no read-ahead guesses; block 0 is in none. Some end outside of the file, some in a block that is corrupt.
fn chain_image(blocks: u64) -> Vec<u8> {
    let mut bytes = vec![0u8; 512 * blocks as usize];
    for i in 1..blocks {
        let block = &mut bytes[512 * i as usize..][..512];
        let next = match i % 13 {
            0 => 0,
            5 => 512 * blocks - 100,
            _ => 512 * (1 + (i * 7919) % (blocks - 1)),
        };
        block[..8].copy_from_slice(&next.to_le_bytes());
        let count = if i % 29 == 3 { 101 } else { (i % 101) as u16 };
        block[8..10].copy_from_slice(&count.to_le_bytes());
        for (k, value) in block[10..410].chunks_exact_mut(4).enumerate() {
            value.copy_from_slice(&((i * 31 + k as u64) as u32).to_le_bytes());
        }
    }
    bytes
}

fn each_chain(direct: bool, cold: bool) {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file("chain", &chain_image(400));
    for hook in HOOKS {
        let mut attached = attach(f, &path, hook, direct);
        for start in (0..400).chain([401, u64::MAX / 512]) {
            if cold && start % 50 == 0 {
                machine::drop_cache(&path);
            }
            let args = words(&[512 * start]);
            let got = attached.lookup(&args).unwrap_or_else(|e| panic!("{hook}: {start}: {e}"));
            assert_same(hook, f, &got, &interpret(f, &path, &args));
        }
    }
}

fn chain() {
    each_chain(false, false);
}

fn chain_cold() {
    each_chain(false, true);
}

fn chain_direct() {
    each_chain(true, false);
}

/// More walks than a ring keeps in flight, and more calls than it takes at once.
fn chain_many() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file("chain", &chain_image(3000));
    for hook in HOOKS {
        for direct in [false, true] {
            let mut attached = attach(f, &path, hook, direct);
            let starts: Vec<u64> = (0..3000).collect();
            let mut seen = vec![false; starts.len()];
            let calls = starts.iter().map(|start| words(&[512 * start]));
            let done = attached.lookup_many(calls, |i, got| {
                assert!(!std::mem::replace(&mut seen[i], true), "{hook}: call {i} is reported once");
                assert_same(hook, f, &got, &interpret(f, &path, &words(&[512 * starts[i]])));
            });
            done.unwrap_or_else(|e| panic!("{hook}: {e}"));
            assert!(seen.iter().all(|seen| *seen), "{hook}: every call is reported");
        }
    }
}
