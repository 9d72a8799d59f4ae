//! Random specs: what the compiler accepts, every hook's code does as the interpreter does, and the kernel and the loaders take it.
//!
//! Each spec describes a node of 512 bytes and a walk over some of them that searches, folds, branches, compares and decodes. They are made from a
//! fixed seed, so a failure repeats; its number and its text are printed. The environment variable `TRAV_RANDOM_WALKS` asks for another number of
//! them, `TRAV_RANDOM_WALKS_FROM` for another first one than walk 1.

use crate::differential::{check_calls, memory, words};
use crate::loaders::aya_loads;
use crate::xorshift::Random;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use trav_compiler::bpf;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::Ty;
use trav_compiler::ir::schema::LeafKind;
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::{ExecError, Executor, Outcome, kernel, vm};

/// Walks that the compiler must accept.
const WALKS: u64 = 300;
/// So many at once.
const WORKERS: u64 = 4;
/// Of so many walks one is given to aya, too.
const AYA: u64 = 20;
/// Blocks of an image.
const BLOCKS: u64 = 4;
const BLOCK: usize = 512;
/// Hooks whose code runs here: what their kernels do, the machine does.
const HOOKS: [&str; 4] = ["xrp", "file", "uring", "hybrid"];

/// No modules of the user's own.
struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

impl Random {
    /// A word of the sizes that specs have.
    fn word(&mut self) -> u64 {
        match self.below(4) {
            0 => self.next(),
            1 => self.pick(&[0, 1, 127, 128, 255, 1 << 31, 1 << 32, 1 << 63, u64::MAX]),
            _ => self.below(300),
        }
    }
}

/// A spec in the making.
struct Maker {
    r: Random,
    /// Elements of the arrays.
    keys: u64,
    items: u64,
    key: &'static str,
    item: &'static str,
    names: u64,
}

impl Maker {
    fn new(seed: u64) -> Maker {
        let mut r = Random(seed);
        let keys = r.pick(&[1, 2, 3, 7, 8, 15, 20, 31]);
        let items = r.pick(&[1, 4, 5, 12, 16]);
        let key = r.pick(&["u8", "u16", "u32", "u64", "u32be", "u64be", "i16", "i64", "u24", "u48be"]);
        let item = r.pick(&["u8", "u16be", "u32", "u64", "i32", "i8", "u40"]);
        Maker { r, keys, items, key, item, names: 0 }
    }

    fn spec(mut self) -> String {
        let mut text = String::new();
        let (keys, items, key, item) = (self.keys, self.items, self.key, self.item);
        let order = self.r.pick(&["", "big "]);
        let varint = self.r.pick(&["leb128", "zigzag", "sqlite", "vlq"]);
        let _ = writeln!(text, "struct Pair {order}{{ a: varint<{varint}>, b: u16, c: varint<leb128> }}");
        let _ = writeln!(
            text,
            "struct Node {order}size 512 {{ next: u16, n: u8 where n <= {keys}, tag: u8, keys: [{key}; {keys}], items: [{item}; {items}], name: bytes<12>, @420 pair: Pair }}"
        );
        let _ = writeln!(text, "record Out {{ s: u64, t: u64, i: u32, flag: bool, hops: u8 }}");
        let _ = writeln!(
            text,
            "traversal walk(start: u8, key: {}, x: u64, name: bytes<12>) -> Out? {{",
            key.trim_end_matches("be")
        );
        let turns = 1 + self.r.below(5);
        let _ = write!(
            text,
            "var s: u64 = {};\nvar t: u64 = x;\nvar i: u32 = 0;\nvar flag = false;\nvar hops: u8 = 0;\nvar at: u64 = start % {BLOCKS};\n",
            self.r.below(9)
        );
        let _ = writeln!(text, "loop up to {turns} {{\nlet b = read Node at at * 512;\nhops += 1;");
        for _ in 0..2 + self.r.below(4) {
            let stmt = self.stmt(2);
            text += &stmt;
        }
        let _ = writeln!(
            text,
            "if b.next == {} {{ break; }}\nat = b.next % {BLOCKS};\n}} else {{ s = s ^ 1; }}",
            self.r.below(4)
        );
        text += "return Out { s, t, i, flag, hops };\n}\n";
        text
    }

