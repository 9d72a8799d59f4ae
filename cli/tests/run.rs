//! `trav run`: results and faults, for people and as JSON, on all engines.

use super::{BPFKV, LIST, Ran, bpfkv, damaged_list, file, folder, list, trav};
use serde_json::Value as Json;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Runs a call on each engine. The kernel may refuse where it has no BPF or the user no rights; then it says so.
fn on_each_engine(args: &[&str], mut check: impl FnMut(&str, Ran)) {
    for engine in ["native", "interp", "vm", "kernel"] {
        let ran = trav(&[args, &["--engine", engine]].concat());
        if engine == "kernel" && ran.status == Some(4) {
            assert!(ran.err.starts_with("error: "), "{ran:?}");
            println!("kernel: skipped, because {}", ran.err.trim_start_matches("error: ").trim_end());
            continue;
        }
        check(engine, ran);
    }
}

/// Every machine has a kernel that refuses something: one without the hook by what it lacks, one with it by a profile that cannot be attached.
#[test]
fn hooks_that_cannot_be_had_say_why() {
    let image = folder("hooked").join("image");
    std::fs::write(&image, [0; 8192]).expect("the folder can be written");
    let image = image.to_str().expect("the target folder's path is UTF-8");
    let call = |hook| {
        trav(&["run", "examples/list/list.trav", "total", "--image", image, "--engine", "kernel", "--hook", hook])
    };
    let refused = call("xrp");
    assert_eq!(refused.status, Some(4), "{refused:?}");
    assert!(refused.err.contains("hook `xrp`"), "{refused:?}");
    for hook in ["file", "lsm", "uring", "hybrid"] {
        let ran = call(hook);
        match ran.status {
            Some(4) => assert!(ran.err.contains(&format!("hook `{hook}`: ")), "{ran:?}"),
            // The block is empty, so the walk ends in a fault.
            status => assert_eq!(status, Some(3), "{ran:?}"),
        }
    }
    // Whatever there is, something runs it.
    assert_eq!(call("auto").status, Some(3));
    assert_eq!(call("nonesuch").status, Some(2));
    let other = trav(&["run", "examples/list/list.trav", "total", "--image", image, "--hook", "file"]);
    assert_eq!(other.status, Some(2), "{other:?}");
}

