//! `qcow2.*`: QEMU's disk images, with the files behind them.

use crate::compose::{Composed, Source};
use crate::inflate::{Method, inflate};
use crate::query::{Failure, Query, Reply};
use crate::session::Session;
use crate::value::{Fields, content, name};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use trav_runtime::call::Images;
use trav_runtime::image::{self, Image};
use trav_runtime::value::Value;

const QCOW2: &str = "std.qcow2";

/// The name of the external data file, and the format of the backing file, as header extensions.
const DATA_FILE: u64 = 0x4441_5441;
const BACKING_FORMAT: u64 = 0xe279_2aca;

/// Deeper chains of backing files are taken for circles.
const BACKING_DEEP_MAX: usize = 16;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "header" => header(session),
        "map" => map(session, query),
        "allocated" => Ok(session.call(QCOW2, "allocated", &[])?.to_json()),
        "read" => read(session, query, None),
        "snapshots" => snapshots(session),
        "read_snapshot" => {
            let wanted = ["snapshot", "name", "id"].iter().find_map(|n| query.get(n)).and_then(Json::as_str);
            let wanted = wanted.ok_or_else(|| Failure::error("`snapshot` is not text"))?;
            let rows = session.rows(QCOW2, "snapshots", &[])?;
            let named = |field| rows.iter().find(|r| r.bytes(field) == wanted.as_bytes());
            let found =
                named("name").or_else(|| named("id")).ok_or_else(|| Failure::error("there is no such snapshot"))?;
            read(session, query, Some(found.field("volume")))
        }
        _ => Err(Failure::Unsupported),
    }
}

fn text(value: &Value) -> Json {
    match value {
        Value::Bytes { bytes, .. } => name(bytes),
        _ => Json::Null,
    }
}

fn header(session: &mut Session<'_>) -> Reply {
    let h = session.call(QCOW2, "header", &[])?;
    let backing = session.call(QCOW2, "backing_file", &[])?;
    let data_file = session.call(QCOW2, "extension", &[("kind", DATA_FILE.into())])?;
    let format = session.call(QCOW2, "extension", &[("kind", BACKING_FORMAT.into())])?;
    Ok(json!({
        "virtual_size": h.u64("virtual_size"),
        "cluster_size": h.u64("cluster_size"),
        "version": h.u64("version"),
        "refcount_bits": h.u64("refcount_bits"),
        "backing_file": text(&backing),
        "backing_format": text(&format),
        "data_file": if h.field("volume").bool("data_file") { text(&data_file) } else { Json::Null },
        "n_snapshots": h.u64("snapshots"),
        "lazy_refcounts": h.bool("lazy_refcounts"),
        "extended_l2": h.bool("extended_l2"),
        "corrupt_bit": h.bool("corrupt"),
        "compression_type": if h.u64("compression") == 0 { "zlib" } else { "zstd" },
        "encrypted": h.u64("encryption") != 0,
    }))
}

fn snapshots(session: &mut Session<'_>) -> Reply {
    let rows = session.rows(QCOW2, "snapshots", &[])?;
    let row = |r: &Value| {
        json!({
            "id": name(r.bytes("id")),
            "name": name(r.bytes("name")),
            "date": r.u64("date"),
            "date_sec": r.u64("date"),
            "vm_state_size": r.u64("vm_state_size"),
            "disk_size": r.field("volume").u64("virtual_size"),
        })
    };
    let names: Vec<Json> = rows.iter().map(|r| name(r.bytes("name"))).collect();
    Ok(json!({ "n_snapshots": rows.len(), "names": names, "snapshots": rows.iter().map(row).collect::<Vec<_>>() }))
}

fn map(session: &mut Session<'_>, query: &Query) -> Reply {
    let offset = query.u64("offset")?;
    let m = session.call(QCOW2, "map", &[("offset", offset.into())])?;
    let kind = match m.u64("kind") {
        0 if in_backing(session, Path::new(&query.image), offset, 0)? => "backing",
        0 => "unallocated",
        1 => {
            let host = m.u64("host_offset");
            let file = data_file(session, Path::new(&query.image))?;
            if host >= file.len() {
                return Err(Failure::error(format!("the cluster at {host} does not lie on the image")));
            }
            return Ok(json!({ "kind": "data", "host_offset": host }));
        }
        2 => "zero",
        _ => "compressed",
    };
    Ok(json!({ "kind": kind }))
}

