//! `trav doc`: a page of HTML for each module, with an index. The pages need nothing beside them: style and drawings are inside.

mod diagram;
mod html;
mod page;

use crate::failure::{Failure, Status};
use crate::load::{Spec, has_error};
use crate::render;
use clap::Args;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use trav_compiler::Options;
use trav_compiler::texts;

/// Write pages about specs: layouts drawn, comments, traversals with their certificates
#[derive(Debug, Args)]
pub struct Doc {
    /// The specs; all standard modules where none is named
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// The folder for the pages
    #[arg(short, long, value_name = "DIR", default_value = "doc")]
    output: PathBuf,
}

impl Doc {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let files = match self.files.is_empty() {
            true => texts::standard_modules().collect(),
            false => self.files,
        };
        fs::create_dir_all(&self.output).map_err(|e| Failure::file("make", self.output.display().to_string(), &e))?;
        let mut worst = Status::Good;
        let mut entries: Vec<page::Entry> = Vec::new();
        for file in &files {
            let mut made = || -> Result<page::Entry, Failure> {
                let (name, page) = documented(file, &entries)?;
                write(&self.output.join(&page.file), &page.html)?;
                writeln!(out, "{}", self.output.join(&page.file).display())?;
                Ok(page::Entry { name, file: page.file, summary: page.summary })
            };
            match made() {
                Ok(entry) => entries.push(entry),
                Err(failure) => worst = worst.max(failure.report()),
            }
        }
        write(&self.output.join("index.html"), &page::index(&entries))?;
        Ok(worst)
    }
}

/// The page of one spec, under a name that no earlier one has.
fn documented(file: &str, earlier: &[page::Entry]) -> Result<(String, page::Page), Failure> {
    let spec = Spec::read(file)?;
    let compilation = spec.compile(Options::default());
    render::tell(&compilation.sources, &compilation.diagnostics);
    if has_error(&compilation.diagnostics) {
        return Err(Failure::Spec);
    }
    let name = match file.strip_suffix(".trav") {
        Some(_) => Path::new(file).file_stem().map_or_else(|| file.into(), |s| s.to_string_lossy().into_owned()),
        None => file.to_owned(),
    };
    let stem = (1..)
        .map(|n| if n == 1 { name.clone() } else { format!("{name}-{n}") })
        .find(|stem| !earlier.iter().any(|e| e.file == format!("{stem}.html")) && stem != "index")
        .expect("there is no end of numbers");
    let declared = spec.declarations();
    Ok((name.clone(), page::page(&name, format!("{stem}.html"), &declared, &compilation.traversals)))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|e| Failure::file("write", path.display().to_string(), &e))
}
