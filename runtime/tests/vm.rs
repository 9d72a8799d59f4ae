//! The BPF machine, and with it the code that is emitted, against the scalar semantics; every other engine runs along.

use crate::differential::{check_calls, memory, words};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::build::FunctionBuilder;
use trav_compiler::ir::eval;
use trav_compiler::ir::schema::{Display, Schema};
use trav_compiler::ir::verify::{Verified, verify};
use trav_compiler::ir::*;
use trav_runtime::exec::{Engine, FaultReport, Outcome, Trace};

const U64: Schema = Schema::Int { bits: 64, signed: false, display: Display::Plain };
const I64: Schema = Schema::Int { bits: 64, signed: true, display: Display::Plain };
const BYTES: Schema = Schema::Bytes { max: 96, fixed: false, display: Display::Plain };

/// Words at which arithmetic is likely to go wrong.
const EDGES: [u64; 14] = [
    0,
    1,
    2,
    63,
    64,
    0xff,
    0x7fff_ffff,
    u32::MAX as u64,
    1 << 32,
    i64::MAX as u64,
    i64::MIN as u64,
    i64::MIN as u64 + 1,
    u64::MAX - 1,
    u64::MAX,
];

fn verified(b: FunctionBuilder) -> Verified {
    verify(b.finish()).unwrap_or_else(|e| panic!("{e:#?}"))
}

/// Runs calls of word arguments without an image on all engines, the machine among them.
fn run_words(f: &Verified, calls: &[Vec<u64>]) -> Vec<Trace> {
    let empty = memory(&[]);
    let args: Vec<Vec<u8>> = calls.iter().map(|call| words(call)).collect();
    run_all(f, &args.iter().map(|args| (&args[..], &empty)).collect::<Vec<_>>())
}

fn run_all(f: &Verified, calls: &[(&[u8], &trav_runtime::image::Sources)]) -> Vec<Trace> {
    Engine::Vm.prepare(f).unwrap_or_else(|e| panic!("{}: {e:?}", f.name));
    check_calls(f, calls)
}

