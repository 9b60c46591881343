//! What a raw socket for tunnel packets yields, cut down to the packet inside.

/// The family of the outer packet, which decides what the socket hands over: IPv4 raw sockets return the header,
/// IPv6 ones do not (RFC 3542, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outer {
    /// The outer header comes first.
    V4,
    /// The inner packet starts at once.
    V6,
}

/// The inner packet of `received`; `None` if there is not at least its fixed header, or the version is not
/// `inner_version` (4 for protocol 4, 6 for protocol 41).
pub fn inner(outer: Outer, inner_version: u8, received: &[u8]) -> Option<&[u8]> {
    let packet = match outer {
        Outer::V4 => received.get(usize::from(received.first()? & 0x0f) * 4..)?,
        Outer::V6 => received,
    };
    let header = if inner_version == 4 { 20 } else { 40 };
    (packet.len() >= header && packet[0] >> 4 == inner_version).then_some(packet)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(version: u8, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[0] = version << 4 | 5;
        bytes
    }

    #[test]
    fn the_outer_header_goes_and_only_the_named_version_passes() {
        struct Case {
            name: &'static str,
            outer: Outer,
            version: u8,
            received: Vec<u8>,
            want: Option<usize>,
        }
        for Case { name, outer, version, received, want } in [
            Case {
                name: "v4 in v4",
                outer: Outer::V4,
                version: 4,
                received: [packet(4, 20), packet(4, 28)].concat(),
                want: Some(28),
            },
            Case {
                name: "v6 in v4",
                outer: Outer::V4,
                version: 6,
                received: [packet(4, 20), packet(6, 48)].concat(),
                want: Some(48),
            },
            Case { name: "v6 in v6", outer: Outer::V6, version: 6, received: packet(6, 40), want: Some(40) },
            Case { name: "other version", outer: Outer::V6, version: 6, received: packet(4, 40), want: None },
            Case {
                name: "cut inner header",
                outer: Outer::V4,
                version: 4,
                received: [packet(4, 20), packet(4, 19)].concat(),
                want: None,
            },
            Case {
                name: "only an outer header",
                outer: Outer::V4,
                version: 4,
                received: packet(4, 20),
                want: None,
            },
            Case {
                name: "less than the header says",
                outer: Outer::V4,
                version: 4,
                received: vec![0x4f],
                want: None,
            },
            Case { name: "nothing", outer: Outer::V4, version: 4, received: vec![], want: None },
        ] {
            assert_eq!(inner(outer, version, &received).map(<[u8]>::len), want, "{name}");
        }
    }
}
