//! Making room: connections that look abandoned are dropped [ip_vs_random_dropentry].
//!
//! Each second while `drop_entry` is on, a thirty-second part of the table, from a place drawn by lot on, is looked through, a
//! little each turn. Half-open connections go at once. Others go if they have been idle for a minute and few packets
//! have come: one of as many as have come. Templates stay, but for those of one-packet services, and so does what
//! controls others.

use conntab::{ConnId, ConnTable, Cursor as Place};

use crate::connection::{Connection, FlowKey};
use crate::director::{Core, Cursor, Director};
use crate::protocol::Abandoned;
use crate::{Rng, Snapshot};

/// The part of the table that is looked through a second.
const PART: usize = 32;
/// Places that one turn looks through at most.
const PLACES_A_TURN: usize = 256;
/// Connections that one turn drops at most.
const DROPS_A_TURN: usize = 32;
/// Idle for less than this a connection is not abandoned, in milliseconds.
const IDLE_MS: u64 = 60_000;
/// With more packets than this it is not either.
const PACKETS_MAX: u32 = 8;

/// The search of this second, and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Where to go on, and how many places are left.
    at: Option<(Cursor, usize)>,
    turn: Turn,
}

/// By number of packets: how many candidates pass until one is dropped [todrop_counter].
#[derive(Clone, Copy, Debug, Default)]
struct Turn([u32; PACKETS_MAX as usize + 1]);

impl Turn {
    /// Whether a connection with so many packets is the one that goes [todrop_entry].
    fn comes(&mut self, packets: u32) -> bool {
        let Some(counter) = self.0.get_mut(packets as usize).filter(|_| packets > 0) else { return false };
        *counter = counter.saturating_sub(1);
        if *counter > 0 {
            return false;
        }
        *counter = packets;
        true
    }
}

impl Search {
    /// A second has passed: another part of a table with so many places in each family.
    pub(super) fn begin(&mut self, places: usize, rng: &mut Rng) {
        let lot = rng.next_u64();
        let place = Place::at((lot >> 1) as usize % places.max(1));
        let cursor = if lot & 1 == 0 { Cursor::V4(place) } else { Cursor::V6(place) };
        self.at = Some((cursor, (2 * places).div_ceil(PART)));
    }
}

impl Director {
    /// Goes on with the search for abandoned connections, if there is one.
    pub(crate) fn make_room(&mut self, now_ms: u64) {
        let Some((cursor, left)) = self.core.search.at else { return };
        let places = left.min(PLACES_A_TURN);
        let next = match cursor {
            Cursor::V4(from) => {
                let next = self.core.look(&self.snapshot, now_ms, from, places, |tables| &tables.v4);
                next.map_or(Cursor::V6(Place::default()), Cursor::V4)
            }
            Cursor::V6(from) => {
                let next = self.core.look(&self.snapshot, now_ms, from, places, |tables| &tables.v6);
                next.map_or(Cursor::default(), Cursor::V6)
            }
        };
        self.core.search.at = (left > places).then_some((next, left - places));
    }
}

impl Core {
    fn look<K: FlowKey>(
        &mut self,
        snapshot: &Snapshot,
        now_ms: u64,
        from: Place,
        places: usize,
        table: impl Fn(&crate::connection::Tables) -> &ConnTable<Connection<K>>,
    ) -> Option<Place> {
        let mut found: [Option<ConnId>; DROPS_A_TURN] = [None; DROPS_A_TURN];
        let mut count = 0;
        let mut turn = self.search.turn;
        let connections = table(&self.tables);
        let next = connections.scan(from, places, |id, conn| {
            if count == DROPS_A_TURN || self.controls_others(conn) {
                return;
            }
            let expiry_ms = connections.expiry(id).unwrap_or(now_ms);
            if goes(snapshot, &mut turn, conn, expiry_ms.saturating_sub(now_ms)) {
                found[count] = Some(id);
                count += 1;
            }
        });
        self.search.turn = turn;
        found.into_iter().flatten().for_each(|id| self.remove_chain::<K>(id));
        next
    }

