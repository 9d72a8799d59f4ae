//! Values for people: enums by name, times as times, records one field a line.
//!
//! Bytes come from images, so nothing reaches the terminal that could steer it: text is shown only when all of it is
//! printable, everything else in hexadecimal.

use super::{Value, hex};
use std::fmt::{self, Formatter};
use trav_compiler::ir::schema::Display;

impl fmt::Display for Value {
    /// `{}` is one line; `{:#}` puts each field of a record on a line of its own, and each row of a stream too.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Value::Record(fields) if f.alternate() => show_lines(fields, 0, f),
            Value::List(rows) if f.alternate() => {
                let mut first = true;
                rows.iter().try_for_each(|row| {
                    let end = if std::mem::take(&mut first) { "" } else { "\n" };
                    write!(f, "{end}{row}")
                })
            }
            other => show_inline(other, f),
        }
    }
}

/// One field a line, the values aligned, a record in a record indented below its name.
fn show_lines(fields: &[(String, Value)], indent: usize, f: &mut Formatter<'_>) -> fmt::Result {
    let width = fields.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (index, (name, value)) in fields.iter().enumerate() {
        if index > 0 || indent > 0 {
            writeln!(f)?;
        }
        match value {
            Value::Record(inner) => {
                write!(f, "{:indent$}{name}", "")?;
                show_lines(inner, indent + 2, f)?;
            }
            value => write!(f, "{:indent$}{name:width$}  {value}", "")?,
        }
    }
    Ok(())
}

fn show_inline(value: &Value, f: &mut Formatter<'_>) -> fmt::Result {
    match value {
        Value::None => f.write_str("none"),
        Value::Int { value, display } => show_integer(*value, *display, f),
        Value::Bool(b) => write!(f, "{b}"),
        Value::Enum { name: Some(name), .. } => f.write_str(name),
        Value::Enum { of, name: None, value } => write!(f, "{of}({value})"),
        Value::Flags { names, rest, .. } => {
            let rest = (*rest != 0 || names.is_empty()).then(|| format!("{rest:#x}"));
            let parts: Vec<_> = names.iter().cloned().chain(rest).collect();
            f.write_str(&parts.join(" | "))
        }
        Value::Bytes { bytes, display } => show_bytes(bytes, *display, f),
        Value::Record(fields) => {
            let field = |(name, value): &(String, Value)| match value {
                Value::Record(_) => format!("{name}={{{value}}}"),
                value => format!("{name}={value}"),
            };
            show_joined(fields.iter().map(field), " ", f)
        }
        Value::List(rows) => {
            f.write_str("[")?;
            show_joined(rows.iter().map(Value::to_string), ", ", f)?;
            f.write_str("]")
        }
    }
}

fn show_joined(parts: impl Iterator<Item = String>, between: &str, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str(&parts.collect::<Vec<_>>().join(between))
}

fn show_integer(value: i128, display: Display, f: &mut Formatter<'_>) -> fmt::Result {
    match display {
        Display::Plain | Display::Uuid => write!(f, "{value}"),
        Display::Time => f.write_str(&time(value)),
        Display::Mode => write!(f, "{} ({value:#o})", mode(value)),
        Display::Size => match unit(value) {
            Some(short) => write!(f, "{value} ({short})"),
            None => write!(f, "{value}"),
        },
    }
}

fn show_bytes(bytes: &[u8], display: Display, f: &mut Formatter<'_>) -> fmt::Result {
    if display == Display::Uuid && bytes.len() == 16 {
        let digits = hex(bytes);
        let groups = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        return f.write_str(&groups.join("-"));
    }
    let end = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) if text.chars().all(is_printable) && (end > 0 || bytes.is_empty()) => {
            write!(f, "{text:?}")?;
            // Trailing zeros are padding more often than not: said, not shown.
            if end < bytes.len() { write!(f, " in {} bytes", bytes.len()) } else { Ok(()) }
        }
        _ => write!(f, "hex:{}", hex(bytes)),
    }
}

