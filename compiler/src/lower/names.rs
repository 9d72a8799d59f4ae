//! Names in expressions, before they are typed: what a body will use.

use super::*;
use ast::ExprKind;

/// All dotted paths that a body names.
pub(super) fn dotted_paths(b: &ast::BlockExpr) -> Vec<String> {
    let mut out = Vec::new();
    block_children(b, &mut |e| collect_paths(e, &mut out));
    out
}

fn collect_paths(e: &ast::Expr, out: &mut Vec<String>) {
    if let Some(path) = dotted(e) {
        out.push(path);
        return;
    }
    for_each_child(e, &mut |c| collect_paths(c, out));
}

fn dotted(e: &ast::Expr) -> Option<String> {
    match &*e.kind {
        ExprKind::Field(base, name) => match &*base.kind {
            ExprKind::Name(n) => Some(format!("{}.{}", n.name, name.name)),
            ExprKind::End => Some(format!("end.{}", name.name)),
            _ => Some(format!("{}.{}", dotted(base)?, name.name)),
        },
        _ => None,
    }
}

/// The simple names in an expression.
pub(super) fn names_in(e: &ast::Expr) -> Vec<String> {
    let mut out = Vec::new();
    fn walk(e: &ast::Expr, out: &mut Vec<String>) {
        if let Some(path) = dotted(e) {
            out.push(path);
        } else if let ExprKind::Name(n) = &*e.kind {
            out.push(n.name.clone());
        }
        for_each_child(e, &mut |c| walk(c, out));
    }
    walk(e, &mut out);
    out
}

/// Calls `f` on each expression directly inside of another, statements' included.
pub(super) fn for_each_child(e: &ast::Expr, f: &mut dyn FnMut(&ast::Expr)) {
    match &*e.kind {
        ExprKind::Int(_)
        | ExprKind::Bool(_)
        | ExprKind::Bytes(_)
        | ExprKind::None
        | ExprKind::Name(_)
        | ExprKind::SelfValue
        | ExprKind::End => {}
        ExprKind::Array(items) => items.iter().for_each(f),
        ExprKind::Repeat(a, b) | ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) => {
            f(a);
            f(b);
        }
        ExprKind::SelfWith(fields) => fields.iter().for_each(|(_, e)| f(e)),
        ExprKind::Field(a, _) | ExprKind::Unary(_, a) | ExprKind::Follow(a) => f(a),
        ExprKind::Slice(a, b, c) => [Some(a), b.as_ref(), c.as_ref()].into_iter().flatten().for_each(f),
        ExprKind::Call { callee, args } => {
            f(callee);
            args.iter().for_each(|(_, a)| f(a));
        }
        ExprKind::Record { fields, rest, .. } => fields.iter().map(|(_, e)| e).chain(rest).for_each(f),
        ExprKind::In(a, r) => {
            f(a);
            f(&r.start);
            f(&r.end);
        }
        ExprKind::As { value, .. } => f(value),
        ExprKind::Read { at, from, ty } => {
            type_args(ty, f);
            f(at);
            from.iter().for_each(f);
        }
        ExprKind::View { at, parent, ty } => {
            type_args(ty, f);
            f(at);
            f(parent);
        }
        ExprKind::Else(a, b) => {
            f(a);
            match b {
                ast::ElseBranch::Value(e) | ast::ElseBranch::Return(Some(e), _) => f(e),
                _ => {}
            }
        }
        ExprKind::If(i) => {
            match &i.cond {
                ast::Cond::Expr(c) | ast::Cond::Let(_, c) => f(c),
            }
            block_children(&i.then, f);
            i.other.iter().for_each(f);
        }
        ExprKind::Match { scrutinee, arms } => {
            f(scrutinee);
            for arm in arms {
                for p in &arm.patterns {
                    if let ast::Pattern::Value(e) = p {
                        f(e);
                    }
                }
                f(&arm.body);
            }
        }
        ExprKind::Block(b) => block_children(b, f),
        ExprKind::Quantified(q) => {
            match &q.over {
                ast::Over::Range(r) => {
                    f(&r.start);
                    f(&r.end);
                }
                ast::Over::Elements(e, from) => {
                    f(e);
                    from.iter().for_each(&mut *f);
                }
            }
            q.cond.iter().chain(&q.value).for_each(f);
        }
    }
}

fn type_args(ty: &ast::Type, f: &mut dyn FnMut(&ast::Expr)) {
    if let ast::TypeKind::Named { args, .. } = &ty.kind {
        args.iter().for_each(f);
    }
}

fn block_children(b: &ast::BlockExpr, f: &mut dyn FnMut(&ast::Expr)) {
    use ast::StmtKind;
    for s in &b.stmts {
        match &s.kind {
            StmtKind::Let(_, _, e)
            | StmtKind::Expr(e)
            | StmtKind::Require(e, _)
            | StmtKind::Emit(e)
            | StmtKind::Assert(e) => f(e),
            StmtKind::Var(_, _, e) | StmtKind::Return(e) => e.iter().for_each(&mut *f),
            StmtKind::Assign(a, _, e) => {
                f(a);
                f(e);
            }
            StmtKind::For(_, over, body) => {
                match over {
                    ast::Over::Range(r) => {
                        f(&r.start);
                        f(&r.end);
                    }
                    ast::Over::Elements(e, from) => {
                        f(e);
                        from.iter().for_each(&mut *f);
                    }
                }
                block_children(body, f);
            }
            StmtKind::Loop(l) => {
                l.most.iter().chain(&l.measure).chain(&l.cond).for_each(&mut *f);
                block_children(&l.body, f);
                l.other.iter().for_each(|b| block_children(b, f));
            }
            StmtKind::Break | StmtKind::Continue | StmtKind::Fail(_) => {}
        }
    }
    b.value.iter().for_each(f);
}
