//! What this machine's kernel has, from its own type information.

use libbpf_rs::btf::{Btf, types};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use trav_compiler::bpf::profile::Profile;

/// Helpers stand in no type information as functions; loading tells.
const HELPERS: [&str; 1] = ["bpf_dynptr_read"];

/// Whether the kernel has a thing of this name. It keeps what it has, and to read its type information takes longer than to load a program.
static KNOWN: Mutex<Option<HashMap<String, bool>>> = Mutex::new(None);

/// Whether the kernel has all functions that a profile names, and the structure as which its programs are registered; otherwise
/// what is missing.
pub fn functions(profile: &Profile) -> Result<(), String> {
    let functions = profile.calls.iter().filter(|name| !HELPERS.contains(&name.as_str()));
    let structures = profile.operations.iter().map(|operations| &operations.structure);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if functions.clone().chain(structures.clone()).any(|name| !known.contains_key(name)) {
        let btf = Btf::from_vmlinux().map_err(|e| format!("the kernel's type information cannot be read ({e})"))?;
        let has = |name: &String| btf.type_by_name::<types::Func<'_>>(name).is_some();
        known.extend(functions.clone().map(|name| (name.clone(), has(name))));
        let has = |name: &String| btf.type_by_name::<types::Struct<'_>>(name).is_some();
        known.extend(structures.clone().map(|name| (name.clone(), has(name))));
    }
    let missing: Vec<&str> = functions.chain(structures).filter(|name| !known[*name]).map(String::as_str).collect();
    match missing[..] {
        [] => Ok(()),
        _ => Err(format!("this kernel has no {}; Linux {} has", missing.join(", "), profile.kernel)),
    }
}
