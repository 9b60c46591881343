//! The connection table: finds a connection by either of its keys, keeps it in a fixed slab, expires it by a wheel.
//!
//! A table knows keys and slots, not IPVS. It has no clock, thread, socket or random source: the time in milliseconds
//! and the hash key are arguments. It is sized once, never rehashes, never allocates after construction, and refuses
//! with a reason when full. One worker owns it, so nothing in it is shared or atomic.
//!
//! | part | file | what it holds |
//! | --- | --- | --- |
//! | keys | `key.rs` | a packet's endpoints as plain words |
//! | hash | `hash.rs`, `siphash.rs` | a keyed hash: four AES rounds, or SipHash-1-3 where the processor has no AES |
//! | bucket, index | `bucket.rs`, `index.rs` | one cache line of tags and slot numbers; primary and alternate bucket, one-level kicks |
//! | slab | `slab.rs` | the connections, each with a generation, and the free list |
//! | wheel | `wheel.rs` | when to look at a connection again |
//! | table | `table.rs`, `keys.rs`, `expiry.rs` | the three together: insert, look up, remove, expire, rekey |
//! | burst | `burst.rs` | look-ups in stages, so that memory arrives before it is needed |
//! | region | `region.rs` | the one piece of memory that all of it lives in |
//!
//! The invariants that the tests hold: an id whose connection went never answers again; a live connection is armed in
//! exactly one wheel slot, no later than its expiry; a key that is indexed is found, and found only by that key.
//! Unsafe code is confined to `region`, `prefetch` and the vector instructions in `hash` and `bucket`; see
//! `docs/adr/0003-connection-table.md`.

mod bucket;
mod burst;
mod expiry;
mod hash;
mod index;
mod key;
mod keys;
mod prefetch;
mod region;
pub mod siphash;
mod slab;
mod table;
mod wheel;

#[cfg(test)]
mod model_tests;

pub use burst::Probe;
pub use expiry::Expire;
pub use hash::{EntryHashes, Hash};
pub use key::{Direction, Key, Key4, Key6};
pub use region::Region;
pub use slab::{ConnId, Entry};
pub use table::{BuildError, ConnTable, Cursor, InsertError, Stats};
pub use wheel::TICK_MS;
