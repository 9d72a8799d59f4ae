//! The page of a module: its items in the order of the spec.

use super::diagram::{Part, draw};
use super::html::{comment, document, escape, inline};
use std::fmt::Write;
use std::sync::Arc;
use trav_compiler::Declarations;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::certificate::certificate;
use trav_compiler::check::layout::Extent;
use trav_compiler::check::types::{Def, MemberDef, MemberKind, ModuleId, Offset, SizeRule, StructDef};
use trav_compiler::ir::verify::Verified;
use trav_compiler::source::Span;
use trav_compiler::syntax::ast::{EnumItem, Fn, Ident, Item, Record, Struct, Traversal};

/// A page that was made.
pub struct Page {
    pub file: String,
    pub html: String,
    /// The first sentence of the module's comment.
    pub summary: String,
}

/// A page as the index names it.
pub struct Entry {
    pub name: String,
    pub file: String,
    pub summary: String,
}

/// The list of all pages.
pub fn index(entries: &[Entry]) -> String {
    let mut body = "<h1>Modules</h1>\n<table>\n".to_owned();
    for e in entries {
        let (name, file) = (escape(&e.name), escape(&e.file));
        let _ = writeln!(body, "<tr><td><a href=\"{file}\">{name}</a></td><td>{}</td></tr>", inline(&e.summary));
    }
    document("Modules", &(body + "</table>\n"))
}

/// Makes the page of a module from its declarations and its verified traversals.
pub fn page(name: &str, file: String, declared: &Declarations, traversals: &[Verified]) -> Page {
    let maker = Maker { declared, traversals };
    let mut body = format!("<p><a href=\"index.html\">Modules</a></p>\n<h1>{}</h1>\n", escape(name));
    body += &comment(&declared.syntax.doc);
    body += "<nav><ul>\n";
    for (kind, ident) in declared.syntax.items.iter().filter_map(named) {
        let ident = escape(&ident.name);
        let _ = writeln!(body, "<li><a href=\"#{ident}\">{ident}</a> <small>{kind}</small></li>");
    }
    body += "</ul></nav>\n";
    for item in &declared.syntax.items {
        body += &maker.item(item);
    }
    let summary = declared.syntax.doc.split("\n\n").next().unwrap_or("").replace('\n', " ");
    Page { file, html: document(name, &body), summary }
}

/// What an item is called; none for tests.
fn named(item: &Item) -> Option<(&'static str, &Ident)> {
    Some(match item {
        Item::Const(c) => ("const", &c.name),
        Item::Enum(e) => ("enum", &e.name),
        Item::Flags(f) => ("flags", &f.name),
        Item::Struct(s) => ("struct", &s.name),
        Item::Record(r) => ("record", &r.name),
        Item::Fn(f) => ("fn", &f.name),
        Item::Traversal(t) => ("traversal", &t.name),
        Item::Source(s) => ("source", &s.name),
        Item::Test(_) => return None,
    })
}

struct Maker<'d> {
    declared: &'d Declarations,
    traversals: &'d [Verified],
}

