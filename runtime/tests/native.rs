//! The native executor against the scalar semantics and against walks written out in Rust.

use super::differential::{check_all, memory as image, words as bytes};
use std::sync::Arc;
use trav_compiler::ir::build::FunctionBuilder;
use trav_compiler::ir::eval;
use trav_compiler::ir::schema::{Display, Schema};
use trav_compiler::ir::verify::{Verified, verify};
use trav_compiler::ir::*;
use trav_runtime::exec::native::{self, Native};
use trav_runtime::exec::{ExecError, Executor, FaultReport, Hop, Outcome, Trace};
use trav_runtime::image::{Image, Sources};

const U64: Schema = Schema::Int { bits: 64, signed: false, display: Display::Plain };
const I64: Schema = Schema::Int { bits: 64, signed: true, display: Display::Plain };

/// Words at which arithmetic is likely to go wrong.
const EDGES: [u64; 12] =
    [0, 1, 2, 63, 64, 0xff, u32::MAX as u64, 1 << 32, i64::MAX as u64, i64::MIN as u64, u64::MAX - 1, u64::MAX];

fn prepare(b: FunctionBuilder) -> Native {
    let verified: Verified = verify(b.finish()).unwrap_or_else(|e| panic!("{e:#?}"));
    native::prepare(&verified).unwrap_or_else(|e| panic!("{e:?}"))
}

fn result(trace: &Trace) -> u64 {
    match &trace.outcome {
        Outcome::Done(out) => u64::from_le_bytes(out[..8].try_into().unwrap()),
        other => panic!("{other:?}"),
    }
}

/// A function of words without hops.
fn function(schema: &Schema, params: usize, body: impl FnOnce(&mut FunctionBuilder, Vec<Value>)) -> Native {
    let mut b = FunctionBuilder::new("f");
    b.set_result(schema.clone(), false);
    let args = (0..params)
        .map(|i| {
            let position = b.param(&format!("p{i}"), schema.clone(), None).start;
            b.arg(position)
        })
        .collect();
    body(&mut b, args);
    prepare(b)
}

fn store_result(b: &mut FunctionBuilder, v: Value) {
    b.store(Addr::new(Region::Out), 8, Endian::Little, v);
    b.ret();
}

#[test]
fn checked_and_wrapping_arithmetic_is_that_of_eval() {
    for (ty, schema) in [(Ty::U64, U64), (Ty::I64, I64)] {
        for op in [BinOp::Add, BinOp::Sub, BinOp::Mul] {
            let make = |checked: bool| {
                function(&schema, 2, |b, args| {
                    let fault = b.fault(FaultKind::Overflow, "{}", FoundAs::Unsigned);
                    let fault = FaultRef::new(fault).found(args[1]);
                    let mode = if checked { Mode::Checked(fault) } else { Mode::Wrap };
                    let r = b.binary(op, mode, args[0], args[1]);
                    store_result(b, r);
                })
            };
            let (mut checked, mut wrapping) = (make(true), make(false));
            for (a, c) in EDGES.into_iter().flat_map(|a| EDGES.map(|c| (a, c))) {
                let args = bytes(&[a, c]);
                let checked = checked.run(&args, &image(&[])).unwrap();
                let wrapped = result(&wrapping.run(&args, &image(&[])).unwrap());
                match eval::binary(op, ty, a, c) {
                    Ok(want) => assert_eq!((result(&checked), wrapped), (want, want), "{op:?} {ty:?} {a} {c}"),
                    Err(eval::Trap::Overflow { wrapped: want }) => {
                        let report = FaultReport { fault: FaultId(0), found: Some(c), at: None };
                        assert_eq!(checked.outcome, Outcome::Fault(report), "{op:?} {ty:?} {a} {c}");
                        assert_eq!(wrapped, want);
                    }
                    Err(other) => panic!("{other:?}"),
                }
            }
        }
    }
}

