//! From text to proof: how long each standard module takes, all its traversals together, and how many checks the proof leaves.
//!
//! `cargo bench -p trav-compiler --bench prove -- [--list] [NAME]...` prints the least of several runs, and with `--list` each check that remains. The time is that of `compile`: parsing, types, lowering,
//! proof and the verifier, without code generation.

use std::time::{Duration, Instant};
use trav_compiler::certificate::remaining;
use trav_compiler::texts::{standard_module, standard_modules};
use trav_compiler::{Compilation, Loader, compile};

/// Of which the fastest counts.
const RUNS: usize = 5;

struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let list = std::env::args().any(|a| a == "--list");
    println!("{:16} {:>6} {:>5} {:>9} {:>9} {:>7}", "module", "lines", "walks", "ms", "ms/walk", "checks");
    let (mut walks, mut checks) = (0, 0);
    for module in standard_modules() {
        if !wanted.is_empty() && !wanted.iter().any(|w| module.contains(w)) {
            continue;
        }
        let path: Vec<&str> = module.split('.').collect();
        let (name, text) = standard_module(&path).expect("a module that is listed is there");
        let timed = |_| {
            let start = Instant::now();
            let compiled = compile(&name, text, &NoModules);
            (start.elapsed(), compiled)
        };
        let runs: Vec<(Duration, Compilation)> = (0..if list { 1 } else { RUNS }).map(timed).collect();
        let (least, compiled) = runs.iter().min_by_key(|r| r.0).expect("there are runs");
        assert!(compiled.diagnostics.is_empty(), "{module}: {:?}", compiled.diagnostics);
        let left: Vec<_> = compiled.traversals.iter().map(|t| (t, remaining(t))).collect();
        let of: usize = left.iter().map(|(_, checks)| checks.len()).sum();
        let (count, ms) = (compiled.traversals.len(), least.as_secs_f64() * 1e3);
        println!("{module:16} {:6} {count:5} {ms:9.2} {:9.2} {of:7}", text.lines().count(), ms / count.max(1) as f64);
        for (t, check) in left.iter().flat_map(|(t, checks)| checks.iter().map(move |c| (t, c))).filter(|_| list) {
            let (place, fault) = (compiled.sources.place(check.span), &t.faults[check.fault.index()]);
            println!(
                "  {} {}:{}: {}: {}: {}",
                t.name,
                place.file,
                place.line,
                check.kind.name(),
                fault.message,
                check.reason
            );
        }
        walks += count;
        checks += of;
    }
    println!("{walks} traversals, {checks} checks: {:.2} a traversal", checks as f64 / walks.max(1) as f64);
}
