//! The certificate of a traversal: upper bounds on what a call costs.
