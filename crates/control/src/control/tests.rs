use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};

use api::{
    ChangeKind, ConnView, DestEdit, PacketCounters, ServiceEdit, SyncDaemonView, SyncRole, SyncSpec, SyncView,
};
use inet::IfaceId;
use ipvs::trace::{Buffer, Filter, Hook, Origin, Step, Tracer};
use ipvs::{DestId, ServiceId, WorkerShared};

use super::*;
use crate::dataplane::{NeighbourSample, PortSample, SyncTuning, WorkerSample};

mod compat;
mod sync;

const CONTRACT: &str = include_str!("../../fixtures/contract.toml");

/// Two workers that switch at once, or, while told so, the second one never.
struct Fake {
    shared: Vec<Arc<WorkerShared>>,
    published: Mutex<Vec<Arc<Snapshot>>>,
    stuck_until: AtomicU64,
    connections: Mutex<Vec<ConnView>>,
    daemons: Mutex<Vec<SyncDaemonView>>,
    tracers: Mutex<[Tracer; 2]>,
}

impl Fake {
    fn last(&self) -> Arc<Snapshot> {
        self.published.lock().last().cloned().unwrap()
    }
}

impl Dataplane for Fake {
    fn publish(&self, snapshot: Arc<Snapshot>) -> Result<(), DataplaneError> {
        let generation = snapshot.generation;
        self.published.lock().push(snapshot);
        if generation < self.stuck_until.load(Ordering::Relaxed) {
            return Err(DataplaneError::Timeout { worker: 1, waited_ms: 1000 });
        }
        Ok(())
    }
    fn shared(&self) -> &[Arc<WorkerShared>] {
        &self.shared
    }
    fn workers(&self) -> Vec<WorkerSample> {
        let packets = PacketCounters { rx: 5, tx: 4, dropped: 1, ..PacketCounters::default() };
        let mut drops = vec![0; inet::DropReason::COUNT];
        drops[inet::DropReason::NoRoute as usize] = 1;
        let sample = WorkerSample { packets, drops, busy_percent: 12.5, ..WorkerSample::default() };
        vec![sample.clone(), sample]
    }
    fn host(&self) -> api::HostCounters {
        api::HostCounters { to_host: 9, to_host_dropped: 3, from_host: 8, from_host_dropped: 2 }
    }
    fn ports(&self) -> Result<Vec<PortSample>, DataplaneError> {
        Err(DataplaneError::Port { port: "wan".into(), reason: "gone".into() })
    }
    fn connections(
        &self,
        _: Option<ServiceKey>,
        each: &mut dyn FnMut(Vec<ConnView>) -> ControlFlow<()>,
    ) -> Result<(), DataplaneError> {
        for batch in self.connections.lock().chunks(100) {
            if each(batch.to_vec()).is_break() {
                break;
            }
        }
        Ok(())
    }
    fn flush_connections(&self, service: Option<ServiceId>) -> Result<u64, DataplaneError> {
        Ok(if service.is_some() { 1 } else { 2 })
    }
    /// The second worker sees one packet between two collections.
    fn trace(&self, of: Option<(Filter, u32)>) -> Result<Vec<Option<Box<Buffer>>>, DataplaneError> {
        let mut tracers = self.tracers.lock();
        let frame = wire::testing::Frame::new([198, 51, 100, 7].into(), [192, 0, 2, 100].into());
        let frame = frame.tcp(4000, 80, 2).build();
        tracers[1].came(Origin::Worker, IfaceId(0), &frame, &wire::testing::info(&frame));
        for step in [
            Step::At(Hook::LocalIn),
            Step::Scheduled { service: ServiceId(0), dest: Some(DestId(0)) },
            Step::State { protocol: ipvs::Protocol::Tcp, from: ipvs::State(0), to: ipvs::State(3) },
            Step::Decided(ipvs::Verdict::Drop(inet::DropReason::NoRoute)),
        ] {
            tracers[1].step(step);
        }
        tracers[1].ends();
        let buffer = || of.map(|(filter, packets)| Buffer::new(filter, packets));
        Ok(tracers.iter_mut().map(|tracer| tracer.swap(buffer())).collect())
    }
    fn neighbours(&self) -> Result<Vec<NeighbourSample>, DataplaneError> {
        let state = api::NeighbourState::Stale;
        let address = "10.0.2.9".parse().unwrap();
        Ok(vec![NeighbourSample { worker: 1, iface: IfaceId(1), address, mac: None, state, age_ms: 7 }])
    }
    fn flush_neighbours(&self, _: Option<IfaceId>) -> Result<(), DataplaneError> {
        Ok(())
    }
    fn sync_start(&self, spec: &SyncSpec, device: &str, tuning: SyncTuning) -> Result<(), DataplaneError> {
        let mut daemons = self.daemons.lock();
        if device == "nosuch" {
            return Err(DataplaneError::NoDevice(device.to_owned()));
        }
        if daemons.iter().any(|daemon| daemon.spec.role == spec.role) {
            return Err(DataplaneError::Sync("runs already".to_owned()));
        }
        let spec = SyncSpec { interface: device.to_owned(), ..spec.clone() };
        let SyncTuning { ports, .. } = tuning;
        let (device, counters) = (device.to_owned(), Vec::new());
        daemons.push(SyncDaemonView { spec, device, message_bytes: 1472, ports, counters });
        Ok(())
    }
    fn sync_stop(&self, role: SyncRole) -> Result<(), DataplaneError> {
        let mut daemons = self.daemons.lock();
        let before = daemons.len();
        daemons.retain(|daemon| daemon.spec.role != role);
        if daemons.len() < before { Ok(()) } else { Err(DataplaneError::Sync("does not run".to_owned())) }
    }
    fn sync(&self) -> SyncView {
        SyncView { daemons: self.daemons.lock().clone(), workers: Vec::new() }
    }
}

fn start_with(config: Config) -> (Control, Arc<Fake>) {
    let macs = (0..config.ports.len()).map(|i| Mac([2, 0, 0, 0, 0, i as u8])).collect();
    let prepared = Prepared::new(config, macs, [7; 16]).unwrap();
    let shared = vec![
        Arc::new(WorkerShared::new(&prepared.limits())),
        Arc::new(WorkerShared::new(&prepared.limits())),
    ];
    let fake = Arc::new(Fake {
        tracers: Mutex::default(),
        shared,
        published: Mutex::new(vec![prepared.snapshot()]),
        stuck_until: AtomicU64::new(0),
        connections: Mutex::new(Vec::new()),
        daemons: Mutex::new(Vec::new()),
    });
    (Control::start(prepared, fake.clone(), Path::new("/nonexistent/rvs.toml"), "0.1.0"), fake)
}

fn start() -> (Control, Arc<Fake>) {
    start_with(parse("contract.toml", CONTRACT).config.unwrap())
}

