//! What DPDK's functions say when they fail, and what is wrong with a name before they are asked.

use std::ffi::{CStr, CString, c_int};
use std::fmt;

use dpdk_sys as sys;

/// An error number of the system or of DPDK, positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// From a function that returns a negative error number.
    pub(crate) fn of_return(code: c_int) -> Self {
        Self(code.saturating_neg())
    }

    /// From a function that leaves its error in the thread's `rte_errno`.
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local integer.
        Self(unsafe { sys::rvs_errno() })
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: rte_strerror returns a NUL-terminated string in this thread's own buffer, or a literal, for any
        // number; it is read before this thread can call it again.
        let text = unsafe { CStr::from_ptr(sys::rte_strerror(self.0)) };
        write!(f, "{} (error {})", text.to_string_lossy(), self.0)
    }
}

/// Why a text cannot be a name in DPDK.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a name must not be empty")]
    Empty,
    #[error("'{name}' is longer than the {max} bytes that a name may have")]
    TooLong { name: String, max: usize },
    #[error("'{}' contains a NUL byte", name.escape_default())]
    Nul { name: String },
}

/// `name` for C, if it fits in `size` bytes with its NUL.
pub(crate) fn c_name(name: &str, size: u32) -> Result<CString, NameError> {
    let max = size as usize - 1;
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > max {
        return Err(NameError::TooLong { name: name.to_owned(), max });
    }
    CString::new(name).map_err(|_| NameError::Nul { name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bounded() {
        let cases = [
            ("fits", "abc", 4, Ok(c"abc".to_owned())),
            ("empty", "", 4, Err(NameError::Empty)),
            ("no room for NUL", "abcd", 4, Err(NameError::TooLong { name: "abcd".into(), max: 3 })),
            ("NUL inside", "a\0b", 8, Err(NameError::Nul { name: "a\0b".into() })),
        ];
        for (name, input, size, want) in cases {
            assert_eq!(c_name(input, size), want, "{name}");
        }
    }

    #[test]
    fn error_numbers_are_told_in_words() {
        assert_eq!(Errno::of_return(-22).to_string(), "Invalid argument (error 22)");
    }
}
