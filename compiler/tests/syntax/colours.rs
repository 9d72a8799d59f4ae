//! The editors' grammars on every `.trav` text of the repository and of the book, run by the engines that editors run them
//! with (`tests/editors`), and compared with the parser: tree-sitter's takes what it takes, and both give each token the
//! colour of its kind.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use trav_compiler::diag::Diagnostic;
use trav_compiler::source::FileId;
use trav_compiler::syntax::{nodes_in, parse};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Whether a text is refused for a reason that no grammar has: how deep or long it is, how large a number.
fn is_about_size(error: &Diagnostic) -> bool {
    ["E0104", "E0105"].contains(&error.code) || (error.code == "E0103" && error.label.text == "too large")
}

/// What a token is, to one who colours it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Keyword,
    /// `true`, `none`, `self`
    Constant,
    Comment,
    Doc,
    Text,
    Number,
    /// The name of a declaration, where it is declared.
    Type,
    Function,
    Value,
    Source,
    /// `end` in an expression: a variable of this name or else the size of the structure.
    End,
    /// Another name, a sign. Its colour is the grammar's own affair, if it is none of the others'.
    Other,
}

/// The kind that a scope of TextMate's is for, or a capture of tree-sitter's.
fn kind_of(name: &str) -> Kind {
    match name {
        "keyword" => Kind::Keyword,
        "constant.language" | "constant.builtin" => Kind::Constant,
        "comment.line.double-slash" | "comment" => Kind::Comment,
        "comment.line.documentation" | "comment.documentation" => Kind::Doc,
        "string" | "constant.character" | "character" => Kind::Text,
        "constant.numeric" | "number" => Kind::Number,
        "entity.name.type" | "type.definition" => Kind::Type,
        "entity.name.function" | "function" => Kind::Function,
        "entity.name.constant" | "constant" => Kind::Value,
        "entity.name.source" | "module" => Kind::Source,
        "keyword.operator"
        | "support"
        | "variable"
        | "operator"
        | "punctuation.bracket"
        | "punctuation.delimiter"
        | "type"
        | "type.builtin"
        | "property"
        | "variable.parameter"
        | "function.call"
        | "constant.enum" => Kind::Other,
        _ => panic!("{name}: which kind is it for?"),
    }
}

/// The tokens of a text that parses, with their kinds, from the parser's own tree; comments are what lies between.
fn tokens(text: &str) -> Vec<(Range<usize>, Kind)> {
    let nodes = nodes_in(text).expect("the text parses");
    let mut tokens = Vec::new();
    let mut declares = None;
    let mut end = 0;
    for (i, (rule, span)) in nodes.iter().enumerate() {
        match rule.as_str() {
            "struct_decl" | "record_decl" | "enum_decl" | "flags_decl" => declares = Some(Kind::Type),
            "fn_decl" | "traversal_decl" => declares = Some(Kind::Function),
            "const_decl" => declares = Some(Kind::Value),
            "source_decl" => declares = Some(Kind::Source),
            _ => {}
        }
        let is_leaf = nodes.get(i + 1).is_none_or(|(_, next)| next.start >= span.end);
        if !is_leaf || span.is_empty() {
            continue;
        }
        let kind = match rule.as_str() {
            "kw_end" if nodes[i - 1].0 == "end_expr" => Kind::End,
            "kw_true" | "kw_false" | "kw_none" | "kw_self" => Kind::Constant,
            "quantifier" | "sized_word" => Kind::Keyword,
            word if word.starts_with("kw_") => Kind::Keyword,
            "doc" | "module_doc" => Kind::Doc,
            "string" | "byte_string" | "char" => Kind::Text,
            "int" => Kind::Number,
            "ident" => declares.take().unwrap_or(Kind::Other),
            _ => Kind::Other,
        };
        // A sign that is looked behind (`..` and no `=`) has the blanks behind it in its node.
        let length = match kind {
            Kind::Other => text[span.clone()].find(char::is_whitespace).unwrap_or(span.len()),
            _ => span.len(),
        };
        comments(text, end..span.start, &mut tokens);
        end = span.start + length;
        tokens.push((span.start..end, kind));
    }
    comments(text, end..text.len(), &mut tokens);
    tokens
}

/// The comments in a stretch without tokens.
fn comments(text: &str, gap: Range<usize>, tokens: &mut Vec<(Range<usize>, Kind)>) {
    let mut start = gap.start;
    for line in text[gap].split_inclusive('\n') {
        let comment = line.trim();
        if !comment.is_empty() {
            assert!(comment.starts_with("//"), "neither token nor comment: {comment}");
            let at = start + line.find("//").expect("just seen");
            tokens.push((at..at + comment.len(), Kind::Comment));
        }
        start += line.len();
    }
}