fn ask(control: &Control, request: &str) -> Result<Reply, Error> {
    let line = format!(r#"{{"version":1,"request":{request}}}"#);
    let request = api::codec::read_request(line.as_bytes()).unwrap();
    let mut parts: Option<Reply> = None;
    let last = control.handle(request, &mut |part| {
        match &mut parts {
            None => parts = Some(part),
            Some(all) => all.append(part).unwrap(),
        }
        Ok(())
    })?;
    match parts {
        None => Ok(last),
        Some(mut all) => {
            all.append(last).unwrap();
            Ok(all)
        }
    }
}

fn applied(control: &Control, request: &str) -> Vec<String> {
    let Reply::Applied(applied) = ask(control, request).unwrap() else { panic!("{request} is no change") };
    let text = |c: &api::Change| {
        let kind = match c.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        let detail = c.detail.as_ref().map_or(String::new(), |d| format!(": {d}"));
        format!("{kind} {}{detail}", c.item)
    };
    applied.changes.iter().map(text).collect()
}

const WEB: &str = r#"{"protocol":"tcp","address":"192.0.2.100","port":80}"#;
const DNS: &str = r#"{"protocol":"udp","address":"2001:db8::100","port":53}"#;

fn dest(address: &str, port: u16) -> String {
    format!(r#"{{"address":"{address}","port":{port},"method":"nat","weight":1}}"#)
}

fn dest_id(control: &Control, service: &str, dest: &str) -> Option<DestId> {
    control.state.lock().ids.dest(&service.parse().unwrap(), &dest.parse().unwrap())
}

#[test]
fn each_change_is_published_once_and_reported() {
    let (control, fake) = start();
    let cases: Vec<(String, &[&str])> = vec![
        (r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":443,"scheduler":"rr"}}"#.into(), &["+ service tcp 192.0.2.100:443"]),
        (format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"scheduler":"lc"}}}}"#), &["~ service tcp 192.0.2.100:80: scheduler wrr → lc"]),
        (format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"scheduler":"maglev","scheduler_flags":["port"],"maglev_table_size":1021}}}}"#), &["~ service tcp 192.0.2.100:80: scheduler lc → maglev, scheduler_flags none → port, maglev_table_size default → 1021"]),
        (format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"scheduler_flags":[]}}}}"#), &["~ service tcp 192.0.2.100:80: scheduler_flags port → none"]),
        (format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"local_pool":null}}}}"#), &["~ service tcp 192.0.2.100:80: local_pool lan → default"]),
        (format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"local_pool":"lan"}}}}"#), &["~ service tcp 192.0.2.100:80: local_pool default → lan"]),
        (format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest("10.0.2.13", 80)), &["+ destination 10.0.2.13:80 of tcp 192.0.2.100:80"]),
        (format!(r#"{{"op":"dest_edit","service":{WEB},"dest":{{"address":"10.0.2.13","port":80}},"edit":{{"weight":5,"method":"dr"}}}}"#), &["~ destination 10.0.2.13:80 of tcp 192.0.2.100:80: method nat → dr, weight 1 → 5"]),
        (format!(r#"{{"op":"dest_delete","service":{WEB},"dest":{{"address":"10.0.2.13","port":80}}}}"#), &["- destination 10.0.2.13:80 of tcp 192.0.2.100:80"]),
        (format!(r#"{{"op":"service_delete","service":{DNS}}}"#), &["- service udp [2001:db8::100]:53"]),
        (r#"{"op":"pool_add","pool":{"name":"lan","addresses":["10.0.2.210-10.0.2.219"]}}"#.into(), &["~ local pool lan: 10.0.2.200-10.0.2.203 2001:db8:2::200 on lan ports 1024-65535 → 10.0.2.200-10.0.2.203 2001:db8:2::200 10.0.2.210-10.0.2.219 on lan ports 1024-65535"]),
        (r#"{"op":"pool_delete","pool":"lan","addresses":["10.0.2.212-10.0.2.219","2001:db8:2::200"]}"#.into(), &["~ local pool lan: 10.0.2.200-10.0.2.203 2001:db8:2::200 10.0.2.210-10.0.2.219 on lan ports 1024-65535 → 10.0.2.200-10.0.2.203 10.0.2.210-10.0.2.211 on lan ports 1024-65535"]),
        (r#"{"op":"pool_add","pool":{"name":"wan","interface":"wan","addresses":["192.0.2.200"]}}"#.into(), &["+ local pool wan"]),
        (r#"{"op":"pool_delete","pool":"wan","addresses":["192.0.2.200"]}"#.into(), &["- local pool wan"]),
        (r#"{"op":"address_add","address":{"interface":"wan.100","cidr":"198.51.100.1/24"}}"#.into(), &["+ address 198.51.100.1/24 on wan.100"]),
        (r#"{"op":"route_add","route":{"to":"203.0.113.0/24","via":"198.51.100.9"}}"#.into(), &["+ route 203.0.113.0/24 via 198.51.100.9"]),
        (r#"{"op":"route_delete","route":{"to":"203.0.113.0/24"}}"#.into(), &["- route 203.0.113.0/24 via 198.51.100.9"]),
        (r#"{"op":"route_delete","route":{"to":"default"}}"#.into(), &["- route default via 192.0.2.254"]),
        (r#"{"op":"address_delete","address":{"interface":"wan.100","cidr":"198.51.100.1/24"}}"#.into(), &["- address 198.51.100.1/24 on wan.100"]),
        (r#"{"op":"neighbour_add","neighbour":{"interface":"lan","address":"10.0.2.12","mac":"02:00:00:00:00:0c"}}"#.into(), &["+ neighbour 10.0.2.12 on lan"]),
        (r#"{"op":"neighbour_delete","neighbour":{"interface":"lan","address":"10.0.2.12"}}"#.into(), &["- neighbour 10.0.2.12 on lan"]),
        (r#"{"op":"service_flush"}"#.into(), &["- service tcp 192.0.2.100:80", "- service tcp 192.0.2.100:443"]),
        (r#"{"op":"service_flush"}"#.into(), &[]),
    ];
    let mut generation = 1;
    for (request, want) in cases {
        assert_eq!(applied(&control, &request), want, "{request}");
        generation += u64::from(!want.is_empty());
        assert_eq!(fake.last().generation, generation, "{request}");
    }
    assert!(fake.last().services.is_empty());
}

#[test]
fn workers_still_find_the_owners_of_connections_whose_service_is_gone() {
    let (control, fake) = start();
    assert!(fake.last().services.any_masquerade());
    applied(&control, r#"{"op":"service_flush"}"#);
    assert!(fake.last().services.is_empty() && fake.last().services.any_masquerade());
}

#[test]
fn live_connections_do_not_change_their_owner_by_a_first_nat_destination() {
    let two_workers = CONTRACT.replace("count = 1 ", "count = 2 ");
    let nat = dest("10.0.2.13", 80);
    let add = format!(r#"{{"op":"dest_add","service":{WEB},"dest":{nat}}}"#);
    let edit = format!(
        r#"{{"op":"dest_edit","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}},"edit":{{"method":"nat"}}}}"#
    );
    let file = two_workers.replace("method = \"fullnat\"", "method = \"nat\"");
    let reload = serde_json::json!({"op": "config_apply", "name": "f", "text": file}).to_string();
    let web_dest = |control: &Control| dest_id(control, "tcp 192.0.2.100:80", "10.0.2.11:80").unwrap();
    for change in [&add, &edit, &reload] {
        let (control, fake) = start_with(parse("f", &two_workers).config.unwrap());
        let dest = fake.shared[1].dest(web_dest(&control)).unwrap();
        dest.bind(false);
        let before = control.config();
        let error = ask(&control, change).unwrap_err();
        let about = (error.code, error.what.as_deref());
        assert_eq!(about, (ErrorCode::RestartRequired, Some("[steering] nat")), "{change}");
        assert_eq!(
            error.message,
            "with [steering] nat = \"address\" the first `nat` destination of service tcp 192.0.2.100:80 would move its 1 \
             connections to other workers: drop them first (`rvsctl conn flush --service tcp 192.0.2.100:80`), use another \
             service, or restart with nat = \"endpoint\""
        );
        assert_eq!((control.config(), fake.published.lock().len()), (before, 1));
        dest.unbind(false);
        assert_eq!(applied(&control, change).len(), 1, "without connections");
        dest.bind(true);
        assert_eq!(
            applied(
                &control,
                &format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, self::dest("10.0.2.14", 80))
            )
            .len(),
            1,
            "it masquerades already"
        );
    }
}

#[test]
fn a_service_gets_its_helper_only_where_that_moves_no_connections() {
    let ftp = CONTRACT.replace("count = 1 ", "count = 2 ").replace("port = 80\n", "port = 21\n");
    let ftp = ftp.replace("method = \"fullnat\"", "method = \"dr\"");
    let (control, fake) = start_with(parse("f", &ftp).config.unwrap());
    let key = r#"{"protocol":"tcp","address":"192.0.2.100","port":21}"#;
    let id = dest_id(&control, "tcp 192.0.2.100:21", "10.0.2.11:21").unwrap();
    fake.shared[0].dest(id).unwrap().bind(true);
    let add = format!(r#"{{"op":"dest_add","service":{key},"dest":{}}}"#, dest("10.0.2.13", 21));
    let error = ask(&control, &add).unwrap_err();
    assert_eq!((error.code, error.what.as_deref()), (ErrorCode::RestartRequired, Some("[workers] count")));
    assert!(error.message.contains("which has a helper"), "{}", error.message);
    fake.shared[0].dest(id).unwrap().unbind(true);
    assert_eq!(applied(&control, &add).len(), 1, "without connections");
}

#[test]
fn a_first_nat_destination_is_refused_only_where_it_moves_connections() {
    let two_workers = CONTRACT.replace("count = 1 ", "count = 2 ");
    let endpoint = two_workers.replace("nat = \"address\"", "nat = \"endpoint\"");
    let add = format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest("10.0.2.13", 80));
    for (name, text) in [("one worker", CONTRACT), ("by endpoint", &endpoint)] {
        let (control, fake) = start_with(parse("f", text).config.unwrap());
        let id = dest_id(&control, "tcp 192.0.2.100:80", "10.0.2.11:80").unwrap();
        fake.shared[0].dest(id).unwrap().bind(true);
        assert_eq!(applied(&control, &add).len(), 1, "{name}");
    }
    // Connections of a destination, or of a whole service, that has been removed live on.
    let (control, fake) = start_with(parse("f", &two_workers).config.unwrap());
    let id = dest_id(&control, "tcp 192.0.2.100:80", "10.0.2.11:80").unwrap();
    fake.shared[0].dest(id).unwrap().bind(true);
    let gone =
        format!(r#"{{"op":"dest_delete","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}}}}"#);
    applied(&control, &gone);
    assert_eq!(ask(&control, &add).unwrap_err().code, ErrorCode::RestartRequired);
    applied(&control, &format!(r#"{{"op":"service_delete","service":{WEB}}}"#));
    let file = two_workers.replace("method = \"fullnat\"", "method = \"nat\"");
    let error = control.apply("f", &file).unwrap_err();
    assert!(error.message.contains("(`rvsctl conn flush`)"), "{error}");
    fake.shared[0].dest(id).unwrap().unbind(true);
    assert_eq!(control.apply("f", &file).unwrap().changes.len(), 1);
}

#[test]
fn each_refusal_has_its_code_and_changes_nothing() {
    let (control, fake) = start();
    let before = control.config();
    let cases: Vec<(String, ErrorCode, &str)> = vec![
        (r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":80,"scheduler":"rr"}}"#.into(), ErrorCode::Exists, "service tcp 192.0.2.100:80 is there already"),
        (r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":0,"scheduler":"rr"}}"#.into(), ErrorCode::Invalid, "service tcp 192.0.2.100:0: port: found port 0, which stands for every port, without persistence_timeout_s"),
        (r#"{"op":"service_add","service":{"fwmark":7,"scheduler":"rr","persistence_timeout_s":0}}"#.into(), ErrorCode::Invalid, "service fwmark 7: persistence_timeout_s: found 0, expected an integer from 1 to 2678400"),
        (r#"{"op":"service_show","service":{"fwmark":7}}"#.into(), ErrorCode::NotFound, "there is no service fwmark 7"),
        (r#"{"op":"mark_add","mark":{"fwmark":7,"destination_ports":"80"}}"#.into(), ErrorCode::Invalid, "mark[0].destination_ports: found 80, which needs a protocol"),
        (r#"{"op":"mark_add","mark":{"fwmark":7,"source_set":"office"}}"#.into(), ErrorCode::NotFound, "mark[0].source_set"),
        (r#"{"op":"mark_delete","mark":{"fwmark":7}}"#.into(), ErrorCode::NotFound, "there is no mark 7"),
        (r#"{"op":"set_flush","name":"office"}"#.into(), ErrorCode::NotFound, "there is no ipset office"),
        (r#"{"op":"timeout_set","values":[{"protocol":"tcp","state":"close","timeout_s":0}]}"#.into(), ErrorCode::Invalid, "timeout tcp.close: found 0, expected an integer from 1 to 2678400"),
        (r#"{"op":"timeout_set","values":[{"protocol":"udp","state":"close","timeout_s":9}]}"#.into(), ErrorCode::Invalid, "timeout udp.close: found unknown state close, expected one of UDP"),
        (r#"{"op":"sysctl_set","values":[{"name":"sloppy_tcp","value":"1"},{"name":"secure_tcp","value":"4"}]}"#.into(), ErrorCode::Invalid, "secure_tcp: found 4, expected 0 to 3"),
        (r#"{"op":"service_show","service":{"protocol":"udp","address":"192.0.2.100","port":80}}"#.into(), ErrorCode::NotFound, "there is no service udp 192.0.2.100:80"),
        (format!(r#"{{"op":"service_edit","service":{WEB},"edit":{{"local_pool":"lam"}}}}"#), ErrorCode::NotFound, "service tcp 192.0.2.100:80: local_pool: found unknown local pool \"lam\", did you mean \"lan\"?"),
        (format!(r#"{{"op":"dest_add","service":{DNS},"dest":{}}}"#, dest("2001:db8:2::11", 53)), ErrorCode::Exists, "destination [2001:db8:2::11]:53 of udp [2001:db8::100]:53 is there already"),
        (format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest("2001:db8:2::11", 80)), ErrorCode::Invalid, "destination [2001:db8:2::11]:80 of tcp 192.0.2.100:80: address: found 2001:db8:2::11 with nat, expected the service's family: only tunnel mixes"),
        (format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest("10.0.2.200", 80)), ErrorCode::Invalid, "destination 10.0.2.200:80 of tcp 192.0.2.100:80: address: found 10.0.2.200, which is an address of local pool \"lan\""),
        (r#"{"op":"pool_add","pool":{"name":"lan","addresses":["10.0.2.11-10.0.2.12"]}}"#.into(), ErrorCode::Invalid, "destination 10.0.2.11:80 of tcp 192.0.2.100:80: address: found 10.0.2.11, which is an address of local pool \"lan\""),
        (format!(r#"{{"op":"dest_delete","service":{WEB},"dest":{{"address":"10.0.2.11","port":81}}}}"#), ErrorCode::NotFound, "there is no destination 10.0.2.11:81 of tcp 192.0.2.100:80"),
        (format!(r#"{{"op":"dest_edit","service":{WEB},"dest":{{"address":"10.0.2.11","port":80}},"edit":{{"weight":2147483648}}}}"#), ErrorCode::Invalid, "destination 10.0.2.11:80 of tcp 192.0.2.100:80: weight: found 2147483648, expected an integer from 0 to 2147483647"),
        (r#"{"op":"pool_add","pool":{"name":"new","addresses":["10.0.2.99"]}}"#.into(), ErrorCode::Invalid, "local pool new is new: say its interface"),
        (r#"{"op":"pool_add","pool":{"name":"a b","interface":"lan","addresses":["10.0.2.99"]}}"#.into(), ErrorCode::Invalid, "found \"a b\", expected a name of 1 to 63 letters, digits, `.`, `_`, `-`"),
        (r#"{"op":"pool_delete","pool":"lan","addresses":["10.0.2.203-10.0.2.204"]}"#.into(), ErrorCode::NotFound, "there is no address 10.0.2.203-10.0.2.204 in local pool lan"),
        (r#"{"op":"pool_delete","pool":"lan","addresses":["10.0.2.200-10.0.2.203","2001:db8:2::200"]}"#.into(), ErrorCode::InUse, "local pool lan is used by service tcp 192.0.2.100:80"),
        (r#"{"op":"address_add","address":{"interface":"lan","cidr":"192.0.2.100/32"}}"#.into(), ErrorCode::Exists, "address[5].cidr: found 192.0.2.100 twice, first on \"wan\""),
        (r#"{"op":"address_delete","address":{"interface":"wan","cidr":"192.0.2.1/24"}}"#.into(), ErrorCode::Invalid, "route[0].via: found 192.0.2.254, expected a gateway in the prefix of an [[address]]"),
        (r#"{"op":"route_add","route":{"to":"default","via":"192.0.2.9"}}"#.into(), ErrorCode::Exists, "route default is there already"),
        (r#"{"op":"route_delete","route":{"to":"10.0.0.0/8"}}"#.into(), ErrorCode::NotFound, "there is no route 10.0.0.0/8"),
        (r#"{"op":"neighbour_flush","interface":"eth0"}"#.into(), ErrorCode::NotFound, "there is no interface eth0"),
        (r#"{"op":"port_list"}"#.into(), ErrorCode::Internal, "port \"wan\": gone"),
        (r#"{"op":"config_reload"}"#.into(), ErrorCode::Invalid, "cannot read /nonexistent/rvs.toml"),
        (r#"{"op":"config_apply","name":"f","text":"x = 1"}"#.into(), ErrorCode::InvalidConfig, "f has 2 errors"),
    ];
    for (request, code, message) in &cases {
        let error = ask(&control, request).unwrap_err();
        assert_eq!(error.code, *code, "{request}: {error}");
        assert!(error.message.starts_with(message), "{request}: {error}");
    }
    assert_eq!(control.config(), before);
    assert_eq!(fake.published.lock().len(), 1);
}

#[test]
fn warnings_are_about_what_a_change_touches() {
    let (control, _) = start();
    let warnings = |request: &str| {
        let Reply::Applied(applied) = ask(&control, request).unwrap() else {
            panic!("{request} is no change")
        };
        applied.warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let warning = |service: &str, address: &str| {
        format!(
            "warning: service {service}: address: found {address}, which is no [[address]]: no packet is served until it is one"
        )
    };
    let service = r#"{"protocol":"tcp","address":"192.0.2.150","port":80}"#;
    let spec = r#"{"protocol":"tcp","address":"192.0.2.150","port":80,"scheduler":"rr"}"#;
    let old = warning("tcp 192.0.2.150:80", "192.0.2.150");
    let vip = r#"{"interface":"wan","cidr":"192.0.2.100/32"}"#;
    let other = r#"{"protocol":"tcp","address":"192.0.2.100","port":81,"scheduler":"rr"}"#;
    for (request, want) in [
        (format!(r#"{{"op":"service_add","service":{spec}}}"#), vec![old.clone()]),
        (r#"{"op":"pool_add","pool":{"name":"lan","addresses":["10.0.2.210"]}}"#.into(), vec![]),
        (r#"{"op":"route_add","route":{"to":"203.0.113.0/24","via":"192.0.2.9"}}"#.into(), vec![]),
        (format!(r#"{{"op":"service_add","service":{other}}}"#), vec![]),
        (format!(r#"{{"op":"service_edit","service":{service},"edit":{{"scheduler":"lc"}}}}"#), vec![old]),
        (
            format!(r#"{{"op":"address_delete","address":{vip}}}"#),
            vec![warning("tcp 192.0.2.100:80", "192.0.2.100"), warning("tcp 192.0.2.100:81", "192.0.2.100")],
        ),
        (format!(r#"{{"op":"address_add","address":{vip}}}"#), vec![]),
    ] {
        assert_eq!(warnings(&request), want, "{request}");
    }
}

#[test]
fn reload_applies_only_what_differs() {
    let (control, fake) = start();
    let first = fake.last();
    let text = CONTRACT
        .replace("upper_threshold = 100", "upper_threshold = 200")
        .replace("udp_timeout_s = 300", "udp_timeout_s = 301");
    let result = control.apply("f", &text).unwrap();
    let items: Vec<String> =
        result.changes.iter().map(|c| format!("{}: {}", c.item, c.detail.as_deref().unwrap())).collect();
    assert_eq!(
        items,
        [
            "ipvs.udp_timeout_s: 300 → 301",
            "destination [2001:db8:2::11]:53 of udp [2001:db8::100]:53: upper_threshold 100 → 200"
        ]
    );
    let second = fake.last();
    assert!(Arc::ptr_eq(
        first.services.shared(ServiceId(0)).unwrap(),
        second.services.shared(ServiceId(0)).unwrap()
    ));
    let (was, is) =
        (first.services.service(ServiceId(1)).unwrap(), second.services.service(ServiceId(1)).unwrap());
    assert!(is.epoch > was.epoch && was.dests[0].id == is.dests[0].id && is.dests[0].upper == 200);
    assert_eq!(second.timeouts.common()[2], 301_000);
    assert_eq!(control.apply("f", &text).unwrap().changes, []);
    assert_eq!(fake.published.lock().len(), 2);
}

#[test]
fn what_is_fixed_at_start_is_refused_by_name() {
    let (control, fake) = start();
    for (from, to, want) in [
        (
            "count = 1 ",
            "count = 2 ",
            "[workers] takes effect only when rvsd is restarted (count = 1 → count = 2)",
        ),
        (
            "memory_mib = 512",
            "memory_mib = 513",
            "[dpdk] takes effect only when rvsd is restarted (memory_mib = 512 → memory_mib = 513)",
        ),
        (
            "services = 4096",
            "services = 4097",
            "[limits] takes effect only when rvsd is restarted (services = 4096 → services = 4097)",
        ),
        (
            "log = \"info\"",
            "log = \"warn\"",
            "[daemon] takes effect only when rvsd is restarted (log = \"info\" → log = \"warn\")",
        ),
        (
            "mtu = 1500",
            "mtu = 1400",
            "[[port]] takes effect only when rvsd is restarted (mtu = 1500 → mtu = 1400)",
        ),
        (
            "id = 100",
            "id = 101",
            "[[vlan]] other than adding at the end takes effect only when rvsd is restarted (id = 100 → id = 101)",
        ),
    ] {
        assert!(CONTRACT.contains(from), "{from}");
        let error = control.apply("f", &CONTRACT.replacen(from, to, 1)).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::RestartRequired, want));
    }
    let steering = CONTRACT.replace("nat = \"address\"", "nat = \"endpoint\"");
    fake.shared[1].set_connections(3);
    let error = control.apply("f", &steering).unwrap_err();
    assert_eq!(
        error.message,
        "[steering] cannot change while there are connections (3 now): flush them first"
    );
    assert_eq!(fake.published.lock().len(), 1);
    fake.shared[1].set_connections(0);
    assert_eq!(control.apply("f", &steering).unwrap().changes.len(), 1);
}

#[test]
fn a_worker_that_does_not_switch_leaves_the_state_as_it_was() {
    let (control, fake) = start();
    let before = control.config();
    fake.stuck_until.store(3, Ordering::Relaxed);
    let add = format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest("10.0.2.13", 80));
    let error = ask(&control, &add).unwrap_err();
    assert_eq!((error.code, error.what.as_deref()), (ErrorCode::Timeout, Some("worker 1")));
    assert_eq!(control.config(), before);
    let last = fake.last();
    assert_eq!((last.generation, last.services.service(ServiceId(0)).unwrap().dests.len()), (3, 1));
    assert_eq!(dest_id(&control, "tcp 192.0.2.100:80", "10.0.2.13:80"), None);
    assert_eq!(applied(&control, &add).len(), 1);
    assert_eq!(fake.last().generation, 4);
}

#[test]
fn ids_are_resumed_while_in_use_and_reused_only_afterwards() {
    let (control, fake) = start();
    let (web, one) = ("tcp 192.0.2.100:80", "10.0.2.13:80");
    let add = |address| format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest(address, 80));
    let delete = |address: &str| {
        format!(r#"{{"op":"dest_delete","service":{WEB},"dest":{{"address":"{address}","port":80}}}}"#)
    };
    applied(&control, &add("10.0.2.13"));
    let id = dest_id(&control, web, one).unwrap();
    let counters = fake.shared[1].dest(id).unwrap();
    counters.bind(true);
    counters.traffic.count_in(60);
    applied(&control, &delete("10.0.2.13"));
    applied(&control, &add("10.0.2.14"));
    assert_ne!(dest_id(&control, web, "10.0.2.14:80"), Some(id), "a connection still names it");
    let count =
        |control: &Control| ask(control, &format!(r#"{{"op":"conn_count","service":{WEB}}}"#)).unwrap();
    assert_eq!(
        count(&control),
        Reply::ConnCount(api::ConnCount { connections: 1 }),
        "removed ones count too"
    );
    applied(&control, &add("10.0.2.13"));
    assert_eq!(dest_id(&control, web, one), Some(id), "resumed");
    let packets = |control: &Control, dest: &str| {
        let Reply::Destinations(dests) =
            ask(control, &format!(r#"{{"op":"dest_list","service":{WEB}}}"#)).unwrap()
        else {
            panic!("no destinations")
        };
        dests.iter().find(|d| d.spec.key().to_string() == dest).unwrap().traffic.packets_in
    };
    assert_eq!(packets(&control, one), 1, "its counters go on");
    applied(&control, &delete("10.0.2.13"));
    counters.unbind(true);
    applied(&control, &add("10.0.2.15"));
    assert_eq!(dest_id(&control, web, "10.0.2.15:80"), Some(id), "reused");
    assert_eq!(packets(&control, "10.0.2.15:80"), 0, "starts at zero");
    counters.traffic.count_in(60);
    assert_eq!(packets(&control, "10.0.2.15:80"), 1);
}

#[test]
fn a_full_table_says_so_and_a_service_id_waits_for_its_destinations() {
    let mut config = parse("contract.toml", CONTRACT).config.unwrap();
    config.limits.destinations = 3;
    config.limits.services = 2;
    let (control, fake) = start_with(config);
    let id = dest_id(&control, "udp [2001:db8::100]:53", "10.0.2.12:53").unwrap();
    fake.shared[0].dest(id).unwrap().bind(false);
    applied(&control, &format!(r#"{{"op":"service_delete","service":{DNS}}}"#));
    let other = r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.100","port":81,"scheduler":"rr"}}"#;
    let error = ask(&control, other).unwrap_err();
    assert_eq!((error.code, error.what.as_deref()), (ErrorCode::Limit, Some("limits.services")));
    assert_eq!(
        error.message,
        "no services can be added: limits.services = 2, and 1 removed ones still have connections"
    );
    fake.shared[0].dest(id).unwrap().unbind(false);
    assert_eq!(applied(&control, other), ["+ service tcp 192.0.2.100:81"]);
}

#[test]
fn packets_are_followed_in_words_until_there_are_enough() {
    let (control, _) = start();
    let ask_for = |what: &str| ask(&control, &format!(r#"{{"op":"trace",{what}}}"#));
    let mut parts = Vec::new();
    let request =
        serde_json::from_str(r#"{"op":"trace","packets":2,"seconds":60,"filter":{"port":80}}"#).unwrap();
    let last = control.handle(request, &mut |part| {
        parts.push(part);
        Ok(())
    });
    let mut all = Reply::Trace(api::TraceView::default());
    parts.into_iter().chain([last.unwrap()]).for_each(|part| all.append(part).unwrap());
    let Reply::Trace(view) = all else { panic!("no trace") };
    assert_eq!((view.packets.len(), view.lost), (2, 0));
    let lines: Vec<String> =
        view.packets[0].steps.iter().map(|step| format!("{}: {}", step.stage, step.text)).collect();
    assert_eq!(view.packets[0].worker, 1);
    assert_eq!(
        lines,
        [
            "came: by wan, from another worker: tcp 198.51.100.7:4000 > 192.0.2.100:80 [S], 40 bytes, ttl 64",
            "LOCAL_IN: ",
            "scheduled: tcp 192.0.2.100:80 gives 10.0.2.11:80",
            "state: TCP NONE → SYN_RECV",
            "verdict: dropped: no_route",
        ]
    );
    for what in [r#""packets":0,"seconds":1"#, r#""packets":1,"seconds":0"#, r#""packets":1,"seconds":3601"#]
    {
        assert_eq!(ask_for(what).unwrap_err().code, ErrorCode::Invalid, "{what}");
    }
    let _on = control.tracing.lock();
    assert_eq!(ask_for(r#""packets":1,"seconds":1"#).unwrap_err().code, ErrorCode::Busy);
}

#[test]
fn rates_are_estimated_unless_they_are_not_to_be() {
    let (control, fake) = start();
    let rate = |key: &str| {
        let Reply::Services(services) = ask(&control, r#"{"op":"service_list"}"#).unwrap() else {
            panic!("no services")
        };
        let rates = (&services[0].rates, &services[0].destinations[0].rates);
        if key == "service" { rates.0.packets_in_per_s } else { rates.1.packets_in_per_s }
    };
    control.estimate();
    let worker = &fake.shared[1];
    for _ in 0..80 {
        worker.service(ServiceId(0)).unwrap().count_in(100);
        worker.dest(DestId(0)).unwrap().traffic.count_in(100);
        worker.total.count_in(100);
    }
    control.estimate();
    assert_eq!((rate("service"), rate("dest")), (10, 10), "40 a second, a quarter of the way");
    let Reply::Total(total) = ask(&control, r#"{"op":"total_show"}"#).unwrap() else { panic!("no total") };
    assert_eq!((total.rates.packets_in_per_s, total.rates.bytes_in_per_s), (10, 1000));
    ask(&control, &format!(r#"{{"op":"service_zero","service":{WEB}}}"#)).unwrap();
    assert_eq!((rate("service"), rate("dest")), (0, 0), "zeroed");
    control.estimate();
    assert_eq!(rate("service"), 0);
}

#[test]
fn zero_is_remembered_here_and_workers_only_add() {
    let (control, fake) = start();
    let count = || {
        for shared in &fake.shared {
            shared.service(ServiceId(0)).unwrap().count_in(100);
            shared.dest(DestId(0)).unwrap().traffic.count_in(100);
            shared.total.count_in(100);
        }
    };
    let seen = || {
        let Reply::Services(services) = ask(&control, r#"{"op":"service_list"}"#).unwrap() else {
            panic!("no services")
        };
        let Reply::Total(total) = ask(&control, r#"{"op":"total_show"}"#).unwrap() else {
            panic!("no total")
        };
        (
            services[0].traffic.bytes_in,
            services[0].destinations[0].traffic.packets_in,
            total.traffic.packets_in,
        )
    };
    count();
    assert_eq!(seen(), (200, 2, 2));
    ask(&control, &format!(r#"{{"op":"service_zero","service":{WEB}}}"#)).unwrap();
    assert_eq!(seen(), (0, 0, 2));
    count();
    assert_eq!(seen(), (200, 2, 4));
    ask(&control, r#"{"op":"service_zero","service":null}"#).unwrap();
    assert_eq!(seen(), (0, 0, 0));
    assert_eq!(fake.shared[0].total.read().in_pkts, 2);
}

#[test]
fn views_name_things_as_the_configuration_does() {
    let (control, fake) = start();
    let lines = |request: &str| serde_json::to_string(&ask(&control, request).unwrap()).unwrap();
    let addresses = lines(r#"{"op":"address_list"}"#);
    assert!(
        addresses
            .contains(r#"{"interface":"wan","cidr":"192.0.2.100/32","role":"host","origin":"configured"}"#),
        "{addresses}"
    );
    assert!(
        addresses.contains(r#"{"interface":"lan","cidr":"10.0.2.203/32","role":"local_pool","pool":"lan","origin":"configured"}"#),
        "{addresses}"
    );
    let routes = lines(r#"{"op":"route_list"}"#);
    assert!(routes.contains(r#"{"to":"0.0.0.0/0","via":"192.0.2.254","interface":"wan","source":null,"mtu":null,"origin":"static"}"#), "{routes}");
    assert!(
        routes.contains(
            r#""to":"10.0.2.0/24","via":null,"interface":"lan","source":null,"mtu":null,"origin":"connected""#
        ),
        "{routes}"
    );
    assert!(lines(r#"{"op":"pool_list"}"#).contains(r#""services":1"#));
    assert!(lines(r#"{"op":"neighbour_list"}"#).contains(r#""worker":1,"interface":"lan""#));
    assert!(lines(r#"{"op":"worker_list"}"#).contains(r#""connections_limit":500000"#));
    let total = lines(r#"{"op":"total_show"}"#);
    assert!(total.contains(r#""rx":10"#), "{total}");
    let host = r#""host":{"to_host":9,"to_host_dropped":3,"from_host":8,"from_host_dropped":2}"#;
    assert!(total.contains(host), "{total}");
    fake.shared.iter().for_each(|worker| worker.count_third_host());
    let total = lines(r#"{"op":"total_show"}"#);
    assert!(total.contains(r#""third_hosts":2"#), "{total}");
    let Reply::Drops(drops) = ask(&control, r#"{"op":"drop_list"}"#).unwrap() else { panic!("no drops") };
    assert_eq!(drops.len(), inet::DropReason::COUNT + 2);
    let between: Vec<_> = drops[inet::DropReason::COUNT..]
        .iter()
        .map(|d| (d.reason.as_str(), d.count, d.workers.len()))
        .collect();
    assert_eq!(between, [("host_tap_full", 3, 0), ("host_to_worker_full", 2, 0)]);
    let names: std::collections::HashSet<_> = drops.iter().map(|d| d.reason.as_str()).collect();
    assert_eq!(names.len(), drops.len());
    let no_route = drops.iter().find(|d| d.reason == "no_route").unwrap();
    assert_eq!((no_route.count, no_route.workers.as_slice()), (2, &[1, 1][..]));
    let Reply::Config(shown) = ask(&control, r#"{"op":"config_show"}"#).unwrap() else { panic!("no text") };
    assert_eq!(control.apply("shown", &shown.text).unwrap().changes, []);
}

#[test]
fn connections_come_in_parts_up_to_the_limit() {
    let (control, fake) = start();
    let one = ConnView {
        worker: 0,
        protocol: api::ConnProtocol::Tcp,
        client: "198.51.100.1:4000".parse().unwrap(),
        service: "192.0.2.100:80".parse().unwrap(),
        local: None,
        destination: "10.0.2.11:80".parse().unwrap(),
        method: api::ConnMethod::Nat,
        state: "ESTABLISHED".into(),
        expires_in_ms: 900_000,
        packets_in: 1,
        flags: api::ConnFlags::default(),
        fwmark: 0,
        controls: 0,
        call_id: None,
    };
    *fake.connections.lock() = vec![one; 1000];
    for (limit, want) in [("null", 1000), ("0", 0), ("1", 1), ("100", 100), ("250", 250), ("5000", 1000)] {
        let reply =
            ask(&control, &format!(r#"{{"op":"conn_list","service":null,"limit":{limit}}}"#)).unwrap();
        let Reply::Connections(all) = reply else { panic!("no connections") };
        assert_eq!(all.len(), want, "limit {limit}");
    }
}

#[test]
fn a_change_of_one_of_ten_thousand_services_leaves_the_others_as_they_are() {
    let config = crate::config::tests::many_services(10_000, 10);
    let (control, fake) = start_with(config);
    let key: ServiceKey = "tcp 203.0.0.0:1".parse().unwrap();
    let edit = Request::ServiceEdit {
        service: key,
        edit: ServiceEdit { scheduler: Some(api::Scheduler::Rr), ..Default::default() },
    };
    assert_eq!(control.change(edit).unwrap().changes.len(), 1);
    let published = fake.published.lock().clone();
    let kept = (published[0].services.iter())
        .zip(published[1].services.iter())
        .filter(|(a, b)| Arc::ptr_eq(a, b))
        .count();
    assert_eq!(kept, 9_999);
    let unchanged =
        Request::DestEdit { service: key, dest: "10.0.0.1:8080".parse().unwrap(), edit: DestEdit::default() };
    assert_eq!(control.change(unchanged).unwrap().changes, []);
}

fn on_tap(tap: &str, cidr: &str) -> HostAddress {
    HostAddress { tap: tap.to_owned(), vlan: None, cidr: cidr.parse().unwrap() }
}

fn origins(control: &Control) -> Vec<(String, api::AddressOrigin)> {
    let Reply::Addresses(list) = ask(control, r#"{"op":"address_list"}"#).unwrap() else {
        panic!("no addresses")
    };
    list.into_iter().map(|a| (format!("{} {}", a.cidr, a.interface), a.origin)).collect()
}

fn origin_of(control: &Control, address: &str) -> Option<api::AddressOrigin> {
    origins(control).into_iter().find(|(text, _)| text == address).map(|(_, origin)| origin)
}

#[test]
fn host_addresses_are_ours_beside_the_configuration_and_survive_its_changes() {
    use api::AddressOrigin::{Configured, Host, LinkLocal};
    let (control, fake) = start();
    let text = to_toml(&control.config());
    let list = ["192.0.2.150/32", "192.0.2.100/32", "10.0.2.201/32"].map(|cidr| on_tap("wan.host", cidr));
    control.host_addresses(list.to_vec()).unwrap();
    assert_eq!(fake.last().generation, 2, "one snapshot for all");
    assert_eq!(to_toml(&control.config()), text, "no part of the configuration");
    for (address, want) in [
        ("192.0.2.150/32 wan", Some(Host)),
        ("192.0.2.100/32 wan", Some(Configured)),
        ("10.0.2.201/32 wan", None),
        ("10.0.2.201/32 lan", Some(Configured)),
        ("fe80::ff:fe00:0/64 wan", Some(LinkLocal)),
    ] {
        assert_eq!(origin_of(&control, address), want, "{address}");
    }
    let own = |address: &str| fake.last().net.own(address.parse().unwrap()).map(|a| a.role);
    assert_eq!(own("192.0.2.150"), Some(inet::AddressRole::Host));

    control.host_addresses(list.to_vec()).unwrap();
    control.host_addresses(list[..2].to_vec()).unwrap();
    assert_eq!(fake.last().generation, 2, "nothing new for workers");

    let service = r#"{"op":"service_add","service":{"protocol":"tcp","address":"192.0.2.150","port":443,"scheduler":"rr"}}"#;
    applied(&control, service);
    control.apply("f", &text).unwrap();
    assert_eq!((fake.last().generation, own("192.0.2.150").is_some()), (4, true), "reload keeps it");

    // The configuration comes first, and what it gives up is the host's again.
    let address = r#"{"interface":"wan","cidr":"192.0.2.150/24"}"#;
    applied(&control, &format!(r#"{{"op":"address_add","address":{address}}}"#));
    assert_eq!(origin_of(&control, "192.0.2.150/24 wan"), Some(Configured));
    applied(&control, &format!(r#"{{"op":"address_delete","address":{address}}}"#));
    assert_eq!(origin_of(&control, "192.0.2.150/32 wan"), Some(Host));

    control.host_addresses(Vec::new()).unwrap();
    assert_eq!((own("192.0.2.150"), own("192.0.2.100").is_some()), (None, true));
}

#[test]
fn an_interface_without_addresses_gets_the_hosts_and_a_pool_takes_precedence() {
    let (control, fake) = start();
    control.host_addresses(vec![on_tap("wan.host", "198.51.100.7/24")]).unwrap();
    assert!(fake.last().net.route("198.51.100.9".parse().unwrap()).is_some(), "connected");
    let pool = r#"{"op":"pool_add","pool":{"name":"p","interface":"lan","addresses":["198.51.100.0-198.51.100.15"]}}"#;
    assert_eq!(applied(&control, pool), ["+ local pool p"]);
    assert_eq!(origin_of(&control, "198.51.100.7/24 wan"), None);
    assert_eq!(origin_of(&control, "198.51.100.7/32 lan"), Some(api::AddressOrigin::Configured));
    let delete = r#"{"op":"pool_delete","pool":"p","addresses":["198.51.100.0-198.51.100.15"]}"#;
    applied(&control, delete);
    assert_eq!(origin_of(&control, "198.51.100.7/24 wan"), Some(api::AddressOrigin::Host));
}

#[test]
fn an_address_of_the_host_may_be_a_destination() {
    let (control, fake) = start();
    control.host_addresses(vec![on_tap("wan.host", "10.0.2.13/32")]).unwrap();
    let own = || fake.last().net.own("10.0.2.13".parse().unwrap()).is_some();
    assert!(own());
    applied(&control, &format!(r#"{{"op":"dest_add","service":{WEB},"dest":{}}}"#, dest("10.0.2.13", 80)));
    assert!(own(), "a local node");
}

#[test]
fn host_addresses_that_workers_do_not_take_are_not_listed() {
    let (control, fake) = start();
    fake.stuck_until.store(3, Ordering::Relaxed);
    let list = vec![on_tap("wan.host", "192.0.2.150/32")];
    let error = control.host_addresses(list.clone()).unwrap_err();
    assert_eq!(error.code, ErrorCode::Timeout);
    assert_eq!(origin_of(&control, "192.0.2.150/32 wan"), None);
    assert!(fake.last().net.own("192.0.2.150".parse().unwrap()).is_none());
    control.host_addresses(list).unwrap();
    assert_eq!(fake.last().generation, 4);
    assert_eq!(origin_of(&control, "192.0.2.150/32 wan"), Some(api::AddressOrigin::Host));
}

#[test]
fn a_service_by_mark_reaches_the_workers_with_all_that_is_asked_of_it() {
    let (control, fake) = start();
    let mark = r#"{"fwmark":7,"family":"ipv6"}"#;
    let add = r#"{"op":"service_add","service":{"fwmark":7,"family":"ipv6","scheduler":"wlc","persistence_timeout_s":60,"persistence_netmask":"64","persistence_engine":"sip","ops":true}}"#;
    assert_eq!(applied(&control, add), ["+ service fwmark 7 -6"]);
    let dest = r#"{"address":"2001:db8:2::11","port":0,"method":"tunnel","weight":1,"tunnel_type":"gue","tunnel_port":6080,"tunnel_checksum":"remcsum"}"#;
    let add = format!(r#"{{"op":"dest_add","service":{mark},"dest":{dest}}}"#);
    assert_eq!(applied(&control, &add), ["+ destination [2001:db8:2::11]:0 of fwmark 7 -6"]);
    let snapshot = fake.last();
    let service = snapshot.services.find_mark(7, wire::Family::V6).unwrap();
    let persistence = ipvs::Persistence { timeout_ms: 60_000, mask: ipvs::ClientMask::V6(64) };
    assert_eq!(
        (service.persistence, service.engine, service.one_packet),
        (Some(persistence), Some(ipvs::Engine::Sip), true)
    );
    let gue = ipvs::Tunnel::Gue { port: 6080, checksum: ipvs::GueChecksum::Remote };
    assert_eq!((service.dests[0].port, service.dests[0].tunnel), (0, gue));
    let edit = format!(
        r#"{{"op":"dest_edit","service":{mark},"dest":{{"address":"2001:db8:2::11","port":0}},"edit":{{"tunnel_type":"gre","tunnel_port":null,"tunnel_checksum":"csum"}}}}"#
    );
    assert_eq!(
        applied(&control, &edit),
        [
            "~ destination [2001:db8:2::11]:0 of fwmark 7 -6: tunnel_type gue → gre, tunnel_port 6080 → none, tunnel_checksum remcsum → csum"
        ]
    );
    let edit = format!(
        r#"{{"op":"service_edit","service":{mark},"edit":{{"persistence_netmask":"128","persistence_engine":null,"ops":false}}}}"#
    );
    assert_eq!(
        applied(&control, &edit),
        [
            "~ service fwmark 7 -6: persistence_netmask 64 → none, persistence_engine sip → none, ops true → false"
        ]
    );
    let service = fake.last().services.find_mark(7, wire::Family::V6).unwrap().clone();
    assert_eq!(service.dests[0].tunnel, ipvs::Tunnel::Gre { checksum: true });
    assert_eq!(service.persistence.unwrap().mask, ipvs::ClientMask::V6(128));
    let text = to_toml(&control.config());
    assert_eq!(parse("again", &text).config.unwrap(), control.config());
    assert_eq!(
        applied(&control, &format!(r#"{{"op":"service_delete","service":{mark}}}"#)),
        ["- service fwmark 7 -6"]
    );
}

#[test]
fn a_port_that_nobody_rewrites_is_the_services() {
    let (control, fake) = start();
    let dest = r#"{"address":"10.0.2.13","port":8080,"method":"dr","weight":1}"#;
    let Ok(Reply::Applied(applied)) =
        ask(&control, &format!(r#"{{"op":"dest_add","service":{WEB},"dest":{dest}}}"#))
    else {
        panic!("a destination is a change")
    };
    assert_eq!(applied.changes[0].item, "destination 10.0.2.13:80 of tcp 192.0.2.100:80");
    let warnings: Vec<String> = applied.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "warning: destination 10.0.2.13:8080 of tcp 192.0.2.100:80: port: found 8080, took the service's port 80: dr changes no port"
        ]
    );
    let snapshot = fake.last();
    let service = snapshot.services.find(ipvs::Protocol::Tcp, "192.0.2.100".parse().unwrap(), 80).unwrap();
    assert_eq!(service.dests.last().unwrap().port, 80);
    let again = ask(&control, &format!(r#"{{"op":"dest_add","service":{WEB},"dest":{dest}}}"#)).unwrap_err();
    assert_eq!(again.code, ErrorCode::Exists);
}

#[test]
fn tunables_are_set_all_or_none_and_last_in_the_configuration() {
    let (control, fake) = start();
    let set = r#"{"op":"sysctl_set","values":[{"name":"expire_nodest_conn","value":"1"},{"name":"sync_threshold","value":"3 100"},{"name":"conntrack","value":"1"}]}"#;
    let Ok(Reply::Applied(applied)) = ask(&control, set) else { panic!("it is a change") };
    let items: Vec<String> =
        applied.changes.iter().map(|c| format!("{}: {}", c.item, c.detail.as_deref().unwrap())).collect();
    assert_eq!(
        items,
        [
            "ipvs.conntrack: false → true",
            "ipvs.expire_nodest_conn: false → true",
            "ipvs.sync_threshold: [3, 50] → [3, 100]"
        ]
    );
    assert_eq!(applied.warnings.len(), 1, "{:?}", applied.warnings);
    assert!(applied.warnings[0].message.contains("no connection tracking"), "{:?}", applied.warnings);
    assert!(fake.last().settings.expire_nodest_conn);
    let Ok(Reply::Sysctls(some)) =
        ask(&control, r#"{"op":"sysctl_list","names":["sync_threshold","pmtu_disc"]}"#)
    else {
        panic!("they are listed")
    };
    let values: Vec<String> = some.iter().map(|s| format!("{} {} {}", s.name, s.value, s.default)).collect();
    assert_eq!(values, ["sync_threshold 3 100 3 50", "pmtu_disc 1 1"]);
    let Ok(Reply::Sysctls(all)) = ask(&control, r#"{"op":"sysctl_list"}"#) else { panic!("all are listed") };
    assert_eq!(all.len(), api::Sysctl::ALL.len());
    let text = to_toml(&control.config());
    assert!(text.contains("sync_threshold = [3, 100]\n") && text.contains("conntrack = true\n"), "{text}");
    assert_eq!(parse("again", &text).config.unwrap(), control.config());
}

#[test]
fn no_part_of_a_list_grows_with_what_its_elements_hold() {
    let mut parts = Vec::new();
    let wrap = |piece: Vec<usize>| Reply::Config(ConfigText { text: format!("{piece:?}") });
    let all = vec![200, 56, 1, 1000, 255, 1, 3];
    let last = super::parts::send_weighed(all, |&weight| weight, wrap, &mut |part| {
        parts.push(part);
        Ok(())
    });
    parts.push(last.unwrap());
    let texts: Vec<_> = parts.into_iter().map(|part| serde_json::to_string(&part).unwrap()).collect();
    assert_eq!(
        texts,
        ["[200, 56]", "[1, 1000]", "[255, 1]", "[3]"]
            .map(|text| format!(r#"{{"config":{{"text":"{text}"}}}}"#))
    );
}

#[test]
fn timeouts_are_set_by_protocol_and_state_and_last_in_the_configuration() {
    let (control, fake) = start();
    let set = r#"{"op":"timeout_set","values":[{"protocol":"tcp","state":"ESTABLISHED","timeout_s":600},{"protocol":"tcp","state":"close","timeout_s":5},{"protocol":"sctp","state":"ESTABLISHED","timeout_s":60}]}"#;
    assert_eq!(
        applied(&control, set),
        [
            "~ ipvs.tcp_timeout_s: 900 → 600",
            "~ ipvs.timeouts.tcp_close_s: 10 → 5",
            "~ ipvs.timeouts.sctp_established_s: 900 → 60"
        ]
    );
    let of =
        |protocol: ipvs::Protocol, state| fake.last().timeouts.get(protocol, protocol.state(state).unwrap());
    assert_eq!(of(ipvs::Protocol::Tcp, "ESTABLISHED"), 600_000);
    assert_eq!(of(ipvs::Protocol::Tcp, "CLOSE"), 5_000);
    assert_eq!(of(ipvs::Protocol::Sctp, "ESTABLISHED"), 60_000);
    let Ok(Reply::Timeouts(all)) = ask(&control, r#"{"op":"timeout_list"}"#) else {
        panic!("they are listed")
    };
    let changed: Vec<_> = all.iter().filter(|t| t.timeout_s != t.default_s).map(|t| &*t.state).collect();
    assert_eq!(changed, ["ESTABLISHED", "CLOSE", "ESTABLISHED"]);
    assert_eq!(parse("again", &to_toml(&control.config())).config.unwrap(), control.config());
}

#[test]
fn rules_and_sets_come_go_and_last_in_the_configuration() {
    let (control, fake) = start();
    let cases = [
        (r#"{"op":"set_add","set":{"name":"office","members":["198.51.100.0/24"]}}"#, "+ ipset office"),
        (
            r#"{"op":"set_add","set":{"name":"office","members":["2001:db8:7::/48"]}}"#,
            "~ ipset office: 198.51.100.0/24 → 198.51.100.0/24 2001:db8:7::/48",
        ),
        (
            r#"{"op":"mark_add","mark":{"fwmark":7,"protocol":"tcp","source_set":"office","destination_ports":"80"}}"#,
            "+ mark 7 --protocol tcp --src-set office --dports 80",
        ),
        (r#"{"op":"mark_add","mark":{"fwmark":8,"interface":"wan"}}"#, "+ mark 8 --in wan"),
    ];
    for (request, want) in cases {
        assert_eq!(applied(&control, request), [want], "{request}");
    }
    let refused = ask(&control, r#"{"op":"set_flush","name":"office"}"#).unwrap_err();
    assert_eq!(refused.code, ErrorCode::InUse);
    let again = ask(&control, r#"{"op":"mark_add","mark":{"fwmark":8,"interface":"wan"}}"#).unwrap_err();
    assert_eq!(again.code, ErrorCode::Exists);
    assert_eq!(parse("again", &to_toml(&control.config())).config.unwrap(), control.config());
    let packet = |from: &str| {
        let frame = wire::testing::Frame::v4(from, "203.0.113.1").tcp(40_000, 80, wire::tcp::SYN).build();
        let wire::Parsed::Ip(info) = wire::parse(&frame).unwrap() else { panic!("it is IP") };
        fake.last().services.mark_of(&frame, &info, IfaceId(1))
    };
    assert_eq!((packet("198.51.100.7"), packet("192.0.2.7")), (7, 0));
    assert_eq!(applied(&control, r#"{"op":"mark_flush"}"#).len(), 2);
    assert_eq!(packet("198.51.100.7"), 0);
}
