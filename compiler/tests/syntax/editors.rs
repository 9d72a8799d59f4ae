//! The editors' grammars know the words of the language, all of them and no others.

use std::collections::BTreeSet;

fn grammar(file: &str) -> String {
    let path = format!("{}/../grammar/{file}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the grammars are part of the repository")
}

/// The words in double quotes in a text that are made of letters only.
fn quoted_words(text: &str) -> BTreeSet<String> {
    let parts = text.split('"').skip(1).step_by(2);
    parts.filter(|word| is_word(word)).map(str::to_owned).collect()
}

/// Whether this is a word of a grammar: at least two characters, small letters, perhaps digits behind them.
fn is_word(word: &str) -> bool {
    word.len() > 1
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// The right side of a rule of the parser's grammar.
fn rule(pest: &str, name: &str) -> String {
    let start = pest.find(&format!("\n{name} = ")).unwrap_or_else(|| panic!("no rule {name}"));
    let rest = &pest[start + 1..];
    rest[..rest.find("}\n").expect("a rule ends")].to_owned()
}

/// Reserved words, and those with a meaning in places.
pub fn words() -> (BTreeSet<String>, BTreeSet<String>) {
    let pest = grammar("trav.pest");
    let reserved = quoted_words(&rule(&pest, "reserved"));
    let mut all = reserved.clone();
    for line in pest.lines().filter(|line| line.starts_with("kw_")) {
        all.extend(quoted_words(line));
    }
    all.extend(quoted_words(&rule(&pest, "quantifier_word")));
    all.extend(quoted_words(&rule(&pest, "sized_word")));
    assert!(reserved.len() > 25 && all.len() > reserved.len() + 25, "{all:?}");
    let contextual = all.difference(&reserved).cloned().collect();
    (reserved, contextual)
}

/// The words in the patterns of a part of the TextMate grammar.
fn pattern_words(part: &serde_json::Value) -> BTreeSet<String> {
    let patterns = part["patterns"].as_array().map_or(vec![part], |patterns| patterns.iter().collect());
    let patterns = patterns.iter().flat_map(|pattern| [&pattern["match"], &pattern["begin"]]);
    // Without the letters of escapes: `\b`, `\s`, `\w`.
    let text: String = patterns
        .filter_map(|pattern| pattern.as_str())
        .flat_map(|pattern| pattern.split('\\').map(|piece| format!(" {} ", piece.get(1..).unwrap_or(""))))
        .collect();
    text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_word(word)).map(str::to_owned).collect()
}

#[test]
fn textmate_has_the_words() {
    let textmate: serde_json::Value =
        serde_json::from_str(&grammar("trav.tmLanguage.json")).expect("the TextMate grammar is JSON");
    let (reserved, contextual) = words();
    let parts = &textmate["repository"];
    assert_eq!(pattern_words(&parts["reserved"]), reserved);
    let mut found = BTreeSet::new();
    for part in ["structs", "declarations", "casts", "contextual"] {
        found.extend(pattern_words(&parts[part]));
    }
    // Their patterns look ahead and behind for reserved words.
    assert_eq!(found.difference(&reserved).cloned().collect::<BTreeSet<_>>(), contextual);
    // Every pattern that is included exists, and none is left over.
    let included: BTreeSet<_> = textmate["patterns"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pattern| pattern["include"].as_str().expect("an include").trim_start_matches('#').to_owned())
        .chain(["escapes".to_owned()])
        .collect();
    let defined: BTreeSet<_> = textmate["repository"].as_object().expect("an object").keys().cloned().collect();
    assert_eq!(included, defined);
}

/// The script of tree-sitter's grammar without comments and the patterns of literals, whose quotes quote nothing.
fn script() -> String {
    let left_out = ["*", "/", "const ESCAPE", "string:", "char:"];
    let script = grammar("tree-sitter/grammar.js");
    script.lines().filter(|line| !left_out.iter().any(|start| line.trim_start().starts_with(start))).collect()
}

#[test]
fn tree_sitter_has_the_words() {
    let (reserved, contextual) = words();
    let code = script();
    let mut expected: BTreeSet<String> = reserved.union(&contextual).cloned().collect();
    // The names of fields and of the grammar stand in quotes too.
    expected.extend(["trav", "name", "body", "field", "function"].map(str::to_owned));
    assert_eq!(quoted_words(&code), expected);
}

