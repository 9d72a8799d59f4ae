//! What can go wrong under a walk: each ends in a right answer or a clear fault, and nothing is left behind.

use crate::Test;
use crate::by_hand;
use crate::machine;
use crate::nodes;
use crate::spec::{HOOKS, Interpreter, assert_same, attach, compile, words};
use crate::walks::chain::{chase, chase_arguments, circle, circle_arguments};
use crate::walks::{CHAIN, chain_image};
use libbpf_rs::query::{LinkInfoIter, MapInfoIter, ProgInfoIter};
use std::io::Write;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use trav_runtime::exec::kernel::load;
use trav_runtime::exec::{ExecError, Outcome};
use trav_runtime::hook::Failure;

pub const TESTS: &[Test] = &[
    Test::Alone("signals", signals),
    Test::Beside("truncation", truncation),
    Test::Beside("bad_sectors", bad_sectors),
    Test::Beside("changed_meanwhile", changed_meanwhile),
    Test::Beside("attached_twice", attached_twice),
    Test::Alone("nothing_leaks", nothing_leaks),
    Test::Alone("killed", killed),
    Test::Alone("timeouts", timeouts),
    Test::Alone("cancelled", cancelled),
    Test::Beside("short_reads", short_reads),
    Test::Beside("beside_another_ring", beside_another_ring),
    Test::Alone("many_attached", many_attached),
];

/// Signals for this process, until it is dropped.
struct Storm;

impl Storm {
    fn every(microseconds: i64) -> Self {
        extern "C" fn nothing(_: libc::c_int) {}
        let handler = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        // SAFETY: the handler does nothing, so it may run anywhere.
        unsafe { libc::signal(libc::SIGALRM, handler) };
        Self::set_timer(microseconds);
        Storm
    }

    fn set_timer(microseconds: i64) {
        let every = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: every, it_value: every };
        // SAFETY: the timer lives through the call.
        assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }, 0);
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        Self::set_timer(0);
    }
}

/// A storm of signals: the ring is left with reads in flight, and entered again.
fn signals() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file("signals", &chain_image(400));
    let mut wanted = Interpreter::new(f, &path);
    let wanted: Vec<_> = (0..100).map(|i| wanted.run(&words(&[512 * i]))).collect();
    let _storm = Storm::every(300);
    // Verified for long enough that signals come meanwhile.
    let object = std::fs::read("/objects/leveldb.file.o").expect("the machine has the object");
    load::verify(&object).unwrap_or_else(|e| panic!("{e}"));
    for hook in HOOKS {
        let mut attached = attach(f, &path, hook, true);
        for (i, wanted) in wanted.iter().enumerate() {
            let got = attached.walk(&words(&[512 * i as u64])).unwrap_or_else(|e| panic!("{hook}: {i}: {e}"));
            assert_same(hook, f, &got, wanted);
        }
    }
}

/// A file that becomes shorter while a hook is attached to it.
fn truncation() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    for hook in HOOKS {
        let path = machine::file("short", &chain_image(400));
        let mut attached = attach(f, &path, hook, false);
        let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the file is there");
        file.set_len(512 * 10 + 7).expect("a file can be made shorter");
        for i in [10, 11, 300] {
            match attached.walk(&words(&[512 * i])) {
                Err(ExecError::Io(_)) => {}
                other => panic!("{hook}: block {i} is gone: {other:?}"),
            }
        }
        // What is left is as it was.
        let mut wanted = Interpreter::new(f, &path);
        let args = words(&[512 * 9]);
        if let (Ok(got), wanted) = (attached.walk(&args), wanted.run(&args)) {
            assert!(matches!(wanted.outcome, Outcome::Done(_) | Outcome::Fault(_)));
            assert_eq!(got.outcome, wanted.outcome, "{hook}");
        }
    }
}

/// A disk that cannot read some of its sectors.
fn bad_sectors() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let disk = machine::faulty_disk(1, 104..=111);
    std::fs::OpenOptions::new()
        .write(true)
        .open(&disk)
        .and_then(|file| file.write_all_at(&chain_image(400)[..512 * 104], 0))
        .expect("the first sectors are good");
    for hook in HOOKS {
        for direct in [false, true] {
            let mut attached = attach(f, &disk, hook, direct);
            match attached.walk(&words(&[512 * 105])) {
                Err(ExecError::Io(e)) => assert_eq!(e.raw_os_error(), Some(libc::EIO), "{hook}"),
                other => panic!("{hook}: sector 105 cannot be read: {other:?}"),
            }
            // The hook goes on to be of use.
            let got = attached.walk(&words(&[512 * 13])).unwrap_or_else(|e| panic!("{hook}: {e}"));
            assert!(matches!(got.outcome, Outcome::Done(_)), "{hook}: block 13 is the last of its chain");
        }
    }
}

