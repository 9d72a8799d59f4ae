//! A text cut into declarations, of which only those that are asked for are parsed: a walk needs a small part of a large
//! module, and parsing is the greater part of compiling it.

use std::collections::HashSet;
use std::sync::Arc;

use pest::Parser;

use super::message::Piece;
use super::recover::declarations;
use super::scan::{Kind, Token};
use super::tree::{Builder, Declaration};
use super::{Grammar, LENGTH_MAX, Rule, limits, marks};
use crate::source::FileId;
use crate::syntax::ast::Module;

/// A text and its declarations.
pub struct Parts {
    file: FileId,
    text: Arc<str>,
    tokens: Vec<Token>,
    declarations: Vec<Part>,
}

/// One declaration: a run of tokens.
struct Part {
    from: usize,
    to: usize,
    /// The token that is its name; none for `use`, `source` and what is no declaration.
    name: Option<usize>,
    is_test: bool,
    /// Whether it is a function or a walk.
    is_called: bool,
    is_taken: bool,
}

/// Words of declarations, apart from those with a bracket behind them: a walk's name is often a field's name too, but only
/// the walk is called.
#[derive(Default)]
pub struct Words {
    plain: HashSet<String>,
    called: HashSet<String>,
}

impl Words {
    /// Adds a word.
    pub fn add(&mut self, word: &str, is_called: bool) {
        let words = if is_called { &mut self.called } else { &mut self.plain };
        if !words.contains(word) {
            words.insert(word.to_owned());
        }
    }

    /// Whether one of them may stand for a declaration.
    pub fn ask_for(&self, name: &str, is_called: bool) -> bool {
        self.called.contains(name) || (!is_called && self.plain.contains(name))
    }
}

impl Parts {
    /// Cuts a text; none if it is too long, too deep or has a token that is none.
    pub fn cut(file: FileId, text: Arc<str>) -> Option<Parts> {
        let tokens = marks(&text);
        if text.len() > LENGTH_MAX
            || tokens.iter().any(|token| token.is_faulty())
            || limits::check(file, &text, &tokens).is_some()
        {
            return None;
        }
        let docs = tokens.iter().take_while(|token| token.kind == Kind::ModuleDoc).count();
        let whole = Piece { file, text: &text, all: &tokens, from: docs, to: tokens.len() };
        let part = |piece: Piece<'_>| {
            let docs = piece.tokens().iter().take_while(|token| token.kind == Kind::Doc).count();
            let word = |at: usize| piece.tokens().get(at).map_or("", |token| token.text(&text));
            let is_named = !matches!(word(docs), "use" | "source");
            let name = (is_named && docs + 1 < piece.tokens().len()).then_some(piece.from + docs + 1);
            let (is_test, is_called) = (word(docs) == "test", matches!(word(docs), "fn" | "traversal"));
            Part { from: piece.from, to: piece.to, name, is_test, is_called, is_taken: !is_named }
        };
        let declarations = declarations(whole).into_iter().map(part).collect();
        Some(Parts { file, text, tokens, declarations })
    }

    /// Whether it declares this name.
    pub fn declares(&self, name: &str) -> bool {
        let is_it = |part: &Part| part.name.is_some_and(|at| self.tokens[at].text(&self.text) == name);
        self.declarations.iter().any(is_it)
    }

    /// Takes the declarations that are asked for by `words`, adds the words that they hold, and says whether there was any.
    pub fn take(&mut self, words: &mut Words) -> bool {
        let mut is_any = false;
        for part in self.declarations.iter_mut().filter(|part| !part.is_taken && !part.is_test) {
            if !part.name.is_some_and(|at| words.ask_for(self.tokens[at].text(&self.text), part.is_called)) {
                continue;
            }
            (part.is_taken, is_any) = (true, true);
            let tokens = &self.tokens[part.from..part.to];
            for (token, next) in tokens.iter().zip(&tokens[1..]).filter(|(token, _)| token.kind == Kind::Word) {
                words.add(token.text(&self.text), next.text(&self.text) == "(");
            }
        }
        is_any
    }

    /// Parses what was taken of some modules, and what a module has whoever asks: `use` and `source`. None if there is an error in it.
    pub fn parse<'p>(all: impl IntoIterator<Item = &'p Parts>) -> Option<Vec<Module>> {
        let mut modules = Vec::new();
        for parts in all {
            let mut module = Module { file: parts.file, doc: String::new(), uses: Vec::new(), items: Vec::new() };
            for part in parts.declarations.iter().filter(|part| part.is_taken) {
                match parts.declaration(part)? {
                    Declaration::Use(found) => module.uses.push(found),
                    Declaration::Item(found) => module.items.push(found),
                }
            }
            modules.push(module);
        }
        Some(modules)
    }

    fn declaration(&self, part: &Part) -> Option<Declaration> {
        let piece = Piece { file: self.file, text: &self.text, all: &self.tokens, from: part.from, to: part.to };
        let cut = piece.cut();
        let mut nodes = Grammar::parse(Rule::one_declaration, &cut.text).ok()?;
        let builder = Builder::new(&cut);
        let node = nodes.next().expect("a parse has one root").into_inner().next();
        let declaration = builder.declaration(node.expect("a piece holds one declaration"));
        builder.finish().is_empty().then_some(declaration)
    }
}
