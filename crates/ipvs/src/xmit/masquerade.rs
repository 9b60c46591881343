//! Masquerade and FULLNAT [ip_vs_nat_xmit]: the packet goes to the real server, which sees the client as its source, or
//! a local address under FULLNAT.

use conntab::Direction;
use inet::NextHop;
use wire::{PacketBuf, PacketInfo};

use super::{Outward, translate};
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
    ) -> Result<NextHop, Verdict> {
        let to_server = conn.translated(Direction::Original);
        let hop = self.outward(context, packet, info, &Outward::translated(to_server.dst().into()))?;
        let info = self.help(context, packet, info, conn, Direction::Original)?;
        translate::packet(packet.bytes_mut(), &info, &to_server);
        Ok(hop)
    }
}
