//! The verifier: for each rule functions that break it and no other.

use super::golden;
use std::collections::BTreeSet;
use trav_compiler::ir::parse::parse;
use trav_compiler::ir::schema::{Display, Schema};
use trav_compiler::ir::verify::verify;
use trav_compiler::ir::*;

fn text(file: &str) -> String {
    golden().into_iter().find(|(name, _)| name == file).map(|(_, text)| text).expect("a golden function of that name")
}

fn errors(f: Function) -> Vec<String> {
    verify(f).err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

/// A change of a golden function's text, and what the verifier says to it.
struct Break {
    file: &'static str,
    /// Each `from` stands there once.
    changes: &'static [(&'static str, &'static str)],
    errors: &'static [&'static str],
}

const fn chase(changes: &'static [(&'static str, &'static str)], errors: &'static [&'static str]) -> Break {
    Break { file: "chase.tir", changes, errors }
}

const fn bpfkv(changes: &'static [(&'static str, &'static str)], errors: &'static [&'static str]) -> Break {
    Break { file: "bpfkv.tir", changes, errors }
}

const fn rows(changes: &'static [(&'static str, &'static str)], errors: &'static [&'static str]) -> Break {
    Break { file: "rows.tir", changes, errors }
}

const fn total(changes: &'static [(&'static str, &'static str)], errors: &'static [&'static str]) -> Break {
    Break { file: "total.tir", changes, errors }
}

const fn varints(changes: &'static [(&'static str, &'static str)], errors: &'static [&'static str]) -> Break {
    Break { file: "varints.tir", changes, errors }
}

const BREAKS: &[Break] = &[
    // 4, 9, 17, 18 and 19, of varints.
    varints(
        &[("else f2(at v3) wide f3\n", "else f2(at v3)\n")],
        &["rule 4: b1: v6: expected a fault for a leb128 of more than 64 bits"],
    ),
    varints(
        &[("v11: u64 = decoded v10", "v11: i64 = decoded v10")],
        &["rule 9: b1: v11: expected the result of type u64, found i64"],
    ),
    varints(
        &[("v6: u64 1..=10 = varint.leb128", "v6: u64 1..=9 = varint.leb128")],
        &["rule 10: b1: v6: expected a claim over all of 1..=10, found 1..=9"],
    ),
    varints(
        &[("varint.leb128 disk[base v5]", "varint.leb128 disk[v5 + 1]")],
        &["rule 17: b1: v6: expected an end within the sure 32 bytes of disk[v5 + 1], found 33"],
    ),
    varints(
        &[("varint.vlq disk[base v13]", "varint.vlq disk[base v12]")],
        &["rule 18: b1: v14: expected a check on disk as the base, found v12"],
    ),
    varints(
        &[("decoded v14", "decoded v10")],
        &["rule 18: b1: v15: expected the size of the varint before this, found v10"],
    ),
    varints(
        &[("disk[base v9] within v3", "disk[base v9] within v4")],
        &["rule 19: b1: v10: expected a limit within the 32 bytes of disk, found v4 up to 18446744073709551615"],
    ),
    // 1: ids.
    chase(
        &[("eq v14, v12", "eq v14, v999")],
        &["rule 1: b3: v17: expected an entry v999 in the table of values, found none"],
    ),
    chase(
        &[("branch v17, b6, b4", "branch v17, b7, b4")],
        &["rule 1: b3: branch v17, b7, b4: expected an entry for b7 in its table, found none"],
    ),
    chase(
        &[("fault f1(found v4)", "fault f3(found v4)")],
        &["rule 1: b5: fault f3(found v4): expected an entry for f3 in its table, found none"],
    ),
    chase(
        &[("hop i0", "hop i1")],
        &[
            "rule 1: b2: hop i1 at v4 len v9 to b3(v8, v4, v5) else f0: expected an entry for i1 in its table, found none",
        ],
    ),
    rows(&[("arglen 0", "arglen 2")], &["rule 1: b0: v0: expected an entry for arg2 in its table, found none"]),
    rows(&[("arg 2", "arg 1")], &["rule 1: b0: v1: expected an entry for the scalar arg 1 in its table, found none"]),
    rows(&[("\"i < 4\" v3 v5", "\"i < 4\" v3 v500")], &["rule 1: o0: expected operands in the table of values"]),
    rows(
        &[("keep s0 s1 else", "keep s0 s1 s2 else")],
        &[
            "rule 1: b0: hop i1 at v13 len v19 to b1(v14) keep s0 s1 s2 else f1: expected an entry for s2 in its table, found none",
        ],
    ),
    chase(&[("b0:", "b0(v30: u64):")], &["rule 1: b0: expected no parameters of the entry"]),
    chase(&[("b0:", "b0 disk v0 min 0:")], &["rule 1: b0: expected no disk block in the entry"]),
    // 2: areas.
    rows(
        &[("slot s1 seen 8", "slot s1 seen 16777200")],
        &["rule 2: rows of all: expected slots of at most 16777216 bytes"],
    ),
    // 3: definitions.
    chase(
        &[("v1: u64 = const 0", "v2: u64 = const 0")],
        &[
            "rule 3: v1: expected a definition of what is used, found none",
            "rule 3: v2: expected one definition, found several",
        ],
    ),
    // 4: results and widths.
    chase(
        &[("    store.8le out[0], v16", "    v30: u64 = store.8le out[0], v16")],
        &["rule 4: b6: v30: expected no result of store.8le out[0], v16"],
    ),
    chase(
        &[("    v17: bool = eq v14, v12", "    v17: bool = eq v14, v12\n    eq v14, v12")],
        &["rule 4: b3: eq v14, v12: expected a result of eq v14, v12"],
    ),
    chase(&[("load.8le disk[0]", "load.9le disk[0]")], &["rule 4: b3: v14: expected 1 to 8 bytes, found 9"]),
    rows(&[("extend 12", "extend 64")], &["rule 4: b0: v3: expected 1 to 63 bits, found 64"]),
    // 5: arity.
    chase(
        &[("b3(v8, v4, v5)", "b3(v8, v4)")],
        &["rule 5: b2: hop i0 at v4 len v9 to b3(v8, v4) else f0: expected 4 arguments for b3, found 3"],
    ),
    chase(
        &[("jump b1(v19, v14, v16)", "jump b1(v19, v14, v16, v16)")],
        &["rule 5: b4: jump b1(v19, v14, v16, v16): expected 3 arguments for b1, found 4"],
    ),
    rows(&[("-> stream", "->")], &["rule 5: b2: emit to b3(v20, v37) keep s0 s1: expected `emit` only in a stream"]),
    // 6: reachability.
    chase(
        &[("branch v7, b2, b5", "branch v7, b2, b2")],
        &["rule 6: b5: expected a way here from the entry, found none"],
    ),
    // 7: circles.
    chase(
        &[
            ("fault f1(found v4)", "branch v7, b6, b7"),
            ("store.8le out[0], v16\n    return", "jump b7\nb7:\n    jump b6"),
        ],
        &["rule 7: b7: expected that b6 dominates this block, from which an edge goes back to it"],
    ),
    // 8: dominance and steps.
    chase(
        &[("sum\" = add.checked v13, v15", "sum\" = add.checked v13, v18")],
        &["rule 8: b3: v16: expected that the definition of v18 dominates its use"],
    ),
    chase(
        &[("v17: bool = eq v14, v12\n", "v17: bool = eq v20, v12\n    v20: u64 = load.8le disk[0]\n")],
        &["rule 8: b3: v17: expected that the definition of v20 dominates its use"],
    ),
    chase(
        &[("eq v14, v12", "eq v14, v4")],
        &["rule 8: b3: v17: expected a value of the step that begins with b3, found v4 of an earlier one"],
    ),
    chase(
        &[("lt v3, v6", "lt v3, v0"), ("v6: u64 = const 100", "v6: u64 = const 100")],
        &["rule 8: b1: v7: expected a value of the step that begins with b1, found v0 of an earlier one"],
    ),
    rows(
        &[("jump b1(v38, v39)", "jump b1(v38, v37)")],
        &[
            "rule 8: b3: jump b1(v38, v37): expected a value of the step that begins with b3, found v37 of an earlier one",
        ],
    ),
    // 9: types.
    chase(&[("v18: u64 = const 1", "v18: i64 = const 1")], &["rule 9: b4: v19: expected v18 of type u64, found i64"]),
    chase(
        &[("branch v7, b2", "branch v4, b2")],
        &["rule 9: b1: branch v4, b2, b5: expected v4 of type bool, found u64"],
    ),
    chase(
        &[("sum\" = add.checked v13, v15 else", "sum\" = div.checked v13, v15 else")],
        &["rule 9: b3: v16: expected no mode of div, which does not overflow"],
    ),
    chase(
        &[
            ("jump b1(v1, v0, v2)", "jump b1(v1, v0, v20)"),
            ("v2: u64 = const 0", "v2: u64 = const 0\n    v20: i64 = const 0"),
        ],
        &["rule 9: b0: jump b1(v1, v0, v20): expected v20 for v5 of type u64, found i64"],
    ),
    rows(
        &[("v16: bool = arg 3", "v16: bool = arg 4")],
        &["rule 9: b0: v16: expected the result of type u64, found bool"],
    ),
    rows(
        &[("v40: u64 = cast v31", "v40: u64 = extend 4, v31")],
        &["rule 9: b4: v40: expected v31 of type u64 or i64, found bool"],
    ),
    // 10: claims.
    chase(
        &[("v15: u64 \"number\"", "v15: u64 0..=9 \"number\"")],
        &["rule 10: b3: v15: expected a claim over all of 0..=18446744073709551615, found 0..=9"],
    ),
    chase(
        &[("v15: u64 \"number\"", "v15: u64 -1..=18446744073709551615 \"number\"")],
        &["rule 10: v15: expected a claim within u64, found -1..=18446744073709551615"],
    ),
    bpfkv(
        &[("v50: u64 0..=511", "v50: u64 0..=510")],
        &["rule 10: b10: v50: expected a claim over all of 0..=511, found 0..=510"],
    ),
    // 11: arguments.
    bpfkv(
        &[("v61: u64 1..=31", "v61: u64 1..=30")],
        &["rule 11: b9: branch v43, b10, b14(v45): expected v45 within 1..=30 for v61, found 1..=31"],
    ),
    chase(
        &[("v10: u64 16..=16", "v10: u64 17..=17")],
        &[
            "rule 11: b2: hop i0 at v4 len v9 to b3(v8, v4, v5) else f0: expected v9 within 17..=17 for v10, found 16..=16",
        ],
    ),
    // 12: exact arithmetic.
    chase(
        &[("sum\" = add.checked v13, v15 else f2(found v15, at v12)", "sum\" = add v13, v15")],
        &["rule 12: b3: v16: expected that add fits u64, found 0..=36893488147419103230"],
    ),
    rows(
        &[("shl.wrap v5", "shl v2")],
        &["rule 12: b0: v12: expected that shl fits u64, found 0..=2361183241434822606720"],
    ),
    // 13: operands.
    bpfkv(
        &[("v51: u64 = const 64", "v51: u64 = const 64\n    v70: u64 = rem v48, v46")],
        &["rule 13: b10: v70: expected a divisor that is not 0, found v46 in 0..=18446744073709551615"],
    ),
    rows(
        &[("shr v12, v11", "shr v12, v5")],
        &["rule 13: b0: v13: expected a count of shr in 0..=63, found 0..=16777215"],
    ),
    rows(
        &[("v8: i64 = sub.wrap v7, v4", "v8: i64 = sub.wrap v7, v4\n    v50: u64 = cast v8")],
        &["rule 13: b0: v50: expected v8 within u64, found -549755814143..=549755814143"],
    ),
    rows(
        &[(
            "v13: u64 = shr v12, v11",
            "v13: u64 = shr v12, v11\n v50: i64 = const -1\n v51: i64 = reinterpret v2\n v52: i64 = div v51, v50",
        )],
        &["rule 13: b0: v52: expected v51 above the least i64 or v50 without -1"],
    ),
    // 14: refinements.
    chase(
        &[("refine v3 if v7", "refine v3 unless v7"), ("v8: u64", "v8: u64 0..=99")],
        &[
            "rule 14: b2: v8: expected a branch or guard before this by which v7 is false, found none",
            "rule 10: b2: v8: expected a claim over all of 100..=100, found 0..=99",
        ],
    ),
    chase(
        &[
            ("branch v7, b2, b5", "branch v7, b2, b2"),
            ("b5:\n    fault f1(found v4)\nb6:", "b5:"),
            ("branch v17, b6, b4", "branch v17, b5, b4"),
        ],
        &["rule 14: b2: v8: expected a branch or guard before this by which v7 is true, found none"],
    ),
    rows(
        &[
            ("v35: u64 = refine v21 if v33", "v35: u64 0..=2 = refine v21 if v41"),
            ("v34: bool", "v41: bool = or v33, v31\n    v34: bool"),
            ("v41: bool = eq", "v50: bool = eq"),
            ("select v41", "select v50"),
        ],
        &[
            "rule 14: b2: v35: expected a comparison with v21 as v41, found another value",
            "rule 14: b2: v35: expected a branch or guard before this by which v41 is true, found none",
            "rule 10: b2: v35: expected a claim over all of 0..=4, found 0..=2",
        ],
    ),
    // 15: obligations.
    rows(
        &[("guard v18 else f3", "prove v18 as o0")],
        &["rule 15: b0: prove v18 as o0: expected no obligation in what is to be run, found one"],
    ),
    // 16: directions.
    chase(&[("load.8le disk[8]", "load.8le out[0]")], &["rule 16: b3: v15: expected no read of the result"]),
    rows(
        &[("store.8be s1[0], v8", "store.8be d0[0], v8")],
        &["rule 16: b0: store.8be d0[0], v8: expected a slot or the result to write to, found d0"],
    ),
    // 17: evidence.
    chase(
        &[("load.8le disk[8]", "load.8le disk[9]")],
        &["rule 17: b3: v15: expected an end within the sure 16 bytes of disk[9], found 17"],
    ),
    chase(
        &[("store.8le out[0]", "store.8le out[1]")],
        &["rule 17: b6: store.8le out[1], v16: expected an end within the sure 8 bytes of out[1], found 9"],
    ),
    bpfkv(
        &[("disk[v20 + 16]", "disk[v20 + 265]")],
        &["rule 17: b5: v21: expected an end within the sure 512 bytes of disk[v20 + 265], found 513"],
    ),
    rows(
        &[("load.5be arg1[11]", "load.5be arg1[12]")],
        &["rule 17: b0: v7: expected an end within the sure 16 bytes of arg1[12], found 17"],
    ),
    rows(
        &[("disk[base v28 + v21 + 2]", "disk[base v28 + v21 + 3]")],
        &["rule 17: b1: v30: expected an end within the 8 bytes that v28 has shown, found 9"],
    ),
    rows(
        &[("copy s0[0], disk[base v26], v25", "copy s0[0], disk[base v26 + 1], v25")],
        &[
            "rule 17: b1: copy s0[0], disk[base v26 + 1], v25: expected an end within the 0 bytes that v26 has shown, found 16",
        ],
    ),
    rows(&[("load.3be arg1[4]", "load.3be disk[4]")], &["rule 17: b0: v5: expected a disk block here, found none"]),
    // 18: bases.
    rows(
        &[("disk[base v28 + 2]", "disk[base v22 + 2]")],
        &["rule 18: b1: v29: expected a check on disk as the base, found v22"],
    ),
    rows(
        &[("load.8be s1[0]", "load.8be s1[base v28]")],
        &["rule 18: b1: v32: expected a check on s1 as the base, found v28"],
    ),
    // 19: limits.
    rows(
        &[("v22 + 8 <= v20", "v22 + 8 <= v22")],
        &["rule 19: b1: v28: expected a limit within the 32 bytes of disk, found v22 up to 255"],
    ),
    // 20: the disk block.
    chase(
        &[("v10: u64 16..=16", "v10: u64 15..=16"), ("disk v10 min 16", "disk v10 min 17")],
        &[
            "rule 20: b2: hop i0 at v4 len v9 to b3(v8, v4, v5) else f0: expected a read of the min bytes of b3, found 16",
        ],
    ),
    rows(
        &[
            ("jump b1(v38, v39)", "jump b1(v50, v39)"),
            ("v39: u64 1..=3) disk v38 min 32:", "v39: u64 1..=3) disk v38 min 32:\n    v50: u64 = const 32"),
        ],
        &["rule 20: b3: jump b1(v50, v39): expected v38 as the length of b1's disk block, found v50"],
    ),
    chase(
        &[("b4:", "b4 disk v10 min 17:")],
        &["rule 20: b3: branch v17, b6, b4: expected a disk block of 17 bytes for b4, found 16"],
    ),
    chase(
        &[
            ("b1(v3", "b1(v30: u64, v3"),
            ("loop v3", "disk v30 min 0 loop v3"),
            ("jump b1(v1,", "jump b1(v1, v1,"),
            ("jump b1(v19", "jump b1(v10, v19"),
            ("b4:", "b4 disk v10 min 16:"),
        ],
        &["rule 20: b0: jump b1(v1, v1, v0, v2): expected a disk block for b1, found none"],
    ),
    // 21: hops.
    chase(
        &[("disk v10 min 16", "disk v12 min 0")],
        &[
            "rule 21: b2: hop i0 at v4 len v9 to b3(v8, v4, v5) else f0: expected the first parameter of b3 as the length of its disk block",
            "rule 17: b3: v14: expected an end within the sure 0 bytes of disk[0], found 8",
            "rule 17: b3: v15: expected an end within the sure 0 bytes of disk[8], found 16",
        ],
    ),
    chase(
        &[
            ("len v9", "len v4"),
            ("v10: u64 16..=16", "v10: u64"),
            ("min 16:", "min 0:"),
            ("disk[0]", "d0[0]"),
            ("disk[8]", "d0[0]"),
            ("param start", "data d0 x \"0011223344556677\"\n    param start"),
        ],
        &[
            "rule 21: b2: hop i0 at v4 len v4 to b3(v8, v4, v5) else f0: expected a read of at most 16777216 bytes, found v4 up to 18446744073709551615",
        ],
    ),
    chase(
        &[("b3(v8, v4, v5) else f0", "b3(v8, v4, v5) else f1")],
        &[
            "rule 21: b2: hop i0 at v4 len v9 to b3(v8, v4, v5) else f1: expected a fault of the kind `out of device`, found `limit`",
        ],
    ),
    // 22: slots.
    rows(
        &[("to b3(v20, v37) keep s0 s1", "to b3(v20, v37) keep s0")],
        &["rule 22: b2: emit to b3(v20, v37) keep s0: expected that s1 is kept, because it is read later"],
    ),
    // 23: loops.
    chase(&[(" loop v3 < 100:", ":")], &["rule 23: b1: expected a bound of the loop that begins here, found none"]),
    chase(
        &[(" loop v3 < 100:", " loop v3 < 99:")],
        &["rule 23: b1: expected a claim within 0..=99 of the counter v3, found up to 100"],
    ),
    chase(
        &[(" loop v3 < 100:", " loop v0 < 100:")],
        &["rule 23: b1: expected a u64 parameter of this block as the counter, found v0"],
    ),
    chase(
        &[("v1: u64 = const 0", "v1: u64 = const 1")],
        &["rule 23: b0: jump b1(v1, v0, v2): expected 0 for the counter v3 on the way into b1, found v1"],
    ),
    chase(
        &[("jump b1(v19", "jump b1(v11")],
        &["rule 23: b4: jump b1(v11, v14, v16): expected v3 + 1 on the way back to b1, found v11"],
    ),
    chase(
        &[("v18: u64 = const 1", "v18: u64 = const 0")],
        &["rule 23: b4: jump b1(v19, v14, v16): expected v3 + 1 on the way back to b1, found v19"],
    ),
    chase(
        &[("b3(v8, v4, v5)", "b3(v20, v4, v5)"), ("v9: u64 = const 16", "v20: u64 = const 7\n    v9: u64 = const 16")],
        &["rule 23: b4: jump b1(v19, v14, v16): expected v3 + 1 on the way back to b1, found v19"],
    ),
    // Around the loop comes the number of the turn, or what the turn before handed over.
    chase(
        &[
            ("jump b1(v19, v14, v16)", "v20: u64 = const 50\n    v21: bool = lt v12, v20\n    branch v21, b7, b8(v19)"),
            (
                "    return\n",
                "    return\nb7:\n    v22: u64 0..=49 = refine v12 if v21\n    jump b8(v22)\nb8(v23: u64 0..=100):\n    jump b1(v23, v14, v16)\n",
            ),
        ],
        &["rule 23: b8: jump b1(v23, v14, v16): expected v3 + 1 on the way back to b1, found v23"],
    ),
    // 24: proofs.
    total(&[("4 true v21 0", "3 true v21 0")], &[NO_PROOF]),
    total(&[("4 true v21 0", "4 false v21 0")], &[NO_PROOF]),
    total(&[(", 4 true v21 0", "")], &[NO_PROOF]),
    total(&[("1 [1 def v27 0", "-1 [1 def v27 0")], &[NO_PROOF]),
    total(&[("def v27 0", "def v30 0")], &[NO_PROOF]),
    total(&[("def v27 0", "def v27 9")], &[NO_PROOF]),
    // The element after the one of which the index is known.
    total(&[("check disk v29 + 4", "check disk v29 + 8"), ("v30: u64 4..=4091", "v30: u64 4..=4087")], &[NO_PROOF]),
    total(
        &[("    proof v30", "    proof v8")],
        &["rule 24: v8: expected a proof of what an operation makes, found a parameter"],
    ),
    // 25: invariants.
    total(
        &[("edge 1 [1 true v16 0]", "edge 0 [1 true v16 0]")],
        &["rule 25: b1: jump b2(v11, v11, v11): expected a sum that shows invariant 0 of b2, found another"],
    ),
    total(
        &[("        edge 1 [1 invariant 0]\n", "")],
        &["rule 25: b2: expected a proof of invariant 0 for each of 2 edges, found 1"],
    ),
    // More than the edge shows: there the block may be shorter by nothing.
    total(
        &[("[-1 v0, 4 v12] + 4", "[-1 v0, 4 v12] + 5")],
        &["rule 25: b1: jump b2(v11, v11, v11): expected a sum that shows invariant 0 of b2, found another"],
    ),
    total(
        &[("invariant b2", "invariant b77")],
        &["rule 25: invariant 0: expected a block and values that are there, found others"],
    ),
];

const NO_PROOF: &str = "rule 24: b6: v30: expected a sum that shows what is needed, found another";

#[test]
fn each_rule_is_held_alone() {
    let (mut rules, mut failures) = (BTreeSet::new(), Vec::new());
    for Break { file, changes, errors: wanted } in BREAKS {
        let mut text = text(file);
        for (from, to) in *changes {
            if text.matches(from).count() != 1 {
                failures.push(format!("{file}: `{from}` stands there {} times", text.matches(from).count()));
            }
            text = text.replace(from, to);
        }
        let found = parse(&text).map_or_else(|e| vec![e.to_string()], errors);
        if found != *wanted {
            failures.push(format!("{changes:?}\nwanted {wanted:#?}\nfound {found:#?}"));
        }
        let rule = wanted[0].split([' ', ':']).nth(1).and_then(|number| number.parse::<u8>().ok());
        rules.insert(rule.expect("an error begins with its rule"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    assert_eq!(rules, (1..=25).collect(), "each rule is broken here, and there are no others");
}

#[test]
fn facts_follow_from_conjunctions_disjunctions_and_negations() {
    // The first golden function refines behind a negation; here the other two.
    let base = text("chase.tir");
    for (op, then, other, sense) in [("and", "b2", "b5", "if"), ("or", "b5", "b2", "unless")] {
        let lt = if op == "and" { "lt v3, v6" } else { "le v6, v3" };
        let text = base
            .replace(
                "v7: bool = lt v3, v6",
                &format!("v7: bool = {lt}\n    v30: bool = eq v4, v4\n    v31: bool = {op} v30, v7"),
            )
            .replace("branch v7, b2, b5", &format!("branch v31, {then}, {other}"))
            .replace("refine v3 if v7", &format!("refine v3 {sense} v7"));
        assert_eq!(errors(parse(&text).unwrap()), [""; 0], "{text}");
        let wrong = text.replace(&format!("= {op} v30"), &format!("= {} v30", if op == "and" { "or" } else { "and" }));
        let found = errors(parse(&wrong).unwrap());
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with("rule 14: b2: v8: expected a branch or guard"), "{found:#?}");
    }
    let guarded = base
        .replace("branch v7, b2, b5", "guard v7 else f1\n    jump b2")
        .replace("b5:\n    fault f1(found v4)\nb6:", "b5:");
    let guarded = guarded.replace("branch v17, b6, b4", "branch v17, b5, b4");
    assert_eq!(errors(parse(&guarded).unwrap()), [""; 0], "{guarded}");
}

#[test]
fn a_test_of_a_size_tells_of_the_count() {
    // 12 + 8 * n is at most 100, so n is at most 11; where it is more, n is at least 12.
    const TEXT: &str = "\
traversal count -> u64 {
    param n: u64
    source i0 image

b0:
    v0: u64 = arg 0
    v1: u64 = const 8
    v2: u64 = const 12
    v3: u64 = const 1000
    v4: bool = le v0, v3
    branch v4, b1, b4
b1:
    v5: u64 0..=1000 = refine v0 if v4
    v6: u64 0..=8000 = mul v5, v1
    v7: u64 12..=8012 = add v6, v2
    v8: u64 = const 100
    v9: bool = le v7, v8
    branch v9, b2, b3
b2:
    v10: u64 0..=11 = refine v5 if v9
    store.8le out[0], v10
    return
b3:
    v11: u64 12..=1000 = refine v5 unless v9
    store.8le out[0], v11
    return
b4:
    store.8le out[0], v0
    return
}
";
    let found = |text: &str| parse(text).map_or_else(|e| vec![e.to_string()], errors);
    assert_eq!(found(TEXT), [""; 0]);
    let change = |from: &str, to: &str| {
        assert_eq!(TEXT.matches(from).count(), 1, "{from}");
        found(&TEXT.replace(from, to))
    };
    assert_eq!(change("0..=11", "0..=10"), ["rule 10: b2: v10: expected a claim over all of 0..=11, found 0..=10"]);
    assert_eq!(
        change("12..=1000", "13..=1000"),
        ["rule 10: b3: v11: expected a claim over all of 12..=1000, found 13..=1000"]
    );
    // A product that is cut to 64 bits says nothing.
    let cut = change("= mul v5", "= mul.wrap v5");
    assert_eq!(cut[0], "rule 14: b2: v10: expected a comparison with v5 as v9, found another value");
}

#[test]
fn a_schema_without_end_is_refused() {
    let mut f = parse(&text("chase.tir")).unwrap();
    f.result = (0..1000).fold(Schema::Bool, |inner, _| Schema::Option(Box::new(inner)));
    assert_eq!(errors(f.clone()), ["rule 2: chase: expected the result of at most 16777216 bytes"]);
    f.result = Schema::Bytes { max: u32::MAX, fixed: true, display: Display::Plain };
    assert_eq!(errors(f.clone()), ["rule 2: chase: expected the result of at most 16777216 bytes"]);
    f.args.clear();
    f.result = Schema::Bool;
    assert_eq!(errors(f.clone())[0], "rule 2: chase: expected the parameters' leaves as `args`");
    f.blocks.clear();
    assert_eq!(errors(f)[0], "rule 1: chase: expected an entry block, found no block");
}
