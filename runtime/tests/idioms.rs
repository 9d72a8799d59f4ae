//! Loops for which native code has its own shapes: all executors must agree at each length and place where the shapes change.

use crate::differential::{check_all, check_calls, memory};
use crate::hostile::{NoModules, mix};
use trav_compiler::ir::Op;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::Outcome;

fn compiled(text: &str) -> Verified {
    let mut compilation = trav_compiler::compile("idioms", text, &NoModules);
    assert!(compilation.diagnostics.is_empty(), "{:#?}", compilation.diagnostics);
    compilation.traversals.remove(0)
}

fn words(outcome: &Outcome) -> Vec<u64> {
    match outcome {
        Outcome::Done(out) => out.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().unwrap())).collect(),
        Outcome::Fault(report) => panic!("{report:?}"),
    }
}

#[test]
fn sums_of_every_length_are_right() {
    let image: Vec<u8> = (0..128).flat_map(|i| mix(i).to_le_bytes()).collect();
    for length in [1, 7, 15, 16, 17, 23, 24, 31, 64, 65, 127] {
        let f = compiled(&format!(
            "struct Row size 1024 {{ head: u64, values: [u64; {length}] }}
            traversal total(start: u64) -> u64 {{
                let row = read Row at 0;
                var total = start;
                for value in row.values {{ total = total +% value; }}
                return total;
            }}"
        ));
        let start = u64::MAX - 5;
        let wanted = (1..=length).fold(start, |sum: u64, i| sum.wrapping_add(mix(i)));
        let trace = check_all(&f, &start.to_le_bytes(), &memory(&image));
        assert_eq!(words(&trace.outcome), [wanted], "{length}");
    }
}

/// Texts in the disk block, in a buffer and in the arguments, equal up to each place, of lengths around those of words.
#[test]
fn bytes_are_compared_at_every_length() {
    let f = compiled(
        "struct Text size 256 { length: u16 where length <= 40, text: bytes[length] }
        record Order { less: bool, same: bool, more: bool, kept: bool }
        traversal order(key: bytes up to 40) -> Order {
            let found = read Text at 0;
            var copy: buffer<40>;
            copy.append(found.text);
            return Order {
                less: found.text < key,
                same: found.text == key,
                more: copy[..copy.len] > key,
                kept: copy[..copy.len] == found.text,
            };
        }",
    );
    let text: Vec<u8> = (0..40).map(|i| mix(i) as u8 | 1).collect();
    for found in [0, 1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 24, 31, 32, 33, 39, 40] {
        let mut block = vec![0; 256];
        block[0] = found as u8;
        block[2..2 + found].copy_from_slice(&text[..found]);
        let image = memory(&block);
        let mut keys: Vec<Vec<u8>> = [0, 1, 7, 8, 9, 16, 23, 40].map(|len| text[..len].to_vec()).into();
        keys.push(text[..found].to_vec());
        for place in 0..found {
            let mut key = text[..found].to_vec();
            // Less in one, more in the other; and what differs later does not count.
            key[place] ^= if place % 2 == 0 { 1 } else { 0x80 };
            key[found - 1] = key[found - 1].wrapping_add(u8::from(place + 1 < found));
            keys.push(key);
        }
        let args: Vec<Vec<u8>> = keys
            .iter()
            .map(|key| {
                let mut args = (key.len() as u64).to_le_bytes().to_vec();
                args.extend(key.iter().copied().chain(std::iter::repeat(0)).take(40));
                args
            })
            .collect();
        let calls: Vec<_> = args.iter().map(|args| (args.as_slice(), &image)).collect();
        for (trace, key) in check_calls(&f, &calls).iter().zip(&keys) {
            let order = text[..found].cmp(key.as_slice());
            let wanted = [order.is_lt(), order.is_eq(), order.is_gt(), true].map(u64::from);
            assert_eq!(words(&trace.outcome), wanted, "{found}: {key:?}");
        }
    }
}

