//! What Linux has no place for: parameters of an entry that a kernel backup skips.
//!
//! | type | data |
//! | --- | --- |
//! | 0x10 | local address of FULLNAT: port (2 bytes), address (4 or 16) |
//! | 0x11 | shifts of sequence numbers by an application helper: as Linux's option 1, 24 bytes |
//!
//! Shifts travel apart from Linux's option because a kernel that is told of shifts applies them only where it has the
//! helper bound, and its own FTP helper keeps them elsewhere.

use core::net::{IpAddr, SocketAddr};

use wire::sync::{Params, Shift, Shifts, encode_param};

/// Parameter: the local address of a FULLNAT connection.
const LOCAL: u8 = 0x10;
/// Parameter: shifts of sequence numbers.
const SHIFTS: u8 = 0x11;

/// The longest that both can be, with their headers.
pub(crate) const EXTRA_MAX: usize = 2 + 18 + 2 + 24;

/// Writes what there is to the start of `out`; the length.
pub(crate) fn encode(out: &mut [u8; EXTRA_MAX], local: Option<SocketAddr>, shifts: Option<Shifts>) -> usize {
    let mut at = 0;
    let mut write = |kind, data: &[u8]| {
        at += out.get_mut(at..).and_then(|out| encode_param(out, kind, data)).unwrap_or(0);
    };
    if let Some(local) = local {
        let mut data = [0; 18];
        data[..2].copy_from_slice(&local.port().to_be_bytes());
        match local.ip() {
            IpAddr::V4(addr) => {
                data[2..6].copy_from_slice(&addr.octets());
                write(LOCAL, &data[..6]);
            }
            IpAddr::V6(addr) => {
                data[2..].copy_from_slice(&addr.octets());
                write(LOCAL, &data);
            }
        }
    }
    if let Some(shifts) = shifts {
        let mut data = [0; 24];
        let numbers = [shifts.input, shifts.output]
            .into_iter()
            .flat_map(|shift| [shift.initial, shift.delta, shift.previous_delta]);
        for (bytes, number) in data.chunks_exact_mut(4).zip(numbers) {
            bytes.copy_from_slice(&number.to_be_bytes());
        }
        write(SHIFTS, &data);
    }
    at
}

/// The local address and shifts among an entry's parameters. Those of a length that they cannot have are skipped, as any
/// that is not known.
pub(crate) fn decode(params: &Params<'_>) -> (Option<SocketAddr>, Option<Shifts>) {
    let (mut local, mut shifts) = (None, None);
    for (kind, data) in params.iter() {
        match kind {
            LOCAL => local = read_local(data).or(local),
            SHIFTS => shifts = read_shifts(data).or(shifts),
            _ => {}
        }
    }
    (local, shifts)
}

fn read_local(data: &[u8]) -> Option<SocketAddr> {
    let (port, addr) = data.split_first_chunk::<2>()?;
    let addr = match addr.len() {
        4 => IpAddr::from(*addr.first_chunk::<4>()?),
        16 => IpAddr::from(*addr.first_chunk::<16>()?),
        _ => return None,
    };
    Some(SocketAddr::new(addr, u16::from_be_bytes(*port)))
}

fn read_shifts(data: &[u8]) -> Option<Shifts> {
    let data: &[u8; 24] = data.try_into().ok()?;
    let mut numbers =
        data.chunks_exact(4).map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let mut shift =
        || Some(Shift { initial: numbers.next()?, delta: numbers.next()?, previous_delta: numbers.next()? });
    Some(Shifts { input: shift()?, output: shift()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let shift = |initial| Shift { initial, delta: u32::MAX - 3, previous_delta: 9 };
        let shifts = Shifts { input: shift(1), output: shift(70_000) };
        for local in [None, Some("10.0.2.200:5000"), Some("[2001:db8:2::c8]:65535")] {
            let local = local.map(|local| local.parse().unwrap());
            for shifts in [None, Some(shifts)] {
                let mut out = [0; EXTRA_MAX];
                let len = encode(&mut out, local, shifts);
                assert_eq!(decode(&Params::encoded(&out[..len])), (local, shifts));
            }
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_skipped() {
        for (kind, len) in [(LOCAL, 1), (LOCAL, 5), (LOCAL, 19), (SHIFTS, 23), (SHIFTS, 25)] {
            let mut out = [0; 40];
            let len = encode_param(&mut out, kind, &vec![1; len]).unwrap();
            assert_eq!(decode(&Params::encoded(&out[..len])), (None, None), "{kind:#x} {len}");
        }
    }
}
