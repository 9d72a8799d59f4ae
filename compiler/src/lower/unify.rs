//! Making values of several flows alike, so that one value can stand for them after a join.

use super::flow::Flow;
use super::*;
use crate::ir::Region;

impl Lowerer<'_> {
    /// Runs `f` with the point of emission at the end of another flow.
    pub(super) fn in_flow<T>(&mut self, flow: &mut Flow, f: impl FnOnce(&mut Self) -> T) -> T {
        std::mem::swap(&mut self.flow, flow);
        self.b.switch_to(self.flow.block);
        let out = self.scoped(f);
        std::mem::swap(&mut self.flow, flow);
        out
    }

    /// Gives corresponding variables and temporaries of all flows one shape; says of each whether it was the same in all.
    pub(super) fn unify(&mut self, flows: &mut [Flow], span: Span) -> Vec<bool> {
        let locals = flows.iter().map(|f| f.locals.len()).min().unwrap_or(0);
        let temps = flows.iter().map(|f| f.temps.len()).min().unwrap_or(0);
        let even = flows.iter().all(|f| f.locals.len() == locals && f.temps.len() == temps);
        assert!(even || !self.diagnostics.is_empty(), "joined flows have the same variables");
        for f in flows.iter_mut() {
            // Only after a reported error may they differ.
            f.locals.truncate(locals);
            f.temps.truncate(temps);
        }
        let mut alike = Vec::with_capacity(locals + temps);
        for i in 0..locals + temps {
            alike.push(flows.iter().all(|f| f.has_same(&flows[0], i)));
            if alike[i] {
                continue;
            }
            let column = flows.iter_mut().map(|f| std::mem::replace(f.val_mut(i), Val::Unit)).collect();
            let column = self.unify_column(flows, column, span);
            for (f, v) in flows.iter_mut().zip(column) {
                *f.val_mut(i) = v;
            }
        }
        alike
    }

    fn unify_column(&mut self, flows: &mut [Flow], mut column: Vec<Val>, span: Span) -> Vec<Val> {
        let n = column.len();
        if column.iter().any(|v| matches!(v, Val::Never)) {
            return vec![Val::Never; n];
        }
        if column.iter().any(|v| matches!(v, Val::None | Val::Option(..))) {
            return self.unify_options(flows, column, span);
        }
        for v in &mut column {
            if let Val::Pointer(p, ty, _) = v {
                *v = Val::Int(*p, *ty);
            }
        }
        if column.iter().all(|v| matches!(v, Val::Int(..))) {
            return self.unify_ints(flows, column, span);
        }
        if column.iter().all(|v| matches!(v, Val::Bytes(_))) {
            return self.unify_bytes(flows, column, span);
        }
        if matches!(column[0], Val::View(_)) && column.iter().all(|v| v.same_shape(&column[0])) {
            return column;
        }
        if let Val::View(first) = &column[0]
            && column.iter().all(|v| matches!(v, Val::View(w) if w.def == first.def))
        {
            return self.unify_views(flows, column, span);
        }
        if let Val::Record(id, _) = column[0]
            && column.iter().all(|v| matches!(v, Val::Record(other, _) if *other == id))
        {
            return self.unify_records(flows, column, id, span);
        }
        if column.iter().all(|v| v.same_shape(&column[0])) {
            return column;
        }
        let other = column.iter().find(|v| !v.same_shape(&column[0])).expect("not all are alike");
        let (a, b) = (self.describe(&column[0]), self.describe(other));
        self.error(
            "E0301",
            span,
            format!("expected one type on all ways to here, found {a} and {b}"),
            "the ways meet here",
        );
        vec![Val::Never; n]
    }

    fn unify_records(&mut self, flows: &mut [Flow], column: Vec<Val>, id: RecordId, span: Span) -> Vec<Val> {
        let rows: Vec<Vec<Val>> =
            column.into_iter().map(|v| if let Val::Record(_, f) = v { f.take() } else { Vec::new() }).collect();
        let mut out: Vec<Vec<Val>> = vec![Vec::new(); rows.len()];
        for field in 0..rows[0].len() {
            let column = rows.iter().map(|r| r[field].clone()).collect();
            for (o, v) in out.iter_mut().zip(self.unify_column(flows, column, span)) {
                o.push(v);
            }
        }
        out.into_iter().map(|f| Val::Record(id, f.into())).collect()
    }

    fn unify_ints(&mut self, flows: &mut [Flow], column: Vec<Val>, span: Span) -> Vec<Val> {
        let types: Vec<IntTy> = column.iter().map(|v| if let Val::Int(_, t) = v { *t } else { IntTy::U64 }).collect();
        let joined = types.iter().map(|t| t.range()).fold(Range::new(1, 0), Range::join);
        let claims = column.iter().flat_map(Val::parts).map(|v| self.claim(v)).fold(Range::new(1, 0), Range::join);
        let Some(mut ty) = IntTy::holding(joined).or_else(|| IntTy::holding(claims)) else {
            self.error(
                "E0301",
                span,
                "expected numbers that one 64-bit type holds",
                "one way gives a u64, another a negative number",
            );
            return vec![Val::Never; column.len()];
        };
        if types.iter().all(|t| *t == types[0]) {
            ty = types[0];
        }
        let pairs = column.into_iter().zip(flows);
        pairs
            .map(|(v, flow)| {
                self.in_flow(flow, |l| if let Val::Int(v, _) = v { Val::Int(l.cast(v, ir_ty(ty)), ty) } else { v })
            })
            .collect()
    }

    fn unify_options(&mut self, flows: &mut [Flow], column: Vec<Val>, span: Span) -> Vec<Val> {
        let Some(like) = column.iter().find_map(|v| match v {
            Val::Option(_, inner) => Some((**inner).clone()),
            Val::None => None,
            other => Some(other.clone()),
        }) else {
            return column;
        };
        let mut present = Vec::new();
        let mut inner = Vec::new();
        for (v, flow) in column.into_iter().zip(flows.iter_mut()) {
            let (p, i) = self.in_flow(flow, |l| match v {
                Val::Option(p, i) => (p, i.take()),
                Val::None => (l.truth(false), l.blank(&like)),
                other => (l.truth(true), other),
            });
            present.push(p);
            inner.push(i);
        }
        let same = inner.iter().all(|v| *v == inner[0]);
        let inner = if same { inner } else { self.unify_column(flows, inner, span) };
        present.into_iter().zip(inner).map(|(p, i)| Val::Option(p, Shared::from(i))).collect()
    }

    /// A value of the same shape that nobody looks at: zeros.
    pub(super) fn blank(&mut self, like: &Val) -> Val {
        let mut out = like.clone();
        let mut zeros: FxHashMap<ir::Ty, ir::Value> = FxHashMap::default();
        for ty in [ir::Ty::U64, ir::Ty::I64, ir::Ty::Bool] {
            let zero = self.number_as(0, ty);
            zeros.insert(ty, zero);
        }
        let b = &self.b;
        out.map_parts(&mut |v| zeros[&b.function().value(v).ty]);
        out.forget_evidence();
        out
    }

    fn unify_bytes(&mut self, flows: &mut [Flow], column: Vec<Val>, span: Span) -> Vec<Val> {
        let all: Vec<Bytes> =
            column.iter().filter_map(|v| if let Val::Bytes(b) = v { Some(*b) } else { None }).collect();
        let region = all[0].place.region;
        let max = all.iter().map(|b| b.max).max().unwrap_or(0);
        let one_region = all.iter().all(|b| b.place.region == region);
        let one_len = all.iter().all(|b| b.len == all[0].len && matches!(b.len, Len::Const(_)));
        // Bytes that stand in different memories, or in blocks of which one may be gone, meet in a slot of their own.
        let one_block = region != Region::Disk
            || flows.iter().zip(&all).all(|(f, b)| f.disk.is_some_and(|d| d.generation == b.place.generation));
        let alike = all.iter().all(|b| b.place.same_shape(&all[0].place));
        let slot = if one_region && one_block { None } else { self.slot_for(max, span) };
        if !(one_region && one_block) && slot.is_none() {
            return vec![Val::Never; column.len()];
        }
        let everywhere = all.iter().all(|b| b.block_offset.is_some()) && slot.is_none();
        let mut out = Vec::new();
        for (mut b, flow) in all.into_iter().zip(flows) {
            b.block_offset = b.block_offset.filter(|_| everywhere);
            let v = self.in_flow(flow, |l| {
                if let Some(slot) = slot {
                    b = l.copy_to_slot(b, slot);
                } else if !alike {
                    let at = l.offset_of(b.place);
                    b.place = Place { origin: Origin::Plain(at), index: None, disp: 0, ..b.place };
                }
                if !one_len {
                    b.len = Len::Value(l.len_value(b.len));
                }
                b.max = max;
                Val::Bytes(b)
            });
            out.push(v);
        }
        out
    }

    fn unify_views(&mut self, flows: &mut [Flow], column: Vec<Val>, span: Span) -> Vec<Val> {
        let mut views: Vec<Shared<View>> =
            column.into_iter().filter_map(|v| if let Val::View(w) = v { Some(w) } else { None }).collect();
        let current = |f: &Flow, w: &Shared<View>| {
            w.place.region != Region::Disk || f.disk.is_some_and(|d| d.generation == w.place.generation)
        };
        let stale = flows.iter().zip(&views).any(|(f, w)| !current(f, w));
        let alike = !stale
            && views
                .iter()
                .all(|w| Place { generation: 0, ..w.place }.same_shape(&Place { generation: 0, ..views[0].place }));
        for (w, flow) in views.iter_mut().zip(flows.iter_mut()) {
            let is_current = current(flow, w);
            self.in_flow(flow, |l| {
                if stale && is_current {
                    l.keep_members(w, None);
                    w.place.generation = 0;
                }
                if !alike {
                    let at = l.offset_of(w.place);
                    w.place = Place { origin: Origin::Plain(at), index: None, disp: 0, ..w.place };
                }
            });
        }
        if stale {
            let names: Vec<String> = views[0].kept.iter().map(|(n, _)| n.clone()).collect();
            let common: Vec<String> =
                names.into_iter().filter(|n| views.iter().all(|w| w.kept.iter().any(|(m, _)| m == n))).collect();
            views.iter_mut().for_each(|w| w.kept.retain(|(n, _)| common.contains(n)));
        } else {
            views.iter_mut().for_each(|w| w.kept.clear());
        }
        for i in 0..views[0].args.len() {
            let column = views.iter().map(|w| w.args[i].clone()).collect();
            for (w, v) in views.iter_mut().zip(self.unify_column(flows, column, span)) {
                w.args[i] = v;
            }
        }
        for i in 0..views[0].kept.len() {
            let name = views[0].kept[i].0.clone();
            let column =
                views.iter().filter_map(|w| w.kept.iter().find(|(n, _)| *n == name)).map(|(_, v)| v.clone()).collect();
            for (w, v) in views.iter_mut().zip(self.unify_column(flows, column, span)) {
                match w.kept.iter_mut().find(|(n, _)| *n == name) {
                    Some(entry) => entry.1 = v,
                    None => w.kept.push((name.clone(), v)),
                }
            }
        }
        let id = self.new_view_id();
        views
            .into_iter()
            .map(|mut w| {
                w.id = id;
                Val::View(w)
            })
            .collect()
    }

    pub(super) fn new_view_id(&mut self) -> u32 {
        self.next_view += 1;
        self.next_view
    }
}
