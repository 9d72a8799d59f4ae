//! Verified IR → eBPF.
