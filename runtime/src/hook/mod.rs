//! Hooks: a walk over a file that runs in the kernel where the kernel has a place for it, and in this process where not.
//!
//! [`Hook::attach`] tries the profiles that it was given, the best first, by what the kernel has and takes (never by its version), and
//! falls back to native code over pread(2). [`Hook::choice`] says what it took, and why not something better. Whatever it took gives
//! the same answers; a block that the kernel's side cannot read, because of a fault of the disk or because the file ends there,
//! is read once more from here, which tells the one from the other.
//!
//! [`Hook::lookup`], [`Hook::lookup_many`] and [`Hook::stream`] take and give the types that `trav build --emit types` writes;
//! [`Hook::walk`] takes and gives bytes.
//!
//! Rights: CAP_BPF and CAP_PERFMON while attaching; none afterwards. A hook stays in its thread: the ring belongs to the thread that made it.
//! Nothing of it outlives it: programs, maps, link and ring go with the [`Hook`], or with the process.

mod cancel;
#[cfg(feature = "kernel")]
mod enter;
mod lookup;
mod native;
#[cfg(feature = "kernel")]
mod probe;
#[cfg(feature = "kernel")]
mod pull;
#[cfg(feature = "kernel")]
mod ring;
mod timed;
#[cfg(feature = "kernel")]
mod uring;

use crate::exec::steps::Machine;
use crate::exec::{ExecError, Executor, FaultReport, Hop, Trace};
use crate::image::{FileImage, Sources};
pub use cancel::{Canceller, is_cancelled};
use cancel::{Deadline, Flag};
pub use lookup::{Failure, Fault, Rows};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use timed::Timed;
use trav_compiler::bpf::abi::StateLayout;
use trav_compiler::bpf::profile::Profile;
use trav_compiler::ir::verify::Verified;

/// How to attach.
#[derive(Clone, Debug)]
pub struct Options {
    /// The profiles to try, in this order.
    pub profiles: Vec<Profile>,
    /// Whether native code may take the place of a hook.
    pub fall_back: bool,
    /// Whether blocks are read past the page cache (`O_DIRECT`). The walk's reads must be aligned as the file wants it; others are made
    /// from here, through the cache.
    pub direct: bool,
}

/// The built-in profiles of hooks that a stock kernel may have. The best for cached files comes first.
const STOCK: [&str; 4] = ["hybrid", "uring", "lsm", "file"];

impl Default for Options {
    fn default() -> Self {
        let named = |name: &str| Profile::named(name).expect("the profile is built in");
        Options { profiles: STOCK.map(named).into(), fall_back: true, direct: false }
    }
}

/// What an attached hook is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The profile's name; none for native code.
    pub profile: Option<String>,
    /// For each profile that was tried before, its name and why it was not taken.
    pub refused: Vec<(String, String)>,
}

impl std::fmt::Display for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.profile {
            Some(name) => write!(f, "hook `{name}`")?,
            None => write!(f, "native code over pread")?,
        }
        for (name, why) in &self.refused {
            write!(f, "\n  not `{name}`: {why}")?;
        }
        Ok(())
    }
}

/// A traversal and a file, attached.
pub struct Hook {
    choice: Choice,
    walker: Box<dyn Walker>,
    function: Verified,
    layout: StateLayout,
    sources: Sources,
    /// The signature of the types that have been compared with the traversal's.
    known: Option<&'static str>,
    /// Arguments and an answer, laid out.
    buffer: Vec<u8>,
    /// The reads of the last walk that were made from here.
    hops: Vec<Hop>,
    /// A stream has been begun and is not over.
    going_on: bool,
    file: Arc<Timed>,
    timeout: Option<Duration>,
    canceller: Canceller,
}

