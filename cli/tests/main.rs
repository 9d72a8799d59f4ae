//! The command as its users call it: exit statuses, output to the letter, and wrong calls of each kind.

mod batch;
mod bench;
mod build;
mod check;
mod examples;
mod project;
mod run;
mod sim;
mod standard;
mod wrong;

#[path = "../../examples/bpfkv/image.rs"]
mod bpfkv;
#[path = "../../examples/list/image.rs"]
mod list;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// What a call gave.
#[derive(Debug)]
struct Ran {
    status: Option<i32>,
    out: String,
    err: String,
}

/// Calls the command in the repository's root.
fn trav(args: &[&str]) -> Ran {
    trav_with(args, "")
}

/// Calls it with a text as standard input.
fn trav_with(args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(env!("CARGO_BIN_EXE_trav"))
        .args(args)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // A call that fails early does not read its input.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the command ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("all output is UTF-8");
    let ran = Ran { status: output.status.code(), out: text(output.stdout), err: text(output.stderr) };
    assert!(!ran.err.contains("panicked") && !ran.err.contains("internal error"), "{args:?}: {ran:?}");
    ran
}

/// A new folder for one test.
fn folder(test: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(test);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).expect("the last run's folder can be removed");
    }
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    folder
}

/// Writes a file for one test, in a folder of its own; its path.
fn file(test: &str, name: &str, bytes: impl AsRef<[u8]>) -> String {
    let path = folder(test).join(name);
    std::fs::write(&path, bytes).expect("a file can be written");
    path.to_str().expect("the target folder's path is UTF-8").into()
}

/// The image of `examples/list` with some bytes overwritten.
fn damaged_list(at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut image = list::image();
    image[at..at + bytes.len()].copy_from_slice(bytes);
    image
}

const LIST: &str = "examples/list/list.trav";
const BPFKV: &str = "examples/bpfkv/bpfkv.trav";
