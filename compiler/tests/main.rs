//! The compiler's tests, in one binary: a module for each concern.

mod bpf;
mod ir;
mod reject;
mod syntax;