#[test]
fn exact_arithmetic_is_that_of_eval() {
    use BinOp::*;
    for (ty, schema) in [(Ty::U64, U64), (Ty::I64, I64)] {
        for op in [Div, Rem, And, Or, Xor, Shl, Shr] {
            for constant in [None, Some(3), Some(8), Some(63)] {
                // The right operand lies in 2..=63, good as a divisor and as a count.
                let count_ty = if matches!(op, Shl | Shr) { Ty::U64 } else { ty };
                let mut f = function(&schema, 2, |b, args| {
                    let right = match constant {
                        Some(n) => b.iconst(count_ty, n),
                        None => {
                            let low = b.extend(ty, 5, args[1]);
                            let mask = b.iconst(ty, 31);
                            let low = b.binary(And, Mode::Exact, low, mask);
                            let two = b.iconst(ty, 2);
                            let low = b.binary(Add, Mode::Exact, low, two);
                            b.cast(count_ty, low)
                        }
                    };
                    let mode = if op == Shl { Mode::Wrap } else { Mode::Exact };
                    let r = b.binary(op, mode, args[0], right);
                    store_result(b, r);
                });
                for (a, c) in EDGES.into_iter().flat_map(|a| EDGES.map(|c| (a, c))) {
                    let right = constant.map_or((c & 31) + 2, |n| n as u64);
                    let want = match eval::binary(op, ty, a, right) {
                        Ok(want) | Err(eval::Trap::Overflow { wrapped: want }) => want,
                        Err(other) => panic!("{other:?}"),
                    };
                    let got = result(&f.run(&bytes(&[a, c]), &image(&[])).unwrap());
                    assert_eq!(got, want, "{op:?} {ty:?} {a} {right}");
                }
            }
        }
    }
}

#[test]
fn comparisons_selects_and_extensions_are_those_of_eval() {
    for (ty, schema) in [(Ty::U64, U64), (Ty::I64, I64)] {
        for op in [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le] {
            let mut f = function(&schema, 2, |b, args| {
                let c = b.compare(op, args[0], args[1]);
                let not = b.not(c);
                let r = b.select(not, args[1], args[0]);
                store_result(b, r);
            });
            for (a, c) in EDGES.into_iter().flat_map(|a| EDGES.map(|c| (a, c))) {
                let want = if eval::compare(op, ty, a, c) { a } else { c };
                assert_eq!(result(&f.run(&bytes(&[a, c]), &image(&[])).unwrap()), want);
            }
        }
        for bits in 1..=63 {
            let mut f = function(&schema, 1, |b, args| {
                let r = b.extend(ty, bits, args[0]);
                store_result(b, r);
            });
            for a in EDGES {
                let got = result(&f.run(&bytes(&[a]), &image(&[])).unwrap());
                assert_eq!(got, eval::extend(ty, bits, a), "{ty:?} {bits} {a:#x}");
            }
        }
    }
}

/// Adds a hop at a constant place and goes on in its block.
fn read_block(b: &mut FunctionBuilder, offset: u64, len: u64) {
    read_block_keeping(b, offset, len, &[]);
}

fn read_block_keeping(b: &mut FunctionBuilder, offset: u64, len: u64, keep: &[Slot]) {
    let fault = b.fault(FaultKind::OutOfDevice, "a block", FoundAs::Unsigned);
    let (offset, len_value) = (b.iconst(Ty::U64, offset.into()), b.iconst(Ty::U64, len.into()));
    let (next, _) = b.hop_block(Range::just(len.into()));
    let (source, next_target) = (SourceId(0), Target::new(next, &[]));
    b.end(Terminator::Hop { source, offset, len: len_value, next: next_target, keep: keep.into(), fault });
    b.switch_to(next);
}

#[test]
fn loads_and_stores_of_every_width_are_those_of_eval() {
    let block: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(37) ^ 0x85).collect();
    for width in 1..=8u8 {
        for endian in [Endian::Little, Endian::Big] {
            for (ty, schema) in [(Ty::U64, U64), (Ty::I64, I64)] {
                // At 8 there are eight bytes, at the end just the width.
                for at in [8, 40 - u32::from(width)] {
                    let mut b = FunctionBuilder::new("f");
                    b.set_result(schema.clone(), false);
                    read_block(&mut b, 0, 40);
                    let v = b.load(Addr::new(Region::Disk).disp(at), width, endian, ty);
                    store_result(&mut b, v);
                    let got = result(&prepare(b).run(&[], &image(&block)).unwrap());
                    let part = &block[at as usize..][..width.into()];
                    assert_eq!(got, eval::load(ty, endian, part), "{width} {endian:?} {ty:?}");
                }
            }
            let mut f = function(&U64, 1, |b, args| {
                b.store(Addr::new(Region::Out), width, endian, args[0]);
                b.ret();
            });
            let word = 0x8899_aabb_ccdd_eeff;
            let mut want = [0; 8];
            eval::store(endian, word, &mut want[..width.into()]);
            assert_eq!(f.run(&bytes(&[word]), &image(&[])).unwrap().outcome, Outcome::Done(want.to_vec()));
        }
    }
}

