//! The first round: names. Loads what `use` asks for and gives every item its id.

use super::*;
use crate::syntax::parse;
use std::sync::OnceLock;

impl Checker<'_> {
    /// Declares a parsed module and, before it, the modules it uses.
    pub(super) fn declare_module(&mut self, path: Vec<String>, module: ast::Module, depth: usize) -> ModuleId {
        let id = ModuleId(self.program.modules.len() as u32);
        self.by_path.insert(path.clone(), id);
        self.program.modules.push(ModuleDef { path, ..ModuleDef::default() });
        for used in &module.uses {
            self.take_over(id, used, depth);
        }
        for item in &module.items {
            self.declare_item(id, item);
        }
        self.pending.push((id, module));
        id
    }

    fn take_over(&mut self, into: ModuleId, used: &ast::Use, depth: usize) {
        let path: Vec<String> = used.path.iter().map(|p| p.name.clone()).collect();
        let module = match self.by_path.get(&path) {
            Some(id) => *id,
            None => {
                if depth >= USES_DEEP_MAX {
                    let message = format!("expected at most {USES_DEEP_MAX} modules that use one another in a chain");
                    self.error("E0206", used.span, message, "this one is too deep");
                    return;
                }
                let Some(module) = self.parsed.remove(&path).or_else(|| self.parse_module(&path)) else {
                    let message = format!("expected a module, found no file for `{}`", path.join("."));
                    let known = crate::texts::standard_modules().collect::<Vec<_>>().join(", ");
                    self.error("E0203", used.span, message, "no such module").help =
                        Some(format!("the standard modules are {known}"));
                    return;
                };
                self.declare_module(path, module, depth + 1)
            }
        };
        match &used.names {
            None => {
                let last = used.path.last().expect("the grammar wants a part in a path");
                self.declare(into, &last.name, Def::Module(module), used.span);
            }
            Some(names) => {
                for name in names {
                    match self.program.modules[module.index()].names.get(&name.name).copied() {
                        Some((def, _)) => self.declare(into, &name.name, def, name.span),
                        None => self.unknown_in(module, name),
                    }
                }
            }
        }
    }

    fn parse_module(&mut self, path: &[String]) -> Option<ast::Module> {
        let parts: Vec<&str> = path.iter().map(String::as_str).collect();
        let (name, text) = find_module(self.loader, &parts)?;
        let file = self.sources.add(name, text);
        let (module, errors) = parse(file, &self.sources.file(file).text);
        self.diagnostics.extend(errors);
        Some(module)
    }

    pub(super) fn unknown_in(&mut self, module: ModuleId, name: &ast::Ident) {
        let def = &self.program.modules[module.index()];
        let like = nearest(&name.name, def.names.keys().map(String::as_str)).map(String::from);
        let of = if def.path.is_empty() { String::new() } else { format!(" of {}", def.path.join(".")) };
        let message = format!("expected a name{of}, found `{}`, which is not declared", name.name);
        self.error("E0201", name.span, message, "not declared").help = like.map(|l| format!("did you mean `{l}`?"));
    }

    fn declare(&mut self, module: ModuleId, name: &str, def: Def, span: Span) {
        let names = &mut self.program.modules[module.index()].names;
        if let Some((_, first)) = names.get(name).copied() {
            let message = format!("expected one declaration of `{name}`, found two");
            let d = self.error("E0202", span, message, "declared again here");
            if first.file == span.file {
                d.others.push(crate::diag::Label { span: first, text: "first declared here".into() });
            }
        } else {
            names.insert(name.to_string(), (def, span));
        }
    }

    fn declare_item(&mut self, module: ModuleId, item: &ast::Item) {
        let p = &mut self.program;
        let blank = |name: &ast::Ident| NamedBits {
            name: name.name.clone(),
            bits: 64,
            endian: None,
            items: Vec::new(),
            span: name.span,
        };
        let (name, def) = match item {
            ast::Item::Const(c) => {
                let def =
                    ConstDef { module, name: c.name.name.clone(), ty: None, syntax: c.clone(), value: OnceLock::new() };
                p.consts.push(def);
                (&c.name, Def::Const(ConstId(p.consts.len() as u32 - 1)))
            }
            ast::Item::Enum(e) => {
                p.enums.push(blank(&e.name));
                (&e.name, Def::Enum(EnumId(p.enums.len() as u32 - 1)))
            }
            ast::Item::Flags(e) => {
                p.flags.push(blank(&e.name));
                (&e.name, Def::Flags(FlagsId(p.flags.len() as u32 - 1)))
            }
            ast::Item::Struct(s) => {
                p.structs.push(StructDef {
                    module,
                    name: s.name.name.clone(),
                    params: Vec::new(),
                    members: Vec::new(),
                    by_name: HashMap::new(),
                    methods: HashMap::new(),
                    size: SizeRule::LastMember,
                    fixed_bytes: 0,
                    least_bytes: 0,
                    span: s.span,
                    doc: s.doc.clone(),
                });
                (&s.name, Def::Struct(StructId(p.structs.len() as u32 - 1)))
            }
            ast::Item::Record(r) => {
                let def = RecordDef {
                    module,
                    name: r.name.name.clone(),
                    fields: Vec::new(),
                    methods: HashMap::new(),
                    span: r.span,
                };
                p.records.push(def);
                (&r.name, Def::Record(RecordId(p.records.len() as u32 - 1)))
            }
            ast::Item::Fn(f) => {
                let def = FnDef { module, of: None, params: Vec::new(), result: Ty::Error, syntax: f.clone() };
                p.fns.push(def);
                (&f.name, Def::Fn(FnId(p.fns.len() as u32 - 1)))
            }
            ast::Item::Traversal(t) => {
                p.traversals.push(TraversalDef {
                    module,
                    params: Vec::new(),
                    defaults: Vec::new(),
                    result: Ty::Unit,
                    stream: false,
                    syntax: t.clone(),
                });
                (&t.name, Def::Traversal(TraversalId(p.traversals.len() as u32 - 1)))
            }
            ast::Item::Source(s) => {
                let first = p.sources.len() as u32;
                let count = s.count.as_ref().map(|c| self.const_size(module, c).clamp(1, 256));
                let p = &mut self.program;
                match count {
                    None => p.sources.push(s.name.name.clone()),
                    Some(n) => p.sources.extend((0..n).map(|i| format!("{}[{i}]", s.name.name))),
                }
                (&s.name, Def::Source(first, count))
            }
            ast::Item::Test(_) => return,
        };
        self.declare(module, &name.name.clone(), def, name.span);
    }
}
