//! The language's meaning, by example: each `.trav` file of `tests/golden/run` holds its image, in its first comment, and `test` items whose
//! expectations were worked out by hand from the bytes. Every executor runs them, and all give one trace.

use crate::differential::check_all;
use crate::header::images;
use std::sync::Arc;
use trav_compiler::{Effort, Loader, compile_tests};
use trav_runtime::exec::Outcome;
use trav_runtime::image::{Image, MemoryImage, Sources};

struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

#[test]
fn golden_files_mean_what_they_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/run");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the golden files are in the repository") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        for effort in [Effort::Many, Effort::Once] {
            count += run(&name, &text, effort);
        }
    }
    assert!(count > 0, "there are golden tests");
}

/// Runs a file's tests, and says how many there are.
fn run(name: &str, text: &str, effort: Effort) -> usize {
    let found = compile_tests(name, text, &NoModules, effort);
    assert!(found.diagnostics.is_empty(), "{name}: {:#?}", found.diagnostics);
    let images = images(text);
    for test in &found.tests {
        let image = |source: &String| -> Arc<dyn Image> {
            let (_, bytes) = images.iter().find(|(name, _)| name == source).expect("each source has an image");
            Arc::new(MemoryImage::new(&bytes[..]))
        };
        let sources = Sources { images: test.walk.sources.iter().map(image).collect() };
        let trace = check_all(&test.walk, &[], &sources);
        if let Outcome::Fault(report) = trace.outcome {
            let fault = &test.walk.faults[report.fault.index()];
            let line = found.sources.place(fault.span).line;
            panic!("{name}:{line}: {}: {} (found {:?})", test.name, fault.message, report.found);
        }
    }
    found.tests.len()
}
