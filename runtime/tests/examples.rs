//! The projects in `examples/` on all executors: results, and each fault on an image that the test damages.
//!
//! What a walk should give comes from the image's recipe, or from the tools of the format that made the image.

#[path = "../../examples/bpfkv/image.rs"]
mod bpfkv;
mod ext4;
mod fat;
mod leveldb;
#[path = "../../examples/list/image.rs"]
mod list;
mod sqlite;

use crate::differential::{check_all, check_calls, memory, words};
use std::path::{Path, PathBuf};
use std::process::Command;
use trav_compiler::Loader;
use trav_compiler::ir::FaultKind;
use trav_compiler::ir::verify::Verified;
use trav_runtime::call::{Arguments, Caller, Images};
use trav_runtime::exec::{Engine, Outcome, Trace};
use trav_runtime::image::Sources;
use trav_runtime::value::Given;

struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// The traversals of an example's spec.
fn spec(name: &str) -> Vec<Verified> {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/{}/{}.trav"), name, name);
    let text = std::fs::read_to_string(path).unwrap();
    let compiled = trav_compiler::compile(name, &text, &NoModules);
    assert!(compiled.diagnostics.is_empty(), "{:#?}", compiled.diagnostics);
    compiled.traversals
}

fn walk<'a>(spec: &'a [Verified], name: &str) -> &'a Verified {
    spec.iter().find(|t| t.name == name).unwrap()
}

/// An image, and arguments by name.
type Call = (Sources, Vec<(&'static str, String)>);

/// A walk on all executors, with what its default walk gives.
fn check_named(spec: &[Verified], name: &str, calls: &[Call]) -> Vec<Trace> {
    let laid_out = |(image, given): &Call| {
        let images = Images::from([("image".to_owned(), image.images[0].clone())]);
        let given: Vec<_> =
            given.iter().map(|(name, value)| ((*name).to_owned(), Given::Text(value.clone()))).collect();
        match Caller::new(Engine::Interp, spec, &images).arguments(walk(spec, name), &given).unwrap() {
            Arguments::Ready(args) => args,
            Arguments::Fault(answer) => panic!("{answer:?}"),
        }
    };
    let args: Vec<Vec<u8>> = calls.iter().map(laid_out).collect();
    check_calls(
        walk(spec, name),
        &args.iter().zip(calls).map(|(args, (image, _))| (&args[..], image)).collect::<Vec<_>>(),
    )
}

/// A copy of an image with some bytes overwritten.
fn damaged(image: &[u8], at: usize, with: &[u8]) -> Sources {
    let mut image = image.to_vec();
    image[at..at + with.len()].copy_from_slice(with);
    memory(&image)
}

/// A tool by name. Those of administrators are not in the path of ordinary users.
fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{path}:/usr/sbin:/sbin"));
    command
}

/// Whether a tool can be started; where it cannot, that is printed.
fn is_there(tool: &str, package: &str) -> bool {
    let there = command(tool).arg("--version").output().is_ok();
    if !there {
        println!("skipped, because {tool} is not installed (Debian's package {package})");
    }
    there
}

/// What a command prints, which must succeed.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A new folder for one test.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder); // none yet, at the first run
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// The words of a result.
fn result(trace: &Trace) -> Vec<u64> {
    match &trace.outcome {
        Outcome::Done(out) => out.chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().unwrap())).collect(),
        Outcome::Fault(_) => panic!("{trace:?}"),
    }
}

/// The kind and the message of a fault.
#[track_caller]
fn fault(f: &Verified, trace: &Trace) -> (FaultKind, String) {
    match &trace.outcome {
        Outcome::Fault(report) => {
            let fault = &f.faults[report.fault.index()];
            (fault.kind, fault.message.clone())
        }
        Outcome::Done(_) => panic!("{trace:?}"),
    }
}

