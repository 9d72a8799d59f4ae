//! What the passes leave means what it meant.

use super::differential::{check_all, memory, words};
use trav_compiler::ir::parse::parse;
use trav_compiler::ir::verify::verify;
use trav_compiler::opt::optimise;
use trav_compiler::prove::find_evidence;

/// Three elements of four bytes, twelve bytes apart, behind a header of twelve; what their offsets are made of stands apart from where they are checked.
const ELEMENTS: &str = "\
traversal elements -> bytes<24> {
    source i0 image
    fault f0 out_of_device unsigned \"off the device\"
    fault f1 corrupt unsigned \"outside\"

b0:
    v0: u64 = const 0
    v1: u64 = const 64
    hop i0 at v0 len v1 to b1 else f0
b1(v2: u64 64..=64) disk v2 min 64:
    v3: u64 = const 1
    v4: u64 = const 12
    v5: u64 0..=255 = load.1le disk[0]
    v6: u64 0..=255 = load.1le disk[1]
    v7: u64 0..=255 = load.1le disk[2]
    v8: bool = le v3, v5
    v9: bool = le v3, v6
    v10: bool = le v3, v7
    v11: bool = le v5, v4
    v12: bool = le v6, v4
    v13: bool = le v7, v4
    guard v8 else f1
    v14: u64 1..=255 = refine v5 if v8
    guard v11 else f1
    v15: u64 1..=12 = refine v14 if v11
    guard v9 else f1
    v16: u64 1..=255 = refine v6 if v9
    guard v12 else f1
    v17: u64 1..=12 = refine v16 if v12
    guard v10 else f1
    v18: u64 1..=255 = refine v7 if v10
    guard v13 else f1
    v19: u64 1..=12 = refine v18 if v13
    v20: u64 0..=11 = sub v15, v3
    v21: u64 0..=11 = sub v17, v3
    v22: u64 0..=11 = sub v19, v3
    v23: u64 0..=132 = mul v20, v4
    v24: u64 0..=132 = mul v21, v4
    v25: u64 0..=132 = mul v22, v4
    v26: u64 12..=144 = add v23, v4
    v27: u64 12..=60 = check disk v26 + 4 <= v2 else f1
    v28: u64 12..=144 = add v24, v4
    v29: u64 = const 7
    v30: u64 12..=144 = add v25, v4
    v31: u64 12..=60 = check disk v28 + 4 <= v2 else f1
    v32: u64 12..=60 = check disk v30 + 4 <= v2 else f1
    v33: u64 0..=4294967295 = load.4le disk[base v27]
    v34: u64 0..=4294967295 = load.4le disk[base v31]
    v35: u64 0..=4294967295 = load.4le disk[base v32]
    v36: u64 = add.wrap v35, v29
    store.8le out[0], v33
    store.8le out[8], v34
    store.8le out[16], v36
    return
}
";

#[test]
fn offsets_that_are_checked_stay_those_of_their_elements() {
    let plain = parse(ELEMENTS).unwrap_or_else(|e| panic!("{e:?}"));
    let mut improved = plain.clone();
    optimise(&mut improved);
    find_evidence(&mut improved);
    let [plain, improved] = [plain, improved].map(|f| verify(f).unwrap_or_else(|e| panic!("{e:#?}")));
    let mut block: Vec<u8> = (0..64).collect();
    for indices in [[1, 2, 3], [3, 1, 2], [4, 4, 1], [1, 5, 2], [0, 1, 1]] {
        block[..3].copy_from_slice(&indices);
        let image = memory(&block);
        assert_eq!(check_all(&improved, &[], &image).outcome, check_all(&plain, &[], &image).outcome, "{indices:?}");
    }
}

/// What the loops find is overwritten, but for the second walk's.
const IDLE: &str = "\
struct Node size 512 { n: u8 where n <= 20, items: [u64; 12], keys: [u16; 20] }
traversal idle(key: u16) -> u64 {
    let b = read Node at 0;
    var t: u64 = 1;
    for v in b.items { if any j in 0..b.n where b.keys[j] <= key { t = t *% 3 +% v; } }
    t = b.items[0];
    return t;
}
traversal busy(key: u16) -> u64 {
    let b = read Node at 0;
    var t: u64 = 1;
    for v in b.items { if any j in 0..b.n where b.keys[j] <= key { t = t *% 3 +% v; } }
    return t;
}
";

#[test]
fn loops_that_do_nothing_are_gone() {
    let compiled = trav_compiler::compile("idle.trav", IDLE, &crate::hostile::NoModules);
    assert!(compiled.diagnostics.is_empty(), "{:#?}", compiled.diagnostics);
    let mut block = vec![0; 512];
    (block[0], block[1], block[100]) = (3, 7, 9);
    let sources = memory(&block);
    for (walk, loops) in compiled.traversals.iter().zip([0, 2]) {
        let found = walk.blocks.iter().filter(|b| b.header.is_some()).count();
        assert_eq!(found, loops, "{}", walk.name);
        check_all(walk, &words(&[5]), &sources);
    }
}
