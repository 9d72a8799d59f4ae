//! The kernel executor itself; that it agrees with the others is tested by `differential`.

use super::differential::{memory, words};
use super::native::{chase, chase_trace, list};
use trav_compiler::bpf;
use trav_compiler::bpf::profile::{Isa, Profile};
use trav_compiler::ir::verify::{Verified, verify};
use trav_runtime::exec::kernel::{self, Kernel};
use trav_runtime::exec::{Engine, ExecError, Executor};

/// A traversal and its object; none where the kernel cannot be used, which is printed.
fn object() -> Option<(Verified, Vec<u8>)> {
    if let Err(why) = kernel::available() {
        println!("skipped, because {why}");
        return None;
    }
    let f = verify(chase(100).finish()).unwrap();
    let profile = Profile::named("test").unwrap();
    let elf = bpf::object(&[&f], &kernel::nameless(&f), &profile).unwrap();
    Some((f, elf))
}

fn refusal(f: &Verified, elf: &[u8]) -> String {
    match Kernel::load(f, elf) {
        Err(ExecError::Refused(why)) => why,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("the kernel took it"),
    }
}

#[test]
fn an_emitted_object_runs() {
    let Some((f, elf)) = object() else { return };
    let mut kernel = Kernel::load(&f, &elf).unwrap_or_else(|e| panic!("{e:?}"));
    for nodes in [1, 50, 3] {
        let trace = kernel.run(&words(&[(nodes - 1) * 16]), &memory(&list(nodes))).unwrap();
        assert_eq!(trace, chase_trace(nodes));
    }
    assert!(matches!(kernel.run(&[], &memory(&[])), Err(ExecError::Arguments(_))));
}

/// Signed fields of every width, their quotients and remainders, and what is cut to 32 bits.
const SIGNED: &str = "\
struct Page size 64 { a: i8, b: i16, c: i32, d: i64, e: i16be, f: i32be, g: u64 }
record All { a: i64, b: i64, c: i64, d: i64, e: i64, f: i64, quotient: i64, remainder: i64, low: u32 }

traversal all(at: u64) -> All {
    let p = read Page at at;
    let quotient = if p.b > 1 { p.d / p.b } else { p.d / -9 };
    let remainder = if p.b > 1 { p.d % p.b } else { p.d % -9 };
    let low = p.g & 0xffff_ffff;
    return All { a: p.a, b: p.b, c: p.c, d: p.d, e: p.e, f: p.f, quotient, remainder, low };
}
";

struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// Each level of the instruction set that this kernel has means the same.
#[test]
fn every_level_of_instructions_means_the_same() {
    if let Err(why) = kernel::available() {
        return println!("skipped, because {why}");
    }
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut version = release.split(['.', '-']).map(|n| n.trim().parse::<u32>().unwrap_or(0));
    let version = (version.next().unwrap_or(0), version.next().unwrap_or(0));
    let done = trav_compiler::compile("signed.trav", SIGNED, &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    let f = &done.traversals[0];
    let mut disk = Vec::new();
    for i in 0..32u64 {
        let mut page: Vec<u8> = (0..64).map(|j| ((i * 7919 + j * 104_729) >> 3) as u8).collect();
        page[1..3].copy_from_slice(&(if i % 2 == 0 { 7 + i as i16 } else { -9 - i as i16 }).to_le_bytes());
        disk.extend(page);
    }
    let image = memory(&disk);
    let want: Vec<_> =
        (0..32).map(|i| Engine::Interp.prepare(f).unwrap().run(&words(&[64 * i]), &image).unwrap()).collect();
    let mut sizes = Vec::new();
    for isa in [Isa::Portable, Isa::V1, Isa::V2, Isa::V3, Isa::V4] {
        if isa == Isa::V4 && version < (6, 6) {
            println!("level 4 skipped, because it came with Linux 6.6");
            continue;
        }
        let mut profile = Profile::named("test").unwrap();
        profile.program.isa = isa;
        let elf = bpf::object(&[f], &done.sources, &profile).unwrap();
        sizes.push(bpf::compile(f, &profile).unwrap().insns.len());
        let mut kernel = Kernel::load(f, &elf).unwrap_or_else(|e| panic!("{isa:?}: {e:?}"));
        for (i, want) in (0..).zip(&want) {
            assert_eq!(&kernel.run(&words(&[64 * i]), &image).unwrap(), want, "{isa:?}, page {i}");
        }
    }
    assert!(sizes.is_sorted_by(|a, b| a >= b) && sizes.last() < sizes.first(), "higher levels are shorter: {sizes:?}");
}

#[test]
fn what_is_no_object_is_refused() {
    let Some((f, elf)) = object() else { return };
    for bytes in [&b"no object"[..], &elf[..elf.len() / 2]] {
        let why = refusal(&f, bytes);
        assert!(why.starts_with("the object cannot be read"), "{why}");
    }
}

#[test]
fn a_rejection_shows_the_verifier_s_log() {
    let Some((f, mut elf)) = object() else { return };
    // Each exit becomes a load through r0, which is a number there.
    const EXIT: [u8; 8] = [0x95, 0, 0, 0, 0, 0, 0, 0];
    const LOAD: [u8; 8] = [0x79, 0, 0, 0, 0, 0, 0, 0];
    let exits: Vec<usize> = (0..elf.len() / 8).map(|i| i * 8).filter(|&at| elf[at..at + 8] == EXIT).collect();
    assert!(!exits.is_empty());
    for at in exits {
        elf[at..at + 8].copy_from_slice(&LOAD);
    }
    let why = refusal(&f, &elf);
    assert!(why.starts_with("the kernel's verifier rejected the program"), "{why}");
    assert!(why.contains("libbpf: "), "{why}");
    assert!(why.ends_with("this is a bug of trav; please report it with the spec"), "{why}");
}