    fn name(&mut self) -> String {
        self.names += 1;
        format!("v{}", self.names)
    }

    /// A number of 64 bits without a sign.
    fn number(&mut self, depth: u32) -> String {
        if depth == 0 {
            return match self.r.below(7) {
                0 => "s".into(),
                1 => "t".into(),
                2 => "i".into(),
                3 => "b.n".into(),
                4 => "b.tag".into(),
                5 => "x".into(),
                _ => self.r.below(1000).to_string(),
            };
        }
        let (a, b) = (self.number(depth - 1), self.number(depth - 1));
        match self.r.below(12) {
            0 => format!("({a} +% {b})"),
            1 => format!("({a} -% {b})"),
            2 => format!("({a} *% {b})"),
            3 => format!("({a} & {b})"),
            4 => format!("({a} | {b})"),
            5 => format!("({a} ^ {b})"),
            6 => format!("({a} >> {})", self.r.below(20)),
            7 => format!("({a} / {})", 1 + self.r.below(9)),
            8 => format!("({a} % {})", 1 + self.r.below(100)),
            9 => format!("(if {} {{ {a} }} else {{ {b} }})", self.cond(depth - 1)),
            10 => {
                let op = self.compare();
                format!("(count j in 0..{} where b.keys[j] {op} key)", self.keys)
            }
            _ => a,
        }
    }

    fn compare(&mut self) -> &'static str {
        self.r.pick(&["<", "<=", ">", ">=", "==", "!="])
    }

    fn cond(&mut self, depth: u32) -> String {
        let op = self.compare();
        match self.r.below(8) {
            0 => format!("b.keys[{}] {op} key", self.r.below(self.keys)),
            1 => format!("b.name {op} name"),
            2 => format!("(any j in 0..b.n where b.keys[j] {op} key)"),
            3 => format!("(all j in 0..{} where b.items[j] {op} {})", self.items, self.r.below(100)),
            4 => "flag".into(),
            5 => format!("b.pair.b {op} {}", self.r.below(70000)),
            6 if depth > 0 => {
                format!("({} {} {})", self.cond(depth - 1), self.r.pick(&["&&", "||"]), self.cond(depth - 1))
            }
            _ => format!("{} {op} {}", self.number(0), self.number(0)),
        }
    }

    /// Where in the array something stands.
    fn search(&mut self) -> String {
        let (which, op) = self.r.pick(&[("first", ">="), ("first", ">"), ("last", "<="), ("last", "<")]);
        let sorted = self.r.pick(&["", " sorted", " sorted"]);
        let end = if self.r.below(2) == 0 { "b.n".into() } else { self.keys.to_string() };
        format!("{which} j in 0..{end}{sorted} where b.keys[j] {op} key")
    }

    fn stmt(&mut self, depth: u32) -> String {
        match self.r.below(10) {
            0 => format!("s = {};\n", self.number(2)),
            1 => format!("t = {};\n", self.number(2)),
            2 => format!("flag = {};\n", self.cond(1)),
            3 => {
                let (v, search) = (self.name(), self.search());
                let rest = self.r.pick(&["0", "return none", "break", "fail \"no key\""]);
                format!("let {v} = {search} else {rest};\ni = {v};\n")
            }
            4 => {
                let (v, search) = (self.name(), self.search());
                format!("if let {v} = {search} {{ i = {v}; s = s +% (b.keys[{v}] as u64 wrapping); }}\n")
            }
            5 if depth > 0 => {
                let v = self.name();
                let (cond, inner) = (self.cond(1), self.r.pick(&["s", "t"]));
                format!("for {v} in b.items {{ if {cond} {{ {inner} = {inner} *% 3 +% ({v} as u64 wrapping); }} }}\n")
            }
            6 if depth > 0 => {
                let cond = self.cond(1);
                let (yes, no) = (self.stmt(depth - 1), self.stmt(depth - 1));
                format!("if {cond} {{ {yes} }} else {{ {no} }}\n")
            }
            7 => "s = s +% (b.pair.a as u64 wrapping);\n".into(),
            8 => "t = t ^ b.pair.c ^ b.pair.b;\n".into(),
            _ => {
                let n = self.r.below(self.items);
                format!("i = (b.items[{n}] as u64 wrapping) % 1000;\n")
            }
        }
    }
}

