//! The IR: scalar semantics, claims, text form and verifier.

mod changed;
mod eval;
mod shore;
mod text;
mod verify;

/// The functions in `tests/golden/ir`: file name and text.
pub fn golden() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/ir");
    let entries = std::fs::read_dir(folder).expect("the golden files are in the repository");
    let mut files: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("a readable file"))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Marsaglia's xorshift64: random enough to shake a rule, and the same on every run.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: usize) -> usize {
        (self.word() % n as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}
