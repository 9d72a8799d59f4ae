//! Tokens → lines.

use std::ops::Range;

use super::COLUMNS;
use super::space::{Holds, Roles, roles};
use crate::syntax::parse::goes_on;
use crate::syntax::parse::scan::{Kind, Token};

/// A file being written.
pub(super) struct Layout<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    roles: Roles,
    out: String,
    /// The levels of four blanks before the current line.
    indent: usize,
}

impl<'a> Layout<'a> {
    pub(super) fn new(text: &'a str, tokens: Vec<Token>) -> Self {
        let roles = roles(text, &tokens);
        Layout { text, tokens, roles, out: String::with_capacity(text.len()), indent: 0 }
    }

    /// The whole file.
    pub(super) fn file(mut self) -> String {
        self.lines(0..self.tokens.len(), Holds::File);
        let start = self.out.len() - self.out.trim_start().len();
        let mut out = self.out.split_off(start);
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    fn word(&self, i: usize) -> &'a str {
        self.tokens[i].text(self.text)
    }

    fn is_comment(&self, i: usize) -> bool {
        matches!(self.tokens[i].kind, Kind::Comment | Kind::Doc | Kind::ModuleDoc)
    }

    /// How many line breaks the source has before a token.
    fn breaks_before(&self, i: usize) -> usize {
        let end = i.checked_sub(1).map_or(0, |last| self.tokens[last].end);
        self.text[end..self.tokens[i].start].matches('\n').count()
    }

