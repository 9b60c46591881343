//! IPv4 options that concern a router (RFC 791 section 3.1, RFC 1812 section 5.2.4) [ip_options_compile, ip_forward_options].
//!
//! Where a packet arrives, record route and timestamp get our address ([`fill`]); where it is routed on, the one that it leaves by
//! ([`leave`]). A source route is not followed, and what contradicts itself is answered with "parameter problem". As in
//! Linux an error quotes what was filled in under the header checksum that arrived, which is renewed where the packet leaves.

use core::net::Ipv4Addr;

use wire::ipv4;

const END: u8 = 0;
const NOP: u8 = 1;
const RECORD_ROUTE: u8 = 7;
const TIMESTAMP: u8 = 68;
const LOOSE_ROUTE: u8 = 131;
const CIPSO: u8 = 134;
const STRICT_ROUTE: u8 = 137;
const ROUTER_ALERT: u8 = 148;

/// Most bytes of options that a header has room for.
const MOST: usize = 40;
/// Bytes of an address, and of a time.
const WORD: usize = 4;
/// Says that a timestamp is not in milliseconds since midnight UTC: we have a clock, but do not know when it started.
const OTHER_CLOCK: u32 = 1 << 31;

/// Why a packet's options end its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They contradict themselves at this byte of the header.
    Malformed {
        /// Offset from the start of the header.
        at: u8,
    },
    /// It wants to go by a way of its own, which it may not [accept_source_route = 0].
    SourceRoute,
}

/// What was filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Whether the header changed.
    changed: bool,
    /// Where in the header addresses of ours were written.
    addresses: [Option<u8>; 2],
    /// The options as they arrived.
    original: [u8; MOST],
}

impl Default for Filled {
    fn default() -> Self {
        Self { changed: false, addresses: [None; 2], original: [0; MOST] }
    }
}

/// Who we are, to options.
#[derive(Clone, Copy, Debug)]
pub struct Here<F> {
    /// Our address: the one that the packet was sent to if that is ours, else the one for answers to its sender.
    pub addr: Ipv4Addr,
    /// The time, by any clock.
    pub now_ms: u64,
    /// Whether an address is ours.
    pub is_own: F,
}

/// Whether a packet has options. Most have none.
#[inline]
pub fn has_any(ip: &[u8]) -> bool {
    ipv4::header_len(ip) > ipv4::HEADER_LEN
}

/// Checks the options of a packet that arrived, and fills in what they ask a router for. The header checksum stays as it was.
pub fn fill(ip: &mut [u8], here: &Here<impl Fn(Ipv4Addr) -> bool>) -> Result<Filled, Fault> {
    let end = ipv4::header_len(ip).min(ip.len());
    let header = &mut ip[..end];
    let mut walk = Walk { changed: false, addresses: [None; 2], source_route: false, seen: [false; 3] };
    let mut original = [0; MOST];
    let options = header.get(ipv4::HEADER_LEN..).unwrap_or_default();
    original[..options.len()].copy_from_slice(options);
    let mut at = ipv4::HEADER_LEN;
    while at < end {
        match header[at] {
            END => {
                // What is behind the end is nobody's.
                walk.changed |= header[at..].iter().any(|byte| *byte != END);
                header[at..].fill(END);
                break;
            }
            NOP => at += 1,
            _ => {
                let len = header.get(at + 1).map_or(0, |len| usize::from(*len));
                let option = header.get_mut(at..at + len).filter(|option| option.len() >= 2);
                let option = option.ok_or(Fault::Malformed { at: at as u8 })?;
                walk.option(option, at, here).map_err(|byte| Fault::Malformed { at: (at + byte) as u8 })?;
                at += len;
            }
        }
    }
    if walk.source_route {
        return Err(Fault::SourceRoute);
    }
    Ok(Filled { changed: walk.changed, addresses: walk.addresses, original })
}

/// Writes the address that the packet is routed out by where ours was recorded.
pub fn leave(ip: &mut [u8], filled: &Filled, addr: Ipv4Addr) {
    for at in filled.addresses.into_iter().flatten() {
        write(ip, usize::from(at), addr.to_bits());
    }
}

/// Makes the header's checksum right if something was filled in.
pub fn finish(ip: &mut [u8], filled: &Filled) {
    if filled.changed {
        ipv4::fill_checksum(ip);
    }
}

/// Takes back what was filled in: who gets the packet fills in its own.
pub fn restore(ip: &mut [u8], filled: &Filled) {
    let end = ipv4::header_len(ip).min(ip.len());
    let Some(options) = ip.get_mut(ipv4::HEADER_LEN..end).filter(|_| filled.changed) else { return };
    options.copy_from_slice(&filled.original[..options.len()]);
    ipv4::fill_checksum(ip);
}

/// What a walk over the options has found.
struct Walk {
    changed: bool,
    addresses: [Option<u8>; 2],
    source_route: bool,
    /// Record route, timestamp, source route: each may be there once.
    seen: [bool; 3],
}

