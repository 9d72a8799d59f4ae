//! How expressions group.

use trav_compiler::source::FileId;
use trav_compiler::syntax::ast::*;
use trav_compiler::syntax::parse;

use super::{parsed, shown};

/// An expression with all its parentheses.
fn grouped(e: &Expr) -> String {
    let range =
        |r: &RangeExpr| format!("{}{}{}", grouped(&r.start), if r.inclusive { "..=" } else { ".." }, grouped(&r.end));
    let optional = |e: &Option<Expr>| e.as_ref().map_or(String::new(), grouped);
    match &*e.kind {
        ExprKind::Int(n) => n.to_string(),
        ExprKind::Bool(b) => b.to_string(),
        ExprKind::Bytes(b) => format!("{:?}", String::from_utf8_lossy(b)),
        ExprKind::None => "none".into(),
        ExprKind::Name(n) => n.name.clone(),
        ExprKind::SelfValue => "self".into(),
        ExprKind::End => "end".into(),
        ExprKind::Field(e, n) => format!("{}.{}", grouped(e), n.name),
        ExprKind::Index(e, i) => format!("{}[{}]", grouped(e), grouped(i)),
        ExprKind::Slice(e, a, b) => format!("{}[{}..{}]", grouped(e), optional(a), optional(b)),
        ExprKind::Call { callee, args } => {
            let arg = |(name, value): &(Option<Ident>, Expr)| match name {
                Some(name) => format!("{}: {}", name.name, grouped(value)),
                None => grouped(value),
            };
            format!("{}({})", grouped(callee), args.iter().map(arg).collect::<Vec<_>>().join(", "))
        }
        ExprKind::Record { path, fields, rest } => {
            let given = fields.iter().map(|(n, e)| format!("{}: {}", n.name, grouped(e)));
            let all = given.chain(rest.iter().map(|r| format!("..{}", grouped(r))));
            let path = path.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(".");
            format!("{path}{{{}}}", all.collect::<Vec<_>>().join(", "))
        }
        ExprKind::SelfWith(fields) => format!(
            "(self with {})",
            fields.iter().map(|(n, e)| format!("{} = {}", n.name, grouped(e))).collect::<Vec<_>>().join(", ")
        ),
        ExprKind::Unary(op, e) => {
            let sign = match op {
                UnaryOp::Neg => "-",
                UnaryOp::Not => "!",
                UnaryOp::Complement => "~",
            };
            format!("({sign}{})", grouped(e))
        }
        ExprKind::Binary(op, a, b) => format!("({} {op:?} {})", grouped(a), grouped(b)),
        ExprKind::In(e, r) => format!("({} in {})", grouped(e), range(r)),
        ExprKind::As { value, wrapping, .. } => {
            format!("({} as{})", grouped(value), if *wrapping { " wrapping" } else { "" })
        }
        ExprKind::Read { at, from, .. } => match from {
            None => format!("(read {})", grouped(at)),
            Some(from) => format!("(read {} from {})", grouped(at), grouped(from)),
        },
        ExprKind::View { at, parent, .. } => {
            format!("(view {} in {})", grouped(at), grouped(parent))
        }
        ExprKind::Follow(e) => format!("(follow {})", grouped(e)),
        ExprKind::Else(e, branch) => {
            let branch = match branch {
                ElseBranch::Value(e) => grouped(e),
                ElseBranch::Return(e, _) => format!("return {}", optional(e)),
                ElseBranch::Fail(why, _) => format!("fail {why}"),
                ElseBranch::Break(_) => "break".into(),
                ElseBranch::Continue(_) => "continue".into(),
            };
            format!("({} else {branch})", grouped(e))
        }
        ExprKind::Quantified(q) => {
            let over = match &q.over {
                Over::Range(r) => range(r),
                Over::Elements(e, None) => grouped(e),
                Over::Elements(e, Some(from)) => format!("{} from {}", grouped(e), grouped(from)),
            };
            let sorted = if q.sorted { " sorted" } else { "" };
            let cond = q.cond.as_ref().map_or(String::new(), |c| format!(" where {}", grouped(c)));
            let value = q.value.as_ref().map_or(String::new(), |v| format!(" of {}", grouped(v)));
            format!("({:?} {} in {over}{sorted}{cond}{value})", q.quantifier, q.name.name)
        }
        ExprKind::If(found) => {
            let cond = match &found.cond {
                Cond::Expr(e) => grouped(e),
                Cond::Let(name, e) => format!("let {} = {}", name.name, grouped(e)),
            };
            format!("(if {cond} {} else {})", block(&found.then), optional(&found.other))
        }
        ExprKind::Match { scrutinee, arms } => {
            format!("(match {} {})", grouped(scrutinee), arms.len())
        }
        ExprKind::Block(b) => block(b),
        ExprKind::Array(all) => format!("[{}]", all.iter().map(grouped).collect::<Vec<_>>().join(", ")),
        ExprKind::Repeat(e, n) => format!("[{}; {}]", grouped(e), grouped(n)),
    }
}

