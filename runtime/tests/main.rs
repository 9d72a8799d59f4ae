//! Integration tests of the runtime, in one binary.

mod differential;
mod golden;
mod images;
mod interp;
mod native;
mod vm;
