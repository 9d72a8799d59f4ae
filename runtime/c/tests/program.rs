//! A program in C, compiled with the system's compiler against `trav.h` and the library.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use trav_compiler::bpf::bindings::{Language, bindings};

const SPEC: &str = include_str!("program/chain.trav");

struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A block that names the first of three nodes, and the nodes.
fn image() -> Vec<u8> {
    let mut bytes = vec![0; 512];
    bytes[..8].copy_from_slice(&512u64.to_le_bytes());
    for (i, name) in [b"one", b"two", b"ten"].into_iter().enumerate() {
        let mut node = [0; 512];
        node[..8].copy_from_slice(&if i == 2 { 0 } else { 512 * (i as u64 + 2) }.to_le_bytes());
        node[8..16].copy_from_slice(&(100 + i as u64).to_le_bytes());
        node[16] = 3;
        node[17..20].copy_from_slice(name);
        bytes.extend(node);
    }
    bytes
}

/// Where cargo has put the library: beside the test.
fn library() -> PathBuf {
    let test = std::env::current_exe().expect("a test is a file");
    test.parent().expect("it lies in a folder").to_path_buf()
}

#[test]
fn a_program_in_c_makes_walks() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = std::env::temp_dir().join(format!("trav-c-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    let done = trav_compiler::compile("chain.trav", SPEC, &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    let traversals: Vec<_> = done.traversals.iter().collect();
    let header = bindings(Language::C, &traversals, &done.sources).expect("the state areas are small");
    fs::write(folder.join("walk.h"), header).expect("the folder is writable");
    fs::write(folder.join("image"), image()).expect("the folder is writable");
    let program = folder.join("program");
    let library = library();
    let mut compiler = Command::new("cc");
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror"]).arg("-I").arg(here).arg("-I").arg(&folder);
    compiler.arg(here.join("tests/program/program.c")).arg("-o").arg(&program);
    compiler.arg("-L").arg(&library).arg("-ltrav").arg(format!("-Wl,-rpath,{}", library.display()));
    run(&mut compiler);
    let output = run(Command::new(&program).arg(here.join("tests/program/chain.trav")).arg(folder.join("image")));
    let said = String::from_utf8_lossy(&output.stdout);
    let wanted = "\
attach: 0
taken: 1
arguments: 0
start 512 name two
lookup: 0
present 1 at 1024 value 101 name two
lookup: 0
present 0
cancelled: -5 cannot read an image: Operation canceled (os error 125)
revive: 0
revived: 0
fault: -1 out of device: `read Node at at`: the block at 1048576 does not lie on the device
size: -2 the arguments: expected 32 bytes, found 24
kind: -2 `named` is no stream
null: -2 `hook` is NULL
attach: 0
begin: 0
next: 1
row 100
next: 1
row 101
next: 1
row 102
next: 0
next: 0
hook: -2 there is no hook `nothing`
traversal: -2 there is no traversal `nothing`
file: -4 cannot read an image: /nonexistent/file: No such file or directory (os error 2)
";
    assert_eq!(said, wanted);
    fs::remove_dir_all(folder).expect("it is there");
}