/// Another thread that writes to the file during the walks: whatever a walk sees, it ends.
fn changed_meanwhile() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let image = chain_image(400);
    let path = machine::file("changing", &image);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let file = std::fs::OpenOptions::new().write(true).open(&path).expect("the file is there");
            let mut n = 1u64;
            while !stop.load(Ordering::Relaxed) {
                n = n.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                file.write_all_at(&n.to_le_bytes(), (n >> 20) % (512 * 399)).expect("the disk has room");
            }
        });
        for hook in HOOKS {
            let mut attached = attach(f, &path, hook, false);
            for start in 0..300 {
                let ended = attached.walk(&words(&[512 * start]));
                assert!(ended.is_ok(), "{hook}: {ended:?}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

/// Two hooks at once, on one file.
fn attached_twice() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file("twice", &chain_image(400));
    let mut wanted = Interpreter::new(f, &path);
    for hook in HOOKS {
        let mut both = [attach(f, &path, hook, false), attach(f, &path, hook, false)];
        for start in 0..20 {
            let args = words(&[512 * start]);
            for attached in &mut both {
                let got = attached.walk(&args).unwrap_or_else(|e| panic!("{hook}: {e}"));
                assert_same(hook, f, &got, &wanted.run(&args));
            }
        }
    }
}

/// A disk that takes 10 ms for each read, and calls that may take 35.
fn timeouts() {
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "chase").expect("it is declared");
    let disk = machine::null_disk("sluggish", 4, 2, 10_000_000);
    std::fs::write(&disk, nodes::image()).expect("the disk has room");
    let (short, deep) = (nodes::chain(2, 5), nodes::chain(10, 5));
    let [short_call, deep_call] = [short, deep].map(|(start, _)| chase_arguments { start });
    let late = |e: &ExecError| matches!(e, ExecError::Io(e) if e.kind() == std::io::ErrorKind::TimedOut);
    for hook in HOOKS {
        let mut attached = attach(f, &disk, hook, true);
        attached.set_timeout(Some(Duration::from_millis(35)));
        match attached.lookup::<chase>(&deep_call) {
            Err(Failure::Exec(e)) => assert!(late(&e), "{hook}: {e}"),
            other => panic!("{hook}: ten reads take 100 ms: {other:?}"),
        }
        let got = attached.lookup::<chase>(&short_call).unwrap_or_else(|e| panic!("{hook}: two reads take 20 ms: {e}"));
        assert_eq!(got, short.1, "{hook}");
        let mut ended = 0;
        let calls = [short_call.clone(), deep_call.clone()];
        let many = attached.lookup_many::<chase>(calls, |i, got| {
            assert_eq!((i, got), (0, Ok(short.1)), "{hook}");
            ended += 1;
        });
        assert!(many.as_ref().is_err_and(late) && ended == 1, "{hook}: {many:?}, {ended}");
        attached.set_timeout(None);
        let got = attached.lookup::<chase>(&deep_call).unwrap_or_else(|e| panic!("{hook}: it may take its time: {e}"));
        assert_eq!(got, deep.1, "{hook}");
    }
}

/// Walks that would go on for minutes, cancelled by another thread: on a cached file, and on a disk that takes 1 ms for each read.
fn cancelled() {
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "circle").expect("it is declared");
    // A node that leads to the one behind it, and that one to itself.
    let node = |value: u64| [[512, value].map(u64::to_le_bytes).concat(), vec![0; 496]].concat();
    let image = [node(1), node(2)].concat();
    let disk = machine::null_disk("slow_circle", 1, 2, 1_000_000);
    std::fs::write(&disk, &image).expect("the disk has room");
    let long = || circle_arguments { start: 0, turns: 1_000_000 };
    let is_cancelled = |e: &ExecError| matches!(e, ExecError::Io(e) if e.raw_os_error() == Some(libc::ECANCELED));
    for (path, direct) in [(machine::file("circle", &image), false), (disk, true)] {
        for hook in HOOKS {
            let mut attached = attach(f, &path, hook, direct);
            let canceller = attached.canceller();
            let later = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                canceller.cancel();
            });
            match attached.lookup::<circle>(&long()) {
                Err(Failure::Exec(e)) => assert!(is_cancelled(&e), "{hook}: {e}"),
                other => panic!("{hook}: a million reads take longer: {other:?}"),
            }
            later.join().expect("it cancels");
            // It stays so, for one and for many, until it is taken back.
            let many = attached.lookup_many::<circle>([long(), long()], |i, got| panic!("{hook}: {i}: {got:?}"));
            assert!(many.as_ref().is_err_and(is_cancelled), "{hook}: {many:?}");
            attached.revive();
            let got = attached.lookup::<circle>(&circle_arguments { start: 0, turns: 3 });
            assert_eq!(got.unwrap_or_else(|e| panic!("{hook}: {e}")), 1 + 2 + 2, "{hook}");
        }
    }
}