/// Short texts, which are compared as numbers with zeroes behind them: among them such as end in zeroes.
#[test]
fn short_texts_are_compared_whatever_they_end_in() {
    const ROOM: usize = 19;
    let f = compiled(
        "struct Text size 32 { length: u16 where length <= 19, text: bytes[length] }
        record Order { less: bool, at_most: bool, same: bool, other: bool }
        traversal order(key: bytes up to 19) -> Order {
            let found = read Text at 0;
            var copy: buffer<19>;
            copy.append(key);
            copy.clear();
            copy.append(found.text);
            return Order { less: copy < key, at_most: copy <= key, same: copy == key, other: key == copy };
        }",
    );
    let texts: Vec<Vec<u8>> = (0..120)
        .map(|i| {
            let length = [0, 1, 2, 7, 8, 9, 15, 16, 17, 18, 19][mix(i) as usize % 11];
            // Long ones of the same bytes, but for the last ones.
            let byte = |j: usize| if j + 3 < length { 7 } else { [0, 0, 1, 0xff][mix(i + 7 * j as u64) as usize % 4] };
            (0..length).map(byte).collect()
        })
        .collect();
    for found in &texts {
        let mut block = vec![0xee; 32];
        block[..2].copy_from_slice(&(found.len() as u16).to_le_bytes());
        block[2..2 + found.len()].copy_from_slice(found);
        let image = memory(&block);
        let args: Vec<Vec<u8>> = texts
            .iter()
            .map(|key| {
                let mut args = (key.len() as u64).to_le_bytes().to_vec();
                args.extend(key.iter().copied().chain(std::iter::repeat(0)).take(ROOM.next_multiple_of(8)));
                args
            })
            .collect();
        let calls: Vec<_> = args.iter().map(|args| (args.as_slice(), &image)).collect();
        for (trace, key) in check_calls(&f, &calls).iter().zip(&texts) {
            let wanted = [found < key, found <= key, found == key, found == key].map(u64::from);
            assert_eq!(words(&trace.outcome), wanted, "{found:?} {key:?}");
        }
    }
}

/// A few bytes go to any place of a buffer from any place of a block, its last bytes among them.
#[test]
fn few_bytes_are_copied_from_everywhere() {
    let f = compiled(
        "struct Block size 64 { all: bytes<64> }
        traversal joined(a: u64, n: u64, b: u64, m: u64) -> bytes up to 12 {
            let block = read Block at 0;
            var copy: buffer<12>;
            copy.append(block.all[a..a + n]);
            copy.append(block.all[b..b + m]);
            return copy[..copy.len];
        }",
    );
    let block: Vec<u8> = (1..=64).collect();
    let image = memory(&block);
    let mut calls = Vec::new();
    for n in 0..=12usize {
        for m in 0..=12 - n {
            for (a, b) in [(0, 64 - m), (64 - n, 3), (57 - n.min(5), 58 - m.min(6))] {
                calls.push(([a, n, b, m], [&block[a..a + n], &block[b..b + m]].concat()));
            }
        }
    }
    let args: Vec<Vec<u8>> =
        calls.iter().map(|(args, _)| args.iter().flat_map(|n| (*n as u64).to_le_bytes()).collect()).collect();
    let traces = check_calls(&f, &args.iter().map(|args| (args.as_slice(), &image)).collect::<Vec<_>>());
    for (trace, (args, wanted)) in traces.iter().zip(&calls) {
        let Outcome::Done(out) = &trace.outcome else { panic!("{args:?}: {:?}", trace.outcome) };
        assert_eq!(out[..8], (wanted.len() as u64).to_le_bytes(), "{args:?}");
        assert_eq!(out[8..8 + wanted.len()], wanted[..], "{args:?}");
    }
}

