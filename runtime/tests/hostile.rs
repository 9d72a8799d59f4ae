//! Every program at hand, and random ones, on images that mean it no good: whatever the blocks hold, each value lies in its claim, each access in
//! its block, no check that has a proof fails, and the walk costs no more than its certificate says.
//!
//! The interpreter looks at all of this itself (`check_claims`) and panics. Images are made up as they are read. Where a walk stops because a
//! field has not the value that it must have, that value is written there and the walk begins again, so that walks get far.
//! More than two million walks are made; `TRAV_CASES=N` makes N times as many.

use super::random;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::certificate::{certificate, remaining};
use trav_compiler::ir::defs::Defs;
use trav_compiler::ir::schema::LeafKind;
use trav_compiler::ir::verify::Verified;
use trav_compiler::ir::{CmpOp, Endian, FaultId, Op, Ty};
use trav_compiler::{Loader, compile, compile_tests};
use trav_runtime::exec::{ExecError, Executor, Outcome, Trace, interp};
use trav_runtime::image::{Image, Sources};

/// What each program of the repository, and each random function, is run for, in operations; so that small ones get many calls.
const WORK: u64 = 500_000;
const WORK_RANDOM: u64 = 200_000;
/// What one walk costs beside its operations, in operations.
const WORK_WALK: u64 = 100;
/// Random functions.
const FUNCTIONS: u64 = 400;
/// Walks that a test must have made, by `TRAV_CASES`.
const WALKS_LEAST: u64 = 2_000_000;
/// After so many reads an image fails: some certificates allow more than anybody wants to wait for.
const READS_MAX: u64 = 30;
/// Values written into one image.
const REPAIRS_MAX: u64 = 12;

pub struct NoModules;

impl Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators" (OOPSLA 2014): SplitMix64.
pub fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The noise that images are cut from, of each kind so many bytes: making it anew for each block would take longest.
const NOISE: usize = 1 << 18;
/// An image is made of pieces of so many bytes, each from another place in the noise.
const PIECE: usize = 512;

/// Bytes of one kind.
fn noise(kind: u64) -> &'static [u8] {
    static ALL: [OnceLock<Vec<u8>>; 4] = [const { OnceLock::new() }; 4];
    ALL[kind as usize].get_or_init(|| (0..NOISE as u64 / 8).flat_map(|at| noise_word(kind, at).to_le_bytes()).collect())
}

fn noise_word(kind: u64, at: u64) -> u64 {
    let word = mix(kind << 32 ^ at);
    match kind {
        // Small numbers here and there, as metadata has.
        0 if word >> 61 == 0 => word & 0x1f,
        0 => 0,
        // Numbers of four bytes, in either order, that are mostly small.
        1 => word & 0x0300_0003_0300_0003,
        2 => [0, 0x0101_0101_0101_0101, i64::MAX as u64, 0x8080, u64::MAX][(word % 5) as usize],
        _ => word,
    }
}

/// An image without end whose bytes follow from their offset.
pub struct Noise {
    seed: u64,
    patches: Mutex<BTreeMap<u64, u8>>,
    reads: AtomicU64,
}

impl Noise {
    pub fn new(seed: u64) -> Arc<Noise> {
        Arc::new(Noise { seed, patches: Mutex::default(), reads: AtomicU64::new(0) })
    }

    fn patch(&self, at: u64, bytes: &[u8]) {
        let mut patches = self.patches.lock().expect("nobody panics with it");
        patches.extend(bytes.iter().enumerate().map(|(i, b)| (at.wrapping_add(i as u64), *b)));
    }
}

impl Image for Noise {
    fn len(&self) -> u64 {
        if self.seed.is_multiple_of(7) { 100_000 } else { i64::MAX as u64 }
    }
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        if self.reads.fetch_add(1, Ordering::Relaxed) >= READS_MAX {
            return Err(io::Error::other("enough"));
        }
        let noise = noise(self.seed % 4);
        let mut done = 0;
        while done < buf.len() {
            let at = offset.wrapping_add(done as u64);
            let inside = at as usize % PIECE;
            let piece = (mix(self.seed ^ (at / PIECE as u64)) as usize % (NOISE - PIECE)) & !7;
            let n = (PIECE - inside).min(buf.len() - done);
            buf[done..done + n].copy_from_slice(&noise[piece + inside..][..n]);
            done += n;
        }
        let patches = self.patches.lock().expect("nobody panics with it");
        for (at, byte) in patches.range(offset..offset.saturating_add(buf.len() as u64)) {
            buf[(at - offset) as usize] = *byte;
        }
        Ok(())
    }
}

