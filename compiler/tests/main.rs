//! The compiler's tests, in one binary: a module for each concern.

mod ir;
mod reject;
mod syntax;
