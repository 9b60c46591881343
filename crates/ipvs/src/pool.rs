//! Local addresses and ports for FULLNAT connections.
//!
//! The low eight bits of a local port are a steering slot, so that a reply finds its owner by the port alone. A port
//! may serve many connections, as long as each has another destination endpoint: what must be unique is the reply's
//! tuple, and the connection table is what knows. So there is no map of ports: candidates are tried in a
//! pseudo-random order against the table until one is free.

use core::net::IpAddr;
use core::ops::RangeInclusive;

use wire::Family;

use crate::math::gcd;
use crate::model::family_of;
use crate::steering::{SLOTS, Slot};
use crate::{LocalPool, PoolId, Rng, Steering, WorkerId};

/// Ports tried with the client's own slot before other slots are.
const OWN_PROBES: u32 = 128;

/// Ports tried with the other slots of the worker before the pool counts as exhausted.
const OTHER_PROBES: u32 = 256;

/// A pool, its addresses apart by family.
#[derive(Clone, Debug)]
pub struct Pool {
    v4: Box<[IpAddr]>,
    v6: Box<[IpAddr]>,
    ports: RangeInclusive<u16>,
}

impl Pool {
    /// The pool that the configuration describes.
    pub fn new(pool: &LocalPool) -> Self {
        let of = |family| pool.addrs.iter().copied().filter(|&addr| family_of(addr) == family).collect();
        Self { v4: of(Family::V4), v6: of(Family::V6), ports: pool.ports.clone() }
    }

    /// Ports to use at each address.
    pub fn ports(&self) -> &RangeInclusive<u16> {
        &self.ports
    }

    /// Addresses of one family.
    pub fn addrs(&self, family: Family) -> &[IpAddr] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// All pools, by id.
#[derive(Clone, Debug, Default)]
pub struct Pools(Vec<Option<Pool>>);

impl Pools {
    /// Of two pools with one id the last stands.
    pub fn build(pools: &[LocalPool]) -> Self {
        let len = pools.iter().map(|pool| usize::from(pool.id.0) + 1).max().unwrap_or(0);
        let mut list = vec![None; len];
        for pool in pools {
            list[usize::from(pool.id.0)] = Some(Pool::new(pool));
        }
        Self(list)
    }

    /// The pool with this id.
    pub fn get(&self, id: PoolId) -> Option<&Pool> {
        self.0.get(usize::from(id.0))?.as_ref()
    }
}

/// One of these addresses and a port within this range whose replies `worker` owns and for which `is_free` says yes.
///
/// Ports of the client's own slot come first, then those of the worker's other slots; none is tried twice, and 384 at
/// most. So `None` means that every candidate is taken, or that there are many and hardly one in a hundred is free.
pub fn allocate(
    addrs: &[IpAddr],
    ports: &RangeInclusive<u16>,
    slot: Slot,
    steering: &Steering,
    worker: WorkerId,
    rng: &mut Rng,
    mut is_free: impl FnMut(IpAddr, u16) -> bool,
) -> Option<(IpAddr, u16)> {
    let own = Candidates::new(addrs, ports, core::slice::from_ref(&slot), None);
    let others = Candidates::new(addrs, ports, steering.slots(worker), Some(slot));
    own.probe(OWN_PROBES, rng, &mut is_free).or_else(|| others.probe(OTHER_PROBES, rng, &mut is_free))
}

/// Places numbered from 0: addresses × slots × rows of 256 ports. A few places are empty, where the range of ports
/// ends in the middle of a row.
struct Candidates<'a> {
    addrs: &'a [IpAddr],
    slots: &'a [Slot],
    ports: &'a RangeInclusive<u16>,
    except: Option<Slot>,
    total: u32,
}

impl<'a> Candidates<'a> {
    fn new(
        addrs: &'a [IpAddr],
        ports: &'a RangeInclusive<u16>,
        slots: &'a [Slot],
        except: Option<Slot>,
    ) -> Self {
        let rows = (ports.len() as u32).div_ceil(SLOTS as u32);
        let total = (addrs.len() as u32).saturating_mul(slots.len() as u32).saturating_mul(rows);
        Self { addrs, slots, ports, except, total }
    }

