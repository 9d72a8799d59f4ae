//! A file with holes: every other block has data, so ext4 needs an extent for each of them and a tree for the extents.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a block of the file system that it is for.
pub const BLOCK: u64 = 1024;
/// Blocks with data: the extents fill more than four nodes of 1 KiB, so the tree has three levels.
pub const EXTENTS: u64 = 400;

/// Writes the file.
pub fn write(path: &Path) -> io::Result<()> {
    let file = File::create(path)?;
    for n in 0..EXTENTS {
        file.write_all_at(format!("block {}\n", 2 * n).as_bytes(), 2 * n * BLOCK)?;
    }
    file.set_len(2 * EXTENTS * BLOCK)
}
