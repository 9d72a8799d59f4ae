//! Reads: where a walk waits for a block.

use super::view::Context;
use super::*;
use crate::ir::{FaultKind, FoundAs, SourceId, Value};

/// Bytes of at most this length are kept over a read; longer ones must be used before it.
const KEPT_BYTES_MAX: u32 = 64;

/// From which source a block is read.
#[derive(Clone, Copy)]
enum ReadFrom {
    /// A known one.
    One(SourceId),
    /// `device[i]`: one of so many from the first on, by an index that was shown to be below their number.
    Of(SourceId, u32, Value),
}

impl Lowerer<'_> {
    /// `read T(args) at OFFSET [from SOURCE]`.
    pub(super) fn read(&mut self, ty: &ast::Type, at: &ast::Expr, from: Option<&ast::Expr>, span: Span) -> Val {
        let stored = self.resolve_stored(ty);
        let Some((len, args)) = self.read_size(&stored, ty, span) else { return Val::Never };
        // Arguments and length must outlive the evaluation of the offset.
        let held = self.flow.temps.len();
        self.flow.temps.push(Val::Int(len, IntTy::U64));
        self.flow.temps.extend(args);
        let offset = self.expr(at);
        let offset = self.unsigned(offset, at.span);
        self.flow.temps.push(offset.map_or(Val::Never, |v| Val::Int(v, IntTy::U64)));
        let source = self.source(from);
        let offset = match self.flow.temps.pop() {
            Some(Val::Int(v, _)) => Some(v),
            _ => None,
        };
        let mut kept = self.flow.temps.split_off(held);
        let (Some(offset), Some(source)) = (offset, source) else { return Val::Never };
        let args = kept.split_off(1);
        let Some(Val::Int(len, _)) = kept.pop() else { return Val::Never };
        self.hop(&stored, len, args, offset, source, (ty.span, span))
    }

    fn hop(
        &mut self,
        stored: &FieldTy,
        len: Value,
        args: Vec<Val>,
        offset: Value,
        source: ReadFrom,
        (ty_span, span): (Span, Span),
    ) -> Val {
        if let FrameKind::Fn(_) | FrameKind::Member = self.frame().kind {
            return self.error(
                "E0308",
                span,
                "expected no read here, found one",
                "only traversals read; a `fn` works on what was read",
            );
        }
        self.span = span;
        for i in 0..self.flow.locals.len() {
            self.keep_local(i);
        }
        let claim = self.range(len);
        if claim.hi > i128::from(crate::check::SIZE_MAX) {
            let most = self.number(i128::from(crate::check::SIZE_MAX));
            let cond = self.compare(ir::CmpOp::Le, len, most);
            let name = self.name_of(len, span);
            self.span = ty_span;
            self.prove(ir::ObligationKind::ReadSize, cond, format!("{name} <= {}", crate::check::SIZE_MAX), vec![len]);
            self.span = span;
        }
        let min = u32::try_from(claim.lo.clamp(0, i128::from(crate::check::SIZE_MAX))).unwrap_or(0);
        let min = min.min(u32::try_from(self.claim(len).lo.max(0)).unwrap_or(0));
        let what = self.text(span).lines().next().unwrap_or("").to_string();
        let fault = self.fault_id(
            FaultKind::OutOfDevice,
            format!("`{what}`: the block at {{}} does not lie on the device"),
            FoundAs::Unsigned,
            span,
        );
        self.flow.temps.push(Val::Int(offset, IntTy::U64));
        let count = args.len();
        self.flow.temps.extend(args);
        for i in 0..self.flow.temps.len() {
            let mut val = self.flow.temps[i].clone();
            self.keep_bytes(&mut val, KEPT_BYTES_MAX);
            self.flow.temps[i] = val;
        }
        self.carry(Some((len, min)), |l, block, args| {
            l.b.set_span(span);
            let to = ir::Target::new(block, &args);
            match source {
                ReadFrom::One(source) => l.b.hop(source, offset, len, to, fault),
                ReadFrom::Of(first, count, index) => {
                    l.hop_from(index, (first.0, first.0 + count - 1), first.0, &mut |l, source| {
                        l.b.hop(SourceId(source), offset, len, to.clone(), fault);
                    });
                }
            }
        });
        let at = self.flow.temps.len() - count;
        let args = self.flow.temps.split_off(at);
        let Some(Val::Int(offset, _)) = self.flow.temps.pop() else { return Val::Never };
        self.view_of_block(stored, args, offset, span)
    }

    /// Branches on an index until one source is left (from `low` to `high`, of which `first` has the index 0), and ends each way.
    fn hop_from(&mut self, index: Value, (low, high): (u32, u32), first: u32, end: &mut dyn FnMut(&mut Self, u32)) {
        if low == high {
            return end(self, low);
        }
        let middle = low + (high - low).div_ceil(2);
        let bound = self.push_op(ir::Op::Const(u64::from(middle - first)), ir::Ty::U64);
        let lower = self.push_op(ir::Op::Compare { op: ir::CmpOp::Lt, a: index, b: bound }, ir::Ty::Bool);
        let (yes, no) = (self.b.block(), self.b.block());
        self.b.branch(lower, ir::Target::new(yes, &[]), ir::Target::new(no, &[]));
        self.b.switch_to(yes);
        self.hop_from(index, (low, middle - 1), first, end);
        self.b.switch_to(no);
        self.hop_from(index, (middle, high), first, end);
    }

    /// What a read gives: the structure at the start of the new block.
    fn view_of_block(&mut self, stored: &FieldTy, args: Vec<Val>, offset: Value, span: Span) -> Val {
        let Some(disk) = self.flow.disk else { return Val::Never };
        let place = Place {
            region: ir::Region::Disk,
            generation: disk.generation,
            origin: Origin::Start,
            index: None,
            disp: 0,
        };
        let ctx = Context {
            view: None,
            limit: disk.len,
            limit_evident: true,
            block_offset: offset,
            name: self.type_name(stored),
            whole: true,
        };
        match stored {
            FieldTy::Struct(id, _) => Val::View(self.make_view(*id, args, place, &ctx, span)),
            other => self.decode(other, place, &ctx, span).val,
        }
    }

    fn type_name(&self, stored: &FieldTy) -> String {
        match stored {
            FieldTy::Struct(id, _) => self.program.structs[id.index()].name.clone(),
            _ => "the value read".into(),
        }
    }

    /// How many bytes a read takes, and the structure's arguments.
    fn read_size(&mut self, stored: &FieldTy, ty: &ast::Type, span: Span) -> Option<(Value, Vec<Val>)> {
        self.span = span;
        let module = self.module();
        match stored {
            FieldTy::Struct(id, given) => {
                let mut values = Vec::new();
                for a in given {
                    let val = self.expr(a);
                    values.push((val, a.span));
                }
                let args = self.struct_args(*id, values, span)?;
                let def = &self.program.structs[id.index()];
                let len = match &def.size {
                    SizeRule::Const(n) => self.number(i128::from(*n)),
                    SizeRule::Declared(e) => self.declared_read_size(*id, e, &args, ty)?,
                    SizeRule::LastMember => {
                        let message = format!(
                            "expected a structure of known size, found {}, which ends with its last member",
                            def.name
                        );
                        let mut d = Diagnostic::error("E0405", ty.span, message, "how many bytes?");
                        d.help = Some(format!("give it a size: `struct {}(space: u32) size space {{ … }}`", def.name));
                        self.report(d);
                        return None;
                    }
                };
                Some((len, args))
            }
            FieldTy::Error => None,
            other => match self.program.extent(module, other) {
                crate::check::layout::Extent::Const(n) => Some((self.number(i128::from(n)), Vec::new())),
                crate::check::layout::Extent::AtLeast(_) => {
                    if let FieldTy::Bytes(n, _) = other {
                        let val = self.expr(n);
                        return self.unsigned(val, n.span).map(|len| (len, Vec::new()));
                    }
                    self.error("E0405", ty.span, "expected a type of known size", "how many bytes?");
                    None
                }
            },
        }
    }

    /// The size of a structure that is to be read: it may use the parameters only, since no byte is there yet.
    fn declared_read_size(&mut self, id: StructId, e: &ast::Expr, args: &[Val], ty: &ast::Type) -> Option<Value> {
        let program = self.program;
        let def = &program.structs[id.index()];
        if let Some(name) =
            names::names_in(e).iter().find(|n| def.by_name.contains_key(n.split('.').next().unwrap_or(n)))
        {
            let message =
                format!("expected a size that is known before the read, found one that needs the field `{name}`");
            let mut d = Diagnostic::error("E0405", ty.span, message, "how many bytes?");
            d.help = Some("read a larger structure and take a `view` in it, or make the size a parameter".into());
            self.report(d);
            return None;
        }
        let base = self.flow.locals.len();
        let size = self.in_member_scope(def.module, Val::Unit, |l| {
            for ((name, _), val) in def.params.iter().zip(args) {
                let (name, val) = (name.as_str().into(), val.clone());
                l.flow.locals.push(flow::Local { name, val, mutable: false, ty: None, bound: None }.into());
            }
            let val = l.expr(e);
            l.unsigned(val, e.span)
        });
        debug_assert!(self.flow.locals.len() == base, "the member scope ended");
        size
    }

    fn source(&mut self, from: Option<&ast::Expr>) -> Option<ReadFrom> {
        let Some(from) = from else { return Some(ReadFrom::One(SourceId(0))) };
        let module = self.module();
        let (name, index) = match &*from.kind {
            ast::ExprKind::Index(base, index) => (base, Some(index)),
            _ => (from, None),
        };
        match (self.program.def_of_path(module, name), index) {
            (Some(Def::Source(first, None)), None) => Some(ReadFrom::One(SourceId(first))),
            (Some(Def::Source(first, Some(n))), Some(index)) => {
                let val = self.expr(index);
                let i = self.unsigned(val, index.span)?;
                self.span = index.span;
                self.prove_index(i, u64::from(n), index.span);
                Some(match self.as_const(i) {
                    Some(i) => ReadFrom::One(SourceId(first + (i as u32).min(n - 1))),
                    None => ReadFrom::Of(SourceId(first), n, i),
                })
            }
            _ => {
                self.error(
                    "E0201",
                    from.span,
                    format!("expected a source, found `{}`", self.text(from.span)),
                    "declare it: `source NAME;`",
                );
                None
            }
        }
    }

    /// `view T(args) at OFFSET in PARENT`.
    pub(super) fn view_in(&mut self, ty: &ast::Type, at: &ast::Expr, parent: &ast::Expr, span: Span) -> Val {
        let stored = self.resolve_stored(ty);
        let outer = self.expr(parent);
        let (outer, offset) = self.holding(outer, |l| {
            let val = l.expr(at);
            l.unsigned(val, at.span)
        });
        let Some(offset) = offset else { return Val::Never };
        self.span = span;
        let (place, limit, limit_evident, block_offset) = match outer {
            Val::View(v) => (v.place, v.limit, v.limit_evident, v.block_offset),
            Val::Bytes(b) | Val::Buffer(b) => {
                let start = self.offset_of(b.place);
                let len = self.len_value(b.len);
                let limit = self.checked(ir::BinOp::Add, start, len);
                // In bytes that stand in no block, places count from the bytes' start.
                let block_offset = b.block_offset.unwrap_or_else(|| self.number(0));
                (b.place, limit, false, block_offset)
            }
            Val::Never => return Val::Never,
            other => return self.mismatch(parent.span, "a view or bytes", &other),
        };
        if self.is_stale(place) {
            let message = format!(
                "expected a block that is still there, found `{}`, which is of an earlier read",
                self.text(parent.span)
            );
            return self.error("E0305", parent.span, message, "its block is gone");
        }
        let place = match self.as_const(offset) {
            Some(n) if n <= i128::from(crate::check::SIZE_MAX) => place.plus(n as u32),
            _ => {
                let start = self.offset_of(place);
                let at = self.checked(ir::BinOp::Add, start, offset);
                Place { origin: Origin::Plain(at), index: None, disp: 0, ..place }
            }
        };
        let name = self.type_name(&stored);
        let ctx = Context { view: None, limit, limit_evident, block_offset, name, whole: false };
        match &stored {
            FieldTy::Struct(id, given) => {
                let mut values = Vec::new();
                for a in given {
                    let val = self.expr(a);
                    values.push((val, a.span));
                }
                let Some(args) = self.struct_args(*id, values, span) else { return Val::Never };
                Val::View(self.make_view(*id, args, place, &ctx, span))
            }
            other => {
                self.body_types.push(Rc::new(other.clone()));
                let kept = self.body_types.last().expect("just pushed").clone();
                self.decode(&kept, place, &ctx, span).val
            }
        }
    }

    /// `follow e.leaf`: a read at the place that a pointer names.
    pub(super) fn follow(&mut self, pointer: &ast::Expr, span: Span) -> Val {
        let val = self.expr(pointer);
        self.span = span;
        let Val::Pointer(v, _, to) = val else {
            return self.mismatch(pointer.span, "a pointer field", &val);
        };
        let FieldTy::Pointer { target, scale, .. } = &*to.ty.ty.clone() else { return Val::Never };
        let v = self.fit(v, ir::Ty::U64, pointer.span);
        let offset = match scale {
            Some(scale) => {
                let ctx = Context {
                    view: to.view.clone(),
                    limit: v,
                    limit_evident: false,
                    block_offset: v,
                    name: String::new(),
                    whole: false,
                };
                let Some(by) = self.size_in(&ctx, scale) else { return Val::Never };
                self.span = span;
                self.checked(ir::BinOp::Mul, v, by)
            }
            None => v,
        };
        let place = ast::Type { kind: ast::TypeKind::BytesToEnd, span: pointer.span };
        let (len, args) = match &**target {
            // A target's arguments are expressions of the pointer's structure.
            FieldTy::Struct(id, given) if !given.is_empty() => {
                let ctx = Context {
                    view: to.view.clone(),
                    limit: v,
                    limit_evident: false,
                    block_offset: v,
                    name: String::new(),
                    whole: false,
                };
                let mut values = Vec::new();
                for a in given {
                    let val = self.eval_in(&ctx, a);
                    values.push((val, a.span));
                }
                let Some(args) = self.struct_args(*id, values, span) else { return Val::Never };
                let def = &self.program.structs[id.index()];
                let len = match &def.size {
                    SizeRule::Const(n) => Some(self.number(i128::from(*n))),
                    SizeRule::Declared(e) => self.declared_read_size(*id, e, &args, &place),
                    SizeRule::LastMember => None,
                };
                let Some(len) = len else { return Val::Never };
                (len, args)
            }
            other => {
                let Some(found) = self.read_size(other, &place, span) else { return Val::Never };
                found
            }
        };
        self.hop(target, len, args, offset, ReadFrom::One(SourceId(0)), (pointer.span, span))
    }

    /// What of a variable outlives the current block is copied before the block goes.
    pub(super) fn keep_local(&mut self, i: usize) {
        let (name, val) = (self.flow.locals[i].name.clone(), self.flow.locals[i].val.clone());
        match val {
            Val::View(mut view) if view.place.region == ir::Region::Disk && !self.is_stale(view.place) => {
                self.keep_members(&mut view, Some(&name));
                self.flow.locals[i].val = Val::View(view);
            }
            Val::Array(array) if array.place.region == ir::Region::Disk && !self.is_stale(array.place) => {
                if let Some(bytes) = self.bytes_of_array(&array).filter(|b| b.max <= KEPT_BYTES_MAX)
                    && let Some(slot) = self.slot_for(bytes.max, self.span)
                {
                    let bytes = self.copy_to_slot(bytes, slot);
                    self.flow.locals[i].val = self.array_of_bytes(bytes, &array.element.ty, array.name.clone());
                }
            }
            Val::Bytes(_) | Val::Record(..) | Val::Option(..) => {
                let mut val = val;
                self.keep_bytes(&mut val, KEPT_BYTES_MAX);
                self.flow.locals[i].val = val;
            }
            _ => {}
        }
    }

    fn keep_bytes(&mut self, val: &mut Val, most: u32) {
        match val {
            Val::Bytes(b) if b.place.region == ir::Region::Disk && !self.is_stale(b.place) && b.max <= most => {
                if let Some(slot) = self.slot_for(b.max, self.span) {
                    *b = self.copy_to_slot(*b, slot);
                }
            }
            Val::Record(_, fields) => fields.iter_mut().for_each(|f| self.keep_bytes(f, most)),
            Val::Option(_, inner) => self.keep_bytes(inner, most),
            _ => {}
        }
    }
}
