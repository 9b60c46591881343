//! How many ICMP errors a worker sends: a token bucket.
//!
//! Linux limits the whole host (`icmp_msgs_per_sec`, `icmp_msgs_burst`) and, per destination, the types in
//! `icmp_ratemask`; "fragmentation needed" and "packet too big" are exempt, because path MTU discovery stalls without
//! them. Here each worker has one bucket, with the same exemption.

use crate::icmp::IcmpError;

/// Tokens are counted in thousandths, so that one millisecond at one per second is one unit.
const TOKEN: u64 = 1000;

/// One worker's bucket.
#[derive(Clone, Debug)]
pub struct IcmpLimiter {
    per_second: u32,
    burst: u32,
    tokens: u64,
    filled_ms: u64,
}

impl IcmpLimiter {
    /// At most `per_second` errors a second on average, `burst` at once; 0 per second: no limit. Starts full.
    pub fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second, burst: burst.max(1), tokens: u64::from(burst.max(1)) * TOKEN, filled_ms: 0 }
    }

    /// Whether this error may be sent now; takes a token if so.
    pub fn allow(&mut self, now_ms: u64, kind: IcmpError) -> bool {
        if self.per_second == 0 || matches!(kind, IcmpError::FragmentationNeeded { .. }) {
            return true;
        }
        let elapsed = now_ms.saturating_sub(self.filled_ms);
        self.filled_ms = self.filled_ms.max(now_ms);
        let most = u64::from(self.burst) * TOKEN;
        self.tokens =
            self.tokens.saturating_add(elapsed.saturating_mul(u64::from(self.per_second))).min(most);
        let allowed = self.tokens >= TOKEN;
        if allowed {
            self.tokens -= TOKEN;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_to_burst_then_rate() {
        let mut limiter = IcmpLimiter::new(10, 3);
        let mut sent = |now_ms| (0..100).filter(|_| limiter.allow(now_ms, IcmpError::TimeExceeded)).count();
        for (now_ms, want) in
            [(1000, 3), (1000, 0), (1099, 0), (1100, 1), (1350, 2), (1400, 1), (9000, 3), (8000, 0)]
        {
            assert_eq!(sent(now_ms), want, "at {now_ms}");
        }
    }

    #[test]
    fn zero_is_no_limit_and_path_mtu_is_exempt() {
        let mut off = IcmpLimiter::new(0, 0);
        assert!((0..1000).all(|_| off.allow(0, IcmpError::TimeExceeded)));
        let mut tight = IcmpLimiter::new(1, 1);
        assert!(tight.allow(0, IcmpError::HostUnreachable));
        assert!(!tight.allow(0, IcmpError::HostUnreachable));
        assert!((0..1000).all(|_| tight.allow(0, IcmpError::FragmentationNeeded { mtu: 1400 })));
    }
}
