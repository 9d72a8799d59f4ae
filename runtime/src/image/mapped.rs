//! An image that is mapped into memory, read only.

#![allow(unsafe_code, reason = "a file mapping cannot be made without it")]

use super::lost::Watch;
use super::{Image, copy_from, open_sized};
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io;
use std::path::Path;

/// A mapped file or block device.
#[derive(Debug)]
pub struct MappedFile {
    // Dropped before the map that it watches.
    watch: Watch,
    map: Mmap,
    file: File,
}

impl MappedFile {
    /// Maps a file or block device. The error names the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, len) = open_sized(path)?;
        let fail = |e: io::Error| io::Error::new(e.kind(), format!("{}: cannot be mapped: {e}", path.display()));
        let len = usize::try_from(len).map_err(|_| fail(io::ErrorKind::FileTooLarge.into()))?;
        // SAFETY: The mapping is shared and read only, so nothing here writes through it. Others may change the file; all readers
        // treat its bytes as hostile input: the executors load a byte that steers an access once, and no `&str` or other type with
        // invalid values is made from them. Pages that are lost by truncation read as zeros; see `lost`.
        let map = unsafe { MmapOptions::new().len(len).map(&file) }.map_err(fail)?;
        Ok(MappedFile { watch: Watch::new(&map), map, file })
    }
}

impl Image for MappedFile {
    fn len(&self) -> u64 {
        self.map.len() as u64
    }
    fn bytes(&self) -> Option<&[u8]> {
        Some(&self.map)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        copy_from(&self.map, offset, buf)
    }
    fn check(&self) -> io::Result<()> {
        if self.watch.lost() {
            return Err(io::Error::other("pages of the mapped file are gone: it was truncated, or its device failed"));
        }
        // The bytes of a last page that is cut off in its midst read as zeros without a signal.
        let now = self.file.metadata()?;
        if now.is_file() && now.len() < self.len() {
            let message = format!("the file was truncated from {} bytes to {}", self.len(), now.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        }
        Ok(())
    }
}
