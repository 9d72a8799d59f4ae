//! Bytes and arrays as they are stored: how many there are, and their elements.

use super::view::{Context, Decoded};
use super::*;
use crate::check::layout::Extent;
use crate::ir::schema::Display;
use crate::ir::{BinOp, FaultKind, FoundAs, Region, Size, Value};

impl Lowerer<'_> {
    pub(super) fn decode_bytes(&mut self, n: &ast::Expr, display: Display, place: Place, ctx: &Context) -> Decoded {
        let Some(len) = self.size_in(ctx, n) else { return Decoded { val: Val::Never, end: None } };
        self.sized_bytes(len, display, place, ctx)
    }

    /// So many bytes at a place, which must lie within the limit.
    pub(super) fn sized_bytes(&mut self, len: Value, display: Display, place: Place, ctx: &Context) -> Decoded {
        let block_offset = ctx.offset_of_block(place);
        if let Some(n) = self.as_const(len)
            && let Ok(n) = u32::try_from(n)
        {
            let place = self.bounded(place, n, ctx);
            let end = self.offset_of(place.plus(n));
            let len = Len::Const(n);
            return Decoded { val: Val::Bytes(Bytes { place, len, max: n, display, block_offset }), end: Some(end) };
        }
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let fault = self.outside_of(&ctx.name, start);
        let checked = self.check(place.region, start, Size::Value(len), limit, fault);
        let max = self.claim(len).hi.min(self.claim(limit).hi).clamp(0, i128::from(crate::check::SIZE_MAX));
        let place = Place { origin: Origin::Plain(checked), index: None, disp: 0, ..place };
        let end = self.end_of_check(checked, len);
        let len = Len::Value(len);
        Decoded { val: Val::Bytes(Bytes { place, len, max: max as u32, display, block_offset }), end: Some(end) }
    }

    fn outside_of(&mut self, name: &str, at: Value) -> ir::FaultRef {
        let id =
            self.fault_id(FaultKind::Corrupt, format!("{name} lies outside its block"), FoundAs::Unsigned, self.span);
        ir::FaultRef { fault: id, found: None, at: Some(at) }
    }

    fn good_limit(&mut self, region: Region, ctx: &Context) -> Value {
        let whole = self.region_limit(region);
        if ctx.limit_evident || ctx.limit == whole {
            return ctx.limit;
        }
        let fault = self.outside_of(&ctx.name, ctx.limit);
        self.check(region, ctx.limit, Size::Const(0), whole, fault)
    }

    /// A place with evidence that `size` bytes from there lie within the limit of what they stand in.
    fn bounded(&mut self, place: Place, size: u32, ctx: &Context) -> Place {
        // What lies in the fixed part of a view was checked with it.
        if !matches!(place.origin, Origin::Plain(_)) {
            let anchored = self.anchor(place, size, &ctx.name);
            if anchored == place {
                return place;
            }
        }
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let fault = self.outside_of(&ctx.name, start);
        let checked = self.check(place.region, start, Size::Const(size), limit, fault);
        Place { origin: Origin::Checked(checked, size), index: None, disp: 0, ..place }
    }

    pub(super) fn bytes_to_end(&mut self, place: Place, ctx: &Context) -> Val {
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let len = self.room(place.region, start, limit, &ctx.name);
        let max = self.claim(limit).hi.clamp(0, i128::from(crate::check::SIZE_MAX)) as u32;
        let len = match self.as_const(len) {
            Some(n) => Len::Const(n as u32),
            None => Len::Value(len),
        };
        let max = if let Len::Const(n) = len { n } else { max };
        let block_offset = ctx.offset_of_block(place);
        Val::Bytes(Bytes { place, len, max, display: Display::Plain, block_offset })
    }

    /// The bytes from `start` to `limit`; it is corrupt to begin after it.
    fn room(&mut self, region: Region, start: Value, limit: Value, name: &str) -> Value {
        let fault = self.outside_of(name, start);
        let start = self.check(region, start, Size::Const(0), limit, fault);
        self.checked(BinOp::Sub, limit, start)
    }

    fn array(
        &mut self,
        element: &FieldTy,
        place: Place,
        count: Option<Value>,
        stride: Option<u32>,
        ctx: &Context,
    ) -> Val {
        let limit = self.good_limit(place.region, ctx);
        Val::Array(Shared::from(Array {
            view: ctx.view.clone(),
            element: FieldTyRef::new(element),
            place,
            count,
            stride,
            limit,
            limit_evident: true,
            name: ctx.name.clone(),
        }))
    }

    fn module_of(&self, ctx: &Context) -> ModuleId {
        ctx.view.as_ref().map_or_else(|| self.module(), |v| self.program.structs[v.def.index()].module)
    }

    pub(super) fn decode_array(&mut self, element: &FieldTy, n: &ast::Expr, place: Place, ctx: &Context) -> Decoded {
        let Some(count) = self.size_in(ctx, n) else { return Decoded { val: Val::Never, end: None } };
        let Extent::Const(stride) = self.program.extent(self.module_of(ctx), element) else {
            return self.decode_seq(element, Some(n), place, ctx);
        };
        let scale = self.number(i128::from(stride));
        let total = self.checked(BinOp::Mul, count, scale);
        if let Some(total) = self.as_const(total).and_then(|t| u32::try_from(t).ok()) {
            let place = self.bounded(place, total, ctx);
            let end = self.offset_of(place.plus(total));
            return Decoded { val: self.array(element, place, Some(count), Some(stride), ctx), end: Some(end) };
        }
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let fault = self.outside_of(&ctx.name, start);
        let checked = self.check(place.region, start, Size::Value(total), limit, fault);
        let end = self.end_of_check(checked, total);
        let place = Place { origin: Origin::Plain(checked), index: None, disp: 0, ..place };
        Decoded { val: self.array(element, place, Some(count), Some(stride), ctx), end: Some(end) }
    }

    pub(super) fn array_to_end(&mut self, element: &FieldTy, place: Place, ctx: &Context) -> Val {
        let Extent::Const(stride) = self.program.extent(self.module_of(ctx), element) else {
            return self.array(element, place, None, None, ctx);
        };
        let start = self.offset_of(place);
        let limit = self.good_limit(place.region, ctx);
        let room = self.room(place.region, start, limit, &ctx.name);
        let unit = self.number(i128::from(stride.max(1)));
        let count = self.exact(BinOp::Div, room, unit);
        self.array(element, place, Some(count), Some(stride), ctx)
    }

    pub(super) fn decode_seq(
        &mut self,
        element: &FieldTy,
        n: Option<&ast::Expr>,
        place: Place,
        ctx: &Context,
    ) -> Decoded {
        let count = match n {
            Some(n) => match self.size_in(ctx, n) {
                Some(v) => Some(v),
                None => return Decoded { val: Val::Never, end: None },
            },
            None => None,
        };
        let end = if count.is_none() { Some(ctx.limit) } else { None };
        Decoded { val: self.array(element, place, count, None, ctx), end }
    }

    /// The bytes of an array of so many scalars.
    pub(super) fn bytes_of_array(&mut self, array: &Array) -> Option<Bytes> {
        let n = u32::try_from(self.as_const(array.count?)?).ok()?.checked_mul(array.stride?)?;
        let scalar = matches!(*array.element.ty, FieldTy::Scalar { .. }) && n > 0;
        let (place, len) = (array.place, Len::Const(n));
        scalar.then_some(Bytes { place, len, max: n, display: Display::Plain, block_offset: None })
    }

    /// Bytes of known length as an array of scalars.
    pub(super) fn array_of_bytes(&mut self, b: Bytes, element: &FieldTy, name: String) -> Val {
        let FieldTy::Scalar { width, .. } = element else { return Val::Never };
        let count = self.number(i128::from(b.max / u32::from(*width)));
        let end = self.offset_of(b.place.plus(b.max));
        Val::Array(Shared::from(Array {
            view: None,
            element: FieldTyRef::new(element),
            place: b.place,
            count: Some(count),
            stride: Some(u32::from(*width)),
            limit: end,
            limit_evident: false,
            name,
        }))
    }

    /// `array[i]`.
    pub(super) fn element(&mut self, array: &Shared<Array>, (i, i_span): (Value, Span), span: Span) -> Val {
        if self.is_stale(array.place) {
            let message = format!(
                "expected an array that is still there, found {}, whose block was replaced by a later read",
                array.name
            );
            let mut d = Diagnostic::error("E0305", span, message, "its block is gone");
            d.help = Some(format!(
                "up to 64 bytes of numbers are kept; of {} copy the elements that are needed before the read, or read the block again",
                array.name
            ));
            self.report(d);
            return Val::Never;
        }
        let (Some(count), Some(stride)) = (array.count, array.stride) else {
            let mut d = Diagnostic::error(
                "E0301",
                span,
                format!("expected an array of equal elements, found {}, whose elements say their own size", array.name),
                "has no index",
            );
            d.help = Some("run over it: `for e in …`".into());
            self.report(d);
            return Val::Never;
        };
        self.prove_below(i, count, i_span);
        self.span = span;
        let scale = self.number(i128::from(stride));
        let offset = self.checked(BinOp::Mul, i, scale);
        let total = self.as_const(count).map(|n| n * i128::from(stride));
        let covered = match (array.place.origin, total) {
            (Origin::Start, Some(t)) => {
                i128::from(array.place.disp) + t + i128::from(array.place.index.map_or(0, |x| x.1))
                    <= i128::from(self.sure_bytes(array.place.region))
            }
            (Origin::Checked(_, n), Some(t)) => {
                i128::from(array.place.disp) + t + i128::from(array.place.index.map_or(0, |x| x.1)) <= i128::from(n)
            }
            _ => false,
        };
        let place = if let (true, Some(total)) = (covered, total) {
            let most = (total - i128::from(stride)).max(0) as u32;
            let index = match array.place.index {
                Some((outer, outer_most)) => (self.checked(BinOp::Add, outer, offset), outer_most + most),
                None => (offset, most),
            };
            Place { index: Some(index), ..array.place }
        } else {
            let start = self.offset_of(array.place);
            let at = self.checked(BinOp::Add, start, offset);
            Place { origin: Origin::Plain(at), index: None, disp: 0, ..array.place }
        };
        let zero = self.number(0);
        let ctx = Context {
            view: array.view.clone(),
            limit: array.limit,
            limit_evident: array.limit_evident,
            block_offset: array.view.as_ref().map_or(zero, |v| v.block_offset),
            name: array.name.clone(),
            whole: false,
        };
        let ty = array.element.ty.clone();
        self.body_types.push(ty.clone());
        self.decode(&ty, place, &ctx, span).val
    }
}
