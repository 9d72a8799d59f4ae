//! `trav bench`.

use super::{BPFKV, bpfkv, file, trav, trav_with};
use serde_json::Value as Json;

#[test]
fn each_executor_has_its_line() {
    let image = file("bench", "kv.img", bpfkv::image());
    let calls: String = (0..100).map(|n| format!("key={}\n", bpfkv::key(n))).collect();
    let common = ["bench", BPFKV, "get", "--image", &image, "--seconds", "0.01"];
    let ran = trav_with(&[&common[..], &["--json", "--batch", "-"]].concat(), &calls);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    let lines: Vec<Json> = ran.out.lines().map(|l| serde_json::from_str(l).expect("a line is an object")).collect();
    let names: Vec<&str> = lines.iter().filter_map(|l| l["executor"].as_str()).collect();
    assert_eq!(names, ["native, batches", "native", "interp", "vm", "kernel"]);
    for line in &lines {
        let timed = line["ns_per_lookup"].as_f64().is_some_and(|ns| ns > 0.0) && line["lookups"].as_u64() > Some(0);
        assert!(timed || line["refused"].is_string(), "{line}");
    }
    assert!(lines[..3].iter().all(|l| l["refused"].is_null()), "{lines:?}");
    let table = trav(&[&common[..], &["key=3"]].concat());
    assert_eq!(table.status, Some(0), "{table:?}");
    assert_eq!(table.out.lines().count(), 6, "{}", table.out);
}

#[test]
fn wrong_calls_are_told() {
    let image = file("bench-wrong", "kv.img", bpfkv::image());
    let wrong = |more: &[&str], input: &str| {
        let ran = trav_with(&[&["bench", BPFKV, "get", "--image", &image], more].concat(), input);
        assert_eq!(ran.status, Some(2), "{ran:?}");
        ran.err
    };
    assert!(wrong(&[], "").contains("argument `key` is missing"));
    assert!(wrong(&["key=3", "--seconds", "0"], "").contains("0.001 to 3600"));
    assert!(wrong(&["--batch", "-"], "key=1\nkey\n").contains("-:2: expected an argument NAME=VALUE"));
    assert!(wrong(&["--batch", "-"], "\n").contains("there is no call to time"));
}
