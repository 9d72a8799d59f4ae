//! Databases as files of a mounted file system: the answers are those of their own tools, which `tests/guest/stores` asked.

use crate::Test;
use crate::machine;
use crate::spec::{only, standard};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use trav_compiler::Compilation;
use trav_runtime::call::{Caller, Images};
use trav_runtime::exec::Outcome;
use trav_runtime::hook::Hook;
use trav_runtime::image;
use trav_runtime::value::{Given, Value, decode};

pub const TESTS: &[Test] = &[Test::Hooks("sqlite_rows", sqlite_rows), Test::Hooks("leveldb_pairs", leveldb_pairs)];

/// What a tool said, a line a fact; none where the machine that made this one does not have the tool.
fn said(name: &str) -> Option<Vec<Vec<String>>> {
    let text = std::fs::read_to_string(format!("/stores/{name}.txt")).ok()?;
    Some(text.lines().map(|line| line.split(' ').map(String::from).collect()).collect())
}

fn stored(name: &str) -> PathBuf {
    machine::file(name, &std::fs::read(format!("/stores/{name}")).expect("it was made with what is said of it"))
}

/// Calls by one hook; each traversal is attached when it is first called.
struct Calls<'a> {
    caller: Caller<'a>,
}

impl<'a> Calls<'a> {
    fn new(hook: &str, direct: bool, all: &'a Compilation, images: &'a Images, path: &Path) -> Self {
        let (path, options) = (path.to_owned(), trav_runtime::hook::Options { direct, ..only(hook) });
        let prepare = move |f: &_| Ok(Box::new(Hook::attach(f, &path, &options)?) as Box<_>);
        Calls { caller: Caller::by(Box::new(prepare), &all.traversals, images) }
    }

    fn call(&mut self, name: &str, args: &[(&str, Given)]) -> Value {
        let args: Vec<_> = args.iter().map(|(name, given)| ((*name).to_owned(), given.clone())).collect();
        let answer = self.caller.call(name, &args).unwrap_or_else(|e| panic!("{name} {args:?}: {e:?}"));
        match &answer.trace.outcome {
            Outcome::Done(bytes) => decode(&answer.traversal.result, bytes).expect("a result has its form"),
            Outcome::Fault(report) => {
                panic!("{name} {args:?}: {}", report.message(answer.traversal, &answer.trace.hops))
            }
        }
    }
}

fn text(text: &str) -> Given {
    Given::Text(text.into())
}

fn json(value: &Value) -> Given {
    Given::Json(value.to_json())
}

fn bytes(value: Value) -> Vec<u8> {
    let Value::Bytes { bytes, .. } = value else { panic!("{value:?} are bytes") };
    bytes
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("two digits");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The walks of a module in one compilation: those that are asked for, and what fills their parameters.
fn compile(module: &str, traversals: &[&str]) -> Compilation {
    let mut all = standard(module, traversals[0]);
    for traversal in &traversals[1..] {
        for f in standard(module, traversal).traversals {
            if all.traversals.iter().all(|known| known.name != f.name) {
                all.traversals.push(f);
            }
        }
    }
    all
}

fn sqlite_rows(hook: &str) {
    let said = said("rows").expect("sqlite3 has made a database");
    let root = said.iter().find(|line| line[0] == "root").expect("sqlite3 knows the root page")[1].clone();
    let path = stored("rows.db");
    let all = compile("sqlite", &["row", "prefix"]);
    let images = Images::from([("image".to_owned(), image::open(&path).expect("it can be read"))]);
    let mut calls = Calls::new(hook, false, &all, &images, &path);
    let mut found = [0, 0];
    for line in said.iter().filter(|line| line[0] != "root") {
        let row = calls.call("row", &[("root", text(&root)), ("rowid", text(&line[1]))]);
        if line[0] == "none" {
            assert_eq!(row, Value::None, "{hook}: {}", line[1]);
            found[0] += 1;
            continue;
        }
        assert_ne!(row, Value::None, "{hook}: {}", line[1]);
        // The text is the last value of a record.
        let record = bytes(calls.call("prefix", &[("row", json(&row))]));
        assert!(record.ends_with(&unhex(&line[2])), "{hook}: {}", line[1]);
        found[1] += 1;
    }
    assert!(found.iter().all(|found| *found > 3), "{hook}: {found:?}");
}

fn leveldb_pairs(hook: &str) {
    let Some(said) = said("pairs") else {
        println!("guest: leveldb_pairs skipped, because the machine that made this one has no plyvel");
        return;
    };
    let path = stored("pairs.ldb");
    let table = std::fs::read(&path).expect("it can be read");
    let all = compile("leveldb", &["get", "open"]);
    let images = Images::from([("image".to_owned(), image::open(&path).expect("it can be read"))]);
    let mut calls = Calls::new(hook, false, &all, &images, &path);
    let opened = calls.call("open", &[("size", text(&table.len().to_string()))]);
    for line in &said {
        let key = String::from_utf8(unhex(&line[1])).expect("the keys are texts");
        let version = calls.call("get", &[("table", json(&opened)), ("key", text(&key))]);
        if line[0] == "none" {
            assert_eq!(version, Value::None, "{hook}: {}", line[1]);
            continue;
        }
        let Value::Record(fields) = version else { panic!("{hook}: {}: {version:?}", line[1]) };
        let number = |value: Value| match value {
            Value::Int { value, .. } => usize::try_from(value).expect("a place in the file"),
            other => panic!("{other:?} is a number"),
        };
        let mut fields: HashMap<String, Value> = fields.into_iter().collect();
        let [at, length] = ["at", "length"].map(|name| number(fields.remove(name).expect("a version has it")));
        assert_eq!(table[at..at + length], unhex(&line[2]), "{hook}: {}", line[1]);
    }
}
