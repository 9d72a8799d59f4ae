//! Types as written → syntax tree.

use super::Rule;
use super::tree::{Builder, Node, Parts, only};
use crate::syntax::ast::*;

impl Builder<'_> {
    /// A `type` node.
    pub(super) fn ty(&self, node: Node<'_>) -> Type {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let mut ty = self.base_type(parts.need());
        if let Some(pointer) = parts.take_if(Rule::pointer) {
            let span = ty.span.to(self.span(&pointer));
            let mut parts = Parts::of(pointer);
            let target = Box::new(self.base_type(parts.need()));
            let scale = parts.take().map(|scale| Box::new(self.infix(scale)));
            ty = Type { kind: TypeKind::Pointer { repr: Box::new(ty), target, scale }, span };
        }
        if parts.take_if(Rule::optional).is_some() {
            ty = Type { kind: TypeKind::Optional(Box::new(ty)), span };
        }
        ty
    }

    /// A node of one of the rules in `base_type`.
    pub(super) fn base_type(&self, node: Node<'_>) -> Type {
        let span = self.span(&node);
        let rule = node.as_rule();
        let mut parts = Parts::of(node);
        let kind = match rule {
            Rule::bytes_type => match parts.need() {
                part if part.as_rule() == Rule::to_end => TypeKind::BytesToEnd,
                part if part.as_rule() == Rule::up_to => TypeKind::BytesUpTo(Box::new(self.infix(only(part)))),
                part => TypeKind::Bytes(Box::new(self.expr_or_infix(part))),
            },
            Rule::sized_type => {
                let word = parts.need();
                let size = Box::new(self.infix(parts.need()));
                match word.as_str() {
                    "cstr" => TypeKind::CStr(size),
                    "utf16" => TypeKind::Utf16(size),
                    _ => TypeKind::Buffer(size),
                }
            }
            Rule::varint_type => TypeKind::Varint(self.ident(&parts.need())),
            Rule::seq_type => {
                let element = Box::new(self.base_type(parts.need()));
                match parts.need() {
                    part if part.as_rule() == Rule::to_end => TypeKind::SeqToEnd(element),
                    part => TypeKind::SeqCount(element, Box::new(self.infix(part))),
                }
            }
            Rule::stream_type => TypeKind::Stream(Box::new(self.base_type(parts.need()))),
            Rule::match_type => {
                let tag = Box::new(self.infix(parts.need()));
                TypeKind::Match { tag, arms: parts.rest().map(|arm| self.type_arm(arm)).collect() }
            }
            Rule::array_type => {
                let element = Box::new(self.ty(parts.need()));
                match parts.need() {
                    part if part.as_rule() == Rule::to_end => TypeKind::ArrayToEnd(element),
                    part => TypeKind::Array(element, Box::new(self.expr(part))),
                }
            }
            Rule::named_type => {
                let path = self.path(parts.need());
                let args = parts.take().map_or(Vec::new(), |args| self.exprs(args));
                TypeKind::Named { path, args }
            }
            other => unreachable!("the grammar has no type {other:?}"),
        };
        Type { kind, span }
    }

    fn type_arm(&self, node: Node<'_>) -> TypeArm {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let mut patterns = Vec::new();
        if parts.take_if(Rule::otherwise).is_none() {
            while let Some(pattern) = parts.take_if(Rule::value_pattern) {
                patterns.push(self.infix(pattern));
            }
        }
        TypeArm { patterns, ty: self.ty(parts.need()), span }
    }
}
