//! Local byte strings, and the methods of bytes.

use super::bytes::SLOT_MAX;
use super::*;
use crate::ir::schema::Display;
use crate::ir::{Addr, BinOp, CmpOp, Endian, FaultKind, FoundAs, Region, Value};

/// Methods that change a buffer.
pub(super) const MUTATING: [&str; 3] = ["append", "truncate", "clear"];

impl Lowerer<'_> {
    /// `var k: buffer<64>;` Twice the room, so that an append at any length stays inside whatever its own length.
    pub(super) fn new_buffer(&mut self, name: &str, n: u32, span: Span) -> Val {
        if n == 0 || n > SLOT_MAX / 2 {
            return self.error(
                "E0303",
                span,
                format!("expected a buffer of 1 to {} bytes, found {n}", SLOT_MAX / 2),
                "no such size",
            );
        }
        let slot = self.b.slot(name, 2 * n);
        let zero = self.number(0);
        let (place, len) = (Self::at_slot(slot), Len::Value(zero));
        Val::Buffer(Bytes { place, len, max: n, display: Display::Plain, block_offset: None })
    }

    /// Methods that the language has built in: `starts_with` of bytes; `append`, `truncate`, `clear` of a buffer.
    pub(super) fn builtin_method(
        &mut self,
        callee: &ast::Expr,
        args: &[(Option<ast::Ident>, ast::Expr)],
        span: Span,
    ) -> Val {
        let ast::ExprKind::Field(base, method) = &*callee.kind else {
            let name = self.text(callee.span).to_string();
            let known = self.program.modules[self.module().index()].names.keys().map(String::as_str);
            let like = crate::check::nearest(&name, known).map(String::from);
            let mut d = Diagnostic::error(
                "E0201",
                callee.span,
                format!("expected a fn or a traversal, found `{name}`"),
                "not declared",
            );
            d.help = like.map(|l| format!("did you mean `{l}`?"));
            self.report(d);
            return Val::Never;
        };
        let this = self.expr(base);
        let (this, given) = self.holding(this, |l| args.iter().map(|(_, a)| (l.expr(a), a.span)).collect::<Vec<_>>());
        self.span = span;
        match (&this, method.name.as_str(), &given[..]) {
            (Val::Never, ..) => Val::Never,
            (Val::Bytes(b) | Val::Buffer(b), "starts_with", [(Val::Bytes(p) | Val::Buffer(p), _)]) => {
                self.starts_with(*b, *p, span)
            }
            (Val::Buffer(b), m, _) if MUTATING.contains(&m) => {
                let new = self.change_buffer(*b, m, &given, span);
                let name = if let ast::ExprKind::Name(n) = &*base.kind { n.name.clone() } else { String::new() };
                if let Some(new) = new {
                    self.set_hidden(&name, Val::Buffer(new));
                }
                Val::Unit
            }
            _ => {
                let of = self.describe(&this);
                self.error(
                    "E0201",
                    method.span,
                    format!("expected a method of {of}, found `{}`", method.name),
                    "no such method",
                )
            }
        }
    }

    fn starts_with(&mut self, b: Bytes, prefix: Bytes, span: Span) -> Val {
        let (len, wanted) = (self.len_value(b.len), self.len_value(prefix.len));
        let enough = self.compare(CmpOp::Le, wanted, len);
        let split = self.split_value(Some(enough));
        self.both(
            split,
            span,
            |l| {
                let head = Bytes { len: prefix.len, max: prefix.max.min(b.max), ..b };
                l.equal_bytes(head, prefix, span)
            },
            |l| Val::Bool(l.truth(false)),
        )
    }

    pub(super) fn change_buffer(&mut self, b: Bytes, method: &str, given: &[(Val, Span)], span: Span) -> Option<Bytes> {
        let len = self.len_value(b.len);
        let Region::Slot(slot) = b.place.region else { return None };
        match (method, given) {
            ("clear", []) => Some(Bytes { len: Len::Value(self.number(0)), ..b }),
            ("truncate", [(n, at)]) => {
                let n = self.unsigned(n.clone(), *at)?;
                let fits = self.compare(CmpOp::Le, n, len);
                let text = self.text(span).to_string();
                let id = self.fault_id(
                    FaultKind::Corrupt,
                    format!("`{text}`: expected at most as many bytes as there are, found {{}}"),
                    FoundAs::Unsigned,
                    span,
                );
                self.guard(fits, ir::FaultRef { fault: id, found: Some(n), at: None });
                Some(Bytes { len: Len::Value(n), ..b })
            }
            ("append", [(what, at)]) => {
                let more = match what {
                    Val::Bytes(x) | Val::Buffer(x) => *x,
                    Val::Int(v, _) => {
                        let byte = self.fit_int((*v, IntTy::U64), IntTy::plain(8, false), *at);
                        let addr = Addr { region: Region::Slot(slot), base: None, index: Some(len), disp: 0 };
                        let one = self.number(1);
                        let grown = self.grown(b, len, one, span);
                        self.b.set_span(span);
                        self.b.store(addr, 1, Endian::Little, byte);
                        return Some(Bytes { len: Len::Value(grown), ..b });
                    }
                    other => {
                        self.mismatch(*at, "bytes or a byte", other);
                        return None;
                    }
                };
                let added = self.len_value(more.len);
                let grown = self.grown(b, len, added, span);
                let to = Addr { region: Region::Slot(slot), base: None, index: Some(len), disp: 0 };
                self.copy(to, more);
                Some(Bytes { len: Len::Value(grown), ..b })
            }
            _ => {
                self.error(
                    "E0205",
                    span,
                    format!("expected another number of arguments of `{method}`"),
                    "not complete",
                );
                None
            }
        }
    }

    /// The length after an append, which must not pass the buffer's size.
    fn grown(&mut self, b: Bytes, len: Value, added: Value, span: Span) -> Value {
        let most = self.number(i128::from(b.max));
        let text = self.text(span).to_string();
        let id = self.fault_id(
            FaultKind::Overflow,
            format!("`{text}`: the buffer holds {} bytes, found {{}} more", b.max),
            FoundAs::Unsigned,
            span,
        );
        let fault = ir::FaultRef { fault: id, found: Some(added), at: None };
        // Each length alone is below the size first: both bounds are then known by themselves.
        for part in [len, added] {
            let fits = self.compare(CmpOp::Le, part, most);
            self.guard(fits, fault);
        }
        let grown = self.checked(BinOp::Add, len, added);
        let fits = self.compare(CmpOp::Le, grown, most);
        self.guard(fits, fault);
        grown
    }
}
