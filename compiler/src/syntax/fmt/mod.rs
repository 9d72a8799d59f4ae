//! The formatter: one style for every file.
//!
//! It works on tokens, so that nothing is lost: comments stay where they are, and no token changes but a comma before a
//! closing bracket. A bracket is set on one line if that fits, and with one element a line if not; a brace is also set
//! on several lines where its author began a new line behind it. All other line breaks of the source are forgotten, and
//! of blank lines one is kept. The layout thus depends on nothing that it changes, so formatting twice is formatting once.

mod layout;
mod space;

use super::parse::parse;
use super::parse::scan::scan;
use crate::diag::Diagnostic;
use crate::source::FileId;

/// The longest line, where a break is possible: as wide as the lines of the compiler itself.
const COLUMNS: usize = 120;

/// The text in the one style, or its syntax errors.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let (_, errors) = parse(FileId(0), text);
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(layout::Layout::new(text, scan(text)).file())
}