/// The file that a name in an image's header means.
fn beside(image: &Path, named: &[u8]) -> Result<PathBuf, Failure> {
    let named = std::str::from_utf8(named).map_err(|_| Failure::error("a file's name is not text"))?;
    let named = named.strip_prefix("file:").unwrap_or(named);
    let beside = image.parent().unwrap_or(Path::new("")).join(named);
    // QEMU takes the name of a data file from the current folder on.
    Ok(if beside.exists() { beside } else { named.into() })
}

fn open(path: &Path) -> Result<Arc<dyn Image>, Failure> {
    image::open(path).map_err(|e| Failure::error(e.to_string()))
}

/// The image that holds the guest's data: this one, or its external data file.
fn data_file(session: &mut Session<'_>, path: &Path) -> Result<Arc<dyn Image>, Failure> {
    if !session.call(QCOW2, "open", &[])?.bool("data_file") {
        return Ok(session.image().clone());
    }
    match session.call(QCOW2, "extension", &[("kind", DATA_FILE.into())])? {
        Value::Bytes { bytes, .. } => open(&beside(path, &bytes)?),
        _ => Err(Failure::error("the image does not name its data file")),
    }
}

/// The backing file and whether it is of this format too.
fn backing(session: &mut Session<'_>, path: &Path) -> Result<Option<(PathBuf, Images, bool)>, Failure> {
    let Value::Bytes { bytes, .. } = session.call(QCOW2, "backing_file", &[])? else { return Ok(None) };
    let file = beside(path, &bytes)?;
    let format = session.call(QCOW2, "extension", &[("kind", BACKING_FORMAT.into())])?;
    let images = Images::from([("image".to_string(), open(&file)?)]);
    let is_qcow2 = match text(&format).as_str() {
        Some(format) => format == "qcow2",
        None => session.within(&images).call(QCOW2, "header", &[]).is_ok(),
    };
    Ok(Some((file, images, is_qcow2)))
}

/// Whether the backing file has something at an offset.
fn in_backing(session: &mut Session<'_>, path: &Path, offset: u64, depth: usize) -> Result<bool, Failure> {
    let Some((file, images, is_qcow2)) = backing(session, path)? else { return Ok(false) };
    if depth > BACKING_DEEP_MAX {
        return Err(Failure::error("the chain of backing files does not end"));
    }
    let mut below = session.within(&images);
    if !is_qcow2 {
        // QEMU counts a raw file in sectors.
        return Ok(offset < below.image().len().next_multiple_of(512));
    }
    if offset >= below.call(QCOW2, "open", &[])?.u64("virtual_size") {
        return Ok(false);
    }
    match below.call(QCOW2, "map", &[("offset", offset.into())])?.u64("kind") {
        0 => in_backing(&mut below, &file, offset, depth + 1),
        _ => Ok(true),
    }
}

/// The virtual disk as an image.
pub fn disk(session: &mut Session<'_>, path: &Path, depth: usize) -> Result<Composed, Failure> {
    if depth > BACKING_DEEP_MAX {
        return Err(Failure::error("the chain of backing files does not end"));
    }
    let header = session.call(QCOW2, "header", &[])?;
    if header.u64("encryption") != 0 {
        return Err(Failure::error("the image is encrypted"));
    }
    let volume = header.field("volume").clone();
    let size = volume.u64("virtual_size");
    let data = data_file(session, path)?;
    let below: Option<Arc<dyn Image>> = match backing(session, path)? {
        None => None,
        Some((_, images, false)) => Some(images["image"].clone()),
        Some((file, images, true)) => Some(Arc::new(disk(&mut session.within(&images), &file, depth + 1)?)),
    };
    let mut stretches = Vec::new();
    let mut at = 0;
    for piece in session.rows(QCOW2, "extents", &[("vol", volume.to_json())])? {
        let (start, length, host) = (piece.u64("offset"), piece.u64("length"), piece.u64("host_offset"));
        gap(&mut stretches, below.as_ref(), at, start);
        at = start + length;
        match piece.u64("kind") {
            1 => stretches.push((start, length, Source::Image(data.clone(), host))),
            3 => {
                let bytes = compressed_cluster(session, &header, host, piece.u64("compressed_size"))?;
                stretches.push((start, length, Source::Bytes(bytes)));
            }
            _ => {}
        }
    }
    gap(&mut stretches, below.as_ref(), at, size);
    Composed::new(size, stretches)
}

