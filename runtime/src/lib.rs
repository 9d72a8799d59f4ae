//! Images and executors for trav traversals.

pub mod exec;
pub mod image;
