//! The types of traversals' arguments and answers in Rust, for programs that use trav-runtime: its module `typed` says what they can do.

use crate::bpf::describe;
use crate::ir::Function;
use crate::ir::schema::Schema;
use std::fmt::Write;

/// A traversal's name with the types that it takes and gives, by which types in Rust are known to be its own.
pub fn signature(f: &Function) -> String {
    let params: Vec<String> = f.params.iter().map(|p| format!("{}: {}", p.name, p.schema)).collect();
    let stream = if f.stream { "stream " } else { "" };
    format!("{}({}) -> {stream}{}", f.name, params.join(", "), f.result)
}

/// A module of the types of these traversals.
pub fn types<'f>(traversals: impl IntoIterator<Item = &'f Function>) -> String {
    let mut module = Module { text: String::from(HEAD), known: Vec::new() };
    for f in traversals {
        module.traversal(f);
    }
    module.text
}

const HEAD: &str = "\
// Made by trav: the types of traversals' arguments and answers. trav_runtime::typed says what they can do.
";

struct Module {
    text: String,
    /// The types that have been written, by the names that they have here.
    known: Vec<(String, Schema)>,
}

impl Module {
    fn traversal(&mut self, f: &Function) {
        let fields: Vec<(String, Schema)> = f.params.iter().map(|p| (p.name.clone(), p.schema.clone())).collect();
        let name = identifier(&f.name);
        let arguments = format!("{}_arguments", name.trim_start_matches("r#"));
        self.record(&format!("What `{}` is called with.", f.name), &arguments, &fields);
        let answer = self.ty(&f.result);
        let what = if f.stream { "The traversal `{}`, which gives rows." } else { "The traversal `{}`." };
        self.item(
            &format!(
                "/// {}\n    pub enum {name}({arguments}) -> {answer} = {:?}",
                what.replace("{}", &f.name),
                signature(f)
            ),
            "walk",
        );
    }

    /// A type by its name here, written before it is used.
    fn ty(&mut self, schema: &Schema) -> String {
        match schema {
            Schema::Unit => "()".into(),
            Schema::Bool => "bool".into(),
            Schema::Int { bits, signed, .. } => integer(*bits, *signed),
            Schema::Bytes { max, fixed: true, .. } => format!("[u8; {max}]"),
            Schema::Bytes { max, fixed: false, .. } => format!("::trav_runtime::typed::Bytes<{max}>"),
            Schema::Option(inner) => format!("::core::option::Option<{}>", self.ty(inner)),
            Schema::Record { name, fields } => match self.name(name, schema) {
                Ok(known) => known,
                Err(free) => {
                    self.record(&format!("The record `{name}`."), &free, fields);
                    free
                }
            },
            Schema::Enum { name, bits, items } | Schema::Flags { name, bits, items } => match self.name(name, schema) {
                Ok(known) => known,
                Err(free) => {
                    let items: Vec<String> =
                        items.iter().map(|(name, n)| format!("{} = {n}", identifier(name))).collect();
                    let (ty, items) = (integer(*bits, false), items.join(", "));
                    self.item(&format!("/// `{name}`.\n    pub struct {free}({ty}) {{ {items} }}"), "number");
                    free
                }
            },
        }
    }

    /// The name of a type that is known, or one that is free: two modules may each have a type of a name.
    fn name(&mut self, name: &str, schema: &Schema) -> Result<String, String> {
        let known = |known: &str| self.known.iter().find(|(name, _)| name == known).map(|(_, schema)| schema);
        let mut here = identifier(name);
        for n in 2.. {
            match known(&here) {
                Some(same) if same == schema => return Ok(here),
                Some(_) => here = format!("{}{n}", identifier(name)),
                None => break,
            }
        }
        self.known.push((here.clone(), schema.clone()));
        Err(here)
    }

    fn record(&mut self, what: &str, name: &str, fields: &[(String, Schema)]) {
        let mut members = String::new();
        for (field, schema) in fields {
            let ty = self.ty(schema);
            // Writing to a String does not fail.
            let _ = write!(members, "\n        pub {}: {ty},", identifier(field));
        }
        let end = if members.is_empty() { "" } else { "\n    " };
        self.item(&format!("/// {what}\n    pub struct {name} {{{members}{end}}}"), "record");
    }

    fn item(&mut self, text: &str, by: &str) {
        let _ = write!(self.text, "\n::trav_runtime::{by}! {{\n    {text}\n}}\n");
    }
}

/// The least integer that has so many bits.
fn integer(bits: u8, signed: bool) -> String {
    format!("{}{}", if signed { 'i' } else { 'u' }, bits.max(8).next_power_of_two())
}

/// A name of the spec as an identifier.
fn identifier(name: &str) -> String {
    no_keyword(&describe::identifier(name))
}

/// An identifier that is no keyword.
pub(crate) fn no_keyword(name: &str) -> String {
    const KEYWORDS: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn", "else", "enum",
        "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod",
        "move", "mut", "override", "priv", "pub", "ref", "return", "static", "struct", "trait", "true", "try", "type",
        "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
    ];
    // These cannot be raw.
    const NEVER: &[&str] = &["self", "Self", "super", "crate", "_"];
    if KEYWORDS.contains(&name) {
        format!("r#{name}")
    } else if NEVER.contains(&name) {
        format!("{name}_")
    } else {
        name.into()
    }
}
