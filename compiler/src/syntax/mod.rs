//! Source text → syntax tree. Knows no types and no IR.

pub mod ast;
mod fmt;
mod parse;

pub use fmt::format;
pub use parse::{Parts, Suspects, Words, nodes_in, parse, rules};
