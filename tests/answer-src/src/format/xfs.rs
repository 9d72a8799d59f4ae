//! `xfs.*`: XFS of versions 4 and 5.

use super::partition::uuid;
use crate::parts::{self, Part, list, with};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, bytes, content, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const XFS: &str = "std.xfs";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "super" => superblock(session),
        "crc" => checksum(session, query),
        "agf" => free_space(session, query),
        "agi" => inode_space(session, query),
        "inode" => inode(session, query),
        "extents" => extents(session, query),
        "bmap" => bmap(session, query),
        "bmbt" => match session.call(XFS, "tree_level", &[ino(query)?])? {
            Value::None => not_found(),
            level => Ok(json!({ "level": integer(&level) as u64 })),
        },
        "path" => match session.call(XFS, "resolve", &[("path", hex_arg(&query.bytes("path")?))])? {
            Value::None => not_found(),
            found => Ok(json!({ "inode": integer(&found) as u64 })),
        },
        "lookup" => lookup(session, query),
        "dirhash" => dirhash(session, query),
        "readdir" => readdir(session, query),
        "readlink" => Ok(json!({ "target": name(bytes(&session.call(XFS, "readlink", &[ino(query)?])?)) })),
        "read" => read(session, query),
        "xattr" => xattr(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn ino(query: &Query) -> Result<(&'static str, Json), Failure> {
    Ok(("ino", query.u64("inode")?.into()))
}

fn superblock(session: &mut Session<'_>) -> Reply {
    let s = session.call(XFS, "super", &[])?;
    Ok(json!({
        "uuid": uuid(s.bytes("uuid")),
        "label": name(s.bytes("label")),
        "blocksize": s.u64("block_size"),
        "dblocks": s.u64("blocks"),
        "agblocks": s.u64("ag_blocks"),
        "agcount": s.u64("ag_count"),
        "rootino": s.u64("root"),
        "inodesize": s.u64("inode_size"),
        "inopblock": s.u64("inodes_per_block"),
        "sectsize": s.u64("sector_size"),
        "blocklog": s.u64("block_log"),
        "inopblog": s.u64("inodes_per_block_log"),
        "agblklog": s.u64("ag_log"),
        "dirblklog": s.u64("dir_block_log"),
        "logstart": s.u64("log_start"),
        "logblocks": s.u64("log_blocks"),
        "icount": s.u64("inodes"),
        "ifree": s.u64("free_inodes"),
        "fdblocks": s.u64("free_blocks"),
        "versionnum": s.u64("version_flags"),
        "features2": s.u64("features2"),
        "features_compat": s.u64("compat"),
        "features_ro_compat": s.u64("ro_compat"),
        "features_incompat": s.u64("incompat"),
        "features_log_incompat": s.u64("log_incompat"),
        "crc": s.u64("crc"),
    }))
}

fn checksum(session: &mut Session<'_>, query: &Query) -> Reply {
    let header = match query.text("what")? {
        "sb" => "Super",
        "agf" => "FreeSpace",
        "agi" => "Inodes",
        "agfl" => "FreeList",
        _ => return Err(Failure::Unsupported),
    };
    let ag = if query.get("ag").is_some() { query.u64("ag")? } else { 0 };
    let sum = session.call(XFS, "header_checksum", &[("header", header.into()), ("ag", ag.into())])?;
    Ok(json!({ "stored": sum.u64("stored"), "valid": sum.bool("valid") }))
}

fn free_space(session: &mut Session<'_>, query: &Query) -> Reply {
    let h = session.call(XFS, "agf", &[("ag", query.u64("ag")?.into())])?;
    Ok(json!({
        "seqno": h.u64("ag"),
        "length": h.u64("length"),
        "bnoroot": h.u64("by_block_root"),
        "cntroot": h.u64("by_size_root"),
        "bnolevel": h.u64("by_block_level"),
        "cntlevel": h.u64("by_size_level"),
        "flfirst": h.u64("list_first"),
        "fllast": h.u64("list_last"),
        "flcount": h.u64("list_count"),
        "freeblks": h.u64("free_blocks"),
        "longest": h.u64("longest"),
    }))
}

fn inode_space(session: &mut Session<'_>, query: &Query) -> Reply {
    let h = session.call(XFS, "agi", &[("ag", query.u64("ag")?.into())])?;
    Ok(json!({
        "seqno": h.u64("ag"),
        "length": h.u64("length"),
        "count": h.u64("count"),
        "root": h.u64("root"),
        "level": h.u64("level"),
        "freecount": h.u64("free"),
        "newino": h.u64("newest"),
    }))
}

fn inode(session: &mut Session<'_>, query: &Query) -> Reply {
    let i = session.call(XFS, "inode_unchecked", &[ino(query)?])?;
    let format = match i.u64("format") {
        0 => "dev",
        1 => "local",
        2 => "extents",
        3 => "btree",
        _ => "uuid",
    };
    Ok(json!({
        "mode": i.u64("mode"),
        "format": format,
        "size": i.u64("size"),
        "nblocks": i.u64("blocks"),
        "nextents": i.field("data").u64("extents"),
        "naextents": i.field("attr").u64("extents"),
        "nlink": i.u64("links"),
        "uid": i.u64("uid"),
        "gid": i.u64("gid"),
        "gen": i.u64("generation"),
        "forkoff": i.u64("fork_offset"),
        "crc": i.u64("crc"),
        "crc_valid": i.bool("crc_valid"),
    }))
}

fn extents(session: &mut Session<'_>, query: &Query) -> Reply {
    let rows = session.rows(XFS, "extents", &[ino(query)?])?;
    let row = |r: &Value| json!([r.u64("start"), r.u64("ag"), r.u64("ag_block"), r.u64("count"), r.bool("unwritten")]);
    Ok(list("extents", rows.iter().map(row).collect()))
}

fn bmap(session: &mut Session<'_>, query: &Query) -> Reply {
    match session.call(XFS, "map", &[ino(query)?, ("block", query.u64("logical")?.into())])? {
        Value::None => Ok(json!({ "hole": true })),
        found => Ok(json!({ "byte_offset": found.u64("offset"), "unwritten": found.bool("unwritten") })),
    }
}

fn dirhash(session: &mut Session<'_>, query: &Query) -> Reply {
    let hash = session.call(XFS, "dirhash", &[("name", hex_arg(&query.bytes("name")?))])?;
    Ok(json!({ "hash": integer(&hash) as u64 }))
}

fn lookup(session: &mut Session<'_>, query: &Query) -> Reply {
    // No name is longer.
    if query.bytes("name")?.len() > 255 {
        return not_found();
    }
    let args = [("dir", query.u64("dir")?.into()), ("name", hex_arg(&query.bytes("name")?))];
    match session.call(XFS, "lookup", &args)? {
        Value::None => not_found(),
        found => Ok(with(dirhash(session, query)?, json!({ "inode": integer(&found) as u64 }))),
    }
}

fn readdir(session: &mut Session<'_>, query: &Query) -> Reply {
    let mut rows = session.rows(XFS, "list", &[("dir", query.u64("inode")?.into())])?;
    rows.sort_by(|a, b| a.bytes("name").cmp(b.bytes("name")));
    let row = |r: &Value| json!([name(r.bytes("name")), r.u64("ino")]);
    Ok(list("entries", rows.iter().map(row).collect()))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let ino = match query.get("path") {
        Some(_) => match session.call(XFS, "resolve", &[("path", hex_arg(&query.bytes("path")?))])? {
            Value::None => return not_found(),
            found => ("ino", (integer(&found) as u64).into()),
        },
        None => ino(query)?,
    };
    let node = session.call(XFS, "inode", std::slice::from_ref(&ino))?;
    if node.u64("mode") & 0xf000 != 0x8000 {
        return Err(Failure::error("the inode is no regular file"));
    }
    let block = session.call(XFS, "super", &[])?.u64("block_size");
    let size = node.u64("size");
    let mut parts = Vec::new();
    let mut end = 0;
    for row in session.rows(XFS, "extents", &[ino])? {
        let (logical, length) = (row.u64("start").saturating_mul(block), row.u64("count") * block);
        parts.push(Part { logical: end, length: logical.saturating_sub(end), physical: None });
        let physical = (!row.bool("unwritten")).then_some(row.u64("offset"));
        parts.push(Part { logical, length, physical });
        end = logical.saturating_add(length);
    }
    parts.push(Part { logical: end, length: size.saturating_sub(end), physical: None });
    Ok(content(&parts::read(session, &parts, parts::window(query, size)?)?))
}

fn xattr(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [ino(query)?, ("name", hex_arg(&query.bytes("name")?))];
    let value = session.call(XFS, "xattr", &args)?;
    if value == Value::None {
        return not_found();
    }
    let mut out = Vec::new();
    for part in session.rows(XFS, "value", &[ino(query)?, ("value", value.to_json())])? {
        out.extend(session.read(part.u64("offset"), part.u64("length"))?);
    }
    Ok(content(&out))
}
