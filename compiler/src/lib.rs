//! The trav compiler: source text → syntax tree → checked tree → IR → proof → verified IR → eBPF object.
//!
//! Pure: no files, no kernel, no JIT. See `ARCHITECTURE.md` at the project's root.

pub mod bpf;
pub mod diag;
pub mod ir;
pub mod source;
pub mod syntax;

use diag::Diagnostic;
use ir::verify::Verified;
use source::SourceMap;

/// Finds the text of modules named by `use`. The standard library is built in; this is for the user's own files.
pub trait Loader {
    /// The displayed name and text of the module with this path (`["local", "tree"]`), or none.
    fn load(&self, path: &[&str]) -> Option<(String, String)>;
}

/// All that comes out of compiling one module.
#[derive(Debug)]
pub struct Compilation {
    /// The texts, to show places in.
    pub sources: SourceMap,
    /// Errors and warnings in the order of their places.
    pub diagnostics: Vec<Diagnostic>,
    /// The traversals of the root module that have no error, in order. Empty when there is any error.
    pub traversals: Vec<Verified>,
}

/// Compiles a module with all that it uses.
pub fn compile(name: &str, text: &str, loader: &dyn Loader) -> Compilation {
    let _ = loader;
    let mut sources = SourceMap::new();
    sources.add(name, text);
    Compilation { sources, diagnostics: Vec::new(), traversals: Vec::new() }
}
