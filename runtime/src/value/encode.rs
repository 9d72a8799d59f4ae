//! From what a caller typed to laid out bytes.

use super::hex;
use serde_json::Value as Json;
use trav_compiler::ir::schema::{Display, Schema};

/// An argument as it was given.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// `NAME=VALUE` on a command line: the text behind `=`.
    Text(String),
    /// A member of a JSON object.
    Json(Json),
}

impl std::fmt::Display for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Given::Text(text) => f.write_str(text),
            Given::Json(json) => write!(f, "{json}"),
        }
    }
}

/// Divides `NAME=VALUE`; none when there is no `=` or nothing before it.
pub fn parse_pair(text: &str) -> Option<(String, Given)> {
    let (name, value) = text.split_once('=')?;
    (!name.is_empty()).then(|| (name.into(), Given::Text(value.into())))
}

/// Lays a given value out by `schema`. The error says what is taken and what was found.
pub fn encode(schema: &Schema, given: &Given) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(schema.size() as usize);
    put(schema, given, &mut out)?;
    debug_assert_eq!(out.len(), schema.size() as usize, "encode lays out every leaf");
    Ok(out)
}

fn put(schema: &Schema, given: &Given, out: &mut Vec<u8>) -> Result<(), String> {
    match schema {
        Schema::Unit => Err("takes no value".into()),
        Schema::Int { bits, signed, .. } => put_word(integer(given, *bits, *signed)?, out),
        Schema::Bool => put_word(boolean(given)?, out),
        Schema::Enum { name, bits, items } => put_word(item(given, name, *bits, items)?, out),
        Schema::Flags { name, bits, items } => put_word(flags(given, name, *bits, items)?, out),
        Schema::Bytes { max, fixed, display } => put_bytes(&bytes(given, *display)?, *max, *fixed, out),
        Schema::Record { name, fields } => put_record(given, name, fields, out),
        Schema::Option(inner) if is_none(given) => {
            out.resize(out.len() + 8 + inner.size() as usize, 0);
            Ok(())
        }
        Schema::Option(inner) => {
            put_word(1, out)?;
            put(inner, given, out)
        }
    }
}

fn put_word(word: u64, out: &mut Vec<u8>) -> Result<(), String> {
    out.extend(word.to_ne_bytes());
    Ok(())
}

fn put_bytes(bytes: &[u8], max: u32, fixed: bool, out: &mut Vec<u8>) -> Result<(), String> {
    let (count, most) = (bytes.len(), max as usize);
    if fixed && count != most {
        return Err(format!("takes exactly {max} bytes, found {count}"));
    }
    if count > most {
        return Err(format!("takes at most {max} bytes, found {count}"));
    }
    put_word(count as u64, out)?;
    out.extend(bytes);
    out.resize(out.len() + most.next_multiple_of(8) - count, 0);
    Ok(())
}

fn put_record(given: &Given, name: &str, fields: &[(String, Schema)], out: &mut Vec<u8>) -> Result<(), String> {
    let parsed = match given {
        Given::Text(text) => serde_json::from_str(text).unwrap_or(Json::Null),
        Given::Json(json) => json.clone(),
    };
    let Json::Object(mut members) = parsed else {
        let names: Vec<_> = fields.iter().map(|(n, _)| format!("\"{n}\": …")).collect();
        return Err(format!("takes a {name} as a JSON object {{{}}}, found `{given}`", names.join(", ")));
    };
    for (field, schema) in fields {
        let member = members.remove(field).ok_or_else(|| format!("lacks the field `{field}` of {name}"))?;
        put(schema, &Given::Json(member), out).map_err(|e| format!("in `{field}`: {e}"))?;
    }
    match members.keys().next() {
        Some(unknown) => Err(format!("has a field `{unknown}`, which {name} has not")),
        None => Ok(()),
    }
}

fn is_none(given: &Given) -> bool {
    match given {
        Given::Text(text) => text == "none",
        Given::Json(json) => json.is_null(),
    }
}

fn integer(given: &Given, bits: u8, signed: bool) -> Result<u64, String> {
    let number = match given {
        Given::Text(text) => parse_integer(text),
        Given::Json(Json::String(text)) => parse_integer(text),
        Given::Json(Json::Number(n)) => n.as_i128(),
        Given::Json(_) => None,
    };
    let (lo, hi) = match signed {
        true => (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1),
        false => (0, (1i128 << bits) - 1),
    };
    match number {
        // The word's bits: a negative number in two's complement.
        Some(n) if (lo..=hi).contains(&n) => Ok(n as u64),
        _ => Err(format!("takes an integer from {lo} to {hi}, found `{given}`")),
    }
}

