//! The native executor: a verified traversal as machine code for this machine, made by Cranelift.
//!
//! The whole walk is one function. A hop is a bounds test against the image and pointer arithmetic; what it carries stays in
//! registers, and no state machine is left. Variants are made when they are first wanted: for images in memory a fast one, which counts hops and
//! bytes, and one more for [`Native::bind_far`]; the full one notes each hop and can read images that are
//! not in memory.
//!
//! [`Native`] is shared by threads: compile once, [`bind`](Native::bind) to images once, call without allocation.

mod batch;
mod carried;
mod code;
mod cuts;
mod difference;
mod disks;
mod guess;
mod hop;
mod lanes;
mod lower;
mod memory;
mod needed;
mod ops;
mod reads;
mod scaled;
mod status;
mod stride;
mod sum;
mod varint;

pub use batch::{Batch, End};

use super::{Brief, Effort, ExecError, Executor, FaultReport, Outcome, Trace};
use crate::image::{Sources, any_lost};
use code::{Caller, Code, Context, Reads, View};
use status::{Status, Variant};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::{FaultId, Function};
use trav_compiler::opt::for_native;

/// Walks that [`Executor::run_many`] keeps going at once: as many as hide the wait for memory.
const LANES: usize = 64;

/// Compiles a traversal for many calls. Refused where Cranelift has no backend for the machine or a limit of it is passed.
pub fn prepare(f: &Verified) -> Result<Native, ExecError> {
    let native = Native::new(f, Effort::Many);
    native.fast()?;
    Ok(native)
}

/// Compiles a traversal for [`Executor::run`]. Refused as [`prepare`] says.
pub fn executor(f: &Verified, effort: Effort) -> Result<Native, ExecError> {
    let native = Native::new(f, effort);
    native.full()?;
    Ok(native)
}

/// The function in Cranelift's text form, before its optimisation.
pub fn clif(f: &Verified) -> Result<String, ExecError> {
    let data: Vec<Box<[u8]>> = f.data.iter().map(|d| d.bytes.clone().into()).collect();
    let isa = code::isa(Effort::Many)?;
    let (compilation, _) = code::build(f, Variant::Fast, &data, &**isa)?;
    Ok(compilation.func.display().to_string())
}

/// The machine code as assembly text.
pub fn assembly(f: &Verified) -> Result<String, ExecError> {
    let data: Vec<Box<[u8]>> = f.data.iter().map(|d| d.bytes.clone().into()).collect();
    let isa = code::isa(Effort::Many)?;
    let (mut compilation, _) = code::build(f, Variant::Fast, &data, &**isa)?;
    compilation.set_disasm(true);
    let compiled = compilation
        .compile(&**isa, &mut Default::default())
        .map_err(|e| ExecError::Refused(format!("native code cannot be made: {:?}", e.inner)))?;
    Ok(compiled.vcode.clone().unwrap_or_default())
}

/// A traversal as machine code. Each variant is made when first used.
pub struct Native {
    function: Verified,
    effort: Effort,
    fast: OnceLock<Code>,
    far: OnceLock<Code>,
    full: OnceLock<Code>,
    batch: OnceLock<Code>,
    reads: OnceLock<Code>,
}

/// A traversal bound to its images, ready for many calls.
pub struct Bound<'n> {
    native: &'n Native,
    code: &'n Code,
    /// Kept alive for the views, and for reads.
    images: Sources,
    in_memory: bool,
    views: Vec<View>,
}

/// What calls one after another: it keeps the result area and what the last walk did. One for each thread.
pub struct Walker<'b> {
    bound: &'b Bound<'b>,
    caller: Caller<'b>,
    status: u64,
}

impl Native {
    fn new(f: &Verified, effort: Effort) -> Native {
        let [fast, far, full, batch, reads] = [const { OnceLock::new() }; 5];
        let function = match effort {
            Effort::Many => for_native(f).unwrap_or_else(|| f.clone()),
            Effort::Once => f.clone(),
        };
        Native { function, effort, fast, far, full, batch, reads }
    }