impl Walk {
    /// One option, which starts at `at` in the header. The error is the byte of it that is wrong.
    fn option(
        &mut self,
        option: &mut [u8],
        at: usize,
        here: &Here<impl Fn(Ipv4Addr) -> bool>,
    ) -> Result<(), usize> {
        match option[0] {
            RECORD_ROUTE => {
                self.once(0)?;
                self.record(option, at, here.addr)
            }
            TIMESTAMP => {
                self.once(1)?;
                self.stamp(option, at, here)
            }
            LOOSE_ROUTE | STRICT_ROUTE => {
                pointer(option, 3, 4)?;
                self.once(2)?;
                self.source_route = true;
                Ok(())
            }
            ROUTER_ALERT if option.len() < 4 => Err(1),
            // Labels mean something within a domain, of which we know none.
            CIPSO => Err(if option.len() < 8 { 1 } else { 2 }),
            _ => Ok(()),
        }
    }

    fn once(&mut self, kind: usize) -> Result<(), usize> {
        if core::mem::replace(&mut self.seen[kind], true) { Err(0) } else { Ok(()) }
    }

    fn record(&mut self, option: &mut [u8], at: usize, addr: Ipv4Addr) -> Result<(), usize> {
        let pointer = pointer(option, 3, 4)?;
        if pointer > option.len() {
            return Ok(());
        }
        room(option, pointer, WORD)?;
        self.address(0, option, pointer, at, addr);
        option[2] += WORD as u8;
        Ok(())
    }

    fn stamp(
        &mut self,
        option: &mut [u8],
        at: usize,
        here: &Here<impl Fn(Ipv4Addr) -> bool>,
    ) -> Result<(), usize> {
        const TIME_ONLY: u8 = 0;
        const WITH_ADDRESS: u8 = 1;
        const GIVEN_ADDRESSES: u8 = 3;
        let pointer = pointer(option, 4, 5)?;
        let (overflow, kind) = (option[3] >> 4, option[3] & 15);
        if pointer > option.len() {
            if kind != GIVEN_ADDRESSES {
                if overflow == 15 {
                    return Err(3);
                }
                option[3] += 1 << 4;
                self.changed = true;
            }
            return Ok(());
        }
        room(option, pointer, WORD)?;
        let time = OTHER_CLOCK | here.now_ms as u32;
        let first = pointer - 1;
        match kind {
            TIME_ONLY => {
                write(option, first, time);
                option[2] += WORD as u8;
            }
            WITH_ADDRESS => {
                room(option, pointer, 2 * WORD)?;
                self.address(1, option, pointer, at, here.addr);
                write(option, first + WORD, time);
                option[2] += 2 * WORD as u8;
            }
            GIVEN_ADDRESSES => {
                room(option, pointer, 2 * WORD)?;
                let given = [option[first], option[first + 1], option[first + 2], option[first + 3]];
                if !(here.is_own)(given.into()) {
                    return Ok(());
                }
                write(option, first + WORD, time);
                option[2] += 2 * WORD as u8;
            }
            _ => return Ok(()),
        }
        self.changed = true;
        Ok(())
    }

    /// Writes our address where the option's pointer says.
    fn address(&mut self, kind: usize, option: &mut [u8], pointer: usize, at: usize, addr: Ipv4Addr) {
        write(option, pointer - 1, addr.to_bits());
        self.addresses[kind] = Some((at + pointer - 1) as u8);
        self.changed = true;
    }
}

/// The pointer of an option that has at least `len` bytes, and room from `first` on; it counts from 1.
fn pointer(option: &[u8], len: usize, first: usize) -> Result<usize, usize> {
    match option.get(2) {
        Some(pointer) if option.len() >= len => {
            if usize::from(*pointer) < first {
                Err(2)
            } else {
                Ok(usize::from(*pointer))
            }
        }
        _ => Err(1),
    }
}

/// Whether `count` bytes fit from a pointer on.
fn room(option: &[u8], pointer: usize, count: usize) -> Result<(), usize> {
    if pointer - 1 + count > option.len() { Err(2) } else { Ok(()) }
}

