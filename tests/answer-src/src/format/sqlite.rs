//! `sqlite.*`: databases.

use crate::query::{Failure, Query, Reply, not_found, unhex};
use crate::session::Session;
use crate::value::{Fields, hex_arg, integer, sha256};
use serde_json::{Map, Value as Json, json};
use trav_runtime::value::{Value, hex};

const SPEC: &str = "std.sqlite";

/// Lists in answers are repeated in short form: so many from either end.
const ENDS: usize = 4;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "header" => header(session),
        "schema" => schema(session),
        "rootpage" => rootpage(session, query),
        "row" => row(session, query),
        "row_location" => row_location(session, query),
        "overflow_chain" => overflow_chain(session, query),
        "index_lookup" => index_lookup(session, query),
        "without_rowid_lookup" => without_rowid_lookup(session, query),
        "count" => count(session, query),
        "minmax" => minmax(session, query),
        "range" => range(session, query),
        "page" => page(session, query),
        "freelist" => freelist(session),
        "freelist_trunks" => freelist_trunks(session),
        "ptrmap" => ptrmap(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn header(session: &mut Session<'_>) -> Reply {
    session.call(SPEC, "open", &[])?;
    let head = session.call(SPEC, "header", &[])?;
    let mut answer = head.to_json();
    if head.u64("page_count") == 0 {
        answer["page_count"] = session.image().len().div_ceil(head.u64("page_size")).into();
    }
    Ok(answer)
}

fn schema(session: &mut Session<'_>) -> Reply {
    let rows = rows(session, 1, i64::MIN, u32::MAX)?;
    let rows: Vec<Json> = rows.iter().map(|row| Ok(record(session, row)?.into())).collect::<Result<_, Failure>>()?;
    Ok(json!({ "n": rows.len(), "rows": rows }))
}

fn rootpage(session: &mut Session<'_>, query: &Query) -> Reply {
    match session.call(SPEC, "table", &[("name", query.text("name")?.into())])? {
        Value::None => not_found(),
        root => Ok(json!({ "rootpage": integer(&root) as u64, "page": integer(&root) as u64 })),
    }
}

/// The root page of the table or index that an argument names.
fn root(session: &mut Session<'_>, query: &Query, argument: &str) -> Result<Json, Failure> {
    let name = query.text(argument)?;
    match session.call(SPEC, "table", &[("name", name.into())])? {
        Value::None => Err(Failure::error(format!("no table or index is called `{name}`"))),
        root => Ok((integer(&root) as u64).into()),
    }
}

/// The row that the arguments `table` and `rowid` name.
fn find(session: &mut Session<'_>, query: &Query) -> Result<Option<Value>, Failure> {
    let args = [("root", root(session, query, "table")?), ("rowid", query.i64("rowid")?.into())];
    Ok(Some(session.call(SPEC, "row", &args)?).filter(|row| *row != Value::None))
}

fn rows(session: &mut Session<'_>, root: u64, from: i64, limit: u32) -> Result<Vec<Value>, Failure> {
    session.rows(SPEC, "rows", &[("root", root.into()), ("from", from.into()), ("limit", limit.into())])
}

fn row(session: &mut Session<'_>, query: &Query) -> Reply {
    match find(session, query)? {
        Some(row) => Ok(json!({ "record": record(session, &row)? })),
        None => not_found(),
    }
}

/// The runs of a record's bytes.
fn pieces(session: &mut Session<'_>, row: &Value) -> Result<Vec<Value>, Failure> {
    session.rows(SPEC, "content", &[("row", row.to_json())])
}

/// The columns of a record as JSON.
fn record(session: &mut Session<'_>, row: &Value) -> Result<Vec<Json>, Failure> {
    let encoding = session.call(SPEC, "open", &[])?.u64("encoding");
    let columns = session.rows(SPEC, "columns", &[("row", row.to_json())])?;
    let mut payload = Vec::new();
    for piece in pieces(session, row)? {
        payload.extend(session.read(piece.u64("at"), piece.u64("length"))?);
    }
    columns.iter().map(|column| Ok(shown(column, &payload, encoding))).collect()
}

fn shown(column: &Value, payload: &[u8], encoding: u64) -> Json {
    let start = column.u64("position") as usize;
    let value = || &payload[start..start + column.u64("length") as usize];
    match column.u64("type") {
        0 => Json::Null,
        1 => (column.int("integer") as i64).into(),
        2 => json!({ "f64": format!("{:016x}", column.u64("real")) }),
        3 => text(value(), encoding),
        _ => json!({ "blob": hex(value()), "blob_len": value().len(), "sha256": sha256(value()) }),
    }
}

/// Longer texts are told by their hash.
const TEXT_MAX: usize = 1000;

fn text(stored: &[u8], encoding: u64) -> Json {
    let units = |read: fn([u8; 2]) -> u16| -> Vec<u16> { stored.as_chunks().0.iter().map(|b| read(*b)).collect() };
    let text = match encoding {
        2 => String::from_utf16_lossy(&units(u16::from_le_bytes)),
        3 => String::from_utf16_lossy(&units(u16::from_be_bytes)),
        _ => match std::str::from_utf8(stored) {
            Ok(text) => text.into(),
            Err(_) => return json!({ "hex": hex(stored) }),
        },
    };
    match text.len() {
        0..=TEXT_MAX => text.into(),
        len => json!({ "text_bytes_utf8": len, "sha256_utf8": sha256(text.as_bytes()) }),
    }
}

/// The overflow pages of a row.
fn overflow(session: &mut Session<'_>, row: &Value) -> Result<Vec<u64>, Failure> {
    let pages = session.rows(SPEC, "chain", &[("row", row.to_json())])?;
    let pages: Vec<u64> = pages.iter().map(|page| integer(page) as u64).collect();
    let mut seen = pages.clone();
    seen.sort_unstable();
    match seen.windows(2).any(|w| w[0] == w[1]) {
        true => Err(Failure::error("a page is twice in an overflow chain")),
        false => Ok(pages),
    }
}

fn row_location(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(row) = find(session, query)? else { return not_found() };
    let args = [("root", root(session, query, "table")?), ("rowid", query.i64("rowid")?.into())];
    let path = session.rows(SPEC, "path", &args)?;
    let pages: Vec<u64> = path.iter().map(|step| step.u64("page")).collect();
    let overflow = overflow(session, &row)?;
    let mut answer = list("overflow", overflow);
    answer["pages"] = pages.into();
    answer["cell"] = row.u64("cell").into();
    Ok(answer)
}

fn overflow_chain(session: &mut Session<'_>, query: &Query) -> Reply {
    let Some(row) = find(session, query)? else { return not_found() };
    Ok(list("pages", overflow(session, &row)?))
}

/// A list under its name, its length, and its ends.
fn list(name: &str, items: Vec<u64>) -> Json {
    let ends = items.len().min(ENDS);
    let (head, tail) = (items[..ends].to_vec(), items[items.len() - ends..].to_vec());
    let mut answer = Map::new();
    answer.insert(format!("n_{name}"), items.len().into());
    answer.insert("n".into(), items.len().into());
    answer.insert("head".into(), head.into());
    answer.insert("tail".into(), tail.into());
    answer.insert(name.into(), items.into());
    answer.into()
}

/// A key as `std.sqlite` takes it: a row of `KeyColumn`.
fn key(session: &mut Session<'_>, query: &Query) -> Result<Json, Failure> {
    let encoding = session.call(SPEC, "open", &[])?.u64("encoding");
    let columns = match query.get("key") {
        Some(Json::Array(columns)) => columns.clone(),
        Some(column) => vec![column.clone()],
        None => return Err(Failure::error("`key` is missing")),
    };
    let mut bytes = Vec::new();
    for (i, column) in columns.iter().enumerate() {
        let (kind, value) = key_value(column, encoding)?;
        bytes.extend([kind, collation(query, i), u8::from(descending(query, i))]);
        bytes.extend((value.len() as u32).to_be_bytes());
        bytes.extend(value);
    }
    Ok(hex_arg(&bytes))
}

/// A column's type and its value's bytes.
fn key_value(column: &Json, encoding: u64) -> Result<(u8, Vec<u8>), Failure> {
    let units = |text: &str, write: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(write).collect::<Vec<u8>>();
    let hexadecimal = |name: &str| column.get(name).and_then(Json::as_str).and_then(unhex);
    Ok(match column {
        Json::Null => (0, Vec::new()),
        Json::Bool(b) => (1, i64::from(*b).to_be_bytes().into()),
        Json::Number(n) => match n.as_i64() {
            Some(n) => (1, n.to_be_bytes().into()),
            None => (2, n.as_f64().unwrap_or_default().to_bits().to_be_bytes().into()),
        },
        Json::String(text) => match encoding {
            2 => (3, units(text, u16::to_le_bytes)),
            3 => (3, units(text, u16::to_be_bytes)),
            _ => (3, text.clone().into_bytes()),
        },
        _ => match (hexadecimal("f64"), hexadecimal("blob")) {
            (Some(bits), _) => (2, bits),
            (_, Some(blob)) => (4, blob),
            _ => return Err(Failure::error(format!("{column} is no value of a key"))),
        },
    })
}

fn collation(query: &Query, column: usize) -> u8 {
    let of_all = query.get("collations").or_else(|| query.get("collation"));
    let name = of_all.and_then(|c| c.get(column).or(Some(c))).and_then(Json::as_str).unwrap_or_default();
    match name.to_ascii_uppercase().as_str() {
        "NOCASE" => 1,
        "RTRIM" => 2,
        _ => 0,
    }
}

fn descending(query: &Query, column: usize) -> bool {
    let desc = query.get("desc").map(|d| d.get(column).unwrap_or(d));
    desc.is_some_and(|d| d.as_bool() == Some(true) || d.as_u64() == Some(1))
}

fn index_lookup(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [("root", root(session, query, "index")?), ("key", key(session, query)?)];
    let entries = session.rows(SPEC, "index", &args)?;
    let mut rowids = Vec::with_capacity(entries.len());
    for entry in &entries {
        rowids.push(match entry.field("rowid") {
            Value::None => last_column(session, entry)?,
            rowid => integer(rowid) as i64,
        });
    }
    rowids.sort_unstable();
    rowids.truncate(40);
    Ok(json!({ "count": entries.len(), "rowids": rowids }))
}

/// The rowid in an index entry that goes on in overflow pages.
fn last_column(session: &mut Session<'_>, entry: &Value) -> Result<i64, Failure> {
    let columns = session.rows(SPEC, "columns", &[("row", entry.to_json())])?;
    let last = columns.last().ok_or_else(|| Failure::error("an index entry has no columns"))?;
    Ok(last.int("integer") as i64)
}

fn without_rowid_lookup(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [("root", root(session, query, "table")?), ("key", key(session, query)?)];
    match session.rows(SPEC, "index", &args)?.first() {
        Some(row) => Ok(json!({ "record": record(session, row)? })),
        None => not_found(),
    }
}

fn count(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = [("root", root(session, query, "table")?)];
    Ok(json!({ "count": integer(&session.call(SPEC, "count", &args)?) as u64 }))
}

fn minmax(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = root(session, query, "table")?;
    let first = rows(session, root.as_u64().unwrap_or_default(), i64::MIN, 1)?;
    let last = session.call(SPEC, "last", &[("root", root)])?;
    let rowid = |row: &Value| row.int("rowid") as i64;
    let max = Some(last).filter(|row| *row != Value::None);
    Ok(json!({ "min_rowid": first.first().map(rowid), "max_rowid": max.as_ref().map(rowid) }))
}

fn range(session: &mut Session<'_>, query: &Query) -> Reply {
    let root = root(session, query, "table")?.as_u64().unwrap_or_default();
    let limit = query.u64("limit")?.try_into().unwrap_or(u32::MAX);
    let from = match query.get("from") {
        Some(_) => query.i64("from")?,
        None => i64::MIN,
    };
    let rows = rows(session, root, from, limit)?;
    Ok(json!({ "rowids": rows.iter().map(|row| row.int("rowid") as i64).collect::<Vec<_>>() }))
}

fn page(session: &mut Session<'_>, query: &Query) -> Reply {
    let page = session.call(SPEC, "page", &[("page", query.u64("page")?.into())])?;
    let interior = *page.field("right") != Value::None;
    Ok(json!({ "kind": if interior { "interior" } else { "leaf" }, "ncell": page.u64("cells") }))
}

fn freelist(session: &mut Session<'_>) -> Reply {
    let mut pages: Vec<u64> = session.rows(SPEC, "freelist", &[])?.iter().map(|p| integer(p) as u64).collect();
    pages.sort_unstable();
    if pages.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Failure::error("a page is twice in the freelist"));
    }
    Ok(list("pages", pages))
}

fn freelist_trunks(session: &mut Session<'_>) -> Reply {
    let trunks = session.rows(SPEC, "trunks", &[])?;
    let pages: Vec<u64> = trunks.iter().map(|trunk| trunk.u64("page")).collect();
    let mut answer = list("trunks", pages.clone());
    answer["pages"] = pages.into();
    Ok(answer)
}

fn ptrmap(session: &mut Session<'_>, query: &Query) -> Reply {
    match session.call(SPEC, "ptrmap", &[("page", query.u64("page")?.into())])? {
        Value::None => not_found(),
        entry => Ok(json!({ "type": entry.u64("type"), "parent": entry.u64("parent") })),
    }
}
