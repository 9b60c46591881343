use std::collections::HashSet;

use proptest::prelude::*;
use wire::testing::{
    Frame, fragment as piece, fragmentable_at as payload_at, fragments as split, info, verify_checksums,
};
use wire::{Family, NoRoom, Parsed, ipv4, ipv6, parse, protocol};

use super::*;

mod bounds;
mod gather;
mod kernel;
mod leave;

/// A buffer that knows itself: room behind the frame as in a DPDK buffer, and a number.
#[derive(Debug)]
struct Buf {
    number: usize,
    store: Vec<u8>,
    start: usize,
    room: usize,
}

/// Where all fragments come from.
const IFACE: IfaceId = IfaceId(3);
const HEADROOM: usize = 128;
/// What a port's buffers hold behind their headroom, and the large ones.
const SMALL: usize = 2048;
const LARGE: usize = 65_535 - HEADROOM;

impl Buf {
    fn new(number: usize, frame: &[u8], room: usize) -> Self {
        let mut store = vec![0xee; HEADROOM];
        store.extend_from_slice(frame);
        Self { number, store, start: HEADROOM, room: HEADROOM + room }
    }
}

impl PacketBuf for Buf {
    fn bytes(&self) -> &[u8] {
        &self.store[self.start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.store[self.start..]
    }

    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        self.start = self.start.checked_sub(count).ok_or(NoRoom)?;
        Ok(())
    }

    fn adj(&mut self, count: usize) {
        assert!(count <= self.bytes().len());
        self.start += count;
    }

    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        if self.store.len() + count > self.room {
            return Err(NoRoom);
        }
        self.store.resize(self.store.len() + count, 0xee);
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.store.truncate(self.start + len);
    }
}

/// What came out, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Out {
    AsItIs,
    Held,
    Done(Vec<u8>),
    Refused(DropReason),
}

/// A reassembly whose every buffer is followed: each comes back once, and only once.
struct Bench {
    reassembly: Reassembly<Buf>,
    given: usize,
    returned: HashSet<usize>,
    reasons: Vec<DropReason>,
    merged: usize,
    timed_out: Vec<bool>,
    cuts: Option<Cuts>,
    room: usize,
    large: usize,
}

impl Bench {
    fn new(limits: ReassemblyLimits) -> Self {
        Self {
            reassembly: Reassembly::new(limits, 7),
            given: 0,
            returned: HashSet::new(),
            reasons: Vec::new(),
            merged: 0,
            timed_out: Vec::new(),
            cuts: None,
            room: SMALL,
            large: LARGE,
        }
    }

    fn accept(&mut self, now_ms: u64, frame: &[u8]) -> Out {
        let number = self.given;
        self.given += 1;
        let packet = Buf::new(number, frame, self.room.max(frame.len()));
        let (given, large) = (&mut self.given, self.large);
        let alloc = || {
            (large > 0).then(|| {
                *given += 1;
                Buf::new(*given - 1, &[], large)
            })
        };
        let mut released = Vec::new();
        let reassembly = &mut self.reassembly;
        let accepted =
            reassembly.accept(now_ms, IFACE, packet, &info(frame), alloc, |out| released.push(out));
        released.into_iter().for_each(|out| self.take(out));
        let out = match accepted {
            Accepted::AsItIs(packet) => {
                assert_eq!(packet.bytes(), frame);
                self.back(&packet);
                Out::AsItIs
            }
            Accepted::Held => Out::Held,
            Accepted::Done(joined) => {
                self.back(&joined.packet);
                self.cuts = Some(joined.cuts);
                let largest_fragment = joined.cuts.largest;
                assert_eq!(joined.info, PacketInfo { largest_fragment, ..info(joined.packet.bytes()) });
                Out::Done(joined.packet.bytes().to_vec())
            }
            Accepted::Refused(reason) => {
                assert!(self.returned.contains(&number), "a refused packet comes back");
                Out::Refused(reason)
            }
        };
        self.check();
        out
    }

    fn poll(&mut self, now_ms: u64, budget: usize) -> usize {
        let mut released = Vec::new();
        let done = self.reassembly.poll(now_ms, budget, |out| released.push(out));
        released.into_iter().for_each(|out| self.take(out));
        self.check();
        done
    }

    fn clear(&mut self) {
        let mut released = Vec::new();
        self.reassembly.clear(DropReason::Shutdown, |out| released.push(out));
        released.into_iter().for_each(|out| self.take(out));
        self.check();
        assert_eq!((self.reassembly.datagrams(), self.reassembly.fragments()), (0, 0));
        assert_eq!(self.reassembly.next_ms(), None);
    }

    fn take(&mut self, released: Released<Buf>) {
        match released {
            Released::Merged(packet) => {
                self.merged += 1;
                self.back(&packet);
            }
            Released::Dropped(packet, reason) => {
                self.reasons.push(reason);
                self.back(&packet);
            }
            Released::TimedOut { packet, iface, time_exceeded } => {
                assert_eq!(iface, IFACE);
                assert_eq!(time_exceeded, info(packet.bytes()).fragment == Fragment::First);
                self.timed_out.push(time_exceeded);
                self.back(&packet);
            }
        }
    }

    fn back(&mut self, packet: &Buf) {
        assert!(self.returned.insert(packet.number), "buffer {} came back twice", packet.number);
    }

    /// Nothing is lost: what went in is held or came back.
    fn check(&self) {
        assert_eq!(self.given, self.returned.len() + self.reassembly.fragments());
    }

    fn reasons(&mut self) -> Vec<DropReason> {
        core::mem::take(&mut self.reasons)
    }
}

fn client(v6: bool, n: u8) -> Frame {
    match v6 {
        false => Frame::v4(&format!("198.51.100.{n}"), "192.0.2.100"),
        true => Frame::v6(&format!("2001:db8:{n:x}::1"), "2001:db8:1::100"),
    }
}

/// A UDP datagram of `len` bytes, header included, from client `n`.
fn udp(v6: bool, n: u8, len: usize) -> Vec<u8> {
    let payload: Vec<u8> = (0..len - 8).map(|at| at as u8).collect();
    client(v6, n).id(0x4242).udp(3000, 53).payload(&payload).build()
}

/// Cuts of `len` bytes into fragments, from random numbers.
fn sizes(len: usize, weights: &[usize]) -> Vec<usize> {
    let mut left = len;
    let mut sizes = Vec::new();
    for weight in weights {
        let size = (weight % left.max(1) / 8 * 8).max(8);
        if size >= left {
            break;
        }
        left -= size;
        sizes.push(size);
    }
    sizes
}
