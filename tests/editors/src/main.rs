//! What editors make of texts: runs the grammars in `grammar/` with the engines that editors run them with.
//!
//! `trav-editors GRAMMARS KEPT < TEXTS > RESULTS`: `GRAMMARS` is the folder, `KEPT` one for what is generated, `TEXTS` a
//! list of texts in JSON, and `RESULTS` a list with an object for each text: `errors`, what tree-sitter's parser could not place; `tree_sitter` and `textmate`,
//! the pieces that would be coloured, each `[first byte, end, kind]`. It ends with status 1 and a message if a grammar
//! itself is wrong: a conflict, a query for a node that there is not, a pattern that is none.

mod textmate;
mod tree;

use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

/// A piece of a text that has a kind: first byte, end, kind.
type Piece = (usize, usize, String);

fn run(grammars: &Path, kept: &Path) -> Result<Value, String> {
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input).map_err(|e| format!("cannot read the texts: {e}"))?;
    let texts: Vec<String> = serde_json::from_str(&input).map_err(|e| format!("expected a list of texts: {e}"))?;
    std::fs::create_dir_all(kept).map_err(|e| format!("cannot create {}: {e}", kept.display()))?;
    let mut tree = tree::Grammar::load(&grammars.join("tree-sitter"), kept)?;
    let textmate = textmate::Grammar::load(&grammars.join("trav.tmLanguage.json"), kept)?;
    let mut results = Vec::new();
    for text in &texts {
        let (errors, coloured) = tree.parse(text)?;
        results.push(json!({ "errors": errors, "tree_sitter": coloured, "textmate": textmate.tokenise(text)? }));
    }
    Ok(Value::Array(results))
}

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [grammars, kept] = arguments.as_slice() else {
        eprintln!("usage: trav-editors GRAMMARS KEPT < TEXTS > RESULTS");
        return ExitCode::from(2);
    };
    match run(Path::new(grammars), Path::new(kept)) {
        Ok(results) => {
            println!("{results}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("trav-editors: {message}");
            ExitCode::FAILURE
        }
    }
}
