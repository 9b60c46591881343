//! A record for tests.

use ipvs::sync::Record;
use wire::sync::state;

/// An established NAT connection from a client's port.
pub(crate) fn record(port: u16) -> Record {
    Record {
        protocol: wire::protocol::TCP,
        flags: 0,
        state: state::TCP_ESTABLISHED,
        client: ([198, 51, 100, 1], port).into(),
        service: ([192, 0, 2, 100], 80).into(),
        destination: ([10, 0, 2, 11], 8080).into(),
        fwmark: 0,
        timeout_s: 900,
        local: None,
        shifts: None,
        engine: None,
        lane: 0,
    }
}
