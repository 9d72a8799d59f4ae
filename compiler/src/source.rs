//! Source files and places in them.
//!
//! Owns the text of every module that a compilation reads. A [`Span`] is four words and can be kept anywhere; only the
//! [`SourceMap`] turns one into a file name, a line and a column.

use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A file of a [`SourceMap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// A range of bytes in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct Span {
    /// The file.
    pub file: FileId,
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that covers both; both must be of one file.
    pub fn to(self, other: Span) -> Span {
        Span { file: self.file, start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// Whether another lies in it.
    pub fn covers(self, other: Span) -> bool {
        self.file == other.file && self.start <= other.start && other.end <= self.end
    }
}

/// One source file.
#[derive(Clone, Debug)]
pub struct SourceFile {
    /// The path as the user should see it: as given, or `std/ext4.trav` for a standard module.
    pub name: String,
    /// The text.
    pub text: Arc<str>,
    /// Byte offsets of the first byte of each line.
    line_starts: Vec<u32>,
}

/// A place as people name it; line and column count from 1, the column in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file's name.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
}

/// All source files of one compilation.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    files: Vec<SourceFile>,
}

impl SourceMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// The length of all texts.
    pub fn text_bytes(&self) -> usize {
        self.files.iter().map(|file| file.text.len()).sum()
    }

    /// Adds a file and returns its id.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<Arc<str>>) -> FileId {
        let text = text.into();
        let starts = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i as u32 + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        self.files.push(SourceFile { name: name.into(), text, line_starts });
        FileId(self.files.len() as u32 - 1)
    }

    /// The file with this id.
    pub fn file(&self, id: FileId) -> &SourceFile {
        &self.files[id.0 as usize]
    }

    /// All files, in the order of their ids.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &SourceFile)> {
        self.files.iter().enumerate().map(|(i, f)| (FileId(i as u32), f))
    }

    /// The text that a span covers.
    pub fn text(&self, span: Span) -> &str {
        &self.file(span.file).text[span.start as usize..span.end as usize]
    }

    /// Where a span begins.
    pub fn place(&self, span: Span) -> Place {
        let file = self.file(span.file);
        let line = file.line_starts.partition_point(|s| *s <= span.start) - 1;
        Place { file: file.name.clone(), line: line as u32 + 1, column: span.start - file.line_starts[line] + 1 }
    }

    /// The whole line on which a span begins, without its end and without outer blanks.
    pub fn line_text(&self, span: Span) -> &str {
        let file = self.file(span.file);
        let line = file.line_starts.partition_point(|s| *s <= span.start) - 1;
        let start = file.line_starts[line] as usize;
        file.text[start..].lines().next().unwrap_or("").trim()
    }
}
