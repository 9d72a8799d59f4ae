//! Loading objects with libbpf, and what it says when it cannot.

use super::super::ExecError;
use super::super::steps::broken;
use super::area::Area;
use libbpf_rs::query::{ProgInfoIter, ProgInfoQueryOptions};
use libbpf_rs::{ErrorKind, Map, MapCore, Object, ObjectBuilder, OpenObject, PrintLevel, Program};
use nix::sys::signal::{SigSet, SigmaskHow};
use std::cell::RefCell;
use std::os::fd::AsFd;
use std::sync::Once;

/// What a process needs to load programs.
pub const RIGHTS: &str = "programs are loaded by root, or with CAP_BPF and CAP_PERFMON";
/// Lines of the verifier's log that an error shows.
const LOG_LINES: usize = 20;

/// What the kernel makes of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The program.
    pub name: String,
    /// Instructions that the verifier has looked at; those on several ways count several times.
    pub verified: u32,
    /// Instructions after verification.
    pub insns: usize,
    /// Bytes of machine code; 0 without a compiler.
    pub machine_bytes: usize,
}

/// Has the kernel verify an object's programs, and takes them out again. A rejection comes with the end of the verifier's log, in which the
/// lines of the spec stand before the instructions that they became.
pub fn verify(elf: &[u8]) -> Result<Vec<Account>, ExecError> {
    let object = load(open(elf)?)?;
    let account = |program: Program<'_>| {
        let id = Program::id_from_fd(program.as_fd());
        let id = id.map_err(|e| broken(format!("a loaded program has a number ({e})")))?;
        let options = ProgInfoQueryOptions::default().include_xlated_prog_insns(true).include_jited_prog_insns(true);
        let info = ProgInfoIter::with_query_opts(options).find(|info| info.id == id);
        let info =
            info.ok_or_else(|| ExecError::Refused(format!("the kernel tells nothing of its programs; {RIGHTS}")))?;
        Ok(Account {
            name: program.name().to_string_lossy().into_owned(),
            verified: info.verified_insns,
            insns: info.xlated_prog_insns.len() / 8,
            machine_bytes: info.jited_prog_insns.len(),
        })
    };
    object.progs().map(account).collect()
}

/// Reads an object.
pub(crate) fn open(elf: &[u8]) -> Result<OpenObject, ExecError> {
    capture_log();
    LOG.with_borrow_mut(String::clear);
    let mut builder = ObjectBuilder::default();
    let open = builder.name("trav").and_then(|b| b.open_memory(elf));
    open.map_err(|e| broken(format!("the object cannot be read ({e}):\n{}", log_tail())))
}

/// Loads its programs into the kernel. The verifier breaks off with EAGAIN when the thread has a signal to handle (`signal_pending` in
/// `do_check`, kernel/bpf/verifier.c), and a program whose signals come faster than its verification ends would never be loaded: they wait.
pub(crate) fn load(object: OpenObject) -> Result<Object, ExecError> {
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK).map_err(|e| ExecError::Io(e.into()))?;
    let loaded = object.load().map_err(rejected);
    before.thread_set_mask().map_err(|e| ExecError::Io(e.into()))?;
    loaded
}

/// The value of the map that a section became. The loader puts the object's name before some sections' names.
pub(crate) fn map_area(object: &Object, section: &str, len: u64) -> Result<Area, ExecError> {
    let named = |map: &Map<'_>| map.name().to_str().is_some_and(|name| name.ends_with(section));
    let map = object.maps().find(named);
    let map = map.ok_or_else(|| broken(format!("no section `{section}`")))?;
    // A mapping is never empty.
    Area::map(map.as_fd(), len.max(1) as usize).map_err(ExecError::Io)
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

thread_local! {
    /// What libbpf said on this thread since the last load; it prints the verifier's log as a warning.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Makes libbpf talk to [`LOG`] and not to the standard error.
pub(crate) fn capture_log() {
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
