//! `mbr.*` and `gpt.*`: partition tables.

use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

/// Answers one query about a master boot record.
pub fn answer_mbr(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "table" => mbr_table(session, query),
        "partition" => mbr_partition(session, query, query.u64("number")?),
        "count" => {
            let rows = mbr_partitions(session, query)?;
            Ok(json!({ "used_entries": rows.len(), "numbers": numbers(&rows) }))
        }
        _ => Err(Failure::Unsupported),
    }
}

fn mbr_json(row: &Value) -> Json {
    json!({
        "number": row.u64("number"),
        "start": row.u64("start"),
        "size": row.u64("size"),
        "type": row.u64("kind"),
        "bootable": row.bool("bootable"),
    })
}

fn mbr_partitions(session: &mut Session<'_>, query: &Query) -> Result<Vec<Value>, Failure> {
    session.rows("std.mbr", "partitions", &[("sector_size", sector_size(query)?.into())])
}

fn mbr_table(session: &mut Session<'_>, query: &Query) -> Reply {
    let disk_id = crate::value::integer(&session.call("std.mbr", "open", &[])?) as u64;
    let rows = mbr_partitions(session, query)?;
    Ok(json!({ "disk_id": disk_id, "partitions": rows.iter().map(mbr_json).collect::<Vec<_>>() }))
}

fn mbr_partition(session: &mut Session<'_>, query: &Query, number: u64) -> Reply {
    let args = [("sector_size", sector_size(query)?.into()), ("number", number.into())];
    match session.call("std.mbr", "partition", &args)? {
        Value::None => not_found(),
        row => Ok(mbr_json(&row)),
    }
}

fn numbers(rows: &[Value]) -> Vec<u64> {
    rows.iter().map(|r| r.u64("number")).collect()
}

/// Answers one query about a GUID partition table.
pub fn answer_gpt(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "header" => gpt_header(session, query),
        "partition" => gpt_partition(session, query),
        "count" | "table" => {
            let table = gpt_open(session, query)?;
            let rows = session.rows("std.gpt", "partitions", &[("table", table.to_json())])?;
            let partitions: Vec<Json> = rows.iter().map(gpt_json).collect();
            Ok(json!({ "used_entries": rows.len(), "numbers": numbers(&rows), "partitions": partitions }))
        }
        _ => Err(Failure::Unsupported),
    }
}

fn sector_size(query: &Query) -> Result<u64, Failure> {
    match query.get("sector_size") {
        Some(_) => query
            .u64("sector_size")
            .and_then(|n| if n == 0 { Err(Failure::error("sectors of no size")) } else { Ok(n) }),
        None => Ok(512),
    }
}

/// The sector of the copy: where a sound first header says, else the disk's last.
fn copy_sector(session: &mut Session<'_>, sector_size: u64) -> Result<u64, Failure> {
    if let Ok(first) = session.call("std.gpt", "header", &[("sector_size", sector_size.into()), ("lba", 1.into())])
        && first.bool("header_crc_valid")
    {
        return Ok(first.u64("alternate_lba"));
    }
    (session.image().len() / sector_size).checked_sub(1).ok_or_else(|| Failure::error("the disk has no sector"))
}

fn gpt_header(session: &mut Session<'_>, query: &Query) -> Reply {
    let size = sector_size(query)?;
    let lba = match query.get("which").and_then(Json::as_str) {
        Some("backup") => copy_sector(session, size)?,
        _ => 1,
    };
    let header = session.call("std.gpt", "header", &[("sector_size", size.into()), ("lba", lba.into())])?;
    let mut json = header.to_json();
    json["disk_guid"] = uuid(header.bytes("disk_guid")).into();
    Ok(json)
}

/// The table that counts: the first one, or its copy where the query allows that.
fn gpt_open(session: &mut Session<'_>, query: &Query) -> Result<Value, Failure> {
    let size = sector_size(query)?;
    let mut open = |lba: u64| session.call("std.gpt", "open", &[("sector_size", size.into()), ("lba", lba.into())]);
    match open(1) {
        Err(_) if query.get("fallback").and_then(Json::as_str) == Some("backup") => {
            let lba = copy_sector(session, size)?;
            session.call("std.gpt", "open", &[("sector_size", size.into()), ("lba", lba.into())])
        }
        other => other,
    }
}

fn gpt_json(row: &Value) -> Json {
    json!({
        "number": row.u64("number"),
        "start": row.u64("start"),
        "size": row.u64("size"),
        "type_guid": uuid(row.bytes("type_guid")),
        "guid": uuid(row.bytes("guid")),
        "name": name(row.bytes("name")),
        "attributes": row.u64("attributes"),
    })
}

fn gpt_partition(session: &mut Session<'_>, query: &Query) -> Reply {
    let table = gpt_open(session, query)?;
    let args = [("table", table.to_json()), ("number", query.u64("number")?.into())];
    match session.call("std.gpt", "partition", &args)? {
        Value::None => not_found(),
        row => Ok(gpt_json(&row)),
    }
}

/// Sixteen bytes as the text of a UUID.
pub fn uuid(bytes: &[u8]) -> String {
    let digits = trav_runtime::value::hex(bytes);
    let cut = |from: usize, to: usize| digits.get(from..to).unwrap_or_default().to_string();
    [cut(0, 8), cut(8, 12), cut(12, 16), cut(16, 20), cut(20, 32)].join("-")
}

/// Start and size of a partition in bytes. `label` is `mbr` or `gpt`.
pub fn place(session: &mut Session<'_>, query: &Query, label: &str, number: u64) -> Result<(u64, u64), Failure> {
    let found = match label {
        "mbr" | "dos" => mbr_partition(session, query, number)?,
        "gpt" => {
            let table = gpt_open(session, query)?;
            match session.call("std.gpt", "partition", &[("table", table.to_json()), ("number", number.into())])? {
                Value::None => json!({}),
                row => gpt_json(&row),
            }
        }
        _ => return Err(Failure::Unsupported),
    };
    let unit = sector_size(query)?;
    match (found["start"].as_u64(), found["size"].as_u64()) {
        (Some(start), Some(size)) => Ok((start.saturating_mul(unit), size.saturating_mul(unit))),
        _ => Err(Failure::error(format!("there is no partition {number}"))),
    }
}
