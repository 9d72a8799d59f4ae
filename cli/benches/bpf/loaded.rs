//! A compiled walk in this machine's kernel.

use crate::compile::NoModules;
use crate::walks::{Args, BLOCK_SIZE, Walk};
use libbpf_rs::{Map, MapCore, MapFlags, Object, ObjectBuilder, ProgramInput, ProgramMut};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Instant;
use trav_compiler::bpf::abi::{self, StateLayout, Status};
use trav_compiler::ir::verify::Verified;

/// Runs that one system call makes, and calls of which the fastest counts.
const REPEAT: u32 = 20_000;
const CALLS: usize = 9;
/// An Ethernet header, the least that a `classifier` program can be run on.
const PACKET: [u8; 14] = [0; 14];

/// Status and words of a result.
pub type Answer = (u64, Vec<u64>);

/// How a side takes arguments and gives results.
enum Contract {
    /// `compiler/src/bpf/abi.rs`: a program asks for the block in its first run.
    Trav(Box<Verified>, StateLayout),
    /// `tests/bench/bpf/walk.h`.
    C,
}

/// The programs `step`, `harness` and, from C, `empty`.
pub struct Loaded {
    object: Object,
    contract: Contract,
}

impl Loaded {
    /// What trav made.
    pub fn trav(spec: &Path, object: &Path) -> Loaded {
        let text = std::fs::read_to_string(spec).expect("the walks stand in the repository");
        let done = trav_compiler::compile_some("walk.trav", &text, &NoModules, Some("step"));
        let f = done.traversals.into_iter().find(|f| f.name == "step").expect("it compiles");
        let layout = StateLayout::of(&f).expect("the walks are small");
        Loaded { object: load(object), contract: Contract::Trav(Box::new(f), layout) }
    }

    /// What clang made.
    pub fn clang(object: &Path) -> Loaded {
        Loaded { object: load(object), contract: Contract::C }
    }

    /// Instructions of the step without those of the harness.
    pub fn insns(&self) -> usize {
        self.program("step", |p| p.insn_cnt()) - self.program("harness", |p| p.insn_cnt())
    }

