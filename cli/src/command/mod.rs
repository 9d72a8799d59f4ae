//! The subcommands.

mod bench;
mod build;
mod check;
mod completions;
mod disasm;
mod doc;
mod dump;
mod explain;
mod fmt;
mod hooks;
mod new;
mod run;
mod sim;
mod test;

use crate::failure::{Failure, Status};
use clap::{Parser, Subcommand};
use std::io::Write;
use trav_runtime::value::{Given, parse_pair};

/// Walks over on-disk structures: checked, proved, run, and built as eBPF objects.
#[derive(Debug, Parser)]
#[command(name = "trav", version, after_help = EXIT_STATUSES, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_STATUSES: &str = "\
FILE is a path or a standard module such as std.ext4.

Exit status: 0 a result (also none), 1 the spec is wrong, 2 the call is wrong, 3 the walk ended in a fault, 4 the target
refused.";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    Check(check::Check),
    Build(build::Build),
    Run(run::Run),
    Bench(bench::Bench),
    Sim(sim::Sim),
    Dump(dump::Dump),
    Test(test::Test),
    Fmt(fmt::Fmt),
    Doc(doc::Doc),
    Hooks(hooks::Hooks),
    Explain(explain::Explain),
    Disasm(disasm::Disasm),
    Completions(completions::Completions),
    New(new::New),
}

impl Command {
    /// Runs it; `out` is standard output.
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        match self {
            Command::Check(command) => command.run(out),
            Command::Build(command) => command.run(out),
            Command::Run(command) => command.run(out),
            Command::Bench(command) => command.run(out),
            Command::Sim(command) => command.run(out),
            Command::Dump(command) => command.run(out),
            Command::Test(command) => command.run(out),
            Command::Fmt(command) => command.run(out),
            Command::Doc(command) => command.run(out),
            Command::Hooks(command) => command.run(out),
            Command::Explain(command) => command.run(out),
            Command::Disasm(command) => command.run(out),
            Command::Completions(command) => command.run(out),
            Command::New(command) => command.run(out),
        }
    }
}

/// Arguments by name, as given.
type Pairs = Vec<(String, Given)>;

/// Takes `NAME=VALUE` texts apart.
fn pairs(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Pairs, Failure> {
    let pair = |text: &str| {
        parse_pair(text).ok_or_else(|| Failure::call(format!("expected an argument NAME=VALUE, found `{text}`")))
    };
    texts.into_iter().map(|text| pair(text.as_ref())).collect()
}
