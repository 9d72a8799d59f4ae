//! Images: where the blocks come from.
//!
//! [`MappedFile`] is the default of [`open`]; [`FileImage`] reads piece by piece, [`MemoryImage`] holds its bytes, and
//! [`Qcow2Image`] is the disk within a container. An image has the length
//! that its file had when it was opened.
//!
//! The bytes of a mapped file may change while a walk runs; executors read a byte that steers an access once. Where a file is
//! truncated meanwhile, or its device fails, the walk ends in an I/O error with either kind ([`Image::check`]).

mod file;
pub(crate) mod flight;
mod lost;
mod mapped;
#[cfg(feature = "qcow2")]
mod qcow2;

pub use file::FileImage;
pub(crate) use lost::any as any_lost;
pub use mapped::MappedFile;
#[cfg(feature = "qcow2")]
pub use qcow2::Qcow2Image;

use std::fs::{File, FileType};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

/// A source of bytes with a fixed length, below 2^63.
pub trait Image: Send + Sync {
    /// Bytes in it.
    fn len(&self) -> u64;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// All bytes at once, when they are in memory or mapped.
    fn bytes(&self) -> Option<&[u8]>;
    /// Fills `buf` from `offset`; the caller has checked that it lies inside.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
    /// The file that it is, byte for byte, if many reads of it may be in flight at once.
    fn as_file(&self) -> Option<AsFile<'_>> {
        None
    }
    /// Whether all of [`bytes`](Self::bytes) has been there so far. Executors ask when a walk has ended, before they give its answer.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A file that is an image.
#[derive(Clone, Copy, Debug)]
pub struct AsFile<'i> {
    /// Open for reading.
    pub file: BorrowedFd<'i>,
    /// Reads begin and end at multiples of this many bytes, a power of two up to 4096, and so do the buffers for them.
    pub align: usize,
}

/// The images of one call, by [`SourceId`](trav_compiler::ir::SourceId).
#[derive(Clone)]
pub struct Sources {
    /// In the order of the function's sources.
    pub images: Vec<Arc<dyn Image>>,
}

impl Sources {
    /// One image only.
    pub fn one(image: Arc<dyn Image>) -> Self {
        Sources { images: vec![image] }
    }

    /// Asks each image whether its bytes have been there.
    pub fn check(&self) -> io::Result<()> {
        self.images.iter().try_for_each(|image| image.check())
    }
}

/// Opens a file or block device as a mapping. The error names the path.
pub fn open(path: impl AsRef<Path>) -> io::Result<Arc<dyn Image>> {
    Ok(Arc::new(MappedFile::open(path.as_ref())?))
}

/// Bytes in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryImage(Vec<u8>);

impl MemoryImage {
    /// Takes the bytes.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        MemoryImage(bytes.into())
    }
}

impl Image for MemoryImage {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn bytes(&self) -> Option<&[u8]> {
        Some(&self.0)
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        copy_from(&self.0, offset, buf)
    }
}

/// `read_at` of an image whose bytes are in memory.
fn copy_from(bytes: &[u8], offset: u64, buf: &mut [u8]) -> io::Result<()> {
    let part = usize::try_from(offset)
        .ok()
        .and_then(|start| bytes.get(start..)?.get(..buf.len()))
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "the read does not lie inside the image"))?;
    buf.copy_from_slice(part);
    Ok(())
}

/// Opens what can be an image, and finds its length: a block device's is where its end is (its metadata says 0).
fn open_sized(path: &Path) -> io::Result<(File, u64)> {
    let context = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
    // The kind is asked before opening: to open a pipe would wait for its writer.
    let kind = std::fs::metadata(path).map_err(context)?.file_type();
    if !kind.is_file() && !kind.is_block_device() {
        let message = format!("{}: expected a file or a block device, found {}", path.display(), name_of(kind));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    let mut file = File::open(path).map_err(context)?;
    let len = file.seek(SeekFrom::End(0)).map_err(context)?;
    Ok((file, len))
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a character device"
    }
}
