//! `trav explain`.

use crate::failure::{Failure, Status};
use crate::suggest::did_you_mean;
use clap::Args;
use std::io::Write;
use trav_compiler::texts;

/// Explain an error code
#[derive(Debug, Args)]
pub struct Explain {
    /// The code, such as E0501
    code: String,
}

impl Explain {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let code = self.code.to_ascii_uppercase();
        let page = texts::error_page(&code).ok_or_else(|| {
            let near = did_you_mean(&code, texts::error_codes());
            Failure::call(format!("there is no error code `{}`{near}", self.code))
        })?;
        out.write_all(page.as_bytes())?;
        Ok(Status::Good)
    }
}
