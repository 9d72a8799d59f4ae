//! The `trav` command.
//!
//! The only place that prints and the only one that exits; what is computed, the compiler and the runtime compute. Each
//! subcommand is a file of [`command`] with its arguments and a `run` that writes to the output that it is given.

mod certificates;
mod command;
mod failure;
mod load;
mod render;
mod standard;
mod suggest;

use clap::Parser;
use failure::{Failure, Status};
use std::io::{BufWriter, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(failure::report_panic));
    // Recursion over nested syntax is bounded by the parser; the room makes that bound safe in debug builds too.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run);
    let status = match thread.map(std::thread::JoinHandle::join) {
        Ok(Ok(status)) => status,
        Ok(Err(_reported)) => Status::Refused,
        Err(error) => Failure::Refused(format!("cannot start a thread: {error}")).report(),
    };
    ExitCode::from(status as u8)
}

fn run() -> Status {
    let command = match command::Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => {
            // Help and version go to standard output and are no error. Nobody is left to hear of a closed pipe.
            let _ = error.print();
            return if error.use_stderr() { Status::Call } else { Status::Good };
        }
    };
    let mut out = BufWriter::new(std::io::stdout().lock());
    let result = command.run(&mut out);
    // What was written before a failure is printed before its message.
    let flushed = out.flush().map_err(Failure::from);
    match result.and_then(|status| flushed.map(|()| status)) {
        Ok(status) => status,
        Err(failure) => failure.report(),
    }
}
