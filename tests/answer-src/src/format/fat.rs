//! `fat.*`: FAT12, FAT16 and FAT32.

use crate::parts::{self, Part, list, runs, with};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use trav_runtime::value::Value;

const FAT: &str = "std.fat";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "bpb" => bpb(session),
        "fsinfo" => fsinfo(session),
        "free_clusters" => Ok(json!({ "free": integer(&session.call(FAT, "free", &[])?) as u64 })),
        "next" => next(session, query),
        "chain" => chain(session, query),
        "path" => path(session, query),
        "readdir" => readdir(session, query),
        "read" => read(session, query),
        "walk" => walk(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn bpb(session: &mut Session<'_>) -> Reply {
    let p = session.call(FAT, "super", &[])?;
    let volume = p.field("volume");
    let mut json = json!({
        "bytes_per_sector": volume.u64("bytes_per_sector"),
        "sectors_per_cluster": volume.u64("sectors_per_cluster"),
        "reserved_sectors": p.u64("reserved_sectors"),
        "num_fats": p.u64("fats"),
        "fat_bits": volume.u64("bits"),
        "fat_sectors": p.u64("fat_sectors"),
        "root_entries": p.u64("root_entries"),
        "data_offset": volume.u64("data"),
        "cluster_count": volume.u64("clusters"),
        "total_sectors": p.u64("total_sectors"),
        "hidden_sectors": p.u64("hidden_sectors"),
        "media": p.u64("media"),
        "root_cluster": volume.u64("root_cluster"),
    });
    for field in ["serial", "fsinfo_sector", "backup_sector"] {
        if let Value::Int { value, .. } = p.field(field) {
            json[field] = (*value as u64).into();
        }
    }
    if let Value::Bytes { bytes, .. } = p.field("label") {
        json["label"] = name(bytes);
    }
    Ok(json)
}

fn fsinfo(session: &mut Session<'_>) -> Reply {
    let info = session.call(FAT, "fsinfo", &[])?;
    if info == Value::None {
        return not_found();
    }
    let (free, next) = (info.u64("free_count"), info.u64("next_free"));
    Ok(
        json!({ "free_count": free, "free_clusters": free, "free": free, "next_free": next, "next_cluster": next, "next": next }),
    )
}

fn next(session: &mut Session<'_>, query: &Query) -> Reply {
    let next = session.call(FAT, "next", &[("cluster", query.u64("cluster")?.into())])?;
    Ok(json!({ "next": if next == Value::None { "end".into() } else { Json::from(integer(&next) as u64) } }))
}

fn clusters(session: &mut Session<'_>, first: u64) -> Result<Vec<u64>, Failure> {
    let rows = session.rows(FAT, "clusters", &[("first", first.into())])?;
    Ok(rows.iter().map(|c| integer(c) as u64).collect())
}

fn chain(session: &mut Session<'_>, query: &Query) -> Reply {
    let clusters = clusters(session, query.u64("first_cluster")?)?;
    Ok(with(json!({ "n_clusters": clusters.len() }), list("runs", pairs(runs(clusters)))))
}

/// Runs as JSON.
pub fn pairs(runs: Vec<(u64, u64)>) -> Vec<Json> {
    runs.into_iter().map(|(start, count)| json!([start, count])).collect()
}

fn resolve(session: &mut Session<'_>, query: &Query) -> Result<Option<Value>, Failure> {
    let node = session.call(FAT, "resolve", &[("path", hex_arg(&query.bytes("path")?))])?;
    Ok((node != Value::None).then_some(node))
}

fn path(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    Ok(json!({
        "first_cluster": node.u64("first_cluster"),
        "size": if node.bool("is_dir") { 0 } else { node.u64("size") },
        "is_dir": node.bool("is_dir"),
        "short_name": name(node.bytes("short_name")),
    }))
}

/// The rows of a directory without `.` and `..`.
fn rows(session: &mut Session<'_>, cluster: u64) -> Result<Vec<Value>, Failure> {
    let mut rows = session.rows(FAT, "list", &[("dir", cluster.into())])?;
    rows.retain(|r| r.bytes("name") != b"." && r.bytes("name") != b"..");
    Ok(rows)
}

fn readdir(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    if !node.bool("is_dir") {
        return Err(Failure::error("the path does not name a directory"));
    }
    let mut rows = rows(session, node.u64("first_cluster"))?;
    rows.sort_by(|a, b| a.bytes("name").cmp(b.bytes("name")));
    let size = |r: &Value| if r.bool("is_dir") { Json::Null } else { r.u64("size").into() };
    Ok(list("entries", rows.iter().map(|r| json!([name(r.bytes("name")), size(r)])).collect()))
}

/// The size of a file and where its clusters are; none where the path names nothing.
pub fn file(session: &mut Session<'_>, query: &Query) -> Result<Option<(u64, Vec<Part>)>, Failure> {
    let Some(node) = resolve(session, query)? else { return Ok(None) };
    if node.bool("is_dir") {
        return Err(Failure::error("the path names a directory"));
    }
    let (size, first) = (node.u64("size"), node.u64("first_cluster"));
    if size == 0 {
        return Ok(Some((0, Vec::new())));
    }
    if first == 0 {
        return Err(Failure::error("the file has a size and no cluster"));
    }
    let volume = session.call(FAT, "open", &[])?;
    let bytes = volume.u64("bytes_per_sector") * volume.u64("sectors_per_cluster");
    let clusters = clusters(session, first)?;
    if (clusters.len() as u64) < size.div_ceil(bytes) {
        return Err(Failure::error(format!("{} clusters hold a file of {size} bytes", clusters.len())));
    }
    let part = |(i, c): (usize, &u64)| Part {
        logical: i as u64 * bytes,
        length: bytes,
        physical: Some(volume.u64("data") + (c - 2) * bytes),
    };
    Ok(Some((size, clusters.iter().enumerate().map(part).collect())))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some((size, parts)) = file(session, query)? else { return not_found() };
    let window = parts::window(query, size)?;
    Ok(content(&parts::read(session, &parts, window)?))
}

fn walk(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(node) = resolve(session, query)? else { return not_found() };
    let (mut dirs, mut files, mut size) = (0u64, 0u64, 0u64);
    let mut seen = HashSet::from([node.u64("first_cluster")]);
    let mut todo = vec![node.u64("first_cluster")];
    while let Some(cluster) = todo.pop() {
        for row in rows(session, cluster)? {
            if !row.bool("is_dir") {
                files += 1;
                size += row.u64("size");
                continue;
            }
            dirs += 1;
            if row.u64("first_cluster") == 0 || !seen.insert(row.u64("first_cluster")) {
                return Err(Failure::error("a directory is reached twice"));
            }
            todo.push(row.u64("first_cluster"));
        }
    }
    Ok(json!({ "n_dirs": dirs, "n_nondirs": files, "n_files": files, "n_entries": dirs + files, "bytes": size }))
}
