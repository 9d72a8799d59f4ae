//! Specs in the guest: compiled here, run by a hook and by the interpreter.

use std::path::Path;
use std::sync::Arc;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Compilation, Loader};
use trav_runtime::exec::{Executor, Trace, interp};
use trav_runtime::hook::{Hook, Options};
use trav_runtime::image::{FileImage, Sources};

/// No modules of the user's own.
pub struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// Compiles a spec that is right.
pub fn compile(name: &str, text: &str) -> Compilation {
    let done = trav_compiler::compile(name, text, &NoModules);
    assert!(done.diagnostics.is_empty(), "{name}: {:#?}", done.diagnostics);
    done
}

/// One traversal of a module of the standard library, with what fills its parameters.
pub fn standard(module: &str, traversal: &str) -> Compilation {
    let (name, text) = trav_compiler::texts::standard_module(&["std", module]).expect("a standard module");
    let done = trav_compiler::compile_some(&name, text, &NoModules, Some(traversal));
    assert!(done.diagnostics.is_empty(), "{name}: {:#?}", done.diagnostics);
    done
}

/// The hooks of a stock kernel.
pub const HOOKS: [&str; 4] = ["file", "lsm", "uring", "hybrid"];

/// A built-in profile.
pub fn profile(hook: &str) -> Profile {
    Profile::named(hook).expect("a built-in profile")
}

/// One hook or none.
pub fn only(hook: &str) -> Options {
    Options { profiles: vec![profile(hook)], fall_back: false, direct: false }
}

/// Attaches by one profile alone.
pub fn attach(f: &Verified, file: &Path, hook: &str, direct: bool) -> Hook {
    let options = Options { direct, ..only(hook) };
    Hook::attach(f, file, &options).unwrap_or_else(|e| panic!("{hook}: {}: {e}", f.name))
}

/// The interpreter on a file, through read(2).
pub struct Interpreter {
    executor: interp::Interp,
    sources: Sources,
}

impl Interpreter {
    pub fn new(f: &Verified, file: &Path) -> Interpreter {
        let image = Arc::new(FileImage::open(file).expect("the file is there"));
        let sources = Sources { images: f.sources.iter().map(|_| image.clone() as Arc<_>).collect() };
        Interpreter { executor: interp::prepare(f), sources }
    }

    pub fn run(&mut self, args: &[u8]) -> Trace {
        self.executor.run(args, &self.sources).expect("the interpreter runs everything")
    }
}

/// The hook's answer is the interpreter's.
pub fn assert_same(hook: &str, f: &Verified, got: &Trace, want: &Trace) {
    assert_eq!(got.outcome, want.outcome, "{hook}: {}", f.name);
    assert_eq!(got.rows, want.rows, "{hook}: {}", f.name);
}

/// Words, laid out as arguments are.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}
