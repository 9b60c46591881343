//! Raw bindings to the distribution's libdpdk 22.11: bindgen's output, and `shim.c` for what DPDK offers only as static
//! inlines, macros or thread-local variables (`rvs_*`). Nothing else lives here; the safe face is the crate `dpdk`.
#![no_std]
#![allow(non_camel_case_types, non_snake_case, non_upper_case_globals)]
#![allow(clippy::all, clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
