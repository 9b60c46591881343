//! Direct routing [ip_vs_dr_xmit]: the packet goes to the real server's link address as it is, but for its TTL. The
//! server has the virtual address itself and answers the client on its own.

use wire::{PacketBuf, PacketInfo};

use super::{Outward, Way, counts_for};
use crate::Verdict;
use crate::connection::{Connection, FlowKey};
use crate::director::Core;
use crate::hooks::{Context, is_icmp};

impl Core {
    pub(super) fn direct<K: FlowKey, B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
        conn: &Connection<K>,
    ) -> Result<Way, Verdict> {
        let outward = Outward {
            target: conn.reply.src().into(),
            overhead: 0,
            path_mtu: None,
            any_size: is_icmp(info),
            counts_for: counts_for(conn),
        };
        self.outward(context, packet, info, &outward)
    }
}
