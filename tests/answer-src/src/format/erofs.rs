//! `erofs.*`.

use super::partition::uuid;
use super::squashfs::names;
use crate::inflate::{Method, inflate};
use crate::parts::{self, Gathered, Part};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const EROFS: &str = "std.erofs";

/// No compressed part of a file is longer than this is worth unpacking.
const PART_BYTES_MAX: u64 = 64 << 20;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "super" => {
            let v = session.call(EROFS, "open", &[])?;
            Ok(json!({
                "blocks": v.u64("blocks"),
                "block_size": 1u64 << v.u64("block_bits"),
                "meta_blkaddr": v.u64("meta_block"),
                "xattr_blkaddr": v.u64("xattr_block"),
                "root_nid": v.u64("root_nid"),
                "inos": v.u64("inodes"),
                "build_time": v.int("built") as i64,
                "uuid": uuid(v.bytes("uuid")),
            }))
        }
        // A file's number, as the kernel gives it, is its nid.
        "path" => {
            let Some(inode) = resolve(session, query)? else { return not_found() };
            Ok(json!({
                "inode": inode.u64("nid"),
                "nid": inode.u64("nid"),
                "ino": inode.u64("inode"),
                "mode": inode.u64("mode"),
                "size": inode.u64("size"),
                "uid": inode.u64("uid"),
                "gid": inode.u64("gid"),
                "nlink": inode.u64("nlink"),
                "mtime": inode.int("modified") as i64,
                "layout": inode.u64("layout"),
            }))
        }
        "readdir" => {
            let Some(inode) = resolve(session, query)? else { return not_found() };
            let rows = session.rows(EROFS, "list", &[("dir", inode.to_json())])?;
            Ok(names(rows.iter().map(|r| r.bytes("name")).filter(|n| *n != b"." && *n != b"..").collect()))
        }
        "readlink" => {
            let Some(inode) = resolve(session, query)? else { return not_found() };
            let target = session.call(EROFS, "readlink", &[("inode", inode.to_json())])?;
            Ok(json!({ "target": name(crate::value::bytes(&target)) }))
        }
        "extents" => extents(session, query),
        "read" => read(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn resolve(session: &mut Session<'_>, query: &Query) -> Result<Option<Value>, Failure> {
    let inode = session.call(EROFS, "resolve", &[("path", hex_arg(&query.bytes("path")?))])?;
    Ok((inode != Value::None).then_some(inode))
}

/// The parts of a file in order.
fn rows(session: &mut Session<'_>, inode: &Value) -> Result<Vec<Value>, Failure> {
    let compressed = matches!(inode.u64("layout"), 1 | 3);
    session.rows(EROFS, if compressed { "packed_extents" } else { "extents" }, &[("inode", inode.to_json())])
}

fn extents(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(inode) = resolve(session, query)? else { return not_found() };
    let rows = rows(session, &inode)?;
    // Extents are whole blocks, but for the end of a file that stands behind its inode, and for compressed ones.
    let block = 1u64 << session.call(EROFS, "open", &[])?.u64("block_bits");
    let (logical_unit, physical_unit) = match inode.u64("layout") {
        2 => (1, 1),
        1 | 3 => (1, block),
        _ => (block, block),
    };
    let row = |e: &Value| {
        let (logical, physical) = (e.u64("logical"), e.u64("physical"));
        let length = e.u64("length").next_multiple_of(logical_unit);
        // Behind the index nothing is rounded.
        let unit = if physical % block == 0 { physical_unit } else { 1 };
        json!([logical, logical + length, physical, physical + e.u64("stored").next_multiple_of(unit)])
    };
    let rows: Vec<Json> = rows.iter().filter(|e| !e.bool("hole")).map(row).collect();
    Ok(json!({ "n_extents": rows.len(), "first": rows.first(), "last": rows.last(), "extents": rows }))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(inode) = resolve(session, query)? else { return not_found() };
    if inode.u64("mode") & 0o170_000 != 0o100_000 {
        return Err(Failure::error("the path does not name a file"));
    }
    let padded = session.call(EROFS, "open", &[])?.bool("padded");
    let mut gathered = Gathered::new(parts::window(query, inode.u64("size"))?);
    for e in rows(session, &inode)? {
        let (logical, length, physical) = (e.u64("logical"), e.u64("length"), e.u64("physical"));
        if gathered.wanted(logical, length).is_none() {
            continue;
        }
        let method = match e.u64("packing") {
            0 => {
                let physical = (!e.bool("hole")).then_some(physical);
                gathered.part(session, &Part { logical, length, physical })?;
                continue;
            }
            1 => Method::Lz4,
            3 => Method::Deflate,
            4 => Method::Zstd,
            _ => return Err(Failure::error("parts in this compression cannot be read")),
        };
        let stored = session.read(physical, e.u64("stored"))?;
        let zeros = if padded { stored.iter().take_while(|b| **b == 0).count() } else { 0 };
        let room = length.min(PART_BYTES_MAX) as usize;
        gathered.bytes(logical, length, &inflate(method, &stored[zeros..], room)?)?;
    }
    Ok(content(&gathered.finish()?))
}