    fn get(&self, place: u32) -> Option<(IpAddr, u16)> {
        let place = place as usize;
        let (addr, rest) = (self.addrs[place % self.addrs.len()], place / self.addrs.len());
        let (slot, row) = (self.slots[rest % self.slots.len()], rest / self.slots.len());
        if Some(slot) == self.except {
            return None;
        }
        let start = *self.ports.start();
        let first = u32::from(start) + u32::from(slot.0.wrapping_sub(start as u8));
        let port = u16::try_from(first + (row * SLOTS) as u32).ok()?;
        self.ports.contains(&port).then_some((addr, port))
    }

    /// Tries up to `limit` candidates, each at most once, from a random one on. Empty places count as a quarter of one.
    fn probe(
        &self,
        limit: u32,
        rng: &mut Rng,
        mut is_free: impl FnMut(IpAddr, u16) -> bool,
    ) -> Option<(IpAddr, u16)> {
        let mut place = rng.below(self.total);
        let mut left = limit * 4;
        let mut step = None;
        for _ in 0..self.total {
            let cost = match self.get(place) {
                Some((addr, port)) if is_free(addr, port) => return Some((addr, port)),
                Some(_) => 4,
                None => 1,
            };
            left = left.checked_sub(cost).filter(|&left| left > 0)?;
            let step = u64::from(*step.get_or_insert_with(|| stride(self.total, rng)));
            place = ((u64::from(place) + step) % u64::from(self.total)) as u32;
        }
        None
    }
}

/// A random step that comes to every one of `total` places before it comes to any again. A new one for every search,
/// so that taken places do not cluster along its path.
fn stride(total: u32, rng: &mut Rng) -> u32 {
    let from = rng.below(total).max(1);
    (from..total).find(|&step| gcd(step, total) == 1).unwrap_or(1)
}

