//! FAT32: the clusters that `examples/fat` gives against those of mshowfat.

use super::{check_named, command, damaged, fault, folder, is_there, printed, spec, walk};
use crate::differential::{check_calls, memory};
use std::path::{Path, PathBuf};
use trav_compiler::ir::FaultKind;
use trav_runtime::exec::Trace;

/// A volume with clusters of 512 bytes. None where the tools are missing.
fn volume(name: &str) -> Option<PathBuf> {
    if !is_there("mkfs.fat", "dosfstools") || !is_there("mcopy", "mtools") {
        return None;
    }
    let folder = folder(name);
    let image = folder.join("disk.img");
    std::fs::File::create(&image).unwrap().set_len(40 << 20).unwrap();
    printed(command("mkfs.fat").args(["-F", "32", "-s", "1"]).arg(&image));
    let write = |name: &str, length: usize| {
        let file = folder.join(name);
        std::fs::write(&file, vec![b'x'; length]).unwrap();
        printed(command("mcopy").arg("-i").arg(&image).arg(&file).arg(format!("::/{name}")));
    };
    for n in 0..40 {
        write(&format!("small{n}"), 512 * (1 + n % 5));
    }
    for n in (0..40).step_by(2) {
        printed(command("mdel").arg("-i").arg(&image).arg(format!("::/small{n}")));
    }
    // Where the next free cluster is: not known, so the search begins at the first one, and the next files fill the gaps.
    let mut bytes = std::fs::read(&image).unwrap();
    bytes[512 + 492..512 + 496].fill(0xff);
    std::fs::write(&image, bytes).unwrap();
    write("large", 512 * 50);
    write("larger", 512 * 3000 + 1);
    Some(image)
}

/// The clusters of a file as mtools sees them: `::/large <5-7> <9>`.
fn shown(image: &Path, file: &str) -> Vec<u64> {
    let text = printed(command("mshowfat").arg("-i").arg(image).arg(format!("::/{file}")));
    let runs = text.split('<').skip(1).map(|run| run.split('>').next().unwrap());
    let number = |text: &str| text.parse::<u64>().unwrap();
    runs.flat_map(|run| match run.split_once('-') {
        Some((first, last)) => number(first)..=number(last),
        None => number(run)..=number(run),
    })
    .collect()
}

fn rows(trace: &Trace) -> Vec<u64> {
    trace.rows.iter().map(|row| u64::from_le_bytes(row[..].try_into().unwrap())).collect()
}

fn first(cluster: u64) -> Vec<(&'static str, String)> {
    vec![("first", cluster.to_string())]
}

#[test]
fn clusters_are_those_of_mtools() {
    let Some(image) = volume("fat-clusters") else { return };
    let spec = spec("fat");
    let files: Vec<Vec<u64>> =
        ["large", "larger", "small1", "small5", "small39"].map(|file| shown(&image, file)).into();
    assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [50, 3001, 2, 1, 5]);
    let gaps = files[0].windows(2).filter(|pair| pair[1] != pair[0] + 1).count();
    assert!(gaps > 10, "the file is in pieces: {:?}", files[0]);
    let bytes = memory(&std::fs::read(&image).unwrap());
    let calls: Vec<_> = files.iter().map(|clusters| (bytes.clone(), first(clusters[0]))).collect();
    for (trace, clusters) in check_named(&spec, "clusters", &calls).iter().zip(files) {
        assert_eq!(rows(trace), clusters);
        assert_eq!(trace.hops.len(), clusters.len());
    }
}

#[test]
fn a_damaged_volume_ends_in_the_fault_that_says_so() {
    let Some(image) = volume("fat-damaged") else { return };
    let spec = spec("fat");
    let chain = shown(&image, "large");
    let bytes = std::fs::read(&image).unwrap();
    let fat = 512 * usize::from(u16::from_le_bytes([bytes[14], bytes[15]]));
    // A free cluster, one with the number of none, one behind the last, a bad one.
    let entry = fat + 4 * chain[9] as usize;
    let images = [0u32, 1, 0x0fff_0000, 0x0fff_fff7].map(|next| damaged(&bytes, entry, &next.to_le_bytes()));
    for trace in check_named(&spec, "clusters", &images.map(|image| (image, first(chain[0])))) {
        assert_eq!(rows(&trace), chain[..10]);
        let (kind, message) = fault(walk(&spec, "clusters"), &trace);
        assert_eq!((kind, message.as_str()), (FaultKind::Fail, "cluster number outside the volume"));
    }

    // The signature, the sectors of a cluster, the sectors of a FAT and of the volume.
    let images =
        [(510, [0, 0]), (13, [0, 32]), (36, [1, 0]), (33, [0, 0])].map(|(at, with)| damaged(&bytes, at, &with));
    let open = walk(&spec, "open");
    let traces = check_calls(open, &images.iter().map(|image| (&[][..], image)).collect::<Vec<_>>());
    let faults: Vec<_> = traces.iter().map(|trace| fault(open, trace)).collect();
    assert!(faults[..2].iter().all(|(kind, _)| *kind == FaultKind::Corrupt), "{faults:?}");
    let messages: Vec<_> = faults[2..].iter().map(|(_, message)| message.as_str()).collect();
    assert_eq!(messages, ["the FAT is too small for the clusters", "the volume is smaller than its FATs"]);
}
