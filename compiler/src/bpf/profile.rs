//! Hook profiles: what a storage hook gives and takes, as data.
//!
//! A profile is a text in TOML; those of the hooks that are known are built in. No code asks a profile for its name: what a hook can do is
//! in its fields, and [`Profile::fit`] measures a verified traversal against them.

use super::error::BpfError;
use super::kernel::Function as Call;
use super::{abi, align};
use crate::ir::{Block, Function, Terminator};
use serde::Deserialize;

/// A storage hook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// What it is called by on the command line.
    pub name: String,
    /// One line on it.
    pub summary: String,
    /// The first kernel that has it, as far as is known.
    pub kernel: String,
    /// How it runs a walk.
    pub shape: Shape,
    /// The program.
    pub program: ProgramKind,
    /// The context's fields that the program uses.
    #[serde(default)]
    pub context: Vec<Field>,
    /// The block just read.
    pub block: BlockArea,
    /// The memory that outlives a step.
    pub scratch: Scratch,
    /// Which reads can be asked for.
    pub read: Reads,
    /// The ring, where the program submits reads to one.
    pub ring: Option<Ring>,
    /// The structure of functions as which the program is registered, where the hook is one.
    pub operations: Option<Operations>,
    /// How the end is told.
    pub end: Ends,
    /// What the kernel's verifier allows.
    pub limits: Limits,
    /// Helpers and kernel functions that the program may call.
    #[serde(default)]
    pub calls: Vec<String>,
}

/// Who makes the reads, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// One run is one step; the caller makes the reads (see [`abi`]).
    Harness,
    /// One run is one step, when a read completes; the kernel makes the next one.
    Callback,
    /// The program submits reads itself and is run again when they complete.
    Loop,
    /// One run is a whole walk; reads are calls.
    Pull,
}

/// Program type, section and instruction set.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProgramKind {
    /// The kernel's name for the type, without `BPF_PROG_TYPE_`.
    pub r#type: String,
    /// The ELF section, by which loaders know the type.
    pub section: String,
    /// The structure to which the argument points.
    pub context: String,
    /// Whether it may sleep.
    #[serde(default)]
    pub sleepable: bool,
    /// How it gets to run.
    pub attach: String,
    /// The instructions it may use.
    pub isa: Isa,
}

/// Levels of the instruction set, as LLVM counts them; and what Linux and the user-space machines have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isa {
    /// 64-bit arithmetic and jumps only.
    Portable,
    /// The first.
    V1,
    /// More jumps.
    V2,
    /// 32-bit arithmetic and jumps.
    V3,
    /// Signed division, sign-extending loads and moves, byte swaps.
    V4,
}

/// A field of the context.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Byte offset, if it is known.
    pub offset: Option<u32>,
    /// Bytes.
    pub size: u32,
    /// Whether the program writes it (else it reads it).
    #[serde(default)]
    pub written: bool,
}

/// What the program sees of a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BlockArea {
    /// Bytes that the kernel's verifier lets it touch, read or not; none when that follows the program.
    pub visible_bytes: Option<u64>,
    /// Whether user space can change it meanwhile.
    pub shared_with_user: bool,
}

/// Memory for arguments, frame and result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scratch {
    /// Bytes; none for as many as the program wants.
    pub bytes: Option<u32>,
    /// Whether user space can change it meanwhile.
    pub shared_with_user: bool,
    /// How long it lives.
    pub lifetime: String,
}

/// The reads of a hook.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reads {
    /// Offsets and lengths are multiples of this.
    pub align_bytes: u64,
    /// The most bytes of one read; none for no limit of its own.
    pub most_bytes: Option<u64>,
    /// Reads in flight.
    pub fan_out: u32,
    /// How many sources a walk can read from.
    pub sources: u32,
    /// Whether a read may cross the end of an extent.
    pub crosses_extents: bool,
}

/// A structure of functions (struct_ops).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Operations {
    /// The kernel's name for it.
    pub structure: String,
    /// The function that the program is.
    pub member: String,
}

/// The ring of a program that submits its reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ring {
    /// Walks in flight, a power of two; each has its own block area.
    pub walks: u32,
    /// Calls that user space can hand over at once; as many as walks or more.
    pub calls: u32,
}

/// How the end of a walk is told, in words; and whether a fault's number reaches the caller.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ends {
    /// The walk is over.
    pub done: String,
    /// The walk ended in a fault.
    pub fault: String,
}

