//! Longest-prefix match: a trie of 256-way nodes with pushed leaves.
//!
//! A look-up reads one word per byte of the address until it meets a leaf: at most 4 for IPv4, 16 for IPv6. Nodes
//! take 1 KiB each; one prefix adds at most one node per byte of its length, prefixes that share leading bytes share nodes.
//! Invariant: prefixes are inserted in order of their length, so that a longer one only ever overwrites shorter ones.

const EMPTY: u32 = 0;
const CHILD: u32 = 1 << 31;

/// Prefixes of one family, each with a number below 2^31 − 1.
#[derive(Debug)]
pub(crate) struct Lpm {
    nodes: Vec<[u32; 256]>,
}

impl Lpm {
    /// Builds from `(address bytes, prefix length, value)`; of equal prefixes the last one stays.
    pub(crate) fn build<const N: usize>(mut prefixes: Vec<([u8; N], u8, u32)>) -> Self {
        prefixes.sort_by_key(|p| p.1);
        let mut lpm = Self { nodes: vec![[EMPTY; 256]] };
        for (addr, len, value) in prefixes {
            lpm.insert(&addr, usize::from(len), value);
        }
        lpm
    }

    fn insert(&mut self, addr: &[u8], len: usize, value: u32) {
        let leaf = value + 1;
        debug_assert!(leaf < CHILD && len <= addr.len() * 8);
        let mut node = 0;
        // The node that holds the prefix's last bit; length 0 fills the root.
        let depth = len.saturating_sub(1) / 8;
        for &byte in &addr[..depth] {
            node = self.child(node, byte);
        }
        let free_bits = 8 * (depth + 1) - len;
        let first = usize::from(addr[depth]) >> free_bits << free_bits;
        self.nodes[node][first..first + (1 << free_bits)].fill(leaf);
    }

    /// The node below `byte` of `node`, made if there is none; it starts out with the leaf that it replaces.
    fn child(&mut self, node: usize, byte: u8) -> usize {
        let word = self.nodes[node][usize::from(byte)];
        if word & CHILD != 0 {
            return (word & !CHILD) as usize;
        }
        let made = self.nodes.len();
        self.nodes.push([word; 256]);
        self.nodes[node][usize::from(byte)] = CHILD | made as u32;
        made
    }

    /// The value of the longest prefix that has `addr`.
    pub(crate) fn lookup(&self, addr: &[u8]) -> Option<u32> {
        let mut node = 0;
        for &byte in addr {
            let word = self.nodes[node][usize::from(byte)];
            if word & CHILD == 0 {
                return word.checked_sub(1);
            }
            node = (word & !CHILD) as usize;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan<const N: usize>(prefixes: &[([u8; N], u8, u32)], addr: &[u8; N]) -> Option<u32> {
        let shares = |p: &[u8; N], len: u8| {
            (0..usize::from(len)).all(|bit| (p[bit / 8] ^ addr[bit / 8]) & (0x80 >> (bit % 8)) == 0)
        };
        let mut best: Option<(u8, u32)> = None;
        for (prefix, len, value) in prefixes {
            if shares(prefix, *len) && best.is_none_or(|(longest, _)| *len >= longest) {
                best = Some((*len, *value));
            }
        }
        best.map(|(_, value)| value)
    }

    fn check<const N: usize>(prefixes: Vec<([u8; N], u8)>, probes: Vec<[u8; N]>) {
        let prefixes: Vec<_> = prefixes.into_iter().zip(0..).map(|((a, l), v)| (a, l, v)).collect();
        let lpm = Lpm::build(prefixes.clone());
        for addr in probes.iter().chain(prefixes.iter().map(|p| &p.0)) {
            assert_eq!(lpm.lookup(addr), scan(&prefixes, addr), "{addr:?} in {prefixes:?}");
        }
    }

    // Few distinct bytes, so that prefixes nest and probes hit.
    fn byte() -> impl Strategy<Value = u8> {
        prop::sample::select(vec![0u8, 1, 2, 10, 127, 128, 192, 254, 255])
    }

    proptest! {
        #[test]
        fn v4_equals_linear_scan(
            prefixes in prop::collection::vec((prop::array::uniform4(byte()), 0..=32u8), 0..40),
            probes in prop::collection::vec(prop::array::uniform4(byte()), 1..40),
        ) {
            check(prefixes, probes);
        }

        #[test]
        fn v6_equals_linear_scan(
            prefixes in prop::collection::vec((prop::array::uniform16(byte()), 0..=128u8), 0..24),
            probes in prop::collection::vec(prop::array::uniform16(byte()), 1..24),
            flip in prop::collection::vec((0..24usize, 0..128usize), 0..40),
        ) {
            // Near misses: a prefix's address with one bit turned.
            let mut probes = probes;
            for (index, bit) in flip {
                if let Some((addr, _)) = prefixes.get(index) {
                    let mut addr = *addr;
                    addr[bit / 8] ^= 0x80 >> (bit % 8);
                    probes.push(addr);
                }
            }
            check(prefixes, probes);
        }
    }

    #[test]
    fn nothing_matches_in_an_empty_table() {
        assert_eq!(Lpm::build::<4>(Vec::new()).lookup(&[1, 2, 3, 4]), None);
    }
}
