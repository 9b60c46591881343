//! The whole director without ports, driven as a cluster of workers: every packet's way, and that each is accounted for.

mod allocation;
mod bursts;
mod cluster;
mod fragments;
mod frames;
mod ftp;
mod host;
mod ipsec;
mod malformed;
mod marks;
mod neighbours;
mod network;
mod pptp;
mod site;
mod snapshot;
mod takeover;
mod workers;
