//! Values as people and JSON see them, and the way between them and laid out bytes.
//!
//! Owns the [`Value`] tree. [`decode`] reads one from the memory that an executor filled (`trav_compiler::ir::schema` has the
//! layout), [`encode`] lays out what a caller typed, `show` writes a value for people. Nothing here trusts its input: bytes of a
//! wrong length, and text or JSON of a wrong form, give an error.

mod encode;
mod show;

pub use encode::{Given, encode, parse_pair};

use serde_json::{Map, Number, json};
use trav_compiler::ir::schema::{Display, Schema};

/// A typed value. Each carries what is needed to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Nothing: an absent option, or the result of a traversal without one.
    None,
    /// An integer of either sign; always within `i64` or `u64`.
    Int {
        /// The number.
        value: i128,
        /// How it is shown.
        display: Display,
    },
    /// True or false.
    Bool(bool),
    /// A number of an enum.
    Enum {
        /// The enum's name.
        of: String,
        /// The item's name, when there is one for this number.
        name: Option<String>,
        /// The number.
        value: u64,
    },
    /// A set of flags.
    Flags {
        /// The names of the set bits, in the order of their declaration.
        names: Vec<String>,
        /// Set bits that have no name.
        rest: u64,
        /// All bits.
        value: u64,
    },
    /// Bytes.
    Bytes {
        /// The bytes.
        bytes: Vec<u8>,
        /// How they are shown.
        display: Display,
    },
    /// A record: its fields in order.
    Record(Vec<(String, Value)>),
    /// The rows of a stream.
    List(Vec<Value>),
}

/// Laid out bytes that do not have the form that the schema asks for: an executor's fault, never a caller's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(
    /// What is wrong.
    pub String,
);

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for DecodeError {}

/// Reads a value from memory laid out by `schema`.
pub fn decode(schema: &Schema, laid_out: &[u8]) -> Result<Value, DecodeError> {
    if laid_out.len() != schema.size() as usize {
        let message = format!("the result has {} bytes, its schema {}", laid_out.len(), schema.size());
        return Err(DecodeError(message));
    }
    Reader { rest: laid_out }.value(schema)
}

