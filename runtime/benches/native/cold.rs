//! An image that is in no cache: reads past the page cache, many of them in flight, against a loop that waits for each.

use super::contest::{Contest, Contestant};
use super::{as_bytes, images};
use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use trav_runtime::exec::native::{End, Native};
use trav_runtime::image::{FileImage, Image, Sources};

/// Three levels of nodes, and the value: four reads a lookup.
const KEYS: u64 = 29_000;
const LOOKUPS: usize = 10_000;
/// Reads in flight.
const LANES: usize = 64;

const NODE: usize = 512;
const FANOUT: usize = 31;

/// `bpfkv` on a file in the folder for temporary files.
pub fn bpfkv(native: &Native) {
    let case = images::bpfkv(KEYS);
    let path = std::env::temp_dir().join(format!("trav-bench-cold-{}", std::process::id()));
    std::fs::write(&path, &case.image).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let opened = FileImage::open_direct(&path).and_then(|image| Ok((image, Loop::open(&path)?)));
    std::fs::remove_file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (image, mut by_hand) = match opened {
        Ok(opened) => opened,
        Err(e) => return println!("cold: skipped, because {e}\n"),
    };
    let align = image.as_file().expect("it is one").align;
    let sources = Sources::one(Arc::new(image));
    let bound = native.bind(&sources).expect("the image is there");
    let (mut walker, mut batch) = (bound.walker(), bound.batch(LANES).expect("no walk is a stream"));
    let keys = &case.args[..LOOKUPS];
    let args = as_bytes(keys);
    let mut end =
        |n: usize, end: End<'_>| assert_eq!(end.result[16..], by_hand.get(keys[n]).expect("the key is there"));
    batch.call_many(&args, &mut end).expect("the image can be read");
    let contestants = vec![
        Contestant::ours(format!("trav, {LANES} reads in flight"), || {
            let mut end = |_: usize, end: End<'_>| {
                black_box(end.result);
            };
            batch.call_many(&args, &mut end).expect("the image can be read");
        }),
        Contestant::ours("trav, one after another", || {
            for args in args.chunks_exact(8) {
                walker.call(args, &mut |_| {}).expect("the image can be read");
                black_box(walker.result());
            }
        }),
        Contestant::rival("a loop of pread(2)", || {
            for key in keys {
                black_box(by_hand.get(*key));
            }
        }),
    ];
    let title = format!("A: bpfkv, {LOOKUPS} lookups of four reads past the page cache, in blocks of {align} bytes");
    Contest { title, rounds: 7, wanted: &[0.25] }.run(LOOKUPS, contestants);
}

/// The same walk as a program that reads block by block.
struct Loop {
    file: File,
    /// A block begins somewhere within, at a multiple of 4096.
    buffer: Vec<u8>,
}

impl Loop {
    fn open(path: &Path) -> std::io::Result<Loop> {
        let file = File::options().read(true).custom_flags(libc::O_DIRECT).open(path)?;
        Ok(Loop { file, buffer: vec![0; 3 * 4096] })
    }

    /// 512 bytes at a multiple of as many. The device may want 4096 at once.
    fn block(&mut self, at: u64) -> &[u8] {
        let begin = self.buffer.as_ptr().align_offset(4096);
        let whole = &mut self.buffer[begin..][..4096];
        let skip = match self.file.read_at(&mut whole[..NODE], at) {
            Ok(_) => 0,
            Err(_) => {
                self.file.read_at(whole, at - at % 4096).expect("the file can be read");
                (at % 4096) as usize
            }
        };
        &whole[skip..][..NODE]
    }

    fn get(&mut self, key: u64) -> Option<[u8; 64]> {
        let word = |node: &[u8], at: usize| u64::from_le_bytes(node[at..at + 8].try_into().expect("eight bytes"));
        let mut node = self.block(0);
        loop {
            let found = (0..FANOUT).take_while(|i| word(node, 16 + 8 * i) <= key).last();
            let is_leaf = word(node, 8) != 0;
            if is_leaf && found.is_none_or(|i| word(node, 16 + 8 * i) != key) {
                return None;
            }
            let at = word(node, 264 + 8 * found.unwrap_or(0)) & !(1 << 63);
            node = self.block(at - at % 512);
            if is_leaf {
                return node[(at % 512) as usize..][..64].try_into().ok();
            }
        }
    }
}
