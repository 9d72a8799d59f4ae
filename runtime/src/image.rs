//! Images: where the blocks come from.

use std::sync::Arc;

/// A source of bytes with a fixed length.
pub trait Image: Send + Sync {
    /// Bytes in it.
    fn len(&self) -> u64;
    /// All bytes at once, when they are in memory or mapped.
    fn bytes(&self) -> Option<&[u8]>;
    /// Fills `buf` from `offset`; the caller has checked that it lies inside.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()>;
}

/// The images of one call, by [`SourceId`](trav_compiler::ir::SourceId).
#[derive(Clone)]
pub struct Sources {
    /// In the order of the function's sources.
    pub images: Vec<Arc<dyn Image>>,
}
