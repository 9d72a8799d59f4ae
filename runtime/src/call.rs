//! Calls: from arguments by name to a walk on an engine and its answer.
//!
//! Owns the executors of one compilation, made when first needed, and the values of *default walks*: a parameter such as
//! `vol: Volume = open()` that the caller leaves out is filled by running `open` once, on the same engine and images; its result
//! is kept, and its hops are not those of the walk.

use crate::exec::{Effort, Engine, ExecError, Executor, Outcome, Trace};
use crate::image::{Image, Sources};
use crate::value::{Given, encode};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use trav_compiler::ir::Param;
use trav_compiler::ir::verify::Verified;

/// The images of a call by the names of the sources; the main one is `image`.
pub type Images = BTreeMap<String, Arc<dyn Image>>;

/// Why a call could not be made. A walk that ends in a fault is not an error: that is an [`Answer`].
#[derive(Debug)]
pub enum CallError {
    /// No traversal has this name.
    UnknownTraversal(String),
    /// An argument is missing, unknown, given twice or of the wrong form; the text names it.
    Argument(String),
    /// No image was given for this source of the traversal.
    NoImage {
        /// The traversal.
        traversal: String,
        /// The source.
        source: String,
    },
    /// The executor could not run.
    Exec(ExecError),
}

impl From<ExecError> for CallError {
    fn from(error: ExecError) -> Self {
        CallError::Exec(error)
    }
}

/// What a walk gave, with the traversal whose schema and fault table explain it.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    /// The traversal that was called or, when its default walk ended in a fault, that one.
    pub traversal: &'a Verified,
    /// Everything it did.
    pub trace: Trace,
}

/// Arguments that are laid out, or the fault of a default walk.
pub enum Arguments<'a> {
    /// All are there.
    Ready(Vec<u8>),
    /// A default could not be made, because its walk ended so.
    Fault(Answer<'a>),
}

/// Makes a traversal ready to run.
pub type Prepare = Box<dyn Fn(&Verified) -> Result<Box<dyn Executor>, ExecError>>;

/// The traversals of a compilation on one engine and one set of images.
pub struct Caller<'a> {
    prepare: Prepare,
    traversals: &'a [Verified],
    images: &'a Images,
    ready: HashMap<&'a str, (Box<dyn Executor>, Sources)>,
    /// The walks that have been run for defaults, by name.
    defaults: HashMap<&'a str, Answer<'a>>,
}

impl<'a> Caller<'a> {
    /// For many calls. Nothing is prepared before it is called.
    pub fn new(engine: Engine, traversals: &'a [Verified], images: &'a Images) -> Self {
        Caller::new_for(engine, Effort::Many, traversals, images)
    }

    /// The same for as many calls as `effort` says.
    pub fn new_for(engine: Engine, effort: Effort, traversals: &'a [Verified], images: &'a Images) -> Self {
        Caller::by(Box::new(move |traversal| engine.prepare_for(traversal, effort)), traversals, images)
    }

    /// The same with executors of another make.
    pub fn by(prepare: Prepare, traversals: &'a [Verified], images: &'a Images) -> Self {
        Caller { prepare, traversals, images, ready: HashMap::new(), defaults: HashMap::new() }
    }

    /// The length in bytes of the image for a source.
    pub fn image_len(&self, source: &str) -> Option<u64> {
        Some(self.images.get(source)?.len())
    }

