//! Expressions → syntax tree. The precedence of the operators is in [`PRATT`].

use std::sync::LazyLock;

use pest::pratt_parser::{Assoc, Op, PrattParser};

use super::Rule;
use super::tree::{Builder, Node, Parts, only};
use crate::diag::Diagnostic;
use crate::source::Span;
use crate::syntax::ast::*;

/// Precedence, loosest first. `in` and `as` have their right sides within them, so here they are postfix.
static PRATT: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let left = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(left(Rule::or))
        .op(left(Rule::and))
        .op(left(Rule::equal)
            | left(Rule::not_equal)
            | left(Rule::less)
            | left(Rule::less_equal)
            | left(Rule::greater)
            | left(Rule::greater_equal)
            | Op::postfix(Rule::in_range)
            | Op::postfix(Rule::in_range_h))
        .op(left(Rule::bit_or))
        .op(left(Rule::bit_xor))
        .op(left(Rule::bit_and))
        .op(left(Rule::shl) | left(Rule::shr) | left(Rule::shl_wrap))
        .op(left(Rule::add) | left(Rule::sub) | left(Rule::add_wrap) | left(Rule::sub_wrap))
        .op(left(Rule::mul) | left(Rule::div) | left(Rule::rem) | left(Rule::mul_wrap))
        .op(Op::postfix(Rule::cast))
        .op(Op::prefix(Rule::neg) | Op::prefix(Rule::not) | Op::prefix(Rule::complement))
        .op(Op::postfix(Rule::field) | Op::postfix(Rule::call) | Op::postfix(Rule::index))
});

/// An operand, and whether it is a comparison without parentheses around it.
struct Operand {
    expr: Expr,
    comparison: bool,
}

impl From<Expr> for Operand {
    fn from(expr: Expr) -> Self {
        Operand { expr, comparison: false }
    }
}

fn new(kind: ExprKind, span: Span) -> Expr {
    Expr { kind: Box::new(kind), span }
}

