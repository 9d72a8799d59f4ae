//! A program that reads a file by calls: one run is as much of a walk as it can make alone.
//!
//! It is entered by BPF_PROG_TEST_RUN and finds the file by a mapping of this process, of which nothing but the address counts; or by
//! ioctl(2) on the file.

use super::{Options, Walker, enter, timed, uring};
use crate::exec::kernel::area::Area;
use crate::exec::kernel::load;
use crate::exec::steps::{self, Machine, broken};
use crate::exec::{ExecError, FaultReport, Hop, Trace};
use crate::image::Sources;
use libbpf_rs::{Link, Object};
use memmap2::MmapRaw;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;
use trav_compiler::bpf::abi::{self, StateLayout, word};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::verify::Verified;

/// A traversal and a file.
pub(super) struct Pull {
    function: Verified,
    layout: StateLayout,
    parts: Parts,
}

/// In the order in which they go.
struct Parts {
    entered: Entered,
    object: Object,
    state: Area,
    block: Area,
    /// The thread that the program serves.
    thread: u64,
    deadline: u64,
}

/// How the program is entered.
enum Entered {
    /// By BPF_PROG_TEST_RUN; it finds the file by this mapping.
    TestRun(MmapRaw),
    /// By ioctl(2) on the file.
    Ioctl { _link: Link, file: File },
}

impl Pull {
    pub(super) fn attach(
        f: &Verified,
        layout: &StateLayout,
        elf: &[u8],
        profile: &Profile,
        file: &Path,
        options: &Options,
    ) -> Result<Pull, ExecError> {
        let object = load::load(load::open(elf)?)?;
        let state = load::map_area(&object, abi::STATE_SECTION, layout.size.into())?;
        let block = load::map_area(&object, abi::BLOCK_SECTION, abi::block_capacity(f))?;
        let file = uring::open(file, options.direct)?;
        let entered = match &profile.context[..] {
            [] => Entered::TestRun(uring::map_file(&file)?),
            _ => {
                let mut program = object.progs_mut();
                let program = program.next().ok_or_else(|| broken("an object without a program".into()))?;
                let refused = |e| ExecError::Refused(format!("the program cannot be attached ({e}); {}", load::RIGHTS));
                Entered::Ioctl { _link: program.attach().map_err(refused)?, file }
            }
        };
        let mut pull = Pull {
            function: f.clone(),
            layout: layout.clone(),
            parts: Parts { entered, object, state, block, thread: enter::thread(), deadline: 0 },
        };
        pull.parts.probe()?;
        Ok(pull)
    }
}

impl Walker for Pull {
    fn start(&mut self, timeout: Option<Duration>) {
        self.parts.deadline = enter::deadline(timeout);
        self.parts.state.set_word(8 * word::DEADLINE, self.parts.deadline);
    }

    fn machine(&mut self) -> Result<&mut dyn Machine, ExecError> {
        Ok(&mut self.parts)
    }

    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        steps::walk(&mut self.parts, &self.function, &self.layout, args, sources)
    }

    fn result(
        &mut self,
        args: &[u8],
        out: &mut [u8],
        sources: &Sources,
        hops: &mut Vec<Hop>,
    ) -> Result<Option<FaultReport>, ExecError> {
        self.parts.reset_state(self.layout.args as usize, args);
        steps::result(&mut self.parts, &self.function, &self.layout, out, sources, hops, None)
    }
}

impl Parts {
    /// Runs the program without a file that it can read, to see whether the kernel runs it at all.
    fn probe(&mut self) -> Result<(), ExecError> {
        self.state.clear();
        let refused =
            |e: io::Error, why: &str| ExecError::Refused(format!("the kernel does not run the program ({e}); {why}"));
        match &self.entered {
            Entered::TestRun(_) => self.run().map_err(|e| refused(e, load::RIGHTS)),
            Entered::Ioctl { .. } => {
                self.state.set_word(8 * word::OWNER, self.thread);
                let (_, no_file) = io::pipe().map_err(ExecError::Io)?;
                let why = "the BPF LSM is on with `bpf` in the kernel's parameter `lsm=`";
                enter::ioctl(no_file.as_fd()).map_err(|e| refused(e, why))
            }
        }
    }

    fn run(&self) -> io::Result<()> {
        match &self.entered {
            Entered::TestRun(_) => {
                let program =
                    self.object.progs().next().ok_or_else(|| io::Error::other("an object without a program"))?;
                enter::test_run(program.as_fd())
            }
            Entered::Ioctl { file, .. } => enter::ioctl(file.as_fd()),
        }
    }
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        self.run().map_err(|e| ExecError::Refused(format!("the kernel does not run the program ({e})")))?;
        match self.word(8 * word::STATUS) {
            _ if self.word(8 * word::ERROR) as i64 == i64::from(abi::TIMED_OUT) => Err(ExecError::Io(timed::over())),
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
        self.state.set_word(8 * word::DEADLINE, self.deadline);
        match &self.entered {
            Entered::TestRun(mapping) => self.state.set_word(8 * word::MAPPING, mapping.as_ptr() as u64),
            Entered::Ioctl { .. } => self.state.set_word(8 * word::OWNER, self.thread),
        }
    }

    fn write_block(&mut self, bytes: &[u8]) {
        self.block.write(0, bytes);
    }
}
