//! The kernel executor itself; that it agrees with the others is tested by `differential`.

use super::differential::{memory, words};
use super::native::{chase, chase_trace, list};
use trav_compiler::bpf;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::verify::{Verified, verify};
use trav_runtime::exec::kernel::{self, Kernel};
use trav_runtime::exec::{ExecError, Executor};

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
