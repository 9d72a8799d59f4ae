//! What code generation must know of a hook: how the program reaches its memory, and how it tells what it wants.

use super::abi;
use super::error::BpfError;
use super::profile::{Profile, Shape};
use crate::ir::Function;

/// The target of one program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where state and block are.
    pub areas: Areas,
    /// Bytes of the block area that the program may touch.
    pub block_size: u32,
    /// Bytes of stack.
    pub stack_size: u32,
}

/// Where state and block are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Areas {
    /// In maps whose addresses the loader fills in. What the program wants is what it returns.
    Maps,
    /// Behind pointers in the context, which is also told what the program wants.
    Context(Context),
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
    /// What the offset must be a multiple of; a power of two.
    pub align: u32,
}

/// The most bytes of a block area: offsets are compared as signed 32-bit immediates.
const BLOCK_MAX: u64 = i32::MAX as u64 - 4096;

impl Target {
    /// The target for a traversal under a profile.
    pub fn of(f: &Function, profile: &Profile) -> Result<Target, BpfError> {
        profile.fit(f)?;
        let areas = match profile.shape {
            Shape::Harness => Areas::Maps,
            Shape::Callback => Areas::Context(context(profile)?),
            Shape::Loop => return Err(unemitted(profile, "a loop that submits reads to a ring and reaps them")),
            Shape::Pull => return Err(unemitted(profile, "a loop that reads by calls and runs all steps at once")),
        };
        let capacity = abi::block_capacity(f);
        if capacity > BLOCK_MAX {
            return Err(BpfError::ReadTooLarge { needed: capacity, limit: BLOCK_MAX });
        }
        let block_size = profile.block.visible_bytes.unwrap_or(abi::block_area_size(capacity)).min(BLOCK_MAX) as u32;
        Ok(Target { areas, block_size, stack_size: profile.limits.stack_bytes })
    }
}

fn context(profile: &Profile) -> Result<Context, BpfError> {
    if let Some(field) = profile.context.iter().find(|field| field.offset.is_none()) {
        return Err(BpfError::NotEmitted(format!(
            "the offset of `{}` in `{}` is not known; a profile of your kernel can tell it",
            field.name, profile.program.context
        )));
    }
    let offset = |name: &str| {
        let field = profile.context.iter().find(|field| field.name == name);
        let offset = field.and_then(|field| field.offset).and_then(|offset| i16::try_from(offset).ok());
        offset.ok_or_else(|| BpfError::NotEmitted(format!("a profile without the context field `{name}`")))
    };
    // An offset is tested with a mask.
    let align = u32::try_from(profile.read.align_bytes).ok().filter(|align| align.is_power_of_two());
    let align = align.ok_or_else(|| BpfError::NotEmitted("an alignment that is no power of two".into()))?;
    Ok(Context {
        data: offset("data")?,
        scratch: offset("scratch")?,
        done: offset("done")?,
        next: offset("next_addr")?,
        size: offset("size")?,
        align,
    })
}

fn unemitted(profile: &Profile, what: &str) -> BpfError {
    BpfError::NotEmitted(format!("{what} (section `{}`, {})", profile.program.section, profile.summary))
}
