//! What this machine's kernel has, from its own type information.

use libbpf_rs::btf::{Btf, types};
use trav_compiler::bpf::profile::Profile;

/// Helpers stand in no type information as functions; loading tells.
const HELPERS: [&str; 1] = ["bpf_dynptr_read"];

/// Whether the kernel has all functions that a profile names, and the structure as which its programs are registered; otherwise
/// what is missing.
pub fn functions(profile: &Profile) -> Result<(), String> {
    let btf = Btf::from_vmlinux().map_err(|e| format!("the kernel's type information cannot be read ({e})"))?;
    let missing =
        |name: &&String| !HELPERS.contains(&name.as_str()) && btf.type_by_name::<types::Func<'_>>(name).is_none();
    let structure = profile.operations.iter().map(|operations| &operations.structure);
    let structure = structure.filter(|name| btf.type_by_name::<types::Struct<'_>>(name).is_none());
    let missing: Vec<&str> = profile.calls.iter().filter(missing).chain(structure).map(String::as_str).collect();
    match missing[..] {
        [] => Ok(()),
        _ => Err(format!("this kernel has no {}; Linux {} has", missing.join(", "), profile.kernel)),
    }
}
