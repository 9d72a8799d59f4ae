//! Diagnostics as values: what went wrong, where, what is known, what would help.
//!
//! Every stage returns these; nothing in this crate prints. The command renders them. Each [`Code`] has a page in the
//! book (`book/src/errors/`), which is also what `trav explain` prints.

use crate::source::Span;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// The spec is wrong.
    Error,
    /// The spec is right, but probably not what was meant.
    Warning,
}

/// A marked place with a few words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is to be seen there: lower case, no full stop.
    pub text: String,
}

/// One diagnostic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `E0501`: stable, never reused. The first two digits are the stage: 01 syntax, 02 names, 03 types, 04 layout,
    /// 05 bounds, 06 termination, 07 hook fit.
    pub code: &'static str,
    /// Error or warning.
    pub severity: Severity,
    /// Expected, then found; lower case, no full stop.
    pub message: String,
    /// The primary place.
    pub label: Label,
    /// Further places that explain the first.
    pub others: Vec<Label>,
    /// Facts known at the place: one line each.
    pub notes: Vec<String>,
    /// What can be typed in to make it right.
    pub help: Option<String>,
    /// The same for a program that edits the text.
    pub fix: Option<Fix>,
}

/// What would make it right when it is pasted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fix {
    /// A line, without indentation, before the line in which the place begins.
    Line(Span, String),
    /// Words, with the space before them, at the end of the place.
    Words(Span, String),
}

impl Diagnostic {
    /// An error with its primary place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>, label: impl Into<String>) -> Self {
        Diagnostic {
            code,
            severity: Severity::Error,
            message: message.into(),
            label: Label { span, text: label.into() },
            others: Vec::new(),
            notes: Vec::new(),
            help: None,
            fix: None,
        }
    }

    /// Adds a further place.
    pub fn other(mut self, span: Span, text: impl Into<String>) -> Self {
        self.others.push(Label { span, text: text.into() });
        self
    }

    /// Adds a line of what is known.
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Sets what would help.
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help = Some(text.into());
        self
    }
}
