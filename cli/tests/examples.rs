//! The examples by the command, as their `run` scripts call it: each prints what its file `expected` says.

#[path = "../../examples/bpfkv/image.rs"]
mod bpfkv;
#[path = "../../examples/list/image.rs"]
mod list;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(example)
}

fn run(example: &str, image: &Path, call: &[&str]) -> Output {
    let mut trav = Command::new(env!("CARGO_BIN_EXE_trav"));
    trav.arg("run").arg(folder(example).join(example).with_extension("trav")).args(call).arg("--image").arg(image);
    trav.output().unwrap()
}

fn printed(output: Output) -> String {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr)), (Some(0), "".into()));
    String::from_utf8(output.stdout).unwrap()
}

fn expected(example: &str) -> String {
    std::fs::read_to_string(folder(example).join("expected")).unwrap()
}

fn image(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn the_list_prints_its_total() {
    let image = image("list.img", &list::image());
    assert_eq!(printed(run("list", &image, &["total"])), expected("list"));
}

#[test]
fn the_store_prints_a_value_and_none() {
    let image = image("bpfkv.img", &bpfkv::image());
    let get = |key: u64| format!("key {key}\n{}", printed(run("bpfkv", &image, &["get", &format!("key={key}")])));
    let there = bpfkv::key(4000);
    assert_eq!(get(there) + &get(there + 1), expected("bpfkv"));
}

#[test]
fn a_damaged_list_is_a_fault_with_its_place() {
    let mut bytes = list::image();
    bytes[list::place(5) * list::BLOCK] ^= 1;
    let output = run("list", &image("damaged.img", &bytes), &["total", "--json"]);
    assert_eq!(output.status.code(), Some(3));
    let line = String::from_utf8(output.stdout).unwrap();
    for part in ["\"kind\":\"corrupt\"", "Block.magic", "\"line\":4", "\"hops\":6"] {
        assert!(line.contains(part), "expected {part}, found {line}");
    }
}
