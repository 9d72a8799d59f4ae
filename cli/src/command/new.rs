//! `trav new`.

use crate::failure::{Failure, Status};
use clap::Args;
use std::fs;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

/// Make a folder with a first spec, an image for it and what to try
#[derive(Debug, Args)]
pub struct New {
    /// The folder; it must not exist yet, or be empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl New {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let shown = self.folder.display().to_string();
        match fs::read_dir(&self.folder).map(|mut entries| entries.next().is_none()) {
            Ok(true) => {}
            Ok(false) => return Err(Failure::call(format!("`{shown}` is not empty; nothing was written"))),
            Err(e) if e.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&self.folder).map_err(|e| Failure::file("make", &shown, &e))?;
            }
            Err(e) => return Err(Failure::file("use", &shown, &e)),
        }
        let files: [(&str, &[u8]); 3] = [
            ("list.trav", include_bytes!("../../template/list.trav")),
            ("README.md", include_bytes!("../../template/README.md")),
            ("list.img", &image()),
        ];
        for (name, bytes) in files {
            let path = self.folder.join(name);
            fs::write(&path, bytes).map_err(|e| Failure::file("write", path.display(), &e))?;
        }
        writeln!(out, "made {shown} with list.trav, list.img and README.md; next: cd {shown} && trav test list.trav")?;
        Ok(Status::Good)
    }
}

/// Three records of `template/list.trav`, which do not stand in the order of the list.
fn image() -> Vec<u8> {
    const RECORD: usize = 64;
    let mut image = vec![0; 3 * RECORD];
    for (at, number, next, name) in [(0, 1u32, 128u64, "one"), (128, 2, 64, "two"), (64, 3, 0, "three")] {
        let record = &mut image[at..at + RECORD];
        record[..4].copy_from_slice(&0x4452_4352u32.to_le_bytes());
        record[4..8].copy_from_slice(&number.to_le_bytes());
        record[8..16].copy_from_slice(&next.to_le_bytes());
        record[16..16 + name.len()].copy_from_slice(name.as_bytes());
    }
    image
}
