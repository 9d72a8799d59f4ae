//! From the `FILE` of a command line to a compilation.
//!
//! `FILE` is a path, or a standard module such as `std.ext4`. Modules that a file names by `use` are looked for beside it:
//! `use local.tree` is `local/tree.trav` in the folder of the file that was named on the command line.

use crate::failure::{self, Failure};
use crate::render;
use crate::standard;
use crate::suggest::did_you_mean;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trav_compiler::diag::{Diagnostic, Severity};
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Compilation, Declarations, Effort, Loader, Options, Tests, texts};
use trav_runtime::image::{self, Image};

/// The longest text that is read: far above any spec, far below the machine's memory.
const TEXT_BYTES_MAX: u64 = 16 << 20;

/// A spec's name, as it is displayed, and its text.
pub struct Spec {
    /// The path as given, or `std/ext4.trav`.
    pub name: String,
    /// The text.
    pub text: String,
    folder: PathBuf,
}

impl Spec {
    /// Reads a path or takes a standard module.
    pub fn read(file: &str) -> Result<Spec, Failure> {
        let path: Vec<&str> = file.split('.').collect();
        if let Some((name, text)) = texts::standard_module(&path) {
            return Ok(Spec { name, text: text.into(), folder: PathBuf::new() });
        }
        if path[0] == "std" && path.len() > 1 && !file.contains('/') && !Path::new(file).exists() {
            let modules: Vec<_> = texts::standard_modules().collect();
            let near = did_you_mean(file, modules.iter().map(String::as_str));
            return Err(Failure::call(format!("there is no standard module `{file}`{near}")));
        }
        let bytes = read_bytes(Path::new(file)).map_err(|e| Failure::file("read", file, &e))?;
        let text = String::from_utf8(bytes).map_err(|e| {
            let offset = e.utf8_error().valid_up_to();
            failure::tell(&format!("error: `{file}` is not UTF-8 text: the byte at offset {offset} is wrong\n"));
            Failure::Spec
        })?;
        let folder = Path::new(file).parent().map_or_else(PathBuf::new, Path::to_path_buf);
        Ok(Spec { name: file.into(), text, folder })
    }

    /// Its declarations, for pages about it.
    pub fn declarations(&self) -> Declarations {
        trav_compiler::declarations(&self.name, &self.text, self)
    }

    /// Compiles it.
    pub fn compile(&self, options: Options<'_>) -> Compilation {
        trav_compiler::compile_with(&self.name, &self.text, self, options)
    }

    /// Compiles its `test` items.
    pub fn compile_tests(&self) -> Tests {
        trav_compiler::compile_tests(&self.name, &self.text, self, Effort::Once)
    }
}

impl Loader for Spec {
    fn load(&self, path: &[&str]) -> Option<(String, String)> {
        let mut file: PathBuf = self.folder.clone();
        file.extend(path);
        file.set_extension("trav");
        let text = String::from_utf8(read_bytes(&file).ok()?).ok()?;
        Some((file.display().to_string(), text))
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "longer than 16 MiB"));
    }
    Ok(bytes)
}

/// Whether any of them is an error.
pub fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|d| d.severity == Severity::Error)
}

/// Compiles `file` for use: prints what is wrong with it, and fails unless it is right.
pub fn compile(file: &str, options: Options<'_>) -> Result<Compilation, Failure> {
    compile_each(&Spec::read(file)?, options, &|_| {})
}

fn compile_each(spec: &Spec, options: Options<'_>, each: &(dyn Fn(&Verified) + Sync)) -> Result<Compilation, Failure> {
    let compilation = trav_compiler::compile_each(&spec.name, &spec.text, spec, options, each);
    render::tell(&compilation.sources, &compilation.diagnostics);
    if has_error(&compilation.diagnostics) { Err(Failure::Spec) } else { Ok(compilation) }
}

/// Opens an image: a file or block device, or `qcow2:FILE`, the disk within a container. The error of opening names the path.
pub fn image(path: impl AsRef<Path>) -> Result<Arc<dyn Image>, Failure> {
    open_image(path.as_ref(), false)
}

/// The same; `direct` is for reads past the page cache.
pub fn open_image(path: &Path, direct: bool) -> Result<Arc<dyn Image>, Failure> {
    let opened = match path.to_str().and_then(|path| path.strip_prefix("qcow2:")) {
        Some(_) if direct && !path.exists() => {
            return Err(Failure::call("the disk within a container is not read past the page cache"));
        }
        Some(within) if !path.exists() => image::Qcow2Image::open(Path::new(within)).map(|disk| Arc::new(disk) as _),
        _ if direct => image::FileImage::open_direct(path).map(|file| Arc::new(file) as _),
        _ => image::open(path),
    };
    opened.map_err(|e| Failure::Call(format!("cannot open {e}")))
}

/// Compiles what one traversal of `file` needs, as [`compile`] does for all. Each walk is shown to `each` as soon as it is verified.
pub fn compile_for(
    file: &str,
    traversal: &str,
    effort: Effort,
    each: &(dyn Fn(&Verified) + Sync),
) -> Result<Compilation, Failure> {
    let spec = Spec::read(file)?;
    if effort == Effort::Once
        && let Some(made) = standard::compilation(&spec.name, &spec.text, traversal, each)
    {
        return Ok(made);
    }
    compile_each(&spec, Options { wanted: Some(traversal), effort, ..Options::default() }, each)
}

/// The traversal with this name.
pub fn traversal<'a>(compilation: &'a Compilation, name: &str) -> Result<&'a Verified, Failure> {
    let all = &compilation.traversals;
    all.iter().find(|t| t.name == name).ok_or_else(|| {
        let near = did_you_mean(name, all.iter().map(|t| t.name.as_str()));
        Failure::call(format!("there is no traversal `{name}`{near}"))
    })
}
