//! What the kernel makes of the programs, beside programs in C that do the same for one walk at a time, written by hand.

use crate::Test;
use crate::spec::{compile, profile};
use crate::walks::CHAIN;
use trav_compiler::Compilation;
use trav_runtime::exec::kernel::load;

pub const TESTS: &[Test] = &[Test::Beside("sizes", sizes)];

/// A program by hand: instructions after verification, and processed by the verifier.
struct ByHand {
    traversal: &'static str,
    hook: &'static str,
    insns: usize,
    processed: u32,
    /// Whether ours must not be larger.
    held: bool,
}

const BY_HAND: [ByHand; 4] = [
    ByHand { traversal: "chase", hook: "uring", insns: 248, processed: 21554, held: true },
    ByHand { traversal: "chase", hook: "hybrid", insns: 213, processed: 1724, held: true },
    ByHand { traversal: "chase", hook: "lsm", insns: 90, processed: 7121, held: false },
    ByHand { traversal: "get", hook: "uring", insns: 258, processed: 30679, held: true },
];

fn sizes() {
    let specs = [compile("chain.trav", CHAIN), compile("tree.trav", include_str!("tree.trav"))];
    println!("guest: programs: instructions after verification, and processed by the verifier; by hand in brackets");
    for by_hand in BY_HAND {
        let (insns, processed) = size(&specs, by_hand.traversal, by_hand.hook);
        println!(
            "guest:   {:6}{:8}{insns:6} ({}) {processed:8} ({})",
            by_hand.traversal, by_hand.hook, by_hand.insns, by_hand.processed
        );
        assert!(processed <= by_hand.processed, "the verifier has no more to do");
        assert!(!by_hand.held || insns <= by_hand.insns, "the program is no larger");
    }
}

fn size(specs: &[Compilation], traversal: &str, hook: &str) -> (usize, u32) {
    let found = specs.iter().find_map(|spec| Some((spec, spec.traversals.iter().find(|f| f.name == traversal)?)));
    let (spec, f) = found.expect("it is declared");
    let object = trav_compiler::bpf::object(&[f], &spec.sources, &profile(hook));
    let object = object.unwrap_or_else(|e| panic!("{hook}: {traversal}: {e}"));
    let accounts = load::verify(&object).unwrap_or_else(|e| panic!("{hook}: {traversal}: {e}"));
    (accounts.iter().map(|a| a.insns).sum(), accounts.iter().map(|a| a.verified).sum())
}
