//! Constants in an index go into the displacement: `keys[after - 1]` is read at `8 * after`, 8 bytes lower.
//!
//! Lowering writes an index as the user does and scales it; a constant that is added before the scaling is an instruction a turn. A search,
//! whose probe is one before what it keeps, has one in each round: two instructions of 27. Where the array stands behind a header of one
//! element's size, both constants cancel out.

use super::{new_value, number};
use crate::fx::FxHashMap;
use crate::ir::defs::{Def, Defs};
use crate::ir::eval::range;
use crate::ir::{Addr, BinOp, Block, Function, Inst, Mode, Op, Range, Ty, Value};

/// Folds what can be folded in all accesses through an index together: one that keeps the old index would need both.
pub fn fold(f: &mut Function) {
    cancel(f);
    let defs = Defs::of(f);
    let mut uses: Vec<(Value, u32)> = Vec::new();
    let mut places: FxHashMap<Value, usize> = FxHashMap::default();
    for_each_address(f, |addr| {
        if let Some(index) = addr.index {
            let place = *places.entry(index).or_insert_with(|| {
                uses.push((index, addr.disp));
                uses.len() - 1
            });
            uses[place].1 = addr.disp.min(uses[place].1);
        }
    });
    let folds: Vec<(Value, Fold)> =
        uses.iter().filter_map(|(v, least)| Some((*v, Fold::of(f, &defs, *v, *least)?))).collect();
    if folds.is_empty() {
        return;
    }
    // No base is an index that is folded itself: it would be folded further.
    let new: FxHashMap<Value, (Value, i64)> =
        folds.into_iter().map(|(index, fold)| (index, (fold.apply(f, index), fold.disp))).collect();
    for_each_address(f, |addr| {
        if let Some((index, disp)) = addr.index.and_then(|index| new.get(&index)) {
            addr.index = Some(*index);
            addr.disp = (i64::from(addr.disp) + disp) as u32;
        }
    });
}

/// Checked offsets in which the constants cancel out: `12 + 12 * (after - 1)` is `12 * after`. All are found before any is changed, since the
/// table of definitions counts operations.
fn cancel(f: &mut Function) {
    let defs = Defs::of(f);
    let checks = f.blocks.iter().flat_map(|b| &b.insts).filter_map(|inst| match inst.op {
        Op::Check { a, .. } => Some((inst.result?, Fold::cancelled(f, &defs, a)?)),
        _ => None,
    });
    for (result, fold) in checks.collect::<Vec<_>>() {
        let (product, new) = fold.product(f, result);
        // Its block is still right, its position may have moved.
        let block = defs.get(result).expect("the check was found there").block();
        let insts = &mut f.blocks[block.index()].insts;
        let at = insts.iter().position(|inst| inst.result == Some(result)).expect("no operation was removed");
        if let Op::Check { a, .. } = &mut insts[at].op {
            *a = product;
        }
        insts.splice(at..at, new);
    }
}

fn for_each_address(f: &mut Function, mut each: impl FnMut(&mut Addr)) {
    for inst in f.blocks.iter_mut().flat_map(|b| &mut b.insts) {
        match &mut inst.op {
            Op::Load { addr, .. } | Op::Varint { addr, .. } | Op::Store { addr, .. } => each(addr),
            Op::Copy { to, from, .. } => [to, from].into_iter().for_each(&mut each),
            _ => {}
        }
    }
}

/// A value as `base * scale + disp`, through exact sums with and products by numbers.
fn linear(f: &Function, defs: &Defs, v: Value) -> Option<(Value, i64, i64)> {
    let constant = |v: Value| f.value(v).range.as_const().and_then(|n| i64::try_from(n).ok());
    let Some(Op::Binary { op, mode: Mode::Exact, a, b }) = defs.op(f, v) else { return Some((v, 1, 0)) };
    let (inner, n) = match (constant(*a), constant(*b)) {
        (None, Some(n)) => (*a, n),
        (Some(n), None) if *op != BinOp::Sub => (*b, n),
        _ => return Some((v, 1, 0)),
    };
    let (base, scale, disp) = match op {
        BinOp::Add | BinOp::Sub | BinOp::Mul => linear(f, defs, inner)?,
        _ => return Some((v, 1, 0)),
    };
    match op {
        BinOp::Add => Some((base, scale, disp.checked_add(n)?)),
        BinOp::Sub => Some((base, scale, disp.checked_sub(n)?)),
        _ => Some((base, scale.checked_mul(n)?, disp.checked_mul(n)?)),
    }
}

/// An index as `base * scale + disp`.
#[derive(Clone, Copy)]
struct Fold {
    base: Value,
    scale: u64,
    disp: i64,
    /// Behind which operation the new index is made.
    place: Def,
}

impl Fold {
    /// For an index whose uses have this displacement at least; none if nothing is gained.
    fn of(f: &Function, defs: &Defs, index: Value, least: u32) -> Option<Fold> {
        let (base, scale, disp) = linear(f, defs, index).filter(|(base, ..)| *base != index)?;
        let gains = disp != 0 || !matches!(defs.op(f, index), Some(Op::Binary { a, .. }) if *a == base);
        let (old, new) = (f.value(index).range, f.value(base).range);
        let (scale_wide, disp_wide) = (i128::from(scale), i128::from(disp));
        // The evidence must reach as far as before, and no displacement may be negative or leave its field.
        let same = new.hi * scale_wide + disp_wide == old.hi && new.lo >= 0 && f.value(base).ty == Ty::U64;
        let fits = i64::from(least) + disp >= 0 && disp.abs() < 1 << 30;
        let fold = Fold { base, scale: scale as u64, disp, place: defs.get(index)? };
        (gains && same && fits && scale > 0).then_some(fold)
    }

    /// For an offset from which nothing is left to add, and which is made in more than one operation.
    fn cancelled(f: &Function, defs: &Defs, offset: Value) -> Option<Fold> {
        let fold = Fold::of(f, defs, offset, 0).filter(|fold| fold.disp == 0 && fold.scale > 1)?;
        (fold.range(f) == f.value(offset).range).then_some(fold)
    }

    fn apply(&self, f: &mut Function, index: Value) -> Value {
        if self.scale == 1 {
            return self.base;
        }
        let (product, new) = self.product(f, index);
        let Def::Inst(block, _) = self.place else { unreachable!("the index is made by an operation") };
        self.insert(f, block, index, new);
        product
    }

    /// What the base times the scale can be.
    fn range(&self, f: &Function) -> Range {
        range::mathematical(BinOp::Mul, f.value(self.base).range, Range::just(self.scale.into()))
    }

    /// The base times the scale, in the place of a value, and the operations that make it.
    fn product(&self, f: &mut Function, index: Value) -> (Value, [Inst; 2]) {
        let span = f.value(index).span;
        let factor = number(f, Ty::U64, self.scale.into(), span);
        let product = new_value(f, Ty::U64, self.range(f), span);
        let op = Op::Binary {
            op: BinOp::Mul,
            mode: Mode::Exact,
            a: self.base,
            b: factor.result.expect("a number is a value"),
        };
        (product, [factor, Inst { op, result: Some(product), span }])
    }

    fn insert(&self, f: &mut Function, block: Block, index: Value, new: [Inst; 2]) {
        let insts = &mut f.blocks[block.index()].insts;
        let at = insts.iter().position(|i| i.result == Some(index)).expect("defined there");
        insts.splice(at..at, new);
    }
}
