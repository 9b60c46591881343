//! ipvs

#![forbid(unsafe_code)]
