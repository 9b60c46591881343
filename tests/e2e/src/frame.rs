//! A user-space switch between TAP devices: tags and untags VLANs, and injects frames that no kernel would send.
//!
//! Why: the test kernels have no VLAN device, and a raw frame needs a wire that takes anything.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use decap::tun::{Kind, open};
use lab::error::Context;
use lab::{Namespace, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// The largest frame that is passed on.
const FRAME_MAX: usize = 2048;
/// How often a switch looks whether it should end.
const TURN: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
/// IEEE 802.1Q's tag protocol id.
const TPID: [u8; 2] = [0x81, 0x00];

/// Opens the TAP `name` in `namespace`, which is made and set up.
pub fn tap(namespace: &Namespace, name: &str) -> Result<File> {
    let device = name.to_owned();
    let file = namespace.enter(move || open(&device, Kind::Tap, true).context(device))??;
    namespace.ip([format!("link set {name} up")])?;
    Ok(file)
}

/// A running VLAN switch: one trunk, several access ports; ends when dropped.
#[derive(Debug)]
pub struct VlanSwitch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl VlanSwitch {
    /// Passes frames between `trunk`, where they carry a tag, and the access ports, each of one VLAN, where they
    /// don't. Frames of other VLANs and untagged ones from the trunk go nowhere.
    pub fn start(trunk: File, access: Vec<(u16, File)>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                wait(&trunk, &access);
                from_trunk(&trunk, &access);
                access.iter().for_each(|(vlan, port)| from_access(*vlan, port, &trunk));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for VlanSwitch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn wait(trunk: &File, access: &[(u16, File)]) {
    let mut ready: Vec<PollFd> = [trunk]
        .into_iter()
        .chain(access.iter().map(|(_, port)| port))
        .map(|f| PollFd::new(f, PollFlags::IN))
        .collect();
    // An interrupted or failed wait only means that the ports are looked at sooner.
    let _ = poll(&mut ready, Some(&TURN));
}

fn from_trunk(trunk: &File, access: &[(u16, File)]) {
    while let Some(frame) = read(trunk) {
        if let Some((vlan, frame)) = untag(&frame) {
            for (_, mut port) in access.iter().filter(|(id, _)| *id == vlan).map(|(id, port)| (id, port)) {
                let _ = port.write(&frame);
            }
        }
    }
}

fn from_access(vlan: u16, port: &File, mut trunk: &File) {
    while let Some(frame) = read(port) {
        if let Some(frame) = tag(&frame, vlan) {
            let _ = trunk.write(&frame);
        }
    }
}

/// The next frame, if there is one.
pub fn read(mut file: &File) -> Option<Vec<u8>> {
    let mut frame = vec![0; FRAME_MAX];
    loop {
        match file.read(&mut frame) {
            Ok(n) => {
                frame.truncate(n);
                return Some(frame);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

fn tag(frame: &[u8], vlan: u16) -> Option<Vec<u8>> {
    let (addresses, rest) = frame.split_at_checked(12)?;
    Some([addresses, &TPID, &vlan.to_be_bytes(), rest].concat())
}

fn untag(frame: &[u8]) -> Option<(u16, Vec<u8>)> {
    let (addresses, rest) = frame.split_at_checked(12)?;
    let (tag, rest) = rest.split_at_checked(4)?;
    (tag[..2] == TPID).then(|| (u16::from_be_bytes([tag[2], tag[3]]) & 0x0fff, [addresses, rest].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_goes_on_and_comes_off() {
        let frame: Vec<u8> = (0..60).collect();
        let tagged = tag(&frame, 100).unwrap();
        assert_eq!(tagged.len(), 64);
        assert_eq!(untag(&tagged), Some((100, frame.clone())));
        assert_eq!(untag(&frame), None);
        assert_eq!(tag(&frame[..11], 1), None);
        assert_eq!(untag(&tagged[..15]), None);
    }
}