#[test]
fn copies_move_bytes_between_all_regions() {
    for len in [0, 1, 3, 7, 8, 13, 16, 31, 33, 60, 64, 65, 200] {
        for constant in [true, false] {
            let mut b = FunctionBuilder::new("f");
            let schema = Schema::Bytes { max: 200, fixed: false, display: Display::Plain };
            let param = b.param("p", schema, None).start;
            let out = Schema::Bytes { max: 1000, fixed: true, display: Display::Plain };
            b.set_result(out, false);
            let slot = b.slot("s", 300);
            let table: Vec<u8> = (0..200).map(|i| 255 - i as u8).collect();
            let data = b.data("d", &table);
            read_block_keeping(&mut b, 100, 200, &[slot]);
            let size = if constant { Size::Const(len) } else { Size::Value(b.arg_len(param)) };
            let place = |disp| Addr::new(Region::Out).disp(disp);
            b.copy(place(0), Addr::new(Region::Disk), size);
            b.copy(place(200), Addr::new(Region::Arg(param)), size);
            b.copy(place(400), Addr::new(Region::Data(data)), size);
            b.copy(Addr::new(Region::Slot(slot)).disp(5), Addr::new(Region::Disk), size);
            b.copy(place(600), Addr::new(Region::Slot(slot)), Size::Const(300));
            b.ret();
            let disk: Vec<u8> = (0..300).map(|i| (i * 3) as u8).collect();
            let arg: Vec<u8> = (0..200).map(|i| (i * 5) as u8).collect();
            let mut args = bytes(&[len.into()]);
            args.extend(&arg);
            let n = len as usize;
            let mut want = vec![0; 1008];
            want[..n].copy_from_slice(&disk[100..][..n]);
            want[200..][..n].copy_from_slice(&arg[..n]);
            want[400..][..n].copy_from_slice(&table[..n]);
            let mut area = [0; 300];
            area[5..][..n].copy_from_slice(&disk[100..][..n]);
            want[600..900].copy_from_slice(&area);
            let trace = prepare(b).run(&args, &image(&disk)).unwrap();
            assert_eq!(trace.outcome, Outcome::Done(want), "{len} {constant}");
        }
    }
}

/// Ends a list.
const END: u64 = u64::MAX;

/// Chases a list: each 16-byte block has the next one's offset and a number. Emits the numbers, gives their sum as a last row.
pub fn chase(turns: u64) -> FunctionBuilder {
    let mut b = FunctionBuilder::new("chase");
    let start = b.param("start", U64, None).start;
    b.set_result(U64, true);
    let limit = b.fault(FaultKind::Limit, "too long", FoundAs::Unsigned);
    let outside = b.fault(FaultKind::OutOfDevice, "a node", FoundAs::Unsigned);
    let start = b.arg(start);
    let zero = b.iconst(Ty::U64, 0);
    let header = b.block();
    let full = Range::of(Ty::U64);
    let counter = b.block_param(header, Ty::U64, Range::new(0, turns.into()));
    let at = b.block_param(header, Ty::U64, full);
    let sum = b.block_param(header, Ty::U64, full);
    b.jump(header, &[zero, start, zero]);
    b.switch_to(header);
    b.set_header(header, counter, turns);
    let most = b.iconst(Ty::U64, turns.into());
    let more = b.compare(CmpOp::Lt, counter, most);
    let (body, spent) = (b.block(), b.block());
    b.branch(more, Target::new(body, &[]), Target::new(spent, &[]));
    b.switch_to(spent);
    b.end_with_fault(FaultRef::new(limit).found(at));
    b.switch_to(body);
    let counter = b.refine(counter, more, true);
    let size = b.iconst(Ty::U64, 16);
    let (node, len) = b.hop_block(Range::just(16));
    let counter2 = b.block_param(node, Ty::U64, Range::new(0, i128::from(turns) - 1));
    let sum2 = b.block_param(node, Ty::U64, full);
    b.hop(SourceId(0), at, size, Target::new(node, &[counter, sum]), outside);
    b.switch_to(node);
    let next = b.load(Addr::new(Region::Disk), 8, Endian::Little, Ty::U64);
    let number = b.load(Addr::new(Region::Disk).disp(8), 8, Endian::Little, Ty::U64);
    let sum3 = b.binary(BinOp::Add, Mode::Wrap, sum2, number);
    b.store(Addr::new(Region::Out), 8, Endian::Little, number);
    // A row suspends the walk: what is needed later, the length of the block too, is handed on.
    let after = b.block();
    let params = [Range::just(16), Range::new(0, i128::from(turns) - 1), full, full];
    let [len4, counter4, next4, sum4] = params.map(|range| b.block_param(after, Ty::U64, range));
    b.set_disk(after, Some(Disk { len: len4, min: 16 }));
    b.emit(Target::new(after, &[len, counter2, next, sum3]));
    b.switch_to(after);
    let end_mark = b.iconst(Ty::U64, END.into());
    let end = b.compare(CmpOp::Eq, next4, end_mark);
    let (last, again) = (b.block(), b.block());
    b.branch(end, Target::new(last, &[]), Target::new(again, &[]));
    b.switch_to(again);
    let one = b.iconst(Ty::U64, 1);
    let counter3 = b.binary(BinOp::Add, Mode::Exact, counter4, one);
    b.jump(header, &[counter3, next4, sum4]);
    b.switch_to(last);
    b.store(Addr::new(Region::Out), 8, Endian::Little, sum4);
    let done = b.block();
    b.set_disk(done, None);
    b.emit(Target::new(done, &[]));
    b.switch_to(done);
    b.ret();
    b
}

