//! Lookups by hooks beside the loop of pread(2) that they replace, as a table. Under `-icount shift=0,sleep=off` the guest's clock counts
//! instructions, so the figures are the same on every machine. Every answer is checked against a table that never came from the disk.

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
/// Lookups in a row, of which one figure is taken; and figures, of which the median counts: the kernel does other things now and then.
const LOOKUPS: u64 = 50;
const ROUNDS: usize = 20;

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

fn table(what: &str, path: &Path, direct: bool) {
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
        for (figures, rounds) in figures.iter_mut().zip(&mut rounds) {
            figures[d] = median(rounds);
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

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A page for direct I/O.
fn memory() -> memmap2::MmapMut {
    memmap2::MmapMut::map_anon(4096).expect("a page can be had")
}

fn cached() {
    let path = machine::file("measured", &image());
    table("cached file, 512 B", &path, false);
}

fn direct() {
    let disk = machine::null_disk("quick", 4, 0, 0);
    std::fs::write(&disk, image()).expect("the disk has room");
    table("O_DIRECT on null_blk, 512 B", &disk, true);
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
    let time = |many: &mut dyn FnMut()| {
        let mut rounds: Vec<f64> = (0..5)
            .map(|_| {
                let begun = Instant::now();
                many();
                begun.elapsed().as_nanos() as f64 / calls.len() as f64
            })
            .collect();
        median(&mut rounds)
    };
    let pread = time(&mut || {
        for (start, want) in &calls {
            assert_eq!(by_pread(&file, &mut aligned[..512], *start), *want);
        }
    });
    println!("guest: null_blk with 10 us, depth {DEPTH}, per lookup");
    println!("guest:   pread, one after the other {pread:9.0}");
    let starts: Vec<u64> = calls.iter().map(|(start, _)| *start).collect();
    let by_hand = time(&mut || {
        let answers = chase_many(&file, &starts);
        assert!(answers.iter().zip(&calls).all(|(got, (_, want))| got == want));
    });
    println!("guest:   io_uring by hand, 64 at once {by_hand:7.0}  {:.2} times the lookups", pread / by_hand);
    for hook in ["uring", "hybrid"] {
        let mut attached = attach(f, &disk, hook, true);
        let each = time(&mut || {
            let args = calls.iter().map(|(start, _)| chase_arguments { start: *start });
            let done = attached.lookup_many::<chase>(args, |i, got| assert_eq!(got, Ok(calls[i].1), "{hook}"));
            done.unwrap_or_else(|e| panic!("{hook}: {e}"));
        });
        println!("guest:   {hook:7}, 64 at once         {each:7.0}  {:.2} times the lookups", pread / each);
    }
}