/// Neither a control character nor one that changes the direction or the look of what follows.
fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Seconds since 1970 as a date and time in UTC, by Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn time(seconds: i128) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468; // days since 0000-03-01
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{:02} UTC", second % 60)
}

/// A mode as `ls -l` writes it (POSIX `ls`, "The file mode").
fn mode(mode: i128) -> String {
    let kinds = [(1, 'p'), (2, 'c'), (4, 'd'), (6, 'b'), (8, '-'), (10, 'l'), (12, 's')];
    let kind = kinds.iter().find(|(n, _)| *n == mode >> 12 & 15).map_or('?', |(_, c)| *c);
    let mut text = String::from(kind);
    // For each class: where its bits are, the bit that changes its `x`, and to what.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (bits & 1 != 0, mode & special != 0) {
            (true, false) => 'x',
            (false, false) => '-',
            (true, true) => letter,
            (false, true) => letter.to_ascii_uppercase(),
        });
    }
    text
}

/// `4 KiB`, `1.5 MiB`; none below 1 KiB.
fn unit(bytes: i128) -> Option<String> {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut tenths = bytes.checked_mul(10)?;
    let mut name = None;
    for unit in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        name = Some(unit);
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    name.map(|unit| if tenth == 0 { format!("{whole} {unit}") } else { format!("{whole}.{tenth} {unit}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i128, display: Display) -> Value {
        Value::Int { value, display }
    }

    #[test]
    fn numbers_by_display() {
        // The times are those of `date -u -d @N`.
        assert_eq!(int(0, Display::Time).to_string(), "1970-01-01 00:00:00 UTC");
        assert_eq!(int(951_827_696, Display::Time).to_string(), "2000-02-29 12:34:56 UTC");
        assert_eq!(int(-1, Display::Time).to_string(), "1969-12-31 23:59:59 UTC");
        assert_eq!(int(4_107_542_399, Display::Time).to_string(), "2100-02-28 23:59:59 UTC");
        assert!(!int(u64::MAX.into(), Display::Time).to_string().is_empty());
        assert_eq!(int(0o40755, Display::Mode).to_string(), "drwxr-xr-x (0o40755)");
        assert_eq!(int(0o104_644, Display::Mode).to_string(), "-rwSr--r-- (0o104644)");
        assert_eq!(int(4096, Display::Size).to_string(), "4096 (4 KiB)");
        assert_eq!(int(1_572_864, Display::Size).to_string(), "1572864 (1.5 MiB)");
        assert_eq!(int(1023, Display::Size).to_string(), "1023");
    }

    #[test]
    fn bytes_never_steer_the_terminal() {
        let show = |bytes: &[u8]| Value::Bytes { bytes: bytes.to_vec(), display: Display::Plain }.to_string();
        assert_eq!(show(b"hello"), "\"hello\"");
        assert_eq!(show(b"hi\0\0"), "\"hi\" in 4 bytes");
        assert_eq!(show(b""), "\"\"");
        assert_eq!(show(b"\0\0"), "hex:0000");
        assert_eq!(show(b"\x1b[2J"), "hex:1b5b324a");
        assert_eq!(show("\u{202e}x".as_bytes()), "hex:e280ae78");
        assert_eq!(show(b"\xff"), "hex:ff");
    }

    #[test]
    fn records_are_aligned() {
        let inner = Value::Record(vec![("x".into(), Value::Bool(true))]);
        let flags = Value::Flags { names: vec!["a".into(), "b".into()], rest: 64, value: 67 };
        let record = Value::Record(vec![
            ("start".into(), int(5, Display::Plain)),
            ("at".into(), inner),
            ("set".into(), flags),
            ("more".into(), Value::None),
        ]);
        assert_eq!(format!("{record:#}"), "start  5\nat\n  x  true\nset    a | b | 0x40\nmore   none");
        assert_eq!(record.to_string(), "start=5 at={x=true} set=a | b | 0x40 more=none");
        assert_eq!(format!("{:#}", Value::List(vec![record.clone(), record])).lines().count(), 2);
    }
}