/// A list of so many nodes in reverse order of their places; the number of node `i` is `i * i`.
pub fn list(nodes: u64) -> Vec<u8> {
    let node = |i: u64| [if i == 0 { END } else { (i - 1) * 16 }, i * i];
    bytes(&(0..nodes).flat_map(node).collect::<Vec<_>>())
}

/// An image that is not in memory, and whose reads from `bad` on fail.
struct Remote {
    bytes: Vec<u8>,
    bad: u64,
}

impl Image for Remote {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        if offset >= self.bad {
            return Err(std::io::Error::other("bad sector"));
        }
        buf.copy_from_slice(&self.bytes[offset as usize..][..buf.len()]);
        Ok(())
    }
}

pub fn chase_trace(nodes: u64) -> Trace {
    let hop = |i: u64| Hop { source: SourceId(0), offset: i * 16, len: 16 };
    let mut rows: Vec<_> = (0..nodes).rev().map(|i| bytes(&[i * i])).collect();
    rows.push(bytes(&[(0..nodes).map(|i| i * i).sum()]));
    Trace { hops: (0..nodes).rev().map(hop).collect(), rows, outcome: Outcome::Done(vec![]) }
}

#[test]
fn a_walk_gives_hops_rows_and_outcome() {
    let f = verify(chase(100).finish()).unwrap();
    let nodes = 50;
    assert_eq!(check_all(&f, &bytes(&[(nodes - 1) * 16]), &image(&list(nodes))), chase_trace(nodes));
}

#[test]
fn a_spent_loop_and_a_read_past_the_end_are_faults() {
    let f = verify(chase(3).finish()).unwrap();
    let disk = list(10);
    let trace = check_all(&f, &bytes(&[9 * 16]), &image(&disk));
    let limit = FaultReport { fault: FaultId(0), found: Some(6 * 16), at: None };
    assert_eq!((trace.hops.len(), trace.rows.len(), trace.outcome), (3, 3, Outcome::Fault(limit)));

    let outside = Outcome::Fault(FaultReport { fault: FaultId(1), found: None, at: None });
    for at in [145, 160, 161, i64::MAX as u64, u64::MAX - 15, u64::MAX] {
        let trace = check_all(&f, &bytes(&[at]), &image(&disk));
        assert_eq!(trace.hops, [Hop { source: SourceId(0), offset: at, len: 16 }]);
        assert_eq!(trace.outcome, outside, "{at}");
    }
    // An image that is shorter than one block.
    for len in [0, 1, 15] {
        let trace = check_all(&f, &bytes(&[0]), &image(&disk[..len]));
        assert_eq!(trace.outcome, outside, "{len}");
    }
}