/// Arguments of a function, often at the edges of their types.
pub fn arguments(f: &Verified, seed: u64) -> Vec<u8> {
    let mut args = Vec::new();
    for (i, leaf) in f.args.iter().enumerate() {
        let random = mix(seed ^ mix(i as u64));
        match leaf.kind {
            LeafKind::Scalar { ty, bits } => {
                let word = match random % 5 {
                    0 => 0,
                    1 => random >> 8 & 0xff,
                    2 => 1 << (random >> 8 & 0xf),
                    3 => u64::MAX,
                    _ => random,
                };
                let spare = 64 - u32::from(if ty == Ty::Bool { 1 } else { bits });
                let word =
                    if ty == Ty::I64 { ((word << spare) as i64 >> spare) as u64 } else { word << spare >> spare };
                args.extend(word.to_le_bytes());
            }
            LeafKind::Bytes { max, fixed } => {
                let len = if fixed || random.is_multiple_of(3) { u64::from(max) } else { random >> 8 & 15 };
                let len = len.min(max.into());
                args.extend(len.to_le_bytes());
                let start = args.len();
                args.resize(start + max.next_multiple_of(8) as usize, 0);
                (0..len as usize).for_each(|i| args[start + i] = mix(random ^ i as u64) as u8 | 0x20);
            }
        }
    }
    args
}

/// What must stand at a field for a fault not to happen: its bytes, from its offset on.
fn wanted(f: &Verified, defs: &Defs, fault: FaultId) -> Option<Vec<u8>> {
    for inst in f.blocks.iter().flat_map(|b| &b.insts) {
        let Op::Guard { cond, fault: of } = &inst.op else { continue };
        let Some(Op::Compare { op, a, b }) = defs.op(f, *cond).filter(|_| of.fault == fault) else { continue };
        for (field, bound, is_left) in [(*a, *b, true), (*b, *a, false)] {
            let Some(Op::Load { width, endian, .. }) = defs.op(f, defs.root(f, field)) else { continue };
            let range = f.value(bound).range;
            let word = match (op, is_left) {
                (CmpOp::Eq, _) => range.as_const()?,
                (CmpOp::Ne, _) => range.as_const()? ^ 1,
                (CmpOp::Lt | CmpOp::Le, true) => 0,
                (CmpOp::Lt | CmpOp::Le, false) => range.hi.saturating_add(1),
            } as u64;
            let bytes = word.to_le_bytes()[..usize::from(*width)].to_vec();
            return Some(if *endian == Endian::Little { bytes } else { bytes.into_iter().rev().collect() });
        }
    }
    None
}

/// A program with what all its cases share.
pub struct Attacked<'f> {
    f: &'f Verified,
    defs: Defs,
    machine: interp::Interp,
    /// What mends each fault.
    wanted: HashMap<FaultId, Option<Vec<u8>>>,
}

impl<'f> Attacked<'f> {
    pub fn new(f: &'f Verified) -> Self {
        let mut machine = interp::prepare(f);
        machine.check_claims = true;
        Attacked { f, defs: Defs::of(f), machine, wanted: HashMap::new() }
    }

    /// Runs one call until it ends, or nothing can be mended any more. The number of walks, and the operations that they took.
    pub fn attack(&mut self, seed: u64, mut see: impl FnMut(&Trace)) -> (u64, u64) {
        let args = arguments(self.f, seed);
        let images: Vec<Arc<Noise>> =
            (0..self.f.sources.len() as u64).map(|i| Noise::new(mix(seed) ^ i << 32)).collect();
        let sources = Sources { images: images.iter().map(|i| i.clone() as Arc<dyn Image>).collect() };
        let (mut walks, mut work) = (0, 0);
        while walks < REPAIRS_MAX {
            images.iter().for_each(|image| image.reads.store(0, Ordering::Relaxed));
            let ran = self.machine.run(&args, &sources);
            walks += 1;
            work += WORK_WALK + self.machine.step_insts().iter().sum::<u64>();
            let trace = match ran {
                Ok(trace) => trace,
                Err(ExecError::Io(_)) => break,
                Err(e) => panic!("{}: {e}", self.f.name),
            };
            see(&trace);
            let Outcome::Fault(report) = &trace.outcome else { break };
            let (Some(at), Some(hop)) = (report.at, trace.hops.last()) else { break };
            let mend = || wanted(self.f, &self.defs, report.fault);
            let Some(bytes) = self.wanted.entry(report.fault).or_insert_with(mend) else { break };
            images[hop.source.index()].patch(hop.offset.wrapping_add(at), bytes);
        }
        (walks, work)
    }
}

