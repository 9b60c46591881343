//! Masquerade and FULLNAT [ip_vs_nat_xmit]: the packet goes to the real server, which sees the client as its source, or
//! a local address under FULLNAT.

use conntab::Direction;
use inet::DropReason;
use wire::{PacketBuf, PacketInfo};

use super::{Outward, Way, translate};
use crate::Verdict;
use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::Context;

impl Core {
    pub(super) fn masquerade<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        conn: &Connection<K>,
    ) -> Result<Way, Verdict> {
        let to_server = conn.translated(Direction::Original);
        let way = self.towards_server(context, packet, info, &Outward::translated(to_server.dst().into()))?;
        let info = self.help(context, packet, info, conn, Direction::Original)?;
        translate::packet(packet.bytes_mut(), &info, &to_server);
        Ok(way)
    }

    /// The way of a packet that is to be rewritten. To a loopback address none leads: the host's stack refuses what comes to
    /// one from a link.
    pub(crate) fn towards_server<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        outward: &Outward,
    ) -> Result<Way, Verdict> {
        match self.outward(context, packet, info, outward)? {
            Way::Host if outward.target.is_loopback() => Err(Verdict::Drop(DropReason::LocalNode)),
            way => Ok(way),
        }
    }
}
