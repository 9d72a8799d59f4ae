//! What trav's BPF code costs beside clang's, for the walks A to E of `tests/bench/bpf`.
//!
//! `cargo bench -p trav --bench bpf`, as root, with clang. For each walk one step is compiled by both, loaded into this machine's kernel and run
//! on the same block with the same arguments; the results must be equal. The columns: instructions of the object without those of a program that
//! only takes arguments and gives a result; instructions that the kernel's verifier walked through; nanoseconds a step, less those of an empty
//! program; milliseconds and peak memory of the whole compiler's process, and microseconds of the compiler as a library.

mod compile;
mod loaded;
mod walks;

use compile::Cost;
use loaded::Loaded;
use std::path::{Path, PathBuf};
use walks::Walk;

/// One side's numbers for one walk.
struct Row {
    insns: usize,
    processed: u64,
    /// None where a step takes several runs of the program.
    nanoseconds: Option<f64>,
    compile: Cost,
}

fn main() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/bench/bpf");
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    if let Err(why) = trav_runtime::exec::kernel::available() {
        println!("Nothing can be measured: {why}");
        return;
    }
    // A process inherits the memory's high-water mark of the one that starts it, so what starts the compilers must still be small.
    let walks = walks::all();
    let trav: Vec<Cost> = walks.iter().map(|w| compile::trav(&folder, &out, w.name)).collect();
    let clang: Vec<Option<Cost>> = walks.iter().map(|w| compile::clang(&folder, &out, w.name)).collect();
    if clang.iter().any(Option::is_none) {
        println!(
            "clang is missing, or does not compile for BPF: no comparison, and times include those of a run by itself."
        );
    }
    println!("walk side    insns  processed  ns/step  compile ms   peak MiB  in process us");
    for ((walk, trav), clang) in walks.iter().zip(trav).zip(clang) {
        compare(walk, &folder, &out, trav, clang);
    }
}

fn compare(walk: &Walk, folder: &Path, out: &Path, trav: Cost, clang: Option<Cost>) {
    let ours = Loaded::trav(&folder.join(format!("{}.trav", walk.name)), &out.join(format!("{}.trav.o", walk.name)));
    let theirs = clang.map(|cost| (Loaded::clang(&out.join(format!("{}.c.o", walk.name))), cost));
    let empty = theirs.as_ref().map_or(0.0, |(c, _)| c.nanoseconds_of_nothing());
    for args in &walk.args {
        let mine = ours.result(&walk.block, args);
        if let Some((c, _)) = &theirs {
            assert_eq!(mine, c.result(&walk.block, args), "walk {}: the two differ for {args:x?}", walk.name);
        }
    }
    let row = |side: &Loaded, compile: Cost| Row {
        insns: side.insns(),
        processed: side.processed(),
        nanoseconds: side.nanoseconds(walk).map(|ns| ns - empty),
        compile,
    };
    let mine = row(&ours, trav);
    print(walk.name, "trav", &mine);
    if let Some((c, cost)) = theirs {
        let other = row(&c, cost);
        print(walk.name, "clang", &other);
        println!(
            "{}    ratio {:>8.2} {:>10.3} {:>8} {:>11.3} {:>10.2}",
            walk.name,
            mine.insns as f64 / other.insns as f64,
            mine.processed as f64 / other.processed as f64,
            shown(mine.nanoseconds.zip(other.nanoseconds).map(|(a, b)| a / b), 2),
            mine.compile.milliseconds / other.compile.milliseconds,
            mine.compile.peak_mib / other.compile.peak_mib,
        );
    }
}

fn print(walk: &str, side: &str, row: &Row) {
    let Row { insns, processed, nanoseconds, compile } = row;
    let inside = compile.microseconds_inside.map_or_else(|| "-".into(), |us| format!("{us:.0}"));
    println!(
        "{walk}    {side:<5} {insns:>8} {processed:>10} {:>8} {:>11.2} {:>10.1} {inside:>14}",
        shown(*nanoseconds, 1),
        compile.milliseconds,
        compile.peak_mib
    );
}

/// A figure, if there is one.
fn shown(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or_else(|| "-".into(), |n| format!("{n:.decimals$}"))
}
