//! Random functions on all executors: every operation, with operands at the edges of their types.
//!
//! The functions are made from a fixed seed, so a failure repeats; its number and its text form are printed.

use super::differential::{check_calls, memory, words};
use crate::xorshift::Random;
use trav_compiler::ir::build::FunctionBuilder;
use trav_compiler::ir::schema::{Display, Schema};
use trav_compiler::ir::verify::{Verified, verify};
use trav_compiler::ir::*;
use trav_runtime::exec::Outcome;

/// The environment variable `TRAV_RANDOM_FUNCTIONS` asks for another number.
const FUNCTIONS: u64 = 150;
const OPS: usize = 25;
const CALLS: usize = 6;
const BLOCK: u32 = 64;
const RESULTS: u32 = 6;

impl Random {
    /// A word that is likely to be at an edge.
    fn edge(&mut self) -> u64 {
        let edge = self.pick(&[0, 1, 1 << 8, 1 << 16, 1 << 31, 1 << 32, 1 << 63, u64::MAX]);
        match self.below(4) {
            0 => self.next(),
            1 => self.next() >> self.below(64),
            _ => edge.wrapping_add(self.below(5)).wrapping_sub(2),
        }
    }
}

/// A function in the making, with the values that can be used so far.
struct Maker {
    r: Random,
    b: FunctionBuilder,
    values: Vec<Value>,
    fault: FaultId,
    text: u32,
}

fn int(signed: bool) -> Schema {
    Schema::Int { bits: 64, signed, display: Display::Plain }
}

impl Maker {
    fn new(seed: u64) -> Self {
        let mut b = FunctionBuilder::new("random");
        let fields = (0..RESULTS).map(|i| (format!("r{i}"), int(false))).collect();
        b.set_result(Schema::Record { name: "Results".into(), fields }, false);
        let params = [("a", int(false)), ("b", int(false)), ("c", int(true)), ("d", int(true)), ("e", Schema::Bool)];
        for (name, schema) in params {
            b.param(name, schema, None);
        }
        let text = Schema::Bytes { max: 16, fixed: false, display: Display::Plain };
        let text = b.param("text", text, None).start;
        let fault = b.fault(FaultKind::Corrupt, "{}", FoundAs::Unsigned);
        let outside = b.fault(FaultKind::OutOfDevice, "the block", FoundAs::Unsigned);
        let (at, len) = (b.iconst(Ty::U64, 8), b.iconst(Ty::U64, BLOCK.into()));
        let (next, _) = b.hop_block(Range::just(BLOCK.into()));
        b.hop(SourceId(0), at, len, Target::new(next, &[]), outside);
        b.switch_to(next);
        let values = (0..5).map(|i| b.arg(i)).collect();
        Maker { r: Random(seed), b, values, fault, text }
    }

    /// A value of this type.
    fn value(&mut self, ty: Ty) -> Value {
        let of_type: Vec<Value> = self.values.iter().copied().filter(|&v| self.b.value(v).ty == ty).collect();
        // Later values are chosen more often, so that operations build on each other.
        let first = if self.r.below(2) == 0 { 0 } else { of_type.len().saturating_sub(4) };
        self.r.pick(&of_type[first..])
    }

    fn int_ty(&mut self) -> Ty {
        self.r.pick(&[Ty::U64, Ty::I64])
    }

    fn fault_ref(&mut self) -> FaultRef {
        let ty = self.int_ty();
        let (found, at) = (self.value(ty), self.value(Ty::U64));
        let fault = FaultRef::new(self.fault);
        match self.r.below(3) {
            0 => fault,
            1 => fault.found(found),
            _ => fault.found(found).at(at),
        }
    }

    /// A value of the type within `lo..=lo + mask`, where `mask` is below a power of two.
    fn narrow(&mut self, ty: Ty, mask: i128, lo: i128) -> Value {
        let v = self.value(ty);
        let mask = self.b.iconst(ty, mask);
        let low = self.b.binary(BinOp::And, Mode::Exact, v, mask);
        let lo = self.b.iconst(ty, lo);
        self.b.binary(BinOp::Add, Mode::Exact, low, lo)
    }

