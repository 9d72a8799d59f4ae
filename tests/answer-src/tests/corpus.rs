//! Queries about images that the formats' own tools make, answered by the program: `tests/corpus/*.py` make images and queries, `score.py`
//! compares.
//!
//! Each test makes a few small variants; the scripts without a list of variants make all of them, and the damaged images of the larger
//! formats, for each of which an unoptimised compiler takes seconds. Where a tool is not installed the script
//! says so, and the test has nothing to compare.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The folder of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus")
}

/// Runs a script and gives what it printed; none where Python is not installed.
fn python(script: &str, args: &[&str]) -> Option<(bool, String)> {
    let output = match Command::new("python3").arg("-B").arg(scripts().join(script)).args(args).output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped, because python3 does not start: {error}");
            return None;
        }
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout) + &text(&output.stderr)))
}

/// Scores the program on a folder with images and queries.
fn score(folder: &str, options: &str) {
    // Debug builds compile the specs slowly, on machines that are busy with other tests.
    let program = format!("{} {options}", env!("CARGO_BIN_EXE_answer"));
    let Some((is_right, text)) = python("score.py", &[folder, &program, "--seconds", "120"]) else { return };
    assert!(is_right, "{text}");
    let all = text.lines().find_map(|l| l.strip_prefix("all ")).expect("score.py counts all queries");
    println!("{}", all.trim());
}

/// Makes some variants of a family, and scores the program on them.
fn family(script: &str, variants: &[&str]) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(script);
    let folder = folder.to_str().expect("the target folder's name is text");
    let args: Vec<&str> = std::iter::once(folder).chain(variants.iter().copied()).collect();
    let Some((is_made, text)) = python(script, &args) else { return };
    assert!(is_made, "{text}");
    match text.lines().find(|l| l.starts_with("skipped, because") || l.contains(": not made: ")) {
        Some(reason) => println!("{script}: skipped, because {reason}"),
        None => score(folder, ""),
    }
}

#[test]
fn ext() {
    family("ext.py", &["rev0", "1k"]);
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

/// The samples that came with the task: `TRAV_SAMPLES` names the folder where they are unpacked.
#[test]
fn samples() {
    match std::env::var("TRAV_SAMPLES") {
        Ok(folder) => score(&folder, ""),
        Err(_) => println!("skipped, because TRAV_SAMPLES does not name a folder of samples"),
    }
}