/// The signs in double quotes in a text: no letters, no blanks.
fn quoted_signs(text: &str) -> BTreeSet<String> {
    let parts = text.split('"').skip(1).step_by(2);
    parts
        .filter(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_punctuation() && b != b'_'))
        .map(str::to_owned)
        .collect()
}

/// The signs of the parser's grammar, without those that it only looks ahead for.
fn signs() -> BTreeSet<String> {
    let pest = grammar("trav.pest");
    let rules = pest.lines().filter(|line| !line.starts_with("//"));
    let rules = rules.skip_while(|line| !line.starts_with("module = ")).filter(|line| !is_literal(line));
    let mut text = String::new();
    for line in rules {
        // `!"="` and `!("|" | "=")`: everything behind is of the next alternative.
        let mut parts = line.split('!');
        text += parts.next().unwrap_or("");
        for part in parts {
            let skipped = match part.strip_prefix('(') {
                Some(rest) => rest.find(')').map_or("", |end| &rest[end + 1..]),
                None if part.starts_with("=\"") => {
                    // The sign `!=` itself.
                    text += "!";
                    part
                }
                None if part.starts_with("\" ") => {
                    text += "!";
                    part
                }
                None => part.strip_prefix('"').and_then(|rest| rest.split_once('"')).map_or(part, |(_, rest)| rest),
            };
            text += skipped;
        }
        text.push('\n');
    }
    quoted_signs(&text)
}

/// Whether a line is about blanks, comments or literals.
fn is_literal(line: &str) -> bool {
    ["WHITESPACE", "comment", "module_doc", "doc", "string", "char", "byte_string", "word_start", "more", "ident"]
        .iter()
        .any(|name| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(" = ")))
}

#[test]
fn tree_sitter_has_the_signs() {
    assert_eq!(quoted_signs(&script()), signs());
}

/// The signs of the TextMate grammar are those of the parser's that are no brackets and no punctuation.
#[test]
fn textmate_has_the_operators() {
    let textmate: serde_json::Value =
        serde_json::from_str(&grammar("trav.tmLanguage.json")).expect("the TextMate grammar is JSON");
    let pattern = textmate["repository"]["operators"]["match"].as_str().expect("a pattern");
    let mut found = BTreeSet::new();
    let (mut open, mut heads) = (Vec::new(), vec![String::new()]);
    let mut chars = pattern.chars();
    // Escapes, alternatives and classes of characters are all that it is made of.
    while let Some(c) = chars.next() {
        match c {
            '|' => found.extend(std::mem::replace(&mut heads, vec![String::new()])),
            '[' => {
                open.extend(chars.by_ref().take_while(|c| *c != ']'));
                let with = |h: &String| open.iter().map(|c| format!("{h}{c}")).collect::<Vec<_>>();
                heads = heads.iter().flat_map(with).collect();
                open.clear();
            }
            c => {
                let c = if c == '\\' { chars.next().expect("something is escaped") } else { c };
                heads.iter_mut().for_each(|h| h.push(c));
            }
        }
    }
    found.extend(heads);
    let punctuation = ["(", ")", "[", "]", "{", "}", ",", ";", ":", "."];
    let expected: BTreeSet<String> = signs().into_iter().filter(|s| !punctuation.contains(&s.as_str())).collect();
    assert_eq!(found, expected);
}

/// A text with a word as a name, wherever names stand.
pub fn as_name(word: &str) -> String {
    // `end` alone is the size of the structure, so it cannot be assigned to.
    let assigned = if word == "end" { "x" } else { word };
    format!(
        "const {word} = 1; struct A {{ {word}: u8, b: u8 where {word} > 1 }} record R {{ {word}: u8 }}
         fn f({word}: u8) -> u8 {{
             let {word} = a.{word} + {word} * {word};
             {assigned} += {word};
             x({word}, {word}: {word});
             R {{ {word}, {word}: 1 }}
         }}"
    )
}

/// Every word that the parser refuses as a name is one that the grammar reserves.
#[test]
fn reserved_words_are_no_names() {
    use trav_compiler::source::FileId;
    use trav_compiler::syntax::parse;
    let (reserved, contextual) = words();
    for word in &reserved {
        let (_, errors) = parse(FileId(0), &format!("const {word} = 1;"));
        assert_eq!(errors.len(), 1, "{word}");
        assert!(errors[0].help.as_ref().is_some_and(|help| help.contains(word.as_str())), "{:?}", errors[0]);
    }
    for word in &contextual {
        let text = as_name(word);
        let (_, errors) = parse(FileId(0), &text);
        assert!(errors.is_empty(), "{word}: {errors:?}");
    }
}
