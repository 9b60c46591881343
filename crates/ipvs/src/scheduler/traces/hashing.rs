//! Schedulers that hash or remember against picks recorded from Linux 6.1: servers 1, 2, 3 of weights 1, 2, 3; then the
//! second gets weight 0; then, in some, the first is removed. A digit is a pick.

use super::*;

const PLAIN: SchedulerOptions = SchedulerOptions { fallback: false, port: false, table_size: 65_537 };
const FALLBACK: SchedulerOptions = SchedulerOptions { fallback: true, ..PLAIN };
const PORT: SchedulerOptions = SchedulerOptions { port: true, ..PLAIN };
const BOTH: SchedulerOptions = SchedulerOptions { fallback: true, ..PORT };

/// One recording: its name, what the service has, whether it is IPv6, and the picks.
type Recorded<const N: usize> = (&'static str, SchedulerKind, SchedulerOptions, bool, [&'static str; N]);

fn bench(kind: SchedulerKind, options: SchedulerOptions, is_v6: bool) -> Bench {
    let mut bench = Bench::new(kind, 1, WorkerId(0));
    bench.service.scheduler_options = options;
    if is_v6 {
        let addr = "2001:db8:1::100".parse().unwrap();
        bench.service.key = ServiceKey::Address { protocol: Protocol::Tcp, addr, port: 80 };
    }
    let dest = if is_v6 { dest_v6 } else { dest };
    (1..=3).for_each(|server| bench.change(|dests| dests.push(dest(server, server))));
    bench
}

