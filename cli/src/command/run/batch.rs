//! `--batch`: one call a line.

use super::{Walks, answer, failure};
use crate::command::{Pairs, pairs};
use crate::failure::{Failure, Status};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use trav_runtime::call::{Answer, Arguments};
use trav_runtime::exec::Brief;
use trav_runtime::value::Given;

/// Calls of a file that are run together.
const TOGETHER: usize = 1024;

/// A line of the batch.
enum Line {
    /// A call with its arguments, laid out.
    Call(Vec<u8>),
    /// What is printed for a line that is no right call, or whose default walk ended in a fault; and what it means.
    Told(String, Status),
}

impl Walks<'_> {
    /// Runs the calls of a file, as many at once as the engine can, and prints one JSON line each, in order. A line that is no right call
    /// gives a line with `error`, and the others are run all the same. The status is the worst of all.
    pub fn batch(&mut self, file: &str, given: &Pairs, out: &mut dyn Write) -> Result<Status, Failure> {
        // Whoever writes the calls may wait for each answer.
        let together = if file == "-" { 1 } else { TOGETHER };
        let mut worst = Status::Good;
        let mut lines = Vec::new();
        for (index, line) in open(file)?.lines().enumerate() {
            let line = line.map_err(|e| Failure::file("read", file, &e))?;
            if line.trim().is_empty() {
                continue;
            }
            lines.push(self.line(index, &line, given)?);
            if lines.len() == together {
                worst = worst.max(self.answer(std::mem::take(&mut lines), out)?);
                out.flush()?;
            }
        }
        Ok(worst.max(self.answer(lines, out)?))
    }

    /// Lays the arguments of a line out.
    fn line(&mut self, index: usize, line: &str, given: &Pairs) -> Result<Line, Failure> {
        let pairs = parse(line).map(|pairs| [given.as_slice(), &pairs].concat());
        match pairs.and_then(|pairs| self.caller.arguments(self.traversal, &pairs).map_err(failure)) {
            Ok(Arguments::Ready(args)) => Ok(Line::Call(args)),
            Ok(Arguments::Fault(answer)) => {
                let mut text = Vec::new();
                let status = self.tell(&answer, &mut text)?;
                Ok(Line::Told(String::from_utf8_lossy(&text).into_owned(), status))
            }
            Err(Failure::Call(message)) => {
                let error = json!({
                    "traversal": self.run.call.traversal, "engine": self.run.engine.name(),
                    "error": { "message": message, "line": index + 1 },
                });
                Ok(Line::Told(format!("{error}\n"), Status::Call))
            }
            Err(other) => Err(other),
        }
    }

    /// Runs and prints. What is told of many calls is short: a call that ends in a fault is made again by itself.
    fn answer(&mut self, lines: Vec<Line>, out: &mut dyn Write) -> Result<Status, Failure> {
        let is_call = |line: &&Line| matches!(line, Line::Call(_));
        let are_many = lines.iter().filter(is_call).count() > 1;
        let mut briefs = Vec::new().into_iter();
        if are_many && !self.run.trace && !self.traversal.stream && !self.traversal.args.is_empty() {
            let calls = lines.iter().filter_map(|line| match line {
                Line::Call(args) => Some(args.clone()),
                Line::Told(..) => None,
            });
            let calls: Vec<Vec<u8>> = calls.collect();
            let (executor, sources) = self.caller.executor(self.traversal).map_err(failure)?;
            // What cannot be read is told by the call that needs it, behind the answers of those before it.
            briefs = executor.run_many(&calls, sources).unwrap_or_default().into_iter();
        }
        let mut worst = Status::Good;
        for line in lines {
            let status = match line {
                Line::Told(text, status) => {
                    out.write_all(text.as_bytes())?;
                    status
                }
                Line::Call(args) => match briefs.next() {
                    Some(Brief { result: Some(result), hops, bytes }) => {
                        answer::result_line(self.run, &self.traversal.result, &result, hops, bytes, out)?;
                        if self.run.repeat.is_some() {
                            self.timed.push(args);
                        }
                        Status::Good
                    }
                    _ => {
                        let answer = self.call_on(args).map_err(failure)?;
                        self.tell(&answer, out)?
                    }
                },
            };
            worst = worst.max(status);
        }
        Ok(worst)
    }

    /// An answer as a line; what it means.
    fn tell(&self, answer: &Answer<'_>, out: &mut dyn Write) -> Result<Status, Failure> {
        let view = answer::View { run: self.run, sources: &self.compilation.sources, answer, caller: &self.caller };
        view.json(out)?;
        Ok(view.status())
    }
}

fn open(file: &str) -> Result<Box<dyn BufRead>, Failure> {
    Ok(match file {
        "-" => Box::new(io::stdin().lock()),
        path => Box::new(BufReader::new(File::open(path).map_err(|e| Failure::file("open", path, &e))?)),
    })
}

/// All calls of a file, which must all be right.
pub fn calls_of(file: &str) -> Result<Vec<Pairs>, Failure> {
    let mut calls = Vec::new();
    for (index, line) in open(file)?.lines().enumerate() {
        let line = line.map_err(|e| Failure::file("read", file, &e))?;
        if !line.trim().is_empty() {
            let at_line = |failure| match failure {
                Failure::Call(message) => Failure::Call(format!("{file}:{}: {message}", index + 1)),
                other => other,
            };
            calls.push(parse(&line).map_err(at_line)?);
        }
    }
    Ok(calls)
}

/// `NAME=VALUE …`, or a JSON object.
fn parse(line: &str) -> Result<Pairs, Failure> {
    if line.trim_start().starts_with('{') {
        let wrong = |e: serde_json::Error| Failure::call(format!("expected a JSON object: {e}"));
        return match serde_json::from_str(line).map_err(wrong)? {
            Json::Object(members) => Ok(members.into_iter().map(|(name, value)| (name, Given::Json(value))).collect()),
            other => Err(Failure::call(format!("expected a JSON object, found `{other}`"))),
        };
    }
    pairs(line.split_whitespace())
}
