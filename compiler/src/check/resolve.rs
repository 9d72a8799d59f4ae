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
                match item {
                    ast::Item::Const(c) => self.resolve_const(*module, c),
                    ast::Item::Record(r) => self.resolve_record(*module, r),
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
            if matches!(&ty, Ty::Record(inner) if inner.0 >= id.0 && self.contains_record(*inner, id)) {
                self.error("E0301", f.ty.span, "expected a type that does not contain itself", "a record in itself");
                continue;
            }
            fields.push((f.name.name.clone(), ty, f.cond.clone()));
        }
        self.program.records[id.index()].fields = fields;
        for f in &r.fns {
            let method = self.add_method(module, f, Ty::Record(id));
            self.program.records[id.index()].methods.insert(f.name.name.clone(), method);
        }
    }

    fn contains_record(&self, outer: RecordId, wanted: RecordId) -> bool {
        outer == wanted
            || self.program.records[outer.index()].fields.iter().any(|(_, t, _)| match t {
                Ty::Record(r) => self.contains_record(*r, wanted),
                Ty::Option(o) => matches!(**o, Ty::Record(r) if self.contains_record(r, wanted)),
                _ => false,
            })
    }

    pub(super) fn add_method(&mut self, module: ModuleId, f: &ast::Fn, of: Ty) -> FnId {
        let def = FnDef { module, of: Some(of), params: Vec::new(), result: Ty::Error, syntax: Arc::new(f.clone()) };
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