/// An image: nodes whose keys mostly rise, with noise in the rest.
fn image(r: &mut Random, maker: (u64, usize)) -> Vec<u8> {
    let (keys, width) = maker;
    let mut image = Vec::new();
    for _ in 0..BLOCKS {
        let mut block: Vec<u8> =
            (0..BLOCK).map(|_| if r.below(3) == 0 { r.next() as u8 } else { r.below(4) as u8 }).collect();
        block[0] = r.below(8) as u8;
        block[1] = 0;
        block[2] = if r.below(12) == 0 { r.next() as u8 } else { r.below(keys + 1) as u8 };
        let mut key = 0u64;
        for k in 0..keys as usize {
            key += r.below(5);
            let bytes = if r.below(2) == 0 { key.to_le_bytes() } else { (key << 8).to_le_bytes() };
            block[4 + k * width..][..width].copy_from_slice(&bytes[..width]);
        }
        image.extend(block);
    }
    image
}

#[test]
fn random_walks_agree_under_every_hook() {
    let asked = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let wanted = asked("TRAV_RANDOM_WALKS").unwrap_or(WALKS);
    let from = asked("TRAV_RANDOM_WALKS_FROM").unwrap_or(1);
    let hooks: Vec<Profile> = HOOKS.iter().map(|name| Profile::named(name).expect("the hook is built in")).collect();
    let [number, accepted, done, carried] = [(); 4].map(|()| AtomicU64::new(0));
    // A walk waits now and then for the kernel to give a program up.
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while accepted.load(Relaxed) < wanted {
                    let number = number.fetch_add(1, Relaxed) + 1;
                    let refused = (number - 1).saturating_sub(accepted.load(Relaxed) + WORKERS);
                    assert!(refused < 20 + number / 4, "the compiler refuses too much to test anything");
                    let Some(of) = one_walk(from - 1 + number, &hooks) else { continue };
                    accepted.fetch_add(1, Relaxed);
                    done.fetch_add(of.0, Relaxed);
                    carried.fetch_add(of.1, Relaxed);
                }
            });
        }
    });
    let [number, accepted, done, carried] = [number, accepted, done, carried].map(AtomicU64::into_inner);
    let most = accepted * HOOKS.len() as u64;
    println!("{accepted} walks of {number}, {done} results, {carried} of {most} under hooks");
    assert!(number - accepted < 20 + number / 4, "the compiler refuses too much to test anything");
    assert!(done > accepted, "only {done} walks came to their end");
    assert_eq!(carried, most, "small walks fit every hook");
}

