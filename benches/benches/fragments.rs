//! What fragments cost: gathering a datagram, cutting it again, and beside it a plain copy of the same bytes, since each
//! does at most one.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use inet::reassembly::{Accepted, Joined, Leaving, Sizes, refragment};
use inet::{IfaceId, Reassembly, ReassemblyLimits};
use wire::testing::{Frame, fragments, info};
use wire::{Family, NoRoom, PacketBuf, PacketInfo};

const HEADROOM: usize = 128;

/// A buffer of fixed size, as in a pool.
struct Buf {
    store: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Buf {
    fn empty(room: usize) -> Self {
        Self { store: vec![0; room].into(), start: HEADROOM, end: HEADROOM }
    }

    fn with(frame: &[u8]) -> Self {
        let mut buf = Self::empty(HEADROOM + 2048);
        buf.append(frame.len()).expect("room for a frame");
        buf.bytes_mut().copy_from_slice(frame);
        buf
    }
}

impl PacketBuf for Buf {
    fn bytes(&self) -> &[u8] {
        &self.store[self.start..self.end]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.store[self.start..self.end]
    }

    fn prepend(&mut self, count: usize) -> Result<(), NoRoom> {
        self.start = self.start.checked_sub(count).ok_or(NoRoom)?;
        Ok(())
    }

    fn adj(&mut self, count: usize) {
        self.start += count;
    }

    fn append(&mut self, count: usize) -> Result<(), NoRoom> {
        if self.end + count > self.store.len() {
            return Err(NoRoom);
        }
        self.end += count;
        Ok(())
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start + len);
    }
}

fn pieces(len: usize) -> Vec<(Buf, PacketInfo)> {
    let frame = Frame::v4("198.51.100.1", "192.0.2.100").udp(3000, 53).payload(&vec![7; len - 8]).build();
    let pieces = fragments(&frame, &vec![1480; (len - 1) / 1480]);
    pieces.iter().map(|piece| (Buf::with(piece), info(piece))).collect()
}

fn gather(reassembly: &mut Reassembly<Buf>, pieces: Vec<(Buf, PacketInfo)>, large: Buf) -> Joined<Buf> {
    let (mut large, mut whole) = (Some(large), None);
    for (packet, info) in pieces {
        if let Accepted::Done(joined) =
            reassembly.accept(0, IfaceId(0), packet, &info, || large.take(), std::mem::drop)
        {
            whole = Some(joined);
        }
    }
    whole.expect("a datagram")
}

fn bench(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fragments");
    for len in [1600, 9000, 60_000] {
        group.throughput(Throughput::Bytes(len as u64));
        let mut reassembly = Reassembly::new(ReassemblyLimits::default(), 1);
        let large = || Buf::empty(usize::from(u16::MAX));
        group.bench_function(BenchmarkId::new("gather", len), |bencher| {
            bencher.iter_batched(
                || (pieces(len), large()),
                |(pieces, large)| gather(&mut reassembly, pieces, large),
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("cut", len), |bencher| {
            bencher.iter_batched(
                || {
                    let joined = gather(&mut reassembly, pieces(len), large());
                    let usual: Vec<Buf> = (0..50).map(|_| Buf::empty(HEADROOM + 2048)).collect();
                    (joined, usual, Vec::with_capacity(50))
                },
                |(joined, mut usual, mut left)| {
                    let Joined { packet, info, cuts } = joined;
                    let leaving =
                        Leaving { cuts: &cuts, family: Family::V4, sizes: Sizes::Largest, mtu: 1500, id: 1 };
                    let done = refragment(packet, &info, leaving, || usual.pop(), |piece| left.push(piece));
                    assert!(done.is_ok());
                    (left, usual)
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("copy", len), |bencher| {
            bencher.iter_batched(
                || (vec![1u8; len], vec![2u8; len]),
                |(from, mut to)| {
                    to.copy_from_slice(&from);
                    (from, to)
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
