//! Exit statuses, and failures with their message.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::panic::PanicHookInfo;
use trav_runtime::exec::ExecError;

/// How the command ends. The numbers are fixed; scripts depend on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// A result, `none` too.
    Good = 0,
    /// The spec is wrong.
    Spec = 1,
    /// The call is wrong: usage, a missing file, an unreadable image.
    Call = 2,
    /// The walk ended in a fault.
    Fault = 3,
    /// The target refused: kernel, BPF machine, hook profile. A broken invariant of trav itself ends so too: neither the spec
    /// nor the call is to blame.
    Refused = 4,
}

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// The spec is wrong; the diagnostics have been printed.
    Spec,
    /// The call is wrong.
    Call(String),
    /// The target refused.
    Refused(String),
    /// Standard output could not be written.
    Output(io::Error),
}

impl Failure {
    /// A wrong call.
    pub fn call(message: impl Into<String>) -> Self {
        Failure::Call(message.into())
    }

    /// A file that cannot be read or written.
    pub fn file(verb: &str, path: impl Display, error: &io::Error) -> Self {
        Failure::Call(format!("cannot {verb} `{path}`: {error}"))
    }

    /// Prints the message and gives the exit status.
    pub fn report(self) -> Status {
        let (status, message) = match self {
            Failure::Spec => return Status::Spec,
            // The reader has what it wanted (`trav run … | head`).
            Failure::Output(error) if error.kind() == ErrorKind::BrokenPipe => return Status::Good,
            Failure::Output(error) => (Status::Call, format!("cannot write the output: {error}")),
            Failure::Call(message) => (Status::Call, message),
            Failure::Refused(message) => (Status::Refused, message),
        };
        tell(&format!("error: {message}\n"));
        status
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Output(error)
    }
}

impl From<ExecError> for Failure {
    fn from(error: ExecError) -> Self {
        match error {
            ExecError::Refused(_) => Failure::Refused(error.to_string()),
            ExecError::Io(_) | ExecError::Arguments(_) => Failure::Call(error.to_string()),
        }
    }
}

/// Writes to standard error. It may be closed, and then there is nobody to tell.
pub fn tell(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

/// The panic hook: an invariant of ours is broken. Says which, without a backtrace.
pub fn report_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
    tell(&format!(
        "error: internal error of trav: {}{place}\n  This is a bug of trav, not of your spec; please report it with the spec and the call.\n",
        text.unwrap_or("an unnamed invariant does not hold")
    ));
}