    /// Binds the code to images. Images in memory are walked without a callback.
    pub fn bind(&self, sources: &Sources) -> Result<Bound<'_>, ExecError> {
        self.bind_code(sources, Native::fast)
    }

    /// The same for images of which most of what is looked at will have to come from memory, because it is more than the caches hold: searches
    /// guess how they go on meanwhile. In the caches they are slower so.
    pub fn bind_far(&self, sources: &Sources) -> Result<Bound<'_>, ExecError> {
        self.bind_code(sources, Native::far)
    }

    fn bind_code(
        &self,
        sources: &Sources,
        in_memory_code: fn(&Native) -> Result<&Code, ExecError>,
    ) -> Result<Bound<'_>, ExecError> {
        let in_memory = sources.images.iter().all(|image| image.bytes().is_some());
        let code = if in_memory { in_memory_code(self)? } else { self.full()? };
        Ok(Bound { native: self, code, images: sources.clone(), in_memory, views: views(&self.function, sources)? })
    }

    fn fast(&self) -> Result<&Code, ExecError> {
        self.compiled(&self.fast, Variant::Fast)
    }

    fn far(&self) -> Result<&Code, ExecError> {
        self.compiled(&self.far, Variant::Far)
    }

    fn full(&self) -> Result<&Code, ExecError> {
        self.compiled(&self.full, Variant::Full)
    }

    fn batch(&self) -> Result<&Code, ExecError> {
        self.compiled(&self.batch, Variant::Batch)
    }

    fn reads(&self) -> Result<&Code, ExecError> {
        self.compiled(&self.reads, Variant::Reads)
    }

    /// The code of a variant, made when first asked for.
    fn compiled<'c>(&self, cell: &'c OnceLock<Code>, variant: Variant) -> Result<&'c Code, ExecError> {
        if let Some(code) = cell.get() {
            return Ok(code);
        }
        let code = Code::compile(&self.function, variant, self.effort)?;
        Ok(cell.get_or_init(|| code))
    }
}

impl Bound<'_> {
    /// Makes a caller.
    pub fn walker(&self) -> Walker<'_> {
        Walker { bound: self, caller: self.code.caller(&self.views), status: Status::DONE }
    }

    /// Makes a caller that keeps so many walks going at once, where that is faster than one after another: on large images in memory in
    /// lockstep, on files that are read with as many reads in flight.
    pub fn batch(&self, lanes: usize) -> Result<Batch<'_>, ExecError> {
        Batch::new(self, lanes)
    }

    /// Makes a caller that keeps so many walks going at once, however small the images are.
    pub fn lockstep(&self, lanes: usize) -> Result<Batch<'_>, ExecError> {
        Batch::lockstep(self, lanes)
    }
}

impl Walker<'_> {
    /// Runs one walk. `args` is laid out by the function's argument leaves; `row` is called for each row of a stream. What the walk did
    /// is read from the walker, not returned: copying it would cost as much as a hop. As a function of its own this would be a tenth of a
    /// walk of a few hops, so it has few instructions, and is always part of its caller.
    #[inline(always)]
    pub fn call(&mut self, args: &[u8], row: &mut dyn FnMut(&[u8])) -> Result<(), ExecError> {
        if !self.bound.in_memory {
            return self.call_reading(args, row);
        }
        self.status = self.caller.call(args, row, None)?;
        if any_lost() || self.status == Status::ARGUMENTS {
            return self.check(args);
        }
        Ok(())
    }

    /// Whether the last call, of images in memory, went well.
    #[cold]
    fn check(&self, args: &[u8]) -> Result<(), ExecError> {
        self.bound.images.check().map_err(ExecError::Io)?;
        if self.status == Status::ARGUMENTS { Err(bad_arguments(&self.bound.native.function, args)) } else { Ok(()) }
    }

    /// The same with images that are read by callbacks.
    #[inline(never)]
    fn call_reading(&mut self, args: &[u8], row: &mut dyn FnMut(&[u8])) -> Result<(), ExecError> {
        let bound = self.bound;
        let mut reads = Reads::new(&bound.images);
        self.caller.context = Context::new();
        self.status = self.caller.call(args, row, Some(&mut reads))?;
        end(&bound.native.function, args, self.status, &self.caller.context, reads.error).map(|_| ())
    }

    /// Whether the last walk ended in a fault.
    pub fn is_fault(&self) -> bool {
        self.status != Status::DONE
    }

    /// The fault that the last walk ended in, if it did.
    pub fn fault(&self) -> Option<FaultReport> {
        fault(self.status, &self.caller.context)
    }

    /// The result of the last walk, laid out by the function's result schema.
    pub fn result(&self) -> &[u8] {
        self.caller.result()
    }

    /// Hops that the last walk made; a read that does not lie on its source is counted.
    pub fn hops(&self) -> u64 {
        self.caller.context.hops
    }

    /// The sum of their lengths in bytes.
    pub fn bytes(&self) -> u64 {
        self.caller.context.bytes
    }
}