#[test]
fn a_result_is_one_line_of_json() {
    let image = file("json-result", "list.img", list::image());
    let values: Vec<u32> = (0..list::BLOCKS).flat_map(list::values).collect();
    let (blocks, count) = (list::BLOCKS, values.len());
    let sum: u64 = values.iter().map(|v| u64::from(*v)).sum();
    on_each_engine(&["run", LIST, "total", "--image", &image, "--json"], |engine, ran| {
        let bytes = 4096 * blocks;
        let result = format!(r#"{{"blocks":{blocks},"values":{count},"sum":{sum}}}"#);
        let line =
            format!(r#"{{"traversal":"total","engine":"{engine}","result":{result},"hops":{blocks},"bytes":{bytes}}}"#);
        assert_eq!((ran.status, ran.out, ran.err.as_str()), (Some(0), line + "\n", ""));
    });
}

#[test]
fn a_fault_is_one_line_of_json() {
    let second = list::place(1) * list::BLOCK;
    let image = file("json-fault", "list.img", damaged_list(second, &[0; 4]));
    let line_of_magic = 1 + std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/list/list.trav"))
        .expect("the example is in the repository")
        .lines()
        .position(|l| l.contains("magic:"))
        .expect("the list's blocks have a magic number");
    on_each_engine(&["run", LIST, "total", "--image", &image, "--json"], |engine, ran| {
        let message = "Block.magic is 0x00000000, expected 0x4c495354";
        let fault = format!(
            r#"{{"kind":"corrupt","message":"{message}","at":{{"file":"{LIST}","line":{line_of_magic}}},"block":{second},"offset":0}}"#
        );
        let line = format!(r#"{{"traversal":"total","engine":"{engine}","fault":{fault},"hops":2,"bytes":8192}}"#);
        assert_eq!((ran.status, ran.out, ran.err.as_str()), (Some(3), line + "\n", ""));
    });
}

#[test]
fn a_fault_for_people_names_the_line_and_the_block() {
    let second = list::place(1) * list::BLOCK;
    let image = file("text-fault", "list.img", damaged_list(second, &[0; 4]));
    let ran = trav(&["run", LIST, "total", "--image", &image]);
    assert_eq!((ran.status, ran.out.as_str()), (Some(3), ""));
    assert!(ran.err.starts_with("fault: corrupt: Block.magic is 0x00000000, expected 0x4c495354\n"), "{}", ran.err);
    for part in [LIST, "magic: u32 = 0x4c49_5354", &format!("byte {second}, offset 0"), "after 2 hops, 8192 bytes"] {
        assert!(ran.err.contains(part), "{part}: {}", ran.err);
    }
}

#[test]
fn a_read_off_the_device_is_counted_and_has_the_block_before_it() {
    let next = u64::MAX - 8191;
    let image = file("off-device", "list.img", damaged_list(8, &next.to_le_bytes()));
    on_each_engine(&["run", LIST, "total", "--image", &image, "--json", "--trace"], |engine, ran| {
        assert_eq!(ran.status, Some(3), "{engine}");
        let json: Json = serde_json::from_str(&ran.out).expect("one object");
        assert_eq!(json["fault"]["kind"], "out of device");
        assert_eq!(json["fault"]["block"], 0, "the last block that was there");
        assert_eq!(json["hops"], 2);
        assert_eq!(json["trace"][1], serde_json::json!({ "source": "image", "offset": next, "len": 4096 }));
    });
    let empty = file("empty-device", "empty.img", "");
    let ran = trav(&["run", LIST, "total", "--image", &empty, "--json"]);
    let json: Json = serde_json::from_str(&ran.out).expect("one object");
    assert_eq!((ran.status, &json["fault"]["block"]), (Some(3), &Json::Null));
}

#[test]
fn a_chain_without_end_is_the_fault_limit() {
    let image = file("limit", "list.img", damaged_list(8, &4096u64.to_le_bytes()));
    let mut looped = std::fs::read(&image).expect("it was written above");
    looped.copy_within(0..4096, 4096);
    std::fs::write(&image, looped).expect("it can be written again");
    on_each_engine(&["run", LIST, "total", "--image", &image, "--json"], |engine, ran| {
        let json: Json = serde_json::from_str(&ran.out).expect("one object");
        assert_eq!((ran.status, &json["fault"]["kind"]), (Some(3), &"limit".into()), "{engine}");
        assert_eq!(json["hops"], 1001, "1 before the loop and 1 for each of its turns");
    });
}

#[test]
fn bytes_are_hex_and_text_and_none_is_null() {
    let image = file("bytes", "kv.img", bpfkv::image());
    let n = 4321;
    let key = format!("key={}", bpfkv::key(n));
    on_each_engine(&["run", BPFKV, "get", &key, "--image", &image, "--json"], |engine, ran| {
        let json: Json = serde_json::from_str(&ran.out).expect("one object");
        let hex: String = bpfkv::value(n).iter().map(|b| format!("{b:02x}")).collect();
        let text = String::from_utf8(bpfkv::value(n).to_vec()).expect("the recipe's values are text");
        assert_eq!(json["result"], serde_json::json!({ "hex": hex, "text": text }), "{engine}");
        assert_eq!((&json["hops"], &json["bytes"]), (&4.into(), &2048.into()), "three levels and the log");
    });
    let none = trav(&["run", BPFKV, "get", &format!("key={}", bpfkv::key(n) + 1), "--image", &image, "--json"]);
    let json: Json = serde_json::from_str(&none.out).expect("one object");
    assert_eq!((none.status, &json["result"]), (Some(0), &Json::Null));
    let text = trav(&["run", BPFKV, "get", &key, "--image", &image, "--trace"]);
    assert_eq!(text.out, format!("\"the value of key {}\" in 64 bytes\n", bpfkv::key(n)));
    assert_eq!(text.err.lines().count(), 4, "one line a read: {}", text.err);
}

#[test]
fn a_reader_that_has_enough_is_no_error() {
    let image = file("pipe", "kv.img", bpfkv::image());
    let calls: String = (0..bpfkv::KEYS).map(|n| format!("key={}\n", bpfkv::key(n))).collect();
    let calls = file("pipe-calls", "calls", calls);
    let mut child = Command::new(env!("CARGO_BIN_EXE_trav"))
        .args(["run", BPFKV, "get", "--image", &image, "--batch", &calls])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut line = String::new();
    // The reader is dropped at the end of this statement, and with it the pipe: as `| head -1` does.
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("there is a first line");
    let output = child.wait_with_output().expect("the command ends");
    assert!(line.starts_with(r#"{"traversal":"get""#), "{line}");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

/// A parameter can be filled by a walk of another module, which runs once before.
#[test]
fn a_default_walk_of_another_module_fills_its_parameter() {
    let volume = "\
record Volume { base: u64 }
struct Header size 16 { magic: u64 = 7, base: u64 }
traversal open() -> Volume { let h = read Header at 0; return Volume { base: h.base }; }
";
    let spec = "\
use volume;
use volume.{Volume};
struct Pair size 16 { first: u64, second: u64 }
traversal second(vol: Volume = volume.open()) -> u64 { let p = read Pair at vol.base; return p.second; }
";
    let words = |words: [u64; 4]| words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
    let folder = folder("default-walk");
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).expect("the folder can be written");
        folder.join(name).to_str().expect("the target folder's path is UTF-8").to_owned()
    };
    file("volume.trav", volume.as_bytes());
    let spec = file("pair.trav", spec.as_bytes());
    let good = file("good.img", &words([7, 16, 1, 99]));
    let bad = file("bad.img", &words([8, 16, 1, 99]));
    on_each_engine(&["run", &spec, "second", "--image", &good, "--json"], |engine, ran| {
        assert_eq!(ran.status, Some(0), "{engine}: {ran:?}");
        let json: Json = serde_json::from_str(&ran.out).expect("one object");
        // The hop of `open` is not one of the walk's.
        assert_eq!((&json["result"], &json["hops"]), (&99.into(), &1.into()), "{engine}");
    });
    on_each_engine(&["run", &spec, "second", "--image", &bad], |engine, ran| {
        assert!(ran.status == Some(3) && ran.err.contains("Header.magic"), "{engine}: {ran:?}");
    });
    on_each_engine(&["run", &spec, "second", "vol={\"base\":16}", "--image", &bad], |engine, ran| {
        assert_eq!((ran.status, ran.out.trim()), (Some(0), "99"), "{engine}: {ran:?}");
    });
}

/// `qcow2:FILE` is the disk within a container.
#[test]
fn a_walk_runs_on_the_disk_within_a_container() {
    let raw = file("container", "disk.raw", list::image());
    let within = format!("{raw}.qcow2");
    match Command::new("qemu-img").args(["convert", "-c", "-O", "qcow2", &raw, &within]).status() {
        Err(error) => return println!("skipped, because qemu-img does not run: {error}"),
        Ok(status) => assert!(status.success()),
    }
    let on = |image: &str| trav(&["run", LIST, "total", "--image", image, "--json"]);
    let (plain, contained) = (on(&raw), on(&format!("qcow2:{within}")));
    assert_eq!((plain.status, &contained.out), (Some(0), &plain.out), "{contained:?}");
    let wrong = on(&format!("qcow2:{raw}"));
    assert!(wrong.status == Some(2) && wrong.err.contains("disk.raw"), "{wrong:?}");
}
