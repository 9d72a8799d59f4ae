//! The trav compiler: source text → syntax tree → checked tree → IR → proof → verified IR → eBPF object.
//!
//! Pure: no files, no kernel, no JIT. See `ARCHITECTURE.md` at the project's root.

// The parser that pest derives names it, as pest is built without `std`.
extern crate alloc;

pub mod ahead;
pub mod bpf;
pub mod certificate;
pub mod check;
pub mod diag;
mod fx;
pub mod ir;
mod lower;
pub mod opt;
pub mod parallel;
pub mod prove;
mod rows;
pub mod rust;
pub mod source;
pub mod syntax;
pub mod texts;

use crate::fx::FxHashSet;
use check::types::{Def, ModuleId, Program, TraversalId};
use diag::Diagnostic;
use ir::verify::Verified;
pub use lower::dump;
pub use opt::Effort;
use source::{FileId, SourceMap};

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
    /// The traversals of the root module in order, and after them the walks of other modules that fill parameters of theirs, with their
    /// path before their name. Empty when there is any error.
    pub traversals: Vec<Verified>,
}

/// Compiles a module with all that it uses.
pub fn compile(name: &str, text: &str, loader: &dyn Loader) -> Compilation {
    compile_some(name, text, loader, None)
}

/// As [`compile`], but makes only the traversal that is wanted, and those that fill its parameters. When there is no such traversal, all are made.
pub fn compile_some(name: &str, text: &str, loader: &dyn Loader, wanted: Option<&str>) -> Compilation {
    compile_with(name, text, loader, Options { wanted, ..Options::default() })
}

/// What is compiled, and how.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// As in [`compile_some`].
    pub wanted: Option<&'a str>,
    /// With [`Effort::Once`] everything is left out that only makes walks shorter and faster: all executors run them, but the
    /// kernel's verifier may find them too long.
    pub effort: Effort,
    /// Numbers that parameters, or fields of theirs, are known to be: `vol.block_size` and 4096. What follows from them is folded, and the
    /// walk checks at its start that they hold.
    pub fixed: &'a [(String, i128)],
}

/// Compiles a module with all that it uses.
pub fn compile_with(name: &str, text: &str, loader: &dyn Loader, options: Options<'_>) -> Compilation {
    compile_each(name, text, loader, options, &|_| {})
}

/// As [`compile_with`], but shows each walk to `each` as soon as it is verified, on the thread that made it, while others are still in the making.
/// In those there may be errors.
pub fn compile_each(
    name: &str,
    text: &str,
    loader: &dyn Loader,
    options: Options<'_>,
    each: &(dyn Fn(&Verified) + Sync),
) -> Compilation {
    let Options { wanted, effort, fixed } = options;
    let (sources, checked, mut diagnostics) = match wanted.and_then(|wanted| check_some(name, text, loader, wanted)) {
        Some((sources, checked)) => (sources, checked, Vec::new()),
        None => {
            let mut sources = SourceMap::new();
            let file = sources.add(name, text);
            let (module, diagnostics) = syntax::parse(file, text);
            let checked = check::check(module, &mut sources, loader);
            (sources, checked, diagnostics)
        }
    };
    diagnostics.extend(checked.diagnostics);
    let mut traversals = Vec::new();
    let program = &checked.program;
    // In what has nothing to do with these errors there may be others.
    let is_known = |file, name: &str| file != FileId(0) || program.modules[0].names.contains_key(name);
    if let Some(suspects) = syntax::Suspects::of(&sources, &diagnostics, is_known) {
        let wanted = wanted.and_then(|name| traversal_of_root(program, name));
        let mut called = FxHashSet::default();
        let mut needed = needed(program, wanted);
        needed.retain(|id| !suspects.hold(program.traversals[id.index()].syntax.name.span));
        let finished = parallel::map(&needed, sources.text_bytes(), |id| {
            let mut lowered = lower::lower(program, &sources, *id, fixed);
            (std::mem::take(&mut lowered.called), finish(lowered, &sources, effort).inspect(each))
        });
        for (calls, walk) in finished {
            called.extend(calls);
            match walk {
                Ok(verified) => traversals.push(verified),
                Err(found) => diagnostics.extend(found),
            }
        }
        if wanted.is_none() {
            diagnostics.extend(lower::unused_bodies(program, &sources, &called, &suspects));
        }
    }
    diagnostics.sort_by_key(|d| (d.label.span, d.code));
    // What several traversals inline is wrong once.
    diagnostics.dedup_by_key(|d| (d.code, d.label.span));
    if !diagnostics.is_empty() {
        traversals.clear();
    }
    Compilation { sources, diagnostics, traversals }
}

/// Parses and checks what one traversal reaches; none where it has to be done in whole.
fn check_some(name: &str, text: &str, loader: &dyn Loader, wanted: &str) -> Option<(SourceMap, check::Checked)> {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let text = sources.file(file).text.clone();
    let reached = check::reach::reach(file, text, wanted, &mut sources, loader)?;
    let checked = check::check_reached(reached, &mut sources, loader);
    checked.diagnostics.is_empty().then_some((sources, checked))
}

/// What a module declares.
#[derive(Debug)]
pub struct Declarations {
    /// The texts.
    pub sources: SourceMap,
    /// The root module as written, with its comments.
    pub syntax: syntax::ast::Module,
    /// The declarations resolved and laid out; the root module's are those of the first module.
    pub program: Program,
}