/// What the image does not have comes from below.
fn gap(stretches: &mut Vec<(u64, u64, Source)>, below: Option<&Arc<dyn Image>>, from: u64, to: u64) {
    if let Some(image) = below
        && from < to.min(image.len())
    {
        stretches.push((from, to.min(image.len()) - from, Source::Image(image.clone(), from)));
    }
}

fn read(session: &mut Session<'_>, query: &Query, snapshot: Option<&Value>) -> Reply {
    let (offset, length) = (query.u64("offset")?, query.u64("length")?);
    if length > 512 << 20 {
        return Err(Failure::error("too many bytes for one answer"));
    }
    let mut bytes = vec![0; length as usize];
    guest_bytes(session, Path::new(&query.image), snapshot, offset, &mut bytes, 0)?;
    Ok(content(&bytes))
}

/// Reads the guest's bytes piece by piece: only what they need of the image must be sound.
fn guest_bytes(
    session: &mut Session<'_>,
    path: &Path,
    snapshot: Option<&Value>,
    offset: u64,
    out: &mut [u8],
    depth: usize,
) -> Result<(), Failure> {
    let header = session.call(QCOW2, "header", &[])?;
    if header.u64("encryption") != 0 {
        return Err(Failure::error("the image is encrypted"));
    }
    let volume = snapshot.unwrap_or(header.field("volume")).clone();
    if offset.checked_add(out.len() as u64).is_none_or(|end| end > volume.u64("virtual_size")) {
        return Err(Failure::error("the bytes lie behind the end of the disk"));
    }
    let cluster = header.u64("cluster_size");
    let data = data_file(session, path)?;
    let mut done = 0;
    while done < out.len() {
        let at = offset + done as u64;
        let m = session.call(QCOW2, "map", &[("vol", volume.to_json()), ("offset", at.into())])?;
        let count = m.u64("length").min((out.len() - done) as u64) as usize;
        let target = &mut out[done..done + count];
        match m.u64("kind") {
            0 => backing_bytes(session, path, at, target, depth)?,
            1 => data.read_at(m.u64("host_offset"), target).map_err(|e| Failure::error(e.to_string()))?,
            3 => {
                let bytes = compressed_cluster(session, &header, m.u64("host_offset"), m.u64("compressed_size"))?;
                let part = bytes.get((at % cluster) as usize..).and_then(|b| b.get(..count));
                target.copy_from_slice(part.ok_or_else(|| Failure::error("a compressed cluster is too short"))?);
            }
            _ => {}
        }
        done += count;
    }
    Ok(())
}

/// A compressed cluster's bytes. The last one of a file may end before its last sector does.
fn compressed_cluster(session: &Session<'_>, header: &Value, host: u64, stored: u64) -> Result<Vec<u8>, Failure> {
    let method = if header.u64("compression") == 0 { Method::Deflate } else { Method::Zstd };
    let stored = stored.min(session.image().len().saturating_sub(host));
    inflate(method, &session.read(host, stored)?, header.u64("cluster_size") as usize)
}

/// What lies under an unallocated piece: the backing file's bytes as far as it has any, then zeros.
fn backing_bytes(session: &mut Session<'_>, path: &Path, at: u64, out: &mut [u8], depth: usize) -> Result<(), Failure> {
    let Some((file, images, is_qcow2)) = backing(session, path)? else { return Ok(()) };
    if depth > BACKING_DEEP_MAX {
        return Err(Failure::error("the chain of backing files does not end"));
    }
    let mut below = session.within(&images);
    let size = match is_qcow2 {
        true => below.call(QCOW2, "open", &[])?.u64("virtual_size"),
        false => below.image().len(),
    };
    let count = size.saturating_sub(at).min(out.len() as u64) as usize;
    if count == 0 {
        return Ok(());
    }
    match is_qcow2 {
        true => guest_bytes(&mut below, &file, None, at, &mut out[..count], depth + 1),
        false => below.image().read_at(at, &mut out[..count]).map_err(|e| Failure::error(e.to_string())),
    }
}
