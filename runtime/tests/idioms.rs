//! Loops for which native code has its own shapes: all executors must agree at each length and place where the shapes change.

use crate::differential::{check_all, check_calls, memory};
use crate::hostile::{NoModules, mix};
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
