//! Arguments and answers as the Rust types that the compiler writes. `tests/guest` does the same by hooks.

use std::path::{Path, PathBuf};
use trav_compiler::ir::FaultKind;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::ExecError;
use trav_runtime::hook::{Failure, Hook, Options};
use trav_runtime::typed::Bytes;

/// What `trav build typed/walks.trav --emit types` printed; the first test compares.
#[rustfmt::skip]
pub mod walks;
use walks::*;

struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

fn all() -> Vec<Verified> {
    let done = trav_compiler::compile("walks.trav", include_str!("typed/walks.trav"), &NoModules);
    assert!(done.diagnostics.is_empty(), "{:#?}", done.diagnostics);
    done.traversals
}

fn walk(name: &str) -> Verified {
    all().into_iter().find(|f| f.name == name).expect("it is declared")
}

/// A chain of five nodes; the third has a name that is too long, if it is said to be `bad`.
fn image(name: &str, bad: bool) -> PathBuf {
    let mut bytes = Vec::new();
    for i in 0..5u64 {
        let mut node = [0; 512];
        node[..8].copy_from_slice(&if i == 4 { 0 } else { 512 * (i + 1) }.to_le_bytes());
        node[8..16].copy_from_slice(&(100 + i).to_le_bytes());
        node[16] = [1, 2, 7, 2, 0][i as usize];
        node[17..19].copy_from_slice(&[1u16, 0, 2, 0x8001, 0x8000][i as usize].to_le_bytes());
        node[19..21].copy_from_slice(&(-3 * i as i16).to_le_bytes());
        node[21] = if bad && i == 2 { 10 } else { i as u8 };
        node[22..31].copy_from_slice(b"abcdefghi");
        bytes.extend(node);
    }
    let path = std::env::temp_dir().join(format!("trav-typed-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).expect("a file can be made");
    path
}

/// Native code, which needs no kernel and no rights.
fn attach(traversal: &str, path: &Path) -> Hook {
    let options = Options { profiles: Vec::new(), ..Options::default() };
    Hook::attach(&walk(traversal), path, &options).expect("native code can always be had")
}

#[test]
fn the_types_are_what_the_compiler_writes() {
    let all = all();
    let written = trav_compiler::rust::types(all.iter().map(|f| &**f));
    assert_eq!(written, include_str!("typed/walks.rs"), "trav build runtime/tests/typed/walks.trav --emit types");
}

#[test]
fn lookups_take_and_give_types() {
    let path = image("lookup", false);
    let value = attach("chase", &path).lookup::<chase>(&chase_arguments { start: 0 });
    assert!(matches!(value, Ok(104)), "{value:?}");
    let mut hook = attach("named", &path);
    let mut find = |text: &[u8], take| {
        let name = Bytes::new(text).expect("a short name");
        hook.lookup::<named>(&named_arguments { start: 0, name, tag: *b"tag", take }).expect("the walk ends well")
    };
    let entry = find(b"abc", true).expect("the fourth node has this name");
    let inner = Inner { kind: Kind::r#type, marks: Marks(Marks::first.0 | Marks::last.0), low: -9 };
    let name = Bytes::new(b"abc").expect("a short name");
    assert_eq!(entry, Entry { at: 3 * 512, inner, name, tag: *b"tag" });
    assert_eq!((find(b"abd", true), find(b"abc", false)), (None, None));
    assert_eq!(find(b"ab", true).expect("the third node has this name").inner.kind, Kind(7), "a value without a name");
    assert_eq!(Bytes::<9>::new(&[0; 10]), None, "too many bytes");
    // A record that came out goes in again.
    let next = attach("following", &path).lookup::<following>(&following_arguments { entry });
    assert!(matches!(next, Ok(2048)), "{next:?}");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn many_lookups_say_each_how_it_ended() {
    let path = image("many", false);
    let mut hook = attach("chase", &path);
    let calls = [0u64, 4 * 512, 5 * 512, 512].map(|start| chase_arguments { start });
    let mut ended = vec![None; calls.len()];
    hook.lookup_many::<chase>(calls, |i, how| ended[i] = Some(how)).expect("the walks can be made");
    let ended: Vec<_> = ended.into_iter().map(|how| how.expect("each is reported")).collect();
    let fault = ended[2].as_ref().expect_err("there is no sixth node");
    assert_eq!((fault.kind, fault.message.contains("2560")), (FaultKind::OutOfDevice, true), "{fault}");
    assert_eq!((ended[0].clone(), ended[1].clone(), ended[3].clone()), (Ok(104), Ok(104), Ok(104)));
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn a_stream_is_suspended_after_each_row() {
    let path = image("stream", true);
    let mut hook = attach("nodes", &path);
    let arguments = nodes_arguments { start: 0 };
    let mut rows = hook.stream::<nodes>(&arguments).expect("it begins");
    let mut low = || rows.next().map(|row| row.map(|row| row.low));
    assert!(matches!((low(), low()), (Some(Ok(0)), Some(Ok(-3)))));
    // The third node is wrong; the stream ends there, with the rows before it told.
    let fault = low();
    assert!(matches!(&fault, Some(Err(Failure::Fault(fault))) if fault.kind == FaultKind::Corrupt), "{fault:?}");
    assert!(low().is_none());
    // One that is left in the middle does not disturb the next.
    let whole = image("stream", false);
    let mut hook = attach("nodes", &whole);
    hook.stream::<nodes>(&arguments).expect("it begins").next();
    let rows: Result<Vec<_>, _> = hook.stream::<nodes>(&arguments).expect("it begins").collect();
    let lows: Vec<i16> = rows.expect("all nodes are right").iter().map(|row| row.low).collect();
    assert_eq!(lows, [0, -3, -6, -9, -12]);
    std::fs::remove_file(whole).expect("it is there");
}

#[test]
fn types_of_another_traversal_are_refused() {
    let path = image("other", false);
    let mut hook = attach("chase", &path);
    let refused = |e: ExecError| matches!(e, ExecError::Arguments(why) if why.contains("`chase(start: u64) -> u64`"));
    match hook.stream::<nodes>(&nodes_arguments { start: 0 }) {
        Err(e) => assert!(refused(e)),
        Ok(_) => panic!("its arguments are the same, its answer is not"),
    }
    assert!(hook.stream::<chase>(&chase_arguments { start: 0 }).is_err(), "it is no stream");
    assert!(matches!(hook.lookup::<chase>(&chase_arguments { start: 0 }), Ok(104)), "and of use as before");
    std::fs::remove_file(path).expect("it is there");
}
