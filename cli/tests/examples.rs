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
