//! The second round: types, signatures, enums, records; then structures by [`super::layout`].

use super::*;
use crate::ir::Endian;
use crate::ir::schema::Display;
use ast::TypeKind;
use std::sync::Arc;

/// The integer type that a name like `u32`, `i16be`, `time32` or `mode16le` stands for, with its byte order where the name says one.
pub fn builtin_int(name: &str) -> Option<(IntTy, Option<Endian>)> {
    let (stem, endian) = match name.strip_suffix("le") {
        Some(stem) => (stem, Some(Endian::Little)),
        None => match name.strip_suffix("be") {
            Some(stem) => (stem, Some(Endian::Big)),
            None => (name, None),
        },
    };
    let digits = stem.find(|c: char| c.is_ascii_digit())?;
    let (word, bits) = stem.split_at(digits);
    let bits: u8 = bits.parse().ok().filter(|b| (8..=64).contains(b) && b % 8 == 0)?;
    let (signed, display) = match word {
        "u" => (false, Display::Plain),
        "i" => (true, Display::Plain),
        "time" if bits == 32 || bits == 64 => (bits == 64, Display::Time),
        "mode" if bits == 16 || bits == 32 => (false, Display::Mode),
        "size" if bits == 32 || bits == 64 => (false, Display::Size),
        _ => return None,
    };
    Some((IntTy { bits, signed, display }, endian))
}

/// Numbers and byte strings of a record, at most: each of them is a value of its own wherever a walk takes or gives the record.
const RECORD_LEAVES_MAX: u64 = 4096;
/// How deep records may lie in one another.
const RECORD_DEPTH_MAX: u64 = 64;

/// Whether it is known what a record takes.
#[derive(Clone, Copy)]
enum Bound {
    New,
    /// It is being counted: who meets it again has found a circle.
    Open,
    Known(Taken),
}

/// What a type takes where it is a parameter or a result.
#[derive(Clone, Copy, Default)]
struct Taken {
    leaves: u64,
    bytes: u64,
    depth: u64,
    circle: bool,
}

impl Taken {
    fn of(bytes: u64) -> Taken {
        Taken { leaves: 1, bytes, ..Taken::default() }
    }

    fn add(&mut self, other: Taken) {
        self.leaves = self.leaves.saturating_add(other.leaves);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.depth = self.depth.max(other.depth);
        self.circle |= other.circle;
    }
}

