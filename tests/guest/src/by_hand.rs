//! What hooks replace, written by hand: many chains at once by io_uring, with what makes it quick (registered file, buffer and ring,
//! completions in the task).

use io_uring::{IoUring, opcode, types};
use memmap2::MmapMut;
use std::fs::File;
use std::os::fd::AsRawFd;

const WALKS: usize = 64;
const BLOCK: usize = 512;

/// The value at the end of each chain.
pub fn chase_many(file: &File, starts: &[u64]) -> Vec<u64> {
    let mut memory = MmapMut::map_anon(WALKS * BLOCK).expect("memory can be had");
    let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().setup_cqsize(128).build(WALKS as u32);
    let mut ring: IoUring = ring.expect("this kernel has io_uring");
    let buffer = libc::iovec { iov_base: memory.as_mut_ptr().cast(), iov_len: memory.len() };
    ring.submitter().register_files(&[file.as_raw_fd()]).expect("the file can be registered");
    // SAFETY: the memory outlives the ring's requests: all have completed when this returns.
    unsafe { ring.submitter().register_buffers(&[buffer]) }.expect("the memory can be registered");
    ring.submitter().register_ring_fd().ok();
    let mut answers = vec![0; starts.len()];
    let mut calls = [0; WALKS];
    let mut waiting = starts.iter().enumerate();
    let base = memory.as_mut_ptr();
    let read = |walk: usize, at: u64| {
        // SAFETY: the walk's own part of the memory.
        let to = unsafe { base.add(walk * BLOCK) };
        opcode::ReadFixed::new(types::Fixed(0), to, BLOCK as u32, 0).offset(at).build().user_data(walk as u64)
    };
    let mut wanted: Vec<_> = (0..WALKS)
        .zip(waiting.by_ref())
        .map(|(walk, (call, start))| {
            calls[walk] = call;
            read(walk, *start)
        })
        .collect();
    let mut left = starts.len();
    while left > 0 {
        // SAFETY: each entry reads into memory that is registered and its own.
        unsafe { ring.submission().push_multiple(&wanted) }.expect("there is an entry for each walk");
        wanted.clear();
        ring.submit_and_wait(1).expect("requests are taken");
        for done in ring.completion() {
            assert_eq!(done.result(), BLOCK as i32, "the disk works");
            let walk = done.user_data() as usize;
            // SAFETY: the read into this part has completed.
            let block = unsafe { std::slice::from_raw_parts(base.add(walk * BLOCK), 16) };
            let word = |at: usize| u64::from_le_bytes(block[at..at + 8].try_into().expect("eight bytes"));
            if word(0) != 0 {
                wanted.push(read(walk, word(0)));
                continue;
            }
            answers[calls[walk]] = word(8);
            left -= 1;
            if let Some((call, start)) = waiting.next() {
                calls[walk] = call;
                wanted.push(read(walk, *start));
            }
        }
    }
    answers
}

/// Reads of a disk's blocks, always four in flight.
pub struct Reads {
    ring: IoUring,
    memory: MmapMut,
    next: u64,
}

impl Reads {
    pub fn begin(file: &File) -> Reads {
        let memory = MmapMut::map_anon(4 * BLOCK).expect("memory can be had");
        let ring = IoUring::new(4).expect("this kernel has io_uring");
        ring.submitter().register_files(&[file.as_raw_fd()]).expect("the file can be registered");
        let mut reads = Reads { ring, memory, next: 0 };
        (0..4).for_each(|place| reads.ask(place));
        reads
    }

    fn ask(&mut self, place: u64) {
        let to = self.memory[place as usize * BLOCK..].as_mut_ptr();
        let read = opcode::Read::new(types::Fixed(0), to, BLOCK as u32).offset(self.next % 1000 * 512);
        // SAFETY: each place has one read at a time, and the memory outlives the ring.
        unsafe { self.ring.submission().push(&read.build().user_data(self.next << 8 | place)) }.expect("there is room");
        self.ring.submit().expect("requests are taken");
        self.next += 1;
    }

    /// Waits for one, compares it with the disk's content, and asks for another.
    pub fn turn(&mut self, image: &[u8]) {
        self.ring.submit_and_wait(1).expect("requests complete");
        let done = self.ring.completion().next().expect("one has completed");
        let (place, block) = (done.user_data() & 0xff, (done.user_data() >> 8) % 1000);
        assert_eq!(done.result(), BLOCK as i32, "the disk works");
        let (got, want) = (&self.memory[place as usize * BLOCK..][..BLOCK], &image[block as usize * BLOCK..][..BLOCK]);
        assert_eq!(got, want, "block {block}");
        self.ask(place);
    }
}

/// The memory is given back when nobody writes it any more.
impl Drop for Reads {
    fn drop(&mut self) {
        self.ring.submit_and_wait(4).expect("requests complete");
    }
}
