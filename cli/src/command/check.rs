//! `trav check`.

use super::hooks;
use crate::certificates::{self, Budget};
use crate::failure::{self, Failure, Status};
use crate::load::{Spec, has_error};
use crate::render;
use clap::Args;
use serde_json::json;
use std::io::Write;
use trav_compiler::Options;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::certificate::{Certificate, certificate};
use trav_compiler::ir::verify::Verified;

/// Parse, type and prove specs
#[derive(Debug, Args)]
pub struct Check {
    /// The specs
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Print a line for each spec that is right
    #[arg(short, long)]
    verbose: bool,
    /// Print the certificate of each traversal: most hops, bytes, rows and instructions, scratch memory, checks that remain
    #[arg(long)]
    report: bool,
    /// Print diagnostics and certificates as JSON, one object a spec
    #[arg(long)]
    json: bool,
    /// The hook whose program's instructions are counted: a name, or the file of a profile
    #[arg(long, value_name = "NAME", default_value = "test")]
    hook: String,
    /// Take every check that remains in the code for an error
    #[arg(long)]
    deny_checks: bool,
    /// Fail if a certificate exceeds the one stored in this file
    #[arg(long, value_name = "FILE")]
    budget: Option<String>,
    /// Store the certificates in the budget's file instead
    #[arg(long, requires = "budget")]
    update_budget: bool,
}

impl Check {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let hook = hooks::profile(&self.hook)?;
        let mut budget = match &self.budget {
            Some(path) => match Budget::read(path) {
                Err(_) if self.update_budget && !std::fs::exists(path).unwrap_or(true) => Budget::default(),
                read => read?,
            },
            None => Budget::default(),
        };
        let mut worst = Status::Good;
        for file in &self.files {
            let status = match Spec::read(file) {
                Ok(spec) => self.check(&spec, &hook, &mut budget, out)?,
                Err(failure) => failure.report(),
            };
            worst = worst.max(status);
        }
        if let (Some(path), true, Status::Good) = (&self.budget, self.update_budget, worst) {
            budget.write(path)?;
        }
        Ok(worst)
    }

    fn check(&self, spec: &Spec, hook: &Profile, budget: &mut Budget, out: &mut dyn Write) -> Result<Status, Failure> {
        let compilation = spec.compile(Options::default());
        let (sources, mut diagnostics) = (&compilation.sources, compilation.diagnostics);
        if !has_error(&diagnostics) {
            diagnostics.extend(spec.compile_tests().diagnostics);
        }
        let certified: Vec<(&Verified, Certificate)> =
            match self.report || self.json || self.deny_checks || self.budget.is_some() {
                true => compilation.traversals.iter().map(|t| (t, certificate(t, hook))).collect(),
                false => Vec::new(),
            };
        if self.deny_checks {
            let denied =
                certified.iter().flat_map(|(t, c)| c.checks.iter().map(|check| check.denied(t, &compilation.sources)));
            diagnostics.extend(denied);
            diagnostics.sort_by_key(|d| (d.label.span, d.code));
            // What several traversals inline is said once.
            diagnostics.dedup_by_key(|d| (d.code, d.label.span));
        }
        let mut exceeded = Vec::new();
        if self.update_budget {
            budget.set(&spec.name, certified.iter().map(|(t, c)| (t.name.as_str(), c)));
        } else if self.budget.is_some() {
            exceeded.extend(certified.iter().flat_map(|(t, c)| budget.exceeded(&spec.name, &t.name, c)));
        }
        let good = !has_error(&diagnostics);
        if self.json {
            let diagnostics: Vec<_> = diagnostics.iter().map(|d| render::to_json(sources, d)).collect();
            let certificates: Vec<_> =
                certified.iter().map(|(t, c)| certificates::to_json(sources, t, &hook.name, c)).collect();
            let mut object = json!({ "file": spec.name, "diagnostics": diagnostics, "traversals": certificates });
            if self.budget.is_some() {
                object["exceeded"] = json!(exceeded);
            }
            writeln!(out, "{object}")?;
        } else {
            render::tell(sources, &diagnostics);
            exceeded.iter().for_each(|excess| failure::tell(&format!("error: {}: {excess}\n", spec.name)));
            if good && self.verbose {
                let names: Vec<_> = compilation.traversals.iter().map(|t| t.name.as_str()).collect();
                writeln!(out, "{}: good: {}", spec.name, names.join(", "))?;
            }
            if self.report {
                for (t, c) in &certified {
                    certificates::print(sources, t, &hook.name, c, out)?;
                }
            }
        }
        Ok(if good && exceeded.is_empty() { Status::Good } else { Status::Spec })
    }
}
