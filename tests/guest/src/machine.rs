//! The virtual machine around the tests: file systems, modules, disks.

use std::ffi::CString;
use std::path::PathBuf;

/// Mounts what the tests need.
pub fn prepare() {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("bpf", "/sys/fs/bpf")] {
        mount(kind, kind, at, 0);
    }
    mount(&disk("trav-files").to_string_lossy(), "ext4", "/data", 0);
    // An init that has no memory limit of its own; older kernels charge maps to it.
    println!("guest: Linux {}", std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim());
}

/// Switches the machine off.
pub fn switch_off() -> ! {
    // SAFETY: no memory is passed. All has been printed.
    unsafe {
        libc::sync();
        libc::reboot(libc::RB_POWER_OFF);
    }
    unreachable!("the machine is off");
}

fn mount(what: &str, kind: &str, at: &str, flags: libc::c_ulong) {
    let _ = std::fs::create_dir_all(at);
    let [what, kind, at] = [what, kind, at].map(|s| CString::new(s).expect("no zero byte in a path"));
    // SAFETY: three strings that end in zero, and no data.
    let done = unsafe { libc::mount(what.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, std::ptr::null()) };
    let error = std::io::Error::last_os_error();
    assert!(done == 0, "{kind:?} can be mounted at {at:?}: {error}");
}

/// The disk with a serial number: their order is left to chance.
pub fn disk(serial: &str) -> PathBuf {
    for entry in std::fs::read_dir("/sys/block").expect("sysfs is mounted").flatten() {
        let found = std::fs::read_to_string(entry.path().join("device/serial"));
        if found.is_ok_and(|found| found.trim() == serial) {
            return PathBuf::from("/dev").join(entry.file_name());
        }
    }
    panic!("there is a disk with the serial number {serial}");
}

/// A fresh file with this content, in the page cache.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = PathBuf::from("/data").join(name);
    std::fs::write(&path, bytes).expect("the disk has room");
    std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("the disk takes it");
    path
}

/// Drops what the page cache has of a file.
pub fn drop_cache(path: &std::path::Path) {
    use std::os::fd::AsRawFd;
    let file = std::fs::File::open(path).expect("the file is there");
    file.sync_all().expect("the disk takes it");
    // SAFETY: a descriptor that is open.
    let done = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(done, 0);
}
