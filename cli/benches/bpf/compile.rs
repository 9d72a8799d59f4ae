//! Runs both compilers as processes, and trav's as a library.

use nix::sys::resource::{UsageWho, getrusage};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Runs of a compiler; the best counts.
const PROCESSES: usize = 15;
/// Runs of the library; the median counts.
const CALLS: usize = 201;

/// What compiling one walk costs.
pub struct Cost {
    /// Of a whole process.
    pub milliseconds: f64,
    /// Of a whole process. It never falls from one walk to the next, since the system keeps the greatest of all.
    pub peak_mib: f64,
    /// Source text to object in a process that runs already.
    pub microseconds_inside: Option<f64>,
}

/// By trav.
pub fn trav(folder: &Path, out: &Path, walk: &str) -> Cost {
    let spec = folder.join(format!("{walk}.trav"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_trav"));
    command.args(["build", "--hook", "test", "--traversal", "step", "-o"]).arg(out.join("one.o")).arg(&spec);
    let mut cost = run(&mut command).expect("the command was built with this benchmark");
    // With the harness beside it, for the other columns.
    let mut both = Command::new(env!("CARGO_BIN_EXE_trav"));
    both.args(["build", "--hook", "test", "-o"]).arg(out.join(format!("{walk}.trav.o"))).arg(&spec);
    run(&mut both).expect("it can be compiled");
    cost.microseconds_inside = Some(inside(&spec));
    cost
}

/// By clang; none where it cannot.
pub fn clang(folder: &Path, out: &Path, walk: &str) -> Option<Cost> {
    let mut command = Command::new("clang");
    command.args(["-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c"]).arg(folder.join(format!("{walk}.c")));
    command.arg("-o").arg(out.join(format!("{walk}.c.o"))).stderr(Stdio::null());
    run(&mut command)
}

fn run(command: &mut Command) -> Option<Cost> {
    command.stdout(Stdio::null());
    let mut best = f64::INFINITY;
    for _ in 0..PROCESSES {
        let start = Instant::now();
        if !command.status().ok()?.success() {
            return None;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).expect("a process can ask for its children's use");
    Some(Cost { milliseconds: best, peak_mib: usage.max_rss() as f64 / 1024.0, microseconds_inside: None })
}

/// No modules of the user's own.
pub struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn inside(spec: &Path) -> f64 {
    let text = std::fs::read_to_string(spec).expect("the walks stand in the repository");
    let profile = trav_compiler::bpf::profile::Profile::named("test").expect("the profile is built in");
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        let done = trav_compiler::compile_some("walk.trav", &text, &NoModules, Some("step"));
        let walk = done.traversals.iter().find(|f| f.name == "step").expect("it compiles");
        let object = trav_compiler::bpf::object(&[walk], &done.sources, &profile).expect("it is emitted");
        std::hint::black_box(object);
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    times[CALLS / 2]
}
