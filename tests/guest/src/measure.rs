//! Lookups by hooks beside the loop of pread(2) that they replace, as tables with what is wanted of them. Under `-icount shift=0,sleep=off` the
//! guest's clock counts instructions, so the figures are the same on every machine. Every answer is checked against a table that never came from
//! the disk.

use crate::Test;
use crate::by_hand::chase_many;
use crate::machine;
use crate::nodes::{chain, image};
use crate::spec::{HOOKS, attach, compile};
use crate::walks::CHAIN;
use crate::walks::chain::{chase, chase_arguments};
use libbpf_rs::query::ProgInfoIter;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Instant;

pub const TESTS: &[Test] =
    &[Test::Alone("measure_cached", cached), Test::Alone("measure_direct", direct), Test::Alone("measure_many", many)];

const DEPTHS: [u64; 4] = [1, 2, 6, 10];
/// Lookups in a row, of which one figure is taken; and figures, of which the least counts: the kernel does other things now and then, and the
/// machine that runs the guest does, too.
const LOOKUPS: u64 = 50;
const ROUNDS: usize = 20;

/// What is wanted of a way of making lookups: at most this share of what the loop of pread takes.
struct Goal {
    way: &'static str,
    depth: u64,
    at_most: f64,
}

/// Of cached files: in instructions, and in time.
const CACHED: [&[Goal]; 2] = [
    &[
        Goal { way: "hybrid", depth: 6, at_most: 0.40 },
        Goal { way: "hybrid", depth: 10, at_most: 0.33 },
        Goal { way: "file", depth: 6, at_most: 0.42 },
        Goal { way: "file", depth: 10, at_most: 0.39 },
    ],
    &[Goal { way: "hybrid", depth: 10, at_most: 0.40 }],
];

/// Of direct I/O: in instructions, and in time.
const DIRECT: [&[Goal]; 2] =
    [&[Goal { way: "uring", depth: 10, at_most: 0.93 }, Goal { way: "lsm", depth: 10, at_most: 0.83 }], &[]];

/// Many walks at once: so many times the lookups of the loop of pread, and more than by hand.
const MANY: f64 = 5.0;

/// What the guest's clock counts, by the position of its goals.
fn clock() -> usize {
    usize::from(std::env::var("TRAV_GUEST_CLOCK").is_ok_and(|clock| clock == "time"))
}

fn said(kept: bool) -> &'static str {
    if kept { "kept" } else { "MISSED" }
}

/// The program that is replaced.
fn by_pread(file: &File, buffer: &mut [u8], start: u64) -> u64 {
    let word = |buffer: &[u8], at: usize| u64::from_le_bytes(buffer[at..at + 8].try_into().expect("eight bytes"));
    let mut at = start;
    for _ in 0..64 {
        file.read_exact_at(buffer, at).expect("the disk works");
        at = word(buffer, 0);
        if at == 0 {
            break;
        }
    }
    word(buffer, 8)
}

/// One way of making a lookup: from the start of a chain to the value at its end.
type Lookup<'a> = Box<dyn FnMut(u64) -> u64 + 'a>;

/// One way of making many lookups, all of them.
type All<'a> = Box<dyn FnMut() + 'a>;

fn table(what: &str, path: &Path, direct: bool, goals: [&[Goal]; 2]) {
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "chase").expect("it is declared");
    let flags = if direct { libc::O_DIRECT } else { 0 };
    let file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(path).expect("the file is there");
    let mut aligned = memory();
    let mut ways: Vec<(&str, Lookup<'_>)> =
        vec![("pread", Box::new(|start| by_pread(&file, &mut aligned[..512], start)))];
    for hook in HOOKS {
        let mut attached = attach(f, path, hook, direct);
        let lookup = move |start| attached.lookup::<chase>(&chase_arguments { start }).expect("the walk ends well");
        ways.push((hook, Box::new(lookup)));
    }
    // What was written goes to the disk now, and not while figures are taken.
    // SAFETY: no memory is passed.
    unsafe { libc::sync() };
    let mut figures = vec![[0.0; DEPTHS.len()]; ways.len()];
    for (d, depth) in DEPTHS.into_iter().enumerate() {
        let calls: Vec<(u64, u64)> = (0..LOOKUPS).map(|n| chain(depth, n)).collect();
        let mut rounds = vec![Vec::new(); ways.len()];
        for _ in 0..ROUNDS {
            for ((name, lookup), rounds) in ways.iter_mut().zip(&mut rounds) {
                let begun = Instant::now();
                for (start, want) in &calls {
                    assert_eq!(lookup(*start), *want, "{name}");
                }
                rounds.push(begun.elapsed().as_nanos() as f64 / LOOKUPS as f64);
            }
        }
        for (figures, rounds) in figures.iter_mut().zip(&rounds) {
            figures[d] = least(rounds);
        }
    }
    let heads = DEPTHS.map(|depth| format!("{:>16}", format!("depth {depth}")));
    println!("guest: {what}: per lookup, beside pread");
    println!("guest:   {:8}{}{:>9}{:>9}", "", heads.concat(), "per hop", "fixed");
    for ((name, _), of) in ways.iter().zip(&figures) {
        let cells: Vec<String> =
            of.iter().zip(&figures[0]).map(|(n, pread)| format!("{n:9.0} ({:.2})", n / pread)).collect();
        let last = DEPTHS.len() - 1;
        let hop = (of[last] - of[0]) / (DEPTHS[last] - DEPTHS[0]) as f64;
        println!("guest:   {name:8}{}{hop:9.0}{:9.0}", cells.concat(), of[0] - hop);
    }
    for Goal { way, depth, at_most } in goals[clock()] {
        let way_at = ways.iter().position(|(name, _)| name == way).expect("a goal is one of a way");
        let d = DEPTHS.iter().position(|d| d == depth).expect("a goal is one of a depth");
        let share = figures[way_at][d] / figures[0][d];
        println!(
            "guest:   goal    {way} at depth {depth}: {share:.3}, at most {at_most:.2}: {}",
            said(share <= *at_most)
        );
    }
    inside(&mut ways);
}

