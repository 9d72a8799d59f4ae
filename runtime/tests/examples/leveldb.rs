//! LevelDB: the values that `examples/leveldb` finds against those that LevelDB itself gives, through plyvel.

use super::{check_named, damaged, fault, folder, result, spec, walk};
use crate::differential::memory;
use std::path::Path;
use std::process::Command;
use trav_compiler::ir::FaultKind;
use trav_runtime::exec::Hop;
use trav_runtime::image::Sources;

/// Makes a database, opens it again, so that what its log holds goes into a table with all versions and deletions in it, and prints
/// what it gives for some keys. With the second argument the table is compacted: one version remains of each key, and no deletion.
const MAKE: &str = r#"
import plyvel, sys
folder, compact = sys.argv[1], sys.argv[2] == "compact"
options = dict(create_if_missing=True, compression=None, write_buffer_size=16 << 20)
db = plyvel.DB(folder, **options)
def put(key, value):
    db.put(key, value)
for n in range(0, 9000, 3):
    put(b"key%05d" % n, b"value of %d " % n * (n % 7))
for n in range(300):
    put(b"x" * (n % 56) + b"%d" % n, b"%d" % n)
for n in range(0, 9000, 30):
    put(b"key%05d" % n, b"again %d" % n)
for n in range(0, 9000, 21):
    db.delete(b"key%05d" % n)
# Versions that fill more than one block.
for n in range(300):
    put(b"often", b"%0100d" % n)
db.close()
db = plyvel.DB(folder, **options)
if compact:
    db.compact_range()
keys = [b"key%05d" % n for n in list(range(0, 9000, 37)) + list(range(0, 9000, 30 * 7 * 3)) + [1, 8997, 8998, 9000]]
keys += [b"x" * (n % 56) + b"%d" % n for n in range(0, 300, 7)]
keys += [b"", b"a", b"key", b"key0000", b"key000030", b"oft", b"often", b"oftener", b"x", b"z"]
for key in keys:
    value = db.get(key)
    print(key.decode(), "none" if value is None else "=" + value.decode(), sep="\t")
db.close()
"#;

/// A key, and its value if it has one.
type Answers = Vec<(String, Option<String>)>;

/// A table, and what LevelDB gives for some keys. None where Python has no plyvel.
fn table(mode: &str) -> Option<(Vec<u8>, Answers)> {
    // The system's Python has the packages of the system, whatever another one that stands before it in the path has.
    let has =
        |python: &&str| Command::new(python).args(["-c", "import plyvel"]).output().is_ok_and(|o| o.status.success());
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has) else {
        println!("skipped, because Python has no module plyvel (Debian's package python3-plyvel)");
        return None;
    };
    let folder = folder(&format!("leveldb-{mode}"));
    let text = super::printed(Command::new(python).args(["-c", MAKE]).arg(&folder).arg(mode));
    let answers = text.lines().map(|line| line.split_once('\t').unwrap());
    let answers = answers.map(|(key, value)| (key.to_owned(), value.strip_prefix('=').map(str::to_owned))).collect();
    let is_table = |path: &Path| path.extension().is_some_and(|e| e == "ldb");
    let mut tables =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| is_table(path));
    let bytes = std::fs::read(tables.next().expect("a table")).unwrap();
    assert!(tables.next().is_none(), "all keys are in one table");
    Some((bytes, answers))
}

fn get(size: usize, key: &str) -> Vec<(&'static str, String)> {
    vec![("size", size.to_string()), ("key", key.into())]
}

#[test]
fn values_are_those_of_leveldb() {
    let spec = spec("leveldb");
    for mode in ["versions", "compact"] {
        let Some((bytes, answers)) = table(mode) else { return };
        let image = memory(&bytes);
        let calls: Vec<_> = answers.iter().map(|(key, _)| (image.clone(), get(bytes.len(), key))).collect();
        let traces = check_named(&spec, "get", &calls);
        for ((key, value), trace) in answers.iter().zip(&traces) {
            let words = result(trace);
            let found = (words[0] != 0).then(|| &bytes[words[1] as usize..][..words[2] as usize]);
            assert_eq!(found, value.as_ref().map(String::as_bytes), "{mode}: {key}: {trace:?}");
        }
        let there = answers.iter().filter(|(_, value)| value.is_some()).count();
        assert!(there > 100 && answers.len() - there > 100, "{mode}: {there} of {}", answers.len());
    }
}

#[test]
fn a_damaged_table_ends_in_the_fault_that_says_so() {
    let Some((bytes, _)) = table("damaged") else { return };
    let spec = spec("leveldb");
    let call = |image: Sources| (image, get(bytes.len(), "key00003"));
    let sound = check_named(&spec, "get", &[call(memory(&bytes))]).remove(0);
    let [index, data] = [1, 2].map(|hop| &sound.hops[hop]);
    let behind = |hop: &Hop| (hop.offset + hop.len) as usize;
    let [index_end, data_end] = [behind(index), behind(data)];
    // The magic; of both blocks: compressed, no restart points, more than there is room for; an entry longer than its block.
    let images = [
        damaged(&bytes, bytes.len() - 1, &[0]),
        damaged(&bytes, index_end - 5, &[1]),
        damaged(&bytes, index_end - 9, &[0; 4]),
        damaged(&bytes, index_end - 9, &[0xff; 4]),
        damaged(&bytes, data_end - 5, &[1]),
        damaged(&bytes, data_end - 9, &[0; 4]),
        damaged(&bytes, data_end - 9, &[0xff; 4]),
        damaged(&bytes, data.offset as usize + 1, &[0xff, 0xff, 0x7f]),
    ];
    let mut calls = images.map(call).to_vec();
    calls.push((memory(&bytes), get(47, "key00003")));
    let faults: Vec<(FaultKind, usize)> = check_named(&spec, "get", &calls)
        .iter()
        .map(|trace| (fault(walk(&spec, "get"), trace).0, trace.hops.len()))
        .collect();
    use FaultKind::{Corrupt, Fail};
    let mut expected = [1, 2, 2, 2, 3, 3, 3, 3].map(|hops| (Corrupt, hops)).to_vec();
    expected.push((Fail, 0));
    assert_eq!(faults, expected);
}
