//! `btrfs.*`.

use super::partition::uuid;
use crate::parts::{self, Part, list};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const BTRFS: &str = "std.btrfs";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "super" => superblock(session),
        "chunks" => chunks(session),
        "map_logical" => map_logical(session, query),
        "tree_root" => match tree(session, query)? {
            Value::None => not_found(),
            root => Ok(json!({ "bytenr": root.u64("address"), "level": root.u64("level") })),
        },
        "item" => item(session, query),
        "inode" => inode(session, query),
        "extents" => extents(session, query),
        "dirhash" => {
            let hash = session.call(BTRFS, "dirhash", &[("name", hex_arg(&query.bytes("name")?))])?;
            Ok(json!({ "hash": integer(&hash) as u64 }))
        }
        "lookup" => lookup(session, query),
        "path" => path(session, query),
        "readdir" => readdir(session, query),
        "readlink" => readlink(session, query),
        "read" => read(session, query),
        _ => Err(Failure::Unsupported),
    }
}

/// The root of the tree that a query names; the files' where it names none.
fn tree(session: &mut Session<'_>, query: &Query) -> Result<Value, Failure> {
    let number = if query.get("tree").is_some() { query.u64("tree")? } else { 5 };
    session.call(BTRFS, "tree_root", &[("tree", number.into())])
}

fn superblock(session: &mut Session<'_>) -> Reply {
    let s = session.call(BTRFS, "super", &[])?;
    Ok(json!({
        "generation": s.u64("generation"),
        "root": s.u64("root"),
        "root_level": s.u64("root_level"),
        "chunk_root": s.u64("chunk_root"),
        "chunk_root_level": s.u64("chunk_root_level"),
        "log_root": s.u64("log_root"),
        "total_bytes": s.u64("total_bytes"),
        "bytes_used": s.u64("bytes_used"),
        "sectorsize": s.u64("sector_size"),
        "nodesize": s.u64("node_size"),
        "num_devices": s.u64("devices"),
        "sys_array_size": s.u64("system_bytes"),
        "root_dir": s.u64("root_dir"),
        "csum_type": s.u64("checksum_kind"),
        "fsid": uuid(s.bytes("fsid")),
        "label": name(s.bytes("label")),
        "compat_ro_flags": s.u64("compat_ro"),
        "incompat_flags": s.u64("incompat"),
        "csum_valid": s.bool("checksum_valid"),
        "devid": s.u64("device"),
    }))
}

/// The names of a chunk's kind, as `btrfs inspect-internal` joins them.
fn chunk_kind(flags: u64) -> String {
    let uses = [(1, "DATA"), (2, "SYSTEM"), (4, "METADATA")];
    let profiles = [
        (8, "RAID0"),
        (16, "RAID1"),
        (32, "DUP"),
        (64, "RAID10"),
        (128, "RAID5"),
        (256, "RAID6"),
        (512, "RAID1C3"),
        (1024, "RAID1C4"),
    ];
    let mut names: Vec<&str> = uses.iter().filter(|(bit, _)| flags & bit != 0).map(|(_, name)| *name).collect();
    names.push(profiles.iter().find(|(bit, _)| flags & bit != 0).map_or("single", |(_, name)| name));
    names.join("|")
}

fn chunks(session: &mut Session<'_>) -> Reply {
    let mut out: Vec<Json> = Vec::new();
    for row in session.rows(BTRFS, "chunks", &[])? {
        let stripe = json!([row.u64("device"), row.u64("offset")]);
        match out.last_mut() {
            Some(last) if last["logical"] == row.u64("logical") => {
                last["stripes"].as_array_mut().expect("each chunk was given a list").push(stripe);
            }
            _ => out.push(json!({
                "logical": row.u64("logical"),
                "length": row.u64("length"),
                "type": chunk_kind(row.u64("kind")),
                "stripes": [stripe],
            })),
        }
    }
    Ok(list("chunks", out))
}

fn map_logical(session: &mut Session<'_>, query: &Query) -> Reply {
    let logical = query.u64("logical")?;
    let mut physical = Vec::new();
    for mirror in 0..4_u64 {
        match session.call(BTRFS, "locate", &[("logical", logical.into()), ("mirror", mirror.into())])? {
            Value::None => break,
            place => physical.push(place.u64("offset")),
        }
    }
    if physical.is_empty() {
        return not_found();
    }
    physical.sort_unstable();
    physical.dedup();
    Ok(json!({ "physical": physical }))
}

fn item(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = tree(session, query)?;
    let Some([object, kind, number]) = query.get("key").and_then(Json::as_array).map(Vec::as_slice) else {
        return Err(Failure::error("`key` is not a list of three"));
    };
    if root == Value::None {
        return not_found();
    }
    let args =
        [("root", root.to_json()), ("object", object.clone()), ("kind", kind.clone()), ("number", number.clone())];
    match session.call(BTRFS, "item", &args)? {
        Value::None => not_found(),
        found => Ok(json!({ "leaf": found.u64("leaf"), "slot": found.u64("slot"), "size": found.u64("size") })),
    }
}

fn inode(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = tree(session, query)?;
    match session.call(BTRFS, "inode", &[("root", root.to_json()), ("ino", query.u64("inode")?.into())])? {
        Value::None => not_found(),
        i => Ok(json!({
            "size": i.u64("size"),
            "nbytes": i.u64("bytes"),
            "mode": i.u64("mode"),
            "nlink": i.u64("links"),
            "uid": i.u64("uid"),
            "gid": i.u64("gid"),
            "generation": i.u64("generation"),
            "flags": i.u64("flags"),
        })),
    }
}

