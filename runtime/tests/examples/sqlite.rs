//! SQLite: the rows that `examples/sqlite` finds against those that sqlite3 gives.

use super::{check_named, command, damaged, fault, folder, is_there, printed, result, spec, walk};
use crate::differential::memory;
use std::collections::BTreeMap;
use trav_compiler::ir::FaultKind;

/// A row that a database has: its number and its text.
type Rows = BTreeMap<i64, String>;

/// A database of two tables, the second of which is looked into: its bytes, the root of the second and its rows. None without sqlite3.
fn database(page_size: u32) -> Option<(Vec<u8>, u32, Rows)> {
    if !is_there("sqlite3", "sqlite3") {
        return None;
    }
    let path = folder(&format!("sqlite-{page_size}")).join("rows.db");
    // Rows of many lengths, some of them longer than any page; rowids with gaps, on both sides of 0 and at the ends.
    let make = format!(
        "PRAGMA page_size = {page_size};
        CREATE TABLE other (n INTEGER); INSERT INTO other VALUES (1), (2), (3);
        CREATE TABLE rows (id INTEGER PRIMARY KEY, name TEXT);
        WITH RECURSIVE n(i) AS (SELECT -500 UNION ALL SELECT i + 1 FROM n WHERE i < 5500)
        INSERT INTO rows SELECT i * 7, 'row ' || i || hex(zeroblob(CASE i % 1000 WHEN 0 THEN 40000 ELSE abs(i) % 40 END)) FROM n;
        INSERT INTO rows VALUES (-0x7fffffffffffffff - 1, 'first'), (0x7fffffffffffffff, 'last');"
    );
    let ask = |sql: &str| printed(command("sqlite3").arg(&path).arg(sql));
    ask(&make);
    let root = ask("SELECT rootpage FROM sqlite_schema WHERE name = 'rows'").trim().parse().unwrap();
    let rows = ask("SELECT id, name FROM rows");
    let rows = rows.lines().map(|line| line.split_once('|').unwrap());
    let rows: Rows = rows.map(|(id, name)| (id.parse().unwrap(), name.to_owned())).collect();
    assert_eq!(rows.len(), 6003);
    Some((std::fs::read(&path).unwrap(), root, rows))
}

/// SQLite's varint: its value and its length.
fn varint(bytes: &[u8]) -> (u64, usize) {
    let length = 1 + bytes.iter().take(8).take_while(|b| **b >= 0x80).count();
    assert!(length < 9, "no number here needs nine bytes");
    (bytes[..length].iter().fold(0, |n, b| n << 7 | u64::from(b & 0x7f)), length)
}

fn row(root: u32, rowid: i64) -> Vec<(&'static str, String)> {
    vec![("root", root.to_string()), ("rowid", rowid.to_string())]
}

#[test]
fn rows_are_where_sqlite_put_them() {
    let spec = spec("sqlite");
    for page_size in [512u32, 1024, 4096, 65536] {
        let Some((bytes, root, rows)) = database(page_size) else { return };
        let there = rows.keys().copied().step_by(61).chain([i64::MIN, i64::MAX, 0, 7, 7000]);
        let absent = [i64::MIN + 1, -3501, -1, 1, 6, 8, 38499, 38501, i64::MAX - 1];
        let ids: Vec<i64> = there.chain(absent).collect();
        let image = memory(&bytes);
        let calls: Vec<_> = ids.iter().map(|id| (image.clone(), row(root, *id))).collect();
        let traces = check_named(&spec, "row", &calls);

        for (id, trace) in ids.iter().zip(&traces) {
            let found = result(trace);
            assert_eq!(found[0] != 0, rows.contains_key(id), "{id}: {trace:?}");
            let Some(text) = rows.get(id) else { continue };
            let (page, at, payload) = (found[1], found[2] as usize, found[3]);
            assert_eq!(page, trace.hops.last().unwrap().offset);
            assert_eq!(at as u64 / u64::from(page_size), page / u64::from(page_size));
            // A record: the length of its head, a number for each column's type (0: nothing, since the rowid is not stored
            // twice; 13 + 2n: a text of n bytes), and the columns.
            let record = &bytes[at..];
            let (head, n) = varint(record);
            assert_eq!(record[n], 0, "{id}: {trace:?}");
            let (kind, _) = varint(&record[n + 1..]);
            assert_eq!((kind, payload), (13 + 2 * text.len() as u64, head + text.len() as u64), "{id}");
            // The begin of a long row stands here.
            let most = text.len().min(30);
            assert_eq!(&record[head as usize..][..most], &text.as_bytes()[..most], "{id}");
        }
        // The smallest pages have two levels of inner pages over the leaves.
        let depths: Vec<usize> = traces.iter().map(|t| t.hops.len()).collect();
        let most = [(512, 3), (1024, 3), (4096, 2), (65536, 2)].into_iter().find(|(size, _)| *size == page_size);
        assert_eq!(depths.iter().max().copied(), most.map(|(_, hops)| hops), "pages of {page_size} bytes");
    }
}

#[test]
fn a_damaged_database_ends_in_the_fault_that_says_so() {
    let Some((bytes, root, _)) = database(512) else { return };
    let spec = spec("sqlite");
    let page = (root as usize - 1) * 512;
    let first_cell = page + usize::from(u16::from_be_bytes([bytes[page + 12], bytes[page + 13]]));

    // The kind; too many cells; a pointer behind the page; a child that is none, page 1, one behind the last, its own parent.
    let images = [
        damaged(&bytes, page, &[2]),
        damaged(&bytes, page + 3, &[0xff, 0xff]),
        damaged(&bytes, page + 12, &[0x01, 0xfe]),
        damaged(&bytes, first_cell, &0u32.to_be_bytes()),
        damaged(&bytes, first_cell, &1u32.to_be_bytes()),
        damaged(&bytes, first_cell, &u32::MAX.to_be_bytes()),
        damaged(&bytes, first_cell, &root.to_be_bytes()),
    ];
    let traces = check_named(&spec, "row", &images.map(|image| (image, row(root, -3500))));
    let faults: Vec<(FaultKind, usize)> =
        traces.iter().map(|trace| (fault(walk(&spec, "row"), trace).0, trace.hops.len())).collect();
    use FaultKind::{Corrupt, Fail, Limit};
    assert_eq!(faults, [(Corrupt, 1), (Corrupt, 1), (Corrupt, 1), (Fail, 1), (Fail, 1), (Fail, 1), (Limit, 21)]);
}
