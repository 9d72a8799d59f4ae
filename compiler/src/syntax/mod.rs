//! Source text → syntax tree. Knows no types and no IR.

pub mod ast;
mod parse;

pub use parse::parse;
