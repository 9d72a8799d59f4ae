//! pest's tree → syntax tree: what all forms share, and declarations. Types, statements and expressions are in the
//! sibling files.
//!
//! Assumes a tree that `grammar/trav.pest` made; where the grammar promises a part, its absence is a bug of ours.
//! What the grammar lets through but is no program (a number that is too large, `a < b < c`) is reported here.

use std::cell::RefCell;
use std::iter::Peekable;

use pest::iterators::{Pair, Pairs};

use super::Rule;
use super::cut::Cut;
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::*;

pub(super) type Node<'i> = Pair<'i, Rule>;

/// Builds the syntax tree of what pest read.
pub(super) struct Builder<'a> {
    cut: &'a Cut,
    diagnostics: RefCell<Vec<Diagnostic>>,
}

/// The parts of a node in order, without marks.
pub(super) struct Parts<'i>(Peekable<Pairs<'i, Rule>>);

impl<'i> Parts<'i> {
    pub(super) fn of(node: Node<'i>) -> Self {
        Parts(node.into_inner().peekable())
    }

    pub(super) fn peek(&mut self) -> Option<Rule> {
        // The grammar's last section holds the marks, and `Rule` has the grammar's order.
        while self.0.next_if(|part| part.as_rule() >= Rule::semi).is_some() {}
        self.0.peek().map(|part| part.as_rule())
    }

    pub(super) fn take(&mut self) -> Option<Node<'i>> {
        self.peek()?;
        self.0.next()
    }

    pub(super) fn take_if(&mut self, rule: Rule) -> Option<Node<'i>> {
        if self.peek() == Some(rule) { self.0.next() } else { None }
    }

    /// A part that the grammar promises.
    pub(super) fn need(&mut self) -> Node<'i> {
        self.take().expect("the grammar promises this part")
    }

    pub(super) fn rest(mut self) -> impl Iterator<Item = Node<'i>> {
        std::iter::from_fn(move || self.take())
    }
}

