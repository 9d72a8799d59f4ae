//! `trav hooks`.

use crate::failure::{Failure, Status};
use crate::suggest::did_you_mean;
use clap::Args;
use std::io::Write;
use trav_compiler::bpf::profile::Profile;

/// List the hook profiles, or print one
#[derive(Debug, Args)]
pub struct Hooks {
    /// The profile to print
    name: Option<String>,
}

impl Hooks {
    pub fn run(self, out: &mut dyn Write) -> Result<Status, Failure> {
        let profiles = Profile::built_in();
        match &self.name {
            None => {
                for p in &profiles {
                    writeln!(out, "{:8} {}", p.name, p.summary)?;
                }
            }
            Some(name) => {
                let text = Profile::text(name).ok_or_else(|| unknown(name))?;
                out.write_all(text.as_bytes())?;
            }
        }
        Ok(Status::Good)
    }
}

/// A built-in profile by its name, or one of the user's own by its file.
pub fn profile(hook: &str) -> Result<Profile, Failure> {
    if let Some(profile) = Profile::named(hook) {
        return Ok(profile);
    }
    if !hook.contains(['/', '.']) {
        return Err(unknown(hook));
    }
    let text = std::fs::read_to_string(hook).map_err(|e| Failure::file("read", hook, &e))?;
    Profile::parse(&text).map_err(|e| Failure::call(format!("`{hook}` is no hook profile: {e}")))
}

fn unknown(name: &str) -> Failure {
    let all = Profile::built_in();
    let near = did_you_mean(name, all.iter().map(|p| p.name.as_str()));
    Failure::call(format!("there is no hook `{name}`{near}; `trav hooks` lists them"))
}
