//! What a program in C or Rust needs to know of an object: the state area of each traversal as a structure, the statuses, and what its
//! fault numbers mean.
//!
//! Both texts have the same content and no dependency; both check at compile time that their structures have the size that the object
//! has.

use super::abi::{AT_VALID, FOUND_VALID, MISALIGNED, StateLayout, Status, TRAP};
use super::describe::{Field, Kind, Structure, identifier, state};
use super::error::BpfError;
use crate::ir::verify::Verified;
use crate::source::SourceMap;
use std::fmt::Write;

/// A language in which bindings are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// A C header.
    C,
    /// A Rust module.
    Rust,
}

/// The bindings of an object with these traversals.
pub fn bindings(language: Language, traversals: &[&Verified], sources: &SourceMap) -> Result<String, BpfError> {
    let mut text = String::from(match language {
        Language::C => C_HEAD,
        Language::Rust => RUST_HEAD,
    });
    let statuses = [
        ("STATUS_HOP", Status::Hop as u64),
        ("STATUS_DONE", Status::Done as u64),
        ("STATUS_FAULT", Status::Fault as u64),
        ("STATUS_EMIT", Status::Emit as u64),
        ("STATUS_AGAIN", Status::Again as u64),
        ("FOUND_VALID", FOUND_VALID),
        ("AT_VALID", AT_VALID),
        ("TRAP", TRAP),
        ("MISALIGNED", MISALIGNED),
    ];
    for (name, value) in statuses {
        // Writing to a String does not fail, here and below.
        let _ = match language {
            Language::C => writeln!(text, "#define TRAV_{name} {value:#x}ULL"),
            Language::Rust => writeln!(text, "pub const {name}: u64 = {value:#x};"),
        };
    }
    for f in traversals {
        let layout = StateLayout::of(f).ok_or(BpfError::StateTooLarge)?;
        let _ = writeln!(text, "\n/* {} */", f.name);
        structure(language, &state(f, &layout), &mut text);
        faults(language, f, sources, &mut text);
    }
    if language == Language::C {
        text.push_str("\n#endif\n");
    }
    Ok(text)
}

const C_HEAD: &str = "\
/* Made by trav: the state areas of an object's programs, and the faults that they report. */
#ifndef TRAV_BINDINGS_H
#define TRAV_BINDINGS_H

#include <linux/types.h>

/* A fault: its kind, its message, in which {} stands for the word `found`, and its place in the spec. */
struct trav_fault_text {
\tconst char *kind;
\tconst char *message;
\tconst char *file;
\tunsigned int line;
};

";

const RUST_HEAD: &str = "\
// Made by trav: the state areas of an object's programs, and the faults that they report.
#![allow(dead_code, non_camel_case_types, non_snake_case, non_upper_case_globals)]

/// A fault: its kind, its message, in which {} stands for the word `found`, and its place in the spec.
pub struct Fault {
    pub kind: &'static str,
    pub message: &'static str,
    pub file: &'static str,
    pub line: u32,
}

";

/// A structure after those that it contains. Gaps become members, so that each lies where the object has it.
fn structure(language: Language, s: &Structure, text: &mut String) {
    for field in &s.fields {
        if let Kind::Structure(inner) = &field.kind {
            structure(language, inner, text);
        }
    }
    let name = name_in(language, &s.name);
    let _ = match language {
        Language::C => writeln!(text, "struct {name} {{"),
        Language::Rust => writeln!(text, "#[repr(C)]\n#[derive(Clone, Copy)]\npub struct {name} {{"),
    };
    let mut end = 0;
    for field in &s.fields {
        gap(language, end, field.offset, text);
        member(language, field, text);
        end = field.offset + field.kind.size();
    }
    gap(language, end, s.size, text);
    let _ = match language {
        Language::C => {
            writeln!(text, "}};\n_Static_assert(sizeof(struct {name}) == {}, \"laid out as in the object\");", s.size)
        }
        Language::Rust => writeln!(text, "}}\nconst _: () = assert!(size_of::<{name}>() == {});", s.size),
    };
}

fn gap(language: Language, from: u32, to: u32, text: &mut String) {
    if to > from {
        let field = Field { name: format!("reserved_{from}"), kind: Kind::Bytes(to - from), offset: from };
        member(language, &field, text);
    }
}

fn member(language: Language, field: &Field, text: &mut String) {
    let name = name_in(language, &field.name);
    let _ = match (language, &field.kind) {
        (Language::C, Kind::Word) => writeln!(text, "\t__u64 {name};"),
        (Language::C, Kind::Signed) => writeln!(text, "\t__s64 {name};"),
        (Language::C, Kind::Words(n)) => writeln!(text, "\t__u64 {name}[{n}];"),
        (Language::C, Kind::Bytes(n)) => writeln!(text, "\t__u8 {name}[{n}];"),
        (Language::C, Kind::Structure(s)) => writeln!(text, "\tstruct {} {name};", name_in(language, &s.name)),
        (Language::Rust, Kind::Word) => writeln!(text, "    pub {name}: u64,"),
        (Language::Rust, Kind::Signed) => writeln!(text, "    pub {name}: i64,"),
        (Language::Rust, Kind::Words(n)) => writeln!(text, "    pub {name}: [u64; {n}],"),
        (Language::Rust, Kind::Bytes(n)) => writeln!(text, "    pub {name}: [u8; {n}],"),
        (Language::Rust, Kind::Structure(s)) => writeln!(text, "    pub {name}: {},", name_in(language, &s.name)),
    };
}

/// The fault table, by fault number.
fn faults(language: Language, f: &Verified, sources: &SourceMap, text: &mut String) {
    let name = identifier(&f.name);
    if f.faults.is_empty() {
        return;
    }
    let _ = match language {
        Language::C => {
            writeln!(text, "static const struct trav_fault_text {name}_fault_texts[] __attribute__((unused)) = {{")
        }
        Language::Rust => writeln!(text, "pub const {name}_faults: &[Fault] = &["),
    };
    for fault in &f.faults {
        let place = sources.place(fault.span);
        let (kind, line) = (fault.kind.name(), place.line);
        let [message, file] = [&fault.message, &place.file].map(|t| quoted(language, t));
        let _ = match language {
            Language::C => writeln!(text, "\t{{ \"{kind}\", {message}, {file}, {line} }},"),
            Language::Rust => {
                writeln!(text, "    Fault {{ kind: \"{kind}\", message: {message}, file: {file}, line: {line} }},")
            }
        };
    }
    text.push_str(match language {
        Language::C => "};\n",
        Language::Rust => "];\n",
    });
}

/// A text as a literal.
fn quoted(language: Language, text: &str) -> String {
    match language {
        Language::Rust => format!("{text:?}"),
        Language::C => {
            let escape = |b: u8| match b {
                b'"' | b'\\' => format!("\\{}", b as char),
                // Octal, which ends after three digits, and `?`, which might begin a trigraph.
                b if !(b' '..0x7f).contains(&b) || b == b'?' => format!("\\{b:03o}"),
                b => (b as char).to_string(),
            };
            format!("\"{}\"", text.bytes().map(escape).collect::<String>())
        }
    }
}

/// An identifier that is no keyword.
fn name_in(language: Language, name: &str) -> String {
    const C: &[&str] = &[
        "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum", "extern",
        "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict", "return", "short", "signed",
        "sizeof", "static", "struct", "switch", "typedef", "union", "unsigned", "void", "volatile", "while",
    ];
    match language {
        Language::C if C.contains(&name) => format!("{name}_"),
        Language::C => name.into(),
        Language::Rust => crate::rust::no_keyword(name),
    }
}
