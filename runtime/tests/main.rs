//! Integration tests of the runtime, in one binary.

mod images;
mod native;
