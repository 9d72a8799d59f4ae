//! `trav bench`: how long a lookup takes on each executor.
//!
//! Before anything is timed, every executor answers the first call, and all must agree. What an executor must keep for a trace is
//! part of its time, but for native code, which can run without.

use super::run::{Call, calls_of, check_sources, failure, open_images};
use super::{Pairs, pairs};
use crate::failure::{Failure, Status};
use crate::load;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};
use trav_compiler::ir::verify::Verified;
use trav_runtime::call::{Arguments, CallError, Caller, Images};
use trav_runtime::exec::{Effort, Engine, ExecError, Outcome, Trace, native};
use trav_runtime::image::Sources;

/// Walks that a batch keeps going at once.
const LANES: usize = 64;

/// Time a traversal on every executor
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    call: Call,
    /// Go round the calls in FILE (- for standard input), one per line: NAME=VALUE … or a JSON object
    #[arg(long, value_name = "FILE")]
    batch: Option<String>,
    /// How long each executor runs
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    seconds: f64,
    /// Print one JSON object a line for each executor
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<f64, String> {
    let is_good = |s: &f64| (0.001..=3600.0).contains(s);
    text.parse().ok().filter(is_good).ok_or_else(|| "expected a number from 0.001 to 3600".into())
}

/// What came of one executor.
struct Line {
    name: &'static str,
    result: Result<Timed, String>,
}

#[derive(Clone, Copy)]
struct Timed {
    lookups: u64,
    nanoseconds: f64,
}

impl Bench {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let given = pairs(&self.call.args)?;
        let compilation = load::compile_for(&self.call.file, &self.call.traversal, Effort::Many, &|_| {})?;
        let traversal = load::traversal(&compilation, &self.call.traversal)?;
        let images = open_images(&self.call.images, false)?;
        check_sources(&images, &compilation)?;
        let calls: Vec<Pairs> = match &self.batch {
            Some(file) => calls_of(file)?.into_iter().map(|call| [given.as_slice(), &call].concat()).collect(),
            None => vec![given],
        };
        let mut interp = Caller::new(Engine::Interp, &compilation.traversals, &images);
        let calls = arguments(&mut interp, traversal, &calls)?;
        let expected = interp.run(traversal, &calls[0]).map_err(failure)?;
        let contest =
            Contest { bench: &self, traversals: &compilation.traversals, traversal, images: &images, calls, expected };
        let lines = contest.lines()?;
        if self.json { print_json(&lines, out) } else { print_table(&lines, out) }?;
        Ok(Status::Good)
    }
}

/// The calls, laid out. A default walk that ends in a fault leaves nothing to time.
fn arguments<'a>(caller: &mut Caller<'a>, of: &'a Verified, calls: &[Pairs]) -> Result<Vec<Vec<u8>>, Failure> {
    let mut all = Vec::with_capacity(calls.len());
    for call in calls {
        match caller.arguments(of, call).map_err(failure)? {
            Arguments::Ready(args) => all.push(args),
            Arguments::Fault(answer) => {
                let message = format!("the default walk `{}` ends in a fault: see `trav run`", answer.traversal.name);
                return Err(Failure::Call(message));
            }
        }
    }
    if all.is_empty() { Err(Failure::call("there is no call to time")) } else { Ok(all) }
}

struct Contest<'c> {
    bench: &'c Bench,
    traversals: &'c [Verified],
    traversal: &'c Verified,
    images: &'c Images,
    calls: Vec<Vec<u8>>,
    /// The answer to the first call.
    expected: Trace,
}

