//! Images and executors for trav traversals.

pub mod call;
pub mod exec;
pub mod hook;
pub mod image;
pub mod simulate;
pub mod typed;
pub mod value;