/// The declarations of a module and of those that it uses. Errors are [`compile`]'s to tell.
pub fn declarations(name: &str, text: &str, loader: &dyn Loader) -> Declarations {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let (syntax, _) = syntax::parse(file, text);
    let program = check::check(syntax.clone(), &mut sources, loader).program;
    Declarations { sources, syntax, program }
}

/// A `test` item, ready to run.
#[derive(Debug)]
pub struct TestWalk {
    /// Its name.
    pub name: String,
    /// The image's file name, relative to the spec.
    pub image: String,
    /// The walk: it ends in a fault where an assertion fails.
    pub walk: Verified,
}

/// The tests of a module.
#[derive(Debug)]
pub struct Tests {
    /// The texts, to show places in.
    pub sources: SourceMap,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The tests in order; empty after an error.
    pub tests: Vec<TestWalk>,
}

/// Compiles the `test` items of a module.
pub fn compile_tests(name: &str, text: &str, loader: &dyn Loader, effort: Effort) -> Tests {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let (module, mut diagnostics) = syntax::parse(file, text);
    let checked = check::check(module, &mut sources, loader);
    diagnostics.extend(checked.diagnostics);
    let mut tests = Vec::new();
    if diagnostics.is_empty() {
        let program = &checked.program;
        let finished = parallel::map(&checked.tests, sources.text_bytes(), |test| {
            finish(lower::lower_test(program, &sources, test), &sources, effort)
        });
        for (test, walk) in checked.tests.iter().zip(finished) {
            match walk {
                Ok(walk) => tests.push(TestWalk { name: test.name.clone(), image: test.image.clone(), walk }),
                Err(found) => diagnostics.extend(found),
            }
        }
    }
    if !diagnostics.is_empty() {
        tests.clear();
    }
    Tests { sources, diagnostics, tests }
}

/// A structure's dump: a stream of rows and what they stand for.
#[derive(Debug)]
pub struct Dump {
    /// The texts, to show places in.
    pub sources: SourceMap,
    /// Errors and warnings.
    pub diagnostics: Vec<Diagnostic>,
    /// The structures that the module names.
    pub structures: Vec<String>,
    /// The walk that gives the rows ([`dump::ROW`]), and what each row's `field` stands for; none after an error, and where the
    /// module has no such structure.
    pub walk: Option<(Verified, Vec<dump::Entry>)>,
}

/// Compiles the dump of one structure of a module, named as in the module.
pub fn compile_dump(name: &str, text: &str, loader: &dyn Loader, structure: &str) -> Dump {
    let mut sources = SourceMap::new();
    let file = sources.add(name, text);
    let (module, mut diagnostics) = syntax::parse(file, text);
    let checked = check::check(module, &mut sources, loader);
    diagnostics.extend(checked.diagnostics);
    let names = &checked.program.modules[ModuleId(0).index()].names;
    let found = names.get(structure).map(|(d, _)| *d);
    let structures = names.iter().filter(|(_, (d, _))| matches!(d, Def::Struct(_))).map(|(n, _)| n.clone()).collect();
    let Some(Def::Struct(id)) = found.filter(|_| diagnostics.is_empty()) else {
        return Dump { sources, diagnostics, structures, walk: None };
    };
    let (lowered, entries) = lower::dump::lower_dump(&checked.program, &sources, id);
    let walk = match finish(lowered, &sources, Effort::Once) {
        Ok(verified) => Some((verified, entries)),
        Err(found) => {
            diagnostics.extend(found);
            None
        }
    };
    Dump { sources, diagnostics, structures, walk }
}

/// The traversal of the root module with this name.
fn traversal_of_root(program: &Program, name: &str) -> Option<TraversalId> {
    match program.modules[ModuleId(0).index()].names.get(name)? {
        (Def::Traversal(id), _) => Some(*id),
        _ => None,
    }
}

/// The wanted traversal or else all of the root module, and after them those of other modules that fill their parameters.
fn needed(program: &Program, wanted: Option<TraversalId>) -> Vec<TraversalId> {
    let all = (0..program.traversals.len() as u32).map(TraversalId);
    let mut needed: Vec<TraversalId> = match wanted {
        Some(id) => vec![id],
        None => all.filter(|id| program.traversals[id.index()].module == ModuleId(0)).collect(),
    };
    let mut at = 0;
    while let Some(id) = needed.get(at).copied() {
        for default in program.traversals[id.index()].defaults.iter().flatten() {
            if !needed.contains(default) {
                needed.push(*default);
            }
        }
        at += 1;
    }
    needed
}

/// Proves and verifies what was lowered.
fn finish(lowered: lower::Lowered, sources: &SourceMap, effort: Effort) -> Result<Verified, Vec<Diagnostic>> {
    let lower::Lowered { function, mut diagnostics, .. } = lowered;
    if !diagnostics.is_empty() {
        diagnostics.extend(prove::judge(function, sources));
        return Err(diagnostics);
    }
    let proved = prove::prove(function, sources, effort);
    let Some(mut function) = proved.function else { return Err(proved.diagnostics) };
    if effort == Effort::Many {
        opt::optimise(&mut function);
        // Last, because it speaks of the code as it stands.
        prove::find_evidence(&mut function);
    }
    let name = function.name.clone();
    match ir::verify::verify(function) {
        Ok(verified) => Ok(verified),
        Err(errors) => {
            let list: Vec<String> = errors.iter().take(8).map(|e| format!("{}: {}", e.place, e.message)).collect();
            panic!("what the prover passes the verifier accepts, but not {name}:\n{}", list.join("\n"));
        }
    }
}
