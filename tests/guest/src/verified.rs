//! What this kernel's verifier makes of the walks of the BPF benchmark and of the standard library: it must accept all, and its counts for the
//! benchmark are printed. They are exact in an emulated machine, too.

use crate::Test;
use crate::spec::compile;
use trav_compiler::bpf;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::texts::{standard_module, standard_modules};
use trav_runtime::exec::kernel::load::verify;

pub const TESTS: &[Test] = &[Test::Beside("verify_walks", walks), Test::Beside("verify_standard", standard)];

const WALKS: [(&str, &str); 5] = [
    ("A", include_str!("../../bench/bpf/a.trav")),
    ("B", include_str!("../../bench/bpf/b.trav")),
    ("C", include_str!("../../bench/bpf/c.trav")),
    ("D", include_str!("../../bench/bpf/d.trav")),
    ("E", include_str!("../../bench/bpf/e.trav")),
];

fn walks() {
    let mut refused = 0;
    for (name, text) in WALKS {
        match account(name, text, Some("step")) {
            // Kernels before 5.16 do not tell.
            Ok(counts) => counts
                .iter()
                .for_each(|(_, insns, n)| println!("guest: walk {name}: {insns} instructions, {n} processed")),
            Err(why) => {
                refused += 1;
                println!("guest: walk {name} is refused");
                println!("{why}");
            }
        }
    }
    assert_eq!(refused, 0, "the verifier accepts all walks");
}

fn standard() {
    let mut refused = Vec::new();
    let mut accepted = 0;
    for name in standard_modules() {
        let path: Vec<&str> = name.split('.').collect();
        let (_, text) = standard_module(&path).expect("it is in the list");
        match account(&name, text, None) {
            Ok(counts) => accepted += counts.len(),
            Err(why) => {
                println!("{name}: {why}");
                refused.push(name);
            }
        }
    }
    println!("guest: {accepted} standard walks are accepted");
    assert!(refused.is_empty(), "the verifier refuses walks of {refused:?}");
}

/// Name, instructions, and instructions that the verifier walked through, of each program.
fn account(name: &str, text: &str, only: Option<&str>) -> Result<Vec<(String, usize, u32)>, String> {
    let profile = Profile::named("test").expect("the harness's profile is built in");
    let done = compile(name, text);
    let mut counts = Vec::new();
    for f in done.traversals.iter().filter(|f| only.is_none_or(|only| f.name == only) && !f.name.contains('.')) {
        let object = bpf::object(&[f], &done.sources, &profile).map_err(|e| e.to_string())?;
        let accounts = verify(&object).map_err(|e| format!("{}: {e}", f.name))?;
        counts.extend(accounts.into_iter().map(|a| (a.name, a.insns, a.verified)));
    }
    Ok(counts)
}
