//! The standard library's walks, compiled when this program was built (`build.rs`): a call of them takes half the time.

use std::ops::Range;
use trav_compiler::ir::verify::Verified;
use trav_compiler::source::SourceMap;
use trav_compiler::{Compilation, ahead, parallel, texts};

/// A module that was compiled ahead.
struct Module {
    /// As it is displayed: `std/ext4.trav`.
    name: &'static str,
    /// The files of its compilation, in the order that its spans know.
    files: &'static [&'static str],
    /// Its walks and those that fill their parameters, by name: where they lie in [`BYTES`].
    walks: &'static [(&'static str, Range<usize>)],
}

/// Those that the build script has taken.
static MODULES: &[Module] = include!(concat!(env!("OUT_DIR"), "/standard.rs"));

static BYTES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/standard.walks"));

/// A walk of a module with this name and text, and after it those that fill its parameters. None where it was not compiled ahead. The walks are
/// shown to `each`, side by side on the machine's cores.
pub fn compilation(name: &str, text: &str, walk: &str, each: &(dyn Fn(&Verified) + Sync)) -> Option<Compilation> {
    let module = MODULES.iter().find(|module| module.name == name)?;
    let mut sources = SourceMap::new();
    for file in module.files {
        let path: Vec<&str> = file.strip_suffix(".trav")?.split('/').collect();
        sources.add(*file, texts::standard_module(&path)?.1);
    }
    if sources.files().next().is_none_or(|(_, root)| *root.text != *text) {
        return None;
    }
    let mut traversals = vec![module.walk(walk)?];
    let mut at = 0;
    while at < traversals.len() {
        let defaults: Vec<String> = traversals[at].params.iter().filter_map(|param| param.default.clone()).collect();
        for default in defaults {
            if traversals.iter().all(|known: &Verified| known.name != default) {
                traversals.push(module.walk(&default)?);
            }
        }
        at += 1;
    }
    parallel::map(&traversals, sources.text_bytes(), each);
    Some(Compilation { sources, diagnostics: Vec::new(), traversals })
}

impl Module {
    fn walk(&self, name: &str) -> Option<Verified> {
        let (_, range) = self.walks.iter().find(|(walk, _)| *walk == name)?;
        Some(ahead::from_bytes(&BYTES[range.clone()]).expect("what was verified when it was compiled keeps the rules"))
    }
}
