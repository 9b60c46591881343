//! Marks: what match rules say of a packet before anything else is asked about it [PREROUTING, table mangle].

use inet::{AddressRole, IfaceId};
use wire::{PacketBuf, PacketInfo};

use crate::Pipeline;

impl<B: PacketBuf> Pipeline<B> {
    /// What is known of a packet, with the mark that match rules give it.
    pub(crate) fn marked(&self, iface: IfaceId, frame: &[u8], info: &PacketInfo) -> PacketInfo {
        PacketInfo { mark: self.director.snapshot().services.mark_of(frame, info, iface), ..*info }
    }

    /// What is marked for a service is for this host, whatever its address, as with a local route for the mark.
    pub(crate) fn role_by_mark(&self, info: &PacketInfo) -> Option<AddressRole> {
        let wanted = || self.director.snapshot().services.find_mark(info.mark, info.family).is_some();
        (info.mark != 0 && wanted()).then_some(AddressRole::Host)
    }
}