const _: () = assert!(SLOTS == 256, "a slot is the low byte of a port");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NatSteering;
    use std::collections::HashSet;

    fn pool(addrs: &[&str], ports: RangeInclusive<u16>) -> Pool {
        Pool::new(&LocalPool {
            id: PoolId(0),
            name: "lan".into(),
            addrs: addrs.iter().map(|addr| addr.parse().unwrap()).collect(),
            ports,
        })
    }

    fn steering(workers: u16) -> Steering {
        Steering::new(workers, [7; 16], NatSteering::Endpoint)
    }

    /// Allocates until there is nothing left.
    fn exhaust(
        pool: &Pool,
        family: Family,
        slot: Slot,
        steering: &Steering,
        worker: WorkerId,
    ) -> Vec<(IpAddr, u16)> {
        let (mut rng, mut taken, mut order) = (Rng::new(1), HashSet::new(), Vec::new());
        while let Some(got) =
            allocate(pool.addrs(family), pool.ports(), slot, steering, worker, &mut rng, |addr, port| {
                !taken.contains(&(addr, port))
            })
        {
            assert!(taken.insert(got));
            order.push(got);
        }
        order
    }

    #[test]
    fn a_small_pool_is_used_up_exactly_own_slot_first() {
        let pool = pool(&["10.0.2.200", "10.0.2.201"], 1000..=1255);
        let steering = steering(4);
        let got = exhaust(&pool, Family::V4, Slot(2), &steering, WorkerId(2));
        assert_eq!(got.len(), 2 * 64);
        assert!(got[..2].iter().all(|&(_, port)| port as u8 == 2));
        assert!(got[2..].iter().all(|&(_, port)| port as u8 != 2));
        for (_, port) in got {
            assert!((1000..=1255).contains(&port));
            assert_eq!(steering.owner_of(Slot(port as u8)), WorkerId(2));
        }
    }

    #[test]
    fn no_port_outside_the_range_is_given() {
        for ports in [1024..=65535, 1030..=1500, 40_000..=40_003, 65_535..=65_535, 0..=255] {
            let pool = pool(&["2001:db8:2::200"], ports.clone());
            for slot in [0_u8, 1, 63, 64, 127, 255] {
                let mut rng = Rng::new(u64::from(slot));
                for _ in 0..50 {
                    let got = allocate(
                        pool.addrs(Family::V6),
                        pool.ports(),
                        Slot(slot),
                        &steering(1),
                        WorkerId(0),
                        &mut rng,
                        |_, _| true,
                    );
                    assert!(got.is_none_or(|(_, port)| ports.contains(&port)), "{ports:?} {got:?}");
                }
            }
        }
    }

    #[test]
    fn a_pool_without_addresses_of_the_family_gives_none() {
        let pool = pool(&["10.0.2.200"], 1024..=65535);
        let got = allocate(
            pool.addrs(Family::V6),
            pool.ports(),
            Slot(0),
            &steering(1),
            WorkerId(0),
            &mut Rng::new(0),
            |_, _| true,
        );
        assert_eq!(got, None);
    }

    #[test]
    fn a_full_pool_ends_the_search() {
        let pool = pool(&["10.0.2.200", "10.0.2.201", "10.0.2.202"], 1024..=65535);
        let mut tried = HashSet::new();
        let mut rng = Rng::new(3);
        let got = allocate(
            pool.addrs(Family::V4),
            pool.ports(),
            Slot(9),
            &steering(1),
            WorkerId(0),
            &mut rng,
            |addr, port| {
                assert!(tried.insert((addr, port)), "tried twice");
                false
            },
        );
        assert_eq!(got, None);
        assert!(tried.len() <= (OWN_PROBES + OTHER_PROBES) as usize, "{}", tried.len());
    }

    #[test]
    fn a_large_pool_is_nearly_used_up_before_the_search_gives_up() {
        let pool = pool(&["10.0.2.200"], 1024..=17_407);
        let got = exhaust(&pool, Family::V4, Slot(5), &steering(1), WorkerId(0));
        assert!(got.len() > 16_384 * 97 / 100, "{}", got.len());
        assert!(got[..60].iter().all(|&(_, port)| port as u8 == 5));
    }

    #[test]
    fn allocations_spread_over_addresses() {
        let pool = pool(&["10.0.2.200", "10.0.2.201", "10.0.2.202", "10.0.2.203"], 1024..=65535);
        let (mut rng, mut counts) = (Rng::new(11), std::collections::HashMap::new());
        for n in 0..4000_u32 {
            let slot = Slot(n as u8);
            let (addr, _) = allocate(
                pool.addrs(Family::V4),
                pool.ports(),
                slot,
                &steering(1),
                WorkerId(0),
                &mut rng,
                |_, _| true,
            )
            .unwrap();
            *counts.entry(addr).or_insert(0) += 1;
        }
        assert!(
            counts.len() == 4 && counts.values().all(|&count| (850..1150).contains(&count)),
            "{counts:?}"
        );
    }

    #[test]
    fn the_stride_reaches_every_place() {
        let mut rng = Rng::new(5);
        for total in [1, 2, 3, 6, 8, 252, 257, 1008, 64_512] {
            let step = stride(total, &mut rng);
            let seen: HashSet<u64> =
                (0..u64::from(total)).map(|n| n * u64::from(step) % u64::from(total)).collect();
            assert_eq!(seen.len(), total as usize, "{total}");
        }
    }

    #[test]
    fn pools_are_found_by_id() {
        let one = LocalPool {
            id: PoolId(1),
            name: "lan".into(),
            addrs: ["10.0.2.200".parse().unwrap(), "2001:db8:2::200".parse().unwrap()].into(),
            ports: 1024..=65535,
        };
        let pools = Pools::build(&[one]);
        assert!(pools.get(PoolId(0)).is_none() && pools.get(PoolId(2)).is_none());
        let pool = pools.get(PoolId(1)).unwrap();
        assert_eq!((pool.addrs(Family::V4).len(), pool.addrs(Family::V6).len()), (1, 1));
    }
}
