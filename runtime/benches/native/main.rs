//! The native executor against C and against what people use, in one process, round-robin.
//!
//! `cargo bench -p trav-runtime --bench native -- [SECTION]… [WALK]…`. Sections: `cache` (the image in the second-level cache, one lookup
//! after another and in batches), `large` (images of 1 GiB), `cold` (reads past the page cache), `libraries` (what people use), `machine` (a BPF machine that checks accesses), `compile` (from text to code). Walks: `A` to `E`. Without any, all run. Results are compared before
//! anything is timed.

mod cold;
mod contest;
mod images;
mod libraries;
mod rival;

use contest::{Contest, Contestant};
use images::Case;
use rival::Library;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Loader, compile};
use trav_runtime::exec::ExecError;
use trav_runtime::exec::native::{self, Batch, Bound, End, Native};
use trav_runtime::image::{Image, MemoryImage, Sources};

/// A walk of both sources.
struct Walk {
    letter: &'static str,
    /// Of the traversal.
    name: &'static str,
    /// In C.
    rivals: &'static [&'static str],
    /// An image that fits into the second-level cache.
    small: fn() -> Case,
    /// One of about 1 GiB.
    large: Option<fn() -> Case>,
    /// How many things one call looks up.
    lookups: usize,
    /// The most of the C's time that it may take: one after another, in batches, and in batches on the large image.
    wanted: &'static [f64],
}

/// Blocks of the chain.
const CHAIN: usize = 128;

const WALKS: [Walk; 5] = [
    Walk {
        letter: "A",
        name: "bpfkv",
        rivals: &["bpfkv_binary", "bpfkv_linear"],
        small: || images::bpfkv(8_000),
        large: Some(|| images::bpfkv(12_000_000)),
        lookups: 1,
        wanted: &[0.70, 0.55, 1.0 / 5.0],
    },
    Walk {
        letter: "B",
        name: "extent",
        rivals: &["extent"],
        small: || images::extents(128),
        large: Some(|| images::extents(260_000)),
        lookups: 1,
        wanted: &[0.70, 0.42, 1.0 / 6.0],
    },
    Walk {
        letter: "C",
        name: "row",
        rivals: &["row"],
        small: || images::sqlite(6_000),
        large: Some(|| images::sqlite(9_500_000)),
        lookups: 1,
        wanted: &[0.85, 0.65, 1.0 / 4.0],
    },
    Walk {
        letter: "D",
        name: "chain",
        rivals: &["chain"],
        small: || images::chain(CHAIN),
        large: None,
        lookups: CHAIN,
        wanted: &[1.0],
    },
    Walk {
        letter: "E",
        name: "table",
        rivals: &["table"],
        small: || images::leveldb(5_000),
        large: None,
        lookups: 1,
        wanted: &[0.75],
    },
];