/// `12`, `-1`, `1_000`, `0x1f`, `0o17`, `0b101`, `4KiB`.
fn parse_integer(text: &str) -> Option<i128> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40), ("PiB", 50)];
    let (digits, shift) =
        units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?.trim_end(), *shift))).unwrap_or((text, 0));
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0o") => (&digits[2..], 8),
        Some("0b") => (&digits[2..], 2),
        _ => (digits, 10),
    };
    let plain = digits.starts_with(|c: char| c.is_digit(radix)) && !digits.ends_with('_');
    let digits: String = digits.chars().filter(|c| *c != '_').collect();
    // u64 leaves room for the unit: (2^64 - 1) * 2^50 is within i128.
    let number = i128::from(u64::from_str_radix(&digits, radix).ok().filter(|_| plain)?) << shift;
    Some(if negative { -number } else { number })
}

fn boolean(given: &Given) -> Result<u64, String> {
    match given {
        Given::Json(Json::Bool(b)) => Ok(u64::from(*b)),
        Given::Text(text) if text == "true" => Ok(1),
        Given::Text(text) if text == "false" => Ok(0),
        _ => Err(format!("takes `true` or `false`, found `{given}`")),
    }
}

/// The text of a name: `Leaf` or `Kind.Leaf`.
fn plain_name<'a>(given: &'a Given, of: &str) -> Option<&'a str> {
    let (Given::Text(text) | Given::Json(Json::String(text))) = given else { return None };
    Some(text.strip_prefix(of).and_then(|rest| rest.strip_prefix('.')).unwrap_or(text).trim())
}

fn item(given: &Given, of: &str, bits: u8, items: &[(String, u64)]) -> Result<u64, String> {
    let name = plain_name(given, of);
    if let Some((_, value)) = items.iter().find(|(n, _)| Some(n.as_str()) == name) {
        return Ok(*value);
    }
    integer(given, bits, false).map_err(|_| format!("takes a {of} ({}), found `{given}`", names(items)))
}

fn flags(given: &Given, of: &str, bits: u8, items: &[(String, u64)]) -> Result<u64, String> {
    let Some(text) = plain_name(given, of) else { return integer(given, bits, false) };
    text.split(['|', ',']).filter(|part| !part.trim().is_empty()).try_fold(0, |all, part| {
        let part = Given::Text(part.trim().into());
        Ok(all | item(&part, of, bits, items)?)
    })
}