    fn new_line(&mut self, indent: usize) {
        self.out.truncate(self.out.trim_end_matches(' ').len());
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n("    ", indent));
    }

    fn column(&self) -> usize {
        let line = self.out.rfind('\n').map_or(0, |newline| newline + 1);
        self.out[line..].chars().count()
    }

    /// Cuts what a bracket holds into its lines: comments, and elements with what ends them.
    fn elements(&self, all: Range<usize>, holds: Holds) -> Vec<Range<usize>> {
        let mut elements = Vec::new();
        let mut start = all.start;
        let mut i = all.start;
        while i < all.end {
            if i == start && self.is_comment(i) {
                elements.push(i..i + 1);
                start = i + 1;
                i = start;
                continue;
            }
            let next = self.roles.partner[i].max(i) + 1;
            if self.ends_element(start, i, next, all.end, holds) {
                elements.push(start..next);
                start = next;
            }
            i = next;
        }
        // Comments behind the last element are not part of it: a comma may come between.
        let end = (start..all.end).rfind(|i| !self.is_comment(*i)).map_or(start, |last| last + 1);
        if start < end {
            elements.push(start..end);
        }
        elements.extend((end..all.end).map(|i| i..i + 1));
        elements
    }

    /// Whether the token at `i`, or the bracket from `i` up to `next`, ends the element that begins at `start`.
    fn ends_element(&self, start: usize, i: usize, next: usize, end: usize, holds: Holds) -> bool {
        let behind = (next..end).find(|i| !self.is_comment(*i)).map_or("", |i| self.word(i));
        match (self.word(i), holds) {
            (";", _) | (",", Holds::List | Holds::Arms | Holds::Names | Holds::Parens | Holds::Square) => true,
            ("{", Holds::Block) if matches!(self.word(start), "if" | "match" | "loop" | "for" | "{") => {
                !matches!(behind, "else" | ";")
            }
            ("{", Holds::File) => !goes_on(behind),
            // Behind a method, `where` begins a member; behind a type it goes on.
            ("{", Holds::List) if self.word(start) == "fn" && behind == "where" => true,
            ("{", Holds::List | Holds::Arms) => !goes_on(behind) && !matches!(behind, "where" | ""),
            _ => false,
        }
    }

    /// Writes elements, each on a line of its own.
    fn lines(&mut self, all: Range<usize>, holds: Holds) {
        let comma = self.takes_comma(&all, holds);
        let elements = self.elements(all.clone(), holds);
        let last = elements.iter().rposition(|element| !self.is_comment(element.start));
        let mut after_long = false;
        for (n, element) in elements.into_iter().enumerate() {
            let first = element.start;
            let breaks = if first == 0 { 2 } else { self.breaks_before(first) };
            if self.is_comment(first) && breaks == 0 && first > 0 {
                // It belongs to the line before it.
                self.out.push(' ');
                self.out.push_str(self.word(first));
                continue;
            }
            if (breaks > 1 || after_long) && first != all.start {
                self.out.push('\n');
            }
            after_long = false;
            let fills = holds == Holds::Square
                && n > 0
                && self.flat(&element).is_some_and(|flat| {
                    breaks <= 1 && !self.ends_in_comment() && self.column() + 1 + flat.chars().count() <= COLUMNS
                });
            match fills {
                true => self.out.push(' '),
                false => self.new_line(self.indent),
            }
            if self.is_comment(first) {
                self.out.push_str(self.word(first));
                continue;
            }
            let start = self.out.len();
            self.element(element.clone());
            // A declaration on several lines is followed by a blank one.
            after_long = holds == Holds::File && self.out[start..].contains('\n');
            if comma && Some(n) == last && !matches!(self.word(element.end - 1), "," | "}") {
                self.out.push(',');
            }
        }
    }

    fn ends_in_comment(&self) -> bool {
        let line = self.out.rfind('\n').map_or(0, |newline| newline + 1);
        // A `//` in a text looks like a comment here, which costs a line break and nothing else.
        self.out[line..].contains("//")
    }

    /// Whether a comma may stand behind the last element of a bracket on several lines.
    fn takes_comma(&self, all: &Range<usize>, holds: Holds) -> bool {
        match holds {
            Holds::List | Holds::Arms | Holds::Names => true,
            Holds::File | Holds::Block => false,
            Holds::Parens | Holds::Square => {
                let mut i = all.start;
                while i < all.end && self.word(i) != "," {
                    i = self.roles.partner[i].max(i) + 1;
                }
                i < all.end
            }
        }
    }

    /// One element: on a line if it fits, else with its brackets opened and lines broken before `&&`, `else` and so on.
    fn element(&mut self, element: Range<usize>) {
        if let Some(flat) = self.flat(&element)
            && self.column() + flat.chars().count() <= COLUMNS
        {
            self.out.push_str(&flat);
            return;
        }
        let outer = self.indent;
        let open_all = self.opens_branches(&element);
        let mut i = element.start;
        while i < element.end {
            if self.is_comment(i) {
                self.inner_comment(i, outer);
                i += 1;
                continue;
            }
            if i > element.start && !self.at_line_start() {
                if self.may_break_before(i) && !self.fits(i..self.next_break(i + 1, element.end)) {
                    self.indent = outer + 1;
                    self.new_line(outer + 1);
                } else if self.roles.blank(self.text, &self.tokens, i - 1, i) {
                    self.out.push(' ');
                }
            }
            let close = self.roles.partner[i];
            if close > i {
                let open = open_all && self.roles.holds[i] == Holds::Block;
                let done = !open && self.closed_bracket(i..close + 1, element.end);
                if !done {
                    self.open_bracket(i..close + 1, outer);
                }
                i = close + 1;
            } else {
                self.out.push_str(self.word(i));
                i += 1;
            }
        }
        self.indent = outer;
    }

    fn at_line_start(&self) -> bool {
        self.out.ends_with('\n') || self.out.trim_end_matches(' ').ends_with('\n')
    }

    /// A comment within an element ends its line; the element goes on below it.
    fn inner_comment(&mut self, i: usize, outer: usize) {
        match self.breaks_before(i) {
            0 => self.out.push(' '),
            _ if self.at_line_start() => {}
            _ => self.new_line(outer + 1),
        }
        self.out.push_str(self.word(i));
        self.new_line(outer + 1);
    }

    /// Whether the element is or holds an `if` with an `else` that does not fit on the line, perhaps without the `where`
    /// behind it: of its branches all are set on one line or none.
    fn opens_branches(&self, element: &Range<usize>) -> bool {
        let (mut i, mut before, mut choice) = (element.start, "", false);
        while i < element.end && !(choice && self.word(i) == "where") {
            choice |= self.word(i) == "else" && before == "if";
            if matches!(self.word(i), "if" | "loop") {
                before = self.word(i);
            }
            i = self.roles.partner[i].max(i) + 1;
        }
        choice && !self.fits(element.start..i)
    }

    /// Writes a bracket and what it holds on this line, if that and what hangs on it fit.
    fn closed_bracket(&mut self, all: Range<usize>, end: usize) -> bool {
        let tail = all.end..self.next_break(all.end, end);
        let Some(flat) = self.flat(&all) else {
            return false;
        };
        let tail = self.flat(&tail).map_or(0, |tail| tail.chars().count());
        let fits = self.column() + flat.chars().count() + tail <= COLUMNS;
        if fits {
            self.out.push_str(&flat);
        }
        fits
    }

    /// Writes a bracket and what it holds on several lines. The element began at the level `outer`.
    fn open_bracket(&mut self, all: Range<usize>, outer: usize) {
        let inner = all.start + 1..all.end - 1;
        let holds = self.roles.holds[all.start];
        let indent = self.indent;
        if matches!(holds, Holds::Block | Holds::Arms) {
            // Under a head on several lines as under one on a single line, but set off from it.
            if self.indent > outer {
                self.new_line(outer);
            }
            self.indent = outer;
        }
        self.out.push_str(self.word(all.start));
        if holds == Holds::Parens && self.ends_in_bracket(&inner) {
            self.element(inner);
        } else if !inner.is_empty() {
            self.indent += 1;
            self.lines(inner, holds);
            self.indent -= 1;
            self.new_line(self.indent);
        }
        self.out.push_str(self.word(all.end - 1));
        self.indent = indent;
    }

    /// Whether what a parenthesis holds is one element that ends in a bracket of its own, which then is opened in its
    /// place: `f(Row {` has its fields on the next lines.
    fn ends_in_bracket(&self, inner: &Range<usize>) -> bool {
        let Some(last) = inner.clone().next_back() else { return false };
        let open = self.roles.partner[last];
        let plain = (inner.start..open).all(|i| !self.is_comment(i) && self.word(i) != ",");
        open > inner.start && open < last && plain && self.fits(inner.start..open + 1)
    }

    /// Whether a line may be broken before a token that is outside of the element's brackets.
    fn may_break_before(&self, i: usize) -> bool {
        match self.word(i) {
            "&&" | "||" | "where" => true,
            "else" => self.word(i - 1) != "}",
            _ => false,
        }
    }

    /// The end of what is set together from `i` on: the next token that a line may be broken before, or behind the
    /// next opening bracket that may be opened.
    fn next_break(&self, mut i: usize, end: usize) -> usize {
        while i < end {
            if self.may_break_before(i) || self.is_comment(i) {
                return i;
            }
            if self.word(i) == "{" {
                return i + 1;
            }
            i = self.roles.partner[i].max(i) + 1;
        }
        end
    }

    fn fits(&self, part: Range<usize>) -> bool {
        self.flat(&part).is_some_and(|flat| self.column() + 1 + flat.chars().count() <= COLUMNS)
    }

    /// Tokens on one line, without the comma before a closing bracket; none if they hold what needs lines of its own,
    /// or are longer than a line.
    fn flat(&self, part: &Range<usize>) -> Option<String> {
        let mut flat = String::new();
        let mut last = None;
        for i in part.clone() {
            if self.is_comment(i) || flat.len() > 4 * COLUMNS || self.needs_lines(i) && self.roles.partner[i] < part.end
            {
                return None;
            }
            let before_close = i + 1 < part.end && matches!(self.word(i + 1), ")" | "]" | "}");
            if self.word(i) == "," && before_close {
                continue;
            }
            if last.is_some_and(|last| self.roles.blank(self.text, &self.tokens, last, i)) {
                flat.push(' ');
            }
            flat.push_str(self.word(i));
            last = Some(i);
        }
        Some(flat)
    }

    /// Whether the brace at `i` was set on several lines by its author, or holds more than one statement.
    fn needs_lines(&self, i: usize) -> bool {
        if self.word(i) != "{" || self.roles.partner[i] == i + 1 {
            return false;
        }
        if self.breaks_before(i + 1) > 0 {
            return true;
        }
        let mut at = i + 1;
        let close = self.roles.partner[i];
        while self.roles.holds[i] == Holds::Block && at < close {
            let next = self.roles.partner[at].max(at) + 1;
            if self.word(at) == ";" && next < close {
                return true;
            }
            at = next;
        }
        false
    }
}
