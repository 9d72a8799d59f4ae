//! `trav dump`.

mod row;

use super::pairs;
use crate::failure::{self, Failure, Status};
use crate::load::{self, Spec, has_error};
use crate::render;
use crate::suggest::did_you_mean;
use clap::Args;
use row::Row;
use serde_json::{Value as Json, json};
use std::io::Write;
use trav_compiler::compile_dump;
use trav_compiler::ir::schema::{Display, Schema};
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::{Effort, Engine, Outcome};
use trav_runtime::image::Sources;
use trav_runtime::value::{Given, encode};

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
        let image = load::image(&self.image)?;
        let at = number(&self.at)?;
        let args = self.arguments(&walk, at, image.len().saturating_sub(at).min(ROOM_MAX))?;
        let sources = Sources { images: walk.sources.iter().map(|_| image.clone()).collect() };
        let trace = Engine::Native.prepare_for(&walk, Effort::Once)?.run(&args, &sources)?;
        let fault = match &trace.outcome {
            Outcome::Done(_) => None,
            Outcome::Fault(report) => Some((report, report.message(&walk, &trace.hops))),
        };
        let mut rows = trace.rows.iter().map(|bytes| Row::new(bytes, &entries, &image));
        if self.json {
            let fields: Vec<Json> = rows.map(|row| row.json()).collect();
            let fault = fault.as_ref().map(|(_, message)| message);
            writeln!(out, "{}", json!({ "structure": self.structure, "at": at, "fields": fields, "fault": fault }))?;
        } else {
            rows.try_for_each(|row| writeln!(out, "{row}"))?;
        }
        let Some((report, message)) = fault else { return Ok(Status::Good) };
        out.flush()?;
        let fault = &walk.faults[report.fault.index()];
        let place = dump.sources.place(fault.span);
        failure::tell(&format!("fault: {}: {message}\n  at {}:{}\n", fault.kind.name(), place.file, place.line));
        Ok(Status::Fault)
    }

    /// Lays out the structure's parameters beside the walk's own, `at` and `room`.
    fn arguments(&self, walk: &Verified, at: u64, room: u64) -> Result<Vec<u8>, Failure> {
        let mut given = pairs(&self.args)?;
        if let Some((name, _)) =
            given.iter().find(|(n, _)| n == "at" || n == "room" || !walk.params.iter().any(|p| p.name == *n))
        {
            return Err(Failure::call(format!("`{}` has no parameter `{name}`", self.structure)));
        }
        given.push(("at".into(), Given::Text(at.to_string())));
        given.push(("room".into(), Given::Text(room.to_string())));
        let mut args = Vec::new();
        for p in &walk.params {
            let mut values = given.iter().filter(|(n, _)| *n == p.name).map(|(_, value)| value);
            let value = values.next().ok_or_else(|| {
                Failure::call(format!("`{}` needs its parameter `{}`: {}=VALUE", self.structure, p.name, p.name))
            })?;
            if values.next().is_some() {
                return Err(Failure::call(format!("argument `{}` is given twice", p.name)));
            }
            args.extend(encode(&p.schema, value).map_err(|e| Failure::call(format!("argument `{}` {e}", p.name)))?);
        }
        Ok(args)
    }
}

/// An offset as it may be written: `4096`, `0x1000`, `4KiB`.
fn number(text: &str) -> Result<u64, Failure> {
    let schema = Schema::Int { bits: 64, signed: false, display: Display::Plain };
    let bytes = encode(&schema, &Given::Text(text.into())).map_err(|e| Failure::call(format!("--at {e}")))?;
    Ok(bytes.try_into().map(u64::from_le_bytes).expect("an integer is laid out in eight bytes"))
}
