//! A map of the kernel, mapped into this process: how the harness and the program exchange bytes without system calls.
//! The only `unsafe` of the kernel executor is here.

#![allow(unsafe_code, reason = "memory that is shared with the kernel")]

use memmap2::{MmapOptions, MmapRaw};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

/// The value of a one-element array map with `BPF_F_MMAPABLE`.
#[derive(Debug)]
pub(crate) struct Area {
    map: Arc<MmapRaw>,
}

impl Area {
    /// Maps the first `len` bytes of the map's value.
    pub fn map(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        Ok(Area { map: Arc::new(MmapOptions::new().len(len).map_raw(fd.as_raw_fd())?) })
    }

    /// The mapping itself.
    pub fn memory(&self) -> &Arc<MmapRaw> {
        &self.map
    }

    /// The word at a byte offset.
    #[inline]
    pub fn word(&self, at: usize) -> u64 {
        self.assert_inside(at, 8);
        // SAFETY: as in `read`.
        unsafe { self.map.as_ptr().add(at).cast::<u64>().read_unaligned() }
    }

    /// Sets the word at a byte offset.
    #[inline]
    pub fn set_word(&mut self, at: usize, word: u64) {
        self.assert_inside(at, 8);
        // SAFETY: as in `read`.
        unsafe { self.map.as_mut_ptr().add(at).cast::<u64>().write_unaligned(word) }
    }

    /// Copies out of the area.
    pub fn read(&self, at: usize, to: &mut [u8]) {
        self.assert_inside(at, to.len());
        // SAFETY: the range lies inside the mapping, which lives as long as `self`. Only the program writes it besides us, and it runs
        // only inside the system call that this thread makes; no reference into the mapping is ever made.
        unsafe { std::ptr::copy_nonoverlapping(self.map.as_ptr().add(at), to.as_mut_ptr(), to.len()) }
    }

    /// Copies into the area.
    pub fn write(&mut self, at: usize, from: &[u8]) {
        self.assert_inside(at, from.len());
        // SAFETY: as in `read`.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.map.as_mut_ptr().add(at), from.len()) }
    }

    /// Zeroes the area.
    pub fn clear(&mut self) {
        self.zero(0..self.map.len());
    }

    /// Zeroes a part of the area.
    pub fn zero(&mut self, part: std::ops::Range<usize>) {
        self.assert_inside(part.start, part.len());
        // SAFETY: as in `read`.
        unsafe { std::ptr::write_bytes(self.map.as_mut_ptr().add(part.start), 0, part.len()) }
    }

    #[inline]
    fn assert_inside(&self, at: usize, len: usize) {
        let inside = at.checked_add(len).is_some_and(|end| end <= self.map.len());
        assert!(inside, "{len} bytes at {at} lie in an area of {}", self.map.len());
    }
}
