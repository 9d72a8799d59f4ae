//! `trav disasm`.

use crate::failure::{Failure, Status};
use clap::Args;
use std::fs::File;
use std::io::{Read, Write};
use trav_compiler::bpf::disassemble;

/// The largest object that is read; the kernel takes a million instructions, which are 8 MiB.
const OBJECT_BYTES_MAX: u64 = 256 << 20;

/// Print the code of an eBPF object
#[derive(Debug, Args)]
pub struct Disasm {
    /// The object
    #[arg(value_name = "OBJ")]
    object: String,
}

impl Disasm {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let mut bytes = Vec::new();
        let read = File::open(&self.object).and_then(|f| f.take(OBJECT_BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(|e| Failure::file("read", &self.object, &e))?;
        let text = disassemble(&bytes).map_err(|e| Failure::call(format!("`{}`: {e}", self.object)))?;
        out.write_all(text.as_bytes())?;
        Ok(Status::Good)
    }
}
