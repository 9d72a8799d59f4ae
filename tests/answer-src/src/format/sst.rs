//! `sst.*`: tables of LevelDB and RocksDB.

use crate::query::{Failure, Query, Reply, not_found, unhex};
use crate::session::Session;
use crate::value::{Fields, hex_arg, integer, sha256};
use serde_json::{Value as Json, json};
use trav_runtime::value::{Value, hex};

const LEVELDB: &str = "std.leveldb";
const ROCKSDB: &str = "std.rocksdb";

/// The magic number that RocksDB's tools print for tables of both kinds.
const MAGIC: &str = "88e241b785f4cff7";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "footer" => footer(session),
        "index" => index(session),
        "get" => get(session, query),
        "seek" => seek(session, query),
        "count" => count(session),
        "block_crc" => block_crc(session, query),
        _ => Err(Failure::Unsupported),
    }
}

/// The spec that knows the table, and the table opened.
fn open(session: &mut Session<'_>) -> Result<(&'static str, Json), Failure> {
    let size = [("size", session.image().len().into())];
    if let Ok(table) = session.call(LEVELDB, "open", &size) {
        return Ok((LEVELDB, table.to_json()));
    }
    Ok((ROCKSDB, session.call(ROCKSDB, "open", &size)?.to_json()))
}

fn pair(handle: &Value) -> Json {
    json!([handle.u64("offset"), handle.u64("size")])
}

fn footer(session: &mut Session<'_>) -> Reply {
    let size = [("size", session.image().len().into())];
    if let Ok(table) = session.call(LEVELDB, "open", &size) {
        let (metaindex, index) = (pair(table.field("metaindex")), pair(table.field("index")));
        return Ok(
            json!({ "metaindex": metaindex, "index": index, "magic": MAGIC, "format_version": 0, "checksum": 1 }),
        );
    }
    let head = session.call(ROCKSDB, "footer", &size)?;
    // From version 6 on the metaindex names the index.
    let index = match head.field("index") {
        Value::None => pair(session.call(ROCKSDB, "open", &size)?.field("index")),
        handle => pair(handle),
    };
    Ok(json!({
        "metaindex": pair(head.field("metaindex")),
        "index": index,
        "magic": MAGIC,
        "format_version": head.u64("version"),
        "checksum": head.u64("checksum"),
    }))
}

fn index(session: &mut Session<'_>) -> Reply {
    let (spec, table) = open(session)?;
    let blocks = session.rows(spec, "blocks", &[("table", table)])?;
    Ok(json!({ "n_blocks": blocks.len(), "first": blocks.first().map(pair), "last": blocks.last().map(pair) }))
}

/// The argument `key`, in hexadecimal.
fn key(query: &Query) -> Result<Json, Failure> {
    let key = unhex(query.text("key")?).ok_or_else(|| Failure::error("`key` is not hexadecimal"))?;
    Ok(hex_arg(&key))
}

fn get(session: &mut Session<'_>, query: &Query) -> Reply {
    let (spec, table) = open(session)?;
    let version = session.call(spec, "get", &[("table", table), ("key", key(query)?)])?;
    if version == Value::None {
        return not_found();
    }
    let kind = match version.u64("type") {
        0 => "deletion",
        1 => "value",
        2 => "merge",
        7 => "single_deletion",
        _ => "other",
    };
    let mut answer = json!({ "found": true, "type": kind, "seq": version.u64("sequence") });
    if !kind.ends_with("deletion") {
        answer["value"] = value(&session.read(version.u64("at"), version.u64("length"))?);
    }
    Ok(answer)
}

/// A value in an answer: its bytes, and its length and hash for those who compare long ones by them.
pub fn value(bytes: &[u8]) -> Json {
    json!({ "hex": hex(bytes), "len": bytes.len(), "length": bytes.len(), "sha256": sha256(bytes) })
}

fn seek(session: &mut Session<'_>, query: &Query) -> Reply {
    let (spec, table) = open(session)?;
    let limit = query.u64("limit")?.min(u32::MAX.into());
    let pairs = session.rows(spec, "range", &[("table", table), ("from", key(query)?), ("limit", limit.into())])?;
    Ok(json!({ "keys": pairs.iter().map(|pair| hex(pair.bytes("key"))).collect::<Vec<_>>() }))
}

fn count(session: &mut Session<'_>) -> Reply {
    let (spec, table) = open(session)?;
    Ok(json!({ "entries": integer(&session.call(spec, "count", &[("table", table)])?) as u64 }))
}

fn block_crc(session: &mut Session<'_>, query: &Query) -> Reply {
    let (spec, table) = open(session)?;
    let number = |i: usize| query.get("handle").and_then(|h| h.get(i)).and_then(Json::as_u64);
    let (Some(offset), Some(size)) = (number(0), number(1)) else {
        return Err(Failure::error("`handle` is no pair of numbers"));
    };
    let block = json!({ "offset": offset, "size": size });
    let args = [("table", table), ("block", block)];
    let checksum = session.call(spec, "verify", if spec == LEVELDB { &args[1..] } else { &args })?;
    Ok(json!({ "valid": checksum.bool("valid"), "stored": checksum.u64("stored") }))
}