    fn arithmetic(&mut self) -> Value {
        use BinOp::*;
        let ty = self.int_ty();
        let op = self.r.pick(&[Add, Sub, Mul, Div, Rem, And, Or, Xor, Shl, Shr]);
        let a = self.value(ty);
        let right = match op {
            Div | Rem => self.narrow(ty, 15, 2),
            Shl | Shr => self.narrow(Ty::U64, 63, 0),
            _ => self.value(ty),
        };
        let mode = match op {
            Add | Sub | Mul | Shl if self.r.below(10) == 0 => Mode::Checked(self.fault_ref()),
            Add | Sub | Mul | Shl => Mode::Wrap,
            _ => Mode::Exact,
        };
        self.b.binary(op, mode, a, right)
    }

    fn compare(&mut self) -> Value {
        let ty = self.r.pick(&[Ty::U64, Ty::I64, Ty::Bool]);
        let (a, right) = (self.value(ty), self.value(ty));
        let op = if ty == Ty::Bool {
            self.r.pick(&[CmpOp::Eq, CmpOp::Ne])
        } else {
            self.r.pick(&[CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le])
        };
        self.b.compare(op, a, right)
    }

    fn load(&mut self) -> Value {
        let (ty, width) = (self.int_ty(), 1 + self.r.below(8) as u8);
        let endian = self.r.pick(&[Endian::Little, Endian::Big]);
        let region = self.r.pick(&[Region::Disk, Region::Arg(self.text)]);
        let size = if region == Region::Disk { BLOCK } else { 16 };
        let room = u64::from(size) - u64::from(width);
        let addr = match self.r.below(3) {
            0 => Addr::new(region).disp(self.r.below(room + 1) as u32),
            1 => {
                let index = self.narrow(Ty::U64, 7, 0);
                Addr::new(region).index(index).disp(self.r.below(room - 6) as u32)
            }
            _ => {
                let (a, size) = (self.narrow(Ty::U64, 63, 0), u64::from(size));
                let limit = self.b.iconst(Ty::U64, size.into());
                let limit = if region == Region::Disk { self.b.disk().unwrap().len } else { limit };
                let fault = self.fault_ref();
                let base = self.b.check(region, a, Size::Const(width.into()), limit, fault);
                Addr::new(region).base(base)
            }
        };
        self.b.load(addr, width, endian, ty)
    }

    /// The number of a varint; its size can be used, too.
    fn varint(&mut self) -> Value {
        let kind = self.r.pick(&Varint::ALL);
        let (region, size) = self.r.pick(&[(Region::Disk, BLOCK), (Region::Arg(self.text), 16)]);
        let addr = match self.r.below(2) {
            0 => Addr::new(region).disp(self.r.below(size.into()) as u32),
            _ => {
                let index = self.narrow(Ty::U64, 7, 0);
                Addr::new(region).index(index).disp(self.r.below(u64::from(size) - 7) as u32)
            }
        };
        let limit = match (region, self.r.below(3)) {
            (_, 0) => self.narrow(Ty::U64, 7, 1),
            (Region::Disk, _) => self.b.disk().unwrap().len,
            _ => self.b.iconst(Ty::U64, size.into()),
        };
        let (outside, wide) = (self.fault_ref(), self.fault_ref());
        let (size, number) = self.b.varint(kind, addr, limit, outside, kind.may_be_wide().then_some(wide));
        self.values.push(size);
        number
    }

