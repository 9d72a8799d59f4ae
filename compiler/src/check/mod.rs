//! Declarations: from syntax trees to a [`Program`] in which every name of a type, structure or function is known.
//!
//! [`Checker::check`] walks the root module and all that it uses, in three rounds: declare the names of every module; resolve types,
//! signatures and structures; lay the structures out ([`layout`]). Bodies stay syntax; `lower` types and emits them in one pass.

mod consts;
mod declare;
pub mod layout;
pub mod reach;
mod resolve;
pub mod resolver;
pub mod types;

use crate::Loader;
use crate::diag::Diagnostic;
use crate::source::{SourceMap, Span};
use crate::syntax::ast;
pub use consts::{NotConst, SIZE_MAX};
use resolver::Resolver;
use std::collections::HashMap;
use types::*;

/// A chain of `use` longer than this is refused, so that no set of files eats the stack.
const USES_DEEP_MAX: usize = 64;

/// What the stages share: the program as far as it is known, and what was wrong.
pub struct Checker<'a> {
    /// The texts.
    pub sources: &'a mut SourceMap,
    /// What is known.
    pub program: Program,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
    loader: &'a dyn Loader,
    /// Modules by path, to take each over once.
    by_path: HashMap<Vec<String>, ModuleId>,
    /// Modules that were parsed before they were asked for.
    parsed: HashMap<Vec<String>, ast::Module>,
    /// Syntax of each module, until it is resolved.
    pending: Vec<(ModuleId, ast::Module)>,
}

/// The declarations of a module and all that it uses.
pub struct Checked {
    /// The declarations.
    pub program: Program,
    /// The tests of the root module.
    pub tests: Vec<ast::Test>,
    /// What was wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// The name and text of a module: a standard one, or what the loader finds.
fn find_module(loader: &dyn Loader, path: &[&str]) -> Option<(String, String)> {
    match crate::texts::standard_module(path) {
        Some((name, text)) => Some((name, text.to_string())),
        None => loader.load(path),
    }
}

/// Checks the declarations of the root module (already in `sources`) and of what it uses.
pub fn check(root: ast::Module, sources: &mut SourceMap, loader: &dyn Loader) -> Checked {
    check_reached(reach::Reached { root, used: HashMap::new() }, sources, loader)
}

/// As [`check`], where some of the modules that are used are parsed already.
pub fn check_reached(reached: reach::Reached, sources: &mut SourceMap, loader: &dyn Loader) -> Checked {
    let mut checker = Checker {
        sources,
        program: Program { sources: vec!["image".into()], ..Program::default() },
        diagnostics: Vec::new(),
        loader,
        by_path: HashMap::new(),
        parsed: reached.used,
        pending: Vec::new(),
    };
    let mut root = reached.root;
    let tests = take_tests(&mut root);
    checker.declare_module(Vec::new(), root, 0);
    checker.resolve_all();
    Checked { program: checker.program, tests, diagnostics: checker.diagnostics }
}

fn take_tests(module: &mut ast::Module) -> Vec<ast::Test> {
    let (tests, items) =
        std::mem::take(&mut module.items).into_iter().partition::<Vec<_>, _>(|i| matches!(i, ast::Item::Test(_)));
    module.items = items;
    tests.into_iter().filter_map(|i| if let ast::Item::Test(t) = i { Some(t) } else { None }).collect()
}

impl Checker<'_> {
    fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        label: impl Into<String>,
    ) -> &mut Diagnostic {
        self.diagnostics.push(Diagnostic::error(code, span, message, label));
        self.diagnostics.last_mut().expect("just pushed")
    }
}

/// The name in `names` that is most like `name`, if one is alike enough to be offered as a correction.
pub fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let limit = name.len().max(3) / 3;
    // Of a name in which no letter stays, nothing is like it.
    let alike = |d: usize| d <= limit && d < name.len();
    names.map(|n| (distance(name, n), n)).filter(|(d, _)| alike(*d)).min().map(|(_, n)| n)
}

/// Levenshtein's distance over bytes, which is enough for a hint.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
