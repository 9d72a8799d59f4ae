//! Integration tests of the runtime, in one binary.

mod differential;
mod emitted;
mod examples;
mod golden;
mod header;
mod images;
mod interp;
#[cfg(feature = "kernel")]
mod kernel;
#[cfg(feature = "kernel")]
mod loaders;
mod native;
mod random;
mod vm;
