//! Application helpers: protocols that name endpoints in their data, or open further connections [ip_vs_app].
//!
//! A connection gets its helper when it is made, by its protocol and virtual port, if both directions of it pass here
//! (masquerade, FULLNAT); it loses it when it goes. One file a helper:
//!
//! | helper | listens to | expects |
//! | --- | --- | --- |
//! | [`ftp`] | what both ends say on a control connection | the data connection that they agree on |
//! | [`tftp`] | a client's requests | the transfer from the server's other port |
//! | [`pptp`] | what both ends say of calls on a control connection | the call's packets, in GRE |

pub(crate) mod ftp;
mod passing;
mod pptp;
pub(crate) mod sequence;
pub(crate) mod served;
pub(crate) mod session;
mod tftp;

#[cfg(test)]
mod director_tests;

use crate::Protocol;

/// Virtual ports that one helper can have [IP_VS_APP_MAX_PORTS].
pub const HELPER_PORTS_MAX: usize = 8;

/// What helps connections of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Helper {
    /// FTP's data connections (RFC 959, RFC 2428) [ip_vs_ftp].
    Ftp,
    /// TFTP's transfers, which come from a port of their own (RFC 1350).
    Tftp,
    /// PPTP's calls, whose packets travel in GRE (RFC 2637).
    Pptp,
}

impl Helper {
    /// Every helper.
    pub const ALL: [Self; 3] = [Self::Ftp, Self::Tftp, Self::Pptp];

    /// The name that operators give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ftp => "ftp",
            Self::Tftp => "tftp",
            Self::Pptp => "pptp",
        }
    }

    /// The helper of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|helper| helper.name() == name)
    }

    /// The protocol of the connections that it helps.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Ftp | Self::Pptp => Protocol::Tcp,
            Self::Tftp => Protocol::Udp,
        }
    }

    /// The port that its protocol has been given (IANA).
    pub fn well_known_port(self) -> u16 {
        match self {
            Self::Ftp => 21,
            Self::Tftp => 69,
            Self::Pptp => wire::pptp::PORT,
        }
    }
}

/// Which virtual ports have which helper. A port that has several has the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Helpers([[u16; HELPER_PORTS_MAX]; Helper::ALL.len()]);

impl Helpers {
    /// No helper at any port.
    pub const NONE: Self = Self([[0; HELPER_PORTS_MAX]; Helper::ALL.len()]);

    /// Every helper at the port that its protocol has been given.
    pub fn well_known() -> Self {
        Helper::ALL
            .into_iter()
            .fold(Self::NONE, |helpers, helper| helpers.with(helper, &[helper.well_known_port()]))
    }

    /// With one helper at these ports instead of those that it has: the first [`HELPER_PORTS_MAX`] that are not 0.
    #[must_use]
    pub fn with(mut self, helper: Helper, ports: &[u16]) -> Self {
        let mut list = [0; HELPER_PORTS_MAX];
        list.iter_mut().zip(ports.iter().filter(|port| **port != 0)).for_each(|(place, port)| *place = *port);
        self.0[helper as usize] = list;
        self
    }

    /// The ports of one helper.
    pub fn ports(&self, helper: Helper) -> impl Iterator<Item = u16> {
        self.0[helper as usize].into_iter().take_while(|port| *port != 0)
    }

    /// The helper of connections to a virtual port.
    pub fn at(&self, protocol: Protocol, port: u16) -> Option<Helper> {
        Helper::ALL.into_iter().find(|helper| {
            helper.protocol() == protocol && port != 0 && self.0[*helper as usize].contains(&port)
        })
    }

    /// Whether a service on `port` can have connections with a helper; on port 0, for any, if there is any.
    pub fn concern(&self, protocol: Option<Protocol>, port: u16) -> bool {
        match protocol {
            Some(protocol) if port != 0 => self.at(protocol, port).is_some(),
            _ => Helper::ALL.into_iter().any(|helper| {
                protocol.is_none_or(|protocol| protocol == helper.protocol())
                    && self.ports(helper).next().is_some()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn helpers_are_found_by_protocol_and_port() {
        let helpers = Helpers::well_known().with(Helper::Ftp, &[21, 2121, 0]);
        for (protocol, port, want) in [
            (Protocol::Tcp, 21, Some(Helper::Ftp)),
            (Protocol::Tcp, 2121, Some(Helper::Ftp)),
            (Protocol::Udp, 69, Some(Helper::Tftp)),
            (Protocol::Udp, 21, None),
            (Protocol::Tcp, 69, None),
            (Protocol::Tcp, 1723, Some(Helper::Pptp)),
            (Protocol::Tcp, 0, None),
        ] {
            assert_eq!(helpers.at(protocol, port), want, "{protocol:?} {port}");
            assert_eq!(Helpers::NONE.at(protocol, port), None, "{protocol:?} {port}");
        }
        assert_eq!(helpers.ports(Helper::Ftp).collect::<Vec<_>>(), [21, 2121]);
        let many: Vec<u16> = (1..20).collect();
        assert_eq!(helpers.with(Helper::Ftp, &many).ports(Helper::Ftp).count(), HELPER_PORTS_MAX);
    }

    #[test]
    fn a_service_for_any_port_is_concerned_by_any_helper_of_its_protocol() {
        let ftp = Helpers::NONE.with(Helper::Ftp, &[2121]);
        for (protocol, port, want) in [
            (Some(Protocol::Tcp), 2121, true),
            (Some(Protocol::Tcp), 21, false),
            (Some(Protocol::Tcp), 0, true),
            (Some(Protocol::Udp), 0, false),
            (None, 0, true),
        ] {
            assert_eq!(ftp.concern(protocol, port), want, "{protocol:?} {port}");
            assert!(!Helpers::NONE.concern(protocol, port));
        }
    }

    #[test]
    fn names_lead_to_helpers() {
        for helper in Helper::ALL {
            assert_eq!(Helper::from_name(helper.name()), Some(helper));
        }
        assert_eq!(Helper::from_name("irc"), None);
    }
}
