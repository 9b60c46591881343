//! The numbers of the family's attributes. [linux/ip_vs.h]

pub mod cmd {
    pub const SERVICE: usize = 1;
    pub const DEST: usize = 2;
    pub const DAEMON: usize = 3;
    pub const TIMEOUT_TCP: usize = 4;
    pub const TIMEOUT_TCP_FIN: usize = 5;
    pub const TIMEOUT_UDP: usize = 6;
}

pub mod svc {
    pub const AF: usize = 1;
    pub const PROTOCOL: usize = 2;
    pub const ADDR: usize = 3;
    pub const PORT: usize = 4;
    pub const FWMARK: usize = 5;
    pub const SCHED_NAME: usize = 6;
    pub const FLAGS: usize = 7;
    pub const TIMEOUT: usize = 8;
    pub const NETMASK: usize = 9;
    pub const STATS: usize = 10;
    pub const PE_NAME: usize = 11;
    pub const STATS64: usize = 12;
}

pub mod dest {
    pub const ADDR: usize = 1;
    pub const PORT: usize = 2;
    pub const FWD_METHOD: usize = 3;
    pub const WEIGHT: usize = 4;
    pub const U_THRESH: usize = 5;
    pub const L_THRESH: usize = 6;
    pub const ACTIVE_CONNS: usize = 7;
    pub const INACT_CONNS: usize = 8;
    pub const PERSIST_CONNS: usize = 9;
    pub const STATS: usize = 10;
    pub const ADDR_FAMILY: usize = 11;
    pub const STATS64: usize = 12;
    pub const TUN_TYPE: usize = 13;
    pub const TUN_PORT: usize = 14;
    pub const TUN_FLAGS: usize = 15;
}

pub mod daemon {
    pub const STATE: usize = 1;
    pub const MCAST_IFN: usize = 2;
    pub const SYNC_ID: usize = 3;
    pub const SYNC_MAXLEN: usize = 4;
    pub const MCAST_GROUP: usize = 5;
    pub const MCAST_GROUP6: usize = 6;
    pub const MCAST_PORT: usize = 7;
    pub const MCAST_TTL: usize = 8;
}

pub mod info {
    pub const VERSION: usize = 1;
    pub const CONN_TAB_SIZE: usize = 2;
}

/// Of the family that names families. [linux/genetlink.h]
pub mod ctrl {
    pub const ID: u16 = 0x10;
    pub const CMD_NEWFAMILY: u8 = 1;
    pub const CMD_GETFAMILY: u8 = 3;
    pub const FAMILY_ID: usize = 1;
    pub const FAMILY_NAME: usize = 2;
    pub const VERSION: usize = 3;
    pub const HDRSIZE: usize = 4;
    pub const MAXATTR: usize = 5;
}
