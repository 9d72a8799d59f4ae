//! "Did you mean".

/// The candidate that is nearest to `name`, as the end of a message: empty when none is near.
pub fn did_you_mean<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> String {
    let scored = candidates.map(|c| (strsim::jaro_winkler(name, c), c));
    let near = scored.filter(|(score, _)| *score > 0.75).max_by(|a, b| a.0.total_cmp(&b.0));
    near.map_or(String::new(), |(_, c)| format!("; did you mean `{c}`?"))
}