/// A search for a varint, of each length, up to the block's end.
#[test]
fn varints_of_every_length_are_found() {
    for (kind, ty) in [("sqlite", "i64"), ("leb128", "u64"), ("vlq", "u64")] {
        let f = compiled(&format!(
            "struct Page size 512 {{
                count: u16 where count <= 40,
                places: [u16; count],
                fn key(i: u32) -> Key {{ view Key at places[i] in self }}
            }}
            struct Key {{ size: varint<{kind}>, key: varint<{kind}>, rest: bytes<to end> }}
            traversal find(key: {ty}) -> u64 {{
                let page = read Page at 0;
                let i = first i in 0..page.count sorted where page.key(i).key >= key else return 1000;
                let found = page.key(i);
                return if found.key == key {{ found.rest.len + 2000 }} else {{ i }};
            }}"
        ));
        let keys: Vec<u64> = (0..62).step_by(2).map(|bits| 1u64 << bits).collect();
        let (mut texts, mut places) = (Vec::new(), Vec::new());
        for key in &keys {
            places.push(texts.len());
            texts.extend(varint(kind, key % 300));
            texts.extend(varint(kind, *key));
        }
        let start = 512 - texts.len();
        let mut block = vec![0; start];
        block[..2].copy_from_slice(&(keys.len() as u16).to_le_bytes());
        for (i, place) in places.iter().enumerate() {
            block[2 + 2 * i..][..2].copy_from_slice(&((start + place) as u16).to_le_bytes());
        }
        block.extend(&texts);
        let image = memory(&block);
        let asked: Vec<u64> = keys.iter().flat_map(|key| [key - 1, *key, key + 1]).collect();
        let args: Vec<[u8; 8]> = asked.iter().map(|key| key.to_le_bytes()).collect();
        let traces = check_calls(&f, &args.iter().map(|args| (args.as_slice(), &image)).collect::<Vec<_>>());
        for (trace, key) in traces.iter().zip(&asked) {
            let at = keys.iter().position(|k| k >= key);
            let wanted = match at {
                None => 1000,
                Some(i) if keys[i] != *key => i as u64,
                Some(i) => {
                    let read = varint(kind, key % 300).len() + varint(kind, *key).len();
                    2000 + (texts.len() - places[i] - read) as u64
                }
            };
            assert_eq!(words(&trace.outcome), [wanted], "{kind}: {key}");
        }
        // The last one is cut off.
        let last = block.len() - 1;
        block[last] |= 0x80;
        check_all(&f, &keys[keys.len() - 1].to_le_bytes(), &memory(&block));
    }
}

/// A search whose position native code keeps times the size of an element, and what is found by it afterwards. No round has a test of its own: that it
/// stays within the elements is proved.
#[test]
fn elements_of_every_size_are_found() {
    for size in [4, 5, 12, 16, 24, 100] {
        let f = compiled(&format!(
            "struct Item size {size} {{ key: u32 }}
            struct Table size 1024 {{ count: u16 where 2 + {size} * count <= 1024, items: [Item; count] }}
            traversal find(key: u32) -> u64 {{
                let table = read Table at 0;
                let i = last i in 0..table.count sorted where table.items[i].key <= key else return 5000;
                let above = first i in 0..table.count sorted where table.items[i].key > key else return i;
                return i * 1000 + above;
            }}"
        ));
        let insts = f.blocks.iter().flat_map(|block| &block.insts);
        let tested = insts.filter_map(|inst| match inst.op {
            Op::Guard { fault, .. } => Some(&f.faults[fault.fault.index()].message),
            _ => None,
        });
        assert!(tested.clone().all(|message| !message.contains("left its range")), "{:?}", tested.collect::<Vec<_>>());
        for count in [0, 1, 2, 3, 7, 8, 10] {
            let mut block = vec![0; 1024];
            block[0] = count as u8;
            for i in 0..count {
                block[2 + size * i..][..4].copy_from_slice(&(10 * i as u32 + 10).to_le_bytes());
            }
            let image = memory(&block);
            let asked: Vec<u64> = (0..=count as u64).flat_map(|i| [10 * i + 9, 10 * i + 10]).collect();
            let args: Vec<[u8; 8]> = asked.iter().map(|key| key.to_le_bytes()).collect();
            let traces = check_calls(&f, &args.iter().map(|args| (args.as_slice(), &image)).collect::<Vec<_>>());
            for (trace, key) in traces.iter().zip(&asked) {
                let upto = (key / 10).min(count as u64);
                let wanted = match upto {
                    0 => 5000,
                    n if n == count as u64 => n - 1,
                    n => (n - 1) * 1000 + n,
                };
                assert_eq!(words(&trace.outcome), [wanted], "{size} bytes, {count} of them: {key}");
            }
        }
    }
}

