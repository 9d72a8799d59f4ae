//! The little HTML that the pages are made of.

/// The style of all pages; no font, no script, nothing to load.
pub const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8888; --soft: #8882; --accent: #2563a8; }
@media (prefers-color-scheme: dark) { :root { --accent: #7ab3f0; } }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem 1.5rem 4rem; }
code, pre { font: 0.9em/1.45 ui-monospace, monospace; }
pre { background: var(--soft); padding: 0.6rem 0.9rem; overflow-x: auto; border-radius: 4px; }
h2 { border-top: 1px solid var(--line); padding-top: 1.2rem; margin-top: 2.2rem; }
h2 small { font-weight: normal; opacity: 0.65; }
a { color: var(--accent); }
table { border-collapse: collapse; margin: 0.8rem 0; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: 0.2rem 0.9rem 0.2rem 0; border-bottom: 1px solid var(--soft); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
nav ul { columns: 14rem; padding-left: 1.2rem; }
svg { max-width: 100%; height: auto; font: 11px ui-monospace, monospace; }
svg .field { fill: var(--soft); stroke: currentColor; stroke-opacity: 0.6; }
svg .gap { fill: none; stroke: var(--line); stroke-dasharray: 3 3; }
svg text { fill: currentColor; }
svg .offset { opacity: 0.65; text-anchor: end; }
svg .name { text-anchor: middle; }
";

/// A text with the characters replaced that mean something in HTML.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A doc comment: paragraphs at empty lines, code in backticks.
pub fn comment(text: &str) -> String {
    let paragraphs = text.split("\n\n").filter(|p| !p.trim().is_empty());
    paragraphs.map(|p| format!("<p>{}</p>\n", inline(p.trim()))).collect()
}

/// Text with code in backticks.
pub fn inline(text: &str) -> String {
    let mut out = String::new();
    let mut parts = text.split('`').peekable();
    let mut code = false;
    while let Some(part) = parts.next() {
        // A backtick without a partner is itself.
        match (code, parts.peek().is_some()) {
            (true, true) => out += &format!("<code>{}</code>", escape(part)),
            (true, false) => out += &format!("`{}", escape(part)),
            (false, _) => out += &escape(part),
        }
        code = !code;
    }
    out
}

/// A whole page.
pub fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_markup() {
        assert_eq!(inline("a < `b & c` > \"d\""), "a &lt; <code>b &amp; c</code> &gt; &quot;d&quot;");
        assert_eq!(inline("one ` alone"), "one ` alone");
        assert_eq!(comment("a\nb\n\nc"), "<p>a\nb</p>\n<p>c</p>\n");
    }
}
