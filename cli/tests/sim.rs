//! `trav sim`.

use super::{BPFKV, bpfkv, file, trav};
use serde_json::Value as Json;

fn sim(test: &str, more: &[&str]) -> super::Ran {
    let image = file(test, "kv.img", bpfkv::image());
    let key = format!("key={}", bpfkv::key(3));
    trav(&[&["sim", BPFKV, "get", &key, "--image", &image], more].concat())
}

#[test]
fn hooks_save_the_layers_above_them() {
    let ran = sim("sim-layers", &["--device", "optane", "--json"]);
    assert_eq!((ran.status, ran.err.as_str()), (Some(0), ""));
    let found: Json = serde_json::from_str(&ran.out).expect("one object");
    let hops = found["hops"].as_u64().expect("a number");
    let latency = |way: usize| found["ways"][way]["latency_ns"].as_u64().unwrap_or_else(|| panic!("{found}"));
    // By the layers of the paper: each read through all, or each but the first through the driver alone.
    let (whole, driver) = (351 + 199 + 2006 + 379 + 113 + 3224, 96 + 113 + 3224);
    assert!(hops > 1, "{found}");
    assert_eq!(latency(0), hops * whole, "{found}");
    assert_eq!(latency(2), whole + (hops - 1) * (whole - 351 - 199), "{found}");
    assert_eq!(latency(3), whole + (hops - 1) * driver, "{found}");
}

#[test]
fn a_device_is_a_name_or_a_time() {
    let slow = sim("sim-device", &["--device", "5ms"]);
    assert_eq!((slow.status, slow.out.lines().count()), (Some(0), 8), "{}", slow.out);
    assert!(slow.out.contains("5000.0 us a read"), "{}", slow.out);
    for wrong in ["optan", "5", "us", "1.5us", "99999999999us"] {
        let ran = sim("sim-device", &["--device", wrong]);
        assert_eq!(ran.status, Some(2), "{wrong}: {ran:?}");
        assert!(ran.err.contains("there is no device"), "{}", ran.err);
    }
    assert!(sim("sim-device", &["--device", "optan"]).err.contains("did you mean `optane`"));
}

#[test]
fn a_hook_that_does_not_fit_says_why() {
    let spec = file(
        "sim-fit",
        "wide.trav",
        "struct Page size 4096 { a: u32 }\ntraversal first(at: u64) -> u32 { let p = read Page at at; return p.a; }\n",
    );
    let image = file("sim-fit-image", "zero.img", vec![0; 4096]);
    let ran = trav(&["sim", &spec, "first", "at=0", "--image", &image, "--device", "nand"]);
    assert_eq!(ran.status, Some(0), "{ran:?}");
    assert!(ran.out.contains("not by the hook `xrp`") && ran.out.contains("512"), "{}", ran.out);
    let faulty = trav(&["sim", &spec, "first", "at=4096", "--image", &image, "--device", "nand"]);
    assert_eq!(faulty.status, Some(3), "{faulty:?}");
    assert!(
        faulty.err.starts_with("fault: out of device: ") && faulty.err.contains("does not lie on the device"),
        "{}",
        faulty.err
    );
}
