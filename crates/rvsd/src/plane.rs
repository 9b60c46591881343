//! The data plane as the control core sees it: what one offers in the other's words.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::sync::{Daemon, Role, Tuning};
use api::{
    ConnFlags, ConnMethod, ConnProtocol, ConnView, HostCounters, LinkState, Mac, NeighbourState,
    PacketCounters, ServiceKey, SyncRole, SyncSpec, SyncView,
};
use control::{Dataplane, DataplaneError, NeighbourSample, PortSample, SyncTuning, WorkerSample};
use dataplane::{Plane, PlaneError, PortState, SyncRings};
use inet::{DropReason, IfaceId, NeighState};
use ipvs::trace::{Buffer, Filter};
use ipvs::{ConnFlags as Flag, Cursor, ServiceId, Snapshot, WorkerId, WorkerShared};
use parking_lot::{Mutex, RwLock};
use pipeline::Counters;

use crate::sync::{self, Heard};

/// Between two readings of a worker's busy time: shorter intervals say little.
const LEAST_INTERVAL: Duration = Duration::from_millis(200);

/// The workers behind the control core's trait.
pub(crate) struct WorkerPlane {
    plane: RwLock<Plane>,
    shared: Vec<Arc<WorkerShared>>,
    snapshot: Arc<Mutex<Arc<Snapshot>>>,
    sync: Daemon,
    heard: Arc<Heard>,
    busy: Mutex<Busy>,
}

/// How busy workers were between the last two readings.
struct Busy {
    read: Instant,
    cycles: Vec<u64>,
    percent: Vec<f32>,
}

impl WorkerPlane {
    pub(crate) fn new(plane: Plane, rings: SyncRings, snapshot: &Arc<Snapshot>) -> Self {
        let SyncRings { told, heard } = rings;
        let shared = plane.shared().to_vec();
        let workers = shared.len();
        let busy = Busy { read: Instant::now(), cycles: vec![0; workers], percent: vec![0.0; workers] };
        let (plane, snapshot) = (RwLock::new(plane), Arc::new(Mutex::new(Arc::clone(snapshot))));
        let heard = Heard::new(heard, Arc::clone(&snapshot));
        let sync = Daemon::new(told, heard.clone());
        Self { plane, shared, snapshot, sync, heard, busy: Mutex::new(busy) }
    }

    /// Ends all threads of the data plane; the name of the first that had panicked, if one had.
    pub(crate) fn stop(&self) -> Option<String> {
        for role in [Role::Master, Role::Backup] {
            // One that does not run need not be stopped.
            let _ = self.sync.stop(role);
        }
        let mut plane = self.plane.write();
        plane.stop();
        plane.panicked().map(str::to_owned)
    }