    /// Instructions that the verifier walked through for the step.
    pub fn processed(&self) -> u64 {
        let fd = self.program("step", |p| p.as_fd().as_raw_fd());
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).expect("an open file has an entry");
        let line = info.lines().find_map(|l| l.strip_prefix("verified_insns:"));
        line.and_then(|n| n.trim().parse().ok()).unwrap_or(0)
    }

    /// The answer for some arguments.
    pub fn result(&self, block: &[u8], args: &Args) -> Answer {
        self.set_up(block, args);
        let (status, _) = self.finish();
        match &self.contract {
            Contract::C => {
                let io = self.area(".bss");
                let words = io[32..].chunks_exact(8).map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes")));
                let words: Vec<u64> = words.take(args.results).collect();
                (status, if status == 1 { words } else { Vec::new() })
            }
            Contract::Trav(f, layout) => {
                assert_eq!(status, Status::Done as u64, "the step ends in a result");
                let out = layout.out as usize;
                let state = self.area(abi::STATE_SECTION);
                let words = state[out..out + f.out_size() as usize].chunks_exact(8);
                let words: Vec<u64> = words.map(|w| u64::from_le_bytes(w.try_into().expect("8 bytes"))).collect();
                // An option has a word that says whether there is something.
                match (words.len() > args.results, words[0]) {
                    (true, 0) => (0, Vec::new()),
                    (true, _) => (1, words[1..].to_vec()),
                    (false, _) => (1, words),
                }
            }
        }
    }

    /// Runs a step to its end; what it returned, and how many runs it took: a long loop is cut.
    fn finish(&self) -> (u64, u32) {
        let mut runs = 1;
        loop {
            match (self.run(1, "step"), &self.contract) {
                (status, Contract::Trav(..)) if status == Status::Again as u64 => runs += 1,
                (status, _) => return (status, runs),
            }
        }
    }

    /// Nanoseconds a step, the mean over all arguments. None where a step takes several runs, which cannot be repeated in one call.
    pub fn nanoseconds(&self, walk: &Walk) -> Option<f64> {
        let of = |args: &Args| {
            self.set_up(&walk.block, args);
            let (_, runs) = self.finish();
            (runs == 1).then(|| self.time("step"))
        };
        let sum = walk.args.iter().map(of).sum::<Option<f64>>()?;
        Some(sum / walk.args.len() as f64)
    }

    /// Nanoseconds a run of a program without instructions.
    pub fn nanoseconds_of_nothing(&self) -> f64 {
        self.time("empty")
    }

    fn time(&self, program: &str) -> f64 {
        let mut best = f64::INFINITY;
        for _ in 0..CALLS {
            let start = Instant::now();
            self.run(REPEAT, program);
            best = best.min(start.elapsed().as_secs_f64());
        }
        best * 1e9 / f64::from(REPEAT)
    }

    /// Puts block and arguments in place; trav's program has then asked for the block.
    fn set_up(&self, block: &[u8], args: &Args) {
        let mut area = vec![0; BLOCK_SIZE];
        area[..block.len()].copy_from_slice(block);
        self.write(abi::BLOCK_SECTION, &area);
        match &self.contract {
            Contract::C => {
                let mut io = vec![0; 56];
                io[8..8 + args.c.len()].copy_from_slice(&args.c);
                self.write(".bss", &io);
            }
            Contract::Trav(f, layout) => {
                let mut state = vec![0; self.area(abi::STATE_SECTION).len()];
                let at = layout.args as usize;
                state[at..at + args.trav.len()].copy_from_slice(&args.trav);
                assert_eq!(
                    args.trav.len(),
                    layout.args_size as usize,
                    "the arguments of {} are as long as it says",
                    f.name
                );
                self.write(abi::STATE_SECTION, &state);
                assert_eq!(self.run(1, "step"), Status::Hop as u64, "the first run asks for the block");
            }
        }
    }

    fn run(&self, repeat: u32, program: &str) -> u64 {
        let input = ProgramInput { data_in: Some(&PACKET), repeat, ..Default::default() };
        self.program(program, |p| p.test_run(input).expect("a loaded program runs").return_value.into())
    }

    fn program<T>(&self, name: &str, f: impl FnOnce(&ProgramMut<'_>) -> T) -> T {
        let program = self.object.progs_mut().find(|p| p.name() == name);
        f(&program.expect("both sides have the programs"))
    }

    fn map<T>(&self, section: &str, f: impl FnOnce(&Map<'_>) -> T) -> T {
        let map = self.object.maps().find(|m| m.name().to_str().is_some_and(|name| section.starts_with(tail(name))));
        f(&map.expect("both sides have the areas"))
    }

    fn area(&self, section: &str) -> Vec<u8> {
        let read = |m: &Map<'_>| m.lookup(&0u32.to_le_bytes(), MapFlags::ANY);
        self.map(section, read).expect("a map can be read").expect("an array has all elements")
    }

    fn write(&self, section: &str, bytes: &[u8]) {
        self.map(section, |m| {
            let mut all = vec![0; m.value_size() as usize];
            let len = all.len().min(bytes.len());
            all[..len].copy_from_slice(&bytes[..len]);
            m.update(&0u32.to_le_bytes(), &all, MapFlags::ANY).expect("a map can be written");
        });
    }
}

/// A map's name from its section's on: the loader puts the object's name before it, and cuts it.
fn tail(name: &str) -> &str {
    name.find('.').map_or(name, |dot| &name[dot..])
}

fn load(path: &Path) -> Object {
    let open = ObjectBuilder::default().open_file(path).expect("a compiler wrote it");
    open.load().expect("the kernel's verifier accepts it")
}
