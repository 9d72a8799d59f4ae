//! Certificates for people and as JSON, and budgets: certificates that were stored, which new ones must not exceed.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind, Write};
use trav_compiler::certificate::Certificate;
use trav_compiler::ir::ObligationKind;
use trav_compiler::ir::verify::Verified;
use trav_compiler::source::{SourceMap, Span};

/// Prints a certificate for people.
pub fn print(sources: &SourceMap, f: &Verified, hook: &str, c: &Certificate, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}", f.name)?;
    writeln!(out, "  at most {} hops, {} bytes read, {} bytes in one read", c.hops_max, c.bytes_max, c.read_bytes_max)?;
    if f.stream {
        writeln!(out, "  at most {} rows", c.rows_max)?;
    }
    match &c.insns {
        Ok(n) => writeln!(out, "  at most {} instructions a hop, {} in all (hook `{hook}`)", n.run, n.walk)?,
        Err(why) => writeln!(out, "  no instructions for the hook `{hook}`: {why}")?,
    }
    writeln!(
        out,
        "  {} steps, {} bytes carried over a read, {} bytes of scratch memory",
        c.steps, c.frame_bytes, c.scratch_bytes
    )?;
    let proved: Vec<String> = c.proved.iter().map(|(kind, n)| format!("{n} {}", words(*kind))).collect();
    writeln!(out, "  proved: {}", proved.join(", "))?;
    match c.checks.len() {
        1 => writeln!(out, "  1 check remains")?,
        n => writeln!(out, "  {n} checks remain")?,
    }
    for check in &c.checks {
        let (place, fault) = (sources.place(check.span), &f.faults[check.fault.index()]);
        let kind = words(check.kind);
        write!(out, "    {}:{}: {} ({kind}): {}", place.file, place.line, fault.message, check.reason)?;
        match lines(sources, &check.others).as_slice() {
            [] => writeln!(out)?,
            others => writeln!(out, "; also {}", others.join(", "))?,
        }
    }
    Ok(())
}

/// What a kind of obligation is called.
fn words(kind: ObligationKind) -> String {
    kind.name().replace('_', " ")
}

/// The lines of places, each once.
fn lines(sources: &SourceMap, spans: &[Span]) -> Vec<String> {
    let mut lines: Vec<(String, u32)> = Vec::new();
    for place in spans.iter().map(|span| sources.place(*span)) {
        if !lines.contains(&(place.file.clone(), place.line)) {
            lines.push((place.file, place.line));
        }
    }
    lines.into_iter().map(|(file, line)| format!("{file}:{line}")).collect()
}

/// A certificate as an object.
pub fn to_json(sources: &SourceMap, f: &Verified, hook: &str, c: &Certificate) -> Json {
    let checks: Vec<_> = c
        .checks
        .iter()
        .map(|check| {
            let (place, fault) = (sources.place(check.span), &f.faults[check.fault.index()]);
            json!({
                "file": place.file, "line": place.line, "obligation": check.kind.name(), "kind": fault.kind.name(),
                "message": fault.message, "reason": check.reason, "known": check.known, "also": lines(sources, &check.others),
            })
        })
        .collect();
    let proved: BTreeMap<&str, u64> = c.proved.iter().map(|(kind, n)| (kind.name(), *n)).collect();
    let (run, walk) = c.insns.as_ref().map_or((None, None), |n| (Some(n.run), Some(n.walk)));
    json!({
        "traversal": f.name, "hook": hook, "hops_max": c.hops_max, "bytes_max": c.bytes_max, "rows_max": c.rows_max,
        "read_bytes_max": c.read_bytes_max, "insns_hop_max": run, "insns_max": walk, "insns_missing": c.insns.as_ref().err(),
        "steps": c.steps, "frame_bytes": c.frame_bytes, "scratch_bytes": c.scratch_bytes, "checks": checks,
        "proved": proved,
    })
}

/// What a traversal may cost, by the names that [`to_json`] gives.
type Costs = BTreeMap<String, u64>;

fn costs(c: &Certificate) -> Costs {
    let mut costs: Vec<(&str, u64)> = vec![
        ("hops_max", c.hops_max),
        ("bytes_max", c.bytes_max),
        ("rows_max", c.rows_max),
        ("read_bytes_max", c.read_bytes_max),
        ("frame_bytes", c.frame_bytes),
        ("scratch_bytes", c.scratch_bytes),
        ("checks", c.checks.len() as u64),
    ];
    if let Ok(insns) = &c.insns {
        costs.extend([("insns_hop_max", insns.run), ("insns_max", insns.walk)]);
    }
    costs.into_iter().map(|(name, n)| (name.to_string(), n)).collect()
}

/// Stored certificates: what each traversal of each spec may cost.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct Budget(BTreeMap<String, BTreeMap<String, Costs>>);

/// What costs more than its budget.
#[derive(Debug, Serialize)]
pub struct Excess {
    traversal: String,
    /// Which number; none if the traversal has no budget.
    cost: Option<String>,
    stored: Option<u64>,
    found: Option<u64>,
}

impl Budget {
    /// Reads a file.
    pub fn read(path: &str) -> Result<Budget, Failure> {
        let text = fs::read_to_string(path).map_err(|e| match e.kind() {
            ErrorKind::NotFound => {
                Failure::call(format!("there is no budget `{path}`; `--budget {path} --update-budget` writes it"))
            }
            _ => Failure::file("read", path, &e),
        })?;
        serde_json::from_str(&text).map_err(|e| Failure::call(format!("`{path}` is no budget: {e}")))
    }

    /// Writes it, one number a line, so that a change shows where it belongs.
    pub fn write(&self, path: &str) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).expect("maps of numbers have a JSON form");
        fs::write(path, text + "\n").map_err(|e| Failure::file("write", path, &e))
    }

    /// Takes over a spec's certificates in place of its old ones.
    pub fn set<'a>(&mut self, spec: &str, certificates: impl Iterator<Item = (&'a str, &'a Certificate)>) {
        self.0.insert(spec.into(), certificates.map(|(name, c)| (name.to_string(), costs(c))).collect());
    }

    /// What of a traversal's certificate is greater than stored. A number that is not stored is no bound.
    pub fn exceeded(&self, spec: &str, traversal: &str, c: &Certificate) -> Vec<Excess> {
        let name = traversal.to_string();
        let Some(stored) = self.0.get(spec).and_then(|s| s.get(traversal)) else {
            return vec![Excess { traversal: name, cost: None, stored: None, found: None }];
        };
        let grown = costs(c).into_iter().filter_map(|(cost, found)| {
            let stored = *stored.get(&cost)?;
            (found > stored).then(|| Excess {
                traversal: name.clone(),
                cost: Some(cost),
                stored: Some(stored),
                found: Some(found),
            })
        });
        grown.collect()
    }
}

impl std::fmt::Display for Excess {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Excess { traversal, cost, stored, found } = self;
        match (cost, stored, found) {
            (Some(cost), Some(stored), Some(found)) => {
                write!(out, "`{traversal}`: expected `{cost}` of at most {stored}, found {found}")
            }
            _ => write!(out, "`{traversal}`: expected a budget, found none; `--update-budget` adds it"),
        }
    }
}