impl Executor for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        let f = &self.function;
        let code = self.full()?;
        let views = views(f, sources)?;
        let (mut hops, mut rows) = (Vec::new(), Vec::new());
        let mut row = |row: &[u8]| rows.push(row.to_vec());
        let mut reads = Reads { hops: Some(&mut hops), ..Reads::new(sources) };
        let mut caller = code.caller(&views);
        let status = caller.call(args, &mut row, Some(&mut reads))?;
        sources.check().map_err(ExecError::Io)?;
        let outcome = match end(f, args, status, &caller.context, reads.error)? {
            Some(report) => Outcome::Fault(report),
            None if f.stream => Outcome::Done(Vec::new()),
            None => Outcome::Done(caller.into_result()),
        };
        Ok(Trace { hops, rows, outcome })
    }

    fn run_many(&mut self, calls: &[Vec<u8>], sources: &Sources) -> Result<Vec<Brief>, ExecError> {
        let bound = self.bind(sources)?;
        let mut batch = bound.batch(LANES)?;
        let mut briefs = Vec::with_capacity(calls.len());
        let mut end = |_: usize, End { fault, result, hops, bytes }: End<'_>| {
            briefs.push(Brief { result: fault.is_none().then(|| result.to_vec()), hops, bytes });
        };
        batch.call_many(&calls.concat(), &mut end)?;
        Ok(briefs)
    }

    fn time(&mut self, calls: &[Vec<u8>], count: u64, sources: &Sources) -> Result<Duration, ExecError> {
        let bound = self.bind(sources)?;
        let mut walker = bound.walker();
        let mut row = |row: &[u8]| {
            black_box(row);
        };
        let start = Instant::now();
        for (args, _) in calls.iter().cycle().zip(0..count) {
            walker.call(args, &mut row)?;
            black_box(walker.result());
        }
        Ok(start.elapsed())
    }
}

/// How a walk ended: with a fault, or well.
fn end(
    f: &Function,
    args: &[u8],
    status: u64,
    context: &Context,
    error: Option<std::io::Error>,
) -> Result<Option<FaultReport>, ExecError> {
    match Status::decode(status) {
        Status::Done | Status::Fault { .. } => Ok(fault(status, context)),
        Status::Arguments => Err(bad_arguments(f, args)),
        Status::Io => {
            let lost = || std::io::Error::other("a read failed without a reason");
            Err(ExecError::Io(error.unwrap_or_else(lost)))
        }
    }
}

fn fault(status: u64, context: &Context) -> Option<FaultReport> {
    match Status::decode(status) {
        Status::Fault { fault, found, at } => Some(FaultReport {
            fault: FaultId(fault),
            found: found.then_some(context.found),
            at: at.then_some(context.at),
        }),
        Status::Done | Status::Arguments | Status::Io => None,
    }
}

#[cold]
fn bad_arguments(f: &Function, args: &[u8]) -> ExecError {
    super::args::check(f, args).expect_err("the generated code and `args::check` apply the same rules")
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
