//! conntab
