//! One packet in DPDK's memory.
//!
//! Invariant: an `Mbuf` points to an allocated mbuf that nobody else refers to (reference count 1, direct or the only
//! user of its external buffer), whose first segment's data lies within its buffer.

use std::fmt;
use std::ptr::NonNull;
use std::slice;

use dpdk_sys as sys;
use wire::{NoRoom, PacketBuf};

/// A packet: owned, freed when dropped, given away by sending.
#[repr(transparent)]
pub struct Mbuf(NonNull<sys::rte_mbuf>);

// SAFETY: the packet is exclusively owned, and pools accept mbufs back from any thread.
unsafe impl Send for Mbuf {}

/// What the receiving NIC says of a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Not checked: the receiver must.
    Unknown,
    Bad,
    Good,
    /// Not in the packet, but its data is known to be intact (what a virtual device gives).
    Absent,
}

/// The layer-4 checksum that the sending NIC is to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum L4Checksum {
    Keep,
    Tcp,
    Udp,
}

/// Checksums that the sending NIC is to fill in. Only for ports that were granted the offload. The layer-4 field must
/// hold the sum of the pseudo-header; the IPv4 header's field must hold 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Bytes of Ethernet and VLAN headers.
    pub l2_len: u8,
    /// Bytes of the IP header, with IPv6 extension headers.
    pub l3_len: u16,
    pub ipv6: bool,
    /// Fill in the IPv4 header's checksum.
    pub ipv4_header: bool,
    pub l4: L4Checksum,
}

impl Mbuf {
    /// # Safety
    /// `raw` must be an allocated mbuf, well-formed, that the caller owns alone and gives away.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Self {
        Self(raw)
    }

    /// The packet, no longer freed by Rust.
    #[inline]
    pub(crate) fn into_raw(self) -> NonNull<sys::rte_mbuf> {
        let raw = self.0;
        std::mem::forget(self);
        raw
    }

    #[inline]
    fn raw(&self) -> &sys::rte_mbuf {
        // SAFETY: by the type's invariant the mbuf is allocated and ours alone.
        unsafe { self.0.as_ref() }
    }

    #[inline]
    fn raw_mut(&mut self) -> &mut sys::rte_mbuf {
        // SAFETY: by the type's invariant the mbuf is allocated and ours alone.
        unsafe { self.0.as_mut() }
    }

    /// Whether the whole packet is in one piece, so that [`PacketBuf::bytes`] shows all of it.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        self.raw().nb_segs == 1
    }

    /// Bytes of the whole packet, all segments counted.
    #[inline]
    pub fn packet_len(&self) -> usize {
        self.raw().pkt_len as usize
    }

    /// Moves the data of all segments into the first. Fails when it does not fit there, and then changes nothing.
    pub fn linearize(&mut self) -> Result<(), NoRoom> {
        // SAFETY: the mbuf and the chain behind it are ours alone.
        let code = unsafe { sys::rvs_pktmbuf_linearize(self.0.as_ptr()) };
        if code == 0 { Ok(()) } else { Err(NoRoom) }
    }

    /// Bytes by which the packet can grow at its front.
    #[inline]
    pub fn headroom(&self) -> usize {
        usize::from(self.raw().data_off)
    }

    /// Bytes by which a contiguous packet can grow at its end.
    #[inline]
    pub fn tailroom(&self) -> usize {
        let raw = self.raw();
        usize::from(raw.buf_len) - usize::from(raw.data_off) - usize::from(raw.data_len)
    }

    /// DPDK's number of the port that received it.
    #[inline]
    pub fn port(&self) -> u16 {
        self.raw().port
    }

    /// A word for the program's own use, which goes with the packet over rings; see [`Mbuf::set_mark`].
    #[inline]
    pub fn mark(&self) -> u32 {
        // SAFETY: all members of the union are plain integers, for which any bits are valid.
        unsafe { self.raw().__bindgen_anon_2.hash.usr }
    }

    /// Sets the word that goes with the packet. It takes the place of the NIC's hash.
    #[inline]
    pub fn set_mark(&mut self, mark: u32) {
        let raw = self.raw_mut();
        raw.ol_flags &= !sys::RVS_MBUF_F_RX_RSS_HASH;
        raw.__bindgen_anon_2.hash.usr = mark;
    }

    /// The VLAN tag that the NIC took off, if it did.
    #[inline]
    pub fn vlan_tci(&self) -> Option<u16> {
        let raw = self.raw();
        (raw.ol_flags & sys::RVS_MBUF_F_RX_VLAN_STRIPPED != 0).then_some(raw.vlan_tci)
    }

    /// What the NIC says of the IPv4 header's checksum.
    #[inline]
    pub fn ip_checksum(&self) -> RxChecksum {
        checksum(
            self.raw().ol_flags & sys::RVS_MBUF_F_RX_IP_CKSUM_MASK,
            sys::RVS_MBUF_F_RX_IP_CKSUM_GOOD,
            sys::RVS_MBUF_F_RX_IP_CKSUM_BAD,
        )
    }

    /// What the NIC says of the TCP or UDP checksum.
    #[inline]
    pub fn l4_checksum(&self) -> RxChecksum {
        checksum(
            self.raw().ol_flags & sys::RVS_MBUF_F_RX_L4_CKSUM_MASK,
            sys::RVS_MBUF_F_RX_L4_CKSUM_GOOD,
            sys::RVS_MBUF_F_RX_L4_CKSUM_BAD,
        )
    }

    /// Asks the sending NIC for checksums.
    #[inline]
    pub fn set_tx_checksum(&mut self, wish: TxChecksum) {
        let raw = self.raw_mut();
        let mut flags = if wish.ipv6 { sys::RVS_MBUF_F_TX_IPV6 } else { sys::RVS_MBUF_F_TX_IPV4 };
        if wish.ipv4_header && !wish.ipv6 {
            flags |= sys::RVS_MBUF_F_TX_IP_CKSUM;
        }
        flags |= match wish.l4 {
            L4Checksum::Keep => 0,
            L4Checksum::Tcp => sys::RVS_MBUF_F_TX_TCP_CKSUM,
            L4Checksum::Udp => sys::RVS_MBUF_F_TX_UDP_CKSUM,
        };
        raw.ol_flags = raw.ol_flags & !TX_CHECKSUM_FLAGS | flags;
        // Layout of `tx_offload`: 7 bits of l2_len, then 9 of l3_len, then 8 of l4_len, which checksums do not need.
        raw.__bindgen_anon_3.tx_offload = u64::from(wish.l2_len & 0x7f) | u64::from(wish.l3_len & 0x1ff) << 7;
    }

    #[inline]
    fn data(&self) -> *mut u8 {
        let raw = self.raw();
        // SAFETY: data_off is within the buffer by the type's invariant.
        unsafe { raw.buf_addr.cast::<u8>().add(usize::from(raw.data_off)) }
    }

    /// Frees the segments behind the first.
    #[cold]
    fn drop_tail(&mut self) {
        let raw = self.raw_mut();
        let tail = std::mem::replace(&mut raw.next, std::ptr::null_mut());
        raw.nb_segs = 1;
        raw.pkt_len = u32::from(raw.data_len);
        if !tail.is_null() {
            // SAFETY: the chain was ours alone, and nothing refers to it any more.
            unsafe { sys::rvs_pktmbuf_free(tail) }
        }
    }
}

