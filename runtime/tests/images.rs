//! Images: lengths, contents and errors.

use std::io::Write;
use std::path::PathBuf;
use trav_runtime::image::{FileImage, Image, MappedFile, MemoryImage, open};

fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("trav-{}-{name}", std::process::id()));
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

#[test]
fn all_kinds_read_the_same_bytes() {
    let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
    let path = file("same", &bytes);
    let images: [Box<dyn Image>; 3] = [
        Box::new(MappedFile::open(&path).unwrap()),
        Box::new(FileImage::open(&path).unwrap()),
        Box::new(MemoryImage::new(bytes.clone())),
    ];
    for image in images {
        assert_eq!(image.len(), 10_000);
        if let Some(all) = image.bytes() {
            assert_eq!(all, bytes);
        }
        let mut part = [0; 5];
        image.read_at(9_995, &mut part).unwrap();
        assert_eq!(part, bytes[9_995..]);
        assert!(image.read_at(9_996, &mut part).is_err());
        assert!(image.read_at(u64::MAX, &mut part).is_err());
    }
    std::fs::remove_file(path).unwrap();
}

#[test]
fn an_empty_file_is_an_image() {
    let path = file("empty", &[]);
    let image = open(&path).unwrap();
    assert!(image.is_empty());
    assert_eq!(image.bytes(), Some(&[][..]));
    assert!(FileImage::open(&path).unwrap().is_empty());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn errors_name_the_path_and_what_was_found() {
    let error = |path: &str| open(path).err().unwrap().to_string();
    assert_eq!(error("/"), "/: expected a file or a block device, found a directory");
    assert_eq!(error("/dev/null"), "/dev/null: expected a file or a block device, found a character device");
    assert!(error("/no/such/image").starts_with("/no/such/image: "));
}

#[test]
fn a_file_truncated_after_opening_is_an_error_by_positioned_reads() {
    let path = file("short", &[1; 4096]);
    let image = FileImage::open(&path).unwrap();
    file("short", &[1; 100]);
    assert!(image.read_at(4000, &mut [0; 10]).is_err());
    std::fs::remove_file(path).unwrap();
}
