//! The compiler's tests, in one binary: a module for each concern.

mod book;
mod bpf;
mod census;
mod cost;
mod fuzz;
mod hostile;
mod ir;
mod reach;
mod reject;
mod syntax;
