//! `erofs.*`.

use super::partition::uuid;
use super::squashfs::names;
use crate::parts::{self, Part};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const EROFS: &str = "std.erofs";

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

fn extents(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(inode) = resolve(session, query)? else { return not_found() };
    let rows = session.rows(EROFS, "extents", &[("inode", inode.to_json())])?;
    // Extents are whole blocks, but for the end of a file that stands behind its inode.
    let block = 1u64 << session.call(EROFS, "open", &[])?.u64("block_bits");
    let unit = if inode.u64("layout") == 2 { 1 } else { block };
    let row = |e: &Value| {
        let (logical, length, physical) = (e.u64("logical"), e.u64("length").next_multiple_of(unit), e.u64("physical"));
        json!([logical, logical + length, physical, physical + length])
    };
    let rows: Vec<Json> = rows.iter().filter(|e| !e.bool("hole")).map(row).collect();
    Ok(json!({ "n_extents": rows.len(), "first": rows.first(), "last": rows.last(), "extents": rows }))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(inode) = resolve(session, query)? else { return not_found() };
    if inode.u64("mode") & 0o170_000 != 0o100_000 {
        return Err(Failure::error("the path does not name a file"));
    }
    let rows = session.rows(EROFS, "extents", &[("inode", inode.to_json())])?;
    let part = |e: &Value| Part {
        logical: e.u64("logical"),
        length: e.u64("length"),
        physical: (!e.bool("hole")).then(|| e.u64("physical")),
    };
    let parts: Vec<Part> = rows.iter().map(part).collect();
    let window = parts::window(query, inode.u64("size"))?;
    Ok(content(&parts::read(session, &parts, window)?))
}
