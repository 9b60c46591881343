//! inet

#![forbid(unsafe_code)]
