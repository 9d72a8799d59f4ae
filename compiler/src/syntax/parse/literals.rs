//! Numbers and texts → their values.

use super::tree::{Builder, Node};
use crate::diag::Diagnostic;
use crate::syntax::ast::Ident;

/// The suffixes of integers.
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

impl Builder<'_> {
    /// `12`, `0x1f`, `0b101`, `0o17`, `4KiB`
    pub(super) fn int(&self, node: &Node<'_>) -> u64 {
        let text = node.as_str();
        let (digits, shift) =
            UNITS.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift))).unwrap_or((text, 0));
        let (digits, radix) = [("0x", 16), ("0b", 2), ("0o", 8)]
            .iter()
            .find_map(|(prefix, radix)| Some((digits.strip_prefix(prefix)?, *radix)))
            .unwrap_or((digits, 10));
        let value = digits.chars().filter(|c| *c != '_').try_fold(Some(0u64), |sum, c| {
            let digit = u64::from(c.to_digit(radix)?);
            Some(sum.and_then(|sum| sum.checked_mul(u64::from(radix))?.checked_add(digit)))
        });
        let (code, message, label) = match value {
            Some(Some(value)) if digits.contains(|c| c != '_') => match value.checked_mul(1 << shift) {
                Some(value) => return value,
                None => ("E0103", "expected an integer below 2^64, found a larger one", "too large"),
            },
            Some(None) => ("E0103", "expected an integer below 2^64, found a larger one", "too large"),
            _ => ("E0101", "expected an integer, found letters that no integer has", "not an integer"),
        };
        let error = Diagnostic::error(code, self.span(node), message, label);
        self.report(match code {
            "E0101" => error.help("integers are written `12`, `0x1f`, `0b101`, `0o17`, `1_000` or `4KiB`"),
            _ => error,
        });
        0
    }

    /// `'a'`, `b'a'`, `'\n'`: one byte.
    pub(super) fn char(&self, node: &Node<'_>) -> u64 {
        let bytes = self.bytes(node);
        match bytes.as_slice() {
            [byte] => u64::from(*byte),
            _ => {
                let message = "expected one ASCII character between `'` and `'`, found another";
                self.report(Diagnostic::error("E0101", self.span(node), message, "more than one byte"));
                0
            }
        }
    }

    /// The bytes of a string or a character, its escapes resolved.
    pub(super) fn bytes(&self, node: &Node<'_>) -> Vec<u8> {
        let text = node.as_str();
        let open = text.find(['"', '\'']).expect("a literal has a quote") + 1;
        let inner = &text[open..text.len() - 1];
        let mut bytes = Vec::with_capacity(inner.len());
        let mut chars = inner.char_indices();
        while let Some((at, c)) = chars.next() {
            if c != '\\' {
                bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            let escape = chars.next().map_or(' ', |(_, escape)| escape);
            let byte = match escape {
                'n' => Some(b'\n'),
                't' => Some(b'\t'),
                'r' => Some(b'\r'),
                '0' => Some(0),
                '\\' | '"' | '\'' => Some(escape as u8),
                'x' => {
                    let hex = inner.get(at + 2..at + 4).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
                    hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).inspect(|_| {
                        chars.nth(1);
                    })
                }
                _ => None,
            };
            bytes.push(byte.unwrap_or_else(|| {
                let start = node.as_span().start() + open + at;
                let span = self.range(start, start + 1 + escape.len_utf8());
                let error = Diagnostic::error("E0101", span, "expected an escape, found another letter", "no escape");
                self.report(error.help(r#"the escapes are `\n`, `\t`, `\r`, `\0`, `\\`, `\"`, `\'` and `\x1f`"#));
                0
            }));
        }
        bytes
    }

    /// A string that is text.
    pub(super) fn text(&self, node: &Node<'_>) -> String {
        String::from_utf8(self.bytes(node)).unwrap_or_else(|_| {
            let message = "expected text, found bytes that are not UTF-8";
            self.report(Diagnostic::error("E0101", self.span(node), message, "not UTF-8"));
            String::new()
        })
    }

    /// A part of the piece as a name.
    pub(super) fn ident(&self, node: &Node<'_>) -> Ident {
        Ident { name: node.as_str().to_owned(), span: self.span(node) }
    }
}
