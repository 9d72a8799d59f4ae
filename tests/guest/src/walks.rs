//! Walks by hooks: the answers are the interpreter's.

use crate::Test;
use crate::machine;
use crate::spec::{HOOKS, Interpreter, NoModules, assert_same, attach, compile, only, standard, words};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use trav_runtime::call::{Caller, Images};
use trav_runtime::exec::kernel::load;
use trav_runtime::exec::{Engine, Outcome};
use trav_runtime::hook::{Failure, Hook};
use trav_runtime::image;
use trav_runtime::typed::Value;
use trav_runtime::value::Given;

#[path = "../../../runtime/tests/header.rs"]
mod header;

pub const TESTS: &[Test] = &[
    Test::Hooks("chain", chain_cached),
    Test::Hooks("chain_cold", chain_cold),
    Test::Hooks("chain_direct", chain_direct),
    Test::Hooks("chain_many", chain_many),
    Test::Hooks("rows", rows),
    Test::Hooks("long_walks", long_walks),
    Test::Hooks("golden", golden),
    Test::Beside("ext4_volume", ext4_volume),
    Test::Hooks("standard_objects", standard_objects),
];

/// The types of [`CHAIN`], by `trav build tests/guest/src/chain.trav --emit types`.
#[rustfmt::skip]
#[path = "chain.rs"]
pub mod chain;

pub const CHAIN: &str = include_str!("chain.trav");

/// Chains of blocks in an order that no read-ahead guesses; block 0 is in none. Some end outside of the file, some in a block that is corrupt.
pub fn chain_image(blocks: u64) -> Vec<u8> {
    let mut bytes = vec![0u8; 512 * blocks as usize];
    for i in 1..blocks {
        let block = &mut bytes[512 * i as usize..][..512];
        let next = match i % 13 {
            0 => 0,
            5 => 512 * blocks - 100,
            _ => 512 * (1 + (i * 7919) % (blocks - 1)),
        };
        block[..8].copy_from_slice(&next.to_le_bytes());
        let count = if i % 29 == 3 { 101 } else { (i % 101) as u16 };
        block[8..10].copy_from_slice(&count.to_le_bytes());
        for (k, value) in block[10..410].chunks_exact_mut(4).enumerate() {
            value.copy_from_slice(&((i * 31 + k as u64) as u32).to_le_bytes());
        }
    }
    bytes
}

fn each_chain(hook: &str, direct: bool, cold: bool) {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file("chain", &chain_image(400));
    let mut wanted = Interpreter::new(f, &path);
    let mut attached = attach(f, &path, hook, direct);
    for start in (0..400).step_by(3).chain([401, u64::MAX / 512]) {
        if cold && start % 5 == 0 {
            machine::drop_cache(&path);
        }
        let args = words(&[512 * start]);
        let got = attached.walk(&args).unwrap_or_else(|e| panic!("{hook}: {start}: {e}"));
        assert_same(hook, f, &got, &wanted.run(&args));
    }
}

fn chain_cached(hook: &str) {
    each_chain(hook, false, false);
}

fn chain_cold(hook: &str) {
    each_chain(hook, false, true);
}

fn chain_direct(hook: &str) {
    each_chain(hook, true, false);
}

/// More walks than a ring keeps in flight, and more calls than it takes at once.
fn chain_many(hook: &str) {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let image = chain_image(3000);
    let disk = machine::null_disk(&format!("many_{hook}"), 2, 0, 0);
    std::fs::write(&disk, &image).expect("the disk has room");
    for (path, direct) in [(machine::file("chain", &image), false), (disk, true)] {
        let mut wanted = Interpreter::new(f, &path);
        let wanted: Vec<_> = (0..3000).map(|start| wanted.run(&words(&[512 * start])).outcome).collect();
        let mut attached = attach(f, &path, hook, direct);
        let mut seen = vec![false; wanted.len()];
        let calls = (0..3000).map(|start| chain::sum_arguments { start: 512 * start });
        let done = attached.lookup_many::<chain::sum>(calls, |i, got| {
            assert!(!std::mem::replace(&mut seen[i], true), "{hook}: call {i} is reported once");
            match (got, &wanted[i]) {
                (Ok(got), Outcome::Done(bytes)) => assert_eq!(got, chain::Sum::take(bytes), "{hook}: {i}"),
                (Err(got), Outcome::Fault(report)) => assert_eq!(got.report, *report, "{hook}: {i}"),
                (got, wanted) => panic!("{hook}: {i}: {got:?}, {wanted:?}"),
            }
        });
        done.unwrap_or_else(|e| panic!("{hook}: {e}"));
        assert!(seen.iter().all(|seen| *seen), "{hook}: every call is reported");
    }
}

/// A stream is suspended after each row, and goes on where it was.
fn rows(hook: &str) {
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "each").expect("it is declared");
    let path = machine::file("chain", &chain_image(400));
    let mut wanted = Interpreter::new(f, &path);
    for direct in [false, true] {
        let mut attached = attach(f, &path, hook, direct);
        for start in (0..400).step_by(7) {
            let wanted = wanted.run(&words(&[512 * start]));
            let arguments = chain::each_arguments { start: 512 * start };
            // One that is left in the middle does not disturb the next.
            drop(attached.stream::<chain::each>(&arguments).expect("it begins").next());
            let mut rows = attached.stream::<chain::each>(&arguments).expect("it begins");
            for row in &wanted.rows {
                match rows.next() {
                    Some(Ok(got)) => assert_eq!(got, u32::take(row), "{hook}: {start}"),
                    other => panic!("{hook}: {start}: {other:?}"),
                }
            }
            match (rows.next(), &wanted.outcome) {
                (None, Outcome::Done(_)) => {}
                (Some(Err(Failure::Fault(got))), Outcome::Fault(report)) => assert_eq!(got.report, *report),
                other => panic!("{hook}: {start}: {other:?}"),
            }
        }
    }
}