impl Checker<'_> {
    pub(super) fn resolver(&mut self) -> Resolver<'_> {
        Resolver { program: &self.program, sources: self.sources, diagnostics: &mut self.diagnostics }
    }

    pub(super) fn resolve_type(&mut self, module: ModuleId, ty: &ast::Type) -> Ty {
        self.resolver().resolve_type(module, ty)
    }

    pub(super) fn resolve_field_type(&mut self, module: ModuleId, ty: &ast::Type, order: Option<Endian>) -> FieldTy {
        self.resolver().resolve_field_type(module, ty, order)
    }

    pub(super) fn const_int(&mut self, module: ModuleId, e: &ast::Expr) -> Option<i128> {
        self.resolver().const_int(module, e)
    }

    pub(super) fn const_size(&mut self, module: ModuleId, e: &ast::Expr) -> u32 {
        self.resolver().const_size(module, e)
    }

    pub(super) fn resolve_all(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        // Named numbers first: constants and sizes may use their items.
        for (module, syntax) in &pending {
            for item in &syntax.items {
                self.resolve_named_bits(*module, item);
            }
        }
        for (module, syntax) in &pending {
            for item in &syntax.items {
                if let ast::Item::Record(r) = item {
                    self.resolve_record(*module, r);
                }
            }
        }
        self.bound_records();
        for (module, syntax) in &pending {
            for item in &syntax.items {
                match item {
                    ast::Item::Const(c) => self.resolve_const(*module, c),
                    ast::Item::Fn(f) => {
                        if let Some(id) =
                            self.own(*module, &f.name, |d| if let Def::Fn(id) = d { Some(id) } else { None })
                        {
                            self.resolve_fn(id);
                        }
                    }
                    ast::Item::Traversal(t) => self.resolve_traversal(*module, t),
                    ast::Item::Struct(s) => self.resolve_struct_head(*module, s),
                    _ => {}
                }
            }
        }
        for (module, syntax) in &pending {
            for item in &syntax.items {
                if let ast::Item::Struct(s) = item {
                    let id = self.own(*module, &s.name, |d| if let Def::Struct(id) = d { Some(id) } else { None });
                    if let Some(id) = id {
                        self.lay_out(id, s);
                    }
                }
            }
        }
    }

    /// The id under which a module's own item was declared, unless it lost its name to an earlier one.
    fn own<T>(&self, module: ModuleId, name: &ast::Ident, pick: impl Fn(Def) -> Option<T>) -> Option<T> {
        let (def, span) = self.program.modules[module.index()].names.get(&name.name)?;
        if *span == name.span { pick(*def) } else { None }
    }

    fn resolve_named_bits(&mut self, module: ModuleId, item: &ast::Item) {
        let (name, repr, items) = match item {
            ast::Item::Enum(e) => (&e.name, &e.repr, &e.items),
            ast::Item::Flags(f) => (&f.name, &f.repr, &f.items),
            _ => return,
        };
        let Some(def) = self.own(module, name, Some) else { return };
        let (int, endian) = match self.resolve_field_type(module, repr, None) {
            FieldTy::Scalar { scalar: Scalar::Int(int), .. } => (int, self.explicit_endian(repr)),
            FieldTy::Error => (IntTy::U64, None),
            _ => {
                self.error("E0301", repr.span, "expected an integer type", "this does not hold the values");
                (IntTy::U64, None)
            }
        };
        let mut values: Vec<(String, u64)> = Vec::new();
        for item in items {
            let Some(n) = self.const_int(module, &item.value) else { continue };
            if !int.range().contains(crate::ir::Range::just(n)) {
                self.error("E0303", item.value.span, format!("expected a value of {int}, found {n}"), "does not fit");
                continue;
            }
            if values.iter().any(|(other, _)| *other == item.name.name) {
                self.error(
                    "E0202",
                    item.name.span,
                    format!("expected one `{}`, found two", item.name.name),
                    "again here",
                );
                continue;
            }
            values.push((item.name.name.clone(), n as u64));
        }
        let table = match def {
            Def::Enum(id) => &mut self.program.enums[id.index()],
            Def::Flags(id) => &mut self.program.flags[id.index()],
            _ => return,
        };
        table.bits = int.bits;
        table.endian = endian;
        table.items = values;
    }

    fn explicit_endian(&self, ty: &ast::Type) -> Option<Endian> {
        match &ty.kind {
            TypeKind::Named { path, .. } => builtin_int(&path.last()?.name)?.1,
            _ => None,
        }
    }

    fn resolve_const(&mut self, module: ModuleId, c: &ast::Const) {
        let Some(Def::Const(id)) = self.own(module, &c.name, Some) else { return };
        if let Some(ty) = &c.ty {
            let element = match &ty.kind {
                TypeKind::Array(element, _) => element,
                _ => ty,
            };
            if let FieldTy::Scalar { scalar: Scalar::Int(int), .. } = self.resolve_field_type(module, element, None) {
                self.program.consts[id.index()].ty = Some(int);
            }
        }
        let failure = match self.program.constant(id) {
            Ok(_) => return,
            Err(f) => f,
        };
        // It has no value yet: there was an error.
        let _ = self.program.consts[id.index()].value.set(ConstValue::Error);
        match failure {
            NotConst::Reported => {}
            NotConst::Runtime(span) => {
                let what = self.sources.text(span).to_string();
                self.error(
                    "E0302",
                    span,
                    format!("expected a constant, found `{what}`"),
                    "known only at run time, or not declared",
                );
            }
            NotConst::Wrong(span, why) => {
                self.error("E0302", span, why, "in this constant");
            }
        }
    }

    fn resolve_record(&mut self, module: ModuleId, r: &ast::Record) {
        let Some(Def::Record(id)) = self.own(module, &r.name, Some) else { return };
        let mut fields: Vec<(String, Ty, Option<ast::Expr>)> = Vec::new();
        for f in &r.fields {
            if fields.iter().any(|(n, ..)| *n == f.name.name) {
                self.error(
                    "E0202",
                    f.name.span,
                    format!("expected one field `{}`, found two", f.name.name),
                    "again here",
                );
            }
            let ty = self.resolve_type(module, &f.ty);
            fields.push((f.name.name.clone(), ty, f.cond.clone()));
        }
        self.program.records[id.index()].fields = fields;
        for f in &r.fns {
            let method = self.add_method(module, f, Ty::Record(id));
            self.program.records[id.index()].methods.insert(f.name.name.clone(), method);
        }
    }

    /// Refuses records that contain themselves, and those that are too large or too deep: they are counted through the records in them, whose
    /// number may double from each to the next. What is refused keeps no fields, so nobody spreads it out.
    fn bound_records(&mut self) {
        let mut known = vec![Bound::New; self.program.records.len()];
        for index in 0..known.len() {
            self.bound_record(RecordId(index as u32), &mut known);
        }
    }

    /// What a record takes; nothing for one that is refused.
    fn bound_record(&mut self, id: RecordId, known: &mut [Bound]) -> Taken {
        match known[id.index()] {
            Bound::Known(taken) => return taken,
            Bound::Open => return Taken { circle: true, ..Taken::default() },
            Bound::New => known[id.index()] = Bound::Open,
        }
        let mut all = Taken::default();
        let fields: Vec<Ty> = self.program.records[id.index()].fields.iter().map(|(_, ty, _)| ty.clone()).collect();
        for mut ty in fields {
            while let Ty::Option(of) = ty {
                all.add(Taken::of(8));
                ty = *of;
            }
            all.add(match ty {
                Ty::Record(r) => self.bound_record(r, known),
                Ty::Bytes { max, .. } | Ty::Buffer(max) => Taken::of(8 + u64::from(max).next_multiple_of(8)),
                _ => Taken::of(8),
            });
        }
        all.depth += 1;
        let (span, name) = (self.program.records[id.index()].span, self.program.records[id.index()].name.clone());
        let refused = if all.circle {
            Some(("E0301", "expected a type that does not contain itself".into(), "a record in itself"))
        } else if all.leaves > RECORD_LEAVES_MAX || all.bytes > u64::from(SIZE_MAX) || all.depth > RECORD_DEPTH_MAX {
            let message = format!(
                "expected a record of at most {RECORD_LEAVES_MAX} numbers and {SIZE_MAX} bytes, {RECORD_DEPTH_MAX} deep, \
                 found `{name}` of {} and {}, {} deep",
                all.leaves, all.bytes, all.depth
            );
            Some(("E0303", message, "too large, with the records in it"))
        } else {
            None
        };
        if let Some((code, message, label)) = refused {
            self.program.records[id.index()].fields.clear();
            self.error(code, span, message, label);
            all = Taken::default();
        }
        known[id.index()] = Bound::Known(all);
        all
    }

    pub(super) fn add_method(&mut self, module: ModuleId, f: &Arc<ast::Fn>, of: Ty) -> FnId {
        let def = FnDef { module, of: Some(of), params: Vec::new(), result: Ty::Error, syntax: f.clone() };
        self.program.fns.push(def);
        let id = FnId(self.program.fns.len() as u32 - 1);
        self.resolve_fn(id);
        id
    }

    fn resolve_fn(&mut self, id: FnId) {
        let (module, syntax) = (self.program.fns[id.index()].module, self.program.fns[id.index()].syntax.clone());
        let params = self.resolve_params(module, &syntax.params);
        let result = self.resolve_type(module, &syntax.result);
        let def = &mut self.program.fns[id.index()];
        def.params = params;
        def.result = result;
    }

    fn resolve_params(&mut self, module: ModuleId, params: &[ast::Param]) -> Vec<(String, Ty)> {
        let mut out: Vec<(String, Ty)> = Vec::new();
        for p in params {
            if out.iter().any(|(n, _)| *n == p.name.name) {
                self.error(
                    "E0202",
                    p.name.span,
                    format!("expected one parameter `{}`, found two", p.name.name),
                    "again here",
                );
            }
            let ty = self.resolve_type(module, &p.ty);
            out.push((p.name.name.clone(), ty));
        }
        out
    }

    fn resolve_traversal(&mut self, module: ModuleId, t: &ast::Traversal) {
        let Some(Def::Traversal(id)) = self.own(module, &t.name, Some) else { return };
        let params = self.resolve_params(module, &t.params);
        let mut defaults = Vec::new();
        for p in &t.params {
            defaults.push(p.default.as_ref().and_then(|d| self.resolve_default(module, d)));
        }
        for ((_, ty), p) in params.iter().zip(&t.params) {
            if self.program.schema(ty).is_none() && *ty != Ty::Error {
                let found = self.program.describe(ty);
                self.error(
                    "E0301",
                    p.ty.span,
                    format!("expected a type that a caller can give, found {found}"),
                    "not a parameter's type",
                );
            }
        }
        let (result, stream) = match t.result.as_ref().map(|r| (r, self.resolve_type(module, r))) {
            None => (Ty::Unit, false),
            Some((_, Ty::Stream(row))) => (*row, true),
            Some((_, ty)) => (ty, false),
        };
        if self.program.schema(&result).is_none() && result != Ty::Error {
            let found = self.program.describe(&result);
            let span = t.result.as_ref().map_or(t.span, |r| r.span);
            self.error(
                "E0301",
                span,
                format!("expected a type that can leave a walk, found {found}"),
                "not a result's type",
            )
            .help = Some("give back a record with the fields that are wanted".into());
        }
        let area = |ty: &Ty| self.program.schema(ty).map_or(0, |schema| schema.area());
        let (taken, given) = (params.iter().map(|(_, ty)| area(ty)).fold(0, u64::saturating_add), area(&result));
        for (what, bytes) in [("parameters", taken), ("a result", given)] {
            if bytes > u64::from(SIZE_MAX) {
                let message = format!("expected {what} of at most {SIZE_MAX} bytes, found {bytes}");
                self.error("E0303", t.name.span, message, "too much for memory that is set aside beforehand");
            }
        }
        let def = &mut self.program.traversals[id.index()];
        (def.params, def.defaults, def.result, def.stream) = (params, defaults, result, stream);
    }

    fn resolve_default(&mut self, module: ModuleId, d: &ast::Expr) -> Option<TraversalId> {
        if let ast::ExprKind::Call { callee, args } = &*d.kind
            && args.is_empty()
            && let Some(Def::Traversal(id)) = self.program.def_of_path(module, callee)
        {
            return Some(id);
        }
        self.error("E0301", d.span, "expected the call of a traversal without arguments, as in `open()`", "not a walk");
        None
    }

    fn resolve_struct_head(&mut self, module: ModuleId, s: &ast::Struct) {
        let Some(Def::Struct(id)) = self.own(module, &s.name, Some) else { return };
        let params = self.resolve_params(module, &s.params);
        self.program.structs[id.index()].params = params;
        for member in &s.members {
            if let ast::Member::Fn(f) = member {
                let method = self.add_method(module, f, Ty::View(id));
                self.program.structs[id.index()].methods.insert(f.name.name.clone(), method);
            }
        }
    }
}
