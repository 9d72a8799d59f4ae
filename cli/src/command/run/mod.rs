//! `trav run`.

mod answer;
mod batch;
mod early;

pub(super) use batch::calls_of;

use super::{hooks, pairs};
use crate::failure::{Failure, Status};
use crate::load;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use early::Early;
use std::io::Write;
use std::path::PathBuf;
use trav_compiler::Compilation;
use trav_compiler::ir::verify::Verified;
use trav_runtime::call::{Answer, Arguments, CallError, Caller, Images};
use trav_runtime::exec::{Effort, Engine};
use trav_runtime::hook::{Hook, Options};
use trav_runtime::value::Given;

// What is called, and on what. (A `///` here would take the place of the command's own help.)
#[derive(Debug, Args)]
pub(super) struct Call {
    /// The spec: a path, or a standard module such as std.ext4
    pub file: String,
    /// The traversal
    pub traversal: String,
    /// Arguments: 12, -1, 0x1f, 4KiB, true, text, hex:00ff10
    #[arg(value_name = "NAME=VALUE")]
    pub args: Vec<String>,
    /// The image; SOURCE=FILE for a further source of the traversal, qcow2:FILE for the disk within a container
    #[arg(long = "image", value_name = "[SOURCE=]FILE")]
    pub images: Vec<String>,
}

/// Run a traversal on an image
#[derive(Debug, Args)]
pub struct Run {
    #[command(flatten)]
    call: Call,
    /// What runs it: generated machine code, the interpreter, the emitted object in a BPF machine or in this kernel
    #[arg(long, default_value = "native", value_parser = engine())]
    engine: Engine,
    /// With --engine kernel: read the image by this hook of the kernel, a name that `trav hooks` lists or a file; `auto` for the best that
    /// the kernel and the rights allow
    #[arg(long, value_name = "NAME")]
    hook: Option<String>,
    /// Read past the page cache
    #[arg(long)]
    direct: bool,
    /// Print the answer as one JSON object on one line
    #[arg(long)]
    json: bool,
    /// Print each read
    #[arg(long)]
    trace: bool,
    /// Run one call per line of FILE (- for standard input): NAME=VALUE … or a JSON object; prints one JSON line each
    #[arg(long, value_name = "FILE")]
    batch: Option<String>,
    /// Then run N more lookups, the calls in turn, and print their time
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    repeat: Option<u64>,
}

fn engine() -> impl TypedValueParser<Value = Engine> {
    let named = |name: String| Engine::ALL.into_iter().find(|e| e.name() == name);
    PossibleValuesParser::new(Engine::ALL.map(Engine::name)).map(move |name| named(name).expect("clap took only these"))
}

impl Run {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let given = pairs(&self.call.args)?;
        let early = Early::default();
        let is_early = self.engine == Engine::Native && self.effort() == Effort::Once;
        let each = |walk: &Verified| {
            if is_early {
                early.make(walk)
            }
        };
        let compilation = load::compile_for(&self.call.file, &self.call.traversal, self.effort(), &each)?;
        let traversal = load::traversal(&compilation, &self.call.traversal)?;
        let images = open_images(&self.call.images, self.direct && self.hook.is_none())?;
        check_sources(&images, &compilation)?;
        let caller = match &self.hook {
            None if is_early => Caller::by(Box::new(move |walk| early.take(walk)), &compilation.traversals, &images),
            None => Caller::new_for(self.engine, self.effort(), &compilation.traversals, &images),
            Some(hook) => self.by_hook(hook, &compilation, &images)?,
        };
        let mut walks = Walks { run: &self, compilation: &compilation, traversal, caller, timed: Vec::new() };
        let status = match &self.batch {
            Some(file) => walks.batch(file, &given, out)?,
            None => walks.one(&given, out)?,
        };
        if let Some(count) = self.repeat {
            walks.repeat(count, out)?;
        }
        Ok(status)
    }

    fn effort(&self) -> Effort {
        let is_once = self.batch.is_none() && self.repeat.is_none() && self.engine != Engine::Kernel;
        if is_once { Effort::Once } else { Effort::Many }
    }

    /// A caller whose walks run in a hook of the kernel.
    fn by_hook<'a>(&self, hook: &str, compilation: &'a Compilation, images: &'a Images) -> Result<Caller<'a>, Failure> {
        if self.engine != Engine::Kernel {
            return Err(Failure::call("--hook is for --engine kernel"));
        }
        let [image] = &self.call.images[..] else {
            return Err(Failure::call("a hook reads one image: --image FILE"));
        };
        let path = PathBuf::from(split_image(image).1);
        let mut options = Options { direct: self.direct, ..Options::default() };
        if hook != AUTO {
            options.profiles = vec![hooks::profile(hook)?];
            options.fall_back = false;
        }
        let trace = self.trace;
        let attach = move |traversal: &Verified| {
            let attached = Hook::attach(traversal, &path, &options)?;
            if trace {
                crate::failure::tell(&format!("{}: {}\n", traversal.name, attached.choice()));
            }
            Ok(Box::new(attached) as Box<_>)
        };
        Ok(Caller::by(Box::new(attach), &compilation.traversals, images))
    }
}

