//! One answer, as JSON and for people.

use super::Run;
use crate::failure::{self, Failure, Status};
use serde_json::{Value as Json, json};
use std::fmt::Write as _;
use std::io::Write;
use trav_compiler::ir::schema::Schema;
use trav_compiler::source::SourceMap;
use trav_runtime::call::{Answer, Caller};
use trav_runtime::exec::{FaultReport, Hop, Outcome};
use trav_runtime::value::{DecodeError, Value, decode};

/// An answer with all that is needed to show it.
pub struct View<'v, 'a> {
    pub run: &'v Run,
    pub sources: &'v SourceMap,
    pub answer: &'v Answer<'a>,
    pub caller: &'v Caller<'a>,
}

impl View<'_, '_> {
    /// What the command ends with.
    pub fn status(&self) -> Status {
        match self.answer.trace.outcome {
            Outcome::Done(_) => Status::Good,
            Outcome::Fault(_) => Status::Fault,
        }
    }

    /// One object on one line.
    pub fn json(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let trace = &self.answer.trace;
        let mut object = head(self.run);
        match &trace.outcome {
            Outcome::Done(bytes) => object["result"] = self.result(bytes)?.to_json(),
            Outcome::Fault(report) => {
                object["fault"] = self.fault(report);
                if self.answer.traversal.stream {
                    object["rows"] = self.rows()?.to_json();
                }
            }
        }
        object["hops"] = trace.hops.len().into();
        object["bytes"] = u64::try_from(self.bytes()).unwrap_or(u64::MAX).into();
        if self.run.trace {
            object["trace"] = trace.hops.iter().map(|hop| self.hop(hop)).collect();
        }
        writeln!(out, "{object}")?;
        Ok(())
    }

    /// The result on standard output; reads and a fault on standard error.
    pub fn text(&self, out: &mut dyn Write) -> Result<(), Failure> {
        let (traversal, trace) = (self.answer.traversal, &self.answer.trace);
        if self.run.trace {
            failure::tell(&self.hops());
        }
        let shown = match &trace.outcome {
            Outcome::Done(bytes) => self.result(bytes)?,
            Outcome::Fault(_) => self.rows()?,
        };
        let nothing = matches!(&shown, Value::List(rows) if rows.is_empty())
            || !traversal.stream && traversal.result == Schema::Unit;
        if !nothing {
            writeln!(out, "{shown:#}")?;
        }
        if let Outcome::Fault(report) = &trace.outcome {
            out.flush()?;
            failure::tell(&self.fault_text(report));
        }
        Ok(())
    }

    fn result(&self, bytes: &[u8]) -> Result<Value, Failure> {
        match self.answer.traversal.stream {
            true => self.rows(),
            false => decode(&self.answer.traversal.result, bytes).map_err(broken_result),
        }
    }

    fn rows(&self) -> Result<Value, Failure> {
        let row = |bytes: &Vec<u8>| decode(&self.answer.traversal.result, bytes);
        self.answer.trace.rows.iter().map(row).collect::<Result<_, _>>().map(Value::List).map_err(broken_result)
    }

    fn bytes(&self) -> u128 {
        self.answer.trace.hops.iter().map(|hop| u128::from(hop.len)).sum()
    }

    /// The offset of the block of the last hop that lay on its source.
    fn block(&self) -> Option<u64> {
        let lies = |hop: &&Hop| {
            let source = &self.answer.traversal.sources[hop.source.index()];
            let end = hop.offset.checked_add(hop.len);
            self.caller.image_len(source).is_some_and(|len| end.is_some_and(|end| end <= len))
        };
        self.answer.trace.hops.iter().rev().find(lies).map(|hop| hop.offset)
    }

    fn fault(&self, report: &FaultReport) -> Json {
        let fault = &self.answer.traversal.faults[report.fault.index()];
        let place = self.sources.place(fault.span);
        json!({
            "kind": fault.kind.name(),
            "message": report.message(self.answer.traversal, &self.answer.trace.hops),
            "at": { "file": place.file, "line": place.line },
            "block": self.block(),
            "offset": report.at,
        })
    }

    fn fault_text(&self, report: &FaultReport) -> String {
        let fault = &self.answer.traversal.faults[report.fault.index()];
        let place = self.sources.place(fault.span);
        let mut text = format!(
            "fault: {}: {}\n",
            fault.kind.name(),
            report.message(self.answer.traversal, &self.answer.trace.hops)
        );
        let _ = writeln!(text, "  at {}:{}: {}", place.file, place.line, self.sources.line_text(fault.span));
        // Writing to a String does not fail.
        let _ = match (self.block(), report.at) {
            (Some(block), Some(at)) => writeln!(text, "  in the block at byte {block}, offset {at}"),
            (Some(block), None) => writeln!(text, "  in the block at byte {block}"),
            (None, _) => writeln!(text, "  before any block was read"),
        };
        let (hops, s) = (self.answer.trace.hops.len(), if self.answer.trace.hops.len() == 1 { "" } else { "s" });
        let _ = writeln!(text, "  after {hops} hop{s}, {} bytes", self.bytes());
        text
    }

    fn hop(&self, hop: &Hop) -> Json {
        let source = &self.answer.traversal.sources[hop.source.index()];
        json!({ "source": source, "offset": hop.offset, "len": hop.len })
    }

    /// One line a read.
    fn hops(&self) -> String {
        let line = |(index, hop): (usize, &Hop)| {
            let source = &self.answer.traversal.sources[hop.source.index()];
            format!("hop {}: {source} at {} ({:#x}), {} bytes\n", index + 1, hop.offset, hop.offset, hop.len)
        };
        self.answer.trace.hops.iter().enumerate().map(line).collect()
    }
}

/// What begins each line.
fn head(run: &Run) -> Json {
    json!({ "traversal": run.call.traversal, "engine": run.engine.name() })
}

/// The line of a call of which no more is known than its result.
pub fn result_line(
    run: &Run,
    schema: &Schema,
    result: &[u8],
    hops: u64,
    bytes: u64,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let mut object = head(run);
    object["result"] = decode(schema, result).map_err(broken_result)?.to_json();
    object["hops"] = hops.into();
    object["bytes"] = bytes.into();
    writeln!(out, "{object}")?;
    Ok(())
}

/// An executor laid a result out wrongly: nothing that the caller could mend.
fn broken_result(error: DecodeError) -> Failure {
    Failure::Refused(format!("internal error of trav, please report it: {error}"))
}
