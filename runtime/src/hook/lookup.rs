//! Lookups, many at once, and streams, with arguments and answers as Rust types.

use super::{Ended, Hook};
use crate::exec::steps::{self, Pause};
use crate::exec::{ExecError, FaultReport, Hop, args};
use crate::typed::{self, Value, Walk};
use std::borrow::Borrow;
use std::marker::PhantomData;
use trav_compiler::bpf::abi::StateLayout;
use trav_compiler::ir::{FaultKind, Function};

/// A walk that ended in a fault: what its structures hold is not what the spec says, or is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What sort of fault.
    pub kind: FaultKind,
    /// What was expected, and what was found.
    pub message: String,
    /// The fault's number and values.
    pub report: FaultReport,
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Failure {
    /// The walk ended in a fault.
    Fault(Fault),
    /// The walk could not be made, or not to its end.
    Exec(ExecError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.message)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Fault(fault) => fault.fmt(f),
            Failure::Exec(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Fault {}
impl std::error::Error for Failure {}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        Failure::Exec(error)
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Failure::Fault(fault)
    }
}

impl Fault {
    pub(super) fn of(f: &Function, report: FaultReport, hops: &[Hop]) -> Fault {
        Fault { kind: f.faults[report.fault.index()].kind, message: report.message(f, hops), report }
    }
}

impl Hook {
    /// One walk. Nothing is allocated, unless blocks have to be read from here.
    pub fn lookup<W: Walk>(&mut self, arguments: &W::Arguments) -> Result<W::Answer, Failure> {
        self.assure::<W>(false)?;
        self.in_buffer::<W, _>(arguments, |hook, args, out| {
            hook.result(args, out)?;
            Ok(W::Answer::take(out))
        })
    }

    /// The same with arguments and result laid out.
    #[inline]
    pub fn result(&mut self, args: &[u8], out: &mut [u8]) -> Result<(), Failure> {
        self.begun();
        let Hook { walker, function, layout, sources, hops, .. } = self;
        args::check(function, args)?;
        fits(function, layout, out, false)?;
        hops.clear();
        match walker.result(args, out, sources, hops)? {
            None => Ok(()),
            Some(report) => Err(Fault::of(function, report, hops).into()),
        }
    }

