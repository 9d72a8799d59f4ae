//! Texts that are built in: the standard library's modules and the pages of the error index.

include!(concat!(env!("OUT_DIR"), "/texts.rs"));

/// The displayed name and text of a standard module, by its path: `["std", "ext4"]`.
pub fn standard_module(path: &[&str]) -> Option<(String, &'static str)> {
    let ["std", rest @ ..] = path else { return None };
    let text = lookup(STDLIB, &rest.join("/"))?;
    Some((format!("{}.trav", path.join("/")), text))
}

/// The paths of all standard modules, joined by dots: `std.ext4`.
pub fn standard_modules() -> impl Iterator<Item = String> {
    STDLIB.iter().map(|(path, _)| format!("std.{}", path.replace('/', ".")))
}

/// The page of an error code, in Markdown.
pub fn error_page(code: &str) -> Option<&'static str> {
    lookup(PAGES, code)
}

/// All codes that have a page.
pub fn error_codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|(code, _)| *code)
}

fn lookup(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let index = table.binary_search_by(|(path, _)| (*path).cmp(key)).ok()?;
    Some(table[index].1)
}
