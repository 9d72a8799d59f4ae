//! Statements, blocks, and the expressions that hold blocks → syntax tree.

use super::Rule;
use super::tree::{Builder, Node, Parts, only};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::*;

impl Builder<'_> {
    pub(super) fn block(&self, node: Node<'_>) -> BlockExpr {
        let span = self.span(&node);
        let mut block = BlockExpr { stmts: Vec::new(), value: None, span };
        let mut parts = Parts::of(node);
        while let Some(part) = parts.take() {
            if part.as_rule() == Rule::expr_stmt || part.as_rule() == Rule::block_stmt {
                let ended = part.clone().into_inner().any(|mark| mark.as_rule() == Rule::semi);
                if !ended && parts.peek().is_none() {
                    let value = self.expr_of(only(part));
                    match yields(&value) {
                        true => block.value = Some(value),
                        false => block.stmts.push(Stmt { span: value.span, kind: StmtKind::Expr(value) }),
                    }
                    break;
                }
            }
            block.stmts.push(self.statement(part));
        }
        block
    }

    pub(super) fn statement(&self, node: Node<'_>) -> Stmt {
        let span = self.span(&node);
        let rule = node.as_rule();
        let mut parts = Parts::of(node);
        let kind = match rule {
            Rule::let_stmt => {
                let name = self.ident(&parts.need());
                let ty = parts.take_if(Rule::r#type).map(|ty| self.ty(ty));
                StmtKind::Let(name, ty, self.expr(parts.need()))
            }
            Rule::var_stmt => {
                let name = self.ident(&parts.need());
                let ty = parts.take_if(Rule::r#type).map(|ty| self.ty(ty));
                StmtKind::Var(name, ty, parts.take().map(|value| self.expr(value)))
            }
            Rule::for_stmt => {
                let name = self.ident(&parts.need());
                let over = self.over(parts.need());
                StmtKind::For(name, over, self.block(parts.need()))
            }
            Rule::loop_stmt => {
                let mut head = |rule| parts.take_if(rule).map(|part| self.infix(only(part)));
                let (most, measure, cond) = (head(Rule::most), head(Rule::measure), head(Rule::loop_while));
                let body = self.block(parts.need());
                let other = parts.take().map(|other| self.block(other));
                StmtKind::Loop(Loop { most, measure, cond, body, other })
            }
            Rule::jump_stmt => self.jump_stmt(only(parts.need())),
            Rule::require_stmt => {
                let cond = self.infix(parts.need());
                StmtKind::Require(cond, self.text(&parts.need()))
            }
            Rule::emit_stmt => StmtKind::Emit(self.expr(parts.need())),
            Rule::assert_stmt => StmtKind::Assert(self.expr(parts.need())),
            Rule::block_stmt => StmtKind::Expr(self.braced(parts.need())),
            Rule::expr_stmt => self.expr_stmt(parts),
            other => unreachable!("the grammar has no statement {other:?}"),
        };
        Stmt { kind, span }
    }

    /// `EXPR` or `PLACE op= EXPR`, as a statement or as what a match arm does.
    fn expr_stmt(&self, mut parts: Parts<'_>) -> StmtKind {
        let mut left = self.expr(parts.need());
        let Some(sign) = parts.take_if(Rule::assign_op) else {
            return StmtKind::Expr(left);
        };
        let op = match sign.as_str().trim_end() {
            "=" => None,
            "+=" => Some(BinaryOp::Add),
            "-=" => Some(BinaryOp::Sub),
            "*=" => Some(BinaryOp::Mul),
            "/=" => Some(BinaryOp::Div),
            "%=" => Some(BinaryOp::Rem),
            "|=" => Some(BinaryOp::BitOr),
            "&=" => Some(BinaryOp::BitAnd),
            "^=" => Some(BinaryOp::BitXor),
            "<<=" => Some(BinaryOp::Shl),
            _ => Some(BinaryOp::Shr),
        };
        if matches!(*left.kind, ExprKind::End) {
            // The size of a structure cannot be assigned to, so this is a variable.
            *left.kind = ExprKind::Name(Ident { name: "end".into(), span: left.span });
        }
        if !matches!(*left.kind, ExprKind::Name(_) | ExprKind::Field(..) | ExprKind::Index(..)) {
            let message = "expected a variable before `=`, found another expression";
            let error = Diagnostic::error("E0101", left.span, message, "cannot be assigned to");
            self.report(error.help("write `==` to compare"));
        }
        StmtKind::Assign(left, op, self.expr(parts.need()))
    }

    /// A node of one of the rules in `jump`, as a statement.
    fn jump_stmt(&self, node: Node<'_>) -> StmtKind {
        match self.jump(node) {
            ElseBranch::Return(value, _) => StmtKind::Return(value),
            ElseBranch::Fail(why, _) => StmtKind::Fail(why),
            ElseBranch::Break(_) => StmtKind::Break,
            ElseBranch::Continue(_) => StmtKind::Continue,
            ElseBranch::Value(value) => StmtKind::Expr(value),
        }
    }

    /// A node of one of the rules in `jump`.
    pub(super) fn jump(&self, node: Node<'_>) -> ElseBranch {
        let span = self.span(&node);
        match node.as_rule() {
            Rule::return_jump => ElseBranch::Return(Parts::of(node).take().map(|value| self.expr(value)), span),
            Rule::fail_jump => ElseBranch::Fail(self.text(&only(node)), span),
            Rule::break_jump => ElseBranch::Break(span),
            _ => ElseBranch::Continue(span),
        }
    }

    /// An `expr` node, or one of the rules in `braced`.
    fn expr_of(&self, node: Node<'_>) -> Expr {
        if node.as_rule() == Rule::expr { self.expr(node) } else { self.braced(node) }
    }

    /// `if`, `match` or a block.
    pub(super) fn braced(&self, node: Node<'_>) -> Expr {
        let span = self.span(&node);
        let kind = match node.as_rule() {
            Rule::if_expr => return self.if_expr(node),
            Rule::match_expr => {
                let mut parts = Parts::of(node);
                let scrutinee = self.infix(parts.need());
                ExprKind::Match { scrutinee, arms: parts.rest().map(|arm| self.match_arm(arm)).collect() }
            }
            _ => ExprKind::Block(self.block(node)),
        };
        Expr { kind: Box::new(kind), span }
    }

    /// `if a {} else if b {} else {}`: a list in the grammar, nested in the tree.
    fn if_expr(&self, node: Node<'_>) -> Expr {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let mut branches = vec![(span.start, self.cond(parts.need()), self.block(parts.need()))];
        let mut other = None;
        while let Some(part) = parts.take() {
            if part.as_rule() == Rule::else_if {
                let word = part.clone().into_inner().find(|mark| mark.as_rule() == Rule::kw_if);
                let start = self.span(&word.expect("`else if` has an `if`")).start;
                let mut parts = Parts::of(part);
                branches.push((start, self.cond(parts.need()), self.block(parts.need())));
            } else {
                let block = self.block(part);
                other = Some(Expr { span: block.span, kind: Box::new(ExprKind::Block(block)) });
            }
        }
        for (start, cond, then) in branches.into_iter().rev() {
            let kind = Box::new(ExprKind::If(IfExpr { cond, then, other: other.take() }));
            other = Some(Expr { kind, span: Span { start, ..span } });
        }
        other.expect("an `if` has at least one branch")
    }

    fn cond(&self, node: Node<'_>) -> Cond {
        if node.as_rule() != Rule::if_let {
            return Cond::Expr(self.infix(node));
        }
        let mut parts = Parts::of(node);
        Cond::Let(self.ident(&parts.need()), self.infix(parts.need()))
    }

    fn match_arm(&self, node: Node<'_>) -> MatchArm {
        let whole = self.span(&node);
        let mut parts = Parts::of(node);
        let mut patterns = Vec::new();
        if parts.take_if(Rule::otherwise).is_none() {
            while let Some(pattern) = parts.take_if(Rule::pattern) {
                patterns.push(self.pattern(pattern));
            }
        }
        let node = parts.need();
        let span = self.span(&node);
        let body = match node.as_rule() {
            Rule::jump => self.effect(self.jump_stmt(only(node)), span),
            Rule::arm_value => match self.expr_stmt(Parts::of(node)) {
                StmtKind::Expr(value) => value,
                assignment => self.effect(assignment, span),
            },
            _ => self.braced(node),
        };
        MatchArm { patterns, body, span: Span { end: span.end, ..whole } }
    }

    /// An arm that does something and has no value is a block of one statement.
    fn effect(&self, kind: StmtKind, span: Span) -> Expr {
        let block = BlockExpr { stmts: vec![Stmt { kind, span }], value: None, span };
        Expr { kind: Box::new(ExprKind::Block(block)), span }
    }

    fn pattern(&self, node: Node<'_>) -> Pattern {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let start = self.infix(parts.need());
        match parts.take() {
            None => Pattern::Value(start),
            Some(dots) => {
                let inclusive = dots.as_str().starts_with("..=");
                Pattern::Range(RangeExpr { start, end: self.infix(parts.need()), inclusive, span })
            }
        }
    }
}

/// Whether an expression at a block's end can be the block's value; `if`s and `match`es without any value in their
/// branches are statements.
fn yields(expr: &Expr) -> bool {
    match &*expr.kind {
        ExprKind::Block(block) => block.value.is_some(),
        ExprKind::If(found) => found.then.value.is_some() || found.other.as_ref().is_some_and(yields),
        ExprKind::Match { arms, .. } => arms.iter().any(|arm| yields(&arm.body)),
        _ => true,
    }
}
