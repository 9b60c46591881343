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
    let vip = if is_v6 { "2001:db8:1::100" } else { "192.0.2.100" };
    bench.service.key = ServiceKey::Address { protocol: Protocol::Tcp, addr: vip.parse().unwrap(), port: 80 };
    for server in 1..=3 {
        bench.change(|dests| dests.push(server_at(is_v6, server, server)));
    }
    bench
}

fn server_at(is_v6: bool, server: u32, weight: u32) -> Dest {
    let dest = dest(server, weight);
    let v6 = format!("2001:db8:2::{:x}", 10 + server).parse().unwrap();
    Dest { addr: if is_v6 { v6 } else { dest.addr }, ..dest }
}

fn client(is_v6: bool, n: usize) -> String {
    if is_v6 { format!("2001:db8:c::{n:x}") } else { format!("198.51.100.{n}") }
}

fn marked(is_v6: bool, n: usize) -> String {
    if is_v6 { format!("2001:db8:77::{n:x}") } else { format!("10.77.0.{n}") }
}

impl Bench {
    fn compare(&mut self, name: &str, want: &str, flow: impl Fn(usize) -> Flow) {
        let got: String = (0..want.len()).map(|n| self.pick_for(0, flow(n)).to_string()).collect();
        assert_eq!(got, want, "{name}");
    }
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
        let vip = if is_v6 { "2001:db8:1::100" } else { "192.0.2.100" };
        bench.compare(name, clients, |n| flow(&client(is_v6, 1 + n), 20_000, vip, 80));
        bench.compare(name, ports, |n| flow(&client(is_v6, 100), 20_000 + n as u16, vip, 80));
        bench.run(name, &[Edit(2, 0)]);
        bench.compare(name, quiesced, |n| flow(&client(is_v6, 130 + n), 20_000, vip, 80));
        bench.run(name, &[Del(1)]);
        bench.compare(name, removed, |n| flow(&client(is_v6, 180 + n), 20_000, vip, 80));
    }
}

/// Many addresses of one mark, asked by one client, then by another on another port, then by a third.
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
        bench.compare(name, first, |n| flow(&client(is_v6, 1), 20_000, &marked(is_v6, 1 + n), 80));
        bench.compare(name, second, |n| flow(&client(is_v6, 2), 20_001, &marked(is_v6, 1 + n), 8080));
        bench.run(name, &[Edit(2, 0)]);
        bench.compare(name, third, |n| flow(&client(is_v6, 3), 20_001, &marked(is_v6, 1 + n), 80));
    }
}
