//! Short ways to the fields of results, and to the JSON of answers.

use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};
use trav_runtime::value::{Value, hex};

/// The fields of a record that a walk gave. The specs are ours: a field that is not there is a broken invariant.
pub trait Fields {
    /// A field.
    fn field(&self, name: &str) -> &Value;
    /// A number of either sign.
    fn int(&self, name: &str) -> i128;
    /// A number, an enum or flags.
    fn u64(&self, name: &str) -> u64;
    /// Yes or no.
    fn bool(&self, name: &str) -> bool;
    /// Bytes.
    fn bytes(&self, name: &str) -> &[u8];
}

impl Fields for Value {
    fn field(&self, name: &str) -> &Value {
        let Value::Record(fields) = self else { panic!("a record with `{name}` is expected, found {self}") };
        let found = fields.iter().find(|(n, _)| n == name);
        &found.unwrap_or_else(|| panic!("the spec's record has a field `{name}`")).1
    }
    fn int(&self, name: &str) -> i128 {
        integer(self.field(name))
    }
    fn u64(&self, name: &str) -> u64 {
        integer(self.field(name)) as u64
    }
    fn bool(&self, name: &str) -> bool {
        matches!(self.field(name), Value::Bool(true))
    }
    fn bytes(&self, name: &str) -> &[u8] {
        bytes(self.field(name))
    }
}

/// A value that is a number, an enum or flags.
pub fn integer(value: &Value) -> i128 {
    match value {
        Value::Int { value, .. } => *value,
        Value::Enum { value, .. } | Value::Flags { value, .. } => i128::from(*value),
        other => panic!("the spec gives a number here, found {other}"),
    }
}

/// A value that is bytes.
pub fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::Bytes { bytes, .. } => bytes,
        other => panic!("the spec gives bytes here, found {other}"),
    }
}

/// Bytes as an argument of a walk.
pub fn hex_arg(bytes: &[u8]) -> Json {
    json!({ "hex": hex(bytes) })
}

/// Bytes as a name in an answer: text where they are UTF-8, else `{"hex"}`.
pub fn name(bytes: &[u8]) -> Json {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A content in an answer: `length`, `sha256` and, where it is short, `hex`.
pub fn content(bytes: &[u8]) -> Json {
    let mut json = json!({ "length": bytes.len(), "sha256": sha256(bytes) });
    if bytes.len() <= 4096 {
        json["hex"] = hex(bytes).into();
    }
    json
}
