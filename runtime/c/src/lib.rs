//! trav for programs in C: `trav.h` is the contract. [`boundary`] has the functions that C calls, and all that is unsafe; what they do is here.

mod boundary;

use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::diag::Severity;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Compilation, Loader, texts};
use trav_runtime::call::{Arguments, CallError, Caller, Images};
use trav_runtime::exec::{Engine, ExecError, Outcome};
use trav_runtime::hook::{Failure, Fault, Hook, Options, is_cancelled};
use trav_runtime::image;
use trav_runtime::value::parse_pair;

/// Why a call failed, with the number that C is told.
enum Error {
    Fault(String),
    Call(String),
    Refused(String),
    Io(String),
    Cancelled(String),
}

impl From<ExecError> for Error {
    fn from(error: ExecError) -> Self {
        let text = error.to_string();
        match error {
            ExecError::Io(why) if is_cancelled(&why) => Error::Cancelled(text),
            ExecError::Io(_) => Error::Io(text),
            ExecError::Refused(_) => Error::Refused(text),
            ExecError::Arguments(_) => Error::Call(text),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Fault(fault.to_string())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Fault(fault) => fault.into(),
            Failure::Exec(error) => error.into(),
        }
    }
}

/// What C holds.
struct Attached {
    hook: Hook,
    file: PathBuf,
    compilation: Compilation,
    traversal: String,
    choice: CString,
}

fn attach(spec: &str, traversal: &str, file: &str, hook: Option<&str>, options: Options) -> Result<Attached, Error> {
    let mut options = options;
    if let Some(name) = hook {
        let profile = Profile::named(name).ok_or_else(|| Error::Call(format!("there is no hook `{name}`")))?;
        options.profiles = vec![profile];
    }
    let compilation = compile(spec, traversal)?;
    let found = find(&compilation, traversal)?;
    let hook = Hook::attach(found, Path::new(file), &options)?;
    let choice = CString::new(hook.choice().to_string()).unwrap_or_default();
    Ok(Attached { hook, file: file.into(), traversal: traversal.into(), choice, compilation })
}

fn find<'c>(compilation: &'c Compilation, traversal: &str) -> Result<&'c Verified, Error> {
    let found = compilation.traversals.iter().find(|t| t.name == traversal);
    found.ok_or_else(|| Error::Call(format!("there is no traversal `{traversal}`")))
}

impl Attached {
    fn arguments(&mut self, texts: &[&str], args: &mut [u8]) -> Result<(), Error> {
        let pair = |text: &&str| {
            parse_pair(text).ok_or_else(|| Error::Call(format!("expected an argument NAME=VALUE, found `{text}`")))
        };
        let given = texts.iter().map(pair).collect::<Result<Vec<_>, _>>()?;
        let image = image::open(&self.file).map_err(|e| Error::Io(e.to_string()))?;
        let of = find(&self.compilation, &self.traversal)?;
        let sources = of.sources.iter().map(|source| (source.clone(), image.clone()));
        let images: Images = sources.chain([("image".into(), image.clone())]).collect();
        let mut caller = Caller::new(Engine::Native, &self.compilation.traversals, &images);
        let laid_out = match caller.arguments(of, &given).map_err(call_error)? {
            Arguments::Ready(laid_out) => laid_out,
            Arguments::Fault(answer) => {
                let Outcome::Fault(report) = &answer.trace.outcome else {
                    unreachable!("a default that was made is ready")
                };
                let message = report.message(answer.traversal, &answer.trace.hops);
                return Err(Error::Fault(format!("`{}`: {message}", answer.traversal.name)));
            }
        };
        if args.len() != laid_out.len() {
            let message = format!("the arguments: expected {} bytes, found {}", laid_out.len(), args.len());
            return Err(Error::Call(message));
        }
        args.copy_from_slice(&laid_out);
        Ok(())
    }
}

fn call_error(error: CallError) -> Error {
    match error {
        CallError::UnknownTraversal(name) => Error::Call(format!("there is no traversal `{name}`")),
        CallError::Argument(message) => Error::Call(message),
        CallError::NoImage { source, .. } => Error::Call(format!("no file for the source `{source}`")),
        CallError::Exec(error) => error.into(),
    }
}

/// Modules that a file names by `use` lie beside it.
struct Beside(PathBuf);

impl Loader for Beside {
    fn load(&self, path: &[&str]) -> Option<(String, String)> {
        let mut file = self.0.clone();
        file.extend(path);
        file.set_extension("trav");
        Some((file.display().to_string(), fs::read_to_string(file).ok()?))
    }
}

fn compile(spec: &str, traversal: &str) -> Result<Compilation, Error> {
    let module: Vec<&str> = spec.split('.').collect();
    let (name, text) = match texts::standard_module(&module) {
        Some((name, text)) => (name, text.to_owned()),
        None => {
            let text = fs::read_to_string(spec).map_err(|e| Error::Call(format!("cannot read `{spec}`: {e}")))?;
            (spec.to_owned(), text)
        }
    };
    let folder = Path::new(spec).parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let compilation = trav_compiler::compile_some(&name, &text, &Beside(folder), Some(traversal));
    let error = compilation.diagnostics.iter().find(|d| d.severity == Severity::Error);
    match error {
        None => Ok(compilation),
        Some(error) => {
            let place = compilation.sources.place(error.label.span);
            Err(Error::Call(format!("{}:{}: {}: {}", place.file, place.line, error.code, error.message)))
        }
    }
}
