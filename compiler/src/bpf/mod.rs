//! eBPF: from verified IR to instructions, and from those to an object that Linux loads.

pub mod abi;
