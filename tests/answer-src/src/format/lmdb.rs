//! `lmdb.*`: environments of LMDB.

use super::sst::value;
use crate::query::{Failure, Query, Reply, not_found, unhex};
use crate::session::Session;
use crate::value::{Fields, hex_arg};
use serde_json::{Value as Json, json};
use trav_runtime::value::{Value, hex};

const SPEC: &str = "std.lmdb";

/// The map size that the corpus' tool opens environments with. LMDB reports it in place of the stored one, and raises it to what is in use.
const OPENED_MAP_SIZE: u64 = 10 << 20;

/// Answers one query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "meta" => meta(session),
        "stat" => stat(session, query),
        "flags" => flags(session, query),
        "get" => get(session, query),
        "dups" => dups(session, query),
        "seek" => seek(session, query),
        "count_keys" => count_keys(session, query),
        _ => Err(Failure::Unsupported),
    }
}

fn meta(session: &mut Session<'_>) -> Reply {
    let env = session.call(SPEC, "open", &[])?;
    let used = (env.u64("last_page").saturating_add(1)).saturating_mul(env.u64("page_size"));
    Ok(json!({
        "psize": env.u64("page_size"),
        "map_size": OPENED_MAP_SIZE.max(used),
        "stored_map_size": env.u64("map_size"),
        "last_pgno": env.u64("last_page"),
        "last_txnid": env.u64("transaction"),
    }))
}

/// The database that the argument `db` names, the main one for null.
fn database(session: &mut Session<'_>, query: &Query) -> Result<Value, Failure> {
    let Some(name) = query.get("db").and_then(Json::as_str) else { return session.call(SPEC, "main", &[]) };
    match session.call(SPEC, "database", &[("name", hex_arg(name.as_bytes()))])? {
        Value::None => Err(Failure::error(format!("no database is called `{name}`"))),
        tree => Ok(tree),
    }
}

fn stat(session: &mut Session<'_>, query: &Query) -> Reply {
    let page_size = session.call(SPEC, "open", &[])?.u64("page_size");
    let mut answer = database(session, query)?.to_json();
    answer["psize"] = page_size.into();
    Ok(answer)
}

fn flags(session: &mut Session<'_>, query: &Query) -> Reply {
    let flags = database(session, query)?.u64("flags");
    let mut answer = json!({ "flags": flags });
    let names = [
        ("reverse_key", 2),
        ("dupsort", 4),
        ("integerkey", 8),
        ("dupfixed", 16),
        ("integerdup", 32),
        ("reversedup", 64),
    ];
    for (name, bit) in names {
        answer[name] = (flags & bit != 0).into();
    }
    Ok(answer)
}

/// The arguments of a walk in a tree from a key.
fn args(session: &mut Session<'_>, query: &Query, name: &'static str) -> Result<[(&'static str, Json); 2], Failure> {
    let key = unhex(query.text("key")?).ok_or_else(|| Failure::error("`key` is not hexadecimal"))?;
    Ok([("tree", database(session, query)?.to_json()), (name, hex_arg(&key))])
}

fn read(session: &mut Session<'_>, place: &Value) -> Result<Vec<u8>, Failure> {
    session.read(place.u64("at"), place.u64("length"))
}

fn get(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = args(session, query, "key")?;
    match session.call(SPEC, "get", &args)? {
        Value::None => not_found(),
        place => Ok(json!({ "found": true, "value": value(&read(session, &place)?) })),
    }
}

fn dups(session: &mut Session<'_>, query: &Query) -> Reply {
    let args = args(session, query, "key")?;
    let places = session.rows(SPEC, "dups", &args)?;
    if places.is_empty() {
        return not_found();
    }
    let values: Vec<_> = places.iter().map(|p| Ok(hex(&read(session, p)?))).collect::<Result<_, Failure>>()?;
    Ok(json!({ "found": true, "n": values.len(), "n_values": values.len(), "count": values.len(), "values": values }))
}

fn seek(session: &mut Session<'_>, query: &Query) -> Reply {
    let [tree, from] = args(session, query, "from")?;
    let limit = query.u64("limit")?.min(u32::MAX.into());
    let pairs = session.rows(SPEC, "range", &[tree, from, ("limit", limit.into())])?;
    Ok(json!({ "keys": pairs.iter().map(|pair| hex(pair.bytes("key"))).collect::<Vec<_>>() }))
}

fn count_keys(session: &mut Session<'_>, query: &Query) -> Reply {
    let tree = database(session, query)?.to_json();
    let count = session.call(SPEC, "count", &[("tree", tree)])?;
    Ok(json!({ "keys": count.u64("keys"), "entries": count.u64("entries") }))
}
