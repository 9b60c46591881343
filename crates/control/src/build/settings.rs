//! The tunables in the director's words.

use api::{Sysctl, Sysctls};
use ipvs::{Defence, Settings, SyncSettings};
use wire::sync::Version;

pub(super) fn settings(sysctls: &Sysctls) -> Settings {
    let on = |sysctl| sysctls.is_on(sysctl);
    let number = |sysctl| sysctls.get(sysctl).first;
    let natural = |sysctl| number(sysctl).max(0) as u32;
    let ms = |sysctl| u64::from(natural(sysctl)) * 1000;
    let defence = |sysctl| match number(sysctl) {
        1 | 2 => Defence::Automatic,
        3 => Defence::Always,
        _ => Defence::Off,
    };
    Settings {
        expire_nodest_conn: on(Sysctl::ExpireNodestConn),
        expire_quiescent_template: on(Sysctl::ExpireQuiescentTemplate),
        cache_bypass: on(Sysctl::CacheBypass),
        sloppy_tcp: on(Sysctl::SloppyTcp),
        sloppy_sctp: on(Sysctl::SloppySctp),
        snat_reroute: on(Sysctl::SnatReroute),
        nat_icmp_send: on(Sysctl::NatIcmpSend),
        pmtu_disc: on(Sysctl::PmtuDisc),
        schedule_icmp: on(Sysctl::ScheduleIcmp),
        backup_only: on(Sysctl::BackupOnly),
        drop_entry: defence(Sysctl::DropEntry),
        drop_packet: defence(Sysctl::DropPacket),
        secure_tcp: defence(Sysctl::SecureTcp),
        amemthresh: natural(Sysctl::Amemthresh),
        am_droprate: natural(Sysctl::AmDroprate),
        run_estimation: on(Sysctl::RunEstimation),
        // Only the lowest bits mean something; any other number than 0 has reuse on.
        conn_reuse_mode: number(Sysctl::ConnReuseMode) as u8,
        lblc_expiration_ms: ms(Sysctl::LblcExpiration),
        lblcr_expiration_ms: ms(Sysctl::LblcrExpiration),
        sync: sync(sysctls),
    }
}

/// Without the daemons: whether they run is no tunable.
fn sync(sysctls: &Sysctls) -> SyncSettings {
    let natural = |sysctl| sysctls.get(sysctl).first.max(0) as u32;
    let threshold = sysctls.get(Sysctl::SyncThreshold);
    SyncSettings {
        master: false,
        backup: false,
        threshold: threshold.first.max(0) as u32,
        period: threshold.second.unwrap_or(0).max(0) as u32,
        refresh_ms: u64::from(natural(Sysctl::SyncRefreshPeriod)) * 1000,
        retries: natural(Sysctl::SyncRetries).min(3) as u8,
        persist_mode: sysctls.is_on(Sysctl::SyncPersistMode),
        version: if natural(Sysctl::SyncVersion) == 0 { Version::V0 } else { Version::V1 },
        conntrack: sysctls.is_on(Sysctl::Conntrack),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &str, value: &str) -> Settings {
        let mut sysctls = Sysctls::default();
        sysctls.set(name.parse().unwrap(), value.parse().unwrap()).unwrap();
        settings(&sysctls)
    }

    #[test]
    fn the_defaults_are_the_directors() {
        assert_eq!(settings(&Sysctls::default()), Settings::default());
    }

    #[test]
    fn each_tunable_reaches_the_setting_of_its_name() {
        let default = Settings::default();
        let sync = |change: fn(&mut SyncSettings)| {
            let mut settings = default;
            change(&mut settings.sync);
            settings
        };
        let cases = [
            ("expire_nodest_conn", "1", Settings { expire_nodest_conn: true, ..default }),
            ("expire_quiescent_template", "1", Settings { expire_quiescent_template: true, ..default }),
            ("cache_bypass", "1", Settings { cache_bypass: true, ..default }),
            ("sloppy_tcp", "-1", Settings { sloppy_tcp: true, ..default }),
            ("sloppy_sctp", "1", Settings { sloppy_sctp: true, ..default }),
            ("snat_reroute", "0", Settings { snat_reroute: false, ..default }),
            ("nat_icmp_send", "1", Settings { nat_icmp_send: true, ..default }),
            ("pmtu_disc", "0", Settings { pmtu_disc: false, ..default }),
            ("schedule_icmp", "1", Settings { schedule_icmp: true, ..default }),
            ("backup_only", "1", Settings { backup_only: true, ..default }),
            ("drop_entry", "1", Settings { drop_entry: Defence::Automatic, ..default }),
            ("drop_packet", "2", Settings { drop_packet: Defence::Automatic, ..default }),
            ("secure_tcp", "3", Settings { secure_tcp: Defence::Always, ..default }),
            ("amemthresh", "7", Settings { amemthresh: 7, ..default }),
            ("am_droprate", "7", Settings { am_droprate: 7, ..default }),
            ("run_estimation", "0", Settings { run_estimation: false, ..default }),
            ("conn_reuse_mode", "2", Settings { conn_reuse_mode: 2, ..default }),
            ("lblc_expiration", "7", Settings { lblc_expiration_ms: 7000, ..default }),
            ("lblcr_expiration", "7", Settings { lblcr_expiration_ms: 7000, ..default }),
            ("sync_threshold", "7 9", sync(|sync| (sync.threshold, sync.period) = (7, 9))),
            ("sync_refresh_period", "7", sync(|sync| sync.refresh_ms = 7000)),
            ("sync_retries", "2", sync(|sync| sync.retries = 2)),
            ("sync_persist_mode", "1", sync(|sync| sync.persist_mode = true)),
            ("sync_version", "0", sync(|sync| sync.version = Version::V0)),
            ("conntrack", "1", sync(|sync| sync.conntrack = true)),
        ];
        for (name, value, want) in cases {
            assert_eq!(with(name, value), want, "{name} = {value}");
        }
    }
}
