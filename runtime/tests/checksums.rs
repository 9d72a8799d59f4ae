//! The checksums of the standard library: over a block of 4 KiB on all executors, the kernel's limits included, against the same sums
//! computed in another way, which published values confirm.

use crate::differential::{check_all, check_calls, memory, words};
use trav_compiler::ir::FaultKind;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::Outcome;

struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn compile(text: &str) -> Vec<Verified> {
    let compiled = trav_compiler::compile("checksums.trav", text, &NoModules);
    assert!(compiled.diagnostics.is_empty(), "{:#?}", compiled.diagnostics);
    compiled.traversals
}

/// A reflected cyclic sum, bit by bit.
fn crc(polynomial: u32, register: u32, data: &[u8]) -> u32 {
    data.iter().fold(register, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |r, _| if r & 1 == 0 { r >> 1 } else { r >> 1 ^ polynomial })
    })
}

fn crc32(data: &[u8]) -> u64 {
    u64::from(!crc(0xedb8_8320, !0, data))
}

fn crc32c(data: &[u8]) -> u64 {
    u64::from(!crc(0x82f6_3b78, !0, data))
}

fn crc16(data: &[u8]) -> u64 {
    u64::from(crc(0xa001, 0, data))
}

/// XXH64 with the seed 0, step by step as in the specification.
fn xxh64(data: &[u8]) -> u64 {
    const P: [u64; 6] =
        [0, 11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261];
    let word = |b: &[u8]| u64::from_le_bytes(b.try_into().unwrap());
    let round = |lane: u64, n: u64| lane.wrapping_add(n.wrapping_mul(P[2])).rotate_left(31).wrapping_mul(P[1]);
    let stripes = data.chunks_exact(32);
    let mut rest = stripes.remainder();
    let mut h = P[5];
    if data.len() >= 32 {
        let mut lanes = [P[1].wrapping_add(P[2]), P[2], 0, 0u64.wrapping_sub(P[1])];
        for stripe in stripes {
            for (lane, bytes) in lanes.iter_mut().zip(stripe.chunks(8)) {
                *lane = round(*lane, word(bytes));
            }
        }
        h = lanes.iter().zip([1, 7, 12, 18]).fold(0u64, |h, (lane, by)| h.wrapping_add(lane.rotate_left(by)));
        for lane in lanes {
            h = (h ^ round(0, lane)).wrapping_mul(P[1]).wrapping_add(P[4]);
        }
    }
    h = h.wrapping_add(data.len() as u64);
    while let Some((bytes, after)) = rest.split_at_checked(8) {
        h = (h ^ round(0, word(bytes))).rotate_left(27).wrapping_mul(P[1]).wrapping_add(P[4]);
        rest = after;
    }
    if let Some((bytes, after)) = rest.split_at_checked(4) {
        let n = u64::from(u32::from_le_bytes(bytes.try_into().unwrap()));
        h = (h ^ n.wrapping_mul(P[1])).rotate_left(23).wrapping_mul(P[2]).wrapping_add(P[3]);
        rest = after;
    }
    for byte in rest {
        h = (h ^ u64::from(*byte).wrapping_mul(P[5])).rotate_left(11).wrapping_mul(P[1]);
    }
    h = (h ^ h >> 33).wrapping_mul(P[2]);
    h = (h ^ h >> 29).wrapping_mul(P[3]);
    h ^ h >> 32
}

type Sum = fn(&[u8]) -> u64;

/// Each sum by name, as a spec calls it, and computed here.
const SUMS: [(&str, &str, Sum); 4] = [
    ("crc32", "crc32(DATA)", crc32),
    ("crc32c", "crc32c(DATA)", crc32c),
    ("crc16", "crc16(0, DATA)", crc16),
    ("xxh64", "xxh64(0, DATA)", xxh64),
];

