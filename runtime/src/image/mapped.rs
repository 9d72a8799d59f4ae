//! An image that is mapped into memory, read only. The only `unsafe` of the images is here.

#![allow(unsafe_code, reason = "a file mapping cannot be made without it")]

use super::{Image, copy_from, open_sized};
use memmap2::{Mmap, MmapOptions};
use std::io;
use std::path::Path;

/// A mapped file or block device.
#[derive(Debug)]
pub struct MappedFile {
    map: Mmap,
}

impl MappedFile {
    /// Maps a file or block device. The error names the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, len) = open_sized(path)?;
        let fail = |e: io::Error| io::Error::new(e.kind(), format!("{}: cannot be mapped: {e}", path.display()));
        let len = usize::try_from(len).map_err(|_| fail(io::ErrorKind::FileTooLarge.into()))?;
        // SAFETY: The mapping is shared and read only, so nothing here writes through it. Others may change the file; all readers
        // treat its bytes as hostile input: the executors load a byte that steers an access once, and no `&str` or other type with
        // invalid values is made from them. Truncation by others raises SIGBUS, which ends the process without a wrong access.
        let map = unsafe { MmapOptions::new().len(len).map(&file) }.map_err(fail)?;
        Ok(MappedFile { map })
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
}
