//! The kernel executor: the emitted object in this machine's kernel, one `BPF_PROG_TEST_RUN` a step.
//!
//! The reads that the program asks for are made by [`steps`]. The state
//! and block areas are mapped, so a step costs one system call. What runs is the object's instructions under the kernel's
//! verifier and JIT, in a `classifier` program, which needs no hook.
//!
//! A program that the kernel's verifier rejects is a bug of trav; the error says so and has the end of the verifier's log, which
//! names the lines of the spec.

pub(crate) mod area;
pub mod load;

use super::steps::{self, Machine, broken};
use super::{ExecError, Executor, Trace};
use crate::image::Sources;
use area::Area;
use libbpf_rs::{Object, ProgramInput, ProgramType};
use load::{capture_log, map_area};
use trav_compiler::bpf::abi::{self, StateLayout};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::Function;
use trav_compiler::ir::verify::Verified;
use trav_compiler::source::SourceMap;

/// The profile whose programs `BPF_PROG_TEST_RUN` runs.
const PROFILE: &str = "test";
/// Its section, which every kernel and every loader knows.
const SECTION: &str = "classifier";
/// An Ethernet header, the least that a `classifier` program can be run on. The program does not look at it.
const PACKET: [u8; 14] = [0; 14];
const RIGHTS: &str = "the kernel executor needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";

/// Whether this machine's kernel takes BPF programs from this process; otherwise why not.
pub fn available() -> Result<(), String> {
    capture_log();
    match ProgramType::SchedCls.is_supported() {
        Ok(true) => Ok(()),
        // The probe cannot tell missing rights from a missing program type.
        Ok(false) => Err(format!("the kernel takes no `{SECTION}` program; {RIGHTS}")),
        Err(e) => Err(format!("BPF cannot be used here ({e}); {RIGHTS}")),
    }
}

/// Emits an object for a traversal and loads it. The sources give the verifier's log its lines; see [`nameless`].
pub fn prepare(f: &Verified, sources: &SourceMap) -> Result<Kernel, ExecError> {
    let profile = Profile::named(PROFILE).expect("the profile is built in");
    let elf = trav_compiler::bpf::object(&[f], sources, &profile).map_err(|e| ExecError::Refused(e.to_string()))?;
    Kernel::load(f, &elf)
}

/// Stands for sources that are not at hand: files without text, as many as the function's places name.
pub fn nameless(f: &Function) -> SourceMap {
    let insts = f.blocks.iter().flat_map(|b| b.insts.iter().map(|inst| inst.span).chain([b.span]));
    let files = insts.chain(f.faults.iter().map(|fault| fault.span)).chain([f.span]).map(|span| span.file);
    let mut sources = SourceMap::new();
    for _ in 0..=files.max().unwrap_or_default().0 {
        sources.add("spec", "");
    }
    sources
}

/// A traversal loaded in the kernel.
pub struct Kernel {
    function: Verified,
    layout: StateLayout,
    parts: Parts,
}

/// The loaded object and its mapped areas.
struct Parts {
    object: Object,
    state: Area,
    block: Area,
}

impl Kernel {
    /// Loads an object that was emitted for this function alone.
    pub fn load(f: &Verified, elf: &[u8]) -> Result<Kernel, ExecError> {
        available().map_err(ExecError::Refused)?;
        let layout =
            StateLayout::of(f).ok_or_else(|| ExecError::Refused("the state area is larger than 2 GiB".into()))?;
        let object = load::load(load::open(elf)?)?;
        let state = map_area(&object, abi::STATE_SECTION, layout.size.into())?;
        let block = map_area(&object, abi::BLOCK_SECTION, abi::block_capacity(f))?;
        Ok(Kernel { function: f.clone(), layout, parts: Parts { object, state, block } })
    }
}

impl Executor for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        super::args::check(&self.function, args)?;
        let trace = steps::walk(&mut self.parts, &self.function, &self.layout, args, sources)?;
        sources.check().map_err(ExecError::Io)?;
        Ok(trace)
    }
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        let program = self.object.progs_mut().find(|p| p.section() == SECTION);
        let program = program.ok_or_else(|| broken(format!("no program in section `{SECTION}`")))?;
        let input = ProgramInput { data_in: Some(&PACKET), ..Default::default() };
        match program.test_run(input) {
            Ok(output) => Ok(output.return_value.into()),
            Err(e) => Err(ExecError::Refused(format!("the kernel does not run the program ({e}); {RIGHTS}"))),
        }
    }

    fn word(&self, offset: usize) -> u64 {
        self.state.word(offset)
    }

    fn read_state(&self, offset: usize, bytes: &mut [u8]) {
        self.state.read(offset, bytes);
    }

    fn reset_state(&mut self, offset: usize, args: &[u8]) {
        self.state.clear();
        self.state.write(offset, args);
    }

    fn write_block(&mut self, bytes: &[u8]) {
        self.block.write(0, bytes);
    }
}