/// Bytes without a pattern that a sum could miss.
fn noise(length: usize) -> Vec<u8> {
    let step = |x: &mut u32| {
        *x = x.wrapping_mul(1664525).wrapping_add(1013904223);
        Some((*x >> 24) as u8)
    };
    std::iter::from_fn({
        let mut x = 1;
        move || step(&mut x)
    })
    .take(length)
    .collect()
}

/// The check values of the sums over `123456789` (Williams, "A painless guide to CRC error detection algorithms", and the catalogue
/// of CRCs), the vectors of RFC 3720, appendix B.4, and those of xxHash's own tests.
#[test]
fn sums_are_the_published_ones() {
    let up: Vec<u8> = (0..32).collect();
    let down: Vec<u8> = (0..32).rev().collect();
    let published: [(Sum, &[u8], u64); 12] = [
        (crc32, b"123456789", 0xcbf4_3926),
        (crc16, b"123456789", 0xbb3d),
        (crc32c, b"123456789", 0xe306_9283),
        (crc32c, &[0; 32], 0x8a91_36aa),
        (crc32c, &[0xff; 32], 0x62a8_ab43),
        (crc32c, &up, 0x46dd_794e),
        (crc32c, &down, 0x113f_db5c),
        (xxh64, b"", 0xef46_db37_51d8_e999),
        (xxh64, b"a", 0xd24e_c4f1_a98c_6e5b),
        (xxh64, b"abc", 0x44bc_2cf5_ad77_0999),
        (xxh64, b"123456789", 0x8cb8_41db_40e6_ae83),
        (xxh64, b"Nobody inspects the spammish repetition", 0xfbce_a83c_8a37_8bf1),
    ];
    for (sum, data, value) in published {
        assert_eq!(sum(data), value, "{data:?}");
    }
}

/// Lengths around each step of the sums.
#[test]
fn sums_of_every_length_are_right() {
    let lengths: Vec<usize> = (0..=72).chain([95, 96, 127, 255, 256]).collect();
    let data = noise(256);
    let image = memory(&data);
    for (name, call, sum) in SUMS {
        let spec = compile(&format!(
            "use std.checksum.{{{name}}};
            struct Part(n: u32) size 256 {{ data: bytes[n] }}
            traversal sum(n: u32) -> u64 {{ let part = read Part(n) at 0; return {}; }}",
            call.replace("DATA", "part.data")
        ));
        let args: Vec<Vec<u8>> = lengths.iter().map(|n| words(&[*n as u64])).collect();
        let traces = check_calls(&spec[0], &args.iter().map(|args| (&args[..], &image)).collect::<Vec<_>>());
        for (n, trace) in lengths.iter().zip(traces) {
            let expected = Outcome::Done(words(&[sum(&data[..*n])]));
            assert_eq!(trace.outcome, expected, "{name} of {n} bytes");
        }
    }
}

/// A sum that is checked when the block is read fits the limits of the kernel, whose verifier goes through each turn of a loop: the kernel is
/// among the executors where this machine has it.
#[test]
fn a_block_of_4_kib_is_checked_within_the_kernels_limits() {
    for (name, call, sum) in SUMS {
        let spec = compile(&format!(
            "use std.checksum.{{{name}}};
            struct Block size 4096 {{ data: bytes<4088>, sum: u64 where {} == sum }}
            traversal checked() -> u64 {{ return (read Block at 0).sum; }}",
            call.replace("DATA", "data")
        ));
        let mut block = noise(4088);
        let expected = sum(&block);
        block.extend(expected.to_le_bytes());
        assert_eq!(check_all(&spec[0], &[], &memory(&block)).outcome, Outcome::Done(words(&[expected])), "{name}");
        for at in [0, 2047, 4087, 4088] {
            block[at] ^= 0x10;
            let damaged = check_all(&spec[0], &[], &memory(&block)).outcome;
            let Outcome::Fault(report) = damaged else { panic!("{name}: byte {at}: {damaged:?}") };
            assert_eq!(spec[0].faults[report.fault.index()].kind, FaultKind::Corrupt, "{name}");
            block[at] ^= 0x10;
        }
    }
}