fn main() {
    // `cargo bench` passes `--bench`.
    let chosen: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let is_chosen = |name: &str, among: &[&str]| {
        chosen.iter().any(|c| c == name) || !chosen.iter().any(|c| among.contains(&c.as_str()))
    };
    let (letters, sections) = (WALKS.map(|w| w.letter), ["cache", "large", "cold", "libraries", "machine", "compile"]);
    let traversals = traversals();
    let compiled = Library::all("walks.c");
    for section in sections.into_iter().filter(|s| is_chosen(s, &sections)) {
        for walk in WALKS.iter().filter(|w| is_chosen(w.letter, &letters)) {
            let traversal = traversals.iter().find(|t| t.name == walk.name).expect("`walks.trav` has it");
            let native = native::prepare(traversal).expect("this machine has a backend");
            match (section, walk.large) {
                ("cache", _) => in_cache(walk, &native, &compiled),
                ("large", Some(image)) => large(walk, &native, image, &compiled),
                ("cold", _) if walk.letter == "A" => cold::bpfkv(&native),
                ("libraries", _) => match walk.letter {
                    "B" => libraries::ext2fs(),
                    "C" => libraries::sqlite(&native, (walk.small)()),
                    "E" => libraries::leveldb(&native, (walk.small)()),
                    _ => {}
                },
                ("machine", _) => libraries::machine(walk.letter, traversal, &native, (walk.small)()),
                ("compile", _) => compilation(walk),
                _ => {}
            }
        }
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

/// The image in the second-level cache. Few lanes, so that they fit into the cache beside it.
fn in_cache(walk: &Walk, native: &Native, libraries: &[Library]) {
    let case = (walk.small)();
    let title = format!("{}: {}, {} KiB", walk.letter, walk.name, case.image.len() >> 10);
    let batch = walk.wanted.get(1).map(|_| 16);
    let wanted = &walk.wanted[..1 + usize::from(batch.is_some())];
    contest(walk, native, libraries, case, (batch, Place::Cache), &Contest { title, rounds: 60, wanted });
}

/// The image far larger than any cache: batches against one lookup after another. As many lanes as hide the wait for memory.
fn large(walk: &Walk, native: &Native, image: fn() -> Case, libraries: &[Library]) {
    let case = image();
    let title = format!("{}: {}, {} MiB", walk.letter, walk.name, case.image.len() >> 20);
    let wanted = &[1.0, walk.wanted[2]];
    contest(walk, native, libraries, case, (Some(64), Place::Memory), &Contest { title, rounds: 12, wanted });
}

/// Where most of what is looked at will be.
enum Place {
    Cache,
    Memory,
}

/// From source text to a callable function.
fn compilation(walk: &Walk) {
    let text = include_str!("walks.trav");
    let (mut front, mut back) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let start = Instant::now();
        let compilation = trav_compiler::compile_some("walks.trav", text, &Alone, Some(walk.name));
        front.push(start.elapsed().as_nanos() as f64 / 1e3);
        let start = Instant::now();
        black_box(native::prepare(&compilation.traversals[0]).expect("this machine has a backend"));
        back.push(start.elapsed().as_nanos() as f64 / 1e3);
    }
    println!("{}: {}, from text to code, microseconds", walk.letter, walk.name);
    println!("  {:<34} {:>9} {:>9}", "", "best", "median");
    for (name, samples) in [("to verified IR", &mut front), ("to machine code", &mut back)] {
        samples.sort_by(f64::total_cmp);
        println!("  {name:<34} {:>9.0} {:>9.0}", samples[0], samples[samples.len() / 2]);
    }
    println!("  {:<34} {:>9.0} {:>9.0}   wanted: at most 500", "both", front[0] + back[0], front[25] + back[25]);
    println!();
}

/// All sides on one image; ours one lookup after another and, if wanted, in a batch of so many lanes. What is not meant for the place comes last, and
/// nothing is wanted of it.
fn contest(
    walk: &Walk,
    native: &Native,
    libraries: &[Library],
    Case { image, args, words }: Case,
    (lanes, place): (Option<usize>, Place),
    contest: &Contest<'_>,
) {
    let image = Arc::new(MemoryImage::new(image));
    let sources = Sources::one(image.clone());
    let image = image.bytes().expect("it is in memory");
    compare(walk, native, &sources, &args, words, libraries, image);
    let bound = native.bind(&sources).expect("the image is in memory");
    let far = native.bind_far(&sources).expect("the image is in memory");
    let out_words = bound.walker().result().len() / 8;
    let bytes = &as_bytes(&args);
    let one_by_one = |name, bound| {
        let mut walker = Bound::walker(bound);
        Contestant::ours(name, move || {
            for args in bytes.chunks_exact(words * 8) {
                walker.call(args, &mut |_| {}).expect("the arguments are good");
                black_box(walker.result());
            }
        })
    };
    let (mine, other) = (one_by_one("trav", &bound), one_by_one("trav, bind_far", &far));
    let (first, last) = match &place {
        Place::Cache => (mine, other),
        Place::Memory => (other, mine),
    };
    let mut contestants = vec![first];
    if let Some(lanes) = lanes {
        contestants.push(together(format!("trav, batches of {lanes}"), bound.batch(lanes), bytes));
    }
    contestants.push(last);
    if let (Some(lanes), Place::Cache) = (lanes, place) {
        contestants.push(together(format!("trav, lockstep of {lanes}"), bound.lockstep(lanes), bytes));
    }
    for library in libraries {
        for rival in walk.rivals {
            let call = library.walk(rival, image);
            let (mut out, args) = (vec![0; out_words], &args);
            contestants.push(Contestant::rival(format!("{} -O2 {rival}", library.compiler), move || {
                for args in args.chunks_exact(words) {
                    black_box(call(args, &mut out));
                    black_box(&out);
                }
            }));
        }
    }
    contest.run(args.len() / words * walk.lookups, contestants);
}

/// All calls at once.
fn together<'a>(name: String, batch: Result<Batch<'a>, ExecError>, bytes: &'a [u8]) -> Contestant<'a> {
    let mut batch = batch.expect("no walk is a stream, and the image is in memory");
    Contestant::ours(name, move || {
        let mut end = |_: usize, end: End<'_>| {
            black_box(end.result);
        };
        batch.call_many(bytes, &mut end).expect("the arguments are good");
    })
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
    let mut results = Vec::with_capacity(args.len() / words);
    let mut end = |_: usize, end: End<'_>| results.push((end.fault, end.result.to_vec()));
    let mut batch = bound.lockstep(16).expect("no walk is a stream");
    batch.call_many(&as_bytes(args), &mut end).expect("the arguments are good");
    for (args, (fault, result)) in args.chunks_exact(words).zip(&results) {
        walker.call(&as_bytes(args), &mut |_| {}).expect("the arguments are good");
        assert_eq!((fault, result.as_slice()), (&walker.fault(), walker.result()), "{} {args:?}", walk.name);
    }
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
