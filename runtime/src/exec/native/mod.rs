//! The native executor: a verified traversal as machine code for this machine, made by Cranelift.
//!
//! The whole walk is one function. A hop is a bounds test against the image and pointer arithmetic; what it carries stays in
//! registers, and no state machine is left. Two variants are made: the fast one, for images in memory, counts hops and bytes; the
//! full one, made at the first [`Executor::run`], notes each hop and can read images that are not in memory.
//!
//! [`Native`] is shared by threads: compile once, [`bind`](Native::bind) to images once, call without allocation.

mod code;
mod lower;
mod memory;
mod ops;

use super::{ExecError, Executor, FaultReport, Outcome, Trace};
use crate::image::Sources;
use code::{Call, Code, Returned, View};
use lower::{Status, Variant};
use std::sync::OnceLock;
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::{FaultId, Function};

/// Compiles a traversal. Refused where Cranelift has no backend for the machine or a limit of it is passed.
pub fn prepare(f: &Verified) -> Result<Native, ExecError> {
    let fast = Code::compile(f, Variant::Fast)?;
    Ok(Native { function: f.clone(), fast, full: OnceLock::new() })
}

/// The function in Cranelift's text form, before its optimisation.
pub fn clif(f: &Verified) -> Result<String, ExecError> {
    let data: Vec<Box<[u8]>> = f.data.iter().map(|d| d.bytes.clone().into()).collect();
    Ok(code::build(f, Variant::Fast, &data)?.func.display().to_string())
}

/// The machine code as assembly text.
pub fn assembly(f: &Verified) -> Result<String, ExecError> {
    let data: Vec<Box<[u8]>> = f.data.iter().map(|d| d.bytes.clone().into()).collect();
    let mut compilation = code::build(f, Variant::Fast, &data)?;
    compilation.set_disasm(true);
    let compiled = compilation
        .compile(&**code::isa()?, &mut Default::default())
        .map_err(|e| ExecError::Refused(format!("native code cannot be made: {:?}", e.inner)))?;
    Ok(compiled.vcode.clone().unwrap_or_default())
}

/// A traversal as machine code.
pub struct Native {
    function: Verified,
    fast: Code,
    full: OnceLock<Code>,
}

/// A traversal bound to its images, ready for many calls.
pub struct Bound<'n> {
    function: &'n Verified,
    code: &'n Code,
    images: Sources,
    views: Vec<View>,
}

/// What one call did, without its trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// The fault it ended in; none when the result is complete.
    pub fault: Option<FaultReport>,
    /// Hops made; a read that does not lie on its source is counted.
    pub hops: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
}

impl Native {
    /// Binds the code to images. Images in memory are walked without a callback.
    pub fn bind(&self, sources: &Sources) -> Result<Bound<'_>, ExecError> {
        let in_memory = sources.images.iter().all(|image| image.bytes().is_some());
        let code = if in_memory { &self.fast } else { self.full()? };
        Ok(Bound { function: &self.function, code, images: sources.clone(), views: views(&self.function, sources)? })
    }

    /// Bytes of machine code of the fast variant.
    pub fn code_size_bytes(&self) -> usize {
        self.fast.size_bytes()
    }

    fn full(&self) -> Result<&Code, ExecError> {
        if let Some(code) = self.full.get() {
            return Ok(code);
        }
        let code = Code::compile(&self.function, Variant::Full)?;
        Ok(self.full.get_or_init(|| code))
    }
}

impl Bound<'_> {
    /// Runs one walk. `args` is laid out by the function's argument leaves; `out`, of the result's size, receives the result, or each
    /// row in turn, for which `row` is called.
    pub fn call(&self, args: &[u8], out: &mut [u8], row: &mut dyn FnMut(&[u8])) -> Result<Walk, ExecError> {
        check_sizes(self.function, args, out)?;
        let (images, views) = (&self.images, &self.views);
        let returned = self.code.call(Call { args, out, images, views, hops: None, row });
        let (hops, bytes) = (returned.context.hops, returned.context.bytes);
        Ok(Walk { fault: end(self.function, args, returned)?, hops, bytes })
    }
}

impl Executor for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        let f = &self.function;
        let (mut hops, mut rows) = (Vec::new(), Vec::new());
        let mut out = vec![0; f.out_size() as usize];
        check_sizes(f, args, &out)?;
        let returned = self.full()?.call(Call {
            args,
            out: &mut out,
            images: sources,
            views: &views(f, sources)?,
            hops: Some(&mut hops),
            row: &mut |row| rows.push(row.to_vec()),
        });
        let outcome = match end(f, args, returned)? {
            Some(report) => Outcome::Fault(report),
            None if f.stream => Outcome::Done(Vec::new()),
            None => Outcome::Done(out),
        };
        Ok(Trace { hops, rows, outcome })
    }
}

/// How the walk ended: with a fault, or well.
fn end(f: &Function, args: &[u8], returned: Returned) -> Result<Option<FaultReport>, ExecError> {
    match Status::decode(returned.status) {
        Status::Done => Ok(None),
        Status::Arguments => {
            Err(super::args::check(f, args).expect_err("the generated code and `args::check` apply the same rules"))
        }
        Status::Io => {
            let lost = || std::io::Error::other("a read failed without a reason");
            Err(ExecError::Io(returned.error.unwrap_or_else(lost)))
        }
        Status::Fault { fault, found, at } => Ok(Some(FaultReport {
            fault: FaultId(fault),
            found: found.then_some(returned.context.found),
            at: at.then_some(returned.context.at),
        })),
    }
}

fn views(f: &Function, sources: &Sources) -> Result<Vec<View>, ExecError> {
    if sources.images.len() < f.sources.len() {
        let missing = &f.sources[sources.images.len()];
        return Err(ExecError::Arguments(format!("no image for the source `{missing}`")));
    }
    let view = |image: &std::sync::Arc<dyn crate::image::Image>| {
        let bytes = image.bytes();
        let len = bytes.map_or_else(|| image.len(), |bytes| bytes.len() as u64);
        if len > i64::MAX as u64 {
            return Err(ExecError::Refused("an image of 2^63 bytes or more".into()));
        }
        Ok(View { base: bytes.map_or(0, |bytes| bytes.as_ptr().expose_provenance()), len })
    };
    sources.images.iter().map(view).collect()
}

/// Bytes of the laid out arguments.
fn args_size(f: &Function) -> usize {
    f.args.iter().map(|leaf| leaf.kind.size() as usize).sum()
}

fn check_sizes(f: &Function, args: &[u8], out: &[u8]) -> Result<(), ExecError> {
    let wrong = |what: &str, want: usize, got: usize| {
        Err(ExecError::Arguments(format!("{what}: expected {want} bytes, found {got}")))
    };
    let (args_size, out_size) = (args_size(f), f.out_size() as usize);
    if args.len() != args_size {
        return wrong("the arguments", args_size, args.len());
    }
    if out.len() != out_size {
        return wrong("the result area", out_size, out.len());
    }
    Ok(())
}
