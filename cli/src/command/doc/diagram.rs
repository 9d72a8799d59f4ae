//! A structure's bytes as a drawing: rows of sixteen, one box for each field, long fields shortened, and behind them the fields whose place
//! depends on the data, in their order.

use super::html::escape;
use std::fmt::Write;

/// Something that takes bytes from the structure's start on.
pub struct Part {
    /// Its name; none for a gap.
    pub name: Option<String>,
    /// First byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

const ROW_BYTES: u32 = 16;
const BYTE_WIDTH: u32 = 44;
const ROW_HEIGHT: u32 = 30;
const MARGIN: u32 = 60;
/// About the width of a character of a label.
const CHARACTER_WIDTH: u32 = 7;
/// So many rows are drawn at most; what is behind is in the table.
const ROWS_MAX: usize = 64;

/// Draws the parts with a known place, in order and without overlap, and the names of those behind them.
pub fn draw(parts: &[Part], behind: &[String]) -> String {
    let mut rows = Vec::new();
    let end = parts.last().map_or(0, |p| p.end);
    let mut at = 0;
    while at < end && rows.len() < ROWS_MAX {
        // Full rows of one part are drawn once.
        let whole = parts.iter().find(|p| p.start <= at && p.end >= at + 3 * ROW_BYTES);
        match whole {
            Some(part) => {
                rows.push(Row::Many(part, at));
                at = part.end / ROW_BYTES * ROW_BYTES;
            }
            None => {
                rows.push(Row::One(at));
                at += ROW_BYTES;
            }
        }
    }
    let cut = at < end;
    let variable = u32::from(cut) + behind.len() as u32;
    let (width, height) = (MARGIN + ROW_BYTES * BYTE_WIDTH + 2, (rows.len() as u32 + variable) * ROW_HEIGHT + 20);
    let mut svg = format!("<svg viewBox=\"0 0 {width} {height}\" width=\"{width}\" role=\"img\">\n");
    for byte in 0..ROW_BYTES {
        let x = MARGIN + byte * BYTE_WIDTH + BYTE_WIDTH / 2;
        let _ = writeln!(svg, "<text class=\"name\" opacity=\"0.5\" x=\"{x}\" y=\"11\">{byte:x}</text>");
    }
    let mut y = 16;
    for row in &rows {
        match row {
            Row::One(at) => {
                offset(&mut svg, y, &format!("{at:#x}"));
                for part in parts.iter().filter(|p| p.start < at + ROW_BYTES && p.end > *at) {
                    let (from, to) = (part.start.max(*at) - at, part.end.min(at + ROW_BYTES) - at);
                    put(&mut svg, part.name.as_deref(), from, to, y, part.end - part.start);
                }
            }
            Row::Many(part, at) => {
                let rows = (part.end - at) / ROW_BYTES;
                offset(&mut svg, y, &format!("{at:#x} …"));
                let name = part.name.as_ref().map(|n| format!("{n} ({rows} rows of 16 bytes)"));
                put(&mut svg, name.as_deref(), 0, ROW_BYTES, y, part.end - part.start);
            }
        }
        y += ROW_HEIGHT;
    }
    if cut {
        put(&mut svg, None, 0, ROW_BYTES, y, 0);
        let _ = writeln!(svg, "<text class=\"name\" x=\"{}\" y=\"{}\">…</text>", width / 2, y + 19);
        y += ROW_HEIGHT;
    }
    for name in behind {
        offset(&mut svg, y, "then");
        put(&mut svg, Some(name), 0, ROW_BYTES, y, 0);
        y += ROW_HEIGHT;
    }
    svg + "</svg>\n"
}

enum Row<'p> {
    One(u32),
    Many(&'p Part, u32),
}

fn offset(svg: &mut String, y: u32, text: &str) {
    let _ = writeln!(svg, "<text class=\"offset\" x=\"{}\" y=\"{}\">{}</text>", MARGIN - 8, y + 19, escape(text));
}

/// A box over some bytes of a row, with as much of the name as there is room for.
fn put(svg: &mut String, name: Option<&str>, from: u32, to: u32, y: u32, bytes: u32) {
    let (x, width) = (MARGIN + from * BYTE_WIDTH, (to - from) * BYTE_WIDTH);
    let class = if name.is_some() { "field" } else { "gap" };
    let shape = format!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{ROW_HEIGHT}\"/>");
    let Some(name) = name else {
        let _ = writeln!(svg, "{shape}");
        return;
    };
    let room = (width / CHARACTER_WIDTH) as usize;
    let shown = match name.chars().count() <= room {
        true => name.to_owned(),
        false => name.chars().take(room.saturating_sub(1)).chain(['…']).collect(),
    };
    let title = match bytes {
        0 => name.to_owned(),
        1 => format!("{name}: 1 byte"),
        n => format!("{name}: {n} bytes"),
    };
    let _ = writeln!(
        svg,
        "<g><title>{}</title>{shape}<text class=\"name\" x=\"{}\" y=\"{}\">{}</text></g>",
        escape(&title),
        x + width / 2,
        y + 19,
        escape(&shown)
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, start: u32, end: u32) -> Part {
        Part { name: (!name.is_empty()).then(|| name.into()), start, end }
    }

    #[test]
    fn boxes_are_as_wide_as_their_bytes() {
        let svg = draw(&[part("magic", 0, 4), part("", 4, 14), part("count", 14, 20)], &["rest".into()]);
        let wide = |bytes: u32| format!("width=\"{}\"", bytes * BYTE_WIDTH);
        // `count` stands in two rows: two bytes in the first, four in the second.
        for bytes in [4, 10, 2, 16] {
            assert!(svg.contains(&wide(bytes)), "{bytes} in {svg}");
        }
        assert_eq!(svg.matches("count: 6 bytes").count(), 2);
        assert_eq!(svg.matches("class=\"gap\"").count(), 1);
        assert!(svg.contains(">then<") && svg.contains(">0x10<"));
    }

    #[test]
    fn long_fields_are_short() {
        let svg = draw(&[part("magic", 0, 8), part("data", 8, 4096)], &[]);
        assert!(svg.contains("data (255 rows of 16 bytes)"), "{svg}");
        assert!(svg.lines().count() < 40, "{svg}");
        let many: Vec<Part> = (0..5000).map(|i| part("x", i * 8, i * 8 + 8)).collect();
        assert!(draw(&many, &[]).lines().count() < 300);
    }
}
