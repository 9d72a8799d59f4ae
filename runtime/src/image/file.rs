//! An image that is read by positioned reads (pread(2)): for what cannot be mapped, and for files that others may truncate.

use super::flight::Aligned;
use super::{AsFile, Image, open_sized};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

/// A file or block device that is read piece by piece.
#[derive(Debug)]
pub struct FileImage {
    file: File,
    len: u64,
    /// As in [`AsFile`]; 1 for reads through the page cache.
    align: usize,
}

impl FileImage {
    /// Opens a file or block device. The error names the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, len) = open_sized(path)?;
        Ok(FileImage { file, len, align: 1 })
    }

    /// The same for reads past the page cache (O_DIRECT), where the file system has them.
    pub fn open_direct(path: &Path) -> io::Result<Self> {
        let (_, len) = open_sized(path)?;
        let context = |e: io::Error| io::Error::new(e.kind(), format!("{}: no direct reads: {e}", path.display()));
        let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path).map_err(context)?;
        // What a device wants is asked by a read: statx(2) tells it only since Linux 6.1, and not for each file system.
        let takes = |align: usize| file.read_at(&mut Aligned::new(align, align)?[..align], 0);
        let align = match takes(512) {
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => takes(4096).map(|_| 4096),
            other => other.map(|_| 512),
        };
        Ok(FileImage { align: align.map_err(context)?, file, len })
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
        if self.align == 1 {
            return self.file.read_exact_at(buf, offset);
        }
        let span = self.as_file().expect("it is one").span(offset, buf.len());
        let mut around = Aligned::new(span.len, self.align)?;
        let mut done = 0;
        while done < span.skip + buf.len() {
            match self.file.read_at(&mut around[done..], span.start + done as u64) {
                Ok(more) if more > 0 && (done + more >= span.skip + buf.len() || more.is_multiple_of(self.align)) => {
                    done += more;
                }
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        buf.copy_from_slice(&around[span.skip..][..buf.len()]);
        Ok(())
    }
    fn as_file(&self) -> Option<AsFile<'_>> {
        Some(AsFile { file: self.file.as_fd(), align: self.align })
    }
}
