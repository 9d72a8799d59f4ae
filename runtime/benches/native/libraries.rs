//! What people use, against our walks in the same work: each answers the same calls, and the answers are compared before anything is
//! timed. What a library does in addition stands at the head of its C file.

use crate::as_bytes;
use crate::contest::{Contest, Contestant};
use crate::images::{Case, Random};
use crate::rival::Used;
use std::cell::RefCell;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Loader, compile_some, texts};
use trav_runtime::call::{Arguments, Caller, Images};
use trav_runtime::exec::native::{self, Bound, Native};
use trav_runtime::exec::{Engine, Outcome};
use trav_runtime::image::{MemoryImage, Sources, open};
use trav_runtime::value::{Given, decode};

/// Blocks of the file that is looked up in, each an extent of its own.
const EXTENTS: u64 = 22_000;
/// Calls where the other side is slow.
const FEW_CALLS: usize = 1 << 12;

/// A path for a file or folder of this process, which is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("trav-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = if self.0.is_dir() { std::fs::remove_dir_all(&self.0) } else { std::fs::remove_file(&self.0) };
    }
}

/// Walk C: a row by its rowid.
pub fn sqlite(native: &Native, Case { image, args, words }: Case) {
    let path = Scratch::new("sqlite");
    std::fs::write(&path.0, image).expect("there is room for temporary files");
    let sources = Sources::one(open(&path.0).expect("it was just written"));
    let Some(sqlite) = Used::open("sqlite.c", "-lsqlite3", &path.0) else { return };
    let lookup = sqlite.lookup();
    let bound = native.bind(&sources).expect("the image is in memory");
    let mut walker = bound.walker();
    for args in args.chunks_exact(words) {
        walker.call(&as_bytes(args), &mut |_| {}).expect("the arguments are good");
        // A row that is there, and 96 bytes of value in it.
        assert_eq!((walker.result()[0], lookup(args)), (1, 96), "{args:?}");
    }
    let title = "C: a row by its rowid, against libsqlite3";
    versus(title, 1.0 / 5.0, &bound, &as_bytes(&args), "libsqlite3, prepared statement", &args, words, lookup);
}

/// Walk E: a key of a table.
pub fn leveldb(native: &Native, Case { image, args, words }: Case) {
    let path = Scratch::new("leveldb");
    let Some(leveldb) = Used::open("leveldb.c", "-l:libleveldb.so.1d", &path.0) else { return };
    let lookup = leveldb.lookup();
    let sources = Sources::one(Arc::new(MemoryImage::new(image)));
    let bound = native.bind(&sources).expect("the image is in memory");
    let mut walker = bound.walker();
    for args in args.chunks_exact(words) {
        walker.call(&as_bytes(args), &mut |_| {}).expect("the arguments are good");
        // Presence, place, length.
        let length = u64::from_le_bytes(walker.result()[16..24].try_into().expect("8 bytes"));
        assert_eq!((walker.result()[0], length as i64), (1, lookup(args)), "{args:?}");
    }
    let title = "E: a key, against LevelDB";
    versus(title, 1.0 / 4.0, &bound, &as_bytes(&args), "LevelDB, Get", &args, words, lookup);
}

/// std.ext4's `map`, which reads the inode each time, on a file system made by mkfs.ext4.
pub fn ext2fs() {
    let (folder, path) = (Scratch::new("ext4-files"), Scratch::new("ext4"));
    if let Err(why) = file_system(&folder.0, &path.0) {
        println!("libext2fs skipped, because {why}");
        return;
    }
    let Some(ext2fs) = Used::open("ext2fs.c", "-l:libext2fs.so.2", &path.0) else { return };
    let lookup = ext2fs.lookup();
    let (_, text) = texts::standard_module(&["std", "ext4"]).expect("it is built in");
    let compilation = compile_some("std/ext4.trav", text, &Standard, Some("map"));
    let images: Images = [("image".to_string(), open(&path.0).expect("it was just made"))].into();
    let mut caller = Caller::new(Engine::Native, &compilation.traversals, &images);
    let map = caller.traversal("map").expect("std.ext4 has it");
    let mut random = Random(0x5eed);
    let blocks: Vec<u64> = (0..FEW_CALLS).map(|_| random.below(2 * EXTENTS)).collect();
    let args: Vec<Vec<u8>> = blocks
        .iter()
        .map(|block| {
            let given = [("ino", 12), ("block", *block)].map(|(name, n)| (name.to_string(), Given::Json(n.into())));
            match caller.arguments(map, &given) {
                Ok(Arguments::Ready(args)) => args,
                _ => panic!("`map` takes an inode and a block"),
            }
        })
        .collect();
    let native = native::prepare(map).expect("this machine has a backend");
    let sources = Sources { images: map.sources.iter().map(|name| images[name].clone()).collect() };
    let bound = native.bind(&sources).expect("the image is mapped");
    let mut walker = bound.walker();
    for (args, block) in args.iter().zip(&blocks) {
        walker.call(args, &mut |_| {}).expect("the arguments are good");
        assert_eq!(walker.fault(), None, "block {block}");
        let found = decode(&map.result, walker.result()).expect("a result follows its layout").to_json();
        assert_eq!(found["start"].as_u64().unwrap_or(0) as i64, lookup(&[*block]), "block {block}");
    }
    let title = format!("std.ext4 map, a file of {EXTENTS} extents, against libext2fs");
    versus(&title, 1.0 / 50.0, &bound, &args.concat(), "libext2fs, bmap", &blocks, 1, lookup);
}

