//! The compiler's tests, in one binary: a module for each concern.

mod book;
mod bpf;
mod census;
mod fuzz;
mod ir;
mod reject;
mod syntax;
