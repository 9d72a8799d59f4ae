//! Emitted BPF: listings, objects as a reader finds them, profiles, the disassembler on good and bad input.

use object::{Object, ObjectSection, ObjectSymbol};
use trav_compiler::bpf::error::BpfError;
use trav_compiler::bpf::insn::{AluOp, Cond, Insn, Rhs, Width};
use trav_compiler::bpf::print::{Printed, Target};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::bpf::{abi, compile as compile_bpf, disassemble, listing, object as emit};
use trav_compiler::{Compilation, Loader, compile};

struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// A linked list of 32-byte nodes: a hop with a carried word, a check at run time, a row.
const LIST: &str = "\
struct Node size 32 { next: u64, value: u32be, kind: u8 = 7 }

traversal values(start: u64) -> stream u32 {
    var at = start;
    loop up to 10 while at != 0 {
        let node = read Node at at;
        emit node.value;
        at = node.next;
    }
}
";

fn compiled(text: &str) -> Compilation {
    let done = compile("list.trav", text, &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    done
}

fn test_profile() -> Profile {
    Profile::named("test").expect("the test profile is built in")
}

fn list_object() -> Vec<u8> {
    let done = compiled(LIST);
    emit(&done.traversals.iter().collect::<Vec<_>>(), &done.sources, &test_profile()).unwrap()
}

#[test]
fn a_listing_shows_lines_beside_their_code() {
    let done = compiled(LIST);
    let program = compile_bpf(&done.traversals[0], &test_profile()).unwrap();
    insta::assert_snapshot!(listing::list(&program, &done.sources));
}

/// Each table that is hashed has a seed of its own, so an order that depended on one would differ.
#[test]
fn an_object_is_the_same_each_time() {
    for name in ["a", "b", "c", "d", "e"] {
        let path = format!("{}/../tests/bench/bpf/{name}.trav", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the benchmark's walks are in the repository");
        let object = || {
            let done = compiled(&text);
            emit(&done.traversals.iter().collect::<Vec<_>>(), &done.sources, &test_profile()).unwrap()
        };
        assert!(object() == object(), "walk {name}");
    }
}

/// The code of each step, by its name.
fn steps(elf: &[u8]) -> std::collections::BTreeMap<String, Vec<u8>> {
    let elf = object::File::parse(elf).unwrap();
    let steps = elf.symbols().filter(|s| s.name().is_ok_and(|name| name.ends_with("_step")));
    let code = |s: object::Symbol<'_, '_>| {
        let section = elf.section_by_index(s.section_index().unwrap()).unwrap();
        let from = s.address() as usize;
        (s.name().unwrap().to_owned(), section.data().unwrap()[from..from + s.size() as usize].to_vec())
    };
    steps.map(code).collect()
}

/// The kernel in which `tests/guest` verifies objects is an emulated one; so it verifies a step for one of two hooks.
#[test]
fn hooks_that_take_blocks_alike_have_the_same_steps() {
    for module in ["ext4", "sqlite", "leveldb"] {
        let (name, text) = trav_compiler::texts::standard_module(&["std", module]).expect("a standard module");
        let done = compile(&name, text, &NoModules);
        for (one, other) in [("file", "lsm"), ("uring", "hybrid")] {
            for f in &done.traversals {
                let steps =
                    |hook: &str| emit(&[f], &done.sources, &Profile::named(hook).unwrap()).map(|elf| steps(&elf)).ok();
                let of_one = steps(one);
                assert!(of_one == steps(other), "{one}, {other}: {}", f.name);
                assert!(of_one.is_none_or(|steps| !steps.is_empty()), "{one}: {} has a step", f.name);
            }
        }
    }
}

#[test]
fn an_object_has_what_loaders_look_for() {
    let bytes = list_object();
    let elf = object::File::parse(&bytes[..]).unwrap();
    let section = |name: &str| elf.section_by_name(name).unwrap_or_else(|| panic!("no section {name}"));
    let symbol =
        |name: &str| elf.symbols().find(|s| s.name() == Ok(name)).unwrap_or_else(|| panic!("no symbol {name}"));
    let function = symbol("values");
    assert_eq!(function.size(), section("classifier").size());
    assert!(function.is_global());
    let done = compiled(LIST);
    let layout = abi::StateLayout::of(&done.traversals[0]).unwrap();
    assert_eq!(symbol("values_state").size(), u64::from(layout.size));
    assert_eq!(symbol(abi::BLOCK_SYMBOL).size(), 4096);
    assert_eq!(section(abi::BLOCK_SECTION).size(), 4096);
    assert_eq!(section("license").data().unwrap(), b"Dual MIT/GPL\0");
    // Every address in the code is filled in by a relocation of the one type that loaders take for data.
    for (_, r) in section("classifier").relocations() {
        assert_eq!(r.flags(), object::RelocationFlags::Elf { r_type: object::elf::R_BPF_64_64 });
    }
    assert!(section("classifier").relocations().count() > 0);
}

#[test]
fn a_fault_table_says_what_a_number_means() {
    let bytes = list_object();
    let done = compiled(LIST);
    let elf = object::File::parse(&bytes[..]).unwrap();
    let data = elf.section_by_name(".rodata").unwrap().data().unwrap();
    let at = |name: &str| elf.symbols().find(|s| s.name() == Ok(name)).unwrap().address() as usize;
    let (table, strings) = (&data[at("values_faults")..], &data[at("trav_strings")..]);
    let text = |offset: u32| strings[offset as usize..].split(|b| *b == 0).next().map(String::from_utf8_lossy).unwrap();
    for (i, fault) in done.traversals[0].faults.iter().enumerate() {
        let word = |k: usize| u32::from_le_bytes(table[20 * i + 4 * k..][..4].try_into().unwrap());
        assert_eq!(text(word(1)), fault.message);
        assert_eq!(text(word(3)), "list.trav");
        assert_eq!(word(4), done.sources.place(fault.span).line);
    }
}

#[test]
fn what_was_assembled_is_disassembled_with_names_and_lines() {
    let text = disassemble(&list_object()).unwrap();
    for part in [
        "section classifier:",
        "values:",
        "values_state ll",
        "trav_block ll",
        "list.trav:6: let node = read Node at at;",
    ] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(!text.contains("unknown"), "{text}");
}

#[test]
fn the_disassembler_takes_any_bytes() {
    let good = list_object();
    let mut taken = 0;
    // Every byte is damaged once; whatever comes out, it comes.
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x81;
        taken += u32::from(disassemble(&bad).is_ok());
        if at % 64 == 0 {
            let _ = disassemble(&good[..at]);
        }
    }
    assert!(taken > 0, "most damage is outside the headers");
    assert!(disassemble(b"").is_err());
    assert!(disassemble(&[0x7f, b'E', b'L', b'F']).is_err());
}

#[test]
fn names_that_occur_twice_are_refused() {
    let done = compiled(LIST);
    let twice = [&done.traversals[0], &done.traversals[0]];
    assert_eq!(emit(&twice, &done.sources, &test_profile()), Err(BpfError::SameName("values".into())));
}

#[test]
fn profiles_say_what_does_not_fit() {
    let done = compiled(LIST);
    let f = &done.traversals[0];
    for profile in Profile::built_in() {
        let unknown_field = profile.context.iter().any(|field| field.offset.is_none());
        let emitted = !unknown_field;
        let result = emit(&[f], &done.sources, &profile);
        assert_eq!(result.is_ok(), emitted, "{}: {result:?}", profile.name);
        if let Err(e) = result {
            assert!(e.to_string().starts_with("not emitted yet by this version"), "{e}");
        }
    }
    let mut small = test_profile();
    small.read.most_bytes = Some(16);
    assert_eq!(small.fit(f), Err(BpfError::ReadTooLarge { needed: 32, limit: 16 }));
    let mut tight = test_profile();
    tight.scratch.bytes = Some(64);
    assert!(matches!(tight.fit(f), Err(BpfError::Scratch { limit: 64, .. })));
    let mut deaf = test_profile();
    deaf.read.sources = 0;
    assert_eq!(deaf.fit(f), Err(BpfError::TooManySources { needed: 1, limit: 0 }));
}

#[test]
fn a_wrong_profile_is_an_error_that_names_the_key() {
    let text = include_str!("../src/bpf/profiles/test.toml");
    assert!(Profile::parse(text).is_ok());
    let error = Profile::parse(&text.replace("shape", "shap")).unwrap_err();
    assert!(error.contains("shap"), "{error}");
    let error = Profile::parse(&text.replace("\"harness\"", "\"harnes\"")).unwrap_err();
    assert!(error.contains("harnes"), "{error}");
}

/// The encodings of RFC 9669 and their text in LLVM's syntax, written out by hand.
#[test]
fn instructions_are_encoded_as_the_rfc_says() {
    let cases: [(Insn, [u8; 8], &str); 9] = [
        (Insn::alu(AluOp::Add, 1, Rhs::Imm(-1)), [0x07, 1, 0, 0, 0xff, 0xff, 0xff, 0xff], "r1 += -0x1"),
        (Insn::alu(AluOp::Arsh, 2, Rhs::Reg(3)), [0xcf, 0x32, 0, 0, 0, 0, 0, 0], "r2 s>>= r3"),
        (Insn::mov(9, 10), [0xbf, 0xa9, 0, 0, 0, 0, 0, 0], "r9 = r10"),
        (Insn::neg(4), [0x87, 4, 0, 0, 0, 0, 0, 0], "r4 = -r4"),
        (Insn::to_big_endian(5, Width::B4), [0xdc, 5, 0, 0, 32, 0, 0, 0], "r5 = be32 r5"),
        (Insn::load(Width::B2, 6, 7, -8), [0x69, 0x76, 0xf8, 0xff, 0, 0, 0, 0], "r6 = *(u16 *)(r7 - 0x8)"),
        (
            Insn::store(Width::B8, 10, -16, Rhs::Reg(1)),
            [0x7b, 0x1a, 0xf0, 0xff, 0, 0, 0, 0],
            "*(u64 *)(r10 - 0x10) = r1",
        ),
        (Insn::branch(Cond::Slt, 1, Rhs::Imm(0)), [0xc5, 1, 0, 0, 0, 0, 0, 0], "if r1 s< 0x0 goto +0"),
        (Insn::exit(), [0x95, 0, 0, 0, 0, 0, 0, 0], "exit"),
    ];
    for (insn, bytes, text) in cases {
        assert_eq!(insn.encode(), bytes, "{text}");
        assert_eq!(Insn::decode(bytes), insn);
        let name = |_: Target| None;
        assert_eq!(Printed { insn, next: None, at: 0, name: &name }.to_string(), text);
    }
}

/// Under a hook that gives the memory there are no sections for it, and the code ends in telling the context.
#[test]
fn a_callback_object_keeps_its_state_behind_the_context() {
    let done = compiled(LIST);
    let xrp = Profile::named("xrp").expect("XRP is built in");
    let bytes = emit(&[&done.traversals[0]], &done.sources, &xrp).unwrap();
    let elf = object::File::parse(&bytes[..]).unwrap();
    assert!(elf.section_by_name("xrp").is_some());
    for section in [abi::STATE_SECTION, abi::BLOCK_SECTION] {
        assert!(elf.section_by_name(section).is_none(), "{section}");
    }
    // Offsets of struct bpf_xrp (Zhong et al., OSDI '22, listing 1): done, next_addr, size, scratch.
    let text = disassemble(&bytes).unwrap();
    for part in ["*(u32 *)(r1 + 0x8) = r0", "*(u64 *)(r1 + 0x10) = r3", "*(u64 *)(r1 + 0x90) = r3", "+ 0x110)"] {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
}
