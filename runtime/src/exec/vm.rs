//! Runs emitted BPF code in a user-space machine, solana-sbpf.
//!
//! The machine checks each access against the regions that it was given: a second opinion on the compiler's bounds, and a run of the
//! very instructions that the kernel gets, without a kernel. It is not made for speed.
#![allow(unsafe_code, reason = "solana-sbpf takes the memory of its regions by address")]

use super::steps::{self, Machine, broken};
use super::{ExecError, Executor, Trace};
use crate::image::Sources;
use solana_sbpf::ebpf::{MM_INPUT_START, MM_REGION_SIZE, MM_STACK_START};
use solana_sbpf::elf::Executable;
use solana_sbpf::error::ProgramResult;
use solana_sbpf::memory_region::{MemoryMapping, MemoryRegion};
use solana_sbpf::program::{BuiltinProgram, FunctionRegistry, SBPFVersion};
use solana_sbpf::verifier::RequisiteVerifier;
use solana_sbpf::vm::{CallFrame, Config, ContextObject, EbpfVm, ExecutionMode};
use std::ptr::NonNull;
use std::sync::Arc;
use trav_compiler::bpf::abi::{StateLayout, Status, word};
use trav_compiler::bpf::cost::InsnBounds;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::bpf::program::Symbol;
use trav_compiler::bpf::target::{Areas, Context, Target};
use trav_compiler::ir::verify::Verified;

/// The dialect that is closest to Linux: `le`/`be`, 64-bit immediates and all divisions are there.
const DIALECT: SBPFVersion = SBPFVersion::V0;
/// Far above what the bounds of any walk allow in one step; it only keeps a wrong program from running for ever.
const INSNS_MAX: u64 = 1 << 40;
/// A step and a routine that it calls.
const FRAMES: usize = 2;
/// Bytes of stack for each: the least that the machine has; Linux gives 512 for all.
const STACK_SIZE: usize = 4096;
/// Where the machine sees the areas.
const STATE: u64 = MM_INPUT_START;
const BLOCK: u64 = MM_INPUT_START + MM_REGION_SIZE;
const CONSTANTS: u64 = MM_INPUT_START + 2 * MM_REGION_SIZE;

/// The context of a hook whose kernel makes the reads.
const CONTEXT: u64 = MM_INPUT_START + 3 * MM_REGION_SIZE;

/// A traversal in the machine.
pub struct Vm {
    function: Verified,
    layout: StateLayout,
    parts: Parts,
}

/// The machine without its function: code and memory.
struct Parts {
    loader: Arc<BuiltinProgram<Surroundings>>,
    code: Executable<Surroundings>,
    state: Vec<u8>,
    block: Vec<u8>,
    constants: Vec<u8>,
    /// The context and where its fields are, under a hook that has one.
    context: Option<(Vec<u8>, Context)>,
    stack: Vec<u8>,
    frames: Vec<CallFrame>,
    /// The instructions of the last walk: the most in one run, and all.
    insns: InsnBounds,
}

/// Compiles a function and loads it into a machine.
pub fn prepare(f: &Verified) -> Result<Vm, ExecError> {
    prepare_for(f, &Profile::named("test").expect("the harness's profile is built in"))
}

/// The same for another hook: the machine stands for whoever runs the step, with the context and scratch memory of a kernel that makes the
/// reads, or with the areas that a step is called with.
pub fn prepare_for(f: &Verified, profile: &Profile) -> Result<Vm, ExecError> {
    let refused = |e: String| ExecError::Refused(format!("the BPF machine: {e}"));
    let layout = StateLayout::of(f).ok_or_else(|| refused("the state area is larger than 2 GiB".into()))?;
    let program = trav_compiler::bpf::compile(f, profile).map_err(|e| refused(e.to_string()))?;
    let target = Target::of(f, profile).map_err(|e| refused(e.to_string()))?;
    let (text, routines) = program.link(|symbol| match symbol {
        Symbol::State => STATE,
        Symbol::Block => BLOCK,
        Symbol::Constants => CONSTANTS,
    });
    let config = Config {
        max_call_depth: FRAMES,
        stack_frame_size: STACK_SIZE,
        enable_stack_frame_gaps: false,
        noop_instruction_rate: 0,
        sanitize_user_provided_values: false,
        enabled_sbpf_versions: DIALECT..=DIALECT,
        ..Config::default()
    };
    let loader = Arc::new(BuiltinProgram::new_loader(config));
    // The dialect finds functions by the numbers that calls have, here their positions.
    let mut functions = FunctionRegistry::default();
    for (start, routine) in routines.iter().zip(&program.routines) {
        let start = *start as usize;
        functions.register_function(start as u32, routine.name(), start).map_err(|e| broken(e.to_string()))?;
    }
    let code = Executable::from_text_bytes(&text, loader.clone(), DIALECT, functions);
    let code = code.map_err(|e| broken(e.to_string()))?;
    code.verify::<RequisiteVerifier>()
        .map_err(|e| broken(format!("the BPF machine does not accept the program: {e}")))?;
    // Where there is no compiler for the host, the machine interprets.
    let _ = code.jit_compile();
    let parts = Parts {
        frames: vec![CallFrame::default(); FRAMES],
        stack: vec![0; FRAMES * STACK_SIZE],
        state: vec![0; layout.size as usize],
        block: vec![0; target.block_size as usize],
        constants: program.constants,
        context: match target.areas {
            Areas::Maps | Areas::Arguments => None,
            Areas::Context(context) => {
                let ends = profile.context.iter().map(|field| field.offset.unwrap_or(0) + field.size);
                Some((vec![0; ends.max().unwrap_or(0) as usize], context))
            }
        },
        loader,
        code,
        insns: InsnBounds { run: 0, walk: 0 },
    };
    Ok(Vm { function: f.clone(), layout, parts })
}

