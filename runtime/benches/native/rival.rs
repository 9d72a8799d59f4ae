//! C sources as contestants: compiled by the compilers that this machine has, loaded, called through one signature.

#![allow(unsafe_code, reason = "calls C")]

use std::ffi::{CString, c_char, c_int};
use std::path::{Path, PathBuf};
use std::process::Command;

/// An image as `walks.c` sees it.
#[repr(C)]
struct Image {
    bytes: *const u8,
    len: u64,
}

type Walk = unsafe extern "C" fn(*const Image, *const u64, *mut u64) -> u64;

/// A shared library made of C sources.
pub struct Library {
    /// `gcc` or `clang`.
    pub compiler: &'static str,
    library: libloading::Library,
}

impl Library {
    /// Compiles a file with each compiler that is there. What is missing is printed.
    pub fn all(source: &str) -> Vec<Library> {
        ["gcc", "clang"].into_iter().filter_map(|compiler| Library::compile(compiler, source, &[])).collect()
    }

    /// Compiles a file of this directory; none, with the reason printed, where that does not work.
    pub fn compile(compiler: &'static str, source: &str, options: &[&str]) -> Option<Library> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/native");
        let object: PathBuf = std::env::temp_dir().join(format!("trav-{}-{compiler}-{source}.so", std::process::id()));
        let mut command = Command::new(compiler);
        command.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&object).arg(directory.join(source)).args(options);
        match command.output() {
            Ok(output) if output.status.success() => {}
            Ok(output) => {
                let message = String::from_utf8_lossy(&output.stderr);
                println!("{source} skipped, because {compiler} says: {}", message.lines().next().unwrap_or_default());
                return None;
            }
            Err(error) => {
                println!("{compiler} skipped, because it does not run: {error}");
                return None;
            }
        }
        // SAFETY: the library is made of our own source, which has no initialisers.
        let library = unsafe { libloading::Library::new(&object) };
        let _ = std::fs::remove_file(&object);
        match library {
            Ok(library) => Some(Library { compiler, library }),
            Err(error) => {
                println!("{source} skipped, because it does not load: {error}");
                None
            }
        }
    }

    /// A function of `walks.c`, which answers one call: the result is in `out`, and the status is returned.
    pub fn walk<'l>(&'l self, name: &str, image: &'l [u8]) -> impl Fn(&[u64], &mut [u64]) -> u64 + 'l {
        // SAFETY: all functions of `walks.c` that are called have this signature.
        let walk = unsafe { self.library.get::<Walk>(name.as_bytes()) }
            .unwrap_or_else(|e| panic!("`walks.c` has {name}: {e}"));
        let image = Image { bytes: image.as_ptr(), len: image.len() as u64 };
        // SAFETY: the arguments and the result area have the sizes of the traversal's layout, which `walks.c` follows.
        move |args, out| unsafe { walk(&image, args.as_ptr(), out.as_mut_ptr()) }
    }
}

/// A library that people use, behind the three functions of a C file.
pub struct Used(Library);

impl Used {
    /// Opens what lies at `path`. None, with the reason printed, where the library is not there.
    pub fn open(source: &str, library: &str, path: &Path) -> Option<Used> {
        let library = Library::compile("gcc", source, &[library])?;
        let path = CString::new(path.as_os_str().as_encoded_bytes()).expect("a path of ours has no zero byte");
        // SAFETY: this is the signature in each of these files, and the path lives as long as the call.
        let status = unsafe {
            let open = library.library.get::<unsafe extern "C" fn(*const c_char) -> c_int>(b"rival_open");
            open.expect("the file has it")(path.as_ptr())
        };
        assert_eq!(status, 0, "{source} opens its image");
        Some(Used(library))
    }

    /// Answers one call.
    pub fn lookup(&self) -> impl Fn(&[u64]) -> i64 + '_ {
        // SAFETY: this is the signature in each of these files.
        let lookup = unsafe { self.0.library.get::<unsafe extern "C" fn(*const u64) -> i64>(b"rival_lookup") };
        let lookup = lookup.expect("the file has it");
        // SAFETY: what was opened is open as long as `self` lives; a call has as many words as the file reads.
        move |args| unsafe { lookup(args.as_ptr()) }
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        // SAFETY: this is the signature in each of these files; nothing is called afterwards.
        unsafe {
            let close = self.0.library.get::<unsafe extern "C" fn()>(b"rival_close");
            close.expect("the file has it")();
        }
    }
}
