//! The system calls that run a program which reads a file by itself.

#![allow(unsafe_code, reason = "bpf(2) and ioctl(2)")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;
use trav_compiler::bpf::abi::IOCTL;

/// BPF_PROG_TEST_RUN (include/uapi/linux/bpf.h).
const TEST_RUN: libc::c_int = 10;

/// `union bpf_attr` as far as BPF_PROG_TEST_RUN needs it: the first of these words is the program's descriptor and, above it, what it
/// returned; the program has no context, input and output.
#[repr(C, align(8))]
struct TestRun([u64; 10]);

/// Runs a `syscall` program.
pub fn test_run(program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = TestRun([0; 10]);
    attributes.0[0] = program.as_raw_fd() as u64;
    let size = size_of::<TestRun>();
    // SAFETY: the kernel reads and writes the structure of `size` bytes, which lives through the call; the addresses in it are none.
    let done = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, &raw mut attributes, size) };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Enters the program that ioctl(2) on this file runs. It cancels the call; what else happens is that there is none.
pub fn ioctl(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the command is no driver's; the argument is no address.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), IOCTL as libc::Ioctl, 0) };
    let error = io::Error::last_os_error();
    match (done, error.raw_os_error()) {
        (..0, Some(libc::ECANCELED)) => Ok(()),
        (..0, _) => Err(error),
        _ => Err(io::Error::other("ioctl(2) passed")),
    }
}

/// This thread, as `bpf_get_current_pid_tgid` counts it.
pub fn thread() -> u64 {
    // SAFETY: no memory is passed.
    let thread = unsafe { libc::syscall(libc::SYS_gettid) } as u32;
    u64::from(std::process::id()) << 32 | u64::from(thread)
}

/// The time after so long, as `bpf_ktime_get_ns` counts it; 0 for no end.
pub fn deadline(timeout: Option<Duration>) -> u64 {
    let Some(timeout) = timeout else { return 0 };
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the structure lives through the call.
    let done = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    assert_eq!(done, 0, "every Linux has this clock");
    let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
    now.checked_add(timeout).and_then(|then| u64::try_from(then.as_nanos()).ok()).unwrap_or(u64::MAX)
}
