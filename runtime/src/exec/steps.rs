//! The host side of [`abi`], whatever runs the steps: makes the reads that a step program asks for, and takes rows and the result.

use super::{ExecError, FaultReport, Hop, Outcome, Trace};
use crate::image::Sources;
use trav_compiler::bpf::abi::{self, StateLayout, Status, word};
use trav_compiler::ir::{FaultId, Function, SourceId};

/// A machine with a step program in it, its state area and its block area.
pub trait Machine {
    /// Runs one step; what the program returned.
    fn step(&mut self) -> Result<u64, ExecError>;
    /// The word at this byte offset in the state area.
    fn word(&self, offset: usize) -> u64;
    /// Copies from the state area.
    fn read_state(&self, offset: usize, bytes: &mut [u8]);
    /// Zeroes the state area, but for the arguments that begin at this offset.
    fn reset_state(&mut self, offset: usize, args: &[u8]);
    /// Copies into the block area, from its start.
    fn write_block(&mut self, bytes: &[u8]);
}

/// Runs one call. The arguments have been checked.
pub fn walk(
    machine: &mut dyn Machine,
    f: &Function,
    layout: &StateLayout,
    args: &[u8],
    sources: &Sources,
) -> Result<Trace, ExecError> {
    machine.reset_state(layout.args as usize, args);
    go_on(machine, f, layout, sources, None)
}

/// Goes on with a walk whose last run returned this status; from its start without one.
pub fn go_on(
    machine: &mut dyn Machine,
    f: &Function,
    layout: &StateLayout,
    sources: &Sources,
    mut last: Option<u64>,
) -> Result<Trace, ExecError> {
    let out = |machine: &dyn Machine| {
        let mut out = vec![0; layout.out_size as usize];
        machine.read_state(layout.out as usize, &mut out);
        out
    };
    let (mut hops, mut rows) = (Vec::new(), Vec::new());
    let outcome = loop {
        match advance(machine, f, sources, last.take(), &mut hops)? {
            Pause::Row => rows.push(out(machine)),
            Pause::Done if f.stream => break Outcome::Done(Vec::new()),
            Pause::Done => break Outcome::Done(out(machine)),
            Pause::Fault(report) => break Outcome::Fault(report),
        }
    };
    Ok(Trace { hops, rows, outcome })
}

/// Goes on with a walk that is no stream, to its result or its fault.
pub fn result(
    machine: &mut dyn Machine,
    f: &Function,
    layout: &StateLayout,
    out: &mut [u8],
    sources: &Sources,
    hops: &mut Vec<Hop>,
    last: Option<u64>,
) -> Result<Option<FaultReport>, ExecError> {
    match advance(machine, f, sources, last, hops)? {
        Pause::Row => Err(broken("a walk that is no stream gave a row".into())),
        Pause::Done => {
            machine.read_state(layout.out as usize, out);
            Ok(None)
        }
        Pause::Fault(report) => Ok(Some(report)),
    }
}

/// Why a walk pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A row is ready in the state area; it goes on when it is asked to.
    Row,
    /// It is over. The result is in the state area.
    Done,
    /// It is over, in a fault.
    Fault(FaultReport),
}

/// Runs a walk until it pauses, as [`go_on`] does. The reads that it makes go behind `hops`.
pub fn advance(
    machine: &mut dyn Machine,
    f: &Function,
    sources: &Sources,
    mut last: Option<u64>,
    hops: &mut Vec<Hop>,
) -> Result<Pause, ExecError> {
    loop {
        let returned = match last.take() {
            Some(status) => status,
            None => machine.step()?,
        };
        let header = |position: usize| machine.word(8 * position);
        match Status::from_word(returned) {
            Some(Status::Hop) => {
                let source = SourceId(header(word::SOURCE) as u32);
                let hop = Hop { source, offset: header(word::OFFSET), len: header(word::LEN) };
                let fault = FaultId(header(word::FAULT) as u32);
                hops.push(hop);
                if !read(machine, hop, abi::block_capacity(f), sources)? {
                    return Ok(Pause::Fault(FaultReport { fault, found: None, at: None }));
                }
            }
            Some(Status::Emit) => return Ok(Pause::Row),
            Some(Status::Again) => {}
            Some(Status::Done) => return Ok(Pause::Done),
            Some(Status::Fault) => return Ok(Pause::Fault(fault(machine)?)),
            None => return Err(broken(format!("a step returned {returned}"))),
        }
    }
}

/// Makes a read; false if it does not lie on its source.
fn read(machine: &mut dyn Machine, hop: Hop, capacity: u64, sources: &Sources) -> Result<bool, ExecError> {
    let image = sources.images.get(hop.source.index());
    let image = image.ok_or_else(|| ExecError::Arguments(format!("no image for source {}", hop.source)))?;
    if hop.offset.checked_add(hop.len).is_none_or(|end| end > image.len()) {
        return Ok(false);
    }
    if hop.len > capacity {
        return Err(broken(format!("a read of {} bytes, above its claim of {capacity}", hop.len)));
    }
    match image.bytes() {
        Some(bytes) => machine.write_block(&bytes[hop.offset as usize..][..hop.len as usize]),
        None => {
            let mut bytes = vec![0; hop.len as usize];
            image.read_at(hop.offset, &mut bytes).map_err(ExecError::Io)?;
            machine.write_block(&bytes);
        }
    }
    Ok(true)
}

fn fault(machine: &dyn Machine) -> Result<FaultReport, ExecError> {
    let header = |position: usize| machine.word(8 * position);
    let (fault, flags) = (header(word::FAULT), header(word::FLAGS));
    if fault == abi::TRAP {
        return Err(broken("a test failed that had been proved to hold".into()));
    }
    if fault == abi::MISALIGNED {
        let offset = header(word::FOUND);
        return Err(ExecError::Refused(format!(
            "the hook cannot read at byte {offset}: its offsets have an alignment"
        )));
    }
    let valid = |flag: u64, position: usize| (flags & flag != 0).then(|| header(position));
    Ok(FaultReport {
        fault: FaultId(fault as u32),
        found: valid(abi::FOUND_VALID, word::FOUND),
        at: valid(abi::AT_VALID, word::AT),
    })
}

/// What must not happen; the program is ours.
pub fn broken(what: String) -> ExecError {
    ExecError::Refused(format!("{what}\nthis is a bug of trav; please report it with the spec"))
}