#[test]
fn a_list_is_summed() {
    let spec = spec("list");
    let trace = check_all(walk(&spec, "total"), &[], &memory(&list::image()));
    let values: Vec<u32> = (0..list::BLOCKS).flat_map(list::values).collect();
    let sum = values.iter().map(|v| u64::from(*v)).sum();
    assert_eq!(result(&trace), [list::BLOCKS as u64, values.len() as u64, sum]);
    let places: Vec<u64> = trace.hops.iter().map(|hop| hop.offset / 4096).collect();
    assert_eq!(places, (0..list::BLOCKS).map(|n| list::place(n) as u64).collect::<Vec<_>>());
}

/// Where the `n`th block of the list stands.
fn block(n: usize) -> usize {
    list::place(n) * list::BLOCK
}

#[test]
fn a_damaged_list_ends_in_the_fault_that_says_so() {
    let spec = spec("list");
    let total = walk(&spec, "total");
    let damaged = |at: usize, bytes: &[u8]| {
        let mut image = list::image();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        check_all(total, &[], &memory(&image))
    };

    let magic = damaged(block(5), b"lost");
    assert_eq!(magic.hops.len(), 6);
    let (kind, message) = fault(total, &magic);
    assert_eq!(kind, FaultKind::Corrupt);
    assert!(message.contains("magic"), "{message}");

    let count = damaged(block(3) + 4, &1021u32.to_le_bytes());
    assert_eq!((fault(total, &count).0, count.hops.len()), (FaultKind::Corrupt, 4));

    let beyond = damaged(block(9) + 8, &(40 * 4096u64).to_le_bytes());
    assert_eq!((fault(total, &beyond).0, beyond.hops.len()), (FaultKind::OutOfDevice, 11));
    // The start of the block lies on the device, its end does not; and an address that wraps.
    for at in [40 * 4096 - 1, u64::MAX - 8] {
        assert_eq!(fault(total, &damaged(block(9) + 8, &at.to_le_bytes())).0, FaultKind::OutOfDevice);
    }

    let circle = damaged(block(39) + 8, &(block(20) as u64).to_le_bytes());
    assert_eq!((fault(total, &circle).0, circle.hops.len()), (FaultKind::Limit, 1001));
}

#[test]
fn keys_of_the_store_are_found_and_others_are_not() {
    let spec = spec("bpfkv");
    let get = walk(&spec, "get");
    let image = memory(&bpfkv::image());
    let numbers: Vec<u64> = (0..bpfkv::KEYS).step_by(97).chain([bpfkv::KEYS - 1]).collect();
    let absent = [0, 1, bpfkv::key(0) + 1, bpfkv::key(4000) - 1, bpfkv::key(bpfkv::KEYS), u64::MAX];
    let keys = numbers.iter().map(|n| bpfkv::key(*n)).chain(absent);
    let args: Vec<Vec<u8>> = keys.map(|key| words(&[key])).collect();
    let traces = check_calls(get, &args.iter().map(|args| (&args[..], &image)).collect::<Vec<_>>());
    for (n, trace) in numbers.iter().zip(&traces) {
        let Outcome::Done(out) = &trace.outcome else { panic!("{trace:?}") };
        assert!(out.ends_with(&bpfkv::value(*n)), "{n}: {out:?}");
        assert_eq!(trace.hops.len(), 4);
    }
    for trace in &traces[numbers.len()..] {
        assert_eq!((result(trace)[0], trace.hops.len()), (0, 3));
    }
}

#[test]
fn a_damaged_store_ends_in_the_fault_that_says_so() {
    let spec = spec("bpfkv");
    let get = walk(&spec, "get");
    // The pointers of the root.
    let pointed = |at: u64| {
        let mut image = bpfkv::image();
        for i in 0..bpfkv::FANOUT {
            image[16 + 8 * (bpfkv::FANOUT + i)..][..8].copy_from_slice(&at.to_le_bytes());
        }
        check_all(get, &words(&[bpfkv::key(77)]), &memory(&image))
    };
    let circle = pointed(0);
    assert_eq!((fault(get, &circle).0, circle.hops.len()), (FaultKind::Limit, 9));
    let beyond = pointed(1 << 40);
    assert_eq!((fault(get, &beyond).0, beyond.hops.len()), (FaultKind::OutOfDevice, 2));
}