#[test]
fn a_failing_read_is_an_error_and_not_a_fault() {
    let mut f = prepare(chase(100));
    let remote = Sources::one(Arc::new(Remote { bytes: list(10), bad: 100 }));
    match f.run(&bytes(&[9 * 16]), &remote) {
        Err(ExecError::Io(e)) => assert_eq!(e.to_string(), "bad sector"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn arguments_outside_their_claims_are_refused() {
    let mut b = FunctionBuilder::new("f");
    b.param("narrow", Schema::Int { bits: 12, signed: false, display: Display::Plain }, None);
    b.param("signed", Schema::Int { bits: 12, signed: true, display: Display::Plain }, None);
    b.param("flag", Schema::Bool, None);
    b.param("text", Schema::Bytes { max: 8, fixed: false, display: Display::Plain }, None);
    b.param("key", Schema::Bytes { max: 8, fixed: true, display: Display::Plain }, None);
    b.ret();
    let mut f = prepare(b);
    let good = [0xfff, -2048i64 as u64, 1, 3, 0, 8, 0];
    let mut run = |words: &[u64]| f.run(&bytes(words), &image(&[]));
    assert_eq!(run(&good).unwrap().outcome, Outcome::Done(vec![]));
    let error = |position: usize, word: u64| {
        let mut words = good;
        words[position] = word;
        words
    };
    for (position, word, message) in [
        (0, 0x1000, "`narrow`: expected an unsigned integer of 12 bits, found 4096"),
        (1, 2048, "`signed`: expected a signed integer of 12 bits, found 2048"),
        (2, 2, "`flag`: expected false (0) or true (1), found 2"),
        (3, 9, "`text`: expected at most 8 bytes, found 9"),
        (5, 7, "`key`: expected exactly 8 bytes, found 7"),
    ] {
        match run(&error(position, word)) {
            Err(ExecError::Arguments(found)) => assert_eq!(found, message),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(run(&good[1..]), Err(ExecError::Arguments(_))));
}

#[test]
fn threads_share_one_native() {
    let f = prepare(chase(100));
    let bound = f.bind(&image(&list(50))).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut walk = bound.walker();
                for _ in 0..100 {
                    walk.call(&bytes(&[49 * 16]), &mut |_| ()).unwrap();
                    assert_eq!((walk.fault(), walk.hops()), (None, 50));
                }
            });
        }
    });
}

#[test]
fn too_large_buffers_are_refused() {
    let mut b = FunctionBuilder::new("f");
    b.slot("huge", 1 << 20);
    b.ret();
    let verified = verify(b.finish()).unwrap();
    let error = native::prepare(&verified).err().unwrap();
    assert!(matches!(error, ExecError::Refused(why) if why.contains("262144 bytes of buffers")));
}

#[test]
fn a_guarded_load_of_a_constant_area_is_not_done_before_its_guard() {
    // The load does not change during the loop, but it is in bounds only where the branch was taken.
    let mut b = FunctionBuilder::new("f");
    b.set_result(U64, false);
    let index = b.param("index", U64, None).start;
    let data = b.param("data", Schema::Bytes { max: 64, fixed: true, display: Display::Plain }, None).start;
    let table = b.data("table", &[7; 64]);
    let index = b.arg(index);
    let zero = b.iconst(Ty::U64, 0);
    let header = b.block();
    let counter = b.block_param(header, Ty::U64, Range::new(0, 3));
    let sum = b.block_param(header, Ty::U64, Range::of(Ty::U64));
    b.jump(header, &[zero, zero]);
    b.switch_to(header);
    b.set_header(header, counter, 3);
    let three = b.iconst(Ty::U64, 3);
    let more = b.compare(CmpOp::Lt, counter, three);
    let (body, done) = (b.block(), b.block());
    b.branch(more, Target::new(body, &[]), Target::new(done, &[]));
    b.switch_to(done);
    store_result(&mut b, sum);
    b.switch_to(body);
    let (inside, next) = (b.block(), b.block());
    let sum2 = b.block_param(next, Ty::U64, Range::of(Ty::U64));
    let size = b.iconst(Ty::U64, 64);
    let fits = b.compare(CmpOp::Lt, index, size);
    b.branch(fits, Target::new(inside, &[]), Target::new(next, &[sum]));
    b.switch_to(inside);
    let at = b.refine(index, fits, true);
    let from_arg = b.load(Addr::new(Region::Arg(data)).index(at), 1, Endian::Little, Ty::U64);
    let from_table = b.load(Addr::new(Region::Data(table)).index(at), 1, Endian::Little, Ty::U64);
    let both = b.binary(BinOp::Add, Mode::Exact, from_arg, from_table);
    let more_sum = b.binary(BinOp::Add, Mode::Wrap, sum, both);
    b.jump(next, &[more_sum]);
    b.switch_to(next);
    let turn = b.refine(counter, more, true);
    let one = b.iconst(Ty::U64, 1);
    let turn = b.binary(BinOp::Add, Mode::Exact, turn, one);
    b.jump(header, &[turn, sum2]);
    let f = verify(b.finish()).unwrap_or_else(|e| panic!("{e:#?}"));
    for (index, want) in [(0, 3 * (7 + 1)), (63, 3 * (7 + 64)), (64, 0), (1 << 40, 0), (u64::MAX, 0)] {
        let mut args = bytes(&[index, 64]);
        args.extend(1..=64u8);
        assert_eq!(result(&check_all(&f, &args, &image(&[]))), want, "{index}");
    }
}
