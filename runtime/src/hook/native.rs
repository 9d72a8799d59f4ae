//! Native code over pread(2), where no hook can be had. Streams run in the user-space BPF machine, since native code cannot be suspended.

use super::Walker;
use super::cancel::Deadline;
use crate::exec::steps::Machine;
use crate::exec::{ExecError, Executor, FaultReport, Hop, Outcome, Trace, native, vm};
use crate::image::Sources;
use std::time::Duration;
use trav_compiler::ir::verify::Verified;

pub(super) struct Native {
    function: Verified,
    code: native::Native,
    machine: Option<vm::Vm>,
}

impl Native {
    pub(super) fn prepare(f: &Verified) -> Result<Native, ExecError> {
        Ok(Native { function: f.clone(), code: native::prepare(f)?, machine: None })
    }
}

impl Walker for Native {
    /// All reads are made from here, where the time and the cancellation are looked at.
    fn start(&mut self, _: Option<Duration>) {}

    fn deadlines(&self) -> Vec<Deadline> {
        Vec::new()
    }

    fn machine(&mut self) -> Result<&mut dyn Machine, ExecError> {
        let machine = match self.machine.take() {
            Some(machine) => machine,
            None => vm::prepare(&self.function)?,
        };
        Ok(self.machine.insert(machine).machine())
    }

    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        self.code.run(args, sources)
    }

    fn result(
        &mut self,
        args: &[u8],
        out: &mut [u8],
        sources: &Sources,
        hops: &mut Vec<Hop>,
    ) -> Result<Option<FaultReport>, ExecError> {
        let trace = self.code.run(args, sources)?;
        hops.extend(trace.hops);
        match trace.outcome {
            Outcome::Done(result) => {
                out.copy_from_slice(&result);
                Ok(None)
            }
            Outcome::Fault(report) => Ok(Some(report)),
        }
    }
}