fn write(bytes: &mut [u8], at: usize, word: u32) {
    if let Some(place) = bytes.get_mut(at..at + WORD) {
        place.copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

    fn here() -> Here<impl Fn(Ipv4Addr) -> bool> {
        Here { addr: OURS, now_ms: 0x0102_0304, is_own: |addr| addr == OURS }
    }

    fn header(options: &[u8]) -> Vec<u8> {
        let mut ip = vec![0; ipv4::HEADER_LEN];
        let (src, dst) = (Ipv4Addr::new(198, 51, 100, 1), OURS);
        ipv4::Header { src, dst, protocol: 6, ttl: 64, tos: 0, id: 1, dont_fragment: false, payload_len: 0 }
            .write(&mut ip);
        ip[0] = 0x40 | (5 + options.len() as u8 / 4);
        ip.extend(options);
        ipv4::fill_checksum(&mut ip);
        ip
    }

    fn filled(options: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut ip = header(options);
        let before = ip.clone();
        let filled = fill(&mut ip, &here())?;
        assert_eq!(ip[..ipv4::HEADER_LEN], before[..ipv4::HEADER_LEN], "the checksum too");
        let mut again = ip.clone();
        restore(&mut again, &filled);
        assert_eq!(again, before);
        finish(&mut ip, &filled);
        assert!(ipv4::verify_checksum(&ip));
        Ok(ip[ipv4::HEADER_LEN..].to_vec())
    }

    #[test]
    fn as_linux_fills_them_in() {
        let time = (OTHER_CLOCK | 0x0102_0304).to_be_bytes();
        let with_time = |head: &[u8], tail: &[u8]| [head, &time[..], tail].concat();
        for (name, options, want) in [
            ("router alert", vec![148, 4, 0, 0], vec![148, 4, 0, 0]),
            ("record route", vec![7, 7, 4, 0, 0, 0, 0, 0], vec![7, 7, 8, 192, 0, 2, 100, 0]),
            ("full", vec![7, 7, 8, 1, 2, 3, 4, 0], vec![7, 7, 8, 1, 2, 3, 4, 0]),
            (
                "the second place",
                vec![7, 11, 8, 9, 9, 9, 9, 0, 0, 0, 0, 0],
                vec![7, 11, 12, 9, 9, 9, 9, 192, 0, 2, 100, 0],
            ),
            ("behind padding", vec![1, 7, 7, 4, 0, 0, 0, 0], vec![1, 7, 7, 8, 192, 0, 2, 100]),
            ("timestamp, full", vec![68, 8, 9, 0, 1, 2, 3, 4], vec![68, 8, 9, 0x10, 1, 2, 3, 4]),
            ("timestamp", vec![68, 8, 5, 0, 0, 0, 0, 0], with_time(&[68, 8, 9, 0], &[])),
            (
                "timestamp with address",
                vec![68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0],
                with_time(&[68, 12, 13, 1, 192, 0, 2, 100], &[]),
            ),
            (
                "timestamp asked of us",
                vec![68, 12, 5, 3, 192, 0, 2, 100, 0, 0, 0, 0],
                with_time(&[68, 12, 13, 3, 192, 0, 2, 100], &[]),
            ),
            (
                "timestamp asked of another",
                vec![68, 12, 5, 3, 192, 0, 2, 9, 0, 0, 0, 0],
                vec![68, 12, 5, 3, 192, 0, 2, 9, 0, 0, 0, 0],
            ),
            ("unknown", vec![0x9e, 4, 1, 2], vec![0x9e, 4, 1, 2]),
            ("rubbish behind the end", vec![0, 1, 2, 3], vec![0, 0, 0, 0]),
        ] {
            assert_eq!(filled(&options), Ok(want), "{name}");
        }
    }

    #[test]
    fn faults_are_where_linux_finds_them() {
        for (name, options, want) in [
            ("timestamp, full 15 times", vec![68, 8, 9, 0xf0, 1, 2, 3, 4], 23),
            ("label", vec![134, 8, 0, 0, 0, 1, 2, 2], 22),
            ("length 0", vec![7, 0, 4, 0], 20),
            ("length 1", vec![148, 1, 0, 0], 20),
            ("longer than the header", vec![7, 11, 4, 0], 20),
            ("cut off", vec![1, 1, 1, 7], 23),
            ("pointer below 4", vec![7, 7, 3, 0, 0, 0, 0, 0], 22),
            ("pointer with too little room", vec![7, 7, 6, 0, 0, 0, 0, 0], 22),
            ("record route of 2", vec![7, 2, 1, 1], 21),
            ("twice", vec![7, 7, 4, 0, 0, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0, 0], 27),
            ("router alert of 3", vec![148, 3, 0, 0], 21),
            ("timestamp's pointer below 5", vec![68, 8, 4, 0, 0, 0, 0, 0], 22),
            ("timestamp without room for its time", vec![68, 8, 5, 1, 0, 0, 0, 0], 22),
        ] {
            assert_eq!(filled(&options), Err(Fault::Malformed { at: want }), "{name}");
        }
        for kind in [LOOSE_ROUTE, STRICT_ROUTE] {
            assert_eq!(filled(&[kind, 7, 4, 10, 0, 2, 12, 0]), Err(Fault::SourceRoute));
        }
        assert_eq!(filled(&[131, 7, 4, 10, 0, 2, 12, 148, 3, 0, 0, 0]), Err(Fault::Malformed { at: 28 }));
    }

    #[test]
    fn a_routed_packet_has_the_address_that_it_leaves_by() {
        let mut ip = header(&[7, 7, 4, 0, 0, 0, 0, 68, 12, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let filled = fill(&mut ip, &here()).expect("sound options");
        leave(&mut ip, &filled, Ipv4Addr::new(10, 0, 2, 1));
        assert_eq!((&ip[23..27], &ip[31..35]), (&[10, 0, 2, 1][..], &[10, 0, 2, 1][..]));
    }

    proptest! {
        #[test]
        fn nothing_panics_and_lengths_stay(words in prop::collection::vec(any::<u32>(), 0..=10)) {
            let options: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
            if let Ok(after) = filled(&options) {
                prop_assert_eq!(after.len(), options.len());
            }
        }
    }
}
