//! Defence against floods that fill the connection table [update_defense_level].
//!
//! Three defences, each off, on, or on while memory is short: connections that look abandoned make room (drop_entry), one in so many
//! packets that would begin a connection is dropped (drop_packet), and TCP connections count as established only
//! behind a whole handshake (secure_tcp). Once a second each worker looks at what is free of its own connection
//! table: that is the memory that runs out in rvs, where in Linux it is the machine's.

mod abandoned;

use crate::director::Director;
use crate::{Defence, Settings};

pub(crate) use abandoned::Search;

/// Between two looks at the memory [DEFENSE_TIMER_PERIOD].
const PERIOD_MS: u64 = 1000;
/// What `amemthresh` counts, in bytes.
const PAGE_BYTES: u64 = 4096;
/// The part of a table that may be free and still count as short, whatever `amemthresh` says: else a small table would
/// be short while it is empty.
const SHORT_PART: u64 = 8;

/// What a worker's connection table has room for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Connections that it can take.
    pub(crate) capacity: usize,
    /// Connections that it has.
    pub(crate) used: usize,
    /// Memory that one takes.
    pub(crate) connection_bytes: usize,
    /// Workers that `amemthresh` is for.
    pub(crate) workers: usize,
}

impl Room {
    /// Pages below which memory is short, and those that are free.
    fn pages(&self, amemthresh: u32) -> (u64, u64) {
        let pages = |connections: usize| (connections * self.connection_bytes) as u64 / PAGE_BYTES;
        let share = u64::from(amemthresh) / self.workers.max(1) as u64;
        let most = (pages(self.capacity) / SHORT_PART).max(1);
        (share.min(most), pages(self.capacity.saturating_sub(self.used)))
    }
}

/// Which defences are on, at one worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DefenceLevel {
    /// Free memory is below the threshold.
    pub short: bool,
    /// Connections that look abandoned are dropped.
    pub drop_entry: bool,
    /// Of so many packets that would begin a connection one is dropped; 0: none is.
    pub drop_rate: u32,
    /// TCP connections follow the stricter states.
    pub secure_tcp: bool,
}

impl DefenceLevel {
    /// As a number, which a worker's counters hold.
    pub(crate) fn to_bits(self) -> u64 {
        let flags = u64::from(self.short) | u64::from(self.drop_entry) << 1 | u64::from(self.secure_tcp) << 2;
        u64::from(self.drop_rate) << 32 | flags
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self {
            short: bits & 1 != 0,
            drop_entry: bits & 2 != 0,
            secure_tcp: bits & 4 != 0,
            drop_rate: (bits >> 32) as u32,
        }
    }

    /// What the settings ask for with so much memory free.
    fn assess(settings: &Settings, room: &Room) -> Self {
        let (threshold, free) = room.pages(settings.amemthresh);
        let short = free < threshold;
        let on = |defence| match defence {
            Defence::Off => false,
            Defence::Automatic => short,
            Defence::Always => true,
        };
        let drop_rate = match settings.drop_packet {
            Defence::Always => settings.am_droprate,
            // The less is free, the more are dropped; at the end all.
            Defence::Automatic if short => (threshold / (threshold - free)) as u32,
            _ => 0,
        };
        Self { short, drop_entry: on(settings.drop_entry), drop_rate, secure_tcp: on(settings.secure_tcp) }
    }
}

/// One worker's defences.
#[derive(Debug, Default)]
pub(crate) struct Defences {
    level: DefenceLevel,
    next_ms: u64,
    /// Packets that pass until one is dropped.
    until_drop: u32,
}

impl Defences {
    /// Looks at the memory, if it is time. Whether a second has passed since the last time.
    pub(crate) fn reassess(&mut self, now_ms: u64, settings: &Settings, room: impl FnOnce() -> Room) -> bool {
        if now_ms < self.next_ms {
            return false;
        }
        self.next_ms = now_ms.saturating_add(PERIOD_MS);
        let before = self.level;
        self.level = DefenceLevel::assess(settings, &room());
        if self.level.drop_rate != before.drop_rate {
            self.until_drop = self.level.drop_rate;
        }
        true
    }

    /// The settings have changed: the next look is at once.
    pub(crate) fn settings_changed(&mut self) {
        self.next_ms = 0;
    }

    pub(crate) fn level(&self) -> DefenceLevel {
        self.level
    }

