//! Images: lengths, contents and errors.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use trav_compiler::ir::build::FunctionBuilder;
use trav_compiler::ir::schema::{Display, Schema};
use trav_compiler::ir::verify::{Verified, verify};
use trav_compiler::ir::*;
use trav_runtime::exec::native::{self, End};
use trav_runtime::exec::{Engine, ExecError};
use trav_runtime::image::{FileImage, Image, MappedFile, MemoryImage, Sources, open};

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("trav-{}-{name}", std::process::id()));
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

#[test]
fn all_kinds_read_the_same_bytes() {
    let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
    let path = file("same", &bytes);
    let images: [Box<dyn Image>; 3] = [
        Box::new(MappedFile::open(&path).unwrap()),
        Box::new(FileImage::open(&path).unwrap()),
        Box::new(MemoryImage::new(bytes.clone())),
    ];
    for image in images {
        assert_eq!(image.len(), 10_000);
        if let Some(all) = image.bytes() {
            assert_eq!(all, bytes);
        }
        let mut part = [0; 5];
        image.read_at(9_995, &mut part).unwrap();
        assert_eq!(part, bytes[9_995..]);
        assert!(image.read_at(9_996, &mut part).is_err());
        assert!(image.read_at(u64::MAX, &mut part).is_err());
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_empty_file_is_an_image() {
    let path = file("empty", &[]);
    let image = open(&path).unwrap();
    assert!(image.is_empty());
    assert_eq!(image.bytes(), Some(&[][..]));
    assert!(FileImage::open(&path).unwrap().is_empty());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn errors_name_the_path_and_what_was_found() {
    let error = |path: &str| open(path).err().unwrap().to_string();
    assert_eq!(error("/"), "/: expected a file or a block device, found a directory");
    assert_eq!(error("/dev/null"), "/dev/null: expected a file or a block device, found a character device");
    assert!(error("/no/such/image").starts_with("/no/such/image: "));
}

#[test]
fn a_file_truncated_after_opening_is_an_error_by_positioned_reads() {
    let path = file("short", &[1; 4096]);
    let image = FileImage::open(&path).unwrap();
    file("short", &[1; 100]);
    assert!(image.read_at(4000, &mut [0; 10]).is_err());
    std::fs::remove_file(path).unwrap();
}

/// The word at an offset.
fn word_at() -> Verified {
    let word = Schema::Int { bits: 64, signed: false, display: Display::Plain };
    let mut b = FunctionBuilder::new("word_at");
    let at = b.param("at", word.clone(), None).start;
    b.set_result(word, false);
    let outside = b.fault(FaultKind::OutOfDevice, "outside", FoundAs::Unsigned);
    let (at, size) = (b.arg(at), b.iconst(Ty::U64, 8));
    let (block, _) = b.hop_block(Range::just(8));
    b.hop(SourceId(0), at, size, Target { block, args: Vec::new() }, outside);
    b.switch_to(block);
    let value = b.load(Addr::new(Region::Disk), 8, Endian::Little, Ty::U64);
    b.store(Addr::new(Region::Out), 8, Endian::Little, value);
    b.ret();
    verify(b.finish()).unwrap_or_else(|e| panic!("{e:#?}"))
}

/// Each word of a file is its place.
fn numbered(words: u64) -> Vec<u8> {
    (0..words).flat_map(|i| (8 * i).to_le_bytes()).collect()
}

#[test]
fn direct_reads_take_any_offset_and_length() {
    let bytes = &numbered(1200)[..9597];
    let path = file("direct", bytes);
    let image = match FileImage::open_direct(&path) {
        Ok(image) => image,
        Err(e) => return println!("skipped, because {e}"),
    };
    for (from, to) in [(0, 1), (511, 513), (0, 4096), (4095, 8193), (9596, 9597), (0, 9597), (5, 5)] {
        let mut buffer = vec![0; to - from];
        image.read_at(from as u64, &mut buffer).unwrap();
        assert_eq!(buffer, bytes[from..to]);
    }
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(700).unwrap();
    assert!(image.read_at(699, &mut [0; 2]).is_err());
    image.read_at(698, &mut [0; 2]).unwrap();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_batch_on_files_has_many_reads_in_flight_and_ends_in_order() {
    const WORDS: u64 = 50_000;
    let path = file("in-flight", &numbered(WORDS));
    let native = native::prepare(&word_at()).unwrap();
    let through_cache: Arc<dyn Image> = Arc::new(FileImage::open(&path).unwrap());
    let direct = FileImage::open_direct(&path).map(|image| Arc::new(image) as Arc<dyn Image>);
    let direct = direct.map_err(|e| println!("direct reads skipped, because {e}")).ok();
    for image in [Some(through_cache), direct].into_iter().flatten() {
        let sources = Sources::one(image);
        let bound = native.bind(&sources).unwrap();
        // Scattered, and every seventh off the file.
        let places: Vec<u64> =
            (0..5000).map(|i| if i % 7 == 3 { 8 * WORDS - i % 8 } else { 8 * (i * 7919 % WORDS) }).collect();
        let args: Vec<u8> = places.iter().flat_map(|at| at.to_le_bytes()).collect();
        for lanes in [1, 3, 64] {
            let mut batch = bound.batch(lanes).unwrap();
            let mut next = 0;
            let mut end = |n: usize, end: End<'_>| {
                assert_eq!((n, end.hops, end.bytes), (next, 1, 8));
                match places[n] + 8 <= 8 * WORDS {
                    true => assert_eq!((end.fault, end.result), (None, &places[n].to_le_bytes()[..])),
                    false => assert_eq!(end.fault.map(|fault| fault.fault), Some(FaultId(0))),
                }
                next += 1;
            };
            batch.call_many(&args, &mut end).unwrap();
            assert_eq!(next, places.len());
        }
    }
    // A file that has become shorter is an error, after which the batch serves again.
    let sources = Sources::one(Arc::new(FileImage::open(&path).unwrap()));
    let bound = native.bind(&sources).unwrap();
    let mut batch = bound.batch(8).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let args: Vec<u8> = [0u64, 8, 8000, 16, 24].iter().flat_map(|at| at.to_le_bytes()).collect();
    assert!(matches!(batch.call_many(&args, &mut |_, _| {}), Err(ExecError::Io(_))));
    let mut results = Vec::new();
    batch.call_many(&args[..16], &mut |_, end| results.extend_from_slice(end.result)).unwrap();
    assert_eq!(results, args[..16]);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_mapped_file_that_is_truncated_is_an_error_on_every_engine() {
    const LEN: usize = 1 << 20;
    for kept in [0, 4096, 5000] {
        let path = file("lost", &[7; LEN]);
        let image = open(&path).unwrap();
        let sources = Sources::one(image.clone());
        let f = word_at();
        let native = native::prepare(&f).unwrap();
        let bound = native.bind(&sources).unwrap();
        let mut walker = bound.walker();
        let mut batch = bound.batch(4).unwrap();
        let last = (LEN as u64 - 8).to_le_bytes();
        walker.call(&last, &mut |_| {}).unwrap();
        assert_eq!(walker.result(), [7; 8]);
        let truncated = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        truncated.set_len(kept).unwrap();
        for engine in Engine::ALL {
            let mut executor = match engine.prepare(&f) {
                Ok(executor) => executor,
                Err(ExecError::Refused(why)) => {
                    println!("{} skipped, because {why}", engine.name());
                    continue;
                }
                Err(e) => panic!("{e:?}"),
            };
            let ran = executor.run(&last, &sources);
            assert!(matches!(ran, Err(ExecError::Io(_))), "{} on {kept} bytes: {ran:?}", engine.name());
        }
        assert!(matches!(walker.call(&last, &mut |_| {}), Err(ExecError::Io(_))), "{kept}");
        assert!(matches!(batch.call_many(&last, &mut |_, _| {}), Err(ExecError::Io(_))), "{kept}");
        // Another image is not concerned.
        let other = file("not-lost", &[9; 4096]);
        let other_sources = Sources::one(open(&other).unwrap());
        let bound = native.bind(&other_sources).unwrap();
        let mut walker = bound.walker();
        walker.call(&[0; 8], &mut |_| {}).unwrap();
        assert_eq!(walker.result(), [9; 8]);
        std::fs::remove_file(path).unwrap();
        std::fs::remove_file(other).unwrap();
    }
}

#[test]
fn a_file_may_be_truncated_while_threads_walk_it() {
    const LEN: u64 = 4 << 20;
    let path = file("shrinks", &[1; LEN as usize]);
    let sources = Sources::one(open(&path).unwrap());
    let native = Arc::new(native::prepare(&word_at()).unwrap());
    let walking = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let (native, sources, walking) = (native.clone(), &sources, &walking);
            scope.spawn(move || {
                let bound = native.bind(sources).unwrap();
                let mut walker = bound.walker();
                walking.wait();
                // Every answer is the right one until there is none any more.
                for turn in 0.. {
                    let at = (turn * 4096 + thread * 8) % (LEN - 8);
                    match walker.call(&at.to_le_bytes(), &mut |_| {}) {
                        Ok(()) => assert_eq!(walker.result(), [1; 8]),
                        Err(ExecError::Io(_)) => break,
                        Err(e) => panic!("{e:?}"),
                    }
                }
            });
        }
        walking.wait();
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    });
    std::fs::remove_file(path).unwrap();
}

/// Runs `qemu-img`; none where it is not there.
#[cfg(feature = "qcow2")]
fn qemu_img(args: &[&str]) -> Option<()> {
    match std::process::Command::new("qemu-img").args(args).output() {
        Ok(ran) => {
            assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
            Some(())
        }
        Err(error) => {
            println!("skipped, because qemu-img does not run: {error}");
            None
        }
    }
}

#[cfg(feature = "qcow2")]
#[test]
fn the_disk_within_a_qcow2_file_is_the_disk_that_went_in() {
    use trav_runtime::image::Qcow2Image;
    // Clusters that are empty, full, and full of little.
    let word = |i: u32| match i / 4096 % 3 {
        0 => 0,
        1 => i.wrapping_mul(0x9e37_79b9),
        _ => i,
    };
    let bytes: Vec<u8> = (0..1 << 18).flat_map(|i| word(i).to_le_bytes()).collect();
    let raw = file("disk.raw", &bytes);
    let raw_name = raw.to_str().expect("a name in UTF-8");
    let within = raw.with_extension("qcow2");
    let name = within.to_str().expect("a name in UTF-8");
    for options in [&["-o", "compat=0.10"][..], &["-o", "cluster_size=512"], &["-c"]] {
        let args = [&["convert", "-O", "qcow2"], options, &[raw_name, name]].concat();
        let Some(()) = qemu_img(&args) else { return };
        let disk = Qcow2Image::open(&within).unwrap();
        assert_eq!((disk.len(), disk.bytes()), (bytes.len() as u64, None), "{options:?}");
        for (at, len) in [(0, 16), (65_530, 20), (511, 1), (1 << 19, 70_000), (bytes.len() - 5, 5)] {
            let mut part = vec![0xee; len];
            disk.read_at(at as u64, &mut part).unwrap();
            assert_eq!(part, bytes[at..at + len], "{options:?} at {at}");
        }
    }
    // Neither a raw file nor half a container is a disk, and a container does not open other files.
    let error = |path: &std::path::Path| Qcow2Image::open(path).err().expect("it is refused").to_string();
    assert!(error(&raw).contains("disk.raw"), "{}", error(&raw));
    let whole = std::fs::read(&within).unwrap();
    std::fs::write(&within, &whole[..whole.len() / 2]).unwrap();
    if let Ok(half) = Qcow2Image::open(&within) {
        let read = |at: usize| half.read_at(at as u64, &mut [0; 4096]).is_err();
        assert!((0..bytes.len()).step_by(4096).any(read), "the end of the file holds clusters");
    }
    let extended = raw.with_extension("extended");
    let extended_name = extended.to_str().expect("UTF-8");
    qemu_img(&["convert", "-O", "qcow2", "-o", "extended_l2=on,cluster_size=128k", raw_name, extended_name]);
    assert!(error(&extended).contains("extended L2 entries"), "{}", error(&extended));
    let above = raw.with_extension("above");
    qemu_img(&["create", "-q", "-f", "qcow2", "-F", "raw", "-b", raw_name, above.to_str().expect("UTF-8")]);
    assert!(error(&above).contains("denied"), "{}", error(&above));
    for path in [raw, within, extended, above] {
        std::fs::remove_file(path).unwrap();
    }
}
