//! Members that are used after their block is gone: which are carried over a read, and what is said of those that cannot be.

use super::*;

impl Lowerer<'_> {
    pub(super) fn stale_member(&mut self, view: &Shared<View>, i: usize, span: Span) -> Val {
        let def = &self.program.structs[view.def.index()];
        let name = def.members[i].name.clone();
        if let Some((_, val)) = view.kept.iter().find(|(n, _)| *n == name) {
            return match (val, &def.members[i].kind) {
                (Val::Bytes(b), MemberKind::Stored { ty: FieldTy::Array(element, _), .. }) => {
                    let name = format!("{}.{name}", def.name);
                    self.array_of_bytes(*b, element, name)
                }
                _ => val.clone(),
            };
        }
        let prefix = format!("{name}.");
        let nested: Vec<(String, Val)> =
            view.kept.iter().filter_map(|(n, v)| Some((n.strip_prefix(&prefix)?.to_string(), v.clone()))).collect();
        if let MemberKind::Stored { ty: FieldTy::Struct(inner, _), .. } = &def.members[i].kind
            && !nested.is_empty()
        {
            let id = self.new_view_id();
            return Val::View(View { id, def: *inner, kept: nested, args: Vec::new(), ..View::clone(view) }.into());
        }
        if let MemberKind::Bits { word, shift, width, scalar, .. } = def.members[i].kind.clone() {
            let key = format!("#{word}");
            if let Some((_, Val::Int(w, _))) = view.kept.iter().find(|(n, _)| *n == key) {
                let w = *w;
                return self.bit_field(w, shift, width, scalar);
            }
        }
        let what = self.text(span).to_string();
        let message =
            format!("expected a value that outlives its block, found `{what}`, which is used after a later read");
        let mut d = Diagnostic::error(
            "E0305",
            span,
            message,
            "its block is gone: only scalars and up to 64 bytes of a view are kept over a read",
        );
        d.help = Some(self.how_to_copy(&what, &def.members[i].kind, def.module));
        self.report(d);
        Val::Never
    }

    /// What of a member can be copied before a read.
    fn how_to_copy(&self, what: &str, kind: &MemberKind, module: ModuleId) -> String {
        let MemberKind::Stored { ty, .. } = kind else {
            return format!("copy it before the read: `let copy = {what};`");
        };
        let size = match self.program.extent(module, ty) {
            crate::check::layout::Extent::Const(n) => format!(" has {n} bytes"),
            crate::check::layout::Extent::AtLeast(_) => " has as many bytes as the data say".into(),
        };
        match ty {
            FieldTy::Array(..) | FieldTy::ArrayToEnd(_) => {
                format!("`{what}`{size}; copy the elements that are needed before the read: `let copy = {what}[i];`")
            }
            FieldTy::Bytes(..) | FieldTy::BytesToEnd | FieldTy::CStr(_) | FieldTy::Utf16(..) => format!(
                "`{what}`{size}; copy the part that is needed before the read: `let copy: bytes up to 64 = {what}[..n];`"
            ),
            FieldTy::Struct(..) | FieldTy::Match { .. } | FieldTy::Seq(..) => {
                format!("copy the fields that are needed before the read: `let copy = {what}.…;`")
            }
            _ => format!("copy it before the read: `let copy = {what};`"),
        }
    }

    /// Copies the members that are named later in the body, so that they outlive their block.
    pub(super) fn keep_members(&mut self, view: &mut Shared<View>, name: Option<&str>) {
        let all: Vec<Rc<Vec<String>>> = self.frames.iter().map(|f| f.paths.clone()).collect();
        let members = all.iter().flat_map(|paths| paths.iter()).filter_map(|path| {
            let (first, rest) = path.split_once('.')?;
            name.is_none_or(|n| n == first).then_some(rest)
        });
        let mut wanted: Vec<&str> = members.collect();
        wanted.sort_unstable();
        wanted.dedup();
        let mut kept = Vec::new();
        for path in wanted {
            self.keep_path(&view.clone(), path, "", &mut kept, 0);
        }
        view.kept = kept;
    }

    fn keep_path(
        &mut self,
        view: &Shared<View>,
        path: &str,
        prefix: &str,
        kept: &mut Vec<(String, Val)>,
        depth: usize,
    ) {
        const KEPT_BYTES_MAX: u32 = 64;
        let (first, rest) = path.split_once('.').map_or((path, None), |(a, b)| (a, Some(b)));
        let program = self.program;
        let def = &program.structs[view.def.index()];
        let Some(i) = def.by_name.get(first).copied() else { return };
        let full = format!("{prefix}{first}");
        if depth > 4 || kept.iter().any(|(n, _)| *n == full) {
            return;
        }
        match &def.members[i].kind {
            MemberKind::Stored { ty: FieldTy::Struct(..), offset: Offset::Fixed(_), .. } => {
                if let (Some(rest), Val::View(inner)) = (rest, self.member(view, i, def.members[i].span)) {
                    self.keep_path(&inner, rest, &format!("{full}."), kept, depth + 1);
                }
            }
            MemberKind::Stored { ty, offset: Offset::Fixed(_), .. } => {
                let small = match program.extent(def.module, ty) {
                    crate::check::layout::Extent::Const(n) => n <= KEPT_BYTES_MAX,
                    crate::check::layout::Extent::AtLeast(_) => false,
                };
                let kind_ok = matches!(ty, FieldTy::Scalar { .. } | FieldTy::Bytes(..) | FieldTy::Pointer { .. });
                if small && kind_ok {
                    let val = match self.member(view, i, def.members[i].span) {
                        Val::Bytes(b) => match self.slot_for(b.max, self.span) {
                            Some(slot) => Val::Bytes(self.copy_to_slot(b, slot)),
                            None => return,
                        },
                        Val::Pointer(v, t, _) => Val::Int(v, t),
                        other => other,
                    };
                    kept.push((full, val));
                } else if small
                    && let FieldTy::Array(element, _) = ty
                    && matches!(**element, FieldTy::Scalar { .. })
                    && let Val::Array(array) = self.member(view, i, def.members[i].span)
                    && let Some(bytes) = self.bytes_of_array(&array)
                    && let Some(slot) = self.slot_for(bytes.max, self.span)
                {
                    // Bytes are what joins and loops can carry; they are an array again where they are used.
                    kept.push((full, Val::Bytes(self.copy_to_slot(bytes, slot))));
                }
            }
            MemberKind::Bits { word, .. } => {
                let key = format!("{prefix}#{word}");
                if !kept.iter().any(|(n, _)| *n == key) {
                    let val = self.member(view, *word, def.members[i].span);
                    kept.push((key, val));
                }
            }
            MemberKind::Computed { value, .. } => {
                // A computed field is computed again when it is used: what it is made of must be kept.
                for name in names::names_in(value) {
                    self.keep_path(view, &name, prefix, kept, depth + 1);
                }
            }
            MemberKind::Stored { .. } | MemberKind::Condition => {}
        }
    }
}
