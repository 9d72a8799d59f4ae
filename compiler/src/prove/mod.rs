//! Proof, on the IR: what every value can be, which checks are needless, and whether each obligation holds.
//!
//! 1. [`number`] makes one value of what is computed twice, and [`essa`] gives what a condition has shown a name of its own (`Refine`), so that facts are facts about values.
//! 2. [`ranges`] finds the range of each value: its claim.
//! 3. [`discharge`] removes what the claims show, and answers the obligations, by [`evidence`] where they are of several values.
//! 4. [`cleanup`] drops what nothing uses any more; [`shore`] tests at run time what the claims alone do not show.
//! 5. [`find_evidence`], once the code is as it stays, finds the tests that cannot fail because of what holds of several values together.
//!
//! Why on the IR and not on the typed tree: a value has one definition, so a fact holds for good; everything called is inlined, so
//! one analysis sees whole walks; and what is found is written down in the form that the verifier checks.

mod atoms;
pub mod cleanup;
mod discharge;
mod essa;
mod evidence;
mod facts;
mod growth;
mod number;
mod ranges;
mod shore;

pub use evidence::find as find_evidence;

use crate::certificate::name_obligations;
use crate::diag::Diagnostic;
use crate::ir::Function;
use crate::ir::verify::is_well_formed;
use crate::opt::Effort;
use crate::source::SourceMap;

/// A function after proof.
pub struct Proved {
    /// With claims, without obligations; none when one does not hold.
    pub function: Option<Function>,
    /// What does not hold.
    pub diagnostics: Vec<Diagnostic>,
}

/// What else does not hold in a function that was lowered with errors. Nothing where they left no function that can be looked at.
pub fn judge(mut f: Function, sources: &SourceMap) -> Vec<Diagnostic> {
    cleanup::prune(&mut f);
    if !is_well_formed(&f) {
        return Vec::new();
    }
    answer(&mut f, sources)
}

/// Proves a lowered function. With [`Effort::Once`] in one round, after which some tests stay that a second one would show to be needless.
pub fn prove(mut f: Function, sources: &SourceMap, effort: Effort) -> Proved {
    let diagnostics = answer(&mut f, sources);
    if !diagnostics.is_empty() {
        return Proved { function: None, diagnostics };
    }
    let mut graph = cleanup::prune(&mut f);
    cleanup::drop_unused(&mut f, &graph);
    // What was removed may have been all that kept a range wide.
    ranges::narrow(&mut f, &graph);
    if effort == Effort::Many && discharge::simplify(&mut f) {
        graph = cleanup::prune(&mut f);
        cleanup::drop_unused(&mut f, &graph);
        // These stay, so loops are looked at as they have become.
        ranges::find(&mut f, &graph);
    }
    shore::shore_up(&mut f);
    cleanup::keep_slots(&mut f, &graph);
    Proved { function: Some(f), diagnostics: Vec::new() }
}

/// The first round: names for facts, ranges, and the obligations answered.
fn answer(f: &mut Function, sources: &SourceMap) -> Vec<Diagnostic> {
    let graph = cleanup::prune(f);
    cleanup::drop_unused(f, &graph);
    name_obligations(f);
    number::number(f, &graph);
    essa::insert(f, &graph);
    ranges::find(f, &graph);
    discharge::discharge(f, &graph, sources)
}
