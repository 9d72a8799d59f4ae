//! TextMate: the engine gives every piece of a text the colour of its scope in a theme, here a number for each kind.

use crate::Piece;
use giallo::{HighlightOptions, Registry, ThemeVariant};
use serde_json::json;
use std::path::Path;

/// What themes give colours to, which is what pieces are called. Of nested scopes the innermost counts.
const SCOPES: [&str; 15] = [
    "comment.line.double-slash",
    "comment.line.documentation",
    "string",
    "constant.character",
    "constant.numeric",
    "constant.language",
    "keyword",
    "keyword.operator",
    "entity.name.type",
    "entity.name.function",
    "entity.name.constant",
    "entity.name.source",
    "support",
    "variable",
    "invalid",
];

/// The colour of what has no scope.
const NONE: &str = "#FFFFFF";

fn colour(kind: usize) -> String {
    format!("#{kind:06X}")
}

/// The grammar with the theme.
pub struct Grammar {
    registry: Registry,
}

impl Grammar {
    /// Loads a grammar in JSON.
    pub fn load(file: &Path, kept: &Path) -> Result<Self, String> {
        let rule =
            |(kind, scope): (usize, &&str)| json!({ "scope": scope, "settings": { "foreground": colour(kind) } });
        let rules: Vec<_> = SCOPES.iter().enumerate().map(rule).collect();
        let theme = json!({
            "name": "kinds", "type": "dark", "tokenColors": rules,
            "colors": { "editor.foreground": NONE, "editor.background": "#000000" },
        });
        let path = kept.join("kinds.json");
        std::fs::write(&path, theme.to_string()).map_err(|e| format!("cannot write {}: {e}", path.display()))?;
        let mut registry = Registry::default();
        registry.add_grammar_from_path(file).map_err(|e| format!("{}: {e}", file.display()))?;
        registry.add_theme_from_path(&path).map_err(|e| format!("the theme: {e}"))?;
        registry.link_grammars();
        Ok(Grammar { registry })
    }

    /// The pieces of a text that have a scope.
    pub fn tokenise(&self, text: &str) -> Result<Vec<Piece>, String> {
        let options = HighlightOptions::new("trav", ThemeVariant::Single("kinds"));
        let options = options.merge_whitespace(false).merge_same_style_tokens(false);
        let coloured = self.registry.highlight(text, &options).map_err(|e| format!("trav.tmLanguage.json: {e}"))?;
        let mut pieces = Vec::new();
        let mut at = 0;
        for piece in coloured.tokens.iter().flatten() {
            // Line feeds belong to no piece.
            at += text[at..].find(&piece.text).ok_or("a piece is not of the text")?;
            let end = at + piece.text.len();
            let ThemeVariant::Single(style) = &piece.style else { return Err("two themes".to_owned()) };
            let shown = style.foreground.as_hex();
            if let Some(kind) = (0..SCOPES.len()).find(|kind| colour(*kind) == shown) {
                pieces.push((at, end, SCOPES[kind].to_owned()));
            } else if shown != NONE {
                return Err(format!("a colour of no kind: {shown}"));
            }
            at = end;
        }
        Ok(pieces)
    }
}
