//! Integration tests of the runtime, in one binary.

mod differential;
mod images;
mod native;