/// How one of many walks ended.
enum Ended<'a> {
    /// With a result, laid out.
    Done(&'a [u8]),
    /// With a fault, after these reads from here.
    Fault(FaultReport, &'a [Hop]),
}

/// What runs the walks. The arguments have been checked.
trait Walker {
    /// Calls end so long from now, or when they end.
    fn start(&mut self, timeout: Option<Duration>);

    /// The deadlines of the programs that make reads by themselves.
    fn deadlines(&self) -> Vec<Deadline>;

    /// What runs a walk step by step.
    fn machine(&mut self) -> Result<&mut dyn Machine, ExecError>;

    /// One walk.
    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError>;

    /// One walk that is no stream: its result, or its fault and the reads made from here.
    fn result(
        &mut self,
        args: &[u8],
        out: &mut [u8],
        sources: &Sources,
        hops: &mut Vec<Hop>,
    ) -> Result<Option<FaultReport>, ExecError>;

    /// Many walks that are no streams. `next` lays the arguments of the next call out in zeroes, if there is one. Each is reported with
    /// its position, in any order.
    fn many(
        &mut self,
        layout: &StateLayout,
        next: &mut dyn FnMut(&mut [u8]) -> bool,
        sources: &Sources,
        each: &mut dyn FnMut(usize, Ended<'_>),
    ) -> Result<(), ExecError> {
        let (mut args, mut out) = (vec![0; layout.args_size as usize], vec![0; layout.out_size as usize]);
        let mut hops = Vec::new();
        for position in 0.. {
            args.fill(0);
            if !next(&mut args) {
                break;
            }
            hops.clear();
            match self.result(&args, &mut out, sources, &mut hops)? {
                None => each(position, Ended::Done(&out)),
                Some(report) => each(position, Ended::Fault(report, &hops)),
            }
        }
        Ok(())
    }
}

impl Hook {
    /// Attaches a traversal to a file or block device.
    pub fn attach(traversal: &Verified, file: &Path, options: &Options) -> Result<Hook, ExecError> {
        if let Some(further) = traversal.sources[..traversal.sources_read()].get(1) {
            let why = format!("the walk may read from `{further}`, and a hook is attached to one file");
            return Err(ExecError::Refused(why));
        }
        let cancelled = Flag::default();
        let image = Arc::new(Timed::new(FileImage::open(file).map_err(ExecError::Io)?, cancelled.clone()));
        // The module's other sources, from which this walk does not read, have to be something.
        let sources = Sources { images: traversal.sources.iter().map(|_| image.clone() as Arc<_>).collect() };
        let layout = StateLayout::of(traversal);
        let layout = layout.ok_or_else(|| ExecError::Refused("the state area is larger than 2 GiB".into()))?;
        let mut choice = Choice::default();
        let mut taken = None;
        for profile in &options.profiles {
            match attach(traversal, &layout, file, profile, options, &cancelled) {
                Ok(walker) => {
                    choice.profile = Some(profile.name.clone());
                    taken = Some(walker);
                    break;
                }
                Err(why) => choice.refused.push((profile.name.clone(), why.to_string())),
            }
        }
        let walker = match taken {
            Some(walker) => walker,
            None if options.fall_back => Box::new(native::Native::prepare(traversal)?),
            None => {
                let why = choice.refused.iter().map(|(name, why)| format!("hook `{name}`: {why}"));
                return Err(ExecError::Refused(why.collect::<Vec<_>>().join("\n")));
            }
        };
        let function = traversal.clone();
        let canceller = Canceller::new(cancelled, walker.deadlines());
        Ok(Hook {
            choice,
            walker,
            function,
            layout,
            sources,
            known: None,
            buffer: Vec::new(),
            hops: Vec::new(),
            going_on: false,
            file: image,
            timeout: None,
            canceller,
        })
    }

    /// What was taken, and why.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// Gives each call so much time from its begin (a stream: each row), or no end. A call that takes longer ends before its next read with an error of the kind
    /// [`TimedOut`](std::io::ErrorKind::TimedOut); a read that has been begun is waited for.
    pub fn set_timeout(&mut self, timeout: Option<Duration>) {
        self.timeout = timeout;
        self.start(timeout);
    }

    fn start(&mut self, timeout: Option<Duration>) {
        self.file.start(timeout);
        self.walker.start(timeout);
        self.canceller.renew();
    }

    /// What ends this hook's calls from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// Calls are made again after they were cancelled.
    pub fn revive(&mut self) {
        self.canceller.revive();
        self.start(self.timeout);
    }

    /// A call begins.
    #[inline]
    fn begun(&mut self) {
        if self.timeout.is_some() {
            self.start(self.timeout);
        }
    }

    /// One walk. The arguments are laid out by the function's argument leaves.
    ///
    /// The hops that the trace lists are those that were made from here.
    pub fn walk(&mut self, args: &[u8]) -> Result<Trace, ExecError> {
        crate::exec::args::check(&self.function, args)?;
        self.going_on = false;
        self.begun();
        self.walker.walk(args, &self.sources)
    }
}

/// The hook has its own file: the images of a call are not looked at.
impl Executor for Hook {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn run(&mut self, args: &[u8], _: &Sources) -> Result<Trace, ExecError> {
        self.walk(args)
    }
}

#[cfg(not(feature = "kernel"))]
fn attach(
    _: &Verified,
    _: &StateLayout,
    _: &Path,
    _: &Profile,
    _: &Options,
    _: &Flag,
) -> Result<Box<dyn Walker>, ExecError> {
    Err(ExecError::Refused("this trav is built without the feature `kernel`".into()))
}

#[cfg(feature = "kernel")]
fn attach(
    traversal: &Verified,
    layout: &StateLayout,
    file: &Path,
    profile: &Profile,
    options: &Options,
    cancelled: &Flag,
) -> Result<Box<dyn Walker>, ExecError> {
    use trav_compiler::bpf::profile::Shape;
    let past = options.direct.then(|| profile.past_the_cache());
    let profile = past.as_ref().unwrap_or(profile);
    // What the profile cannot carry is told before what the kernel does not have.
    profile.fit(traversal).map_err(|e| ExecError::Refused(e.to_string()))?;
    probe::functions(profile).map_err(ExecError::Refused)?;
    let sources = crate::exec::kernel::nameless(traversal);
    let object = |profile: &Profile| {
        let object = trav_compiler::bpf::object(&[traversal], &sources, profile);
        object.map_err(|e| ExecError::Refused(e.to_string()))
    };
    match profile.shape {
        Shape::Pull => {
            let within = profile.within_the_cache().filter(|_| !options.direct);
            let objects = within.iter().chain([profile]).map(object).collect::<Result<Vec<_>, _>>()?;
            Ok(Box::new(pull::Pull::attach(traversal, layout, &objects, profile, file, options, cancelled)?))
        }
        Shape::Loop => {
            Ok(Box::new(ring::Ring::attach(traversal, layout, &object(profile)?, profile, file, options, cancelled)?))
        }
        Shape::Harness | Shape::Callback => {
            let (name, attach) = (&profile.program.context, &profile.program.attach);
            Err(ExecError::Refused(format!("no way to attach a program for `{name}` here: {attach}")))
        }
    }
}
