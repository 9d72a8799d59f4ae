//! The disk within a qcow2 file, as the guest sees it. (The file's own structures are what `std.qcow2` walks over.)
//!
//! `imago` does the work; this file only says what is opened. A backing file or an external data file that the image names is
//! refused: an image from elsewhere must not choose which files of this machine are read. `qemu-img convert` makes one file of several. Extended L2
//! entries it does not know, and says so.

use super::{Image, open_sized};
use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder};
use std::io;
use std::path::Path;

/// A disk whose blocks stand in a qcow2 file.
pub struct Qcow2Image {
    disk: FormatAccess<File>,
}

impl Qcow2Image {
    /// Opens the disk in a file. The error names the path.
    pub fn open(path: &Path) -> io::Result<Self> {
        let (file, _) = open_sized(path)?;
        let disk =
            File::try_from(file).and_then(|file| Qcow2::<File>::builder(file).open(DenyImplicitOpenGate::default()));
        let disk = disk.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        Ok(Qcow2Image { disk: FormatAccess::new(disk) })
    }
}

impl Image for Qcow2Image {
    fn len(&self) -> u64 {
        self.disk.size()
    }
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.disk.read(buf, offset)
    }
}