fn block(b: &BlockExpr) -> String {
    format!("{{{};{}}}", b.stmts.len(), b.value.as_ref().map_or(String::new(), grouped))
}

/// The one statement of a function's body, and its block.
fn value(text: &str) -> String {
    let module = parsed(&format!("const X = {text};"));
    let Item::Const(found) = &module.items[0] else { panic!("not a const") };
    grouped(&found.value)
}

fn body(text: &str) -> BlockExpr {
    let module = parsed(&format!("fn f() -> u64 {{ {text} }}"));
    let Some(Item::Fn(found)) = module.items.into_iter().next() else { panic!("not a fn") };
    found.body.clone()
}

#[test]
fn operators_bind_as_in_rust() {
    for (text, expected) in [
        ("a + b * c", "(a Add (b Mul c))"),
        ("a - b - c", "((a Sub b) Sub c)"),
        ("a & b == c", "((a BitAnd b) Eq c)"),
        ("a | b ^ c & d << e + f * g", "(a BitOr (b BitXor (c BitAnd (d Shl (e Add (f Mul g))))))"),
        ("a || b && c == d", "(a Or (b And (c Eq d)))"),
        ("a == b || c != d && e", "((a Eq b) Or ((c Ne d) And e))"),
        ("p - p % 512", "(p Sub (p Rem 512))"),
        ("p % 512 / 64", "((p Rem 512) Div 64)"),
        ("a +% b *% c -% d <<% e", "(((a AddWrap (b MulWrap c)) SubWrap d) ShlWrap e)"),
        ("-a.b[c](d)", "(-a.b[c](d))"),
        ("-a as u8 * b", "(((-a) as) Mul b)"),
        ("a * b as u8 wrapping as u16", "(a Mul ((b as wrapping) as))"),
        ("!a == b", "((!a) Eq b)"),
        ("!!~-a", "(!(!(~(-a))))"),
        ("(a == b) == c", "((a Eq b) Eq c)"),
        ("a >> b < c << d", "((a Shr b) Lt (c Shl d))"),
        ("a<-b", "(a Lt (-b))"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn words_bind_as_the_grammar_says() {
    for (text, expected) in [
        ("c in 2..v.clusters + 2 && d", "((c in 2..(v.clusters Add 2)) And d)"),
        ("a + 1 in 0..=4 | 8", "((a Add 1) in 0..=(4 BitOr 8))"),
        (
            "first i in 0..n sorted where a[i] == k && b else none",
            "((First i in 0..n sorted where ((a[i] Eq k) And b)) else none)",
        ),
        ("last i in 0..n where a[i] <= k else return none", "((Last i in 0..n where (a[i] Le k)) else return none)"),
        ("1 + sum i in 0..4 of w[i] + 1", "(1 Add (Sum i in 0..4 of (w[i] Add 1)))"),
        ("min e in s.items from r + 1 where e.x of e.y", "(Min e in s.items from (r Add 1) where e.x of e.y)"),
        ("any i in 0..2 where all j in 0..2 where a[i][j]", "(Any i in 0..2 where (All j in 0..2 where a[i][j]))"),
        ("a else b else c", "(a else (b else c))"),
        ("a || b else fail \"x\"", "((a Or b) else fail x)"),
        ("(read u32 at f + 4 * c) & 0xff", "((read (f Add (4 Mul c))) BitAnd 255)"),
        ("read N at a(p) else 0", "((read a(p)) else 0)"),
        ("read N(3, 4) at i from d[i + 1] == 3", "((read i from d[(i Add 1)]) Eq 3)"),
        ("view N(60) at 40 + 2 in i.a else 0", "((view (40 Add 2) in i.a) else 0)"),
        ("follow e.leaf.x == 3", "((follow e.leaf.x) Eq 3)"),
        ("crc(self with a = 0, b = 1 + 2, c) == d", "(crc((self with a = 0, b = (1 Add 2)), c) Eq d)"),
        ("count + first - max * end", "((count Add first) Sub (max Mul end))"),
        ("count in 0..view", "(count in 0..view)"),
        ("a.end.first.in_use", "a.end.first.in_use"),
        ("inode + information - trueish", "((inode Add information) Sub trueish)"),
        ("[if a == b { c } else { D {} }, E { f }]", "[(if (a Eq b) {0;c} else {0;D{}}), E{f: f}]"),
        ("a[1..][..2][..][b..c]", "a[1..][..2][..][b..c]"),
    ] {
        assert_eq!(value(text), expected, "{text}");
    }
}

#[test]
fn a_brace_after_a_head_opens_the_block() {
    let found = body("if x == Foo { y } else { Foo { y } }");
    assert_eq!(block(&found), "{0;(if (x Eq Foo) {0;y} else {0;Foo{y: y}})}");
    let found = body("if (x == Foo { y }) { z } else { f(Foo { y }) }");
    assert_eq!(block(&found), "{0;(if (x Eq Foo{y: y}) {0;z} else {0;f(Foo{y: y})})}");
    let StmtKind::For(_, Over::Elements(over, Some(from)), inner) = &body("for x in a from b { c; }").stmts[0].kind
    else {
        panic!("not a for over elements")
    };
    assert_eq!((grouped(over), grouped(from), block(inner)), ("a".into(), "b".into(), "{1;}".into()));
    let StmtKind::Loop(found) = &body("loop up to N << 2 descending M while C { } else { x; }").stmts[0].kind else {
        panic!("not a loop")
    };
    let shown = |e: &Option<Expr>| e.as_ref().map(grouped);
    assert_eq!(shown(&found.most).as_deref(), Some("(N Shl 2)"));
    assert_eq!((shown(&found.measure), shown(&found.cond)), (Some("M".into()), Some("C".into())));
    assert_eq!(found.other.as_ref().map(block).as_deref(), Some("{1;}"));
}

#[test]
fn only_the_last_expression_without_semicolon_is_the_value() {
    for (text, statements, has_value) in [
        ("a", 0, true),
        ("a;", 1, false),
        ("if a { b; }", 1, false),
        ("if a { b } else { c }", 0, true),
        ("if a { b; } else { c; }", 1, false),
        ("if a { b } else { c };", 1, false),
        ("match a { 0 => b, else => c }", 0, true),
        ("match a { 0 => x = 1, else => return 2 }", 1, false),
        ("{ a }", 0, true),
        ("if a { b } else { c } -1", 1, true),
        ("x += 1; { y; }", 2, false),
    ] {
        let found = body(text);
        assert_eq!((found.stmts.len(), found.value.is_some()), (statements, has_value), "{text}");
    }
}

#[test]
fn integers_have_their_values() {
    for (text, expected) in [
        ("0", 0),
        ("0xffff_ffff_ffff_ffff", u64::MAX),
        ("18446744073709551615", u64::MAX),
        ("0b1_01", 5),
        ("0o17", 15),
        ("4KiB", 4096),
        ("0x2MiB", 2 << 20),
        ("16_777_215TiB", 16_777_215 << 40),
        ("'a'", 97),
        ("b'\\n'", 10),
        ("'\\xfe'", 254),
        ("'\\''", 39),
        ("'\\\\'", 92),
    ] {
        assert_eq!(value(text), expected.to_string(), "{text}");
    }
    for (text, code) in [
        ("18446744073709551616", "E0103"),
        ("0x1_0000_0000_0000_0000", "E0103"),
        ("16777216TiB", "E0103"),
        ("0x", "E0101"),
        ("12abc", "E0101"),
        ("0b2", "E0101"),
        ("09z", "E0101"),
        ("'é'", "E0101"),
        ("\"\\q\"", "E0101"),
        ("\"\\x4\"", "E0101"),
        ("a < b < c", "E0101"),
        ("a in 0..1 == b", "E0101"),
        ("a == b in 0..1", "E0101"),
    ] {
        let text = format!("const X = {text};");
        let (_, errors) = parse(FileId(0), &text);
        assert_eq!(errors.len(), 1, "{text}\n{}", shown(&text, &errors));
        assert_eq!(errors[0].code, code, "{text}");
    }
}