/// The hook that stands for the best.
const AUTO: &str = "auto";

/// The calls of one command line.
struct Walks<'a> {
    run: &'a Run,
    compilation: &'a Compilation,
    traversal: &'a Verified,
    caller: Caller<'a>,
    /// The arguments of the calls so far, laid out; kept only for `--repeat`.
    timed: Vec<Vec<u8>>,
}

impl<'a> Walks<'a> {
    /// One call, for people or as JSON.
    fn one(&mut self, given: &[(String, Given)], out: &mut dyn Write) -> Result<Status, Failure> {
        let answer = self.call(given).map_err(failure)?;
        let sources = &self.compilation.sources;
        let view = answer::View { run: self.run, sources, answer: &answer, caller: &self.caller };
        if self.run.json {
            view.json(out)?
        } else {
            view.text(out)?
        }
        Ok(view.status())
    }

    /// As `Caller::call`, but keeps the arguments when they will be timed.
    fn call(&mut self, given: &[(String, Given)]) -> Result<Answer<'a>, CallError> {
        match self.caller.arguments(self.traversal, given)? {
            Arguments::Ready(args) => self.call_on(args),
            Arguments::Fault(answer) => Ok(answer),
        }
    }

    /// The same with arguments that are laid out.
    fn call_on(&mut self, args: Vec<u8>) -> Result<Answer<'a>, CallError> {
        let trace = self.caller.run(self.traversal, &args)?;
        if self.run.repeat.is_some() {
            self.timed.push(args);
        }
        Ok(Answer { traversal: self.traversal, trace })
    }

    /// Times `count` lookups, going round the calls made before.
    fn repeat(&mut self, count: u64, out: &mut dyn Write) -> Result<(), Failure> {
        if self.timed.is_empty() {
            return Err(Failure::call("no call was made that could be timed"));
        }
        let (executor, sources) = self.caller.executor(self.traversal).map_err(failure)?;
        let nanoseconds = executor.time(&self.timed, count, sources)?.as_nanos() as f64 / count as f64;
        writeln!(out, r#"{{"lookups":{count},"ns_per_lookup":{nanoseconds:.1}}}"#)?;
        Ok(())
    }
}

/// Opens `--image FILE` and `--image SOURCE=FILE`, for reads past the page cache or not.
pub(super) fn open_images(given: &[String], direct: bool) -> Result<Images, Failure> {
    let mut images = Images::new();
    for text in given {
        let (source, file) = split_image(text);
        let image = load::open_image(file.as_ref(), direct)?;
        if images.insert(source.into(), image).is_some() {
            return Err(Failure::call(format!("an image for `{source}` is given twice")));
        }
    }
    Ok(images)
}

/// The source and the file of `--image`.
fn split_image(text: &str) -> (&str, &str) {
    text.split_once('=').filter(|(source, _)| is_source(source)).unwrap_or(("image", text))
}

/// Whether the text before `=` names a source rather than being part of a path: `journal`, `device[3]`.
fn is_source(text: &str) -> bool {
    let name = text.split_once('[').map_or(text, |(name, _)| name);
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(letter) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// An image for a source that no traversal has is a mistake in the call.
pub(super) fn check_sources(images: &Images, compilation: &Compilation) -> Result<(), Failure> {
    let known = |name: &String| compilation.traversals.iter().any(|t| t.sources.contains(name));
    match images.keys().find(|name| name.as_str() != "image" && !known(name)) {
        Some(name) => Err(Failure::call(format!("the spec has no source `{name}`"))),
        None => Ok(()),
    }
}

/// What a call that could not be made means for the command.
pub(super) fn failure(error: CallError) -> Failure {
    match error {
        CallError::UnknownTraversal(name) => Failure::call(format!("there is no traversal `{name}`")),
        CallError::Argument(message) => Failure::Call(message),
        CallError::Exec(error) => error.into(),
        CallError::NoImage { source, .. } if source == "image" => Failure::call("no image is given: --image FILE"),
        CallError::NoImage { traversal, source } => {
            Failure::call(format!("`{traversal}` reads from `{source}`: --image {source}=FILE"))
        }
    }
}
