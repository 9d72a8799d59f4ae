//! Batches on images that are read: while the reads of some walks are in flight, others go on.

use super::batch::End;
use super::code::{Code, Lane, Row, Stop};
use super::status::Status;
use super::{Bound, ExecError, bad_arguments, fault};
use crate::exec::FaultReport;
use crate::image::flight::Flight;
use std::collections::VecDeque;

/// For each lane, so many walks may have ended before one that began earlier.
const AHEAD: usize = 4;

/// Lanes, each with a read in flight.
pub(super) struct Reads<'b> {
    code: &'b Code,
    row: Row,
    flight: Flight,
}

/// How a walk ended, kept until those before it have.
struct Kept {
    fault: Option<FaultReport>,
    result: Box<[u8]>,
    hops: u64,
    bytes: u64,
}

impl<'b> Reads<'b> {
    /// With so many lanes; none where an image is no file, or the kernel has no io_uring for this process.
    pub fn new(bound: &'b Bound<'b>, lanes: usize) -> Result<Option<Self>, ExecError> {
        let images = &bound.images.images;
        if !images.iter().all(|image| image.bytes().is_some() || image.as_file().is_some()) {
            return Ok(None);
        }
        let Ok(flight) = Flight::new(lanes) else { return Ok(None) };
        let code = bound.native.reads()?;
        Ok(Some(Reads { code, row: Row::new(code, lanes), flight }))
    }

    /// As [`Batch::call_many`](super::Batch::call_many), whose arguments have been split.
    pub fn call_many<'a>(
        &mut self,
        bound: &Bound<'_>,
        calls: impl Iterator<Item = &'a [u8]>,
        end: &mut dyn FnMut(usize, End<'_>),
    ) -> Result<(), ExecError> {
        let done = self.run(bound, calls, end);
        if done.is_err() {
            self.flight.cancel();
        }
        done
    }

    fn run<'a>(
        &mut self,
        bound: &Bound<'_>,
        calls: impl Iterator<Item = &'a [u8]>,
        end: &mut dyn FnMut(usize, End<'_>),
    ) -> Result<(), ExecError> {
        let mut calls = calls.enumerate().peekable();
        let lanes = self.row.len();
        let mut free: Vec<usize> = (0..lanes).rev().collect();
        let mut call_of = vec![0; lanes];
        // The walks that have begun and are not told yet, the first of which is `told`.
        let mut begun: VecDeque<Option<Kept>> = VecDeque::new();
        let mut told = 0;
        loop {
            let room = begun.len() < AHEAD * lanes && calls.peek().is_some();
            let (i, stop) = if let Some(i) = free.pop_if(|_| room) {
                let (call, args) = calls.next().expect("one was seen");
                call_of[i] = call;
                begun.push_back(None);
                (i, self.code.start(&mut self.row, &bound.views, i, args))
            } else if free.len() < lanes {
                let (i, block) = self.flight.wait().map_err(ExecError::Io)?;
                (i, self.code.go_on(&mut self.row, &bound.views, i, block))
            } else {
                return Ok(());
            };
            if self.is_ended(bound, i, stop)? {
                begun[call_of[i] - told] = Some(self.kept(bound, i)?);
                free.push(i);
            }
            while let Some(Some(kept)) = begun.pop_front_if(|first| first.is_some()) {
                let Kept { fault, result, hops, bytes } = kept;
                end(told, End { fault, result: &result, hops, bytes });
                told += 1;
            }
        }
    }

    /// From where a walk has stopped to its end or, after which it is none, to a read in flight.
    fn is_ended(&mut self, bound: &Bound<'_>, i: usize, mut stop: Stop) -> Result<bool, ExecError> {
        loop {
            let Stop::Hop(hop) = stop else { return Ok(true) };
            let image = &bound.images.images[hop.source.index()];
            // The code has seen that the hop lies on the image, and an image in memory has the size of memory.
            let (from, len) = (hop.offset as usize, hop.len as usize);
            let block = match image.bytes() {
                Some(bytes) => &bytes[from..][..len],
                None if len == 0 => &[],
                None => {
                    let file = image.as_file().expect("`new` has asked");
                    self.flight.ask(i, file, hop.offset, len).map_err(ExecError::Io)?;
                    return Ok(false);
                }
            };
            stop = self.code.go_on(&mut self.row, &bound.views, i, block);
        }
    }

    /// How the walk in a lane that rests has ended.
    fn kept(&mut self, bound: &Bound<'_>, i: usize) -> Result<Kept, ExecError> {
        let Lane { context, status, .. } = self.row.lane(i);
        let (hops, bytes, status) = (context.hops, context.bytes, *status);
        let fault = fault(status, context);
        if status == Status::ARGUMENTS {
            return Err(bad_arguments(&bound.native.function, self.row.args(i)));
        }
        Ok(Kept { fault, result: self.row.result(i).into(), hops, bytes })
    }
}
