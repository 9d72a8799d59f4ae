//! `squashfs.*`.

use super::Instead;
use crate::inflate::{Method, inflate};
use crate::parts::{self, Gathered, Part, list};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::unpacked::Unpacked;
use crate::value::{Fields, content, hex_arg, name};
use serde_json::{Value as Json, json};
use std::sync::Arc;
use trav_runtime::call::Images;
use trav_runtime::image::Image;
use trav_runtime::value::Value;

const SQUASHFS: &str = "std.squashfs";

/// The image with its compressed metadata unpacked behind it.
pub fn unpacked(session: &mut Session<'_>) -> Instead {
    let volume = session.call(SQUASHFS, "open", &[]).ok()?;
    let unpacked = Unpacked::new(session.image().clone(), method(&volume).ok()?)?;
    let starts = vec![unpacked.base()];
    Some((Images::from([("image".into(), Arc::new(unpacked) as Arc<dyn Image>)]), starts))
}

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    if let (&[start], false) = (session.starts(), session.gives("vol")) {
        let volume = session.call(SQUASHFS, "open_unpacked", &[("unpacked", start.into())])?;
        session.give("vol", volume.to_json());
    }
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
    let mut gathered = Gathered::new(parts::window(query, inode.u64("size"))?);
    for e in &extents {
        let (logical, length) = (e.u64("logical"), e.u64("length"));
        if gathered.wanted(logical, length).is_none() {
            continue;
        }
        let (stored, skip) = (e.u64("stored"), e.u64("skip"));
        if e.bool("compressed") {
            let block = session.read(e.u64("physical"), stored)?;
            let block = inflate(method(&volume)?, &block, volume.u64("block_size") as usize)?;
            gathered.bytes(logical, length, block.get(skip as usize..).unwrap_or_default())?;
        } else {
            let physical = (stored > 0).then_some(e.u64("physical").saturating_add(skip));
            gathered.part(session, &Part { logical, length, physical })?;
        }
    }
    Ok(content(&gathered.finish()?))
}

/// How an image's blocks are compressed.
fn method(volume: &Value) -> Result<Method, Failure> {
    match volume.u64("compression") {
        1 => Ok(Method::Zlib),
        2 => Ok(Method::Lzma),
        3 => Ok(Method::Lzo),
        4 => Ok(Method::Xz),
        5 => Ok(Method::Lz4),
        6 => Ok(Method::Zstd),
        _ => Err(Failure::error("blocks in this compression cannot be read")),
    }
}
