//! An io_uring instance for a program that submits its reads itself: set-up, memory, entering.
//! The `unsafe` of the hooks is here.
//!
//! The rings and the submission entries stand in the memory region, as [`RingLayout`] says, so that the program finds all in one place. It reaches
//! them through the kernel's own mappings; here none is made but that of the region. Numbers and layouts are those of include/uapi/linux/io_uring.h;
//! the `io-uring` crate has no memory regions.

#![allow(unsafe_code, reason = "system calls of io_uring, and memory that is shared with the kernel")]

use crate::exec::ExecError;
use memmap2::{MmapMut, MmapOptions, MmapRaw};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use trav_compiler::bpf::ring::{RINGS, RingLayout};

const SETUP_CQSIZE: u32 = 1 << 3;
const SETUP_SUBMIT_ALL: u32 = 1 << 7;
const SETUP_SINGLE_ISSUER: u32 = 1 << 12;
const SETUP_DEFER_TASKRUN: u32 = 1 << 13;
const SETUP_NO_MMAP: u32 = 1 << 14;
const SETUP_NO_SQARRAY: u32 = 1 << 16;
const REGISTER_BUFFERS: u32 = 0;
const REGISTER_FILES: u32 = 2;
const REGISTER_RING_FDS: u32 = 20;
const UNREGISTER_RING_FDS: u32 = 21;
const REGISTER_MEM_REGION: u32 = 34;
const MEM_REGION_TYPE_USER: u32 = 1;
const ENTER_REGISTERED_RING: u32 = 1 << 4;
/// `struct io_uring_params` in words of 32 bits: its size, and where it has numbers and addresses.
const PARAMS_WORDS: usize = 30;
const CQ_ENTRIES: usize = 1;
const FLAGS: usize = 2;
const ENTRIES_ADDRESS: usize = 18;
const RINGS_ADDRESS: usize = 28;

/// Opens a file for reading.
pub fn open(path: &Path, direct: bool) -> Result<File, ExecError> {
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    file.map_err(|e| ExecError::Io(io::Error::new(e.kind(), format!("{}: {e}", path.display()))))
}

/// Maps a page of a file, by whose address programs find the file.
pub fn map_file(file: &File) -> Result<MmapRaw, ExecError> {
    MmapOptions::new().len(1).map_raw_read_only(file).map_err(ExecError::Io)
}

/// A ring with its memory region, file and buffer registered.
pub struct Uring {
    fd: OwnedFd,
    memory: Memory,
    /// The ring's number among this task's registered rings, which are few.
    registered: Option<u32>,
}

/// Memory shared with the kernel, page aligned.
struct Memory(Arc<MmapRaw>);

impl Uring {
    /// Makes a ring with its memory. The file stands for all sources.
    pub fn new(layout: &RingLayout, file: &File, sources: usize) -> io::Result<Uring> {
        let memory = Memory(Arc::new(MmapMut::map_anon(layout.size as usize)?.into()));
        let mut params = [0u32; PARAMS_WORDS];
        params[CQ_ENTRIES] = 2 * layout.walks;
        params[FLAGS] = SETUP_CQSIZE | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN | SETUP_NO_SQARRAY;
        params[FLAGS] |= SETUP_NO_MMAP | SETUP_SUBMIT_ALL;
        let rings = memory.0.as_ptr() as u64 + u64::from(RINGS);
        for (at, address) in [(RINGS_ADDRESS, rings), (ENTRIES_ADDRESS, rings + u64::from(layout.entries))] {
            (params[at], params[at + 1]) = (address as u32, (address >> 32) as u32);
        }
        // SAFETY: the kernel reads and writes the structure, which lives through the call, and pins the memory of rings and entries.
        let fd = check(unsafe { libc::syscall(libc::SYS_io_uring_setup, layout.walks, params.as_mut_ptr()) })?;
        // SAFETY: the kernel has just made this descriptor, and nobody else has it.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let mut ring = Uring { fd, memory, registered: None };
        ring.register_memory()?;
        let files = vec![file.as_raw_fd(); sources.max(1)];
        ring.register(REGISTER_FILES, files.as_ptr().cast(), files.len() as u32)?;
        let buffer = libc::iovec { iov_base: ring.memory.0.as_mut_ptr().cast(), iov_len: layout.size as usize };
        ring.register(REGISTER_BUFFERS, (&raw const buffer).cast(), 1)?;
        // struct io_uring_rsrc_update: offset (-1: any), reserved, data (the ring).
        let mut update = [u64::from(u32::MAX), ring.fd.as_raw_fd() as u64];
        // Entering is a little quicker then; without it all is as good.
        let registered = ring.register(REGISTER_RING_FDS, update.as_mut_ptr().cast_const().cast(), 1);
        ring.registered = registered.ok().map(|_| update[0] as u32);
        Ok(ring)
    }