    fn controls_others<K: FlowKey>(&self, conn: &Connection<K>) -> bool {
        self.side.get(conn.side).is_some_and(|side| side.controlled > 0)
    }
}

/// Whether a connection that ends in `left_ms` by itself is dropped now.
fn goes<K: FlowKey>(snapshot: &Snapshot, turn: &mut Turn, conn: &Connection<K>, left_ms: u64) -> bool {
    let protocol = conn.protocol();
    let abandoned = match conn.is_template() {
        true => {
            let one_packet = snapshot.services.dest(conn.dest).is_some_and(|(service, _)| service.one_packet);
            if one_packet { Abandoned::Perhaps } else { Abandoned::No }
        }
        false => protocol.abandoned(conn.state),
    };
    let idle_ms = protocol.timeout_ms(conn.state, &snapshot.timeouts).saturating_sub(left_ms);
    match abandoned {
        Abandoned::No => false,
        Abandoned::Yes => true,
        Abandoned::Perhaps => idle_ms >= IDLE_MS && turn.comes(conn.in_pkts),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tcp::TcpState;
    use crate::testing::snapshot;
    use crate::{ConnFlags, DestId, Method, State};
    use conntab::Key4;

    fn conn(protocol: u8, state: State, in_pkts: u32) -> Connection<Key4> {
        let key = Key4::new([198, 51, 100, 7].into(), [192, 0, 2, 100].into(), 4000, 80, protocol);
        Connection { state, in_pkts, ..Connection::new(key, key.reversed(), DestId(0), Method::Masquerade) }
    }

    /// How many of 100 like this one are dropped.
    fn dropped(conn: &Connection<Key4>, left_ms: u64) -> usize {
        let snapshot = snapshot(Vec::new());
        let mut turn = Turn::default();
        (0..100).filter(|_| goes(&snapshot, &mut turn, conn, left_ms)).count()
    }

    #[test]
    fn half_open_connections_go_and_established_ones_by_their_packets() {
        let tcp = |state: TcpState, packets| conn(6, state.into(), packets);
        let idle = 900_000 - 60_000;
        for (what, conn, left_ms, want) in [
            ("half open", tcp(TcpState::SynRecv, 1), 60_000, 100),
            ("half open, answered", tcp(TcpState::SynAck, 1), 1, 100),
            ("established, busy", tcp(TcpState::Established, 3), idle + 1, 0),
            ("established, no packet", tcp(TcpState::Established, 0), idle, 0),
            ("established, 1 packet", tcp(TcpState::Established, 1), idle, 100),
            ("established, 2 packets", tcp(TcpState::Established, 2), idle, 50),
            ("established, 8 packets", tcp(TcpState::Established, 8), idle, 13),
            ("established, 9 packets", tcp(TcpState::Established, 9), 0, 0),
            ("closing", tcp(TcpState::FinWait, 1), 0, 0),
            ("UDP, idle", conn(17, State::NONE, 1), 300_000 - 60_000, 100),
            ("UDP, busy", conn(17, State::NONE, 1), 300_000, 0),
        ] {
            assert_eq!(dropped(&conn, left_ms), want, "{what}");
        }
        let template = tcp(TcpState::None, 1);
        let template = Connection { flags: template.flags.with(ConnFlags::TEMPLATE, true), ..template };
        assert_eq!(dropped(&template, 0), 0, "a template of a service that is not one-packet");
    }

    #[test]
    fn a_second_looks_through_its_part_wherever_it_begins() {
        let mut search = Search::default();
        let mut rng = Rng::new(1);
        for places in [1, 31, 1000] {
            search.begin(places, &mut rng);
            let (cursor, left) = search.at.expect("a search");
            assert_eq!(left, (2 * places).div_ceil(32));
            assert!(matches!(cursor, Cursor::V4(_) | Cursor::V6(_)));
        }
    }
}
