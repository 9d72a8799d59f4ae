//! The examples by the command, as their `run` scripts call it: each prints what its file `expected` says.

use super::{BPFKV, LIST, bpfkv, file, list, trav};

fn expected(example: &str) -> String {
    let path = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/{}/expected"), example);
    std::fs::read_to_string(path).expect("each example says what it prints")
}

/// What a call prints that gives a result.
fn printed(args: &[&str]) -> String {
    let ran = trav(args);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""), "{args:?}");
    ran.out
}

#[test]
fn the_list_prints_its_total() {
    let image = file("example-list", "list.img", list::image());
    assert_eq!(printed(&["run", LIST, "total", "--image", &image]), expected("list"));
}

#[test]
fn the_store_prints_a_value_and_none() {
    let image = file("example-store", "kv.img", bpfkv::image());
    let get = |key: u64| {
        let value = printed(&["run", BPFKV, "get", &format!("key={key}"), "--image", &image]);
        format!("key {key}\n{value}")
    };
    let there = bpfkv::key(4000);
    assert_eq!(get(there) + &get(there + 1), expected("bpfkv"));
}

/// The blocks of a README: what stands between a line "```KIND" and the next "```".
fn blocks<'t>(readme: &'t str, kind: &str) -> Vec<&'t str> {
    let begin = format!("```{kind}\n");
    readme.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap_or(rest)).collect()
}

/// Each `sh` block of a README prints the `text` block behind it, in a folder where there is nothing but the spec. A README whose tools are
/// missing is skipped, which is printed.
#[track_caller]
fn readme_is_true(example: &str, needs: &str, package: &str) {
    let source = format!(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/{}"), example);
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_trav")).parent().expect("it is in a folder");
    let path = format!("{}:{}:/sbin:/usr/sbin", bin.display(), std::env::var("PATH").unwrap_or_default());
    let folder = super::folder(&format!("readme-{example}"));
    let shell = |script: &str| {
        let mut bash = std::process::Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", script]).env("PATH", &path).current_dir(&folder);
        bash.output().expect("bash starts")
    };
    if !shell(needs).status.success() {
        println!("skipped, because `{needs}` fails (Debian's {package})");
        return;
    }
    let spec = format!("{example}.trav");
    std::fs::copy(format!("{source}/{spec}"), folder.join(&spec)).expect("the spec can be copied");
    let readme = std::fs::read_to_string(format!("{source}/README.md")).expect("each example has one");
    let (scripts, printed) = (blocks(&readme, "sh"), blocks(&readme, "text"));
    assert!(scripts.len() == printed.len() && scripts.len() > 1, "each command is followed by what it prints");
    for (script, text) in scripts.iter().zip(printed) {
        let ran = shell(script);
        let out = String::from_utf8_lossy(&ran.stdout);
        assert!(
            ran.status.success() && out == text,
            "{script}\nprinted {out}\n{}",
            String::from_utf8_lossy(&ran.stderr)
        );
    }
}

#[test]
fn the_readmes_print_what_they_say() {
    readme_is_true("sqlite", "sqlite3 --version", "sqlite3");
    readme_is_true("fat", "mkfs.fat --help && mcopy --version", "dosfstools and mtools");
    readme_is_true("leveldb", "/usr/bin/python3 -c 'import plyvel'", "python3-plyvel");
}
