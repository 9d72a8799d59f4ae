//! `--batch` and `--repeat`.

use super::{BPFKV, bpfkv, file, trav, trav_with};
use serde_json::Value as Json;

#[test]
fn one_call_a_line_and_one_line_a_call_in_order() {
    let image = file("batch", "kv.img", bpfkv::image());
    let (a, b) = (bpfkv::key(0), bpfkv::key(7999));
    let input = format!("key={a}\n\n{{\"key\": {b}}}\nkey=1 key=2\n{{\"key\":\nkee=1\nkey={:#x}\nkey=0", u64::MAX);
    let ran = trav_with(&["run", BPFKV, "get", "--image", &image, "--batch", "-"], &input);
    assert_eq!(ran.status, Some(2), "some lines were no right calls: {ran:?}");
    let lines: Vec<Json> = ran.out.lines().map(|l| serde_json::from_str(l).expect("a line is an object")).collect();
    assert_eq!(lines.len(), 7, "the blank line is no call");
    let text = |n: u64| Json::from(String::from_utf8(bpfkv::value(n).to_vec()).expect("the recipe's values are text"));
    assert_eq!(lines[0]["result"]["text"], text(0));
    assert_eq!(lines[1]["result"]["text"], text(7999));
    assert_eq!(lines[2]["error"]["message"], "argument `key` is given twice");
    assert_eq!(lines[2]["error"]["line"], 4);
    assert!(lines[3]["error"]["message"].as_str().is_some_and(|m| m.starts_with("expected a JSON object")));
    assert!(lines[4]["error"]["message"].as_str().is_some_and(|m| m.contains("`kee`")));
    assert_eq!((&lines[5]["result"], &lines[6]["result"]), (&Json::Null, &Json::Null), "keys that are not there");
}

#[test]
fn a_batch_whose_calls_all_give_results_is_good() {
    let image = file("batch-good", "kv.img", bpfkv::image());
    let calls: String = (0..100).map(|n| format!("key={}\n", bpfkv::key(n))).collect();
    let calls = file("batch-good-calls", "calls", calls);
    let ran = trav(&["run", BPFKV, "get", "--image", &image, "--batch", &calls]);
    assert_eq!((ran.status, ran.out.lines().count(), ran.err.as_str()), (Some(0), 100, ""));
}

#[test]
fn a_batch_says_what_its_calls_say_one_by_one() {
    // Cut off: the values of higher keys, and some nodes, lie off the image.
    let whole = bpfkv::image();
    let image = file("batch-cut", "kv.img", &whole[..whole.len() / 2]);
    let mut calls: String = (0..3000).map(|n| format!("key={}\n", bpfkv::key(n * 7919 % 8000) + n % 3 / 2)).collect();
    calls.insert_str(calls.len() / 2, "key=\n");
    let path = file("batch-cut-calls", "calls", &calls);
    let one_by_one = trav_with(&["run", BPFKV, "get", "--image", &image, "--batch", "-"], &calls);
    for kind in ["\"result\":{", "\"result\":null", "\"fault\":{", "\"error\":{"] {
        assert!(one_by_one.out.contains(kind), "{kind}");
    }
    for more in [&[][..], &["--engine", "interp"], &["--direct"]] {
        let ran = trav(&[&["run", BPFKV, "get", "--image", &image, "--batch", &path], more].concat());
        if more == ["--direct"] && ran.err.contains("no direct reads") {
            println!("skipped, because {}", ran.err);
            continue;
        }
        assert_eq!(ran.status, one_by_one.status, "{ran:?}");
        assert_eq!(ran.out.replace("\"interp\"", "\"native\""), one_by_one.out, "{more:?}");
    }
}

#[test]
fn what_has_no_direct_reads_is_told() {
    let ran = trav(&["run", BPFKV, "get", "key=3", "--image", "/sys/kernel/notes", "--direct"]);
    assert_eq!(ran.status, Some(2), "{ran:?}");
    assert!(ran.err.contains("/sys/kernel/notes: no direct reads"), "{}", ran.err);
}

#[test]
fn repeat_ends_with_the_time_of_a_lookup() {
    let image = file("repeat", "kv.img", bpfkv::image());
    let ran = trav(&["run", BPFKV, "get", "key=3", "--image", &image, "--json", "--repeat", "1000"]);
    assert_eq!(ran.status, Some(0));
    let lines: Vec<Json> = ran.out.lines().map(|l| serde_json::from_str(l).expect("a line is an object")).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[1]["lookups"], 1000);
    assert!(lines[1]["ns_per_lookup"].as_f64().is_some_and(|ns| ns > 0.0), "{}", lines[1]);
    assert_eq!(trav(&["run", BPFKV, "get", "key=3", "--image", &image, "--repeat", "0"]).status, Some(2));
}
