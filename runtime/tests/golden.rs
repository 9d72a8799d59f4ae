//! The language's meaning, by example: each `.trav` file of `tests/golden/run` holds its image, in its first comment, and `test` items whose
//! expectations were worked out by hand from the bytes. Every executor runs them, and all give one trace. So they do with the `test` items of the
//! standard library, on images that the formats' tools made.

use crate::differential::check_all;
use crate::header::images;
use std::sync::Arc;
use trav_compiler::{Effort, Loader, compile_tests, texts};
use trav_runtime::exec::Outcome;
use trav_runtime::image::{self, Image, MemoryImage, Sources};

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
            let images = images(&text);
            count += run(&name, &text, effort, |_, source| {
                let (_, bytes) = images.iter().find(|(name, _)| name == source).expect("each source has an image");
                Arc::new(MemoryImage::new(&bytes[..]))
            });
        }
    }
    assert!(count > 0, "there are golden tests");
}

#[test]
fn standard_formats_are_the_same_to_all_executors() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../stdlib/");
    let mut count = 0;
    for module in texts::standard_modules() {
        let path: Vec<&str> = module.split('.').collect();
        let (_, text) = texts::standard_module(&path).expect("the names come from the table of texts");
        count += run(&module, text, Effort::Many, |image, _| {
            image::open(format!("{folder}{image}")).expect("the image is in the repository")
        });
    }
    assert!(count > 20, "{count} test items of the standard library");
}

/// Runs a file's tests, and says how many there are. `image` opens a test's image for one of its sources.
fn run(name: &str, text: &str, effort: Effort, image: impl Fn(&str, &str) -> Arc<dyn Image>) -> usize {
    let found = compile_tests(name, text, &NoModules, effort);
    assert!(found.diagnostics.is_empty(), "{name}: {:#?}", found.diagnostics);
    for test in &found.tests {
        let sources = Sources { images: test.walk.sources.iter().map(|source| image(&test.image, source)).collect() };
        let trace = check_all(&test.walk, &[], &sources);
        if let Outcome::Fault(report) = trace.outcome {
            let fault = &test.walk.faults[report.fault.index()];
            let line = found.sources.place(fault.span).line;
            panic!("{name}:{line}: {}: {} (found {:?})", test.name, fault.message, report.found);
        }
    }
    found.tests.len()
}
