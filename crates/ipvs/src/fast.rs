//! Packets of connections that are under way, where nothing special is about them: nearly all.
//!
//! What is done to such a packet is what [`hooks`](crate::hooks) would do: it is found, counted, moves its connection's state, is
//! translated. What is left out are questions whose answer the connection is. Where one could be answered otherwise nothing has been
//! touched yet, and the packet goes through the hooks. A look-up is in stages, so that a burst asks for its memory together;
//! what they find are hints, which the last one verifies ([`conntab`]).

use core::net::IpAddr;

use conntab::{Direction, Key4, Key6, Probe};
use inet::Net;
use wire::{Family, Fragment, PacketBuf, PacketInfo, protocol, rewrite, tcp};

use crate::connection::FlowKey;
use crate::director::{Core, Director};
use crate::hooks::{Context, Hook};
use crate::xmit::translate;
use crate::{ConnFlags, Method};

/// What only the hooks know how to handle.
const SPECIAL: ConnFlags = ConnFlags::TEMPLATE.union(ConnFlags::NO_CLIENT_PORT).union(ConnFlags::ONE_PACKET);

/// A packet's look-up on its way.
#[derive(Clone, Copy, Debug)]
pub enum Lookup {
    /// IPv4.
    V4(Key4, Probe),
    /// IPv6.
    V6(Key6, Probe),
}

impl Director {
    /// First stage of a look-up: asks for the place where the packet's connection would be. None for packets that go through
    /// the hooks anyway.
    #[inline]
    pub fn foresee(&self, frame: &[u8], info: &PacketInfo) -> Option<Lookup> {
        let usual = matches!(info.protocol, protocol::TCP | protocol::UDP) && info.fragment == Fragment::No;
        if !usual {
            return None;
        }
        let tables = &self.core.tables;
        Some(match info.family {
            Family::V4 => {
                let key = Key4::of(frame, info);
                Lookup::V4(key, tables.v4.begin(&key))
            }
            Family::V6 => {
                let key = Key6::of(frame, info);
                Lookup::V6(key, tables.v6.begin(&key))
            }
        })
    }

    /// Second stage: asks for the connection itself.
    #[inline]
    pub fn approach(&self, lookup: &mut Lookup) {
        match lookup {
            Lookup::V4(_, probe) => self.core.tables.v4.approach(probe),
            Lookup::V6(_, probe) => self.core.tables.v6.approach(probe),
        }
    }

    /// Whether packets may go this way at all under the configuration in force.
    pub fn may_pass_fast(&self) -> bool {
        let snapshot = &self.snapshot;
        let watched = self.core.tracer.is_on();
        !watched && !snapshot.services.is_empty() && !snapshot.settings.is_idle()
    }

    /// Last stage: does all that is to be done to a packet of a connection under way, but for the link layer. `own` says whether the
    /// packet is to an address of this host; `fits` whether there is a way to an address on which the packet can go. It
    /// has no IPv4 options or extension headers, no mark, and a TTL above 1. `false`: the packet is as it was, and goes
    /// through the hooks.
    #[inline]
    pub fn pass_established<B: PacketBuf>(
        &mut self,
        now_ms: u64,
        packet: &mut B,
        info: &PacketInfo,
        lookup: &Lookup,
        own: bool,
        fits: impl FnOnce(&Net, IpAddr) -> bool,
    ) -> bool {
        let hook = if own { Hook::LocalIn } else { Hook::Forward };
        let context = Context { snapshot: &self.snapshot, now_ms, hook };
        match lookup {
            Lookup::V4(key, probe) => self.core.established(&context, packet, info, key, probe, fits),
            Lookup::V6(key, probe) => self.core.established(&context, packet, info, key, probe, fits),
        }
        .is_some()
    }
}

impl Core {
    #[inline]
    fn established<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        key: &K,
        probe: &Probe,
        fits: impl FnOnce(&Net, IpAddr) -> bool,
    ) -> Option<()> {
        let table = K::table(&self.tables);
        let (id, direction) = table.get_verified(key, probe)?;
        let conn = table.get(id)?;
        let may_open = info.tcp_flags & tcp::SYN != 0 && direction == Direction::Original;
        if conn.side.is_some() || conn.flags.any(SPECIAL) || may_open {
            return None;
        }
        let local = context.hook == Hook::LocalIn;
        let to = match (direction, conn.method) {
            (Direction::Original, Method::Fullnat | Method::Masquerade) if local => {
                Some(conn.translated(direction))
            }
            (Direction::Original, Method::DirectRouting) if local => None,
            (Direction::Reply, Method::Fullnat) if local => Some(conn.translated(direction)),
            (Direction::Reply, Method::Masquerade) if !local => Some(conn.translated(direction)),
            _ => return None,
        };
        let target: IpAddr = to.map_or(conn.reply.src(), |to| to.dst()).into();
        // Also what leads to another worker, or has lost its destination, is not under way any more.
        let configured = context.snapshot.services.dest(conn.dest).is_some();
        if !configured || target.is_unspecified() || !fits(&context.snapshot.net, target) {
            return None;
        }
        let dest = conn.dest;
        if !to.is_some_and(|to| to.send_on(packet.bytes_mut(), info)) {
            rewrite::decrement_ttl(packet.bytes_mut(), info);
            if let Some(to) = to {
                translate::packet(packet.bytes_mut(), info, &to);
            }
        }
        match direction {
            Direction::Original => self.count_in(context.snapshot, dest, info.ip_len() as u64),
            Direction::Reply => self.count_out(context.snapshot, dest, info.ip_len() as u64),
        }
        self.transition::<K>(context, id, direction, info);
        if direction == Direction::Original {
            self.tell::<K>(context, id);
        }
        Some(())
    }
}
