//! A second opinion: PREVAIL (Gershuni et al., PLDI 2019), a verifier that shares neither code nor method with the kernel's, takes the objects
//! that are emitted.
//!
//! It is looked for in `target/tools`, where `.ci/run` installs it, and else on the path.

use std::path::{Path, PathBuf};
use std::process::Command;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::verify::Verified;
use trav_compiler::source::SourceMap;
use trav_compiler::{Compilation, bpf, compile};

/// No modules of the user's own.
struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// The program; none, which is printed, where it does not run.
fn prevail() -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../tools/bin/prevail");
    let found = [built, "prevail".into()].into_iter().find(|p| Command::new(p).arg("--version").output().is_ok());
    if found.is_none() {
        println!("skipped, because there is no `prevail` (cargo install prevail --locked)");
    }
    found
}

/// The examples.
fn modules() -> Vec<Compilation> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = |name: &str| {
        let path = root.join(format!("examples/{name}/{name}.trav"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        compile(&format!("{name}.trav"), &text, &NoModules)
    };
    ["bpfkv", "ext4", "fat", "leveldb", "list", "sqlite"].into_iter().map(example).collect()
}

/// Has an object looked at; what is wrong with it, if anything is.
fn refusal(prevail: &Path, name: &str, walk: &Verified, sources: &SourceMap) -> Option<String> {
    let profile = Profile::named("test").expect("the harness's profile is built in");
    let elf = bpf::object(&[walk], sources, &profile).unwrap_or_else(|e| panic!("{name}: {e}"));
    let file: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prevail_{file}.bpf.o"));
    std::fs::write(&object, elf).expect("the folder for tests is writable");
    let ran = Command::new(prevail).arg("-q").arg(&object).arg("classifier").output().expect("it ran before");
    let _ = std::fs::remove_file(&object);
    let status = ran.status.code();
    (status != Some(0)).then(|| format!("{name}: {status:?} {}", String::from_utf8_lossy(&ran.stderr)))
}

#[test]
fn prevail_accepts_the_walks() {
    let Some(prevail) = prevail() else { return };
    let (mut looked_at, mut refused) = (0, Vec::new());
    for module in modules() {
        assert!(module.diagnostics.is_empty(), "{:#?}", module.diagnostics);
        for walk in &module.traversals {
            let name = format!("{}: {}", module.sources.file(walk.span.file).name, walk.name);
            refused.extend(refusal(&prevail, &name, walk, &module.sources));
            looked_at += 1;
        }
    }
    assert!(refused.is_empty() && looked_at >= 6, "of {looked_at}, refused:\n{}", refused.join("\n"));
}

/// The standard library's walks of so many instructions at most: with larger ones, PREVAIL takes minutes for some.
#[cfg(feature = "kernel")]
const INSNS_MAX: usize = 600;

/// Not looked at: PREVAIL goes around its loop over copies, in which another is cut, for more than five minutes.
#[cfg(feature = "kernel")]
const LONG: &str = "stdlib/btrfs.trav: chunk_copy";

#[cfg(feature = "kernel")]
#[test]
fn prevail_accepts_the_standard_library() {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let Some(prevail) = prevail() else { return };
    let profile = Profile::named("test").expect("the harness's profile is built in");
    // An operation is seldom less than an instruction, so that large walks need not be generated to be left out.
    let operations = |f: &Verified| f.blocks.iter().map(|b| b.insts.len()).sum::<usize>();
    let library = super::hostile::programs().iter().filter(|(name, _)| name.starts_with("stdlib/"));
    println!("skipped, because PREVAIL takes minutes: {LONG}, and all of more than {INSNS_MAX} instructions");
    let small: Vec<_> = library.filter(|(name, f)| name != LONG && operations(f) <= INSNS_MAX).collect();
    let (next, looked_at, refused) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some((name, walk)) = small.get(next.fetch_add(1, Ordering::Relaxed)) {
            let program = bpf::compile(walk, &profile).unwrap_or_else(|e| panic!("{name}: {e}"));
            if program.insns.len() <= INSNS_MAX {
                looked_at.fetch_add(1, Ordering::Relaxed);
                let sources = trav_runtime::exec::kernel::nameless(walk);
                let found = refusal(&prevail, name, walk, &sources);
                refused.lock().expect("nobody panics with it").extend(found);
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| {
            scope.spawn(work);
        });
    });
    let (looked_at, refused) = (looked_at.into_inner(), refused.into_inner().expect("nobody panics with it"));
    println!("{looked_at} walks looked at");
    assert!(refused.is_empty() && looked_at >= 90, "of {looked_at}, refused:\n{}", refused.join("\n"));
}
