//! The check that arguments are what a function's claims about its parameters say.

use super::ExecError;
use trav_compiler::ir::schema::{Leaf, LeafKind};
use trav_compiler::ir::{Function, Ty};

/// Checks size and values. Every executor refuses the same arguments.
pub fn check(f: &Function, args: &[u8]) -> Result<(), ExecError> {
    let size: usize = f.args.iter().map(|leaf| leaf.kind.size() as usize).sum();
    if args.len() != size {
        let message = format!("the arguments: expected {size} bytes, found {}", args.len());
        return Err(ExecError::Arguments(message));
    }
    f.args.iter().try_for_each(|leaf| check_leaf(leaf, args))
}

fn check_leaf(leaf: &Leaf, args: &[u8]) -> Result<(), ExecError> {
    let at = leaf.offset as usize;
    let mut word = [0; 8];
    word.copy_from_slice(&args[at..at + 8]);
    let word = u64::from_le_bytes(word);
    let fits = match leaf.kind {
        LeafKind::Scalar { ty: Ty::Bool, .. } => word <= 1,
        LeafKind::Scalar { bits: 64.., .. } => true,
        LeafKind::Scalar { ty: Ty::U64, bits } => word >> bits == 0,
        LeafKind::Scalar { ty: Ty::I64, bits } => {
            let spare = 64 - u32::from(bits);
            (word as i64) << spare >> spare == word as i64
        }
        LeafKind::Bytes { max, fixed: true } => word == u64::from(max),
        LeafKind::Bytes { max, fixed: false } => word <= u64::from(max),
    };
    if fits {
        return Ok(());
    }
    let want = match leaf.kind {
        LeafKind::Scalar { ty: Ty::Bool, .. } => "false (0) or true (1)".to_owned(),
        LeafKind::Scalar { ty: Ty::U64, bits } => format!("an unsigned integer of {bits} bits"),
        LeafKind::Scalar { ty: Ty::I64, bits } => format!("a signed integer of {bits} bits"),
        LeafKind::Bytes { max, fixed: true } => format!("exactly {max} bytes"),
        LeafKind::Bytes { max, fixed: false } => format!("at most {max} bytes"),
    };
    Err(ExecError::Arguments(format!("`{}`: expected {want}, found {word}", leaf.name)))
}
