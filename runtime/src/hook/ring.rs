//! A program that submits its reads to a ring: many walks at once, one system call for all of them.

use super::{Options, Walker, uring};
use crate::exec::kernel::load;
use crate::exec::steps::{self, Machine, broken};
use crate::exec::{ExecError, Outcome, Trace};
use crate::image::Sources;
use libbpf_rs::{Link, MapCore, Object};
use memmap2::MmapRaw;
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use trav_compiler::bpf::abi::{StateLayout, Status, word as state_word};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::bpf::ring::{RingLayout, word};
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
    mapping: MmapRaw,
}

impl Ring {
    pub(super) fn attach(
        f: &Verified,
        elf: &[u8],
        profile: &Profile,
        file: &Path,
        options: &Options,
    ) -> Result<Ring, ExecError> {
        let refused = |what: &str, e: &dyn std::fmt::Display| ExecError::Refused(format!("{what} ({e})"));
        let settings = profile.ring.expect("an object was made for it");
        let ring_layout = RingLayout::of(f, &settings).expect("an object was made for it");
        let file = uring::open(file, options.direct)?;
        let ring = Uring::new(ring_layout.walks, ring_layout.size, &file, f.sources.len());
        let ring = ring.map_err(|e| refused("no io_uring that a program can drive", &e))?;
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
        let parts = Parts { _link: link, _object: object, ring, layout: ring_layout, mapping };
        let layout = StateLayout::of(f).expect("an object was made for it");
        Ok(Ring { function: f.clone(), layout, parts })
    }
}

impl Walker for Ring {
    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        steps::walk(&mut self.parts, &self.function, &self.layout, args, sources)
    }

    fn walk_many(
        &mut self,
        mut calls: &mut dyn Iterator<Item = Vec<u8>>,
        sources: &Sources,
        each: &mut dyn FnMut(usize, Trace),
    ) -> Result<(), ExecError> {
        let most = self.parts.layout.calls;
        let mut first = 0;
        loop {
            let mut count = 0;
            for args in (&mut calls).take(most as usize) {
                self.parts.lay_out(count, self.layout.args, &args);
                count += 1;
            }
            if count == 0 {
                return Ok(());
            }
            self.parts.batch(count)?;
            // A walk that is to go on does so in the first place, so all that have ended are taken first.
            let mut open = Vec::new();
            for call in 0..count {
                match self.ended(call) {
                    Some(trace) => each(first + call as usize, trace),
                    None => open.push((call, self.parts.state(call))),
                }
            }
            for (call, state) in open {
                each(first + call as usize, self.finish(&state, sources)?);
            }
            first += count as usize;
        }
    }
}

impl Ring {
    /// The trace of a call that has a result.
    fn ended(&self, call: u32) -> Option<Trace> {
        let at = self.parts.state_at(call);
        let status = self.parts.ring.word(at + 8 * state_word::STATUS);
        if status != Status::Done as u64 || self.function.stream {
            return None;
        }
        let mut out = vec![0; self.layout.out_size as usize];
        self.parts.ring.read(at + self.layout.out as usize, &mut out);
        Some(Trace { hops: Vec::new(), rows: Vec::new(), outcome: Outcome::Done(out) })
    }

    /// Goes on with a walk of a batch, whose block is gone.
    fn finish(&mut self, state: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        self.parts.ring.write(self.parts.state_at(0), state);
        let status = self.parts.word(8 * state_word::STATUS);
        let last = match Status::from_word(status) {
            None | Some(Status::Hop | Status::Done | Status::Fault) => status,
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
                status
            }
        };
        let last = (last != 0).then_some(last);
        steps::go_on(&mut self.parts, &self.function, &self.layout, sources, last)
    }
}

impl Parts {
    fn state_at(&self, call: u32) -> usize {
        (self.layout.states + call * self.layout.state_stride) as usize
    }

    fn state(&self, call: u32) -> Vec<u8> {
        let mut state = vec![0; self.layout.state_size as usize];
        self.ring.read(self.state_at(call), &mut state);
        state
    }

    /// Writes a call's arguments into a state area of zeroes.
    fn lay_out(&mut self, call: u32, args_at: u32, args: &[u8]) {
        let at = self.state_at(call);
        self.ring.clear(at, self.layout.state_size as usize);
        self.ring.write(at + args_at as usize, args);
    }

    /// Runs the first calls until each has ended or wants something of user space.
    fn batch(&mut self, count: u32) -> Result<(), ExecError> {
        let mut set = |position: usize, value: u64| self.ring.set_word(8 * position, value);
        set(word::COUNT, count.into());
        set(word::NEXT, 0);
        set(word::STARTED, 0);
        let blocks = self.ring.address() + u64::from(self.layout.blocks);
        self.ring.set_word(8 * word::BLOCKS, blocks);
        self.ring.set_word(8 * word::MAPPING, self.mapping.as_ptr() as u64);
        loop {
            match self.ring.enter() {
                Ok(()) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) => return Err(ExecError::Io(e)),
            }
            match self.ring.word(8 * word::ERROR) as i64 {
                0 => return Ok(()),
                e => return Err(broken(format!("the ring's program stopped with {e}"))),
            }
        }
    }
}

impl Machine for Parts {
    fn step(&mut self) -> Result<u64, ExecError> {
        self.ring.set_word(self.state_at(0) + 8 * state_word::ERROR, 0);
        self.batch(1)?;
        Ok(self.word(8 * state_word::STATUS))
    }

    fn word(&self, offset: usize) -> u64 {
        self.ring.word(self.state_at(0) + offset)
    }

    fn read_state(&self, offset: usize, bytes: &mut [u8]) {
        self.ring.read(self.state_at(0) + offset, bytes);
    }

    fn reset_state(&mut self, offset: usize, args: &[u8]) {
        self.lay_out(0, offset as u32, args);
    }

    fn write_block(&mut self, bytes: &[u8]) {
        let at = self.layout.blocks as usize;
        self.ring.write(at, bytes);
    }
}