/// A place that is looked at on several ways before a loop that is cut, and in it: behind a cut nothing is in a register that was made before.
#[test]
fn pointers_are_made_again_behind_a_cut() {
    let f = compiled(
        "struct Page size 4096 { place: u16 where place <= 64, rows: [u8; 4000] }
        struct Pair size 24 { x: u64, y: u64, z: u64 }
        traversal fold(k: u64) -> u64 {
            let page = read Page at 0;
            let pair = view Pair at 4000 + page.place in page;
            var sum = if k > 5 { pair.x } else { pair.y };
            if k > 7 { sum = sum +% pair.z; }
            for row in page.rows {
                if row > 3 { sum = sum +% pair.z; } else { sum = sum *% 3 +% pair.x; }
            }
            return sum;
        }",
    );
    let mut block: Vec<u8> = (0..4096).map(|i| mix(i) as u8 % 7).collect();
    block[..2].copy_from_slice(&40u16.to_le_bytes());
    let [x, y, z] = [4040, 4048, 4056].map(|at| u64::from_le_bytes(block[at..at + 8].try_into().unwrap()));
    for k in [0, 6, 8] {
        let sum = if k > 5 { x } else { y }.wrapping_add(if k > 7 { z } else { 0 });
        let wanted = block[2..4002].iter().fold(sum, |sum, row| match row {
            4.. => sum.wrapping_add(z),
            _ => sum.wrapping_mul(3).wrapping_add(x),
        });
        let trace = check_all(&f, &u64::to_le_bytes(k), &memory(&block));
        assert_eq!(words(&trace.outcome), [wanted], "{k}");
    }
}

#[test]
fn conditions_are_part_of_an_address() {
    let f = compiled(
        "struct Node size 512 { a: u8, @8 keys: [u64; 62] }
        traversal found(at: u64) -> u64 {
            let node = read Node at at;
            return node.keys[(node.a == 1 || node.a == 2) as u64];
        }",
    );
    for a in [0, 1, 2, 3] {
        let mut image: Vec<u8> = (0..512).map(|i| mix(i) as u8).collect();
        image[0] = a;
        let place = if a == 1 || a == 2 { 16 } else { 8 };
        let trace = check_all(&f, &0u64.to_le_bytes(), &memory(&image));
        assert_eq!(trace.outcome, Outcome::Done(image[place..place + 8].to_vec()), "{a}");
    }
}

#[test]
fn a_hop_may_be_for_one_place_of_a_block() {
    let f = compiled(
        "struct Next size 512 { places: [u64; 64] }
        struct Log(size: u32) size size { bytes: bytes[size] }
        record Found { first: bytes<100>, second: u64 }
        traversal found(place: u64, from: u32) -> Found? {
            let next = read Next at 512 * (place / 64);
            let at = next.places[place % 64];
            require from <= 512 else fail \"too far\";
            let other = read Next at at;
            let second = other.places[from % 64];
            let log = read Log(4096) at at;
            return Found { first: log.bytes[from..from + 100], second };
        }",
    );
    let mut image: Vec<u8> = (0..64 << 10).map(|i| mix(i) as u8).collect();
    for (i, place) in image[..1024].chunks_exact_mut(8).enumerate() {
        place.copy_from_slice(&(1024 + 7 * i as u64).to_le_bytes());
    }
    for (place, from) in [(0, 0), (3, 60), (63, 511), (64, 1), (127, 512), (9, 513)] {
        let trace = check_all(&f, &[place, from].map(u64::to_le_bytes).concat(), &memory(&image));
        assert_eq!(matches!(trace.outcome, Outcome::Done(_)), from <= 512, "{place} {from}");
    }
}

/// A number below 2^62 as the kinds of varints write it.
fn varint(kind: &str, n: u64) -> Vec<u8> {
    let groups = (64 - n.leading_zeros()).div_ceil(7).max(1);
    // With all 64 bits SQLite's have nine bytes, of which the last is whole.
    if kind == "sqlite" && groups > 8 {
        let high = (1..9).map(|i| (n >> 8 >> (7 * (8 - i))) as u8 | 0x80);
        return high.chain([n as u8]).collect();
    }
    let place = |i: u32| if kind == "leb128" { i } else { groups - 1 - i };
    (0..groups).map(|i| (n >> (7 * place(i))) as u8 & 0x7f | if i + 1 < groups { 0x80 } else { 0 }).collect()
}
