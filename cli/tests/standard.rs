//! Standard formats through the command: their test items, and how much a walk reads.

use super::{file, folder, trav};
use serde_json::Value as Json;
use std::process::Command;

#[test]
fn test_items_hold_on_the_images_beside_them() {
    for name in ["ext4", "fat", "exfat", "mbr", "gpt", "qcow2", "iso9660", "swap"] {
        let ran = trav(&["test", &format!("stdlib/{name}.trav")]);
        assert_eq!(ran.status, Some(0), "{name}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("1 passed, 0 failed"), "{name}: {}", ran.out);
    }
}

/// A walk of the standard library that was compiled when the program was built does as the same text that is compiled now. (std.gpt is taken
/// ahead in debug builds too.)
#[test]
fn what_is_compiled_ahead_does_as_what_is_compiled_now() {
    let small = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/small/gpt.img");
    let mut damaged = std::fs::read(small).expect("a small image");
    damaged[512..1024].fill(0);
    let damaged = file("compiled-ahead", "damaged.img", damaged);
    let calls =
        [&["partition", "number=1"][..], &["partition", "number=1000000"], &["partitions"], &["open"], &["nothing"]];
    for (image, call) in [small, &damaged].into_iter().flat_map(|image| calls.map(|call| (image, call))) {
        for engine in ["native", "interp", "vm"] {
            let rest = ["--image", image, "--engine", engine, "--json", "--trace"];
            let [ahead, now] =
                ["std.gpt", "stdlib/gpt.trav"].map(|spec| trav(&[&["run", spec], call, &rest[..]].concat()));
            let out = now.out.replace("stdlib/", "std/");
            assert_eq!((ahead.status, ahead.out, ahead.err), (now.status, out, now.err), "{call:?} on {image}");
        }
    }
}

/// `open` keeps what superblock and descriptors say, so that a path costs the inode and the block of each directory on it, and nothing
/// for the file at its end, whose number stands in its entry.
#[test]
fn a_path_five_directories_deep_reads_what_the_file_system_needs() {
    let folder = folder("deep-path");
    let (source, image) = (folder.join("source"), folder.join("deep.img"));
    std::fs::create_dir_all(source.join("a/b/c/d/e")).expect("folders can be made");
    std::fs::write(source.join("a/b/c/d/e/file"), "deep").expect("a file can be written");
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-d"]).args([&source, &image]).arg("8M");
    match mke2fs.env("PATH", format!("{}:/sbin:/usr/sbin", std::env::var("PATH").unwrap_or_default())).status() {
        Ok(status) => assert!(status.success(), "mke2fs: {status}"),
        Err(error) => {
            println!("skipped, because mke2fs does not start: {error}");
            return;
        }
    }
    let image = image.to_str().expect("the target folder's name is text");
    let ran = trav(&["run", "std.ext4", "resolve", "path=/a/b/c/d/e/file", "--image", image, "--json", "--trace"]);
    let json: Json = serde_json::from_str(&ran.out).expect("one object");
    let lengths: Vec<u64> =
        json["trace"].as_array().expect("a list").iter().filter_map(|hop| hop["len"].as_u64()).collect();
    assert_eq!(lengths, [256, 4096].repeat(6), "an inode and a block for `/` and each of the five");
}

/// The standard library and the examples are written in the one style.
#[test]
fn the_specs_of_the_project_are_formatted() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut folders = vec![format!("{root}/stdlib")];
    let examples = std::fs::read_dir(format!("{root}/examples")).expect("the examples are in the repository");
    let paths = examples.map(|entry| entry.expect("a readable folder").path());
    folders.extend(paths.filter(|path| path.is_dir()).map(|path| path.display().to_string()));
    let files = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a readable folder"));
    let files: Vec<String> =
        files.map(|entry| entry.expect("a readable folder").path().display().to_string()).collect();
    let specs: Vec<&str> = files.iter().map(String::as_str).filter(|file| file.ends_with(".trav")).collect();
    assert!(specs.len() > 25, "{specs:?}");
    let ran = trav(&[&["fmt", "--check"][..], &specs].concat());
    assert_eq!((ran.status, ran.out.as_str()), (Some(0), ""), "{ran:?}");
}
