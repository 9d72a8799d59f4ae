//! What a traversal can reach by name, in its module and in those that it uses.
//!
//! Words stand for names here, so it is never too little: a declaration is taken when a word of what was taken before is its
//! name, whatever that word means there.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Loader;
use crate::source::{FileId, SourceMap};
use crate::syntax::{Parts, Words, ast};

/// Modules of which only what is reached is parsed.
pub struct Reached {
    /// The root.
    pub root: ast::Module,
    /// The others, by path.
    pub used: HashMap<Vec<String>, ast::Module>,
}

/// What `wanted` in the root module reaches. None if there is no such declaration, or if something is wrong with a text:
/// then all has to be parsed for the sake of the messages.
pub fn reach(
    root: FileId,
    text: Arc<str>,
    wanted: &str,
    sources: &mut SourceMap,
    loader: &dyn Loader,
) -> Option<Reached> {
    let mut all = vec![(Vec::new(), Parts::cut(root, text)?)];
    if !all[0].1.declares(wanted) {
        return None;
    }
    let mut at = 0;
    while at < all.len() {
        // Before anything is taken, a module's declarations are its `use`s and `source`s.
        for used in Parts::parse([&all[at].1])?.pop()?.uses {
            let path: Vec<String> = used.path.into_iter().map(|part| part.name).collect();
            if all.iter().all(|(known, _)| *known != path) {
                let parts: Vec<&str> = path.iter().map(String::as_str).collect();
                let (name, text) = super::find_module(loader, &parts)?;
                let file = sources.add(name, text);
                let text = sources.file(file).text.clone();
                all.push((path, Parts::cut(file, text)?));
            }
        }
        at += 1;
    }
    let mut words = Words::default();
    words.add(wanted, true);
    while all.iter_mut().fold(false, |any, (_, parts)| parts.take(&mut words) | any) {}
    let modules = Parts::parse(all.iter().map(|(_, parts)| parts))?;
    let mut modules = modules.into_iter().map(|module| needed(module, &words));
    let root = modules.next()?;
    let used = all.into_iter().skip(1).map(|(path, _)| path).zip(modules).collect();
    Some(Reached { root, used })
}

/// A module without the names that it takes over and nothing that was taken has a word for.
fn needed(mut module: ast::Module, words: &Words) -> ast::Module {
    module.uses.retain_mut(|used| match &mut used.names {
        Some(names) => {
            names.retain(|name| words.ask_for(&name.name, false));
            !names.is_empty()
        }
        None => used.path.last().is_some_and(|last| words.ask_for(&last.name, false)),
    });
    module
}