fn names(items: &[(String, u64)]) -> String {
    let shown: Vec<_> = items.iter().take(8).map(|(n, _)| n.as_str()).collect();
    let more = if items.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

fn bytes(given: &Given, display: Display) -> Result<Vec<u8>, String> {
    let found = || format!("found `{given}`");
    match given {
        Given::Text(text) | Given::Json(Json::String(text)) => {
            if let Some(digits) = text.strip_prefix("hex:") {
                return unhex(digits).ok_or_else(|| format!("takes pairs of hexadecimal digits, {}", found()));
            }
            if display == Display::Uuid {
                let digits: String = text.chars().filter(|c| *c != '-').collect();
                return unhex(&digits).ok_or_else(|| format!("takes a UUID, {}", found()));
            }
            Ok(text.clone().into_bytes())
        }
        // The form in which results are printed can be given back.
        Given::Json(Json::Object(members)) => match (members.get("hex"), members.get("text")) {
            (Some(Json::String(digits)), _) => {
                unhex(digits).ok_or_else(|| format!("takes pairs of hexadecimal digits, {}", found()))
            }
            (None, Some(Json::String(text))) => Ok(text.clone().into_bytes()),
            _ => Err(format!("takes text or {{\"hex\": …}}, {}", found())),
        },
        Given::Json(_) => Err(format!("takes text or {{\"hex\": …}}, {}", found())),
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.as_bytes();
    let (pairs, []) = digits.as_chunks::<2>() else { return None };
    let digit = |c: u8| char::from(c).to_digit(16).map(|d| d as u8);
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect();
    debug_assert!(bytes.as_ref().is_none_or(|b| hex(b).eq_ignore_ascii_case(&String::from_utf8_lossy(digits))));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(schema: &Schema, text: &str) -> Result<u64, String> {
        let bytes = encode(schema, &Given::Text(text.into()))?;
        Ok(u64::from_ne_bytes(bytes.try_into().expect("a scalar takes one word")))
    }

    #[test]
    fn integers() {
        let u32 = Schema::Int { bits: 32, signed: false, display: Display::Plain };
        let good = [("12", 12), ("0x1f", 31), ("4KiB", 4096), ("0b101", 5), ("0o17", 15), ("1_000", 1000)];
        for (text, value) in good {
            assert_eq!(word(&u32, text), Ok(value), "{text}");
        }
        for text in
            ["", "-", "-1", "4GiB", "0x", "1e3", "1.0", "abc", "_1", "1_", "+5", "0x-1", "--1", "99999999999999999999"]
        {
            assert!(word(&u32, text).is_err(), "{text}");
        }
        let i64 = Schema::Int { bits: 64, signed: true, display: Display::Plain };
        assert_eq!(word(&i64, "-1"), Ok(u64::MAX));
        assert_eq!(word(&i64, "-9223372036854775808"), Ok(1 << 63));
        assert!(word(&i64, "9223372036854775808").is_err());
        let u64 = Schema::Int { bits: 64, signed: false, display: Display::Plain };
        assert_eq!(word(&u64, "18446744073709551615"), Ok(u64::MAX));
        assert_eq!(word(&u64, "é"), Err("takes an integer from 0 to 18446744073709551615, found `é`".into()));
    }

    #[test]
    fn bytes_as_text_and_as_hex() {
        let name = Schema::Bytes { max: 9, fixed: false, display: Display::Plain };
        let given = |text: &str| encode(&name, &Given::Text(text.into()));
        assert_eq!(given("hex:00fF10").unwrap()[..11], [3, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0x10]);
        assert_eq!(given("hello.txt").unwrap()[8..17], *b"hello.txt");
        assert_eq!(given("").unwrap(), [0; 24]);
        assert_eq!(given("0123456789"), Err("takes at most 9 bytes, found 10".into()));
        assert!(given("hex:0").is_err() && given("hex:0g").is_err() && given("hex:é").is_err());
        let uuid = Schema::Bytes { max: 16, fixed: true, display: Display::Uuid };
        let text = Given::Text("00112233-4455-6677-8899-aabbccddeeff".into());
        assert_eq!(hex(&encode(&uuid, &text).unwrap()[8..]), "00112233445566778899aabbccddeeff");
        assert_eq!(encode(&uuid, &Given::Text("0011".into())), Err("takes exactly 16 bytes, found 2".into()));
    }

    #[test]
    fn enums_and_flags_by_name_or_number() {
        let kind = Schema::Enum { name: "Kind".into(), bits: 8, items: vec![("Inner".into(), 0), ("Leaf".into(), 1)] };
        assert_eq!(word(&kind, "Leaf"), Ok(1));
        assert_eq!(word(&kind, "Kind.Leaf"), Ok(1));
        assert_eq!(word(&kind, "255"), Ok(255));
        assert_eq!(word(&kind, "Root"), Err("takes a Kind (Inner, Leaf), found `Root`".into()));
        let set = Schema::Flags { name: "Set".into(), bits: 8, items: vec![("a".into(), 1), ("b".into(), 2)] };
        assert_eq!(word(&set, "a | b"), Ok(3));
        assert_eq!(word(&set, "0x40,b"), Ok(0x42));
        assert_eq!(word(&set, ""), Ok(0));
        assert!(word(&set, "a|c").is_err());
    }

    #[test]
    fn records_name_what_is_wrong() {
        let byte = Schema::Int { bits: 8, signed: false, display: Display::Plain };
        let record =
            Schema::Record { name: "Pair".into(), fields: vec![("a".into(), byte.clone()), ("b".into(), byte)] };
        let given = |text: &str| encode(&record, &Given::Text(text.into()));
        assert_eq!(given(r#"{"b":2,"a":"0x1"}"#).unwrap().len(), 16);
        assert_eq!(given(r#"{"a":1}"#), Err("lacks the field `b` of Pair".into()));
        assert_eq!(given(r#"{"a":1,"b":2,"c":3}"#), Err("has a field `c`, which Pair has not".into()));
        assert_eq!(given(r#"{"a":1,"b":1.5}"#), Err("in `b`: takes an integer from 0 to 255, found `1.5`".into()));
        assert!(given("7").is_err());
    }
}
