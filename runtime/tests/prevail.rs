//! A second opinion: PREVAIL (Gershuni et al., PLDI 2019), a verifier that shares neither code nor method with the kernel's, takes the objects
//! that are emitted.
//!
//! It is looked for in `target/tools`, where `.ci/run` installs it, and else on the path.

use std::path::{Path, PathBuf};
use std::process::Command;
use trav_compiler::bpf::profile::Profile;
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

/// The examples. Of the standard library's walks the larger ones take PREVAIL minutes.
fn modules() -> Vec<Compilation> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let example = |name: &str| {
        let path = root.join(format!("examples/{name}/{name}.trav"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        compile(&format!("{name}.trav"), &text, &NoModules)
    };
    ["bpfkv", "ext4", "fat", "leveldb", "list", "sqlite"].into_iter().map(example).collect()
}

#[test]
fn prevail_accepts_the_walks() {
    let Some(prevail) = prevail() else { return };
    let profile = Profile::named("test").expect("the harness's profile is built in");
    let object = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prevail.bpf.o");
    let (mut accepted, mut refused) = (0, Vec::new());
    for module in modules() {
        assert!(module.diagnostics.is_empty(), "{:#?}", module.diagnostics);
        for walk in &module.traversals {
            let name = format!("{}: {}", module.sources.file(walk.span.file).name, walk.name);
            let elf = bpf::object(&[walk], &module.sources, &profile).unwrap_or_else(|e| panic!("{name}: {e}"));
            std::fs::write(&object, elf).expect("the folder for tests is writable");
            let ran = Command::new(&prevail).arg("-q").arg(&object).arg("classifier").output().expect("it ran before");
            match ran.status.code() {
                Some(0) => accepted += 1,
                status => refused.push(format!("{name}: {status:?} {}", String::from_utf8_lossy(&ran.stderr))),
            }
        }
    }
    assert!(refused.is_empty() && accepted >= 6, "{accepted} accepted, refused:\n{}", refused.join("\n"));
}
