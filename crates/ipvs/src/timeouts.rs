//! Idle timeouts that an operator can set [ipvsadm --set]; every other state has a fixed one (`protocol`).
//!
//! A change applies to a connection from its next packet on.

/// Idle timeouts in milliseconds. A change of 0 in a command means "leave as it is"; here they are final values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP in state ESTABLISHED.
    pub tcp_ms: u64,
    /// TCP in state FIN_WAIT; CLOSE_WAIT and TIME_WAIT keep their own.
    pub tcp_fin_ms: u64,
    /// UDP.
    pub udp_ms: u64,
}

impl Default for Timeouts {
    /// What the kernel starts with: 900, 120 and 300 seconds.
    fn default() -> Self {
        Self { tcp_ms: 900_000, tcp_fin_ms: 120_000, udp_ms: 300_000 }
    }
}
