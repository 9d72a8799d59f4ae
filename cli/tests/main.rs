//! The command's tests, in one binary.

mod examples;
