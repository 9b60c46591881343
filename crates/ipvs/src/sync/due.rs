//! When a connection is told to backups [ip_vs_sync_conn_needed].
//!
//! A TCP connection in a state that matters: when it begins to close, and at packet `threshold` of each `period`; any other
//! connection at these packets; a template at every one. With a refresh period, only if the connection's end has
//! moved by so much since it was told, or for the sake of a retry.

use wire::sync::state;

use super::SyncSettings;
use crate::{Protocol, State};

/// The kernel's timers count in these units; two bits of such a time count retries.
const TICK_MS: u64 = 4;
/// The bits of a time that count retries.
const RETRIES: u32 = 3;
/// An end that has moved by half the timeout, and by ten seconds, is always told.
const LEAST_REFRESH_MS: u64 = 10_000;

/// What a master remembers of a connection: all zero before it was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// When the connection would have ended as it was told, in ticks, and in the lowest bits how often it was told again
    /// meanwhile; 0: it was not told [sync_endtime].
    pub(crate) end: u32,
    /// The state that was told [old_state].
    pub(crate) state: State,
}

/// What is asked about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    /// A template of persistence.
    pub(crate) template: bool,
    /// It is controlled by a template, be it by way of another connection.
    pub(crate) persistent: bool,
    /// Its protocol; of a template it does not matter.
    pub(crate) protocol: Protocol,
    pub(crate) state: State,
    /// How long it lives from now on.
    pub(crate) timeout_ms: u64,
    /// Packets of its client, or for what controls a connection that is told: [`SyncSettings::threshold`].
    pub(crate) pkts: u32,
}

/// Whether the connection is to be told now; `told` is what it was told as, and says afterwards what it is told as.
pub(crate) fn is_due(settings: &SyncSettings, now_ms: u64, subject: &Subject, told: &mut Told) -> bool {
    if !subject.template && settings.persist_mode && subject.persistent {
        return false;
    }
    let Some(closing) = closing(subject) else { return false };
    let mut end = ticks(now_ms + subject.timeout_ms) & !RETRIES;
    let turned = closing && subject.state != told.state;
    if !turned {
        if settings.refresh_ms > 0 && told.end != 0 {
            match refreshed(settings, now_ms, subject.timeout_ms, end, told.end) {
                Some(retry) => end |= retry,
                None => return false,
            }
        }
        if !at_packet(settings, subject) {
            return false;
        }
    }
    // 0 would mean never.
    *told = Told { end: end.max(1), state: subject.state };
    true
}

/// Whether a connection is in a state in which it is told whatever the number of packets. `None`: in one in which it is not
/// told at all.
fn closing(subject: &Subject) -> Option<bool> {
    if subject.template {
        return Some(false);
    }
    match subject.protocol.number() {
        wire::protocol::TCP => match u16::from(subject.state.0) {
            state::TCP_ESTABLISHED => Some(false),
            state::TCP_FIN_WAIT | state::TCP_CLOSE | state::TCP_CLOSE_WAIT | state::TCP_TIME_WAIT => {
                Some(true)
            }
            _ => None,
        },
        wire::protocol::SCTP => match u16::from(subject.state.0) {
            state::SCTP_ESTABLISHED => Some(false),
            state::SCTP_SHUTDOWN_SENT
            | state::SCTP_SHUTDOWN_RECEIVED
            | state::SCTP_SHUTDOWN_ACK_SENT
            | state::SCTP_CLOSED => Some(true),
            _ => None,
        },
        _ => Some(false),
    }
}

/// Whether the number of packets lets a connection be told.
fn at_packet(settings: &SyncSettings, subject: &Subject) -> bool {
    match settings.period {
        0 => settings.refresh_ms > 0 || subject.pkts == settings.threshold,
        period => subject.template || subject.pkts % period == settings.threshold,
    }
}

/// Whether an end that was told as `was` has moved enough to be told as `end`, or is to be told again: the number of the
/// retry, 0 if it is none.
fn refreshed(settings: &SyncSettings, now_ms: u64, timeout_ms: u64, end: u32, was: u32) -> Option<u32> {
    let moved = end.wrapping_sub(was).cast_signed().unsigned_abs();
    let enough = settings.refresh_ms.min((timeout_ms / 2).max(LEAST_REFRESH_MS));
    if moved >= ticks(enough) {
        return Some(0);
    }
    let retries = was & RETRIES;
    if retries >= u32::from(settings.retries) {
        return None;
    }
    let told_at = was.wrapping_sub(ticks(timeout_ms));
    let due = told_at.wrapping_add(ticks(settings.refresh_ms) / 8);
    let early = ticks(now_ms).wrapping_sub(due).cast_signed() < 0;
    (!early).then_some(retries + 1)
}

