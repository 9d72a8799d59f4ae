//! An image that is read by positioned reads (pread(2)): for what cannot be mapped, and for files that others may truncate.

use super::{Image, open_sized};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file or block device that is read piece by piece.
#[derive(Debug)]
pub struct FileImage {
    file: File,
    len: u64,
}

impl FileImage {
    /// Opens a file or block device. The error names the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, len) = open_sized(path)?;
        Ok(FileImage { file, len })
    }
}

impl Image for FileImage {
    fn len(&self) -> u64 {
        self.len
    }
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
