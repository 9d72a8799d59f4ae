//! `exfat.*`.

use super::fat::pairs;
use crate::parts::{self, Part, list, runs, with};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use trav_runtime::value::Value;

const EXFAT: &str = "std.exfat";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "boot" => boot(session),
        "root_entries" => root_entries(session),
        "free_clusters" => Ok(json!({ "free": integer(&session.call(EXFAT, "free", &[])?) as u64 })),
        "path" => path(session, query),
        "chain" => chain(session, query),
        "readdir" => readdir(session, query),
        "read" => read(session, query),
        "walk" => walk(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn boot(session: &mut Session<'_>) -> Reply {
    Ok(session.call(EXFAT, "boot", &[])?.to_json())
}

fn root_entries(session: &mut Session<'_>) -> Reply {
    let volume = session.call(EXFAT, "open", &[])?;
    let free = integer(&session.call(EXFAT, "free", &[])?) as u64;
    let (bitmap, upcase) = (volume.field("bitmap"), volume.field("upcase"));
    Ok(json!({
        "label": name(volume.bytes("label")),
        "bitmap_cluster": bitmap.u64("first_cluster"),
        "bitmap_size": bitmap.u64("size"),
        "upcase_cluster": upcase.u64("first_cluster"),
        "upcase_size": upcase.u64("size"),
        "free_clusters": free,
    }))
}

fn resolve(session: &mut Session<'_>, query: &Query) -> Result<Option<Value>, Failure> {
    let node = session.call(EXFAT, "resolve", &[("path", hex_arg(&query.bytes("path")?))])?;
    Ok((node != Value::None).then_some(node))
}

fn clusters(session: &mut Session<'_>, node: &Value) -> Result<Vec<u64>, Failure> {
    let rows = session.rows(EXFAT, "clusters", &[("node", node.to_json())])?;
    Ok(rows.iter().map(|c| integer(c) as u64).collect())
}

fn path(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    Ok(with(node.to_json(), json!({ "no_fat_chain": node.bool("contiguous") })))
}

fn chain(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    let clusters = clusters(session, &node)?;
    Ok(with(json!({ "n_clusters": clusters.len() }), list("runs", pairs(runs(clusters)))))
}

fn rows(session: &mut Session<'_>, node: &Value) -> Result<Vec<Value>, Failure> {
    session.rows(EXFAT, "list", &[("dir", node.to_json())])
}

fn readdir(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    if !node.bool("is_dir") {
        return Err(Failure::error("the path does not name a directory"));
    }
    let mut rows = rows(session, &node)?;
    rows.sort_by(|a, b| a.bytes("name").cmp(b.bytes("name")));
    let size = |n: &Value| if n.bool("is_dir") { Json::Null } else { n.u64("size").into() };
    Ok(list("entries", rows.iter().map(|r| json!([name(r.bytes("name")), size(r.field("node"))])).collect()))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    if node.bool("is_dir") {
        return Err(Failure::error("the path names a directory"));
    }
    let (size, valid) = (node.u64("size"), node.u64("valid_size"));
    let window = parts::window(query, size)?;
    if size == 0 {
        return Ok(content(&[]));
    }
    let boot = session.call(EXFAT, "boot", &[])?;
    let sector_shift = boot.u64("sector_shift");
    let shift = sector_shift + boot.u64("cluster_shift");
    let heap = boot.u64("cluster_heap_offset") << sector_shift;
    let clusters = clusters(session, &node)?;
    if (clusters.len() as u64) << shift < size || valid > size {
        return Err(Failure::error(format!("{} clusters hold a file of {size} bytes", clusters.len())));
    }
    let part = |(i, c): (usize, &u64)| {
        let logical = (i as u64) << shift;
        Part {
            logical,
            length: (1 << shift).min(valid.saturating_sub(logical)),
            physical: Some(heap + ((c - 2) << shift)),
        }
    };
    let mut parts: Vec<Part> = clusters.iter().enumerate().map(part).collect();
    parts.push(Part { logical: valid, length: size - valid, physical: None });
    Ok(content(&parts::read(session, &parts, window)?))
}

fn walk(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    let (mut dirs, mut files, mut size) = (0u64, 0u64, 0u64);
    let mut seen = HashSet::from([node.u64("first_cluster")]);
    let mut todo = vec![node];
    while let Some(dir) = todo.pop() {
        for row in rows(session, &dir)? {
            let node = row.field("node");
            if !node.bool("is_dir") {
                files += 1;
                size += node.u64("size");
                continue;
            }
            dirs += 1;
            let first = node.u64("first_cluster");
            if first != 0 && !seen.insert(first) {
                return Err(Failure::error("a directory is reached twice"));
            }
            todo.push(node.clone());
        }
    }
    Ok(json!({ "n_dirs": dirs, "n_nondirs": files, "n_files": files, "n_entries": dirs + files, "bytes": size }))
}