/// A file that ends in the middle of a block.
fn short_reads() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let mut image = chain_image(400);
    image.truncate(512 * 300 + 100);
    let path = machine::file("odd", &image);
    let mut wanted = Interpreter::new(f, &path);
    for hook in HOOKS {
        for direct in [false, true] {
            let mut attached = attach(f, &path, hook, direct);
            for start in (280..302).chain((1..280).step_by(9)) {
                let args = words(&[512 * start]);
                let got = attached.walk(&args).unwrap_or_else(|e| panic!("{hook}: {start}: {e}"));
                assert_same(hook, f, &got, &wanted.run(&args));
            }
        }
    }
}

/// A ring of the program's own, in the same thread, with reads in flight all the time.
fn beside_another_ring() {
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "chase").expect("it is declared");
    let disk = machine::null_disk("shared", 4, 2, 50_000);
    let image = nodes::image();
    std::fs::write(&disk, &image).expect("the disk has room");
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_DIRECT).open(&disk);
    let file = file.expect("the disk is there");
    for hook in HOOKS {
        let mut attached = attach(f, &disk, hook, true);
        let mut own = by_hand::Reads::begin(&file);
        for n in 0..40 {
            let (start, want) = nodes::chain(6, n);
            let got = attached.lookup::<chase>(&chase_arguments { start });
            assert_eq!(got.unwrap_or_else(|e| panic!("{hook}: {e}")), want, "{hook}");
            own.turn(&image);
        }
    }
}

/// More rings than a task can register.
fn many_attached() {
    let spec = compile("chain.trav", CHAIN);
    let f = spec.traversals.iter().find(|f| f.name == "chase").expect("it is declared");
    let path = machine::file("many", &nodes::image());
    let before = kept();
    let mut all: Vec<_> = (0..20).map(|_| attach(f, &path, "hybrid", false)).collect();
    for n in 0..3 {
        for attached in &mut all {
            let (start, want) = nodes::chain(6, n);
            let got = attached.lookup::<chase>(&chase_arguments { start });
            assert_eq!(got.unwrap_or_else(|e| panic!("{e}")), want);
        }
    }
    drop(all);
    assert_kept(before, "hybrid");
}

/// How many programs, maps and links the kernel has. What is given up goes a moment later.
fn kept() -> [usize; 3] {
    [ProgInfoIter::default().count(), MapInfoIter::default().count(), LinkInfoIter::default().count()]
}

/// Waits until the kernel has no more than before.
fn assert_kept(before: [usize; 3], what: &str) {
    let mut now = kept();
    for _ in 0..100 {
        // Others may still be on their way out.
        if now.iter().zip(before).all(|(now, before)| *now <= before) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
        now = kept();
    }
    panic!("{what}: programs, maps and links before {before:?}, after {now:?}");
}

fn nothing_leaks() {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file("leaks", &chain_image(400));
    let before = kept();
    for hook in HOOKS {
        let mut attached = attach(f, &path, hook, true);
        assert_ne!(kept(), before, "{hook}: an attached hook is something that the kernel has");
        attached.walk(&words(&[512])).unwrap_or_else(|e| panic!("{hook}: {e}"));
        drop(attached);
        assert_kept(before, hook);
    }
}

/// A process that is killed in the middle of its walks.
fn killed() {
    let before = kept();
    for hook in HOOKS {
        let mut child = Command::new("/proc/self/exe")
            .arg(hook)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program can start itself");
        // It says so when it is at work.
        let mut byte = [0];
        std::io::Read::read_exact(&mut child.stdout.take().expect("it is piped"), &mut byte).expect("it gets to work");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
        assert_kept(before, hook);
    }
}

/// What that process does.
pub fn victim(hook: &str) -> ! {
    let spec = compile("chain.trav", CHAIN);
    let f = &spec.traversals[0];
    let path = machine::file(&format!("victim-{hook}"), &chain_image(400));
    let mut attached = attach(f, &path, hook, true);
    for start in (0..400).cycle() {
        attached.walk(&words(&[512 * start])).expect("the hook works");
        if start == 10 {
            let _ = std::io::stdout().write_all(b"!");
            let _ = std::io::stdout().flush();
        }
    }
    unreachable!("a cycle has no end");
}
