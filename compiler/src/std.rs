//! The standard library, built in.

/// The file name and text of a standard module (`["std", "ext4"]`).
pub fn standard(path: &[&str]) -> Option<(&'static str, &'static str)> {
    let _ = path;
    None
}

/// The names of all standard modules.
pub fn names() -> Vec<&'static str> {
    Vec::new()
}
