//! What a connection is besides its protocol's state: a set of bits, with the numbers that the kernel gives them, since
//! synchronisation messages carry them.

use core::ops::BitOr;

/// Bits of a connection [IP_VS_CONN_F_*].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnFlags(u16);

impl ConnFlags {
    /// Made by a synchronisation message [IP_VS_CONN_F_SYNC].
    pub const SYNC: Self = Self(0x20);
    /// Packets find it by its keys [IP_VS_CONN_F_HASHED].
    pub const HASHED: Self = Self(0x40);
    /// Replies do not pass here, nor has one been seen [IP_VS_CONN_F_NOOUTPUT].
    pub const NO_OUTPUT: Self = Self(0x80);
    /// Not counted as active on its destination [IP_VS_CONN_F_INACTIVE].
    pub const INACTIVE: Self = Self(0x100);
    /// Its client will come from a port that is not known yet [IP_VS_CONN_F_NO_CPORT].
    pub const NO_CLIENT_PORT: Self = Self(0x800);
    /// No connection, but what ties a client to a destination [IP_VS_CONN_F_TEMPLATE].
    pub const TEMPLATE: Self = Self(0x1000);
    /// Lives for one packet and is found by none [IP_VS_CONN_F_ONE_PACKET].
    pub const ONE_PACKET: Self = Self(0x2000);

    /// Its server's packets find it, its client's another one; the kernel has no such bit, for there one just comes first.
    pub const REPLIES_ONLY: Self = Self(0x8000);

    /// No bit.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The bits as the kernel numbers them; the lowest three, which name the forwarding method there, are 0.
    pub const fn bits(self) -> u16 {
        self.0 & !Self::REPLIES_ONLY.0
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is set.
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// With the bits of `other` set, or cleared.
    #[must_use]
    pub const fn with(self, other: Self, set: bool) -> Self {
        Self(if set { self.0 | other.0 } else { self.0 & !other.0 })
    }
}

impl BitOr for ConnFlags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_set_and_cleared_apart() {
        let flags = ConnFlags::HASHED | ConnFlags::TEMPLATE;
        assert!(flags.has(ConnFlags::TEMPLATE) && !flags.has(ConnFlags::SYNC));
        assert!(!flags.has(ConnFlags::TEMPLATE | ConnFlags::SYNC), "all of them");
        assert_eq!(flags.with(ConnFlags::SYNC, true).with(ConnFlags::HASHED, false).bits(), 0x1020);
        assert!(flags.any(ConnFlags::TEMPLATE | ConnFlags::SYNC) && !flags.any(ConnFlags::SYNC));
        assert_eq!(ConnFlags::empty().bits(), 0);
    }
}
