//! All executors on one call: whole traces must be the same, to the byte.
//!
//! [`check_all`] is for every test that runs a traversal; other packages include this file by path.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use trav_compiler::bpf::profile::Profile;
use trav_compiler::certificate::{Certificate, certificate};
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::native::{self, Bound, Native};
use trav_runtime::exec::{Effort, Engine, ExecError, Executor, Outcome, Trace};
use trav_runtime::image::{FileImage, Image, MemoryImage, Sources};

/// Runs one call on every engine that works here and gives the trace on which they agree. The first of them is the interpreter, which
/// defines what a program means.
pub fn check_all(f: &Verified, args: &[u8], sources: &Sources) -> Trace {
    check_calls(f, &[(args, sources)]).remove(0)
}

/// The same for several calls, for which each engine is prepared once.
pub fn check_calls(f: &Verified, calls: &[(&[u8], &Sources)]) -> Vec<Trace> {
    let mut agreed: Option<Vec<Trace>> = None;
    let certificate = certificate(f, &Profile::named("test").expect("the harness's profile is built in"));
    for engine in [Engine::Interp, Engine::Native, Engine::Vm, Engine::Kernel] {
        let Some(mut executor) = prepare(engine, f) else { continue };
        let traces: Vec<Trace> =
            calls.iter().map(|(args, sources)| run(&mut *executor, args, sources, &certificate)).collect();
        match &agreed {
            None => agreed = Some(traces),
            Some(want) => {
                for ((got, want), (args, _)) in traces.iter().zip(want).zip(calls) {
                    assert_eq!(got, want, "{} differs on {}({args:?})", engine.name(), f.name);
                }
            }
        }
    }
    let agreed = agreed.expect("native code runs everywhere the tests do");
    let mut quick = Engine::Native.prepare_for(f, Effort::Once).unwrap_or_else(|e| panic!("{}: {e:?}", f.name));
    for (want, (args, sources)) in agreed.iter().zip(calls) {
        assert_eq!(&run(&mut *quick, args, sources, &certificate), want, "{}({args:?}), made quickly", f.name);
    }
    let native = native::prepare(f).unwrap_or_else(|e| panic!("{}: {e:?}", f.name));
    for (trace, (args, sources)) in agreed.iter().zip(calls) {
        for bound in [native.bind(sources), native.bind_far(sources), native.bind(&remote(sources))] {
            check_walker(&bound.unwrap_or_else(|e| panic!("{e:?}")), trace, args);
        }
    }
    check_batches(&native, f, &agreed, calls);
    agreed
}

/// The calls on the same images, interleaved, in batches of three.
fn check_batches(native: &Native, f: &Verified, traces: &[Trace], calls: &[(&[u8], &Sources)]) {
    let same = |a: &Sources, b: &Sources| a.images.iter().zip(&b.images).all(|(a, b)| Arc::ptr_eq(a, b));
    let mut left: Vec<_> = calls.iter().zip(traces).collect();
    while let Some(&((first, sources), _)) = left.first()
        && !f.stream
        && !first.is_empty()
    {
        let (together, others): (Vec<_>, Vec<_>) = left.into_iter().partition(|((_, s), _)| same(s, sources));
        left = others;
        let bound = native.bind(sources).unwrap_or_else(|e| panic!("{e:?}"));
        let files = files(sources);
        let on_files = native.bind(&files).unwrap_or_else(|e| panic!("{e:?}"));
        // Each call twice, once beside its neighbours and once beside itself.
        let order: Vec<usize> =
            (0..together.len()).flat_map(|i| [i, i + 1, i]).filter(|i| *i < together.len()).collect();
        let args: Vec<u8> = order.iter().flat_map(|&i| together[i].0.0.iter().copied()).collect();
        for batch in [bound.batch(3), bound.lockstep(3), on_files.batch(3)] {
            let mut ended = 0;
            batch
                .unwrap_or_else(|e| panic!("{e:?}"))
                .call_many(&args, &mut |n, end| {
                    assert_eq!(n, ended);
                    ended += 1;
                    let trace = together[order[n]].1;
                    assert_eq!(end.hops, trace.hops.len() as u64, "{}", f.name);
                    assert_eq!(end.bytes, trace.hops.iter().fold(0u64, |sum, hop| sum.wrapping_add(hop.len)));
                    match &trace.outcome {
                        Outcome::Fault(report) => assert_eq!(end.fault, Some(*report), "{}", f.name),
                        Outcome::Done(result) => {
                            assert_eq!(end.fault, None, "{}", f.name);
                            assert!(result.is_empty() || end.result == result, "{}", f.name);
                        }
                    }
                })
                .unwrap_or_else(|e| panic!("{e:?}"));
            assert_eq!(ended, order.len());
        }
    }
}

