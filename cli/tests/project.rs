//! A new project, and what its README says to try.

use super::{folder, trav};
use std::fs;

#[test]
fn a_new_project_passes_its_test() {
    let project = folder("project").join("walks");
    let project = project.to_str().expect("the target folder's path is UTF-8");
    assert_eq!(trav(&["new", project]).status, Some(0));
    let again = trav(&["new", project]);
    assert!(again.status == Some(2) && again.err.contains("is not empty"), "{again:?}");

    let (spec, image) = (format!("{project}/list.trav"), format!("{project}/list.img"));
    let tested = trav(&["test", &spec]);
    assert_eq!((tested.status, tested.err.as_str()), (Some(0), ""));
    assert!(tested.out.ends_with("1 passed, 0 failed\n"), "{}", tested.out);
    let found = trav(&["run", &spec, "find", "number=3", "--image", &image]);
    assert_eq!(found.out, "at    64\nname  \"three\" in 48 bytes\n");
    let dumped = trav(&["dump", &spec, "Record", "--at", "128", "--image", &image]);
    assert!(dumped.status == Some(0) && dumped.out.contains("magic") && dumped.out.contains("two"), "{dumped:?}");
    let formatted = trav(&["fmt", "--check", &spec]);
    assert_eq!((formatted.status, formatted.err.as_str()), (Some(0), ""));

    // A test that fails says so: the image loses its third record.
    let mut bytes = fs::read(&image).expect("the project has an image");
    bytes[128 + 8..128 + 16].fill(0);
    fs::write(&image, bytes).expect("the image can be written");
    let failed = trav(&["test", &spec]);
    assert_eq!(failed.status, Some(3));
    assert!(failed.out.ends_with("0 passed, 1 failed\n"), "{}", failed.out);
    fs::remove_file(&image).expect("the image can be removed");
    let missing = trav(&["test", &spec]);
    assert!(missing.status == Some(2) && missing.err.contains("list.img"), "{missing:?}");
}

#[test]
fn pages_about_specs() {
    let pages = folder("pages");
    let pages = pages.to_str().expect("the target folder's path is UTF-8");
    let specs = ["std.fat", "std.gpt", "examples/bpfkv/bpfkv.trav"];
    let made = trav(&[&["doc"], &specs[..], &["-o", pages]].concat());
    assert_eq!((made.status, made.err.as_str()), (Some(0), ""), "{}", made.out);
    let read = |name: &str| fs::read_to_string(format!("{pages}/{name}")).expect("the page was written");
    let index = read("index.html");
    for (name, summary) in [("std.fat", "FAT"), ("std.gpt", "GPT"), ("bpfkv", "BPF-KV")] {
        assert!(index.contains(&format!("<a href=\"{name}.html\">{name}</a>")) && index.contains(summary), "{index}");
        let page = read(&format!("{name}.html"));
        for wanted in ["<svg", "hops at most", "</html>"] {
            assert!(page.contains(wanted), "no {wanted} in the page of {name}");
        }
        // A page needs nothing beside it, and what is opened is closed.
        assert!(!page.contains("http") && !page.contains("src=") && !page.contains("<script"));
        for tag in ["table", "tr", "td", "svg", "g", "details", "ul", "pre", "code"] {
            let count = |what: &str| page.matches(what).count();
            let opened = count(&format!("<{tag}>")) + count(&format!("<{tag} "));
            assert_eq!(opened, count(&format!("</{tag}>")), "{tag} in the page of {name}");
        }
    }
    // The node of bpfkv: 512 bytes, of which keys and pointers take most.
    let page = read("bpfkv.html");
    assert!(page.contains(">0x0<") && page.contains("keys (") && page.contains("struct Node size 512"));
    let wrong = trav(&["doc", "tests/golden/reject/E0404_order.trav", "-o", pages]);
    assert!(wrong.status == Some(1) && wrong.err.contains("E0404"), "{wrong:?}");
}

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = trav(&["completions", shell]);
        assert!(ran.status == Some(0) && ran.out.contains("trav"), "{shell}: {}", ran.err);
    }
    assert_eq!(trav(&["completions", "tcsh"]).status, Some(2));
}
