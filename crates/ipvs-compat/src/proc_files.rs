//! The kernel's files about IPVS: absent, since what they would say is not about rvs.

use std::ffi::CStr;

use libc::{FILE, c_char};

use crate::set_errno;

const BEGINNING: &[u8] = b"/proc/net/ip_vs";

type Open = unsafe extern "C" fn(*const c_char, *const c_char) -> *mut FILE;

/// Stands in for fopen(3).
///
/// # Safety
/// As for fopen(3): both are strings that end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { open(c"fopen", path, mode) }
}

/// Stands in for fopen64(3).
///
/// # Safety
/// As for fopen(3): both are strings that end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fopen64(path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the caller's promise is the one that is asked for.
    unsafe { open(c"fopen64", path, mode) }
}

/// # Safety
/// `path` and `mode` are strings that end.
unsafe fn open(name: &CStr, path: *const c_char, mode: *const c_char) -> *mut FILE {
    // SAFETY: the caller says that it is a string.
    let wanted = unsafe { CStr::from_ptr(path) };
    if wanted.to_bytes().starts_with(BEGINNING) {
        set_errno(libc::ENOENT);
        return std::ptr::null_mut();
    }
    // SAFETY: the name is a string; the result is looked at before it is used.
    let next = unsafe { libc::dlsym(libc::RTLD_NEXT, name.as_ptr()) };
    if next.is_null() {
        set_errno(libc::ENOSYS);
        return std::ptr::null_mut();
    }
    // SAFETY: libc's function of that name has this type.
    let next = unsafe { std::mem::transmute::<*mut libc::c_void, Open>(next) };
    // SAFETY: the arguments are the caller's.
    unsafe { next(path, mode) }
}