/// All walks in the repository: the library's, the examples', and those of the tests by example.
pub fn programs() -> &'static [(String, Verified)] {
    static ALL: OnceLock<Vec<(String, Verified)>> = OnceLock::new();
    ALL.get_or_init(compiled)
}

fn compiled() -> Vec<(String, Verified)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut programs = Vec::new();
    for folder in ["stdlib", "examples/list", "examples/bpfkv", "examples/ext4", "tests/golden/run"] {
        let entries = std::fs::read_dir(format!("{root}/{folder}")).expect("the folder is in the repository");
        let mut paths: Vec<_> = entries.map(|e| e.expect("a readable folder").path()).collect();
        paths.sort();
        for path in paths.iter().filter(|p| p.extension().is_some_and(|e| e == "trav")) {
            let text = std::fs::read_to_string(path).expect("a readable file");
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            let compiled = compile(&name, &text, &NoModules);
            assert!(compiled.diagnostics.is_empty(), "{name}: {:#?}", compiled.diagnostics);
            let tests = if folder.starts_with("tests") {
                compile_tests(&name, &text, &NoModules, trav_compiler::Effort::Many).tests
            } else {
                Vec::new()
            };
            let all = compiled.traversals.into_iter().chain(tests.into_iter().map(|t| t.walk));
            programs.extend(all.map(|f| (format!("{folder}/{name}: {}", f.name), f)));
        }
    }
    programs
}

/// How many times as many cases are wanted.
pub fn times() -> u64 {
    std::env::var("TRAV_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Checks that remain in the standard library's walks, a hundred walks on average.
const CHECKS_MOST: usize = 265;

#[test]
fn few_checks_remain_in_the_standard_library() {
    let library: Vec<_> = programs().iter().filter(|(name, _)| name.starts_with("stdlib/")).collect();
    let checks: usize = library.iter().map(|(_, f)| remaining(f).len()).sum();
    println!("{checks} checks in {} walks", library.len());
    assert!(library.len() > 200 && 100 * checks <= CHECKS_MOST * library.len(), "{checks} in {}", library.len());
}

/// What all cases together did.
#[derive(Default)]
struct Count {
    walks: AtomicU64,
    reads: AtomicU64,
    ended: AtomicU64,
}

impl Count {
    /// Runs a program on images until it has done so much work.
    fn attack(&self, name: &str, f: &Verified, seed: u64, work: u64) {
        let hook = Profile::named("test").expect("the harness's profile is built in");
        let most = certificate(f, &hook);
        let allowed = [most.hops_max, most.bytes_max, most.rows_max];
        let mut attacked = Attacked::new(f);
        let (mut done, mut case) = (0, 0);
        let (mut walks, mut reads, mut ended) = (0, 0, 0);
        while done < work {
            let (more, took) = attacked.attack(seed << 32 | case, |trace| {
                let bytes = trace.hops.iter().map(|hop| hop.len).fold(0, u64::saturating_add);
                let found = [trace.hops.len() as u64, bytes, trace.rows.len() as u64];
                assert!(found.iter().zip(allowed).all(|(n, most)| *n <= most), "{name}: {found:?} above {allowed:?}");
                reads += found[0];
                ended += u64::from(matches!(trace.outcome, Outcome::Done(_)));
            });
            (walks, done, case) = (walks + more, done + took, case + 1);
        }
        self.walks.fetch_add(walks, Ordering::Relaxed);
        self.reads.fetch_add(reads, Ordering::Relaxed);
        self.ended.fetch_add(ended, Ordering::Relaxed);
    }
}

#[test]
fn no_image_breaks_a_walk() {
    let programs = programs();
    let (count, next) = (Count::default(), AtomicUsize::new(0));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if let Some((name, f)) = programs.get(number) {
                count.attack(name, f, number as u64, WORK * times());
            } else if number < programs.len() + FUNCTIONS as usize {
                let (name, f) = random::function(1 << 20 | number as u64);
                count.attack(&name, &f, number as u64, WORK_RANDOM * times());
            } else {
                return;
            }
        }
    };
    std::thread::scope(|scope| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        (0..cores).for_each(|_| {
            scope.spawn(work);
        });
    });
    let (walks, reads, ended) = (count.walks.into_inner(), count.reads.into_inner(), count.ended.into_inner());
    println!("{walks} walks, {reads} reads, {ended} came to their end");
    assert!(walks >= WALKS_LEAST * times(), "{walks} walks are not enough");
    assert!(reads > walks / 2 && ended > walks / 20, "walks get somewhere: {reads} reads, {ended} ends of {walks}");
}
