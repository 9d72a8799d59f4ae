//! Expressions and statements.

use super::{Ident, Type};
use crate::source::Span;

/// An expression.
#[derive(Clone, Debug)]
pub struct Expr {
    /// What it is.
    pub kind: Box<ExprKind>,
    /// Where it stands.
    pub span: Span,
}

/// Prefix operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Neg,
    /// `!` of a bool.
    Not,
    /// `~` of an integer, within its width.
    Complement,
}

/// Infix operators, loosest first: `||`, `&&`, comparisons and `in`, `|`, `^`, `&`, shifts, sums, products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named as its sign")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    AddWrap,
    SubWrap,
    MulWrap,
    ShlWrap,
    Shl,
    Shr,
    BitAnd,
    BitOr,
    BitXor,
    And,
    Or,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// The search and fold words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its word")]
pub enum Quantifier {
    First,
    Last,
    Any,
    All,
    Count,
    Sum,
    Min,
    Max,
}

/// The forms of an expression.
#[derive(Clone, Debug)]
pub enum ExprKind {
    /// `12`, `0x1f`, `0b1`, `4KiB`, `'a'`, with `_` between digits. Within 0..2^64.
    Int(u64),
    /// `true`, `false`
    Bool(bool),
    /// `"text"`: its bytes; `b"\x00"` too.
    Bytes(Vec<u8>),
    /// `none`
    None,
    /// `[1, 2, 3]` (constant tables)
    Array(Vec<Expr>),
    /// `[EXPR; N]` (constant tables)
    Repeat(Expr, Expr),
    /// A name.
    Name(Ident),
    /// `self`
    SelfValue,
    /// `self with checksum = 0`: the struct's bytes with a field replaced (in conditions of checksums).
    SelfWith(Vec<(Ident, Expr)>),
    /// `end`: the size of the enclosing structure or block (in offsets).
    End,
    /// `a.b`; `Kind.Inner`; `page.offset`
    Field(Expr, Ident),
    /// `a[i]`
    Index(Expr, Expr),
    /// `a[i..j]`: part of a byte string.
    Slice(Expr, Option<Expr>, Option<Expr>),
    /// `f(x, name: y)`, `page.leaf(i)`, `open()`
    Call {
        /// A name, a path or a method's `Field`.
        callee: Expr,
        /// In order; each perhaps with its parameter's name.
        args: Vec<(Option<Ident>, Expr)>,
    },
    /// `Mapping { start: 1, written }`
    Record {
        /// The record's path.
        path: Vec<Ident>,
        /// A field by its name alone takes the variable of that name.
        fields: Vec<(Ident, Expr)>,
        /// `..vol`: the record of which all other fields are taken.
        rest: Option<Expr>,
    },
    /// `-x`
    Unary(UnaryOp, Expr),
    /// `a + b`
    Binary(BinaryOp, Expr, Expr),
    /// `x in a..b`, `x in a..=b`
    In(Expr, RangeExpr),
    /// `x as u32`: must fit (checked); `x as u32 wrapping` keeps the low bits.
    As {
        /// What.
        value: Expr,
        /// To what.
        ty: Type,
        /// `wrapping`
        wrapping: bool,
    },
    /// `read T(args) at OFFSET [from SOURCE]`
    Read {
        /// The structure or scalar type.
        ty: Type,
        /// The byte offset.
        at: Expr,
        /// A source: a name, or one of an array by `device[i]`.
        from: Option<Expr>,
    },
    /// `view T(args) at OFFSET in PARENT`
    View {
        /// The structure or scalar type.
        ty: Type,
        /// The byte offset in the parent.
        at: Expr,
        /// A view or a byte string.
        parent: Expr,
    },
    /// `follow e.leaf`
    Follow(Expr),
    /// `EXPR else DEFAULT`, where the default may also leave: `else return none`, `else fail "why"`, `else break`.
    Else(Expr, ElseBranch),
    /// `if c { a } else { b }`, also a statement.
    If(IfExpr),
    /// `match x { … }`, also a statement.
    Match {
        /// What.
        scrutinee: Expr,
        /// In order.
        arms: Vec<MatchArm>,
    },
    /// `{ …; value }`
    Block(BlockExpr),
    /// `last i in 0..n sorted where COND`; `sum i in 0..4 of node.w[i]`
    Quantified(Quantified),
}