impl Builder<'_> {
    /// An `expr` node.
    pub(super) fn expr(&self, node: Node<'_>) -> Expr {
        let span = self.span(&node);
        let mut parts = Parts::of(node);
        let value = self.infix(parts.need());
        let Some(branch) = parts.take() else {
            return value;
        };
        let branch = only(branch);
        let branch = match branch.as_rule() {
            Rule::jump => self.jump(only(branch)),
            _ => ElseBranch::Value(self.expr(branch)),
        };
        new(ExprKind::Else(value, branch), span)
    }

    /// An array's element: an `expr` node or a bare number.
    fn element(&self, node: Node<'_>) -> Expr {
        if node.as_rule() == Rule::int { self.primary(node) } else { self.expr(node) }
    }

    /// All `expr` nodes within a node.
    pub(super) fn exprs(&self, node: Node<'_>) -> Vec<Expr> {
        Parts::of(node).rest().map(|part| self.expr(part)).collect()
    }

    /// An `expr` node or one of operands and operators.
    pub(super) fn expr_or_infix(&self, node: Node<'_>) -> Expr {
        if node.as_rule() == Rule::expr { self.expr(node) } else { self.infix(node) }
    }

    /// A node of operands and operators: `infix`, `tight`, `place`, `size_expr`, `value_pattern`.
    pub(super) fn infix(&self, node: Node<'_>) -> Expr {
        PRATT
            .map_primary(|node| Operand::from(self.primary(node)))
            .map_prefix(|sign, operand| {
                let op = match sign.as_rule() {
                    Rule::neg => UnaryOp::Neg,
                    Rule::not => UnaryOp::Not,
                    _ => UnaryOp::Complement,
                };
                let span = self.span(&sign).to(operand.expr.span);
                new(ExprKind::Unary(op, operand.expr), span).into()
            })
            .map_postfix(|operand, node| self.postfix(operand, node))
            .map_infix(|left, sign, right| {
                let op = binary_op(sign.as_rule());
                let comparison = is_comparison(op);
                if comparison && left.comparison {
                    self.chained(self.span(&sign));
                }
                let span = left.expr.span.to(right.expr.span);
                Operand { expr: new(ExprKind::Binary(op, left.expr, right.expr), span), comparison }
            })
            .parse(Parts::of(node).rest())
            .expr
    }

    fn chained(&self, sign: Span) {
        let message = "expected one comparison, found a chain of them";
        let error = Diagnostic::error("E0101", sign, message, "second comparison");
        self.report(error.help("join two comparisons by `&&`, or put one into parentheses"));
    }

    fn postfix(&self, operand: Operand, node: Node<'_>) -> Operand {
        let whole = operand.expr.span.to(self.span(&node));
        let rule = node.as_rule();
        let base = operand.expr;
        let mut parts = Parts::of(node.clone());
        let kind = match rule {
            Rule::field => ExprKind::Field(base, self.ident(&parts.need())),
            Rule::call => ExprKind::Call { callee: base, args: parts.rest().map(|arg| self.arg(arg)).collect() },
            Rule::index => self.index(base, parts),
            Rule::cast => {
                let path = parts.need();
                let span = self.span(&path);
                let ty = Type { kind: TypeKind::Named { path: self.path(path), args: Vec::new() }, span };
                ExprKind::As { value: base, ty, wrapping: parts.take().is_some() }
            }
            Rule::in_range | Rule::in_range_h => {
                if operand.comparison {
                    self.chained(self.span(&node));
                }
                let range = self.range_expr(parts.need(), parts.need(), parts.need());
                return Operand { expr: new(ExprKind::In(base, range), whole), comparison: true };
            }
            other => unreachable!("the grammar has no postfix operator {other:?}"),
        };
        new(kind, whole).into()
    }

    fn arg(&self, node: Node<'_>) -> (Option<Ident>, Expr) {
        let mut parts = Parts::of(node);
        (parts.take_if(Rule::ident).map(|name| self.ident(&name)), self.expr(parts.need()))
    }

    /// What stands in brackets behind a value. The dots are a part like the bounds.
    fn index(&self, base: Expr, mut parts: Parts<'_>) -> ExprKind {
        let from = parts.take_if(Rule::expr).map(|from| self.expr(from));
        let dots = parts.take_if(Rule::slice_dots).is_some();
        let to = parts.take_if(Rule::expr).map(|to| self.expr(to));
        match from {
            Some(index) if !dots => ExprKind::Index(base, index),
            from => ExprKind::Slice(base, from, to),
        }
    }

    fn range_expr(&self, start: Node<'_>, dots: Node<'_>, end: Node<'_>) -> RangeExpr {
        let inclusive = dots.as_str().starts_with("..=");
        let (start, end) = (self.infix(start), self.infix(end));
        let span = start.span.to(end.span);
        RangeExpr { start, end, inclusive, span }
    }

    /// An `over` node.
    pub(super) fn over(&self, node: Node<'_>) -> Over {
        let mut parts = Parts::of(node);
        let first = parts.need();
        match parts.take() {
            None => Over::Elements(self.infix(first), None),
            Some(dots) if dots.as_rule() == Rule::range_op => Over::Range(self.range_expr(first, dots, parts.need())),
            Some(from) => Over::Elements(self.infix(first), Some(self.infix(from))),
        }
    }

    fn primary(&self, node: Node<'_>) -> Expr {
        let span = self.span(&node);
        let rule = node.as_rule();
        let mut parts = Parts::of(node.clone());
        let kind = match rule {
            Rule::int => ExprKind::Int(self.int(&node)),
            Rule::char => ExprKind::Int(self.char(&node)),
            Rule::string | Rule::byte_string => ExprKind::Bytes(self.bytes(&node)),
            // The parentheses count to the place of what they hold.
            Rule::paren => {
                return Expr { span, ..self.expr(parts.need()) };
            }
            Rule::array => {
                let repeated = node.into_inner().any(|mark| mark.as_rule() == Rule::semi);
                match repeated {
                    true => ExprKind::Repeat(self.expr(parts.need()), self.expr(parts.need())),
                    false => ExprKind::Array(parts.rest().map(|element| self.element(element)).collect()),
                }
            }
            Rule::if_expr | Rule::match_expr | Rule::block => return self.braced(node),
            Rule::read_expr | Rule::read_expr_h => ExprKind::Read {
                ty: self.base_type(parts.need()),
                at: self.infix(parts.need()),
                from: parts.take().map(|from| self.source(only(from))),
            },
            Rule::view_expr | Rule::view_expr_h => ExprKind::View {
                ty: self.base_type(parts.need()),
                at: self.infix(parts.need()),
                parent: self.infix(parts.need()),
            },
            Rule::follow_expr | Rule::follow_expr_h => ExprKind::Follow(self.infix(parts.need())),
            Rule::true_expr => ExprKind::Bool(true),
            Rule::false_expr => ExprKind::Bool(false),
            Rule::none_expr => ExprKind::None,
            Rule::end_expr => ExprKind::End,
            Rule::name => ExprKind::Name(self.ident(&parts.need())),
            Rule::self_expr => match parts.peek() {
                None => ExprKind::SelfValue,
                Some(_) => ExprKind::SelfWith(parts.rest().map(|field| self.replaced(field)).collect()),
            },
            Rule::quantified | Rule::quantified_h => ExprKind::Quantified(self.quantified(parts)),
            Rule::record_expr => {
                let path = self.path(parts.need());
                let (mut fields, mut rest) = (Vec::new(), None);
                for part in parts.rest() {
                    match part.as_rule() {
                        Rule::record_rest => {
                            let mut parts = Parts::of(part);
                            parts.need();
                            rest = Some(self.expr(parts.need()));
                        }
                        _ => fields.push(self.record_init(part)),
                    }
                }
                ExprKind::Record { path, fields, rest }
            }
            other => unreachable!("the grammar has no operand {other:?}"),
        };
        new(kind, span)
    }

    /// `journal` or `device[i]`.
    fn source(&self, node: Node<'_>) -> Expr {
        let mut parts = Parts::of(node);
        let name = self.primary(parts.need());
        match parts.take() {
            None => name,
            Some(index) => self.postfix(name.into(), index).expr,
        }
    }

    fn replaced(&self, node: Node<'_>) -> (Ident, Expr) {
        let mut parts = Parts::of(node);
        (self.ident(&parts.need()), self.infix(parts.need()))
    }

    fn record_init(&self, node: Node<'_>) -> (Ident, Expr) {
        let mut parts = Parts::of(node);
        let name = self.ident(&parts.need());
        let value = match parts.take() {
            Some(value) => self.expr(value),
            None => new(ExprKind::Name(name.clone()), name.span),
        };
        (name, value)
    }

    fn quantified(&self, mut parts: Parts<'_>) -> Quantified {
        let quantifier = match parts.need().as_str() {
            "first" => Quantifier::First,
            "last" => Quantifier::Last,
            "any" => Quantifier::Any,
            "all" => Quantifier::All,
            "count" => Quantifier::Count,
            "sum" => Quantifier::Sum,
            "min" => Quantifier::Min,
            _ => Quantifier::Max,
        };
        let name = self.ident(&parts.need());
        let over = self.over(parts.need());
        let sorted = parts.take_if(Rule::sorted).is_some();
        let (mut cond, mut value) = (None, None);
        for part in parts.rest() {
            let is_condition = matches!(part.as_rule(), Rule::quantified_where | Rule::quantified_where_h);
            let slot = if is_condition { &mut cond } else { &mut value };
            *slot = Some(self.infix(only(part)));
        }
        Quantified { quantifier, name, over, sorted, cond, value }
    }
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge)
}

