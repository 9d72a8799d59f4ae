//! `iso.*`: ISO 9660 with Rock Ridge and Joliet.

use crate::parts::{self, Part, list};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::Value;

const ISO: &str = "std.iso9660";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "pvd" => {
            let d = session.call(ISO, "primary", &[])?;
            let text = |field| String::from_utf8_lossy(d.bytes(field)).trim_end_matches([' ', '\0']).to_string();
            Ok(json!({
                "volume_id": text("volume_id"),
                "system_id": text("system_id"),
                "volume_size": d.u64("volume_size"),
                "block_size": d.u64("block_size"),
            }))
        }
        "path" => {
            let (volume, Some(node)) = resolve(session, query)? else { return not_found() };
            let lba = node.u64("lba") * volume.u64("block_size") / 2048;
            Ok(json!({ "lba": lba, "size": node.u64("size"), "is_dir": node.bool("is_dir") }))
        }
        "readdir" => readdir(session, query),
        "read" => read(session, query),
        _ => Err(Failure::Unsupported),
    }
}

/// The tree that the query means, and the node; none where the path names nothing.
fn resolve(session: &mut Session<'_>, query: &Query) -> Result<(Value, Option<Value>), Failure> {
    let tree = match query.get("tree").and_then(Json::as_str) {
        Some("rr") => "RockRidge",
        Some("joliet") => "Joliet",
        _ => "Iso",
    };
    let volume = session.call(ISO, "open", &[("tree", tree.into())])?;
    let args = [("vol", volume.to_json()), ("path", hex_arg(&query.bytes("path")?))];
    let node = session.call(ISO, "resolve", &args)?;
    Ok((volume, (node != Value::None).then_some(node)))
}

fn readdir(session: &mut Session<'_>, query: &Query) -> Reply {
    let (volume, Some(node)) = resolve(session, query)? else { return not_found() };
    if !node.bool("is_dir") {
        return Err(Failure::error("the path does not name a directory"));
    }
    let rows = session.rows(ISO, "list", &[("vol", volume.to_json()), ("dir", node.to_json())])?;
    let mut names: Vec<&[u8]> = rows.iter().map(|r| r.bytes("name")).filter(|n| *n != b"." && *n != b"..").collect();
    names.sort_unstable();
    let mut json = list("entries", names.iter().map(|n| name(n)).collect());
    json["names"] = json["entries"].clone();
    Ok(json)
}

fn read(session: &mut Session<'_>, query: &Query) -> Reply {
    let (volume, Some(node)) = resolve(session, query)? else { return not_found() };
    if node.bool("is_dir") {
        return Err(Failure::error("the path names a directory"));
    }
    let window = parts::window(query, node.u64("size"))?;
    let mut parts: Vec<Part> = Vec::new();
    for section in session.rows(ISO, "sections", &[("vol", volume.to_json()), ("node", node.to_json())])? {
        let logical = parts.last().map_or(0, |p| p.logical + p.length);
        let physical = Some(section.u64("lba") * volume.u64("block_size"));
        parts.push(Part { logical, length: section.u64("size"), physical });
    }
    Ok(content(&parts::read(session, &parts, window)?))
}