fn result(trace: &Trace) -> u64 {
    match &trace.outcome {
        Outcome::Done(out) => u64::from_le_bytes(out[..8].try_into().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn pairs() -> Vec<Vec<u64>> {
    EDGES.into_iter().flat_map(|a| EDGES.map(|b| vec![a, b])).collect()
}

/// A function of words without hops; `body` makes the result.
fn function(
    schemas: &[Schema],
    result: Schema,
    body: impl FnOnce(&mut FunctionBuilder, Vec<Value>) -> Value,
) -> Verified {
    let mut b = FunctionBuilder::new("f");
    b.set_result(result, false);
    let mut args = Vec::new();
    for (i, schema) in schemas.iter().enumerate() {
        let position = b.param(&format!("p{i}"), schema.clone(), None).start;
        args.push(b.arg(position));
    }
    let v = body(&mut b, args);
    b.store(Addr::new(Region::Out), 8, Endian::Little, v);
    b.ret();
    verified(b)
}

fn schema(ty: Ty) -> Schema {
    if ty == Ty::I64 { I64 } else { U64 }
}

#[test]
fn checked_and_wrapping_arithmetic_is_that_of_eval() {
    for ty in [Ty::U64, Ty::I64] {
        for op in [BinOp::Add, BinOp::Sub, BinOp::Mul] {
            // A known operand on either side takes other ways through the compiler.
            let known = [None, Some((true, 7)), Some((false, 7)), Some((true, -3)), Some((false, i64::MAX.into()))];
            for known in known.into_iter().filter(|k| ty == Ty::I64 || k.is_none_or(|(_, n)| n >= 0)) {
                for checked in [true, false] {
                    let f = function(&[schema(ty), schema(ty)], schema(ty), |b, mut args| {
                        if let Some((left, n)) = known {
                            args[usize::from(!left)] = b.iconst(ty, n);
                        }
                        let fault = b.fault(FaultKind::Overflow, "{}", FoundAs::Unsigned);
                        let fault = FaultRef::new(fault).found(args[1]);
                        let mode = if checked { Mode::Checked(fault) } else { Mode::Wrap };
                        b.binary(op, mode, args[0], args[1])
                    });
                    for (call, trace) in pairs().iter().zip(run_words(&f, &pairs())) {
                        let (mut x, mut y) = (call[0], call[1]);
                        match known {
                            Some((true, n)) => x = n as u64,
                            Some((false, n)) => y = n as u64,
                            None => {}
                        }
                        match eval::binary(op, ty, x, y) {
                            Err(eval::Trap::Overflow { .. }) if checked => {
                                let report = FaultReport { fault: FaultId(0), found: Some(y), at: None };
                                assert_eq!(trace.outcome, Outcome::Fault(report), "{op:?} {ty:?} {x} {y}");
                            }
                            Ok(want) | Err(eval::Trap::Overflow { wrapped: want }) => {
                                assert_eq!(result(&trace), want, "{op:?} {ty:?} {x} {y}");
                            }
                            Err(other) => panic!("{other:?}"),
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn divisions_bits_and_shifts_are_those_of_eval() {
    use BinOp::*;
    for ty in [Ty::U64, Ty::I64] {
        for op in [Div, Rem, And, Or, Xor, Shl, Shr] {
            for known in [None, Some(2), Some(3), Some(8), Some(63)] {
                let right_ty = if matches!(op, Shl | Shr) { Ty::U64 } else { ty };
                let f = function(&[schema(ty), schema(ty)], schema(ty), |b, args| {
                    let right = match known {
                        Some(n) => b.iconst(right_ty, n),
                        None => {
                            // In 1..=32: good as a divisor and as a count.
                            let low = b.reinterpret(Ty::U64, args[1]);
                            let low = b.extend(Ty::U64, 5, low);
                            let one = b.iconst(Ty::U64, 1);
                            let low = b.binary(Add, Mode::Exact, low, one);
                            b.cast(right_ty, low)
                        }
                    };
                    let mode = if op == Shl { Mode::Wrap } else { Mode::Exact };
                    b.binary(op, mode, args[0], right)
                });
                for (call, trace) in pairs().iter().zip(run_words(&f, &pairs())) {
                    let right = known.map_or((call[1] & 31) + 1, |n| n as u64);
                    let want = match eval::binary(op, ty, call[0], right) {
                        Ok(want) | Err(eval::Trap::Overflow { wrapped: want }) => want,
                        Err(other) => panic!("{other:?}"),
                    };
                    assert_eq!(result(&trace), want, "{op:?} {ty:?} {} {right}", call[0]);
                }
            }
        }
        // Negative divisors, but for -1.
        for op in [Div, Rem] {
            for divisor in [-2i64, -7, i64::MIN] {
                let f = function(&[I64], I64, |b, args| {
                    let d = b.iconst(Ty::I64, divisor.into());
                    b.binary(op, Mode::Exact, args[0], d)
                });
                let calls: Vec<Vec<u64>> = EDGES.iter().map(|a| vec![*a]).collect();
                for (call, trace) in calls.iter().zip(run_words(&f, &calls)) {
                    let want = eval::binary(op, Ty::I64, call[0], divisor as u64).unwrap();
                    assert_eq!(result(&trace), want, "{op:?} {} {divisor}", call[0]);
                }
            }
        }
    }
}

/// How a comparison's outcome is used.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Use {
    Word,
    Negated,
    Select,
    SelectZero,
    SelectNegated,
    Branch,
    Guard,
}

#[test]
fn comparisons_are_those_of_eval_however_they_are_used() {
    let uses = [Use::Word, Use::Negated, Use::Select, Use::SelectZero, Use::SelectNegated, Use::Branch, Use::Guard];
    for ty in [Ty::U64, Ty::I64] {
        for op in [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le] {
            for how in uses {
                // Of full range, so small that a difference fits, and against a number.
                for (bits, known) in
                    [(None, None), (Some(33), None), (Some(33), Some(63)), (None, Some(63)), (None, Some(i64::MAX))]
                {
                    let f = comparison(ty, op, how, bits, known);
                    for (call, trace) in pairs().iter().zip(run_words(&f, &pairs())) {
                        let narrow = |w: u64| bits.map_or(w, |bits| eval::extend(ty, bits, w));
                        let (x, y) = (narrow(call[0]), known.map_or(narrow(call[1]), |n| n as u64));
                        let holds = eval::compare(op, ty, x, y);
                        let want = match how {
                            Use::Word | Use::Branch => u64::from(holds),
                            Use::Negated => u64::from(!holds),
                            Use::Select if holds => x,
                            Use::Select => y,
                            Use::SelectZero => {
                                if holds {
                                    x
                                } else {
                                    0
                                }
                            }
                            Use::SelectNegated => {
                                if holds {
                                    0
                                } else {
                                    x
                                }
                            }
                            Use::Guard if holds => 5,
                            Use::Guard => {
                                let report = FaultReport { fault: FaultId(0), found: Some(x), at: Some(y) };
                                assert_eq!(trace.outcome, Outcome::Fault(report), "{ty:?} {op:?} {x} {y}");
                                continue;
                            }
                        };
                        assert_eq!(result(&trace), want, "{ty:?} {op:?} {how:?} {x:#x} {y:#x} {bits:?}");
                    }
                }
            }
        }
    }
}

fn comparison(ty: Ty, op: CmpOp, how: Use, bits: Option<u8>, known: Option<i64>) -> Verified {
    let word = matches!(how, Use::Word | Use::Negated | Use::Branch);
    function(&[schema(ty), schema(ty)], if word { Schema::Bool } else { schema(ty) }, |b, args| {
        let mut args = args;
        if let Some(bits) = bits {
            args = args.into_iter().map(|v| b.extend(ty, bits, v)).collect();
        }
        let x = args[0];
        let y = known.map_or(args[1], |n| b.iconst(ty, n.into()));
        let c = b.compare(op, x, y);
        let zero = b.iconst(ty, 0);
        match how {
            Use::Word => c,
            Use::Negated => b.not(c),
            Use::Select => b.select(c, x, y),
            Use::SelectZero => b.select(c, x, zero),
            Use::SelectNegated => {
                let c = b.not(c);
                b.select(c, x, zero)
            }
            Use::Branch => {
                let (then, other, end) = (b.block(), b.block(), b.block());
                let result = b.block_param(end, Ty::Bool, Range::new(0, 1));
                b.branch(c, Target::new(then, &[]), Target::new(other, &[]));
                for (block, value) in [(then, true), (other, false)] {
                    b.switch_to(block);
                    let value = b.bool(value);
                    b.jump(end, &[value]);
                }
                b.switch_to(end);
                result
            }
            Use::Guard => {
                let fault = b.fault(FaultKind::Fail, "no", FoundAs::Unsigned);
                // Any word will do for a place here; the report's bits are what counts.
                let at = if ty == Ty::I64 { b.reinterpret(Ty::U64, y) } else { y };
                b.guard(c, FaultRef::new(fault).found(x).at(at));
                b.iconst(ty, 5)
            }
        }
    })
}

#[test]
fn extensions_are_those_of_eval() {
    for ty in [Ty::U64, Ty::I64] {
        for bits in [1, 7, 8, 16, 31, 32, 33, 48, 63] {
            let f = function(&[schema(ty)], schema(ty), |b, args| b.extend(ty, bits, args[0]));
            let calls: Vec<Vec<u64>> = EDGES.iter().map(|a| vec![*a]).collect();
            for (call, trace) in calls.iter().zip(run_words(&f, &calls)) {
                assert_eq!(result(&trace), eval::extend(ty, bits, call[0]), "{ty:?} {bits} {:#x}", call[0]);
            }
        }
    }
}

/// A hop to the image's first `len` bytes; the length as it is there.
fn read(b: &mut FunctionBuilder, len: Value, range: Range, keep: &[Slot]) -> Value {
    let fault = b.fault(FaultKind::OutOfDevice, "a block", FoundAs::Unsigned);
    let zero = b.iconst(Ty::U64, 0);
    let (next, len_there) = b.hop_block(range);
    let next_target = Target::new(next, &[]);
    b.end(Terminator::Hop { source: SourceId(0), offset: zero, len, next: next_target, keep: keep.into(), fault });
    b.switch_to(next);
    len_there
}

/// Loads at a place that is checked against the length of the block, of every width, to its last byte.
#[test]
fn loads_at_checked_places_are_those_of_eval() {
    let block: Vec<u8> = (0..40u8).map(|i| i.wrapping_mul(37) ^ 0x85).collect();
    for (width, endian) in (1..=8u8).flat_map(|w| [(w, Endian::Little), (w, Endian::Big)]) {
        for ty in [Ty::U64, Ty::I64] {
            for fixed in [true, false] {
                let mut b = FunctionBuilder::new("f");
                b.set_result(schema(ty), false);
                let len = b.param("len", Schema::Int { bits: 6, signed: false, display: Display::Plain }, None).start;
                let at = b.param("at", U64, None).start;
                let len = if fixed { b.iconst(Ty::U64, 40) } else { b.arg(len) };
                let range = b.value(len).range;
                let len = read(&mut b, len, range, &[]);
                let at = b.arg(at);
                let bad = b.fault(FaultKind::Corrupt, "outside", FoundAs::Unsigned);
                let place = b.check(Region::Disk, at, Size::Const(width.into()), len, FaultRef::new(bad).at(at));
                let v = b.load(Addr::new(Region::Disk).base(place), width, endian, ty);
                b.store(Addr::new(Region::Out), 8, Endian::Little, v);
                b.ret();
                let (f, image) = (verified(b), memory(&block));
                let places = (0..48).chain([u64::MAX, u64::MAX - 3, 1 << 32]);
                let calls: Vec<Vec<u64>> = places.flat_map(|at| [vec![40, at], vec![17, at], vec![0, at]]).collect();
                let args: Vec<Vec<u8>> = calls.iter().map(|c| words(c)).collect();
                let traces = run_all(&f, &args.iter().map(|a| (&a[..], &image)).collect::<Vec<_>>());
                for (call, trace) in calls.iter().zip(traces) {
                    let (len, at) = (if fixed { 40 } else { call[0] }, call[1]);
                    match at.checked_add(width.into()).filter(|end| *end <= len) {
                        Some(end) => {
                            let part = &block[at as usize..end as usize];
                            assert_eq!(result(&trace), eval::load(ty, endian, part), "{width} {endian:?} {at} {len}");
                        }
                        None => {
                            let report = FaultReport { fault: bad, found: None, at: Some(at) };
                            assert_eq!(trace.outcome, Outcome::Fault(report), "{width} {at} {len}");
                        }
                    }
                }
            }
        }
    }
}

/// Appends a part of the block to a local buffer: both ends and the length vary, and reach the very ends of block and buffer.
#[test]
fn copies_between_checked_places_stay_inside() {
    let block: Vec<u8> = (0..96u8).map(|i| i ^ 0x5a).collect();
    let mut b = FunctionBuilder::new("f");
    b.set_result(Schema::Bytes { max: 64, fixed: true, display: Display::Plain }, false);
    let params: Vec<u32> = ["from", "to", "len"].iter().map(|n| b.param(n, U64, None).start).collect();
    let slot = b.slot("buffer", 64);
    let size = b.iconst(Ty::U64, 96);
    let block_len = read(&mut b, size, Range::just(96), &[slot]);
    let args: Vec<Value> = params.iter().map(|p| b.arg(*p)).collect();
    let zero = b.iconst(Ty::U64, 0);
    b.store(Addr::new(Region::Slot(slot)), 8, Endian::Little, zero);
    let bad = b.fault(FaultKind::Corrupt, "outside", FoundAs::Unsigned);
    let most = b.iconst(Ty::U64, 64);
    let short = b.compare(CmpOp::Le, args[2], most);
    b.guard(short, FaultRef::new(bad));
    let len = b.refine(args[2], short, true);
    let from = b.check(Region::Disk, args[0], Size::Value(len), block_len, FaultRef::new(bad));
    let to = b.check(Region::Slot(slot), args[1], Size::Value(len), most, FaultRef::new(bad));
    b.copy(Addr::new(Region::Slot(slot)).base(to), Addr::new(Region::Disk).base(from), Size::Value(len));
    b.store(Addr::new(Region::Out), 8, Endian::Little, most);
    b.copy(Addr::new(Region::Out).disp(8), Addr::new(Region::Slot(slot)), Size::Const(64));
    b.ret();
    let (f, image) = (verified(b), memory(&block));
    let mut calls = Vec::new();
    for len in (0..=33).chain([63, 64, 65, u64::MAX]) {
        let last = 96u64.saturating_sub(len);
        for from in [0, 5, last, last + 1, u64::MAX] {
            calls.extend([0, 1, 64u64.saturating_sub(len), 64].map(|to| vec![from, to, len]));
        }
    }
    let args: Vec<Vec<u8>> = calls.iter().map(|c| words(c)).collect();
    let traces = run_all(&f, &args.iter().map(|a| (&a[..], &image)).collect::<Vec<_>>());
    for (call, trace) in calls.iter().zip(traces) {
        let (from, to, len) = (call[0], call[1], call[2]);
        let fits = |at: u64, most: u64| len <= 64 && at.checked_add(len).is_some_and(|end| end <= most);
        if !fits(from, 96) || !fits(to, 64) {
            assert_eq!(trace.outcome, Outcome::Fault(FaultReport { fault: bad, found: None, at: None }), "{call:?}");
            continue;
        }
        let mut want = [0; 72];
        want[0] = 64;
        want[8 + to as usize..][..len as usize].copy_from_slice(&block[from as usize..][..len as usize]);
        assert_eq!(trace.outcome, Outcome::Done(want.to_vec()), "{call:?}");
    }
}

/// A small generator of numbers (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// Straight code with many values alive at once, faults that report some of them, and branches that join: what registers and stack
/// slots must keep apart.
#[test]
fn random_functions_mean_the_same_on_all_engines() {
    for seed in 0..150 {
        let mut r = Random(seed);
        let f = function(&[U64, U64, U64], U64, |b, args| {
            let mut live = args;
            for _ in 0..10 + r.below(50) {
                let v = random_value(b, &mut r, &live);
                live.push(v);
            }
            let zero = b.iconst(Ty::U64, 0);
            live.iter().fold(zero, |sum, v| {
                let three = b.iconst(Ty::U64, 3);
                let sum = b.binary(BinOp::Mul, Mode::Wrap, sum, three);
                b.binary(BinOp::Add, Mode::Wrap, sum, *v)
            })
        });
        let calls: Vec<Vec<u64>> = (0..24)
            .map(|_| (0..3).map(|_| if r.below(2) == 0 { r.pick(&EDGES) } else { r.next() }).collect())
            .collect();
        run_words(&f, &calls);
    }
}

fn random_value(b: &mut FunctionBuilder, r: &mut Random, live: &[Value]) -> Value {
    use BinOp::*;
    let (x, y) = (r.pick(live), r.pick(live));
    match r.below(10) {
        0 => b.iconst(Ty::U64, r.pick(&EDGES).into()),
        1 | 2 => b.binary(r.pick(&[Add, Sub, Mul]), Mode::Wrap, x, y),
        3 | 4 => b.binary(r.pick(&[And, Or, Xor]), Mode::Exact, x, y),
        5 => {
            let n = b.iconst(Ty::U64, 1 + r.below(63) as i128);
            b.binary(r.pick(&[Div, Rem, Shr]), Mode::Exact, x, n)
        }
        6 => b.extend(Ty::U64, 1 + r.below(63) as u8, x),
        7 => {
            let c = b.compare(r.pick(&[CmpOp::Eq, CmpOp::Lt, CmpOp::Le]), x, y);
            let (p, q) = (r.pick(live), r.pick(live));
            b.select(c, p, q)
        }
        8 => {
            let fault = b.fault(FaultKind::Overflow, "{}", FoundAs::Hex(16));
            let fault = FaultRef::new(fault).found(r.pick(live)).at(r.pick(live));
            b.binary(r.pick(&[Add, Sub, Mul]), Mode::Checked(fault), x, y)
        }
        _ => {
            let (then, other, end) = (b.block(), b.block(), b.block());
            let result = b.block_param(end, Ty::U64, Range::of(Ty::U64));
            let c = b.compare(r.pick(&[CmpOp::Ne, CmpOp::Lt]), x, y);
            b.branch(c, Target::new(then, &[]), Target::new(other, &[]));
            for block in [then, other] {
                b.switch_to(block);
                let v = b.binary(r.pick(&[Add, Sub]), Mode::Wrap, r.pick(live), r.pick(live));
                b.jump(end, &[v]);
            }
            b.switch_to(end);
            result
        }
    }
}

/// A program that keeps more alive than registers and stack hold is refused with the sizes, not miscompiled.
#[test]
fn a_frame_beyond_the_stack_is_an_error() {
    let f = function(&[U64], U64, |b, args| {
        let mut values = vec![args[0]];
        for i in 0..100 {
            let n = b.iconst(Ty::U64, 0x1_0000_0001 * (i + 3));
            let product = b.binary(BinOp::Mul, Mode::Wrap, values[i as usize], n);
            values.push(b.binary(BinOp::Xor, Mode::Exact, product, args[0]));
        }
        let forward = values.clone().into_iter().reduce(|a, v| b.binary(BinOp::Sub, Mode::Wrap, a, v));
        values.into_iter().rev().fold(forward.unwrap(), |a, v| b.binary(BinOp::Xor, Mode::Exact, a, v))
    });
    let error = trav_compiler::bpf::compile(&f, &Profile::named("test").unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("frame larger than the BPF stack"), "{error}");
}

/// A bytes argument is read at a variable place inside its length.
#[test]
fn bytes_arguments_are_read_where_they_are() {
    let mut b = FunctionBuilder::new("f");
    b.set_result(U64, false);
    let bytes = b.param("bytes", BYTES, None).start;
    let at = b.param("at", U64, None).start;
    let (at, len) = (b.arg(at), b.arg_len(bytes));
    let bad = b.fault(FaultKind::Fail, "outside", FoundAs::Unsigned);
    let place = b.check(Region::Arg(bytes), at, Size::Const(2), len, FaultRef::new(bad).found(len));
    let v = b.load(Addr::new(Region::Arg(bytes)).base(place), 2, Endian::Big, Ty::U64);
    b.store(Addr::new(Region::Out), 8, Endian::Little, v);
    b.ret();
    let (f, image) = (verified(b), memory(&[]));
    let content: Vec<u8> = (0..96u8).map(|i| i.wrapping_mul(11)).collect();
    let calls: Vec<(u64, u64)> =
        [0u64, 2, 50, 96].into_iter().flat_map(|len| (0..98).map(move |at| (len, at))).collect();
    let laid_out = |(len, at): &(u64, u64)| [&words(&[*len])[..], &content, &words(&[*at])].concat();
    let args: Vec<Vec<u8>> = calls.iter().map(laid_out).collect();
    let traces = run_all(&f, &args.iter().map(|a| (&a[..], &image)).collect::<Vec<_>>());
    for ((len, at), trace) in calls.iter().zip(traces) {
        if at + 2 <= *len {
            let at = *at as usize;
            assert_eq!(result(&trace), u64::from(u16::from_be_bytes([content[at], content[at + 1]])));
        } else {
            let report = FaultReport { fault: bad, found: Some(*len), at: None };
            assert_eq!(trace.outcome, Outcome::Fault(report));
        }
    }
}
