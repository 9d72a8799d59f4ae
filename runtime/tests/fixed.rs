//! Numbers of arguments that are known when a walk is built: what follows from them is folded, and the walk tests that they hold.

use std::sync::Arc;
use trav_compiler::ir::FaultKind;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{Compilation, Loader, Options};
use trav_runtime::exec::{Engine, Outcome};
use trav_runtime::image::{MemoryImage, Sources};

struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

const WALK: &str = "\
record Volume { block_size: u32 where block_size in 512..=4096, big: bool }
struct Block(space: u32) size space { values: [u64; space / 8] }
traversal nth(vol: Volume, block: u32, n: u32) -> u64 {
    let there = read Block(vol.block_size) at block as u64 * vol.block_size;
    require n < vol.block_size / 8 else fail \"no such value\";
    return there.values[n] + (if vol.big { 1 << 32 } else { 0 });
}
";

fn compiled(fixed: &[(String, i128)]) -> Compilation {
    trav_compiler::compile_with("nth.trav", WALK, &NoModules, Options { fixed, ..Options::default() })
}

fn nth(fixed: &[(&str, i128)]) -> Verified {
    let fixed: Vec<_> = fixed.iter().map(|(name, n)| ((*name).to_owned(), *n)).collect();
    let done = compiled(&fixed);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    done.traversals.into_iter().next().expect("the module has one walk")
}

/// `Ok` with the value, or `Err` with the kind of the fault and what it says.
fn run(walk: &Verified, engine: Engine, args: [u64; 4]) -> Result<u64, (FaultKind, String)> {
    let image: Vec<u8> = (0..2048u64).flat_map(|i| (i * i).to_le_bytes()).collect();
    let sources = Sources { images: vec![Arc::new(MemoryImage::new(image))] };
    let args: Vec<u8> = args.iter().flat_map(|n| n.to_le_bytes()).collect();
    let trace = engine.prepare(walk).expect("the walk compiles").run(&args, &sources).expect("it runs");
    match &trace.outcome {
        Outcome::Done(bytes) => Ok(u64::from_le_bytes(bytes[..8].try_into().expect("a number is eight bytes"))),
        Outcome::Fault(report) => Err((walk.faults[report.fault.index()].kind, report.message(walk, &trace.hops))),
    }
}

#[test]
fn a_walk_for_known_numbers_gives_the_same_for_them_and_a_fault_for_others() {
    let (any, known) = (nth(&[]), nth(&[("vol.block_size", 1024), ("vol.big", 1)]));
    for engine in [Engine::Interp, Engine::Native, Engine::Vm] {
        for (block, n) in [(0, 0), (3, 17), (15, 127), (2, 128), (16, 0)] {
            let args = [1024, 1, block, n];
            assert_eq!(run(&known, engine, args), run(&any, engine, args), "{engine:?} {args:?}");
        }
        // The square of 3 * 1024 / 8 + 17, and the bit.
        assert_eq!(run(&known, engine, [1024, 1, 3, 17]), Ok(401 * 401 + (1 << 32)), "{engine:?}");
        let (kind, message) = run(&known, engine, [512, 1, 0, 0]).expect_err("it was built for 1024");
        assert_eq!(kind, FaultKind::Fail);
        assert!(message.contains("`vol.block_size` is 512") && message.contains("1024"), "{message}");
        let (_, message) = run(&known, engine, [1024, 0, 0, 0]).expect_err("it was built for `true`");
        assert!(message.contains("`vol.big`"), "{message}");
    }
}

#[test]
fn what_follows_is_folded() {
    let length = |walk: &Verified| walk.blocks.iter().map(|b| b.insts.len()).sum::<usize>();
    let (any, known) = (nth(&[]), nth(&[("vol.block_size", 1024), ("vol.big", 0)]));
    assert!(length(&known) < length(&any), "{} and {}", length(&known), length(&any));
}

#[test]
fn a_number_that_the_type_does_not_hold_is_an_error() {
    let done = compiled(&[("vol.block_size".into(), 1 << 32)]);
    let [error] = &done.diagnostics[..] else { panic!("{:#?}", done.diagnostics) };
    assert_eq!(error.code, "E0303");
    assert!(error.message.contains("4294967296"), "{}", error.message);
}