/// Times are compared by what they differ, so that they may wrap.
fn ticks(ms: u64) -> u32 {
    (ms / TICK_MS) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Subject = Subject {
        template: false,
        persistent: false,
        protocol: Protocol::Tcp,
        state: State(1),
        timeout_ms: 900_000,
        pkts: 0,
    };
    const UDP: Subject = Subject { protocol: Protocol::Udp, state: State(0), timeout_ms: 300_000, ..TCP };

    /// The packets at which a connection is told, of a hundred that come every `every_ms`.
    fn told_at(settings: &SyncSettings, subject: Subject, every_ms: u64) -> Vec<u32> {
        let mut told = Told::default();
        let due = |pkts: &u32| {
            let now_ms = 10_000 + u64::from(*pkts) * every_ms;
            is_due(settings, now_ms, &Subject { pkts: *pkts, ..subject }, &mut told)
        };
        (1..=110).filter(due).collect()
    }

    #[test]
    fn packets_decide_by_threshold_and_period() {
        let settings = |threshold, period| SyncSettings { threshold, period, ..SyncSettings::default() };
        let opening = Subject { state: State(3), ..TCP };
        for (name, settings, subject, want) in [
            ("TCP", settings(3, 50), TCP, vec![3, 53, 103]),
            ("UDP", settings(3, 50), UDP, vec![3, 53, 103]),
            ("TCP that opens", settings(3, 50), opening, vec![]),
            ("once", settings(1, 0), UDP, vec![1]),
            ("never", settings(0, 0), UDP, vec![]),
            ("at the end of each period", settings(0, 50), UDP, vec![50, 100]),
        ] {
            assert_eq!(told_at(&settings, subject, 1), want, "{name}");
        }
    }

    #[test]
    fn the_beginning_of_an_end_is_told_once() {
        let settings = SyncSettings { period: 0, ..SyncSettings::default() };
        let mut told = Told::default();
        let states = [3, 1, 7, 7, 5, 5, 1, 5, 8, 6];
        let due =
            states.map(|state| is_due(&settings, 1, &Subject { state: State(state), ..TCP }, &mut told));
        assert_eq!(due, [false, false, true, false, true, false, false, false, false, true]);
    }

    #[test]
    fn templates_are_told_at_every_packet_and_their_connections_only_if_asked() {
        let template = Subject { template: true, ..TCP };
        let connection = Subject { persistent: true, ..TCP };
        let mut settings = SyncSettings::default();
        assert_eq!(told_at(&settings, template, 1).len(), 110);
        assert_eq!(told_at(&settings, connection, 1), [3, 53, 103]);
        settings.persist_mode = true;
        assert_eq!(told_at(&settings, template, 1).len(), 110);
        assert_eq!(told_at(&settings, connection, 1), []);
    }

    /// As in recordings of Linux: a packet each second, or a little later.
    #[test]
    fn a_refresh_period_thins_out_what_is_told() {
        let mut settings =
            SyncSettings { refresh_ms: 4000, threshold: 3, period: 0, ..SyncSettings::default() };
        assert_eq!(told_at(&settings, UDP, 1010)[..4], [1, 5, 9, 13]);
        settings.retries = 2;
        assert_eq!(
            told_at(&settings, UDP, 1010)[..6],
            [1, 2, 3, 7, 8, 9],
            "and twice again, which moves the end too"
        );
        settings.period = 50;
        assert_eq!(told_at(&settings, UDP, 1010), [3, 53, 103], "but at these packets only");
    }

    #[test]
    fn times_may_wrap() {
        let settings = SyncSettings { refresh_ms: 4000, period: 0, ..SyncSettings::default() };
        let wrap_ms = u64::from(u32::MAX) * TICK_MS;
        let mut told = Told::default();
        let due = (0..12).map(|n| {
            let now_ms = wrap_ms - 305_000 + n * 1000;
            is_due(&settings, now_ms, &UDP, &mut told)
        });
        assert_eq!(due.filter(|due| *due).count(), 3);
    }
}