/// The only part of a node.
pub(super) fn only(node: Node<'_>) -> Node<'_> {
    Parts::of(node).need()
}

/// A file's declarations, one by one.
pub(super) enum Declaration {
    Use(Use),
    Item(Item),
}

impl<'a> Builder<'a> {
    pub(super) fn new(cut: &'a Cut) -> Self {
        Builder { cut, diagnostics: RefCell::default() }
    }

    pub(super) fn finish(self) -> Vec<Diagnostic> {
        self.diagnostics.into_inner()
    }

    pub(super) fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.borrow_mut().push(diagnostic);
    }

    /// Where a node stands.
    pub(super) fn span(&self, node: &Node<'_>) -> Span {
        self.range(node.as_span().start(), node.as_span().end())
    }

    /// A span by its ends within what pest read.
    pub(super) fn range(&self, start: usize, end: usize) -> Span {
        self.cut.span(start, end)
    }

    pub(super) fn path(&self, node: Node<'_>) -> Vec<Ident> {
        Parts::of(node).rest().map(|part| self.ident(&part)).collect()
    }

    /// The `///` lines that come next, without their marks.
    fn doc(&self, parts: &mut Parts<'_>) -> String {
        let lines = std::iter::from_fn(|| parts.take_if(Rule::doc));
        join_doc(lines.map(|line| line.as_str().to_owned()))
    }

    pub(super) fn module(&self, node: Node<'_>) -> Module {
        let mut module = Module { file: self.cut.file, doc: String::new(), uses: Vec::new(), items: Vec::new() };
        let mut parts = Parts::of(node);
        let lines = std::iter::from_fn(|| parts.take_if(Rule::module_doc));
        module.doc = join_doc(lines.map(|line| line.as_str().to_owned()));
        for part in parts.rest().filter(|part| part.as_rule() != Rule::EOI) {
            match self.declaration(part) {
                Declaration::Use(found) => module.uses.push(found),
                Declaration::Item(found) => module.items.push(found),
            }
        }
        module
    }

    pub(super) fn declaration(&self, node: Node<'_>) -> Declaration {
        if node.as_rule() == Rule::use_decl {
            return Declaration::Use(self.use_decl(node));
        }
        let mut parts = Parts::of(node);
        let doc = self.doc(&mut parts);
        let node = parts.need();
        Declaration::Item(match node.as_rule() {
            Rule::const_decl => Item::Const(self.const_decl(doc, node).into()),
            Rule::enum_decl => {
                let (name, repr, items, span) = self.enum_parts(node);
                Item::Enum(Enum { doc, name, repr, items, span })
            }
            Rule::flags_decl => {
                let (name, repr, items, span) = self.enum_parts(node);
                Item::Flags(Flags { doc, name, repr, items, span })
            }
            Rule::struct_decl => Item::Struct(self.struct_decl(doc, node)),
            Rule::record_decl => Item::Record(self.record_decl(doc, node)),
            Rule::fn_decl => Item::Fn(self.fn_decl(doc, node).into()),
            Rule::traversal_decl => Item::Traversal(self.traversal_decl(doc, node).into()),
            Rule::source_decl => Item::Source(self.source_decl(node)),
            Rule::test_decl => Item::Test(self.test_decl(node)),
            other => unreachable!("the grammar has no declaration {other:?}"),
        })
    }

    fn use_decl(&self, node: Node<'_>) -> Use {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let path = self.path(parts.need());
        let names = parts.take().map(|names| self.path(names));
        Use { path, names, span }
    }

    fn const_decl(&self, doc: String, node: Node<'_>) -> Const {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let ty = parts.take_if(Rule::r#type).map(|ty| self.ty(ty));
        Const { doc, name, ty, value: self.expr(parts.need()), span }
    }

    fn enum_parts(&self, node: Node<'_>) -> (Ident, Type, Vec<EnumItem>, Span) {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let repr = self.ty(parts.need());
        let items = Parts::of(parts.need()).rest().map(|item| {
            let mut parts = Parts::of(item);
            let doc = self.doc(&mut parts);
            EnumItem { doc, name: self.ident(&parts.need()), value: self.expr(parts.need()) }
        });
        (name, repr, items.collect(), span)
    }

    fn struct_decl(&self, doc: String, node: Node<'_>) -> Struct {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let params = parts.take_if(Rule::params).map_or(Vec::new(), |params| self.params(params));
        // Order and size may stand in either order.
        let early_size = parts.take_if(Rule::size);
        let order = parts.take_if(Rule::order).map(|order| match order.as_str().trim_end() {
            "big" => ByteOrder::Big,
            _ => ByteOrder::Little,
        });
        let size = early_size.or_else(|| parts.take_if(Rule::size)).map(|size| self.infix(only(size)));
        let members = parts.rest().map(|member| self.member(member)).collect();
        Struct { doc, name, params, order, size, members, span }
    }

    pub(super) fn member(&self, node: Node<'_>) -> Member {
        let mut parts = Parts::of(node);
        let doc = self.doc(&mut parts);
        let at = parts.take_if(Rule::at);
        let start = at.as_ref().map(|at| self.span(at));
        let at = at.map(|at| self.infix(only(at)));
        let node = parts.need();
        let span = start.map_or(self.span(&node), |start| start.to(self.span(&node)));
        match node.as_rule() {
            Rule::field_member => Member::Field(self.field(doc, at, node, span)),
            Rule::let_member => {
                let mut parts = Parts::of(node);
                let name = self.ident(&parts.need());
                let ty = parts.take_if(Rule::r#type).map(|ty| self.ty(ty));
                let value = self.expr(parts.need());
                Member::Let(LetMember { doc, name, ty, value, cond: self.condition(&mut parts), span })
            }
            Rule::align_member => Member::Align(self.infix(only(node))),
            Rule::where_member => Member::Where(self.expr(only(node))),
            Rule::bits_member => Member::Bits(self.bits(at, node, span)),
            Rule::fn_decl => Member::Fn(self.fn_decl(doc, node).into()),
            other => unreachable!("the grammar has no member {other:?}"),
        }
    }

    fn field(&self, doc: String, at: Option<Expr>, node: Node<'_>, span: Span) -> Field {
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let ty = self.ty(parts.need());
        let magic = self.magic(&mut parts);
        Field { doc, at, name, ty, magic, cond: self.condition(&mut parts), span }
    }

    fn magic(&self, parts: &mut Parts<'_>) -> Option<Expr> {
        parts.take_if(Rule::magic).map(|magic| self.expr(only(magic)))
    }

    fn condition(&self, parts: &mut Parts<'_>) -> Option<Expr> {
        parts.take_if(Rule::condition).map(|condition| self.expr(only(condition)))
    }

    fn bits(&self, at: Option<Expr>, node: Node<'_>, span: Span) -> Bits {
        let mut parts = Parts::of(node);
        let repr = self.base_type(parts.need());
        let from_high = parts.take_if(Rule::from_high).is_some();
        let fields = parts.rest().map(|field| {
            let mut parts = Parts::of(field);
            let doc = self.doc(&mut parts);
            let name = self.ident(&parts.need());
            let width = self.infix(parts.need());
            let ty = parts.take_if(Rule::named_type).map(|ty| self.base_type(ty));
            let magic = self.magic(&mut parts);
            BitField { doc, name, width, ty, magic, cond: self.condition(&mut parts) }
        });
        Bits { at, repr, from_high, fields: fields.collect(), span }
    }

    fn record_decl(&self, doc: String, node: Node<'_>) -> Record {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let (mut fields, mut fns) = (Vec::new(), Vec::new());
        for member in parts.rest() {
            let mut parts = Parts::of(member);
            let doc = self.doc(&mut parts);
            let node = parts.need();
            match node.as_rule() {
                Rule::fn_decl => fns.push(self.fn_decl(doc, node).into()),
                _ => {
                    let span = self.span(&node);
                    fields.push(self.field(doc, None, node, span));
                }
            }
        }
        Record { doc, name, fields, fns, span }
    }

    fn params(&self, node: Node<'_>) -> Vec<Param> {
        let param = |node| {
            let mut parts = Parts::of(node);
            let name = self.ident(&parts.need());
            Param { name, ty: self.ty(parts.need()), default: parts.take().map(|value| self.expr(value)) }
        };
        Parts::of(node).rest().map(param).collect()
    }

    fn fn_decl(&self, doc: String, node: Node<'_>) -> Fn {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let params = self.params(parts.need());
        let result = self.ty(parts.need());
        Fn { doc, name, params, result, body: self.block(parts.need()), span }
    }

    fn traversal_decl(&self, doc: String, node: Node<'_>) -> Traversal {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let params = self.params(parts.need());
        let result = parts.take_if(Rule::r#type).map(|ty| self.ty(ty));
        Traversal { doc, name, params, result, body: self.block(parts.need()), span }
    }

    fn source_decl(&self, node: Node<'_>) -> Source {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        Source { name: self.ident(&parts.need()), count: parts.take().map(|count| self.expr(count)), span }
    }

    fn test_decl(&self, node: Node<'_>) -> Test {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let name = self.text(&parts.need());
        let image = self.text(&parts.need());
        Test { name, image, body: self.block(parts.need()), span }
    }
}

/// Doc lines without `///` or `//!` and the one blank behind it, joined.
pub(super) fn join_doc(lines: impl Iterator<Item = String>) -> String {
    let bare = |line: String| {
        let text = line[3..].trim_end();
        text.strip_prefix(' ').unwrap_or(text).to_owned()
    };
    lines.map(bare).collect::<Vec<_>>().join("\n")
}