/// Limits of the verifier and of the run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// Instructions of one program.
    pub insns: u64,
    /// Bytes of stack.
    pub stack_bytes: u32,
    /// Hops of one walk; none where only the walk itself bounds them.
    pub hops: Option<u64>,
}

/// The built-in profiles: their names and texts. Reading a text takes longer than compiling a small walk, so only what is wanted is read.
const BUILT_IN: [(&str, &str); 7] = [
    ("test", include_str!("profiles/test.toml")),
    ("xrp", include_str!("profiles/xrp.toml")),
    ("bpfof", include_str!("profiles/bpfof.toml")),
    ("uring", include_str!("profiles/uring.toml")),
    ("hybrid", include_str!("profiles/hybrid.toml")),
    ("file", include_str!("profiles/file.toml")),
    ("lsm", include_str!("profiles/lsm.toml")),
];

impl Profile {
    /// Reads a profile. The error says where the text is wrong.
    pub fn parse(text: &str) -> Result<Profile, String> {
        basic_toml::from_str(text).map_err(|e| e.to_string())
    }

    /// The profiles that are built in.
    pub fn built_in() -> Vec<Profile> {
        BUILT_IN.iter().map(|(name, text)| Profile::parse_built_in(name, text)).collect()
    }

    /// The built-in profile of this name.
    pub fn named(name: &str) -> Option<Profile> {
        Profile::text(name).map(|text| Profile::parse_built_in(name, text))
    }

    /// The text of the built-in profile of this name.
    pub fn text(name: &str) -> Option<&'static str> {
        BUILT_IN.into_iter().find(|(built_in, _)| *built_in == name).map(|(_, text)| text)
    }

    fn parse_built_in(name: &str, text: &str) -> Profile {
        let profile = Profile::parse(text).unwrap_or_else(|e| panic!("built-in profiles are well formed: {name}: {e}"));
        assert_eq!(profile.name, name, "built-in profiles stand under their names");
        profile
    }

    /// The profile for a file that is read past the page cache: a ring's program, which asks the disk anyway, does not look there.
    pub fn past_the_cache(&self) -> Profile {
        let look = [&Call::LOOK[..], &Call::FILE].concat();
        let needed = |call: &String| self.ring.is_none() || !look.iter().any(|look| call == look.name());
        let calls = self.calls.iter().filter(|call| needed(call)).cloned().collect();
        Profile { calls, ..self.clone() }
    }

    /// The profile for programs that read only what is in the page cache, where a program waits for what is not; none where it does not
    /// wait. In one program a read cannot do both.
    pub fn within_the_cache(&self) -> Option<Profile> {
        let look = Call::LOOK.map(Call::name);
        let waits = self.shape == Shape::Pull && !self.calls.iter().any(|call| call == look[0]);
        let calls = self.calls.iter().cloned().chain(look.map(String::from)).collect();
        waits.then(|| Profile { calls, ..self.clone() })
    }

    /// Whether a traversal fits the hook, as far as its size and its reads go.
    pub fn fit(&self, f: &Function) -> Result<(), BpfError> {
        let needed = abi::block_capacity(f);
        let reads = [self.read.most_bytes, self.block.visible_bytes].into_iter().flatten().min();
        if let Some(limit) = reads.filter(|limit| needed > *limit) {
            return Err(BpfError::ReadTooLarge { needed, limit });
        }
        if self.read.align_bytes.is_power_of_two()
            && let Some((behind, block)) = align::misaligned(f, self.read.align_bytes)
        {
            return Err(BpfError::Misaligned { read: read_of(f, block), behind, align: self.read.align_bytes });
        }
        let sources = f.sources_read() as u32;
        if sources > self.read.sources {
            return Err(BpfError::TooManySources { needed: sources, limit: self.read.sources });
        }
        let Some(limit) = self.scratch.bytes else { return Ok(()) };
        let needed = abi::StateLayout::of(f).ok_or(BpfError::StateTooLarge)?.size;
        if needed > limit { Err(BpfError::Scratch { needed, limit }) } else { Ok(()) }
    }
}

/// How a spec writes the read that ends a block: its fault quotes it.
fn read_of(f: &Function, block: Block) -> String {
    let Terminator::Hop { fault, .. } = f.block(block).term else { unreachable!("the block ends in a read") };
    let quoted = f.faults.get(fault.index()).and_then(|fault| fault.message.split('`').nth(1));
    quoted.map_or_else(|| "a read".into(), |text| format!("`{text}`"))
}
