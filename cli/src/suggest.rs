//! "Did you mean".

use trav_compiler::check::nearest;

/// The candidate that is nearest to `name`, as the end of a message: empty when none is near.
pub fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}
