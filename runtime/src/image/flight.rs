//! Reads of files of which many are in flight at once, by io_uring (io_uring(7)), one at each *place*.
//!
//! The only `unsafe` here is to hand a read to the ring: see [`Flight::submit`].

#![allow(unsafe_code, reason = "the kernel writes into the buffers of reads that are in flight")]

use super::AsFile;
use io_uring::{IoUring, opcode, types};
use memmap2::MmapMut;
use std::io::{self, ErrorKind};
use std::ops::{Deref, DerefMut};
use std::os::fd::{AsRawFd, RawFd};

/// One entry of the ring reads at most so many.
const READ_MAX_BYTES: usize = 1 << 30;

/// Bytes that begin at a multiple of a power of two, at most that of a page.
pub(crate) struct Aligned(MmapMut);

impl Aligned {
    /// So many zeros, at least one.
    pub fn new(len: usize, align: usize) -> io::Result<Self> {
        let map = MmapMut::map_anon(len.max(1))?;
        assert!(map.as_ptr().addr().is_multiple_of(align), "a mapping begins at a page, and {align} is at most one");
        Ok(Aligned(map))
    }
}

impl Deref for Aligned {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// The aligned bytes around some bytes of a file.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    /// Where they begin.
    pub start: u64,
    /// How many they are.
    pub len: usize,
    /// Where in them the bytes begin.
    pub skip: usize,
}

impl AsFile<'_> {
    /// The bytes lie on the file, whose length is below 2^63.
    pub(crate) fn span(&self, offset: u64, len: usize) -> Span {
        let start = offset - offset % self.align as u64;
        let skip = (offset - start) as usize;
        Span { start, len: (skip + len).next_multiple_of(self.align), skip }
    }
}

/// A read that is in flight, or has come.
#[derive(Clone, Copy)]
struct Read {
    file: RawFd,
    align: usize,
    span: Span,
    /// Bytes wanted, and how many of the span have come.
    len: usize,
    done: usize,
}

/// Reads in flight.
pub(crate) struct Flight {
    ring: IoUring,
    places: Vec<(Aligned, Option<Read>)>,
    in_flight: usize,
}

impl Flight {
    /// With so many places. An error where the kernel has no io_uring for this process.
    pub fn new(places: usize) -> io::Result<Flight> {
        let ring = IoUring::new(u32::try_from(places.next_power_of_two()).unwrap_or(u32::MAX))?;
        let places = (0..places).map(|_| Ok((Aligned::new(1, 1)?, None)));
        Ok(Flight { ring, places: places.collect::<io::Result<_>>()?, in_flight: 0 })
    }

    /// Asks for bytes of a file, on which they lie. The place has no read in flight. An error where the ring was lost.
    pub fn ask(&mut self, place: usize, of: AsFile<'_>, offset: u64, len: usize) -> io::Result<()> {
        let lost = || io::Error::other("the ring has failed before");
        let (buffer, read) = self.places.get_mut(place).ok_or_else(lost)?;
        assert!(read.is_none(), "a place has one read at a time");
        let span = of.span(offset, len);
        if buffer.len() < span.len {
            *buffer = Aligned::new(span.len, of.align)?;
        }
        *read = Some(Read { file: of.file.as_raw_fd(), align: of.align, span, len, done: 0 });
        self.submit(place);
        Ok(())
    }

    /// Hands what is missing of a read to the ring. It reaches the kernel with the next [`wait`](Self::wait).
    fn submit(&mut self, place: usize) {
        let (buffer, read) = &mut self.places[place];
        let read = read.as_ref().expect("a read was asked for");
        let rest = &mut buffer[read.done..read.span.len.min(read.done + READ_MAX_BYTES)];
        let entry = opcode::Read::new(types::Fd(read.file), rest.as_mut_ptr(), rest.len() as u32)
            .offset(read.span.start + read.done as u64)
            .build()
            .user_data(place as u64);
        // SAFETY: the buffer is the place's own, at a fixed address. While the read is in flight, which `in_flight` and the place's `Read`
        // say, it is neither looked at (only `wait` does, when the read has come), replaced (`ask` asserts it) nor freed (`drop` waits).
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the ring has an entry for each place");
        self.in_flight += 1;
    }

    /// Waits until a read has come, and gives its place and bytes.
    pub fn wait(&mut self) -> io::Result<(usize, &[u8])> {
        let (place, Read { span, len, .. }) = loop {
            match self.completed()? {
                Some(come) => break come,
                None => match self.ring.submit_and_wait(1) {
                    Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
                    _ => {}
                },
            }
        };
        Ok((place, &self.places[place].0[span.skip..][..len]))
    }

    /// A place and its read, which has come in whole; none when nothing is there yet.
    fn completed(&mut self) -> io::Result<Option<(usize, Read)>> {
        loop {
            let Some(entry) = self.ring.completion().next() else { return Ok(None) };
            self.in_flight -= 1;
            let place = entry.user_data() as usize;
            let slot = &mut self.places[place].1;
            let mut read = slot.take().expect("a completion is of a read that was asked for");
            match entry.result() {
                error if error == -libc::EINTR => {}
                error @ ..0 => return Err(io::Error::from_raw_os_error(-error)),
                more => {
                    read.done += more as usize;
                    if read.done >= read.span.skip + read.len {
                        return Ok(Some((place, read)));
                    }
                    // A file that ends here was truncated; behind a rest that is not aligned it ends too.
                    if more == 0 || !(more as usize).is_multiple_of(read.align) {
                        return Err(ErrorKind::UnexpectedEof.into());
                    }
                }
            }
            *slot = Some(read);
            self.submit(place);
        }
    }

    /// Forgets all reads, once the kernel has done with them.
    pub fn cancel(&mut self) {
        while self.in_flight > 0 {
            if let Ok(None) = self.completed()
                && let Err(e) = self.ring.submit_and_wait(1)
                && e.kind() != ErrorKind::Interrupted
            {
                // The ring gives nothing back any more. Rather lose the buffers than have them written into when they are something else's.
                std::mem::forget(std::mem::take(&mut self.places));
                self.in_flight = 0;
                return;
            }
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.cancel();
    }
}
