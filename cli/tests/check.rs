//! `trav check`: silence, reports and diagnostics.

use super::{BPFKV, LIST, file, folder, trav};
use serde_json::Value as Json;
use std::fs;

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
fn test_items_are_checked_too() {
    let text = "traversal one() -> u8 { return 1; }\ntest \"of one\" on \"x.img\" { assert two() == 1; }\n";
    let ran = trav(&["check", &file("check-tests", "tested.trav", text)]);
    assert!(ran.status == Some(1) && ran.err.contains("E0201") && ran.err.contains("tested.trav:2"), "{ran:?}");
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

/// One check remains: whether the cell lies in its page.
const CELL: &str = "\
struct Page size 512 { start: u16 }
struct Cell { key: u32, length: u32 }
traversal length(at: u64) -> u32 {
    let page = read Page at at;
    let cell = view Cell at page.start in page;
    return cell.length;
}
";

#[test]
fn checks_that_remain_can_be_denied() {
    let spec = file("denied", "cell.trav", CELL);
    let report = trav(&["check", &spec, "--report"]);
    assert_eq!((report.status, report.err.as_str()), (Some(0), ""));
    assert!(report.out.contains("1 check remains\n") && report.out.contains("cell.trav:5: "), "{}", report.out);
    let denied = trav(&["check", &spec, "--deny-checks"]);
    assert_eq!((denied.status, denied.out.as_str()), (Some(1), ""));
    assert!(denied.err.contains("E0505") && denied.err.contains("cell.trav:5:"), "{}", denied.err);
    let json: Json = serde_json::from_str(&trav(&["check", &spec, "--deny-checks", "--json"]).out).expect("one object");
    assert_eq!(
        (&json["diagnostics"][0]["code"], &json["diagnostics"][0]["label"]["line"]),
        (&"E0505".into(), &5.into())
    );
    let fix = &json["diagnostics"][0]["fix"];
    assert_eq!(fix["insert"], " where start <= 504", "{fix}");
    let at = |name: &str| fix[name].as_u64().unwrap_or_else(|| panic!("{name}: {fix}")) as usize - 1;
    let mut lines: Vec<String> = CELL.lines().map(str::to_string).collect();
    lines[at("line")].insert_str(at("column"), " where start <= 504");
    let bounded = file("denied", "bounded.trav", lines.join("\n") + "\n");
    let good = trav(&["check", &bounded, "--deny-checks"]);
    assert_eq!((good.status, good.out.as_str(), good.err.as_str()), (Some(0), "", ""));
}

#[test]
fn a_budget_holds_the_cost() {
    let spec = file("budget", "walk.trav", CELL);
    let budget = folder("budget-file").join("budget.json");
    let budget = budget.to_str().expect("the target folder's path is UTF-8");
    let missing = trav(&["check", &spec, "--budget", budget]);
    assert_eq!(missing.status, Some(2));
    assert!(missing.err.contains("--update-budget"), "{}", missing.err);
    assert_eq!(trav(&["check", &spec, "--update-budget"]).status, Some(2), "it belongs to a budget");

    let stored = trav(&["check", &spec, "--budget", budget, "--update-budget"]);
    assert_eq!((stored.status, stored.out.as_str(), stored.err.as_str()), (Some(0), "", ""));
    let first = fs::read_to_string(budget).expect("the budget was written");
    let json: Json = serde_json::from_str(&first).expect("a budget is JSON");
    assert_eq!((&json[&spec]["length"]["hops_max"], &json[&spec]["length"]["checks"]), (&1.into(), &1.into()));
    assert_eq!(trav(&["check", &spec, "--budget", budget]).status, Some(0), "the same costs the same");

    // One hop more, in a walk that is there, and a walk that is new.
    let twice = CELL.replace("let cell", "let page = read Page at 8 * page.start;\n    let cell");
    let more = twice.clone() + "traversal other() -> u16 { let page = read Page at 0; return page.start; }\n";
    file("budget", "walk.trav", more);
    let grown = trav(&["check", &spec, "--budget", budget]);
    assert_eq!((grown.status, grown.out.as_str()), (Some(1), ""));
    assert!(grown.err.contains("`length`: expected `hops_max` of at most 1, found 2"), "{}", grown.err);
    assert!(grown.err.contains("`other`: expected a budget, found none"), "{}", grown.err);
    assert_eq!(fs::read_to_string(budget).expect("it is still there"), first, "a check changes nothing");
    let json: Json =
        serde_json::from_str(&trav(&["check", &spec, "--budget", budget, "--json"]).out).expect("one object");
    assert!(json["exceeded"].as_array().is_some_and(|all| all.len() > 2), "{json}");

    assert_eq!(trav(&["check", &spec, "--budget", budget, "--update-budget"]).status, Some(0));
    assert_eq!(trav(&["check", &spec, "--budget", budget]).status, Some(0));
    file("budget", "walk.trav", CELL);
    assert_eq!(trav(&["check", &spec, "--budget", budget]).status, Some(0), "less is good");
    fs::write(budget, "[1]").expect("the folder is writable");
    assert_eq!(trav(&["check", &spec, "--budget", budget]).status, Some(2), "no budget");
}

#[test]
fn instructions_are_counted_for_the_hook_that_is_named() {
    let of = |hook: &str| -> Json {
        let ran = trav(&["check", BPFKV, "--report", "--json", "--hook", hook]);
        assert_eq!(ran.status, Some(0), "{}", ran.err);
        serde_json::from_str::<Json>(&ran.out).expect("one object")["traversals"][0].take()
    };
    let (test, xrp) = (of("test"), of("xrp"));
    let number = |c: &Json, name: &str| c[name].as_u64().unwrap_or_else(|| panic!("{name}: {c}"));
    for c in [&test, &xrp] {
        assert!(number(c, "insns_hop_max") > 31 && number(c, "insns_max") > number(c, "insns_hop_max"), "{c}");
        assert!(number(c, "insns_max") <= number(c, "insns_hop_max") * (number(c, "hops_max") + 1), "{c}");
    }
    assert_ne!(test["insns_max"], xrp["insns_max"], "another program");
    assert_eq!(trav(&["check", BPFKV, "--hook", "nowhere"]).status, Some(2));
}

#[test]
fn a_fix_can_be_applied_by_a_program() {
    let text = "struct Node size 512 { entries: u16, @8 keys: [u64; 31] }\ntraversal third(at: u64) -> u64 {\n    \
        let node = read Node at at;\n    return node.keys[node.entries];\n}\n";
    let spec = file("fix", "index.trav", text);
    let json: Json = serde_json::from_str(&trav(&["check", &spec, "--json"]).out).expect("one object");
    let fix = &json["diagnostics"][0]["fix"];
    let line = fix["line"].as_u64().unwrap_or_else(|| panic!("{json}")) as usize;
    let mut lines: Vec<&str> = text.lines().collect();
    lines.insert(line - 1, fix["insert"].as_str().expect("a line"));
    let fixed = file("fix", "fixed.trav", lines.join("\n") + "\n");
    let ran = trav(&["check", &fixed]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
}
