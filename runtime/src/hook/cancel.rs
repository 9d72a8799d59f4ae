//! Ending a hook's calls from another thread.

#![allow(unsafe_code, reason = "memory that is shared with the kernel and with another thread")]

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// A time that is long over, as a program's deadline.
const OVER: u64 = 1;

/// Ends a hook's calls from any thread. It may outlive the hook.
#[derive(Clone)]
pub struct Canceller {
    flag: Flag,
    deadlines: Arc<[Deadline]>,
}

impl Canceller {
    pub(super) fn new(flag: Flag, deadlines: Vec<Deadline>) -> Canceller {
        Canceller { flag, deadlines: deadlines.into() }
    }

    /// The call that is running ends before its next read, with ECANCELED, and so do later ones until
    /// [`Hook::revive`](super::Hook::revive). A read that has been begun is waited for.
    pub fn cancel(&self) {
        self.flag.0.store(true, Ordering::SeqCst);
        self.stop_programs();
    }

    /// Lets the programs know, if it is so.
    pub(super) fn renew(&self) {
        if self.flag.is_set() {
            self.stop_programs();
        }
    }

    pub(super) fn revive(&self) {
        self.flag.0.store(false, Ordering::SeqCst);
    }

    fn stop_programs(&self) {
        self.deadlines.iter().for_each(|deadline| deadline.set(OVER));
    }
}

/// Whether a call failed because it was cancelled.
pub fn is_cancelled(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ECANCELED)
}

/// Whether calls have been cancelled.
#[derive(Clone, Default)]
pub(super) struct Flag(Arc<AtomicBool>);

impl Flag {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Why a call that has run out of time ends.
    pub(super) fn over(&self) -> io::Error {
        match self.is_set() {
            true => io::Error::from_raw_os_error(libc::ECANCELED),
            false => io::Error::new(io::ErrorKind::TimedOut, "the walk did not end in the time that it was given"),
        }
    }
}

/// The word that holds a program's deadline. Two threads write it, both here.
#[derive(Clone)]
pub(super) struct Deadline {
    memory: Arc<memmap2::MmapRaw>,
    at: usize,
}

impl Deadline {
    /// A word at a multiple of eight bytes.
    pub(super) fn new(memory: Arc<memmap2::MmapRaw>, at: usize) -> Deadline {
        assert!(at.is_multiple_of(8) && at + 8 <= memory.len(), "the word lies in its memory");
        Deadline { memory, at }
    }

    /// Sets it, as `bpf_ktime_get_ns` counts; 0 for none.
    pub(super) fn set(&self, time: u64) {
        // SAFETY: an aligned word in a mapping that lives as long as `self`; it is not touched otherwise, but by the program.
        let word = unsafe { AtomicU64::from_ptr(self.memory.as_mut_ptr().add(self.at).cast()) };
        word.store(time, Ordering::SeqCst);
    }
}
