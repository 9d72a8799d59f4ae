//! The language's meaning, by example: each `.trav` file of `tests/golden/run` holds its image, in its first comment, and `test` items whose
//! expectations were worked out by hand from the bytes. Every executor runs them, and all give one trace.

use crate::differential::check_all;
use std::sync::Arc;
use trav_compiler::{Loader, compile_tests};
use trav_runtime::exec::Outcome;
use trav_runtime::image::{Image, MemoryImage, Sources};

struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// The images that a file's header describes: `size N`, and `at OFFSET: 0a ff "text"`, behind `source NAME` for those after the first.
fn images(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut images = vec![("image".to_owned(), Vec::new())];
    for line in text.lines().filter_map(|l| l.strip_prefix("//! ")) {
        let bytes = &mut images.last_mut().expect("there is a first").1;
        if let Some(name) = line.strip_prefix("source ") {
            images.push((name.to_owned(), Vec::new()));
        } else if let Some(size) = line.strip_prefix("size ") {
            bytes.resize(size.parse().expect("`size` has a number"), 0);
        } else if let Some((at, content)) = line.strip_prefix("at ").and_then(|l| l.split_once(": ")) {
            let mut at: usize = at.parse().expect("`at` has a number");
            let mut rest = content.trim();
            while !rest.is_empty() {
                let (piece, next) = match rest.strip_prefix('"') {
                    Some(quoted) => {
                        let (word, next) = quoted.split_once('"').expect("a closing quote");
                        (word.as_bytes().to_vec(), next)
                    }
                    None => {
                        let (hex, next) = rest.split_once(' ').unwrap_or((rest, ""));
                        (vec![u8::from_str_radix(hex, 16).expect("a byte in hexadecimal digits")], next)
                    }
                };
                bytes[at..at + piece.len()].copy_from_slice(&piece);
                at += piece.len();
                rest = next.trim_start();
            }
        }
    }
    images
}

#[test]
fn golden_files_mean_what_they_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/run");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the golden files are in the repository") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let found = compile_tests(&name, &text, &NoModules);
        assert!(found.diagnostics.is_empty(), "{name}: {:#?}", found.diagnostics);
        let images = images(&text);
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
            count += 1;
        }
    }
    assert!(count > 0, "there are golden tests");
}
