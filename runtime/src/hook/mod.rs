//! Hooks: a walk over a file that runs in the kernel where the kernel has a place for it, and in this process where not.
//!
//! [`Hook::attach`] tries the profiles that it was given, the best first, by what the kernel has and takes (never by its version), and
//! falls back to native code over pread(2). [`Hook::choice`] says what it took, and why not something better. Whatever it took gives
//! the same answers; a block that the kernel's side cannot read, because of a fault of the disk or because the file ends there,
//! is read once more from here, which tells the one from the other.
//!
//! Rights: CAP_BPF and CAP_PERFMON while attaching; none afterwards. A hook stays in its thread: the ring belongs to the thread that made it.
//! Nothing of it outlives it: programs, maps, link and ring go with the [`Hook`], or with the process.

#[cfg(feature = "kernel")]
mod probe;
#[cfg(feature = "kernel")]
mod pull;
#[cfg(feature = "kernel")]
mod ring;
#[cfg(feature = "kernel")]
mod uring;

use crate::exec::{ExecError, Executor, Trace, native};
use crate::image::{FileImage, Sources};
use std::path::Path;
use std::sync::Arc;
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
const STOCK: [&str; 3] = ["hybrid", "uring", "file"];

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
    sources: Sources,
}

/// What runs the walks. The arguments have been checked.
trait Walker {
    /// One walk.
    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError>;

    /// Many walks. Each is reported with its position, in any order.
    fn walk_many(
        &mut self,
        calls: &mut dyn Iterator<Item = Vec<u8>>,
        sources: &Sources,
        each: &mut dyn FnMut(usize, Trace),
    ) -> Result<(), ExecError> {
        for (i, args) in calls.enumerate() {
            each(i, self.walk(&args, sources)?);
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
        let image = Arc::new(FileImage::open(file).map_err(ExecError::Io)?);
        // The module's other sources, from which this walk does not read, have to be something.
        let sources = Sources { images: traversal.sources.iter().map(|_| image.clone() as Arc<_>).collect() };
        let mut choice = Choice::default();
        for profile in &options.profiles {
            match attach(traversal, file, profile, options) {
                Ok(walker) => {
                    choice.profile = Some(profile.name.clone());
                    return Ok(Hook { choice, walker, function: traversal.clone(), sources });
                }
                Err(why) => choice.refused.push((profile.name.clone(), why.to_string())),
            }
        }
        if !options.fall_back {
            let why = choice.refused.iter().map(|(name, why)| format!("hook `{name}`: {why}"));
            return Err(ExecError::Refused(why.collect::<Vec<_>>().join("\n")));
        }
        let walker = Box::new(Native(native::prepare(traversal)?));
        Ok(Hook { choice, walker, function: traversal.clone(), sources })
    }

    /// What was taken, and why.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }

    /// One walk. The arguments are laid out by the function's argument leaves.
    ///
    /// The hops that the trace lists are those that were made from here.
    pub fn lookup(&mut self, args: &[u8]) -> Result<Trace, ExecError> {
        crate::exec::args::check(&self.function, args)?;
        self.walker.walk(args, &self.sources)
    }

    /// Many walks, as many at once as the hook can keep in flight. Each is reported with its position among the calls, in any order.
    pub fn lookup_many(
        &mut self,
        calls: impl IntoIterator<Item = Vec<u8>>,
        mut each: impl FnMut(usize, Trace),
    ) -> Result<(), ExecError> {
        let function = &self.function;
        let mut wrong = None;
        let mut checked = calls.into_iter().map_while(|args| match crate::exec::args::check(function, &args) {
            Ok(()) => Some(args),
            Err(e) => {
                wrong = Some(e);
                None
            }
        });
        self.walker.walk_many(&mut checked, &self.sources, &mut each)?;
        wrong.map_or(Ok(()), Err)
    }
}

/// The hook has its own file: the images of a call are not looked at.
impl Executor for Hook {
    fn name(&self) -> &'static str {
        "kernel"
    }

    fn run(&mut self, args: &[u8], _: &Sources) -> Result<Trace, ExecError> {
        self.lookup(args)
    }
}

/// Native code, where no hook can be had.
struct Native(native::Native);

impl Walker for Native {
    fn walk(&mut self, args: &[u8], sources: &Sources) -> Result<Trace, ExecError> {
        self.0.run(args, sources)
    }
}

#[cfg(not(feature = "kernel"))]
fn attach(_: &Verified, _: &Path, _: &Profile, _: &Options) -> Result<Box<dyn Walker>, ExecError> {
    Err(ExecError::Refused("this trav is built without the feature `kernel`".into()))
}

#[cfg(feature = "kernel")]
fn attach(
    traversal: &Verified,
    file: &Path,
    profile: &Profile,
    options: &Options,
) -> Result<Box<dyn Walker>, ExecError> {
    use trav_compiler::bpf::profile::Shape;
    // What the profile cannot carry is told before what the kernel does not have.
    profile.fit(traversal).map_err(|e| ExecError::Refused(e.to_string()))?;
    probe::functions(profile).map_err(ExecError::Refused)?;
    let sources = crate::exec::kernel::nameless(traversal);
    let object = trav_compiler::bpf::object(&[traversal], &sources, profile);
    let object = object.map_err(|e| ExecError::Refused(e.to_string()))?;
    match profile.shape {
        Shape::Pull => Ok(Box::new(pull::Pull::attach(traversal, &object, file, options)?)),
        Shape::Loop => Ok(Box::new(ring::Ring::attach(traversal, &object, profile, file, options)?)),
        Shape::Harness | Shape::Callback => {
            let (name, attach) = (&profile.program.context, &profile.program.attach);
            Err(ExecError::Refused(format!("no way to attach a program for `{name}` here: {attach}")))
        }
    }
}
