//! A source that makes packets in place, a sink that takes the buffers back, and the director between them: one thread, no
//! device, so that what is measured is the director (and the source, which the reference has too).

use inet::{IfaceId, News, PortIndex};
use ipvs::sync::Record;
use ipvs::{Protocol, WorkerId};
use pipeline::{Pipeline, Ports, Steered};
use wire::rewrite::{Translate, translate};
use wire::testing::{Frame, info};
use wire::{Family, MacAddr, PacketBuf, PacketInfo, tcp};

use crate::case::{Case, Work};
use crate::flows::{Shuffled, client};
use crate::packet::{Packet, Pool};
use crate::site::{self, LAN, MACS, PORT, WAN, vip};

/// Packets in a burst.
pub const BURST: usize = 32;

/// Takes what the director sends.
#[derive(Default)]
pub struct Sink {
    /// Buffers that came back.
    pub pool: Pool,
    /// Frames sent.
    pub sent: u64,
    /// Whether the ends of what is sent are noted, and those that were.
    noted: Option<Vec<Ends>>,
}

/// What a reply needs to know: the last two bytes of the local address, the local port, the last byte of the server's.
type Ends = (u16, u16, u8);

impl Ports<Packet> for Sink {
    fn alloc(&mut self) -> Option<Packet> {
        Some(self.pool.take())
    }

    fn alloc_large(&mut self) -> Option<Packet> {
        None
    }

    #[inline]
    fn tx(&mut self, _: PortIndex, packet: Packet) {
        self.sent += 1;
        if let Some(noted) = &mut self.noted {
            noted.push(ends(packet.bytes()));
        }
        self.pool.give(packet);
    }

    fn to_host(&mut self, _: PortIndex, packet: Packet) {
        self.pool.give(packet);
    }

    fn has_host(&self, _: PortIndex) -> bool {
        false
    }

    fn steer(&mut self, _: WorkerId, _: IfaceId, _: Steered, packet: Packet) {
        self.pool.give(packet);
    }

    fn broadcast(&mut self, _: News) {}

    fn sync(&mut self, _: &Record) {}
}

fn ends(frame: &[u8]) -> Ends {
    let info = info(frame);
    let last = |at: usize| frame.get(at).copied().unwrap_or(0);
    let l3 = usize::from(info.l3);
    let (src, dst) = if info.family == Family::V4 { (l3 + 15, l3 + 19) } else { (l3 + 23, l3 + 39) };
    (u16::from_be_bytes([last(src - 1), last(src)]), info.sport, last(dst))
}

/// Makes the frames of one direction.
struct Template {
    frame: Vec<u8>,
    info: PacketInfo,
}

impl Template {
    fn new(case: &Case, mac: MacAddr, flags: u8) -> Self {
        let frame =
            Frame::new(client(case.family, 0).0, vip(case.family)).mac(MacAddr([2, 9, 9, 9, 9, 9]), mac);
        let frame = match case.protocol {
            Protocol::Tcp => frame.tcp(1, PORT, flags),
            _ => frame.udp(1, PORT),
        };
        let mut frame = frame.payload(&[7; 6]).build();
        let info = info(&frame);
        // The usual smallest frame on a wire, without its checksum; IPv6 is larger by itself.
        frame.resize(frame.len().max(60), 0);
        Self { frame, info }
    }

    #[inline]
    fn write(&self, packet: &mut Packet, ends: Translate) {
        packet.fill(&self.frame);
        let done = translate(packet.bytes_mut(), &self.info, ends);
        debug_assert!(done.is_ok(), "ends of the template's family");
    }
}

/// A director and its source, ready to be measured.
pub struct Bench {
    case: Case,
    pipeline: Pipeline<Packet>,
    sink: Sink,
    order: Shuffled,
    requests: Template,
    first: Template,
    replies: Template,
    ends: Vec<Ends>,
    opened: u32,
    now_ms: u64,
}

impl Bench {
    /// Opens the case's connections, but for those that opening is measured of.
    pub fn new(case: Case) -> Self {
        let requests = Template::new(&case, MACS[0], tcp::ACK);
        let first = Template::new(&case, MACS[0], tcp::SYN);
        let replies = Template::new(&case, MACS[1], tcp::ACK);
        let (pipeline, order) = (site::pipeline(&case), Shuffled::new(case.flows));
        let mut bench = Self {
            pipeline,
            sink: Sink::default(),
            order,
            requests,
            first,
            replies,
            ends: Vec::new(),
            opened: 0,
            now_ms: 1000,
            case,
        };
        bench.sink.noted = (bench.case.work == Work::Replies).then(Vec::new);
        if bench.case.work != Work::Opening && bench.case.work != Work::Swap {
            (0..bench.case.flows.div_ceil(BURST as u32)).for_each(|_| bench.open());
            assert_eq!(bench.pipeline.director().connections(), bench.case.flows as usize, "all are open");
        }
        bench.ends = bench.sink.noted.take().unwrap_or_default();
        bench.sink.sent = 0;
        bench
    }

