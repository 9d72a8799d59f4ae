//! `dump`: one structure as a stream of rows, a row for each field.
//!
//! A dump is a walk like any other: it is lowered, proved and run by the same executors. It reads the block and emits for each field which it is,
//! where it lies and what number it holds; names, types and comments stand in a table beside it. Magics and conditions are
//! not enforced, since a damaged structure is what people most want to look at; bounds are.

use super::cond::Split;
use super::loops::Plan;
use super::view::Context;
use super::*;
use crate::ir::schema::{Display, Schema};
use crate::ir::{BinOp, Value};

/// What a row's `field` stands for.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The field's name; `[]` after it for an element of an array.
    pub name: String,
    /// How deep it is nested.
    pub depth: u32,
    /// What it is; `Unit` for a structure or array, whose parts follow.
    pub schema: Schema,
    /// Its doc comment.
    pub doc: String,
    /// What the spec says it must be, as written: a magic or condition.
    pub expected: Option<String>,
}

/// The fields of a row, each 8 bytes: which entry, the element's index (in two nested arrays), offset in the source, bytes, number.
pub const ROW: [&str; 6] = ["field", "index", "inner_index", "offset", "len", "value"];

/// The most bytes read for a structure that says its size only as it is decoded.
const ROOM_MAX: u32 = 1 << 16;

/// Lowers the dump of a structure. Its parameters are `at`, `room` (how many bytes there are from there on) and the structure's own.
pub fn lower_dump(program: &Program, sources: &SourceMap, id: StructId) -> (Lowered, Vec<Entry>) {
    let def = &program.structs[id.index()];
    let mut l = Lowerer::new(program, sources, &format!("dump {}", def.name), Ty::Unit, true, def.span);
    l.dump = Some(Vec::new());
    let word = || Schema::Int { bits: 64, signed: false, display: Display::Plain };
    let fields = ROW.iter().map(|n| (n.to_string(), word())).collect();
    l.b.set_result(Schema::Record { name: "Row".into(), fields }, true);
    l.b.function_mut().sources = program.sources.clone();
    l.enter(def.module, FrameKind::Root, Ty::Unit, Rc::default());
    l.dump_body(id);
    if l.flow.reachable {
        l.b.ret();
    }
    let entries = l.dump.take().unwrap_or_default();
    (l.finish(), entries)
}

const VIEW: &str = "#view";
const INDEX_OUTER: &str = "#index of";
const INDEX_INNER: &str = "#index in";

