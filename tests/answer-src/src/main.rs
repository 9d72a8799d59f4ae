//! Answers queries about images with the standard formats alone.
//!
//! Queries are JSON lines on standard input (`id`, `image`, `format`, `traversal`, `args`); each is answered by one line, flushed:
//! `{"id", "result"}`, `{"id", "error"}` or `{"id", "unsupported": true}`. A family such as `read` or `walk` may combine several
//! walks with plain reads of bytes that a walk named; what the bytes mean is known to the spec only.

mod compose;
mod format;
mod inflate;
mod parts;
mod query;
mod session;
mod together;
mod unpacked;
mod value;
mod worker;

use query::Query;
use serde_json::json;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use trav_runtime::exec::Engine;
use worker::Pool;

/// How the program was called.
#[derive(Clone, Debug)]
pub struct Options {
    /// The executors of all walks. With several each walk runs in all of them, and they must do the same.
    pub engines: Vec<Engine>,
    /// A folder with specs that stand in for the built-in ones, for work on them.
    pub specs: Option<PathBuf>,
    /// How long a query may take.
    pub time_max: Duration,
}

/// Below the 10 s that a query may take.
const TIME_MAX: Duration = Duration::from_millis(8500);

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!(
                "answer: {message}\nusage: answer [--engine native|interp|vm|kernel]… [--specs DIR] [--seconds N] < QUERIES"
            );
            return ExitCode::from(2);
        }
    };
    match answer_all(options) {
        // Nobody listens any more: not an error of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("answer: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn options() -> Result<Options, String> {
    let mut options = Options { engines: Vec::new(), specs: None, time_max: TIME_MAX };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("`{word}` needs a value"));
        match word.as_str() {
            "--engine" => {
                let name = value()?;
                let found = Engine::ALL.into_iter().find(|e| e.name() == name);
                options.engines.push(found.ok_or_else(|| format!("there is no engine `{name}`"))?);
            }
            "--specs" => options.specs = Some(value()?.into()),
            "--seconds" => {
                let seconds = value()?.parse().map_err(|e| format!("`--seconds`: {e}"))?;
                options.time_max = Duration::from_secs(seconds);
            }
            _ => return Err(format!("unknown option `{word}`")),
        }
    }
    if options.engines.is_empty() {
        options.engines.push(Engine::Native);
    }
    Ok(options)
}

fn answer_all(options: Options) -> io::Result<()> {
    let mut pool = Pool::new(options);
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match Query::parse(&line) {
            Ok(query) => pool.answer(query),
            Err(message) => json!({ "error": message }),
        };
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(())
}