impl Vm {
    /// The machine, for walks that are run step by step.
    pub(crate) fn machine(&mut self) -> &mut dyn Machine {
        &mut self.parts
    }
}

impl Executor for Vm {
    fn name(&self) -> &'static str {
        "vm"
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        super::args::check(&self.function, args)?;
        self.parts.insns = InsnBounds { run: 0, walk: 0 };
        let trace = steps::walk(&mut self.parts, &self.function, &self.layout, args, sources)?;
        sources.check().map_err(ExecError::Io)?;
        Ok(trace)
    }

    fn insns(&self) -> Option<InsnBounds> {
        Some(self.parts.insns)
    }
}

impl Parts {
    /// The status, from what the program returned or told the context. What the context says must agree with the state.
    fn wanted(&self, returned: u64) -> Result<u64, ExecError> {
        let Some((bytes, context)) = &self.context else { return Ok(returned) };
        let status = self.word(8 * word::STATUS);
        let reads = [Status::Hop, Status::Again].map(|s| s as u64).contains(&status);
        let offset = self.word(8 * word::OFFSET);
        let at = context.done as usize;
        let done = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let told = (returned, done != 0, get(bytes, context.next));
        if told != (0, !reads, if reads { offset } else { 0 }) {
            return Err(broken(format!("with status {status} a program told its hook {told:?}")));
        }
        Ok(status)
    }
}

/// Writes a word of the context.
fn put(bytes: &mut [u8], at: i16, word: u64) {
    bytes[at as usize..][..8].copy_from_slice(&word.to_le_bytes());
}

/// Reads a word of the context.
fn get(bytes: &[u8], at: i16) -> u64 {
    u64::from_le_bytes(bytes[at as usize..][..8].try_into().expect("eight bytes"))
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        let mut regions = vec![
            MemoryRegion::new(&raw mut *self.stack, MM_STACK_START),
            MemoryRegion::new(&raw mut *self.state, STATE),
            MemoryRegion::new(&raw const *self.block, BLOCK),
        ];
        if !self.constants.is_empty() {
            regions.push(MemoryRegion::new(&raw const *self.constants, CONSTANTS));
        }
        if let Some((bytes, context)) = &mut self.context {
            bytes.fill(0);
            put(bytes, context.data, BLOCK);
            put(bytes, context.scratch, STATE);
            regions.push(MemoryRegion::new(&raw mut **bytes, CONTEXT));
        }
        // SAFETY: the regions are vectors of bytes, which take any value. They belong to `self`, are neither moved nor looked at before
        // the mapping is dropped at this block's end, and do not overlap.
        let mapping = unsafe { MemoryMapping::new(regions, self.code.get_config(), DIALECT) };
        let mapping = mapping.map_err(|e| broken(e.to_string()))?;
        let mut surroundings = Surroundings { mapping, rest: INSNS_MAX };
        let mut vm = EbpfVm::new(self.loader.clone(), DIALECT, &mut surroundings, STACK_SIZE);
        (vm.registers[1], vm.registers[2]) = match self.context {
            Some(_) => (CONTEXT, 0),
            None => (STATE, BLOCK),
        };
        let (count, result) = vm.execute_program(&self.code, &mut ExecutionMode::PreferJit, &mut self.frames);
        drop(surroundings);
        self.insns = InsnBounds { run: self.insns.run.max(count), walk: self.insns.walk + count };
        match result {
            ProgramResult::Ok(returned) => self.wanted(returned),
            ProgramResult::Err(e) => Err(broken(format!("the BPF machine stopped the program: {e}"))),
        }
    }

    fn word(&self, offset: usize) -> u64 {
        let mut word = [0; 8];
        self.read_state(offset, &mut word);
        u64::from_le_bytes(word)
    }

    fn read_state(&self, offset: usize, bytes: &mut [u8]) {
        bytes.copy_from_slice(&self.state[offset..][..bytes.len()]);
    }

    fn reset_state(&mut self, offset: usize, args: &[u8]) {
        self.state.fill(0);
        self.state[offset..][..args.len()].copy_from_slice(args);
    }

    fn write_block(&mut self, bytes: &[u8]) {
        self.block[..bytes.len()].copy_from_slice(bytes);
    }
}

/// What the machine wants to know of its surroundings.
struct Surroundings {
    mapping: MemoryMapping,
    rest: u64,
}

impl ContextObject for Surroundings {
    fn consume(&mut self, amount: u64) {
        self.rest = self.rest.saturating_sub(amount);
    }
    fn get_remaining(&self) -> u64 {
        self.rest
    }
    fn active_mapping_ptr(&mut self) -> NonNull<MemoryMapping> {
        NonNull::from(&mut self.mapping)
    }
}
