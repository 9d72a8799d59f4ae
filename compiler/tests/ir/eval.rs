//! The scalar semantics against integers without bounds, and each claim rule against the scalar semantics.

use super::Random;
use trav_compiler::ir::eval::{self, Trap, number, range};
use trav_compiler::ir::{BinOp, CmpOp, Endian, FaultId, FaultRef, Mode, NoVarint, Range, Ty, Varint};

const BIN_OPS: [BinOp; 10] = [
    BinOp::Add,
    BinOp::Sub,
    BinOp::Mul,
    BinOp::Div,
    BinOp::Rem,
    BinOp::And,
    BinOp::Or,
    BinOp::Xor,
    BinOp::Shl,
    BinOp::Shr,
];
const CMP_OPS: [CmpOp; 4] = [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le];
const TURNS: usize = 200_000;

/// Small, huge and in between; near powers of two more often than chance has it.
fn word(random: &mut Random) -> u64 {
    match random.below(4) {
        0 => random.word() >> random.below(64),
        1 => random.below(20) as u64,
        2 => (1u64 << random.below(64)).wrapping_add(random.below(5) as u64).wrapping_sub(2),
        _ => 0u64.wrapping_sub(random.word() >> random.below(64)),
    }
}

/// A range of a type together with a word in it. Some are a single number, some reach to the type's ends.
fn range_and_word(random: &mut Random, ty: Ty) -> (Range, u64) {
    let of = |random: &mut Random| if ty == Ty::Bool { random.word() & 1 } else { word(random) };
    let inside = of(random);
    let n = number(ty, inside);
    let mut range = Range::just(n);
    if random.below(4) > 0 {
        range = range.join(Range::just(number(ty, of(random))));
    }
    if random.below(4) == 0 {
        range = range.join(Range::just(number(ty, of(random))));
    }
    if random.below(16) == 0 {
        range = Range::of(ty);
    }
    (range, inside)
}

fn operand_types(random: &mut Random, op: BinOp) -> (Ty, Ty) {
    let ty = match op {
        BinOp::And | BinOp::Or | BinOp::Xor => random.pick(&[Ty::U64, Ty::I64, Ty::Bool]),
        _ => random.pick(&[Ty::U64, Ty::I64]),
    };
    (ty, if matches!(op, BinOp::Shl | BinOp::Shr) { Ty::U64 } else { ty })
}

/// The operation on integers without bounds; none where it has no result.
fn reference(op: BinOp, a: i128, b: i128) -> Option<i128> {
    match op {
        BinOp::Add => Some(a + b),
        BinOp::Sub => Some(a - b),
        // 2^64 * 2^64 does not fit, but then it overflows in any case.
        BinOp::Mul => Some(a.saturating_mul(b)),
        BinOp::Div => a.checked_div(b),
        BinOp::Rem => a.checked_rem(b),
        BinOp::And => Some(a & b),
        BinOp::Or => Some(a | b),
        BinOp::Xor => Some(a ^ b),
        BinOp::Shl => (0..64).contains(&b).then(|| a.saturating_mul(1 << b)),
        BinOp::Shr => (0..64).contains(&b).then(|| a.div_euclid(1 << b)),
    }
}

#[test]
fn arithmetic_is_that_of_the_integers() {
    let mut random = Random(1);
    for _ in 0..TURNS {
        let op = random.pick(&BIN_OPS);
        let (ty, count_ty) = operand_types(&mut random, op);
        let ((_, a), (_, b)) = (range_and_word(&mut random, ty), range_and_word(&mut random, count_ty));
        let b = if ty != count_ty || op == BinOp::Shl { b % 70 } else { b };
        let got = eval::binary(op, ty, a, b);
        let context = format!("{op:?} {ty:?} {a:#x} {b:#x}: {got:?}");
        match reference(op, number(ty, a), number(count_ty, b)) {
            None if b == 0 => assert_eq!(got, Err(Trap::ZeroDivisor), "{context}"),
            None => assert_eq!(got, Err(Trap::WideShift), "{context}"),
            Some(n) if Range::of(ty).contains(Range::just(n)) => assert_eq!(got, Ok(n as u64), "{context}"),
            Some(n) => {
                let Err(Trap::Overflow { wrapped }) = got else { panic!("{context}, wanted overflow to {n}") };
                let low = match op {
                    BinOp::Mul => a.wrapping_mul(b),
                    BinOp::Shl => a.wrapping_mul(1 << b),
                    _ => n as u64,
                };
                assert_eq!(wrapped, low, "{context}");
            }
        }
    }
}