/// One image in memory.
pub fn memory(bytes: &[u8]) -> Sources {
    Sources::one(Arc::new(MemoryImage::new(bytes)))
}

/// Words, laid out as arguments are.
pub fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// An engine, or none where it cannot run, which is printed once.
pub fn prepare(engine: Engine, f: &Verified) -> Option<Box<dyn Executor>> {
    static SKIPPED: Mutex<BTreeSet<(&str, String)>> = Mutex::new(BTreeSet::new());
    match engine.prepare(f) {
        Ok(executor) => Some(executor),
        Err(ExecError::Refused(why)) => {
            assert!(!why.contains("bug of trav"), "{}: {why}", f.name);
            let mut skipped = SKIPPED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if skipped.insert((engine.name(), why.clone())) {
                println!("engine {} skipped, because {why}", engine.name());
            }
            None
        }
        Err(e) => panic!("{}: {}: {e:?}", f.name, engine.name()),
    }
}

/// Runs a call, which must cost no more than the certificate says.
fn run(executor: &mut dyn Executor, args: &[u8], sources: &Sources, most: &Certificate) -> Trace {
    let name = executor.name();
    let trace = executor.run(args, sources).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let bytes = trace.hops.iter().fold(0u64, |sum, hop| sum.saturating_add(hop.len));
    let longest = trace.hops.iter().map(|hop| hop.len).max().unwrap_or(0);
    let found = [trace.hops.len() as u64, bytes, trace.rows.len() as u64, longest];
    let allowed = [most.hops_max, most.bytes_max, most.rows_max, most.read_bytes_max];
    assert!(found.iter().zip(allowed).all(|(n, most)| *n <= most), "{name}: {found:?} above {allowed:?}");
    if let Some(counted) = executor.insns() {
        let most = most.insns.as_ref().unwrap_or_else(|e| panic!("what runs was counted: {e}"));
        assert!(counted.run <= most.run && counted.walk <= most.walk, "{name}: {counted:?} above {most:?}");
    }
    trace
}

/// The variant without a trace must count and end as the trace says.
fn check_walker(bound: &Bound<'_>, trace: &Trace, args: &[u8]) {
    let mut walker = bound.walker();
    let mut rows = Vec::new();
    walker.call(args, &mut |row| rows.push(row.to_vec())).unwrap_or_else(|e| panic!("{e:?}"));
    assert_eq!(walker.hops(), trace.hops.len() as u64);
    assert_eq!(walker.bytes(), trace.hops.iter().fold(0u64, |sum, hop| sum.wrapping_add(hop.len)));
    assert_eq!(rows, trace.rows);
    match &trace.outcome {
        Outcome::Fault(report) => assert_eq!(walker.fault(), Some(*report)),
        Outcome::Done(result) => {
            assert_eq!(walker.fault(), None);
            assert!(result.is_empty() || walker.result() == result);
        }
    }
}

/// The same images, but not in memory.
fn remote(sources: &Sources) -> Sources {
    let remote = |image: &Arc<dyn Image>| Arc::new(Remote(image.clone())) as Arc<dyn Image>;
    Sources { images: sources.images.iter().map(remote).collect() }
}

/// Larger images stay in memory.
const FILE_MAX_BYTES: u64 = 16 << 20;

/// The same images as files, the second one of two read past the page cache where the file system has that.
fn files(sources: &Sources) -> Sources {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let file = |image: &Arc<dyn Image>| {
        if image.len() > FILE_MAX_BYTES {
            return image.clone();
        }
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("trav-{}-differential-{number}", std::process::id()));
        let mut bytes = vec![0; image.len() as usize];
        image.read_at(0, &mut bytes).unwrap_or_else(|e| panic!("{e}"));
        std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let direct = (number % 2 == 1).then(|| FileImage::open_direct(&path).ok()).flatten();
        let opened = direct.map_or_else(|| FileImage::open(&path), Ok).unwrap_or_else(|e| panic!("{e}"));
        std::fs::remove_file(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Arc::new(opened) as Arc<dyn Image>
    };
    Sources { images: sources.images.iter().map(file).collect() }
}

struct Remote(Arc<dyn Image>);

impl Image for Remote {
    fn len(&self) -> u64 {
        self.0.len()
    }
    fn bytes(&self) -> Option<&[u8]> {
        None
    }
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
        self.0.read_at(offset, buf)
    }
}
