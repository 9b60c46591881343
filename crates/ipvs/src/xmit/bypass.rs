//! Bypass [ip_vs_bypass_xmit, cache_bypass]: a packet of a service without destinations goes on to where it is addressed.

use inet::DropReason;
use wire::{PacketBuf, PacketInfo};

use super::{Outward, Way, is_local};
use crate::Verdict;
use crate::director::Core;
use crate::hooks::Context;

impl Core {
    pub(super) fn bypass<B: PacketBuf>(
        &mut self,
        context: &Context<'_>,
        packet: &mut B,
        info: &PacketInfo,
    ) -> Result<Way, Verdict> {
        let target = info.dst(packet.bytes());
        if is_local(context, target) {
            return Err(Verdict::Drop(DropReason::LocalNode));
        }
        self.outward(context, packet, info, &Outward::translated(target))
    }
}
