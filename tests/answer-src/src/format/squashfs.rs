//! `squashfs.*`.

use crate::inflate::{Method, inflate};
use crate::parts::{self, list};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const SQUASHFS: &str = "std.squashfs";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "super" => {
            let v = session.call(SQUASHFS, "open", &[])?;
            let mut json = v.to_json();
            json["version"] = "4.0".into();
            Ok(json)
        }
        "path" => {
            let Some(inode) = resolve(session, query)? else { return not_found() };
            Ok(json!({
                "inode": inode.u64("inode"),
                "mode": inode.u64("mode"),
                "size": inode.u64("size"),
                "uid": inode.u64("uid"),
                "gid": inode.u64("gid"),
                "nlink": inode.u64("nlink"),
                "mtime": inode.int("modified") as i64,
            }))
        }
        "readdir" => {
            let Some(inode) = resolve(session, query)? else { return not_found() };
            let rows = session.rows(SQUASHFS, "list", &[("dir", inode.to_json())])?;
            Ok(names(rows.iter().map(|r| r.bytes("name")).collect()))
        }
        "readlink" => {
            let Some(inode) = resolve(session, query)? else { return not_found() };
            let target = session.call(SQUASHFS, "readlink", &[("inode", inode.to_json())])?;
            Ok(json!({ "target": name(crate::value::bytes(&target)) }))
        }
        "read" => read(session, query),
        _ => Err(Failure::Unsupported),
    }
}

/// The names of a directory, sorted.
pub fn names(mut names: Vec<&[u8]>) -> Json {
    names.sort_unstable();
    let mut json = list("names", names.iter().map(|n| name(n)).collect());
    json["n_entries"] = names.len().into();
    json
}

fn resolve(session: &mut Session<'_>, query: &Query) -> Result<Option<Value>, Failure> {
    let inode = session.call(SQUASHFS, "resolve", &[("path", hex_arg(&query.bytes("path")?))])?;
    Ok((inode != Value::None).then_some(inode))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(inode) = resolve(session, query)? else { return not_found() };
    let volume = session.call(SQUASHFS, "open", &[])?;
    let extents = session.rows(SQUASHFS, "extents", &[("inode", inode.to_json())])?;
    let (start, end) = parts::window(query, inode.u64("size"))?;
    let mut out = Vec::with_capacity((end - start) as usize);
    for e in &extents {
        let (logical, length) = (e.u64("logical"), e.u64("length"));
        let (from, to) = (start.max(logical), end.min(logical + length));
        if from >= to {
            continue;
        }
        let (stored, physical) = (e.u64("stored"), e.u64("physical"));
        let skip = e.u64("skip") + (from - logical);
        if stored == 0 {
            out.resize(out.len() + (to - from) as usize, 0);
        } else if e.bool("compressed") {
            let method = match volume.u64("compression") {
                1 => Method::Zlib,
                6 => Method::Zstd,
                _ => return Err(Failure::error("data in this compression cannot be read")),
            };
            let block = inflate(method, &session.read(physical, stored)?, volume.u64("block_size") as usize)?;
            let part = block.get(skip as usize..).and_then(|b| b.get(..(to - from) as usize));
            out.extend(part.ok_or_else(|| Failure::error("a compressed block is too short"))?);
        } else {
            out.extend(session.read(physical + skip, to - from)?);
        }
    }
    match out.len() as u64 == end - start {
        true => Ok(content(&out)),
        false => Err(Failure::error("the file's parts do not cover its size")),
    }
}
