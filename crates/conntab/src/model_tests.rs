//! The table against a plain model.
