//! `swap.*`, `luks.*` and `lvm.*`: areas and volumes that are no file systems.

use super::partition::uuid;
use crate::query::{Failure, Query, Reply, not_found};
use crate::session::Session;
use crate::value::{Fields, bytes, hex_arg, integer, name};
use serde_json::{Value as Json, json};
use trav_runtime::value::{Value, hex};

const SWAP: &str = "std.swap";
const LUKS: &str = "std.luks";
const LVM: &str = "std.lvm2";

/// Text in a room of fixed size: what stands before the first zero.
fn text(bytes: &[u8]) -> Json {
    name(bytes.split(|b| *b == 0).next().unwrap_or_default())
}

/// Answers one query about a swap area.
pub fn answer_swap(session: &mut Session<'_>, query: &Query) -> Reply {
    let page_size: Vec<(&str, Json)> = query.get("page_size").map(|n| ("page_size", n.clone())).into_iter().collect();
    match query.name() {
        "header" => {
            let a = session.call(SWAP, "open", &page_size)?;
            Ok(json!({
                "version": a.u64("version"),
                "last_page": a.u64("last_page"),
                "nr_badpages": a.u64("bad_pages"),
                "uuid": uuid(a.bytes("uuid")),
                "label": text(a.bytes("label")),
                "page_size": a.u64("page_size"),
                "endian": if a.bool("big_endian") { "big" } else { "little" },
            }))
        }
        "badpages" | "bad_pages" => {
            let area = session.call(SWAP, "open", &page_size)?;
            let rows = session.rows(SWAP, "bad_pages", &[("area", area.to_json())])?;
            let pages: Vec<u64> = rows.iter().map(|r| integer(r) as u64).collect();
            Ok(json!({ "nr_badpages": pages.len(), "badpages": pages, "pages": pages }))
        }
        _ => Err(Failure::Unsupported),
    }
}

/// Answers one query about an encrypted volume's header.
pub fn answer_luks(session: &mut Session<'_>, query: &Query) -> Reply {
    let h = session.call(LUKS, "open", &[])?;
    match (query.name(), h.u64("version")) {
        ("header", 1) => {
            let slots = session.rows(LUKS, "slots", &[])?;
            let slots: Vec<u64> = slots.iter().map(|s| s.u64("number")).collect();
            Ok(json!({
                "version": 1,
                "uuid": text(h.bytes("uuid")),
                "cipher": text(h.bytes("cipher")),
                "cipher_name": text(h.bytes("cipher")),
                "cipher_mode": text(h.bytes("mode")),
                "mode": text(h.bytes("mode")),
                "hash": text(h.bytes("hash")),
                "hash_spec": text(h.bytes("hash")),
                "payload_offset": h.u64("payload_sectors"),
                "key_bytes": h.u64("key_bytes"),
                "mk_bits": h.u64("key_bytes") * 8,
                "key_bits": h.u64("key_bytes") * 8,
                "mk_iterations": h.u64("iterations"),
                "active_slots": slots,
                "keyslots": slots,
                "n_keyslots": slots.len(),
            }))
        }
        ("header", _) => {
            let mut json = luks2_json(session)?;
            let more = json!({
                "version": 2,
                "uuid": text(h.bytes("uuid")),
                "label": text(h.bytes("label")),
                "subsystem": text(h.bytes("subsystem")),
                "csum_alg": text(h.bytes("checksum_kind")),
                "hdr_size": h.u64("size"),
                "metadata_size": h.u64("size"),
                "seqid": h.u64("sequence"),
                "epoch": h.u64("sequence"),
            });
            if let (Json::Object(all), Json::Object(more)) = (&mut json, more) {
                all.extend(more);
            }
            Ok(json)
        }
        ("keyslot", 1) => {
            let number = ["slot", "keyslot", "number"].iter().find_map(|n| query.get(n)).and_then(Json::as_u64);
            let slots = session.rows(LUKS, "slots", &[])?;
            let found = slots.iter().find(|s| Some(s.u64("number")) == number);
            found.map_or_else(not_found, |s| {
                Ok(json!({
                    "active": true,
                    "iterations": s.u64("iterations"),
                    "key_material_offset": s.u64("material_sector"),
                    "stripes": s.u64("stripes"),
                }))
            })
        }
        _ => Err(Failure::Unsupported),
    }
}

/// What the JSON area of version 2 says of the first segment and of key slots.
fn luks2_json(session: &mut Session<'_>) -> Reply {
    let mut value = |section: &str, item: &str, key: &str| -> Result<Json, Failure> {
        let arg = |text: &str| hex_arg(text.as_bytes());
        let args = [("section", arg(section)), ("item", arg(item)), ("key", arg(key))];
        Ok(match session.call(LUKS, "json_value", &args)? {
            Value::None => Json::Null,
            found => name(bytes(&found)),
        })
    };
    let number = |v: &Json| v.as_str().and_then(|t| t.parse::<u64>().ok());
    let offset = number(&value("segments", "0", "offset")?);
    let mut json = json!({
        "cipher": value("segments", "0", "encryption")?,
        "sector_size": number(&value("segments", "0", "sector_size")?),
        "segment_offset": offset,
        "payload_offset": offset,
        "keyslots_size": number(&value("config", "keyslots_size", "")?),
    });
    let mut slots = session.rows(LUKS, "json_items", &[("section", hex_arg(b"keyslots"))])?;
    // Members of an object have no order; luksDump goes by their numbers.
    slots.sort_by_cached_key(|s| String::from_utf8_lossy(bytes(s)).parse::<u64>().ok());
    json["keyslots"] = slots.iter().map(|s| name(bytes(s))).collect();
    json["n_keyslots"] = slots.len().into();
    Ok(json)
}

/// Answers one query about a physical volume.
pub fn answer_lvm(session: &mut Session<'_>, query: &Query) -> Reply {
    match query.name() {
        "label" | "pv" | "header" => {
            let pv = session.call(LVM, "open", &[])?;
            Ok(json!({
                "uuid": pv_uuid(pv.bytes("uuid")),
                "pv_uuid": pv_uuid(pv.bytes("uuid")),
                "device_size": pv.u64("device_size"),
                "data_offset": pv.u64("data_offset"),
                "metadata_offset": pv.u64("text_offset"),
                "metadata_size": pv.u64("text_size"),
            }))
        }
        "map" => {
            let lv =
                ["lv", "name", "volume"].iter().find_map(|n| query.get(n)).and_then(Json::as_str).unwrap_or_default();
            let args = [("lv", hex_arg(lv.as_bytes())), ("offset", query.u64("offset")?.into())];
            match session.call(LVM, "map", &args)? {
                Value::None => Err(Failure::error("there is no such volume, or it has no such byte")),
                m => {
                    let at = m.u64("offset");
                    let pv = name(m.bytes("pv"));
                    Ok(json!({ "pv": pv, "pv_offset": at, "offset": at, "physical": at, "byte_offset": at }))
                }
            }
        }
        _ => Err(Failure::Unsupported),
    }
}

/// LVM writes its 32 characters in groups.
fn pv_uuid(id: &[u8]) -> String {
    let Ok(id) = std::str::from_utf8(id) else { return hex(id) };
    let cuts = [0, 6, 10, 14, 18, 22, 26, 32];
    cuts.windows(2).map(|w| id.get(w[0]..w[1]).unwrap_or_default()).collect::<Vec<_>>().join("-")
}