    /// Bytes of a frame on its way in.
    pub fn frame_len(&self) -> usize {
        self.requests.frame.len()
    }

    /// Sends about `packets` packets; how many there were. All of them must have come out.
    pub fn run(&mut self, packets: u64) -> u64 {
        let bursts = packets.div_ceil(BURST as u64);
        let before = self.sink.sent;
        let mut went = 0;
        for _ in 0..bursts {
            went += match self.case.work {
                Work::Requests => self.requests(),
                Work::Replies => self.replies(),
                Work::Opening => {
                    let before = self.opened;
                    self.open();
                    u64::from(self.opened - before)
                }
                Work::Swap => self.swap(),
            };
        }
        assert_eq!(self.sink.sent - before, went, "all came out");
        went
    }

    fn open(&mut self) {
        let family = self.case.family;
        let count = (self.case.flows - self.opened).min(BURST as u32);
        let (pool, opened) = (&mut self.sink.pool, self.opened);
        let mut burst = [const { None }; BURST];
        for (slot, flow) in burst.iter_mut().zip(opened..opened + count) {
            let mut packet = pool.take();
            let (addr, port) = client(family, flow);
            self.first.write(&mut packet, Translate::source(addr, port));
            *slot = Some(packet);
        }
        self.opened += count;
        self.forward(WAN, burst);
    }

    fn requests(&mut self) -> u64 {
        let burst = self.made();
        self.forward(WAN, burst);
        BURST as u64
    }

    fn made(&mut self) -> [Option<Packet>; BURST] {
        let mut burst = [const { None }; BURST];
        for slot in &mut burst {
            let mut packet = self.sink.pool.take();
            let (addr, port) = client(self.case.family, self.order.next_flow());
            self.requests.write(&mut packet, Translate::source(addr, port));
            *slot = Some(packet);
        }
        burst
    }

    fn replies(&mut self) -> u64 {
        let family = self.case.family;
        let mut burst = [const { None }; BURST];
        for slot in &mut burst {
            let mut packet = self.sink.pool.take();
            let flow = self.order.next_flow();
            let (local, port, server) = self.ends[flow as usize];
            let to = if self.case.method == ipvs::Method::Fullnat {
                (site::lan(family, 1, local), port)
            } else {
                client(family, flow)
            };
            let from = (site::lan(family, 0, server.into()), PORT);
            self.replies.write(&mut packet, Translate { src: Some(from), dst: Some(to) });
            *slot = Some(packet);
        }
        self.forward(LAN, burst);
        BURST as u64
    }

    /// What testpmd does in its mode `5tswap`: hardware addresses, addresses and ports change places.
    fn swap(&mut self) -> u64 {
        for mut packet in self.made().into_iter().flatten() {
            let (family, l3, l4) =
                (self.case.family, usize::from(self.requests.info.l3), usize::from(self.requests.info.l4));
            let frame = packet.bytes_mut();
            swap(frame, 0, 6);
            match family {
                Family::V4 => swap(frame, l3 + 12, 4),
                Family::V6 => swap(frame, l3 + 8, 16),
            }
            swap(frame, l4, 2);
            self.sink.tx(WAN, packet);
        }
        BURST as u64
    }

    fn forward(&mut self, port: PortIndex, burst: [Option<Packet>; BURST]) {
        // A millisecond of a fast link.
        if self.sink.sent % 16_384 < BURST as u64 {
            self.now_ms += 1;
        }
        let mut packets = burst;
        if self.case.single {
            for packet in packets.into_iter().flatten() {
                self.pipeline.receive(self.now_ms, port, packet, &mut self.sink);
            }
        } else {
            self.pipeline.receive_burst(self.now_ms, port, &mut packets, &mut self.sink);
        }
        self.pipeline.tick(self.now_ms, 256, &mut self.sink);
    }
}

fn swap(frame: &mut [u8], at: usize, len: usize) {
    if let Some(both) = frame.get_mut(at..at + 2 * len) {
        let (a, b) = both.split_at_mut(len);
        a.swap_with_slice(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_case_runs_and_loses_nothing() {
        for method in ["fullnat", "nat", "dr", "tunnel", "conn", "5tswap"] {
            for protocol in ["udp", "tcp", "udp6", "tcp6"] {
                for end in ["", "-replies"] {
                    if let Some(case) = Case::named(&format!("{method}-{protocol}-1k{end}")) {
                        let mut bench = Bench::new(case);
                        assert_eq!(bench.run(960), 960, "{method} {protocol} {end}");
                    }
                }
            }
        }
    }
}