#[test]
fn arithmetic_stays_in_its_claim() {
    let mut random = Random(2);
    let fault = FaultRef { fault: FaultId(0), found: None, at: None };
    let mut hit = [0; BIN_OPS.len()];
    for _ in 0..TURNS {
        let which = random.below(BIN_OPS.len());
        let op = BIN_OPS[which];
        let (ty, count_ty) = operand_types(&mut random, op);
        let ((ra, a), (mut rb, mut b)) = (range_and_word(&mut random, ty), range_and_word(&mut random, count_ty));
        if op == BinOp::Shl || op == BinOp::Shr {
            (rb, b) = (Range::new(rb.lo % 64, rb.lo % 64 + random.below(80) as i128), rb.lo as u64 % 64);
        }
        let mode = random.pick(&[Mode::Exact, Mode::Wrap, Mode::Checked(fault)]);
        let word = match (eval::binary(op, ty, a, b), mode) {
            (Ok(word), _) => word,
            (Err(Trap::Overflow { wrapped }), Mode::Wrap) => wrapped,
            (Err(Trap::Overflow { .. }), Mode::Exact) if !matches!(op, BinOp::Div) => {
                let exact = range::mathematical(op, ra, rb);
                assert!(!Range::of(ty).contains(exact), "{op:?} {ty:?} {ra:?} {rb:?}: {exact:?} hides {a} and {b}");
                continue;
            }
            (Err(_), _) => continue,
        };
        let claim = range::binary(op, mode, ty, ra, rb);
        let n = number(ty, word);
        assert!(claim.contains(Range::just(n)), "{op:?} {mode:?} {ty:?} {ra:?} {rb:?}: {claim:?} misses {n}");
        assert!(Range::of(ty).contains(claim), "{op:?} {ty:?}: {claim:?} is not of the type");
        hit[which] += 1;
    }
    assert!(hit.iter().all(|n| *n > TURNS / 100), "each operation was tried: {hit:?}");
}

#[test]
fn comparison_and_refinement_stay_in_their_claims() {
    let mut random = Random(3);
    for _ in 0..TURNS {
        let (op, ty) = (random.pick(&CMP_OPS), random.pick(&[Ty::U64, Ty::I64, Ty::Bool]));
        let ((ra, a), (rb, b)) = (range_and_word(&mut random, ty), range_and_word(&mut random, ty));
        let (na, nb) = (number(ty, a), number(ty, b));
        let holds = eval::compare(op, ty, a, b);
        let expected = match op {
            CmpOp::Eq => na == nb,
            CmpOp::Ne => na != nb,
            CmpOp::Lt => na < nb,
            CmpOp::Le => na <= nb,
        };
        assert_eq!(holds, expected, "{op:?} {na} {nb}");
        let claim = range::compare(op, ra, rb);
        assert!(claim.contains(Range::just(holds.into())), "{op:?} {ra:?} {rb:?}: {claim:?}");
        for (left, refined, other, n) in [(true, ra, rb, na), (false, rb, ra, nb)] {
            let claim = range::refine(op, holds, left, refined, other);
            assert!(claim.contains(Range::just(n)), "{op:?} {holds} {left} {ra:?} {rb:?}: {claim:?} misses {n}");
            assert!(refined.contains(claim), "a refinement is no wider than what it refines");
        }
        let select = range::select(claim, ra, rb);
        let word = if holds { na } else { nb };
        assert!(select.contains(Range::just(word)), "select {claim:?} {ra:?} {rb:?}: {select:?}");
    }
}