/// One address, asked by many clients, and by one from many ports.
#[test]
fn picks_by_client() {
    use SchedulerKind::{Mh, Sh};
    let recorded: [Recorded<4>; 12] = [
        (
            "mh_v4_fallback",
            Mh,
            FALLBACK,
            false,
            [
                "3211322331333223332232132323222331113332333133122333212323231332",
                "33333333333333333333333333333333",
                "13133333333333133331311113133331",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "mh_v4_fallback_port",
            Mh,
            BOTH,
            false,
            [
                "3331331111133323113323332233211133233233232333213333333332333133",
                "32333131323323133333323111323211",
                "11133133333133333313331313333133",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "mh_v6",
            Mh,
            PLAIN,
            true,
            [
                "3232231331133133323232232133331133333332121223311231123233333322",
                "22222222222222222222222222222222",
                "13330033303031033130013330031313",
                "33303303300000003333333300333333",
            ],
        ),
        (
            "mh_v6_fallback",
            Mh,
            FALLBACK,
            true,
            [
                "3232231331133133323232232133331133333332121223311231123233333322",
                "22222222222222222222222222222222",
                "13333333333331133133313331131313",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "mh_v6_fallback_port",
            Mh,
            BOTH,
            true,
            [
                "3331322323333331222232121232212333323233322232333233333331332321",
                "11313313233223323332133332311222",
                "33333131313311333331333133333313",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "mh_v6_port",
            Mh,
            PORT,
            true,
            [
                "3331322323333331222232121232212333323233322232333233333331332321",
                "11313313233223323332133332311222",
                "33303101310301303331330003333003",
                "33033333330333333033330333300330",
            ],
        ),
        (
            "sh_v4",
            Sh,
            PLAIN,
            false,
            [
                "3313232332321212232321313333332321223232121323333132333323212132",
                "33333333333333333333333333333333",
                "30303033333013331313130313030333",
                "03033333303033333303033333303033",
            ],
        ),
        (
            "sh_v4_fallback",
            Sh,
            FALLBACK,
            false,
            [
                "3313232332321212232321313333332321223232121323333132333323212132",
                "33333333333333333333333333333333",
                "33333333333313331313133313333333",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "sh_v4_fallback_port",
            Sh,
            BOTH,
            false,
            [
                "2321213232331313333232321323232131323333232332323212132323313233",
                "23232131333333232322323212132333",
                "33313331313131313333333333333313",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "sh_v4_port",
            Sh,
            PORT,
            false,
            [
                "2321213232331313333232321323232131323333232332323212132323313233",
                "23232131333333232322323212132333",
                "03313331313131313030303033333313",
                "30333333030333333030303333030303",
            ],
        ),
        (
            "sh_v6",
            Sh,
            PLAIN,
            true,
            [
                "3313132321212233323223231313333121323212333323232333313232321212",
                "22222222222222222222222222222222",
                "33033313131303133313133033333331",
                "30303303030333303033330303333030",
            ],
        ),
        (
            "sh_v6_fallback_port",
            Sh,
            BOTH,
            true,
            [
                "2323212331323332121323232322323131333322232321333232321233332323",
                "23333132333323212132321213133333",
                "13131333333333313133333331313333",
                "33333333333333333333333333333333",
            ],
        ),
    ];
    for (name, kind, options, is_v6, [clients, ports, quiesced, removed]) in recorded {
        let mut bench = bench(kind, options, is_v6);
        let steps = [Clients(1, 20_000, clients), Ports(100, ports)];
        bench.run(name, &steps);
        bench.run(name, &[Edit(2, 0), Clients(130, 20_000, quiesced)]);
        bench.run(name, &[Del(1), Clients(180, 20_000, removed)]);
    }
}

/// Many addresses of one mark, asked by one client, then by another, then by a third.
#[test]
fn picks_by_destination() {
    use SchedulerKind::{Dh, Lblc, Lblcr, Mh, Sh};
    let recorded: [Recorded<3>; 8] = [
        (
            "dh_fwmark_v4",
            Dh,
            PLAIN,
            false,
            [
                "2131313231121233131223132123213122313112323212131313232311212131",
                "2131313231121233",
                "01313130311010331310031301030131",
            ],
        ),
        (
            "lblc_fwmark_v4",
            Lblc,
            PLAIN,
            false,
            [
                "3213233213233213233213233213233213233213233213233213233213233213",
                "3213233213233213",
                "33133331133333133331133333133331",
            ],
        ),
        (
            "lblc_fwmark_v6",
            Lblc,
            PLAIN,
            true,
            [
                "3213233213233213233213233213233213233213233213233213233213233213",
                "3213233213233213",
                "33133331133333133331133333133331",
            ],
        ),
        (
            "lblcr_fwmark_v4",
            Lblcr,
            PLAIN,
            false,
            [
                "3213233213233213233213233213233213233213233213233213233213233213",
                "3213233213233213",
                "33133331133333133331133333133331",
            ],
        ),
        (
            "mh_fwmark_v4",
            Mh,
            PLAIN,
            false,
            [
                "3333333333333333333333333333333333333333333333333333333333333333",
                "2222222222222222",
                "11111111111111111111111111111111",
            ],
        ),
        (
            "mh_fwmark_v6",
            Mh,
            PLAIN,
            true,
            [
                "3333333333333333333333333333333333333333333333333333333333333333",
                "2222222222222222",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "sh_fwmark_v4",
            Sh,
            PLAIN,
            false,
            [
                "3333333333333333333333333333333333333333333333333333333333333333",
                "3333333333333333",
                "33333333333333333333333333333333",
            ],
        ),
        (
            "sh_fwmark_v6",
            Sh,
            PLAIN,
            true,
            [
                "3333333333333333333333333333333333333333333333333333333333333333",
                "3333333333333333",
                "33333333333333333333333333333333",
            ],
        ),
    ];
    for (name, kind, options, is_v6, [first, second, third]) in recorded {
        let mut bench = bench(kind, options, is_v6);
        bench.run(name, &[Many(1, 1, first), Many(2, 1, second), Edit(2, 0), Many(3, 1, third)]);
    }
}

/// What the recordings above leave open, recorded from the same kernel.
#[test]
fn picks_in_doubtful_cases() {
    use SchedulerKind::*;
    let recorded: [(&str, SchedulerKind, SchedulerOptions, &[Step]); 14] = [
        (
            "dh_more",
            Dh,
            PLAIN,
            &[
                Add(1, 1),
                Add(2, 2),
                Add(3, 3),
                Add(4, 4),
                Many(1, 1, "1424243131424243131324243131324243131324"),
                Del(2),
                Many(2, 1, "3141414341131344141334143134314133414113"),
                AddLimited(2, 1, 3),
                Many(3, 1, "1030304141030304141430304141430304141430"),
            ],
        ),
        (
            "fo_threshold",
            Fo,
            PLAIN,
            &[
                AddLimited(1, 1, 2),
                AddLimited(2, 2, 3),
                AddLimited(3, 3, 2),
                Ports(100, "3322211000"),
                Limit(3, 3, 0),
                Ports(101, "3333333333"),
            ],
        ),
        (
            "lblc_more",
            Lblc,
            PLAIN,
            &[
                Add(1, 2),
                Add(2, 4),
                Add(3, 6),
                Hot(1, 1, "3333333222221111111111111111111111111111"),
                Many(1, 2, "32332323"),
                Hot(2, 2, "333333333333333333333333333333"),
                Edit(3, 0),
                Hot(3, 1, "1111111111"),
                Many(3, 2, "22222222"),
                Edit(3, 6),
                Hot(4, 1, "1111111111"),
                Many(4, 2, "22222222"),
                Del(2),
                Hot(5, 1, "1111111111"),
                Many(5, 2, "33333333"),
                Add(2, 4),
                Hot(6, 1, "1111111111"),
                Many(6, 2, "33333333"),
                Limit(1, 2, 3),
                Hot(7, 1, "1111111111"),
                Many(7, 2, "33333333"),
            ],
        ),
        (
            "lblc_threshold",
            Lblc,
            PLAIN,
            &[
                AddLimited(1, 1, 2),
                AddLimited(2, 2, 3),
                AddLimited(3, 3, 2),
                Ports(100, "3333222111"),
                Limit(3, 3, 0),
                Ports(101, "1111111111"),
            ],
        ),
        (
            "lblcr_more",
            Lblcr,
            PLAIN,
            &[
                Add(1, 2),
                Add(2, 4),
                Add(3, 6),
                Hot(1, 1, "3333333222221113231233231233231233231233"),
                Many(1, 2, "23321323"),
                Hot(2, 2, "222222222222222222222222222222"),
                Edit(3, 0),
                Hot(3, 1, "1111111111"),
                Many(3, 2, "21121121"),
                Edit(3, 6),
                Hot(4, 1, "3333333333"),
                Many(4, 2, "23321323"),
                Del(2),
                Hot(5, 1, "3333333333"),
                Many(5, 2, "33331333"),
                Add(2, 4),
                Hot(6, 1, "3333333333"),
                Many(6, 2, "33331333"),
                Limit(1, 2, 3),
                Hot(7, 1, "3333332332"),
                Many(7, 2, "33322333"),
            ],
        ),
        (
            "lblcr_threshold",
            Lblcr,
            PLAIN,
            &[
                AddLimited(1, 1, 2),
                AddLimited(2, 2, 3),
                AddLimited(3, 3, 2),
                Ports(100, "3322211000"),
                Limit(3, 3, 0),
                Ports(101, "3333333333"),
            ],
        ),
        (
            "mh_from_rr",
            Rr,
            PLAIN,
            &[
                Add(1, 2),
                Add(2, 3),
                Add(3, 0),
                Edit(2, 0),
                Sched(SchedulerKind::Mh),
                Options(FALLBACK),
                Clients(1, 20000, "1111111111111111111111111111111111111111"),
                Sched(SchedulerKind::Mh),
                Options(PLAIN),
                Clients(1, 20001, "0011000011011000100000100100000001111101"),
            ],
        ),
        (
            "mh_mixed",
            Mh,
            PLAIN,
            &[
                Add(1, 1),
                Add(2, 2),
                AddV6(3, 3),
                Clients(1, 20000, "2211322331233222133222123322222331113332123123122333232123233132"),
            ],
        ),
        (
            "mh_threshold",
            Mh,
            FALLBACK,
            &[
                AddLimited(1, 1, 4),
                AddLimited(2, 1, 6),
                AddLimited(3, 1, 8),
                Clients(1, 20000, "3211322311232233330000000000000000000000"),
            ],
        ),
        (
            "mh_weights",
            Mh,
            PLAIN,
            &[
                Add(1, 1),
                Add(2, 100),
                Add(3, 300),
                Add(4, 0),
                Clients(1, 20000, "3233322331333223332332332323322331333333333133322333233323233332"),
                Edit(2, 0),
                Clients(70, 20000, "3333333303333330303333330303333333133313"),
                Edit(4, 65535),
                Clients(70, 20001, "4444144444444444444444444444044444444444"),
                Edit(2, 64),
                Clients(70, 20002, "4444144444444444444444444444244444444444"),
                Del(3),
                Clients(70, 20003, "4444144444444444444444444444444444444444"),
                Add(3, 0),
                Clients(70, 20004, "4444144444444444444444444444444444444444"),
            ],
        ),
        (
            "nq_threshold",
            Nq,
            PLAIN,
            &[
                AddLimited(1, 1, 2),
                AddLimited(2, 2, 3),
                AddLimited(3, 3, 2),
                Ports(100, "3213221000"),
                Limit(3, 3, 0),
                Ports(101, "3333333333"),
            ],
        ),
        (
            "ovf_threshold",
            Ovf,
            PLAIN,
            &[
                AddLimited(1, 1, 2),
                AddLimited(2, 2, 3),
                AddLimited(3, 3, 2),
                Ports(100, "3322211000"),
                Limit(3, 3, 0),
                Ports(101, "3300000000"),
            ],
        ),
        (
            "sed_threshold",
            Sed,
            PLAIN,
            &[
                AddLimited(1, 1, 2),
                AddLimited(2, 2, 3),
                AddLimited(3, 3, 2),
                Ports(100, "3232121000"),
                Limit(3, 3, 0),
                Ports(101, "3333333333"),
            ],
        ),
        (
            "sh_weights",
            Sh,
            PLAIN,
            &[
                Add(1, 100),
                Add(2, 0),
                Add(3, 500),
                Clients(1, 20000, "3333333333333333333333333333333333333333333333333333333333333333"),
                Edit(3, 7),
                Clients(1, 20001, "1111111131111111131131111111111111111111111111111113113111111113"),
                Limit(1, 2, 5),
                Sched(SchedulerKind::Sh),
                Options(FALLBACK),
                Clients(1, 20002, "3333333333333333333333333333333333333333333333333333333333333333"),
            ],
        ),
    ];
    for (name, kind, options, steps) in recorded {
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        bench.service.scheduler_options = options;
        bench.publish();
        bench.run(name, steps);
    }
}

/// The servers' ports matter too; a UDP client's port counts as a TCP client's does.
#[test]
fn picks_of_mh_by_udp_port() {
    let mut bench = Bench::new(SchedulerKind::Mh, 1, WorkerId(0));
    bench.service.scheduler_options = PORT;
    bench.change(|dests| dests.extend((1..=3).map(|n| Dest { port: 53, ..dest(n, n) })));
    let want = "3231213322122123233332232333323313222333";
    bench.expect("mh_udp", 0, want, |bench, n| Flow {
        protocol: 17,
        dst_port: 53,
        ..bench.flow(1, 20_000 + n as u16, 0)
    });
}

#[test]
fn sets_of_lblcr_shrink() {
    let recorded: [(&str, &[Step]); 2] = [
        (
            "all stay",
            &[
                Add(1, 2),
                Add(2, 4),
                Add(3, 6),
                Hot(1, 1, "333333322222111323123323"),
                Wait(4000),
                Hot(2, 1, "12332323323233232332"),
                Wait(4000),
                Hot(3, 1, "33333333333333333333"),
                Wait(4000),
                Hot(4, 1, "33333333333333333333"),
            ],
        ),
        (
            "one goes and comes back",
            &[
                Add(1, 2),
                Add(2, 4),
                Add(3, 6),
                Add(4, 1),
                Hot(1, 1, "443333333222221113231233231234"),
                Del(3),
                Wait(4000),
                Hot(2, 1, "212212212212"),
                Wait(4000),
                Hot(3, 1, "222222222222"),
                Add(3, 6),
                Hot(4, 1, "333333333333"),
            ],
        ),
    ];
    for (name, steps) in recorded {
        let mut bench = Bench::new(SchedulerKind::Lblcr, 1, WorkerId(0));
        bench.settings.lblcr_expiration_ms = 2000;
        bench.run(name, steps);
    }
}

#[test]
fn what_was_not_asked_for_long_is_scheduled_anew() {
    for kind in [SchedulerKind::Lblc, SchedulerKind::Lblcr] {
        let mut bench = Bench::new(kind, 1, WorkerId(0));
        let steps = [
            Add(1, 1),
            Many(1, 1, "1"),
            Add(2, 9),
            Wait(24 * 60 * 60 * 1000),
            Many(2, 1, "1"),
            Wait(25 * 60 * 60 * 1000),
            Many(3, 1, "2"),
        ];
        bench.run(kind.name(), &steps);
    }
}
