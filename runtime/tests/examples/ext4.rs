//! ext4: the answers of `examples/ext4` against those of debugfs, on an image made by mkfs.ext4.

#[path = "../../../examples/ext4/file.rs"]
mod file;

use super::{command, fault, folder, is_there, result, spec, walk};
use crate::differential::{check_all, check_calls, memory, words};
use std::path::PathBuf;
use trav_compiler::ir::FaultKind;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::Outcome;

/// An image with the file of the recipe on it.
struct Disk {
    path: PathBuf,
    bytes: Vec<u8>,
}

impl Disk {
    /// None where the tools are missing, which is printed.
    fn make(name: &str) -> Option<Disk> {
        if !is_there("mkfs.ext4", "e2fsprogs") || !is_there("debugfs", "e2fsprogs") {
            return None;
        }
        let folder = folder(name);
        std::fs::create_dir_all(folder.join("files")).unwrap();
        file::write(&folder.join("files/holes")).unwrap();
        let path = folder.join("disk.img");
        let mut mkfs = command("mkfs.ext4");
        mkfs.args(["-q", "-F", "-b", "1024", "-d"]).arg(folder.join("files")).arg(&path).arg("16M");
        let made = mkfs.output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let bytes = std::fs::read(&path).unwrap();
        Some(Disk { path, bytes })
    }

    /// The answers of debugfs to several requests, in order.
    fn ask(&self, requests: &[String]) -> Vec<String> {
        let script = self.path.with_file_name("requests");
        std::fs::write(&script, requests.join("\n")).unwrap();
        let output = command("debugfs").arg("-f").arg(&script).arg(&self.path).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split("debugfs: ").skip(1).map(|part| part.split_once('\n').unwrap().1.to_owned()).collect()
    }

    fn inode(&self) -> u64 {
        let text = self.ask(&["stat /holes".into()]).remove(0);
        let number = text.trim_start().strip_prefix("Inode: ").unwrap().split(' ').next().unwrap();
        number.parse().unwrap()
    }

    /// The arguments of `map`, with what `open` gives.
    fn arguments(&self, spec: &[Verified], inode: u64, block: u64) -> Vec<u8> {
        let opened = check_all(walk(spec, "open"), &[], &memory(&self.bytes));
        let Outcome::Done(mut args) = opened.outcome else { panic!("{opened:?}") };
        args.extend(words(&[inode, block]));
        args
    }
}

#[test]
fn blocks_are_where_debugfs_says() {
    let Some(disk) = Disk::make("ext4-blocks") else { return };
    let spec = spec("ext4");
    let inode = disk.inode();
    let blocks = 0..2 * file::EXTENTS + 2;
    let requests: Vec<String> = blocks.clone().map(|block| format!("bmap <{inode}> {block}")).collect();
    let expected: Vec<u64> = disk.ask(&requests).iter().map(|answer| answer.trim().parse().unwrap()).collect();
    assert_eq!(expected.iter().filter(|at| **at != 0).count() as u64, file::EXTENTS);

    let image = memory(&disk.bytes);
    let opened = disk.arguments(&spec, inode, 0);
    let args: Vec<Vec<u8>> = blocks.map(|block| [&opened[..opened.len() - 8], &words(&[block])].concat()).collect();
    let traces = check_calls(walk(&spec, "map"), &args.iter().map(|args| (&args[..], &image)).collect::<Vec<_>>());
    for (block, (trace, expected)) in traces.iter().zip(expected).enumerate() {
        let words = result(trace);
        // Present, start, written; a hole is 0 for debugfs.
        let found = if words[0] == 0 { 0 } else { words[1] };
        assert_eq!(found, expected, "block {block}: {trace:?}");
    }
    // The inode, and two levels below the root in it.
    assert_eq!(traces[0].hops.len(), 3);
}

#[test]
fn a_damaged_file_system_ends_in_the_fault_that_says_so() {
    let Some(disk) = Disk::make("ext4-damaged") else { return };
    let spec = spec("ext4");
    let map = walk(&spec, "map");
    let args = disk.arguments(&spec, disk.inode(), 0);
    let sound = check_all(map, &args, &memory(&disk.bytes));
    let [inode, inner, leaf] = [0, 1, 2].map(|hop| sound.hops[hop].offset as usize);
    let damaged = |at: usize, bytes: &[u8]| {
        let mut image = disk.bytes.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        check_all(map, &args, &memory(&image))
    };

    for (at, hops) in [(inode + 40, 1), (inner, 2), (leaf, 3)] {
        let trace = damaged(at, &[0, 0]);
        let (kind, message) = fault(map, &trace);
        assert_eq!((kind, trace.hops.len()), (FaultKind::Corrupt, hops));
        assert!(message.contains("magic"), "{message}");
    }
    // More entries than the node has room for: as `entries`, and as both that and `max`.
    for counts in [[0xff, 0xff, 84, 0], [0xff, 0xff, 0xff, 0xff]] {
        let trace = damaged(inner + 2, &counts);
        assert_eq!((fault(map, &trace).0, trace.hops.len()), (FaultKind::Corrupt, 2));
    }
    // The first entry of the inner node points past the device, or back to its own node.
    let beyond = damaged(inner + 12 + 4, &(16 * 1024u32).to_le_bytes());
    assert_eq!((fault(map, &beyond).0, beyond.hops.len()), (FaultKind::OutOfDevice, 3));
    let circle = damaged(inner + 12 + 4, &(inner as u32 / 1024).to_le_bytes());
    assert_eq!((fault(map, &circle).0, circle.hops.len()), (FaultKind::Limit, 6));

    let superblock = {
        let mut image = disk.bytes.clone();
        image[1024 + 0x38] ^= 1;
        check_all(walk(&spec, "open"), &[], &memory(&image))
    };
    assert_eq!(fault(walk(&spec, "open"), &superblock).0, FaultKind::Corrupt);
}