    /// DPDK's environment.
    pub(crate) fn eal(&self) -> &'static dpdk::Eal {
        self.plane.read().eal()
    }

    /// The connections of one worker, in batches; whether the listener wants to hear of the next worker.
    fn of_worker(
        &self,
        worker: WorkerId,
        service: Option<ServiceKey>,
        each: &mut dyn FnMut(Vec<ConnView>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, DataplaneError> {
        let mut from = Cursor::default();
        loop {
            let snapshot = Arc::clone(&self.snapshot.lock());
            let page = self.plane.read().connections(worker, from).map_err(|error| refused(&error))?;
            let wanted = page.connections.iter();
            let wanted = wanted.filter(|conn| service.is_none_or(|key| is_of(&snapshot, conn, &key)));
            let views: Vec<_> = wanted.filter_map(|conn| view(&snapshot, worker, conn)).collect();
            if !views.is_empty() && each(views).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            let Some(next) = page.next else { return Ok(ControlFlow::Continue(())) };
            from = next;
        }
    }

    /// How busy each worker was since the last reading.
    fn busy_percent(&self, plane: &Plane) -> Vec<f32> {
        let mut busy = self.busy.lock();
        let elapsed = busy.read.elapsed();
        if elapsed >= LEAST_INTERVAL {
            let cycles: Vec<u64> =
                plane.counters().iter().map(|counters| counters.busy_cycles.get()).collect();
            let all = elapsed.as_secs_f64() * plane.hz() as f64;
            let share = |(now, before): (&u64, &u64)| ((now - before) as f64 / all * 100.0).min(100.0) as f32;
            busy.percent = cycles.iter().zip(&busy.cycles).map(share).collect();
            busy.cycles = cycles;
            busy.read = Instant::now();
        }
        busy.percent.clone()
    }
}

impl Dataplane for WorkerPlane {
    fn publish(&self, snapshot: Arc<Snapshot>) -> Result<(), DataplaneError> {
        self.plane.read().publish(&snapshot).map_err(|error| refused(&error))?;
        self.sync.set_version(snapshot.settings.sync.version);
        *self.snapshot.lock() = snapshot;
        Ok(())
    }

    fn shared(&self) -> &[Arc<WorkerShared>] {
        &self.shared
    }

    fn workers(&self) -> Vec<WorkerSample> {
        let plane = self.plane.read();
        let busy = self.busy_percent(&plane);
        let of = |((counters, cpu), percent): ((&Arc<Counters>, &Option<usize>), f32)| WorkerSample {
            cpu: cpu.map(|cpu| cpu as u16),
            generation: counters.generation.get(),
            packets: packets(counters),
            drops: DropReason::ALL.iter().map(|&reason| counters.dropped_for(reason)).collect(),
            busy_percent: percent,
            loop_turns: counters.turns.get(),
            neighbours: counters.neighbours.get(),
        };
        plane.counters().iter().zip(plane.cpus()).zip(busy).map(of).collect()
    }

    fn host(&self) -> HostCounters {
        let plane = self.plane.read();
        let counters = plane.exception();
        HostCounters {
            to_host: counters.to_host.get(),
            to_host_dropped: counters.to_host_dropped.get(),
            from_host: counters.from_host.get(),
            from_host_dropped: counters.from_host_dropped.get(),
        }
    }

    fn ports(&self) -> Result<Vec<PortSample>, DataplaneError> {
        Ok(self.plane.read().ports().iter().map(port).collect())
    }

    fn connections(
        &self,
        service: Option<ServiceKey>,
        each: &mut dyn FnMut(Vec<ConnView>) -> ControlFlow<()>,
    ) -> Result<(), DataplaneError> {
        for worker in 0..self.shared.len() as u16 {
            if self.of_worker(WorkerId(worker), service, each)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn flush_connections(&self, service: Option<ServiceId>) -> Result<u64, DataplaneError> {
        let flushed = self.plane.read().flush_connections(service).map_err(|error| refused(&error))?;
        Ok(flushed as u64)
    }

    fn trace(&self, of: Option<(Filter, u32)>) -> Result<Vec<Option<Box<Buffer>>>, DataplaneError> {
        self.plane.read().trace(of).map_err(|error| refused(&error))
    }

    fn neighbours(&self) -> Result<Vec<NeighbourSample>, DataplaneError> {
        let all = self.plane.read().neighbours().map_err(|error| refused(&error))?;
        let of = |(worker, list): (u16, Vec<inet::NeighbourView>)| {
            list.into_iter().map(move |neighbour| NeighbourSample {
                worker,
                iface: neighbour.iface,
                address: neighbour.addr,
                mac: neighbour.mac.map(|mac| Mac(mac.0)),
                state: state(neighbour.state),
                age_ms: neighbour.age_ms,
            })
        };
        Ok((0u16..).zip(all).flat_map(of).collect())
    }

    fn flush_neighbours(&self, iface: Option<IfaceId>) -> Result<(), DataplaneError> {
        self.plane.read().flush_neighbours(iface).map_err(|error| refused(&error))
    }

    fn sync_start(&self, spec: &SyncSpec, device: &str, tuning: SyncTuning) -> Result<(), DataplaneError> {
        let SyncTuning { ports, queue_max, socket_bytes } = tuning;
        let tuning = Tuning { ports, queue_max, socket_bytes };
        sync::start(&self.sync, spec, device, &tuning).map_err(|error| sync::refused(&error))
    }

    fn sync_stop(&self, role: SyncRole) -> Result<(), DataplaneError> {
        self.sync.stop(sync::role(role)).map_err(|error| sync::refused(&error))
    }

    fn sync(&self) -> SyncView {
        SyncView {
            daemons: sync::views(&self.sync, &self.heard),
            workers: sync::worker_counters(self.plane.read().counters()),
        }
    }
}

fn refused(error: &PlaneError) -> DataplaneError {
    match error {
        PlaneError::WorkerSilent(worker) => {
            DataplaneError::Timeout { worker: *worker, waited_ms: dataplane::PATIENCE.as_millis() as u64 }
        }
        _ => DataplaneError::Stopping,
    }
}

/// What a connection looks like to a client of the socket. None if its destination's address is no longer known.
fn view(snapshot: &Snapshot, worker: WorkerId, conn: &ipvs::ConnView) -> Option<ConnView> {
    Some(ConnView {
        worker: worker.0,
        protocol: match conn.protocol {
            Some(ipvs::Protocol::Tcp) => ConnProtocol::Tcp,
            Some(ipvs::Protocol::Udp) => ConnProtocol::Udp,
            Some(ipvs::Protocol::Sctp) => ConnProtocol::Sctp,
            Some(ipvs::Protocol::Gre) => ConnProtocol::Gre,
            // They are packets of UDP's connections.
            Some(ipvs::Protocol::Ah | ipvs::Protocol::Esp) => return None,
            None => ConnProtocol::Ip,
        },
        client: conn.client,
        service: conn.virtual_addr,
        local: conn.local,
        destination: conn.destination?,
        method: match conn.method {
            ipvs::Method::Masquerade => ConnMethod::Nat,
            ipvs::Method::Tunnel => ConnMethod::Tunnel,
            ipvs::Method::DirectRouting => ConnMethod::Dr,
            ipvs::Method::Fullnat => ConnMethod::Fullnat,
            ipvs::Method::LocalNode => ConnMethod::Local,
            ipvs::Method::Bypass => ConnMethod::Bypass,
        },
        state: conn.state.to_owned(),
        expires_in_ms: conn.expires_in_ms,
        packets_in: u64::from(conn.in_pkts),
        flags: ConnFlags {
            inactive: !conn.active,
            no_destination: snapshot.services.dest(conn.dest).is_none(),
            template: conn.flags.has(Flag::TEMPLATE),
            one_packet: conn.flags.has(Flag::ONE_PACKET),
            no_client_port: conn.flags.has(Flag::NO_CLIENT_PORT),
            no_output: conn.flags.has(Flag::NO_OUTPUT),
            synchronised: conn.flags.has(Flag::SYNC),
        },
        fwmark: conn.mark,
        controls: conn.controlled,
        call_id: conn.call.map(|call| call.id().to_owned()),
    })
}

/// Whether a connection belongs to a service: by its destination, or, where that was removed, by what the client connected to.
fn is_of(snapshot: &Snapshot, conn: &ipvs::ConnView, key: &ServiceKey) -> bool {
    let key = control::service_key(key);
    if let Some((service, _)) = snapshot.services.dest(conn.dest) {
        return service.key == key;
    }
    let ipvs::ServiceKey::Address { protocol, addr, port } = key else { return false };
    conn.protocol == Some(protocol)
        && conn.virtual_addr.ip() == addr
        && (port == 0 || port == conn.virtual_addr.port())
}

fn packets(counters: &Counters) -> PacketCounters {
    PacketCounters {
        rx: counters.rx.get(),
        from_host: counters.from_host.get(),
        from_ring: counters.from_ring.get(),
        generated: counters.generated.get(),
        cloned: counters.cloned.get(),
        split: counters.split.get(),
        tx: counters.tx.get(),
        to_host: counters.to_host.get(),
        to_ring: counters.to_ring.get(),
        dropped: counters.dropped(),
        consumed: counters.consumed.get(),
        merged: counters.merged.get(),
        held: counters.held.get(),
    }
}

fn port(port: &PortState) -> PortSample {
    let stats = port.stats.unwrap_or_default();
    PortSample {
        driver: port.driver.clone(),
        mac: Mac(port.mac.0),
        mtu: port.mtu,
        link: if port.link.is_some_and(|link| link.up) { LinkState::Up } else { LinkState::Down },
        speed_mbps: port.link.and_then(|link| link.speed_mbps),
        rx_queues: port.rx_queues,
        tx_queues: port.tx_queues,
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        rx_bytes: stats.rx_bytes,
        tx_bytes: stats.tx_bytes,
        rx_missed: stats.rx_missed,
        rx_errors: stats.rx_errors,
        rx_no_buffers: stats.rx_no_mbuf,
        tx_errors: stats.tx_errors,
    }
}

fn state(state: NeighState) -> NeighbourState {
    match state {
        NeighState::Incomplete => NeighbourState::Incomplete,
        NeighState::Reachable => NeighbourState::Reachable,
        NeighState::Stale => NeighbourState::Stale,
        NeighState::Probe => NeighbourState::Probe,
        NeighState::Failed => NeighbourState::Failed,
        NeighState::Permanent => NeighbourState::Static,
    }
}