impl Maker<'_> {
    fn text(&self, span: Span) -> &str {
        self.declared.sources.text(span)
    }

    /// The code from one place to another, on one line.
    fn code(&self, span: Span) -> String {
        escape(&self.text(span).lines().map(str::trim).collect::<Vec<_>>().join(" "))
    }

    fn head(&self, span: Span, body: Span) -> String {
        self.code(Span { end: body.start, ..span }).trim_end().to_owned()
    }

    fn item(&self, item: &Item) -> String {
        let Some((kind, ident)) = named(item) else { return String::new() };
        let name = escape(&ident.name);
        let mut out = format!("<h2 id=\"{name}\"><code>{name}</code> <small>{kind}</small></h2>\n");
        match item {
            Item::Const(c) => {
                out += &comment(&c.doc);
                let text = self.text(c.span);
                let _ = match text.lines().count() {
                    0..=12 => writeln!(out, "<pre>{}</pre>", escape(text)),
                    lines => {
                        writeln!(out, "<details><summary>{lines} lines</summary><pre>{}</pre></details>", escape(text))
                    }
                };
            }
            Item::Enum(e) => out += &self.items(&e.doc, &e.items, e.repr.span),
            Item::Flags(f) => out += &self.items(&f.doc, &f.items, f.repr.span),
            Item::Struct(s) => out += &self.structure(s),
            Item::Record(r) => out += &self.record(r),
            Item::Fn(f) => out += &self.function(f),
            Item::Traversal(t) => out += &self.traversal(t),
            Item::Source(s) => {
                let _ = writeln!(out, "<pre>{}</pre>", self.code(s.span));
            }
            Item::Test(_) => {}
        }
        out
    }

    fn items(&self, doc: &str, items: &[EnumItem], repr: Span) -> String {
        let mut out = comment(doc);
        let _ = writeln!(out, "<p>Stored as <code>{}</code>.</p>\n<table>", self.code(repr));
        for i in items {
            let (name, value) = (escape(&i.name.name), self.code(i.value.span));
            let doc = inline(&i.doc);
            let _ = writeln!(out, "<tr><td><code>{name}</code></td><td><code>{value}</code></td><td>{doc}</td></tr>");
        }
        out + "</table>\n"
    }

    fn function(&self, f: &Fn) -> String {
        comment(&f.doc) + &format!("<pre>{}</pre>\n", self.head(f.span, f.body.span))
    }

    fn methods<'f>(&self, fns: impl Iterator<Item = &'f Arc<Fn>>) -> String {
        let mut out = String::new();
        for f in fns {
            let _ = write!(out, "<pre>{}</pre>\n{}", self.head(f.span, f.body.span), comment(&f.doc));
        }
        out
    }

    fn record(&self, r: &Record) -> String {
        let mut out = comment(&r.doc) + "<table>\n";
        for f in &r.fields {
            let _ = writeln!(out, "<tr><td><code>{}</code></td><td>{}</td></tr>", self.code(f.span), inline(&f.doc));
        }
        out + "</table>\n" + &self.methods(r.fns.iter())
    }

    fn traversal(&self, t: &Traversal) -> String {
        let mut out = comment(&t.doc);
        let _ = writeln!(out, "<pre>{}</pre>", self.head(t.span, t.body.span));
        let Some(verified) = self.traversals.iter().find(|v| v.name == t.name.name) else { return out };
        let c = certificate(verified, &Profile::named("test").expect("the profile of the hook `test` is built in"));
        let mut rows = vec![
            ("hops at most", c.hops_max),
            ("bytes read at most", c.bytes_max),
            ("bytes in one read at most", c.read_bytes_max),
            ("steps", c.steps),
            ("bytes carried over a read at most", c.frame_bytes),
            ("bytes of scratch memory", c.scratch_bytes),
            ("checks that remain", c.checks.len() as u64),
        ];
        if let Ok(insns) = &c.insns {
            rows.insert(3, ("BPF instructions at most", insns.walk));
            rows.insert(3, ("BPF instructions of a hop at most", insns.run));
        }
        if verified.stream {
            rows.insert(0, ("rows at most", c.rows_max));
        }
        out += "<table>\n";
        for (what, n) in rows {
            let n = if n == u64::MAX { "no bound in 64 bits".to_owned() } else { n.to_string() };
            let _ = writeln!(out, "<tr><td>{what}</td><td class=\"number\">{n}</td></tr>");
        }
        out += "</table>\n";
        if !c.checks.is_empty() {
            out += "<details><summary>The checks</summary><ul>\n";
            for check in &c.checks {
                let fault = &verified.faults[check.fault.index()];
                let _ = writeln!(out, "<li>{}: {}</li>", fault.kind.name(), escape(&fault.message));
            }
            out += "</ul></details>\n";
        }
        out
    }

    fn structure(&self, s: &Struct) -> String {
        let mut out = comment(&s.doc);
        let program = &self.declared.program;
        let names = &program.modules[ModuleId(0).index()].names;
        let Some((Def::Struct(id), _)) = names.get(&s.name.name) else { return out };
        let def = &program.structs[id.index()];
        let head = self.text(s.span).split('{').next().unwrap_or("").trim();
        let _ = writeln!(out, "<pre>{}</pre>", escape(head));
        out += &self.drawing(def);
        out += "<table>\n<tr><th>offset</th><th>bytes</th><th></th><th></th></tr>\n";
        for m in &def.members {
            out += &self.member(def, m);
        }
        let methods = s.members.iter().filter_map(|m| match m {
            trav_compiler::syntax::ast::Member::Fn(f) => Some(f),
            _ => None,
        });
        out + "</table>\n" + &self.methods(methods)
    }

    /// The bytes that a member takes, where that is constant.
    fn bytes(&self, def: &StructDef, m: &MemberDef) -> Option<u32> {
        let MemberKind::Stored { ty, .. } = &m.kind else { return None };
        match self.declared.program.extent(def.module, ty) {
            Extent::Const(n) => Some(n),
            Extent::AtLeast(_) => None,
        }
    }

    fn drawing(&self, def: &StructDef) -> String {
        let mut parts: Vec<Part> = Vec::new();
        let mut behind = Vec::new();
        let mut stored: Vec<&MemberDef> = def.members.iter().collect();
        stored.sort_by_key(|m| match &m.kind {
            MemberKind::Stored { offset: Offset::Fixed(n), .. } => *n,
            _ => u32::MAX,
        });
        for m in stored {
            let MemberKind::Stored { offset, .. } = &m.kind else { continue };
            let name = self.member_name(def, m);
            let at = parts.last().map_or(0, |p| p.end);
            match (offset, self.bytes(def, m)) {
                // Variants that share their bytes are drawn once.
                (Offset::Fixed(n), Some(0)) if *n >= at => {}
                (Offset::Fixed(n), _) if *n < at => {}
                (Offset::Fixed(n), Some(bytes)) => {
                    if *n > at {
                        parts.push(Part { name: None, start: at, end: *n });
                    }
                    parts.push(Part { name: (name != "_").then_some(name), start: *n, end: n + bytes });
                }
                _ => behind.push(name),
            }
        }
        if let (SizeRule::Const(size), Some(end)) = (&def.size, parts.last().map(|p| p.end))
            && *size > end
            && behind.is_empty()
        {
            parts.push(Part { name: None, start: end, end: *size });
        }
        if parts.is_empty() && behind.is_empty() { String::new() } else { draw(&parts, &behind) }
    }

    /// A member's name; for the word of bit fields, theirs.
    fn member_name(&self, def: &StructDef, m: &MemberDef) -> String {
        let fields = def.members.iter().filter(
            |b| matches!(b.kind, MemberKind::Bits { word, .. } if std::ptr::eq(&raw const def.members[word], m)),
        );
        let names: Vec<&str> = fields.map(|b| b.name.as_str()).filter(|n| *n != "_").collect();
        if names.is_empty() { m.name.clone() } else { names.join(" ") }
    }

    fn member(&self, def: &StructDef, m: &MemberDef) -> String {
        let (offset, bytes) = match &m.kind {
            MemberKind::Stored { offset, .. } => {
                let offset = match offset {
                    Offset::Fixed(n) => format!("{n:#x}"),
                    Offset::After { .. } => "behind".into(),
                    Offset::Computed(e) => self.code(e.span),
                };
                (offset, self.bytes(def, m).map_or_else(|| "varies".into(), |n| n.to_string()))
            }
            MemberKind::Bits { shift, width, .. } => {
                let bits =
                    if *width == 1 { format!("bit {shift}") } else { format!("bits {shift}–{}", shift + width - 1) };
                (String::new(), bits)
            }
            MemberKind::Computed { .. } => ("computed".into(), String::new()),
            MemberKind::Condition => ("condition".into(), String::new()),
        };
        let (code, doc) = (self.code(m.span), inline(&m.doc));
        format!(
            "<tr><td class=\"number\">{offset}</td><td class=\"number\">{bytes}</td><td><code>{code}</code></td><td>{doc}</td></tr>\n"
        )
    }
}