    /// The traversal with this name.
    pub fn traversal(&self, name: &str) -> Result<&'a Verified, CallError> {
        let found = self.traversals.iter().find(|t| t.name == name);
        found.ok_or_else(|| CallError::UnknownTraversal(name.into()))
    }

    /// Calls a traversal by name with arguments by name.
    pub fn call(&mut self, name: &str, given: &[(String, Given)]) -> Result<Answer<'a>, CallError> {
        let traversal = self.traversal(name)?;
        match self.arguments(traversal, given)? {
            Arguments::Ready(args) => Ok(Answer { traversal, trace: self.run(traversal, &args)? }),
            Arguments::Fault(answer) => Ok(answer),
        }
    }

    /// Lays the arguments of a call out, with defaults filled.
    pub fn arguments(&mut self, of: &'a Verified, given: &[(String, Given)]) -> Result<Arguments<'a>, CallError> {
        self.arguments_within(of, given, &mut Vec::new())
    }

    /// Runs a traversal on laid out arguments.
    pub fn run(&mut self, traversal: &'a Verified, args: &[u8]) -> Result<Trace, CallError> {
        let (executor, sources) = self.executor(traversal)?;
        Ok(executor.run(args, sources)?)
    }

    /// The executor of a traversal and its images, made when first asked for.
    pub fn executor(&mut self, traversal: &'a Verified) -> Result<(&mut dyn Executor, &Sources), CallError> {
        if !self.ready.contains_key(traversal.name.as_str()) {
            let image = |source: &String| {
                let missing = || CallError::NoImage { traversal: traversal.name.clone(), source: source.clone() };
                self.images.get(source).cloned().ok_or_else(missing)
            };
            let sources = Sources { images: traversal.sources.iter().map(image).collect::<Result<_, _>>()? };
            self.ready.insert(&traversal.name, ((self.prepare)(traversal)?, sources));
        }
        let (executor, sources) = self.ready.get_mut(traversal.name.as_str()).expect("it was put there above");
        Ok((executor.as_mut(), sources))
    }

    /// `within` are the traversals whose default is being made, to stop at a circle.
    fn arguments_within(
        &mut self,
        of: &'a Verified,
        given: &[(String, Given)],
        within: &mut Vec<&'a str>,
    ) -> Result<Arguments<'a>, CallError> {
        check_names(of, given)?;
        // What is given is looked at before any default walk runs: a wrong call is told whatever the image holds.
        let given = of.params.iter().map(|param| encoded(of, param, given)).collect::<Result<Vec<_>, _>>()?;
        let mut laid_out = Vec::new();
        for (param, given) in of.params.iter().zip(given) {
            match (given, &param.default) {
                (Some(bytes), _) => laid_out.extend(bytes),
                (None, Some(default)) => match self.default(param, default, within)? {
                    Answer { trace: Trace { outcome: Outcome::Done(value), .. }, .. } => laid_out.extend(value),
                    fault => return Ok(Arguments::Fault(fault)),
                },
                (None, None) => unreachable!("`encoded` refuses a call without an argument that has no default"),
            }
        }
        Ok(Arguments::Ready(laid_out))
    }

    /// Runs a default walk, or takes what it gave before.
    fn default(&mut self, param: &'a Param, name: &'a str, within: &mut Vec<&'a str>) -> Result<Answer<'a>, CallError> {
        if let Some(answer) = self.defaults.get(name) {
            return Ok(answer.clone());
        }
        let traversal = self.traversal(name)?;
        if within.contains(&name) || traversal.stream || traversal.result != param.schema {
            let message = format!("argument `{}` must be given: `{name}` cannot make it", param.name);
            return Err(CallError::Argument(message));
        }
        within.push(name);
        let answer = match self.arguments_within(traversal, &[], within)? {
            Arguments::Ready(args) => Answer { traversal, trace: self.run(traversal, &args)? },
            Arguments::Fault(answer) => answer,
        };
        within.pop();
        self.defaults.insert(name, answer.clone());
        Ok(answer)
    }
}

/// A parameter's argument, laid out; none where its default has to make it.
fn encoded(of: &Verified, param: &Param, given: &[(String, Given)]) -> Result<Option<Vec<u8>>, CallError> {
    match given.iter().find(|(name, _)| *name == param.name) {
        Some((_, value)) => {
            let wrong = |e| CallError::Argument(format!("argument `{}` {e}", param.name));
            encode(&param.schema, value).map(Some).map_err(wrong)
        }
        None if param.default.is_some() => Ok(None),
        None => Err(CallError::Argument(format!("argument `{}` is missing: {}", param.name, signature(of)))),
    }
}

fn check_names(of: &Verified, given: &[(String, Given)]) -> Result<(), CallError> {
    for (index, (name, _)) in given.iter().enumerate() {
        if !of.params.iter().any(|p| p.name == *name) {
            let message = format!("`{}` has no argument `{name}`: {}", of.name, signature(of));
            return Err(CallError::Argument(message));
        }
        if given[..index].iter().any(|(earlier, _)| earlier == name) {
            return Err(CallError::Argument(format!("argument `{name}` is given twice")));
        }
    }
    Ok(())
}

/// How a traversal is called: `map [vol=…] ino=… block=…`.
pub fn signature(of: &Verified) -> String {
    let param = |p: &Param| match p.default {
        Some(_) => format!(" [{}=…]", p.name),
        None => format!(" {}=…", p.name),
    };
    format!("{}{}", of.name, of.params.iter().map(param).collect::<String>())
}
