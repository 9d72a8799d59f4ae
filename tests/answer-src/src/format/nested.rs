//! `nested.*`: a database in a file system in a partition in a virtual disk. Each layer is an image for the next one.

use super::{answer as answer_any, ext, fat, partition, qcow2};
use crate::compose::Composed;
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use serde_json::Value as Json;
use std::path::Path;

/// Answers one query: peels `container`, `label` with `partition`, and, for a table's row, the file at `path` in `fs`; what is left is a
/// query of the innermost format.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.get("container").and_then(Json::as_str) {
        None | Some("raw") => in_disk(session, query),
        Some("qcow2") => {
            let images = qcow2::disk(session, Path::new(&query.image), 0)?.images();
            in_disk(&mut session.within(&images), query)
        }
        Some(_) => Err(Failure::Unsupported),
    }
}

/// The same query in another family, with these arguments set.
fn inner(query: &Query, family: &str, name: &str, set: &[(&str, Json)]) -> Query {
    let mut inner = Query { traversal: format!("{family}.{name}"), ..query.clone() };
    for (key, value) in set {
        inner.args[*key] = value.clone();
    }
    inner
}

fn in_disk(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(label) = query.get("label").and_then(Json::as_str) else { return in_file_system(session, query) };
    let number = query.u64("partition")?;
    if query.get("fs").is_none() {
        return answer_any(session, &inner(query, label, "partition", &[("number", number.into())]));
    }
    let (start, size) = partition::place(session, query, label, number)?;
    let images = Composed::part(session.image(), start, size)?.images();
    in_file_system(&mut session.within(&images), query)
}

fn in_file_system(session: &mut Session<'_>, query: &Query) -> Reply {
    let fs = query.text("fs")?;
    let family = if fs.starts_with("ext") { "ext" } else { fs };
    if query.get("table").is_some() {
        let file = match family {
            "fat" => fat_file(session, query)?,
            "ext" => ext_file(session, query)?,
            _ => return Err(Failure::Unsupported),
        };
        let Some(file) = file else { return not_found() };
        let images = file.images();
        let name = if query.name().starts_with("sqlite") { "row" } else { query.name() };
        return answer_any(&mut session.within(&images), &inner(query, "sqlite", name, &[]));
    }
    // ext's families name a file by its inode.
    let by_inode = family == "ext" && !matches!(query.name(), "path" | "resolve" | "walk");
    if by_inode && query.get("path").is_some() {
        let Some(inode) = ext_inode(session, query)? else { return not_found() };
        return answer_any(session, &inner(query, family, query.name(), &[("inode", inode)]));
    }
    answer_any(session, &inner(query, family, query.name(), &[]))
}

fn fat_file(session: &mut Session<'_>, query: &Query) -> Result<Option<Composed>, Failure> {
    let Some((size, parts)) = fat::file(session, query)? else { return Ok(None) };
    Composed::file(session.image(), size, &parts).map(Some)
}

fn ext_inode(session: &mut Session<'_>, query: &Query) -> Result<Option<Json>, Failure> {
    let found = answer_any(session, &inner(query, "ext", "path", &[]))?;
    Ok(found.get("inode").cloned())
}

/// A file of ext4 by its extents.
fn ext_file(session: &mut Session<'_>, query: &Query) -> Result<Option<Composed>, Failure> {
    let Some(inode) = ext_inode(session, query)?.and_then(|inode| inode.as_u64()) else { return Ok(None) };
    let (size, parts) = ext::file(session, inode)?;
    Composed::file(session.image(), size, &parts).map(Some)
}
