//! `trav dump`.

use crate::failure::{self, Failure, Status};
use crate::load::{Spec, has_error};
use crate::render;
use crate::suggest::did_you_mean;
use clap::Args;
use serde_json::{Value as Json, json};
use std::io::Write;
use std::sync::Arc;
use trav_compiler::compile_dump;
use trav_compiler::dump::Entry;
use trav_compiler::ir::schema::{Display, Schema};
use trav_runtime::exec::{Engine, Outcome};
use trav_runtime::image::{self, Image, Sources};
use trav_runtime::value::{Given, decode, encode, hex, parse_pair};

/// Bytes of a field that are shown; longer ones are cut, with their length.
const BYTES_SHOWN: usize = 32;
/// As far as a structure is read whose size only its bytes tell.
const ROOM_MAX: u64 = 1 << 16;

/// Decode one structure: each field with its offset, bytes and meaning
#[derive(Debug, Args)]
pub struct Dump {
    /// The spec: a path, or a standard module such as std.ext4
    file: String,
    /// The structure
    #[arg(value_name = "TYPE")]
    structure: String,
    /// The structure's parameters
    #[arg(value_name = "NAME=VALUE")]
    args: Vec<String>,
    /// Where it begins
    #[arg(long, value_name = "OFFSET")]
    at: String,
    /// The image
    #[arg(long, value_name = "FILE")]
    image: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A row of the dump.
struct Row<'e> {
    entry: &'e Entry,
    index: [u64; 2],
    offset: u64,
    len: u64,
    value: u64,
}

impl Dump {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let spec = Spec::read(&self.file)?;
        let dump = compile_dump(&spec.name, &spec.text, &spec, &self.structure);
        render::tell(&dump.sources, &dump.diagnostics);
        if has_error(&dump.diagnostics) {
            return Err(Failure::Spec);
        }
        let Some((walk, entries)) = dump.walk else {
            let near = did_you_mean(&self.structure, dump.structures.iter().map(String::as_str));
            return Err(Failure::call(format!("there is no structure `{}`{near}", self.structure)));
        };
        let image = image::open(&self.image).map_err(|e| Failure::file("open", &self.image, &e))?;
        let mut given: Vec<(String, Given)> = Vec::new();
        for text in &self.args {
            given.push(
                parse_pair(text)
                    .ok_or_else(|| Failure::call(format!("expected an argument NAME=VALUE, found `{text}`")))?,
            );
        }
        let at = number(&self.at)?;
        let room = image.len().saturating_sub(at).min(ROOM_MAX);
        given.push(("at".into(), Given::Text(at.to_string())));
        given.push(("room".into(), Given::Text(room.to_string())));
        if let Some((name, _)) = given.iter().find(|(n, _)| !walk.params.iter().any(|p| p.name == *n)) {
            return Err(Failure::call(format!("`{}` has no parameter `{name}`", self.structure)));
        }
        let mut args = Vec::new();
        for p in &walk.params {
            let (_, value) = given.iter().find(|(n, _)| *n == p.name).ok_or_else(|| {
                Failure::call(format!("`{}` needs its parameter `{}`: {}=VALUE", self.structure, p.name, p.name))
            })?;
            args.extend(encode(&p.schema, value).map_err(|e| Failure::call(format!("argument `{}` {e}", p.name)))?);
        }
        let mut executor = Engine::Native.prepare(&walk)?;
        let sources = Sources { images: walk.sources.iter().map(|_| image.clone()).collect() };
        let trace = executor.run(&args, &sources)?;
        let rows: Vec<Row<'_>> = trace.rows.iter().map(|bytes| row(bytes, &entries)).collect();
        if self.json {
            let fields: Vec<Json> = rows.iter().map(|r| r.json(&image)).collect();
            let fault = match &trace.outcome {
                Outcome::Fault(f) => Json::from(walk.faults[f.fault.index()].message.clone()),
                Outcome::Done(_) => Json::Null,
            };
            writeln!(out, "{}", json!({ "structure": self.structure, "at": at, "fields": fields, "fault": fault }))?;
        } else {
            rows.iter().try_for_each(|r| r.print(&image, out))?;
        }
        let Outcome::Fault(report) = trace.outcome else { return Ok(Status::Good) };
        let fault = &walk.faults[report.fault.index()];
        let place = dump.sources.place(fault.span);
        out.flush()?;
        let message = report.message(&walk, &trace.hops);
        failure::tell(&format!("fault: {}: {message}\n  at {}:{}\n", fault.kind.name(), place.file, place.line));
        Ok(Status::Fault)
    }
}

