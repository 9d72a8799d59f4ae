//! Walks of the standard formats on the images of a query.
//!
//! A [`Library`] compiles each walk of a format once and keeps its executors; a [`Session`] keeps the results of default walks (`open()`) of one
//! set of images.

use crate::Options;
use crate::query::Failure;
use crate::together::Engines;
use serde_json::Value as Json;
use std::cell::OnceCell;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Compilation, Loader, texts};
use trav_runtime::call::{Answer, CallError, Caller, Images};
use trav_runtime::exec::{FaultReport, Outcome};
use trav_runtime::image::Image;
use trav_runtime::value::{Given, Value, decode};

/// The most bytes that one plain read gives: answers have a limit of memory.
const READ_BYTES_MAX: u64 = 1 << 30;

/// The standard formats; each of their walks is compiled when it is first needed.
pub struct Library {
    options: Options,
    modules: BTreeMap<String, Next>,
    engines: Rc<Engines>,
}

/// The walks of a format in the order in which they were needed: a list that only grows, so that what it gives stays.
type Next = OnceCell<Box<Walk>>;

/// A walk, compiled with those that fill its parameters.
struct Walk {
    name: String,
    compiled: Result<Compilation, String>,
    next: Next,
}

/// Standard modules use standard modules only.
struct NoFiles;

impl Loader for NoFiles {
    fn load(&self, _path: &[&str]) -> Option<(String, String)> {
        None
    }
}

impl Library {
    /// Nothing is compiled yet.
    pub fn new(options: &Options) -> Self {
        let built_in = texts::standard_modules();
        let modules = built_in.chain(options.specs.iter().flat_map(|folder| specs_in(folder)));
        Library {
            options: options.clone(),
            modules: modules.map(|name| (name, OnceCell::new())).collect(),
            engines: Rc::new(Engines::new(options.engines.clone())),
        }
    }

    /// A walk of a format, which is given as `std.NAME`.
    fn walk(&self, module: &str, name: &str) -> Result<&Compilation, Failure> {
        let mut cell = self.modules.get(module).ok_or(Failure::Unsupported)?;
        loop {
            let walk = cell.get_or_init(|| {
                let compiled = self.text(module).and_then(|text| compile(module, text, name));
                Box::new(Walk { name: name.into(), compiled, next: OnceCell::new() })
            });
            if walk.name == name {
                return walk.compiled.as_ref().map_err(|message| Failure::error(message.clone()));
            }
            cell = &walk.next;
        }
    }

    fn text(&self, name: &str) -> Result<String, String> {
        let path: Vec<&str> = name.split('.').collect();
        if let Some(folder) = &self.options.specs {
            let file = folder.join(path[1..].join("/")).with_extension("trav");
            return std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()));
        }
        let (_, text) = texts::standard_module(&path).expect("the names come from the table of texts");
        Ok(text.into())
    }
}

/// The files of a folder as standard modules; none where it cannot be read.
fn specs_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|e| Some(format!("std.{}", e.file_name().to_str()?.strip_suffix(".trav")?))).collect()
}

fn compile(name: &str, text: String, walk: &str) -> Result<Compilation, String> {
    let compilation = trav_compiler::compile_some(name, &text, &NoFiles, Some(walk));
    match compilation.diagnostics.first() {
        None => Ok(compilation),
        Some(d) => Err(format!("{name} does not compile: {} {}", d.code, d.message)),
    }
}

