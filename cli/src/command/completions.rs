//! `trav completions`.

use super::Cli;
use crate::failure::{Failure, Status};
use clap::{Args, CommandFactory};
use clap_complete::Shell;
use std::io::Write;

/// Print a shell's completions
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        // `generate` panics when it cannot write, so it writes to memory.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "trav", &mut script);
        out.write_all(&script)?;
        Ok(Status::Good)
    }
}