fn binary_op(rule: Rule) -> BinaryOp {
    match rule {
        Rule::or => BinaryOp::Or,
        Rule::and => BinaryOp::And,
        Rule::equal => BinaryOp::Eq,
        Rule::not_equal => BinaryOp::Ne,
        Rule::less => BinaryOp::Lt,
        Rule::less_equal => BinaryOp::Le,
        Rule::greater => BinaryOp::Gt,
        Rule::greater_equal => BinaryOp::Ge,
        Rule::bit_or => BinaryOp::BitOr,
        Rule::bit_xor => BinaryOp::BitXor,
        Rule::bit_and => BinaryOp::BitAnd,
        Rule::shl => BinaryOp::Shl,
        Rule::shl_wrap => BinaryOp::ShlWrap,
        Rule::shr => BinaryOp::Shr,
        Rule::add => BinaryOp::Add,
        Rule::add_wrap => BinaryOp::AddWrap,
        Rule::sub => BinaryOp::Sub,
        Rule::sub_wrap => BinaryOp::SubWrap,
        Rule::mul => BinaryOp::Mul,
        Rule::mul_wrap => BinaryOp::MulWrap,
        Rule::div => BinaryOp::Div,
        Rule::rem => BinaryOp::Rem,
        other => unreachable!("the grammar has no infix operator {other:?}"),
    }
}