/// The default of an optional.
#[derive(Clone, Debug)]
pub enum ElseBranch {
    /// A value (or a further optional).
    Value(Expr),
    /// `return [EXPR]`
    Return(Option<Expr>, Span),
    /// `fail "why"`
    Fail(String, Span),
    /// `break`
    Break(Span),
    /// `continue`
    Continue(Span),
}

/// `a..b`, `a..=b`, or in a quantifier or `for` also a sequence or an array.
#[derive(Clone, Debug)]
pub struct RangeExpr {
    /// From.
    pub start: Expr,
    /// To.
    pub end: Expr,
    /// `..=`
    pub inclusive: bool,
    /// The whole.
    pub span: Span,
}

/// What a `for` or a quantifier runs over.
#[derive(Clone, Debug)]
pub enum Over {
    /// Numbers.
    Range(RangeExpr),
    /// The elements of an array or `seq`, for a `seq` perhaps `from OFFSET` (within the seq's structure).
    Elements(Expr, Option<Expr>),
}

/// `QUANTIFIER NAME in OVER [sorted] [where COND] [of VALUE]`
#[derive(Clone, Debug)]
pub struct Quantified {
    /// Which.
    pub quantifier: Quantifier,
    /// The variable.
    pub name: Ident,
    /// The range.
    pub over: Over,
    /// The condition is monotone: `first`: false then true; `last`: true then false.
    pub sorted: bool,
    /// The condition.
    pub cond: Option<Expr>,
    /// What is summed or compared (`sum`, `min`, `max`).
    pub value: Option<Expr>,
}

/// `if COND { … } [else …]`
#[derive(Clone, Debug)]
pub struct IfExpr {
    /// The condition.
    pub cond: Cond,
    /// If true.
    pub then: BlockExpr,
    /// If false: a block or a further `if`.
    pub other: Option<Expr>,
}

/// A condition of `if`.
#[derive(Clone, Debug)]
pub enum Cond {
    /// A bool.
    Expr(Expr),
    /// `if let x = EXPR`
    Let(Ident, Expr),
}

/// `PATTERN | PATTERN => EXPR,`
#[derive(Clone, Debug)]
pub struct MatchArm {
    /// Constants or ranges; empty for `else`.
    pub patterns: Vec<Pattern>,
    /// What follows: an expression or a block.
    pub body: Expr,
    /// The whole arm.
    pub span: Span,
}

/// A pattern.
#[derive(Clone, Debug)]
pub enum Pattern {
    /// `Kind.Leaf`, `3`, `"name"`
    Value(Expr),
    /// `1..=4`
    Range(RangeExpr),
}

/// `{ stmts [value] }`
#[derive(Clone, Debug)]
pub struct BlockExpr {
    /// In order.
    pub stmts: Vec<Stmt>,
    /// The block's value.
    pub value: Option<Expr>,
    /// The whole block.
    pub span: Span,
}

/// A statement.
#[derive(Clone, Debug)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a statement.
#[derive(Clone, Debug)]
pub enum StmtKind {
    /// `let NAME[: TYPE] = EXPR;`
    Let(Ident, Option<Type>, Expr),
    /// `var NAME[: TYPE] = EXPR;`; a buffer has no value.
    Var(Ident, Option<Type>, Option<Expr>),
    /// `place = EXPR;`, `place += EXPR;`
    Assign(Expr, Option<BinaryOp>, Expr),
    /// An expression for its effect: `if`, `match`, a block, `k.append(x);`
    Expr(Expr),
    /// `for NAME in OVER { … }`
    For(Ident, Over, BlockExpr),
    /// `loop up to N [descending M] [while COND] { … } [else { … }]`; one of `most` and `measure` is there.
    Loop(Loop),
    /// `break;`
    Break,
    /// `continue;`
    Continue,
    /// `return [EXPR];`
    Return(Option<Expr>),
    /// `require COND else fail "why";`
    Require(Expr, String),
    /// `fail "why";`
    Fail(String),
    /// `emit EXPR;`
    Emit(Expr),
    /// `assert COND;` (tests)
    Assert(Expr),
}

/// A loop.
#[derive(Clone, Debug)]
pub struct Loop {
    /// `up to N`
    pub most: Option<Expr>,
    /// `descending M`
    pub measure: Option<Expr>,
    /// `while COND`
    pub cond: Option<Expr>,
    /// What is repeated.
    pub body: BlockExpr,
    /// What is done when the bound is spent.
    pub other: Option<BlockExpr>,
}