/// The walks on one set of images.
pub struct Session<'a> {
    library: &'a Library,
    images: &'a Images,
    /// By format and walk.
    callers: HashMap<(&'static str, String), Caller<'a>>,
    starts: Vec<u64>,
    given: Vec<(&'static str, Json)>,
}

impl<'a> Session<'a> {
    /// A session on these images; the main one is `image`.
    pub fn new(library: &'a Library, images: &'a Images) -> Self {
        Session { library, images, callers: HashMap::new(), starts: Vec::new(), given: Vec::new() }
    }

    /// The same, whose main image has several members, one behind the other: where each but the first begins.
    pub fn with_starts(self, starts: Vec<u64>) -> Self {
        Session { starts, ..self }
    }

    /// Where the members of the main image begin, but for the first.
    pub fn starts(&self) -> &[u64] {
        &self.starts
    }

    /// Gives this argument to every walk from now on that takes one of this name, and is not given another.
    pub fn give(&mut self, name: &'static str, value: Json) {
        self.given.retain(|(n, _)| *n != name);
        self.given.push((name, value));
    }

    /// Whether walks are given an argument of this name.
    pub fn gives(&self, name: &str) -> bool {
        self.given.iter().any(|(n, _)| *n == name)
    }

    /// A session on other images, such as a partition of this one's.
    pub fn within<'b>(&self, images: &'b Images) -> Session<'b>
    where
        'a: 'b,
    {
        Session::new(self.library, images)
    }

    /// The main image.
    pub fn image(&self) -> &'a Arc<dyn Image> {
        self.images.get("image").expect("every session has a main image")
    }

    /// The result of a walk ([`Value::None`] for none); its fault is an error. `module` is `std.NAME`.
    pub fn call(&mut self, module: &'static str, walk: &str, args: &[(&str, Json)]) -> Result<Value, Failure> {
        let answer = self.run(module, walk, args)?;
        match &answer.trace.outcome {
            Outcome::Fault(report) => Err(fault(&answer, report)),
            Outcome::Done(_) if answer.traversal.stream => panic!("{module} {walk} gives rows: call `rows`"),
            Outcome::Done(laid_out) => {
                Ok(decode(&answer.traversal.result, laid_out).expect("executors lay out results"))
            }
        }
    }

    /// The rows of a walk; its fault is an error, whatever rows came before.
    pub fn rows(&mut self, module: &'static str, walk: &str, args: &[(&str, Json)]) -> Result<Vec<Value>, Failure> {
        let answer = self.run(module, walk, args)?;
        match &answer.trace.outcome {
            Outcome::Fault(report) => Err(fault(&answer, report)),
            Outcome::Done(_) => {
                let row = |row: &Vec<u8>| decode(&answer.traversal.result, row).expect("executors lay out rows");
                Ok(answer.trace.rows.iter().map(row).collect())
            }
        }
    }

    /// Plain bytes of the main image, at a place that a walk named.
    pub fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, Failure> {
        let image = self.image();
        let outside = || Failure::error(format!("{len} bytes at {offset} do not lie on the image"));
        if offset.checked_add(len).is_none_or(|end| end > image.len()) || len > READ_BYTES_MAX {
            return Err(outside());
        }
        let mut bytes = vec![0; len as usize];
        image.read_at(offset, &mut bytes).map_err(|e| Failure::error(e.to_string()))?;
        Ok(bytes)
    }

    fn run(&mut self, module: &'static str, walk: &str, args: &[(&str, Json)]) -> Result<Answer<'a>, Failure> {
        let caller = match self.callers.entry((module, walk.to_string())) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => {
                let traversals = &self.library.walk(module, walk)?.traversals;
                let engines = self.library.engines.clone();
                let prepare = Box::new(move |walk: &Verified| engines.prepare(module, walk));
                place.insert(Caller::by(prepare, traversals, self.images))
            }
        };
        let taken = caller.traversal(walk).map(|t| t.params.as_slice()).unwrap_or_default();
        let takes = |name: &str| taken.iter().any(|p| p.name == name) && args.iter().all(|(n, _)| *n != name);
        let more = self.given.iter().filter(|(n, _)| takes(n));
        let given: Vec<_> = args.iter().chain(more).map(|(n, v)| ((*n).to_string(), Given::Json(v.clone()))).collect();
        caller.call(walk, &given).map_err(|error| match error {
            // The format is there, but this walk of it is not yet.
            CallError::UnknownTraversal(_) => Failure::Unsupported,
            CallError::Argument(text) => Failure::Error(text),
            CallError::NoImage { source, .. } => Failure::Error(format!("there is no image for `{source}`")),
            CallError::Exec(error) => Failure::Error(format!("{error:?}")),
        })
    }
}

/// A fault as an error's text.
fn fault(answer: &Answer<'_>, report: &FaultReport) -> Failure {
    let fault = &answer.traversal.faults[report.fault.index()];
    let found = report.found.map_or_else(String::new, |v| v.to_string());
    Failure::Error(format!("{}: {}", fault.kind.name(), fault.message.replacen("{}", &found, 1)))
}
