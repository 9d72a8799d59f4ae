//! Machine code made early: while a walk is still being proved, the code of one that is verified is made on the other core.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use trav_compiler::ir::verify::Verified;
use trav_runtime::exec::native::{Native, executor};
use trav_runtime::exec::{Effort, ExecError, Executor};

/// The code of walks for one call, by their names.
#[derive(Default)]
pub struct Early(Mutex<HashMap<String, Result<Native, ExecError>>>);

impl Early {
    /// Makes the code of a walk.
    pub fn make(&self, walk: &Verified) {
        let made = executor(walk, Effort::Once);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(walk.name.clone(), made);
    }

    /// Hands it out, or makes it.
    pub fn take(&self, walk: &Verified) -> Result<Box<dyn Executor>, ExecError> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&walk.name);
        Ok(Box::new(made.unwrap_or_else(|| executor(walk, Effort::Once))?))
    }
}
