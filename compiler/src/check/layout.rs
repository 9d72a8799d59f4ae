//! Layout: where each member of a structure begins, and how much room the structure takes.
//!
//! A member after one of unknown size begins where that one ends, which is found at run time. Everything before the first
//! such member, and everything with a constant `@`, is *fixed*: one check of `fixed_bytes` when the view is made covers it.

use super::*;
use crate::ir::Endian;
use ast::ExprKind;

/// How many bytes a stored type takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Always so many.
    Const(u32),
    /// At least so many, found at run time.
    AtLeast(u32),
}

impl Extent {
    /// The least.
    pub fn least(self) -> u32 {
        match self {
            Extent::Const(n) | Extent::AtLeast(n) => n,
        }
    }
}

impl Program {
    /// How many bytes a stored type takes, in the scope of `module`.
    pub fn extent(&self, module: ModuleId, ty: &FieldTy) -> Extent {
        let count = |n: &ast::Expr| self.const_int(module, n).ok().and_then(|n| u32::try_from(n).ok());
        match ty {
            FieldTy::Scalar { width, .. } => Extent::Const(u32::from(*width)),
            FieldTy::Bytes(n, _) | FieldTy::CStr(n) => count(n).map_or(Extent::AtLeast(0), Extent::Const),
            FieldTy::Utf16(n, _) => count(n).map_or(Extent::AtLeast(0), |n| Extent::Const(n.saturating_mul(2))),
            FieldTy::BytesToEnd | FieldTy::ArrayToEnd(_) | FieldTy::Seq(..) => Extent::AtLeast(0),
            FieldTy::Varint(_) => Extent::AtLeast(1),
            FieldTy::Struct(id, _) => {
                let def = &self.structs[id.index()];
                match def.size {
                    SizeRule::Const(n) => Extent::Const(n),
                    _ => Extent::AtLeast(def.least_bytes),
                }
            }
            FieldTy::Array(element, n) => match (self.extent(module, element), count(n)) {
                (Extent::Const(size), Some(n)) => Extent::Const(size.saturating_mul(n)),
                _ => Extent::AtLeast(0),
            },
            FieldTy::Match { arms, .. } => {
                let mut extents = arms.iter().map(|a| self.extent(module, &a.ty));
                let first = extents.next().unwrap_or(Extent::Const(0));
                extents.fold(first, |a, b| if a == b { a } else { Extent::AtLeast(a.least().min(b.least())) })
            }
            FieldTy::Pointer { repr, .. } => self.extent(module, repr),
            FieldTy::Error => Extent::AtLeast(0),
        }
    }
}

/// A member being placed.
struct Cursor {
    /// Where the next member begins, while that is constant.
    fixed: Option<u32>,
    /// The last stored member.
    last: Option<usize>,
    /// Alignment asked for since then.
    align: u32,
    /// The end of the farthest fixed member.
    fixed_end: u32,
    /// Ranges taken by fixed members, to find overlaps: start, end, member.
    taken: Vec<(u32, u32, usize)>,
}