/// The emitted eBPF program of the same walk in a machine that checks each access, solana-sbpf's compiler: with what its harness does
/// for a step, and without calls that the walk does not need.
pub fn machine(letter: &str, traversal: &Verified, native: &Native, Case { image, args, words }: Case) {
    let mut machine = match Engine::Vm.prepare(traversal) {
        Ok(machine) => machine,
        Err(why) => return println!("{letter}: solana-sbpf skipped, because {why}"),
    };
    let args = &args[..words * FEW_CALLS.min(args.len() / words)];
    let sources = Sources::one(Arc::new(MemoryImage::new(image)));
    let bound = native.bind(&sources).expect("the image is in memory");
    let mut walker = bound.walker();
    for args in args.chunks_exact(words).map(as_bytes) {
        walker.call(&args, &mut |_| {}).expect("the arguments are good");
        let trace = machine.run(&args, &sources).expect("the machine runs it");
        assert_eq!(trace.outcome, Outcome::Done(walker.result().to_vec()), "{letter} {args:?}");
    }
    let machine = RefCell::new(machine);
    let lookup = |args: &[u64]| {
        black_box(machine.borrow_mut().run(&as_bytes(args), &sources).expect("it ran before"));
        0
    };
    let title = format!("{letter}: {}, against a BPF machine", traversal.name);
    versus(&title, 1.0 / 10.0, &bound, &as_bytes(args), "solana-sbpf", args, words, lookup);
}

/// The standard library.
struct Standard;

impl Loader for Standard {
    fn load(&self, path: &[&str]) -> Option<(String, String)> {
        texts::standard_module(path).map(|(name, text)| (name, text.to_string()))
    }
}

/// A file system with one file, of which every second block is there.
fn file_system(folder: &Path, image: &Path) -> Result<(), String> {
    use std::os::unix::fs::FileExt;
    let written = std::fs::create_dir_all(folder).and_then(|()| {
        let file = std::fs::File::create(folder.join("file"))?;
        (0..EXTENTS).try_for_each(|i| file.write_all_at(&[1; 4096], 2 * i * 4096))
    });
    written.map_err(|e| format!("a file cannot be written: {e}"))?;
    let mut command = Command::new("mkfs.ext4");
    command.args(["-q", "-F", "-b", "4096", "-O", "^metadata_csum", "-d"]).arg(folder).arg(image).arg("256M");
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("mkfs.ext4 says: {}", String::from_utf8_lossy(&output.stderr))),
        Err(error) => Err(format!("mkfs.ext4 does not run: {error}")),
    }
}

/// Times both on the same calls: ours laid out in bytes, theirs in words.
#[expect(clippy::too_many_arguments, reason = "two sides, each with its calls")]
fn versus(
    title: &str,
    wanted: f64,
    bound: &Bound<'_>,
    ours: &[u8],
    name: &str,
    theirs: &[u64],
    words: usize,
    lookup: impl Fn(&[u64]) -> i64,
) {
    let calls = theirs.len() / words;
    let mut walker = bound.walker();
    let ours = Contestant::ours("trav", || {
        for args in ours.chunks_exact(ours.len() / calls) {
            walker.call(args, &mut |_| {}).expect("the arguments are good");
            black_box(walker.result());
        }
    });
    let theirs = Contestant::rival(name, || {
        for args in theirs.chunks_exact(words) {
            black_box(lookup(args));
        }
    });
    Contest { title: title.into(), rounds: 20, wanted: &[wanted] }.run(calls, vec![ours, theirs]);
}
