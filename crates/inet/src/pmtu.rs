//! Path MTUs that routers told us about (RFC 1191, RFC 8201), for destinations that we send to ourselves: tunnels.
//!
//! Invariant: bounded; when full, the entry made first goes. An entry counts for ten minutes, as in Linux.

use core::net::IpAddr;

use hashbrown::HashMap;

/// How long a learned path MTU holds.
pub const EXPIRY_MS: u64 = 600_000;

#[derive(Clone, Copy, Debug)]
struct Entry {
    mtu: u16,
    until_ms: u64,
}

/// One worker's path MTUs.
#[derive(Debug)]
pub struct PmtuCache {
    entries: HashMap<IpAddr, Entry>,
    order: Vec<IpAddr>,
    oldest: usize,
    limit: usize,
}

impl PmtuCache {
    /// A cache of at most `limit` destinations (at least 1).
    pub fn new(limit: usize) -> Self {
        let limit = limit.max(1);
        // Twice the room: removals then never make the map grow.
        let entries = HashMap::with_capacity(limit * 2 + 2);
        Self { entries, order: Vec::with_capacity(limit), oldest: 0, limit }
    }

    /// Notes that packets to `dst` may have `mtu` bytes. Only ever lowers a value that still holds; values below
    /// what every path carries are raised to it (IPv4: 552, Linux's floor against forged tiny values; IPv6: 1280).
    /// True if something changed.
    pub fn learn(&mut self, now_ms: u64, dst: IpAddr, mtu: u16) -> bool {
        let mtu = mtu.max(if dst.is_ipv4() { 552 } else { 1280 });
        let until_ms = now_ms + EXPIRY_MS;
        if let Some(entry) = self.entries.get_mut(&dst) {
            let changed = entry.until_ms <= now_ms || mtu < entry.mtu;
            if changed || mtu == entry.mtu {
                *entry = Entry { mtu, until_ms };
            }
            return changed;
        }
        if self.order.len() < self.limit {
            self.order.push(dst);
        } else {
            let replaced = core::mem::replace(&mut self.order[self.oldest], dst);
            self.entries.remove(&replaced);
            self.oldest = (self.oldest + 1) % self.limit;
        }
        self.entries.insert(dst, Entry { mtu, until_ms });
        true
    }

    /// The learned path MTU to `dst`, while it holds.
    pub fn get(&self, now_ms: u64, dst: IpAddr) -> Option<u16> {
        self.entries.get(&dst).filter(|entry| now_ms < entry.until_ms).map(|entry| entry.mtu)
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn dst(n: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))
    }

    #[test]
    fn lowers_holds_and_expires() {
        let mut cache = PmtuCache::new(4);
        assert_eq!(cache.get(0, dst(1)), None);
        assert!(cache.learn(0, dst(1), 1400));
        assert!(!cache.learn(1, dst(1), 1450), "a larger value must not raise it");
        assert_eq!(cache.get(2, dst(1)), Some(1400));
        assert!(cache.learn(10, dst(1), 1300));
        assert_eq!(cache.get(10 + EXPIRY_MS - 1, dst(1)), Some(1300));
        assert_eq!(cache.get(10 + EXPIRY_MS, dst(1)), None);
        assert!(cache.learn(10 + EXPIRY_MS, dst(1), 1450));
        assert_eq!(cache.get(10 + EXPIRY_MS, dst(1)), Some(1450));
    }

    #[test]
    fn raises_to_what_every_path_carries() {
        let mut cache = PmtuCache::new(4);
        cache.learn(0, dst(1), 68);
        cache.learn(0, "2001:db8::1".parse().expect("an address"), 600);
        assert_eq!(cache.get(0, dst(1)), Some(552));
        assert_eq!(cache.get(0, "2001:db8::1".parse().expect("an address")), Some(1280));
    }

    #[test]
    fn the_oldest_goes_when_full() {
        let mut cache = PmtuCache::new(2);
        for n in 1..=5 {
            cache.learn(0, dst(n), 1400);
            assert!(cache.entries.len() <= 2);
        }
        let held: Vec<bool> = (1..=5).map(|n| cache.get(0, dst(n)).is_some()).collect();
        assert_eq!(held, [false, false, false, true, true]);
    }

    #[test]
    fn a_cache_that_is_always_full_never_grows() {
        // As many as fill a map of 128 buckets to its limit.
        let mut cache = PmtuCache::new(112);
        let room = cache.entries.capacity();
        for n in 0..20_000 {
            cache.learn(0, dst(n), 1400);
        }
        assert_eq!(cache.entries.len(), 112);
        // Less than at first where removals left marks; more only if it grew.
        assert!(cache.entries.capacity() <= room, "{} > {room}", cache.entries.capacity());
    }
}
