//! Types as written → types as meant. Used for declarations by [`super::resolve`] and for types inside bodies by lowering.

use super::consts::NotConst;
use super::resolve::builtin_int;
use super::*;
use crate::ir::Endian;
use crate::ir::schema::Display;
use ast::TypeKind;

/// Looks types and constants up in a module's scope, and reports what it does not find.
pub struct Resolver<'a> {
    /// What is declared.
    pub program: &'a Program,
    /// The texts.
    pub sources: &'a SourceMap,
    /// Where errors go.
    pub diagnostics: &'a mut Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, span, message, label));
        self.diagnostics.last_mut().expect("just pushed")
    }

    /// A constant number; reports and gives `None` when it is not one.
    pub fn const_int(&mut self, module: ModuleId, e: &ast::Expr) -> Option<i128> {
        match self.program.const_int(module, e) {
            Ok(n) => Some(n),
            Err(NotConst::Reported) => None,
            Err(NotConst::Runtime(span)) => {
                let what = self.sources.text(span).to_string();
                self.error(
                    "E0302",
                    span,
                    format!("expected a constant, found `{what}`"),
                    "known only at run time, or not declared",
                );
                None
            }
            Err(NotConst::Wrong(span, why)) => {
                self.error("E0302", span, why, "in this constant");
                None
            }
        }
    }

    /// A constant size in bytes or elements; 0 after an error.
    pub fn const_size(&mut self, module: ModuleId, e: &ast::Expr) -> u32 {
        let Some(n) = self.const_int(module, e) else { return 0 };
        match u32::try_from(n).ok().filter(|n| *n <= SIZE_MAX) {
            Some(n) => n,
            None => {
                self.error("E0303", e.span, format!("expected a size of at most {SIZE_MAX}, found {n}"), "too large");
                0
            }
        }
    }

    /// How many of something are stored: any number at run time, but no constant that no structure has room for.
    fn stored_count(&mut self, module: ModuleId, e: &ast::Expr) -> ast::Expr {
        if self.program.const_int(module, e).is_ok_and(|n| !(0..=i128::from(SIZE_MAX)).contains(&n)) {
            self.const_size(module, e);
        }
        e.clone()
    }

    /// The type of a value.
    pub fn resolve_type(&mut self, module: ModuleId, ty: &ast::Type) -> Ty {
        match &ty.kind {
            TypeKind::Optional(inner) => Ty::Option(Box::new(self.resolve_type(module, inner))),
            TypeKind::Stream(inner) => Ty::Stream(Box::new(self.resolve_type(module, inner))),
            TypeKind::BytesUpTo(n) => {
                Ty::Bytes { max: self.const_size(module, n), fixed: false, display: Display::Plain }
            }
            TypeKind::Buffer(n) => Ty::Buffer(self.const_size(module, n)),
            TypeKind::Named { path, args } if args.is_empty() => {
                let name = &path[path.len() - 1].name;
                if path.len() == 1 && name == "bytes" {
                    return Ty::AnyBytes;
                }
                match self.named_def(module, path) {
                    Some(Def::Record(id)) => Ty::Record(id),
                    Some(Def::Struct(id)) => Ty::View(id),
                    _ => self.value_type(module, ty),
                }
            }
            _ => self.value_type(module, ty),
        }
    }

    /// The value that something stored becomes when it is read.
    fn value_type(&mut self, module: ModuleId, ty: &ast::Type) -> Ty {
        match self.resolve_field_type(module, ty, None) {
            FieldTy::Scalar { scalar, .. } => match scalar {
                Scalar::Int(i) => Ty::Int(i),
                Scalar::Bool => Ty::Bool,
                Scalar::Enum(e) => Ty::Enum(e),
                Scalar::Flags(f) => Ty::Flags(f),
            },
            FieldTy::Bytes(n, display) => Ty::Bytes { max: self.const_size(module, &n), fixed: true, display },
            FieldTy::Varint(_) => Ty::Int(IntTy::U64),
            FieldTy::Error => Ty::Error,
            _ => {
                let text = self.sources.text(ty.span).to_string();
                self.error(
                    "E0301",
                    ty.span,
                    format!("expected the type of a value, found `{text}`"),
                    "only stored in blocks",
                );
                Ty::Error
            }
        }
    }

    fn named_def(&self, module: ModuleId, path: &[ast::Ident]) -> Option<Def> {
        let (last, firsts) = path.split_last()?;
        let mut module = module;
        for part in firsts {
            match self.program.modules[module.index()].names.get(&part.name)?.0 {
                Def::Module(m) => module = m,
                _ => return None,
            }
        }
        self.program.modules[module.index()].names.get(&last.name).map(|(d, _)| *d)
    }

    /// How a type is stored; `order` is that of the structure in which it stands.
    pub fn resolve_field_type(&mut self, module: ModuleId, ty: &ast::Type, order: Option<Endian>) -> FieldTy {
        let order_or = order.unwrap_or(Endian::Little);
        match &ty.kind {
            TypeKind::Named { path, args } => self.resolve_named(module, ty, path, args, order_or),
            TypeKind::Bytes(n) => FieldTy::Bytes(self.stored_count(module, n), Display::Plain),
            TypeKind::BytesToEnd => FieldTy::BytesToEnd,
            TypeKind::CStr(n) => FieldTy::CStr(self.stored_count(module, n)),
            TypeKind::Utf16(n) => FieldTy::Utf16(self.stored_count(module, n), order_or),
            TypeKind::Varint(kind) => match kind.name.as_str() {
                "leb128" => FieldTy::Varint(VarintKind::Leb128),
                "zigzag" => FieldTy::Varint(VarintKind::Zigzag),
                "sqlite" => FieldTy::Varint(VarintKind::Sqlite),
                "vlq" => FieldTy::Varint(VarintKind::Vlq),
                other => {
                    let message = format!("expected leb128, zigzag, sqlite or vlq, found `{other}`");
                    self.error("E0301", kind.span, message, "no such varint");
                    FieldTy::Error
                }
            },
            TypeKind::Array(element, n) => {
                let n = self.stored_count(module, n);
                FieldTy::Array(Box::new(self.resolve_field_type(module, element, order)), n)
            }
            TypeKind::ArrayToEnd(element) => {
                FieldTy::ArrayToEnd(Box::new(self.resolve_field_type(module, element, order)))
            }
            TypeKind::SeqToEnd(element) => {
                FieldTy::Seq(Box::new(self.resolve_field_type(module, element, order)), None)
            }
            TypeKind::SeqCount(element, n) => {
                FieldTy::Seq(Box::new(self.resolve_field_type(module, element, order)), Some((**n).clone()))
            }
            TypeKind::Match { tag, arms } => {
                let arms = arms.iter().map(|arm| {
                    let ty = self.resolve_field_type(module, &arm.ty, order);
                    let texts: Vec<&str> = arm.patterns.iter().map(|p| self.sources.text(p.span)).collect();
                    let label = if texts.is_empty() { "else".to_string() } else { texts.join(" | ") };
                    FieldArm { patterns: arm.patterns.clone(), ty, label }
                });
                FieldTy::Match { tag: (**tag).clone(), arms: arms.collect() }
            }
            TypeKind::Pointer { repr, target, scale } => FieldTy::Pointer {
                repr: Box::new(self.resolve_field_type(module, repr, order)),
                target: Box::new(self.resolve_field_type(module, target, None)),
                scale: scale.as_ref().map(|s| (**s).clone()),
            },
            TypeKind::BytesUpTo(_) | TypeKind::Buffer(_) | TypeKind::Optional(_) | TypeKind::Stream(_) => {
                let text = self.sources.text(ty.span).to_string();
                self.error(
                    "E0301",
                    ty.span,
                    format!("expected the type of something stored, found `{text}`"),
                    "not stored in blocks",
                );
                FieldTy::Error
            }
        }
    }

    fn resolve_named(
        &mut self,
        module: ModuleId,
        ty: &ast::Type,
        path: &[ast::Ident],
        args: &[ast::Expr],
        order: Endian,
    ) -> FieldTy {
        let name = &path[path.len() - 1];
        if path.len() == 1 {
            if let Some((int, endian)) = builtin_int(&name.name) {
                return FieldTy::Scalar {
                    scalar: Scalar::Int(int),
                    width: int.bits / 8,
                    endian: endian.unwrap_or(order),
                };
            }
            match name.name.as_str() {
                "bool" => return FieldTy::Scalar { scalar: Scalar::Bool, width: 1, endian: order },
                "uuid" => {
                    let kind = Box::new(ast::ExprKind::Int(16));
                    return FieldTy::Bytes(ast::Expr { kind, span: ty.span }, Display::Uuid);
                }
                _ => {}
            }
        }
        match self.named_def(module, path) {
            Some(Def::Enum(id)) => {
                let def = &self.program.enums[id.index()];
                FieldTy::Scalar { scalar: Scalar::Enum(id), width: def.bits / 8, endian: def.endian.unwrap_or(order) }
            }
            Some(Def::Flags(id)) => {
                let def = &self.program.flags[id.index()];
                FieldTy::Scalar { scalar: Scalar::Flags(id), width: def.bits / 8, endian: def.endian.unwrap_or(order) }
            }
            Some(Def::Struct(id)) => FieldTy::Struct(id, args.to_vec()),
            Some(_) => {
                let message = format!("expected the type of something stored, found `{}`", name.name);
                self.error("E0204", ty.span, message, "not a stored type");
                FieldTy::Error
            }
            None => {
                self.unknown_type(module, name);
                FieldTy::Error
            }
        }
    }

    fn unknown_type(&mut self, module: ModuleId, name: &ast::Ident) {
        const BUILTIN: [&str; 17] = [
            "u8", "u16", "u24", "u32", "u48", "u64", "i8", "i16", "i32", "i64", "bool", "uuid", "time32", "time64",
            "mode16", "size32", "size64",
        ];
        let declared = self.program.modules[module.index()].names.keys().map(String::as_str);
        let like = nearest(&name.name, declared.chain(BUILTIN)).map(String::from);
        let message = format!("expected a type, found `{}`, which is not declared", name.name);
        self.error("E0201", name.span, message, "not declared").help = like.map(|l| format!("did you mean `{l}`?"));
    }
}
