//! Hashes that more than one scheduler uses.

use core::net::IpAddr;

use crate::siphash::siphash13;

/// The four words of an IPv6 address, or the one of an IPv4 address, as one [addr_fold].
pub(super) fn fold(addr: IpAddr) -> u32 {
    match addr {
        IpAddr::V4(addr) => addr.to_bits(),
        IpAddr::V6(addr) => {
            let bits = addr.to_bits();
            (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
        }
    }
}

/// Multiplicative hash to `BITS` bits by the golden ratio, as Linux has it [hash_32].
pub(super) fn multiplicative<const BITS: u32>(value: u32) -> u32 {
    value.wrapping_mul(0x61c8_8647) >> (32 - BITS)
}

/// A hash of one end of a connection. The key is no secret: directors that share clients must agree.
pub(super) fn endpoint(addr: IpAddr, port: u16, key: u64) -> u64 {
    let mut bytes = [0; 18];
    let len = addr_bytes(addr, &mut bytes);
    bytes[len..len + 2].copy_from_slice(&port.to_be_bytes());
    siphash13(&spread(key), &bytes[..len + 2])
}

/// A hash of the client's address alone, or of the whole 5-tuple.
pub(super) fn flow(flow: &super::Flow, ports: bool) -> u64 {
    const KEY: u64 = 0x7276_735f_666c_6f77;
    if !ports {
        return endpoint(flow.client, 0, KEY);
    }
    let mut bytes = [0; 37];
    let mut len = addr_bytes(flow.client, &mut bytes);
    len += addr_bytes(flow.dst, &mut bytes[len..]);
    bytes[len..len + 2].copy_from_slice(&flow.client_port.to_be_bytes());
    bytes[len + 2..len + 4].copy_from_slice(&flow.dst_port.to_be_bytes());
    bytes[len + 4] = flow.protocol;
    siphash13(&spread(KEY), &bytes[..len + 5])
}

/// Both halves of a key alike.
pub(super) fn spread(key: u64) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes.chunks_exact_mut(8).for_each(|half| half.copy_from_slice(&key.to_le_bytes()));
    bytes
}

fn addr_bytes(addr: IpAddr, bytes: &mut [u8]) -> usize {
    match addr {
        IpAddr::V4(addr) => {
            bytes[..4].copy_from_slice(&addr.octets());
            4
        }
        IpAddr::V6(addr) => {
            bytes[..16].copy_from_slice(&addr.octets());
            16
        }
    }
}
