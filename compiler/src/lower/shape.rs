//! Shapes: what a variable looks like at the start of each turn of a loop. It gets the loosest one of its type before the loop, and is brought into it at the
//! end of a turn.

use super::loops::Plan;
use super::*;

impl Lowerer<'_> {
    /// Gives an assigned variable the loosest shape of its type, so that every turn's value fits.
    pub(super) fn generalise(&mut self, i: usize, span: Span) {
        let val = self.flow.locals[i].val.clone();
        let typed = self.flow.locals[i].ty.is_some();
        let new = self.generalised(val, typed, span);
        self.flow.locals[i].val = new;
    }

    fn generalised(&mut self, val: Val, typed: bool, span: Span) -> Val {
        match val {
            Val::View(mut w) => {
                if !self.is_stale(w.place) {
                    let at = self.offset_of(w.place);
                    w.place = Place { origin: Origin::Plain(at), index: None, disp: 0, ..w.place };
                    w.kept.clear();
                }
                Val::View(w)
            }
            Val::Bytes(b) => match self.slot_for(b.max, span) {
                Some(slot) => {
                    let b = self.copy_to_slot(b, slot);
                    let len = match b.len {
                        Len::Const(n) if !typed || b.max == n => Len::Const(n),
                        other => Len::Value(self.len_value(other)),
                    };
                    Val::Bytes(Bytes { len, ..b })
                }
                None => Val::Never,
            },
            Val::Buffer(b) => Val::Buffer(Bytes { len: Len::Value(self.len_value(b.len)), ..b }),
            Val::Record(id, fields) => {
                Val::Record(id, fields.take().into_iter().map(|f| self.generalised(f, true, span)).collect())
            }
            Val::Option(present, inner) => {
                let inner = self.generalised(inner.take(), typed, span);
                Val::Option(present, Shared::from(inner))
            }
            other => other,
        }
    }

    /// At the end of a turn a variable has as many parts as at its start; after an error that was reported, any.
    pub(super) fn keep_shape(&mut self, i: usize, wanted: &Val) {
        let local = &self.flow.locals[i];
        if local.val.part_count() == wanted.part_count() {
            return;
        }
        let (name, val) = (&local.name, &local.val);
        assert!(!self.diagnostics.is_empty(), "`{name}` keeps its shape through a turn: {wanted:?}, {val:?}");
        self.doubt();
        let parts: Vec<ir::Value> = wanted.parts().iter().map(|v| self.number_as(0, self.ty(*v))).collect();
        self.flow.locals[i].val = wanted.with_parts(&mut parts.into_iter());
    }

    /// Makes an assigned variable fit the shape with which the loop began.
    pub(super) fn reshape(&mut self, i: usize, wanted: &Val, plan: &Plan) {
        let val = self.flow.locals[i].val.clone();
        let name = self.flow.locals[i].name.clone();
        let Some(new) = self.shaped(val, wanted, &name, plan) else { return };
        if !new.same_shape(wanted) && !matches!(new, Val::Never) && !matches!(wanted, Val::Never) {
            let (a, b) = (self.describe(wanted), self.describe(&new));
            let mut d = Diagnostic::error(
                "E0301",
                plan.span,
                format!("expected `{name}` to be {a} at the end of each turn, found {b}"),
                "of another type in a later turn",
            );
            if matches!(wanted, Val::None) {
                d.help = Some(format!("say its type: `var {name}: T? = none;`"));
            }
            self.report(d);
        }
        self.flow.locals[i].val = new;
    }

    /// A value in the shape of another; none after an error.
    fn shaped(&mut self, val: Val, wanted: &Val, name: &str, plan: &Plan) -> Option<Val> {
        Some(match (val, wanted) {
            (Val::View(mut w), Val::View(h)) if w.def == h.def => {
                if self.is_stale(w.place) && plan.reads && h.place.generation != 0 {
                    let message =
                        format!("expected `{name}` to be of the block read last, found a later read in the same turn");
                    let d = Diagnostic::error(
                        "E0305",
                        plan.span,
                        message,
                        "at the end of this loop's body its block is gone",
                    );
                    self.report(
                        d.help(format!("assign `{name}` after the other read, or copy what is needed from it")),
                    );
                    return None;
                }
                let at = self.offset_of(w.place);
                w.place = Place { origin: Origin::Plain(at), index: None, disp: 0, ..h.place };
                w.kept.clear();
                w.args = w.args.iter().zip(&h.args).map(|(a, b)| self.like(a.clone(), b)).collect();
                Val::View(w)
            }
            (Val::Bytes(b) | Val::Buffer(b), Val::Bytes(h)) => match h.place.region {
                ir::Region::Slot(slot) if b.max <= h.max => {
                    let b = self.copy_to_slot(b, slot);
                    let len = match h.len {
                        Len::Const(n) => Len::Const(n),
                        Len::Value(_) => Len::Value(self.len_value(b.len)),
                    };
                    Val::Bytes(Bytes { len, ..*h })
                }
                _ => {
                    let message = format!("expected at most {} bytes in `{name}`, found up to {}", h.max, b.max);
                    self.error("E0301", plan.span, message, "longer in a later turn")
                }
            },
            (Val::Buffer(b), Val::Buffer(_)) => Val::Buffer(Bytes { len: Len::Value(self.len_value(b.len)), ..b }),
            (Val::Record(id, fields), Val::Record(other, shapes)) if id == *other => {
                let pairs = fields.take().into_iter().zip(shapes.iter());
                Val::Record(id, pairs.map(|(f, s)| self.shaped(f, s, name, plan)).collect::<Option<_>>()?)
            }
            (Val::Option(present, inner), Val::Option(_, shape)) => {
                let inner = self.shaped(inner.take(), shape, name, plan)?;
                Val::Option(present, Shared::from(inner))
            }
            (val, h) => self.like(val, h),
        })
    }

    /// A scalar with the SSA type of another.
    fn like(&mut self, val: Val, wanted: &Val) -> Val {
        match (val, wanted) {
            (Val::Int(v, t) | Val::Pointer(v, t, _), Val::Int(w, wt)) => {
                let _ = t;
                let ty = self.ty(*w);
                Val::Int(self.fit(v, ty, self.span), *wt)
            }
            (Val::None, Val::Option(..)) => {
                let absent = self.truth(false);
                let Val::Option(_, inner) = wanted else { return Val::None };
                let blank = self.blank(inner);
                Val::Option(absent, Shared::from(blank))
            }
            (val, _) => val,
        }
    }
}

/// What is sure of each part of a variable, whatever is assigned to it: what its type holds.
pub(super) fn assigned_ranges(local: &flow::Local) -> Vec<Option<Range>> {
    fn of_record(val: &Val, out: &mut Vec<Option<Range>>) {
        match val {
            Val::Int(_, t) => out.push(Some(t.range())),
            Val::Record(_, fields) => fields.iter().for_each(|f| of_record(f, out)),
            other => out.extend(other.parts().iter().map(|_| None)),
        }
    }
    match (&local.ty, &local.val) {
        (Some(Ty::Int(t)), _) => vec![Some(local.bound.unwrap_or(t.range()))],
        (_, record @ Val::Record(..)) => {
            let mut out = Vec::new();
            of_record(record, &mut out);
            out
        }
        _ => Vec::new(),
    }
}
