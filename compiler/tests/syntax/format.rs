//! The formatter: what it makes, that it makes it once, and that it changes no meaning.

use trav_compiler::source::FileId;
use trav_compiler::syntax::{format, parse};

use super::{golden, shown};

/// A tree without its places, for comparison.
fn meaning(text: &str) -> String {
    let (module, errors) = parse(FileId(0), text);
    assert!(errors.is_empty(), "{text}\n{}", shown(text, &errors));
    let tree = format!("{module:?}");
    let mut parts = tree.split("Span {");
    let first = parts.next().expect("a split has a first part").to_owned();
    // A span ends at the first brace; it holds none.
    parts.fold(first, |all, part| all + part.split_once('}').expect("a span ends").1)
}

/// The text without blanks, and without commas, which may come and go before a closing bracket.
fn bare(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && *c != ',').collect()
}

fn check(text: &str) -> String {
    let once = format(text).unwrap_or_else(|errors| panic!("{text}\n{}", shown(text, &errors)));
    let twice = format(&once).unwrap_or_else(|errors| panic!("{once}\n{}", shown(&once, &errors)));
    assert_eq!(once, twice, "formatting twice differs from formatting once");
    assert_eq!(meaning(text), meaning(&once), "formatting changed the meaning of\n{text}\nto\n{once}");
    assert_eq!(bare(text), bare(&once), "formatting lost something of\n{text}");
    once
}

#[test]
fn golden_files_keep_their_meaning() {
    for (_, text) in golden() {
        check(&text);
        // However it was set before.
        let torn = |line: &str| match line.contains("//") {
            true => format!("{line}\n"),
            false => line.replace("{ ", "{\n").replace(", ", ",\n\n\n").replace(" && ", "\n&& ") + "\n",
        };
        check(&text.lines().map(torn).collect::<String>());
        let joined = |line: &str| match line.contains("//") {
            true => format!("\n{line}\n"),
            false => format!("{} ", line.trim()),
        };
        check(&text.lines().map(joined).collect::<String>());
    }
}

/// All specs of the repository that parse, the standard library's first of all.
#[test]
fn all_specs_keep_their_meaning() {
    let mut count = 0;
    for path in crate::fuzz::all_specs() {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        if parse(FileId(0), &text).1.is_empty() {
            check(&text);
            count += 1;
        }
    }
    assert!(count > 50, "only {count} files");
}

/// A comment behind every token of every file.
#[test]
fn comments_may_stand_anywhere() {
    for (_, text) in golden() {
        let plain = text.lines().filter(|line| !line.contains("//") && !line.contains("'\"'"));
        let plain: String = plain.map(|line| format!("{line}\n")).collect();
        let mut commented = String::new();
        let mut quoted = false;
        for (i, c) in plain.char_indices() {
            quoted ^= c == '"' && !plain[..i].ends_with('\\');
            commented.push(c);
            if c == ' ' && !quoted && !plain[..i].ends_with(' ') && !plain[..i].ends_with('\'') {
                commented += if i % 2 == 0 { "// c\n" } else { "\n// c\n" };
            }
        }
        check(&commented);
    }
}

#[test]
fn a_condition_behind_a_method_is_a_member_of_its_own() {
    let text = "struct S {
    a: u8,
    fn f() -> u8 { a }
    where f() == a,
    b: match a { 0 => u8, else => u16 } where a < 2,
}
";
    assert_eq!(check(text), text);
}

#[test]
fn the_style() {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (name, text) in golden() {
        settings.bind(|| insta::assert_snapshot!(format!("format_{name}"), check(&text)));
    }
    let text = include_str!("messy.trav");
    settings.bind(|| insta::assert_snapshot!("format_messy", check(text)));
}

#[test]
fn texts_with_errors_are_left_alone() {
    assert_eq!(format("const A = ;").expect_err("no error").len(), 1);
    assert_eq!(format("").expect("an empty file is well"), "");
    assert_eq!(format("\n\n// Only this.\n\n").expect("a comment is well"), "// Only this.\n");
}
