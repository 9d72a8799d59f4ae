//! What a hook is attached to, and what takes its place. That it runs in a kernel is tested by `tests/guest`.

use std::io::Write;
use std::path::PathBuf;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::{ExecError, Outcome};
use trav_runtime::hook::{Hook, Options};

/// No modules of the user's own.
struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

const WALKS: &str = "\
source journal;
struct Word size 8 { value: u64 }
traversal one(at: u64) -> u64 { let word = read Word at at; return word.value; }
traversal both(at: u64) -> u64 {
    let first = read Word at at;
    let second = read Word at at from journal;
    return first.value ^ second.value;
}
";

fn walk(name: &str) -> Verified {
    let done = trav_compiler::compile_some("words.trav", WALKS, &NoModules, Some(name));
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    done.traversals.into_iter().find(|f| f.name == name).expect("it is declared above")
}

fn file(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("trav-hook-{}-{name}", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("a file can be made");
    (0..4u64).for_each(|i| file.write_all(&(100 + i).to_le_bytes()).expect("it can be written"));
    path
}

#[test]
fn whatever_is_taken_gives_the_answer() {
    let path = file("one");
    let mut hook = Hook::attach(&walk("one"), &path, &Options::default()).expect("native code needs no rights");
    let (taken, refused) = (hook.choice().profile.is_some(), hook.choice().refused.len());
    assert!(taken || refused == Options::default().profiles.len(), "{}", hook.choice());
    let trace = hook.walk(&8u64.to_le_bytes()).expect("it runs");
    assert!(matches!(&trace.outcome, Outcome::Done(bytes) if bytes[..] == 101u64.to_le_bytes()), "{trace:?}");
    let trace = hook.walk(&32u64.to_le_bytes()).expect("it runs");
    assert!(matches!(trace.outcome, Outcome::Fault(_)), "{trace:?}");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn a_walk_of_several_sources_is_refused() {
    let path = file("both");
    match Hook::attach(&walk("both"), &path, &Options::default()) {
        Err(ExecError::Refused(why)) => assert!(why.contains("`journal`"), "{why}"),
        Err(other) => panic!("{other:?}"),
        Ok(hook) => panic!("it was attached: {}", hook.choice()),
    }
    std::fs::remove_file(path).expect("it is there");
}