    fn op(&mut self) {
        let v = match self.r.below(12) {
            0..=4 => self.arithmetic(),
            5 => self.compare(),
            6 if self.r.below(5) == 0 => self.varint(),
            6 | 7 => self.load(),
            8 => {
                let ty = self.r.pick(&[Ty::U64, Ty::I64, Ty::Bool]);
                let (cond, a, right) = (self.value(Ty::Bool), self.value(ty), self.value(ty));
                self.b.select(cond, a, right)
            }
            9 => {
                let (from, to) = (self.int_ty(), self.int_ty());
                let (bits, a) = (1 + self.r.below(63) as u8, self.value(from));
                let a = self.b.reinterpret(to, a);
                self.b.extend(to, bits, a)
            }
            10 => {
                let (op, a, right) =
                    (self.r.pick(&[BinOp::And, BinOp::Or, BinOp::Xor]), self.value(Ty::Bool), self.value(Ty::Bool));
                let flag = self.b.binary(op, Mode::Exact, a, right);
                self.values.push(flag);
                let ty = self.int_ty();
                self.b.cast(ty, flag)
            }
            _ => {
                let (ty, n) = (self.int_ty(), self.r.edge());
                let n = if ty == Ty::I64 { i128::from(n as i64) } else { n.into() };
                self.b.iconst(ty, n)
            }
        };
        self.values.push(v);
    }

    /// Two ways that meet again, with a value from either.
    fn diamond(&mut self) {
        let cond = self.value(Ty::Bool);
        let ty = self.int_ty();
        let (yes, no, meet) = (self.b.block(), self.b.block(), self.b.block());
        let merged = self.b.block_param(meet, ty, Range::of(ty));
        self.b.branch(cond, Target::new(yes, &[]), Target::new(no, &[]));
        let before = self.values.len();
        for way in [yes, no] {
            self.b.switch_to(way);
            for _ in 0..3 {
                self.op();
            }
            let v = self.value(ty);
            self.b.jump(meet, &[v]);
            self.values.truncate(before);
        }
        self.b.switch_to(meet);
        self.values.push(merged);
    }

    fn finish(mut self) -> (Function, Random) {
        for _ in 0..OPS {
            if self.r.below(8) == 0 { self.diamond() } else { self.op() }
        }
        for i in 0..RESULTS {
            let (ty, endian) = (self.int_ty(), self.r.pick(&[Endian::Little, Endian::Big]));
            let (v, width) = (self.value(ty), 1 + self.r.below(8) as u8);
            self.b.store(Addr::new(Region::Out).disp(8 * i), width, endian, v);
        }
        self.b.ret();
        (self.b.finish(), self.r)
    }
}

/// A function with its name, made and proved by itself and then improved as walks are.
pub fn function(number: u64) -> (String, Verified) {
    let (mut function, _) = Maker::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).finish();
    trav_compiler::opt::optimise(&mut function);
    trav_compiler::prove::find_evidence(&mut function);
    let f = verify(function).unwrap_or_else(|e| panic!("function {number}: {e:#?}"));
    (format!("random function {number}"), f)
}

#[test]
fn random_functions_agree_on_all_executors() {
    let wanted = std::env::var("TRAV_RANDOM_FUNCTIONS").ok().and_then(|n| n.parse().ok());
    let functions = wanted.unwrap_or(FUNCTIONS);
    let mut done = 0;
    for number in 1..=functions {
        let (function, mut r) = Maker::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).finish();
        let text = print::print(&function);
        let f = verify(function).unwrap_or_else(|e| panic!("function {number}: {e:#?}\n{text}"));
        let calls: Vec<_> = (0..CALLS)
            .map(|_| {
                let mut args = words(&[r.edge(), r.edge(), r.edge(), r.edge(), r.below(2), r.below(17)]);
                args.extend(words(&[r.edge(), r.edge()]));
                let block: Vec<u64> = (0..=u64::from(BLOCK) / 8).map(|_| r.edge()).collect();
                (args, memory(&words(&block)))
            })
            .collect();
        let calls: Vec<_> = calls.iter().map(|(args, sources)| (&args[..], sources)).collect();
        println!("function {number}:\n{text}");
        let traces = check_calls(&f, &calls);
        // What the passes do no caller sees.
        let mut function = Function::clone(&f);
        trav_compiler::opt::optimise(&mut function);
        let f = verify(function).unwrap_or_else(|e| panic!("function {number} after the passes: {e:#?}"));
        assert_eq!(check_calls(&f, &calls), traces, "function {number}");
        done += traces.iter().filter(|t| matches!(t.outcome, Outcome::Done(_))).count();
    }
    // Faults end a walk early; most walks must not.
    assert!(done > CALLS * functions as usize / 2, "only {done} walks came to their end");
}
