//! The compiler's tests: one binary, one module per part.

mod ir;
