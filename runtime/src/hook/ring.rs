//! A program that submits its reads to a ring: many walks at once, one system call for all of them.

use super::cancel::{Deadline, Flag};
use super::{Ended, Options, Walker, enter, uring};
use crate::exec::kernel::load;
use crate::exec::steps::{self, Machine, broken};
use crate::exec::{ExecError, FaultReport, Hop, Trace};
use crate::image::Sources;
use libbpf_rs::{Link, MapCore, Object};
use memmap2::MmapRaw;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::time::Duration;
use trav_compiler::bpf::abi::{StateLayout, Status, TIMED_OUT, word as state_word};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::bpf::ring::{self, RINGS, RingLayout, word};
use trav_compiler::ir::verify::Verified;
use uring::Uring;

/// Where the ring's descriptor stands in the structure of functions as the kernel has it: behind the function's address.
const RING_FD_AT: usize = 8;

/// A traversal and a file.
pub(super) struct Ring {
    function: Verified,
    layout: StateLayout,
    parts: Parts,
}

/// In the order in which they go: the program is detached before its ring is closed.
struct Parts {
    _link: Link,
    _object: Object,
    ring: Uring,
    layout: RingLayout,
    deadline: Deadline,
    cancelled: Flag,
    _mapping: MmapRaw,
}

impl Ring {
    pub(super) fn attach(
        f: &Verified,
        layout: &StateLayout,
        elf: &[u8],
        profile: &Profile,
        file: &Path,
        options: &Options,
        cancelled: &Flag,
    ) -> Result<Ring, ExecError> {
        let refused = |what: &str, e: &dyn std::fmt::Display| ExecError::Refused(format!("{what} ({e})"));
        let settings = profile.ring.expect("an object was made for it");
        let ring_layout = RingLayout::of(f, &settings).expect("an object was made for it");
        let file = uring::open(file, options.direct)?;
        let ring = Uring::new(&ring_layout, &file, f.sources.len());
        let mut ring = ring.map_err(|e| refused("no io_uring that a program can drive", &e))?;
        let mut object = load::open(elf)?;
        for mut map in object.maps_mut() {
            if map.name().to_string_lossy().ends_with("_ops") {
                let value = map.initial_value_mut().ok_or_else(|| broken("no structure of functions".into()))?;
                let fd = (ring.as_fd().as_raw_fd() as u32).to_ne_bytes();
                value[RING_FD_AT..RING_FD_AT + 4].copy_from_slice(&fd);
            }
        }
        let mut object = load::load(object)?;
        let mut maps = object.maps_mut();
        let operations = maps.find(|map| map.name().to_string_lossy().ends_with("_ops"));
        let mut operations = operations.ok_or_else(|| broken("no structure of functions".into()))?;
        let link = operations.attach_struct_ops().map_err(|e| refused("the program cannot be attached", &e))?;
        drop(maps);
        let mapping = uring::map_file(&file)?;
        ring.set_word(header(word::ADDRESS), ring.address());
        ring.set_word(header(word::MAPPING), mapping.as_ptr() as u64);
        let deadline = Deadline::new(ring.memory().clone(), header(word::DEADLINE));
        let parts = Parts {
            _link: link,
            _object: object,
            ring,
            layout: ring_layout,
            deadline,
            cancelled: cancelled.clone(),
            _mapping: mapping,
        };
        Ok(Ring { function: f.clone(), layout: layout.clone(), parts })
    }
}

impl Walker for Ring {
    fn start(&mut self, timeout: Option<Duration>) {
        self.parts.deadline.set(enter::deadline(timeout));
    }