impl Checker<'_> {
    pub(super) fn lay_out(&mut self, id: StructId, s: &ast::Struct) {
        let module = self.program.structs[id.index()].module;
        let order = s.order.map(|o| if o == ast::ByteOrder::Big { Endian::Big } else { Endian::Little });
        // A structure must be laid out before those that contain it, so that their extents are known.
        let mut cursor = Cursor { fixed: Some(0), last: None, align: 1, fixed_end: 0, taken: Vec::new() };
        let declared = s.size.as_ref().map(|size| (self.program.const_int(module, size).ok(), size));
        for member in &s.members {
            self.lay_out_member(id, module, order, member, &mut cursor);
        }
        let end = cursor.fixed_end;
        let (size, least) = match declared {
            Some((Some(n), size)) => {
                let n = match u32::try_from(n).ok().filter(|n| *n <= SIZE_MAX) {
                    Some(n) => n,
                    None => {
                        self.error(
                            "E0303",
                            size.span,
                            format!("expected a size of at most {}, found {n}", SIZE_MAX),
                            "too large",
                        );
                        end
                    }
                };
                if n < end {
                    self.report_overrun(id, n, size.span, &cursor);
                }
                (SizeRule::Const(n), n)
            }
            Some((None, size)) => (SizeRule::Declared(size.clone()), end),
            None if cursor.fixed.is_some() => (SizeRule::Const(end), end),
            None => (SizeRule::LastMember, self.least_of_members(id, module)),
        };
        let def = &mut self.program.structs[id.index()];
        def.size = size;
        def.fixed_bytes = end;
        def.least_bytes = least.max(end);
    }

    fn least_of_members(&self, id: StructId, module: ModuleId) -> u32 {
        let mut least = 0u32;
        for m in &self.program.structs[id.index()].members {
            if let MemberKind::Stored { ty, offset, .. } = &m.kind {
                let size = self.program.extent(module, ty).least();
                least = match offset {
                    Offset::Fixed(at) => least.max(at.saturating_add(size)),
                    Offset::After { .. } => least.saturating_add(size),
                    Offset::Computed(_) => least,
                };
            }
        }
        least
    }

    fn report_overrun(&mut self, id: StructId, size: u32, span: Span, cursor: &Cursor) {
        let members = &self.program.structs[id.index()].members;
        let (name, at, first) = cursor
            .taken
            .iter()
            .filter(|(_, end, _)| *end > size)
            .map(|(start, end, m)| (members[*m].name.clone(), members[*m].span, (*start, *end)))
            .next()
            .unwrap_or_else(|| ("its padding".into(), span, (0, cursor.fixed_end)));
        let message = format!("expected fields within {size} bytes, found `{name}` at {}..{}", first.0, first.1);
        self.error("E0402", at, message, format!("ends {} bytes past the structure's end", first.1 - size)).help =
            Some(format!("write `size {}`, or make the fields smaller", cursor.fixed_end));
    }

    fn lay_out_member(
        &mut self,
        id: StructId,
        module: ModuleId,
        order: Option<Endian>,
        member: &ast::Member,
        cursor: &mut Cursor,
    ) {
        match member {
            ast::Member::Fn(_) => {}
            ast::Member::Align(n) => {
                let n = self.const_size(module, n).max(1);
                cursor.fixed = cursor.fixed.map(|at| at.next_multiple_of(n));
                cursor.align = n;
                if let Some(at) = cursor.fixed {
                    cursor.fixed_end = cursor.fixed_end.max(at);
                }
            }
            ast::Member::Where(cond) => {
                let def = MemberDef {
                    name: "_".into(),
                    kind: MemberKind::Condition,
                    cond: Some(cond.clone()),
                    doc: String::new(),
                    span: cond.span,
                };
                self.program.structs[id.index()].members.push(def);
            }
            ast::Member::Let(l) => {
                let ty = l.ty.as_ref().map(|t| self.resolve_type(module, t));
                let kind = MemberKind::Computed { ty, value: l.value.clone() };
                let def = MemberDef {
                    name: l.name.name.clone(),
                    kind,
                    cond: l.cond.clone(),
                    doc: l.doc.clone(),
                    span: l.span,
                };
                self.add_member(id, &l.name, def);
            }
            ast::Member::Field(f) => {
                let ty = self.resolve_field_type(module, &f.ty, order);
                if let FieldTy::Struct(inner, _) = innermost(&ty)
                    && !self.is_laid_out_before(*inner, id)
                {
                    let message = "expected a structure that is declared earlier in the file";
                    self.error("E0404", f.ty.span, message, "its size is not known yet, or it contains this one")
                        .help = Some("move the declaration of the inner structure above this one".into());
                }
                let at = f.at.clone();
                self.place(id, module, at, ty, &f.name, (f.magic.clone(), f.cond.clone()), &f.doc, f.span, cursor);
            }
            ast::Member::Bits(b) => self.lay_out_bits(id, module, order, b, cursor),
        }
    }

    fn is_laid_out_before(&self, inner: StructId, outer: StructId) -> bool {
        let (a, b) = (&self.program.structs[inner.index()], &self.program.structs[outer.index()]);
        inner != outer && (a.module != b.module || a.span.start < b.span.start)
    }

    #[allow(clippy::too_many_arguments, reason = "the parts of one member, each used once")]
    fn place(
        &mut self,
        id: StructId,
        module: ModuleId,
        at: Option<ast::Expr>,
        ty: FieldTy,
        name: &ast::Ident,
        (magic, cond): (Option<ast::Expr>, Option<ast::Expr>),
        doc: &str,
        span: Span,
        cursor: &mut Cursor,
    ) {
        let extent = self.program.extent(module, &ty);
        let index = self.program.structs[id.index()].members.len();
        let fixed_at = match &at {
            Some(e) if !mentions_end(e) => match self.program.const_int(module, e) {
                Ok(n) => match u32::try_from(n).ok().filter(|n| *n <= SIZE_MAX) {
                    Some(n) => Some(n),
                    None => {
                        self.error(
                            "E0303",
                            e.span,
                            format!("expected an offset of at most {}, found {n}", SIZE_MAX),
                            "too large",
                        );
                        Some(0)
                    }
                },
                Err(_) => None,
            },
            Some(_) => None,
            None => cursor.fixed,
        };
        let offset = match (fixed_at, at, cursor.last) {
            (Some(n), ..) => Offset::Fixed(n),
            (None, Some(e), _) => Offset::Computed(e),
            (None, None, Some(member)) => Offset::After { member, align: cursor.align },
            (None, None, None) => Offset::Fixed(0),
        };
        if let Offset::Fixed(start) = offset {
            let end = start.saturating_add(extent.least());
            self.report_overlap(id, start, end, name, span, cursor);
            if extent != Extent::AtLeast(0) {
                cursor.taken.push((start, end, index));
            }
            cursor.fixed_end = cursor.fixed_end.max(end);
        }
        cursor.fixed = match (&offset, extent) {
            (Offset::Fixed(start), Extent::Const(size)) => Some(start.saturating_add(size)),
            _ => None,
        };
        cursor.last = Some(index);
        cursor.align = 1;
        let kind = MemberKind::Stored { offset, ty, magic };
        let def = MemberDef { name: name.name.clone(), kind, cond, doc: doc.to_string(), span };
        self.add_member(id, name, def);
    }

    fn report_overlap(&mut self, id: StructId, start: u32, end: u32, name: &ast::Ident, span: Span, cursor: &Cursor) {
        let clash = cursor.taken.iter().find(|(s, e, _)| *s < end && start < *e).copied();
        if let Some((s, e, other)) = clash {
            let other = self.program.structs[id.index()].members[other].clone();
            let message = format!(
                "expected fields that do not overlap, found `{}` at {start}..{end} over `{}` at {s}..{e}",
                name.name, other.name
            );
            let d = self.error("E0401", span, message, format!("takes bytes {start}..{end}"));
            d.others.push(crate::diag::Label { span: other.span, text: format!("takes bytes {s}..{e}") });
            d.help = Some(format!("place it at `@{e:#x}`, or make both arms of one `match`"));
        }
    }

    fn add_member(&mut self, id: StructId, name: &ast::Ident, def: MemberDef) {
        let s = &mut self.program.structs[id.index()];
        let index = s.members.len();
        let taken =
            def.name != "_" && (s.by_name.contains_key(&def.name) || s.params.iter().any(|(n, _)| *n == def.name));
        if def.name != "_" && !taken {
            s.by_name.insert(def.name.clone(), index);
        }
        s.members.push(def);
        if taken {
            self.error("E0202", name.span, format!("expected one field `{}`, found two", name.name), "again here");
        }
    }

    fn lay_out_bits(
        &mut self,
        id: StructId,
        module: ModuleId,
        order: Option<Endian>,
        b: &ast::Bits,
        cursor: &mut Cursor,
    ) {
        let ty = self.resolve_field_type(module, &b.repr, order);
        let FieldTy::Scalar { scalar: Scalar::Int(int), .. } = ty else {
            if !matches!(ty, FieldTy::Error) {
                self.error("E0301", b.repr.span, "expected an integer type", "bits are cut from an integer");
            }
            return;
        };
        let padding = ast::Ident { name: "_".into(), span: b.repr.span };
        let word = self.program.structs[id.index()].members.len();
        self.place(id, module, b.at.clone(), ty, &padding, (None, None), "", b.repr.span, cursor);
        let mut used = 0u32;
        for field in &b.fields {
            let width = self.const_size(module, &field.width);
            let room = u32::from(int.bits);
            if width == 0 || width > room || used + width > room {
                let message = format!(
                    "expected bit fields of {room} bits in all, found `{}` at {used}..{}",
                    field.name.name,
                    used + width
                );
                self.error("E0403", field.width.span, message, "does not fit in the word");
                return;
            }
            let shift = if b.from_high { room - used - width } else { used };
            used += width;
            if field.name.name == "_" {
                continue;
            }
            let scalar = match field.ty.as_ref().map(|t| (t.span, self.resolve_field_type(module, t, order))) {
                None if width == 1 => Scalar::Bool,
                None => Scalar::Int(IntTy::plain(width as u8, false)),
                Some((_, FieldTy::Scalar { scalar: Scalar::Int(t), .. })) => {
                    Scalar::Int(IntTy { bits: width as u8, ..t })
                }
                Some((_, FieldTy::Scalar { scalar, .. })) => scalar,
                Some((span, _)) => {
                    self.error("E0301", span, "expected an integer, enum or flags type", "bits are numbers");
                    continue;
                }
            };
            let kind =
                MemberKind::Bits { word, shift: shift as u8, width: width as u8, scalar, magic: field.magic.clone() };
            let def = MemberDef {
                name: field.name.name.clone(),
                kind,
                cond: field.cond.clone(),
                doc: field.doc.clone(),
                span: field.name.span,
            };
            self.add_member(id, &field.name, def);
        }
    }
}

/// The element type of nested arrays.
fn innermost(ty: &FieldTy) -> &FieldTy {
    match ty {
        FieldTy::Array(e, _) | FieldTy::ArrayToEnd(e) | FieldTy::Seq(e, _) => innermost(e),
        other => other,
    }
}

fn mentions_end(e: &ast::Expr) -> bool {
    match &*e.kind {
        ExprKind::End => true,
        ExprKind::Binary(_, a, b) => mentions_end(a) || mentions_end(b),
        _ => false,
    }
}
