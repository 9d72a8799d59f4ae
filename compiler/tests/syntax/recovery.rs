//! What is said about texts with errors, and what is kept of them.

use insta::assert_snapshot;
use trav_compiler::source::FileId;
use trav_compiler::syntax::parse;

use super::shown;

/// The snapshot holds the text, its diagnostics, and how many declarations were kept.
fn check(name: &str, text: &str) {
    let (module, errors) = parse(FileId(0), text);
    assert!(!errors.is_empty(), "no error in {text}");
    let kept = module.items.len() + module.uses.len();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| assert_snapshot!(name, format!("{text}\n----\n{}{kept} kept", shown(text, &errors))));
}

#[test]
fn a_missing_semicolon() {
    check(
        "a_missing_semicolon",
        r#"fn f(a: u64) -> u64 {
    let x = a + 1
    let y = x +;
    x = y
    return y;
}
const A = 1;"#,
    );
}

#[test]
fn a_missing_comma() {
    check(
        "a_missing_comma",
        r#"struct A {
    a: u32
    b: u32,
    c u32,
    d: u16 = = 3,
    e: u8 where e < 3 e > 1,
    f: u8,
}"#,
    );
}

#[test]
fn one_error_per_declaration() {
    check(
        "one_error_per_declaration",
        r#"cost A = 3;
const B 4;
enum Kind: u8 { A = 1, B }
record R { a: u8, b: }
const good = 1;
flags F { a = 1 }
fn f() { }
traversal t { }
test "a" "b" { }
use a.{b c};
struct S(a) {}
source x[3;
const also_good = 2;"#,
    );
}

#[test]
fn nested_statements() {
    check(
        "nested_statements",
        r#"traversal t(a: u8) {
    loop up to 3 {
        if a = 3 { return 1; }
        let read = 4;
        for x in 0..3 { emit; }
    }
    loop while a { }
    let b == 3;
    fail reason;
    require a == 3;
    match a { 0 -> 3 }
}"#,
    );
}

#[test]
fn unclosed_brackets() {
    check(
        "unclosed_brackets",
        r#"struct A {
    a: u32,

struct B { b: u32 }

fn f(a: u8 -> u8 { a }

fn g() -> u8 {
    let a = [1, 2;
    a }

traversal t() {
    if a {
"#,
    );
}

#[test]
fn unterminated_texts() {
    check(
        "unterminated_texts",
        r#"const A = "abc;
const B = 3;
const C = 'a;
fn f() -> u8 { fail "x; }
const D = 4;"#,
    );
}

#[test]
fn strange_characters() {
    check(
        "strange_characters",
        r#"const A = 3 $ 4;
const Größe = 3;
const B = 1;
§§§
const C = "§";"#,
    );
}

#[test]
fn misplaced_docs() {
    check(
        "misplaced_docs",
        r#"//! The module.
const A = 1;
//! Not here.
fn f() -> u8 {
    /// Nor here.
    let a = 1;
    a
}"#,
    );
}

#[test]
fn stray_braces() {
    check(
        "stray_braces",
        r#"}
const A = 1;
}}
const B = 2;"#,
    );
}

#[test]
fn empty_and_foreign() {
    check(
        "empty_and_foreign",
        r#"int main(void) { return 0; }
"#,
    );
}

#[test]
fn structs_with_methods() {
    check(
        "structs_with_methods",
        r#"struct A {
    a: [u8 4],
    fn f() -> u8 { let a = ; a }
    bits u8 { a, b: 3 }
    c: match a { 0 => u8 1 => u16 },
    d: seq Cell,
    e: bytes<4,
    @ f: u8,
}"#,
    );
}

#[test]
fn values_out_of_range() {
    check(
        "values_out_of_range",
        r#"const A = 18446744073709551616;
const B = 0xfg;
const C = 1 < 2 < 3;
const D = "\q";
fn f() -> u8 { 3 = 4; g() += 1; 1 }"#,
    );
}
