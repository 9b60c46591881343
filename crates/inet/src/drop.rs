//! Why a packet was dropped: one name per failure, for the whole project.
//!
//! Each worker has one counter per reason, incremented at the single place that frees the packet. Only failures are
//! here: a packet that served its purpose (an ARP reply that was learned) is consumed, not dropped.

use wire::ParseError;

macro_rules! drop_reasons {
    ($($variant:ident, $name:literal, $help:literal;)*) => {
        /// Why a packet was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum DropReason {
            $(#[doc = $help] $variant,)*
        }

        impl DropReason {
            /// Every reason; each one's place is its number.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// Its name in statistics: stable, snake_case.
            pub const fn name(self) -> &'static str {
                match self {
                    $(DropReason::$variant => $name,)*
                }
            }

            /// What it means, in one line.
            pub const fn help(self) -> &'static str {
                match self {
                    $(DropReason::$variant => $help,)*
                }
            }
        }
    };
}

drop_reasons! {
    TooShort, "too_short", "Too short for an Ethernet or IP header.";
    BadVersion, "bad_version", "The IP version is not what the EtherType says.";
    BadHeaderLen, "bad_header_len", "The IPv4 header length is below 20 bytes or reaches behind the frame.";
    BadTotalLen, "bad_total_len", "The IP length is below that of the header or reaches behind the frame.";
    BadIpChecksum, "bad_ip_checksum", "The IPv4 header checksum is wrong.";
    BadExtensionHeader, "bad_extension_header", "An IPv6 extension header reaches behind the packet, or there are two fragment headers.";
    TooManyExtensionHeaders, "too_many_extension_headers", "More IPv6 extension headers than are walked.";
    TruncatedTransport, "truncated_transport", "The packet ends within its upper-layer header.";
    BadTcpHeaderLen, "bad_tcp_header_len", "The TCP header length is below 20 bytes or reaches behind the packet.";
    BadUdpLen, "bad_udp_len", "The UDP length is below 8 bytes or reaches behind the packet.";
    NotForUsMac, "not_for_us_mac", "The destination hardware address is another host's.";
    VlanUnknown, "vlan_unknown", "No interface has this port and VLAN id.";
    NotContiguous, "not_contiguous", "The packet arrived in several buffers; the port's MTU exceeds its buffers.";
    MartianSource, "martian_source", "The source cannot be a host's: this network, loopback, multicast, broadcast or our own.";
    MartianDestination, "martian_destination", "The destination can never be on a wire: this network or loopback.";
    IpOptionsInvalid, "ip_options_invalid", "IPv4 options that contradict themselves, or a label of a domain that is not ours.";
    SourceRoute, "source_route", "An IPv4 packet that wants to go by a way of its own.";
    ArpInvalid, "arp_invalid", "An ARP packet that is malformed or claims an impossible sender.";
    NdInvalid, "nd_invalid", "A neighbour solicitation or advertisement that RFC 4861 tells to discard.";
    DuplicateAddress, "duplicate_address", "Another host claims one of our addresses by ARP or ND.";
    OwnFrame, "own_frame", "A frame that we sent came back: there is a loop, or another host has our hardware address.";
    UnknownEthertype, "unknown_ethertype", "Neither IPv4, IPv6 nor ARP, and the port has no exception interface.";
    NoRoute, "no_route", "No route has the destination.";
    Blackhole, "blackhole", "A route says to discard.";
    ForwardingOff, "forwarding_off", "Neither ours nor a service's, and forwarding is off.";
    TtlExceeded, "ttl_exceeded", "The TTL or hop limit ran out here.";
    MtuExceeded, "mtu_exceeded", "Larger than the outgoing MTU, and must not be fragmented.";
    NotForwardable, "not_forwardable", "Link-local, broadcast or multicast: must not leave its link.";
    NoSource, "no_source", "No address of ours can be the source of a packet that we had to make.";
    NeighbourUnreachable, "neighbour_unreachable", "The next hop did not answer ARP or ND.";
    NeighbourQueueFull, "neighbour_queue_full", "Too many packets already wait for this or all next hops.";
    NeighbourTableFull, "neighbour_table_full", "No room for another neighbour, and none can be evicted.";
    IcmpBadChecksum, "icmp_bad_checksum", "An ICMP message with a wrong checksum.";
    IcmpInvalid, "icmp_invalid", "An ICMP message that is cut off or quotes no packet.";
    TunnelError, "tunnel_error", "An ICMP error about a tunnel packet of ours, told on as one about the packet inside.";
    IcmpRateLimited, "icmp_rate_limited", "An ICMP error of ours that the rate limit suppressed.";
    FragmentInvalid, "fragment_invalid", "A fragment that no datagram can have, or of a datagram whose fragments contradict each other.";
    FragmentOverlap, "fragment_overlap", "Of a datagram whose fragments overlap.";
    FragmentDuplicate, "fragment_duplicate", "A fragment that had come before.";
    FragmentTableFull, "fragment_table_full", "Too many fragments wait: in all, of one sender or of one datagram.";
    FragmentTimeout, "fragment_timeout", "The other fragments of the datagram did not come in time.";
    DatagramTooLong, "datagram_too_long", "The fragments make a datagram that is longer than the largest buffer.";
    NoHeadroom, "no_headroom", "No room in the buffer for the headers to be added.";
    SctpNoChunk, "sctp_no_chunk", "An SCTP packet of no connection that ends before its first chunk.";
    TcpBadChecksum, "tcp_bad_checksum", "A damaged segment of a connection with a helper, which reads and rewrites only what is whole.";
    NoCallId, "no_call_id", "To a service with a persistence engine, which found nothing in it to go by.";
    NoDestination, "no_destination", "The service has no destination that may be chosen.";
    LocalNode, "local_node", "For this host by way of a service, where that cannot be: it passes through, bypasses, or is rewritten to loopback.";
    DestinationGone, "destination_gone", "The connection's destination has been removed.";
    DestinationOverloaded, "destination_overloaded", "Every destination has reached its upper threshold.";
    ConnectionTableFull, "connection_table_full", "No room for another connection.";
    SideTableFull, "side_table_full", "No room for what a connection has besides its record: who controls it, or whom it controls.";
    NoLocalPort, "no_local_port", "Every local address and port of the FULLNAT pool is taken for this destination.";
    NoLocalPool, "no_local_pool", "A FULLNAT service without local addresses of the destination's family.";
    FullnatWithoutPorts, "fullnat_without_ports", "AH or ESP beside a FULLNAT connection: nothing would tell whose reply is whose.";
    PptpCallTaken, "pptp_call_taken", "A PPTP server gave a call the number that another has given to a client of the same address.";
    NotConnection, "not_connection", "To a FULLNAT local address, or from a real server that is told so, but of no connection.";
    DefenceDrop, "defence_drop", "Dropped at random because the director is under attack.";
    SteerRingFull, "steer_ring_full", "The ring to the owning worker is full.";
    SteeredTwice, "steered_twice", "A packet that came from another worker belongs to a third.";
    TxRingFull, "tx_ring_full", "The port's transmit queue is full.";
    HostRingFull, "host_ring_full", "The ring to the host's kernel is full.";
    HostPortAbsent, "host_port_absent", "For the host's kernel, but the port has no exception interface.";
    HostToOwn, "host_to_own", "From one of the host's addresses to another that rvs has, and to no service: nothing could come back.";
    NoMbuf, "no_mbuf", "No packet buffer was free.";
    NoLargeMbuf, "no_large_mbuf", "No large buffer was free for a datagram gathered from fragments.";
    Shutdown, "shutdown", "Held or queued when the worker stopped.";
}