/// How many of a walk's calls came to a result, and how many hooks carry it; nothing if the compiler does not accept it.
fn one_walk(number: u64, hooks: &[Profile]) -> Option<(u64, u64)> {
    let maker = Maker::new(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let width =
        maker.key.chars().filter(char::is_ascii_digit).collect::<String>().parse::<usize>().expect("a width") / 8;
    let (keys, text) = (maker.keys, maker.spec());
    let compiled = trav_compiler::compile("walk.trav", &text, &NoModules);
    let Some(f) = compiled.traversals.first() else {
        let first = compiled.diagnostics.first().map(|d| format!("{}: {}", d.code, d.message));
        println!("walk {number} is refused: {}\n{text}", first.unwrap_or_default());
        return None;
    };
    // Shown where the test fails.
    println!("walk {number}:\n{text}");
    let mut r = Random(number ^ 0x5bd1_e995);
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let mut args = words(&[r.below(256), r.word() & (u64::MAX >> (64 - 8 * width)), r.word()]);
            if matches!(f.args[1].kind, LeafKind::Scalar { ty: Ty::I64, .. }) {
                let shift = 64 - 8 * width as u32;
                let key = u64::from_le_bytes(args[8..16].try_into().expect("a word"));
                args[8..16].copy_from_slice(&(((key << shift) as i64) >> shift).to_le_bytes());
            }
            args.extend(words(&[12]));
            args.extend((0..16).map(|i| if i < 12 { r.below(4) as u8 } else { 0 }));
            (args, memory(&image(&mut r, (keys, width))))
        })
        .collect();
    let calls: Vec<_> = calls.iter().map(|(args, sources)| (&args[..], sources)).collect();
    let traces = check_calls(f, &calls);
    let done = traces.iter().filter(|t| matches!(t.outcome, Outcome::Done(_))).count() as u64;
    let mut carried = 0;
    for hook in hooks {
        let mut machine = match vm::prepare_for(f, hook) {
            Ok(machine) => machine,
            Err(ExecError::Refused(why)) => {
                println!("walk {number}: `{}` cannot carry it: {why}", hook.name);
                continue;
            }
            Err(e) => panic!("walk {number}: {}: {e:?}", hook.name),
        };
        carried += 1;
        for ((args, sources), want) in calls.iter().zip(&traces) {
            assert_eq!(&machine.run(args, sources).expect("it runs"), want, "walk {number} under {}", hook.name);
        }
    }
    if number.is_multiple_of(AYA) {
        load_by_aya(f, number);
    }
    Some((done, carried))
}

/// What is found is in memory while the loop behind it is cut, and a register all the same while it is searched for.
#[test]
fn a_counter_that_outlives_a_cut_is_counted() {
    let text = "\
struct Node size 512 { next: u16, n: u8, keys: [u8; 7], items: [u8; 16], name: bytes<12> }
traversal walk(key: u8, name: bytes<12>) -> u64? {
    var s: u64 = 3;
    var t: u64 = 0;
    var i: u32 = 0;
    var at: u64 = 0;
    loop up to 5 {
        let b = read Node at at * 512;
        let v1 = first j in 0..7 where b.keys[j] >= key else return none;
        i = v1;
        if (all j in 0..16 where b.items[j] <= 35) { t = t ^ 1; }
        else { for v2 in b.items { if b.name <= name && (all j in 0..16 where b.items[j] < 61) { s = s *% 3 +% v2; } } }
        if let v3 = last j in 0..7 sorted where b.keys[j] <= key { i = v3; s = s +% b.keys[v3]; }
        if b.next == 2 { break; }
        at = b.next % 4;
    } else { s = s ^ 1; }
    return s +% i +% t;
}
";
    let compiled = trav_compiler::compile("walk.trav", text, &NoModules);
    assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
    // Keys 1 to 7, items that are not all small, and a name before the one that is asked for.
    let mut block = vec![0; BLOCK];
    block[0] = 2;
    block[3..10].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7]);
    block[10..26].copy_from_slice(&[40; 16]);
    let mut args = words(&[4, 12]);
    args.extend([9; 12].iter().chain(&[0; 4]));
    let traces = check_calls(&compiled.traversals[0], &[(&args, &memory(&block))]);
    assert!(matches!(traces[0].outcome, Outcome::Done(_)), "{:?}", traces[0].outcome);
}

