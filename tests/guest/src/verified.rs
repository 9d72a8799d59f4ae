//! What this kernel's verifier makes of the walks of the BPF benchmark and of the standard library: it must accept all, and its counts for the
//! benchmark are printed. They are exact in an emulated machine, too.

use crate::Test;
use crate::spec::compile;
use trav_compiler::Compilation;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::bpf::{self, abi};
use trav_compiler::ir::verify::Verified;
use trav_compiler::texts::{standard_module, standard_modules};
use trav_runtime::exec::kernel::load::{Account, verify};

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
        let done = compile(name, text);
        let f = done.traversals.iter().find(|f| f.name == "step").expect("it is declared");
        match account(f, &done) {
            // Kernels before 5.16 do not tell how many they processed.
            Ok(a) => println!("guest: walk {name}: {} instructions, {} processed", a.insns, a.verified),
            Err(why) => {
                refused += 1;
                println!("guest: walk {name}: {why}");
            }
        }
    }
    assert_eq!(refused, 0, "the verifier refuses walks");
}

/// Of the standard library each walk by itself. An array's value has at most 4 MiB in Linux 5.10, no longer in 6.1 (KMALLOC_MAX_SIZE, `array_map_alloc_check` in kernel/bpf/arraymap.c), so
/// walks over larger blocks are for later kernels.
fn standard() {
    let (mut accepted, mut too_large) = (0, Vec::new());
    let mut refused = Vec::new();
    for module in standard_modules() {
        let path: Vec<&str> = module.split('.').collect();
        let (name, text) = standard_module(&path).expect("it is in the list");
        let done = compile(&name, text);
        for f in done.traversals.iter().filter(|f| !f.name.contains('.')) {
            let walk = format!("{module}.{}", f.name);
            match account(f, &done) {
                Ok(_) => accepted += 1,
                Err(why) if abi::block_capacity(f) > 4 << 20 && why.contains("failed to create: -E2BIG") => {
                    too_large.push(walk);
                }
                Err(why) => {
                    println!("{walk}: {why}");
                    refused.push(walk);
                }
            }
        }
    }
    println!("guest: {accepted} standard walks are accepted");
    if !too_large.is_empty() {
        println!("guest: {} have larger blocks than this kernel's maps: {}", too_large.len(), too_large.join(", "));
    }
    println!("guest: {} are refused: {}", refused.len(), refused.join(", "));
    assert!(refused.is_empty(), "the verifier refuses walks");
}

/// What the kernel makes of a walk.
fn account(f: &Verified, of: &Compilation) -> Result<Account, String> {
    let profile = Profile::named("test").expect("the harness's profile is built in");
    let object = bpf::object(&[f], &of.sources, &profile).map_err(|e| e.to_string())?;
    let mut accounts = verify(&object).map_err(|e| e.to_string())?;
    accounts.pop().ok_or_else(|| "no program".into())
}
