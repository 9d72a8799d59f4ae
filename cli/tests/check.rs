//! `trav check`: silence, reports and diagnostics.

use super::{BPFKV, LIST, file, trav};
use serde_json::Value as Json;

#[test]
fn a_good_spec_is_silent() {
    let ran = trav(&["check", LIST, BPFKV]);
    assert_eq!((ran.status, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
    let told = trav(&["check", "-v", LIST, BPFKV]);
    assert_eq!(told.out, format!("{LIST}: good: total\n{BPFKV}: good: get\n"));
}

#[test]
fn the_worst_of_several_files_decides() {
    let wrong = file("check-several", "wrong.trav", "struct A { a: u99 }\n");
    assert_eq!(trav(&["check", LIST, &wrong]).status, Some(1));
    let ran = trav(&["check", "no/such.trav", &wrong, LIST]);
    assert_eq!(ran.status, Some(2));
    assert!(ran.err.contains("no/such.trav") && ran.err.contains("wrong.trav:1"), "{}", ran.err);
}

#[test]
fn the_report_bounds_the_walk() {
    let ran = trav(&["check", BPFKV, "--report"]);
    assert_eq!(ran.status, Some(0));
    // The root, eight turns of the loop and the log.
    assert!(ran.out.contains("at most 10 hops, 5120 bytes read"), "{}", ran.out);
    let json = trav(&["check", BPFKV, "--report", "--json"]);
    let json: Json = serde_json::from_str(&json.out).expect("one object");
    assert_eq!(json["traversals"][0]["traversal"], "get");
    assert_eq!((&json["traversals"][0]["hops_max"], &json["diagnostics"]), (&10.into(), &Json::Array(Vec::new())));
}

#[test]
fn diagnostics_are_drawn_and_are_json() {
    let spec = file("drawn", "drawn.trav", "traversal get(a: u64) -> u64 {\n    return b;\n}\n");
    let ran = trav(&["check", &spec]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(1), ""));
    for part in ["E0201", "drawn.trav:2:12", "return b;", "run `trav explain E0201`"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
    assert!(!ran.err.contains('\u{1b}'), "no colours where there is no terminal: {}", ran.err);
    let json = trav(&["check", &spec, "--json"]);
    assert_eq!((json.status, json.err.as_str()), (Some(1), ""));
    let json: Json = serde_json::from_str(&json.out).expect("one object");
    let found = &json["diagnostics"][0];
    assert_eq!((&found["code"], &found["severity"]), (&"E0201".into(), &"error".into()));
    let label = &found["label"];
    let place = ["line", "column", "end_line", "end_column"].map(|key| label[key].as_u64());
    assert_eq!(place, [2, 12, 2, 13].map(Some));
}
