//! Constant expressions: numbers, tables and byte strings that are known before any block is read.

use super::*;
use ast::{BinaryOp, ExprKind, UnaryOp};

/// Why an expression has no constant value.
pub enum NotConst {
    /// It depends on what is known only at run time; the place says on what.
    Runtime(Span),
    /// It was reported already.
    Reported,
    /// It has none: the text says why.
    Wrong(Span, String),
}

/// A constant that uses itself is found by the depth at which it does.
const DEPTH_MAX: usize = 128;

impl Program {
    /// The value of an expression in a module's scope, if it is constant.
    pub fn const_value(&self, module: ModuleId, e: &ast::Expr) -> Result<ConstValue, NotConst> {
        self.const_at(module, e, 0)
    }

    /// The number that an expression is, if it is constant.
    pub fn const_int(&self, module: ModuleId, e: &ast::Expr) -> Result<i128, NotConst> {
        match self.const_value(module, e)? {
            ConstValue::Int(n) => Ok(n),
            ConstValue::Bool(b) => Ok(i128::from(b)),
            ConstValue::Error => Err(NotConst::Reported),
            ConstValue::Bytes(_) | ConstValue::Table(_) => Err(NotConst::Wrong(e.span, "expected a number".into())),
        }
    }

    /// The value of a declared constant.
    pub fn constant(&self, id: ConstId) -> Result<ConstValue, NotConst> {
        self.constant_at(id, 0)
    }

    fn constant_at(&self, id: ConstId, depth: usize) -> Result<ConstValue, NotConst> {
        let def = &self.consts[id.index()];
        if let Some(v) = def.value.get() {
            return if *v == ConstValue::Error { Err(NotConst::Reported) } else { Ok(v.clone()) };
        }
        if depth > DEPTH_MAX {
            return Err(NotConst::Wrong(def.syntax.span, format!("`{}` is defined by itself", def.name)));
        }
        let value = self.const_at(def.module, &def.syntax.value, depth + 1)?;
        Ok(def.value.get_or_init(|| value).clone())
    }

    fn const_at(&self, module: ModuleId, e: &ast::Expr, depth: usize) -> Result<ConstValue, NotConst> {
        let int = |e: &ast::Expr| match self.const_at(module, e, depth)? {
            ConstValue::Int(n) => Ok(n),
            ConstValue::Error => Err(NotConst::Reported),
            _ => Err(NotConst::Wrong(e.span, "expected a number".into())),
        };
        let truth = |e: &ast::Expr| match self.const_at(module, e, depth)? {
            ConstValue::Bool(b) => Ok(b),
            ConstValue::Error => Err(NotConst::Reported),
            _ => Err(NotConst::Wrong(e.span, "expected a bool".into())),
        };
        Ok(match &*e.kind {
            ExprKind::Int(n) => ConstValue::Int(i128::from(*n)),
            ExprKind::Bool(b) => ConstValue::Bool(*b),
            ExprKind::Bytes(b) => ConstValue::Bytes(b.clone()),
            ExprKind::Array(items) => ConstValue::Table(items.iter().map(int).collect::<Result<_, _>>()?),
            ExprKind::Repeat(item, n) => {
                let count = int(n)?;
                if !(0..=1 << 20).contains(&count) {
                    return Err(NotConst::Wrong(
                        n.span,
                        format!("expected a table of at most 2^20 entries, found {count}"),
                    ));
                }
                ConstValue::Table(vec![int(item)?; count as usize])
            }
            ExprKind::Name(name) => match self.modules[module.index()].names.get(&name.name) {
                Some((Def::Const(id), _)) => self.constant_at(*id, depth)?,
                _ => return Err(NotConst::Runtime(name.span)),
            },
            ExprKind::Field(base, item) => return self.const_item(module, base, item, depth),
            ExprKind::Unary(UnaryOp::Neg, a) => ConstValue::Int(-int(a)?),
            ExprKind::Unary(UnaryOp::Not, a) => ConstValue::Bool(!truth(a)?),
            ExprKind::Unary(UnaryOp::Complement, a) => ConstValue::Int(!int(a)? & i128::from(u64::MAX)),
            ExprKind::Binary(BinaryOp::And, a, b) => ConstValue::Bool(truth(a)? && truth(b)?),
            ExprKind::Binary(BinaryOp::Or, a, b) => ConstValue::Bool(truth(a)? || truth(b)?),
            ExprKind::Binary(op, a, b) => const_binary(*op, int(a)?, int(b)?, e.span)?,
            ExprKind::If(ast::IfExpr { cond: ast::Cond::Expr(c), then, other: Some(other) })
                if then.stmts.is_empty() =>
            {
                match (&then.value, truth(c)?) {
                    (Some(v), true) => self.const_at(module, v, depth)?,
                    (Some(_), false) => self.const_at(module, other, depth)?,
                    (None, _) => return Err(NotConst::Runtime(e.span)),
                }
            }
            ExprKind::Block(b) if b.stmts.is_empty() && b.value.is_some() => match &b.value {
                Some(v) => self.const_at(module, v, depth)?,
                None => return Err(NotConst::Runtime(e.span)),
            },
            ExprKind::As { value, .. } => ConstValue::Int(int(value)?),
            _ => return Err(NotConst::Runtime(e.span)),
        })
    }