/// An offset as it may be written: `4096`, `0x1000`, `4KiB`.
fn number(text: &str) -> Result<u64, Failure> {
    let schema = Schema::Int { bits: 64, signed: false, display: Display::Plain };
    let bytes = encode(&schema, &Given::Text(text.into())).map_err(|e| Failure::call(format!("--at {e}")))?;
    Ok(bytes.try_into().map(u64::from_le_bytes).expect("an integer is laid out in eight bytes"))
}

fn row<'e>(bytes: &[u8], entries: &'e [Entry]) -> Row<'e> {
    let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().expect("a row is laid out in words"));
    Row { entry: &entries[word(0) as usize], index: [word(1), word(2)], offset: word(3), len: word(4), value: word(5) }
}

impl Row<'_> {
    /// The field's name, with its index in an array.
    fn name(&self) -> String {
        match self.entry.name.split_once("[]") {
            Some((name, _)) if name.is_empty() => self.entry.name.clone(),
            Some((name, rest)) if rest.is_empty() => format!("{name}[{}]", self.index[0]),
            Some((name, rest)) => {
                format!("{name}[{}]{}", self.index[0], rest.replacen("[]", &format!("[{}]", self.index[1]), 1))
            }
            None => self.entry.name.clone(),
        }
    }

    fn bytes(&self, image: &Arc<dyn Image>, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most.min(usize::try_from(self.len).unwrap_or(most))];
        // What the walk reported lies on the image.
        if image.read_at(self.offset, &mut bytes).is_err() {
            bytes.clear();
        }
        bytes
    }

    /// What the field means: the number by its type, or the bytes as text.
    fn meaning(&self, image: &Arc<dyn Image>) -> String {
        match &self.entry.schema {
            Schema::Unit => String::new(),
            Schema::Bytes { .. } => {
                let bytes = self.bytes(image, BYTES_SHOWN);
                let text = bytes
                    .iter()
                    .take_while(|b| **b != 0)
                    .map(|b| if b.is_ascii_graphic() || *b == b' ' { *b as char } else { '.' });
                format!(
                    "{:?}{}",
                    text.collect::<String>(),
                    if self.len as usize > BYTES_SHOWN { format!(" … {} bytes", self.len) } else { String::new() }
                )
            }
            schema => decode(schema, &self.value.to_le_bytes()).map_or_else(|e| format!("{e:?}"), |v| format!("{v:#}")),
        }
    }

    fn print(&self, image: &Arc<dyn Image>, out: &mut dyn Write) -> Result<(), Failure> {
        let indent = 2 * self.entry.depth as usize;
        let name = format!("{:indent$}{}", "", self.name());
        let raw = if self.len == 0 {
            String::new()
        } else {
            hex(&self.bytes(image, 8)) + if self.len > 8 { "…" } else { "" }
        };
        let place = if self.len == 0 && self.entry.schema != Schema::Unit {
            "computed".into()
        } else {
            format!("{:#x}", self.offset)
        };
        let expected = self.entry.expected.as_ref().map_or(String::new(), |e| format!("  ({e})"));
        writeln!(
            out,
            "{}",
            format!("{place:>12}  {raw:<17}  {name:<28} {}{expected}", self.meaning(image)).trim_end()
        )?;
        Ok(())
    }

    fn json(&self, image: &Arc<dyn Image>) -> Json {
        let value = match &self.entry.schema {
            Schema::Unit => Json::Null,
            Schema::Bytes { .. } => json!({ "hex": hex(&self.bytes(image, 1 << 16)) }),
            schema => decode(schema, &self.value.to_le_bytes()).map_or(Json::Null, |v| v.to_json()),
        };
        json!({ "name": self.name(), "depth": self.entry.depth, "offset": self.offset, "len": self.len, "value": value })
    }
}
