//! The native executor against C and against what people use, in one process, round-robin.
//!
//! `cargo bench -p trav-runtime --bench native -- [SECTION]… [WALK]…`; sections: `cache` (images in the cache, one lookup after
//! another). Without any, all run. Results are compared before anything is timed.

mod contest;
mod images;
mod rival;

use contest::Contestant;
use images::Case;
use rival::Library;
use std::hint::black_box;
use std::sync::Arc;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Loader, compile};
use trav_runtime::exec::native::{self, Native};
use trav_runtime::image::{MemoryImage, Sources};

/// A walk of both sources.
struct Walk {
    /// As in the and the book's tables.
    letter: &'static str,
    /// Of the traversal.
    name: &'static str,
    /// In C; the first is the one whose results are compared.
    rivals: &'static [&'static str],
    /// An image that fits into the second-level cache.
    small: fn() -> Case,
    /// What one call looks up, beside one thing.
    lookups: usize,
    /// The most of the C's time that it may take.
    wanted: f64,
}

const CHAIN: usize = 128;

const WALKS: [Walk; 5] = [
    Walk {
        letter: "A",
        name: "bpfkv",
        rivals: &["bpfkv_binary", "bpfkv_linear"],
        small: || images::bpfkv(8_000),
        lookups: 1,
        wanted: 0.70,
    },
    Walk { letter: "B", name: "extent", rivals: &["extent"], small: || images::extents(128), lookups: 1, wanted: 0.70 },
    Walk { letter: "C", name: "row", rivals: &["row"], small: || images::sqlite(6_000), lookups: 1, wanted: 0.85 },
    Walk {
        letter: "D",
        name: "chain",
        rivals: &["chain"],
        small: || images::chain(CHAIN),
        lookups: CHAIN,
        wanted: 1.0,
    },
    Walk { letter: "E", name: "table", rivals: &["table"], small: || images::leveldb(5_000), lookups: 1, wanted: 0.75 },
];

fn main() {
    // `cargo bench` passes `--bench`.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let is_chosen = |names: &[&str], among: &[&str]| {
        let of_kind = chosen.iter().filter(|c| among.contains(&c.as_str())).count();
        of_kind == 0 || chosen.iter().any(|c| names.contains(&c.as_str()))
    };
    let letters = WALKS.map(|w| w.letter);
    let traversals = traversals();
    let libraries = Library::all("walks.c");
    for walk in WALKS.iter().filter(|w| is_chosen(&[w.letter], &letters)) {
        let traversal = traversals.iter().find(|t| t.name == walk.name).expect("`walks.trav` has it");
        in_cache(walk, traversal, &libraries);
    }
}

/// Nothing but the text itself.
struct Alone;

impl Loader for Alone {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn traversals() -> Vec<Verified> {
    let compilation = compile("walks.trav", include_str!("walks.trav"), &Alone);
    assert!(compilation.diagnostics.is_empty(), "{:?}", compilation.diagnostics);
    compilation.traversals
}

/// One lookup after another, the image in the second-level cache.
fn in_cache(walk: &Walk, traversal: &Verified, libraries: &[Library]) {
    let Case { image, args, words } = (walk.small)();
    let native = native::prepare(traversal).expect("this machine has a backend");
    let sources = Sources::one(Arc::new(MemoryImage::new(image.clone())));
    compare(walk, &native, &sources, &args, words, libraries, &image);
    let bound = native.bind(&sources).expect("the image is in memory");
    let mut walker = bound.walker();
    let mut row = |_: &[u8]| {};
    let bytes = as_bytes(&args);
    let mut contestants = vec![Contestant::new("trav", || {
        for args in bytes.chunks_exact(words * 8) {
            walker.call(args, &mut row).expect("the arguments are good");
            black_box(walker.result());
        }
    })];
    let out_words = traversal.out_size() as usize / 8;
    for library in libraries {
        for rival in walk.rivals {
            let call = library.walk(rival, &image);
            let (mut out, args) = (vec![0; out_words], &args);
            contestants.push(Contestant::new(format!("{} -O2 {rival}", library.compiler), move || {
                for args in args.chunks_exact(words) {
                    black_box(call(args, &mut out));
                    black_box(&out);
                }
            }));
        }
    }
    let lookups = args.len() / words * walk.lookups;
    let title = format!("{}: {} ({} KiB, {lookups} lookups a round)", walk.letter, walk.name, image.len() >> 10);
    contest::run(&title, lookups, 60, contestants, Some(walk.wanted));
}

/// Every call must give the same on both sides.
fn compare(
    walk: &Walk,
    native: &Native,
    sources: &Sources,
    args: &[u64],
    words: usize,
    libraries: &[Library],
    image: &[u8],
) {
    let bound = native.bind(sources).expect("the image is in memory");
    let mut walker = bound.walker();
    for library in libraries {
        for rival in walk.rivals {
            let call = library.walk(rival, image);
            let mut out = vec![0u64; walker.result().len() / 8];
            for args in args.chunks_exact(words) {
                walker.call(&as_bytes(args), &mut |_| {}).expect("the arguments are good");
                let status = call(args, &mut out);
                assert_eq!((status, walker.fault()), (0, None), "{} {rival} {args:?}", library.compiler);
                // What stands behind a presence of 0 has no meaning.
                if out[0] != 0 || walker.result()[0] != 0 {
                    assert_eq!(as_bytes(&out), walker.result(), "{} {rival} {args:?}", library.compiler);
                }
            }
        }
    }
}

/// Words as they lie in memory.
fn as_bytes(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}
