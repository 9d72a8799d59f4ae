//! Walks compiled ahead: as bytes, and back.
//!
//! The bytes hold what was proved and the evidence for it. Nothing is taken on trust: only the verifier makes a walk of them.

use crate::ir::Function;
use crate::ir::verify::{Verified, verify};

/// A walk as bytes. Its spans speak of the files of its compilation, in their order.
pub fn to_bytes(walk: &Verified) -> Vec<u8> {
    let function: &Function = walk;
    postcard::to_stdvec(function).expect("memory takes what is written to it")
}

/// The walk of such bytes; none if they are not those of a walk that keeps the IR's rules.
pub fn from_bytes(bytes: &[u8]) -> Option<Verified> {
    verify(postcard::from_bytes(bytes).ok()?).ok()
}