    fn deadlines(&self) -> Vec<Deadline> {
        vec![self.parts.deadline.clone()]
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

    fn many(
        &mut self,
        layout: &StateLayout,
        next: &mut dyn FnMut(&mut [u8]) -> bool,
        sources: &Sources,
        each: &mut dyn FnMut(usize, Ended<'_>),
    ) -> Result<(), ExecError> {
        let most = self.parts.layout.calls;
        let mut first = 0;
        let mut more = true;
        while more {
            let mut count = 0;
            while more && count < most {
                more = next(self.parts.arguments(count, layout));
                count += u32::from(more);
            }
            if count > 0 {
                self.parts.batch(count)?;
            }
            // A walk that is to go on does so in the first place, so all that have ended are taken first.
            let mut open = Vec::new();
            for call in 0..count {
                match self.parts.ended(call, layout) {
                    Some(out) => each(first + call as usize, Ended::Done(out)),
                    None => open.push((call, self.parts.state(call))),
                }
            }
            let (mut out, mut hops) = (vec![0; layout.out_size as usize], Vec::new());
            for (call, state) in open {
                hops.clear();
                let position = first + call as usize;
                match self.finish(&state, &mut out, sources, &mut hops)? {
                    None => each(position, Ended::Done(&out)),
                    Some(report) => each(position, Ended::Fault(report, &hops)),
                }
            }
            first += count as usize;
        }
        Ok(())
    }
}

impl Ring {
    /// Goes on with a walk of a batch, whose block is gone.
    fn finish(
        &mut self,
        state: &[u8],
        out: &mut [u8],
        sources: &Sources,
        hops: &mut Vec<Hop>,
    ) -> Result<Option<FaultReport>, ExecError> {
        self.parts.ring.write(self.parts.state_at(0), state);
        if self.parts.word(8 * state_word::ERROR) as i64 == i64::from(TIMED_OUT) {
            return Err(ExecError::Io(self.parts.cancelled.over()));
        }
        let status = self.parts.word(8 * state_word::STATUS);
        match Status::from_word(status) {
            None | Some(Status::Hop | Status::Done | Status::Fault) => {}
            // They go on in the block that they had.
            Some(Status::Emit | Status::Again) => {
                let header = |position: usize| self.parts.word(8 * position);
                let (source, offset, len) =
                    (header(state_word::SOURCE), header(state_word::OFFSET), header(state_word::LEN));
                let mut block = vec![0; len.min(self.parts.layout.block_stride.into()) as usize];
                if let Some(image) = sources.images.get(source as usize).filter(|_| !block.is_empty()) {
                    image.read_at(offset, &mut block).map_err(ExecError::Io)?;
                }
                self.parts.write_block(&block);
            }
        }
        let last = (status != 0).then_some(status);
        steps::result(&mut self.parts, &self.function, &self.layout, out, sources, hops, last)
    }
}

impl Parts {
    fn state_at(&self, call: u32) -> usize {
        (RINGS + self.layout.states + call * self.layout.state_stride) as usize
    }

    fn state(&self, call: u32) -> Vec<u8> {
        let mut state = vec![0; self.layout.state_size as usize];
        self.ring.read(self.state_at(call), &mut state);
        state
    }

    /// The result of a call, if it has one.
    fn ended(&self, call: u32, layout: &StateLayout) -> Option<&[u8]> {
        let at = self.state_at(call);
        let done = self.ring.word(at + 8 * state_word::STATUS) == Status::Done as u64;
        done.then(|| self.ring.bytes(at + layout.out as usize, layout.out_size as usize))
    }

    /// Where a call's arguments go; all of its state is zeroed.
    fn arguments(&mut self, call: u32, layout: &StateLayout) -> &mut [u8] {
        let state = self.ring.bytes_mut(self.state_at(call), self.layout.state_size as usize);
        state.fill(0);
        &mut state[layout.args as usize..][..layout.args_size as usize]
    }

    /// Runs the first calls until each has ended or wants something of user space.
    fn batch(&mut self, count: u32) -> Result<(), ExecError> {
        let RingLayout { walks, state_stride, block_stride, .. } = self.layout;
        let first = u64::from((count - 1) * state_stride);
        self.ring.set_word(header(word::NEXT), first);
        let start = self.layout.last_block() - (count.min(walks) - 1) * block_stride;
        self.ring.set_word(header(word::START), start.into());
        loop {
            match self.ring.enter() {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(ExecError::Io(e)),
            }
            let begun = self.ring.word(header(word::NEXT)) != first;
            return match self.ring.word(header(word::ERROR)) as i64 {
                0 if begun => Ok(()),
                0 => Err(broken("the ring's program did not find its file".into())),
                e => Err(broken(format!("the ring's program stopped with {e}"))),
            };
        }
    }
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        self.ring.set_word(self.state_at(0) + 8 * state_word::ERROR, 0);
        self.batch(1)?;
        match self.word(8 * state_word::ERROR) as i64 {
            error if error == i64::from(TIMED_OUT) => Err(ExecError::Io(self.cancelled.over())),
            _ => Ok(self.word(8 * state_word::STATUS)),
        }
    }

    fn word(&self, offset: usize) -> u64 {
        self.ring.word(self.state_at(0) + offset)
    }

    fn read_state(&self, offset: usize, bytes: &mut [u8]) {
        self.ring.read(self.state_at(0) + offset, bytes);
    }

    fn reset_state(&mut self, offset: usize, args: &[u8]) {
        let state = self.ring.bytes_mut(self.state_at(0), self.layout.state_size as usize);
        state.fill(0);
        state[offset..][..args.len()].copy_from_slice(args);
    }

    fn write_block(&mut self, bytes: &[u8]) {
        // A batch of one call is run there.
        let at = RINGS + self.layout.last_block();
        self.ring.write(at as usize, bytes);
    }
}

/// Where a header word stands in the memory.
fn header(position: usize) -> usize {
    (RINGS as usize).wrapping_add_signed(ring::header(position).into())
}
