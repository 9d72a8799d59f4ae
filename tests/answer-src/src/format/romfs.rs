//! `romfs.*`.

use super::squashfs::names;
use crate::parts::{self, Part};
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, content, hex_arg, name};
use serde_json::json;
use trav_runtime::value::Value;

const ROMFS: &str = "std.romfs";

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "super" => {
            let v = session.call(ROMFS, "open", &[])?;
            Ok(json!({
                "size": v.u64("size"),
                "name": name(v.bytes("name")),
                "volume_name": name(v.bytes("name")),
                "label": name(v.bytes("name")),
                "root_offset": v.u64("root"),
            }))
        }
        "path" => {
            let Some(file) = resolve(session, query)? else { return not_found() };
            Ok(json!({
                "header_offset": file.u64("header_offset"),
                "size": file.u64("size"),
                "is_dir": file.u64("kind") == 1,
                "type": kind(&file),
                "mode": mode(&file),
                "executable": file.bool("executable"),
                "data_offset": file.u64("data_offset"),
            }))
        }
        "readdir" => {
            let Some(file) = resolve(session, query)? else { return not_found() };
            if file.u64("kind") != 1 {
                return Err(Failure::error("the path does not name a directory"));
            }
            let rows = session.rows(ROMFS, "list", &[("first", (file.u64("info") & !15).into())])?;
            Ok(names(rows.iter().map(|r| r.bytes("name")).filter(|n| *n != b"." && *n != b"..").collect()))
        }
        "readlink" => match resolve(session, query)? {
            None => not_found(),
            Some(file) if file.u64("kind") == 3 => {
                Ok(json!({ "target": name(&session.read(file.u64("data_offset"), file.u64("size"))?) }))
            }
            Some(_) => Err(Failure::error("the path does not name a symbolic link")),
        },
        "read" => {
            let Some(file) = resolve(session, query)? else { return not_found() };
            if file.u64("kind") != 2 {
                return Err(Failure::error("the path does not name a file"));
            }
            let size = file.u64("size");
            let part = Part { logical: 0, length: size, physical: Some(file.u64("data_offset")) };
            Ok(content(&parts::read(session, &[part], parts::window(query, size)?)?))
        }
        _ => Err(Failure::Unsupported),
    }
}

fn resolve(session: &mut Session<'_>, query: &Query) -> Result<Option<Value>, Failure> {
    let file = session.call(ROMFS, "resolve", &[("path", hex_arg(&query.bytes("path")?))])?;
    Ok((file != Value::None).then_some(file))
}

fn kind(file: &Value) -> &'static str {
    let words =
        ["hard link", "directory", "regular", "symlink", "block special", "character special", "socket", "FIFO"];
    words[(file.u64("kind") & 7) as usize]
}

/// As Linux's driver gives it to `stat`: readable by all, and executable where the header says so; directories always are.
fn mode(file: &Value) -> u64 {
    let formats = [0, 0o040_755, 0o100_644, 0o120_777, 0o060_600, 0o020_600, 0o140_644, 0o010_644];
    let execute = if file.bool("executable") && file.u64("kind") != 1 { 0o111 } else { 0 };
    formats[(file.u64("kind") & 7) as usize] | execute
}
