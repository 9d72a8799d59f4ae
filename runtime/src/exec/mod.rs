//! Executors: four ways to run one verified traversal, with one trace.
//!
//! An [`Executor`] is made from a [`Verified`](trav_compiler::ir::verify::Verified) function by its module's `prepare`; after that it runs
//! any number of calls. All executors give the same [`Trace`] for the same call, to the byte: the interpreter defines it, and the
//! differential tests hold the others to it.

pub mod args;
pub mod interp;
#[cfg(feature = "kernel")]
pub mod kernel;
pub mod native;
pub mod steps;
pub mod vm;

use crate::image::Sources;
use std::hint::black_box;
use std::time::{Duration, Instant};
pub use trav_compiler::Effort;
use trav_compiler::bpf::cost::InsnBounds;
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::{FaultId, FaultKind, FoundAs, Function, SourceId};

/// Which executor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Cranelift's code on the image, mapped into memory.
    Native,
    /// The IR interpreter: what a program means.
    Interp,
    /// The emitted eBPF program in a user-space BPF machine.
    Vm,
    /// The emitted eBPF program in this machine's kernel.
    Kernel,
}

impl Engine {
    /// All, the default first.
    pub const ALL: [Engine; 4] = [Engine::Native, Engine::Interp, Engine::Vm, Engine::Kernel];

    /// `native`, `interp`, `vm`, `kernel`.
    pub fn name(self) -> &'static str {
        match self {
            Engine::Native => "native",
            Engine::Interp => "interp",
            Engine::Vm => "vm",
            Engine::Kernel => "kernel",
        }
    }

    /// Makes a traversal ready to run many times.
    pub fn prepare(self, traversal: &Verified) -> Result<Box<dyn Executor>, ExecError> {
        self.prepare_for(traversal, Effort::Many)
    }

    /// Makes a traversal ready to run.
    pub fn prepare_for(self, traversal: &Verified, effort: Effort) -> Result<Box<dyn Executor>, ExecError> {
        match self {
            Engine::Native => Ok(Box::new(native::executor(traversal, effort)?)),
            Engine::Interp => Ok(Box::new(interp::prepare(traversal))),
            Engine::Vm => Ok(Box::new(vm::prepare(traversal)?)),
            #[cfg(feature = "kernel")]
            Engine::Kernel => Ok(Box::new(kernel::prepare(traversal, &kernel::nameless(traversal))?)),
            #[cfg(not(feature = "kernel"))]
            Engine::Kernel => Err(ExecError::Refused("this trav is built without the feature `kernel`".into())),
        }
    }
}

/// One read that a walk made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hop {
    /// From which source.
    pub source: SourceId,
    /// Byte offset in it.
    pub offset: u64,
    /// Bytes.
    pub len: u64,
}

/// A fault as it happened; what its number means stands in the function's fault table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FaultReport {
    /// Entry of the fault table.
    pub fault: FaultId,
    /// The value found, when the fault reports one.
    pub found: Option<u64>,
    /// The offset in the disk block, when the fault reports one.
    pub at: Option<u64>,
}

impl FaultReport {
    /// The message of the fault table's entry with the value that was found; for a read off the device, with its offset.
    pub fn message(&self, f: &Function, hops: &[Hop]) -> String {
        let fault = &f.faults[self.fault.index()];
        let off_device = hops.last().filter(|_| fault.kind == FaultKind::OutOfDevice).map(|hop| hop.offset);
        let Some(found) = self.found.or(off_device) else { return fault.message.clone() };
        let found = match fault.found_as {
            FoundAs::Unsigned => found.to_string(),
            FoundAs::Signed => (found as i64).to_string(),
            FoundAs::Hex(digits) => format!("0x{found:0width$x}", width = usize::from(digits)),
        };
        fault.message.replacen("{}", &found, 1)
    }
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result, laid out by the function's result schema (for a stream: nothing).
    Done(Vec<u8>),
    /// With a fault. Rows emitted before it stand in the trace.
    Fault(FaultReport),
}

/// All that a walk did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// Its reads in order. A read that does not lie on its source is the last one, and is counted.
    pub hops: Vec<Hop>,
    /// The rows of a stream, each laid out by the function's result schema.
    pub rows: Vec<Vec<u8>>,
    /// Its end.
    pub outcome: Outcome,
}

/// What is told of a call among many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Brief {
    /// The result, laid out by the function's result schema; none after a fault.
    pub result: Option<Vec<u8>>,
    /// Reads made; one that does not lie on its source is counted.
    pub hops: u64,
    /// The sum of their lengths.
    pub bytes: u64,
}

/// What keeps an executor from running at all. Not a fault: the walk did not end in one.
#[derive(Debug)]
pub enum ExecError {
    /// The image could not be read although the bytes lie on it.
    Io(std::io::Error),
    /// This machine, kernel, VM or profile does not take the program; the text says why and what would.
    Refused(String),
    /// The arguments are not laid out as the function wants them.
    Arguments(String),
}

impl std::fmt::Display for ExecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExecError::Io(error) => write!(f, "cannot read an image: {error}"),
            ExecError::Refused(message) | ExecError::Arguments(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ExecError {}

/// A traversal that is ready to run.
pub trait Executor {
    /// `interp`, `native`, `vm`, `kernel`.
    fn name(&self) -> &'static str;
    /// Runs one call. `args` is laid out by the function's argument leaves (`trav_compiler::ir::schema`).
    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError>;

    /// Runs calls of a function that gives one result, several at once where the executor can. What is told of them is in their order.
    fn run_many(&mut self, calls: &[Vec<u8>], sources: &Sources) -> Result<Vec<Brief>, ExecError> {
        let brief = |args: &Vec<u8>| {
            let Trace { hops, outcome, .. } = self.run(args, sources)?;
            let result = match outcome {
                Outcome::Done(result) => Some(result),
                Outcome::Fault(_) => None,
            };
            let bytes = hops.iter().fold(0, |sum: u64, hop| sum.saturating_add(hop.len));
            Ok(Brief { result, hops: hops.len() as u64, bytes })
        };
        calls.iter().map(brief).collect()
    }

    /// How many BPF instructions the last call executed, most in one run and in all, where the executor counts them.
    fn insns(&self) -> Option<InsnBounds> {
        None
    }

    /// How long `count` calls take that go round `calls`, each laid out as for [`run`](Self::run). An executor that can run without
    /// keeping a trace does so.
    fn time(&mut self, calls: &[Vec<u8>], count: u64, sources: &Sources) -> Result<Duration, ExecError> {
        let start = Instant::now();
        for (args, _) in calls.iter().cycle().zip(0..count) {
            black_box(self.run(args, sources)?);
        }
        Ok(start.elapsed())
    }
}