    fn register_memory(&mut self) -> io::Result<()> {
        // struct io_uring_region_desc: address, size, flags and id, mmap offset, reserved.
        let mut region = [0u64; 8];
        region[0] = self.memory.0.as_ptr() as u64;
        region[1] = self.memory.0.len() as u64;
        region[2] = u64::from(MEM_REGION_TYPE_USER);
        // struct io_uring_mem_region_reg: the region's address, flags, reserved.
        let mut registration = [0u64; 4];
        registration[0] = region.as_mut_ptr() as u64;
        self.register(REGISTER_MEM_REGION, registration.as_ptr().cast(), 1)
    }

    fn register(&self, what: u32, arg: *const libc::c_void, count: u32) -> io::Result<()> {
        // SAFETY: `arg` points to what the operation reads and writes, which lives through the call; memory that the kernel keeps (region and buffer) it
        // pins, and `self` owns it.
        let done = unsafe { libc::syscall(libc::SYS_io_uring_register, self.fd.as_raw_fd(), what, arg, count) };
        check(done).map(|_| ())
    }

    /// Enters the ring: its program runs until it returns, or a signal comes ([`io::ErrorKind::Interrupted`]).
    pub fn enter(&self) -> io::Result<()> {
        let (ring, flags) = match self.registered {
            Some(number) => (number, ENTER_REGISTERED_RING),
            None => (self.fd.as_raw_fd() as u32, 0),
        };
        // SAFETY: no memory is passed.
        check(unsafe { libc::syscall(libc::SYS_io_uring_enter, ring, 0, 0, flags, 0, 0) }).map(|_| ())
    }

    /// The address of the rings.
    pub fn address(&self) -> u64 {
        self.memory.0.as_ptr() as u64 + u64::from(RINGS)
    }

    /// The word at a byte offset.
    pub fn word(&self, at: usize) -> u64 {
        let mut word = [0; 8];
        self.read(at, &mut word);
        u64::from_ne_bytes(word)
    }

    /// Sets the word at a byte offset.
    pub fn set_word(&mut self, at: usize, word: u64) {
        self.write(at, &word.to_ne_bytes());
    }

    /// The memory itself.
    pub fn memory(&self) -> &Arc<MmapRaw> {
        &self.memory.0
    }

    /// A part of the memory, neither the program's deadline nor the rings.
    pub fn bytes(&self, at: usize, len: usize) -> &[u8] {
        let start = self.part(at, len);
        // SAFETY: the part lies in the mapping, which lives as long as `self`. The kernel may be writing elsewhere in it, and the program runs
        // only in `Uring::enter`; another thread writes the program's deadline and nothing else.
        unsafe { std::slice::from_raw_parts(start, len) }
    }

    /// The same to be written.
    pub fn bytes_mut(&mut self, at: usize, len: usize) -> &mut [u8] {
        let start = self.part(at, len);
        // SAFETY: as in `bytes`, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(start, len) }
    }

    fn part(&self, at: usize, len: usize) -> *mut u8 {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.memory.0.len());
        assert!(inside, "{len} bytes at {at} lie in a region of {}", self.memory.0.len());
        self.memory.0.as_mut_ptr().wrapping_add(at)
    }

    /// Copies out of the memory.
    pub fn read(&self, at: usize, to: &mut [u8]) {
        to.copy_from_slice(self.bytes(at, to.len()));
    }

    /// Copies into the memory.
    pub fn write(&mut self, at: usize, from: &[u8]) {
        self.bytes_mut(at, from.len()).copy_from_slice(from);
    }
}

/// The task keeps a registered ring open, so it is taken out.
impl Drop for Uring {
    fn drop(&mut self) {
        if let Some(number) = self.registered {
            let update = [u64::from(number), 0];
            let _ = self.register(UNREGISTER_RING_FDS, update.as_ptr().cast(), 1);
        }
    }
}

impl AsFd for Uring {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn check(returned: libc::c_long) -> io::Result<i32> {
    match returned {
        ..0 => Err(io::Error::last_os_error()),
        fd => Ok(fd as i32),
    }
}
