//! Images and executors for trav traversals.

pub mod call;
pub mod exec;
pub mod image;
pub mod value;
