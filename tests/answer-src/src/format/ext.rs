//! `ext.*`: ext2, ext3 and ext4.

use crate::parts::{self, Part, list, sorted_by_text};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, bytes, content, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use std::collections::HashSet;
use trav_runtime::value::{Value, hex};

const EXT: &str = "std.ext4";

/// What `EntryKind` says of a directory, and of an entry in a volume without such knowledge.
const UNKNOWN: u64 = 0;
const DIRECTORY: u64 = 2;

/// Flags of inodes that decide how their content is found.
const EXTENTS: u64 = 0x8_0000;
const INLINE_DATA: u64 = 0x1000_0000;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "super" => Ok(superblock(&session.call(EXT, "superblock", &[("at", 1024.into())])?)),
        "super_backup" => super_backup(session, query),
        "group" => group(session, query),
        "inode" => inode(session, query),
        "extents" => extents(session, query),
        "indirect" => indirect(session, query),
        "bmap" => bmap(session, query),
        "path" => path(session, query, "locate"),
        "resolve" => path(session, query, "resolve"),
        "walk" => walk(session, query),
        "readlink" => Ok(json!({ "target": name(bytes(&session.call(EXT, "readlink", &ino(query)?)?)) })),
        "readdir" => readdir(session, query),
        "read" => read(session, query),
        "htree_root" => htree_root(session, query),
        "htree_lookup" => htree_lookup(session, query),
        "dirhash" => dirhash(session, query),
        "xattr" => xattr(session, query),
        // The contract's oracle, debugfs, refuses block 0, and the contract takes that for unused.
        "block_used" if query.u64("block")? == 0 => Ok(json!({ "used": false })),
        "block_used" => used(session, "block_used", &[("block", query.u64("block")?.into())]),
        "inode_used" => used(session, "inode_used", &ino(query)?),
        "super_csum" => checksum(session, "super_checksum", &[]),
        "group_csum" => checksum(session, "group_checksum", &[("group", query.u64("group")?.into())]),
        "inode_csum" => checksum(session, "inode_checksum", &ino(query)?),
        "extent_block_csum" => {
            let [ino] = ino(query)?;
            checksum(session, "extent_block_checksum", &[ino, ("block", query.u64("block")?.into())])
        }
        "dir_block_csum" => {
            let args = [("dir", query.u64("inode")?.into()), ("block", query.u64("logical")?.into())];
            checksum(session, "dir_block_checksum", &args)
        }
        _ => Err(Failure::Unsupported),
    }
}

