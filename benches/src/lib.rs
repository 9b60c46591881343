//! Benchmarks of single parts of rvs. Each file in `benches/` is one; run it with `cargo bench -p rvs-benches --bench NAME`.

#![forbid(unsafe_code)]
