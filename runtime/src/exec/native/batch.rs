//! Batches: many walks at once on one thread, so that their waits for memory overlap.
//!
//! On images that do not fit into the caches this is several times faster than one walk after another, and in the caches too,
//! because what walks do that go on together no branch predictor must guess.

use super::code::{Code, Lane, Row};
use super::status::Status;
use super::{Bound, ExecError, FaultReport, bad_arguments, fault};
use crate::image::any_lost;

/// Runs batches of walks of one bound traversal. One for each thread.
pub struct Batch<'b> {
    bound: &'b Bound<'b>,
    code: &'b Code,
    row: Row,
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
    pub(super) fn new(bound: &'b Bound<'b>, lanes: usize) -> Result<Self, ExecError> {
        if bound.native.function.stream {
            return Err(ExecError::Refused("a traversal that gives rows is walked one at a time".into()));
        }
        if !bound.in_memory {
            return Err(ExecError::Refused("a batch needs images in memory".into()));
        }
        let code = bound.native.batch()?;
        Ok(Batch { bound, code, row: Row::new(code, lanes.max(1)) })
    }

    /// Runs one walk for each arguments in `args`, which lie one after another. `end` is called with the position of each walk and how it
    /// ended, in order.
    pub fn call_many(&mut self, args: &[u8], end: &mut dyn FnMut(usize, End<'_>)) -> Result<(), ExecError> {
        let size = self.code.args_size();
        if size == 0 || !args.len().is_multiple_of(size) {
            let message = format!("expected {size} bytes of arguments for each walk, found {} in all", args.len());
            return Err(ExecError::Arguments(message));
        }
        let lanes = self.row.len();
        for (group, args) in args.chunks(lanes * size).enumerate() {
            self.code.run(&mut self.row, &self.bound.views, args);
            if any_lost() {
                self.bound.images.check().map_err(ExecError::Io)?;
            }
            for (i, args) in args.chunks_exact(size).enumerate() {
                let Lane { context, status, .. } = self.row.lane(i);
                let (hops, bytes, status) = (context.hops, context.bytes, *status);
                if status == Status::ARGUMENTS {
                    return Err(bad_arguments(&self.bound.native.function, args));
                }
                let fault = if status == Status::DONE { None } else { fault(status, context) };
                end(group * lanes + i, End { fault, result: self.row.result(i), hops, bytes });
            }
        }
        Ok(())
    }
}
