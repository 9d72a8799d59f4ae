//! A program that reads a file by calls: one run is as much of a walk as it can make alone.
//!
//! It is entered by BPF_PROG_TEST_RUN and finds the file by a mapping of this process, of which nothing but the address counts; or by
//! ioctl(2) on the file.

use super::cancel::{Deadline, Flag};
use super::{Options, Walker, enter, uring};
use crate::exec::kernel::area::Area;
use crate::exec::kernel::load;
use crate::exec::steps::{self, Machine, broken};
use crate::exec::{ExecError, FaultReport, Hop, Trace};
use crate::image::Sources;
use libbpf_rs::{Link, Object};
use memmap2::MmapRaw;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
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

struct Parts {
    /// One that reads only what is in the page cache, if blocks may be there; and one that waits.
    programs: Vec<Loaded>,
    /// The one that runs the walk.
    current: usize,
    file: File,
    /// By which programs that are entered without a file find it.
    mapping: MmapRaw,
    /// The thread that the programs serve.
    thread: u64,
    deadline: u64,
    cancelled: Flag,
    state_size: usize,
}

/// A program, in the order in which its parts go.
struct Loaded {
    entered: Entered,
    _object: Object,
    state: Area,
    deadline: Deadline,
    block: Area,
}

/// How a program is entered.
enum Entered {
    /// By BPF_PROG_TEST_RUN.
    TestRun(OwnedFd),
    /// By ioctl(2) on the file.
    Ioctl { _link: Link },
}

impl Pull {
    /// The objects are tried in order for each walk: when the first cannot make a read, the last one goes on behind it.
    pub(super) fn attach(
        f: &Verified,
        layout: &StateLayout,
        objects: &[Vec<u8>],
        profile: &Profile,
        file: &Path,
        options: &Options,
        cancelled: &Flag,
    ) -> Result<Pull, ExecError> {
        let load = |elf: &Vec<u8>| Loaded::new(f, layout, elf, profile);
        // Of several programs at one hook the kernel asks the last that was attached first.
        let mut programs = objects.iter().rev().map(load).collect::<Result<Vec<_>, _>>()?;
        programs.reverse();
        let file = uring::open(file, options.direct)?;
        let mapping = uring::map_file(&file)?;
        let thread = enter::thread();
        let parts = Parts {
            programs,
            current: 0,
            file,
            mapping,
            thread,
            deadline: 0,
            cancelled: cancelled.clone(),
            state_size: layout.size as usize,
        };
        let mut pull = Pull { function: f.clone(), layout: layout.clone(), parts };
        pull.parts.probe()?;
        pull.parts.let_run();
        Ok(pull)
    }
}

impl Loaded {
    fn new(f: &Verified, layout: &StateLayout, elf: &[u8], profile: &Profile) -> Result<Loaded, ExecError> {
        let object = load::load(load::open(elf)?)?;
        let state = load::map_area(&object, abi::STATE_SECTION, layout.size.into())?;
        let block = load::map_area(&object, abi::BLOCK_SECTION, abi::block_capacity(f))?;
        let mut programs = object.progs_mut();
        let program = programs.next().ok_or_else(|| broken("an object without a program".into()))?;
        let entered = match &profile.context[..] {
            [] => Entered::TestRun(program.as_fd().try_clone_to_owned().map_err(ExecError::Io)?),
            _ => {
                let refused = |e| ExecError::Refused(format!("the program cannot be attached ({e}); {}", load::RIGHTS));
                Entered::Ioctl { _link: program.attach().map_err(refused)? }
            }
        };
        drop(programs);
        let deadline = Deadline::new(state.memory().clone(), 8 * word::DEADLINE);
        Ok(Loaded { entered, _object: object, state, deadline, block })
    }

    fn run(&mut self, file: BorrowedFd<'_>, thread: u64) -> io::Result<()> {
        match &self.entered {
            Entered::TestRun(program) => enter::test_run(program.as_fd()),
            Entered::Ioctl { .. } => {
                // The thread may have other hooks, whose programs this call passes through.
                self.state.set_word(8 * word::OWNER, thread);
                let done = enter::ioctl(file);
                self.state.set_word(8 * word::OWNER, 0);
                done
            }
        }
    }
}

impl Walker for Pull {
    fn start(&mut self, timeout: Option<Duration>) {
        self.parts.deadline = enter::deadline(timeout);
        self.parts.let_run();
    }

    fn deadlines(&self) -> Vec<Deadline> {
        self.parts.programs.iter().map(|program| program.deadline.clone()).collect()
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
    /// Runs each program without a file that it can read, to see whether the kernel runs it at all.
    fn probe(&mut self) -> Result<(), ExecError> {
        let (_, no_file) = io::pipe().map_err(ExecError::Io)?;
        for current in (0..self.programs.len()).rev() {
            self.current = current;
            let program = &mut self.programs[current];
            program.state.clear();
            let why = match &program.entered {
                Entered::TestRun(_) => load::RIGHTS,
                Entered::Ioctl { .. } => "the BPF LSM is on with `bpf` in the kernel's parameter `lsm=`",
            };
            let refused = |e| ExecError::Refused(format!("the kernel does not run the program ({e}); {why}"));
            program.run(no_file.as_fd(), self.thread).map_err(refused)?;
        }
        Ok(())
    }

    /// Tells the programs where the file is mapped, and until when they may read.
    fn let_run(&mut self) {
        for program in &mut self.programs {
            program.state.set_word(8 * word::MAPPING, self.mapping.as_ptr() as u64);
            program.deadline.set(self.deadline);
        }
    }

    /// The last program takes the walk over: all but what `let_run` has written.
    fn take_over(&mut self) {
        let last = self.programs.len() - 1;
        for part in [0..8 * word::MAPPING, 8 * word::COUNT..self.state_size] {
            let mut words = vec![0; part.len()];
            self.programs[self.current].state.read(part.start, &mut words);
            self.programs[last].state.write(part.start, &words);
        }
        self.current = last;
    }
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        let run = self.programs[self.current].run(self.file.as_fd(), self.thread);
        run.map_err(|e| ExecError::Refused(format!("the kernel does not run the program ({e})")))?;
        let error = self.word(8 * word::ERROR) as i64;
        match self.word(8 * word::STATUS) {
            _ if error == i64::from(abi::TIMED_OUT) => Err(ExecError::Io(self.cancelled.over())),
            0 => Err(broken(format!("the program did not find its file ({error})"))),
            status => Ok(status),
        }
    }

    fn word(&self, offset: usize) -> u64 {
        self.programs[self.current].state.word(offset)
    }

    fn read_state(&self, offset: usize, bytes: &mut [u8]) {
        self.programs[self.current].state.read(offset, bytes);
    }

    fn reset_state(&mut self, offset: usize, args: &[u8]) {
        self.current = 0;
        let state = &mut self.programs[0].state;
        // All but what `let_run` has written.
        state.zero(0..8 * word::MAPPING);
        state.zero(8 * word::COUNT..self.state_size);
        state.write(offset, args);
    }

    /// A block that was read from here was not in the page cache, or there is something wrong with it: the program that waits goes on.
    fn write_block(&mut self, bytes: &[u8]) {
        if self.current + 1 < self.programs.len() {
            self.take_over();
        }
        self.programs[self.current].block.write(0, bytes);
    }
}