impl Contest<'_> {
    fn lines(&self) -> Result<Vec<Line>, Failure> {
        let names = ["native, batches", "native", "interp", "vm", "kernel"];
        let bar = ProgressBar::new(1000 * names.len() as u64);
        let style = ProgressStyle::with_template("{bar:40} {msg}").expect("a good template");
        bar.set_style(style);
        let mut lines = Vec::new();
        for (i, name) in names.into_iter().enumerate() {
            bar.set_message(name);
            let tick = |part: f64| bar.set_position(1000 * i as u64 + (1000.0 * part.min(1.0)) as u64);
            let result = match Engine::ALL.into_iter().find(|engine| engine.name() == name) {
                Some(engine) => self.engine(engine, &tick),
                None => self.batches(&tick),
            };
            let result = match result {
                Ok(timed) => Ok(timed),
                Err(CallError::Exec(ExecError::Refused(why))) => Err(why),
                Err(other) => return Err(failure(other)),
            };
            lines.push(Line { name, result });
        }
        bar.finish_and_clear();
        Ok(lines)
    }

    fn engine(&self, engine: Engine, tick: &dyn Fn(f64)) -> Result<Timed, CallError> {
        let mut caller = Caller::new(engine, self.traversals, self.images);
        let answer = caller.run(self.traversal, &self.calls[0])?;
        self.agree(engine.name(), answer == self.expected)?;
        let (executor, sources) = caller.executor(self.traversal)?;
        self.time(tick, |count| Ok(executor.time(&self.calls, count, sources)?))
    }

    /// Native code, many walks at once.
    fn batches(&self, tick: &dyn Fn(f64)) -> Result<Timed, CallError> {
        if self.calls[0].is_empty() {
            let why = "a walk without arguments is the same each time: there is no batch of it";
            return Err(ExecError::Refused(why.into()).into());
        }
        let mut caller = Caller::new(Engine::Native, self.traversals, self.images);
        let sources: Sources = caller.executor(self.traversal)?.1.clone();
        let native = native::prepare(self.traversal)?;
        let bound = native.bind(&sources)?;
        let mut batch = bound.batch(LANES)?;
        batch.call_many(&self.calls[0], &mut |_, end| {
            let same = match &self.expected.outcome {
                Outcome::Done(result) => end.fault.is_none() && end.result == result,
                Outcome::Fault(report) => end.fault == Some(*report),
            };
            assert!(same, "batches agree with the interpreter; this is a bug of trav");
        })?;
        let whole = LANES.div_ceil(self.calls.len()).max(1);
        let args = self.calls.concat().repeat(whole);
        let round = (whole * self.calls.len()) as u64;
        self.time(tick, |count| {
            let rounds = count.div_ceil(round);
            let start = Instant::now();
            for _ in 0..rounds {
                batch.call_many(&args, &mut |_, end| {
                    black_box(end.result);
                })?;
            }
            // For the lookups asked for.
            Ok(start.elapsed().mul_f64(count as f64 / (rounds * round) as f64))
        })
    }

    fn agree(&self, name: &str, same: bool) -> Result<(), CallError> {
        let message = || format!("`{name}` gives another answer than the interpreter; this is a bug of trav");
        if same { Ok(()) } else { Err(CallError::Exec(ExecError::Refused(message()))) }
    }

    /// Runs more and more lookups until the time is spent.
    fn time(
        &self,
        tick: &dyn Fn(f64),
        mut run: impl FnMut(u64) -> Result<Duration, CallError>,
    ) -> Result<Timed, CallError> {
        let start = Instant::now();
        let (mut lookups, mut spent, mut count) = (0, Duration::ZERO, 1);
        loop {
            spent += run(count)?;
            lookups += count;
            let part = start.elapsed().as_secs_f64() / self.bench.seconds;
            tick(part);
            if part >= 1.0 {
                return Ok(Timed { lookups, nanoseconds: spent.as_nanos() as f64 / lookups as f64 });
            }
            // A tenth of the whole at most, so that the bar moves.
            let tenth = self.bench.seconds / 10.0 / (spent.as_secs_f64() / lookups as f64).max(1e-9);
            count = (2 * count).min(tenth as u64).max(1);
        }
    }
}

fn print_json(lines: &[Line], out: &mut dyn Write) -> Result<(), Failure> {
    for Line { name, result } in lines {
        let object = match result {
            Ok(t) => {
                json!({ "executor": name, "lookups": t.lookups, "ns_per_lookup": (t.nanoseconds * 10.0).round() / 10.0 })
            }
            Err(why) => json!({ "executor": name, "refused": why }),
        };
        writeln!(out, "{object}")?;
    }
    Ok(())
}

fn print_table(lines: &[Line], out: &mut dyn Write) -> Result<(), Failure> {
    let native = lines.iter().find(|l| l.name == "native").and_then(|l| l.result.as_ref().ok());
    writeln!(out, "{:<16} {:>14} {:>14} {:>10}", "executor", "ns a lookup", "lookups a s", "native = 1")?;
    for Line { name, result } in lines {
        match result {
            Ok(t) => {
                let per_second = 1e9 / t.nanoseconds;
                let ratio = native.map_or(String::new(), |n| format!("{:.2}", t.nanoseconds / n.nanoseconds));
                writeln!(out, "{name:<16} {:>14.1} {per_second:>14.0} {ratio:>10}", t.nanoseconds)?;
            }
            Err(why) => writeln!(out, "{name:<16} refused: {why}")?,
        }
    }
    Ok(())
}
