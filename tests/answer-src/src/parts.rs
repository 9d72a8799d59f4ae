//! Contents and lists put together from what walks gave.

use crate::query::{Failure, Query};
use crate::session::Session;
use serde_json::{Value as Json, json};

/// The most bytes of one answer's content.
const CONTENT_BYTES_MAX: u64 = 1 << 30;

/// A part of a file's bytes.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Where it begins in the file.
    pub logical: u64,
    /// Bytes.
    pub length: u64,
    /// Where it begins on the image; none for zeros.
    pub physical: Option<u64>,
}

/// The window that `offset` and `length` of a query ask for in a file of `size` bytes; all of it where they are left out.
pub fn window(query: &Query, size: u64) -> Result<(u64, u64), Failure> {
    let number = |name: &str, default: u64| match query.get(name) {
        Some(_) => query.u64(name),
        None => Ok(default),
    };
    let start = number("offset", 0)?.min(size);
    let end = start.saturating_add(number("length", size)?).min(size);
    match end - start {
        0..=CONTENT_BYTES_MAX => Ok((start, end)),
        length => Err(Failure::error(format!("{length} bytes are too many for one answer"))),
    }
}

/// The bytes of a window of a file, put together from parts in order.
pub struct Gathered {
    start: u64,
    end: u64,
    out: Vec<u8>,
}

impl Gathered {
    /// Nothing of the window yet.
    pub fn new((start, end): (u64, u64)) -> Self {
        Gathered { start, end, out: Vec::with_capacity((end - start) as usize) }
    }

    /// What comes next of a part: how far in the part it begins, and how many bytes; none where it has nothing of what comes next.
    pub fn wanted(&self, logical: u64, length: u64) -> Option<(u64, u64)> {
        let at = self.start + self.out.len() as u64;
        let part_end = logical.saturating_add(length).min(self.end);
        (logical <= at && at < part_end).then(|| (at - logical, part_end - at))
    }

    /// A part that is on the image, or is zeros.
    pub fn part(&mut self, session: &Session<'_>, part: &Part) -> Result<(), Failure> {
        if let Some((skip, count)) = self.wanted(part.logical, part.length) {
            match part.physical {
                Some(physical) => self.out.extend(session.read(physical.saturating_add(skip), count)?),
                None => self.out.resize(self.out.len() + count as usize, 0),
            }
        }
        Ok(())
    }

    /// A part of which these are the bytes; what they lack of its length is an error.
    pub fn bytes(&mut self, logical: u64, length: u64, bytes: &[u8]) -> Result<(), Failure> {
        if let Some((skip, count)) = self.wanted(logical, length) {
            let part = bytes.get(skip as usize..).and_then(|rest| rest.get(..count as usize));
            self.out.extend(part.ok_or_else(|| Failure::error("a compressed block is too short"))?);
        }
        Ok(())
    }

    /// All of it; parts that do not cover the window are an error.
    pub fn finish(self) -> Result<Vec<u8>, Failure> {
        match self.out.len() as u64 == self.end - self.start {
            true => Ok(self.out),
            false => Err(Failure::error("the file's parts do not cover its size")),
        }
    }
}

/// The bytes of a window of a file. Its parts must cover it, in order.
pub fn read(session: &Session<'_>, parts: &[Part], window: (u64, u64)) -> Result<Vec<u8>, Failure> {
    let mut gathered = Gathered::new(window);
    for part in parts {
        gathered.part(session, part)?;
    }
    gathered.finish()
}

/// Numbers in a row as maximal runs `[start, count]`.
pub fn runs(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for n in numbers {
        match out.last_mut() {
            Some((start, count)) if *start + *count == n => *count += 1,
            _ => out.push((n, 1)),
        }
    }
    out
}

/// A list as answers give it: its length, all of it, and its first and last four.
pub fn list(name: &str, items: Vec<Json>) -> Json {
    let (head, tail) = (&items[..items.len().min(4)], &items[items.len().saturating_sub(4)..]);
    json!({ format!("n_{name}"): items.len(), "head": head, "tail": tail, name: items })
}

/// Adds the members of another object.
pub fn with(mut json: Json, more: Json) -> Json {
    if let (Json::Object(members), Json::Object(more)) = (&mut json, more) {
        members.extend(more);
    }
    json
}

/// Unordered lists of answers are ordered by what Python's `str()` makes of their items.
pub fn sorted_by_text(mut items: Vec<Json>) -> Vec<Json> {
    items.sort_by_cached_key(python_text);
    items
}

fn python_text(json: &Json) -> String {
    match json {
        Json::Null => "None".into(),
        Json::Bool(b) => if *b { "True" } else { "False" }.into(),
        Json::Number(n) => n.to_string(),
        Json::String(text) => python_quoted(text),
        Json::Array(items) => format!("[{}]", items.iter().map(python_text).collect::<Vec<_>>().join(", ")),
        Json::Object(members) => {
            let member = |(key, value): (&String, &Json)| format!("{}: {}", python_quoted(key), python_text(value));
            format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
    }
}

fn python_quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}
