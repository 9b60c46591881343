//! Home of the tests that are about the repository as a whole (`tests/tidy.rs`); the end-to-end suites live in
//! `tests/e2e`.

#![forbid(unsafe_code)]
