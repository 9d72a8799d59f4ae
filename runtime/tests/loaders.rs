//! The emitted objects and the loaders that people use: libbpf's `bpftool`, and aya. (The kernel executor is libbpf-rs.)

use aya::VerifierLogLevel;
use aya::programs::{ProgramError, SchedClassifier};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::verify::Verified;
use trav_compiler::{bpf, compile, source::SourceMap};
use trav_runtime::exec::kernel;

/// No modules of the user's own.
struct NoModules;

impl trav_compiler::Loader for NoModules {
    fn load(&self, _: &[&str]) -> Option<(String, String)> {
        None
    }
}

/// The examples' walks and their objects; empty where the kernel cannot be used, which is printed.
fn objects() -> Vec<(Vec<Verified>, Vec<u8>)> {
    if let Err(why) = kernel::available() {
        println!("skipped, because {why}");
        return Vec::new();
    }
    let profile = Profile::named("test").expect("the harness's profile is built in");
    let object = |file: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let done = compile(file, &text, &NoModules);
        assert!(done.diagnostics.is_empty(), "{file}: {:#?}", done.diagnostics);
        let walks: Vec<&Verified> = done.traversals.iter().collect();
        let elf = object_of(&walks, &done.sources, &profile);
        (done.traversals, elf)
    };
    ["bpfkv/bpfkv.trav", "list/list.trav"].into_iter().map(object).collect()
}

fn object_of(walks: &[&Verified], sources: &SourceMap, profile: &Profile) -> Vec<u8> {
    bpf::object(walks, sources, profile).expect("the examples fit the harness")
}

/// Has aya read an object and the kernel take programs of it.
///
/// The kernel's verifier gives up with EAGAIN where a signal, or other work, waits for the thread, as it does on a busy machine; libbpf, too, tries five
/// times then. aya tries once more after any error, with room for the verifier's log, which the kernel refuses with EINVAL unless something is to be
/// logged; so the statistics are asked for, lest EINVAL be all that is told.
pub fn aya_loads<'a>(elf: &[u8], names: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    const TRIES: u32 = 5;
    let mut loader = aya::EbpfLoader::new();
    let loaded = loader.verifier_log_level(VerifierLogLevel::STATS).load(elf);
    let mut loaded = loaded.map_err(|e| format!("aya reads the object: {e}"))?;
    for name in names {
        let program = loaded.program_mut(name).ok_or_else(|| format!("aya finds {name}"))?;
        let program: &mut SchedClassifier = program.try_into().map_err(|e| format!("{name} is a classifier: {e}"))?;
        let is_interrupted = |e: &ProgramError| match e {
            ProgramError::LoadError { io_error, .. } => io_error.kind() == ErrorKind::WouldBlock,
            _ => false,
        };
        let mut tried = 1;
        while let Err(e) = program.load() {
            if tried == TRIES || !is_interrupted(&e) {
                return Err(format!("the kernel takes {name} from aya: {e:?}"));
            }
            tried += 1;
        }
    }
    Ok(())
}

#[test]
fn aya_loads_the_objects() {
    for (walks, elf) in objects() {
        aya_loads(&elf, walks.iter().map(|walk| &walk.name[..])).unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn bpftool_loads_the_objects_and_the_log_shows_the_spec() {
    if Command::new("bpftool").arg("version").output().is_err() {
        return println!("skipped, because there is no bpftool");
    }
    let pins = Path::new("/sys/fs/bpf");
    for (number, (walks, elf)) in objects().into_iter().enumerate() {
        let folder = std::env::temp_dir();
        let file = folder.join(format!("trav-loaders-{}-{number}.bpf.o", std::process::id()));
        std::fs::write(&file, &elf).expect("a file can be written");
        let pin = pins.join(format!("trav-loaders-{}-{number}", std::process::id()));
        let load = Command::new("bpftool").args(["-d", "prog", "loadall"]).args([&file, &pin]).output();
        let load = load.expect("bpftool runs");
        let log = String::from_utf8_lossy(&load.stderr).into_owned() + &String::from_utf8_lossy(&load.stdout);
        let _ = std::fs::remove_dir_all(&pin);
        let _ = std::fs::remove_file(&file);
        if log.contains("mount the bpf fs") || log.contains("not in bpf file system") {
            return println!("skipped, because there is no BPF file system at {}", pins.display());
        }
        assert!(load.status.success(), "{log}");
        assert!(log.contains("; "), "the log has lines of the source");
        for walk in &walks {
            assert!(log.contains(&walk.name), "{} in the log:\n{log}", walk.name);
        }
        // The first statement of each walk reads something.
        assert!(
            log.lines().any(|line| line.starts_with("; ") && line.contains("read ")),
            "a line of the spec in:\n{log}"
        );
    }
}
