//! Lookups, many at once, and streams, with arguments and answers as Rust types.

use super::{Ended, Hook};
use crate::exec::steps::{self, Pause};
use crate::exec::{ExecError, FaultReport, Hop, args};
use crate::typed::{self, Value, Walk};
use std::borrow::Borrow;
use std::marker::PhantomData;
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
        self.take::<W>(arguments, false)?;
        let Hook { walker, function, sources, buffer, hops, .. } = self;
        let (args, out) = buffer.split_at_mut(W::Arguments::SIZE);
        args::check(function, args)?;
        hops.clear();
        match walker.result(args, out, sources, hops)? {
            None => Ok(W::Answer::take(out)),
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
        self.take::<W>(arguments, true)?;
        let args = &self.buffer[..W::Arguments::SIZE];
        args::check(&self.function, args)?;
        self.walker.machine()?.reset_state(self.layout.args as usize, args);
        self.hops.clear();
        Ok(Rows { hook: self, over: false, walk: PhantomData })
    }

    /// Lays arguments out in the buffer, with room for the answer behind them.
    #[inline]
    fn take<W: Walk>(&mut self, arguments: &W::Arguments, stream: bool) -> Result<(), ExecError> {
        self.assure::<W>(stream)?;
        self.buffer.clear();
        self.buffer.resize(W::Arguments::SIZE + W::Answer::SIZE, 0);
        arguments.put(&mut self.buffer);
        Ok(())
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
        match (f.stream, stream) {
            (true, false) => Err(ExecError::Arguments(format!("`{}` is a stream", f.name))),
            (false, true) => Err(ExecError::Arguments(format!("`{}` is no stream", f.name))),
            _ => Ok(()),
        }
    }
}

/// The rows of a stream, one after the other; after a failure none.
pub struct Rows<'h, W> {
    hook: &'h mut Hook,
    over: bool,
    walk: PhantomData<W>,
}

impl<W: Walk> Rows<'_, W> {
    fn advance(&mut self) -> Result<Option<W::Answer>, Failure> {
        let Hook { walker, function, layout, sources, buffer, hops, .. } = &mut *self.hook;
        let machine = walker.machine()?;
        match steps::advance(machine, function, sources, None, hops)? {
            Pause::Row => {
                let out = &mut buffer[..W::Answer::SIZE];
                machine.read_state(layout.out as usize, out);
                Ok(Some(W::Answer::take(out)))
            }
            Pause::Done => Ok(None),
            Pause::Fault(report) => Err(Fault::of(function, report, hops).into()),
        }
    }
}

impl<W: Walk> Iterator for Rows<'_, W> {
    type Item = Result<W::Answer, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let row = self.advance().transpose();
        self.over = !matches!(row, Some(Ok(_)));
        row
    }
}