/// Walks over laid out memory from leaf to leaf.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let split = self.rest.split_at_checked(count);
        let (head, rest) = split.ok_or_else(|| DecodeError("the result ends inside a value".into()))?;
        self.rest = rest;
        Ok(head)
    }

    fn word(&mut self) -> Result<u64, DecodeError> {
        let (word, rest) = self.rest.split_first_chunk::<8>().ok_or_else(|| {
            // `decode` has compared the sizes, so this is out of reach for a whole result.
            DecodeError("the result ends inside a word".into())
        })?;
        self.rest = rest;
        Ok(u64::from_ne_bytes(*word))
    }

    fn value(&mut self, schema: &Schema) -> Result<Value, DecodeError> {
        Ok(match schema {
            Schema::Unit => Value::None,
            Schema::Int { signed, display, .. } => {
                let word = self.word()?;
                let value = if *signed { i128::from(word as i64) } else { i128::from(word) };
                Value::Int { value, display: *display }
            }
            Schema::Bool => Value::Bool(self.word()? != 0),
            Schema::Enum { name, items, .. } => {
                let value = self.word()?;
                let item = items.iter().find(|(_, v)| *v == value);
                Value::Enum { of: name.clone(), name: item.map(|(n, _)| n.clone()), value }
            }
            Schema::Flags { items, .. } => flags(self.word()?, items),
            Schema::Bytes { max, display, .. } => {
                let len = self.word()?;
                let room = self.take(max.next_multiple_of(8) as usize)?;
                if len > u64::from(*max) {
                    return Err(DecodeError(format!("a byte string has {len} bytes, its schema at most {max}")));
                }
                Value::Bytes { bytes: room[..len as usize].to_vec(), display: *display }
            }
            Schema::Record { fields, .. } => {
                let field = |(name, schema): &(String, Schema)| Ok((name.clone(), self.value(schema)?));
                Value::Record(fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            Schema::Option(inner) => {
                let present = self.word()? != 0;
                // The content's room is there in either case; without presence nothing is known of it.
                let content = self.take(inner.size() as usize)?;
                if present { Reader { rest: content }.value(inner)? } else { Value::None }
            }
        })
    }
}

fn flags(value: u64, items: &[(String, u64)]) -> Value {
    let set: Vec<_> = items.iter().filter(|(_, mask)| *mask != 0 && value & mask == *mask).collect();
    let named = set.iter().fold(0, |all, (_, mask)| all | mask);
    Value::Flags { names: set.iter().map(|(n, _)| n.clone()).collect(), rest: value & !named, value }
}

impl Value {
    /// The value as `trav run --json` prints it: numbers stay numbers of full precision, enums and flags are their
    /// numbers, bytes are `{"hex", "text"}` with `text` only where they are UTF-8.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Value::None => serde_json::Value::Null,
            Value::Int { value, .. } => match (u64::try_from(*value), i64::try_from(*value)) {
                (Ok(n), _) => Number::from(n).into(),
                (_, Ok(n)) => Number::from(n).into(),
                // Not made by `decode`; text keeps every digit.
                _ => value.to_string().into(),
            },
            Value::Bool(b) => (*b).into(),
            Value::Enum { value, .. } | Value::Flags { value, .. } => (*value).into(),
            Value::Bytes { bytes, .. } => match std::str::from_utf8(bytes) {
                Ok(text) => json!({ "hex": hex(bytes), "text": text }),
                Err(_) => json!({ "hex": hex(bytes) }),
            },
            Value::Record(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.clone(), value.to_json()));
                serde_json::Value::Object(fields.collect::<Map<_, _>>())
            }
            Value::List(rows) => rows.iter().map(Value::to_json).collect(),
        }
    }
}

/// Two lower-case hexadecimal digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}"); // writing to a String does not fail
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(bits: u8, signed: bool) -> Schema {
        Schema::Int { bits, signed, display: Display::Plain }
    }

    fn mapping() -> Schema {
        let kind = Schema::Enum { name: "Kind".into(), bits: 8, items: vec![("Leaf".into(), 1)] };
        let set = Schema::Flags { name: "Set".into(), bits: 8, items: vec![("a".into(), 1), ("b".into(), 6)] };
        let fields = vec![
            ("start".into(), int(64, false)),
            ("delta".into(), int(16, true)),
            ("kind".into(), kind),
            ("set".into(), set),
            ("name".into(), Schema::Bytes { max: 5, fixed: false, display: Display::Plain }),
            ("more".into(), Schema::Option(Box::new(int(8, false)))),
        ];
        Schema::Record { name: "Mapping".into(), fields }
    }

    fn from_json(text: &str) -> Given {
        Given::Json(serde_json::from_str(text).expect("the test's own JSON is well formed"))
    }

    #[test]
    fn json_to_bytes_to_json() {
        let given = r#"{"start":18446744073709551615,"delta":-3,"kind":"Leaf","set":"a|0x40","name":{"hex":"ff00"},"more":null}"#;
        let bytes = encode(&mapping(), &from_json(given)).unwrap();
        assert_eq!(bytes.len(), mapping().size() as usize);
        let json = decode(&mapping(), &bytes).unwrap().to_json().to_string();
        assert_eq!(
            json,
            r#"{"start":18446744073709551615,"delta":-3,"kind":1,"set":65,"name":{"hex":"ff00"},"more":null}"#
        );
    }

    #[test]
    fn a_result_of_the_wrong_size_is_an_error() {
        assert!(decode(&int(8, false), &[0; 7]).is_err());
        assert!(decode(&int(8, false), &[0; 16]).is_err());
        let bytes = Schema::Bytes { max: 3, fixed: false, display: Display::Plain };
        let mut laid_out = [0; 16];
        laid_out[0] = 4;
        assert!(decode(&bytes, &laid_out).is_err());
    }
}
