//! The first process of a virtual machine whose kernel has the hooks: prepares the machine, runs each test in a thread of its own, prints a
//! line a test, switches off. `tests/guest/run` starts the machine and reads the lines.
#![allow(unsafe_code, reason = "the first process makes system calls that no library has")]

mod by_hand;
mod machine;
mod measure;
mod nodes;
mod sizes;
mod spec;
mod stores;
mod trouble;
mod verified;
mod walks;

use std::panic::{AssertUnwindSafe, catch_unwind};

/// A test: its name, and what to run. It panics when it fails.
type Test = (&'static str, fn());

fn main() {
    if let Some(hook) = std::env::args().nth(1).filter(|_| std::process::id() != 1) {
        trouble::victim(&hook);
    }
    let only = std::env::var("TRAV_GUEST_ONLY").unwrap_or_default();
    let verifies = only.starts_with("verify");
    if std::process::id() == 1 {
        // Kernels without hooks verify code, too; they may not know the machine's disks.
        machine::prepare(!verifies);
    }
    // Figures are taken only when they are asked for.
    let tests = match () {
        () if only.starts_with("measure") => [measure::TESTS, sizes::TESTS].concat(),
        () if verifies => verified::TESTS.to_vec(),
        () => [walks::TESTS, stores::TESTS, trouble::TESTS, sizes::TESTS].concat(),
    };
    let mut failed = 0;
    let mut run = 0;
    for (name, test) in tests
        .into_iter()
        .filter(|(name, _): &Test| only == "measure" || only.split(',').any(|word| name.contains(word)))
    {
        let thread = std::thread::Builder::new().name(name.into());
        let ended = thread.spawn(move || catch_unwind(AssertUnwindSafe(test))).map(|thread| thread.join());
        let good = matches!(ended, Ok(Ok(Ok(()))));
        println!("guest: test {name} ... {}", if good { "ok" } else { "FAILED" });
        run += 1;
        failed += u32::from(!good);
    }
    println!("guest: {} passed, {failed} failed", run - failed);
    if std::process::id() == 1 {
        machine::switch_off();
    }
    std::process::exit(i32::from(failed > 0));
}
