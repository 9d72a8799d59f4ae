//! The trav compiler: source text → syntax tree → checked tree → IR → proof → verified IR → eBPF object.
//!
//! Pure: no files, no kernel, no JIT. See `ARCHITECTURE.md` at the project's root.

pub mod diag;
pub mod ir;
pub mod source;
pub mod syntax;