    /// Whether this packet, which would begin a connection, is one of those that are dropped [ip_vs_todrop].
    pub(crate) fn drops_packet(&mut self) -> bool {
        if self.level.drop_rate == 0 {
            return false;
        }
        self.until_drop = self.until_drop.saturating_sub(1);
        if self.until_drop > 0 {
            return false;
        }
        self.until_drop = self.level.drop_rate;
        true
    }
}

impl Director {
    /// Defends the connection table, as a part of each turn [defense_work_handler].
    pub(crate) fn defend(&mut self, now_ms: u64) {
        let core = &mut self.core;
        let room = || Room {
            capacity: core.capacity,
            used: core.tables.len(),
            connection_bytes: core.tables.v4.memory_bytes() / core.tables.v4.capacity(),
            workers: core.shared.len(),
        };
        if core.defences.reassess(now_ms, &self.snapshot.settings, room) {
            let level = core.defences.level();
            core.own().set_defence(level);
            if level.drop_entry {
                core.search.begin(core.capacity, &mut core.rng);
            }
        }
        self.make_room(now_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 MiB of connections at two workers: 512 pages each are the default threshold's share.
    fn room(free: usize) -> Room {
        let capacity = 1 << 20;
        Room { capacity, used: capacity - free, connection_bytes: 100, workers: 2 }
    }

    fn settings(mode: Defence) -> Settings {
        Settings { drop_entry: mode, drop_packet: mode, secure_tcp: mode, ..Settings::default() }
    }

    #[test]
    fn each_mode_is_off_or_on_or_by_memory() {
        let (enough, short) = (room(512 * 4096 / 100 + 41), room(256 * 4096 / 100));
        for (mode, room, on, drop_rate, is_short) in [
            (Defence::Off, &enough, false, 0, false),
            (Defence::Off, &short, false, 0, true),
            (Defence::Automatic, &enough, false, 0, false),
            (Defence::Automatic, &short, true, 1, true),
            (Defence::Always, &enough, true, 10, false),
            (Defence::Always, &short, true, 10, true),
        ] {
            let level = DefenceLevel::assess(&settings(mode), room);
            let want = DefenceLevel { short: is_short, drop_entry: on, drop_rate, secure_tcp: on };
            assert_eq!(level, want, "{mode:?}");
            assert_eq!(DefenceLevel::from_bits(level.to_bits()), level);
        }
    }

    #[test]
    fn the_less_is_free_the_more_packets_are_dropped() {
        let rate = |free_pages: usize| {
            DefenceLevel::assess(&settings(Defence::Automatic), &room(free_pages * 4096 / 100 + 1)).drop_rate
        };
        assert_eq!([511, 504, 448, 384, 256, 128, 0].map(rate), [512, 64, 8, 4, 2, 1, 1]);
    }

    #[test]
    fn a_small_table_is_not_short_before_most_of_it_is_used() {
        let room = |used| Room { capacity: 10_000, used, connection_bytes: 100, workers: 1 };
        let short = |used| DefenceLevel::assess(&Settings::default(), &room(used)).short;
        assert!(!short(0) && !short(8_700));
        assert!(short(9_000) && short(10_000));
        let one = Room { capacity: 1, used: 0, connection_bytes: 100, workers: 1 };
        assert!(DefenceLevel::assess(&Settings::default(), &one).short, "less than a page is never much");
    }

    #[test]
    fn one_packet_of_so_many_is_dropped() {
        let mut defences = Defences::default();
        assert!((0..100).all(|_| !defences.drops_packet()), "none while it is off");
        let settings = Settings { am_droprate: 3, ..settings(Defence::Always) };
        assert!(defences.reassess(0, &settings, || room(1 << 20)));
        let dropped: Vec<bool> = (0..7).map(|_| defences.drops_packet()).collect();
        assert_eq!(dropped, [false, false, true, false, false, true, false]);
        let all = Settings { am_droprate: 1, ..settings };
        assert!(!defences.reassess(999, &all, || room(1 << 20)), "once a second");
        defences.settings_changed();
        assert!(defences.reassess(999, &all, || room(1 << 20)));
        assert!((0..5).all(|_| defences.drops_packet()));
        assert!(defences.reassess(1999, &self::settings(Defence::Off), || room(1 << 20)));
        assert!(!defences.drops_packet());
    }
}
