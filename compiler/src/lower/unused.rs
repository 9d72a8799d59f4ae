//! Bodies that no walk reaches, lowered by themselves for their errors only.
//!
//! The errors of a `fn` show where a walk calls it, and those of a structure's members where they are used. The functions that no walk of
//! the module calls, and the members of all its structures, are lowered here on operands of which only the types are known. What is
//! emitted is thrown away, and nothing is asked that depends on what a caller knows: whether an index is below a length, which
//! arm a variant has, how often a loop turns at most.

use super::*;
use crate::syntax::Suspects;
use call::Target;
use view::Context;

/// Errors that do not depend on what is known of the operands.
const ALWAYS: [&str; 16] = [
    "E0201", "E0202", "E0203", "E0204", "E0205", "E0206", "E0301", "E0302", "E0304", "E0307", "E0308", "E0401",
    "E0402", "E0403", "E0404", "E0604",
];

/// Bytes of unknown length are as long as this.
const BYTES_MAX: u32 = 1 << 16;

/// The errors in the structures of the root module, and in its functions that are not in `called`; not in what holds or names an error.
pub(crate) fn unused_bodies(
    program: &Program,
    sources: &SourceMap,
    called: &FxHashSet<FnId>,
    suspects: &Suspects,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    // All together may cost as much as one traversal.
    let mut left = EXPRESSIONS_MAX;
    let of_root = |m: ModuleId| m == ModuleId(0);
    for (i, def) in program.structs.iter().enumerate().filter(|(_, s)| of_root(s.module) && !suspects.hold(s.span)) {
        let id = StructId(i as u32);
        found.extend(alone(program, sources, &def.name, def.module, def.span, &mut left, |l| l.all_members(id)));
    }
    for (i, def) in program.fns.iter().enumerate().filter(|(_, f)| of_root(f.module)) {
        let id = FnId(i as u32);
        let name = &def.syntax.name;
        if called.contains(&id) || suspects.hold(name.span) {
            continue;
        }
        found.extend(alone(program, sources, &name.name, def.module, name.span, &mut left, |l| l.fn_alone(id)));
    }
    found.retain(|d: &Diagnostic| ALWAYS.contains(&d.code));
    found
}

/// Runs `f` in a walk that has read one block, and gives back what it reports.
fn alone(
    program: &Program,
    sources: &SourceMap,
    name: &str,
    module: ModuleId,
    span: Span,
    left: &mut u32,
    f: impl FnOnce(&mut Lowerer<'_>),
) -> Vec<Diagnostic> {
    let mut l = Lowerer::new(program, sources, name, Ty::Unit, false, span);
    l.expressions_left = *left;
    l.enter(module, FrameKind::Root, Ty::Unit, Rc::default());
    let fault = l.fault_id(ir::FaultKind::OutOfDevice, "no such block", ir::FoundAs::Unsigned, span);
    let number = |l: &mut Lowerer<'_>, name: &str| match l.take_argument(name, &Ty::Int(IntTy::plain(16, false)), None)
    {
        Some(Val::Int(v, _)) => v,
        _ => l.number(0),
    };
    let (at, len) = (number(&mut l, "at"), number(&mut l, "length"));
    l.carry(Some((len, 0)), |l, block, args| l.b.hop(ir::SourceId(0), at, len, ir::Target::new(block, &args), fault));
    f(&mut l);
    *left = l.expressions_left;
    l.diagnostics
}

impl Lowerer<'_> {
    /// A value of which only the type is known; none for a type that values do not have.
    fn of_type(&mut self, name: &str, ty: &Ty) -> Option<Val> {
        match ty {
            Ty::AnyBytes => {
                let ty = Ty::Bytes { max: BYTES_MAX, fixed: false, display: ir::schema::Display::Plain };
                self.take_argument(name, &ty, None)
            }
            Ty::View(id) => self.some_view(*id).map(Val::View),
            ty => self.take_argument(name, ty, None),
        }
    }

    /// A view at the start of the block.
    fn some_view(&mut self, id: StructId) -> Option<Shared<View>> {
        let program = self.program;
        let def = &program.structs[id.index()];
        let disk = self.flow.disk?;
        let args = def.params.iter().map(|(name, ty)| self.of_type(name, ty).unwrap_or(Val::Never)).collect();
        let place = Place {
            region: ir::Region::Disk,
            generation: disk.generation,
            origin: Origin::Start,
            index: None,
            disp: 0,
        };
        let zero = self.number(0);
        let ctx = Context {
            view: None,
            limit: disk.len,
            limit_evident: true,
            block_offset: zero,
            name: def.name.clone(),
            whole: false,
        };
        Some(self.make_view(id, args, place, &ctx, def.span))
    }

    fn all_members(&mut self, id: StructId) {
        let Some(view) = self.some_view(id) else { return };
        let program = self.program;
        for (i, m) in program.structs[id.index()].members.iter().enumerate() {
            self.member(&view, i, m.span);
        }
    }

    fn fn_alone(&mut self, id: FnId) {
        let program = self.program;
        let def = &program.fns[id.index()];
        let this = match &def.of {
            Some(of) => match self.of_type("self", of) {
                Some(this) => Some(this),
                None => return,
            },
            None => None,
        };
        let values: Option<Vec<Val>> = def.params.iter().map(|(name, ty)| self.of_type(name, ty)).collect();
        if let Some(values) = values {
            self.body_of(Target::Fn(id, this), values, None);
        }
    }
}
