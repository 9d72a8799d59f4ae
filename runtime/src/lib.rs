//! Executors and images.
