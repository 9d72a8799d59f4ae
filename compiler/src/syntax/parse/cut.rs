//! A piece of a file as pest reads it.
//!
//! pest has no token stage: each blank and each letter of a comment is a round through rules, and they are the greater part of a
//! text. They have been found already, so pest gets the tokens with one blank where there was something between two of them.

use super::scan::{Kind, Token};
use crate::source::{FileId, Span};

/// The text of a piece's tokens.
pub(super) struct Cut {
    /// The file that it is of.
    pub file: FileId,
    /// What pest parses.
    pub text: String,
    /// Where each byte of it stands in the file.
    places: Vec<u32>,
    /// Where the piece ends in the file.
    end: u32,
}

impl Cut {
    /// What pest reads of these tokens of a file.
    pub(super) fn of<'t>(file: FileId, whole: &str, tokens: impl Iterator<Item = &'t Token>) -> Self {
        let (mut text, mut places) = (String::new(), Vec::new());
        let mut before: Option<(usize, Kind)> = None;
        for token in tokens {
            if let Some((end, kind)) = before
                && end < token.start
            {
                // Only the end of its line ends a comment.
                text.push(if matches!(kind, Kind::Doc | Kind::ModuleDoc) { '\n' } else { ' ' });
                places.push(end as u32);
            }
            text.push_str(token.text(whole));
            places.extend(token.start as u32..token.end as u32);
            before = Some((token.end, token.kind));
        }
        let end = before.map_or(0, |(end, _)| end as u32);
        Cut { file, text, places, end }
    }

    /// Where a place in the text stands in the file.
    pub(super) fn place(&self, at: usize) -> u32 {
        self.places.get(at).copied().unwrap_or(self.end)
    }

    /// What stands in the file between two places of the text. pest lets a node that ends in an optional part reach over the blank
    /// behind it; it is cut off.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        let end = start + self.text[start..end].trim_end_matches([' ', '\n']).len();
        let last = self.place(start.max(end.saturating_sub(1)));
        Span { file: self.file, start: self.place(start), end: if start < end { last + 1 } else { last } }
    }
}
