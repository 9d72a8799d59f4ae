//! `trav test`.

use crate::failure::{self, Failure, Status};
use crate::load::{self, Spec, has_error};
use crate::render;
use clap::Args;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use trav_compiler::TestWalk;
use trav_compiler::source::SourceMap;
use trav_runtime::exec::{Effort, Engine, Outcome};
use trav_runtime::image::Sources;

/// Run the test items of specs
#[derive(Debug, Args)]
pub struct Test {
    /// The specs
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Where the images are; beside each spec where nothing is said
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
}

impl Test {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let mut counts = BTreeMap::from([("passed", 0u32), ("failed", 0)]);
        let mut worst = Status::Good;
        for file in &self.files {
            let spec = Spec::read(file)?;
            let found = spec.compile_tests();
            render::tell(&found.sources, &found.diagnostics);
            if has_error(&found.diagnostics) {
                worst = worst.max(Status::Spec);
                continue;
            }
            let beside = Path::new(file).parent().unwrap_or(Path::new("")).to_path_buf();
            let folder = self.images.as_ref().unwrap_or(&beside);
            for test in &found.tests {
                let failed = one(test, folder, &found.sources)?;
                let (word, key) = if failed.is_some() { ("FAILED", "failed") } else { ("ok", "passed") };
                writeln!(out, "{}: {} … {word}", spec.name, test.name)?;
                *counts.entry(key).or_default() += 1;
                if let Some(why) = failed {
                    out.flush()?;
                    failure::tell(&why);
                    worst = worst.max(Status::Fault);
                }
            }
        }
        writeln!(out, "{} passed, {} failed", counts["passed"], counts["failed"])?;
        Ok(worst)
    }
}

/// Runs one test; why it failed.
fn one(test: &TestWalk, folder: &Path, sources: &SourceMap) -> Result<Option<String>, Failure> {
    if let Some(further) = test.walk.sources[..test.walk.sources_read()].get(1) {
        return Ok(Some(format!("  it reads from `{further}` as well, and a test has one image\n")));
    }
    let path = folder.join(&test.image);
    let image = load::image(&path)?;
    let mut executor = Engine::Native.prepare_for(&test.walk, Effort::Once)?;
    let images = Sources { images: test.walk.sources.iter().map(|_| image.clone()).collect() };
    let trace = executor.run(&[], &images)?;
    let Outcome::Fault(report) = trace.outcome else { return Ok(None) };
    let fault = &test.walk.faults[report.fault.index()];
    let place = sources.place(fault.span);
    let message = report.message(&test.walk, &trace.hops);
    Ok(Some(format!("  {}:{}: {}: {message}\n", place.file, place.line, fault.kind.name())))
}
