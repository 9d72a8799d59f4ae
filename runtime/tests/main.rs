//! Integration tests of the runtime, in one binary.

mod checksums;
mod differential;
mod emitted;
mod examples;
mod fixed;
mod golden;
mod header;
mod hook;
mod hostile;
mod idioms;
mod images;
mod interp;
#[cfg(feature = "kernel")]
mod kernel;
#[cfg(feature = "kernel")]
mod loaders;
mod mutants;
mod native;
mod passes;
mod prevail;
mod random;
mod typed;
mod vm;
#[cfg(feature = "kernel")]
mod walks;
mod xorshift;
