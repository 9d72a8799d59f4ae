//! Batches: many walks at once on one thread, so that their waits for memory, or for the device, overlap.
//!
//! On images in memory that do not fit into the caches this is several times faster than one walk after another. In the cache of a core there
//! is nothing to wait for, and to store what is alive costs more than it gains: there they are walked one after another.

use super::code::{Code, Lane, Row};
use super::reads::Reads;
use super::status::Status;
use super::{Bound, ExecError, FaultReport, Walker, bad_arguments, fault};
use crate::image::any_lost;

/// Images up to this size, taken together, are in the second-level cache.
const IN_CACHE_MAX_BYTES: u64 = 1 << 20;

/// Runs batches of walks of one bound traversal. One for each thread.
pub struct Batch<'b> {
    bound: &'b Bound<'b>,
    way: Way<'b>,
}

enum Way<'b> {
    /// All at once.
    Lockstep { code: &'b Code, row: Row },
    /// Each as its reads come.
    Reads(Box<Reads<'b>>),
    /// One after another.
    InTurn(Walker<'b>),
}

/// How one walk of a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'e> {
    /// The fault, if it ended in one.
    pub fault: Option<FaultReport>,
    /// The result, laid out by the function's result schema.
    pub result: &'e [u8],
    /// Hops made; a read that does not lie on its source is counted.
    pub hops: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
}

impl<'b> Batch<'b> {
    /// In lockstep only where it pays.
    pub(super) fn new(bound: &'b Bound<'b>, lanes: usize) -> Result<Self, ExecError> {
        check(bound)?;
        if !bound.in_memory {
            let reads = Reads::new(bound, lanes.max(1))?;
            return Ok(Batch {
                bound,
                way: reads.map_or_else(|| Way::InTurn(bound.walker()), |reads| Way::Reads(reads.into())),
            });
        }
        let bytes = bound.views.iter().fold(0, |sum: u64, view| sum.saturating_add(view.len));
        if bytes > IN_CACHE_MAX_BYTES {
            return Batch::lockstep(bound, lanes);
        }
        Ok(Batch { bound, way: Way::InTurn(bound.walker()) })
    }

    pub(super) fn lockstep(bound: &'b Bound<'b>, lanes: usize) -> Result<Self, ExecError> {
        check(bound)?;
        if !bound.in_memory {
            return Err(ExecError::Refused("walks go in lockstep on images in memory".into()));
        }
        let code = bound.native.batch()?;
        Ok(Batch { bound, way: Way::Lockstep { code, row: Row::new(code, lanes.max(1)) } })
    }

    /// Runs one walk for each arguments in `args`, which lie one after another. `end` is called with the position of each walk and how it
    /// ended, in order.
    pub fn call_many(&mut self, args: &[u8], end: &mut dyn FnMut(usize, End<'_>)) -> Result<(), ExecError> {
        let size = self.bound.code.args_size();
        if size == 0 || !args.len().is_multiple_of(size) {
            let message = format!("expected {size} bytes of arguments for each walk, found {} in all", args.len());
            return Err(ExecError::Arguments(message));
        }
        let (code, row) = match &mut self.way {
            Way::Lockstep { code, row } => (*code, row),
            Way::Reads(reads) => return reads.call_many(self.bound, args.chunks_exact(size), end),
            Way::InTurn(walker) => {
                for (i, args) in args.chunks_exact(size).enumerate() {
                    walker.call(args, &mut |_| {})?;
                    let (hops, bytes) = (walker.hops(), walker.bytes());
                    end(i, End { fault: walker.fault(), result: walker.result(), hops, bytes });
                }
                return Ok(());
            }
        };
        let lanes = row.len();
        for (group, args) in args.chunks(lanes * size).enumerate() {
            code.run(row, &self.bound.views, args);
            if any_lost() {
                self.bound.images.check().map_err(ExecError::Io)?;
            }
            for (i, args) in args.chunks_exact(size).enumerate() {
                let Lane { context, status, .. } = row.lane(i);
                let (hops, bytes, status) = (context.hops, context.bytes, *status);
                if status == Status::ARGUMENTS {
                    return Err(bad_arguments(&self.bound.native.function, args));
                }
                let fault = if status == Status::DONE { None } else { fault(status, context) };
                end(group * lanes + i, End { fault, result: row.result(i), hops, bytes });
            }
        }
        Ok(())
    }
}

/// Whether the walk can be one of a batch.
fn check(bound: &Bound<'_>) -> Result<(), ExecError> {
    if bound.native.function.stream {
        return Err(ExecError::Refused("a traversal that gives rows is walked one at a time".into()));
    }
    Ok(())
}
