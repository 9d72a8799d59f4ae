//! Queries and how they end.

use serde_json::{Value as Json, json};

/// One question about an image.
#[derive(Clone, Debug)]
pub struct Query {
    /// Its name.
    pub id: String,
    /// The image's path, relative to the current folder.
    pub image: String,
    /// `FAMILY.NAME`.
    pub traversal: String,
    /// An object.
    pub args: Json,
}

/// Why a query has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The image or an argument is wrong.
    Error(String),
    /// Nothing here answers such queries.
    Unsupported,
}

impl Failure {
    /// An error with this text.
    pub fn error(text: impl Into<String>) -> Self {
        Failure::Error(text.into())
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Error(text) => f.write_str(text),
            Failure::Unsupported => f.write_str("nothing here answers such queries"),
        }
    }
}

/// The result of a query, a JSON object.
pub type Reply = Result<Json, Failure>;

/// The thing looked for does not exist, and nothing is wrong.
pub fn not_found() -> Reply {
    Ok(json!({ "found": false }))
}

impl Query {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Query, String> {
        let mut json: Json = serde_json::from_str(line).map_err(|e| format!("the query is not JSON: {e}"))?;
        let mut text = |name: &str| match json.get_mut(name).map(Json::take) {
            Some(Json::String(text)) => Ok(text),
            _ => Err(format!("the query has no text `{name}`")),
        };
        let (id, image, traversal) = (text("id")?, text("image")?, text("traversal")?);
        Ok(Query { id, image, traversal, args: json["args"].take() })
    }

    /// The family: what stands before the dot.
    pub fn prefix(&self) -> &str {
        self.traversal.split('.').next().unwrap_or_default()
    }

    /// The name behind the family's prefix.
    pub fn name(&self) -> &str {
        self.traversal.split_once('.').map_or(&self.traversal, |(_, name)| name)
    }

    /// The images that the query is about: its own, and the others of `devices`.
    pub fn images(&self) -> Vec<&str> {
        let devices = self.get("devices").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str);
        std::iter::once(self.image.as_str()).chain(devices.filter(|d| *d != self.image)).collect()
    }

    /// An argument, when it is there and not null.
    pub fn get(&self, name: &str) -> Option<&Json> {
        self.args.get(name).filter(|v| !v.is_null())
    }

    /// An argument that is a number of at least 0.
    pub fn u64(&self, name: &str) -> Result<u64, Failure> {
        self.get(name).and_then(Json::as_u64).ok_or_else(|| Failure::error(format!("`{name}` is not a number from 0")))
    }

    /// An argument that is a number of either sign.
    pub fn i64(&self, name: &str) -> Result<i64, Failure> {
        self.get(name).and_then(Json::as_i64).ok_or_else(|| Failure::error(format!("`{name}` is not a number")))
    }

    /// An argument that is text.
    pub fn text(&self, name: &str) -> Result<&str, Failure> {
        self.get(name).and_then(Json::as_str).ok_or_else(|| Failure::error(format!("`{name}` is not text")))
    }

    /// An argument that is text (`NAME`) or bytes that are not (`NAME_hex`).
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>, Failure> {
        match self.get(&format!("{name}_hex")).and_then(Json::as_str) {
            Some(digits) => unhex(digits).ok_or_else(|| Failure::error(format!("`{name}_hex` is not hexadecimal"))),
            None => Ok(self.text(name)?.as_bytes().to_vec()),
        }
    }
}

/// Bytes from hexadecimal digits.
pub fn unhex(digits: &str) -> Option<Vec<u8>> {
    let (pairs, []) = digits.as_bytes().as_chunks::<2>() else { return None };
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}