const TX_CHECKSUM_FLAGS: u64 = sys::RVS_MBUF_F_TX_IPV4
    | sys::RVS_MBUF_F_TX_IPV6
    | sys::RVS_MBUF_F_TX_IP_CKSUM
    | sys::RVS_MBUF_F_TX_TCP_CKSUM
    | sys::RVS_MBUF_F_TX_UDP_CKSUM;

#[inline]
fn checksum(flags: u64, good: u64, bad: u64) -> RxChecksum {
    match flags {
        0 => RxChecksum::Unknown,
        f if f == good => RxChecksum::Good,
        f if f == bad => RxChecksum::Bad,
        _ => RxChecksum::Absent,
    }
}

/// Of a packet in several pieces these show and change the first only: see [`Mbuf::is_contiguous`], [`Mbuf::linearize`].
impl PacketBuf for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        // SAFETY: data_len bytes from data_off lie within the buffer by the type's invariant; pools hand out memory that
        // was mapped from the kernel and thus is initialised; we are the only owner and borrow ourselves.
        unsafe { slice::from_raw_parts(self.data(), usize::from(self.raw().data_len)) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, borrowed mutably.
        unsafe { slice::from_raw_parts_mut(self.data(), usize::from(self.raw().data_len)) }
    }

    #[inline]
    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.headroom() {
            return Err(NoRoom);
        }
        // At most data_off, so that it fits, as do the sums: data_off + data_len <= buf_len.
        let count = count as u16;
        let raw = self.raw_mut();
        raw.data_off -= count;
        raw.data_len += count;
        raw.pkt_len += u32::from(count);
        Ok(())
    }

    /// Cuts no more than there is.
    #[inline]
    fn adj(&mut self, count: usize) {
        debug_assert!(count <= self.bytes().len());
        let raw = self.raw_mut();
        let count = count.min(usize::from(raw.data_len)) as u16;
        raw.data_off += count;
        raw.data_len -= count;
        raw.pkt_len -= u32::from(count);
    }

    /// A packet in several pieces has no room: what follows the first piece is in the way.
    #[inline]
    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        if count > self.tailroom() || !self.is_contiguous() {
            return Err(NoRoom);
        }
        // At most the tailroom, so that it fits, as do the sums: data_off + data_len <= buf_len.
        let count = count as u16;
        let raw = self.raw_mut();
        raw.data_len += count;
        raw.pkt_len += u32::from(count);
        Ok(())
    }

    /// Cutting the first piece of several cuts off those behind it.
    #[inline]
    fn truncate(&mut self, len: usize) {
        if len >= usize::from(self.raw().data_len) {
            return;
        }
        if !self.is_contiguous() {
            self.drop_tail();
        }
        let raw = self.raw_mut();
        raw.data_len = len as u16;
        raw.pkt_len = len as u32;
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the mbuf is ours alone, and nothing refers to it after this.
        unsafe { sys::rvs_pktmbuf_free(self.0.as_ptr()) }
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mbuf").field("port", &self.port()).field("len", &self.packet_len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_flags_are_read() {
        let (good, bad) = (sys::RVS_MBUF_F_RX_L4_CKSUM_GOOD, sys::RVS_MBUF_F_RX_L4_CKSUM_BAD);
        let cases = [
            ("none", 0, RxChecksum::Unknown),
            ("good", good, RxChecksum::Good),
            ("bad", bad, RxChecksum::Bad),
            ("both", good | bad, RxChecksum::Absent),
        ];
        for (name, flags, want) in cases {
            assert_eq!(checksum(flags, good, bad), want, "{name}");
        }
    }
}
