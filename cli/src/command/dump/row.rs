//! One field of a dumped structure.

use serde_json::{Value as Json, json};
use std::fmt::{self, Display};
use std::sync::Arc;
use trav_compiler::dump::Entry;
use trav_compiler::ir::schema::Schema;
use trav_runtime::image::Image;
use trav_runtime::value::{decode, hex};

/// Bytes of a text that are shown; longer ones are cut, with their length.
const TEXT_SHOWN: usize = 32;
/// Bytes that are shown in hexadecimal beside each field.
const RAW_SHOWN: usize = 8;
/// Bytes of a field that are in JSON: no structure is read further.
const RAW_MAX: usize = 1 << 16;

/// A row that the walk gave (`trav_compiler::dump::ROW`).
pub struct Row<'e> {
    entry: &'e Entry,
    /// The index in an array, and in an array in that.
    index: [u64; 2],
    offset: u64,
    len: u64,
    value: u64,
    image: &'e Arc<dyn Image>,
}

impl<'e> Row<'e> {
    /// Takes a row apart.
    pub fn new(bytes: &[u8], entries: &'e [Entry], image: &'e Arc<dyn Image>) -> Self {
        let (words, _) = bytes.as_chunks::<8>();
        let word = |i: usize| u64::from_le_bytes(words[i]);
        let entry = &entries[word(0) as usize];
        Row { entry, index: [word(1), word(2)], offset: word(3), len: word(4), value: word(5), image }
    }

    /// The field's name, with its index in each array that it is in.
    fn name(&self) -> String {
        let indexed = |name: String, index: &u64| name.replacen("[]", &format!("[{index}]"), 1);
        self.index.iter().fold(self.entry.name.clone(), indexed)
    }

    /// Its first bytes, at most so many.
    fn bytes(&self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most.min(usize::try_from(self.len).unwrap_or(most))];
        if self.image.read_at(self.offset, &mut bytes).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// What it means: the number by its type, or the bytes as text.
    fn meaning(&self) -> String {
        match &self.entry.schema {
            Schema::Unit => String::new(),
            Schema::Bytes { .. } => {
                let printable = |b: u8| if b.is_ascii_graphic() || b == b' ' { char::from(b) } else { '.' };
                let text: String = self.bytes(TEXT_SHOWN).into_iter().take_while(|b| *b != 0).map(printable).collect();
                if self.len > TEXT_SHOWN as u64 {
                    format!("{text:?} … {} bytes", self.len)
                } else {
                    format!("{text:?}")
                }
            }
            schema => decode(schema, &self.value.to_le_bytes()).map_or_else(|e| e.to_string(), |v| v.to_string()),
        }
    }

    /// An object with the field's bytes and its value.
    pub fn json(&self) -> Json {
        let raw = hex(&self.bytes(RAW_MAX));
        let value = match &self.entry.schema {
            Schema::Unit => Json::Null,
            Schema::Bytes { .. } => json!({ "hex": raw }),
            schema => decode(schema, &self.value.to_le_bytes()).map_or(Json::Null, |v| v.to_json()),
        };
        let (name, depth) = (self.name(), self.entry.depth);
        json!({ "name": name, "depth": depth, "offset": self.offset, "len": self.len, "hex": raw, "value": value })
    }
}

/// One line: offset, bytes, name, meaning, and what the spec says it must be.
impl Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_computed = self.len == 0 && self.entry.schema != Schema::Unit;
        let place = if is_computed { "computed".into() } else { format!("{:#x}", self.offset) };
        let more = if self.len > RAW_SHOWN as u64 { "…" } else { "" };
        let raw = hex(&self.bytes(RAW_SHOWN)) + more;
        let name = format!("{:indent$}{}", "", self.name(), indent = 2 * self.entry.depth as usize);
        let expected = self.entry.expected.as_ref().map_or(String::new(), |e| format!("  ({e})"));
        let line = format!("{place:>12}  {raw:<17}  {name:<28} {}{expected}", self.meaning());
        f.write_str(line.trim_end())
    }
}
