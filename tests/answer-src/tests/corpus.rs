//! Queries about images that the formats' own tools make, answered by the program: `tests/corpus/*.py` make images and queries, `score.py`
//! compares.
//!
//! Each test makes a few small variants; the scripts without a list of variants make all of them, and the damaged images of the larger
//! formats, for each of which an unoptimised compiler takes seconds. Where a tool is not installed the script
//! says so, and the test has nothing to compare.

use std::path::{Path, PathBuf};
use std::process::Command;
use trav_runtime::exec::{Engine, kernel};

/// The folder of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Debian's Python has the modules that `tests/setup` installs; another one may come first in the path.
const DEBIANS_PYTHON: &str = "/usr/bin/python3";

/// Runs a script and gives what it printed; none where Python is not installed.
fn python(script: &str, args: &[&str]) -> Option<(bool, String)> {
    let program = if Path::new(DEBIANS_PYTHON).exists() { DEBIANS_PYTHON } else { "python3" };
    let output = match Command::new(program).arg("-B").arg(scripts().join(script)).args(args).output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped, because python3 does not start: {error}");
            return None;
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout) + &text(&output.stderr)))
}

/// Scores the program on a folder with images and queries: natively on all, and on some with all engines, which must do the same.
fn score(folder: &str) {
    score_on(folder, &[Engine::Native], &[]);
    let works = |engine: &Engine| *engine != Engine::Kernel || kernel::available().is_ok();
    let engines: Vec<Engine> = Engine::ALL.into_iter().filter(works).collect();
    score_on(folder, &engines, &["--one-process", "--images", "6", "--every", "40"]);
}

/// Scores the program on the queries that `options` leave. Each walk runs on all these engines.
fn score_on(folder: &str, engines: &[Engine], options: &[&str]) {
    let engines: String = engines.iter().map(|engine| format!(" --engine {}", engine.name())).collect();
    // Debug builds compile the specs slowly, on machines that are busy with other tests.
    let program = format!("{} --seconds 110{engines}", env!("CARGO_BIN_EXE_answer"));
    let arguments = [&[folder, &program, "--seconds", "120"], options].concat();
    let Some((is_right, text)) = python("score.py", &arguments) else { return };
    assert!(is_right, "{text}");
    let all = text.lines().find_map(|l| l.strip_prefix("all ")).expect("score.py counts all queries");
    println!("{}", all.trim());
}

/// Makes some variants of a family, and scores the program on them.
fn family(script: &str, variants: &[&str]) {
    family_in(script, script, variants);
}

/// The same in a folder of this name.
fn family_in(folder: &str, script: &str, variants: &[&str]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(folder);
    let folder = folder.to_str().expect("the target folder's name is text");
    let args: Vec<&str> = std::iter::once(folder).chain(variants.iter().copied()).collect();
    let Some((is_made, text)) = python(script, &args) else { return };
    assert!(is_made, "{text}");
    match text.lines().find(|l| l.starts_with("skipped, because") || l.contains(": not made: ")) {
        Some(reason) => println!("{script}: skipped, because {reason}"),
        None => score(folder),
    }
}

#[test]
fn ext() {
    family("ext.py", &["rev0", "1k"]);
}

/// Linux makes the first block of a list the root of a hash tree when the list grows, and leaves what it does not need.
#[test]
fn ext_directory_that_linux_made() {
    use std::os::unix::fs::MetadataExt;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("linux");
    let (image, mounted) = (folder.join("disk.img"), folder.join("mounted"));
    std::fs::create_dir_all(&mounted).expect("a folder can be made");
    let run = |program: &str, args: &[&std::ffi::OsStr]| match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            println!("skipped, because {program} says {}", String::from_utf8_lossy(&output.stderr));
            false
        }
        Err(error) => {
            println!("skipped, because {program} does not start: {error}");
            false
        }
    };
    std::fs::write(&image, vec![0; 8 << 20]).expect("an image can be made");
    let made = run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), "-b".as_ref(), "1024".as_ref(), image.as_ref()])
        && run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_ref(), mounted.as_ref()]);
    if !made {
        return;
    }
    let names: Vec<String> = (0..300).map(|i| format!("file{i}")).collect();
    std::fs::create_dir(mounted.join("many")).expect("a directory can be made");
    let mut queries = String::new();
    for name in &names {
        let file = mounted.join("many").join(name);
        std::fs::write(&file, name).expect("a file can be made");
        let inode = std::fs::metadata(&file).expect("the file is there").ino();
        queries += &format!(
            "{{\"id\":\"{name}\",\"image\":\"disk.img\",\"format\":\"ext4\",\"traversal\":\"ext.path\",\
             \"args\":{{\"path\":\"/many/{name}\"}},\"expect\":{{\"inode\":{inode}}}}}\n"
        );
    }
    assert!(run("umount", &[mounted.as_ref()]), "what was mounted can be unmounted");
    std::fs::write(folder.join("queries.jsonl"), queries).expect("the queries can be written");
    score(folder.to_str().expect("the target folder's name is text"));
}

#[test]
fn fat() {
    family("fat.py", &["12_360", "16"]);
}

#[test]
fn exfat() {
    family("exfat.py", &["c1k"]);
}

#[test]
fn partitions() {
    family("partition.py", &["mbr_logical", "mbr_order", "gpt_some", "gpt_entries_4"]);
}

#[test]
fn qcow2() {
    family(
        "qcow2.py",
        &[
            "v2",
            "c512",
            "ext_l2_16k",
            "zlib_512",
            "zstd",
            "backing_chain",
            "backing_raw_short",
            "snapshots",
            "data_file",
        ],
    );
}

#[test]
fn iso() {
    family("iso.py", &["both"]);
}

#[test]
fn swap() {
    family("swap.py", &[]);
}

#[test]
fn xfs() {
    family("xfs.py", &["v4_512"]);
}

#[test]
fn btrfs() {
    family("btrfs.py", &["unmounted_mixed"]);
}

#[test]
fn sqlite() {
    family("sqlite.py", &["page_1024", "damaged"]);
}

#[test]
fn lmdb() {
    family("lmdb_environments.py", &["empty", "several"]);
}

#[test]
fn tables() {
    family("tables.py", &["level_versions", "level_empty_key"]);
}

/// By itself: a module of Python makes these that is no package of Debian's.
#[test]
fn tables_of_rocksdb_6() {
    family_in("tables_of_rocksdb_6", "tables.py", &["new_versions", "new_crc32c"]);
}

#[test]
fn squashfs() {
    family("squashfs.py", &["plain", "gzip"]);
}

#[test]
fn erofs() {
    family("erofs.py", &["chunks", "lz4"]);
}

#[test]
fn volumes() {
    family("volumes.py", &[]);
}

/// A folder of images and queries from elsewhere, which `TRAV_SAMPLES` names.
#[test]
fn samples() {
    match std::env::var("TRAV_SAMPLES") {
        Ok(folder) => score(&folder),
        Err(_) => println!("skipped, because TRAV_SAMPLES does not name a folder of samples"),
    }
}