impl From<ParseError> for DropReason {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::TooShort => Self::TooShort,
            ParseError::BadVersion => Self::BadVersion,
            ParseError::BadHeaderLen => Self::BadHeaderLen,
            ParseError::BadTotalLen => Self::BadTotalLen,
            ParseError::BadIpChecksum => Self::BadIpChecksum,
            ParseError::BadExtensionHeader => Self::BadExtensionHeader,
            ParseError::TooManyExtensionHeaders => Self::TooManyExtensionHeaders,
            ParseError::TruncatedTransport => Self::TruncatedTransport,
            ParseError::BadTcpHeaderLen => Self::BadTcpHeaderLen,
            ParseError::BadUdpLen => Self::BadUdpLen,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_words_and_numbers_are_places() {
        let mut names = HashSet::new();
        for (place, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, place);
            assert!(names.insert(reason.name()), "{} twice", reason.name());
            assert!(reason.name().bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'));
            assert!(reason.help().ends_with('.') && !reason.help().contains('\n'), "{}", reason.name());
            let squashed = reason.name().replace('_', "");
            assert_eq!(squashed, format!("{reason:?}").to_lowercase());
        }
        assert_eq!(names.len(), DropReason::COUNT);
    }

    #[test]
    fn parse_errors_have_their_own_reasons() {
        for error in ParseError::ALL {
            assert_eq!(format!("{:?}", DropReason::from(error)), format!("{error:?}"));
        }
    }
}
