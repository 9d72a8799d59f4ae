//! `--batch`: one call a line.

use super::{Walks, answer, failure};
use crate::command::{Pairs, pairs};
use crate::failure::{Failure, Status};
use serde_json::{Value as Json, json};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use trav_runtime::value::Given;

impl Walks<'_> {
    /// Runs the calls of a file in order and prints one JSON line each. A line that is no right call gives a line with `error`, and
    /// the others are run all the same. The status is the worst of all.
    pub fn batch(&mut self, file: &str, given: &Pairs, out: &mut dyn Write) -> Result<Status, Failure> {
        let mut worst = Status::Good;
        for (index, line) in open(file)?.lines().enumerate() {
            let line = line.map_err(|e| Failure::file("read", file, &e))?;
            if line.trim().is_empty() {
                continue;
            }
            let status = match parse(&line).and_then(|pairs| self.line(&[given.as_slice(), &pairs].concat(), out)) {
                Ok(status) => status,
                Err(Failure::Call(message)) => {
                    let error = json!({
                        "traversal": self.run.call.traversal, "engine": self.run.engine.name(),
                        "error": { "message": message, "line": index + 1 },
                    });
                    writeln!(out, "{error}")?;
                    Status::Call
                }
                Err(other) => return Err(other),
            };
            worst = worst.max(status);
            if file == "-" {
                // Whoever writes the calls may wait for each answer.
                out.flush()?;
            }
        }
        Ok(worst)
    }

    fn line(&mut self, given: &Pairs, out: &mut dyn Write) -> Result<Status, Failure> {
        let answer = self.call(given).map_err(failure)?;
        let sources = &self.compilation.sources;
        let view = answer::View { run: self.run, sources, answer: &answer, caller: &self.caller };
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
