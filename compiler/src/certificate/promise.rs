//! What a field would have to promise for a check to be needless.

use crate::diag::{Diagnostic, Fix};
use crate::ir::defs::Defs;
use crate::ir::eval::range;
use crate::ir::{BinOp, Function, Op, Range, Value};
use crate::source::{SourceMap, Span};

/// The greatest number with which a check cannot fail, for a value that a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The field's name.
    name: String,
    /// Where it is declared.
    declared: Span,
    /// The greatest number.
    most: i128,
}

impl Promise {
    /// The promise that is missing, if one about a single field would do.
    pub(super) fn of(f: &Function, defs: &Defs, op: &Op) -> Option<Promise> {
        let range = |v: Value| f.value(v).range;
        let (v, most) = match *op {
            Op::Check { a, size, limit, .. } => (a, range(limit).lo - range::size_range(f, size).hi),
            Op::Binary { op, a, b, .. } => {
                let most = Range::of(f.value(a).ty).hi;
                let bound = |other: Value| match op {
                    BinOp::Add => Some(most - range(other).hi),
                    BinOp::Mul => most.checked_div(range(other).hi),
                    _ => None,
                };
                match op {
                    // What is taken away is no more than there is.
                    BinOp::Sub => (b, range(a).lo),
                    _ if is_field(f, defs, a) => (a, bound(b)?),
                    _ => (b, bound(a)?),
                }
            }
            _ => return None,
        };
        let data = f.value(defs.root(f, v));
        let name = data.name.clone().filter(|_| is_field(f, defs, v) && most >= data.range.lo)?;
        Some(Promise { name, declared: data.span, most })
    }

    /// Says it at the field, where its declaration is one that can be added to.
    pub(super) fn offer(&self, d: &mut Diagnostic, sources: &SourceMap) {
        let Promise { name, declared, most } = self;
        let text = sources.text(*declared);
        if text.split_once(':').is_none_or(|(before, _)| before.split_whitespace().next_back() != Some(name)) {
            return;
        }
        let word = if text.contains(" where ") { "&&" } else { "where" };
        let words = format!(" {word} {name} <= {most}");
        d.help = Some(format!("say what the data promises, `{}` at the field", words.trim_start()));
        d.others.push(crate::diag::Label { span: *declared, text: format!("`{name}` comes from here") });
        d.fix = Some(Fix::Words(*declared, words));
    }
}

/// Whether a value was loaded from a field with a name.
fn is_field(f: &Function, defs: &Defs, v: Value) -> bool {
    let root = defs.root(f, v);
    matches!(defs.op(f, root), Some(Op::Load { .. })) && f.value(root).name.is_some()
}
