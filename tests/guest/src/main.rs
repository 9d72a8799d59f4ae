//! The first process of a virtual machine whose kernel has the hooks: prepares the machine, runs the tests, as many at once as it has
//! processors where they do not disturb each other, prints a line a test, switches off. `tests/guest/run` starts the machine and reads the lines.
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
use std::sync::Mutex;
use std::time::Instant;

/// A test: its name, and what to run. It panics when it fails.
#[derive(Clone, Copy)]
enum Test {
    /// Others may run meanwhile.
    Beside(&'static str, fn()),
    /// The same, for each hook by itself.
    Hooks(&'static str, fn(&str)),
    /// No other may run meanwhile: it counts what the kernel has, or time.
    Alone(&'static str, fn()),
}

/// A test that is to be run.
struct Job {
    name: String,
    run: Box<dyn FnOnce() + Send>,
}

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
    let wanted = |name: &str| only == "measure" || only.split(',').any(|word| name.contains(word));
    let (mut beside, mut alone) = (Vec::new(), Vec::new());
    for test in tests {
        match test {
            Test::Beside(name, run) => beside.push(Job { name: name.into(), run: Box::new(run) }),
            Test::Hooks(name, run) => beside.extend(
                spec::HOOKS.map(|hook| Job { name: format!("{name}_{hook}"), run: Box::new(move || run(hook)) }),
            ),
            Test::Alone(name, run) => alone.push(Job { name: name.into(), run: Box::new(run) }),
        }
    }
    // Half of the time a test waits: for the disk, or for the kernel to give something up.
    let workers = 2 * std::thread::available_parallelism().map_or(1, usize::from);
    let mut ended = run_all(beside.into_iter().filter(|job| wanted(&job.name)), workers);
    ended.extend(run_all(alone.into_iter().filter(|job| wanted(&job.name)), 1));
    let failed = ended.iter().filter(|good| !**good).count();
    println!("guest: {} passed, {failed} failed", ended.len() - failed);
    if std::process::id() == 1 {
        machine::switch_off();
    }
    std::process::exit(i32::from(failed > 0));
}

/// Runs tests, so many at once; whether each was good.
fn run_all(jobs: impl Iterator<Item = Job> + Send, workers: usize) -> Vec<bool> {
    let (jobs, ended) = (Mutex::new(jobs), Mutex::new(Vec::new()));
    let next = || jobs.lock().expect("taking a job does not panic").next();
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(job) = next() {
                    let good = run(job);
                    ended.lock().expect("keeping an end does not panic").push(good);
                }
            });
        }
    });
    ended.into_inner().expect("keeping an end does not panic")
}

/// Runs a test in a thread that has its name.
fn run(Job { name, run }: Job) -> bool {
    let begun = Instant::now();
    let thread = std::thread::Builder::new().name(name.clone());
    let ended = thread.spawn(move || catch_unwind(AssertUnwindSafe(run))).map(|thread| thread.join());
    let good = matches!(ended, Ok(Ok(Ok(()))));
    println!("guest: test {name} ... {} ({:.1} s)", if good { "ok" } else { "FAILED" }, begun.elapsed().as_secs_f64());
    good
}
