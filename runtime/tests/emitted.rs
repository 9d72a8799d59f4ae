//! Whole walks as emitted code: loops that are cut, hooks whose kernel makes the reads, the standard library in machine and kernel.

use crate::differential::{check_calls, memory, words};
use trav_compiler::bpf::profile::Profile;
use trav_runtime::exec::{Engine, ExecError, Executor, Outcome, vm};

/// No modules of the user's own.
struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// Loops that no kernel's verifier walks through in one piece: one with an exit on each of many turns, one inside another, and values from
/// before them that are used after.
const LONG: &str = "\
struct Page size 16384 { bytes: [u8; 16384] }
record Found { at: u64, pairs: u64, key: u8 }

traversal find(key: u8, other: u8) -> Found? {
    let page = read Page at 0;
    var at: u64 = 0;
    for i in 0..16384 {
        if page.bytes[i] == key { at = i + 1; break; }
    }
    if at == 0 { return none; }
    var pairs: u64 = 0;
    for i in 0..3000 {
        if page.bytes[i] == other {
            for j in 0..9000 {
                if page.bytes[j] == key { pairs = pairs + 1; }
            }
        }
    }
    return Found { at: at, pairs: pairs, key: key };
}
";

#[test]
fn long_loops_are_cut_and_go_on() {
    let done = trav_compiler::compile("long.trav", LONG, &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    let f = &done.traversals[0];
    let layout = trav_compiler::bpf::abi::StateLayout::of(f).unwrap();
    assert!(layout.cuts.headers().count() >= 2, "{:?}", layout.cuts);
    let mut page = vec![0u8; 16384];
    for at in [100, 8000, 9500, 16383] {
        page[at] = 1;
    }
    for at in [7, 2999, 3000] {
        page[at] = 2;
    }
    page[12000] = 3;
    let image = memory(&page);
    // `1` stands twice below 9000, `2` twice below 3000; `3` comes late, `4` never.
    let cases = [(1, 2, Some([101, 4])), (2, 1, Some([8, 3])), (3, 2, Some([12001, 0])), (4, 2, None)];
    let args: Vec<Vec<u8>> = cases.iter().map(|(key, other, _)| words(&[*key, *other])).collect();
    let traces = check_calls(f, &args.iter().map(|a| (&a[..], &image)).collect::<Vec<_>>());
    for ((key, _, want), trace) in cases.iter().zip(traces) {
        let want = want.map_or([0; 4], |[at, pairs]| [1, at, pairs, *key]);
        assert_eq!(trace.outcome, Outcome::Done(words(&want)));
    }
}

/// A chain of blocks that a hook with 512-byte reads can follow.
const CHAIN: &str = "\
struct Block size 512 { next: u64, count: u16 where count <= 100, values: [u32; count] }
record Sum { blocks: u8, sum: u64, long: bytes<8> }

traversal sum(start: u64) -> Sum {
    var at = start;
    var sum: u64 = 0;
    var blocks: u8 = 0;
    loop up to 20 while at != 0 {
        let block = read Block at at;
        for i in 0..block.count { sum = sum +% block.values[i]; }
        blocks += 1;
        at = block.next;
    }
    return Sum { blocks: blocks, sum: sum, long: \"abcdefgh\" };
}
";

/// Under XRP the kernel makes the reads as the context tells it; the machine stands for the kernel.
#[test]
fn a_callback_hook_walks_as_the_interpreter_does() {
    let done = trav_compiler::compile("chain.trav", CHAIN, &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    let f = &done.traversals[0];
    let mut disk = vec![0u8; 512 * 8];
    // Blocks 1, 5, 3; block 6 has a bad count, block 7 points between blocks.
    for (block, next, count) in [(1u64, 5 * 512u64, 2u16), (5, 3 * 512, 100), (3, 0, 1), (6, 0, 101), (7, 700, 0)] {
        let at = 512 * block as usize;
        disk[at..at + 8].copy_from_slice(&next.to_le_bytes());
        disk[at + 8..at + 10].copy_from_slice(&count.to_le_bytes());
        for i in 0..count.min(100) as usize {
            disk[at + 10 + 4 * i..][..4].copy_from_slice(&(1000 * block as u32 + i as u32).to_le_bytes());
        }
    }
    let image = memory(&disk);
    let xrp = Profile::named("xrp").expect("XRP is built in");
    let mut hook = vm::prepare_for(f, &xrp).unwrap_or_else(|e| panic!("{e:?}"));
    for start in [0, 512, 5 * 512, 6 * 512, 8 * 512] {
        let args = words(&[start]);
        assert_eq!(hook.run(&args, &image).unwrap(), check_calls(f, &[(&args, &image)])[0], "{start}");
    }
    // Where the interpreter reads, the hook says that it cannot.
    let error = hook.run(&words(&[7 * 512]), &image).unwrap_err();
    assert!(matches!(&error, ExecError::Refused(why) if why.contains("cannot read at byte 700")), "{error:?}");
}

/// Steps that are called with their areas (io_uring), and a context that knows several files, at offsets that a profile of the user's tells.
#[test]
fn steps_of_other_hooks_walk_as_the_interpreter_does() {
    let done = trav_compiler::compile("chain.trav", CHAIN, &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    let f = &done.traversals[0];
    let mut disk = vec![0u8; 512 * 4];
    disk[512..514].copy_from_slice(&1536u16.to_le_bytes());
    disk[520] = 2;
    disk[522..530].copy_from_slice(&[9, 0, 0, 0, 8, 0, 0, 0]);
    let image = memory(&disk);
    let mut bpfof = Profile::named("bpfof").expect("BPF-oF is built in");
    assert!(trav_compiler::bpf::compile(f, &bpfof).is_err(), "its offsets are not known");
    for (name, offset) in [("cur_fd", 280), ("fd_arr", 284)] {
        let field = bpfof.context.iter_mut().find(|field| field.name == name);
        field.expect("the context has it").offset = Some(offset);
    }
    let named = |name: &str| Profile::named(name).expect("the profile is built in");
    for profile in [named("uring"), named("hybrid"), named("file"), bpfof] {
        let mut hook = vm::prepare_for(f, &profile).unwrap_or_else(|e| panic!("{}: {e:?}", profile.name));
        for start in [0, 512, 1536, 2048] {
            let args = words(&[start]);
            let want = &check_calls(f, &[(&args, &image)])[0];
            assert_eq!(&hook.run(&args, &image).unwrap(), want, "{}: {start}", profile.name);
        }
    }
}

/// What the compiler accepts, the machine and the kernel accept: each walk of the standard library is loaded into both.
#[test]
fn every_standard_walk_is_accepted() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../stdlib");
    let mut walks = 0;
    for entry in std::fs::read_dir(folder).expect("the standard library is in the repository") {
        let path = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let name = path.file_name().expect("a file").to_string_lossy();
        let done = trav_compiler::compile(&name, &text, &NoModules);
        assert!(done.diagnostics.is_empty(), "{name}: {:#?}", done.diagnostics);
        for f in &done.traversals {
            Engine::Vm.prepare(f).unwrap_or_else(|e| panic!("{name}: {}: {e:?}", f.name));
            // A rejection says that it is a bug of ours, and then this panics.
            let _ = crate::differential::prepare(Engine::Kernel, f);
            walks += 1;
        }
    }
    assert!(walks > 0, "the standard library has walks");
}