fn ino(query: &Query) -> Result<[(&'static str, Json); 1], Failure> {
    Ok([("ino", query.u64("inode")?.into())])
}

fn uuid(bytes: &[u8]) -> String {
    let digits = hex(bytes);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    parts.map(|(from, to)| &digits[from..to]).join("-")
}

fn superblock(sb: &Value) -> Json {
    let same = [
        "magic",
        "inodes_count",
        "blocks_count",
        "free_blocks",
        "free_inodes",
        "first_data_block",
        "block_size",
        "cluster_size",
        "blocks_per_group",
        "clusters_per_group",
        "inodes_per_group",
        "rev_level",
        "block_group_nr",
        "feature_compat",
        "feature_incompat",
        "feature_ro_compat",
        "inode_size",
        "first_ino",
        "desc_size",
        "reserved_gdt_blocks",
        "first_meta_bg",
        "log_groups_per_flex",
        "journal_inum",
        "def_hash_version",
        "flags",
        "state",
        "checksum",
        "checksum_seed",
        "mtime",
        "wtime",
        "mkfs_time",
    ];
    let mut json: serde_json::Map<_, _> = same.iter().map(|f| ((*f).into(), sb.field(f).to_json())).collect();
    json.insert("reserved_blocks".into(), sb.u64("reserved_blocks").into());
    json.insert("uuid".into(), uuid(sb.bytes("uuid")).into());
    json.insert("hash_seed".into(), uuid(sb.bytes("hash_seed")).into());
    json.insert("label".into(), name(sb.bytes("label")));
    json.into()
}

/// A copy's place depends on the block size, which it says itself: the first superblock may be broken.
fn super_backup(session: &mut Session<'_>, query: &Query) -> Reply {
    let block = query.u64("block")?;
    let mut last = Failure::error("there is no superblock");
    for log in 10..=16 {
        let Some(at) = block.checked_mul(1 << log) else { continue };
        match session.call(EXT, "superblock", &[("at", at.into())]) {
            Ok(sb) if sb.u64("block_size") == 1 << log => return Ok(superblock(&sb)),
            Ok(_) => {}
            Err(failure) => last = failure,
        }
    }
    Err(last)
}

fn group(session: &mut Session<'_>, query: &Query) -> Reply {
    Ok(session.call(EXT, "group", &[("group", query.u64("group")?.into())])?.to_json())
}

fn inode(session: &mut Session<'_>, query: &Query) -> Reply {
    let node = session.call(EXT, "inode", &ino(query)?)?;
    let mode = node.u64("mode");
    let kind = match mode >> 12 {
        1 => "FIFO",
        2 => "character special",
        4 => "directory",
        6 => "block special",
        8 => "regular",
        10 => "symlink",
        12 => "socket",
        _ => "bad type",
    };
    let mut json = json!({ "type": kind, "mode": mode, "perm": mode & 0o7777, "blocks512": node.u64("blocks") });
    for field in ["flags", "uid", "gid", "size", "generation", "file_acl", "links", "checksum"] {
        json[field] = node.u64(field).into();
    }
    for time in ["ctime", "atime", "mtime", "dtime"] {
        json[format!("{time}_raw")] = node.u64(time).into();
    }
    if let extra @ Value::Record(_) = node.field("extra") {
        for time in ["ctime", "atime", "mtime", "crtime"] {
            json[format!("{time}_extra_raw")] = extra.u64(&format!("{time}_extra")).into();
        }
        json["crtime_raw"] = extra.u64("crtime").into();
    }
    if matches!(mode >> 12, 2 | 6) {
        json["dev"] = json!([node.u64("major"), node.u64("minor")]);
    }
    Ok(json)
}

fn extents(session: &mut Session<'_>, query: &Query) -> Reply {
    let node = session.call(EXT, "inode", &ino(query)?)?;
    if node.u64("flags") & EXTENTS == 0 {
        return Err(Failure::error("the inode has no extents"));
    }
    let runs = session.rows(EXT, "extents", &ino(query)?)?;
    let depth = runs.iter().map(|r| r.u64("level")).max().unwrap_or(0);
    let (leaves, nodes): (Vec<_>, Vec<_>) = runs.iter().partition(|r| r.u64("level") == 0);
    let leaf = |r: &&Value| json!([r.u64("logical"), r.u64("start"), r.u64("count"), !r.bool("written")]);
    let json = list("extents", leaves.iter().map(leaf).collect());
    Ok(parts::with(json, json!({ "depth": depth, "n_nodes": nodes.len() })))
}

fn indirect(session: &mut Session<'_>, query: &Query) -> Reply {
    let runs = session.rows(EXT, "extents", &ino(query)?)?;
    let (leaves, nodes): (Vec<_>, Vec<_>) = runs.iter().partition(|r| r.u64("level") == 0);
    let blocks: u64 = leaves.iter().map(|r| r.u64("count")).sum();
    const LEVELS: [&str; 4] = ["", "IND", "DIND", "TIND"];
    let level = |r: &&Value| json!([LEVELS[r.u64("level").min(3) as usize], r.u64("start")]);
    let json = list("meta", nodes.iter().map(level).collect());
    Ok(parts::with(json, json!({ "n_blocks": blocks })))
}

fn bmap(session: &mut Session<'_>, query: &Query) -> Reply {
    let [ino] = ino(query)?;
    let mapping = session.call(EXT, "map", &[ino, ("block", query.u64("logical")?.into())])?;
    if mapping == Value::None {
        return Ok(json!({ "physical": 0, "unwritten": false }));
    }
    Ok(json!({ "physical": mapping.u64("start"), "unwritten": !mapping.bool("written") }))
}

fn resolve(session: &mut Session<'_>, query: &Query, walk: &str) -> Result<Option<u64>, Failure> {
    let found = session.call(EXT, walk, &[("path", hex_arg(&query.bytes("path")?))])?;
    Ok((found != Value::None).then(|| integer(&found) as u64))
}

fn path(session: &mut Session<'_>, query: &Query, walk: &str) -> Reply {
    resolve(session, query, walk)?.map_or_else(not_found, |inode| Ok(json!({ "inode": inode })))
}

fn walk(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(start) = resolve(session, query, "locate")? else { return not_found() };
    let mut seen = HashSet::from([start]);
    let mut left = vec![start];
    let (mut dirs, mut others) = (0u64, 0u64);
    while let Some(dir) = left.pop() {
        for entry in session.rows(EXT, "list", &[("dir", dir.into())])? {
            if matches!(entry.bytes("name"), b"." | b"..") {
                continue;
            }
            let inode = entry.u64("inode");
            let is_dir = match entry.u64("kind") {
                UNKNOWN => session.call(EXT, "inode", &[("ino", inode.into())])?.u64("mode") >> 12 == 4,
                kind => kind == DIRECTORY,
            };
            if !is_dir {
                others += 1;
            } else if seen.insert(inode) {
                dirs += 1;
                left.push(inode);
            } else {
                return Err(Failure::error(format!("directory {inode} is reached twice")));
            }
        }
    }
    Ok(json!({ "n_dirs": dirs, "n_nondirs": others }))
}

fn readdir(session: &mut Session<'_>, query: &Query) -> Reply {
    let rows = session.rows(EXT, "list", &[("dir", query.u64("inode")?.into())])?;
    let entries = rows.iter().map(|e| json!([name(e.bytes("name")), e.u64("inode")])).collect();
    Ok(list("entries", sorted_by_text(entries)))
}

/// The size of a file and where its bytes are.
pub fn file(session: &mut Session<'_>, inode: u64) -> Result<(u64, Vec<Part>), Failure> {
    let args = [("ino", inode.into())];
    let node = session.call(EXT, "inode", &args)?;
    let size = node.u64("size");
    if node.u64("flags") & INLINE_DATA != 0 {
        let c = session.call(EXT, "inline_content", &args)?;
        let first = Part { logical: 0, length: c.u64("length"), physical: Some(c.u64("address")) };
        let rest = Part { logical: 60, length: c.u64("rest_length"), physical: Some(c.u64("rest_address")) };
        let end = first.length + rest.length;
        let zeros = Part { logical: end, length: size.saturating_sub(end), physical: None };
        return Ok((size, vec![first, rest, zeros]));
    }
    let block = integer(session.call(EXT, "open", &[])?.field("block_size")) as u64;
    let mut parts: Vec<Part> = Vec::new();
    let mut at = 0;
    for run in session.rows(EXT, "extents", &args)?.iter().filter(|r| r.u64("level") == 0) {
        let (logical, length) = (run.u64("logical") * block, run.u64("count") * block);
        if logical > at {
            parts.push(Part { logical: at, length: logical - at, physical: None });
        }
        parts.push(Part {
            logical,
            length,
            physical: run.bool("written").then(|| run.u64("start").saturating_mul(block)),
        });
        at = logical + length;
    }
    if at < size {
        parts.push(Part { logical: at, length: size - at, physical: None });
    }
    Ok((size, parts))
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let inode = query.u64("inode")?;
    let node = session.call(EXT, "inode", &[("ino", inode.into())])?;
    if node.u64("mode") >> 12 == 10 {
        let target = session.call(EXT, "readlink", &[("ino", inode.into())])?;
        let (start, end) = parts::window(query, bytes(&target).len() as u64)?;
        return Ok(content(&bytes(&target)[start as usize..end as usize]));
    }
    let (size, parts) = file(session, inode)?;
    Ok(content(&parts::read(session, &parts, parts::window(query, size)?)?))
}

fn htree_root(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = session.call(EXT, "hash_tree", &[("dir", query.u64("inode")?.into())])?;
    let json = root.to_json();
    let (levels, flags) = (root.u64("indirect_levels"), root.u64("unused_flags"));
    Ok(parts::with(json, json!({ "reserved_zero": root.u64("reserved"), "levels": levels, "flags": flags })))
}

fn htree_lookup(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [("dir", query.u64("inode")?.into()), ("name", hex_arg(&query.bytes("name")?))];
    // A directory without a tree has no such answer.
    session.call(EXT, "hash_tree", &args[..1])?;
    let entry = session.call(EXT, "lookup", &args)?;
    if entry == Value::None {
        return not_found();
    }
    let block = integer(session.call(EXT, "open", &[])?.field("block_size")) as u64;
    let physical = entry.u64("address") / block;
    let leaf = json!({ "leaf_logical": entry.u64("block"), "leaf_physical": physical });
    Ok(parts::with(leaf, json!({ "inode": entry.u64("inode"), "hash": entry.field("hash").to_json() })))
}

fn dirhash(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [
        ("name", hex_arg(&query.bytes("name")?)),
        ("version", query.get("version").cloned().unwrap_or(Json::Null)),
        ("is_unsigned", (query.get("unsigned") == Some(&Json::Bool(true))).into()),
        ("seed", format!("hex:{}", query.text("seed")?.replace('-', "")).into()),
    ];
    let hash = session.call(EXT, "hash", &args)?;
    Ok(json!({ "hash": hash.u64("hash"), "minor_hash": hash.u64("minor") }))
}

fn xattr(session: &mut Session<'_>, query: &Query) -> Reply {
    let [ino] = ino(query)?;
    let value = session.call(EXT, "xattr", &[ino, ("name", hex_arg(&query.bytes("name")?))])?;
    if value == Value::None {
        return not_found();
    }
    let length = value.u64("length");
    match value.u64("inode") {
        0 => Ok(content(&session.read(value.u64("address"), length)?)),
        inode => {
            let (_, parts) = file(session, inode)?;
            Ok(content(&parts::read(session, &parts, (0, length))?))
        }
    }
}

fn used(session: &mut Session<'_>, walk: &str, args: &[(&str, Json)]) -> Reply {
    Ok(json!({ "used": session.call(EXT, walk, args)? == Value::Bool(true) }))
}

fn checksum(session: &mut Session<'_>, walk: &str, args: &[(&str, Json)]) -> Reply {
    let sum = session.call(EXT, walk, args)?;
    let csum = session.call(EXT, "open_unverified", &[])?.u64("ro_compat") & 0x400 != 0;
    let algorithm = if csum { "crc32c" } else { "crc16" };
    Ok(json!({ "stored": sum.u64("stored"), "valid": sum.bool("valid"), "algorithm": algorithm }))
}
