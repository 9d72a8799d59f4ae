//! Damaged specs through the whole compiler: whatever a text says, it gives a result or diagnostics, never a panic. That what the prover
//! passes the verifier accepts is asserted inside the compiler, so every damaged text that still compiles tests it too.
//!
//! The seeds are fixed, and a run takes about a second. `TRAV_FUZZ_SECONDS` makes it longer, `TRAV_FUZZ_SEED` begins elsewhere; a
//! text that fails is printed.

use crate::reject::NoModules;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use trav_compiler::syntax::format;
use trav_compiler::{compile, compile_tests};

/// Longer than this for one text is a hang: in release builds one second, in debug builds ten.
const SLOW: Duration = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });

/// Splitmix64 (Steele, Lea, Flood, OOPSLA '14).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    fn pick<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}

/// All `.trav` files below the project's root, without what builds leave behind.
pub fn all_specs() -> Vec<PathBuf> {
    fn walk(folder: &Path, out: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a readable folder") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "trav") {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    for folder in ["stdlib", "examples", "tests/golden"] {
        walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder), &mut out);
    }
    out.sort();
    out
}

/// A text as words, numbers, quoted texts and single characters; blanks go with what stands before them.
fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let mut end = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' => rest[1..].find('"').map_or(rest.len(), |n| n + 2),
            c if word(c) => rest.find(|c| !word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        end += rest[end..].find(|c: char| !c.is_whitespace()).unwrap_or(rest.len() - end);
        out.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    out
}

/// What takes the place of a token: numbers at the edges of types, and words that begin something.
const STRANGERS: [&str; 40] = [
    "0",
    "1",
    "2",
    "63",
    "64",
    "255",
    "4096",
    "65535",
    "16777216",
    "4294967295",
    "18446744073709551615",
    "-1",
    "u8 ",
    "u64 ",
    "i64 ",
    "bytes<8> ",
    "self ",
    "end ",
    "none ",
    "true ",
    "else ",
    "return ",
    "break; ",
    "continue; ",
    "read ",
    "view ",
    "first ",
    "last ",
    "sorted ",
    "where ",
    "loop up to 3 ",
    "match ",
    "let ",
    "var ",
    "{ ",
    "} ",
    "( ",
    ") ",
    "+% ",
    "as u8 ",
];

/// A text with one to four of its tokens changed, and now and then a byte.
pub fn damaged(text: &str, random: &mut Random) -> String {
    let mut all = tokens(text);
    for _ in 0..=random.below(4) {
        let (a, b) = (random.below(all.len()), random.below(all.len()));
        match random.below(7) {
            0 if all.len() > 1 => drop(all.remove(a)),
            1 => all.insert(a, all[a].clone()),
            2 => all.swap(a, b),
            3 => all[a] = all[b].clone(),
            4 => {
                let end = (a + random.below(12)).min(all.len());
                let part = all[a..end].to_vec();
                all.splice(b..b, part);
            }
            5 => all[a] = (*random.pick(&STRANGERS)).to_owned(),
            _ => all.insert(a, (*random.pick(&STRANGERS)).to_owned()),
        }
    }
    let mut text = all.concat();
    if random.below(20) == 0 {
        let mut bytes = text.into_bytes();
        let at = random.below(bytes.len());
        bytes[at] ^= 1 << random.below(8);
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    text
}

/// Compiles a text with its tests; what went wrong, if anything did. A text that is refused has diagnostics inside it.
pub fn trouble(text: &str) -> Option<String> {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let found = compile("fuzz.trav", text, &NoModules);
        for d in &found.diagnostics {
            let place = found.sources.text(d.label.span);
            assert!(place.len() <= found.sources.file(d.label.span.file).text.len(), "a label lies in its text");
        }
        if let Ok(once) = format(text) {
            assert_eq!(format(&once).as_ref(), Ok(&once), "formatting twice differs from formatting once");
        }
        if found.diagnostics.is_empty() {
            compile_tests("fuzz.trav", text, &NoModules, trav_compiler::Effort::Many);
        }
    }));
    let spent = started.elapsed();
    match outcome {
        Err(panic) => {
            let message = panic.downcast_ref::<String>().cloned();
            Some(message.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default())
        }
        Ok(()) if spent > SLOW => Some(format!("took {spent:?}")),
        Ok(()) => None,
    }
}

#[test]
fn damaged_specs_are_compiled_or_refused() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let spend = Duration::from_secs(number("TRAV_FUZZ_SECONDS").unwrap_or(1));
    let folder = std::env::var_os("TRAV_FUZZ_KEEP").map(PathBuf::from);
    // In a short run small files: they are damaged more often.
    let largest = if number("TRAV_FUZZ_SECONDS").is_some() { usize::MAX } else { 6000 };
    // One golden file is as large as a traversal may be when all is in its place: it takes the time of a hundred others.
    let specs = all_specs().into_iter().filter(|p| !p.ends_with("E0603_large.trav"));
    let texts: Vec<String> = specs.map(|p| std::fs::read_to_string(p).expect("a readable file")).collect();
    let texts: Vec<String> = texts.into_iter().filter(|t| t.len() <= largest).collect();
    let work = move || {
        let (started, mut seed) = (Instant::now(), number("TRAV_FUZZ_SEED").unwrap_or(1) << 32);
        let (mut count, mut failures) = (0u64, Vec::new());
        while started.elapsed() < spend {
            seed += 1;
            let mut random = Random(seed);
            let text = damaged(random.pick(&texts).as_str(), &mut random);
            count += 1;
            let Some(what) = trouble(&text) else { continue };
            match &folder {
                Some(folder) => {
                    std::fs::write(folder.join(format!("{seed}.trav")), &text).expect("a folder to keep them in");
                    eprintln!("{seed}: {what}");
                }
                None => eprintln!("{text}\n{seed}: {what}"),
            }
            failures.push(seed);
        }
        assert!(failures.is_empty(), "of {count} texts {} fail: {failures:?}", failures.len());
        assert!(count > 0);
    };
    // As in the command: what the parser allows to nest needs room in builds without optimisation.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(work).expect("a thread");
    assert!(thread.join().is_ok(), "see the texts above");
}
