//! What code generation must know of a hook: how the program reaches its memory, and how it tells what it wants.

use super::abi;
use super::entry;
use super::error::BpfError;
use super::kernel::Function;
use super::profile::{Profile, Shape};
use super::ring::RingLayout;
use crate::ir;

/// The target of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where state and block are.
    pub areas: Areas,
    /// Bytes of the block area that the program may touch.
    pub block_size: u32,
    /// Bytes of stack.
    pub stack_size: u32,
    /// What the hook enters, where it is not the step.
    pub entered: Option<Entered>,
}

/// Where state and block are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Areas {
    /// In maps whose addresses the loader fills in. What the program wants is what it returns.
    Maps,
    /// Behind pointers in the context, which is also told what the program wants.
    Context(Context),
    /// Behind two pointers that the step is called with, the state first. What it wants is what it returns.
    Arguments,
}

/// The program that a hook enters where that is not the step itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entered {
    /// Reads by calls, runs all steps.
    Pull {
        /// Only what is in the page cache is read.
        cached: bool,
        /// Where the context has the file and the command of the ioctl(2), when that enters the program.
        given: Option<(i16, i16)>,
    },
    /// Reaps completions, runs the steps of their walks, submits reads.
    Loop {
        /// Where all lies in the memory that it shares with user space.
        ring: RingLayout,
        /// What is in the page cache is read at once.
        cached: bool,
        /// How many sources a walk reads from.
        sources: u32,
    },
}

/// Byte offsets in the context of a hook whose kernel makes the reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context {
    /// The pointer to the block.
    pub data: i16,
    /// The pointer to the scratch memory, which holds the state.
    pub scratch: i16,
    /// 32 bits: the walk is over.
    pub done: i16,
    /// The byte offset of the next read.
    pub next: i16,
    /// Its length.
    pub size: i16,
    /// 32 bits each: the file of the block, and the file of the next read. Where the context has them, a walk stays in its file.
    pub files: Option<(i16, i16)>,
    /// What the offset must be a multiple of; a power of two.
    pub align: u32,
}

/// The most bytes of a block area: offsets are compared as signed 32-bit immediates.
const BLOCK_MAX: u64 = i32::MAX as u64 - 4096;

impl Target {
    /// The target for a traversal under a profile.
    pub fn of(f: &ir::Function, profile: &Profile) -> Result<Target, BpfError> {
        profile.fit(f)?;
        let capacity = abi::block_capacity(f);
        if capacity > BLOCK_MAX {
            return Err(BpfError::ReadTooLarge { needed: capacity, limit: BLOCK_MAX });
        }
        let calls = |name: &str| profile.calls.iter().any(|call| call == name);
        let (areas, entered) = match profile.shape {
            Shape::Harness => (Areas::Maps, None),
            Shape::Callback => (Areas::Context(context(profile)?), None),
            Shape::Pull => {
                (Areas::Maps, Some(Entered::Pull { cached: calls(Function::RcuLock.name()), given: given(profile)? }))
            }
            Shape::Loop => {
                let ring = profile.ring.ok_or_else(|| BpfError::NotEmitted("a loop without `[ring]`".into()))?;
                let ring = RingLayout::of(f, &ring).ok_or(BpfError::StateTooLarge)?;
                let sources = f.sources.len() as u32;
                (Areas::Arguments, Some(Entered::Loop { ring, cached: calls(Function::FromFile.name()), sources }))
            }
        };
        let area = match &entered {
            Some(Entered::Loop { ring, .. }) => ring.block_stride.into(),
            _ => abi::block_area_size(capacity),
        };
        let block_size = profile.block.visible_bytes.unwrap_or(area).min(BLOCK_MAX) as u32;
        let entry_stack = entered.as_ref().map_or(0, |_| entry::STACK_BYTES);
        let stack_size = profile.limits.stack_bytes.saturating_sub(entry_stack);
        Ok(Target { areas, block_size, stack_size, entered })
    }
}

/// Fields of the context of an ioctl(2).
const GIVEN: &str = "file";
const COMMAND: &str = "command";

fn given(profile: &Profile) -> Result<Option<(i16, i16)>, BpfError> {
    match profile.context[..] {
        [] => Ok(None),
        _ => Ok(Some((offset(profile, GIVEN)?, offset(profile, COMMAND)?))),
    }
}

fn offset(profile: &Profile, name: &str) -> Result<i16, BpfError> {
    let field = profile.context.iter().find(|field| field.name == name);
    let offset = field.and_then(|field| field.offset).and_then(|offset| i16::try_from(offset).ok());
    offset.ok_or_else(|| BpfError::NotEmitted(format!("a profile without the context field `{name}`")))
}

/// Fields of a context that knows several files.
const FILE: &str = "cur_fd";
const FILES: &str = "fd_arr";

fn context(profile: &Profile) -> Result<Context, BpfError> {
    if let Some(field) = profile.context.iter().find(|field| field.offset.is_none()) {
        return Err(BpfError::NotEmitted(format!(
            "the offset of `{}` in `{}` is not known; a profile of your kernel can tell it",
            field.name, profile.program.context
        )));
    }
    let offset = |name: &str| offset(profile, name);
    let files = profile.context.iter().any(|field| field.name == FILES);
    let files = files.then(|| Ok((offset(FILE)?, offset(FILES)?))).transpose()?;
    // An offset is tested with a mask.
    let align = u32::try_from(profile.read.align_bytes).ok().filter(|align| align.is_power_of_two());
    let align = align.ok_or_else(|| BpfError::NotEmitted("an alignment that is no power of two".into()))?;
    Ok(Context {
        data: offset("data")?,
        scratch: offset("scratch")?,
        done: offset("done")?,
        next: offset("next_addr")?,
        size: offset("size")?,
        files,
        align,
    })
}
