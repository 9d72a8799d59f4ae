//! The kernel executor: the emitted object in this machine's kernel, one `BPF_PROG_TEST_RUN` a step.
//!
//! The harness is the host side of [`abi`]: it makes the reads that the program asks for, and takes rows and the result. The state
//! and block areas are mapped, so a step costs one system call. What runs is the object's instructions under the kernel's
//! verifier and JIT, in a `classifier` program, which needs no hook.
//!
//! A program that the kernel's verifier rejects is a bug of trav; the error says so and has the end of the verifier's log, which
//! names the lines of the spec.

mod area;

use super::{ExecError, Executor, FaultReport, Hop, Outcome, Trace};
use crate::image::Sources;
use area::Area;
use libbpf_rs::{ErrorKind, Map, MapCore, Object, ObjectBuilder, PrintLevel, ProgramInput, ProgramType};
use std::cell::RefCell;
use std::os::fd::AsFd;
use std::sync::Once;
use trav_compiler::bpf::abi::{self, StateLayout, Status, word};
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::{FaultId, SourceId};

/// The section of a program that `BPF_PROG_TEST_RUN` can run on every kernel and every loader knows.
const SECTION: &str = "classifier";
/// An Ethernet header, the least that a `classifier` program can be run on. The program does not look at it.
const PACKET: [u8; 14] = [0; 14];
const RIGHTS: &str = "the kernel executor needs root, or CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN";
/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 20;

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

/// A traversal loaded in the kernel.
pub struct Kernel {
    function: Verified,
    layout: StateLayout,
    capacity: u64,
    object: Object,
    state: Area,
    block: Area,
}

impl Kernel {
    /// Loads an object that was emitted for this function alone.
    pub fn load(f: &Verified, elf: &[u8]) -> Result<Kernel, ExecError> {
        available().map_err(ExecError::Refused)?;
        let layout = StateLayout::of(f).ok_or_else(|| ExecError::Refused("the state area would pass 2 GiB".into()))?;
        let capacity = abi::block_capacity(f);
        LOG.with_borrow_mut(String::clear);
        let mut builder = ObjectBuilder::default();
        let open = builder.name("trav").and_then(|b| b.open_memory(elf));
        let open = open.map_err(|e| broken(format!("the object cannot be read ({e}):\n{}", log_tail())))?;
        let object = open.load().map_err(rejected)?;
        let state = map_area(&object, abi::STATE_SECTION, layout.size as usize)?;
        let block = map_area(&object, abi::BLOCK_SECTION, capacity as usize)?;
        Ok(Kernel { function: f.clone(), layout, capacity, object, state, block })
    }

    /// Runs one step.
    fn step(&self) -> Result<Status, ExecError> {
        let program = self.object.progs_mut().find(|p| p.section() == SECTION);
        let program = program.ok_or_else(|| broken(format!("no program in section `{SECTION}`")))?;
        let input = ProgramInput { data_in: Some(&PACKET), ..Default::default() };
        let output = program
            .test_run(input)
            .map_err(|e| ExecError::Refused(format!("the kernel does not run the program ({e}); {RIGHTS}")))?;
        Status::from_word(output.return_value.into())
            .ok_or_else(|| broken(format!("a program returned {}", output.return_value)))
    }

    fn header(&self, position: usize) -> u64 {
        self.state.word(position * 8)
    }

    fn out(&self) -> Vec<u8> {
        let mut out = vec![0; self.layout.out_size as usize];
        self.state.read(self.layout.out as usize, &mut out);
        out
    }

    fn fault(&self) -> Result<FaultReport, ExecError> {
        let (fault, flags) = (self.header(word::FAULT), self.header(word::FLAGS));
        if fault >= self.function.faults.len() as u64 {
            return Err(broken(format!("a program ended in fault {fault:#x}, which is not in its table")));
        }
        Ok(FaultReport {
            fault: FaultId(fault as u32),
            found: (flags & abi::FOUND_VALID != 0).then(|| self.header(word::FOUND)),
            at: (flags & abi::AT_VALID != 0).then(|| self.header(word::AT)),
        })
    }

