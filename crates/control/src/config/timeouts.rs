//! Idle timeouts by protocol and state, and what the file calls them.

use std::sync::LazyLock;

use ipvs::{Protocol, State, Timeouts};

use crate::build::protocol;

/// The longest idle timeout, as with ipvsadm: 31 days.
pub const TIMEOUT_MAX_S: u32 = 31 * 86_400;

/// One timeout's place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeoutKey {
    /// `ipvs` for those of `ipvsadm --set`, else `ipvs.timeouts`.
    pub table: &'static str,
    /// `tcp_timeout_s`, `tcp_syn_recv_s`.
    pub key: &'static str,
    /// The same in the words of clients.
    api: api::Protocol,
    pub protocol: Protocol,
    pub state: State,
}

/// What `ipvsadm --set` sets, in its order.
const COMMON: [(&str, api::Protocol, &str); 3] = [
    ("tcp_timeout_s", api::Protocol::Tcp, "ESTABLISHED"),
    ("tcp_fin_timeout_s", api::Protocol::Tcp, "FIN_WAIT"),
    ("udp_timeout_s", api::Protocol::Udp, "UDP"),
];

/// Every timeout: those of `ipvsadm --set` first.
pub fn timeout_keys() -> &'static [TimeoutKey] {
    static KEYS: LazyLock<Vec<TimeoutKey>> = LazyLock::new(|| {
        let common = COMMON.iter().filter_map(|&(key, api, name)| {
            let protocol = protocol(api);
            Some(TimeoutKey { table: "ipvs", key, api, protocol, state: protocol.state(name)? })
        });
        let common: Vec<TimeoutKey> = common.collect();
        let is_common =
            |key: &TimeoutKey| common.iter().any(|c| (c.protocol, c.state) == (key.protocol, key.state));
        let others = api::Protocol::ALL.iter().flat_map(|&api| {
            let protocol = protocol(api);
            (0u8..).map(State).zip(protocol.states()).map(move |(state, name)| {
                let key = format!("{api}_{name}_s").to_lowercase().replace('-', "_");
                TimeoutKey { table: "ipvs.timeouts", key: String::leak(key), api, protocol, state }
            })
        });
        let others: Vec<TimeoutKey> = others.filter(|key| !is_common(key)).collect();
        common.into_iter().chain(others).collect()
    });
    &KEYS
}

/// The timeout of a protocol's state, whose name may be in letters of any case.
pub fn timeout_key(protocol: Protocol, state: &str) -> Option<&'static TimeoutKey> {
    let is_it = |key: &&TimeoutKey| key.protocol == protocol && key.state_name().eq_ignore_ascii_case(state);
    timeout_keys().iter().find(is_it)
}

impl TimeoutKey {
    pub fn api_protocol(&self) -> api::Protocol {
        self.api
    }

    pub fn get_s(&self, timeouts: &Timeouts) -> u32 {
        (timeouts.get(self.protocol, self.state) / 1000) as u32
    }

    pub fn set_s(&self, timeouts: &mut Timeouts, seconds: u32) {
        timeouts.set(self.protocol, self.state, u64::from(seconds) * 1000);
    }

    /// As listings show it.
    pub fn state_name(&self) -> &'static str {
        self.protocol.state_name(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_every_protocol_has_one_key() {
        let keys = timeout_keys();
        let names: std::collections::HashSet<_> = keys.iter().map(|key| key.key).collect();
        assert_eq!(names.len(), keys.len());
        let states: usize = Protocol::BALANCED.iter().map(|protocol| protocol.states().len()).sum();
        assert_eq!(keys.len(), states);
        assert_eq!(
            keys.iter().take(4).map(|key| key.key).collect::<Vec<_>>(),
            ["tcp_timeout_s", "tcp_fin_timeout_s", "udp_timeout_s", "tcp_none_s"]
        );
        for key in keys {
            let mut timeouts = Timeouts::default();
            key.set_s(&mut timeouts, 7);
            assert_eq!(
                (key.get_s(&timeouts), timeouts.get(key.protocol, key.state)),
                (7, 7000),
                "{}",
                key.key
            );
        }
    }
}
