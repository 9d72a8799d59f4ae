//! `trav build`.

use super::hooks;
use crate::failure::{Failure, Status};
use crate::load;
use crate::suggest::did_you_mean;
use clap::{Args, ValueEnum};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use trav_compiler::Options;
use trav_compiler::bpf;
use trav_compiler::bpf::bindings::{Language, bindings};
use trav_compiler::bpf::error::BpfError;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::print::print;
use trav_compiler::ir::schema::LeafKind;
use trav_compiler::ir::verify::Verified;
use trav_compiler::source::SourceMap;

/// Build an eBPF object
#[derive(Debug, Args)]
pub struct Build {
    /// The spec: a path, or a standard module such as std.ext4
    file: String,
    /// For which hook: a name that `trav hooks` lists, or a file
    #[arg(long, default_value = "test", value_name = "NAME")]
    hook: String,
    /// Only these traversals
    #[arg(long = "traversal", value_name = "NAME")]
    traversals: Vec<String>,
    /// Where the object goes; the spec's name with .bpf.o where nothing is said
    #[arg(short, long, value_name = "OUT.bpf.o")]
    output: Option<PathBuf>,
    /// Have this machine's kernel verify the programs, and print its account of them
    #[arg(long)]
    verify: bool,
    /// A number that a parameter, or a field of it, is known to be, as in vol.block_size=4096: the walks are built for it and check it
    #[arg(long = "set", value_name = "NAME=NUMBER", value_parser = fixed)]
    fixed: Vec<(String, i128)>,
    /// Print these instead of writing an object
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    emit: Vec<Emit>,
}

/// What can be printed instead of an object.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Emit {
    /// The instructions, each line of the spec before those that it became
    Asm,
    /// The verified intermediate form
    Ir,
    /// A C header for programs that use the object
    Header,
    /// A Rust module for programs that use the object
    Rust,
    /// A Rust module of the types of arguments and answers, for programs that use trav-runtime
    Types,
}

impl Build {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let profile = hooks::profile(&self.hook)?;
        // One walk needs a part of a module.
        let wanted = if let [one] = &self.traversals[..] { Some(one.as_str()) } else { None };
        let options = Options { wanted, fixed: &self.fixed, ..Options::default() };
        let compilation = load::compile(&self.file, options)?;
        let mut chosen: Vec<&Verified> = Vec::new();
        for name in &self.traversals {
            chosen.push(load::traversal(&compilation, name)?);
        }
        if self.traversals.is_empty() {
            // Walks of other modules only fill parameters, which the program that calls a hook does.
            chosen.extend(compilation.traversals.iter().filter(|t| !t.name.contains('.')));
        }
        if chosen.is_empty() {
            return Err(Failure::call(format!("`{}` has no traversal to build", self.file)));
        }
        for (name, _) in &self.fixed {
            let scalars =
                || chosen.iter().flat_map(|t| &t.args).filter(|leaf| matches!(leaf.kind, LeafKind::Scalar { .. }));
            if !scalars().any(|leaf| leaf.name == *name) {
                let near = did_you_mean(name, scalars().map(|leaf| leaf.name.as_str()));
                return Err(Failure::call(format!("no parameter of these traversals has a number `{name}`{near}")));
            }
        }
        let refused = |e: BpfError| {
            let able = able(&chosen, &compilation.sources);
            Failure::Refused(format!("hook `{}`: {e}; {able}", profile.name))
        };
        if !self.emit.is_empty() {
            for emit in &self.emit {
                let text = emit.text(&chosen, &compilation.sources, &profile).map_err(refused)?;
                out.write_all(text.as_bytes())?;
            }
            return Ok(Status::Good);
        }
        let object = bpf::object(&chosen, &compilation.sources, &profile).map_err(refused)?;
        if self.verify {
            verify(&object, out)?;
        }
        let path = self.output.unwrap_or_else(|| default_output(&self.file));
        fs::write(&path, object).map_err(|e| Failure::file("write", path.display(), &e))?;
        Ok(Status::Good)
    }
}

/// `NAME=NUMBER`.
fn fixed(text: &str) -> Result<(String, i128), String> {
    let (name, number) = text.split_once('=').ok_or("expected NAME=NUMBER")?;
    let digits = number.trim_start_matches('-').replace('_', "");
    let value = match (number, digits.strip_prefix("0x")) {
        ("true", _) => Ok(1),
        ("false", _) => Ok(0),
        (_, Some(hex)) => u64::from_str_radix(hex, 16),
        (_, None) => digits.parse::<u64>(),
    };
    let value = i128::from(value.map_err(|e| format!("`{number}` is no number: {e}"))?);
    Ok((name.into(), if number.starts_with('-') { -value } else { value }))
}

/// The hooks that can carry these traversals, in words.
fn able(traversals: &[&Verified], sources: &SourceMap) -> String {
    let able = Profile::built_in().into_iter().filter(|p| bpf::object(traversals, sources, p).is_ok());
    let names: Vec<String> = able.map(|p| format!("`{}`", p.name)).collect();
    match &names[..] {
        [] => "no built-in hook can carry it".into(),
        names => format!("these hooks can carry it: {}", names.join(", ")),
    }
}

fn verify(object: &[u8], out: &mut dyn Write) -> Result<(), Failure> {
    for program in trav_runtime::exec::kernel::load::verify(object)? {
        let (name, insns, verified) = (program.name, program.insns, program.verified);
        let bytes = program.machine_bytes;
        writeln!(out, "{name}: accepted; {insns} instructions, {verified} processed, {bytes} bytes of machine code")?;
    }
    Ok(())
}

impl Emit {
    fn text(self, traversals: &[&Verified], sources: &SourceMap, profile: &Profile) -> Result<String, BpfError> {
        match self {
            Emit::Ir => Ok(traversals.iter().map(|f| print(f) + "\n").collect()),
            Emit::Asm => {
                let listing = |f: &&Verified| Ok(bpf::listing::list(&bpf::compile(f, profile)?, sources) + "\n");
                traversals.iter().map(listing).collect()
            }
            Emit::Header => bindings(Language::C, traversals, sources),
            Emit::Rust => bindings(Language::Rust, traversals, sources),
            Emit::Types => Ok(trav_compiler::rust::types(traversals.iter().map(|f| &***f))),
        }
    }
}

/// `list.bpf.o` in the working folder for `specs/list.trav`, `ext4.bpf.o` for `std.ext4`.
fn default_output(file: &str) -> PathBuf {
    let name = match Path::new(file).extension() {
        Some(e) if e == "trav" => Path::new(file).file_stem().map(|s| s.to_string_lossy().into_owned()),
        _ => file.rsplit('.').next().map(String::from),
    };
    PathBuf::from(format!("{}.bpf.o", name.unwrap_or_else(|| "out".into())))
}
