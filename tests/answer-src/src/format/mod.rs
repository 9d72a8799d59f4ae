//! The families of queries, one module a format.

mod ext;

use crate::query::{Failure, Query, Reply};
use crate::session::Session;

/// Who answers the queries with one prefix.
struct Family {
    /// What stands before the dot: `ext`.
    prefix: &'static str,
    /// Answers one query on its image; [`Failure::Unsupported`] for a name that it does not know.
    answer: fn(&mut Session<'_>, &Query) -> Reply,
}

const FAMILIES: &[Family] = &[Family { prefix: "ext", answer: ext::answer }];

/// Answers a query.
pub fn answer(session: &mut Session<'_>, query: &Query) -> Reply {
    let prefix = query.traversal.split('.').next().unwrap_or_default();
    let family = FAMILIES.iter().find(|f| f.prefix == prefix).ok_or(Failure::Unsupported)?;
    (family.answer)(session, query)
}