/// The loop inside is cut, so a run begins behind it, in the midst of the loop around it, whose counter has a widened copy only where that begins.
#[test]
fn a_counter_is_read_from_memory_where_a_run_begins_inside_its_loop() {
    let text = "\
struct Item { object: u64, kind: u8, number: u64, value: u64 }
struct Block(size: u32) size size { next: u64, count: u32 where 12 + 25 * count <= size, items: [Item; count] }
traversal walk(size: u32, columns: u64) -> u64? {
    require size in 4096..=65536 && columns in 1..=1000 else fail \"no such size\";
    var at: u64 = 0;
    var total: u64 = 0;
    loop up to 400 while total < 1000 {
        let block = read Block(size) at at;
        let i = last i in 0..block.count sorted where block.items[i].object <= at else return none;
        for mirror in 0..4 {
            for item in block.items {
                total = total +% item.value;
                if total % 3 == 1 { continue; }
                if total % 5 == 4 { break; }
            }
            let n = (if mirror == 0 { total % columns } else { columns + mirror - 1 }) % 7;
            if n == 5 { total = total +% n; }
        }
        at = block.next + i;
    }
    return total;
}
";
    let compiled = trav_compiler::compile("walk.trav", text, &NoModules);
    assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
    let mut block = vec![0; 4096];
    block[8] = 160;
    for i in 0..160 {
        block[12 + 25 * i] = u8::from(i > 0);
        block[12 + 25 * i + 17] = 1 + i as u8 % 4;
    }
    let calls = [2, 3, 5, 6].map(|columns| words(&[4096, columns]));
    let memory = memory(&block);
    let calls: Vec<_> = calls.iter().map(|args| (args.as_slice(), &memory)).collect();
    for trace in check_calls(&compiled.traversals[0], &calls) {
        assert!(matches!(trace.outcome, Outcome::Done(_)), "{:?}", trace.outcome);
    }
}

/// The kernel's verifier followed each way out of the inner loop through several turns of the outer one, and gave up after a million instructions.
#[test]
fn ways_out_of_an_inner_loop_become_one() {
    let text = "\
struct Pair big { a: varint<sqlite>, b: u16, c: varint<leb128> }
struct Node big size 512 { next: u16, n: u8 where n <= 31, tag: u8, keys: [u32be; 31], items: [u40; 16], @420 pair: Pair }
traversal walk(start: u8, key: u32, x: u64) -> u64? {
    var s: u64 = 8;
    var t: u64 = x;
    var i: u32 = 0;
    var flag = false;
    var at: u64 = start % 4;
    loop up to 3 {
        let b = read Node at at * 512;
        if (all j in 0..16 where b.items[j] < 58) { flag = b.pair.b <= 29604; }
        else { if b.keys[2] != key { t = t ^ b.pair.c ^ b.pair.b; } else { t = t ^ b.pair.c ^ b.pair.b; } }
        s = ((b.tag / 8) / 9);
        for v1 in b.items { if ((any j in 0..b.n where b.keys[j] < key) && s != 174) { t = t *% 3 +% v1; } }
        if (all j in 0..16 where b.items[j] == 60) { i = last j in 0..b.n sorted where b.keys[j] <= key else return none; }
        else { flag = b.keys[19] != key; }
        if b.next == 2 { break; }
        at = b.next % 4;
    } else { s = s ^ 1; }
    if flag { s = s ^ 2; }
    return s +% i +% t;
}
";
    let compiled = trav_compiler::compile("walk.trav", text, &NoModules);
    assert!(compiled.diagnostics.is_empty(), "{:?}", compiled.diagnostics);
    // Items that are not all small, and 31 keys, of which the last is less than what is asked for.
    let mut block = vec![0; BLOCK];
    block[1] = 2;
    block[2] = 31;
    block[4..128].copy_from_slice(&[7; 124]);
    block[124..128].copy_from_slice(&[0, 0, 0, 3]);
    block[128..208].copy_from_slice(&[40; 80]);
    let traces = check_calls(&compiled.traversals[0], &[(&words(&[0, 5, 9]), &memory(&block))]);
    assert!(matches!(traces[0].outcome, Outcome::Done(_)), "{:?}", traces[0].outcome);
}

fn load_by_aya(f: &Verified, number: u64) {
    if kernel::available().is_err() {
        // The engines say why.
        return;
    }
    let profile = Profile::named("test").expect("the harness's profile is built in");
    let elf = bpf::object(&[f], &kernel::nameless(f), &profile).expect("small walks fit the harness");
    aya_loads(&elf, [&f.name[..]]).unwrap_or_else(|why| panic!("walk {number}: {why}"));
}