    /// `Kind.Inner`, `Feature.extents`, `module.CONST`.
    fn const_item(
        &self,
        module: ModuleId,
        base: &ast::Expr,
        item: &ast::Ident,
        depth: usize,
    ) -> Result<ConstValue, NotConst> {
        let runtime = Err(NotConst::Runtime(item.span));
        let Some(def) = self.def_of_path(module, base) else { return runtime };
        let items = match def {
            Def::Enum(id) => &self.enums[id.index()].items,
            Def::Flags(id) => &self.flags[id.index()].items,
            Def::Module(m) => {
                return match self.modules[m.index()].names.get(&item.name) {
                    Some((Def::Const(id), _)) => self.constant_at(*id, depth),
                    _ => runtime,
                };
            }
            _ => return runtime,
        };
        match items.iter().find(|(n, _)| *n == item.name) {
            Some((_, v)) => Ok(ConstValue::Int(i128::from(*v))),
            None => runtime,
        }
    }

    /// What a name or a dotted path declares in a module's scope.
    pub fn def_of_path(&self, module: ModuleId, e: &ast::Expr) -> Option<Def> {
        match &*e.kind {
            ExprKind::Name(name) => self.modules[module.index()].names.get(&name.name).map(|(d, _)| *d),
            ExprKind::Field(base, name) => match self.def_of_path(module, base)? {
                Def::Module(m) => self.modules[m.index()].names.get(&name.name).map(|(d, _)| *d),
                _ => None,
            },
            _ => None,
        }
    }
}

fn const_binary(op: BinaryOp, a: i128, b: i128, span: Span) -> Result<ConstValue, NotConst> {
    let wrong = |why: &str| NotConst::Wrong(span, why.into());
    let in_64 = |n: Option<i128>| {
        n.filter(|n| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(n))
            .ok_or_else(|| wrong("expected a number of 64 bits"))
    };
    let shift = |b: i128| u32::try_from(b).ok().filter(|b| *b < 64).ok_or_else(|| wrong("expected a shift below 64"));
    let wrap = |n: i128| n & i128::from(u64::MAX);
    let n = match op {
        BinaryOp::Add => in_64(a.checked_add(b))?,
        BinaryOp::Sub => in_64(a.checked_sub(b))?,
        BinaryOp::Mul => in_64(a.checked_mul(b))?,
        BinaryOp::AddWrap => wrap(a.wrapping_add(b)),
        BinaryOp::SubWrap => wrap(a.wrapping_sub(b)),
        BinaryOp::MulWrap => wrap(a.wrapping_mul(b)),
        BinaryOp::Div | BinaryOp::Rem if b == 0 => return Err(wrong("expected a divisor that is not 0")),
        BinaryOp::Div => a / b,
        BinaryOp::Rem => a % b,
        BinaryOp::Shl => in_64(a.checked_shl(shift(b)?).filter(|r| r >> b == a))?,
        BinaryOp::ShlWrap => wrap(a << shift(b)?),
        BinaryOp::Shr => a >> shift(b)?,
        BinaryOp::BitAnd => a & b,
        BinaryOp::BitOr => a | b,
        BinaryOp::BitXor => a ^ b,
        BinaryOp::Eq => return Ok(ConstValue::Bool(a == b)),
        BinaryOp::Ne => return Ok(ConstValue::Bool(a != b)),
        BinaryOp::Lt => return Ok(ConstValue::Bool(a < b)),
        BinaryOp::Le => return Ok(ConstValue::Bool(a <= b)),
        BinaryOp::Gt => return Ok(ConstValue::Bool(a > b)),
        BinaryOp::Ge => return Ok(ConstValue::Bool(a >= b)),
        BinaryOp::And | BinaryOp::Or => return Err(wrong("expected bools")),
    };
    Ok(ConstValue::Int(n))
}

/// No structure is larger: a block that a hook or an executor reads at once has a bound.
pub const SIZE_MAX: u32 = 1 << 24;
