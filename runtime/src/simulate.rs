//! A model of what a walk costs on a device: its reads by a program in user space, and by hooks at two places in the kernel.
//!
//! Each read passes the layers of the kernel down to the device and up again. A hook that follows pointers saves the layers above it
//! for every read but the first. The layers' times are those of Zhong et al., "XRP: In-Kernel Storage Functions with eBPF" (OSDI '22), table 1, for
//! a read of 512 bytes past the page cache on Linux 5.12 with ext4 on an Optane P5800X. The model knows no page cache, no queueing in the device and no
//! time of the walk's own steps, which take some tens of nanoseconds. With the paper's own walk (table 3, a B+tree of depth 1 to 6) it
//! agrees within 13 percent.

use crate::exec::Hop;

/// Nanoseconds that each layer of the kernel takes for one read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layers {
    /// From user space to the kernel and back.
    pub crossing: u64,
    /// The system call's own work.
    pub syscall: u64,
    /// The file system.
    pub file_system: u64,
    /// The block layer.
    pub block_layer: u64,
    /// The NVMe driver.
    pub driver: u64,
    /// In a driver's hook, to find where on the device the next block of the file lies (the paper's section 4).
    pub translation: u64,
}

/// The measured layers.
pub const LAYERS: Layers =
    Layers { crossing: 351, syscall: 199, file_system: 2006, block_layer: 379, driver: 113, translation: 96 };

/// Reads that a program with io_uring keeps going at once, for many walks.
pub const IN_FLIGHT: u64 = 32;

/// A device, by what one read takes on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Where the figures come from.
    pub source: String,
    /// Nanoseconds for a read of 512 bytes.
    pub read_ns: u64,
    /// Bytes that it moves in a microsecond; none where that is not known.
    pub bytes_per_us: Option<u64>,
}

impl Device {
    /// The devices that have names.
    pub fn named() -> Vec<Device> {
        let device = |name: &str, source: &str, read_ns, bytes_per_us| Device {
            name: name.into(),
            source: source.into(),
            read_ns,
            bytes_per_us: Some(bytes_per_us),
        };
        vec![
            device("optane", "Intel Optane P5800X: XRP (OSDI '22), table 1; 7.2 GB/s by its data sheet", 3224, 7200),
            device(
                "nand",
                "Intel P4610, flash: 490 us for six reads (issue 8 of xrp-project/XRP); 3.2 GB/s by its data sheet",
                78_600,
                3200,
            ),
        ]
    }

    /// Nanoseconds for one read.
    fn read(&self, bytes: u64) -> u64 {
        let more = bytes.saturating_sub(512);
        self.read_ns.saturating_add(self.bytes_per_us.map_or(0, |speed| more.saturating_mul(1000) / speed))
    }
}

/// A way of the reads through the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A program reads block after block.
    ReadLoop,
    /// A program keeps the reads of [`IN_FLIGHT`] walks going by io_uring.
    IoUring,
    /// A hook where system calls begin: for its next read the file system, the block layer and the driver are passed again.
    SyscallHook,
    /// A hook where the driver is told that a read is complete: only the driver is passed again.
    DriverHook,
}

impl Way {
    /// All, in the order of their speed.
    pub const ALL: [Way; 4] = [Way::ReadLoop, Way::IoUring, Way::SyscallHook, Way::DriverHook];

    /// As tables name it.
    pub fn name(self) -> &'static str {
        match self {
            Way::ReadLoop => "read loop",
            Way::IoUring => "io_uring",
            Way::SyscallHook => "syscall hook",
            Way::DriverHook => "driver hook",
        }
    }
}

/// What one walk takes by one way, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// From the call to the answer.
    pub latency: u64,
    /// Of a processor. The rest is waiting for the device, in which another walk can run.
    pub processor: u64,
}

/// What a walk with these reads takes.
pub fn cost(way: Way, hops: &[Hop], device: &Device, layers: Layers) -> Cost {
    let Layers { crossing, syscall, file_system, block_layer, driver, translation } = layers;
    let below = file_system + block_layer + driver;
    let waiting = hops.iter().fold(0, |sum: u64, hop| sum.saturating_add(device.read(hop.len)));
    let reads = hops.len() as u64;
    let first = reads.min(1);
    let kernel = match way {
        Way::ReadLoop | Way::IoUring => reads * (crossing + syscall + below),
        Way::SyscallHook => first * (crossing + syscall) + reads * below,
        Way::DriverHook => first * (crossing + syscall + below) + (reads - first) * (translation + driver),
    };
    let processor = match way {
        // One entry into the kernel serves the reads of many walks.
        Way::IoUring => reads * (crossing + syscall) / IN_FLIGHT + reads * below,
        _ => kernel,
    };
    Cost { latency: kernel.saturating_add(waiting), processor }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trav_compiler::ir::SourceId;

    /// A walk of as many reads of 512 bytes.
    fn walk(reads: u64) -> Vec<Hop> {
        (0..reads).map(|i| Hop { source: SourceId(0), offset: 512 * i, len: 512 }).collect()
    }

    /// Average lookups of BPF-KV by depth, in microseconds: read() and XRP (OSDI '22, table 3). A lookup reads the tree's nodes and the value.
    #[test]
    fn the_papers_lookups_are_met() {
        let measured =
            [(1, 13.4, 10.7), (2, 20.6, 14.2), (3, 27.4, 18.0), (4, 34.0, 21.7), (5, 41.5, 25.4), (6, 48.8, 29.3)];
        let optane = &Device::named()[0];
        for (depth, read, xrp) in measured {
            for (way, wanted) in [(Way::ReadLoop, read), (Way::DriverHook, xrp)] {
                let found = cost(way, &walk(depth + 1), optane, LAYERS).latency as f64 / 1e3;
                let off = (found - wanted) / wanted;
                assert!(off.abs() < 0.13, "{} at depth {depth}: {found} for {wanted} us", way.name());
            }
        }
    }

    #[test]
    fn no_way_is_slower_than_the_one_before() {
        for device in Device::named() {
            for reads in 0..20 {
                let costs = Way::ALL.map(|way| cost(way, &walk(reads), &device, LAYERS));
                assert!(costs.windows(2).all(|two| two[0].latency >= two[1].latency), "{reads}: {costs:?}");
                assert!(costs.iter().all(|c| c.processor <= c.latency), "{reads}: {costs:?}");
            }
        }
    }
}