fn extents(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = tree(session, query)?;
    let rows = session.rows(BTRFS, "extents", &[("root", root.to_json()), ("ino", query.u64("inode")?.into())])?;
    let row = |r: &Value| {
        let (kind, common) = (r.u64("kind"), json!({ "offset": r.u64("start"), "compression": r.u64("compression") }));
        let more = match kind {
            0 => json!({ "type": "inline", "ram_bytes": r.u64("ram_bytes") }),
            _ => json!({
                "type": if kind == 1 { "regular" } else { "prealloc" },
                "ram_bytes": r.u64("ram_bytes"),
                "disk_bytenr": r.u64("address"),
                "disk_num_bytes": r.u64("disk_bytes"),
                "disk_bytes": r.u64("disk_bytes"),
                "extent_offset": r.u64("offset"),
                "num_bytes": r.u64("bytes"),
            }),
        };
        parts::with(common, more)
    };
    Ok(list("extents", rows.iter().map(row).collect()))
}

fn lookup(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = tree(session, query)?;
    let args = [("root", root.to_json()), ("dir", query.u64("dir")?.into()), ("name", hex_arg(&query.bytes("name")?))];
    match session.call(BTRFS, "lookup", &args)? {
        Value::None => not_found(),
        found => Ok(json!({ "inode": found.u64("object") })),
    }
}

/// The file that a query means by its path or its number, and its inode; none where there is no such file.
fn file(session: &mut Session<'_>, query: &Query) -> Result<Option<(Value, Value)>, Failure> {
    let (root, ino) = if query.get("path").is_some() || query.get("path_hex").is_some() {
        match session.call(BTRFS, "resolve", &[("path", hex_arg(&query.bytes("path")?))])? {
            Value::None => return Ok(None),
            found => (found.field("root").clone(), found.u64("ino")),
        }
    } else {
        (tree(session, query)?, query.u64("inode")?)
    };
    let inode = session.call(BTRFS, "inode", &[("root", root.to_json()), ("ino", ino.into())])?;
    Ok((inode != Value::None).then_some((root, inode)))
}

fn path(session: &mut Session<'_>, query: &Query) -> Reply {
    match file(session, query)? {
        None => not_found(),
        Some((_, i)) => Ok(json!({ "inode": i.u64("ino"), "size": i.u64("size"), "mode": i.u64("mode") })),
    }
}

fn readdir(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some((root, inode)) = file(session, query)? else { return not_found() };
    let mut rows = session.rows(BTRFS, "list", &[("root", root.to_json()), ("dir", inode.u64("ino").into())])?;
    rows.sort_by(|a, b| a.bytes("name").cmp(b.bytes("name")));
    Ok(list("entries", rows.iter().map(|r| json!([name(r.bytes("name")), r.u64("object")])).collect()))
}

fn readlink(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some((root, inode)) = file(session, query)? else { return not_found() };
    if inode.u64("mode") & 0xf000 != 0xa000 {
        return Err(Failure::error("the inode is no symbolic link"));
    }
    Ok(json!({ "target": name(&contents(session, &root, &inode, (0, inode.u64("size")))?) }))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some((root, inode)) = file(session, query)? else { return not_found() };
    if inode.u64("mode") & 0xf000 != 0x8000 {
        return Err(Failure::error("the inode is no regular file"));
    }
    let window = parts::window(query, inode.u64("size"))?;
    Ok(content(&contents(session, &root, &inode, window)?))
}

/// The bytes of a file within a window.
fn contents(session: &mut Session<'_>, root: &Value, inode: &Value, window: (u64, u64)) -> Result<Vec<u8>, Failure> {
    let (mut parts, mut end) = (Vec::new(), 0);
    for row in session.rows(BTRFS, "extents", &[("root", root.to_json()), ("ino", inode.u64("ino").into())])? {
        let (start, length) = (row.u64("start"), row.u64("bytes"));
        parts.push(Part { logical: end, length: start.saturating_sub(end), physical: None });
        end = start.saturating_add(length);
        if start >= window.1 || end <= window.0 {
            parts.push(Part { logical: start, length, physical: None });
            continue;
        }
        if row.u64("compression") != 0 {
            return Err(Failure::error("compressed contents are not unpacked"));
        }
        match row.u64("kind") {
            0 => parts.push(Part { logical: start, length, physical: Some(row.u64("address")) }),
            1 if row.u64("address") != 0 => {
                let logical = row.u64("address").saturating_add(row.u64("offset"));
                place(session, &mut parts, (start, length), logical)?;
            }
            _ => parts.push(Part { logical: start, length, physical: None }),
        }
    }
    parts.push(Part { logical: end, length: inode.u64("size").saturating_sub(end), physical: None });
    parts::read(session, &parts, window)
}

/// Adds the pieces in which `length` bytes from a logical address lie on the device.
fn place(
    session: &mut Session<'_>,
    parts: &mut Vec<Part>,
    (start, length): (u64, u64),
    logical: u64,
) -> Result<(), Failure> {
    let mut done = 0;
    while done < length {
        let found = session.call(BTRFS, "local", &[("logical", logical.saturating_add(done).into())])?;
        let piece = found.u64("length").min(length - done).max(1);
        parts.push(Part { logical: start + done, length: piece, physical: Some(found.u64("offset")) });
        done += piece;
    }
    Ok(())
}