/// How much of a lookup at the greatest depth is the program itself, with what it calls.
fn inside(ways: &mut [(&str, Lookup<'_>)]) {
    const STATISTICS: &str = "/proc/sys/kernel/bpf_stats_enabled";
    let spent = || ProgInfoIter::default().fold((0, 0), |(runs, time), p| (runs + p.run_cnt, time + p.run_time_ns));
    std::fs::write(STATISTICS, "1").expect("the kernel keeps statistics");
    let depth = DEPTHS[DEPTHS.len() - 1];
    for (name, lookup) in &mut ways[1..] {
        let before = spent();
        for n in 0..LOOKUPS {
            let (start, want) = chain(depth, n);
            assert_eq!(lookup(start), want, "{name}");
        }
        let after = spent();
        let [runs, time] = [after.0 - before.0, after.1 - before.1].map(|n| n as f64 / LOOKUPS as f64);
        println!("guest:   {name:8}depth {depth}: {runs:.0} runs of the program, {time:.0} in it");
    }
    std::fs::write(STATISTICS, "0").expect("the kernel keeps statistics");
}

fn least(figures: &[f64]) -> f64 {
    figures.iter().copied().fold(f64::INFINITY, f64::min)
}

/// A page for direct I/O.
fn memory() -> memmap2::MmapMut {
    memmap2::MmapMut::map_anon(4096).expect("a page can be had")
}

fn cached() {
    let path = machine::file("measured", &image());
    table("cached file, 512 B", &path, false, CACHED);
}

fn direct() {
    let disk = machine::null_disk("quick", 4, 0, 0);
    std::fs::write(&disk, image()).expect("the disk has room");
    table("O_DIRECT on null_blk, 512 B", &disk, true, DIRECT);
}

/// Many walks in flight on a disk that takes its time.
fn many() {
    const DEPTH: u64 = 10;
    let disk = machine::null_disk("slow", 4, 2, 10_000);
    std::fs::write(&disk, image()).expect("the disk has room");
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "chase").expect("it is declared");
    let calls: Vec<(u64, u64)> = (0..1024).map(|n| chain(DEPTH, n)).collect();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&disk);
    let file = file.expect("the disk is there");
    let mut aligned = memory();
    let starts: Vec<u64> = calls.iter().map(|(start, _)| *start).collect();
    let mut ways: Vec<(&str, All<'_>)> = vec![
        (
            "pread, one after the other",
            Box::new(|| {
                for (start, want) in &calls {
                    assert_eq!(by_pread(&file, &mut aligned[..512], *start), *want);
                }
            }),
        ),
        (
            "io_uring by hand",
            Box::new(|| {
                let answers = chase_many(&file, &starts);
                assert!(answers.iter().zip(&calls).all(|(got, (_, want))| got == want));
            }),
        ),
    ];
    for hook in ["uring", "hybrid"] {
        let mut attached = attach(f, &disk, hook, true);
        let calls = &calls;
        let all = move || {
            let args = calls.iter().map(|(start, _)| chase_arguments { start: *start });
            let done = attached.lookup_many::<chase>(args, |i, got| assert_eq!(got, Ok(calls[i].1), "{hook}"));
            done.unwrap_or_else(|e| panic!("{hook}: {e}"));
        };
        ways.push((hook, Box::new(all)));
    }
    let mut rounds = vec![Vec::new(); ways.len()];
    for _ in 0..9 {
        for ((_, all), rounds) in ways.iter_mut().zip(&mut rounds) {
            let begun = Instant::now();
            all();
            rounds.push(begun.elapsed().as_nanos() as f64 / calls.len() as f64);
        }
    }
    let figures: Vec<f64> = rounds.iter().map(|rounds| least(rounds)).collect();
    println!("guest: null_blk with 10 us, depth {DEPTH}, 64 walks at once, per lookup");
    for ((name, _), each) in ways.iter().zip(&figures) {
        println!("guest:   {name:27}{each:9.0}  {:.2} times the lookups", figures[0] / each);
    }
    for ((name, _), each) in ways.iter().zip(&figures).skip(2) {
        let (times, by_hand) = (figures[0] / each, figures[0] / figures[1]);
        let kept = said(times >= MANY && times > by_hand);
        println!("guest:   goal    {name}: {times:.2}, at least {MANY:.2} and above {by_hand:.2}: {kept}");
    }
}
