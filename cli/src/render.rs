//! Diagnostics for people and as JSON.
//!
//! The one place that knows miette. Marked places in the file of the primary label are drawn into its excerpt; places in other
//! files become lines below it. Colours only on a terminal, and not when `NO_COLOR` is set.

use crate::failure;
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::{Value as Json, json};
use std::fmt::{self, Display, Write};
use std::io::IsTerminal;
use trav_compiler::diag::{Diagnostic, Fix, Label, Severity};
use trav_compiler::source::{SourceMap, Span};

/// The width of a rendered diagnostic.
const COLUMNS: usize = 100;

/// Prints diagnostics to standard error.
pub fn tell(sources: &SourceMap, diagnostics: &[Diagnostic]) {
    let theme = if std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()) {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    diagnostics.iter().for_each(|d| failure::tell(&render(sources, d, theme.clone())));
}

/// One diagnostic as text.
fn render(sources: &SourceMap, diagnostic: &Diagnostic, theme: GraphicalTheme) -> String {
    let styles = theme.styles.clone();
    let handler = GraphicalReportHandler::new_themed(theme).with_width(COLUMNS).with_links(false);
    let file = sources.file(diagnostic.label.span.file);
    let report = Report { source: NamedSource::new(&file.name, file.text.to_string()), diagnostic };
    let mut text = String::new();
    if handler.render_report(&mut text, &report).is_err() {
        // The excerpt could not be made; what must be said does not depend on it.
        text = format!("  {}: {}\n", diagnostic.code, diagnostic.message);
    }
    let mut line = |word: &str, rest: &str| {
        let word = styles.help.style(word);
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {word} {}", rest.replace('\n', "\n        "));
    };
    for other in diagnostic.others.iter().filter(|o| o.span.file != diagnostic.label.span.file) {
        let place = sources.place(other.span);
        line("  see:", &format!("{}:{}:{}: {}", place.file, place.line, place.column, other.text));
    }
    diagnostic.notes.iter().for_each(|note| line(" note:", note));
    diagnostic.help.iter().for_each(|help| line(" help:", help));
    if trav_compiler::texts::error_page(diagnostic.code).is_some() {
        line(" more:", &format!("run `trav explain {}`", diagnostic.code));
    }
    text.push('\n');
    text
}

/// A diagnostic as an object: code, severity, message, the marked places, notes, help.
pub fn to_json(sources: &SourceMap, diagnostic: &Diagnostic) -> Json {
    let label = |label: &Label| {
        let (place, end) = (sources.place(label.span), sources.place(end(label.span)));
        json!({
            "file": place.file, "line": place.line, "column": place.column,
            "end_line": end.line, "end_column": end.column, "text": label.text,
        })
    };
    json!({
        "code": diagnostic.code,
        "severity": severity(diagnostic.severity),
        "message": diagnostic.message,
        "label": label(&diagnostic.label),
        "others": diagnostic.others.iter().map(label).collect::<Vec<_>>(),
        "notes": diagnostic.notes,
        "help": diagnostic.help,
        "fix": diagnostic.fix.as_ref().map(|fix| match fix {
            Fix::Line(before, line) => {
                let place = sources.place(*before);
                json!({ "file": place.file, "line": place.line, "insert": line })
            }
            Fix::Words(behind, words) => {
                let place = sources.place(end(*behind));
                json!({ "file": place.file, "line": place.line, "column": place.column, "insert": words })
            }
        }),
    })
}

fn end(span: Span) -> Span {
    Span { start: span.end, ..span }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A [`Diagnostic`] in the form that miette draws.
#[derive(Debug)]
struct Report<'a> {
    source: NamedSource<String>,
    diagnostic: &'a Diagnostic,
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let primary = &self.diagnostic.label;
        let others = self.diagnostic.others.iter().filter(|o| o.span.file == primary.span.file);
        let range = |l: &Label| (l.span.start as usize, (l.span.end - l.span.start) as usize);
        let span = move |l: &Label| LabeledSpan::new_with_span(Some(l.text.clone()), range(l));
        let first = LabeledSpan::new_primary_with_span(Some(primary.text.clone()), range(primary));
        Some(Box::new(std::iter::once(first).chain(others.map(span))))
    }
}
