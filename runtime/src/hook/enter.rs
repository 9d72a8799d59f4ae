//! The system calls that run a program which reads a file by itself.

#![allow(unsafe_code, reason = "bpf(2) and ioctl(2)")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
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
