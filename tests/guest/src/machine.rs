//! The virtual machine around the tests: file systems, modules, disks.

use std::ffi::CString;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::Once;

/// Mounts what the tests need, with or without their disk.
pub fn prepare(with_disk: bool) {
    for (kind, at) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev"), ("bpf", "/sys/fs/bpf")] {
        mount(kind, kind, at);
    }
    if with_disk {
        mount(&disk("trav-files").to_string_lossy(), "ext4", "/data");
    }
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

/// Takes a file system away, which writes all of it to its disk.
pub fn unmount(at: &str) {
    let path = CString::new(at).expect("no zero byte in a path");
    // SAFETY: a string that ends in zero.
    let done = unsafe { libc::umount(path.as_ptr()) };
    let error = std::io::Error::last_os_error();
    assert!(done == 0, "{at} can be unmounted: {error}");
}

/// Mounts a file system at a folder, which is made.
pub fn mount(what: &str, kind: &str, at: &str) {
    let _ = std::fs::create_dir_all(at);
    let [what, kind, at] = [what, kind, at].map(|s| CString::new(s).expect("no zero byte in a path"));
    // SAFETY: three strings that end in zero, and no data.
    let done = unsafe { libc::mount(what.as_ptr(), at.as_ptr(), kind.as_ptr(), 0, std::ptr::null()) };
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

/// A disk in memory of so many MiB: when it completes (0: at once, 2: by a timer) and after how many nanoseconds.
pub fn null_disk(name: &str, mebibytes: u32, irqmode: u32, nanoseconds: u32) -> PathBuf {
    let [size, irqmode, nanoseconds] = [mebibytes, irqmode, nanoseconds].map(|n| n.to_string());
    let settings = [("size", size), ("irqmode", irqmode), ("completion_nsec", nanoseconds)];
    null_block(name, &settings)
}

/// A disk in memory of so many MiB, some of whose 512-byte sectors cannot be read.
pub fn faulty_disk(mebibytes: u32, bad: std::ops::RangeInclusive<u64>) -> PathBuf {
    let bad = format!("+{}-{}", bad.start(), bad.end());
    null_block("faulty", &[("size", mebibytes.to_string()), ("badblocks", bad)])
}

fn null_block(name: &str, settings: &[(&str, String)]) -> PathBuf {
    let folder = std::path::Path::new("/sys/kernel/config");
    static READY: Once = Once::new();
    READY.call_once(|| {
        load("configfs", "");
        load("null_blk", "nr_devices=0");
        mount("configfs", "configfs", "/sys/kernel/config");
    });
    let device = folder.join("nullb").join(name);
    std::fs::create_dir(&device).expect("null_blk makes devices by configfs");
    let always = [("memory_backed", "1".to_owned()), ("blocksize", "512".to_owned())];
    for (name, value) in always.iter().chain(settings).chain(&[("power", "1".to_owned())]) {
        std::fs::write(device.join(name), value).unwrap_or_else(|e| panic!("{name} = {value}: {e}"));
    }
    let index = std::fs::read_to_string(device.join("index")).expect("a device has a number");
    // A device made by configfs has its folder's name, on older kernels a number.
    let named = PathBuf::from("/dev").join(name);
    let disk = if named.exists() { named } else { PathBuf::from(format!("/dev/nullb{}", index.trim())) };
    // As NVMe disks are set where speed counts: no scheduler, no search for requests to merge with, no statistics.
    let queue = std::path::Path::new("/sys/block").join(disk.file_name().expect("a device has a name")).join("queue");
    for (name, value) in [("scheduler", "none"), ("nomerges", "2"), ("iostats", "0")] {
        std::fs::write(queue.join(name), value).unwrap_or_else(|e| panic!("{name} = {value}: {e}"));
    }
    disk
}

/// Loads a module, if it is one of this kernel and not loaded yet.
fn load(name: &str, parameters: &str) {
    let Ok(file) = std::fs::File::open(format!("/modules/{name}.ko")) else { return };
    let parameters = CString::new(parameters).expect("no zero byte in parameters");
    // SAFETY: an open descriptor and a string that ends in zero.
    let done = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), parameters.as_ptr(), 0) };
    let error = std::io::Error::last_os_error();
    assert!(done == 0 || error.raw_os_error() == Some(libc::EEXIST), "module {name}: {error}");
}

/// A fresh file of this test, with this content, in the page cache.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let test = std::thread::current();
    let path = PathBuf::from("/data").join(format!("{}-{name}", test.name().unwrap_or_default()));
    std::fs::write(&path, bytes).expect("the disk has room");
    std::fs::File::open(&path).and_then(|file| file.sync_all()).expect("the disk takes it");
    path
}

/// Drops what the page cache has of a file.
pub fn drop_cache(path: &std::path::Path) {
    let file = std::fs::File::open(path).expect("the file is there");
    file.sync_all().expect("the disk takes it");
    // SAFETY: a descriptor that is open.
    let done = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(done, 0);
}
