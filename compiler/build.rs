//! Makes two tables of texts that are built into the compiler: the standard library and the pages of the error index.
//!
//! `stdlib` and `errors` beside this file are links to the folders at the project's root; `cargo package` follows them, so the
//! packaged crate has the texts too.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let mut tables = String::new();
    table("STDLIB", &root.join("stdlib"), "trav", &mut tables)?;
    table("PAGES", &root.join("errors"), "md", &mut tables)?;
    fs::write(out.join("texts.rs"), tables)
}

/// Appends `const NAME: &[(&str, &str)]`: the path below `folder` without extension, and the text; sorted by path.
fn table(name: &str, folder: &Path, extension: &str, tables: &mut String) -> io::Result<()> {
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut files = Vec::new();
    collect(folder, "", extension, &mut files)?;
    files.sort();
    let _ = writeln!(tables, "const {name}: &[(&str, &str)] = &["); // writing to a String does not fail
    for (path, file) in files {
        let _ = writeln!(tables, "    ({path:?}, include_str!({file:?})),");
    }
    tables.push_str("];\n");
    Ok(())
}

fn collect(folder: &Path, prefix: &str, extension: &str, files: &mut Vec<(String, PathBuf)>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            collect(&path, &format!("{prefix}{stem}/"), extension, files)?;
        } else if path.extension().is_some_and(|e| e == extension) {
            println!("cargo::rerun-if-changed={}", path.display());
            files.push((format!("{prefix}{stem}"), path));
        }
    }
    Ok(())
}
