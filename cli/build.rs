//! Compiles the standard library ahead: `standard.rs` says where each walk's bytes lie in `standard.walks`.

use std::fmt::Write;
use std::path::PathBuf;
use trav_compiler::{Effort, Loader, Options, ahead, compile_with, texts};

/// In debug builds the compiler is slow, and often changed: then it is this module alone, for the sake of the tests.
const IN_DEBUG_BUILDS: &str = "std.gpt";

/// The standard library uses only itself.
struct Nothing;

impl Loader for Nothing {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn main() -> std::io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where"));
    let (mut table, mut bytes) = (String::from("&[\n"), Vec::new());
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    for module in texts::standard_modules().filter(|module| is_release || module == IN_DEBUG_BUILDS) {
        add(&module, &mut table, &mut bytes);
    }
    table.push(']');
    std::fs::write(folder.join("standard.rs"), table)?;
    std::fs::write(folder.join("standard.walks"), bytes)
}

/// Adds a module's walks.
fn add(module: &str, table: &mut String, bytes: &mut Vec<u8>) {
    let path: Vec<&str> = module.split('.').collect();
    let (name, text) = texts::standard_module(&path).expect("it is one of the library's");
    let compiled = compile_with(&name, text, &Nothing, Options { effort: Effort::Once, ..Options::default() });
    assert!(compiled.diagnostics.is_empty(), "{module} is right: {:?}", compiled.diagnostics);
    let files: Vec<&str> = compiled.sources.files().map(|(_, file)| file.name.as_str()).collect();
    let mut line = format!("    Module {{ name: {name:?}, files: &{files:?}, walks: &[");
    for walk in &compiled.traversals {
        let start = bytes.len();
        bytes.extend(ahead::to_bytes(walk));
        write!(line, "({:?}, {start}..{}), ", walk.name, bytes.len()).expect("a string takes all");
    }
    writeln!(table, "{line}] }},").expect("a string takes all");
}
