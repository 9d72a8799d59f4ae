//! `ext.*`: ext2, ext3 and ext4.

use crate::query::{Failure, Query, Reply};
use crate::session::Session;
use crate::value::Fields;
use serde_json::json;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "bmap" => bmap(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn bmap(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [("ino", query.u64("inode")?.into()), ("block", query.u64("logical")?.into())];
    let mapping = session.call("std.ext4", "map", &args)?;
    if mapping == trav_runtime::value::Value::None {
        return Ok(json!({ "physical": 0, "unwritten": false }));
    }
    Ok(json!({ "physical": mapping.u64("start"), "unwritten": !mapping.bool("written") }))
}
