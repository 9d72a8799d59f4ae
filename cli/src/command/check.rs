//! `trav check`.

use crate::failure::{Failure, Status};
use crate::load::{Spec, has_error};
use crate::render;
use clap::Args;
use serde_json::json;
use std::io::Write;
use trav_compiler::ir::verify::Verified;
use trav_compiler::prove::report::certificate;
use trav_compiler::source::SourceMap;

/// Parse, type and prove specs
#[derive(Debug, Args)]
pub struct Check {
    /// The specs
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Print a line for each spec that is right
    #[arg(short, long)]
    verbose: bool,
    /// Print the certificate of each traversal: most hops, bytes and rows, scratch memory, checks that remain
    #[arg(long)]
    report: bool,
    /// Print diagnostics and certificates as JSON, one object a spec
    #[arg(long)]
    json: bool,
}

impl Check {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let mut worst = Status::Good;
        for file in &self.files {
            let status = match Spec::read(file) {
                Ok(spec) => self.check(&spec, out)?,
                Err(failure) => failure.report(),
            };
            worst = worst.max(status);
        }
        Ok(worst)
    }

    fn check(&self, spec: &Spec, out: &mut dyn Write) -> Result<Status, Failure> {
        let compilation = spec.compile();
        let (sources, diagnostics) = (&compilation.sources, &compilation.diagnostics);
        let good = !has_error(diagnostics);
        if self.json {
            let diagnostics: Vec<_> = diagnostics.iter().map(|d| render::to_json(sources, d)).collect();
            let certificates: Vec<_> = compilation.traversals.iter().map(|t| certificate_json(sources, t)).collect();
            let object = json!({ "file": spec.name, "diagnostics": diagnostics, "traversals": certificates });
            writeln!(out, "{object}")?;
        } else {
            render::tell(sources, diagnostics);
            if good && self.verbose {
                let names: Vec<_> = compilation.traversals.iter().map(|t| t.name.as_str()).collect();
                writeln!(out, "{}: good: {}", spec.name, names.join(", "))?;
            }
            if good && self.report {
                compilation.traversals.iter().try_for_each(|t| report(sources, t, out))?;
            }
        }
        Ok(if good { Status::Good } else { Status::Spec })
    }
}

/// A certificate for people.
fn report(sources: &SourceMap, traversal: &Verified, out: &mut dyn Write) -> Result<(), Failure> {
    let c = certificate(traversal);
    writeln!(out, "{}", traversal.name)?;
    writeln!(out, "  at most {} hops, {} bytes read, {} bytes in one read", c.hops_max, c.bytes_max, c.read_bytes_max)?;
    if traversal.stream {
        writeln!(out, "  at most {} rows", c.rows_max)?;
    }
    writeln!(
        out,
        "  {} steps, {} bytes carried over a read, {} bytes of scratch memory",
        c.steps, c.frame_bytes, c.scratch_bytes
    )?;
    writeln!(out, "  {} checks remain", c.checks.len())?;
    for check in &c.checks {
        let place = sources.place(check.span);
        let fault = &traversal.faults[check.fault.index()];
        writeln!(
            out,
            "    {}:{}: {} ({}): {}",
            place.file,
            place.line,
            fault.message,
            fault.kind.name(),
            check.reason
        )?;
    }
    Ok(())
}

fn certificate_json(sources: &SourceMap, traversal: &Verified) -> serde_json::Value {
    let c = certificate(traversal);
    let checks: Vec<_> = c
        .checks
        .iter()
        .map(|check| {
            let (place, fault) = (sources.place(check.span), &traversal.faults[check.fault.index()]);
            json!({ "file": place.file, "line": place.line, "kind": fault.kind.name(), "message": fault.message, "reason": check.reason })
        })
        .collect();
    json!({
        "traversal": traversal.name, "hops_max": c.hops_max, "bytes_max": c.bytes_max, "rows_max": c.rows_max,
        "read_bytes_max": c.read_bytes_max, "steps": c.steps, "frame_bytes": c.frame_bytes, "scratch_bytes": c.scratch_bytes,
        "checks": checks,
    })
}
