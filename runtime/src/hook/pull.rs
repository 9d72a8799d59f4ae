//! A program that reads a file by calls: one run is as much of a walk as it can make alone.
//!
//! It finds the file by a mapping of this process, of which nothing but the address counts.

use super::{Options, Walker, uring};
use crate::exec::kernel::area::Area;
use crate::exec::kernel::load;
use crate::exec::steps::{self, Machine, broken};
use crate::exec::{ExecError, Trace};
use crate::image::Sources;
use libbpf_rs::{Object, ProgramInput};
use memmap2::MmapRaw;
use std::path::Path;
use trav_compiler::bpf::abi::{self, StateLayout, word};
use trav_compiler::ir::verify::Verified;

/// A traversal and a file.
pub(super) struct Pull {
    function: Verified,
    layout: StateLayout,
    parts: Parts,
}

struct Parts {
    object: Object,
    state: Area,
    block: Area,
    mapping: MmapRaw,
}

impl Pull {
    pub(super) fn attach(f: &Verified, elf: &[u8], file: &Path, options: &Options) -> Result<Pull, ExecError> {
        let layout = StateLayout::of(f).expect("an object was made for it");
        let object = load::load(load::open(elf)?)?;
        let state = load::map_area(&object, abi::STATE_SECTION, layout.size.into())?;
        let block = load::map_area(&object, abi::BLOCK_SECTION, abi::block_capacity(f))?;
        let mapping = uring::map_file(&uring::open(file, options.direct)?)?;
        let mut pull = Pull { function: f.clone(), layout, parts: Parts { object, state, block, mapping } };
        pull.parts.probe()?;
        Ok(pull)
    }
}

impl Walker for Pull {
    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        steps::walk(&mut self.parts, &self.function, &self.layout, args, sources)
    }
}

impl Parts {
    /// Runs the program without a file, to see whether the kernel runs it at all.
    fn probe(&mut self) -> Result<(), ExecError> {
        self.state.clear();
        self.run()
    }

    fn run(&mut self) -> Result<(), ExecError> {
        let program = self.object.progs_mut().next().ok_or_else(|| broken("an object without a program".into()))?;
        match program.test_run(ProgramInput::default()) {
            Ok(_) => Ok(()),
            Err(e) => Err(ExecError::Refused(format!("the kernel does not run the program ({e}); {}", load::RIGHTS))),
        }
    }
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        self.run()?;
        match self.word(8 * word::STATUS) {
            0 => Err(broken(format!("the program did not find its file ({})", self.word(8 * word::ERROR) as i64))),
            status => Ok(status),
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
        self.state.write(8 * word::MAPPING, &(self.mapping.as_ptr() as u64).to_ne_bytes());
    }

    fn write_block(&mut self, bytes: &[u8]) {
        self.block.write(0, bytes);
    }
}