    /// Many walks, as many at once as the hook can keep in flight. Each is reported with its position among the calls, in any order.
    /// After a call with wrong arguments none is begun.
    pub fn lookup_many<W: Walk>(
        &mut self,
        calls: impl IntoIterator<Item: Borrow<W::Arguments>>,
        mut each: impl FnMut(usize, Result<W::Answer, Fault>),
    ) -> Result<(), ExecError> {
        self.assure::<W>(false)?;
        self.begun();
        let Hook { walker, function, layout, sources, .. } = self;
        let mut calls = calls.into_iter();
        let mut wrong = None;
        let mut next = |args: &mut [u8]| {
            let Some(call) = calls.next().filter(|_| wrong.is_none()) else { return false };
            call.borrow().put(args);
            wrong = args::check(function, args).err();
            wrong.is_none()
        };
        let mut each = |position: usize, ended: Ended<'_>| match ended {
            Ended::Done(out) => each(position, Ok(W::Answer::take(out))),
            Ended::Fault(report, hops) => each(position, Err(Fault::of(function, report, hops))),
        };
        walker.many(layout, &mut next, sources, &mut each)?;
        wrong.map_or(Ok(()), Err)
    }

    /// The rows of a stream. The walk is suspended after each and goes on when the next is asked for; nothing of it runs in between.
    pub fn stream<W: Walk>(&mut self, arguments: &W::Arguments) -> Result<Rows<'_, W>, ExecError> {
        self.assure::<W>(true)?;
        self.in_buffer::<W, _>(arguments, |hook, args, _| hook.begin(args))?;
        Ok(Rows { hook: self, walk: PhantomData })
    }

    /// Begins a stream with arguments laid out; one that was going on is over.
    pub fn begin(&mut self, args: &[u8]) -> Result<(), ExecError> {
        args::check(&self.function, args)?;
        self.walker.machine()?.reset_state(self.layout.args as usize, args);
        self.hops.clear();
        self.going_on = true;
        Ok(())
    }

    /// The next row of the stream that goes on, laid out; false when there is none.
    pub fn row(&mut self, out: &mut [u8]) -> Result<bool, Failure> {
        self.begun();
        let Hook { walker, function, layout, sources, hops, going_on, .. } = self;
        fits(function, layout, out, true)?;
        if !std::mem::take(going_on) {
            return Ok(false);
        }
        let machine = walker.machine()?;
        match steps::advance(machine, function, sources, None, hops)? {
            Pause::Row => {
                machine.read_state(layout.out as usize, out);
                *going_on = true;
                Ok(true)
            }
            Pause::Done => Ok(false),
            Pause::Fault(report) => Err(Fault::of(function, report, hops).into()),
        }
    }

    /// With arguments laid out, and room for the answer. The memory is kept for the next call.
    #[inline]
    fn in_buffer<W: Walk, T>(
        &mut self,
        arguments: &W::Arguments,
        then: impl FnOnce(&mut Hook, &[u8], &mut [u8]) -> T,
    ) -> T {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.resize(W::Arguments::SIZE + W::Answer::SIZE, 0);
        let (args, out) = buffer.split_at_mut(W::Arguments::SIZE);
        arguments.put(args);
        let done = then(self, args, out);
        self.buffer = buffer;
        done
    }

    /// The types are those of the traversal that is attached.
    #[inline]
    fn assure<W: Walk>(&mut self, stream: bool) -> Result<(), ExecError> {
        // They are compared letter by letter once.
        let known = self.known.is_some_and(|known| std::ptr::eq(known, W::SIGNATURE));
        if known && self.function.stream == stream { Ok(()) } else { self.compare::<W>(stream) }
    }

    #[cold]
    fn compare<W: Walk>(&mut self, stream: bool) -> Result<(), ExecError> {
        let f = &self.function;
        if !typed::is_of::<W>(f) {
            let (attached, wanted) = (trav_compiler::rust::signature(f), W::SIGNATURE);
            return Err(ExecError::Arguments(format!("expected types of `{attached}`, found those of `{wanted}`")));
        }
        self.known = Some(W::SIGNATURE);
        kind(f, stream)
    }
}

/// Whether a traversal is asked for what it gives.
fn kind(f: &Function, stream: bool) -> Result<(), ExecError> {
    match (f.stream, stream) {
        (true, false) => Err(ExecError::Arguments(format!("`{}` is a stream", f.name))),
        (false, true) => Err(ExecError::Arguments(format!("`{}` is no stream", f.name))),
        _ => Ok(()),
    }
}

/// Whether there is room for what it gives, no more and no less.
fn fits(f: &Function, layout: &StateLayout, out: &[u8], stream: bool) -> Result<(), ExecError> {
    kind(f, stream)?;
    if out.len() == layout.out_size as usize {
        return Ok(());
    }
    let message = format!("the result: expected {} bytes, found {}", layout.out_size, out.len());
    Err(ExecError::Arguments(message))
}

/// The rows of a stream, one after the other; after a failure none.
pub struct Rows<'h, W> {
    hook: &'h mut Hook,
    walk: PhantomData<W>,
}

impl<W: Walk> Iterator for Rows<'_, W> {
    type Item = Result<W::Answer, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut buffer = std::mem::take(&mut self.hook.buffer);
        buffer.resize(W::Answer::SIZE, 0);
        let row = match self.hook.row(&mut buffer) {
            Ok(true) => Some(Ok(W::Answer::take(&buffer))),
            Ok(false) => None,
            Err(failure) => Some(Err(failure)),
        };
        self.hook.buffer = buffer;
        row
    }
}