impl Lowerer<'_> {
    fn dump_argument(&mut self, name: &str, ty: IntTy) -> Value {
        let schema = Schema::Int { bits: ty.bits, signed: ty.signed, display: Display::Plain };
        let leaf = self.b.param(name, schema, None).start;
        let v = self.push_op(ir::Op::Arg(leaf), ir_ty(ty));
        self.b.set_name(v, name);
        v
    }

    fn dump_body(&mut self, id: StructId) {
        let program = self.program;
        let def = &program.structs[id.index()];
        let at = self.dump_argument("at", IntTy::U64);
        let room = self.dump_argument("room", IntTy::plain(32, false));
        let mut args = Vec::new();
        for (name, ty) in &def.params {
            let Ty::Int(i) = ty else {
                self.error(
                    "E0301",
                    def.span,
                    format!("expected a structure whose parameters are numbers, found `{name}`"),
                    "cannot be given",
                );
                return;
            };
            args.push(Val::Int(self.dump_argument(name, *i), *i));
        }
        let zero = self.number(0);
        for name in [INDEX_OUTER, INDEX_INNER] {
            self.bind(name, Val::Int(zero, IntTy::U64), true, Some(Ty::Int(IntTy::U64)));
        }
        self.bind("#args", Val::Record(RecordId(u32::MAX), args.into()), false, None);
        let len = match def.size {
            SizeRule::Const(n) => self.number(i128::from(n)),
            _ => {
                let most = self.number(i128::from(ROOM_MAX));
                let fits = self.compare(ir::CmpOp::Le, room, most);
                let fault =
                    self.fault(ir::FaultKind::Limit, format!("at most {ROOM_MAX} bytes are read for a dump"), def.span);
                self.guard(fits, fault);
                room
            }
        };
        let fault = self.fault_id(
            ir::FaultKind::OutOfDevice,
            "the block at {} does not lie on the device",
            ir::FoundAs::Unsigned,
            def.span,
        );
        let min = self.claim(len).lo.clamp(0, i128::from(ROOM_MAX)) as u32;
        self.bind("#at", Val::Int(at, IntTy::U64), false, None);
        self.carry(Some((len, min)), |l, block, args| {
            l.b.hop(ir::SourceId(0), at, len, ir::Target::new(block, &args), fault);
        });
        let (Val::Int(at, _), Some(disk)) = (self.hidden("#at"), self.flow.disk) else { return };
        let Val::Record(_, args) = self.hidden("#args") else { return };
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
            block_offset: at,
            name: def.name.clone(),
            whole: false,
        };
        let view = self.make_view(id, args.take(), place, &ctx, def.span);
        self.dump_members(view, 0);
    }

    /// The rows of a structure's members.
    fn dump_members(&mut self, view: Shared<View>, depth: u32) {
        let program = self.program;
        let def = &program.structs[view.def.index()];
        self.bind(VIEW, Val::View(view), false, None);
        for (i, m) in def.members.iter().enumerate() {
            self.span = m.span;
            let expected = self.dump_expected(m);
            match &m.kind {
                MemberKind::Condition => {}
                MemberKind::Stored { .. } if m.name == "_" => {}
                MemberKind::Stored { ty, .. } => {
                    let Some(view) = self.dump_view() else { return };
                    let Some(place) = self.place_of_member(&view, i) else { continue };
                    let name = format!("{}.{}", def.name, m.name);
                    self.dump_stored(
                        ty,
                        place,
                        &name,
                        Entry { name: m.name.clone(), depth, schema: Schema::Unit, doc: m.doc.clone(), expected },
                    );
                }
                MemberKind::Bits { .. } | MemberKind::Computed { .. } => {
                    let Some(view) = self.dump_view() else { return };
                    let at = match m.kind {
                        MemberKind::Bits { .. } => self.place_of_member(&view, i).map(|p| self.offset_of(p)),
                        _ => None,
                    };
                    if matches!(m.kind, MemberKind::Computed { .. }) {
                        let entry =
                            Entry { name: m.name.clone(), depth, schema: Schema::Unit, doc: m.doc.clone(), expected };
                        self.dump_computed(i, entry);
                        continue;
                    }
                    let val = self.member(&view, i, m.span);
                    let entry =
                        Entry { name: m.name.clone(), depth, schema: Schema::Unit, doc: m.doc.clone(), expected };
                    self.dump_number_row(val, at, 0, entry);
                }
            }
        }
        self.flow.locals.pop();
    }

    /// A computed field may rest on what the conditions before it promise: it is shown where they hold.
    fn dump_computed(&mut self, i: usize, entry: Entry) {
        let program = self.program;
        let Some(view) = self.dump_view() else { return };
        let def = &program.structs[view.def.index()];
        let span = self.span;
        let mut skipped = Vec::new();
        let depth = self.scopes.len();
        for cond in def.members[..i].iter().filter_map(|m| m.cond.as_ref()) {
            let mut split = self.in_member_scope(def.module, Val::View(view.clone()), |l| l.split(cond));
            for flow in [&mut split.yes, &mut split.no] {
                flow.locals.truncate(self.flow.locals.len());
            }
            skipped.push((split.no, Val::Unit));
            self.resume(split.yes);
            self.scopes.push(split.yes_scope);
        }
        let val = self.member(&view, i, span);
        self.scopes.truncate(depth);
        self.dump_number_row(val, None, 0, entry);
        skipped.push((self.flow.clone(), Val::Unit));
        self.merge(skipped, span);
    }

    fn dump_expected(&self, m: &MemberDef) -> Option<String> {
        let magic = match &m.kind {
            MemberKind::Stored { magic, .. } | MemberKind::Bits { magic, .. } => magic.as_ref(),
            _ => None,
        };
        let text = |e: &ast::Expr| self.text(e.span).split_whitespace().collect::<Vec<_>>().join(" ");
        match (magic, &m.cond) {
            (Some(e), _) => Some(format!("= {}", text(e))),
            (None, Some(c)) => Some(format!("where {}", text(c))),
            (None, None) => None,
        }
    }

    fn dump_view(&self) -> Option<Shared<View>> {
        match self.hidden(VIEW) {
            Val::View(v) => Some(v),
            _ => None,
        }
    }

    fn dump_context(&mut self, view: &Shared<View>, name: &str) -> Context {
        Context {
            view: Some(view.clone()),
            limit: view.limit,
            limit_evident: view.limit_evident,
            block_offset: view.block_offset,
            name: name.to_string(),
            whole: false,
        }
    }

    /// The rows of something stored.
    fn dump_stored(&mut self, ty: &FieldTy, place: Place, name: &str, entry: Entry) {
        let Some(view) = self.dump_view() else { return };
        let ctx = self.dump_context(&view, name);
        let span = self.span;
        let start = self.offset_of(place);
        match ty {
            FieldTy::Match { tag, arms } => self.dump_arms(tag, arms, place, name, entry),
            FieldTy::Scalar { width, .. } => {
                let val = self.decode(ty, place, &ctx, span).val;
                self.dump_number_row(val, Some(start), u32::from(*width), entry);
            }
            FieldTy::Pointer { repr, .. } => self.dump_stored(repr, place, name, entry),
            _ => {
                let decoded = self.decode(ty, place, &ctx, span);
                self.dump_composite(decoded.val, decoded.end, start, entry);
            }
        }
    }

    fn dump_composite(&mut self, val: Val, end: Option<Value>, start: Value, entry: Entry) {
        let depth = entry.depth;
        match val {
            Val::Int(..) | Val::Enum(..) | Val::Flags(..) | Val::Bool(_) => {
                let len = end.map(|e| self.checked(BinOp::Sub, e, start));
                self.dump_row_of(val, Some(start), len, entry);
            }
            Val::Bytes(b) => {
                let at = self.offset_of(b.place);
                let len = self.len_value(b.len);
                let schema = Schema::Bytes { max: b.max, fixed: matches!(b.len, Len::Const(_)), display: b.display };
                let zero = self.number(0);
                self.dump_row(zero, Some(at), Some(len), Entry { schema, ..entry });
            }
            Val::View(view) => {
                let zero = self.number(0);
                self.bind("#inner", Val::View(view), false, None);
                self.dump_row(zero, Some(start), None, entry);
                if let Val::View(view) = self.hidden("#inner") {
                    self.dump_members(view, depth + 1);
                }
                self.flow.locals.pop();
            }
            Val::Array(array) => self.dump_array(&array, start, entry),
            _ => {}
        }
    }

    fn dump_array(&mut self, array: &Shared<Array>, start: Value, entry: Entry) {
        let span = self.span;
        let depth = entry.depth;
        let element =
            Entry { name: format!("{}[]", entry.name), schema: Schema::Unit, expected: None, ..entry.clone() };
        self.bind("#array", Val::Array(array.clone()), false, None);
        let zero = self.number(0);
        self.dump_row(zero, Some(start), None, entry);
        let outermost = depth_of_arrays(self) == 1;
        let index = if outermost { INDEX_OUTER } else { INDEX_INNER };
        let zero = self.number(0);
        self.set_hidden(index, Val::Int(zero, IntTy::U64));
        let Val::Array(array) = self.hidden("#array") else { return };
        let assigned = [INDEX_OUTER, INDEX_INNER].iter().map(|s| s.to_string()).collect();
        let plan = Plan { assigned, hops: true, reads: false, outer: Vec::new(), span };
        let exits = self.dump_over_array(&array, plan, index, element, depth);
        let flows = exits.done.into_iter().chain(exits.spent).map(|f| (f, Val::Unit)).collect();
        self.merge(flows, span);
        self.flow.locals.pop();
    }

    fn dump_over_array(
        &mut self,
        array: &Shared<Array>,
        plan: Plan,
        index: &'static str,
        element: Entry,
        depth: u32,
    ) -> loops::Exits {
        self.iterate_array(array, plan, |l, x, start| {
            l.dump_composite(x, None, start, Entry { depth: depth + 1, ..element });
            if let Val::Int(i, _) = l.hidden(index) {
                let one = l.number(1);
                let next = l.wrapping(BinOp::Add, i, one);
                l.set_hidden(index, Val::Int(next, IntTy::U64));
            }
        })
    }

    /// A field that depends on a tag: each arm where its tag says so.
    fn dump_arms(&mut self, tag: &ast::Expr, arms: &[FieldArm], place: Place, name: &str, entry: Entry) {
        let Some(view) = self.dump_view() else { return };
        let module = self.program.structs[view.def.index()].module;
        let ctx = self.dump_context(&view, name);
        let span = self.span;
        let start = self.offset_of(place);
        let tag = self.eval_in(&ctx, tag);
        let Some(tag) = tag.parts().first().copied() else { return };
        self.bind("#tag", Val::Int(tag, IntTy::U64), false, None);
        self.bind("#place", Val::Int(start, IntTy::U64), false, None);
        let mut done: Vec<(flow::Flow, Val)> = Vec::new();
        for arm in arms {
            let split = match self.dump_matches_arm(arm, module) {
                Some(split) => split,
                None => break,
            };
            self.resume(split.yes);
            self.scopes.push(split.yes_scope);
            self.dump_one_arm(arm, place, name, &entry);
            self.scopes.pop();
            done.push((self.flow.clone(), Val::Unit));
            self.resume(split.no);
        }
        done.push((self.flow.clone(), Val::Unit));
        self.merge(done, span);
        self.flow.locals.pop();
        self.flow.locals.pop();
    }

    fn dump_one_arm(&mut self, arm: &FieldArm, place: Place, name: &str, entry: &Entry) {
        if let Val::Int(at, _) = self.hidden("#place") {
            let generation = self.flow.disk.map_or(0, |d| d.generation);
            let place = Place { origin: Origin::Plain(at), index: None, disp: 0, generation, ..place };
            self.dump_stored(&arm.ty, place, name, entry.clone());
        }
    }

    fn dump_matches_arm(&mut self, arm: &FieldArm, module: ModuleId) -> Option<Split> {
        let Val::Int(tag, _) = self.hidden("#tag") else { return None };
        let mut hit: Option<Value> = arm.patterns.is_empty().then(|| self.truth(true));
        for p in &arm.patterns {
            let Ok(n) = self.program.const_int(module, p) else { continue };
            let n = self.number_as(n, self.ty(tag));
            let one = self.compare(ir::CmpOp::Eq, tag, n);
            hit = Some(match hit {
                Some(h) => self.exact(BinOp::Or, h, one),
                None => one,
            });
        }
        Some(self.split_value(hit))
    }

    fn dump_number_row(&mut self, val: Val, at: Option<Value>, width: u32, entry: Entry) {
        let len = self.number(i128::from(width));
        self.dump_row_of(val, at, Some(len), entry);
    }

    fn dump_row_of(&mut self, val: Val, at: Option<Value>, len: Option<Value>, entry: Entry) {
        let program = self.program;
        let (v, ty) = match val {
            Val::Int(v, t) | Val::Pointer(v, t, _) => (v, Ty::Int(t)),
            Val::Bool(v) => (v, Ty::Bool),
            Val::Enum(v, e) => (v, Ty::Enum(e)),
            Val::Flags(v, f) => (v, Ty::Flags(f)),
            _ => return,
        };
        let Some(schema) = program.schema(&ty) else { return };
        self.dump_row(v, at, len, Entry { schema, ..entry });
    }

    fn dump_row(&mut self, value: Value, at: Option<Value>, len: Option<Value>, entry: Entry) {
        let zero = self.number(0);
        let entries = self.dump.get_or_insert_default();
        let id = entries.len() as i128;
        entries.push(entry);
        let field = self.number(id);
        let base = match self.dump_view() {
            Some(v) => v.block_offset,
            None => zero,
        };
        let offset = match at {
            Some(at) => self.wrapping(BinOp::Add, base, at),
            None => zero,
        };
        let index = |l: &Self, name| if let Val::Int(v, _) = l.hidden(name) { v } else { zero };
        let (outer, inner) = (index(self, INDEX_OUTER), index(self, INDEX_INNER));
        let words = [field, outer, inner, offset, len.unwrap_or(zero), value];
        for (i, w) in words.into_iter().enumerate() {
            self.store_word(ir::Region::Out, 8 * i as u32, w);
        }
        self.carry(None, |l, block, args| l.b.emit(ir::Target::new(block, &args)));
    }
}

/// How many arrays are being run over.
fn depth_of_arrays(l: &Lowerer<'_>) -> usize {
    l.flow.locals.iter().filter(|x| x.is("#array")).count()
}
