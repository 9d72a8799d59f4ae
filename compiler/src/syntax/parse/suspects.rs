//! Where an error may follow from another: in declarations that hold one, and in those that name such a declaration.
//!
//! Words stand for names here, as in `check/reach.rs`, so it is never too few.

use std::collections::{HashMap, HashSet};

use super::message::Piece;
use super::recover::{DECLARATIONS, declarations};
use super::scan::Kind;
use super::{LENGTH_MAX, is_reserved, marks};
use crate::diag::Diagnostic;
use crate::source::{FileId, SourceMap, Span};

/// The declarations in which nothing more is looked for.
#[derive(Default)]
pub struct Suspects {
    spans: HashSet<Span>,
    /// All declarations, in order.
    all: Vec<Span>,
}

/// A declaration by its words, those that are never names left out.
struct Part<'t> {
    span: Span,
    /// None for `use`, `source`, `test` and what is no declaration.
    name: Option<&'t str>,
    words: Vec<&'t str>,
    is_test: bool,
}

impl Suspects {
    /// What `errors`, in any of the texts, cast doubt on. `is_known` says whether a name of a text's declaration came out of the parse. None
    /// if all is in doubt.
    pub fn of(sources: &SourceMap, errors: &[Diagnostic], is_known: impl Fn(FileId, &str) -> bool) -> Option<Suspects> {
        if errors.is_empty() {
            return Some(Suspects::default());
        }
        if sources.files().any(|(_, source)| source.text.len() > LENGTH_MAX) {
            return None;
        }
        let texts: Vec<_> = sources.files().map(|(file, source)| (file, &*source.text, marks(&source.text))).collect();
        let mut parts = Vec::new();
        for (file, text, tokens) in &texts {
            let whole = Piece { file: *file, text, all: tokens, from: 0, to: tokens.len() };
            parts.extend(declarations(whole).iter().map(Part::of));
        }
        let mut uses: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, part) in parts.iter().enumerate() {
            part.words.iter().for_each(|word| uses.entry(word).or_default().push(i));
        }
        let all: Vec<Span> = parts.iter().map(|part| part.span).collect();
        let mut work = Vec::new();
        for error in errors {
            work.push(part_of(&all, error.label.span)?);
        }
        let is_lost = |part: &Part<'_>| part.name.is_some_and(|name| !is_known(part.span.file, name));
        work.extend((0..parts.len()).filter(|i| is_lost(&parts[*i])));
        let mut spans = HashSet::new();
        while let Some(i) = work.pop() {
            if !spans.insert(parts[i].span) {
                continue;
            }
            work.extend(parts[i].names().iter().filter_map(|name| uses.get(name)).flatten());
        }
        Some(Suspects { spans, all })
    }

    /// Whether the declaration around a place is one of them.
    pub fn hold(&self, place: Span) -> bool {
        !self.spans.is_empty() && part_of(&self.all, place).is_none_or(|i| self.spans.contains(&self.all[i]))
    }
}

/// The one of the parts that holds the begin of a span.
fn part_of(parts: &[Span], place: Span) -> Option<usize> {
    let next = parts.partition_point(|part| (part.file, part.start) <= (place.file, place.start));
    let i = next.checked_sub(1)?;
    (parts[i].file == place.file && place.start <= parts[i].end).then_some(i)
}

impl<'t> Part<'t> {
    fn of(piece: &Piece<'t>) -> Part<'t> {
        let words =
            || piece.tokens().iter().filter(|token| token.kind == Kind::Word).map(|token| token.text(piece.text));
        let first = words().next().unwrap_or_default();
        let is_named = DECLARATIONS.contains(&first) && !matches!(first, "use" | "source" | "test");
        let (start, end) = piece.ends();
        Part {
            span: Span { file: piece.file, start: start as u32, end: end as u32 },
            name: words().nth(1).filter(|_| is_named),
            words: words().filter(|word| !is_reserved(word)).collect(),
            is_test: first == "test",
        }
    }

    /// What others may name it by: any word of what has no name.
    fn names(&self) -> &[&'t str] {
        match &self.name {
            Some(name) => std::slice::from_ref(name),
            None if self.is_test => &[],
            None => &self.words,
        }
    }
}
