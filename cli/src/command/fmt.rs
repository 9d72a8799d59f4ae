//! `trav fmt`.

use crate::failure::{self, Failure, Status};
use crate::render;
use clap::Args;
use std::fs;
use std::io::{Read, Write};
use trav_compiler::source::SourceMap;
use trav_compiler::syntax;

/// Format specs in place
#[derive(Debug, Args)]
pub struct Fmt {
    /// The specs; - formats standard input to standard output
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,
    /// Change nothing; name the files that are not formatted, and exit with 1 if there are any
    #[arg(long)]
    check: bool,
}

impl Fmt {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let mut worst = Status::Good;
        for file in &self.files {
            let status = match self.one(file, out) {
                Ok(status) => status,
                Err(failure) => failure.report(),
            };
            worst = worst.max(status);
        }
        Ok(worst)
    }

    fn one(&self, file: &str, out: &mut dyn Write) -> Result<Status, Failure> {
        let mut text = String::new();
        let read = match file {
            "-" => std::io::stdin().read_to_string(&mut text).map(|_| ()),
            _ => fs::read_to_string(file).map(|t| text = t),
        };
        read.map_err(|e| Failure::file("read", file, &e))?;
        let formatted = match syntax::format(&text) {
            Ok(formatted) => formatted,
            Err(diagnostics) => {
                let mut sources = SourceMap::new();
                sources.add(file, text);
                render::tell(&sources, &diagnostics);
                return Err(Failure::Spec);
            }
        };
        if self.check {
            if formatted == text {
                return Ok(Status::Good);
            }
            failure::tell(&format!("{file}: not formatted\n"));
            return Ok(Status::Spec);
        }
        if file == "-" {
            out.write_all(formatted.as_bytes())?;
        } else if formatted != text {
            fs::write(file, formatted).map_err(|e| Failure::file("write", file, &e))?;
        }
        Ok(Status::Good)
    }
}
