//! Pages that a mapped file has lost: another process truncated it, or the device failed.
//!
//! Whoever touches such a page gets SIGBUS (mmap(2)), which would end the process. A handler, installed with the first mapping, looks
//! whether the address lies in a mapping of ours; then it puts zeros there and notes the loss, and the access is repeated. The walk
//! goes on with zeros, as it would with any other wrong bytes, and its executor then finds the note and gives an I/O error
//! instead of an answer. A SIGBUS that is not ours goes to whoever handled it before.

#![allow(unsafe_code, reason = "handles a signal")]

use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::{Once, OnceLock};

/// A range of addresses that the handler knows. Entries live forever and are used again, so the handler can walk them at any time.
struct Entry {
    in_use: AtomicBool,
    start: AtomicUsize,
    /// 0 while there is no range.
    end: AtomicUsize,
    lost: AtomicBool,
    next: AtomicPtr<Entry>,
}

static FIRST: AtomicPtr<Entry> = AtomicPtr::new(ptr::null_mut());
/// Whether any mapping has ever lost a page: as long as not, nobody needs to look further.
static ANY: AtomicBool = AtomicBool::new(false);
static PREVIOUS: OnceLock<libc::sigaction> = OnceLock::new();

/// Whether some mapping may have lost pages. Cheap.
#[inline]
pub fn any() -> bool {
    ANY.load(SeqCst)
}

/// A mapping that the handler watches as long as this lives.
#[derive(Debug)]
pub struct Watch(&'static Entry);

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start.load(SeqCst), self.end.load(SeqCst))
    }
}

impl Watch {
    /// Watches a mapping. It must be dropped before the mapping is.
    pub fn new(mapping: &[u8]) -> Watch {
        install();
        let entry = free_entry();
        let start = mapping.as_ptr().expose_provenance();
        entry.lost.store(false, SeqCst);
        entry.start.store(start, SeqCst);
        entry.end.store(start + mapping.len(), SeqCst);
        Watch(entry)
    }

    /// Whether pages of it were lost.
    pub fn lost(&self) -> bool {
        self.0.lost.load(SeqCst)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.end.store(0, SeqCst);
        self.0.in_use.store(false, SeqCst);
    }
}

fn entries() -> impl Iterator<Item = &'static Entry> {
    // SAFETY: entries are leaked, so each pointer in the list is good forever.
    let at = |p: &AtomicPtr<Entry>| unsafe { p.load(SeqCst).as_ref() };
    std::iter::successors(at(&FIRST), move |entry: &&'static Entry| at(&entry.next))
}

fn free_entry() -> &'static Entry {
    let take = |entry: &&Entry| entry.in_use.compare_exchange(false, true, SeqCst, SeqCst).is_ok();
    if let Some(entry) = entries().find(take) {
        return entry;
    }
    let entry: &'static mut Entry = Box::leak(Box::new(Entry {
        in_use: AtomicBool::new(true),
        start: AtomicUsize::new(0),
        end: AtomicUsize::new(0),
        lost: AtomicBool::new(false),
        next: AtomicPtr::new(ptr::null_mut()),
    }));
    let pointer: *mut Entry = entry;
    let mut first = FIRST.load(SeqCst);
    loop {
        // SAFETY: it was leaked above, and its fields are atomic.
        let entry: &'static Entry = unsafe { &*pointer };
        entry.next.store(first, SeqCst);
        match FIRST.compare_exchange(first, pointer, SeqCst, SeqCst) {
            Ok(_) => return entry,
            Err(other) => first = other,
        }
    }
}

fn install() {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| {
        let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = on_sigbus;
        // SAFETY: a zeroed `sigaction` is a good value; the handler has the signature that SA_SIGINFO wants and does only what
        // signal-safety(7) allows: atomics and system calls.
        unsafe {
            let mut previous: libc::sigaction = std::mem::zeroed();
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&mut action.sa_mask);
            if libc::sigaction(libc::SIGBUS, ptr::null(), &mut previous) == 0 {
                let _ = PREVIOUS.set(previous);
                libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
            }
        }
    });
}

extern "C" fn on_sigbus(_signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a good `siginfo_t`; for SIGBUS its address is set.
    let address = unsafe { (*info).si_addr() }.addr();
    if entries().any(|entry| mend(entry, address)) {
        return;
    }
    // Not ours: the access is repeated under whoever handled it before.
    if let Some(previous) = PREVIOUS.get() {
        // SAFETY: this is what `sigaction` gave.
        unsafe { libc::sigaction(libc::SIGBUS, previous, ptr::null_mut()) };
    }
}

/// Puts zeros from the address's page to the end of its mapping; false if it does not lie there.
fn mend(entry: &Entry, address: usize) -> bool {
    let range = || (entry.start.load(SeqCst), entry.end.load(SeqCst));
    let (start, end) = range();
    // Read twice, because the entry may just be given to another mapping.
    if !(start..end).contains(&address) || range() != (start, end) {
        return false;
    }
    // Noted first: another thread may see the zeros before this one goes on.
    entry.lost.store(true, SeqCst);
    ANY.store(true, SeqCst);
    // SAFETY: asks for a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as usize;
    let from = address & !(page - 1);
    // SAFETY: the pages belong to a mapping of ours that is being read and is only read; fresh zeros take their place.
    let zeros = unsafe {
        let (protection, flags) = (libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED);
        libc::mmap(ptr::with_exposed_provenance_mut(from), end - from, protection, flags, -1, 0)
    };
    zeros != libc::MAP_FAILED
}