/// All `.trav` files below a folder.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let entry = entry.expect("it can be listed");
        let path = entry.path();
        // Some packages have the library under another name: a link, which is no folder.
        if entry.file_type().expect("it has a kind").is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "trav") {
            found.push(path);
        }
    }
}

/// Every text of the repository, by name.
fn texts() -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    let mut found = Vec::new();
    for folder in ["stdlib", "examples", "tests", "cli", "compiler", "runtime"] {
        files(&root().join(folder), &mut found);
    }
    for path in found {
        let name = path.strip_prefix(root()).expect("it is below").display().to_string();
        texts.insert(name, std::fs::read_to_string(&path).expect("a text"));
    }
    assert!(texts.len() > 90, "found only {}", texts.len());
    let book = crate::book::programs();
    assert!(book.len() > 60, "found only {} in the book", book.len());
    texts.extend(book);
    // Words of the grammar as names, wherever names stand.
    for word in super::editors::words().1 {
        texts.insert(format!("`{word}` as a name"), super::editors::as_name(&word));
    }
    texts
}

/// What the engines make of texts; `None` if they are not here.
fn run(texts: &[&str]) -> Option<Vec<serde_json::Value>> {
    let program = root().join("target/tools/bin/trav-editors");
    if !program.exists() {
        println!("skipped, because target/tools/bin/trav-editors is not there: tests/run builds it");
        return None;
    }
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped, because node is not installed (Debian's package nodejs)");
        return None;
    }
    let mut child = Command::new(program)
        .args([root().join("grammar"), root().join("target/tools/editors")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // All of it is read before anything is written.
    let sent = child.stdin.take().expect("it is a pipe").write_all(serde_json::json!(texts).to_string().as_bytes());
    let done = child.wait_with_output().expect("it ends");
    assert!(done.status.success() && sent.is_ok(), "{}", String::from_utf8_lossy(&done.stderr));
    Some(serde_json::from_slice(&done.stdout).expect("a list"))
}

/// Where the kinds of the coloured pieces are not those of the tokens.
fn differences(name: &str, text: &str, pieces: &serde_json::Value) -> Vec<String> {
    let mut coloured = vec![Vec::new(); text.len()];
    for piece in pieces.as_array().expect("a list") {
        let at = |i: usize| piece[i].as_u64().expect("an offset") as usize;
        let scope = piece[2].as_str().expect("a name");
        coloured[at(0)..at(1)].iter_mut().for_each(|byte| byte.push(scope));
    }
    let mut wrong = Vec::new();
    for (span, kind) in tokens(text) {
        let is_right = |scopes: &Vec<&str>| match scopes.as_slice() {
            [] => matches!(kind, Kind::Other | Kind::End),
            ["keyword"] if kind == Kind::End => true,
            [scope] => kind_of(scope) == kind,
            _ => false,
        };
        if let Some(byte) = span.clone().find(|byte| !is_right(&coloured[*byte])) {
            let line = text[..span.start].matches('\n').count() + 1;
            let token = &text[span];
            wrong.push(format!("{name}:{line}: `{token}` is {kind:?} and coloured {:?}", coloured[byte]));
        }
    }
    wrong
}

#[test]
fn editors_read_what_the_parser_reads() {
    let texts = texts();
    let all: Vec<&str> = texts.values().map(String::as_str).collect();
    let Some(results) = run(&all) else { return };
    assert_eq!(results.len(), all.len());
    let (mut wrong, mut refused) = (Vec::new(), 0);
    for ((name, text), result) in texts.iter().zip(&results) {
        let errors = result["errors"].as_array().expect("a list");
        let refusals = parse(FileId(0), text).1;
        if !refusals.is_empty() {
            refused += 1;
            if errors.is_empty() != refusals.iter().all(is_about_size) {
                wrong.push(format!("{name}: tree-sitter finds {} errors", errors.len()));
            }
            continue;
        }
        wrong.extend(errors.iter().map(|error| format!("{name}:{error}")));
        for engine in ["tree_sitter", "textmate"] {
            wrong.extend(differences(name, text, &result[engine]).iter().map(|found| format!("{engine}: {found}")));
        }
    }
    assert!(refused > 4, "{refused} texts are refused");
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