/// Walks that take longer than a program may run at a time: it is left and entered again, with others in between.
fn long_walks(hook: &str) {
    const TURNS: u32 = 250_000;
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "circle").expect("it is declared");
    // A circle of four nodes, whose values are 1 to 4.
    let node = |i: u64| [512 * ((i + 1) % 4), i + 1].map(u64::to_le_bytes).concat();
    let image: Vec<u8> = (0..4).flat_map(|i| [node(i), vec![0; 496]].concat()).collect();
    let path = machine::file("circle", &image);
    let mut attached = attach(f, &path, hook, false);
    // Reading the file's pages brings them into the cache.
    assert_eq!(std::fs::read(&path).expect("it was written"), image);
    let calls = [0, 1, 2].map(|i| chain::circle_arguments { start: 512 * i, turns: TURNS + i as u32 });
    let sum = |start: u64, turns: u64| (0..turns).map(|turn| (start + turn) % 4 + 1).sum::<u64>();
    let done = attached.lookup_many::<chain::circle>(calls, |i, got| {
        assert_eq!(got, Ok(sum(i as u64, u64::from(TURNS) + i as u64)), "{hook}: {i}");
    });
    done.unwrap_or_else(|e| panic!("{hook}: {e}"));
}

/// The language's meaning, by example: what holds for every executor holds for every hook.
fn golden(hook: &str) {
    let mut count = 0;
    for entry in std::fs::read_dir("/golden").expect("the machine has the golden files") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        let found = trav_compiler::compile_tests(&name, &text, &NoModules, trav_compiler::Effort::Many);
        assert!(found.diagnostics.is_empty(), "{name}: {:#?}", found.diagnostics);
        let image = machine::file("golden", &header::images(&text)[0].1);
        for test in &found.tests {
            if test.walk.sources_read() > 1 {
                println!("{} not run: it reads from several images, and a hook is attached to one file", test.name);
                continue;
            }
            let got = attach(&test.walk, &image, hook, false).walk(&[]);
            let got = got.unwrap_or_else(|e| panic!("{name}: {}: {e}", test.name));
            assert!(matches!(got.outcome, Outcome::Done(_)), "{name}: {}: {:?}", test.name, got.outcome);
            count += 1;
        }
    }
    assert!(count > 0, "there are golden tests");
}

/// The standard library's walks on a volume, by its device; and what they find against what the kernel's file system said of its files.
fn ext4_volume() {
    let device = machine::disk("trav-volume");
    let tree = Path::new("/volume/tree");
    machine::mount(&device.to_string_lossy(), "ext4", "/volume");
    std::fs::create_dir_all(tree).expect("the disk has room");
    let mut inodes = Vec::new();
    for i in 0..30 {
        let file = tree.join(format!("file{i}"));
        std::fs::write(&file, vec![i as u8; 100]).expect("the disk has room");
        inodes.push(std::fs::metadata(file).expect("it was made").ino());
    }
    let dir = std::fs::metadata(tree).expect("it was made").ino();
    machine::unmount("/volume");
    let spec = standard("ext4", "lookup");
    let images = Images::from([("image".to_owned(), image::open(&device).expect("the device can be read"))]);
    let mut wanted = Caller::new(Engine::Interp, &spec.traversals, &images);
    for hook in HOOKS {
        let (device, options) = (device.clone(), only(hook));
        let prepare = move |f: &_| Ok(Box::new(Hook::attach(f, &device, &options)?) as Box<_>);
        let mut caller = Caller::by(Box::new(prepare), &spec.traversals, &images);
        for i in [0, 7, 29, 30] {
            let name = format!("file{i}");
            let args = [("dir", dir.to_string()), ("name", name.clone())];
            let args = args.map(|(name, text)| (name.to_owned(), Given::Text(text)));
            let got = caller.call("lookup", &args).unwrap_or_else(|e| panic!("{hook}: {name}: {e:?}"));
            let want = wanted.call("lookup", &args).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert_same(hook, got.traversal, &got.trace, &want.trace);
            let found = match &got.trace.outcome {
                Outcome::Done(found) => found,
                Outcome::Fault(report) => panic!("{hook}: {name}: {}", report.message(got.traversal, &got.trace.hops)),
            };
            // A record that may be none: whether it is there, then its fields, of which the first is the inode's number.
            let ino = inodes.get(i).copied().unwrap_or(0);
            assert_eq!(found[0], u8::from(ino != 0), "{hook}: {name}");
            if ino != 0 {
                assert_eq!(found[8..16], ino.to_le_bytes(), "{hook}: {name}");
            }
        }
    }
}

/// Objects of the standard library, as `trav build` makes them: the kernel's verifier takes every program. Each step is verified for one of
/// the hooks that have the same.
fn standard_objects(hook: &str) {
    let mut count = 0;
    for entry in std::fs::read_dir("/objects").expect("the machine has the objects") {
        let path = entry.expect("a readable folder").path();
        if !path.to_string_lossy().ends_with(&format!(".{hook}.o")) {
            continue;
        }
        let object = std::fs::read(&path).expect("a readable file");
        let accounts = load::verify(&object).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let processed: u32 = accounts.iter().map(|account| account.verified).sum();
        println!("{}: {} programs, {processed} instructions processed", path.display(), accounts.len());
        count += accounts.len();
    }
    assert!(count > 0, "there are objects");
}
