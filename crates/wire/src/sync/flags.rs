//! Flags of a connection, as its sync entry carries them.

/// The bits that name the forwarding method: [`MASQUERADE`] to [`BYPASS`].
pub const METHOD_MASK: u32 = 0x0007;
/// Method: masquerade.
pub const MASQUERADE: u32 = 0;
/// Method: to this host.
pub const LOCALNODE: u32 = 1;
/// Method: tunnel.
pub const TUNNEL: u32 = 2;
/// Method: direct routing.
pub const DIRECT_ROUTE: u32 = 3;
/// Method: to the original destination.
pub const BYPASS: u32 = 4;

/// It came by synchronisation.
pub const SYNC: u32 = 0x0020;
/// It is in the table; never sent.
pub const HASHED: u32 = 0x0040;
/// Replies do not pass the director.
pub const NO_OUTPUT: u32 = 0x0080;
/// It does not count as active.
pub const INACTIVE: u32 = 0x0100;
/// Sequence numbers from the server are shifted.
pub const OUTPUT_SEQUENCE: u32 = 0x0200;
/// Sequence numbers from the client are shifted.
pub const INPUT_SEQUENCE: u32 = 0x0400;
/// Sequence numbers of either direction are shifted.
pub const SEQUENCE: u32 = OUTPUT_SEQUENCE | INPUT_SEQUENCE;
/// The client's port is still to be learnt.
pub const NO_CLIENT_PORT: u32 = 0x0800;
/// A template of persistence, not a connection.
pub const TEMPLATE: u32 = 0x1000;
/// For one packet only; never sent, and refused where it comes nevertheless.
pub const ONE_PACKET: u32 = 0x2000;
/// Its packets are known to the host's connection tracking.
pub const CONNTRACK: u32 = 0x1_0000;

/// What a backup takes over from a new entry.
pub const BACKUP_MASK: u32 = METHOD_MASK | NO_OUTPUT | INACTIVE | SEQUENCE | NO_CLIENT_PORT | TEMPLATE;
/// What a backup takes over for a connection that it has already.
pub const BACKUP_UPDATE_MASK: u32 = INACTIVE | SEQUENCE;
