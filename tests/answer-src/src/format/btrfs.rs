//! `btrfs.*`.

use super::partition::uuid;
use crate::inflate::{Method, inflate};
use crate::parts::{self, Gathered, Part, list};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const BTRFS: &str = "std.btrfs";

/// No name is longer.
const NAME_BYTES_MAX: usize = 255;

/// More than any compressed extent holds: they end at 128 KiB.
const UNPACKED_BYTES_MAX: u64 = 1 << 20;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    if !session.starts().is_empty() && !session.gives("vol") {
        let starts: Vec<u8> = session.starts().iter().flat_map(|s| s.to_le_bytes()).collect();
        let volume = session.call(BTRFS, "open_all", &[("starts", hex_arg(&starts))])?;
        session.give("vol", volume.to_json());
        let tree = session.call(BTRFS, "default_tree", &[])?;
        let top = session.call(BTRFS, "top", &[("tree", (integer(&tree) as u64).into())])?;
        session.give("start", top.to_json());
    }
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
    let args = [
        ("root", root.to_json()),
        ("object", part_of_key(object)),
        ("kind", kind.clone()),
        ("number", part_of_key(number)),
    ];
    match session.call(BTRFS, "item", &args)? {
        Value::None => not_found(),
        found => Ok(json!({ "leaf": found.u64("leaf"), "slot": found.u64("slot"), "size": found.u64("size") })),
    }
}

/// A number as dump-tree prints it: `-1` for all ones, hexadecimal digits behind `0x`, `LEVEL/ID` of a quota group. Names stay.
fn part_of_key(part: &Json) -> Json {
    let Some(text) = part.as_str() else { return part.clone() };
    let number = match text.split_once('/') {
        Some((level, id)) => level.parse::<u64>().ok().zip(id.parse::<u64>().ok()).map(|(level, id)| level << 48 | id),
        None if text == "-1" => Some(u64::MAX),
        None => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        },
    };
    number.map_or_else(|| part.clone(), Json::from)
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
    if query.bytes("name")?.len() > NAME_BYTES_MAX {
        return not_found();
    }
    let root = tree(session, query)?;
    let args = [("root", root.to_json()), ("dir", query.u64("dir")?.into()), ("name", hex_arg(&query.bytes("name")?))];
    match session.call(BTRFS, "lookup", &args)? {
        Value::None => not_found(),
        found => Ok(json!({ "inode": found.u64("object") })),
    }
}

/// The place that a query means by its path, or by its number and tree; none where there is no such file.
fn place(session: &mut Session<'_>, query: &Query) -> Result<Value, Failure> {
    let mut args = vec![("path", hex_arg(&query.bytes("path")?))];
    if let Some(tree) = query.get("tree") {
        args.push(("start", session.call(BTRFS, "top", &[("tree", tree.clone())])?.to_json()));
    }
    session.call(BTRFS, "resolve", &args)
}

/// The file that a query means, and the root of its tree; none where there is no such file.
fn file(session: &mut Session<'_>, query: &Query) -> Result<Option<(Value, Value)>, Failure> {
    let (root, ino) = if query.get("path").is_some() || query.get("path_hex").is_some() {
        match place(session, query)? {
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
    let found = place(session, query)?;
    if found == Value::None {
        return not_found();
    }
    if found.bool("empty") {
        return Ok(json!({ "inode": found.u64("ino"), "size": 0, "mode": 0o040_755 }));
    }
    let args = [("root", found.field("root").to_json()), ("ino", found.u64("ino").into())];
    match session.call(BTRFS, "inode", &args)? {
        Value::None => Err(Failure::error("the path names an inode that is not there")),
        i => Ok(json!({ "inode": i.u64("ino"), "size": i.u64("size"), "mode": i.u64("mode") })),
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
    let (mut gathered, mut end) = (Gathered::new(window), 0);
    for row in session.rows(BTRFS, "extents", &[("root", root.to_json()), ("ino", inode.u64("ino").into())])? {
        let packed = row.u64("compression") != 0;
        let inline = row.u64("kind") == 0;
        let (start, length) =
            (row.u64("start"), if packed && inline { row.u64("ram_bytes") } else { row.u64("bytes") });
        gathered.part(session, &Part { logical: end, length: start.saturating_sub(end), physical: None })?;
        end = start.saturating_add(length);
        if gathered.wanted(start, length).is_none() {
            continue;
        }
        let hole = Part { logical: start, length, physical: None };
        match row.u64("kind") {
            _ if packed => {
                let unpacked = unpacked(session, &row)?;
                let skip = if inline { 0 } else { row.u64("offset") as usize };
                gathered.bytes(start, length, unpacked.get(skip..).unwrap_or_default())?;
            }
            0 => gathered.part(session, &Part { physical: Some(row.u64("address")), ..hole })?,
            1 if row.u64("address") != 0 => {
                for piece in pieces(session, row.u64("address").saturating_add(row.u64("offset")), start, length)? {
                    gathered.part(session, &piece)?;
                }
            }
            _ => gathered.part(session, &hole)?,
        }
    }
    let rest = inode.u64("size").saturating_sub(end);
    gathered.part(session, &Part { logical: end, length: rest, physical: None })?;
    gathered.finish()
}

/// The pieces in which `length` bytes from a logical address lie on the image; the first is at `start` of something.
fn pieces(session: &mut Session<'_>, address: u64, start: u64, length: u64) -> Result<Vec<Part>, Failure> {
    let (mut parts, mut done) = (Vec::new(), 0);
    while done < length {
        let found = session.call(BTRFS, "local", &[("logical", address.saturating_add(done).into())])?;
        let piece = found.u64("length").min(length - done).max(1);
        parts.push(Part { logical: start + done, length: piece, physical: Some(found.u64("offset")) });
        done += piece;
    }
    Ok(parts)
}

/// What a compressed extent holds.
fn unpacked(session: &mut Session<'_>, row: &Value) -> Result<Vec<u8>, Failure> {
    let (address, stored) = (row.u64("address"), row.u64("disk_bytes"));
    let parts = match row.u64("kind") {
        0 => vec![Part { logical: 0, length: stored, physical: Some(address) }],
        _ => pieces(session, address, 0, stored)?,
    };
    let most = row.u64("ram_bytes").min(UNPACKED_BYTES_MAX) as usize;
    let method = match row.u64("compression") {
        1 => Method::Zlib,
        2 => return unpacked_lzo(session, &parts, most),
        3 => Method::Zstd,
        other => return Err(Failure::error(format!("compression {other} is not known"))),
    };
    inflate(method, &parts::read(session, &parts, (0, stored))?, most)
}

/// An LZO extent is unpacked stretch by stretch.
fn unpacked_lzo(session: &mut Session<'_>, parts: &[Part], most: usize) -> Result<Vec<u8>, Failure> {
    let [Part { physical: Some(at), length, .. }] = *parts else {
        return Err(Failure::error("an LZO extent in several pieces is not unpacked"));
    };
    let mut out = Vec::new();
    for part in session.rows(BTRFS, "lzo_parts", &[("at", at.into()), ("size", length.into())])? {
        let stretch = session.read(part.u64("offset"), part.u64("length"))?;
        out.extend(inflate(Method::Lzo, &stretch, most.saturating_sub(out.len()))?);
    }
    Ok(out)
}
