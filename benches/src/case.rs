//! What is measured: names, and what they stand for.

use ipvs::{Method, Protocol};
use wire::Family;

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Requests of connections that there are.
    Requests,
    /// Replies to them.
    Replies,
    /// First packets, each of a connection of its own.
    Opening,
    /// What testpmd's `5tswap` does to requests: the reference.
    Swap,
}

/// One thing to measure.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// What is done.
    pub work: Work,
    /// How the destinations are reached.
    pub method: Method,
    /// The clients' family, and the destinations'.
    pub family: Family,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// Connections.
    pub flows: u32,
    /// Packets go through the director one at a time rather than in bursts.
    pub single: bool,
}

impl Case {
    /// The case with this name: `fullnat-udp-1k`, `nat-tcp6-100k-replies`, `conn-udp-1m`, `5tswap-udp-1k`,
    /// `dr-udp-1k-single`. None: it is none.
    pub fn named(name: &str) -> Option<Self> {
        let mut words = name.split('-');
        let (method, work) = match words.next()? {
            "fullnat" => (Method::Fullnat, Work::Requests),
            "nat" => (Method::Masquerade, Work::Requests),
            "dr" => (Method::DirectRouting, Work::Requests),
            "tunnel" => (Method::Tunnel, Work::Requests),
            "conn" => (Method::Fullnat, Work::Opening),
            "5tswap" => (Method::Fullnat, Work::Swap),
            _ => return None,
        };
        let (protocol, family) = match words.next()? {
            "udp" => (Protocol::Udp, Family::V4),
            "tcp" => (Protocol::Tcp, Family::V4),
            "udp6" => (Protocol::Udp, Family::V6),
            "tcp6" => (Protocol::Tcp, Family::V6),
            _ => return None,
        };
        let flows = count(words.next()?)?;
        let (mut work, mut single) = (work, false);
        for word in words {
            match word {
                "replies" if method.translates() && work == Work::Requests => work = Work::Replies,
                "single" if work != Work::Swap => single = true,
                _ => return None,
            }
        }
        (flows > 0).then(|| Self { name: name.to_owned(), work, method, family, protocol, flows, single })
    }
}

fn count(word: &str) -> Option<u32> {
    if let Some(millions) = word.strip_suffix('m') {
        return millions.parse::<u32>().ok()?.checked_mul(1_000_000);
    }
    match word.strip_suffix('k') {
        Some(thousands) => thousands.parse::<u32>().ok()?.checked_mul(1000),
        None => word.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_measured() {
        let case = Case::named("nat-tcp6-100k-replies").unwrap();
        assert_eq!((case.work, case.method, case.family), (Work::Replies, Method::Masquerade, Family::V6));
        assert_eq!((case.protocol, case.flows), (Protocol::Tcp, 100_000));
        assert_eq!(Case::named("fullnat-udp-1m").unwrap().flows, 1_000_000);
        for wrong in
            ["", "fullnat", "fullnat-udp", "fullnat-udp-0", "dr-udp-1k-replies", "nat-udp-1k-x", "x-udp-1k"]
        {
            assert!(Case::named(wrong).is_none(), "{wrong}");
        }
    }
}