#[test]
fn words_change_type_within_their_claims() {
    let mut random = Random(4);
    for _ in 0..TURNS {
        let (from, to) = (random.pick(&[Ty::U64, Ty::I64]), random.pick(&[Ty::U64, Ty::I64]));
        let (ra, a) = range_and_word(&mut random, from);
        let claim = range::reinterpret(to, ra);
        assert!(claim.contains(Range::just(number(to, a))), "{from:?} as {to:?} {ra:?}: {claim:?} misses {a:#x}");
        let bits = 1 + random.below(63) as u8;
        let word = eval::extend(to, bits, a);
        let claim = range::extend(to, bits, ra);
        let n = number(to, word);
        assert!(claim.contains(Range::just(n)), "extend {to:?} {bits} {ra:?}: {claim:?} misses {n}");
        assert_eq!((word ^ a) << (64 - bits), 0, "the low bits stay");
        let width = 1 + random.below(8);
        let bytes = &a.to_be_bytes()[8 - width..];
        let n = number(to, eval::load(to, Endian::Big, bytes));
        assert!(range::low_bits(to, width as u8 * 8).contains(Range::just(n)), "load {to:?} {width}: {n}");
    }
}

#[test]
fn checked_offsets_stay_in_their_claims() {
    let mut random = Random(5);
    let mut passed = 0;
    for _ in 0..TURNS {
        let [(ra, a), (rs, s), (rl, l)] = [(); 3].map(|()| range_and_word(&mut random, Ty::U64));
        if a.checked_add(s).is_some_and(|end| end <= l) {
            let claim = range::check(ra, rs, rl);
            assert!(claim.contains(Range::just(a.into())), "{a} + {s} <= {l}, {ra:?} {rs:?} {rl:?}: {claim:?}");
            passed += 1;
        }
    }
    assert!(passed > TURNS / 20);
}

#[test]
fn bounds_that_specs_live_on() {
    let r = Range::new;
    let exact = |op, a, b| range::binary(op, Mode::Exact, Ty::U64, a, b);
    let all = Range::of(Ty::U64);
    assert_eq!(exact(BinOp::And, all, Range::just(0x1ff)), r(0, 0x1ff));
    assert_eq!(exact(BinOp::Rem, all, Range::just(512)), r(0, 511));
    assert_eq!(exact(BinOp::Div, r(0, 511), Range::just(64)), r(0, 7));
    assert_eq!(exact(BinOp::Rem, r(0, 3), r(8, 9)), r(0, 3));
    assert_eq!(exact(BinOp::Rem, all, r(1, 100)), r(0, 99));
    assert_eq!(exact(BinOp::Or, r(0, 5), r(8, 9)), r(8, 14));
    assert_eq!(exact(BinOp::Or, r(0, 255), r(0, 255)), r(0, 255));
    assert_eq!(exact(BinOp::Shl, Range::just(1024), r(0, 6)), r(1024, 65536));
    assert_eq!(exact(BinOp::Shr, all, Range::just(60)), r(0, 15));
    assert_eq!(range::refine(CmpOp::Ne, true, true, r(0, 9), Range::just(0)), r(1, 9));
    assert!(range::refine(CmpOp::Lt, true, true, r(5, 9), r(0, 5)).is_empty());
    assert_eq!(range::check(all, Range::just(16), r(0, 512)), r(0, 496));
}

#[test]
fn hostile_ranges_do_not_panic() {
    let mut random = Random(6);
    let fault = FaultRef { fault: FaultId(0), found: None, at: None };
    let ends = [i128::MIN, i128::MAX, i128::MIN + 1, -1, 0, 1, 63, 64, 1 << 64, -(1 << 63)];
    for _ in 0..TURNS {
        let [a, b] = [(); 2].map(|()| Range::new(random.pick(&ends), random.pick(&ends)));
        let ty = random.pick(&[Ty::U64, Ty::I64, Ty::Bool]);
        let mode = random.pick(&[Mode::Exact, Mode::Wrap, Mode::Checked(fault)]);
        range::binary(random.pick(&BIN_OPS), mode, ty, a, b);
        range::refine(random.pick(&CMP_OPS), random.below(2) == 0, random.below(2) == 0, a, b);
        range::compare(random.pick(&CMP_OPS), a, b);
        range::reinterpret(ty, a);
        range::extend(ty, random.word() as u8, a);
        range::check(a, b, a);
        range::select(b, a, b);
    }
}