    /// Makes the read that the program asked for. Gives the fault if it does not lie on its source.
    fn read(&mut self, hop: Hop, sources: &Sources) -> Result<Option<FaultReport>, ExecError> {
        let image = sources
            .images
            .get(hop.source.index())
            .ok_or_else(|| ExecError::Arguments(format!("no image for source {}", hop.source)))?;
        let end = hop.offset.checked_add(hop.len);
        if end.is_none_or(|end| end > image.len()) {
            let fault = FaultId(self.header(word::FAULT) as u32);
            return Ok(Some(FaultReport { fault, found: None, at: None }));
        }
        if hop.len > self.capacity {
            return Err(broken(format!("a read of {} bytes, above its claim of {}", hop.len, self.capacity)));
        }
        match image.bytes() {
            Some(bytes) => self.block.write(0, &bytes[hop.offset as usize..][..hop.len as usize]),
            None => {
                let mut bytes = vec![0; hop.len as usize];
                image.read_at(hop.offset, &mut bytes).map_err(ExecError::Io)?;
                self.block.write(0, &bytes);
            }
        }
        Ok(None)
    }
}

impl Executor for Kernel {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn run(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        super::args::check(&self.function, args)?;
        self.state.clear();
        self.state.write(self.layout.args as usize, args);
        let (mut hops, mut rows) = (Vec::new(), Vec::new());
        let outcome = loop {
            match self.step()? {
                Status::Hop => {
                    let hop = Hop {
                        source: SourceId(self.header(word::SOURCE) as u32),
                        offset: self.header(word::OFFSET),
                        len: self.header(word::LEN),
                    };
                    hops.push(hop);
                    if let Some(report) = self.read(hop, sources)? {
                        break Outcome::Fault(report);
                    }
                }
                Status::Emit => rows.push(self.out()),
                Status::Done if self.function.stream => break Outcome::Done(Vec::new()),
                Status::Done => break Outcome::Done(self.out()),
                Status::Fault => break Outcome::Fault(self.fault()?),
            }
        };
        Ok(Trace { hops, rows, outcome })
    }
}

/// The value of the map that a section became. The loader puts the object's name before some sections' names.
fn map_area(object: &Object, section: &str, len: usize) -> Result<Area, ExecError> {
    let named = |map: &Map<'_>| map.name().to_str().is_some_and(|name| name.ends_with(section));
    let map = object.maps().find(named);
    let map = map.ok_or_else(|| broken(format!("no section `{section}`")))?;
    // A mapping is never empty.
    Area::map(map.as_fd(), len.max(1)).map_err(ExecError::Io)
}

/// Why the kernel did not take an object.
fn rejected(e: libbpf_rs::Error) -> ExecError {
    if e.kind() == ErrorKind::PermissionDenied {
        let log = log_tail();
        // EACCES with a log is the verifier's verdict, EPERM without one a lack of rights.
        if log.is_empty() {
            return ExecError::Refused(format!("the kernel does not load programs for this process; {RIGHTS}"));
        }
    }
    broken(format!("the kernel's verifier rejected the program ({e}):\n{}", log_tail()))
}

/// What must not happen; the object is ours.
fn broken(what: String) -> ExecError {
    ExecError::Refused(format!("{what}\nthis is a bug of trav; please report it with the spec"))
}

thread_local! {
    /// What libbpf said on this thread since the last load; it prints the verifier's log as a warning.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes libbpf talk to [`LOG`] and not to the standard error.
fn capture_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let keep = |_: PrintLevel, text: String| LOG.with_borrow_mut(|log| log.push_str(&text));
        libbpf_rs::set_print(Some((PrintLevel::Warn, keep)));
    });
}

fn log_tail() -> String {
    LOG.with_borrow(|log| {
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    })
}