#[test]
fn bytes_make_words_in_both_orders() {
    let bytes = [0x81, 0x02, 0x83];
    assert_eq!(eval::load(Ty::U64, Endian::Little, &bytes), 0x0083_0281);
    assert_eq!(eval::load(Ty::U64, Endian::Big, &bytes), 0x0081_0283);
    assert_eq!(eval::load(Ty::I64, Endian::Little, &bytes) as i64, 0x0083_0281 - (1 << 24));
    assert_eq!(eval::load(Ty::I64, Endian::Big, &[0x7f]), 0x7f);
    let mut random = Random(7);
    for _ in 0..10_000 {
        let (word, width) = (random.word(), 1 + random.below(8));
        for endian in [Endian::Little, Endian::Big] {
            let mut bytes = [0xee; 8];
            eval::store(endian, word, &mut bytes[..width]);
            let mut native = word.to_le_bytes()[..width].to_vec();
            if endian == Endian::Big {
                native.reverse();
            }
            assert_eq!(bytes[..width], native);
            assert_eq!(eval::load(Ty::U64, endian, &bytes[..width]), word & u64::MAX >> (64 - 8 * width));
        }
    }
}

/// A number as its format writes it, with as few bytes as it takes.
fn varint(kind: Varint, n: u64) -> Vec<u8> {
    let digits = |n: u64| (0..64u32.div_ceil(7)).map(move |i| (n >> (7 * i) & 0x7f) as u8);
    let count = (64 - n.leading_zeros()).div_ceil(7).max(1) as usize;
    if kind == Varint::Sqlite && count > 8 {
        let mut bytes: Vec<u8> = digits(n >> 8).take(8).map(|digit| digit | 0x80).collect();
        bytes.reverse();
        bytes.push(n as u8);
        return bytes;
    }
    let mut bytes: Vec<u8> = digits(n).take(count).collect();
    if kind != Varint::Leb128 {
        bytes.reverse();
    }
    bytes[..count - 1].iter_mut().for_each(|byte| *byte |= 0x80);
    bytes
}

#[test]
fn varints_are_read_as_they_are_written() {
    let mut random = Random(7);
    for _ in 0..TURNS {
        let (kind, n) = (random.pick(&Varint::ALL), word(&mut random));
        let mut bytes = varint(kind, n);
        let size = bytes.len();
        let cut = random.below(size);
        assert_eq!(kind.decode(&bytes[..cut]), Err(NoVarint::Cut), "{kind:?} {n:#x}");
        bytes.push(random.word() as u8);
        assert_eq!(kind.decode(&bytes), Ok((n, size as u8)), "{kind:?} {n:#x}");
    }
}

#[test]
fn what_no_word_holds_is_no_varint() {
    let leading =
        |kind: Varint, zero: u8, last: &[u8]| kind.decode(&[vec![zero; 10 - last.len()], last.to_vec()].concat());
    // Zeros in front are allowed as far as ten bytes reach.
    assert_eq!(leading(Varint::Leb128, 0x80, &[1]), Ok((1 << 63, 10)));
    assert_eq!(leading(Varint::Leb128, 0x80, &[2]), Err(NoVarint::Wide));
    assert_eq!(leading(Varint::Leb128, 0x80, &[0x80]), Err(NoVarint::Wide));
    assert_eq!(leading(Varint::Vlq, 0x80, &[0x7f]), Ok((0x7f, 10)));
    assert_eq!(leading(Varint::Vlq, 0x80, &[0x80]), Err(NoVarint::Wide));
    assert_eq!(Varint::Vlq.decode(&[0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), Ok((u64::MAX, 10)));
    assert_eq!(leading(Varint::Vlq, 0xff, &[0x7f]), Err(NoVarint::Wide));
    assert_eq!(leading(Varint::Sqlite, 0xff, &[]), Ok((u64::MAX, 9)));
}
